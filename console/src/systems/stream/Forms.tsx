// What a person does by hand: a topic, a message, an option of a topic.
import { useState } from "react";
import { address, navigate } from "../../app/router";
import { FormDialog } from "../../parts/FormDialog";
import { Icon } from "../../parts/icons";
import * as api from "./api";

export function TopicButton() {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="button primary" onClick={() => setOpen(true)}>
        <Icon name="plus" /> Make a topic
      </button>
      {open && <TopicDialog close={() => setOpen(false)} />}
    </>
  );
}

function TopicDialog({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [partitions, setPartitions] = useState("3");
  const [durability, setDurability] = useState("fsync");
  const [cleanup, setCleanup] = useState("delete");
  const act = async (): Promise<void> => {
    const config: Record<string, string> = {};
    if (durability !== "fsync") config["polis.durability"] = durability;
    if (cleanup !== "delete") config["cleanup.policy"] = cleanup;
    await api.createTopic({ name, partitions: Number(partitions), config });
    close();
    navigate(address("/stream/topics", { topic: name }));
  };
  return (
    <FormDialog title="Make a topic" verb="Make topic" close={close} act={act}>
      <label className="field">
        Name
        <input className="input" value={name} onChange={(event) => setName(event.target.value)} maxLength={249} required autoFocus />
        <span className="hint">Letters, digits, dots, underscores and dashes.</span>
      </label>
      <label className="field">
        Partitions
        <input className="input" inputMode="numeric" value={partitions} onChange={(event) => setPartitions(event.target.value)} required />
        <span className="hint">Records of one key stay in order in one of them. More can be added, but then keys move.</span>
      </label>
      <label className="field">
        Acknowledged means
        <select className="input" value={durability} onChange={(event) => setDurability(event.target.value)}>
          <option value="fsync">the disk has it (fsync)</option>
          <option value="os">the page cache has it (os)</option>
        </select>
      </label>
      <label className="field">
        Old records
        <select className="input" value={cleanup} onChange={(event) => setCleanup(event.target.value)}>
          <option value="delete">are deleted after seven days</option>
          <option value="compact">stay: the newest of each key (compact)</option>
          <option value="compact,delete">both</option>
        </select>
      </label>
    </FormDialog>
  );
}

interface MessageDialogProps {
  topic: string;
  partitions: number;
  partition: number;
  close: () => void;
  done: (appended: api.Appended) => void;
}

export function MessageDialog({ topic, partitions, partition, close, done }: MessageDialogProps) {
  const [where, setWhere] = useState(String(partition));
  const [key, setKey] = useState("");
  const [value, setValue] = useState("");
  const act = async (): Promise<void> => {
    done(await api.appendMessage({ topic, partition: Number(where), ...(key && { key }), value }));
    close();
  };
  return (
    <FormDialog title={`Write a message into ${topic}`} verb="Append it" close={close} act={act}>
      <label className="field">
        Partition
        <input className="input" inputMode="numeric" value={where} onChange={(event) => setWhere(event.target.value)} required />
        <span className="hint">0 to {partitions - 1}</span>
      </label>
      <label className="field">
        Key
        <input className="input" value={key} onChange={(event) => setKey(event.target.value)} />
        <span className="hint">Empty: none.</span>
      </label>
      <label className="field">
        Value
        <textarea className="input" rows={5} value={value} onChange={(event) => setValue(event.target.value)} autoFocus />
      </label>
    </FormDialog>
  );
}

export function OptionDialog({ topic, option, close, done }: { topic: string; option: api.ConfigEntry; close: () => void; done: () => void }) {
  const [value, setValue] = useState(option.value);
  const change = async (to: string | null): Promise<void> => {
    await api.changeTopic(topic, { config: { [option.name]: to } });
    done();
    close();
  };
  const toDefault = (work: (act: () => Promise<void>) => void, working: boolean) =>
    option.overridden && (
      <button type="button" className="button" disabled={working} onClick={() => work(() => change(null))}>
        Back to the default
      </button>
    );
  return (
    <FormDialog title={`${option.name} of ${topic}`} verb="Set it" close={close} act={() => change(value)} more={toDefault}>
      <label className="field">
        Value
        <input className="input" value={value} onChange={(event) => setValue(event.target.value)} autoFocus />
        <span className="hint">
          {option.help} Default: {option.default || "none"}.
        </span>
      </label>
    </FormDialog>
  );
}

// The settings of a bucket, one card each: what holds now in words, and the form that changes it. All of them are S3's own documents,
// read and written as any client would.
import { useState, type FormEvent } from "react";
import { useLoad } from "../../app/useLoad";
import { Dialog } from "../../parts/Dialog";
import { ErrorNote } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import * as api from "./api";
import { LifecycleCard } from "./LifecycleCard";
import { SettingCard, stateChip } from "./SettingCard";
import * as settings from "./settings";
import type { CorsView, DefaultEncryption, Lock } from "./settings";
import { useSetting } from "./useSetting";

function Versioning({ bucket }: { bucket: string }) {
  const setting = useSetting(bucket, "versioning");
  const state = settings.versioningOf(setting.document);
  const words = { unversioned: "off", Enabled: "on", Suspended: "suspended" };
  return (
    <SettingCard title="Versioning" state={stateChip(state === "Enabled", "on", words[state])} error={setting.error} loading={setting.loading}>
      <p className="soft">
        {state === "Enabled"
          ? "Every overwrite and every delete keeps what was there; a delete puts a marker on top."
          : state === "Suspended"
            ? "Versions of before are kept; what is written now replaces the null version."
            : "An overwrite or a delete is final. Once on, versioning can be suspended, and never taken back."}
      </p>
      <div>
        <button
          type="button"
          className="button"
          disabled={setting.busy}
          onClick={() => void setting.save(settings.versioningDocument(state === "Enabled" ? "Suspended" : "Enabled"))}
        >
          {state === "Enabled" ? "Suspend versioning" : "Turn versioning on"}
        </button>
      </div>
    </SettingCard>
  );
}

function Encryption({ bucket }: { bucket: string }) {
  const setting = useSetting(bucket, "encryption");
  const now = settings.encryptionOf(setting.document);
  const [draft, setDraft] = useState<DefaultEncryption>();
  const shown = draft ?? now;
  const ring = useLoad(() => (shown.algorithm === "aws:kms" ? api.kmsKeys() : Promise.resolve({ keys: [] })), [shown.algorithm]);
  const known = ring.value?.keys.map((key) => key.name) ?? [];
  const [refused, setRefused] = useState<unknown>();
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setRefused(undefined);
    try {
      // A name that no key has yet becomes one.
      if (shown.algorithm === "aws:kms" && !known.includes(shown.key)) await api.makeKmsKey(shown.key);
    } catch (reason) {
      setRefused(reason);
      return;
    }
    const saved = shown.algorithm === "none" ? await setting.remove() : await setting.save(settings.encryptionDocument(shown));
    if (saved) setDraft(undefined);
  };
  const words = { none: "off", "AES256": "SSE-S3", "aws:kms": "SSE-KMS" };
  return (
    <SettingCard title="Encryption" state={stateChip(now.algorithm !== "none", words[now.algorithm], "off")} error={refused ?? ring.error ?? setting.error} loading={setting.loading}>
      <p className="soft">For new objects that ask for none themselves. What is stored already stays as it is.</p>
      <form onSubmit={submit} className="inline-form">
        <label className="field">
          New objects
          <select
            className="input"
            value={shown.algorithm}
            onChange={(event) => setDraft({ ...shown, algorithm: event.target.value as DefaultEncryption["algorithm"] })}
          >
            <option value="none">lie as they are sent</option>
            <option value="AES256">SSE-S3: AES-256-GCM, key of this polis</option>
            <option value="aws:kms">SSE-KMS: a named key of the key ring</option>
          </select>
        </label>
        {shown.algorithm === "aws:kms" && (
          <label className="field">
            Key
            <input className="input" list="kms-keys" required maxLength={256} value={shown.key} onChange={(event) => setDraft({ ...shown, key: event.target.value })} />
            <datalist id="kms-keys">
              {known.map((name) => (
                <option key={name} value={name} />
              ))}
            </datalist>
            <span className="hint">{known.includes(shown.key) || !shown.key ? "a key of the ring" : "a new key of this name"}</span>
          </label>
        )}
        <button type="submit" className="button" disabled={setting.busy || !draft}>
          Save
        </button>
      </form>
    </SettingCard>
  );
}

function ObjectLock({ bucket }: { bucket: string }) {
  const setting = useSetting(bucket, "object-lock");
  const now = settings.lockOf(setting.document);
  const [draft, setDraft] = useState<Lock>();
  const [asking, setAsking] = useState(false);
  const shown = draft ?? now;
  const save = async (): Promise<void> => {
    setAsking(false);
    if (await setting.save(settings.lockDocument(shown))) setDraft(undefined);
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (!now.enabled || shown.mode === "COMPLIANCE") setAsking(true);
    else void save();
  };
  return (
    <SettingCard title="Object lock" state={stateChip(now.enabled, "on", "off")} error={setting.error} loading={setting.loading}>
      <p className="soft">
        {now.enabled
          ? "Versions may be kept until a day, or by a legal hold. New ones get the default below."
          : "Write once, read many: versions that nobody deletes before their day. Needs versioning; once on, it stays on."}
      </p>
      <form onSubmit={submit} className="inline-form">
        <label className="field">
          Default for new versions
          <select className="input" value={shown.mode} onChange={(event) => setDraft({ ...shown, mode: event.target.value as Lock["mode"] })}>
            <option value="">no retention</option>
            <option value="GOVERNANCE">Governance</option>
            <option value="COMPLIANCE">Compliance</option>
          </select>
        </label>
        {shown.mode && (
          <>
            <label className="field">
              For
              <input
                className="input"
                type="number"
                min={1}
                max={36500}
                value={shown.period}
                onChange={(event) => setDraft({ ...shown, period: Number(event.target.value) })}
              />
            </label>
            <label className="field">
              Unit
              <select className="input" value={shown.unit} onChange={(event) => setDraft({ ...shown, unit: event.target.value as Lock["unit"] })}>
                <option value="Days">days</option>
                <option value="Years">years</option>
              </select>
            </label>
          </>
        )}
        <button type="submit" className="button" disabled={setting.busy || (now.enabled && !draft)}>
          {now.enabled ? "Save" : "Turn object lock on …"}
        </button>
      </form>
      {asking && (
        <Dialog
          title={now.enabled ? "Compliance by default" : `Turn object lock on for ${bucket}`}
          close={() => setAsking(false)}
          foot={
            <>
              <button type="button" className="button" onClick={() => setAsking(false)} autoFocus>
                Keep as it is
              </button>
              <button type="button" className="button danger" onClick={() => void save()}>
                {now.enabled ? "Save" : "Turn on for good"}
              </button>
            </>
          }
        >
          <p>
            {!now.enabled && "This cannot be taken back: the bucket keeps object lock, and versioning with it, for as long as it exists. "}
            {shown.mode === "COMPLIANCE" &&
              `Every new version will be kept for ${shown.period} ${shown.unit.toLowerCase()}, and nobody, not even root, can delete it or the bucket before.`}
          </p>
        </Dialog>
      )}
    </SettingCard>
  );
}

// A document that is edited as it is: policies and CORS have more forms than a form could have.
function DocumentEditor({ label, text, example, busy, save, remove }: {
  label: string;
  text: string | undefined;
  example: string;
  busy: boolean;
  save: (text: string) => Promise<boolean>;
  remove: () => Promise<boolean>;
}) {
  const [draft, setDraft] = useState<string>();
  const [wrong, setWrong] = useState<unknown>();
  if (draft === undefined)
    return (
      <>
        {text && (
          <pre className="document" tabIndex={0} aria-label={label}>
            {text}
          </pre>
        )}
        <div className="inline-form">
          <button type="button" className="button" onClick={() => setDraft(text ?? example)}>
            {text ? "Change …" : "Begin with an example …"}
          </button>
          {text && (
            <button type="button" className="button" disabled={busy} onClick={() => void remove()}>
              Remove
            </button>
          )}
        </div>
      </>
    );
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setWrong(undefined);
    try {
      if (draft.trimStart().startsWith("{")) JSON.parse(draft);
    } catch (reason) {
      setWrong(reason);
      return;
    }
    if (await save(draft)) setDraft(undefined);
  };
  return (
    <form onSubmit={submit} className="setting">
      <ErrorNote error={wrong} />
      <textarea className="input document" aria-label={label} spellCheck={false} rows={Math.min(24, draft.split("\n").length + 1)} value={draft} onChange={(event) => setDraft(event.target.value)} />
      <div className="inline-form">
        <button type="submit" className="button primary" disabled={busy}>
          Save
        </button>
        <button type="button" className="button" onClick={() => setDraft(undefined)}>
          Cancel
        </button>
      </div>
    </form>
  );
}

const policyExample = (bucket: string): string =>
  JSON.stringify(
    {
      Version: "2012-10-17",
      Statement: [{ Sid: "ReadForEveryone", Effect: "Allow", Principal: "*", Action: "s3:GetObject", Resource: `arn:aws:s3:::${bucket}/public/*` }],
    },
    null,
    2,
  );

function pretty(text: string | undefined, how: (text: string) => string): string | undefined {
  if (!text) return undefined;
  try {
    return how(text);
  } catch {
    return text;
  }
}

function Policy({ bucket }: { bucket: string }) {
  const setting = useSetting(bucket, "policy");
  const text = pretty(setting.document, (json) => JSON.stringify(JSON.parse(json), null, 2));
  return (
    <SettingCard title="Policy" state={stateChip(!!text, "set", "none")} error={setting.error} loading={setting.loading}>
      <p className="soft">Who else may do what here, beyond what their own policies say. A Deny wins over every Allow.</p>
      <DocumentEditor label="Policy" text={text} example={policyExample(bucket)} busy={setting.busy} save={setting.save} remove={setting.remove} />
    </SettingCard>
  );
}

function Cors({ bucket }: { bucket: string }) {
  const setting = useSetting(bucket, "cors");
  const rules = settings.corsOf(setting.document);
  const columns: Column<CorsView>[] = [
    { title: "Pages from", className: "grow", cell: (rule) => rule.origins.join(", ") },
    { title: "May", cell: (rule) => rule.methods.join(", ") },
    { title: "Sending", className: "wide", cell: (rule) => rule.headers.join(", ") || "–" },
    { title: "Seeing", className: "wide", cell: (rule) => rule.expose.join(", ") || "–" },
    { title: "Kept, s", className: "right wide", cell: (rule) => rule.maxAge || "–" },
  ];
  return (
    <SettingCard title="CORS" state={stateChip(rules.length > 0, `${rules.length}`, "none")} error={setting.error} loading={setting.loading}>
      <p className="soft">Which web pages of other origins may ask this bucket from a browser.</p>
      {rules.length > 0 && <Table caption="CORS rules" columns={columns} rows={rules} id={(rule) => JSON.stringify(rule)} />}
      <DocumentEditor
        label="CORS"
        text={pretty(setting.document, settings.prettyXml)}
        example={settings.CORS_EXAMPLE}
        busy={setting.busy}
        save={setting.save}
        remove={setting.remove}
      />
    </SettingCard>
  );
}

function PublicAccess({ bucket }: { bucket: string }) {
  const setting = useSetting(bucket, "publicAccessBlock");
  const now = settings.accessOf(setting.document);
  const set = (name: string, on: boolean): void => {
    const next = { ...now, [name]: on };
    void (Object.values(next).some(Boolean) ? setting.save(settings.accessDocument(next)) : setting.remove());
  };
  const all = Object.values(now).every(Boolean);
  return (
    <SettingCard title="Public access" state={stateChip(all, "blocked", Object.values(now).some(Boolean) ? "partly blocked" : "as policies say")} error={setting.error} loading={setting.loading}>
      <div className="switches">
        {settings.ACCESS_SWITCHES.map(([name, what]) => (
          <label key={name}>
            <input type="checkbox" checked={now[name] ?? false} disabled={setting.busy} onChange={(event) => set(name, event.target.checked)} /> {what}
          </label>
        ))}
      </div>
    </SettingCard>
  );
}

export function BucketSettings({ bucket }: { bucket: string }) {
  return (
    <div className="settings">
      <Versioning bucket={bucket} />
      <Encryption bucket={bucket} />
      <ObjectLock bucket={bucket} />
      <PublicAccess bucket={bucket} />
      <LifecycleCard bucket={bucket} />
      <Policy bucket={bucket} />
      <Cors bucket={bucket} />
    </div>
  );
}

// Users and keys: who may sign in, with which access keys programs come, and what has been done.
import { useState } from "react";
import { Command } from "../../parts/Command";
import { Dialog } from "../../parts/Dialog";
import { FormDialog } from "../../parts/FormDialog";
import { Icon } from "../../parts/icons";
import { ErrorNote, Note, Waiting } from "../../parts/Note";
import { PlanDialog } from "../../parts/PlanDialog";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import type { Plan } from "../api";
import { useSession } from "../session";
import { useLoad } from "../useLoad";
import * as api from "./api";
import type { AccessKey, AuditRecord, IssuedKey, User } from "./api";

interface Removal {
  verb: string;
  draft: () => Promise<Plan>;
  done: () => void;
}

function MakeUser({ close, made }: { close: () => void; made: () => void }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [administrator, setAdministrator] = useState(false);
  const act = async (): Promise<void> => {
    await api.makeUser({ name, administrator, ...(password && { password }) });
    close();
    made();
  };
  return (
    <FormDialog title="Make a user" verb="Make user" close={close} act={act}>
      <label className="field">
        Name
        <input className="input" autoFocus required autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} />
      </label>
      <label className="field">
        Password
        <input
          className="input"
          type="password"
          autoComplete="new-password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        <span className="hint">Without one the user works with access keys alone.</span>
      </label>
      <label>
        <input type="checkbox" checked={administrator} onChange={(event) => setAdministrator(event.target.checked)} /> Administrator of
        this polis
      </label>
    </FormDialog>
  );
}

function Secret({ issued, close }: { issued: IssuedKey; close: () => void }) {
  return (
    <Dialog
      title={`A new key for ${issued.user}`}
      close={close}
      foot={
        <button type="button" className="button primary" onClick={close}>
          I have kept it
        </button>
      }
    >
      <Note kind="warn">The secret is shown this once. polis keeps it sealed and cannot show it again.</Note>
      <Command
        label="key"
        text={`export AWS_ACCESS_KEY_ID=${issued.access_key}\nexport AWS_SECRET_ACCESS_KEY=${issued.secret_key}`}
      />
    </Dialog>
  );
}

function Keys({ user, remove }: { user: string; remove: (removal: Removal) => void }) {
  const loaded = useLoad(() => api.keys(user), [user]);
  const [issued, setIssued] = useState<IssuedKey>();
  const [error, setError] = useState<unknown>();
  const act = (work: Promise<unknown>): void => {
    setError(undefined);
    work.then(loaded.reload, setError);
  };
  const columns: Column<AccessKey>[] = [
    { title: "Access key", className: "grow", cell: (key) => <code>{key.id}</code> },
    { title: "State", cell: (key) => (key.active ? <span className="chip good">✓ active</span> : <span className="chip">○ off</span>) },
    { title: "What for", className: "wide", cell: (key) => key.description || "–" },
    { title: "Made", className: "wide", cell: (key) => <Time at={key.created_at} /> },
    {
      title: "Actions",
      hideTitle: true,
      className: "actions",
      cell: (key) => (
        <>
          <button type="button" className="button quiet small" onClick={() => act(api.setKeyActive(key.id, !key.active))}>
            {key.active ? "Switch off" : "Switch on"}
          </button>
          <button
            type="button"
            className="button quiet small icon"
            aria-label={`Remove key ${key.id}`}
            onClick={() => remove({ verb: "Remove key", draft: () => api.planRemoveKey(key.id), done: loaded.reload })}
          >
            <Icon name="trash" size={14} />
          </button>
        </>
      ),
    },
  ];
  const make = (): void => {
    setError(undefined);
    api.makeKey(user, "made in the console").then((key) => {
      setIssued(key);
      loaded.reload();
    }, setError);
  };
  return (
    <section className="card" aria-label={`Keys of ${user}`}>
      <div className="card-head">
        <h2>Access keys of {user}</h2>
        <div className="aside">
          <button type="button" className="button" onClick={make}>
            <Icon name="key" /> Make a key
          </button>
        </div>
      </div>
      <ErrorNote error={error ?? loaded.error} />
      {loaded.value ? <Table caption={`Keys of ${user}`} columns={columns} rows={loaded.value} id={(key) => key.id} /> : <Waiting />}
      {issued && <Secret issued={issued} close={() => setIssued(undefined)} />}
    </section>
  );
}

function Audit() {
  const loaded = useLoad(api.audit, []);
  const columns: Column<AuditRecord>[] = [
    { title: "When", cell: (record) => <Time at={record.at} /> },
    { title: "User", cell: (record) => record.user },
    { title: "Action", cell: (record) => record.action },
    { title: "Resource", className: "grow wide", cell: (record) => record.resource },
    { title: "Outcome", cell: (record) => record.outcome },
    { title: "From", className: "wide", cell: (record) => record.peer },
  ];
  return (
    <section className="card" aria-label="Audit">
      <div className="card-head">
        <h2>What has been done</h2>
        <div className="aside">
          <button type="button" className="button quiet small" onClick={loaded.reload}>
            Read again
          </button>
        </div>
      </div>
      <ErrorNote error={loaded.error} />
      {loaded.value ? (
        <Table caption="Audit" columns={columns} rows={loaded.value.records} id={(record) => `${record.at} ${record.action} ${record.resource}`} />
      ) : (
        !loaded.error && <Waiting />
      )}
    </section>
  );
}

export default function AccessPage() {
  const session = useSession();
  const loaded = useLoad(api.users, []);
  const [chosen, setChosen] = useState(session.user);
  const [making, setMaking] = useState(false);
  const [removal, setRemoval] = useState<Removal>();
  const [error, setError] = useState<unknown>();
  const columns: Column<User>[] = [
    {
      title: "User",
      className: "grow",
      cell: (user) => (
        <button type="button" className="plain-button" aria-pressed={user.name === chosen} onClick={() => setChosen(user.name)}>
          {user.name}
        </button>
      ),
    },
    {
      title: "Rights",
      cell: (user) => (user.root ? "root" : user.administrator ? "administrator" : user.policies.join(", ") || "none yet"),
    },
    {
      title: "State",
      cell: (user) => (user.disabled ? <span className="chip">○ disabled</span> : <span className="chip good">✓ enabled</span>),
    },
    { title: "Made", className: "wide", cell: (user) => <Time at={user.created_at} /> },
    {
      title: "Actions",
      hideTitle: true,
      className: "actions",
      cell: (user) =>
        !user.root && (
          <>
            <button
              type="button"
              className="button quiet small"
              onClick={() => {
                setError(undefined);
                api.setDisabled(user.name, !user.disabled).then(loaded.reload, setError);
              }}
            >
              {user.disabled ? "Enable" : "Disable"}
            </button>
            <button
              type="button"
              className="button quiet small icon"
              aria-label={`Remove user ${user.name}`}
              onClick={() => setRemoval({ verb: "Remove user", draft: () => api.planRemoveUser(user.name), done: loaded.reload })}
            >
              <Icon name="trash" size={14} />
            </button>
          </>
        ),
    },
  ];
  return (
    <>
      <div className="page-head">
        <h1>Users and keys</h1>
        <p>One identity for every system</p>
        <div className="page-actions">
          <button type="button" className="button primary" onClick={() => setMaking(true)}>
            <Icon name="plus" /> Make a user
          </button>
        </div>
      </div>
      <section className="card" aria-label="Users">
        <ErrorNote error={error ?? loaded.error} retry={loaded.reload} />
        {loaded.value ? <Table caption="Users" columns={columns} rows={loaded.value} id={(user) => user.id} /> : !loaded.error && <Waiting />}
      </section>
      <Keys key={chosen} user={chosen} remove={setRemoval} />
      <Audit />
      {making && <MakeUser close={() => setMaking(false)} made={loaded.reload} />}
      {removal && (
        <PlanDialog draft={removal.draft} verb={removal.verb} close={() => setRemoval(undefined)} done={removal.done} />
      )}
    </>
  );
}

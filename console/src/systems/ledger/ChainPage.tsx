// The chain of batches, checked here and on the server; its signed head; and the proof of a single transfer.
import { useEffect, useRef, useState, type FormEvent } from "react";
import { navigate, address, usePlace } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { Command } from "../../parts/Command";
import { Empty } from "../../parts/Empty";
import { count, duration, plural } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { ErrorNote, Note, Waiting } from "../../parts/Note";
import { ProgressBar } from "../../parts/ProgressBar";
import { Time } from "../../parts/Time";
import { assetOf, money, timeOf } from "./amounts";
import * as api from "./api";
import type { Link as ChainLink, Proof, SignedHead } from "./api";
import { canHash, checkLink, checkProof, checkSignature, checkUpTo, opensslCommand, WHY_NOT, ZERO_HASH, type ProofStep } from "./chain";
import { OPERATIONS } from "./Overview";
import { AccountName } from "./AccountName";
import { useLedgers, useLive } from "./useLedgers";

const SHOWN = 24;
// A proof is followed to the signed head by itself if it is not further away.
const FOLLOWED = 20_000;
const linksOf = (to: number, limit: number): Promise<ChainLink[]> => api.chain({ to, limit }).then((chain) => chain.links);

type Verdict = "good" | string;

function LinkBox({ link, verdict }: { link: ChainLink; verdict: Verdict | undefined }) {
  const state = verdict === undefined ? "unknown" : verdict === "good" ? "good" : "bad";
  return (
    <li className={`link ${state}`} data-testid="link" data-verdict={state} title={state === "bad" ? verdict : `head ${link.head}`}>
      <span className="link-mark" aria-hidden="true">
        {state === "good" ? "✓" : state === "bad" ? "✕" : "·"}
      </span>
      <span className="hidden-text">{state === "good" ? "verified" : state === "bad" ? "broken" : "not verified yet"}</span>
      <b className="number">{count(link.op)}</b>
      <span>
        {OPERATIONS[link.operation] ?? link.operation}
        {link.count > 0 && ` × ${count(link.count)}`}
      </span>
      <span className="soft">
        <Time at={timeOf(link.timestamp)} />
      </span>
      <span className="link-hash" title={`Merkle root ${link.root}`}>
        <span className="soft">root</span> <code>{link.root.slice(0, 10)}</code>
      </span>
      <span className="link-hash" title={`head ${link.head}`}>
        <span className="soft">head</span> <code>{link.head.slice(0, 10)}</code>
      </span>
    </li>
  );
}

function Links() {
  const { query } = usePlace();
  const live = useLive().value;
  const to = Number(query.get("to")) || undefined;
  const newest = to === undefined ? (live?.op ?? 0) : 0;
  const loaded = useLoad(() => api.chain({ limit: SHOWN, ...(to && { to }) }), [to, newest]);
  const [verdicts, setVerdicts] = useState<Record<number, Verdict>>({});
  const [checking, setChecking] = useState(false);
  const links = loaded.value?.links ?? [];
  const ops = loaded.value?.ops ?? 0;
  const go = (op: number | undefined): void => {
    setVerdicts({});
    navigate(address("/ledger/chain", { to: op?.toString() }), true);
  };
  // One after the other, as the chain goes; with a short pause, so that it can be watched.
  const check = async (): Promise<void> => {
    setChecking(true);
    setVerdicts({});
    let before: string | undefined;
    for (const link of links) {
      const wrong = await checkLink(link, link.op === 1 ? ZERO_HASH : before);
      before = link.head;
      setVerdicts((old) => ({ ...old, [link.op]: wrong || "good" }));
      if (links.length <= SHOWN) await new Promise((resolve) => setTimeout(resolve, 40));
    }
    setChecking(false);
  };
  const first = links[0];
  const last = links.at(-1);
  const wrong = Object.values(verdicts).filter((one) => one !== "good");
  return (
    <section className="card" aria-label="Chain of batches">
      <div className="card-head">
        <h2>Chain of batches</h2>
        {wrong.length > 0 && <span className="chip bad">✕ {wrong[0]}</span>}
        {wrong.length === 0 && links.length > 0 && links.every((link) => verdicts[link.op]) && (
          <span className="chip good" data-testid="links-good">
            ✓ {plural(links.length, "link")} recomputed here
          </span>
        )}
        <div className="aside">
          <button type="button" className="button small" disabled={!first || first.op <= 1} onClick={() => first && go(first.op - 1)}>
            Older
          </button>
          <button type="button" className="button small" disabled={to === undefined} onClick={() => last && go(last.op + SHOWN >= ops ? undefined : last.op + SHOWN)}>
            Newer
          </button>
          <button type="button" className="button small" disabled={to === 1 || ops <= SHOWN} onClick={() => go(Math.min(SHOWN, ops))}>
            First
          </button>
          <button type="button" className="button primary small" disabled={!canHash() || checking || links.length === 0} onClick={check}>
            <Icon name="check" size={14} /> Verify these links
          </button>
        </div>
      </div>
      {!canHash() && (
        <div className="card-body">
          <Note kind="warn">{WHY_NOT}</Note>
        </div>
      )}
      <ErrorNote error={loaded.error} retry={loaded.reload} />
      {!loaded.value && loaded.loading && <Waiting />}
      {loaded.value && links.length === 0 && (
        <Empty title="The chain has no link yet">
          <p>Every batch of accounts or transfers adds one: the hash of everything before it and of what it booked.</p>
        </Empty>
      )}
      {links.length > 0 && (
        <ol className="links" data-testid="links">
          {links.map((link) => (
            <LinkBox key={link.op} link={link} verdict={verdicts[link.op]} />
          ))}
        </ol>
      )}
    </section>
  );
}

interface Walk {
  done: number;
  total: number;
  seconds?: number;
  wrong?: string;
  stopped?: boolean;
}

// Every link from the first to the signed head, in this browser: the server sends the fields, the hashes are computed here.
function useWalk(): [Walk | undefined, () => void, () => void] {
  const [walk, setWalk] = useState<Walk>();
  const stopped = useRef(false);
  useEffect(
    () => () => {
      stopped.current = true;
    },
    [],
  );
  const run = async (): Promise<void> => {
    stopped.current = false;
    const begun = performance.now();
    const signed = await api.head();
    let done = 0;
    setWalk({ done, total: signed.op });
    const wrong = await checkUpTo(signed, { op: 0, head: ZERO_HASH }, linksOf, (op) => {
      done = op;
      setWalk({ done, total: signed.op, ...(stopped.current && { stopped: true }) });
      return !stopped.current;
    });
    if (wrong) setWalk({ done, total: signed.op, wrong });
    else if (!stopped.current) setWalk({ done, total: signed.op, seconds: (performance.now() - begun) / 1000 });
  };
  const start = (): void => {
    run().catch((reason) => setWalk((old) => ({ done: old?.done ?? 0, total: old?.total ?? 0, wrong: String(reason instanceof Error ? reason.message : reason) })));
  };
  return [walk, start, () => (stopped.current = true)];
}

function Verification() {
  const verify = useLive().value?.verify;
  const [error, setError] = useState<unknown>();
  const [walk, start, stop] = useWalk();
  const walking = walk !== undefined && !walk.wrong && !walk.stopped && walk.seconds === undefined;
  return (
    <section className="card" aria-label="Verification">
      <div className="card-head">
        <h2>Verify everything</h2>
      </div>
      <div className="card-body verify">
        <div className="verify-way">
          <h3>By the server: every record</h3>
          <p className="soft">Reads the whole journal again, books it into a second set of books, and compares every result, root, head and balance.</p>
          <ErrorNote error={error} />
          {verify?.running && (
            <>
              <ProgressBar done={verify.done} total={verify.total} label="Verification" />
              <span className="soft number">
                op {count(verify.done)} of {count(verify.total)}
              </span>
            </>
          )}
          {verify && !verify.running && verify.error && <Note kind="bad">{verify.error}</Note>}
          {verify && !verify.running && verify.begun && !verify.error && (
            <p className="verified" data-testid="server-verified">
              <span className="chip good">✓ verified</span> {plural(verify.ops, "op")}, {plural(verify.events, "event")}, {plural(verify.accounts, "account")} and{" "}
              {plural(verify.transfers, "transfer")} in {duration(verify.seconds)}, begun <Time at={verify.begun} />
            </p>
          )}
          <button
            type="button"
            className="button"
            disabled={!verify || verify.running}
            onClick={() => {
              setError(undefined);
              api.startVerify().catch(setError);
            }}
          >
            {verify?.running ? "Verifying …" : "Verify the journal"}
          </button>
        </div>
        <div className="verify-way">
          <h3>By this browser: every link</h3>
          <p className="soft">Computes every head from the first to the signed one with this browser's own SHA-256, and trusts no hash of the server.</p>
          {walk && !walk.wrong && walk.seconds === undefined && <ProgressBar done={walk.done} total={walk.total} label="Links" />}
          {walk && walk.seconds === undefined && !walk.wrong && (
            <span className="soft number">
              {walk.stopped && "stopped at "}op {count(walk.done)} of {count(walk.total)}
            </span>
          )}
          {walk?.wrong && <Note kind="bad">{walk.wrong}</Note>}
          {walk?.seconds !== undefined && (
            <p className="verified" data-testid="browser-verified">
              <span className="chip good">✓ verified</span> {plural(walk.total, "link")} in {duration(walk.seconds)}
            </p>
          )}
          <button type="button" className="button" disabled={!canHash()} onClick={walking ? stop : start}>
            {walking ? "Stop" : "Walk the chain here"}
          </button>
        </div>
      </div>
    </section>
  );
}

function Head() {
  const loaded = useLoad(api.head, []);
  const [signature, setSignature] = useState<boolean>();
  const head: SignedHead | undefined = loaded.value;
  useEffect(() => {
    setSignature(undefined);
    if (head && canHash()) checkSignature(head).then(setSignature, () => setSignature(false));
  }, [head]);
  return (
    <section className="card" aria-label="Signed head">
      <div className="card-head">
        <h2>Signed head</h2>
        {signature === true && (
          <span className="chip good" data-testid="signature-good">
            ✓ Ed25519 signature checked here
          </span>
        )}
        {signature === false && <span className="chip bad">✕ the signature does not fit</span>}
        <div className="aside">
          <button type="button" className="button small" onClick={loaded.reload}>
            Newest
          </button>
        </div>
      </div>
      <ErrorNote error={loaded.error} retry={loaded.reload} />
      {head && (
        <div className="card-body ledger-first">
          <p>
            Keep this somewhere else, and nobody can change what came before op <b className="number">{count(head.op)}</b> without being found
            out. Signed <Time at={timeOf(head.signed_at)} />.
          </p>
          <pre className="head-text" tabIndex={0} aria-label="The text that is signed">
            {head.text}
          </pre>
          <p className="soft">Checked by openssl alone, on any machine:</p>
          <Command text={opensslCommand(head)} label="openssl command" />
        </div>
      )}
    </section>
  );
}

function ProofView({ proof }: { proof: Proof }) {
  const ledgers = useLedgers();
  const [steps, setSteps] = useState<ProofStep[]>();
  const [wrong, setWrong] = useState<unknown>();
  const [anchor, setAnchor] = useState<{ links: number; op: number; far?: boolean }>();
  useEffect(() => {
    let current = true;
    setSteps(undefined);
    setWrong(undefined);
    setAnchor(undefined);
    const check = async (): Promise<void> => {
      const found = await checkProof(proof);
      if (!current) return;
      setSteps(found);
      const signed = await api.head();
      const links = signed.op - proof.link.op;
      if (links > FOLLOWED) return setAnchor({ links, op: signed.op, far: true });
      const broken = await checkUpTo(signed, proof.link, linksOf, () => current);
      if (!current) return;
      if (broken) throw new Error(broken);
      setAnchor({ links, op: signed.op });
    };
    if (canHash()) check().catch((reason) => current && setWrong(reason));
    return () => {
      current = false;
    };
  }, [proof]);
  const { transfer, link } = proof;
  return (
    <div className="ledger-first" data-testid="proof">
      <p>
        Transfer <span className="mono">{transfer.id}</span>: <AccountName id={transfer.debit_account_id} /> to <AccountName id={transfer.credit_account_id} />,{" "}
        <b className="number">{money(transfer.amount, assetOf(ledgers, transfer.ledger))}</b>, leaf {count(proof.index)} of {count(link.count)} in op{" "}
        <b className="number">{count(link.op)}</b>.
      </p>
      <ErrorNote error={wrong} />
      {!canHash() && <Note kind="warn">{WHY_NOT}</Note>}
      {steps && (
        <>
          <p>
            <span className="chip good" data-testid="proof-good">
              ✓ proved in this browser
            </span>{" "}
            The record's hash, {plural(proof.path.length, "neighbour")} and the batch's link give the head after op {count(link.op)}
            {!anchor && "; following the chain from there …"}
            {anchor && !anchor.far && `, and ${plural(anchor.links, "link")} lead from there to the signed head of op ${count(anchor.op)}.`}
            {anchor?.far && `. The signed head is ${count(anchor.links)} links away: walk the chain below to reach it.`}
          </p>
          <ol className="proof-steps">
            {steps.map((step, index) => (
              <li key={index}>
                <span className="soft">{step.name}</span>
                <code>{step.hash}</code>
              </li>
            ))}
          </ol>
        </>
      )}
      <details>
        <summary>The record, 128 bytes as stored</summary>
        <pre className="head-text" tabIndex={0} aria-label="The record">
          {proof.record.match(/.{64}/g)?.join("\n")}
        </pre>
      </details>
    </div>
  );
}

function Prove({ transfer }: { transfer: string }) {
  const [typed, setTyped] = useState(transfer);
  useEffect(() => setTyped(transfer), [transfer]);
  const loaded = useLoad<Proof | undefined>(() => (transfer ? api.proof(transfer) : Promise.resolve(undefined)), [transfer]);
  // While the next one is on its way, the last one is still here.
  const proof = loaded.value?.transfer.id === transfer ? loaded.value : undefined;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    navigate(address("/ledger/chain", { transfer: typed.trim() }), true);
  };
  return (
    <section className="card" aria-label="Prove a transfer">
      <div className="card-head">
        <h2>Prove a transfer</h2>
      </div>
      <div className="card-body ledger-first">
        <form onSubmit={submit} className="prove-form">
          <label className="field">
            Id of the transfer
            <input className="input mono" name="transfer" required inputMode="numeric" pattern="\s*\d+\s*" autoComplete="off" value={typed} onChange={(event) => setTyped(event.target.value)} />
          </label>
          <button type="submit" className="button primary">
            Prove
          </button>
        </form>
        {transfer && <ErrorNote error={loaded.error} />}
        {transfer && loaded.loading && !proof && <Waiting />}
        {proof && <ProofView proof={proof} />}
        {!transfer && <p className="soft">Every entry of an account has a link "prove". It fetches the record and its path in the Merkle tree, and this browser computes the rest.</p>}
      </div>
    </section>
  );
}

export function ChainPage({ transfer }: { transfer: string }) {
  const prove = <Prove transfer={transfer} />;
  return (
    <>
      {transfer && prove}
      <Links />
      <Verification />
      <Head />
      {!transfer && prove}
    </>
  );
}

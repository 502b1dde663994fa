// One account as a T: debits on the left, credits on the right, the balance running beside them; what is only reserved is hatched.
import { useEffect, useState } from "react";
import { Link, address } from "../../app/router";
import { Empty } from "../../parts/Empty";
import { count, plural } from "../../parts/format";
import { ErrorNote, Note, Waiting } from "../../parts/Note";
import { Time } from "../../parts/Time";
import { AccountName } from "./AccountName";
import {
  ACCOUNT_FLAGS,
  assetOf,
  balanceOf,
  codeText,
  flagNames,
  money,
  PENDING,
  POST_PENDING,
  sideText,
  timeOf,
  TRANSFER_FLAGS,
  VOID_PENDING,
  type Asset,
} from "./amounts";
import * as api from "./api";
import type { Account, Transfer } from "./api";
import { BookButtons, FinishTransfer } from "./Forms";
import { TimeSlider } from "./TimeSlider";
import { ledgerTitle, useLedgers, useLive } from "./useLedgers";

const PAGE = 40;

interface Line {
  transfer: Transfer;
  debit: boolean;
  // Credits less debits that are posted, after this transfer.
  balance: bigint;
  // At the moment that is shown.
  state: Transfer["state"];
}

// What the transfer changed of the posted balance: nothing while it is only reserved, or when it gave back.
const moved = (transfer: Transfer): bigint => (transfer.flags & (PENDING | VOID_PENDING) ? 0n : BigInt(transfer.amount));

// The server says what has become of a pending transfer by now. At a past moment it is what had become of it then: what ended it is
// among the newer lines, or it had expired.
function stateThen(transfer: Transfer, ends: Map<string, Transfer>, then: string): Transfer["state"] {
  const end = ends.get(transfer.id);
  if (end) return end.flags & POST_PENDING ? "posted" : "voided";
  const due = BigInt(transfer.timestamp) + BigInt(transfer.timeout) * 1_000_000_000n;
  return transfer.state === "expired" && due <= BigInt(then) ? "expired" : "pending";
}

// `then`: the timestamp of the past moment that is shown; undefined: now.
function linesOf(account: Account, transfers: Transfer[], then: string | undefined): Line[] {
  let balance = balanceOf(account).posted;
  const ends = new Map(transfers.filter((one) => one.flags & (POST_PENDING | VOID_PENDING)).map((one) => [one.pending_id, one]));
  return transfers.map((transfer) => {
    const debit = transfer.debit_account_id === account.id;
    const state = then !== undefined && transfer.flags & PENDING ? stateThen(transfer, ends, then) : transfer.state;
    const line = { transfer, debit, balance, state };
    balance += debit ? moved(transfer) : -moved(transfer);
    return line;
  });
}

function whatOf({ transfer, state }: Line): string {
  if (transfer.flags & PENDING) return state === "pending" ? "pending" : `pending, ${state}`;
  if (transfer.flags & POST_PENDING) return "posts a pending one";
  if (transfer.flags & VOID_PENDING) return "voids a pending one";
  return "";
}

interface LineProps {
  line: Line;
  known: boolean;
  names: Record<string, string>;
  asset: Asset;
  finish: (transfer: Transfer, how: "post" | "void") => void;
}

function LineRow({ line, known, names, asset, finish }: LineProps) {
  const { transfer, debit, balance, state } = line;
  const other = debit ? transfer.credit_account_id : transfer.debit_account_id;
  const what = whatOf(line);
  const kind = transfer.flags & PENDING ? (state === "pending" ? "pending" : "over") : transfer.flags & VOID_PENDING ? "over" : "";
  const entry = (
    <div className={`entry ${kind}`} data-state={state}>
      <span className="entry-other">
        <AccountName id={other} name={names[other]} />
        <span className="soft entry-more">
          <Time at={timeOf(transfer.timestamp)} />
          {what && <span className="entry-what">{what}</span>}
          <Link to={address("/ledger/chain", { transfer: transfer.id })} title={`Prove transfer ${transfer.id}`}>
            prove
          </Link>
        </span>
      </span>
      <b className="number entry-amount">{money(transfer.amount, asset)}</b>
      {transfer.state === "pending" && (
        <span className="entry-actions">
          <button type="button" className="button small" onClick={() => finish(transfer, "post")}>
            Post …
          </button>
          <button type="button" className="button small" onClick={() => finish(transfer, "void")}>
            Void …
          </button>
        </span>
      )}
    </div>
  );
  return (
    <tr data-testid="t-line" data-side={debit ? "debit" : "credit"} title={flagNames(transfer.flags, TRANSFER_FLAGS).join(", ") || undefined}>
      <td className="t-debit">{debit && entry}</td>
      <td className="t-credit">{!debit && entry}</td>
      <td className="t-balance number">{known ? sideText(balance, asset) : "?"}</td>
    </tr>
  );
}

function Totals({ account, asset }: { account: Account; asset: Asset }) {
  const { debits, credits, debitsPending, creditsPending, posted } = balanceOf(account);
  const sum = (value: bigint, pending: bigint) => (
    <>
      <b className="number">{money(value, asset)}</b>
      {pending > 0n && <span className="entry pending t-pending number">+ pending {money(pending, asset)}</span>}
    </>
  );
  return (
    <tr className="t-totals">
      <td className="t-debit">{sum(debits, debitsPending)}</td>
      <td className="t-credit">{sum(credits, creditsPending)}</td>
      <td className="t-balance">
        <b className="number" data-testid="t-balance">
          {sideText(posted, asset)}
        </b>
      </td>
    </tr>
  );
}

interface State {
  view?: api.AccountView;
  error?: unknown;
}

export function AccountPage({ id }: { id: string }) {
  const ledgers = useLedgers();
  const live = useLive();
  const [op, setOp] = useState<number>();
  const [timestamp, setTimestamp] = useState<string>();
  const [state, setState] = useState<State>({});
  const [reloads, setReloads] = useState(0);
  const [loadingMore, setLoadingMore] = useState(false);
  const [finishing, setFinishing] = useState<{ transfer: Transfer; how: "post" | "void" }>();
  const last = live.value?.op ?? 0;
  useEffect(() => {
    let current = true;
    api.account(id, { limit: PAGE, at_op: op }).then(
      (view) => current && setState({ view }),
      (error) => current && setState((old) => ({ ...(old.view && { view: old.view }), error })),
    );
    return () => {
      current = false;
    };
  }, [id, op, reloads]);
  useEffect(() => {
    setTimestamp(undefined);
    if (op === undefined || op === 0) return;
    let current = true;
    api.chain({ to: op, limit: 1 }).then((chain) => current && setTimestamp(chain.links[0]?.timestamp), () => undefined);
    return () => {
      current = false;
    };
  }, [op]);
  // Follows the books while it shows the present and nobody has read further back.
  const follows = op === undefined && (state.view?.transfers.length ?? 0) <= PAGE;
  useEffect(() => {
    if (!follows || !state.view || state.view.op >= last) return;
    const timer = setTimeout(() => setReloads((value) => value + 1), 400);
    return () => clearTimeout(timer);
  }, [last, follows, state.view]);
  const { view } = state;
  const older = async (): Promise<void> => {
    const oldest = view?.transfers.at(-1);
    if (!view || !oldest) return;
    setLoadingMore(true);
    try {
      const next = await api.account(id, { limit: PAGE, at_op: op, before: oldest.timestamp });
      setState({ view: { ...view, transfers: [...view.transfers, ...next.transfers], names: { ...view.names, ...next.names }, more: next.more } });
    } catch (error) {
      setState({ view, error });
    } finally {
      setLoadingMore(false);
    }
  };
  if (!view) {
    return (
      <section className="card" aria-label="Account">
        {state.error ? <ErrorNote error={state.error} retry={() => setReloads(reloads + 1)} /> : <Waiting />}
        {state.error ? (
          <p className="card-body">
            <Link to="/ledger/accounts">All accounts</Link>
          </p>
        ) : null}
      </section>
    );
  }
  const { account } = view;
  const asset = assetOf(ledgers, account.ledger);
  const lines = linesOf(account, view.transfers, op === undefined ? undefined : (timestamp ?? "0"));
  const flags = flagNames(account.flags, ACCOUNT_FLAGS);
  const reload = (): void => setReloads(reloads + 1);
  return (
    <section className="card" aria-label="Account">
      <div className="card-head">
        <nav className="breadcrumbs" aria-label="Where">
          <Link to="/ledger/accounts">Accounts</Link> ›{" "}
          <Link to={address("/ledger/accounts", { ledger: String(account.ledger) })}>
            {ledgerTitle({ ledger: account.ledger, asset: asset.asset })}
          </Link>{" "}
          › <h2>{account.name || <span className="mono">{account.id}</span>}</h2>
        </nav>
        <div className="aside">
          <BookButtons debit={account.id} done={reload} />
        </div>
      </div>
      <div className="card-body account-facts soft">
        <span>
          id <span className="mono">{account.id}</span>
        </span>
        <span>code {codeText(account.code)}</span>
        {flags.map((flag) => (
          <span className="chip" key={flag}>
            {flag}
          </span>
        ))}
        <span>
          made <Time at={timeOf(account.timestamp)} />
        </span>
        {account.user_data_128 !== "0" && (
          <span>
            user data <span className="mono">{account.user_data_128}</span>
          </span>
        )}
      </div>
      <div className="card-body slider-place">
        <TimeSlider last={last} op={op} set={setOp} timestamp={timestamp} />
      </div>
      <ErrorNote error={state.error} />
      {!account.known && (
        <div className="card-body">
          <Note kind="warn">
            This account has too long a history to be summed up while you wait. Ask the command line: <code>polis ledger balance {account.id} --at TIME</code>
          </Note>
        </div>
      )}
      <table className="t-account" data-op={view.op}>
        <caption className="hidden-text">Entries of the account, newest first, at op {count(view.op)}</caption>
        <thead>
          <tr>
            <th scope="col">Debits</th>
            <th scope="col">Credits</th>
            <th scope="col" className="t-balance">
              Balance
            </th>
          </tr>
        </thead>
        <tbody>
          {account.known && <Totals account={account} asset={asset} />}
          {lines.map((line) => (
            <LineRow
              key={line.transfer.id}
              line={line}
              known={account.known}
              names={view.names}
              asset={asset}
              finish={(transfer, how) => setFinishing({ transfer, how })}
            />
          ))}
        </tbody>
      </table>
      {lines.length === 0 && <Empty title="No transfer has touched this account" />}
      {view.more && (
        <div className="pager">
          <span className="soft">{plural(lines.length, "entry", "entries")} shown, newest first</span>
          <button type="button" className="button small" onClick={older} disabled={loadingMore}>
            Older entries
          </button>
        </div>
      )}
      {finishing && (
        <FinishTransfer transfer={finishing.transfer} how={finishing.how} asset={asset} close={() => setFinishing(undefined)} done={reload} />
      )}
    </section>
  );
}

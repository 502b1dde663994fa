// Every account with its balance as a bar on its side, now or at any past op.
import { useEffect, useState } from "react";
import { address, navigate, usePlace } from "../../app/router";
import { Empty } from "../../parts/Empty";
import { count } from "../../parts/format";
import { ErrorNote, Waiting } from "../../parts/Note";
import { AccountName } from "./AccountName";
import { assetOf, balanceOf, codeText, money, share, sideText, type Asset } from "./amounts";
import * as api from "./api";
import type { Account, AccountsPage, LedgerTotals } from "./api";
import { BookButtons } from "./Forms";
import { TimeSlider } from "./TimeSlider";
import { ledgerTitle, listOf, useLedgers, useLive } from "./useLedgers";

const PAGE = 40;

interface Asked {
  page?: AccountsPage;
  error?: unknown;
  loading: boolean;
}

// The page of accounts; asked again when the question changes, and at most twice a second while the books move. What came last stays
// until the next is there, so that the bars move instead of blinking.
function useAccounts(query: api.AccountsQuery, version: number): Asked {
  const [state, setState] = useState<Asked>({ loading: true });
  const key = JSON.stringify(query);
  useEffect(() => {
    let current = true;
    setState((old) => ({ ...old, loading: true }));
    api.accounts(query).then(
      (page) => current && setState({ page, loading: false }),
      (error) => current && setState((old) => ({ ...(old.page && { page: old.page }), error, loading: false })),
    );
    return () => {
      current = false;
    };
  }, [key, version]);
  return state;
}

// A number that follows `value` at most every `pauseMs`.
function useSlow(value: number, pauseMs: number): number {
  const [slow, setSlow] = useState(value);
  useEffect(() => {
    if (slow === value) return;
    const timer = setTimeout(() => setSlow(value), slow === 0 ? 0 : pauseMs);
    return () => clearTimeout(timer);
  }, [value, slow, pauseMs]);
  return slow;
}

// Debits to the left, credits to the right of the middle; what is only reserved is hatched.
function BalanceBar({ account, most }: { account: Account; most: bigint }) {
  const { posted, debitsPending, creditsPending } = balanceOf(account);
  const left = share(posted < 0n ? -posted : 0n, most) * 50;
  const right = share(posted > 0n ? posted : 0n, most) * 50;
  const leftPending = Math.min(50 - left, share(debitsPending, most) * 50);
  const rightPending = Math.min(50 - right, share(creditsPending, most) * 50);
  return (
    <div className="balance-bar" aria-hidden="true">
      <i className="debit" style={{ right: "50%", width: `${left}%` }} />
      <i className="debit pending" style={{ right: `${50 + left}%`, width: `${leftPending}%` }} />
      <i className="credit" style={{ left: "50%", width: `${right}%` }} />
      <i className="credit pending" style={{ left: `${50 + right}%`, width: `${rightPending}%` }} />
    </div>
  );
}

function Row({ account, most, asset }: { account: Account; most: bigint; asset: Asset }) {
  const balance = balanceOf(account);
  const pending = balance.debitsPending + balance.creditsPending;
  return (
    <li className="account-row" data-testid="account" data-id={account.id}>
      <span className="account-name">
        <AccountName id={account.id} name={account.name} />
        <span className="soft">
          {asset.asset || `ledger ${account.ledger}`}, {codeText(account.code)}
          {account.flags & 32 ? ", closed" : ""}
        </span>
      </span>
      {account.known ? <BalanceBar account={account} most={most} /> : <div className="balance-bar" aria-hidden="true" />}
      <span className="account-balance number">
        <b data-testid="balance">{account.known ? sideText(balance.posted, asset) : "?"}</b>
        {!account.known && <span className="soft">too long a history to sum up here</span>}
        {account.known && pending > 0n && <span className="soft">pending {money(pending, asset)}</span>}
      </span>
    </li>
  );
}

// Bars of one ledger share a scale; different assets cannot be compared.
function scales(accounts: Account[]): Map<number, bigint> {
  const most = new Map<number, bigint>();
  for (const account of accounts.filter((one) => one.known)) {
    const { posted, debitsPending, creditsPending } = balanceOf(account);
    const size = (posted < 0n ? -posted : posted) + debitsPending + creditsPending;
    if (size > (most.get(account.ledger) ?? 0n)) most.set(account.ledger, size);
  }
  return most;
}

function LedgerChoice({ ledgers, ledger, choose }: { ledgers: LedgerTotals[]; ledger: number; choose: (ledger: number) => void }) {
  return (
    <label>
      <span className="hidden-text">Ledger</span>
      <select className="input" value={ledger} onChange={(event) => choose(Number(event.target.value))}>
        <option value={0}>All ledgers</option>
        {ledgers.map((one) => (
          <option key={one.ledger} value={one.ledger}>
            {ledgerTitle(one)}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Accounts() {
  const { query } = usePlace();
  const ledgers = useLedgers();
  const live = useLive();
  const ledger = Number(query.get("ledger") ?? 0) || 0;
  const op = query.get("op") === null ? undefined : Number(query.get("op"));
  const text = query.get("q") ?? "";
  const [typed, setTyped] = useState(text);
  // Where the pages before this one began.
  const [before, setBefore] = useState<string[]>([]);
  const [booked, setBooked] = useState(0);
  const last = useSlow(live.value?.op ?? 0, 500);
  const go = (change: Record<string, string | undefined>): void =>
    navigate(address("/ledger/accounts", { ledger: ledger ? String(ledger) : undefined, op: op?.toString(), q: text || undefined, ...change }), true);
  useEffect(() => setBefore([]), [ledger, text]);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => go({ q: typed || undefined }), 150);
    return () => clearTimeout(timer);
  }, [typed]);
  const after = before.at(-1) ?? "0";
  const asked = useAccounts(
    { q: text, limit: PAGE, after, ...(ledger && { ledger }), ...(op !== undefined && { at_op: op }) },
    op === undefined ? last + booked : booked,
  );
  const accounts = asked.page?.accounts ?? [];
  const most = scales(accounts);
  const empty = asked.page && accounts.length === 0 && before.length === 0;
  return (
    <section className="card" aria-label="Accounts">
      <div className="card-head">
        <h2>Accounts</h2>
        <span className="soft">{count(live.value?.accounts ?? 0)} in all</span>
        <div className="aside">
          <input
            className="input ledger-search"
            type="search"
            aria-label="Search accounts by id or name"
            placeholder="id or name"
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
          />
          <LedgerChoice ledgers={listOf(ledgers)} ledger={ledger} choose={(value) => go({ ledger: value ? String(value) : undefined })} />
          <BookButtons done={() => setBooked(booked + 1)} />
        </div>
      </div>
      {last > 0 && (
        <div className="card-body slider-place">
          <TimeSlider last={last} op={op} set={(value) => go({ op: value?.toString() })} timestamp={asked.page?.timestamp} />
        </div>
      )}
      <ErrorNote error={asked.error} />
      {!asked.page && asked.loading && <Waiting />}
      {empty && (
        <Empty title={text ? "No account of this id or name" : op !== undefined ? "No account existed then" : "No account yet"}>
          {!text && op === undefined && <p>Make one above, or see the first steps on the overview.</p>}
        </Empty>
      )}
      {accounts.length > 0 && (
        <>
          <div className="account-heads soft" aria-hidden="true">
            <span />
            <span className="balance-heads">
              <span>Debits</span>
              <span>Credits</span>
            </span>
            <span />
          </div>
          <ul className={`accounts${asked.loading ? " loading" : ""}`} data-op={asked.page?.op}>
            {accounts.map((one) => (
              <Row key={one.id} account={one} most={most.get(one.ledger) ?? 0n} asset={assetOf(ledgers, one.ledger)} />
            ))}
          </ul>
          <div className="pager">
            <span className="legend soft">
              <i className="swatch debit" /> debit balance <i className="swatch credit" /> credit balance <i className="swatch pending" /> pending
            </span>
            <button type="button" className="button small" disabled={before.length === 0} onClick={() => setBefore(before.slice(0, -1))}>
              Earlier accounts
            </button>
            <button type="button" className="button small" disabled={!asked.page?.next} onClick={() => setBefore([...before, asked.page?.next ?? ""])}>
              Later accounts
            </button>
          </div>
        </>
      )}
    </section>
  );
}

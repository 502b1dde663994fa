// The trial balance: debits less credits over all accounts of a ledger, posted and pending. Zero, or the books are broken.
import { Link, address } from "../../app/router";
import { count, plural } from "../../parts/format";
import { ErrorNote, Waiting } from "../../parts/Note";
import { Time } from "../../parts/Time";
import { amountText, money, share, timeOf } from "./amounts";
import type { LedgerTotals } from "./api";
import { ledgerTitle, listOf, useTrial } from "./useLedgers";

function Sides({ what, debits, credits, totals }: { what: string; debits: string; credits: string; totals: LedgerTotals }) {
  const left = BigInt(debits);
  const right = BigInt(credits);
  const most = left > right ? left : right;
  const pending = what === "pending" ? " pending" : "";
  return (
    <div className="trial-sides">
      <span className="trial-what">{what}</span>
      <span className="number trial-amount" title="debits">
        {money(left, totals)}
      </span>
      <div className="trial-bar left" aria-hidden="true">
        <i className={pending} style={{ width: `${share(left, most) * 100}%` }} />
      </div>
      <div className="trial-bar right" aria-hidden="true">
        <i className={pending} style={{ width: `${share(right, most) * 100}%` }} />
      </div>
      <span className="number trial-amount right" title="credits">
        {money(right, totals)}
      </span>
    </div>
  );
}

function OneLedger({ totals }: { totals: LedgerTotals }) {
  const posted = BigInt(totals.debits_posted) - BigInt(totals.credits_posted);
  const pending = BigInt(totals.debits_pending) - BigInt(totals.credits_pending);
  const balanced = posted === 0n && pending === 0n;
  return (
    <article className="trial-ledger" data-testid="trial" data-balanced={balanced} aria-label={ledgerTitle(totals)}>
      <div className="trial-name">
        <Link to={address("/ledger/accounts", { ledger: String(totals.ledger) })}>{ledgerTitle(totals)}</Link>
        <span className="soft">
          {plural(totals.accounts, "account")}, {plural(totals.transfers, "transfer")}
        </span>
      </div>
      <div className={`trial-zero ${balanced ? "good" : "bad"}`}>
        <b className="number">{amountText(posted === 0n ? pending : posted, totals.scale)}</b>
        <span>{balanced ? "✓ balanced" : posted === 0n ? "✕ pending sums differ" : "✕ debits and credits differ"}</span>
      </div>
      <div className="trial-body">
        <div className="trial-heads soft" aria-hidden="true">
          <span>Debits</span>
          <span>Credits</span>
        </div>
        <Sides what="posted" debits={totals.debits_posted} credits={totals.credits_posted} totals={totals} />
        <Sides what="pending" debits={totals.debits_pending} credits={totals.credits_pending} totals={totals} />
      </div>
    </article>
  );
}

export function TrialBalance() {
  const topic = useTrial();
  const ledgers = listOf(topic.value?.ledgers);
  const broken = ledgers.filter(
    (one) => one.debits_posted !== one.credits_posted || one.debits_pending !== one.credits_pending,
  );
  const sample = topic.value;
  return (
    <section className="card" aria-label="Trial balance">
      <div className="card-head">
        <h2>Trial balance</h2>
        {sample && ledgers.length > 0 && (
          <span className={`chip ${broken.length === 0 ? "good" : "bad"}`}>
            {broken.length === 0 ? "✓ every ledger reads zero" : `✕ ${plural(broken.length, "ledger")} out of balance`}
          </span>
        )}
        <div className="aside">
          {sample && sample.op > 0 && (
            <span>
              summed over all accounts at op <b className="number">{count(sample.op)}</b>
              {sample.timestamp !== "0" && (
                <>
                  , <Time at={timeOf(sample.timestamp)} />
                </>
              )}
            </span>
          )}
        </div>
      </div>
      <ErrorNote error={topic.error} />
      {!sample && !topic.error && <Waiting />}
      {ledgers.length > 0 && (
        <div className="trial">
          {ledgers.map((one) => (
            <OneLedger key={one.ledger} totals={one} />
          ))}
        </div>
      )}
    </section>
  );
}

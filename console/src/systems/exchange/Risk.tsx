// The risk manager's page: an account's limits, what it has, and the kill switch.
import { useState } from "react";
import { useLoad } from "../../app/useLoad";
import { Empty } from "../../parts/Empty";
import { FormDialog } from "../../parts/FormDialog";
import { ErrorNote, Waiting } from "../../parts/Note";
import { FigureList } from "../../parts/Figures";
import { count } from "../../parts/format";
import { Table } from "../../parts/Table";
import * as api from "./api";
import type { Limits } from "./api";

const orNone = (value: string | number): string => (Number(value) === 0 ? "no limit" : count(Number(value)));

function LimitList({ limits }: { limits: Limits }) {
  return (
    <FigureList
      figures={[
        { name: "One order", value: orNone(limits.order_quantity_max), hint: "lots" },
        { name: "Its value", value: orNone(limits.order_notional_max), hint: "smallest units of the quote" },
        { name: "Open orders", value: orNone(limits.open_orders_max) },
        { name: "Requests a second", value: orNone(limits.rate_per_second), more: limits.rate_burst ? `${count(limits.rate_burst)} at once` : "" },
        { name: "From the last price", value: limits.price_band === "0" ? "no limit" : limits.price_band },
        { name: "Position", value: orNone(limits.position_max), hint: "lots of each instrument, open orders included" },
        { name: "Short", value: limits.short_sale_allowed ? count(Number(limits.short_max)) : "not allowed", hint: "smallest units of the base asset" },
      ]}
    />
  );
}

function KillSwitch({ name, limits, done }: { name: string; limits: Limits; done: () => void }) {
  const [asking, setAsking] = useState(false);
  return (
    <div className="risk-kill">
      <span className={`chip ${limits.killed ? "bad" : "good"}`}>{limits.killed ? "stopped" : "may trade"}</span>
      <button type="button" className={`button${limits.killed ? "" : " danger"}`} onClick={() => setAsking(true)}>
        {limits.killed ? "Let it trade again …" : "Kill switch …"}
      </button>
      {asking && (
        <FormDialog
          title={limits.killed ? `Let ${name} trade again` : `Stop ${name}`}
          verb={limits.killed ? "Let it trade" : "Stop it now"}
          close={() => setAsking(false)}
          act={async () => {
            await api.kill(name, !limits.killed);
            setAsking(false);
            done();
          }}
        >
          <p>
            {limits.killed
              ? "New orders of this account are taken again. What was cancelled does not come back."
              : "Every open order of this account is cancelled at once, and nothing new is taken from it until somebody lifts this."}
          </p>
        </FormDialog>
      )}
    </div>
  );
}

function AccountCard({ name }: { name: string }) {
  const limits = useLoad(() => api.limits(name), [name]);
  const account = useLoad(() => api.account(name), [name]);
  return (
    <section className="card" aria-label={`Account ${name}`}>
      <div className="card-head">
        <h2>{name}</h2>
        {limits.value && <KillSwitch name={name} limits={limits.value} done={() => (limits.reload(), account.reload())} />}
      </div>
      <ErrorNote error={limits.error ?? account.error} />
      <div className="card-body">{limits.value ? <LimitList limits={limits.value} /> : <Waiting />}</div>
      {account.value && account.value.balances.length > 0 && (
        <Table
          caption={`Balances of ${name}`}
          columns={[
            { title: "Asset", className: "grow", cell: (row) => row.asset },
            { title: "Total", className: "right", cell: (row) => row.total },
            { title: "Reserved", className: "right", cell: (row) => row.reserved },
            { title: "Free", className: "right", cell: (row) => row.free },
          ]}
          rows={account.value.balances}
          id={(row) => row.asset}
        />
      )}
      {account.value && account.value.positions.length > 0 && (
        <Table
          caption={`Positions of ${name}`}
          columns={[
            { title: "Instrument", className: "grow", cell: (row) => row.symbol },
            { title: "Position", className: "right", cell: (row) => row.quantity },
          ]}
          rows={account.value.positions}
          id={(row) => row.symbol}
        />
      )}
    </section>
  );
}

export function Risk() {
  const loaded = useLoad(api.accounts, []);
  const [chosen, setChosen] = useState<string>();
  const names = loaded.value?.accounts ?? [];
  const name = chosen ?? names[1] ?? names[0];
  return (
    <>
      <ErrorNote error={loaded.error} />
      {names.length > 0 && name && (
        <>
          <label className="risk-choice">
            Account{" "}
            <select className="input" value={name} onChange={(event) => setChosen(event.target.value)}>
              {names.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
          <AccountCard key={name} name={name} />
        </>
      )}
      {loaded.value && names.length === 0 && <Empty title="There is no account yet" command="polis exchange account add A7" />}
    </>
  );
}

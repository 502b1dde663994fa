// Who paid whom: the newest transfers of a ledger added up, as bands from the debited on the left to the credited on the right.
import { useEffect, useRef, useState } from "react";
import { address, Link, navigate, usePlace } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { Empty } from "../../parts/Empty";
import { count, percent, plural } from "../../parts/format";
import { ErrorNote, Waiting } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { assetOf, codeText, money, share, shortId, timeOf, type Asset } from "./amounts";
import * as api from "./api";
import type { Flow, Flows } from "./api";
import { layout, type End } from "./sankey";
import { TimeSlider } from "./TimeSlider";
import { ledgerTitle, listOf, useLedgers, useLive } from "./useLedgers";

const WINDOWS = [100, 1_000, 10_000, 100_000];
const HEIGHT = 380;
const GAP = 10;
const ROWS = 25;

function endName(id: string, flows: Flows): string {
  if (id === "") return "all others";
  if (flows.by === "code") return `code ${codeText(Number(id))}`;
  return flows.names[id] || shortId(id);
}

// The width of an element, followed.
function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [place, width];
}

function Sankey({ flows, asset }: { flows: Flows; asset: Asset }) {
  const [place, width] = useWidth();
  const [lit, setLit] = useState<Flow>();
  const { left, right, bands } = layout(flows.flows, HEIGHT, GAP);
  const label = width < 560 ? 96 : 170;
  const bar = 10;
  const x0 = label + bar;
  const x1 = Math.max(x0 + 40, width - label - bar);
  const middle = (x0 + x1) / 2;
  const total = BigInt(flows.amount);
  const most = Math.floor(label / 7);
  const cut = (text: string): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const end = (one: End, side: "left" | "right", index: number) => {
    const name = endName(one.id, flows);
    const middleY = one.y + one.height / 2;
    return (
      <g key={`${side}${one.id}`}>
        <title>{`${name}: ${side === "left" ? "debited" : "credited"} ${money(one.amount, asset)}`}</title>
        <rect
          x={side === "left" ? x0 - bar : x1}
          y={one.y}
          width={bar}
          height={one.height}
          rx={2}
          className={side === "left" ? `flow-end s${index % 4}` : "flow-end right"}
        />
        <text x={side === "left" ? x0 - bar - 8 : x1 + bar + 8} y={middleY} textAnchor={side === "left" ? "end" : "start"} className="flow-name">
          <tspan dy={one.height > 26 ? "-0.2em" : "0.35em"}>{cut(name)}</tspan>
          {one.height > 26 && (
            <tspan x={side === "left" ? x0 - bar - 8 : x1 + bar + 8} dy="1.25em" className="flow-amount">
              {cut(money(one.amount, asset))}
            </tspan>
          )}
        </text>
      </g>
    );
  };
  return (
    <div ref={place} className="sankey">
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={`Flows of ${plural(flows.transfers, "transfer")}; the table below says the same`}>
          {bands.map((band) => {
            const { flow, yLeft, yRight } = band;
            const height = Math.max(1, band.height);
            return (
              <path
                key={`${flow.debit}>${flow.credit}`}
                d={
                  `M${x0},${yLeft} C${middle},${yLeft} ${middle},${yRight} ${x1},${yRight} v${height} ` +
                  `C${middle},${yRight + height} ${middle},${yLeft + height} ${x0},${yLeft + height} z`
                }
                className={`flow-band s${band.left % 4}${lit && lit !== flow ? " dim" : ""}`}
                onMouseEnter={() => setLit(flow)}
                onMouseLeave={() => setLit(undefined)}
              >
                <title>{`${endName(flow.debit, flows)} to ${endName(flow.credit, flows)}: ${money(band.amount, asset)} (${percent(share(band.amount, total))}) in ${plural(flow.transfers, "transfer")}`}</title>
              </path>
            );
          })}
          {left.map((one, index) => end(one, "left", index))}
          {right.map((one, index) => end(one, "right", index))}
        </svg>
      )}
    </div>
  );
}

export function FlowsPage() {
  const { query } = usePlace();
  const ledgers = useLedgers();
  const live = useLive().value;
  const known = listOf(ledgers);
  const ledger = Number(query.get("ledger")) || known.find((one) => one.transfers > 0 && !one.lab)?.ledger || known[0]?.ledger || 0;
  const by = query.get("by") === "code" ? "code" : "account";
  const op = query.get("op") === null ? undefined : Number(query.get("op"));
  const transfers = WINDOWS.includes(Number(query.get("transfers"))) ? Number(query.get("transfers")) : 1_000;
  const go = (change: Record<string, string | undefined>): void =>
    navigate(address("/ledger/flows", { ledger: String(ledger), by, transfers: String(transfers), op: op?.toString(), ...change }), true);
  const loaded = useLoad<Flows | undefined>(
    () => (ledger ? api.flows({ ledger, by, transfers, to_op: op }) : Promise.resolve(undefined)),
    [ledger, by, transfers, op],
  );
  const asset = assetOf(ledgers, ledger);
  const flows = loaded.value?.ledger === ledger && loaded.value.by === by ? loaded.value : undefined;
  const stale = flows && live && op === undefined && live.op > flows.op;
  const columns: Column<Flow>[] = [
    { title: "Debited", cell: (flow) => (flows ? <EndLink id={flow.debit} flows={flows} /> : null) },
    { title: "Credited", className: "grow", cell: (flow) => (flows ? <EndLink id={flow.credit} flows={flows} /> : null) },
    { title: "Amount", className: "right", cell: (flow) => money(flow.amount, asset) },
    { title: "Share", className: "right wide", cell: (flow) => (flows ? percent(share(BigInt(flow.amount), BigInt(flows.amount))) : null) },
    { title: "Transfers", className: "right wide", cell: (flow) => count(flow.transfers) },
  ];
  return (
    <section className="card" aria-label="Flows">
      <div className="card-head">
        <h2>Flows</h2>
        <div className="aside">
          <label>
            <span className="hidden-text">Ledger</span>
            <select className="input" value={ledger} onChange={(event) => go({ ledger: event.target.value })}>
              {known.map((one) => (
                <option key={one.ledger} value={one.ledger}>
                  {ledgerTitle(one)}
                </option>
              ))}
            </select>
          </label>
          <label>
            <span className="hidden-text">Ends</span>
            <select className="input" value={by} onChange={(event) => go({ by: event.target.value })}>
              <option value="account">between accounts</option>
              <option value="code">between kinds of accounts</option>
            </select>
          </label>
          <label>
            <span className="hidden-text">Window</span>
            <select className="input" value={transfers} onChange={(event) => go({ transfers: event.target.value })}>
              {WINDOWS.map((one) => (
                <option key={one} value={one}>
                  newest {count(one)}
                </option>
              ))}
            </select>
          </label>
          <button type="button" className={`button small${stale ? " primary" : ""}`} onClick={loaded.reload} disabled={loaded.loading}>
            Add up again
          </button>
        </div>
      </div>
      {live && live.op > 0 && (
        <div className="card-body slider-place">
          <TimeSlider last={live.op} op={op} set={(value) => go({ op: value?.toString() })} timestamp={flows?.op === op ? flows?.to_timestamp : undefined} />
        </div>
      )}
      <ErrorNote error={loaded.error} retry={loaded.reload} />
      {!flows && loaded.loading && <Waiting what="Adding up" />}
      {((ledgers && !ledger) || flows?.flows.length === 0) && (
        <Empty title={op === undefined ? "Nothing has moved in this ledger" : "Nothing had moved in this ledger then"}>
          <p>Post a transfer, and it appears here as a band from the account that is debited to the one that is credited.</p>
        </Empty>
      )}
      {flows && flows.flows.length > 0 && (
        <>
          <div className="card-body">
            <div className="sankey-heads soft">
              <span>Debited</span>
              <span>
                {money(flows.amount, asset)} in {plural(flows.transfers, "transfer")}
              </span>
              <span>Credited</span>
            </div>
            <Sankey flows={flows} asset={asset} />
            <p className="soft sankey-note">
              The newest {plural(flows.read, "transfer")} up to op {count(flows.op)}, from <Time at={timeOf(flows.from_timestamp)} /> to{" "}
              <Time at={timeOf(flows.to_timestamp)} />.
              {flows.pending > 0 && ` ${plural(flows.pending, "reservation")} among them moved nothing and ${flows.pending === 1 ? "is" : "are"} left out.`}
            </p>
          </div>
          <Table caption="Flows" columns={columns} rows={flows.flows.slice(0, ROWS)} id={(flow) => `${flow.debit}>${flow.credit}`} />
          {flows.flows.length > ROWS && <p className="card-body soft">and {plural(flows.flows.length - ROWS, "smaller flow")}, drawn above</p>}
        </>
      )}
    </section>
  );
}

function EndLink({ id, flows }: { id: string; flows: Flows }) {
  const name = endName(id, flows);
  if (id === "" || flows.by === "code") return <span className="flow-end-name">{name}</span>;
  return (
    <Link to={address("/ledger/accounts", { id })} title={id} className="flow-end-name">
      {name}
    </Link>
  );
}

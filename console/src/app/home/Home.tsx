// Every system at a glance: health, live rates, ports, what the process costs, how to connect.
import { useState } from "react";
import { Choice } from "../../parts/Choice";
import { Command } from "../../parts/Command";
import { bytes, bytesPerSecond, count, duration, percent, perSecond } from "../../parts/format";
import { HealthChip } from "../../parts/HealthChip";
import { useRates, useTopic } from "../../parts/live";
import { ErrorNote, Waiting } from "../../parts/Note";
import { RateChart } from "../../parts/RateChart";
import { Time } from "../../parts/Time";
import { status, type HomeSample, type Status, type SystemStatus } from "../api";
import { PAGES } from "../pages";
import type { SystemRates } from "../rates";
import { Link } from "../router";
import { useLoad } from "../useLoad";
import { FigureList } from "../../parts/Figures";
import { connections } from "./connect";
import "./home.css";

function SystemCard({ system, live }: { system: SystemStatus; live: HomeSample["systems"][string] | undefined }) {
  const state = live?.state ?? system.state;
  const message = live ? live.message : system.message;
  return (
    <section className="card system-card" aria-label={system.page.title} data-system={system.name}>
      <div className="card-head">
        <h2>
          <Link to={`/${system.page.id}`}>{system.page.title}</Link>
        </h2>
        <div className="aside">
          <HealthChip state={state} />
        </div>
      </div>
      <div className="card-body">
        <p>{system.summary}</p>
        {message && <p className="system-message">{message}</p>}
        <p className="soft ports">
          {Object.entries(system.ports).map(([name, port]) => (
            <span key={name}>
              {name} <b className="number">{port}</b>
            </span>
          ))}
          {(live?.since ?? system.since) && (
            <span>
              since <Time at={live?.since ?? system.since ?? ""} />
            </span>
          )}
        </p>
      </div>
    </section>
  );
}

function Process({ info, home }: { info: Status; home: HomeSample | undefined }) {
  const gauges = home?.gauges ?? {};
  const started = new Date(info.started_at);
  const memory = gauges["process_resident_memory_bytes"];
  const files = gauges["process_open_fds"];
  const figures: [string, string][] = [
    ["Resident memory", memory === undefined ? "–" : bytes(memory)],
    ["Open files", files === undefined ? "–" : count(files)],
    ["Running for", duration(Math.max(0, Math.floor((Date.now() - started.getTime()) / 1000)))],
    ["Process", String(info.pid)],
    ["Version", info.version],
  ];
  return <FigureList figures={figures.map(([name, value]) => ({ name, value }))} />;
}

function Connect({ info }: { info: Status }) {
  const ways = connections(info, location.hostname);
  const [chosen, setChosen] = useState(0);
  const way = ways[chosen] ?? ways[0];
  if (!way) return null;
  return (
    <section className="card" aria-label="How to connect">
      <div className="card-head">
        <h2>How to connect</h2>
        <Choice className="aside" label="Client" options={ways.map((one, id) => ({ id, title: one.name }))} value={chosen} set={setChosen} />
      </div>
      <div className="card-body connect">
        {way.steps.map((step) => (
          <div key={step.what}>
            <p className="soft">{step.what}</p>
            <Command text={step.command} label={step.what} />
          </div>
        ))}
      </div>
    </section>
  );
}

function SystemCharts({ rates }: { rates: SystemRates<never> }) {
  useTopic(rates.topic);
  const history = useRates(rates.topic, rates.countersOf);
  return rates.charts.map((chart) => (
    <RateChart
      key={chart.title}
      title={chart.title}
      history={history}
      format={chart.unit === "bytes" ? bytesPerSecond : perSecond}
      binary={chart.unit === "bytes"}
      series={chart.series}
    />
  ));
}

export default function Home() {
  const loaded = useLoad(status, []);
  const topic = useTopic<HomeSample>("polis.home");
  const history = useRates<HomeSample>("polis.home", (value) => value.counters);
  const names = Object.keys(topic.value?.counters ?? {});
  const cpu = names.filter((name) => name.startsWith("process_cpu"));
  if (!loaded.value) return loaded.error ? <ErrorNote error={loaded.error} retry={loaded.reload} /> : <Waiting />;
  const info = loaded.value;
  return (
    <>
      <div className="page-head">
        <h1>Home</h1>
        <p>
          {count(info.systems.length)} {info.systems.length === 1 ? "system" : "systems"} on{" "}
          <code title="the data directory">{info.data_directory}</code>
        </p>
      </div>
      <ErrorNote error={topic.error} />
      <div className="columns">
        {info.systems.map((system) => (
          <SystemCard key={system.name} system={system} live={topic.value?.systems[system.name]} />
        ))}
        <section className="card" aria-label="The process">
          <div className="card-head">
            <h2>The process</h2>
          </div>
          <div className="card-body">
            <Process info={info} home={topic.value} />
          </div>
        </section>
      </div>
      <div className="columns">
        {PAGES.filter((page) => page.rates && info.systems.some((system) => system.page.id === page.id)).map((page) => (
          <SystemCharts key={page.id} rates={page.rates as SystemRates<never>} />
        ))}
        <RateChart title="CPU" history={history} format={percent} series={[{ label: "of one core", color: 2, counters: cpu }]} />
      </div>
      <Connect info={info} />
    </>
  );
}

"""bench/run exchange: the trading venue's core, its bus and its doors (bench/README.md)."""
import json
import os
import re
import tempfile

from exchange_fix import bench_fix
from measure import RELEASE, build, disk_syncs, google_benchmark, median, run, table

SATURATED_STEPS = 1_000_000
SAMPLES = 2_000_000  # p99.99 needs a million


def core(*words, limit_s=900):
    text = run(os.path.join(RELEASE, "bench/exchange_core"), *(str(word) for word in words), limit_s=limit_s)
    return [json.loads(line) for line in text.splitlines()]


def rates(lines):
    """Million steps a second of each (what, by), one for each round."""
    found = {}
    for line in lines:
        if "by" in line:
            found.setdefault((line["what"], line["by"]), []).append(line["steps"] / line["seconds"] / 1e6)
    return found


def spread(values):
    return f"{median(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


def saturated():
    lines = core("saturated", SATURATED_STEPS)
    load = next(line for line in lines if line["what"] == "load")
    found = rates(lines)
    rows = []
    for (what, by), values in found.items():
        control = found[(what, "map book")]
        ratios = [mine / theirs for mine, theirs in zip(values, control)]
        rows.append([what, by, spread(values), f"{1e3 / median(values):.0f}", f"{median(ratios):.1f}" if by != "map book" else "1"])
    table(f"exchange: one thread, closed loop, {SATURATED_STEPS:,} steps, five rounds in turn: median (least .. most). mixed: 9% orders that stay, 3% immediate, "
          f"6% cancels, 82% moves, {load['trading_share']:.1%} trade, {load['resting']} resting in {load['levels']} levels, 1,000 accounts. inserts: liquibook's loop",
          ["work", "by", "M steps/s", "ns a step", "of the map book"], rows)
    return median(found[("mixed", "risk and matching")]) * 1e6


def latency(saturation):
    """Open loop; p99.9 is judged by what the control on the other processor saw in the same seconds."""
    rows = []
    for rate, arrivals in [(1e6, "constant"), (1e6, "poisson"), *[(saturation * share, "poisson") for share in (0.1, 0.5, 0.9, 1.1)]]:
        runs = core("open", int(rate), arrivals, SAMPLES)
        at = {whose: {p: median([one[whose][p] for one in runs]) for p in runs[0][whose]} for whose in ("latency", "control")}
        most = max(one["latency"]["p99"] for one in runs)
        rows.append([f"{rate / 1e6:.2f} M/s {arrivals}", *[f"{at['latency'][p] / 1e3:.2f}" for p in at["latency"]],
                     " / ".join(f"{at['control'][p] / 1e3:.2f}" for p in at["control"]), f"{most / 1e3:.2f}"])
    table(f"exchange: risk and matching, open loop, {SAMPLES:,} samples after a warm-up of a million, µs from when a step was due; median of five runs",
          ["arrivals", "p50", "p99", "p99.9", "p99.99", "max", "control: p50 / p99 / p99.9 / p99.99 / max", "worst p99 of the five"], rows)


def growth(most):
    found = rates(core("growth", most, limit_s=1800))
    sizes = sorted({int(what.split()[1]) for what, _ in found})
    first = {by: 1e3 / max(found[(f"growth {sizes[0]}", by)]) for by in ("one by one", "looking ahead")}
    rows = []
    for size in sizes:
        row = [f"{size:,}"]
        for by, least in first.items():
            ns = 1e3 / max(found[(f"growth {size}", by)])
            row += [f"{ns:.0f}", f"{ns / least:.2f}"]
        rows.append(row)
    table("exchange: matching, mixed load, by orders at rest: best of three, orders drawn evenly from all",
          ["resting", "ns a step, one by one", "of the first", "ns a step, looking ahead in the queue", "of the first"], rows)


def bus():
    found = google_benchmark("src/systems/exchange/bus/polis_systems_exchange_bus_bench", ".")
    rows = []
    for name, entry in found.items():
        hop = entry.get("hop_ns")
        rows.append([re.sub(r"/real_time$", "", name), f"{entry['items_per_second'] / 1e6:.1f}" if "items_per_second" in entry else "",
                     f"{hop * 1e9 if hop < 1e-3 else hop:.0f}" if hop else ""])
    table("exchange: the bus between two threads, 64 records a batch; controls: line_hop, two threads that hand each other one cache line, and "
          "lines, 128-byte slots of which one or two lines are streamed through a buffer and nothing else",
          ["run/payload bytes (of lines: lines)[/slots]", "M records/s", "ns a hop"], rows)


def durable():
    """What an order pays for being on disk, beside what the disk takes for an fdatasync in the same minute."""
    rows, stages = [], []
    with tempfile.TemporaryDirectory(prefix="polis-bench-") as folder:
        syncs, p50, p99 = disk_syncs(folder)
        for ack, *how in [("disk", "open", 20_000), ("disk", "open", 100_000), ("bus", "open", 100_000), ("disk", "saturated"), ("bus", "saturated")]:
            runs = []
            for number in range(3):
                words = [os.path.join(RELEASE, "bench/exchange_durable"), os.path.join(folder, f"{ack}-{'-'.join(map(str, how))}-{number}"), ack, *map(str, how),
                         "200000" if how[-1] == 20_000 else "1000000"]
                runs.append(json.loads(run(*words, limit_s=300)))
            at = {name: median([one[name] for one in runs]) for name, value in runs[0].items() if isinstance(value, (int, float))}
            if how[0] == "open" and ack == "disk":
                stages.append([f"{how[1] / 1e3:,.0f}k/s", *[" / ".join(f"{median([one[stage][i] for one in runs]) / 1e3:,.0f}" for i in range(3))
                                                           for stage in ("late", "write", "sync_begins", "sync", "sync_returns")]])
            fsync = f"{at['p99'] / 1e6 / p99:.2f}" if ack == "disk" and how[0] == "open" else ""
            rows.append([f"ack={ack}", f"{at['rate'] / 1e3:,.0f}k/s poisson" if at["rate"] else "saturated", f"{at['done'] / 1e3:,.0f}",
                         *[f"{at[p] / 1e3:,.0f}" if at["rate"] else "" for p in ("p50", "p99", "p99.9")], fsync, f"{at['requests'] / max(1, at['syncs']):,.0f}",
                         f"{at['journal_bytes'] / max(1, at['requests']):.0f}"])
    table(f"exchange: one fused loop with bus and journal, mixed load; fio on the same disk: {syncs:,.0f} fdatasyncs/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms; "
          "latency from when a request was due, median of three runs",
          ["safe", "arrivals", "k requests/s", "p50 µs", "p99 µs", "p99.9 µs", "p99 in p99s of fdatasync", "requests a sync", "journal bytes a request"], rows)
    table("exchange: where the time of ack=disk goes, p50 / p99 / p99.9 µs: until a request was handled; a write as the loop sees it; a sync until it is called, the call, "
          "until the loop goes on", ["arrivals", "handled late", "write", "sync begins", "fdatasync", "sync returns"], stages)
    replay()


def replay():
    """The journal of a saturated run done again from its beginning, every step's digest compared."""
    with tempfile.TemporaryDirectory(prefix="polis-bench-") as folder:
        text = run(os.path.join(RELEASE, "bench/exchange_durable"), os.path.join(folder, "venue"), "bus", "replay", limit_s=300)
        runs = [line for line in map(json.loads, text.splitlines()) if "replayed" in line]
    table("exchange: replay of the mixed load's journal on one thread: five rounds, median (least .. most)", ["steps", "M steps/s", "M outputs/s"],
          [[f"{runs[0]['replayed']:,}", *[spread([one[what] / one["seconds"] / 1e6 for one in runs]) for what in ("replayed", "outputs")]]])


def bench_exchange(options):
    build("exchange_core", "exchange_durable", "polis_systems_exchange_bus_bench")
    saturation = saturated()
    latency(saturation)
    growth(int(options.resting_millions * 1e6))
    bus()
    durable()
    bench_fix()

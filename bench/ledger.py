"""bench/run ledger: double-entry books of polis and of PostgreSQL, on one disk in one run (bench/README.md)."""
import json
import os
import shutil
import tempfile
import time

from measure import build, cpu_seconds, disk_bandwidth, disk_syncs, table
from ledger_load import verify_books
from polis import Polis
from postgres import BATCH, Postgres

RECORD = 128      # bytes of a transfer, on the wire and in the journal
EVENTS_MAX = 8189  # of one request: a message of 1 MiB
# Each keeps one request under way. As many as keep the disk, the server and the generator busy at once on two cores.
CONNECTIONS = 6
WORKLOADS = {
    "uniform": ("10,000 accounts, uniform", ["--accounts", "10000"]),
    "hot": ("2 hot accounts", ["--accounts", "2"]),
    "80/20": ("10,000 accounts, 80/20", ["--accounts", "10000", "--hot", "20"]),
    "two-phase": ("10,000 accounts, pending then posted", ["--accounts", "10000", "--two-phase"]),
}


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def ms(microseconds):
    return f"{microseconds / 1000:.2f}"


class Books:
    """A polis with books, and its load generator."""

    def __init__(self):
        self.polis = Polis(systems=("ledger",))

    def load(self, *words, limit_s=900):
        pid = self.polis.process.pid
        before = cpu_seconds(pid)
        measured = json.loads(self.polis.command("ledger", "bench", *words, "--json", limit_s=limit_s))
        measured["server_cpu"] = (cpu_seconds(pid) - before) * 1e6 / max(1, measured["transfers"])
        measured["client_cpu"] = measured["client_cpu_seconds"] * 1e6 / max(1, measured["transfers"])
        if measured["refused"]:
            raise SystemExit(f"bench: {measured['refused']} transfers were refused: {words}")
        return measured

    def workload(self, name, seconds, *words):
        os.sync()  # what was left to be written before must not slow this
        return self.load(*WORKLOADS[name][1], "--seconds", str(seconds), "--connections", str(CONNECTIONS), *words, limit_s=seconds + 120)


def disk(directory, seconds):
    bandwidth = disk_bandwidth(directory, seconds)
    syncs = {block: disk_syncs(directory, block, seconds) for block in ("4k", "1m")}
    table("the disk, by fio in this run", ["what", "value"], [
        ["sequential writes of 1 MiB past the page cache", f"{bandwidth / 1e6:,.0f} MB/s, {bandwidth / RECORD / 1e6:.1f} M records of 128 B/s"],
        *[[f"write of {'4 KiB' if block == '4k' else '1 MiB'} and fdatasync", f"{rate:,.0f}/s, fdatasync p50 {p50:.2f} ms, p99 {p99:.2f} ms"]
          for block, (rate, p50, p99) in syncs.items()]])
    return bandwidth, syncs


def peer(seconds):
    with Postgres() as postgres:
        measured = {}
        for workload in ("uniform", "hot", "80/20"):
            os.sync()
            measured[workload] = (postgres.one_transaction_each(workload, seconds), postgres.set_based(workload, seconds))
        # (b) again, now that its books can answer what an account's history is, as polis' can.
        postgres.index_history()
        indexed = {workload: postgres.set_based(workload, seconds) for workload in measured}
        if not postgres.balanced():
            raise SystemExit("bench: PostgreSQL's books do not balance")
        return postgres.version, {workload: (*both, indexed[workload]) for workload, both in measured.items()}


def bench_ledger(options):
    build("polis")
    short, sustained = options.short_seconds, options.seconds
    directory = tempfile.mkdtemp(prefix="polis-bench-disk-")
    try:
        bandwidth, syncs = disk(directory, min(5, short))
        version, postgres = peer(short)
        books = Books()
        with books.polis:
            measure_books(books, options, bandwidth, syncs, version, postgres, short, sustained)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure_books(books, options, bandwidth, syncs, version, postgres, short, sustained):
    polis = books.polis
    idle = books.load("--accounts", "1000", "--batch", "1", "--connections", "1", "--seconds", str(min(5, short)))
    measured = {name: books.workload(name, short) for name in WORKLOADS}

    ways = ("(a) 2 UPDATE + 1 INSERT each", f"(b) set-based, {BATCH:,} a call", "(b) with two indexes for history")
    table(f"ledger: transfers a second, durable on both sides; PostgreSQL {version} by pgbench -M prepared, best of three numbers of clients; "
          f"polis in batches of {EVENTS_MAX:,} over loopback TCP",
          ["workload", *ways, "polis", "polis / (a)", "polis / (b)", "polis / (b) with indexes"],
          [[WORKLOADS[name][0], *(f"{number(p['rate'])} ({p['clients']} clients)" for p in postgres.get(name, [])), *[""] * (0 if name in postgres else 3),
            number(m["transfers_per_second"]),
            *(f"{m['transfers_per_second'] / p['rate']:,.0f} ×" for p in postgres.get(name, [])), *[""] * (0 if name in postgres else 3)]
           for name, m in measured.items()])
    table("ledger: server CPU-seconds for a million transfers", ["workload", *ways, "polis", "its load generator"],
          [[WORKLOADS[name][0], *(f"{p['cpu']:.2f}" for p in postgres.get(name, [])), *[""] * (0 if name in postgres else 3),
            f"{m['server_cpu']:.2f}", f"{m['client_cpu']:.2f}"] for name, m in measured.items()])
    table("ledger: from request to reply of a batch, ms", ["workload", "p50", "p90", "p99", "p99.9", "longest"],
          [[WORKLOADS[name][0], *[ms(m["latency_us"][k]) for k in ("p50", "p90", "p99", "p999", "max")]] for name, m in measured.items()])

    # History first, then the long run on top of it.
    steps = [["empty", number(measured["uniform"]["transfers_per_second"]), f"{measured['uniform']['server_cpu']:.2f}"]]
    filled = sum(m["transfers"] for m in measured.values())
    missing = int(options.history_millions * 1e6) - filled
    if missing > 0:
        filled += books.load("--transfers", str(missing), "--accounts", "10000", "--connections", str(CONNECTIONS), limit_s=1800)["transfers"]
    again = books.workload("uniform", short)
    steps.append([f"{filled / 1e6:.0f} M transfers", number(again["transfers_per_second"]), f"{again['server_cpu']:.2f}"])
    long = books.workload("uniform", sustained)
    window = long["window_seconds"]
    filled += again["transfers"] + long["transfers"]
    half = books.workload("uniform", short, "--rate", str(int(long["transfers_per_second"] / 2)))
    filled += half["transfers"]
    table("ledger: does a long history slow it? 10,000 accounts, uniform", ["history", "transfers/s", "server CPU-s a million"], steps)
    table(f"ledger: sustained for {long['seconds']:.0f} s, 10,000 accounts, uniform", ["what", "value"], [
        ["transfers/s", number(long["transfers_per_second"])],
        [f"first {window} s, last {window} s", f"{number(long['first_window_per_second'])}, {number(long['last_window_per_second'])} a second"],
        ["bytes of records beside the disk's sequential bandwidth",
         f"{long['transfers_per_second'] * RECORD / 1e6:,.0f} of {bandwidth / 1e6:,.0f} MB/s, {long['transfers_per_second'] * RECORD / bandwidth * 100:.0f} %"],
        ["batch p50, p99 at full load", f"{ms(long['latency_us']['p50'])}, {ms(long['latency_us']['p99'])} ms"],
        [f"batch p50, p99 at half load (open loop, {number(half['transfers_per_second'])}/s)",
         f"{ms(half['latency_us']['p50'])}, {ms(half['latency_us']['p99'])} ms; 3 × fdatasync p99 of 1 MiB + 10 ms = {3 * syncs['1m'][2] + 10:.1f} ms"],
        ["one transfer at a time, idle: p50, p99",
         f"{ms(idle['latency_us']['p50'])}, {ms(idle['latency_us']['p99'])} ms; 1.5 × fdatasync p50 of 4 KiB + 0.3 ms = {1.5 * syncs['4k'][1] + 0.3:.2f} ms"],
        ["server CPU-s, generator CPU-s a million", f"{long['server_cpu']:.2f}, {long['client_cpu']:.2f}"],
    ])

    said = verify_books(polis, 1800)
    if not said.get("held"):
        raise SystemExit(f"bench: verify: {said}")
    verify_s = said["seconds"]
    memory_mb = resident_mb(polis.process.pid)
    def seconds_to_start(limit_s):
        polis.stop(60)
        begin = time.monotonic()
        polis.start(limit_s=limit_s)
        return time.monotonic() - begin

    restart_s = seconds_to_start(600)
    polis.stop(60)
    shutil.rmtree(os.path.join(polis.data, "snapshot/ledger"))
    begin = time.monotonic()
    polis.start(limit_s=1800)
    rebuild_s = time.monotonic() - begin
    journal = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(os.path.join(polis.data, "journal/ledger")) for name in names)
    derived = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(os.path.join(polis.data, "snapshot/ledger")) for name in names)
    table(f"ledger: {filled / 1e6:.0f} M transfers in history", ["what", "value"], [
        ["verify while it runs: the whole journal again, every result, root and head", f"{verify_s:.1f} s, {number(filled / verify_s)} transfers/s"],
        ["stop and start from the newest snapshot, to the first answer", f"{restart_s:.1f} s"],
        ["rebuild from the journal alone (snapshots deleted), to the first answer", f"{rebuild_s:.1f} s, {number(filled / rebuild_s)} transfers/s"],
        ["resident before the stop", f"{memory_mb:,.0f} MB, {memory_mb * 1e6 / filled:.1f} B a transfer"],
        ["journal; snapshot and chunks", f"{journal / 1e9:.2f} GB; {derived / 1e9:.2f} GB; {(journal + derived) / filled:.0f} B a transfer"],
    ])


def resident_mb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in file if line.endswith("kB\n")}
    return kilobytes["Anonymous"] / 1000

"""bench/run stream: the event log beside NATS JetStream and RabbitMQ streams, on one disk in one run (bench/README.md)."""
import glob
import json
import os
import shutil
import subprocess
import tempfile
import time

from measure import RELEASE, ROOT, build, cpu_seconds, disk_bandwidth, disk_syncs, table
from polis import Polis
from stream_peers import JetStream, Load, RabbitMQ

SIZE = 1024  # bytes of a message
GIB = 1 << 30
PRODUCERS = 64
CONSUMERS = 4
RATE = 20_000
# Each server does each work so often, in turn, so that what else the machine does falls on all. Polis' median counts, and the best of a peer:
# its rounds differ in how many messages a publisher may have unacknowledged.
ROUNDS = 3
PENDING = (1_000, 10_000, 100_000)
PENDING_OF_MANY = (500, 1_000, 3_000)
IDLE_PARTITIONS = 10_000


def build_load():
    """The load client needs the peers' libraries, which polis does not: it is compiled here."""
    sources = sorted(glob.glob(os.path.join(ROOT, "bench/stream/*.cc")))
    program = os.path.join(RELEASE, "bench/stream_load")
    newest = max(os.path.getmtime(path) for path in sources + glob.glob(os.path.join(ROOT, "bench/stream/*.h")))
    if not os.path.exists(program) or os.path.getmtime(program) < newest:
        os.makedirs(os.path.dirname(program), exist_ok=True)
        subprocess.run(["clang++-19", "-std=c++23", "-O2", "-Wall", "-Wextra", *sources, "-o", program, "-lrdkafka", "-lnats", "-lpthread"], check=True)
    return program


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def ms(microseconds):
    return f"{microseconds / 1000:.2f}"


def mib(measured):
    return measured["rate"] * SIZE / (1 << 20)


def ratio(mine, theirs):
    return f"{mine / theirs:.2f} ×" if theirs else ""


class Broker:
    """A polis with the event log, its topics, and the load on it."""
    name = "polis"

    def __init__(self, program, *settings):
        self.polis = Polis(systems=("stream",), settings=settings)
        self.program = program

    def topic(self, name, **config):
        words = [word for key, value in config.items() for word in ("--config", f"{key.replace('_', '.')}={value}")]
        self.polis.command("stream", "topic", "create", name, "--partitions", "1", *words)

    def cpu(self):
        return cpu_seconds(self.polis.process.pid)

    def load(self, *words, protocol="kafka", **options):
        return Load(self.program, protocol, self.polis.port("stream.kafka"), self.cpu)(*words, **options)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.polis.process.pid}/fd"))

    def resident_mib(self):
        with open(f"/proc/{self.polis.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def best(runs):
    return max(runs, key=lambda run: run["rate"])


def middle(runs):
    return sorted(runs, key=lambda run: run["rate"])[len(runs) // 2]


def calmest(runs):
    return min(runs, key=lambda run: run["latency_us"]["p99"])


def measure(broker, peers, program, options):
    """All workloads, the servers in turn: what polis did, and what each peer did, by workload."""
    seconds, history = options.short_seconds, int(options.gib * GIB / SIZE / CONSUMERS)
    loads = {peer.name: Load(program, peer.protocol, peer.port, peer.cpu) for peer in peers}
    runs = {}

    def note(name, work, measured):
        runs.setdefault((name, work), []).append(measured)
        os.sync()  # what was left to be written must not slow the next

    def read(load, **more):
        return load("consume", topic="read", clients=CONSUMERS, messages=history * CONSUMERS, seconds=3600, **more)

    for i in range(ROUNDS):
        broker.topic(f"one-{i}", polis_durability="os")
        note("polis", "produce", broker.load("produce", topic=f"one-{i}", seconds=seconds, acks=1, linger_ms=5))
        for name, load in loads.items():
            note(name, "produce", load("produce", topic=f"one-{i}", seconds=seconds, pending=PENDING[i]))
    for i in range(ROUNDS):
        broker.topic(f"many-{i}")
        note("polis", "many", broker.load("produce", topic=f"many-{i}", seconds=seconds, clients=PRODUCERS, acks=-1, linger_ms=5))
        for name, load in loads.items():
            note(name, "many", load("produce", topic=f"many-{i}", seconds=seconds, clients=PRODUCERS, pending=PENDING_OF_MANY[i]))
    broker.topic("read", polis_durability="os")
    broker.load("produce", topic="read", messages=history, seconds=3600, acks=1)
    for load in loads.values():
        load("produce", topic="read", messages=history, seconds=3600, pending=PENDING[1])
    os.sync()
    for _ in range(ROUNDS):
        for path in ("sendfile", "copy"):
            broker.polis.command("stream", "topic", "set", "read", f"read.path={path}")
            for protocol in ("kafka", "kafka-fetch"):
                note("polis", (protocol, path), read(broker.load, protocol=protocol))
        for name, load in loads.items():
            note(name, "consume", read(load))
    broker.topic("latency")
    broker.topic("latency-os", polis_durability="os")
    for _ in range(ROUNDS):
        note("polis", "latency", broker.load("latency", topic="latency", rate=RATE, seconds=seconds, acks=-1, linger_ms=0.5))
        note("polis", "latency-os", broker.load("latency", topic="latency-os", rate=RATE, seconds=seconds, acks=1, linger_ms=0.5))
        for name, load in loads.items():
            note(name, "latency", load("latency", topic="latency", rate=RATE, seconds=seconds, linger_ms=0.5))
    chosen = {}
    for (name, work), several in runs.items():
        choose = calmest if str(work).startswith("latency") else middle if name == "polis" else best
        chosen.setdefault(name, {})[work] = choose(several)
    # The built-in comparison of both ways to read.
    path = json.loads(broker.polis.command("stream", "bench", "path", "--json", limit_s=600))
    return chosen, path


def measure_idle(program, seconds):
    broker = Broker(program, "stream.tend_every=10s")  # three times as often as by default
    with broker.polis:
        before = broker.resident_mib()
        begin = time.monotonic()
        broker.polis.command("stream", "topic", "create", "idle", "--partitions", str(IDLE_PARTITIONS), limit_s=900)
        made_s = time.monotonic() - begin
        # A record to each; then they come to rest.
        broker.load("produce", topic="idle", partitions=IDLE_PARTITIONS, messages=IDLE_PARTITIONS, seconds=600, acks=-1)
        used_files = broker.descriptors()
        time.sleep(40)
        idle_mib, idle_files = broker.resident_mib(), broker.descriptors()
        cpu, begin = broker.cpu(), time.monotonic()
        time.sleep(seconds)
        idle_cpu = (broker.cpu() - cpu) / (time.monotonic() - begin)
        broker.polis.stop(60)
        begin = time.monotonic()
        broker.polis.start(limit_s=300)
        started_s = time.monotonic() - begin
        after, files = broker.resident_mib(), broker.descriptors()
    table(f"stream: {IDLE_PARTITIONS:,} partitions at rest, each with a record", ["what", "value", "target"], [
        ["resident, of which before there was a topic", f"{idle_mib:,.0f} MiB, {before:,.0f} MiB", "≤ 200 MiB"],
        [f"CPU of a core, over {seconds} s", f"{idle_cpu * 100:.2f} %", "≤ 2 %"],
        ["descriptors: after a record to each; at rest", f"{used_files:,}; {idle_files:,}", ""],
        ["to make the topic", f"{made_s:.1f} s", ""],
        ["stop and start, to the first answer", f"{started_s:.1f} s", ""],
        ["resident after the start; descriptors", f"{after:,.0f} MiB; {files:,}", ""],
    ])


def bench_stream(options):
    build("polis")
    program = build_load()
    directory = tempfile.mkdtemp(prefix="polis-bench-disk-")
    try:
        bandwidth = disk_bandwidth(directory, min(5, options.short_seconds))
        syncs = {block: disk_syncs(directory, block, min(5, options.short_seconds)) for block in ("4k", "64k", "1m")}
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    synced = syncs["1m"][0] * (1 << 20)
    table("the disk, by fio in this run", ["what", "value"], [
        ["sequential writes of 1 MiB past the page cache", f"{bandwidth / (1 << 20):,.0f} MiB/s"],
        *[[f"write of {block.upper().replace('K', ' KiB').replace('M', ' MiB')} and fdatasync, one after the other",
           f"{rate:,.0f}/s, fdatasync p50 {p50:.2f} ms, p99 {p99:.2f} ms"] for block, (rate, p50, p99) in syncs.items()]])

    os.sync()
    broker = Broker(program)
    with broker.polis, JetStream() as jetstream, RabbitMQ() as rabbitmq:
        peers, path_bench = measure(broker, (jetstream, rabbitmq), program, options)
        versions = f"{jetstream.version}, {rabbitmq.version}"
    polis = peers.pop("polis")

    def produced(key):
        mine = polis[key]
        return [["polis", number(mine["rate"]), f"{mib(mine):,.0f}", "", f"{mine['server_cpu_gib']:.2f}", f"{mine['client_cpu_gib']:.2f}"],
                *[[name, number(peer[key]["rate"]), f"{mib(peer[key]):,.0f}", ratio(mine["rate"], peer[key]["rate"]),
                   f"{peer[key]['server_cpu_gib']:.2f}", f"{peer[key]['client_cpu_gib']:.2f}"] for name, peer in peers.items()]]

    columns = ["server", "messages/s", "MiB/s", "polis is", "server CPU-s a GiB", "client CPU-s a GiB"]
    table(f"stream: produce, messages of 1 KiB, 1 producer, acks=1, polis.durability=os, linger 5 ms, 1 partition; {versions}; {ROUNDS} rounds in turn: polis' "
          f"median, the best of each peer, which publishes asynchronously with {', '.join(f'{p:,}' for p in PENDING)} unacknowledged messages", columns, produced("produce"))
    table(f"stream: produce, {PRODUCERS} producers; polis syncs before it acknowledges (acks=all, fsync), the peers do not: these versions have no "
          "such mode for a single node", columns, produced("many"))
    mine = polis["many"]
    print(f"\npolis with fsync before each acknowledgement: {mib(mine):,.0f} MiB/s, {mine['rate'] * SIZE / synced * 100:.0f} % of fio's 1 MiB write+fdatasync "
          f"({synced / (1 << 20):,.0f} MiB/s; target ≥ 60 %), {mine['rate'] * SIZE / bandwidth * 100:.0f} % of the disk's sequential bandwidth")

    rows = []
    names = {"kafka": "librdkafka", "kafka-fetch": "plain reader"}
    for (protocol, path), measured in ((key, value) for key, value in polis.items() if isinstance(key, tuple)):
        rows.append([f"polis, {path}, {names[protocol]}", number(measured["rate"]), f"{mib(measured):,.0f}", f"{measured['server_cpu_gib']:.2f}",
                     f"{measured['client_cpu_gib']:.2f}"])
    for name, peer in peers.items():
        measured = peer["consume"]
        rows.append([f"{name}, {'libnats, ordered consumer' if name == JetStream.name else 'plain reader'}", number(measured["rate"]), f"{mib(measured):,.0f}",
                     f"{measured['server_cpu_gib']:.2f}", f"{measured['client_cpu_gib']:.2f}"])
    table(f"stream: consume, {options.gib:g} GiB from the page cache by {CONSUMERS} consumers, each all of a partition of {options.gib / CONSUMERS:g} GiB",
          ["server and client", "messages/s", "MiB/s", "server CPU-s a GiB", "client CPU-s a GiB"], rows)
    zero, copy = polis["kafka-fetch", "sendfile"], polis["kafka-fetch", "copy"]
    table("stream: what zero copy saves, plain reader", ["beside", "throughput", "server CPU a GiB"], [
        ["polis' own copying path", ratio(zero["rate"], copy["rate"]), ratio(zero["server_cpu_gib"], copy["server_cpu_gib"])],
        *[[name, ratio(zero["rate"], peer["consume"]["rate"]), ratio(zero["server_cpu_gib"], peer["consume"]["server_cpu_gib"])]
          for name, peer in peers.items()]])
    print("\n`polis stream bench path`: " + json.dumps(path_bench))

    rows = [[label, ms(latency["p50"]), ms(latency["p99"]), ms(latency["p999"])] for label, latency in (
        ("polis, acks=all, fsync", polis["latency"]["latency_us"]), ("polis, acks=1, os", polis["latency-os"]["latency_us"]),
        *((f"{name}, no sync before the acknowledgement", peer["latency"]["latency_us"]) for name, peer in peers.items()))]
    rows.append(["the disk: fdatasync after 64 KiB (20,000 messages/s at 300 syncs/s)", f"{syncs['64k'][1]:.2f}", f"{syncs['64k'][2]:.2f}", ""])
    table(f"stream: from send to receive at {RATE:,} messages/s of 1 KiB, one producer and one consumer, linger 0.5 ms; of {ROUNDS} rounds in turn "
          "each server's calmest; ms", ["server", "p50", "p99", "p99.9"], rows)
    measure_idle(program, 30)

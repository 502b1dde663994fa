"""bench/run exchange, its FIX door: orders over loopback to the whole venue, to a QuickFIX acceptor with a map book, and to a bare echo."""
import json
import os
import socket
import subprocess
import tempfile
import time

from measure import RELEASE, ROOT, Server, build, cpu_seconds, disk_syncs, free_port, median, run, table

ROUNDS = 3
SATURATED = {"venue": 400_000, "venue, ack=disk": 400_000, "quickfix": 60_000, "quickfix, FileStore": 60_000}
RATE = 20_000  # orders a second, open loop
OPEN_SECONDS = 5


def quickfix_peer():
    """QuickFIX's headers hold to C++14, so its peer is built apart."""
    source, program = os.path.join(ROOT, "bench/exchange/quickfix_peer.cc"), os.path.join(RELEASE, "bench/exchange_quickfix_peer")
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        subprocess.run(["clang++-19", "-std=c++14", "-O2", "-w", source, "-o", program, "-lquickfix", "-lpthread"], check=True, timeout=300)
    return program


class Venue:
    """The venue's server, which ends with its standard input."""

    def __init__(self, directory, ack):
        self.process = subprocess.Popen([os.path.join(RELEASE, "bench/exchange_fix_server"), directory, ack], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(60)


class QuickFix:
    def __init__(self, *directory):
        self.port = free_port()
        self.process = subprocess.Popen([quickfix_peer(), str(self.port), *directory], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit("bench: the QuickFIX acceptor does not answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def load(server, mode, orders, arrivals="constant", rate=RATE):
    before = cpu_seconds(server.process.pid)
    found = json.loads(run(os.path.join(RELEASE, "bench/exchange_fix_load"), str(server.port), mode, str(orders), str(rate), arrivals))
    found["cpu_us"] = (cpu_seconds(server.process.pid) - before) * 1e6 / orders
    return found


def bench_fix():
    build("exchange_fix_server", "exchange_fix_load", "exchange_tcp_echo")
    with tempfile.TemporaryDirectory(prefix="polis-bench-") as folder:
        syncs, sync_ms, sync_p99_ms = disk_syncs(folder)
    saturated, opened = {}, {}
    orders = RATE * OPEN_SECONDS
    # A server a round and mode: each begins with an empty book. Rounds alternate, so that what else the machine does falls on all.
    for _ in range(ROUNDS):
        for name, ack in (("venue", "bus"), ("venue, ack=disk", "disk")):
            with tempfile.TemporaryDirectory(prefix="polis-bench-") as folder, Venue(folder, ack) as venue:
                saturated.setdefault(name, []).append(load(venue, "saturated", SATURATED[name]))
                for arrivals in ("constant", "poisson"):
                    opened.setdefault((name, arrivals), []).append(load(venue, "open", orders, arrivals))
        with QuickFix() as peer:
            saturated.setdefault("quickfix", []).append(load(peer, "saturated", SATURATED["quickfix"]))
            for arrivals in ("constant", "poisson"):
                opened.setdefault(("quickfix", arrivals), []).append(load(peer, "open", orders // 4, arrivals, RATE // 4))
        # As its own examples are set up: what was sent is kept for resends.
        with tempfile.TemporaryDirectory(prefix="polis-bench-") as folder, QuickFix(folder) as peer:
            saturated.setdefault("quickfix, FileStore", []).append(load(peer, "saturated", SATURATED["quickfix, FileStore"]))
        with Server(os.path.join(RELEASE, "bench/exchange_tcp_echo"), port_on_stdout=True) as echo:
            for arrivals in ("constant", "poisson"):
                opened.setdefault(("echo", arrivals), []).append(load(echo, "echo", orders, arrivals))
    rate = {name: median([one["per_second"] for one in runs]) for name, runs in saturated.items()}
    table(f"exchange: FIX orders (35=D, answered by 35=8) over one loopback connection, closed loop, 1,024 under way, median of {ROUNDS}",
          ["server", "orders/s", "of QuickFIX", "of QuickFIX with FileStore", "its CPU µs an order"],
          [[name, f"{rate[name]:,.0f}", *(f"{rate[name] / rate[peer]:.1f}" for peer in ("quickfix", "quickfix, FileStore")),
            f"{median([one['cpu_us'] for one in runs]):.1f}"] for name, runs in saturated.items()])
    rows = []
    for (name, arrivals), runs in opened.items():
        at = {p: median([one[p] for one in runs]) / 1e3 for p in ("p50", "p99", "p999", "max", "gap_max")}
        echo = {p: median([one[p] for one in opened[("echo", arrivals)]]) / 1e3 for p in ("p50", "p99")}
        rows.append([f"{name}, {RATE // 4 if name == 'quickfix' else RATE:,}/s {arrivals}", *[f"{at[p]:.1f}" for p in ("p50", "p99", "p999", "max")],
                     "" if name == "echo" else f"{at['p50'] - echo['p50']:+.1f}", "" if name == "echo" else f"{at['p99'] - echo['p99']:+.1f}", f"{at['gap_max']:.0f}"])
    table(f"exchange: the same, open loop, µs from the intended moment; the control is a TCP echo of the same bytes; the disk makes {syncs:,.0f} syncs/s, "
          f"{sync_ms * 1e3:.0f} µs each (median), {sync_p99_ms * 1e3:.0f} µs at most of 99%",
          ["server", "p50", "p99", "p99.9", "max", "p50 over the echo", "p99 over the echo", "longest pause of the client's thread"], rows)

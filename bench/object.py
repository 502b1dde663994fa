"""bench/run object: polis, Ceph's radosgw and nginx, the same objects on one disk in one run (bench/README.md)."""
import json
import os
import subprocess
import tempfile
import time

from measure import RELEASE, ROOT, build, cpu_seconds, disk_bandwidth, disk_syncs, google_benchmark, median, table
from nginx import Nginx
from polis import Polis
from radosgw import Radosgw
from s3 import S3

KIB4, KIB100, MIB64 = 4096, 100_000, 64 << 20
ROUNDS = 3

# What is done, with how many connections, and what polis shall reach: so many times radosgw's rate, such a share of nginx's.
WORKS = {
    "put-1": ("PUT 4 KiB, 1 connection", "PUT", KIB4, 1),
    "put": ("PUT 4 KiB, 16 connections", "PUT", KIB4, 16),
    "get": ("GET 4 KiB, 16 connections", "GET", KIB4, 16),
    "put-large": ("PUT 64 MiB, 2 connections", "PUT", MIB64, 2),
    "get-large": ("GET 64 MiB, 2 connections", "GET", MIB64, 2),
}
WANTED = {"put": (10, None), "get": (5, 0.7), "put-large": (3, None), "get-large": (None, 0.9)}
STANDING = {KIB4: 2000, KIB100: 200, MIB64: 6}  # objects that GETs choose from


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def build_load():
    """The load client is no part of polis: it is compiled here."""
    source, program = os.path.join(ROOT, "bench/object/s3_load.cc"), os.path.join(RELEASE, "bench/s3_load")
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        os.makedirs(os.path.dirname(program), exist_ok=True)
        subprocess.run(["clang++-19", "-std=c++23", "-O2", "-Wall", "-Wextra", source, "-o", program, "-lcrypto"], check=True)
    return program


class PolisObjects:
    name = "polis"

    def __init__(self):
        self.polis = Polis(systems=("object",))

    def __enter__(self):
        self.polis.start()
        root = self.polis.credentials
        self.port = self.polis.port("object.s3")
        self.access, self.secret = root["access_key"], root["secret_key"]
        self.credentials = ["--access", self.access, "--secret", self.secret]
        return self

    def __exit__(self, *arguments):
        self.polis.__exit__(*arguments)

    def cpu(self):
        return cpu_seconds(self.polis.process.pid)

    def resident_mib(self):
        with open(f"/proc/{self.polis.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

    def stored_bytes(self):
        """What the drives' directories take on the disk."""
        total = 0
        for folder, _, names in os.walk(self.polis.data):
            total += sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in names if name.endswith(".ext"))
        return total

    def lose_drives(self, count):
        for drive in self.polis.json("object", "drives")["drives"][:count]:
            plan = self.polis.json("object", "kill-drive", str(drive["index"]))
            self.polis.command("apply", plan["id"])


class Load:
    """Runs the load client on a server and measures what the server spends."""

    def __init__(self, program, server):
        self.program, self.server = program, server
        self.next_key = {}

    def __call__(self, method, path, limit_s=300, anonymous=False, **options):
        words = [self.program, "--method", method, "--port", str(self.server.port), "--path", path,
                 *([] if anonymous else self.server.credentials)]
        for name, value in options.items():
            words += ["--" + name, str(value)]
        before = self.server.cpu()
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench: {self.server.name}: {' '.join(words)}: {done.stderr}")
        measured = json.loads(done.stdout)
        if measured["failed"]:
            raise SystemExit(f"bench: {self.server.name} refused {measured['failed']} of {measured['requests']}: {path}: {done.stderr}")
        requests = max(1, measured["requests"])
        measured["rate"] = requests / measured["seconds"]
        measured["server_us"] = (self.server.cpu() - before) * 1e6 / requests
        measured["client_us"] = measured["client_cpu_seconds"] * 1e6 / requests
        return measured

    def put_new(self, path, **options):
        """PUTs under names that were not there, as long as asked."""
        first = self.next_key.get(path, 0)
        measured = self("PUT", path, first=first, **options)
        self.next_key[path] = first + measured["requests"]
        return measured

    def stand(self, sizes=STANDING):
        for size, count in sizes.items():
            self("PUT", f"/bench/standing/{size}/", size=size, requests=count, connections=16 if size < MIB64 else 2)

    def get_standing(self, size, seconds, connections):
        return self("GET", f"/bench/standing/{size}/", size=size, keys=STANDING[size], seconds=seconds, connections=connections)

    def work(self, name, seconds):
        _, method, size, connections = WORKS[name]
        if method == "GET":
            return self.get_standing(size, seconds, connections)
        if size == KIB4:
            return self.put_new("/bench/put/", size=size, seconds=seconds, connections=connections)
        # Large ones replace each other: the disk shall not fill.
        return self("PUT", "/bench/large/", size=size, requests=max(4, int(seconds)), connections=connections)


def client(server):
    return S3("127.0.0.1", server.port, server.access, server.secret, timeout_s=120)


def side_by_side(loads, seconds):
    """Every work on every server, in rounds that alternate; the median of each figure."""
    measured = {}
    for _ in range(ROUNDS):
        for work in WORKS:
            for load in loads:
                os.sync()
                measured.setdefault(work, {}).setdefault(load.server.name, []).append(load.work(work, seconds))
    return {work: {name: {"rate": median([m["rate"] for m in runs]), "server_us": median([m["server_us"] for m in runs]),
                          "p50": median([m["latency_us"]["p50"] for m in runs]), "p99": median([m["latency_us"]["p99"] for m in runs])}
                   for name, runs in servers.items()} for work, servers in measured.items()}


def print_side_by_side(measured, servers):
    names = [server.name for server in servers]
    rows, latencies, costs = [], [], []
    for work, by_name in measured.items():
        label, _, size, _ = WORKS[work]
        unit = (lambda m: f"{m['rate'] * size / 1e6:,.0f} MB/s") if size == MIB64 else (lambda m: number(m["rate"]))
        of_radosgw, of_nginx = WANTED.get(work, (None, None))
        mine = by_name["polis"]["rate"]
        rows.append([label, *(unit(by_name[name]) for name in names), f"{mine / by_name['radosgw']['rate']:.1f} ×" + (f" (≥ {of_radosgw} ×)" if of_radosgw else ""),
                     f"{mine / by_name['nginx']['rate']:.2f} ×" + (f" (≥ {of_nginx} ×)" if of_nginx else "")])
        latencies.append([label, *(f"{by_name[name]['p50'] / 1000:.2f}, {by_name[name]['p99'] / 1000:.2f}" for name in names),
                          f"1/{by_name['radosgw']['p99'] / max(1, by_name['polis']['p99']):.1f}" + (" (≤ 1/5)" if work == "put" else "")])
        costs.append([label, *(number(by_name[name]["server_us"]) for name in names),
                      f"1/{by_name['radosgw']['server_us'] / by_name['polis']['server_us']:.1f}"])
    versions = ", ".join(server.version for server in servers[1:])
    table(f"object: operations a second, median of {ROUNDS} rounds; {versions}. What is wanted stands in brackets",
          ["work", *names, "polis / radosgw", "polis / nginx"], rows)
    table("object: latency p50, p99 in ms", ["work", *names, "p99 polis / radosgw"], latencies)
    table("object: server CPU µs an operation (radosgw with its OSDs)", ["work", *names, "polis / radosgw"], costs)


def fill_for_listing(load, keys, seconds):
    """Empty objects under list/, until there are `keys` or the time is over."""
    measured = load.put_new("/bench/list/", size=0, requests=keys, seconds=seconds, connections=64, limit_s=seconds + 120)
    return measured["requests"], measured["rate"]


def list_pages(load, keys, seconds):
    # One connection: the time of a page, not how many fit side by side.
    return load("GET", "/bench", query="list-type=2&max-keys=1000&prefix=list%2F", after="list/", keys=max(1, keys - 1000), seconds=seconds, connections=1)


def measure_listing(polis, radosgw, options):
    rows = []
    few, _ = fill_for_listing(polis, 10_000, 60)
    small = list_pages(polis, few, 3)
    more, rate = fill_for_listing(polis, int(options.list_thousands * 1000) - few, options.list_seconds)
    large = list_pages(polis, few + more, 3)
    peer_keys, peer_rate = fill_for_listing(radosgw, few + more, min(40, options.list_seconds))
    peer = list_pages(radosgw, peer_keys, 3)
    rows.append(["polis", f"{few:,}", f"{small['latency_us']['p50'] / 1000:.2f}", f"{small['latency_us']['p99'] / 1000:.2f}", number(small["rate"]), f"{small['server_us']:,.0f}"])
    rows.append(["polis", f"{few + more:,} (PUT at {rate:,.0f}/s)", f"{large['latency_us']['p50'] / 1000:.2f}", f"{large['latency_us']['p99'] / 1000:.2f}",
                 number(large["rate"]), f"{large['server_us']:,.0f}"])
    rows.append(["radosgw", f"{peer_keys:,} (PUT at {peer_rate:,.0f}/s)", f"{peer['latency_us']['p50'] / 1000:.2f}", f"{peer['latency_us']['p99'] / 1000:.2f}",
                 number(peer["rate"]), f"{peer['server_us']:,.0f}"])
    table("object: pages of 1000 keys from a random place, one connection", ["server", "keys in the bucket", "p50 ms", "p99 ms", "pages/s", "server CPU µs a page"], rows)
    table("object: listing against what is wanted", ["what", "measured", "wanted"], [
        [f"pages a second, polis with {few + more:,} keys beside radosgw with {peer_keys:,}", f"{large['rate'] / peer['rate']:.1f} ×", "≥ 5 ×"],
        [f"p50 of a page at {few + more:,} keys beside {few:,}", f"{large['latency_us']['p50'] / small['latency_us']['p50']:.2f}", "≤ 1.3"]])


def measure_rows(options):
    """Listing at more keys than can be PUT in a run, and Complete of 10,000 parts: the rules on a Store on the same disk."""
    results = google_benchmark("src/systems/object/polis_systems_object_bench", "complete_10000|list_page", limit_s=1200,
                               POLIS_BENCH_KEYS=str(int(options.rows_millions * 1e6)))
    pages = {int(name.split("/")[1]): entry for name, entry in results.items() if name.startswith("list_page")}
    complete = next(entry for name, entry in results.items() if name.startswith("complete"))
    base = pages[min(pages)]
    rows = [[f"a page of 1000 keys of {keys:,}", f"{entry['p50_ms']:.2f} ms, CPU {entry['cpu_time'] / 1e6:.2f} ms",
             f"{entry['p50_ms'] / base['p50_ms']:.2f}, by CPU {entry['cpu_time'] / base['cpu_time']:.2f} of {min(pages):,}'s (≤ 1.3)"]
            for keys, entry in sorted(pages.items())]
    rows.append(["Complete of 10,000 parts: the document read, the parts checked, durable", f"{complete['p50_ms']:.1f} ms", "< 20 ms"])
    table("object: rules and rows alone, without HTTP (polis_systems_object_bench, p50)", ["what", "measured", "wanted"], rows)


def measure_complete(server, parts):
    """Complete of so many real parts of 5 MiB over HTTP."""
    s3 = client(server)
    part = os.urandom(5 << 20)
    times = []
    for i in range(ROUNDS):
        upload = s3.begin_multipart("bench", f"parts/{i}")
        etags = [s3.put_part("bench", f"parts/{i}", upload, n, part) for n in range(1, parts + 1)]
        document = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in enumerate(etags, 1))
        begin = time.monotonic()
        answer = s3.request("POST", f"/bench/parts/{i}", {"uploadId": upload},
                            f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>".encode())[2]
        times.append((time.monotonic() - begin) * 1000)
        if b"<Error>" in answer:
            raise SystemExit(f"bench: {server.name} did not complete: {answer[:300]!r}")
        s3.delete("bench", f"parts/{i}")
    return median(times)


def measure_space(program, connections):
    """Payload of a mix of small objects, even on a logarithmic scale, and what it takes on the drives of a polis of its own."""
    with PolisObjects() as server:
        client(server).make_bucket("bench")
        before = server.stored_bytes()
        measured = Load(program, server)("PUT", "/bench/mix/", **{"size": KIB4, "size-max": 1 << 20, "requests": 3000, "connections": connections})
        return measured["bytes"], server.stored_bytes() - before


def measure_degraded(polis, radosgw, seconds):
    works = {"4 KiB": (KIB4, 16), "100 kB": (KIB100, 16), "64 MiB": (MIB64, 2)}
    rows = []
    before = {label: polis.get_standing(size, seconds, connections) for label, (size, connections) in works.items()}
    peer_before = {label: radosgw.get_standing(size, seconds, connections) for label, (size, connections) in works.items()}
    polis.server.lose_drives(2)
    radosgw.server.stop_osds(2)
    time.sleep(8)  # radosgw's placement groups look for their new members
    for label, (size, connections) in works.items():
        after = polis.get_standing(size, seconds, connections)
        row = [label, number(before[label]["rate"]), number(after["rate"]), f"{after['rate'] / before[label]['rate']:.2f} (≥ 0.6)",
               f"{before[label]['server_us'] / after['server_us']:.2f}"]
        try:
            peer = radosgw.get_standing(size, seconds, connections)
            row += [number(peer_before[label]["rate"]), number(peer["rate"]), f"{peer['rate'] / peer_before[label]['rate']:.2f}"]
        except (SystemExit, subprocess.TimeoutExpired) as error:
            row += [number(peer_before[label]["rate"]), "fails", str(error)[-60:]]
        rows.append(row)
    table("object: GETs with two drives (OSDs) lost", ["size", "polis whole /s", "two lost /s", "ratio", "ratio by server CPU", "radosgw whole /s", "two lost /s", "ratio"], rows)


def bench_object(options):
    build("polis", "polis_systems_object_bench", "polis_kernel_blob_bench")
    program, seconds = build_load(), options.object_seconds
    begin = time.monotonic()

    def told(what):
        print(f"[{time.monotonic() - begin:.0f} s] {what}", flush=True)

    directory = tempfile.mkdtemp(prefix="polis-bench-disk-")
    try:
        bandwidth, syncs = disk_bandwidth(directory, 3), disk_syncs(directory, seconds=3)
    finally:
        os.rmdir(directory)
    table("the disk, by fio in this run", ["what", "value"], [
        ["sequential writes of 1 MiB past the page cache", f"{bandwidth / 1e6:,.0f} MB/s"],
        ["write of 4 KiB and fdatasync", f"{syncs[0]:,.0f}/s, fdatasync p50 {syncs[1]:.2f} ms, p99 {syncs[2]:.2f} ms"]])

    coding = google_benchmark("src/kernel/blob/polis_kernel_blob_bench", "isal_alone|encode_4_2|decode_two_lost")
    alone = coding["isal_alone"]["bytes_per_second"]
    table("object: 4+2 coding on one core beside ISA-L's ec_encode_data", ["what", "GB/s", "of ISA-L (≥ 1.5 with GFNI, ≥ 1.0 without)"],
          [[name, f"{e['bytes_per_second'] / 1e9:.1f}", f"{e['bytes_per_second'] / alone:.2f}"] for name, e in coding.items()])
    measure_rows(options)
    told("rows done")

    with PolisObjects() as server:
        time.sleep(3)
        resident = server.resident_mib()
    space = {connections: measure_space(program, connections) for connections in (16, 64)}
    table("object: space and memory", ["what", "measured", "wanted"], [
        *[[f"bytes on the drives beside payload: 3000 objects, 4 KiB to 1 MiB mixed, {connections} at once", f"{stored / payload:.3f} ({payload / 1e6:,.0f} MB)", "≤ 1.53"]
          for connections, (payload, stored) in space.items()],
        ["resident memory of an idle polis with object, all of it", f"{resident:.0f} MiB", "< 60 MB above an empty process"]])
    told("space done")

    with Radosgw() as radosgw, Nginx() as nginx, PolisObjects() as polis:
        told("radosgw is up")
        servers = [polis, radosgw, nginx]
        loads = [Load(program, server) for server in servers]
        for server in (polis, radosgw):
            client(server).make_bucket("bench")
        for load in loads:
            load.stand()
        told("objects stand")
        print_side_by_side(side_by_side(loads, seconds), servers)
        told("side by side done")
        measure_listing(loads[0], loads[1], options)
        told("listing done")
        complete_ms, peer_ms = measure_complete(polis, 100), measure_complete(radosgw, 20)
        table("object: Complete over HTTP, median", ["server", "parts of 5 MiB", "ms"], [["polis", 100, f"{complete_ms:.1f} (< 20)"], ["radosgw", 20, f"{peer_ms:.1f}"]])
        measure_degraded(loads[0], loads[1], seconds)
        told("done")

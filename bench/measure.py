"""What every benchmark needs: building, starting peers, counting CPU seconds, measuring the disk, printing tables."""
import json
import os
import signal
import socket
import subprocess
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
RELEASE = os.path.join(ROOT, "build/release")
sys.path.insert(0, os.path.join(ROOT, "tests/lib"))


def run(*words, limit_s=300, **options):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=limit_s, **options).stdout


def build(*targets):
    """Installs the peers and builds what is measured; POLIS_BENCH_BUILT=1 takes both as they are."""
    if os.environ.get("POLIS_BENCH_BUILT"):
        return
    subprocess.run([os.path.join(ROOT, "tools/install-packages"), "build", "bench"], check=True)
    subprocess.run([os.path.join(ROOT, "tools/build"), "release", *targets], check=True, stdout=subprocess.DEVNULL)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def median(values):
    return sorted(values)[len(values) // 2]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def table(title, columns, rows):
    print(f"\n{title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def google_benchmark(program, pattern, limit_s=300, **environment):
    text = run(os.path.join(RELEASE, program), f"--benchmark_filter={pattern}", "--benchmark_format=json", "--benchmark_min_time=0.5", limit_s=limit_s,
               env={**os.environ, **environment})
    return {entry["name"]: entry for entry in json.loads(text[text.index("{"):])["benchmarks"]}


class Server:
    """A peer that is started for the run and stopped by its process id."""

    def __init__(self, *words, port_on_stdout=False):
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE if port_on_stdout else subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline()) if port_on_stdout else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fio(directory, *options, seconds=5):
    """One fio job of writes in `directory`; its part of the JSON report."""
    text = run("fio", "--name=polis-bench", f"--directory={directory}", "--rw=write", f"--runtime={seconds}", "--time_based",
               "--output-format=json", *options)
    job = json.loads(text[text.index("{"):])["jobs"][0]
    for name in os.listdir(directory):
        if name.startswith("polis-bench."):
            os.unlink(os.path.join(directory, name))
    return job


def disk_bandwidth(directory, seconds=5):
    """Bytes a second that the disk takes in order: 1 MiB writes past the page cache, four at once."""
    job = fio(directory, "--bs=1m", "--size=2g", "--direct=1", "--ioengine=libaio", "--iodepth=4", seconds=seconds)
    return job["write"]["bw_bytes"]


def disk_syncs(directory, block="4k", seconds=5):
    """Syncs a second and their p50 and p99 in ms: a write of `block` and an fdatasync, one after the other."""
    job = fio(directory, f"--bs={block}", "--size=512m" if block != "4k" else "--size=64m", "--fdatasync=1", seconds=seconds)
    latency = job["sync"]["lat_ns"]["percentile"]
    return job["write"]["iops"], latency["50.000000"] / 1e6, latency["99.000000"] / 1e6

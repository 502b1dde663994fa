"""Ceph's S3 gateway as a peer: a fresh cluster of its own in one directory, erasure-coded 4+2 over six OSDs (bench/README.md)."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
import uuid

from measure import cpu_seconds, free_port, run

OSDS = 6

# In the peer's favour: messages inside the cluster are not signed, no logs, no scrubs or rebalancing in a run, RocksDB and BlueStore as they
# come. What it acknowledges is durable, as polis' is: BlueStore syncs its block files.
SETTINGS = """[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{msgr2},v1:127.0.0.1:{msgr1}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_allow_insecure_global_id_reclaim = false
cephx_sign_messages = false
keyring = {folder}/keyring
run_dir = {folder}
admin_socket = {folder}/$name.asok
pid_file = {folder}/$name.pid
log_file = {folder}/$name.log
log_to_stderr = false
err_to_stderr = true
crash_dir = {folder}/crash
debug_ms = 0/0
debug_osd = 0/0
debug_mon = 0/0
debug_mgr = 0/0
debug_rgw = 0/0
debug_rocksdb = 0/0
debug_bluestore = 0/0
debug_bdev = 0/0
debug_bluefs = 0/0
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 3
osd_pool_default_min_size = 2
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_max_pg_per_osd = 500
mon_data = {folder}/mon
mgr_data = {folder}/mgr
osd_data = {folder}/osd$id
osd_objectstore = bluestore
bluestore_block_create = true
bluestore_block_size = {osd_bytes}
bluestore_block_wal_create = false
bluestore_block_db_create = false
osd_memory_target = 1073741824
osd_scrub_begin_hour = 0
osd_scrub_load_threshold = 0.0001
mon_clock_drift_allowed = 1
rgw_data = {folder}/rgw
rgw_dynamic_resharding = false
rgw_enable_ops_log = false
rgw_enable_usage_log = false
"""


class Radosgw:
    """mon + mgr + six OSDs, each in a file, and one gateway; `port` speaks S3."""

    name = "radosgw"
    access, secret = "BENCHBENCHBENCHBENCH", "benchbenchbenchbenchbenchbenchbenchbench"
    credentials = ["--access", access, "--secret", secret]

    def __init__(self, osd_gib=24):
        for program in ("ceph-mon", "ceph-mgr", "ceph-osd", "radosgw", "radosgw-admin"):
            if not shutil.which(program):
                raise SystemExit(f"bench: {program} is not installed (packaging/bench.txt)")
        self.directory = tempfile.mkdtemp(prefix="polis-bench-ceph-")
        self.settings = os.path.join(self.directory, "ceph.conf")
        self.osd_bytes = osd_gib << 30
        self.processes = {}
        self.port = free_port()

    def __enter__(self):
        try:
            self._start()
        except BaseException as error:
            tail = "".join(self._log_of(name) for name in self.processes)
            self.__exit__(None, None, None)
            raise SystemExit(f"bench: no radosgw: {getattr(error, 'stderr', None) or error}\n{tail}") from error
        return self

    def __exit__(self, *_):
        # The gateway first; the monitor last, because the others ask it.
        for name in sorted(self.processes, key=self._stop_order):
            process = self.processes[name]
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def _stop_order(name):
        return ["rgw", "osd", "mgr", "mon"].index(name[:3])

    def _log_of(self, name):
        with open(os.path.join(self.directory, name + ".err"), encoding="utf-8", errors="replace") as file:
            text = file.read()
        return f"--- {name}: {self.processes[name].poll()}\n{text[-600:]}\n" if text else ""

    def _daemon(self, name, program, *words):
        # TCMalloc's default cache makes OSDs spin; this is what Debian's unit files set.
        with open(os.path.join(self.directory, name + ".err"), "wb") as log:
            self.processes[name] = subprocess.Popen([program, "-f", "-c", self.settings, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                    env={**os.environ, "TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES": "134217728"})

    def ceph(self, *words, limit_s=60):
        return run("ceph", "-c", self.settings, "--connect-timeout", "30", *words, limit_s=limit_s)

    def _start(self):
        folder, fsid = self.directory, str(uuid.uuid4())
        msgr1, msgr2 = free_port(), free_port()
        with open(self.settings, "w", encoding="ascii") as file:
            file.write(SETTINGS.format(folder=folder, fsid=fsid, msgr1=msgr1, msgr2=msgr2, osd_bytes=self.osd_bytes))
        for name in ("mon", "mgr", "rgw", "crash", *(f"osd{i}" for i in range(OSDS))):
            os.mkdir(os.path.join(folder, name))
        # One keyring for all; the monitor takes over every key in it.
        for i, name in enumerate(("mon.", "client.admin", "mgr.a", *(f"osd.{i}" for i in range(OSDS)))):
            run("ceph-authtool", *(() if i else ("--create-keyring",)), f"{folder}/keyring", "--gen-key", "-n", name, "--cap", "mon", "allow *",
                "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{msgr2},v1:127.0.0.1:{msgr1}]", "--fsid", fsid, f"{folder}/monmap")
        run("ceph-mon", "--mkfs", "-i", "a", "-c", self.settings, "--monmap", f"{folder}/monmap", "--keyring", f"{folder}/keyring")
        self._daemon("mon", "ceph-mon", "-i", "a")
        self.ceph("config", "set", "mon", "mon_warn_on_insecure_global_id_reclaim_allowed", "false")
        self._daemon("mgr", "ceph-mgr", "-i", "a")
        for i in range(OSDS):
            osd = str(uuid.uuid4())
            self.ceph("osd", "new", osd)
            run("ceph-osd", "--mkfs", "-i", str(i), "-c", self.settings, "--osd-uuid", osd)
            self._daemon(f"osd{i}", "ceph-osd", "-i", str(i))
        end = time.monotonic() + 60
        while f'"num_up_osds": {OSDS}' not in self.ceph("osd", "stat", "-f", "json-pretty"):
            if time.monotonic() > end:
                raise SystemExit("the OSDs do not come up")
            time.sleep(0.3)
        self.ceph("osd", "erasure-code-profile", "set", "bench", "plugin=isa", "k=4", "m=2", "crush-failure-domain=osd")
        self.ceph("osd", "pool", "create", "default.rgw.buckets.data", "32", "32", "erasure", "bench")
        self.ceph("osd", "pool", "create", "default.rgw.buckets.index", "8", "8")
        for pool in ("data", "index"):
            self.ceph("osd", "pool", "application", "enable", f"default.rgw.buckets.{pool}", "rgw")
        run("radosgw-admin", "-c", self.settings, "user", "create", "--uid=bench", "--display-name=bench",
            f"--access-key={self.access}", f"--secret-key={self.secret}", limit_s=120)
        self._daemon("rgw", "radosgw", "-n", "client.admin", f"--rgw_frontends=beast endpoint=127.0.0.1:{self.port}")
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5).read()
                break
            except OSError:
                if time.monotonic() > end or self.processes["rgw"].poll() is not None:
                    raise SystemExit("radosgw does not answer") from None
                time.sleep(0.2)

    @property
    def version(self):
        return "radosgw " + run("radosgw", "--version").split()[2]

    def cpu(self):
        """CPU seconds of the gateway and of all OSDs, the monitor and the manager."""
        return sum(cpu_seconds(process.pid) for process in self.processes.values())

    def pids(self):
        return [process.pid for process in self.processes.values()]

    def stored_bytes(self):
        """What BlueStore has allocated for the data pool, over all OSDs."""
        for pool in json.loads(self.ceph("df", "detail", "-f", "json"))["pools"]:
            if pool["name"] == "default.rgw.buckets.data":
                return pool["stats"]["bytes_used"]
        return 0

    def stop_osds(self, count):
        """Loses OSDs: killed, and marked down so that nobody waits for the timeout. Pools serve with as few as hold all bytes."""
        for pool in self.ceph("osd", "pool", "ls").split():
            self.ceph("osd", "pool", "set", pool, "min_size", "4" if pool == "default.rgw.buckets.data" else "1")
        for i in range(count):
            process = self.processes.pop(f"osd{i}")
            process.kill()
            process.wait()
            self.ceph("osd", "down", str(i))

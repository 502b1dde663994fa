"""Starts a polis of its own for a test: fresh directory, free ports, stopped by its process id."""
import atexit
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BINARY = os.environ.get("POLIS_BINARY", os.path.join(ROOT, "build/release/polis"))


class Failed(Exception):
    """A test found something that does not hold."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def wait_for(what, limit_s, probe):
    """Calls probe until it answers something true; fails with `what` after limit_s seconds."""
    end = time.monotonic() + limit_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {limit_s} s")
        time.sleep(0.01)


def tell_totals(test, line):
    """What a long test did, in one line: printed, and kept in POLIS_TOTALS_DIR if that is set."""
    line = f"{test}: {line}"
    print(line, flush=True)
    if os.environ.get("POLIS_TOTALS_DIR"):
        with open(os.path.join(os.environ["POLIS_TOTALS_DIR"], test), "w", encoding="utf-8") as file:
            file.write(line + "\n")


def crash_seed():
    """Of the random choices of a crash test; a failure names it."""
    return int(os.environ.get("POLIS_CRASH_SEED", str(random.randrange(1 << 32))))


def give_up(polis, seed, failure):
    """A failed crash test ends: its directory stays."""
    polis.own = False
    print(f"FAILED (POLIS_CRASH_SEED={seed}): {failure}; data kept in {polis.directory}")
    print(polis.log(3000))
    if polis.process:
        polis.kill()
    sys.exit(1)


class UnixConnection(http.client.HTTPConnection):
    """The socket of the data directory: whoever opens it acts as its owner."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def listen_option(name):
    """The option of a port as ready.json names it: "main", "stream.kafka"."""
    system, _, port = name.partition(".")
    return f"{system}.{port}_listen" if port else f"{system}.listen"


class Polis:
    """One running polis. Use as a context manager, or start() and stop()."""

    def __init__(self, settings=(), environment=None, systems=(), directory=None, verbose=False, keep_ports=False):
        self.own = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="polis-test-")
        self.data = os.path.join(self.directory, "data")
        self.log_path = os.path.join(self.directory, "polis.log")
        self.settings = list(settings)
        self.environment = {**os.environ, **(environment or {})}
        for name in ("POLIS_DATA", "POLIS_TOKEN"):
            self.environment.pop(name, None)
        self.systems = list(systems)
        self.verbose = verbose
        self.keep_ports = keep_ports  # every start after the first listens where the first one did
        self.process = None
        self.ready = None
        atexit.register(self._clean_up)

    def start(self, limit_s=60):
        command = [BINARY, "up", *self.systems, "--data", self.data]
        if self.keep_ports and self.ready:
            for name, port in self.ready["ports"].items():
                command += ["--set", f"{listen_option(name)}=127.0.0.1:{port}"]
        else:
            command.append("--free-ports")
        for setting in self.settings:
            command += ["--set", setting]
        ready_path = os.path.join(self.data, "run/ready.json")
        # A polis that was killed leaves its ready.json; the process id inside tells the new one from the old.
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)

        def ready():
            if self.process.poll() is not None:
                raise Failed(f"polis ended with {self.process.returncode} at its start:\n{self.log(3000)}")
            try:
                with open(ready_path, encoding="utf-8") as file:
                    document = json.load(file)
                return document if document["pid"] == self.process.pid else None
            except (FileNotFoundError, json.JSONDecodeError):
                return None

        self.ready = wait_for("polis is ready", limit_s, ready)
        return self

    def stop(self, limit_s=15):
        """Stops in an orderly way; fails when that takes longer than the 5 s that are promised (and a slow machine's grace)."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        try:
            status = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"polis did not stop within {limit_s} s of SIGTERM:\n{self.log(2000)}") from None
        self.stop_seconds = time.monotonic() - begin
        self.process = None
        check(status == 0, f"polis ended with {status} after SIGTERM:\n{self.log(3000)}")
        return status

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def _clean_up(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.own and not os.environ.get("POLIS_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None and self.process is not None:
            print(f"--- the end of polis' log\n{self.log(3000)}")
        if kind is None:
            self.stop()
        self._clean_up()

    def log(self, size_bytes):
        with open(self.log_path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size_bytes))
            return file.read().decode("utf-8", "replace")

    def port(self, name):
        return self.ready["ports"][name]

    @property
    def main_url(self):
        return f"http://127.0.0.1:{self.port('main')}"

    @property
    def s3_url(self):
        return f"http://127.0.0.1:{self.port('object.s3')}"

    @property
    def credentials(self):
        with open(os.path.join(self.data, "root-credentials.json"), encoding="utf-8") as file:
            return json.load(file)

    def command(self, *words, status=0, input_text=None, environment=None, limit_s=120):
        """Runs `polis WORDS... --data DIR`; returns its standard output. Fails on another exit status than `status`."""
        done = subprocess.run([BINARY, *words, "--data", self.data], input=input_text, text=True, capture_output=True, timeout=limit_s,
                              env={**self.environment, **(environment or {})}, check=False)
        check(status is None or done.returncode == status,
              f"polis {' '.join(words)} ended with {done.returncode}, not {status}\n{done.stdout}{done.stderr}")
        self.last_error = done.stderr
        return done.stdout

    def json(self, *words, **options):
        return json.loads(self.command(*words, "--json", **options))

    def api(self, method, path, body=None):
        """One request over the Unix socket; the JSON answer. Fails on a status of 300 and more."""
        connection = UnixConnection(os.path.join(self.data, "run/polis.sock"))
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        check(answer.status < 300, f"{method} {path} {body}: {answer.status} {text}")
        return json.loads(text)

    def apply(self, method, path, body=None):
        """Asks for a plan and applies it."""
        return self.api("POST", "/api/plan/v1/" + self.api(method, path, body)["id"])

    def get(self, path, headers=None):
        with urllib.request.urlopen(urllib.request.Request(self.main_url + path, headers=headers or {}), timeout=20) as answer:
            return answer.read().decode()

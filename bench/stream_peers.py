"""The peers of bench/run stream, each in a directory of its own on free ports: NATS JetStream and RabbitMQ streams."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from measure import cpu_seconds, free_port, run


def answers(port, limit_s=60):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"bench: nothing answers at port {port} after {limit_s} s")


class Peer:
    """A server that is started for the run; `pid` is the process that does the work."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="polis-bench-peer-")
        self.port = free_port()
        self.process = None
        self.pid = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def cpu(self):
        return cpu_seconds(self.pid)

    def popen(self, *words, **options):
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)


class JetStream(Peer):
    protocol, name = "jetstream", "NATS JetStream"

    def start(self):
        settings = os.path.join(self.directory, "nats.conf")
        with open(settings, "w", encoding="ascii") as file:
            file.write(f'host: 127.0.0.1\nport: {self.port}\njetstream {{ store_dir: "{self.directory}/store", max_mem: 1G, max_file: 100G }}\n')
        self.popen("nats-server", "-c", settings)
        self.pid = self.process.pid
        answers(self.port)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    @property
    def version(self):
        return "nats-server " + run("nats-server", "--version").strip().rsplit("v", 1)[1]


class RabbitMQ(Peer):
    protocol, name = "rabbitmq", "RabbitMQ streams"
    PROGRAMS = "/usr/lib/rabbitmq/bin"

    def start(self):
        folder = self.directory
        amqp, distribution, self.epmd = free_port(), free_port(), free_port()
        with open(os.path.join(folder, "rabbitmq.conf"), "w", encoding="ascii") as file:
            file.write(f"listeners.tcp.1 = 127.0.0.1:{amqp}\nstream.listeners.tcp.1 = 127.0.0.1:{self.port}\n"
                       "vm_memory_high_watermark.relative = 0.6\ndisk_free_limit.absolute = 1GB\n")
        with open(os.path.join(folder, "plugins"), "w", encoding="ascii") as file:
            file.write("[rabbitmq_stream].\n")
        self.environment = {
            **os.environ, "HOME": folder, "RABBITMQ_NODENAME": "bench@localhost", "RABBITMQ_MNESIA_BASE": folder + "/mnesia",
            "RABBITMQ_LOG_BASE": folder + "/logs", "RABBITMQ_CONFIG_FILE": folder + "/rabbitmq", "RABBITMQ_ENABLED_PLUGINS_FILE": folder + "/plugins",
            "RABBITMQ_DIST_PORT": str(distribution), "ERL_EPMD_PORT": str(self.epmd), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_PID_FILE": folder + "/pid", "RABBITMQ_CONF_ENV_FILE": folder + "/none", "RABBITMQ_GENERATED_CONFIG_DIR": folder + "/generated",
        }
        self.popen(os.path.join(self.PROGRAMS, "rabbitmq-server"), env=self.environment, start_new_session=True)
        answers(self.port, 120)
        with open(folder + "/pid", encoding="ascii") as file:
            self.pid = int(file.read())

    def stop(self):
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
        else:
            self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            subprocess.run(["epmd", "-port", str(self.epmd), "-kill"], capture_output=True, check=False, env=self.environment)

    @property
    def version(self):
        found = re.search(r"rabbitmq_server-([\d.]+)", " ".join(os.listdir("/usr/lib/rabbitmq/lib")))
        return "rabbitmq-server " + found.group(1)


class Load:
    """Runs the load client against one server and measures what the server spends."""

    def __init__(self, program, protocol, port, cpu):
        self.words, self.port, self.cpu = [program, protocol], port, cpu

    def __call__(self, work, limit_s=600, **options):
        words = [*self.words, work, "--port", str(self.port)]
        for name, value in options.items():
            words += ["--" + name.replace("_", "-"), str(value)]
        before = self.cpu()
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench: {' '.join(words)}: {done.stderr}")
        measured = json.loads(done.stdout)
        measured["server_cpu_seconds"] = self.cpu() - before
        if measured["failed"]:
            raise SystemExit(f"bench: {measured['failed']} messages were refused: {' '.join(words)}")
        gib = measured["messages"] * options.get("size", 1024) / (1 << 30)
        measured["rate"] = measured["messages"] / max(1e-9, measured["seconds"])
        measured["server_cpu_gib"] = measured["server_cpu_seconds"] / max(1e-9, gib)
        measured["client_cpu_gib"] = measured["client_cpu_seconds"] / max(1e-9, gib)
        return measured

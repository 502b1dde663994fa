"""What the stream's client scripts share. Debian's Python has the Kafka packages; another one in PATH hands over to it."""
import os
import subprocess
import sys
import uuid

if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3"):
    os.execv("/usr/bin/python3", ["/usr/bin/python3", "-B", *sys.argv])

from client import Client, run  # noqa: E402
from polis import check  # noqa: E402

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def brokers(polis, door="kafka"):
    return f"127.0.0.1:{polis.port('stream.' + door)}"


def fresh(name):
    """A topic, group or transactional id that nobody else has."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def create_topic(polis, topic, partitions=1, **config):
    words = [f"--config={key.replace('_', '.')}={value}" for key, value in config.items()]
    polis.command("stream", "topic", "create", topic, f"--partitions={partitions}", *words)
    return topic


def run_stream(test, **options):
    """Runs test(polis) against a fresh polis that has only the stream."""
    run(lambda polis, root: test(polis), systems=("stream",), **options)


class Kcat(Client):
    """kcat against one door; settings are librdkafka's."""

    def __init__(self, polis, door="kafka", **settings):
        super().__init__(polis)
        self.words = ["kcat", "-b", brokers(polis, door), "-m", "20"]
        for key, value in settings.items():
            self.words += ["-X", f"{key.replace('_', '.')}={value}"]

    def call(self, *words, input_text=None, status=0, limit_s=60):
        """Standard output of one run."""
        done = subprocess.run([*self.words, *words], env=self.environment, cwd=self.home, input=input_text, text=True,
                              capture_output=True, timeout=limit_s, check=False)
        held = done.returncode != 0 if status == "fails" else done.returncode == status
        check(held, f"kcat {' '.join(words)} ended with {done.returncode}, expected {status}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        self.said = done.stderr
        return done.stdout

    def produce(self, topic, text, *words):
        return self.call("-P", "-t", topic, *words, input_text=text)

    def consume(self, topic, *words):
        return self.call("-C", "-q", "-e", "-t", topic, *words)


def certificate_authority(directory):
    """A private authority, a server certificate for localhost and 127.0.0.1, and one for the client "alice"; paths by name."""
    os.makedirs(directory, exist_ok=True)
    path = {name: os.path.join(directory, name) for name in
            ("ca.pem", "ca.key", "server.pem", "server.key", "alice.pem", "alice.key", "extensions")}

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test authority",
            "-keyout", path["ca.key"], "-out", path["ca.pem"])
    for name, subject in (("server", "/CN=localhost"), ("alice", "/CN=alice")):
        with open(path["extensions"], "w", encoding="utf-8") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n" if name == "server" else "extendedKeyUsage=clientAuth\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                "-keyout", path[f"{name}.key"], "-out", os.path.join(directory, "request"))
        openssl("x509", "-req", "-in", os.path.join(directory, "request"), "-CA", path["ca.pem"], "-CAkey", path["ca.key"],
                "-CAcreateserial", "-days", "2", "-extfile", path["extensions"], "-out", path[f"{name}.pem"])
    return path

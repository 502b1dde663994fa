#!/usr/bin/env python3
"""librdkafka 2.0.2's own suite against one polis (README.md): its source package is unpacked and built once below build/, unchanged.

The tests that need a broker run one process each, several at a time, as its runner does; one that fails runs once more alone. The short form
takes a handful in the suite's quick mode. librdkafka.not_yet.txt names what does not pass, with the reason, and is held to the truth.

    POLIS_LIBRDKAFKA_TESTS=0098,0103   only these
    POLIS_SUITE_REPORT=DIR             keeps what each test printed
"""
import collections
import concurrent.futures
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from polis import BINARY, ROOT, Failed, Polis, check  # noqa: E402

VERSION = "2.0.2"
FOLDER = os.path.join(ROOT, "build/librdkafka-suite")
SHORT = ["0001_multiobj", "0008_reqacks", "0012_produce_consume", "0017_compression", "0022_consume_batch", "0030_offset_commit", "0073_headers",
         "0099_commit_metadata", "0129_fetch_aborted_msgs"]
AT_ONCE = 4
# Seconds that a loaded machine adds: the suite's own limits are multiplied by this.
PATIENCE = 3
# One of known reason may hang until its limit.
LIMIT_S, KNOWN_LIMIT_S = 420, 200
Test = collections.namedtuple("Test", "name local manual known_issue scenario")


class Absent(Exception):
    """The suite cannot be had here."""


def call(words, folder, limit_s, environment=None):
    """Runs a tool of the build; its output when it fails."""
    with tempfile.TemporaryFile("w+") as log:
        done = subprocess.run(words, cwd=folder, env=environment, stdout=log, stderr=log, timeout=limit_s, check=False)
        log.seek(0)
        text = log.read()
    if done.returncode:
        raise Failed(f"{' '.join(words)} ended with {done.returncode}\n{text[-3000:]}")
    return text


def source_lists(folder):
    """The machine's own package sources as source-package entries, in a list of their own: /etc stays as it is."""
    path = os.path.join(folder, "apt")
    os.makedirs(os.path.join(path, "lists/partial"), exist_ok=True)
    options = [f"Dir::State::lists={path}/lists", f"Dir::Etc::sourceparts={path}/parts", f"Dir::Etc::sourcelist={path}/none.list", "APT::Sandbox::User=root"]
    os.makedirs(f"{path}/parts", exist_ok=True)
    open(f"{path}/none.list", "w", encoding="utf-8").close()
    for found in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*.list"), *glob.glob("/etc/apt/sources.list.d/*.sources")]:
        if not os.path.exists(found):
            continue
        with open(found, encoding="utf-8") as file:
            text = file.read()
        target = os.path.join(path, "parts", os.path.basename(found) if found.startswith("/etc/apt/sources.list.d") else "machine.list")
        with open(target, "w", encoding="utf-8") as file:
            file.write(re.sub(r"(?m)^deb(?=\s)", "deb-src", re.sub(r"(?m)^(Types:).*$", r"\1 deb-src", text)))
    return [word for option in options for word in ("-o", option)]


def fetch_source():
    """The unpacked source, by apt from where this machine has its packages."""
    options = source_lists(FOLDER)
    try:
        call(["apt-get", *options, "-q", "update"], FOLDER, 120)
        call(["apt-get", *options, "-q", "source", "--download-only", "librdkafka"], FOLDER, 120)
    except (Failed, FileNotFoundError, subprocess.TimeoutExpired) as failure:
        raise Absent(f"apt has no source package librdkafka here ({str(failure).splitlines()[0]})") from None
    descriptions = glob.glob(os.path.join(FOLDER, f"librdkafka_{VERSION}-*.dsc"))
    if not descriptions:
        raise Absent(f"apt has another librdkafka than {VERSION}: {[os.path.basename(p) for p in glob.glob(FOLDER + '/*.dsc')]}")
    shutil.rmtree(os.path.join(FOLDER, "source"), ignore_errors=True)
    call(["dpkg-source", "-x", os.path.basename(descriptions[0]), "source"], FOLDER, 60)
    return os.path.join(FOLDER, "source")


def build():
    """The folder of the built suite; minutes the first time."""
    given = os.path.join(os.environ.get("POLIS_SUITES_DIR", "/nonexistent"), f"librdkafka-{VERSION}")
    source, stamp = os.path.join(FOLDER, "source"), os.path.join(FOLDER, "built")
    os.makedirs(FOLDER, exist_ok=True)
    if not os.path.exists(stamp):
        source = given if os.path.exists(given) else fetch_source()
        environment = {**os.environ, "CC": "clang-19", "CXX": "clang++-19"}
        call(["./configure", "--disable-gssapi", "--disable-curl"], source, 300, environment)
        call(["make", f"-j{os.cpu_count()}", "libs"], source, 1500, environment)
        call(["make", f"-j{os.cpu_count()}", "-C", "tests", "build"], source, 1500, environment)
        with open(stamp, "w", encoding="utf-8") as file:
            file.write(source + "\n")
    with open(stamp, encoding="utf-8") as file:
        return file.read().strip()


def all_tests(source):
    """The suite's own table of tests."""
    with open(os.path.join(source, "tests/test.c"), encoding="utf-8") as file:
        table = file.read()
    table = table[table.index("struct test tests[]"):]
    table = table[:table.index("{NULL}")]
    rows = re.findall(r"_TEST\(\s*(\w+),\s*([A-Z_0-9|\s]+?)\s*[,)]((?:[^_]|_(?!TEST\())*)", table)
    return [Test(name, "TEST_F_LOCAL" in flags, "TEST_F_MANUAL" in flags, bool(re.search(r"KNOWN_ISSUE\b", flags)),
                 "noautocreate" if "noautocreate" in rest else "default") for name, flags, rest in rows]


def authority(directory):
    """Certificates in the names and forms that 0097 asks for."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    for name, subject in (("server", "/CN=localhost"), ("client", "/CN=client")):
        with open(os.path.join(directory, "extensions"), "w", encoding="utf-8") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.req")
        openssl("x509", "-req", "-in", f"{name}.req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions", "-out", f"{name}.pem")
    openssl("pkcs12", "-export", "-in", "client.pem", "-inkey", "client.key", "-certfile", "ca.pem", "-out", "client.p12", "-passout", "pass:secret12")
    openssl("x509", "-in", "client.pem", "-outform", "DER", "-out", "client.der")
    openssl("x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der")
    openssl("rsa", "-in", "client.key", "-outform", "DER", "-out", "key.der")
    with open(os.path.join(directory, "all.pem"), "wb") as target:
        for name in ("other.pem", "ca.pem"):
            with open(os.path.join(directory, name), "rb") as part:
                target.write(part.read())
    path = lambda name: os.path.join(directory, name)  # noqa: E731
    return {"SSL_pkcs": path("client.p12"), "SSL_pub_der": path("client.der"), "SSL_pub_pem": path("client.pem"), "SSL_priv_der": path("key.der"),
            "SSL_priv_pem": path("client.key"), "SSL_ca_der": path("ca.der"), "SSL_ca_pem": path("ca.pem"), "SSL_all_cas_pem": path("all.pem"),
            "SSL_password": "secret12"}


class Surroundings:
    """A polis set up for one scenario of the suite, and what a test needs to find it."""

    def __init__(self, source, scenario, settings):
        self.source, self.scenario = source, scenario
        self.scratch = tempfile.mkdtemp(prefix="polis-librdkafka-")
        self.certificates = authority(self.scratch)
        os.symlink(os.path.join(source, "src"), os.path.join(self.scratch, "src"))  # 0053 reads a schema there
        self.polis = Polis(systems=("stream",), settings=[
            f"stream.auto_create_topics={'false' if scenario == 'noautocreate' else 'true'}", "stream.default_partitions=4", "stream.fewer_replicas=true",
            # As Kafka has it by default: members that come together are one generation; retention is looked at every five minutes, because
            # some tests write records of 1970 and read them back.
            "stream.initial_rebalance_delay=3s", *(settings or ("stream.tend_every=300s",)),
            f"stream.tls_certificate={self.scratch}/server.pem", f"stream.tls_key={self.scratch}/server.key"]).start()

    def stop(self):
        self.polis.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def configuration(self, test, folder):
        door, rows = "kafka", []
        if test.name == "0097_ssl_verify":
            door = "kafka_tls"
            rows = ["security.protocol=ssl", f"ssl.ca.location={self.scratch}/ca.pem", f"ssl.certificate.location={self.scratch}/client.pem",
                    f"ssl.key.location={self.scratch}/client.key", "ssl.key.password=secret12"]
        elif test.name == "0135_sasl_credentials":
            door, root = "kafka_sasl", self.polis.credentials
            rows = ["security.protocol=sasl_plaintext", "sasl.mechanism=PLAIN", f"sasl.username={root['access_key']}", f"sasl.password={root['secret_key']}"]
        address = f"127.0.0.1:{self.polis.port('stream.' + door)}"
        path = os.path.join(folder, "test.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join([f"metadata.broker.list={address}", f"test.timeout.multiplier={PATIENCE}", *rows]) + "\n")
        return path, address

    def run(self, test, quick, limit_s=LIMIT_S):
        """(state, seconds, what it printed)."""
        folder = tempfile.mkdtemp(prefix=test.name + "-", dir=self.scratch)
        configuration, address = self.configuration(test, folder)
        environment = {**os.environ, **(self.certificates if test.name == "0097_ssl_verify" else {}), "TESTS": test.name[:4], "TEST_SCENARIO": self.scenario,
                       "RDKAFKA_TEST_CONF": configuration, "TEST_REPORT": os.path.join(folder, "report.json"), "TEST_KAFKA_VERSION": "3.1.0",
                       "BROKERS": address, "KAFKA_PATH": os.path.join(HERE, "kafka"), "POLIS_BINARY": BINARY, "POLIS_DATA": self.polis.data,
                       "LD_LIBRARY_PATH": f"{self.source}/src:{self.source}/src-cpp"}
        begin = time.monotonic()
        output = os.path.join(folder, "output")
        with open(output, "w", encoding="utf-8") as log:
            try:
                subprocess.run([f"{self.source}/tests/test-runner", "-p1", "-L", *(["-Q"] if quick else [])], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                               stdout=log, stderr=log, timeout=limit_s, check=False)
            except subprocess.TimeoutExpired:
                log.write(f"\nended by us after {limit_s} s\n")
        state = "FAILED"
        try:
            with open(environment["TEST_REPORT"], encoding="utf-8") as file:
                state = json.loads(file.read(), strict=False)["tests"][test.name]["state"]
        except (OSError, ValueError, KeyError):
            pass  # it died before it reported
        with open(output, encoding="utf-8", errors="replace") as file:
            text = file.read()
        keep = os.environ.get("POLIS_SUITE_REPORT")
        if keep:
            os.makedirs(keep, exist_ok=True)
            shutil.copy(output, os.path.join(keep, f"{test.name}.log"))
        return state, time.monotonic() - begin, text


def reason_of(text):
    """The line that says why a test failed."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in text.splitlines()]
    for pattern in (r"Test failed|TEST FAILURE|^### Test|timed out", r"FAIL|[Ee]xpected|ended by us"):
        found = [line for line in lines if re.search(pattern, line)]
        if found:
            after = lines.index(found[0])
            return " ".join(lines[after:after + 3])[:400]
    return (lines or ["it printed nothing"])[-1][:400]


# 0077 waits 20 s for compaction.
OWN_SETTINGS = {"0077_compaction": ("stream.tend_every=2s",)}


def run_all(source, tests, quick, known):
    outcomes, notes = {}, {}
    groups = {}
    for test in tests:
        groups.setdefault((test.scenario, OWN_SETTINGS.get(test.name, ())), []).append(test)
    for (scenario, settings), chosen in groups.items():
        surroundings = Surroundings(source, scenario, settings)

        def once(test, at=surroundings):
            return at.run(test, quick, KNOWN_LIMIT_S if test.name in known else LIMIT_S)
        try:
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                for test, (state, seconds, text) in zip(chosen, pool.map(once, chosen)):
                    outcomes[test.name] = state
                    notes[test.name] = (seconds, text)
            for test in chosen:
                if outcomes[test.name] not in ("PASSED", "SKIPPED") and test.name not in known:
                    state, seconds, text = surroundings.run(test, quick)
                    outcomes[test.name] = "PASSED ALONE" if state == "PASSED" else state
                    notes[test.name] = (seconds, text)
        finally:
            surroundings.stop()
    return outcomes, notes


def known_exceptions():
    with open(os.path.join(HERE, "librdkafka.not_yet.txt"), encoding="utf-8") as file:
        rows = [line.split(None, 1) for line in file if line.strip() and not line.startswith("#")]
    return {row[0]: row[1].strip() for row in rows}


def main():
    try:
        source = build()
    except Absent as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    full = os.environ.get("POLIS_SUITE_FULL", "0") == "1"
    only = [name for name in os.environ.get("POLIS_LIBRDKAFKA_TESTS", "").split(",") if name]
    table = [test for test in all_tests(source) if not test.local]
    # Its runner leaves out manual tests and those of known issues, which are its own.
    tests = [test for test in table if not test.manual and not test.known_issue]
    if only:
        tests = [test for test in tests if test.name[:4] in only or test.name in only]
    elif not full:
        tests = [test for test in tests if test.name in SHORT]
    begin = time.monotonic()
    known = known_exceptions()
    outcomes, notes = run_all(source, tests, not full, known)
    passed = {name for name, state in outcomes.items() if state.startswith("PASSED")}
    skipped = {name for name, state in outcomes.items() if state == "SKIPPED"}
    failed = set(outcomes) - passed - skipped
    for name in sorted(outcomes):
        if name not in passed or outcomes[name] != "PASSED" or os.environ.get("POLIS_SUITE_REPORT"):
            print(f"{outcomes[name]:12} {name} {notes[name][0]:.1f} s {'' if name in passed else known.get(name) or reason_of(notes[name][1])}")
    line = f"suite librdkafka {VERSION}: {len(passed)} passed, {len(skipped)} skipped by the suite, {len(failed)} failed ({len(failed & set(known))} of them known)"
    if full and not only:
        line += f"; of its {len(table)} tests that need a broker"
    print(f"{line}; {time.monotonic() - begin:.0f} s")
    if os.environ.get("POLIS_TOTALS_DIR"):
        with open(os.path.join(os.environ["POLIS_TOTALS_DIR"], "client.stream_librdkafka"), "w", encoding="utf-8") as file:
            file.write(line + "\n")
    check(outcomes, "no test ran")
    check(not failed - set(known), f"{len(failed - set(known))} tests failed that are not known exceptions: {sorted(failed - set(known))}")


try:
    main()
except Failed as failure:
    print(f"FAILED: {failure}")
    sys.exit(1)

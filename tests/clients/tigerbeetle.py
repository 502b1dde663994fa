#!/usr/bin/env python3
"""tigerbeetle-node, unpatched: its own tests and benchmark on empty books, the largest batches, a server that is killed under a
running session, mutual TLS, and bytes that are no messages."""
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

from client import Client, Failed, Polis, check
from node_client import FOLDER, HERE, install

KILLS = 6


class Relay:
    """A fixed port in front of a polis that comes and goes on other ones; with a context it speaks TLS to it."""

    def __init__(self, target=None, context=None):
        self.target, self.context = target, context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near):
        try:
            far = socket.create_connection(("127.0.0.1", self.target), 5)
            far.settimeout(None)
            if self.context:
                far = self.context.wrap_socket(far, server_hostname="localhost")
        except OSError:
            near.close()
            return
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


def script(polis, port, mode):
    client = Client(polis, {"TIGERBEETLE_SETTINGS": json.dumps({"port": port, "mode": mode})})
    return client, ["node", os.path.join(FOLDER, "tigerbeetle.mjs")]


def own_tests():
    """Both of the package's programs want empty books."""
    dist = os.path.join(FOLDER, "node_modules/tigerbeetle-node/dist")
    with Polis(systems=("ledger",)) as polis:
        client = Client(polis, {"TB_ADDRESS": f"127.0.0.1:{polis.port('ledger.tigerbeetle')}"})
        said = client.run("node", os.path.join(dist, "test.js"))
        check(said.count(": PASSED") == 27 and "FAILED" not in said, f"test.js said\n{said}")
    with Polis(systems=("ledger",)) as polis:
        client = Client(polis, {"TB_ADDRESS": f"127.0.0.1:{polis.port('ledger.tigerbeetle')}"})
        said = client.run("node", os.path.join(dist, "benchmark.js"))
        check("transfers per second" in said and "AssertionError" not in said, f"benchmark.js said\n{said}")
        print(next(line for line in said.splitlines() if "transfers per second" in line))


def largest_batches():
    with Polis(systems=("ledger",)) as polis:
        client, words = script(polis, polis.port("ledger.tigerbeetle"), "work")
        check("worked" in client.run(*words), "the client did not come to its end")


def kills():
    """One client process, one session, several lives of the server; half of them end as in a power cut."""
    for environment in ({}, {"POLIS_TEST_DISK": "volatile"}):
        polis = Polis(systems=("ledger",), environment=environment).start()
        relay = Relay(polis.port("ledger.tigerbeetle"))
        client, words = script(polis, relay.port, "kill")
        process = subprocess.Popen(words, env=client.environment, cwd=client.home, text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = []
        reader = threading.Thread(target=lambda: said.extend(process.stdout), daemon=True)
        reader.start()
        pick = random.Random(4711)
        try:
            for _ in range(KILLS // 2):
                before = len(said)
                limit = time.monotonic() + 60
                while len(said) < before + 3:  # it has booked since the last start
                    if process.poll() is not None or time.monotonic() > limit:
                        raise Failed(f"the client stopped:\n{''.join(said)[-3000:]}\n{polis.log(2000)}")
                    time.sleep(pick.uniform(0.005, 0.05))
                polis.kill()
                polis.start()
                relay.target = polis.port("ledger.tigerbeetle")
            process.stdin.write("end\n")
            process.stdin.close()
            try:
                status = process.wait(60)
            except subprocess.TimeoutExpired:
                status = "no end within 60 s"
            reader.join(10)
            check(status == 0 and said and said[-1].startswith("ended"), f"the client ended with {status}:\n{''.join(said)[-3000:]}")
        finally:
            process.kill()
            process.wait()
            relay.close()
        polis.stop()


def openssl(*words, cwd):
    subprocess.run(["openssl", *words], cwd=cwd, check=True, capture_output=True, timeout=60)


def make_certificates(folder):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test authority",
            "-keyout", "ca.key", "-out", "ca.pem", cwd=folder)
    with open(os.path.join(folder, "localhost.ext"), "w", encoding="utf-8") as file:
        file.write("subjectAltName=DNS:localhost\n")
    for name in ("localhost", "root", "shop", "nobody"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr", cwd=folder)
        extensions = ["-extfile", "localhost.ext"] if name == "localhost" else []
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out",
                f"{name}.pem", *extensions, cwd=folder)


def mutual_tls():
    """The client knows no TLS; a relay brings the certificate."""
    polis = Polis(systems=("ledger",))
    folder = polis.directory
    make_certificates(folder)
    polis.settings += [f"ledger.tls_certificate={folder}/localhost.pem", f"ledger.tls_key={folder}/localhost.key",
                       f"ledger.tls_client_authorities={folder}/ca.pem"]
    with polis:
        port = polis.port("ledger.tigerbeetle_tls")

        def context(name=None):
            made = ssl.create_default_context(cafile=os.path.join(folder, "ca.pem"))
            if name:
                made.load_cert_chain(os.path.join(folder, f"{name}.pem"), os.path.join(folder, f"{name}.key"))
            return made

        polis.api("POST", "/api/auth/v1/users", {"name": "shop"})
        polis.api("PUT", "/api/auth/v1/policies/ledger-seven", {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["ledger:Post", "ledger:Read"], "Resource": "arn:polis:ledger:::ledger/7"}]})
        polis.api("PUT", "/api/auth/v1/users/shop/policies/ledger-seven", {})
        for name, mode, wanted in (("root", "work", "worked"), ("shop", "rights", "refused")):
            relay = Relay(port, context(name))
            client, words = script(polis, relay.port, mode)
            check(wanted in client.run(*words), f"the client with the certificate of {name} did not come to its end")
            relay.close()
        # Without a certificate nothing is read; with one of nobody the first request ends the connection.
        try:
            with context().wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname="localhost") as bare:
                bare.sendall(bytes(256))
                check(bare.recv(1) == b"", "a client without a certificate was answered")
        except (ssl.SSLError, ConnectionError):
            pass


def bad_bytes():
    def closed_after(port, data):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            try:
                connection.sendall(data)
                return connection.recv(1) == b""
            except ConnectionError:
                return True

    with Polis(systems=("ledger",)) as polis:
        port = polis.port("ledger.tigerbeetle")
        pick = random.Random(7)
        for data in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /ledger/v1 HTTP/1.1\r\n\r\n", bytes(256), b"\xff" * 5000,
                     b"\x16\x03\x01" + pick.randbytes(600), *(pick.randbytes(pick.randrange(256, 200_000)) for _ in range(50))):
            check(closed_after(port, data), f"{data[:20]} was not refused")
        # Half a header waits, and does not keep others from being served.
        with socket.create_connection(("127.0.0.1", port), 10) as half:
            half.sendall(bytes(100))
            client, words = script(polis, port, "work")
            check("worked" in client.run(*words), "the client did not come to its end")


def main():
    install()
    shutil.copy(os.path.join(HERE, "node/tigerbeetle.mjs"), FOLDER)
    chosen = sys.argv[1:]
    for test in (own_tests, largest_batches, kills, mutual_tls, bad_bytes):
        if chosen and test.__name__ not in chosen:
            continue
        begin = time.monotonic()
        try:
            test()
        except Failed as failure:
            print(f"FAILED: {test.__name__}: {failure}")
            raise SystemExit(1) from None
        print(f"{test.__name__}: {time.monotonic() - begin:.1f} s")
    print("ok")


if __name__ == "__main__":
    main()

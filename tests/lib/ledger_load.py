"""Drives tests/crash/ledger_load.cc, clients of the TigerBeetle protocol that outlive the polis they book into; and verification."""
import json
import os
import selectors
import subprocess
import time

from polis import ROOT, Failed, wait_for

PROGRAM = os.environ.get("POLIS_TEST_LEDGER_LOAD", os.path.join(ROOT, "build/release/tests/ledger_load"))


class LedgerLoad:
    def __init__(self, seed):
        self.process = subprocess.Popen([PROGRAM, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.buffer = b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def tell(self, word, port):
        self.process.stdin.write(f"{word} {port}\n".encode())
        self.process.stdin.flush()

    def expect(self, word, limit_s=120):
        """The next line, without its first word, which must be `word`."""
        end = time.monotonic() + limit_s
        while b"\n" not in self.buffer:
            if not self.selector.select(max(0, end - time.monotonic())):
                raise Failed(f"the load does not say '{word}' within {limit_s} s")
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                raise Failed(f"the load ended with {self.process.wait()} instead of saying '{word}'")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        first, _, rest = line.decode().partition(" ")
        if first != word:
            raise Failed(f"the load: {line.decode()}")
        return rest

    def ask(self, word, port, limit_s=120):
        self.tell(word, port)
        return self.expect("accounts" if word == "accounts" else word + "ed", limit_s)

    def close(self):
        """Ends the clients; what they counted in all."""
        self.process.stdin.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def verify_books(polis, limit_s=300):
    """Lets polis read the whole journal again and compare; what it says at the end, with "held" and perhaps "error"."""
    polis.api("POST", "/api/ledger/v1/verify")
    return wait_for("the verification ends", limit_s, lambda: (said := polis.api("GET", "/api/ledger/v1/verify"))["running"] is False and said)


def totals_of(line):
    return json.loads(line)

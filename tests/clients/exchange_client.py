"""What the exchange's client scripts share: a market with two traders, npm's jspurefix (its dictionary is QuickFIX's, too), and an initiator of
QuickFIX that is driven line by line."""
import fcntl
import filecmp
import json
import os
import queue
import shutil
import subprocess
import threading
import time

from client import run
from polis import ROOT, Failed, check

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(ROOT, "build/node-exchange")
BUILT = os.path.join(ROOT, "build/exchange-clients")
SYMBOL = "ABC"


def run_exchange(test, **options):
    """Runs test(polis) against a fresh polis that has the exchange and the ledger behind it."""
    run(lambda polis, root: test(polis), systems=("ledger", "exchange"), **options)


def set_up(polis, sessions, symbol=SYMBOL, **options):
    """An instrument, and for each session an account of the same name with money and shares."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    polis.command("exchange", "instrument", "set", symbol, "--tick=0.01", "--lot=1", "--quote=USD", *flags)
    for session in sessions:
        polis.command("exchange", "account", "add", session)
        polis.command("exchange", "session", "set", session, f"--account={session}", "--app=order", "--rate=100000", "--burst=200000")
        polis.command("exchange", "risk", "set", session, "--rate=100000", "--burst=200000")
        polis.command("exchange", "fund", session, "USD", "100000000")
        polis.command("exchange", "fund", session, symbol, "10000000")
    polis.command("exchange", "phase", symbol, "continuous")


def install_npm():
    """The folder where jspurefix is installed."""
    source = os.path.join(HERE, "node_exchange")
    wanted, stamp = os.path.join(source, "package-lock.json"), os.path.join(FOLDER, "installed.json")
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (os.path.exists(stamp) and filecmp.cmp(stamp, wanted, shallow=False)):
            for name in ("package.json", "package-lock.json"):
                shutil.copy(os.path.join(source, name), FOLDER)
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], cwd=FOLDER, check=True, timeout=600)
            shutil.copy(wanted, stamp)
    return FOLDER


def dictionary():
    return os.path.join(install_npm(), "node_modules/jspurefix/data/FIX44.xml")


def build_quickfix():
    """The initiator, compiled once per source."""
    source, binary = os.path.join(HERE, "exchange_quickfix.cc"), os.path.join(BUILT, "exchange_quickfix")
    os.makedirs(BUILT, exist_ok=True)
    with open(os.path.join(BUILT, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = binary + ".source"
        if not (os.path.exists(binary) and os.path.exists(stamp) and filecmp.cmp(stamp, source, shallow=False)):
            subprocess.run(["clang++-19", "-std=c++14", "-O1", "-w", source, "-o", binary, "-lquickfix", "-lpthread"], check=True, timeout=300)
            shutil.copy(source, stamp)
    return binary


class Report(dict):
    """A message: tag to value; of repeated tags the last."""

    def __init__(self, text):
        super().__init__()
        self.text = text
        for field in text.strip("|").split("|"):
            tag, _, value = field.partition("=")
            self[int(tag)] = value

    def __getattr__(self, name):
        raise AttributeError(name)

    def type(self):
        return self[35]


class QuickFix:
    """One FIX session of QuickFIX; its numbers live in a folder of their own."""

    def __init__(self, polis, sender, target="POLIS"):
        self.sender = sender
        store = os.path.join(polis.directory, "quickfix", sender)
        os.makedirs(store, exist_ok=True)
        self.process = subprocess.Popen([build_quickfix(), str(polis.port("exchange.fix")), sender, target, dictionary(), store],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.lines = queue.Queue()
        self.refused = []  # what QuickFIX found wrong in what the venue sent
        self.ids = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put("ended")

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def next(self, limit_s=20):
        """(kind, text) of the next line."""
        try:
            line = self.lines.get(timeout=limit_s)
        except queue.Empty:
            raise Failed(f"{self.sender} heard nothing for {limit_s} s") from None
        kind, _, text = line.partition(" ")
        if kind == "refused":
            self.refused.append(text)
            raise Failed(f"QuickFIX refuses what the venue sent: {text}")
        if kind in ("error", "ended"):
            raise Failed(f"{self.sender}: {line}")
        return kind, text

    def wait_for(self, kind, limit_s=20):
        end = time.monotonic() + limit_s
        skipped = []
        while time.monotonic() < end:
            seen, text = self.next(limit_s)
            if seen == kind:
                return text
            skipped.append((seen, text))
        raise Failed(f"{self.sender} waits for {kind} and heard {skipped[-3:]}")

    def start(self):
        self.say("start")
        self.wait_for("logon")
        return self

    def stop(self):
        self.say("stop")
        self.wait_for("stopped")

    def cut(self):
        self.say("cut")
        self.wait_for("stopped")

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def send(self, kind, **fields):
        """Fields by tag: send("D", t11="a", t38=5)."""
        self.say(f"send 35={kind}|" + "".join(f"{tag[1:]}={value}|" for tag, value in fields.items()))

    def app(self, limit_s=20):
        """The next application message."""
        while True:
            kind, text = self.next(limit_s)
            if kind == "app":
                report = Report(text)
                if report.type() == "8":
                    check_sums(report)
                return report
            check(kind != "admin" or Report(text).type() == "2", f"the venue said {kind} {text}")

    def fresh_id(self):
        self.ids += 1
        return f"{self.sender}-{self.ids}"

    def order(self, side, quantity, price=None, order_type=None, **more):
        """Sends 35=D and returns its ClOrdID."""
        own = self.fresh_id()
        fields = {"t11": own, "t38": quantity, "t40": order_type or ("2" if price else "1"), "t54": side, "t55": SYMBOL, "t60": now()}
        if price:
            fields["t44"] = price
        self.send("D", **{**fields, **more})
        return own

    def silent(self, seconds=0.3):
        """Fails if anything comes."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            return
        raise Failed(f"{self.sender} heard {line}")


def check_sums(report):
    ended = report[39] in ("4", "8", "C")
    whole = float(report[14]) + float(report[151])
    check(float(report[151]) == 0 if ended else whole == float(report.get(38, whole)), f"14 and 151 against 38: {report.text}")


def now():
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())


def settings(**values):
    return {"EXCHANGE_SETTINGS": json.dumps(values)}

#!/usr/bin/env python3
"""SIGTERM ends a polis that is still recovering, and the next start recovers everything."""
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import BINARY, Failed, Polis, check  # noqa: E402

TRANSFERS = 2_000_000  # seconds of replay without a snapshot


def main():
    with Polis(systems=("ledger",)) as polis:
        polis.command("ledger", "bench", "--transfers", str(TRANSFERS))
        head = polis.json("ledger", "head")
        polis.stop()
        shutil.rmtree(os.path.join(polis.data, "snapshot"))
        ready = os.path.join(polis.data, "run/ready.json")
        if os.path.exists(ready):
            os.remove(ready)
        with open(polis.log_path, "ab") as log:
            early = subprocess.Popen([BINARY, "up", "ledger", "--data", polis.data, "--free-ports"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        time.sleep(0.5)  # it is in the middle of the replay
        check(early.poll() is None and not os.path.exists(ready), "the start was too quick to be interrupted")
        begin = time.monotonic()
        early.send_signal(signal.SIGTERM)
        try:
            status = early.wait(20)
        except subprocess.TimeoutExpired:
            early.kill()
            raise Failed("SIGTERM was not heeded while starting") from None
        took = time.monotonic() - begin
        check(status == 0 and not os.path.exists(ready), f"it became ready first, and ended with {status} after {took:.1f} s")
        check(took < 1, f"SIGTERM took {took:.1f} s while starting")
        polis.start()
        check(polis.json("ledger", "head")["head"] == head["head"], "the next start recovered other books")
    print("ok")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

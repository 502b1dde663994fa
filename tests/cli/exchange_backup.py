#!/usr/bin/env python3
"""A backup made while orders come in restores to a venue that recomputes to the bit, holds what came before it, and goes on."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import BINARY, Failed, Polis, check  # noqa: E402


def restore(backup, data, passphrase):
    done = subprocess.run([BINARY, "restore", backup, "--data", data, "--with-keys"], input=passphrase + "\n", capture_output=True, text=True, timeout=120, check=False)
    check(done.returncode == 0, f"restore ended with {done.returncode}: {done.stdout}{done.stderr}")


def balances(polis):
    return {one["asset"]: one["total"] for one in polis.json("exchange", "account", "show", "A7")["balances"]}


def main():
    systems = ["ledger", "exchange"]
    with Polis(systems=systems) as polis:
        polis.command("exchange", "instrument", "set", "ABC", "--fee-taker", "0")
        polis.command("exchange", "account", "add", "A7")
        polis.command("exchange", "session", "set", "BRK1", "--account", "A7", "--rate", "0")
        polis.command("exchange", "risk", "set", "A7", "--rate", "0")
        polis.command("exchange", "fund", "A7", "USD", "10000000")
        polis.command("exchange", "fund", "A7", "ABC", "100000")
        polis.command("exchange", "load", "ABC", "--session", "BRK1", "--orders", "2000")
        steps = int(polis.json("exchange", "replay", "--verify")["steps"])
        load = subprocess.Popen([BINARY, "exchange", "load", "ABC", "--session", "BRK1", "--data", polis.data, "--orders", "100000", "--seed", "2"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        backup = os.path.join(polis.directory, "backup")
        polis.command("backup", backup, "--with-keys", input_text="open sesame please\n")
        check(load.wait(timeout=120) == 0, "the load ended badly")
        all_steps = int(polis.json("exchange", "replay", "--verify")["steps"])
        polis.stop()

        second = Polis(directory=os.path.join(polis.directory, "restored"), systems=systems)
        restore(backup, second.data, "open sesame please")
        second.start()
        verified = second.json("exchange", "replay", "--verify", "--balances", "--account", "A7")
        check(steps <= int(verified["steps"]) <= all_steps, f"{steps} steps before the backup, {all_steps} in all: {verified}")
        # One account on both sides, no fees: nothing is gained or lost, whatever rests.
        check(balances(second) == {"ABC": "100000", "USD": "10000000.00"}, f"{balances(second)}")
        second.command("exchange", "cancel", "A7")
        ran = second.json("exchange", "load", "ABC", "--session", "BRK1", "--orders", "500", "--seed", "4")["runs"][0]
        check(ran["accepted"] == 500, f"the restored venue goes on: {ran}")
        second.command("exchange", "fund", "A7", "USD", "1")
        check(balances(second)["USD"] == "10000001.00", f"money still comes in: {balances(second)}")
        second.stop()
        polis.start()
    print("ok")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

#!/usr/bin/env python3
"""A backup made while the ledger books restores to books that hold everything acknowledged before it began, and verify."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import BINARY, Failed, Polis, check  # noqa: E402


def restore(backup, data, passphrase):
    done = subprocess.run([BINARY, "restore", backup, "--data", data, "--with-keys"], input=passphrase + "\n", capture_output=True, text=True, timeout=120, check=False)
    check(done.returncode == 0, f"restore ended with {done.returncode}: {done.stdout}{done.stderr}")


def main():
    with Polis() as polis:
        polis.command("ledger", "ledger", "add", "1", "USD")
        polis.command("ledger", "account", "add", "bank", "--type", "asset")
        polis.command("ledger", "account", "add", "alice", "--limit", "debits_must_not_exceed_credits")
        polis.command("ledger", "transfer", "bank", "alice", "500.00", "--reference", "deposit-1")
        # Segments roll and chunks fill while the files are copied.
        load = subprocess.Popen([BINARY, "ledger", "bench", "--data", polis.data, "--transfers", "1500000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        backup = os.path.join(polis.directory, "backup")
        polis.command("backup", backup, "--with-keys", input_text="open sesame please\n")
        check(load.wait(timeout=120) == 0, "the load ended badly")
        head = polis.json("ledger", "head")
        polis.stop()

        second = Polis(directory=os.path.join(polis.directory, "restored"))
        restore(backup, second.data, "open sesame please")
        second.start()
        balance = second.json("ledger", "balance", "alice")
        check(balance["credits_posted"] == "50000", f"alice after the restore: {balance}")
        journal = second.json("ledger", "balance", "alice", "--from-journal")
        check(journal["credits_posted"] == "50000", f"alice from the journal: {journal}")
        verified = second.json("ledger", "verify")
        check(verified["held"] and 3 < verified["ops"] <= head["op"], f"verify: {verified}, head {head['op']}")
        totals = second.json("ledger", "trial-balance")
        for one in totals["ledgers"] if isinstance(totals, dict) else totals:
            check(one["debits_posted"] == one["credits_posted"], f"the books do not balance: {one}")
        # Life goes on, under the same key.
        second.command("ledger", "transfer", "bank", "alice", "1.00", "--reference", "deposit-2")
        check(second.json("ledger", "head")["op"] > verified["ops"], "the chain did not grow")
        second.stop()
        polis.start()
    print("ok")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

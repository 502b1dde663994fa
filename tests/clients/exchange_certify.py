#!/usr/bin/env python3
"""QuickFIX's acceptance definitions over TCP against a running polis. POLIS_FIX44_DEFINITIONS names the directory with the 59 files of QuickFIX's
test/definitions/server/fix44; without it the test is skipped."""
import os
import sys

from exchange_client import check, run_exchange

DEFINITIONS = os.environ.get("POLIS_FIX44_DEFINITIONS")
if not DEFINITIONS:
    print("skipped: POLIS_FIX44_DEFINITIONS names no directory with QuickFIX's fix44/*.def")
    sys.exit(77)


def test(polis):
    own = polis.json("exchange", "certify", DEFINITIONS, status=None)["definitions"]
    failed = [one for one in own if not one["passed"]]
    check(len(own) == 59 and not failed, f"in the process of the command: {failed}")
    polis.command("exchange", "account", "add", "TW44")
    polis.command("exchange", "session", "set", "TW44", "--account=TW44", "--app=reflect", "--reset-on-logon")
    outcomes = polis.json("exchange", "certify", DEFINITIONS, f"--address=127.0.0.1:{polis.port('exchange.fix')}", limit_s=400, status=None)["definitions"]
    failed = [one for one in outcomes if not one["passed"]]
    check(not failed, f"over TCP: {failed}")
    print(f"{len(own)} of 59 here, {len(outcomes)} of 59 over TCP")


run_exchange(test, settings=["exchange.comp_id=ISLD"])

#!/usr/bin/env python3
"""`polis tour --once` holds on a polis of its own, and a step that does not hold is told by row and exit status."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import BINARY, Failed, Polis, check  # noqa: E402


def main():
    done = subprocess.run([BINARY, "tour", "--once", "--json"], capture_output=True, text=True, timeout=600, check=False)
    check(done.returncode == 0, f"the tour ended with {done.returncode}\n{done.stdout}{done.stderr}")
    report = json.loads(done.stdout)
    check(report["held"] and all(s["held"] for s in report["steps"]), f"{report}")
    for system, least in (("object", 9), ("ledger", 9), ("exchange", 10)):
        steps = [s for s in report["steps"] if s["system"] == system]
        check(len(steps) >= least, f"{system} took {len(steps)} steps: {report}")
    print("\n".join(f"{s['step']:34} {s['duration_us'] / 1000:9.1f} ms  {s['what']}" for s in report["steps"]))

    with Polis() as polis:
        table = polis.command("tour", limit_s=600)
        check("All " in table and "durability" in table and "sell a watch for 200 USD" in table and "✗" not in table,
              f"the table for people: {table}")
        # A wrong secret: the first step fails, and everybody can see it.
        path = os.path.join(polis.data, "root-credentials.json")
        with open(path, encoding="utf-8") as file:
            credentials = json.load(file)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**credentials, "secret_key": "wrong"}, file)
        table = polis.command("tour", "object", status=1)
        check("✗ make a bucket" in table and "SignatureDoesNotMatch" in table, f"a failed step is shown: {table}")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

#!/usr/bin/env python3
"""kill -9 under load: every acknowledged change of objects, versions, uploads, buckets and settings holds after the restart (tests/crash/README.md)."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from object_load import SHARED, connect, join_all, let_write, list_versions, start_writers  # noqa: E402
from polis import Failed, Polis, check, crash_seed, tell_totals  # noqa: E402

WRITERS = 6
# Space comes back only after an hour: a fresh directory now and then keeps the disk small.
ROUNDS_A_DIRECTORY = 50


def verify_all(polis, writers):
    client = connect(polis)
    count = sum(writer.verify(client, False) for writer in writers)
    expected = {name[2] for writer in writers for name, thing in writer.world.items() if name[0] == "object" and thing}
    listed = {key for key, _, _ in client.list(SHARED)}
    check(listed == expected, f"listed but not there, or there but not listed: {sorted(listed ^ expected)[:5]}")
    # What is counted as used is what lies there, to the byte.
    buckets = {bucket["name"]: bucket for bucket in polis.api("GET", "/api/object/v1/buckets")["buckets"]}
    for name in [SHARED, *(writer.own for writer in writers)]:
        versions = list_versions(client, name)
        newest = dict(reversed([(key, marker) for key, _, marker, _ in versions]))
        there = {"objects": sum(not marker for marker in newest.values()), "versions": sum(not marker for _, _, marker, _ in versions),
                 "delete_markers": sum(marker for _, _, marker, _ in versions), "size_bytes": sum(size for _, _, _, size in versions)}
        counted = {kind: buckets[name][kind] for kind in there}
        check(counted == there, f"{name} is counted as {counted}, and holds {there}")
    client.close()
    return count


def rounds(count, volatile, seed, totals):
    polis = Polis(systems=("object",), environment={"POLIS_TEST_DISK": "volatile"} if volatile else {})
    chance = random.Random(f"{seed}-kill")
    try:
        polis.start()
        writers = start_writers(polis, WRITERS, seed)
        for _ in range(count):
            stop = threading.Event()
            threads = let_write(polis, writers, stop)
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.05, 1.2))  # the moment of the kill is the random input of this test
            stop.set()
            polis.kill()
            join_all(threads, writers)
            totals["under way"] += sum(bool(writer.pending) for writer in writers)
            begin = time.monotonic()
            polis.start()
            totals["longest_start"] = max(totals["longest_start"], time.monotonic() - begin)
            totals["reads"] += verify_all(polis, writers)
            totals["rounds"] += 1
        polis.stop()
    except BaseException:
        polis.own = False  # keeps the directory
        print(f"round {totals['rounds'] + 1}, seed {seed}, {'volatile' if volatile else 'page cache'}: data kept in {polis.directory}")
        print(polis.log(3000) if os.path.exists(polis.log_path) else "")
        raise
    for writer in writers:
        for kind, number in writer.acknowledged.items():
            totals["acknowledged"][kind] = totals["acknowledged"].get(kind, 0) + number
    polis._clean_up()


def main():
    count = int(os.environ.get("POLIS_CRASH_ROUNDS", "10"))
    seed = crash_seed()
    totals = {"rounds": 0, "reads": 0, "under way": 0, "longest_start": 0, "acknowledged": {}}
    try:
        for volatile, half in ((False, count - count // 2), (True, count // 2)):
            for first in range(0, half, ROUNDS_A_DIRECTORY):
                rounds(min(ROUNDS_A_DIRECTORY, half - first), volatile, seed + first, totals)
        if count >= 10:
            check(totals["acknowledged"].get("put", 0) > 0, f"the load did nothing: {totals}")
    except Failed as failure:
        print(f"FAILED (POLIS_CRASH_SEED={seed}): {failure}")
        sys.exit(1)
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(totals["acknowledged"].items(), key=lambda one: -one[1]))
    line = (f"{totals['rounds']} kills ({count // 2} with the volatile disk), {sum(totals['acknowledged'].values())} changes acknowledged: {kinds}; "
            f"{totals['under way']} changes under way, each found whole or not at all; {totals['reads']} reads after restarts, all bit-exact; "
            f"longest start {totals['longest_start']:.1f} s; seed {seed}")
    tell_totals("crash.object_kill", line)


main()

#!/usr/bin/env python3
"""kill -9 under full load: nothing acknowledged is lost, nothing is there twice, nothing aborted is read (tests/crash/README.md)."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from stream_load import StreamLoad  # noqa: E402
from polis import Failed, Polis, check, crash_seed, tell_totals  # noqa: E402

# Everything is read again at the end of a directory: a fresh one now and then keeps that to a second or two.
ROUNDS_A_DIRECTORY = 20
KINDS = ("acknowledged", "committed", "transactions", "aborted", "fenced", "copied", "rewound", "replaced")


def rounds_in_one_directory(count, volatile, seed, totals):
    # Every other directory makes new segments all the time, so that kills meet them too.
    small = (seed // ROUNDS_A_DIRECTORY + volatile) % 2 == 1
    settings = {"segment.bytes": "1048576"} if small else {}
    polis = Polis(systems=("stream",), keep_ports=True, environment={"POLIS_TEST_DISK": "volatile"} if volatile else {})
    chance = random.Random(f"{seed}-kill")
    load = None
    try:
        polis.start()
        load = StreamLoad(seed, polis.port("stream.kafka"), settings)
        for _ in range(count):
            load.go_on()
            time.sleep(chance.uniform(0.1, 0.9))  # the moment of the kill is the random input of this test
            load.tell_failures()
            polis.kill()
            begin = time.monotonic()
            polis.start()
            totals["longest_start"] = max(totals["longest_start"], time.monotonic() - begin)
            if chance.random() < 0.5:
                time.sleep(chance.uniform(0, 0.3))
            load.settle()
            totals["rounds"] += 1
        load.read_again()
        load.offsets_match()
        for kind, counted in load.totals().items():
            totals[kind] += counted
        load.close()
        load.tell_failures()
        polis.stop(60)
    except BaseException:
        polis.own = False  # keeps the directory
        print(f"round {totals['rounds'] + 1}, seed {seed}, {'volatile' if volatile else 'page cache'}: data kept in {polis.directory}")
        print(polis.log(3000) if os.path.exists(polis.log_path) else "")
        if polis.process is not None:
            polis.kill()
        raise
    finally:
        if load:
            load.ended.set()
    polis._clean_up()


def rounds(count, volatile, seed, totals):
    for first in range(0, count, ROUNDS_A_DIRECTORY):
        rounds_in_one_directory(min(ROUNDS_A_DIRECTORY, count - first), volatile, seed + first, totals)


def main():
    count = int(os.environ.get("POLIS_CRASH_ROUNDS", "6"))
    seed = crash_seed()
    totals = {name: 0 for name in ("rounds", "longest_start", *KINDS)}
    try:
        rounds(count - count // 2, False, seed, totals)
        rounds(count // 2, True, seed, totals)
        check(totals["committed"] and totals["aborted"] and totals["acknowledged"], f"the load did nothing: {totals}")
    except Failed as failure:
        print(f"FAILED (POLIS_CRASH_SEED={seed}): {failure}")
        os._exit(1)  # clients that wait for a dead polis are not waited for
    line = (f"{totals['rounds']} kills ({count // 2} with the volatile disk), {totals['acknowledged']} records acknowledged to "
            f"idempotent producers and copied exactly once ({totals['rewound']} batches rewound), {totals['transactions']} transactions with "
            f"{totals['committed']} records committed, {totals['aborted']} aborted, {totals['fenced']} producers fenced, {totals['replaced']} given up by their own library; nothing lost, twice, out of "
            f"order or read though aborted; longest start {totals['longest_start']:.1f} s; seed {seed}")
    tell_totals("crash.stream_kill", line)
    os._exit(0)


main()

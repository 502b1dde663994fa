#!/usr/bin/env python3
"""kill -9 under full load: every acknowledged transfer is there once, and the books balance (tests/crash/README.md)."""
import os
import random
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from ledger_load import LedgerLoad, totals_of, verify_books  # noqa: E402
from polis import Failed, Polis, check, crash_seed, tell_totals  # noqa: E402

# The journal is never trimmed and verify reads all of it: a fresh directory now and then keeps a round at its few seconds.
ROUNDS_A_DIRECTORY = 20
ROUNDS_A_VERIFY = 5
SMALL = ("ledger.snapshot_every=8MiB", "ledger.journal_segment=16MiB")
PORT = "ledger.tigerbeetle"
KINDS = ("acknowledged", "unknown", "booked", "looked_up", "replayed")


def verify(polis):
    """Every result, root and head of the journal again, and debits beside credits of every ledger."""
    said = verify_books(polis)
    check(said.get("held"), f"verify: {said}")
    for line in polis.api("GET", "/api/ledger/v1/trial-balance")["ledgers"]:
        for state in ("pending", "posted"):
            check(line[f"debits_{state}"] == line[f"credits_{state}"], f"the trial balance is not zero: {line}")


def last_command(polis):
    return polis.api("GET", "/api/ledger/v1/statistics")["ops"]


def rebuild(polis, load):
    """Everything that is derived is deleted; the journal alone gives the same bytes of every account."""
    # Reservations run out by the clock, as commands of their own: only books of the same command can be the same.
    for _ in range(10):
        command, before = last_command(polis), load.ask("accounts", polis.port(PORT))
        polis.stop(60)
        shutil.rmtree(os.path.join(polis.data, "snapshot/ledger"))
        polis.start(120)
        load.ask("check", polis.port(PORT))
        after = load.ask("accounts", polis.port(PORT))
        if last_command(polis) == command:
            break
    else:
        raise Failed("reservations ran out at every one of ten rebuilds")
    check(before == after, "an account has other bytes after a rebuild from the journal alone")


def rounds_in_one_directory(count, volatile, seed, totals):
    # Every other directory makes snapshots and new files all the time, so that kills meet them too.
    settings = SMALL if (seed // ROUNDS_A_DIRECTORY + volatile) % 2 else ()
    polis = Polis(systems=("ledger",), settings=settings, environment={"POLIS_TEST_DISK": "volatile"} if volatile else {})
    load = LedgerLoad(seed)
    chance = random.Random(f"{seed}-kill")
    try:
        polis.start()
        for number in range(count):
            load.tell("load", polis.port(PORT))
            load.expect("loading")
            time.sleep(chance.uniform(0.05, 0.9))  # the moment of the kill is the random input of this test
            polis.kill()
            load.expect("loaded")
            begin = time.monotonic()
            polis.start()
            totals["longest_start"] = max(totals["longest_start"], time.monotonic() - begin)
            counted = totals_of(load.ask("check", polis.port(PORT)))
            totals["rounds"] += 1
            if number % ROUNDS_A_VERIFY == ROUNDS_A_VERIFY - 1 or number == count - 1:
                verify(polis)
                totals["verified"] += 1
        rebuild(polis, load)
        verify(polis)
        totals["rebuilt"] += 1
        polis.stop(60)
        for kind in KINDS:
            totals[kind] += counted[kind]
    except BaseException:
        polis.own = False  # keeps the directory
        print(f"round {totals['rounds'] + 1}, seed {seed}, {'volatile' if volatile else 'page cache'}: data kept in {polis.directory}")
        print(polis.log(3000) if os.path.exists(polis.log_path) else "")
        raise
    finally:
        load.close()
    polis._clean_up()


def rounds(count, volatile, seed, totals):
    for first in range(0, count, ROUNDS_A_DIRECTORY):
        rounds_in_one_directory(min(ROUNDS_A_DIRECTORY, count - first), volatile, seed + first, totals)


def main():
    count = int(os.environ.get("POLIS_CRASH_ROUNDS", "6"))
    seed = crash_seed()
    totals = {name: 0 for name in ("rounds", "verified", "rebuilt", "longest_start", *KINDS)}
    try:
        rounds(count - count // 2, False, seed, totals)
        rounds(count // 2, True, seed, totals)
    except Failed as failure:
        print(f"FAILED (POLIS_CRASH_SEED={seed}): {failure}")
        sys.exit(1)
    line = (f"{totals['rounds']} kills ({count // 2} with the volatile disk), {totals['acknowledged']} transfers acknowledged, "
            f"{totals['unknown']} of unknown outcome resent, {totals['booked']} booked, each once; {totals['looked_up']} read back as sent; "
            f"{totals['replayed']} replies the same bit for bit; {totals['verified']} verifications, {totals['rebuilt']} rebuilds from the journal alone; "
            f"longest start {totals['longest_start']:.1f} s; seed {seed}")
    tell_totals("crash.ledger_kill", line)


main()

#!/usr/bin/env python3
"""One flipped byte anywhere in the ledger's files is found and named, and never served (tests/crash/README.md)."""
import filecmp
import json
import os
import random
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from ledger_load import verify_books  # noqa: E402
from polis import Failed, Polis, check, crash_seed, tell_totals  # noqa: E402

FOLDERS = ("journal/ledger", "snapshot/ledger")
# Enough for full chunks of history in files of their own, besides the journal and a snapshot.
TRANSFERS = 1_200_000
ACCOUNTS = 300
# Several files of each kind.
SETTINGS = ("ledger.journal_segment=32MiB", "ledger.snapshot_every=48MiB")
BOOKS = 7


def files_of(data):
    found = []
    for folder in FOLDERS:
        for at, _, names in os.walk(os.path.join(data, folder)):
            found += [os.path.relpath(os.path.join(at, name), data) for name in names]
    return sorted(found)


def served(polis):
    """What polis tells of its books: all accounts, and some history out of every part of it."""
    accounts = polis.api("GET", "/api/ledger/v1/accounts?limit=1000")
    head = polis.api("GET", "/api/ledger/v1/chain/head")
    return {"accounts": accounts, "head": {name: head[name] for name in ("op", "timestamp", "head")},
            "trial_balance": polis.api("GET", "/api/ledger/v1/trial-balance")}


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def offsets_of(path, chance, count):
    size = os.path.getsize(path)
    fixed = {0, 8, size // 2, size - 1}
    return sorted(offset for offset in fixed | {chance.randrange(size) for _ in range(count)} if 0 <= offset < size)


def names(text, relative):
    """Whether the message says where: the file, or the number of a command."""
    return os.path.basename(relative) in text or re.search(r"\bop(eration)? \d+|\bcommand \d+|\bposition \d+", text) is not None


def try_one(original, relative, offset, expected):
    """'refused', 'verify', 'repaired', 'rewritten' or 'unused': how the flipped byte was found."""
    directory = tempfile.mkdtemp(prefix="polis-damage-")
    try:
        shutil.copytree(original, os.path.join(directory, "data"), ignore=shutil.ignore_patterns("run"))
        flip(os.path.join(directory, "data", relative), offset)
        polis = Polis(systems=("ledger",), directory=directory, settings=SETTINGS)
        try:
            polis.start(120)
        except Failed as failure:
            check(names(str(failure), relative), f"the start was refused, but does not say where: {failure}")
            return "refused"
        try:
            said = polis.log(1 << 20)
            found = verify_books(polis).get("error")
            if found:
                check(names(found, relative), f"verify failed, but does not say where: {found}")
                return "verify"
            check(served(polis) == expected, "other books are served than before, and nothing was said")
            if os.path.basename(relative) in said:
                return "repaired"
            # Chunks behind the snapshot are written again from the journal without a look at what was there, and a snapshot that a
            # stop left unfinished is removed.
            after = os.path.join(polis.data, relative)
            mended = not os.path.exists(after) or filecmp.cmp(os.path.join(original, relative), after, shallow=False)
            return "rewritten" if mended else "unused"
        finally:
            polis.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def used_bytes(path):
    """The journal's newest segment is longer than what is in it: zeros that were laid out beforehand."""
    with open(path, "rb") as file:
        return len(file.read().rstrip(b"\0"))


def main():
    each = int(os.environ.get("POLIS_DAMAGE_OFFSETS", "2"))
    seed = crash_seed()
    chance = random.Random(seed)
    counts, failures = {}, []
    polis = Polis(systems=("ledger",), settings=SETTINGS)
    try:
        polis.start()
        polis.command("ledger", "bench", "--transfers", str(TRANSFERS), "--accounts", str(ACCOUNTS), "--books", str(BOOKS), "--json")
        polis.stop(60)
        polis.start()
        expected = served(polis)
        polis.stop(60)
        files = files_of(polis.data)
        for folder in FOLDERS:
            check(any(name.startswith(folder) for name in files), f"no file in {folder}: {files}")
        for relative in files:
            path = os.path.join(polis.data, relative)
            if os.path.getsize(path) == 0:
                continue
            for offset in offsets_of(path, chance, each):
                try:
                    how = try_one(polis.data, relative, offset, expected)
                    # The journal's checkpoint holds nothing of the books: half of it is spare, and a damaged half is as good as an old one.
                    aid = os.path.basename(relative) == "checkpoint"
                    check(how != "unused" or aid or offset >= used_bytes(path), "nothing was found")
                    counts[how] = counts.get(how, 0) + 1
                except Failed as failure:
                    failures.append(f"{relative}, byte {offset} of {os.path.getsize(path)}: {failure}")
                    print(failures[-1], flush=True)
        check(not failures, f"{len(failures)} of {len(failures) + sum(counts.values())} flipped bytes")
    except Failed as failure:
        polis.own = False
        print(f"FAILED (POLIS_CRASH_SEED={seed}): {failure}\ndata kept in {polis.directory}")
        sys.exit(1)
    line = f"one byte flipped {sum(counts.values())} times in {len(files)} files: {json.dumps(counts)}; seed {seed}"
    tell_totals("crash.ledger_damage", line)


main()

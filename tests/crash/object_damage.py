#!/usr/bin/env python3
"""A flipped byte anywhere on the drives is noticed, read around, and mended to what was there (tests/crash/README.md)."""
import itertools
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from object_load import connect, md5  # noqa: E402
from polis import Failed, Polis, check, crash_seed, give_up, tell_totals  # noqa: E402

BUCKET = "damage"
SIZES = [2049, 5_000, 30_000, 65_536, 65_537, 200_000, 262_144, 262_145, 1_000_000, 3_333_333]
SUPERBLOCK_BYTES, ALIGN_BYTES = 64, 64
FLIPS_A_FILE = 40


def fill(client, chance):
    """Blobs of every kind; what was written by key."""
    client.make_bucket(BUCKET)
    objects = {}
    for i in range(40):
        objects[f"o{i:02}"] = chance.randbytes(SIZES[i % len(SIZES)])
        client.put(BUCKET, f"o{i:02}", objects[f"o{i:02}"])
    parts = {n: chance.randbytes(5 << 20 if n < 3 else 70_000) for n in (1, 2, 3)}
    upload = client.begin_multipart(BUCKET, "multi")
    client.complete(BUCKET, "multi", upload, {n: client.put_part(BUCKET, "multi", upload, n, part) for n, part in parts.items()})
    objects["multi"] = b"".join(parts.values())
    return objects


def extent_files(drive):
    return sorted(os.path.join(drive, name) for name in os.listdir(drive) if name.endswith(".ext"))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def flip(path, offset, bit):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def offsets_of(content, superblock_alone, chance):
    """Some in every region: superblock, headers, units, the end; never in a hole, which holds nothing."""
    chosen = {chance.randrange(SUPERBLOCK_BYTES)}
    if superblock_alone:
        return sorted(chosen)
    chosen.add(len(content) - 1)
    for _ in range(FLIPS_A_FILE * 4):
        if len(chosen) >= FLIPS_A_FILE:
            break
        offset = chance.randrange(len(content))
        block = offset // ALIGN_BYTES * ALIGN_BYTES
        if any(content[block:block + ALIGN_BYTES]):
            chosen.add(offset)
    return sorted(chosen)


def check_all(polis, objects, chance):
    client = connect(polis)
    for key, body in objects.items():
        check(md5(client.get(BUCKET, key)) == md5(body), f"{key}: other bytes came back")
        begin = chance.randrange(len(body))
        end = min(len(body) - 1, begin + chance.randrange(100_000))
        check(client.get(BUCKET, key, begin, end) == body[begin:end + 1], f"{key}: other bytes came back for a range")
    client.close()


def damaged_rounds(polis, drives, objects, count, chance, totals):
    pairs = list(itertools.combinations(range(len(drives)), 2))
    chance.shuffle(pairs)
    pairs = (pairs * (count // len(pairs) + 1))[:count]
    for number, pair in enumerate(pairs):
        # Extents end when polis does: what is there now is what must be there again.
        pristine = {path: read(path) for index in range(len(drives)) for path in extent_files(drives[index])}
        flips = {}
        for index in pair:
            for path in extent_files(drives[index]):
                if len(pristine[path]) > SUPERBLOCK_BYTES:
                    flips[path] = offsets_of(pristine[path], number % 4 == 3, chance)
                    for offset in flips[path]:
                        flip(path, offset, chance.randrange(8))
        polis.start()
        if number % 2 == 0:  # reads find some of it first
            check_all(polis, objects, chance)
        polis.command("object", "scrub", limit_s=300)
        polis.command("object", "repair", limit_s=300)
        check_all(polis, objects, chance)
        polis.stop()
        for path, offsets in flips.items():
            now = read(path)
            wrong = [offset for offset in range(len(pristine[path])) if now[offset] != pristine[path][offset]] if now != pristine[path] else []
            check(not wrong, f"{path}: {len(wrong)} of {len(offsets)} flipped bytes were not mended, among them those at {wrong[:5]}")
            totals["flips"] += len(offsets)
        totals["rounds"] += 1


def drive_files(polis, drives, objects, chance, totals):
    """A byte of what says which drive a directory is: the drive is known by its extents all the same, or left out and said to be."""
    path = os.path.join(drives[chance.randrange(len(drives))], "drive.polis")
    pristine = read(path)
    for offset in sorted(chance.sample(range(len(pristine)), 4)):
        flip(path, offset, chance.randrange(8))
        polis.start()
        check_all(polis, objects, chance)
        client = connect(polis)
        client.put(BUCKET, "after", b"x" * 5000)  # five of six are enough
        polis.command("object", "repair", limit_s=300)
        states = [drive["state"] for drive in polis.api("GET", "/api/object/v1/drives")["drives"]]
        check(states == ["online"] * len(drives), f"with one byte of drive.polis flipped the drives are {states}, also after a repair")
        polis.stop()
        totals["drive files"] += 1


def main():
    seed = crash_seed()
    count = max(4, int(os.environ.get("POLIS_CRASH_ROUNDS", "10")) * 3 // 10)
    chance = random.Random(seed)
    totals = {"rounds": 0, "flips": 0, "drive files": 0}
    polis = Polis(systems=("object",))
    try:
        polis.start()
        objects = fill(connect(polis), chance)
        drives = [drive["path"] for drive in polis.api("GET", "/api/object/v1/drives")["drives"]]
        polis.stop()
        damaged_rounds(polis, drives, objects, count, chance, totals)
        drive_files(polis, drives, objects, chance, totals)
    except Failed as failure:
        give_up(polis, seed, failure)
    line = (f"{totals['flips']} bytes flipped in {totals['rounds']} rounds, on two drives each: superblocks, headers, data and "
            f"parity; every object read bit-exact, every file mended to the byte; {totals['drive files']} bytes of drive.polis; seed {seed}")
    tell_totals("crash.object_damage", line)
    shutil.rmtree(polis.directory, ignore_errors=True)


main()

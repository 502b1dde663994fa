#!/usr/bin/env python3
"""A pool of drives grows while it runs: what a lost drive held is rebuilt on the others, and classes of more units are
offered. The drives are found again by the next start."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import Failed, Polis, check, wait_for  # noqa: E402


def states(polis):
    return [drive["state"] for drive in polis.json("object", "drives")["drives"]]


def same(polis, objects, when):
    for key, blob in objects.items():
        down = os.path.join(polis.directory, "down")
        polis.command("object", "cp", f"s3://grown/{key}", down)
        with open(down, "rb") as read:
            check(read.read() == blob, f"{key} {when}")


def put(polis, objects, key, blob):
    up = os.path.join(polis.directory, "up")
    with open(up, "wb") as out:
        out.write(blob)
    polis.command("object", "cp", up, f"s3://grown/{key}")
    objects[key] = blob


def main():
    objects = {}
    with Polis(systems=("object",)) as polis:
        run = polis.command
        run("object", "mb", "s3://grown")
        for i in range(4):
            put(polis, objects, f"before-{i}", os.urandom(100_000 * i * i + 5000))
        polis.command("object", "drives", "add", status=1)
        polis.command("object", "drives", "add", "relative", "--yes", status=1)
        full = os.path.join(polis.directory, "full")
        os.makedirs(full)
        with open(os.path.join(full, "drive.polis"), "wb") as out:
            out.write(b"of somebody else")
        polis.command("object", "drives", "add", full, "--yes", status=1)
        for i in (6, 7):
            run("object", "drives", "add", os.path.join(polis.directory, f"disk{i}"), "--yes")
        check(states(polis) == ["online"] * 8, f"eight drives: {states(polis)}")
        for i in range(4):
            put(polis, objects, f"after-{i}", os.urandom(100_000 * i * i + 5000))
        same(polis, objects, "after the pool grew")
        polis.stop()
        polis.start()
        check(states(polis) == ["online"] * 8, f"eight drives after a start: {states(polis)}")
        check(any(name.endswith(".ext") for name in os.listdir(os.path.join(polis.directory, "disk7"))), "it is used")
        for drive in ("0", "3"):
            run("object", "kill-drive", drive, "--yes")
            run("object", "repair")
        for drive in ("5", "7"):
            run("object", "kill-drive", drive, "--yes")
        same(polis, objects, "four of eight drives out, two of them rebuilt")
        for drive in ("0", "3", "5", "7"):
            run("object", "drive-online", drive)
        run("object", "repair")
        same(polis, objects, "with all drives back")
    print("ok")


if __name__ == "__main__":
    try:
        main()
    except Failed as problem:
        sys.exit(f"failed: {problem}")

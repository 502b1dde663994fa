#!/usr/bin/env python3
"""Two of six drives vanish under GET load: no GET fails; after repair two others may vanish (tests/crash/README.md)."""
import hashlib
import os
import random
import shutil
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import Failed, Polis, check, tell_totals, wait_for  # noqa: E402
from s3 import S3, S3Error  # noqa: E402

BUCKET = "drives"
SIZES = [1, 1500, 2049, 30_000, 200_000, 262_144, 1_000_000, 3_333_333]


class Readers:
    """Threads that GET random objects whole and by range and compare, until told to stop."""

    def __init__(self, connect, objects, count=4):
        self.stop = threading.Event()
        self.reads = 0
        self.problems = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(connect(), objects, i), daemon=True) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, client, objects, seed):
        chance = random.Random(seed)
        keys = sorted(objects)
        while not self.stop.is_set():
            key = chance.choice(keys)
            body = objects[key]
            try:
                if chance.random() < 0.3:
                    begin = chance.randrange(len(body))
                    end = min(len(body) - 1, begin + chance.randrange(100_000))
                    same = client.get(BUCKET, key, begin, end) == body[begin:end + 1]
                else:
                    same = hashlib.md5(client.get(BUCKET, key)).digest() == hashlib.md5(body).digest()
                problem = None if same else f"{key}: other bytes came back"
            except Exception as error:
                problem = f"{key}: {error!r}"
            with self.lock:
                self.reads += 1
                if problem:
                    self.problems.append(problem)

    def at_least(self, more):
        goal = self.reads + more
        wait_for(f"{more} more reads", 60, lambda: self.reads >= goal or self.problems)

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        check(not self.problems, f"{len(self.problems)} of {self.reads} GETs failed: {self.problems[:3]}")
        return self.reads


def drive_paths(polis):
    drives = polis.api("GET", "/api/object/v1/drives")["drives"]
    check(len(drives) == 6, f"six drives by default, not {len(drives)}")
    return [drive["path"] for drive in drives]


def writes_are_refused(client):
    """Four of six drives take no PUT: it would be lost with the next. It is told so, at once."""
    try:
        client.put(BUCKET, "refused", bytes(300_000))
    except S3Error as error:
        check(error.status == 503, f"a PUT with two drives out: {error}")
        return
    raise Failed("a PUT was acknowledged with two of six drives out")


def main():
    chance = random.Random(int(os.environ.get("POLIS_CRASH_SEED", "7")))
    with Polis(systems=("object",)) as polis:
        root = polis.credentials

        def connect():
            return S3("127.0.0.1", polis.port("object.s3"), root["access_key"], root["secret_key"])

        client = connect()
        client.make_bucket(BUCKET)
        objects = {f"o{i:02}": chance.randbytes(SIZES[i % len(SIZES)]) for i in range(40)}
        for key, body in objects.items():
            client.put(BUCKET, key, body)
        paths = drive_paths(polis)

        readers = Readers(connect, objects)
        readers.at_least(50)
        for path in chance.sample(paths, 2):
            shutil.rmtree(path)  # open descriptors go on working; what follows must not depend on them
        readers.at_least(300)
        # A restart loses the descriptors: now the drives are really gone.
        degraded = readers.finish()
        polis.stop()
        polis.start()
        readers = Readers(connect, objects)
        readers.at_least(300)
        writes_are_refused(connect())
        for index, path in enumerate(paths):
            if not os.path.isdir(path) or not os.listdir(path):
                polis.apply("POST", f"/api/object/v1/drives/{index}/replace")
        polis.command("object", "repair", limit_s=300)
        states = [drive["state"] for drive in polis.api("GET", "/api/object/v1/drives")["drives"]]
        check(states == ["online"] * 6, f"after the repair the drives are {states}")
        gone = [p for p in paths if not os.path.isdir(p) or not os.listdir(p)]
        check(not gone, f"after repair the drives are filled again: {gone}")
        objects_after = {f"after{i}": chance.randbytes(size) for i, size in enumerate(SIZES)}
        for key, body in objects_after.items():
            connect().put(BUCKET, key, body)
        for path in chance.sample(paths, 2):
            shutil.rmtree(path)
        readers.at_least(300)
        repaired = readers.finish()
        polis.stop()
        polis.start()
        readers = Readers(connect, objects)
        readers.at_least(200)
        for key, body in objects_after.items():
            check(connect().get(BUCKET, key) == body, f"{key}: written after the repair, and other bytes came back")
        total = degraded + repaired + readers.finish()
    line = f"{total} GETs while 2 of 6 drives were removed, twice, with a repair between; 0 failed"
    tell_totals("crash.object_drives", line)


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

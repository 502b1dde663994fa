#!/usr/bin/env python3
"""Compaction, the reaper and the scrub run all the time, under load and kill -9: nothing is lost by them, and space comes back (tests/crash/README.md)."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from object_load import SHARED, connect, join_all, let_write, list_versions, md5, start_writers  # noqa: E402
from polis import Failed, Polis, check, crash_seed, give_up, tell_totals, wait_for  # noqa: E402
from s3 import S3Error  # noqa: E402

WRITERS, READERS = 4, 4
# What nobody refers to is swept after 4 s here, an hour elsewhere: a PUT must not take longer from its bytes to its row.
SWEEP_S = 4
SETTINGS = ["object.compaction_interval=1s", "object.scrub_interval=1m", "object.scrub_bytes_per_second=16777216"]


class Reader(threading.Thread):
    """Reads what is there while it is overwritten, moved and swept: whole, or not there, and never anything else."""

    def __init__(self, polis, writers, number, stop):
        super().__init__(daemon=True)
        self.client, self.writers, self.stop = connect(polis), writers, stop
        self.random = random.Random(number)
        self.reads, self.moved_parts, self.problem = 0, 0, None

    def run(self):
        try:
            while not self.stop.is_set():
                writer = self.random.choice(self.writers)
                # A look into another thread's world: only where to look, not what to find.
                keys = [name for name in list(writer.world) if name[0] in ("object", "versions")]
                if not keys:
                    continue
                _, bucket, key = self.random.choice(keys)
                try:
                    _, headers, body = self.client.request("GET", f"/{bucket}/{key}")
                except S3Error as error:
                    check(error.code == "NoSuchKey", f"{bucket}/{key}: {error}")
                    continue
                etag = headers["etag"].strip('"')
                check("-" in etag or headers.get("x-amz-server-side-encryption") or md5(body) == etag, f"{bucket}/{key}: bytes and ETag differ")
                check(len(body) == int(headers["content-length"]), f"{bucket}/{key}: cut short")
                self.reads += 1
        except Failed as failure:
            self.problem = str(failure)
        except Exception as error:
            if not self.stop.is_set():
                self.problem = f"a reader: {error!r}"
        finally:
            self.client.close()


def empty(client, writers):
    """Removes everything that the writers made."""
    for writer in writers:
        for name, uploads in writer.world.items():
            if name[0] == "uploads":
                for key, upload, _ in uploads:
                    client.request("DELETE", f"/{name[1]}/{key}", {"uploadId": upload})
        for key, version, _, _ in list_versions(client, writer.own):
            client.request("DELETE", f"/{writer.own}/{key}", {"versionId": version})
        if "lock" in writer.features:
            body = b"<LegalHold><Status>OFF</Status></LegalHold>"
            for key, version, _, _ in list_versions(client, writer.locked):
                client.request("PUT", f"/{writer.locked}/{key}", {"legal-hold": "", "versionId": version}, body)
                client.request("DELETE", f"/{writer.locked}/{key}", {"versionId": version})
    for key, _, _ in client.list(SHARED):
        client.delete(SHARED, key)


def blob_of(polis):
    return polis.api("GET", "/api/object/v1/status")["blob"]


def compact(polis):
    """One more compaction, unless one runs; returns the bytes stored."""
    jobs = polis.api("GET", "/api/object/v1/jobs")["jobs"]
    if not any(job["kind"] == "compact" and job["running"] for job in jobs):
        polis.api("POST", "/api/object/v1/jobs/compact")
    for job in jobs:
        check(not job.get("error"), f"the job {job['kind']} failed: {job.get('error')}")
    time.sleep(0.2)
    return blob_of(polis)["stored_bytes"]


def main():
    seed = crash_seed()
    count = max(2, int(os.environ.get("POLIS_CRASH_ROUNDS", "10")) // 5)
    chance = random.Random(f"{seed}-kill")
    totals = {"kills": 0, "verified": 0, "reads": 0, "changes": 0, "given back": 0}
    polis = Polis(systems=("object",), settings=SETTINGS, environment={"POLIS_TEST_SWEEP_S": str(SWEEP_S)})
    try:
        polis.start()
        writers = start_writers(polis, WRITERS, seed)
        for number in range(count):
            stop = threading.Event()
            threads = let_write(polis, writers, stop)
            readers = [Reader(polis, writers, seed + number * 100 + i, stop) for i in range(READERS)]
            for thread in threads + readers:
                thread.start()
            end = time.monotonic() + SWEEP_S * 2 + chance.uniform(0, SWEEP_S)
            peak = 0
            while time.monotonic() < end:  # the moment of the kill is the random input of this test
                stored = compact(polis)
                totals["given back"] += max(0, peak - stored)
                peak = stored
            stop.set()
            if number % 2 == 0:
                polis.kill()
            join_all(threads + readers, writers + readers)
            totals["reads"] += sum(reader.reads for reader in readers)
            if number % 2 == 0:
                polis.start()
                totals["kills"] += 1
            client = connect(polis)
            totals["verified"] += sum(writer.verify(client, False) for writer in writers)
            client.close()
        totals["changes"] = sum(sum(writer.acknowledged.values()) for writer in writers)
        # Once nothing is named any more, nothing stays: no matter what kills left behind.
        client = connect(polis)
        full = blob_of(polis)["stored_bytes"]
        empty(client, writers)
        wait_for("all space is back", SWEEP_S * 15 + 30, lambda: compact(polis) < 1 << 20)
        totals["given back"] += full - blob_of(polis)["stored_bytes"]
        usage = {bucket["name"]: bucket["size_bytes"] for bucket in polis.api("GET", "/api/object/v1/buckets")["buckets"]}
        check(not any(size for name, size in usage.items() if not name.startswith("probe")), f"empty buckets are counted as {usage}")
        polis.stop()
    except Failed as failure:
        give_up(polis, seed, failure)
    line = (f"{totals['changes']} changes and {totals['reads']} reads beside compaction, reaper and scrub, {totals['kills']} kills; "
            f"{totals['verified']} values verified, {totals['given back'] >> 20} MiB given back, nothing left behind; seed {seed}")
    tell_totals("crash.object_care", line)


main()

#!/usr/bin/env python3
"""kill -9 under load: every acknowledged PUT, delete, part and completion holds after the restart (tests/crash/README.md)."""
import hashlib
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import Failed, Polis, check  # noqa: E402
from s3 import S3, S3Error  # noqa: E402

BUCKET = "crash"
WRITERS = 6
KEYS_PER_WRITER = 12
# Inline, packed, a row of its own, several rows; small ones most often, because they share rows and syncs.
SIZES = [0, 1, 700, 2048, 2049, 9_000, 60_000, 200_000, 262_144, 600_000, 1_500_000]
ABSENT = "absent"


def md5(body):
    return hashlib.md5(body).hexdigest()


class Writer:
    """One client with keys of its own and the model of what polis acknowledged to it."""

    def __init__(self, number, seed):
        self.number = number
        self.random = random.Random(f"{seed}-{number}")
        self.allowed = {}        # key -> set of contents (MD5, or ABSENT) that a reader may find
        self.upload = None       # (key, upload id, {part: (etag, body)}): acknowledged parts outlive the kill
        self.acknowledged = {"put": 0, "delete": 0, "part": 0, "complete": 0}
        self.problem = None

    def body(self):
        size = self.random.choice(SIZES)
        return self.random.randbytes(size)

    def run(self, client, stop):
        try:
            while not stop.is_set():
                self.random.choices([self.put, self.delete, self.multipart], [8, 1, 2])[0](client)
        except Failed as failure:
            self.problem = f"writer {self.number}: {failure}"
        except S3Error as error:
            # Answers of a server that is going down are fine only when it was told to; a kill gives none at all.
            if not stop.is_set():
                self.problem = f"writer {self.number}: {error}"
        except OSError:
            pass  # the kill
        except Exception as error:  # a broken answer, cut by the kill
            if not stop.is_set() and not isinstance(error, (EOFError,)) and "http.client" not in type(error).__module__:
                self.problem = f"writer {self.number}: {error!r}"
        finally:
            client.close()

    def change(self, key, content, act):
        """Runs act; before the answer both contents are allowed, after it only the new one."""
        before = self.allowed.get(key, {ABSENT})
        self.allowed[key] = before | {content}
        act()
        self.allowed[key] = {content}

    def key(self):
        return f"w{self.number}/{self.random.randrange(KEYS_PER_WRITER):02}"

    def put(self, client):
        body = self.body()
        self.change(key := self.key(), md5(body), lambda: check(
            client.put(BUCKET, key, body) == md5(body), f"{key}: the ETag is not the MD5"))
        self.acknowledged["put"] += 1

    def delete(self, client):
        self.change(key := self.key(), ABSENT, lambda: client.delete(BUCKET, key))
        self.acknowledged["delete"] += 1

    def multipart(self, client):
        if self.upload is None:
            key = f"w{self.number}/multi{self.random.randrange(3)}"
            self.upload = (key, client.begin_multipart(BUCKET, key), {})
        key, upload, parts = self.upload
        number = len(parts) + 1
        if number <= 3:
            size = 5 << 20 if number < 3 else self.random.randrange(1, 500_000)
            body = self.random.randbytes(size)
            etag = client.put_part(BUCKET, key, upload, number, body)
            parts[number] = (etag, body)
            self.acknowledged["part"] += 1
        else:
            self.complete(client)

    def complete(self, client):
        key, upload, parts = self.upload
        whole = b"".join(parts[n][1] for n in sorted(parts))
        self.change(key, md5(whole), lambda: client.complete(BUCKET, key, upload, {n: e for n, (e, _) in parts.items()}))
        self.upload = None
        self.acknowledged["complete"] += 1

    def verify(self, client):
        """Reads every key back; returns how many. The uploads that were open are completed, so that their parts are read too."""
        if self.upload and self.upload[2]:
            # Any prefix of the parts may be completed: only the last may be small, and only the third is. A completion that
            # was acknowledged to nobody is repeated, which S3 answers alike.
            self.complete(client)
        self.upload = None
        for key, allowed in self.allowed.items():
            try:
                found = md5(client.get(BUCKET, key))
            except S3Error as error:
                check(error.code == "NoSuchKey", f"{key}: {error}")
                found = ABSENT
            check(found in allowed, f"{key}: read {found}, acknowledged {sorted(allowed)}")
            self.allowed[key] = {found}
        return len(self.allowed)


def verify_all(polis, writers):
    root = polis.credentials
    client = S3("127.0.0.1", polis.port("object.s3"), root["access_key"], root["secret_key"])
    count = sum(writer.verify(client) for writer in writers)
    expected = {key for writer in writers for key, allowed in writer.allowed.items() if allowed != {ABSENT}}
    listed = {key for key, _, _ in client.list(BUCKET)}
    check(listed == expected, f"listed but not there, or there but not listed: {sorted(listed ^ expected)[:5]}")
    client.close()
    return count


def rounds(count, volatile, seed, totals):
    polis = Polis(systems=("object",), environment={"POLIS_TEST_DISK": "volatile"} if volatile else {})
    writers = [Writer(i, seed) for i in range(WRITERS)]
    chance = random.Random(f"{seed}-kill")
    try:
        polis.start()
        root = polis.credentials
        S3("127.0.0.1", polis.port("object.s3"), root["access_key"], root["secret_key"]).make_bucket(BUCKET)
        for number in range(count):
            stop = threading.Event()
            threads = []
            for writer in writers:
                client = S3("127.0.0.1", polis.port("object.s3"), root["access_key"], root["secret_key"])
                threads.append(threading.Thread(target=writer.run, args=(client, stop), daemon=True))
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.05, 1.2))  # the moment of the kill is the random input of this test
            stop.set()
            polis.kill()
            for thread in threads:
                thread.join(40)
                check(not thread.is_alive(), "a writer hangs after the kill")
            for writer in writers:
                check(writer.problem is None, writer.problem)
            polis.start()
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
            totals[kind] = totals.get(kind, 0) + number


def main():
    count = int(os.environ.get("POLIS_CRASH_ROUNDS", "10"))
    seed = int(os.environ.get("POLIS_CRASH_SEED", str(random.randrange(1 << 32))))
    totals = {"rounds": 0, "reads": 0}
    try:
        rounds(count - count // 2, False, seed, totals)
        rounds(count // 2, True, seed, totals)
    except Failed as failure:
        print(f"FAILED (POLIS_CRASH_SEED={seed}): {failure}")
        sys.exit(1)
    line = (f"crash.object_kill: {totals['rounds']} kills ({count // 2} with the volatile disk), acknowledged {totals.get('put', 0)} PUTs, "
            f"{totals.get('part', 0)} parts, {totals.get('complete', 0)} completions, {totals.get('delete', 0)} deletes; "
            f"{totals['reads']} reads after restarts, all bit-exact; seed {seed}")
    print(line)
    if os.environ.get("POLIS_TOTALS_DIR"):
        with open(os.path.join(os.environ["POLIS_TOTALS_DIR"], "crash.object_kill"), "w", encoding="utf-8") as file:
            file.write(line + "\n")


main()

#!/usr/bin/env python3
"""Many clients at one key or bucket: exactly one wins, no update is lost, every reader sees one whole version (tests/crash/README.md)."""
import hashlib
import multiprocessing
import os
import random
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from object_load import connect, copied, list_versions, md5, offered, rename  # noqa: E402
from polis import Failed, Polis, check, crash_seed, tell_totals  # noqa: E402
from s3 import S3, S3Error  # noqa: E402

CLIENTS = 16
BUCKET = "races"
REFUSED = ("PreconditionFailed", "ConditionalRequestConflict")


def together(polis, work, count=CLIENTS, limit_s=120):
    """Runs work(client, number) in `count` threads that begin at once; what they return. An exception of one is the test's."""
    gate, results, errors = threading.Barrier(count), [None] * count, []

    def run(number):
        client = connect(polis)
        try:
            gate.wait(30)
            results[number] = work(client, number)
        except Exception as error:
            errors.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(limit_s)
        check(not thread.is_alive(), "a client hangs")
    if errors:
        raise Failed(f"{len(errors)} clients failed, the first with {errors[0]!r}")
    return results


def won(act):
    """True if it was done, False if its condition did not hold."""
    try:
        act()
        return True
    except S3Error as error:
        if error.code in REFUSED:
            return False
        raise


def body_of(number, size):
    return hashlib.sha256(f"{number}".encode()).digest() * (size // 32 + 1)


def one_wins(polis, client, features, rounds, chance):
    """If-None-Match: * by PUT, copy, completion and rename at once."""
    kinds = ["put", "large put", "copy", "complete"] + (["rename"] if "rename" in features else [])
    wins = {kind: 0 for kind in kinds}
    for number in range(rounds):
        key = f"once-{number}"
        plan = [chance.choice(kinds) if number % 2 else kinds[number // 2 % len(kinds)] for _ in range(CLIENTS)]
        bodies, uploads = {}, {}
        for i, kind in enumerate(plan):
            bodies[i] = body_of(f"{number}-{i}", 3000 + i if kind != "large put" else 300_000)
            if kind in ("copy", "rename"):
                client.put(BUCKET, f"source-{i}", bodies[i])
            if kind == "complete":
                uploads[i] = client.begin_multipart(BUCKET, key)
                client.put_part(BUCKET, key, uploads[i], 1, bodies[i])

        def work(mine, i):
            condition = {"if-none-match": "*"}
            if plan[i] in ("put", "large put"):
                return won(lambda: mine.put(BUCKET, key, bodies[i], condition))
            if plan[i] == "copy":
                return won(lambda: copied(mine.request("PUT", f"/{BUCKET}/{key}", headers={"x-amz-copy-source": f"/{BUCKET}/source-{i}", **condition})))
            if plan[i] == "rename":
                return won(lambda: rename(mine, BUCKET, f"source-{i}", key, condition))
            part = f"<Part><PartNumber>1</PartNumber><ETag>{md5(bodies[i])}</ETag></Part>"

            def complete():
                answer = mine.request("POST", f"/{BUCKET}/{key}", {"uploadId": uploads[i]},
                                      f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode(), condition)[2]
                if b"<Error>" in answer:
                    raise S3Error(200, answer)

            return won(complete)

        winners = [i for i, did in enumerate(together(polis, work)) if did]
        check(len(winners) == 1, f"{key}: {len(winners)} of {plan} won with If-None-Match: *")
        check(client.get(BUCKET, key) == bodies[winners[0]], f"{key}: the bytes are not the winner's")
        wins[plan[winners[0]]] += 1
        # Who lost keeps what it had: an upload that was not completed is there, a source that was not renamed too.
        for i, kind in enumerate(plan):
            if kind == "rename":
                there = won_read(client, f"source-{i}")
                check(there == (i not in winners), f"source-{i}: {'there' if there else 'gone'} after its rename {'won' if i in winners else 'lost'}")
            if kind == "complete" and i not in winners:
                client.request("DELETE", f"/{BUCKET}/{key}", {"uploadId": uploads[i]})
    return wins


def won_read(client, key):
    try:
        client.get(BUCKET, key)
        return True
    except S3Error as error:
        check(error.code == "NoSuchKey", f"{key}: {error}")
        return False


def no_update_is_lost(polis, client, updates):
    """A counter that everybody raises with If-Match."""
    client.put(BUCKET, "counter", b"0")

    def work(mine, number):
        done = 0
        while done < updates:
            _, headers, body = mine.request("GET", f"/{BUCKET}/counter")
            filler = b" " * (3000 if number % 2 else 0)  # some in the row, some in the blob
            done += won(lambda: mine.put(BUCKET, "counter", str(int(body) + 1).encode() + filler, {"if-match": headers["etag"]}))
        return done

    total = sum(together(polis, work))
    counted = int(client.get(BUCKET, "counter"))
    check(counted == total, f"{total} conditional updates were acknowledged, the counter says {counted}")
    return total


def makers_and_removers(polis, client, seconds):
    """Half of the clients make a key with If-None-Match: *, half remove it with If-Match: each removal takes exactly one making."""
    end = time.monotonic() + seconds
    made, removed = [0] * CLIENTS, [0] * CLIENTS

    def work(mine, number):
        while time.monotonic() < end:
            if number % 2:
                made[number] += won(lambda: mine.put(BUCKET, "lamp", random.randbytes(20), {"if-none-match": "*"}))
                continue
            try:
                etag = mine.request("HEAD", f"/{BUCKET}/lamp")[1]["etag"]
            except S3Error as error:
                check(error.status == 404, str(error))
                continue
            removed[number] += won(lambda: mine.request("DELETE", f"/{BUCKET}/lamp", headers={"if-match": etag}))

    together(polis, work)
    # A DELETE of what is not there is a success too, in S3: only as many as were made can have removed something.
    there = won_read(client, "lamp")
    check(sum(removed) + there >= sum(made), f"{sum(made)} makings, {sum(removed)} removals, and it is {'there' if there else 'not there'}")
    return sum(made)


def one_hot_key(polis, client, seconds):
    """Everybody overwrites one key in a bucket with versions, at every size; readers see one whole version each; none is refused or lost."""
    client.make_bucket("hot")
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    client.request("PUT", "/hot", {"versioning": ""}, body)
    end, written, lock = time.monotonic() + seconds, {}, threading.Lock()
    reads = [0] * CLIENTS
    known = set()

    def work(mine, number):
        n = 0
        while time.monotonic() < end:
            n += 1
            if number < CLIENTS // 2:
                content = body_of(f"{number}-{n}", (100, 5000, 300_000)[n % 3])
                with lock:
                    known.add(md5(content))
                version = mine.request("PUT", "/hot/key", body=content)[1]["x-amz-version-id"]
                with lock:
                    written[version] = md5(content)
            else:
                before = len(written)
                try:
                    _, headers, content = mine.request("GET", "/hot/key")
                except S3Error as error:
                    check(error.code == "NoSuchKey" and not before, f"reading while others overwrite: {error}")
                    continue
                with lock:
                    check(md5(content) in known and headers["etag"].strip('"') == md5(content), "a reader was given bytes that nobody wrote, or not whole")
                reads[number] += 1

    together(polis, work)
    listed = [version for _, version, _, _ in list_versions(client, "hot")]
    check(len(listed) == len(set(listed)) and set(listed) == set(written), f"{len(written)} versions were acknowledged, {len(listed)} are listed")
    check(listed == sorted(listed, reverse=True), "versions are not listed newest first")
    for version in random.sample(listed, min(100, len(listed))):
        check(md5(client.request("GET", "/hot/key", {"versionId": version})[2]) == written[version], f"{version}: other bytes")
    return len(written), sum(reads)


def overwrite(arguments):
    """A process of 32 clients that PUT one key without a condition; how many were done, and what else was said."""
    port, access_key, secret_key, seconds = arguments
    done, refusals, end = [0] * 32, [], time.monotonic() + seconds

    def run(number):
        client = S3("127.0.0.1", port, access_key, secret_key)
        while time.monotonic() < end:
            try:
                client.put(BUCKET, "crowd", b"x" * 10)
                done[number] += 1
            except S3Error as error:
                refusals.append(str(error))
        client.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done, refusals


def a_crowd(polis, seconds):
    """96 clients, more than a commit can serve at once: each is served, and nobody is told to try again."""
    root = polis.credentials
    with multiprocessing.Pool(3) as pool:
        results = pool.map(overwrite, [(polis.port("object.s3"), root["access_key"], root["secret_key"], seconds)] * 3)
    refusals = [refusal for _, some in results for refusal in some]
    total = sum(sum(done) for done, _ in results)
    check(not refusals, f"{len(refusals)} of {total} plain PUTs of one key were refused: {refusals[:1]}")
    least = min(min(done) for done, _ in results)
    check(least > 0, "a client was never served")
    return total


def plain_overwrites(polis, client, seconds):
    """Without versions: what is replaced goes, under its readers; multipart objects too, whose parts are erased behind the scenes."""
    known, lock, end = set(), threading.Lock(), time.monotonic() + seconds
    shared = body_of("part", 5 << 20)
    first = body_of("first", 100_000)
    known.add(md5(first))
    client.put(BUCKET, "busy", first)
    counts = {"put": 0, "complete": 0, "read": 0}

    def work(mine, number):
        n = 0
        while time.monotonic() < end:
            n += 1
            kind = "read"
            if number == 0:
                content, kind = body_of(f"busy-{n}", (1000, 70_000, 400_000)[n % 3]), "put"
                with lock:
                    known.add(md5(content))
                mine.put(BUCKET, "busy", content)
            elif number < 3:
                tail, kind = body_of(f"tail-{number}-{n}", 40_000), "complete"
                with lock:
                    known.add(md5(shared + tail))
                upload = mine.begin_multipart(BUCKET, "busy")
                etags = {1: mine.put_part(BUCKET, "busy", upload, 1, shared), 2: mine.put_part(BUCKET, "busy", upload, 2, tail)}
                mine.complete(BUCKET, "busy", upload, etags)
            else:
                content = mine.get(BUCKET, "busy")
                check(md5(content) in known, f"a reader was given {len(content)} bytes that nobody wrote like this")
            with lock:
                counts[kind] += 1

    together(polis, work, 10)
    return counts


def bucket_against_its_objects(polis, client, rounds):
    """DeleteBucket while others write into it: an acknowledged object and its bucket's removal exclude each other."""
    kept = 0
    for number in range(rounds):
        bucket = f"brief-{number}"
        client.make_bucket(bucket)

        def work(mine, i):
            try:
                if i % 4 == 0:
                    mine.request("DELETE", f"/{bucket}")
                    return "removed"
                if i % 4 == 1:
                    mine.begin_multipart(bucket, f"k{i}")
                    return "began"
                mine.put(bucket, f"k{i}", b"x" * (10 if i % 4 == 2 else 5000))
                return "put"
            except S3Error as error:
                check(error.code in ("NoSuchBucket", "BucketNotEmpty", "OperationAborted"), f"{bucket}: {error}")
                return error.code

        results = together(polis, work)
        removed, put = results.count("removed"), {f"k{i}" for i, result in enumerate(results) if result == "put"}
        check(removed <= 1, f"{bucket} was removed {removed} times")
        check(not (removed and put), f"{bucket} was removed though {put} were acknowledged")
        if not removed:
            listed = {key for key, _, _ in client.list(bucket)}
            check(listed == put, f"{bucket}: acknowledged {sorted(put)}, listed {sorted(listed)}")
            kept += 1
    return kept


def main():
    seed = crash_seed()
    scale = max(1, int(os.environ.get("POLIS_CRASH_ROUNDS", "10")) // 10)
    chance = random.Random(seed)
    with Polis(systems=("object",)) as polis:
        client = connect(polis)
        features = offered(client)
        client.make_bucket(BUCKET)
        wins = one_wins(polis, client, features, 20 * min(scale, 10), chance)
        updates = no_update_is_lost(polis, client, 5 * min(scale, 10))
        made = makers_and_removers(polis, client, min(2 * scale, 20))
        versions, reads = one_hot_key(polis, client, min(2 * scale, 20))
        crowd = a_crowd(polis, min(2 * scale, 20))
        busy = plain_overwrites(polis, client, min(4 * scale, 40))
        kept = bucket_against_its_objects(polis, client, 10 * min(scale, 10))
        slowed = re.search(r'"slowed_down":(\d+)', str(polis.api("GET", "/api/object/v1/status")).replace("'", '"').replace(" ", ""))
        check(not slowed or slowed.group(1) == "0", "polis told clients to slow down, at 16 of them")
    line = (f"{sum(wins.values())} times 16 clients with If-None-Match, one won each time ({wins}); {updates} counted updates, none lost; "
            f"{made} makings against removals; {versions} versions of one key under {reads} whole reads; {crowd} PUTs of 96 clients at one key, none refused; {busy} of one plain key; "
            f"{kept} of {10 * min(scale, 10)} buckets outlived their removers; seed {seed}")
    tell_totals("crash.object_races", line)


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

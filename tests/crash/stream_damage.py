#!/usr/bin/env python3
"""A flipped byte or a cut anywhere in a partition's files is cut off or named, and never served (tests/crash/README.md)."""
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from stream_load import QUICK, SILENT, quiet  # noqa: E402
from polis import Failed, Polis, check, crash_seed, tell_totals  # noqa: E402

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

PARTITIONS = 2  # the first is damaged, the second is not
STUCK_S = 1.5   # a reader that is given nothing for so long is given nothing more


def produce(address, seed):
    """Several small segments, with transactions of both ends, compressed batches and large ones."""
    chance = random.Random(seed)
    admin = AdminClient({"bootstrap.servers": address, "error_cb": quiet, **QUICK})
    admin.create_topics([NewTopic("rows", PARTITIONS, 1, config={"segment.bytes": "1048576"})])["rows"].result(30)
    for codec in ("none", "lz4", "zstd"):
        producer = Producer({"bootstrap.servers": address, "compression.codec": codec, "enable.idempotence": True, "linger.ms": 5, **QUICK})
        for number in range(2500):
            value = f"{codec} {number} ".encode() + chance.randbytes(chance.randrange(1400))
            producer.produce("rows", value, f"key{number % 7}", partition=number % PARTITIONS)
        check(producer.flush(60) == 0, "not everything was acknowledged")
    writer = Producer({"bootstrap.servers": address, "transactional.id": "writer", **QUICK})
    writer.init_transactions(30)
    for number in range(20):
        writer.begin_transaction()
        for p in range(PARTITIONS):
            writer.produce("rows", f"transaction {number}".encode() + chance.randbytes(300), partition=p)
        if number % 3:
            writer.commit_transaction(30)
        else:
            writer.flush(30)
            writer.abort_transaction(30)


def read(address, partition, offset, isolation):
    """[(offset, key, value)] from there on, and whether the end was reached."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "nobody", "isolation.level": isolation, "enable.partition.eof": True,
                         "enable.auto.commit": False, "auto.offset.reset": "error", "check.crcs": False, "fetch.wait.max.ms": 20,
                         "fetch.error.backoff.ms": 20, "error_cb": quiet, **QUICK}, logger=SILENT)
    consumer.assign([TopicPartition("rows", partition, offset)])
    rows, ended, last = [], False, time.monotonic()
    try:
        while not ended and time.monotonic() - last < STUCK_S:
            for message in consumer.consume(500, 0.05):
                if not message.error():
                    rows.append((message.offset(), message.key(), message.value()))
                    last = time.monotonic()
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended = True
                else:
                    return rows, False
    finally:
        consumer.close()
    return rows, ended


def files_of(data):
    directory = os.path.join(data, "stream/rows-0")
    found = []
    for at, _, names in os.walk(directory):
        found += [os.path.relpath(os.path.join(at, name), data) for name in names]
    return sorted(found)


def damage(path, offset, how):
    with open(path, "r+b") as file:
        if how == "cut":
            file.truncate(offset)
            return
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def is_told(polis, offset):
    """Whether polis says that something is wrong with the partition, to those who ask or in its log."""
    if "rows-0" in polis.log(1 << 20):
        return True
    try:
        polis.api("GET", f"/api/stream/v1/messages?topic=rows&partition=0&offset={offset}&limit=10")
    except Failed:
        return True
    return False


def try_one(original, relative, offset, how, whole, newest):
    """'served whole', 'cut', 'told' or 'refused': what came of the damage."""
    directory = tempfile.mkdtemp(prefix="polis-damage-")
    where = f"{how} at {offset} of {relative}"
    polis = Polis(systems=("stream",), directory=directory)
    try:
        shutil.copytree(original, polis.data, ignore=shutil.ignore_patterns("run"))
        damage(os.path.join(polis.data, relative), offset, how)
        try:
            polis.start(60)
        except Failed as failure:
            check("rows-0" in str(failure), f"{where}: the start was refused, but does not say where: {failure}")
            return "refused"
        address = f"127.0.0.1:{polis.port('stream.kafka')}"
        outcome = "served whole"
        for isolation in ("read_uncommitted", "read_committed"):
            check(read(address, 1, 0, isolation) == (whole[isolation][1], True), f"{where}: the sound partition is served otherwise")
            expected = whole[isolation][0]
            rows, ended = read(address, 0, 0, isolation)
            if rows == expected and ended:
                continue
            check(rows == expected[:len(rows)], f"{where}: something else is served ({isolation}, {len(rows)} rows)")
            # What lies behind the damage is served as it was, or not at all.
            middle = expected[len(expected) * 3 // 4][0]
            later = read(address, 0, middle, isolation)[0]
            check(set(later) <= set(expected), f"{where}: something else is served from offset {middle} on ({isolation})")
            if is_told(polis, rows[-1][0] + 1 if rows else 0):
                outcome = "told"
            else:
                # After a kill nobody knows whether the end of the newest segment was ever acknowledged.
                check(relative == newest and ended, f"{where}: {len(expected) - len(rows)} rows are missing, and nothing is said "
                                                    f"({isolation}, {len(rows)} served, end {'' if ended else 'not '}reached)\n{polis.log(2000)}")
                outcome = "cut"
        return outcome
    finally:
        if polis.process is not None:
            polis.kill()
        shutil.rmtree(directory, ignore_errors=True)


def main():
    rounds = int(os.environ.get("POLIS_CRASH_ROUNDS", "10"))
    seed = crash_seed()
    chance = random.Random(seed)
    counted = {}
    with Polis(systems=("stream",)) as polis:
        address = f"127.0.0.1:{polis.port('stream.kafka')}"
        produce(address, seed)
        whole = {isolation: [read(address, p, 0, isolation)[0] for p in range(PARTITIONS)]
                 for isolation in ("read_uncommitted", "read_committed")}
        check(len(whole["read_uncommitted"][0]) > len(whole["read_committed"][0]) > 3700, "the rows are not all there")
        polis.kill()
        files = files_of(polis.data)
        newest = [name for name in files if name.endswith(".segment")][-1]
        check(len([name for name in files if name.endswith(".segment")]) >= 3, f"too few segments: {files}")
        cases = []
        for relative in files:
            size = os.path.getsize(os.path.join(polis.data, relative))
            for offset in {0, 17, size // 2, size - 1}:
                if 0 <= offset < size:
                    cases += [(relative, offset, "flip"), (relative, offset, "cut")]
            for _ in range(min(rounds, 40)):
                if size:
                    cases.append((relative, chance.randrange(size), chance.choice(["flip", "cut"])))
        chance.shuffle(cases)
        # A case takes two to eight seconds: a reader that gets no further is waited for.
        for relative, offset, how in cases[:min(100, 3 * rounds)]:
            outcome = try_one(polis.data, relative, offset, how, whole, newest)
            counted[outcome] = counted.get(outcome, 0) + 1
        polis.start()
    line = f"{sum(counted.values())} damaged copies, nothing false served: " + ", ".join(
        f"{number} {outcome}" for outcome, number in sorted(counted.items())) + f"; seed {seed}"
    tell_totals("crash.stream_damage", line)


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

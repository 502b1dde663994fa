#!/usr/bin/env python3
"""Consume, transform, produce, exactly once: members of one group come and go, die and freeze, and polis is killed (tests/crash/README.md).

Every member is a process with Debian's confluent_kafka: it reads the group's partitions, writes each record once into
another topic and commits its offsets in the same transaction (KIP-447). In the end every number that went in has come
out once."""
import os
import random
import signal
import subprocess
import sys
import time

if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3"):
    os.execv("/usr/bin/python3", ["/usr/bin/python3", "-B", *sys.argv])

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import Failed, Polis, check, crash_seed, wait_for  # noqa: E402

PARTITIONS = 6


def member(brokers, name, strategy, static):
    """One member, until it is killed; gives up after a fatal error, as a program would that is started anew."""
    from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

    settings = {"bootstrap.servers": brokers, "group.id": "copiers", "enable.auto.commit": False, "auto.offset.reset": "earliest",
                "isolation.level": "read_committed", "session.timeout.ms": 6000, "max.poll.interval.ms": 20000,
                "partition.assignment.strategy": strategy, "log_level": 0}
    if static:
        settings["group.instance.id"] = name
    records = []

    def revoked(_, partitions):
        """What was read of a partition that now is another member's will be read by that one."""
        gone = {(one.topic, one.partition) for one in partitions}
        records[:] = [one for one in records if (one.topic(), one.partition()) not in gone]

    consumer = Consumer(settings)
    consumer.subscribe(["in"], on_revoke=revoked, on_lost=revoked)
    producer = Producer({"bootstrap.servers": brokers, "transactional.id": name, "transaction.timeout.ms": 10000, "log_level": 0})
    producer.init_transactions(30)
    chance = random.Random(f"{name}-{time.time()}")
    while True:
        records.clear()
        # One by one: the library's consume(n) may lose records when a rebalance comes while it collects them (its own
        # list of known issues, 2.0).
        one, wanted = consumer.poll(0.5), chance.randint(1, 40)
        while one is not None:
            if not one.error():
                records.append(one)
            one = consumer.poll(0) if len(records) < wanted else None
        if not records:
            continue
        producer.begin_transaction()
        for one in records:
            producer.produce("out", one.value(), partition=one.partition())
        try:
            next_offsets = {(one.topic(), one.partition()): one.offset() + 1 for one in records}  # in order: the last one counts
            producer.send_offsets_to_transaction([TopicPartition(topic, partition, offset) for (topic, partition), offset in next_offsets.items()],
                                                 consumer.consumer_group_metadata(), 20)
            if chance.random() < 0.05:
                raise KafkaException("this transaction is aborted on purpose")
            producer.commit_transaction(20)
        except KafkaException as failed:
            reason = failed.args[0]
            if hasattr(reason, "fatal") and reason.fatal():
                raise
            producer.abort_transaction(20)
            # Back to what is committed.
            for place in consumer.committed(consumer.assignment(), 20):
                consumer.seek(TopicPartition(place.topic, place.partition, place.offset if place.offset >= 0 else 0))


class Members:
    def __init__(self, brokers, seed):
        self.brokers, self.chance, self.running, self.count = brokers, random.Random(seed), {}, 0
        # A group agrees on one way of rebalancing.
        self.strategy = self.chance.choice(["range", "cooperative-sticky"])

    def start(self):
        self.count += 1
        static = self.chance.random() < 0.4
        name = f"static-{self.chance.randint(1, 3)}" if static else f"member-{self.count}"
        if name in self.running:
            return
        self.running[name] = subprocess.Popen([sys.executable, "-B", __file__, "--member", self.brokers, name, self.strategy, str(int(static))],
                                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def shake(self):
        """Starts, kills, freezes or wakes one."""
        self.running = {name: one for name, one in self.running.items() if one.poll() is None}
        what = self.chance.random()
        if len(self.running) < 2 or (what < 0.4 and len(self.running) < 5):
            return self.start()
        one = self.running[self.chance.choice(sorted(self.running))]
        if what < 0.7:
            one.send_signal(signal.SIGCONT)
            one.kill()
        else:  # a frozen one is replaced meanwhile, and wakes as a stranger
            one.send_signal(signal.SIGSTOP if what < 0.85 else signal.SIGCONT)

    def end(self):
        for one in self.running.values():
            one.send_signal(signal.SIGCONT)
            one.kill()
            one.wait()


def read_all(brokers):
    from confluent_kafka import Consumer, TopicPartition

    reader = Consumer({"bootstrap.servers": brokers, "group.id": "reader", "isolation.level": "read_committed", "enable.auto.commit": False,
                       "log_level": 0})
    values = []
    for partition in range(PARTITIONS):
        low, high = reader.get_watermark_offsets(TopicPartition("out", partition), 20)
        reader.assign([TopicPartition("out", partition, low)])
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < 2:
            for one in reader.consume(1000, 0.2):
                if not one.error():
                    values.append(int(one.value()))
                    idle_since = time.monotonic()
            if reader.position([TopicPartition("out", partition)])[0].offset >= high:
                break
    reader.close()
    return values


def run(seconds, seed):
    from confluent_kafka import Producer

    chance = random.Random(f"{seed}-kills")
    polis = Polis(systems=("stream",), keep_ports=True)
    members = None
    try:
        polis.start()
        brokers = f"127.0.0.1:{polis.port('stream.kafka')}"
        for topic in ("in", "out"):
            polis.command("stream", "topic", "create", topic, f"--partitions={PARTITIONS}")
        source = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 5, "log_level": 0})
        members = Members(brokers, seed)
        for _ in range(3):
            members.start()
        sent = kills = 0
        end = time.monotonic() + seconds
        next_shake, next_kill = time.monotonic() + 3, time.monotonic() + chance.uniform(4, 10)
        while time.monotonic() < end:
            for _ in range(20):
                source.produce("in", str(sent), partition=chance.randrange(PARTITIONS))
                sent += 1
            source.poll(0)
            time.sleep(0.02)  # about 1,000 a second, so that members are never done
            if time.monotonic() > next_shake:
                members.shake()
                next_shake = time.monotonic() + chance.uniform(0.5, 3)
            if time.monotonic() > next_kill:
                polis.kill()
                polis.start()
                kills += 1
                next_kill = time.monotonic() + chance.uniform(4, 12)
        source.flush(60)
        # Now in peace: whoever is left, and at least one that lives, finishes.
        for one in members.running.values():
            one.send_signal(signal.SIGCONT)

        def finished():
            members.running = {name: one for name, one in members.running.items() if one.poll() is None}
            if len(members.running) < 2:
                members.start()
            time.sleep(1)
            return len(set(read_all(brokers))) >= sent

        wait_for(f"all {sent} records copied", 180, finished)
        members.end()
        values = read_all(brokers)
        lost, twice = set(range(sent)) - set(values), len(values) - len(set(values))
        check(not lost and not twice, f"of {sent} records {len(lost)} are lost and {twice} are there twice, seed {seed}")
        print(f"{sent} records through {members.count} members ({members.strategy}) and {kills} kills: each once")
        polis.stop(60)
    except BaseException:
        polis.own = False
        print(f"seed {seed}: data kept in {polis.directory}\n{polis.log(2000) if os.path.exists(polis.log_path) else ''}")
        if polis.process is not None:
            polis.kill()
        raise
    finally:
        if members:
            members.end()
    polis._clean_up()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--member"]:
        member(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5] == "1")
    # 200 rounds of the other crash tests are four of these.
    count = max(1, int(os.environ.get("POLIS_CRASH_ROUNDS", "1")) // 50)
    first = crash_seed()
    try:
        for seed in range(first, first + count):
            run(20 if count == 1 else 40, seed)
    except Failed as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
    print("ok")

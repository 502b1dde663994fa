#!/usr/bin/env python3
"""python3-confluent-kafka (librdkafka): delivery reports, idempotence, transactions with offsets, aborted records, fenced producers, a
read-process-write loop that moves each record once, cooperative and static groups, administration, one connection for many partitions."""
import time

from stream_client import CODECS, brokers, check, fresh, run_stream

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic  # noqa: E402


class Stream:
    def __init__(self, address):
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address})

    def create(self, name, partitions=1, **config):
        topic = fresh(name)
        self.admin.create_topics([NewTopic(topic, partitions, 1, config={k.replace("_", "."): str(v) for k, v in config.items()})])[topic].result(30)
        return topic

    def producer(self, **settings):
        return Producer({"bootstrap.servers": self.address, "linger.ms": 2, **{k.replace("_", "."): v for k, v in settings.items()}})

    def consumer(self, **settings):
        return Consumer({"bootstrap.servers": self.address, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                         "session.timeout.ms": 6000, "group.id": fresh("group"), "enable.partition.eof": True,
                         **{k.replace("_", "."): v for k, v in settings.items()}})

    def read_all(self, topic, partitions=1, **settings):
        """Every record up to the end of each partition, in the order of each."""
        consumer = self.consumer(**settings)
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        rows, ended, end = [], set(), time.monotonic() + 40
        while len(ended) < partitions:
            check(time.monotonic() < end, f"the end of {topic} is reached ({len(rows)} records read)")
            record = consumer.poll(0.5)
            if record is None:
                continue
            if record.error():
                check(record.error().code() == KafkaError._PARTITION_EOF, f"reading {topic}: {record.error()}")
                ended.add(record.partition())
            else:
                rows.append(record)
        consumer.close()
        return rows


def produce(producer, topic, values, **options):
    reports = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, record: reports.append((error, record.offset())), **options)
        producer.poll(0)
    check(producer.flush(40) == 0, "everything is delivered")
    bad = [error for error, _ in reports if error]
    check(not bad, f"deliveries without errors: {bad[:3]}")
    return [offset for _, offset in reports]


def delivery(stream):
    for codec in CODECS:
        for acks in ("1", "all"):
            topic = stream.create(f"codec-{codec}")
            values = [f"{codec}-{n}".encode() * 30 for n in range(2000)]
            offsets = produce(stream.producer(compression_type=codec, acks=acks), topic, values, partition=0)
            check(offsets == list(range(2000)), f"{codec} acks={acks}: offsets in order")
            check([r.value() for r in stream.read_all(topic)] == values, f"{codec} acks={acks}: values")
    topic = stream.create("stamped", message_timestamp_type="LogAppendTime")
    produce(stream.producer(compression_type="lz4"), topic, [b"x"] * 10, partition=0, timestamp=1000)
    check(all(r.timestamp()[0] == 2 and r.timestamp()[1] > 1_000_000_000_000 for r in stream.read_all(topic)), "the broker's time, when asked for")


def idempotence(stream):
    topic = stream.create("idempotent", 3)
    values = [str(n).encode() for n in range(5000)]
    produce(stream.producer(enable_idempotence=True, compression_type="snappy"), topic, values)
    check(sorted(int(r.value()) for r in stream.read_all(topic, 3)) == list(range(5000)), "each record once")


def transactions(stream):
    topic = stream.create("transactions", 2)
    producer = stream.producer(transactional_id=fresh("writer"), transaction_timeout_ms=60_000)
    producer.init_transactions(30)
    for round_ in range(6):
        producer.begin_transaction()
        for n in range(100):
            producer.produce(topic, f"{round_}-{n}".encode(), partition=n % 2)
        if round_ % 2:
            producer.flush(30)
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    expected = sorted(f"{r}-{n}".encode() for r in (0, 2, 4) for n in range(100))
    check(sorted(r.value() for r in stream.read_all(topic, 2, isolation_level="read_committed")) == expected, "committed records only")
    check(len(stream.read_all(topic, 2, isolation_level="read_uncommitted")) == 600, "all records, for who asks for them")
    # An open transaction holds readers of committed records back, and nobody else.
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(30)
    consumer = stream.consumer(isolation_level="read_committed")
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), 20)
    check((low, high) == (0, 306), f"the last stable offset, with one marker a transaction: {low}..{high}")
    consumer.close()
    check(len(stream.read_all(topic, 2, isolation_level="read_uncommitted")) == 601, "an open record is there")
    producer.abort_transaction(30)


def fencing(stream):
    topic, identity = stream.create("fenced"), fresh("identity")
    old = stream.producer(transactional_id=identity)
    old.init_transactions(30)
    old.begin_transaction()
    old.produce(topic, b"old", partition=0)
    old.flush(30)
    new = stream.producer(transactional_id=identity)
    new.init_transactions(30)
    try:
        old.commit_transaction(30)
        check(False, "the old producer of an identity is fenced")
    except KafkaException as error:
        check(error.args[0].fatal(), f"fenced for good: {error}")
    new.begin_transaction()
    new.produce(topic, b"new", partition=0)
    new.commit_transaction(30)
    check([r.value() for r in stream.read_all(topic, isolation_level="read_committed")] == [b"new"], "its open transaction was aborted")


def exactly_once(stream):
    """Read, process, write with offsets inside the transaction; every third transaction aborts and is done again."""
    source, target, group = stream.create("source", 2), stream.create("target", 2), fresh("mover")
    produce(stream.producer(), source, [str(n).encode() for n in range(400)])
    producer = stream.producer(transactional_id=fresh("mover"))
    producer.init_transactions(30)
    round_, end = 0, time.monotonic() + 90
    while True:
        consumer = stream.consumer(group_id=group, isolation_level="read_committed")
        consumer.subscribe([source])
        ended, aborted = set(), False
        while len(ended) < 2 and not aborted:
            check(time.monotonic() < end, "the loop comes to its end")
            batch = [r for r in consumer.consume(40, 1.0)]
            ended |= {r.partition() for r in batch if r.error() and r.error().code() == KafkaError._PARTITION_EOF}
            batch = [r for r in batch if not r.error()]
            if not batch:
                continue
            producer.begin_transaction()
            for record in batch:
                producer.produce(target, record.value(), partition=record.partition())
            producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30)
            round_ += 1
            if round_ % 3 == 0:
                producer.abort_transaction(30)
                aborted = True  # the position is behind now: begin again from what is committed
            else:
                producer.commit_transaction(30)
        consumer.close()
        if not aborted:
            break
    moved = sorted(int(r.value()) for r in stream.read_all(target, 2, isolation_level="read_committed"))
    check(moved == list(range(400)), f"each record moved once: {len(moved)} rows, {len(set(moved))} different")


def wait_assigned(consumers, shares, what, topic_partitions):
    end = time.monotonic() + 45
    while True:
        for consumer in consumers:
            consumer.poll(0.05)
        owned = [[(p.topic, p.partition) for p in c.assignment()] for c in consumers]
        if sorted(len(o) for o in owned) == sorted(shares) and len(set(sum(owned, []))) == topic_partitions:
            return owned
        check(time.monotonic() < end, f"{what}: {owned}")


def groups(stream):
    for strategy in ("range", "roundrobin", "cooperative-sticky"):
        topic, group = stream.create(f"strategy-{strategy}", 6), fresh("group")
        members = [stream.consumer(group_id=group, partition_assignment_strategy=strategy, heartbeat_interval_ms=500) for _ in range(3)]
        members[0].subscribe([topic])
        wait_assigned(members[:1], [6], f"{strategy}: one member has all", 6)
        members[1].subscribe([topic])
        wait_assigned(members[:2], [3, 3], f"{strategy}: two members share", 6)
        members[2].subscribe([topic])
        wait_assigned(members, [2, 2, 2], f"{strategy}: three members share", 6)
        members[0].close()
        wait_assigned(members[1:], [3, 3], f"{strategy}: what one leaves goes to the others", 6)
        for member in members[1:]:
            member.close()
    # A static member that comes back within its session gets what it had, without a rebalance for the others.
    topic, group = stream.create("static", 4), fresh("group")
    static = [stream.consumer(group_id=group, group_instance_id=f"instance-{n}", heartbeat_interval_ms=500, session_timeout_ms=20_000) for n in range(2)]
    for member in static:
        member.subscribe([topic])
    before = wait_assigned(static, [2, 2], "two static members share", 4)
    static[0].close()
    back = stream.consumer(group_id=group, group_instance_id="instance-0", heartbeat_interval_ms=500, session_timeout_ms=20_000)
    back.subscribe([topic])
    after = wait_assigned([back, static[1]], [2, 2], "the static member is back", 4)
    check(sorted(after[0]) == sorted(before[0]) and sorted(after[1]) == sorted(before[1]), f"with what it had: {before} {after}")
    back.close()
    static[1].close()


def commits(stream):
    topic, group = stream.create("committed", 2), fresh("group")
    produce(stream.producer(), topic, [b"x"] * 100, partition=1)
    consumer = stream.consumer(group_id=group)
    consumer.subscribe([topic])
    wait_assigned([consumer], [2], "alone", 2)
    consumer.commit(offsets=[TopicPartition(topic, 1, 60)], asynchronous=False)
    check([p.offset for p in consumer.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], 20)] == [-1001, 60], "committed offsets")
    consumer.close()
    consumer = stream.consumer(group_id=group)
    consumer.subscribe([topic])
    record, end = None, time.monotonic() + 30
    while record is None or record.error():
        record = consumer.poll(0.5)
        check(time.monotonic() < end, "the group goes on")
    check((record.partition(), record.offset()) == (1, 60), "from the committed offset")
    listed = [g for g in stream.admin.list_groups(timeout=20) if g.id == group]
    check(listed and listed[0].protocol_type == "consumer" and listed[0].state == "Stable" and len(listed[0].members) == 1, f"listed: {listed}")
    consumer.close()


def administration(stream):
    topic = stream.create("administered", 2, retention_ms=3_600_000)
    stream.admin.create_partitions([NewPartitions(topic, 7)])[topic].result(30)
    check(len(stream.admin.list_topics(topic, 20).topics[topic].partitions) == 7, "seven partitions")
    resource = ConfigResource("topic", topic)
    values = stream.admin.describe_configs([resource])[resource].result(30)
    check(values["retention.ms"].value == "3600000" and values["cleanup.policy"].value == "delete", "configuration")
    change = ConfigResource("topic", topic, set_config={"max.message.bytes": "2000000", "cleanup.policy": "compact"})
    stream.admin.alter_configs([change])[change].result(30)
    values = stream.admin.describe_configs([resource])[resource].result(30)
    check(values["max.message.bytes"].value == "2000000" and values["cleanup.policy"].value == "compact", "changed configuration")
    check(values["retention.ms"].is_default, "what was not named has its default again")
    for request in (NewTopic(topic, 1, 1), NewTopic("bad name!", 1, 1), NewTopic(fresh("bad"), 1, 1, config={"no.such.option": "1"}),
                    NewTopic(fresh("bad"), 100_000, 1), NewTopic(fresh("bad"), 1, 7)):
        try:
            stream.admin.create_topics([request])[request.topic].result(30)
            check(False, f"{request} is refused")
        except KafkaException as error:
            name = error.args[0].name()
            check(name in ("TOPIC_ALREADY_EXISTS", "TOPIC_EXCEPTION", "INVALID_CONFIG", "INVALID_PARTITIONS", "INVALID_REPLICATION_FACTOR"), f"{request}: {name}")
    stream.admin.delete_topics([topic])[topic].result(30)
    check(topic not in stream.admin.list_topics(timeout=20).topics, "deleted")


def many_partitions(stream):
    topic = stream.create("wide", 64)
    produce(stream.producer(partitioner="consistent_random"), topic, [str(n).encode() for n in range(20_000)])
    check(sorted(int(r.value()) for r in stream.read_all(topic, 64)) == list(range(20_000)), "64 partitions over one connection")


def test(polis):
    stream = Stream(brokers(polis))
    delivery(stream)
    idempotence(stream)
    transactions(stream)
    fencing(stream)
    exactly_once(stream)
    groups(stream)
    commits(stream)
    administration(stream)
    many_partitions(stream)


run_stream(test)

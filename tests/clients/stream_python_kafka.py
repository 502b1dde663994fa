#!/usr/bin/env python3
"""python3-kafka 2.0.2, which speaks the old versions of the protocol: all codecs, keys and headers, offsets and times, groups that
rebalance, administration."""
import threading
import time

from stream_client import CODECS, brokers, check, fresh, run_stream

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition  # noqa: E402
from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, ConfigResource, ConfigResourceType, NewPartitions, NewTopic  # noqa: E402
from kafka.admin import ACLResourcePatternType, ResourcePattern, ResourcePatternFilter, ResourceType  # noqa: E402
from kafka.errors import MessageSizeTooLargeError, TopicAlreadyExistsError, UnknownTopicOrPartitionError  # noqa: E402


def read(address, topic, count, **options):
    """The first `count` records of a topic, within 30 s."""
    consumer = KafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest", consumer_timeout_ms=30_000, **options)
    found = []
    for record in consumer:
        found.append(record)
        if len(found) == count:
            break
    consumer.close()
    return found


def codecs(address):
    for codec in CODECS:
        topic = fresh(f"codec-{codec}")
        producer = KafkaProducer(bootstrap_servers=address, compression_type=None if codec == "none" else codec, acks="all", linger_ms=5)
        sent = [producer.send(topic, key=f"k{n}".encode(), value=f"{codec} {n}".encode() * 20, headers=[("n", str(n).encode())]) for n in range(500)]
        offsets = [future.get(30).offset for future in sent]
        check(offsets == list(range(500)), f"{codec}: every record has its own offset")
        producer.close()
        rows = read(address, topic, 500)
        check([(r.key, r.value, r.headers) for r in rows] ==
              [(f"k{n}".encode(), f"{codec} {n}".encode() * 20, [("n", str(n).encode())]) for n in range(500)], f"{codec}: what was sent comes back")


def offsets_and_times(address):
    topic = fresh("times")
    producer = KafkaProducer(bootstrap_servers=address)
    base_ms = int(time.time() * 1000) - 100_000
    for n in range(100):
        producer.send(topic, value=str(n).encode(), timestamp_ms=base_ms + n * 1000)
    producer.flush(30)
    consumer = KafkaConsumer(bootstrap_servers=address, group_id=fresh("group"), enable_auto_commit=False, consumer_timeout_ms=20_000)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    check(consumer.beginning_offsets([partition])[partition] == 0 and consumer.end_offsets([partition])[partition] == 100, "first and last offset")
    check(consumer.offsets_for_times({partition: base_ms + 49_500})[partition].offset == 50, "offset of a time")
    check(consumer.offsets_for_times({partition: base_ms + 10_000_000})[partition] is None, "no offset for a time to come")
    consumer.seek(partition, 42)
    check(next(consumer).value == b"42", "seek")
    consumer.commit({partition: OffsetAndMetadata(43, "noted")})
    check(consumer.committed(partition) == 43, "commit")
    check(consumer.committed(partition, metadata=True).metadata == "noted", "with metadata")
    consumer.seek_to_end(partition)
    check(consumer.position(partition) == 100, "end")
    consumer.close()
    try:
        KafkaProducer(bootstrap_servers=address, max_request_size=5_000_000).send(topic, b"x" * 3_000_000).get(30)
        check(False, "a record above max.message.bytes is refused")
    except MessageSizeTooLargeError:
        pass


def group(address):
    topic, name = fresh("shared"), fresh("group")
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, 6, 1)])
    seen, lock, done = [], threading.Lock(), threading.Event()

    def member(assignments):
        consumer = KafkaConsumer(topic, bootstrap_servers=address, group_id=name, auto_offset_reset="earliest", max_poll_records=50,
                                 session_timeout_ms=6000, heartbeat_interval_ms=500)
        while not done.is_set():
            for records in consumer.poll(200).values():
                with lock:
                    seen.extend(int(r.value) for r in records)
            assignments.append(len(consumer.assignment()))
        consumer.close()

    members = [[], [], []]
    threads = [threading.Thread(target=member, args=(m,)) for m in members]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 40
    while not all(m and m[-1] == 2 for m in members):
        check(time.monotonic() < end, f"three members share six partitions: {[m[-1:] for m in members]}")
        time.sleep(0.05)
    producer = KafkaProducer(bootstrap_servers=address)
    for n in range(3000):
        producer.send(topic, value=str(n).encode(), partition=n % 6)
    producer.flush(30)
    while len(seen) < 3000:
        check(time.monotonic() < end + 30, f"everything is read: {len(seen)} of 3000")
        time.sleep(0.05)
    description = admin.describe_consumer_groups([name])[0]
    check(description.state == "Stable" and len(description.members) == 3, f"described: {description.state}")
    done.set()
    for thread in threads:
        thread.join(30)
    check(sorted(seen) == list(range(3000)), "each record is read by one member")
    committed = admin.list_consumer_group_offsets(name)
    check(sum(o.offset for o in committed.values()) == 3000, f"members leave with their offsets committed: {committed}")
    check((name, "consumer") in admin.list_consumer_groups(), "the group is listed")
    check(all(row[1].__name__ == "NoError" for row in admin.delete_consumer_groups([name])), "an empty group is deleted")
    admin.close()


def administration(address):
    admin = KafkaAdminClient(bootstrap_servers=address)
    topic = fresh("administered")
    admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "1234567"})])
    try:
        admin.create_topics([NewTopic(topic, 2, 1)])
        check(False, "a topic is made once")
    except TopicAlreadyExistsError:
        pass
    check(topic in admin.list_topics(), "listed")
    admin.create_partitions({topic: NewPartitions(5)})
    check(len(admin.describe_topics([topic])[0]["partitions"]) == 5, "five partitions")
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    values = {row[0]: row[1] for row in admin.describe_configs([resource])[0].resources[0][4]}
    check(values["retention.ms"] == "1234567" and "cleanup.policy" in values, f"configuration: {values}")
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "7654321"})])
    values = {row[0]: row[1] for row in admin.describe_configs([resource])[0].resources[0][4]}
    check(values["retention.ms"] == "7654321", "changed configuration")
    rule = ACL("User:bob", "*", ACLOperation.READ, ACLPermissionType.ALLOW, ResourcePattern(ResourceType.TOPIC, topic))
    check(len(admin.create_acls([rule])["succeeded"]) == 1, "a rule is made")
    anything = ACLFilter("User:bob", "*", ACLOperation.ANY, ACLPermissionType.ANY, ResourcePatternFilter(ResourceType.TOPIC, topic, ACLResourcePatternType.ANY))
    check(len(admin.describe_acls(anything)[0]) == 1, "and found")
    check(len(admin.delete_acls([anything])[0][1]) == 1 and not admin.describe_acls(anything)[0], "and taken away")
    admin.delete_topics([topic])
    check(topic not in admin.list_topics(), "deleted")
    try:
        admin.delete_topics([topic])
        check(False, "it is gone")
    except UnknownTopicOrPartitionError:
        pass
    cluster = admin.describe_cluster()
    check(len(cluster["brokers"]) == 1 and f"{cluster['brokers'][0]['host']}:{cluster['brokers'][0]['port']}" == address, f"cluster: {cluster}")
    admin.close()


def test(polis):
    address = brokers(polis)
    codecs(address)
    offsets_and_times(address)
    group(address)
    administration(address)


run_stream(test)

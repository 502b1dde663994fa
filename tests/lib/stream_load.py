"""Clients of the stream that outlive the polis they talk to (librdkafka through python3-confluent-kafka): they write, copy and read
while it is killed, and remember what was acknowledged. Debian's Python has the package; another one in PATH hands over to it."""
import logging
import os
import random
import sys
import threading
import time
import traceback

if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3"):
    os.execv("/usr/bin/python3", ["/usr/bin/python3", "-B", *sys.argv])

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

from polis import Failed, check  # noqa: E402

PARTITIONS = 4
# Short waits: a restart takes a second, and nothing is gained by sleeping through it.
QUICK = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20, "socket.timeout.ms": 10000,
         "topic.metadata.refresh.interval.ms": 5000, "allow.auto.create.topics": False, "log_level": 0}
PATIENCE_S = 90


# A producer that is fenced on purpose says so loudly; what matters comes as the error of a call.
SILENT = logging.getLogger("librdkafka")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


def quiet(error):
    """Connections break when polis is killed; what matters comes as the error of a call."""


class ProducerLost(Exception):
    """librdkafka 2.0.2 gives a producer up for lost where Kafka answers as polis does: it ends a transaction whose first
    AddPartitionsToTxn went down with the broker, so that the coordinator knows of none. The next producer of that name goes on; what was
    stored is checked all the same."""


class Worker(threading.Thread):
    """One client in a loop, while the load runs; idle() once it has nothing open after it was told to pause."""

    def __init__(self, load, name):
        super().__init__(name=name, daemon=True)
        self.load = load
        self.chance = random.Random(f"{load.seed}-{name}")
        self.idle = threading.Event()
        # An abort purged messages of this producer. librdkafka 2.0.2 then counts sequence numbers on as if none, or all, of them had
        # been sent (rd_kafka_toppar_purge_queues), so such a producer is replaced at once; a number out of order from any other is ours.
        self.purged = False
        self.fatal = ""  # why a producer is of no more use
        self.lost = 0
        self.forced = {}  # why a transaction could not be committed → how often

    def run(self):
        try:
            self.begin()
            while not self.load.ended.is_set():
                if self.load.running.is_set():
                    self.idle.clear()
                    self.turn()
                elif not self.idle.is_set():
                    self.settle()
                    self.idle.set()
                else:
                    self.rest()
        except BaseException as error:  # told by the main thread
            at = traceback.extract_tb(error.__traceback__)[-1]
            self.load.failures.append(f"{self.name}: {type(error).__name__}: {error} (line {at.lineno}, {at.line})")
            self.idle.set()

    def begin(self):
        pass

    def settle(self):
        pass

    def rest(self):
        self.load.running.wait(0.05)

    def remember(self, error):
        """Connections break when polis is killed; what ends a producer is told with the call that meets it."""
        if error.fatal():
            self.fatal = str(error)

    def insist(self, what, call, abort=None):
        """Calls until it is done: what may be repeated is repeated, what must be aborted is (answers False)."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                call()
                return True
            except KafkaException as error:
                reason = error.args[0]
                if reason.fatal() and what == "abort" and reason.code() == KafkaError.INVALID_TXN_STATE:
                    raise ProducerLost() from error
                if reason.txn_requires_abort() and abort:
                    self.forced[reason.name()] = self.forced.get(reason.name(), 0) + 1
                    if os.environ.get("POLIS_TEST_VERBOSE"):
                        print(f"{self.name}: {what} must abort: {reason.str()}", flush=True)
                    self.insist("abort", abort)
                    return False
                check(reason.retriable(), f"{what}: {reason} {self.fatal}")
                check(time.monotonic() < end, f"{what}: {reason}, for {PATIENCE_S} s")


class PlainWriter(Worker):
    """An idempotent producer: everything it sends must be stored once, in the order of its keys, whenever polis dies."""

    def begin(self):
        self.producer = Producer({"bootstrap.servers": self.load.address, "enable.idempotence": True, "acks": "all", "linger.ms": 2,
                                  "message.timeout.ms": PATIENCE_S * 1000, "compression.codec": self.chance.choice(["none", "lz4", "zstd"]),
                                  "error_cb": quiet, **QUICK})
        self.sent = 0
        self.acknowledged = {}  # value → (partition, offset)

    def delivered(self, error, message):
        check(error is None, f"a record was given up: {error}")
        at = (message.partition(), message.offset())
        check(self.acknowledged.setdefault(message.value(), at) == at, f"two reports of {message.value()[:40]}")

    def turn(self):
        for _ in range(self.chance.randrange(1, 200)):
            key = f"{self.name}-{self.chance.randrange(6)}"
            self.sent += 1
            value = f"{key} {self.sent} ".encode() + b"x" * self.chance.randrange(300)
            self.producer.produce("plain", value, key, partition=hash_of(key), on_delivery=self.delivered)
        self.producer.poll(self.chance.uniform(0, 0.02))

    def settle(self):
        check(self.producer.flush(PATIENCE_S) == 0, "records are not acknowledged")
        check(len(self.acknowledged) == self.sent, f"{self.sent} sent, {len(self.acknowledged)} acknowledged")


def hash_of(key):
    return sum(key.encode()) % PARTITIONS


class TransactionWriter(Worker):
    """Transactions over several partitions: committed ones are read whole, aborted ones and those of a fenced producer not at all."""

    def connect(self):
        producer = Producer({"bootstrap.servers": self.load.address, "transactional.id": self.name, "linger.ms": 1,
                             "transaction.timeout.ms": 60000, "message.timeout.ms": 60000, "error_cb": self.remember, **QUICK}, logger=SILENT)
        self.insist("init_transactions", lambda: producer.init_transactions(10))
        self.purged = False
        return producer

    def begin(self):
        self.number = 0
        self.committed, self.aborted, self.fenced = {}, 0, 0  # value → partition
        self.producer = self.connect()

    def fill(self, sent):
        self.number += 1
        for index in range(self.chance.randrange(1, 60)):
            partition = self.chance.randrange(PARTITIONS)
            value = f"{self.name} {self.number} {index} ".encode() + b"y" * self.chance.randrange(200)
            self.producer.produce("transactions", value, self.name, partition=partition)
            sent[value] = partition
            if self.chance.random() < 0.1:
                self.producer.poll(0.001)

    def turn(self):
        try:
            self.transact()
        except ProducerLost:
            self.lost += 1
            self.producer = self.connect()
        if self.purged:
            self.producer = self.connect()

    def abort(self):
        self.purged = self.purged or len(self.producer) > 0
        self.producer.abort_transaction(10)

    def transact(self):
        self.insist("begin", self.producer.begin_transaction)
        sent = {}
        try:
            self.fill(sent)
        except KafkaException as error:
            # The transaction has failed already; the commit says why.
            check(error.args[0].code() == KafkaError._STATE, f"produce: {error.args[0]} {self.fatal}")
            check(not self.insist("commit", lambda: self.producer.commit_transaction(10), self.abort), "a failed transaction was committed")
            self.aborted += 1
            return
        fate = self.chance.random()
        if fate < 0.65:
            if self.insist("commit", lambda: self.producer.commit_transaction(10), self.abort):
                self.committed.update(sent)
            else:
                self.aborted += 1
        elif fate < 0.95:
            if self.chance.random() < 0.5:
                self.producer.flush(2)
            self.insist("abort", self.abort)
            self.aborted += 1
        else:
            self.be_replaced()

    def be_replaced(self):
        """A second producer takes the id while the first has a transaction open: the first must not get it through any more."""
        zombie = self.producer
        self.producer.flush(2)
        self.producer = self.connect()
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                zombie.commit_transaction(5)
                raise Failed("a producer that was replaced committed")
            except KafkaException as error:
                if error.args[0].fatal() or error.args[0].txn_requires_abort():
                    break
                check(time.monotonic() < end, f"a producer that was replaced: {error.args[0]}")
        self.fenced += 1


class Copier(Worker):
    """Reads "plain" in a group and writes each record once to "copies", with the group's offsets in the same transaction."""

    def begin(self):
        self.copied = self.rewound = 0
        self.connect()

    def connect(self):
        self.consumer = Consumer({"bootstrap.servers": self.load.address, "group.id": "copiers", "isolation.level": "read_committed",
                                  "enable.auto.commit": False, "auto.offset.reset": "earliest", "session.timeout.ms": 10000,
                                  "heartbeat.interval.ms": 500, "fetch.wait.max.ms": 50, "max.poll.interval.ms": 300000,
                                  "partition.assignment.strategy": "range", "error_cb": quiet, **QUICK})
        self.consumer.subscribe(["plain"])
        self.connect_producer()

    def connect_producer(self):
        self.producer = Producer({"bootstrap.servers": self.load.address, "transactional.id": self.name, "linger.ms": 1,
                                  "transaction.timeout.ms": 60000, "message.timeout.ms": 60000, "error_cb": self.remember, **QUICK}, logger=SILENT)
        self.insist("init_transactions", lambda: self.producer.init_transactions(10))
        self.purged = False

    def turn(self):
        if self.chance.random() < 0.01:
            # A copier that dies between reading and committing, and comes back.
            self.copy(die=True)
        else:
            self.copy()

    def rest(self):
        # What is left is copied, and the group keeps its member.
        self.copy()

    def copy(self, die=False):
        try:
            self.copy_some(die)
        except ProducerLost:
            self.lost += 1
            self.consumer.close()
            self.connect()
        if self.purged:
            self.connect_producer()

    def abort(self):
        self.purged = self.purged or len(self.producer) > 0
        self.producer.abort_transaction(10)

    def copy_some(self, die):
        messages = [m for m in self.consumer.consume(300, 0.05) if not m.error()]
        if not messages:
            return
        self.insist("begin", self.producer.begin_transaction)
        for message in messages:
            self.producer.produce("copies", message.value(), message.key(), partition=message.partition())
        if die:
            self.producer.flush(1)
            self.consumer.close()
            self.connect()
            return
        offsets = [p for p in self.consumer.position(self.consumer.assignment()) if p.offset >= 0]
        done = self.insist("offsets", lambda: self.producer.send_offsets_to_transaction(
            offsets, self.consumer.consumer_group_metadata(), 10), self.abort)
        done = done and self.insist("commit", lambda: self.producer.commit_transaction(10), self.abort)
        if done:
            self.copied += len(messages)
        else:
            self.rewind()

    def rewind(self):
        """Back to what the group has committed: what was aborted is read again."""
        self.rewound += 1
        for place in self.insist_value(lambda: self.consumer.committed(self.consumer.assignment(), 10)):
            self.consumer.seek(TopicPartition(place.topic, place.partition, place.offset if place.offset >= 0 else OFFSET_BEGINNING))

    def insist_value(self, call):
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return call()
            except KafkaException as error:
                check(time.monotonic() < end, f"committed offsets: {error.args[0]}")


class Reader(threading.Thread):
    """Reads every topic with read_committed while all goes on, and keeps what it was shown."""

    TOPICS = ("plain", "transactions", "copies")

    def __init__(self, load, name="reader"):
        super().__init__(name=name, daemon=True)
        self.load = load
        self.shown = {topic: [[] for _ in range(PARTITIONS)] for topic in self.TOPICS}  # (offset, value)
        self.lock = threading.Lock()
        self.ended = threading.Event()

    def run(self):
        try:
            consumer = Consumer({"bootstrap.servers": self.load.address, "group.id": "nobody", "isolation.level": "read_committed",
                                 "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.wait.max.ms": 20,
                                 "check.crcs": True, "error_cb": quiet, **QUICK})
            consumer.assign([TopicPartition(topic, p, 0) for topic in self.TOPICS for p in range(PARTITIONS)])
            while not self.load.ended.is_set() and not self.ended.is_set():
                messages = consumer.consume(1000, 0.05)
                with self.lock:
                    for message in messages:
                        if message.error():
                            check(message.error().retriable() or message.error().code() < 0, f"a reader is told {message.error()}")
                            check(message.error().name() != "_AUTO_OFFSET_RESET", f"a reader's position is gone: {message.error()}")
                        else:
                            self.shown[message.topic()][message.partition()].append((message.offset(), message.value()))
            consumer.close()
        except BaseException as error:  # told by the main thread
            self.load.failures.append(f"{self.name}: {type(error).__name__}: {error}")

    def counts(self):
        with self.lock:
            return {topic: sum(len(of) for of in self.shown[topic]) for topic in self.TOPICS}


class StreamLoad:
    """All clients of one data directory."""

    def __init__(self, seed, port, topic_settings):
        self.seed = seed
        self.address = f"127.0.0.1:{port}"
        self.running, self.ended = threading.Event(), threading.Event()
        self.failures = []
        self.create_topics(topic_settings)
        self.plain = [PlainWriter(self, f"plain{i}") for i in range(2)]
        self.writers = [TransactionWriter(self, f"writer{i}") for i in range(3)]
        self.copiers = [Copier(self, f"copier{i}") for i in range(2)]
        self.reader = Reader(self)
        self.workers = [*self.plain, *self.writers, *self.copiers]
        for thread in [self.reader, *self.workers]:
            thread.start()

    def create_topics(self, settings):
        admin = AdminClient({"bootstrap.servers": self.address, "error_cb": quiet, **QUICK})
        topics = [NewTopic(name, PARTITIONS, 1, config=settings) for name in Reader.TOPICS]
        for future in admin.create_topics(topics, request_timeout=30).values():
            future.result(30)

    def tell_failures(self):
        check(not self.failures, "; ".join(self.failures))

    def wait(self, what, probe, limit_s=PATIENCE_S):
        end = time.monotonic() + limit_s
        while not probe():
            self.tell_failures()
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {limit_s} s; the reader has {self.reader.counts()}, "
                             f"busy: {[w.name for w in self.workers if not w.idle.is_set()]}")
            time.sleep(0.01)
        self.tell_failures()

    def pause(self):
        self.running.clear()
        self.wait("the clients settle", lambda: all(worker.idle.is_set() for worker in self.workers))

    def go_on(self):
        for worker in self.workers:
            worker.idle.clear()
        self.running.set()

    def settle(self):
        """Ends what is open and waits until everything acknowledged was read and copied."""
        self.pause()
        plain = sum(len(w.acknowledged) for w in self.plain)
        committed = sum(len(w.committed) for w in self.writers)
        wanted = {"plain": plain, "transactions": committed, "copies": plain}
        self.wait(f"readers are shown {wanted}",
                  lambda: all(count >= wanted[topic] for topic, count in self.reader.counts().items()))
        self.compare(self.reader.shown)

    def compare(self, shown):
        """What readers were shown against what was acknowledged: nothing more, nothing less, nothing twice, in order."""
        acknowledged = {value: at for writer in self.plain for value, at in writer.acknowledged.items()}
        committed = {value: p for writer in self.writers for value, p in writer.committed.items()}
        self.same("plain", shown["plain"], {value: at[0] for value, at in acknowledged.items()})
        for partition, rows in enumerate(shown["plain"]):
            for offset, value in rows:
                check(acknowledged[value] == (partition, offset), f"plain: {value[:40]} lies at {partition}/{offset}, not {acknowledged[value]}")
        self.same("transactions", shown["transactions"], committed)
        self.same("copies", shown["copies"], {value: at[0] for value, at in acknowledged.items()})

    @staticmethod
    def same(topic, shown, expected):
        seen = set()
        for partition, rows in enumerate(shown):
            newest = {}
            before = -1
            for offset, value in rows:
                check(offset > before, f"{topic}-{partition}: offset {offset} is shown after {before}")
                before = offset
                check(value in expected, f"{topic}-{partition}: a reader was shown what was never committed: {value[:40]} at {offset}")
                check(value not in seen, f"{topic}-{partition}: twice: {value[:40]} at {offset}")
                check(expected[value] == partition, f"{topic}: {value[:40]} is in partition {partition}, not {expected[value]}")
                seen.add(value)
                key, *numbers = value.split(b" ")[:-1]
                numbers = [int(number) for number in numbers]
                check(newest.get(key, [-1]) < numbers, f"{topic}-{partition}: {value[:40]} is shown after {newest.get(key)}")
                newest[key] = numbers
        check(len(seen) == len(expected), f"{topic}: {len(expected) - len(seen)} of {len(expected)} acknowledged records are lost, "
                                          f"for example {next(iter(set(expected) - seen), b'')[:40]}")

    def read_again(self):
        """A new reader from the beginning is shown the same, offset for offset."""
        again = Reader(self, "second reader")
        again.start()
        wanted = self.reader.counts()
        self.wait("a second reader has read everything", lambda: again.counts() == wanted)
        again.ended.set()
        again.join(30)
        for topic in Reader.TOPICS:
            check(again.shown[topic] == self.reader.shown[topic], f"{topic}: a second reader is shown something else")

    def offsets_match(self):
        """The group has committed exactly what was copied."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "copiers", "error_cb": quiet, **QUICK})
        for place in consumer.committed([TopicPartition("plain", p) for p in range(PARTITIONS)], 30):
            rows = self.reader.shown["plain"][place.partition]
            if rows:
                check(place.offset == rows[-1][0] + 1, f"the group is at {place.offset} of plain-{place.partition}, the end is {rows[-1][0] + 1}")
        consumer.close()

    def totals(self):
        return {"acknowledged": sum(len(w.acknowledged) for w in self.plain), "committed": sum(len(w.committed) for w in self.writers),
                "transactions": sum(w.number for w in self.writers), "aborted": sum(w.aborted for w in self.writers),
                "fenced": sum(w.fenced for w in self.writers), "copied": self.reader.counts()["copies"],
                "rewound": sum(c.rewound for c in self.copiers), "replaced": sum(w.lost for w in self.workers)}

    def close(self):
        self.ended.set()
        self.running.set()
        for thread in [self.reader, *self.workers]:
            thread.join(20)

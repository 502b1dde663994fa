#!/usr/bin/env python3
"""The doors that ask who is there: SASL PLAIN and SCRAM with and without TLS, certificates; wrong passwords, rules, strangers. By kcat,
python3-kafka, python3-confluent-kafka and kafkajs."""
import json
import os
import tempfile

from client import Client
from node_client import FOLDER, HERE
from stream_client import Kcat, brokers, certificate_authority, check, create_topic, fresh, run_stream
from stream_node import install_lz4

from confluent_kafka import KafkaException  # noqa: E402
from confluent_kafka.admin import AdminClient  # noqa: E402
from kafka import KafkaConsumer, KafkaProducer  # noqa: E402
from kafka.errors import KafkaError  # noqa: E402

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def round_trip(kcat, topic, group, what):
    kcat.produce(topic, f"{what}\n", "-p", "0")
    read = kcat.call("-q", "-e", "-X", "auto.offset.reset=earliest", "-G", group, topic, limit_s=60)
    check(what in read.splitlines(), f"{what}: produced and read through a group: {read!r}")


def refused(kcat, words, reason, what):
    kcat.call("-P", "-t", "ann-topic", "-p", "0", "-X", "message.timeout.ms=8000", *words, input_text="x\n", status="fails")
    check(any(part in kcat.said for part in reason), f"{what}: {kcat.said[-600:]}")


class Doors:
    def __init__(self, polis, ca):
        self.polis, self.ca = polis, ca
        root = polis.credentials
        self.root = {"PLAIN": (root["access_key"], root["secret_key"])}
        polis.api("PUT", "/api/stream/v1/users/ann", {"password": "ann's own password"})
        self.ann = "ann's own password"
        # A certificate names a user of polis; SCRAM's users may be strangers to it.
        polis.api("POST", "/api/auth/v1/users", {"name": "alice"})
        for kind, name, operation in (("topic", "ann-", "All"), ("group", "ann-", "Read"), ("topic", "shared", "Read")):
            for principal in ("User:ann", "User:alice"):
                polis.api("POST", "/api/stream/v1/acls", {"resource": kind, "pattern": "literal" if name == "shared" else "prefixed", "name": name,
                                                          "principal": principal, "operation": operation})
        for topic in ("ann-topic", "shared", "closed"):
            create_topic(polis, topic)

    def kcat(self, door, mechanism, user=None, password=None, **more):
        user, password = (user, password) if user else (self.root["PLAIN"] if mechanism == "PLAIN" else ("ann", self.ann))
        protocol = "SASL_SSL" if "tls" in door else "SASL_PLAINTEXT"
        tls = {"ssl_ca_location": self.ca["ca.pem"]} if "tls" in door else {}
        return Kcat(self.polis, door, security_protocol=protocol, sasl_mechanisms=mechanism, sasl_username=user, sasl_password=password, **tls, **more)

    def kcat_doors(self):
        for door in ("kafka_sasl", "kafka_sasl_tls"):
            for mechanism in MECHANISMS:
                round_trip(self.kcat(door, mechanism), "ann-topic", fresh("ann-group"), f"{door} {mechanism}")
                wrong = self.kcat(door, mechanism, user="ann", password="not it")
                refused(wrong, [], ("uthentication", "SASL"), f"{door} {mechanism}: a wrong password")
            refused(self.kcat(door, "SCRAM-SHA-512", user="nobody", password="x"), [], ("uthentication", "SASL"), f"{door}: nobody")
        ann = self.kcat("kafka_sasl", "SCRAM-SHA-256")
        ann.call("-P", "-t", "shared", "-p", "0", input_text="x\n", status="fails")
        check("authorization" in ann.said.lower(), f"who may read may not write: {ann.said}")
        check(ann.consume("shared", "-p", "0", "-o", "beginning") == "", "but read")
        listed = json.loads(ann.call("-L", "-J"))["topics"]
        check(sorted(t["topic"] for t in listed) == ["ann-topic", "shared"], f"who may not describe a topic is not told of it: {listed}")
        ann.call("-C", "-e", "-t", "closed", "-p", "0", "-o", "beginning", status="fails")
        check("authorization" in ann.said.lower(), f"nor reads it: {ann.said}")
        ann.call("-P", "-t", "ann-unmade", "-p", "0", "-X", "message.timeout.ms=5000", input_text="x\n", status="fails")
        check("ann-unmade" not in self.polis.command("stream", "topic", "list"), "doors that ask make no topics by the way")

    def tls_door(self):
        alice = {"security_protocol": "SSL", "ssl_ca_location": self.ca["ca.pem"], "ssl_certificate_location": self.ca["alice.pem"], "ssl_key_location": self.ca["alice.key"]}
        round_trip(Kcat(self.polis, "kafka_tls", **alice), "ann-topic", fresh("ann-group"), "a certificate is a name")
        stranger = Kcat(self.polis, "kafka_tls", security_protocol="SSL", ssl_ca_location=self.ca["ca.pem"])
        refused(stranger, [], ("SSL", "onnect", "transport", "imed out"), "no certificate, no entry")
        distrustful = Kcat(self.polis, "kafka_tls", **{**alice, "ssl_ca_location": self.ca["alice.pem"]})
        refused(distrustful, [], ("certificate verify failed", "SSL", "imed out"), "a server that the client does not trust")
        plain = Kcat(self.polis, "kafka_sasl_tls")
        refused(plain, [], ("ssl", "SSL", "isconnected", "imed out"), "plain text to a TLS port")

    def python_kafka(self):
        for door, mechanism in (("kafka_sasl", "PLAIN"), ("kafka_sasl", "SCRAM-SHA-256"), ("kafka_sasl_tls", "SCRAM-SHA-512")):
            user, password = self.root["PLAIN"] if mechanism == "PLAIN" else ("ann", self.ann)
            options = {"bootstrap_servers": brokers(self.polis, door), "security_protocol": "SASL_SSL" if "tls" in door else "SASL_PLAINTEXT", "sasl_mechanism": mechanism,
                       "sasl_plain_username": user, "sasl_plain_password": password, "ssl_cafile": self.ca["ca.pem"] if "tls" in door else None}
            producer = KafkaProducer(**options)
            value = f"python {door} {mechanism}".encode()
            offset = producer.send("ann-topic", value, partition=0).get(20).offset
            producer.close()
            consumer = KafkaConsumer("ann-topic", group_id=fresh("ann-group"), auto_offset_reset="earliest", consumer_timeout_ms=20_000, **options)
            check(any(r.offset == offset and r.value == value for r in consumer), f"python3-kafka {door} {mechanism}")
            consumer.close()
        try:
            KafkaProducer(bootstrap_servers=brokers(self.polis, "kafka_sasl"), security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", sasl_plain_username="ann",
                          sasl_plain_password="wrong", api_version_auto_timeout_ms=5000)
            check(False, "python3-kafka with a wrong password")
        except KafkaError:
            pass

    def confluent(self):
        settings = {"bootstrap.servers": brokers(self.polis, "kafka_sasl_tls"), "security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-256", "sasl.username": "ann",
                    "sasl.password": self.ann, "ssl.ca.location": self.ca["ca.pem"]}
        admin = AdminClient(settings)
        check("ann-topic" in admin.list_topics(timeout=20).topics, "python3-confluent-kafka through SASL and TLS")
        from confluent_kafka.admin import NewTopic
        admin.create_topics([NewTopic("ann-made", 2, 1)])["ann-made"].result(20)
        try:
            admin.create_topics([NewTopic("not-hers", 1, 1)])["not-hers"].result(20)
            check(False, "a topic outside her rules")
        except KafkaException as error:
            check(error.args[0].name() in ("TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"), f"creating: {error}")
        # A password that was changed counts from the next connection on.
        self.polis.api("PUT", "/api/stream/v1/users/ann", {"password": "another password"})
        self.ann = "another password"
        round_trip(self.kcat("kafka_sasl", "SCRAM-SHA-512"), "ann-topic", fresh("ann-group"), "changed password")

    def kafkajs(self):
        install_lz4()
        user, secret = self.root["PLAIN"]
        tls = {"ca": self.ca["ca.pem"]}
        doors = []
        for door, mechanism in (("kafka_sasl", "plain"), ("kafka_sasl", "scram-sha-256"), ("kafka_sasl_tls", "scram-sha-512"), ("kafka_sasl_tls", "plain")):
            sasl = {"mechanism": mechanism, "username": user if mechanism == "plain" else "ann", "password": secret if mechanism == "plain" else self.ann}
            doors.append({"name": f"{door} {mechanism}", "broker": brokers(self.polis, door), "sasl": sasl, "tls": tls if "tls" in door else None, "topic": "ann-topic"})
        doors.append({"name": "certificate", "broker": brokers(self.polis, "kafka_tls"), "topic": "ann-topic",
                      "tls": {**tls, "key": self.ca["alice.key"], "certificate": self.ca["alice.pem"]}})
        doors.append({"name": "wrong password", "broker": brokers(self.polis, "kafka_sasl"), "topic": "ann-topic", "refused": "SASL|uthentication",
                      "sasl": {"mechanism": "scram-sha-256", "username": "ann", "password": "wrong"}})
        doors.append({"name": "no right", "broker": brokers(self.polis, "kafka_sasl"), "topic": "closed", "refused": "uthoriz",
                      "sasl": {"mechanism": "scram-sha-256", "username": "ann", "password": self.ann}})
        with open(os.path.join(HERE, "node/stream_doors_kafkajs.mjs"), encoding="utf-8") as source, \
                open(os.path.join(FOLDER, "stream_doors_kafkajs.mjs"), "w", encoding="utf-8") as target:
            target.write(source.read())
        Client(self.polis, {"STREAM_DOORS": json.dumps(doors)}).run("node", os.path.join(FOLDER, "stream_doors_kafkajs.mjs"), limit_s=180)


with tempfile.TemporaryDirectory(prefix="polis-test-ca-") as folder:
    authority = certificate_authority(folder)

    def test(polis):
        doors = Doors(polis, authority)
        doors.kcat_doors()
        doors.tls_door()
        doors.python_kafka()
        doors.confluent()
        doors.kafkajs()

    run_stream(test, settings=[f"stream.tls_certificate={authority['server.pem']}", f"stream.tls_key={authority['server.key']}",
                               f"stream.tls_client_authorities={authority['ca.pem']}"])

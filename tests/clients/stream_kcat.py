#!/usr/bin/env python3
"""kcat (librdkafka): producing with every codec, acknowledgement level and headers; consuming from every kind of offset; groups, queries,
transactions and isolation, metadata."""
import json
import time

from stream_client import CODECS, Kcat, brokers, check, create_topic, fresh, run_stream


def codecs(kcat):
    for codec in CODECS:
        topic = fresh(f"codec-{codec}")
        lines = "".join(f"{n:06} {codec} {'x' * (n % 300)}\n" for n in range(3000))
        kcat.produce(topic, lines, "-z", codec, "-p", "0")
        check(kcat.consume(topic, "-p", "0", "-o", "beginning") == lines, f"{codec}: what was produced comes back")


def keys_headers_and_nulls(kcat):
    topic = fresh("parts")
    kcat.produce(topic, "k1:v1\nk2:\nplain\n", "-K", ":", "-Z", "-H", "trace=abc", "-H", "empty=", "-p", "0")
    rows = [json.loads(line) for line in kcat.consume(topic, "-J", "-o", "beginning").splitlines()]
    check([(r["key"], r["payload"], r["offset"]) for r in rows] == [("k1", "v1", 0), ("k2", None, 1), (None, "plain", 2)], f"keys and nulls: {rows}")
    check(all(r["headers"][:3] == ["trace", "abc", "empty"] for r in rows), f"headers: {rows[0]}")
    check(all(abs(r["ts"] / 1000 - time.time()) < 600 and r["tstype"] == "create" for r in rows), f"timestamps: {rows[0]}")


def acknowledgements(kcat):
    for acks in ("0", "1", "all"):
        topic = fresh(f"acks-{acks}")
        lines = "".join(f"{n}\n" for n in range(500))
        kcat.produce(topic, lines, "-p", "0", "-X", f"topic.request.required.acks={acks}")
        # With acks=0 nobody said when the last one was stored: read until it is there.
        check(kcat.call("-C", "-q", "-t", topic, "-p", "0", "-o", "beginning", "-c", "500") == lines, f"acks={acks}")


def offsets(kcat):
    topic = fresh("offsets")
    kcat.produce(topic, "".join(f"{n}\n" for n in range(100)), "-p", "0")
    middle_ms = int(time.time() * 1000) + 1
    while int(time.time() * 1000) <= middle_ms:
        pass
    kcat.produce(topic, "".join(f"{n}\n" for n in range(100, 200)), "-p", "0")
    first = lambda text: text.split("\n", 1)[0]  # noqa: E731
    check(first(kcat.consume(topic, "-p", "0", "-o", "150")) == "150", "from an absolute offset")
    check(first(kcat.consume(topic, "-p", "0", "-o", "-10")) == "190", "from the end")
    check(first(kcat.consume(topic, "-p", "0", "-o", f"s@{middle_ms}")) == "100", "from a time")
    check(kcat.consume(topic, "-p", "0", "-o", "beginning", "-o", f"e@{middle_ms}").split() == [str(n) for n in range(100)], "up to a time")
    check(kcat.consume(topic, "-p", "0", "-o", "end") == "", "nothing after the end")
    check(kcat.call("-Q", "-t", f"{topic}:0:{middle_ms}").strip() == f"{topic} [0] offset 100", "query by time")
    check(kcat.call("-Q", "-t", f"{topic}:0:-1").strip() == f"{topic} [0] offset 200", "query of the end")
    check(kcat.call("-Q", "-t", f"{topic}:0:-2").strip() == f"{topic} [0] offset 0", "query of the beginning")


def groups(kcat, polis):
    topic, group = create_topic(polis, fresh("grouped"), 4), fresh("group")
    expected = sorted(f"{n}" for n in range(1000))
    kcat.produce(topic, "".join(f"{n}:{n}\n" for n in range(1000)), "-K", ":")
    text = kcat.call("-q", "-e", "-X", "auto.offset.reset=earliest", "-G", group, topic, limit_s=90)
    check(sorted(text.split()) == expected, "a group reads every partition")
    text = kcat.call("-q", "-e", "-X", "auto.offset.reset=earliest", "-G", group, topic, limit_s=90)
    check(text == "", "committed offsets stay: nothing is read twice")
    kcat.produce(topic, "".join(f"{n}:more {n}\n" for n in range(20)), "-K", ":")
    text = kcat.call("-q", "-e", "-X", "auto.offset.reset=earliest", "-G", group, topic, limit_s=90)
    check(sorted(text.splitlines()) == sorted(f"more {n}" for n in range(20)), "a group goes on where it was")


def transactions(kcat):
    topic = fresh("transactions")
    kcat.produce(topic, "".join(f"t{n}\n" for n in range(50)), "-p", "0", "-X", f"transactional.id={fresh('kcat')}")
    kcat.produce(topic, "after\n", "-p", "0", "-X", "enable.idempotence=true")
    for isolation in ("read_committed", "read_uncommitted"):
        rows = kcat.consume(topic, "-p", "0", "-o", "beginning", "-f", "%o %s\n", "-X", f"isolation.level={isolation}").splitlines()
        check(rows == [f"{n} t{n}" for n in range(50)] + ["51 after"], f"{isolation}: the commit marker takes offset 50: {rows[-2:]}")


def metadata(kcat, polis):
    topic = create_topic(polis, fresh("listed"), 3)
    listed = json.loads(kcat.call("-L", "-J"))
    check([b["name"] for b in listed["brokers"]] == [brokers(polis)], f"clients are told the address that they used: {listed['brokers']}")
    own = [t for t in listed["topics"] if t["topic"] == topic][0]
    check([p["partition"] for p in own["partitions"]] == [0, 1, 2] and all(p["leader"] == listed["brokers"][0]["id"] for p in own["partitions"]),
          f"three partitions, each with its leader: {own}")
    kcat.call("-P", "-t", "bad topic!", "-p", "0", input_text="x\n", status="fails")
    check("nvalid topic" in kcat.said or "INVALID_TOPIC" in kcat.said, f"a bad name is refused: {kcat.said}")


def large(kcat, polis):
    topic = create_topic(polis, fresh("large"), 1, max_message_bytes=20_000_000)
    text = "".join(chr(97 + n % 26) for n in range(9_000_000))
    kcat.produce(topic, text, "-p", "0", "-X", "message.max.bytes=20000000")
    check(kcat.consume(topic, "-p", "0", "-o", "beginning", "-f", "%s") == text, "9 MB in one record")
    small = create_topic(polis, fresh("small"), 1)
    kcat.call("-P", "-t", small, "-p", "0", "-X", "message.max.bytes=20000000", input_text="y" * 3_000_000, status="fails")
    check("too large" in kcat.said.lower() or "MSG_SIZE" in kcat.said, f"max.message.bytes holds: {kcat.said}")


def test(polis):
    kcat = Kcat(polis)
    metadata(kcat, polis)
    codecs(kcat)
    keys_headers_and_nulls(kcat)
    acknowledgements(kcat)
    offsets(kcat)
    groups(kcat, polis)
    transactions(kcat)
    large(kcat, polis)


run_stream(test)

#!/usr/bin/env python3
"""A backup made while producers and a group are at work restores to a log that has everything acknowledged before it began."""
import json
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import BINARY, Failed, Polis, check  # noqa: E402

RECORDS = 20_000


def kcat(port, *arguments, feed=None):
    done = subprocess.run(["kcat", "-b", f"127.0.0.1:{port}", *arguments], input=feed, capture_output=True, text=True, timeout=120, check=False)
    check(done.returncode == 0, f"kcat {arguments} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def numbers(first, count):
    return "".join(f"{i}:{i}\n" for i in range(first, first + count))


def main():
    with Polis(systems=["stream"]) as polis:
        port = polis.ready["ports"]["stream.kafka"]
        polis.command("stream", "topic", "create", "orders", "--partitions", "3", "--config", "segment.bytes=100000")
        polis.command("stream", "topic", "create", "empty", "--partitions", "2")
        polis.command("stream", "topic", "create", "two..dots", "--partitions", "1")
        kcat(port, "-P", "-t", "orders", "-K:", feed=numbers(0, RECORDS))
        kcat(port, "-G", "readers", "-e", "-q", "orders", "-X", "auto.offset.reset=earliest")
        stop = threading.Event()

        def load():
            first = RECORDS
            while not stop.is_set():
                kcat(port, "-P", "-t", "orders", "-K:", feed=numbers(first, 2000))
                first += 2000

        worker = threading.Thread(target=load)
        worker.start()
        try:
            backup = os.path.join(polis.directory, "backup")
            polis.command("backup", backup, "--with-keys", input_text="open sesame please\n")
        finally:
            stop.set()
            worker.join()
        polis.stop()

        second = Polis(directory=os.path.join(polis.directory, "restored"), systems=["stream"])
        done = subprocess.run([BINARY, "restore", backup, "--data", second.data, "--with-keys"], input="open sesame please\n", capture_output=True, text=True, timeout=120, check=False)
        check(done.returncode == 0, f"restore ended with {done.returncode}: {done.stdout}{done.stderr}")
        second.start()
        port = second.ready["ports"]["stream.kafka"]
        seen = kcat(port, "-C", "-t", "orders", "-e", "-q", "-o", "beginning").split()
        check(len(seen) == len(set(seen)), "a record came twice")
        check(set(map(str, range(RECORDS))) <= set(seen), f"records are missing: {len(seen)} of at least {RECORDS}")
        topics = {topic["topic"]: len(topic["partitions"]) for topic in json.loads(kcat(port, "-L", "-J"))["topics"]}
        check(topics.get("orders") == 3 and topics.get("empty") == 2 and topics.get("two..dots") == 1, f"topics: {topics}")
        kcat(port, "-P", "-t", "empty", "-K:", feed=numbers(0, 10))
        check(len(kcat(port, "-C", "-t", "empty", "-e", "-q", "-o", "beginning").split()) == 10, "the empty topic takes no records")
        # The group goes on where it had committed: nothing of the first batch comes again.
        rest = kcat(port, "-G", "readers", "-e", "-q", "orders", "-X", "auto.offset.reset=earliest").split()
        check(not set(map(int, rest)) & set(range(RECORDS)), "the group begins again")
        second.stop()
        polis.start()
    print("ok")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

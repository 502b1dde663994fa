#!/usr/bin/env python3
"""A damaged partition and a full disk are told by health; everything that is sound goes on."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import Failed, Polis, check  # noqa: E402


def kcat(port, *arguments, feed=None):
    return subprocess.run(["kcat", "-b", f"127.0.0.1:{port}", "-X", "message.timeout.ms=3000", *arguments], input=feed, capture_output=True, text=True, timeout=60, check=False)


def read(port, partition):
    done = kcat(port, "-C", "-t", "orders", "-p", str(partition), "-e", "-q", "-o", "beginning")
    check(done.returncode == 0, done.stderr)
    return done.stdout.split()


def state_of(polis):
    status = polis.json("status")
    return next(system for system in status["systems"] if system["name"] == "stream")


def main():
    with Polis(systems=["stream"]) as polis:
        port = polis.ready["ports"]["stream.kafka"]
        polis.command("stream", "topic", "create", "orders", "--partitions", "2")
        for partition in (0, 1):
            check(kcat(port, "-P", "-t", "orders", "-p", str(partition), feed="a\nb\n").returncode == 0, "cannot produce")
        check(state_of(polis)["state"] == "healthy", f"{state_of(polis)}")
        polis.stop()

        with open(os.path.join(polis.data, "stream/orders-1/state"), "wb") as state:
            state.write(b"damaged")
        polis.start()
        port = polis.ready["ports"]["stream.kafka"]
        health = state_of(polis)
        check(health["state"] == "degraded" and "orders-1" in health["message"], f"{health}")
        check(kcat(port, "-P", "-t", "orders", "-p", "1", feed="c\n").returncode != 0, "a damaged partition takes records")
        check(kcat(port, "-P", "-t", "orders", "-p", "0", feed="c\n").returncode == 0, "the sound partition takes none")
        check(read(port, 0) == ["a", "b", "c"], f"{read(port, 0)}")
        polis.stop()

        os.remove(os.path.join(polis.data, "stream/orders-1/state"))
        polis.settings.append("stream.disk_full_percent=1")
        polis.start()
        port = polis.ready["ports"]["stream.kafka"]
        health = state_of(polis)
        check(health["state"] == "degraded" and "is full" in health["message"], f"{health}")
        check(kcat(port, "-P", "-t", "orders", "-p", "0", feed="d\n").returncode != 0, "a full disk takes records")
        check(read(port, 0) == ["a", "b", "c"] and read(port, 1) == ["a", "b"], "what is there cannot be read")
        polis.stop()
        polis.settings.clear()
        polis.start()
        check(state_of(polis)["state"] == "healthy", f"{state_of(polis)}")
        check(kcat(polis.ready["ports"]["stream.kafka"], "-P", "-t", "orders", "-p", "0", feed="e\n").returncode == 0, "cannot produce any more")
    print("ok")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

#!/usr/bin/env python3
"""The AWS SDK for Ruby: checksums, transfers in parts, streams, waiters, pages, pre-signed URLs and forms."""
import os

from client import Client, run

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ruby/sdk.rb")


def test(polis, root):
    # Debian's ruby: its packages are not seen by another one on PATH.
    Client(polis).run("/usr/bin/ruby", SCRIPT, polis.s3_url, root["access_key"], root["secret_key"])


run(test)

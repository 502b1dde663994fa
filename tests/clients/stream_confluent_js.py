#!/usr/bin/env python3
"""The @confluentinc/kafka-javascript package, built from source with Debian's OpenSSL, zlib and codecs: four minutes, so the short form runs it
only where it is built already."""
import os
import sys

from stream_node import build_confluent, run_stream_script

folder = build_confluent(may_build=int(os.environ.get("POLIS_SUITE_FULL", "0")))
if not folder:
    print("skipped: @confluentinc/kafka-javascript is not built; `./test full stream` builds it")
    sys.exit(77)
run_stream_script("stream_confluent.mjs", folder=folder, source="node_confluent")

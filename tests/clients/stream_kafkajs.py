#!/usr/bin/env python3
"""The kafkajs package with its LZ4 and Snappy codecs."""
from stream_node import run_stream_script

run_stream_script("stream_kafkajs.mjs")

#!/usr/bin/env python3
"""The @platformatic/kafka package: only the newest versions of the protocol, and a Node of the newest, too."""
from stream_node import newer_node, run_stream_script

run_stream_script("stream_platformatic.mjs", node=newer_node(22))

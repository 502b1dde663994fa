#!/usr/bin/env python3
"""Every version of every api that the broker and @platformatic/kafka both know, parsed by the client's own code."""
from stream_node import newer_node, run_stream_script

run_stream_script("stream_versions.mjs", node=newer_node(22))

#!/usr/bin/env python3
"""The current AWS SDK for JavaScript with its defaults: CRC trailers, 100-continue, multipart by lib-storage, pre-signed URLs."""
from node_client import run_script

run_script("sdk.mjs")

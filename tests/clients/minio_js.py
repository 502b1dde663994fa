#!/usr/bin/env python3
"""The minio package for Node: an independent implementation of SigV4, streaming signatures and pre-signed forms."""
from node_client import run_script

run_script("minio.mjs")

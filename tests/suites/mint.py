#!/usr/bin/env python3
"""Mint's scripts for the AWS command line and s3cmd, unmodified (README.md): every case they print must be a PASS."""
import os
import re
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "clients"))
from client import Client, check, run  # noqa: E402

SKIPPED = 77
# Cases a script prints when all went well; fewer mean that it ended early.
SCRIPTS = {"awscli": 23, "s3cmd": 8}


def find_mint():
    given = os.environ.get("POLIS_SUITES_DIR", "")
    for candidate in (given, os.path.join(given, "mint")):
        if os.path.exists(os.path.join(candidate, "run/core/awscli/test.sh")):
            return candidate
    print(f"SKIPPED: no mint in '{given}': tests/suites/README.md says what to bring")
    sys.exit(SKIPPED)


def make_files(mint, folder):
    """The 15 files of create-data-files.sh, 0 bytes to 129 MiB."""
    os.makedirs(folder)
    with open(os.path.join(mint, "create-data-files.sh"), encoding="utf-8") as file:
        sizes = re.findall(r'data_file_map\["([^"]+)"\]="(\d+)([KM]?)"', file.read())
    check(len(sizes) == 15, f"15 data files are wanted, the script names {len(sizes)}")
    for name, count, unit in sizes:
        with open(os.path.join(folder, name), "wb") as file:
            left = int(count) * {"": 1, "K": 1 << 10, "M": 1 << 20}[unit]
            while left:
                file.write(os.urandom(min(left, 1 << 20)))
                left -= min(left, 1 << 20)


def run_script(client, mint, name, endpoint, secure):
    """Runs one test.sh; returns the lines of cases that failed."""
    client.environment.update({"SERVER_ENDPOINT": endpoint, "ENABLE_HTTPS": "1" if secure else "0"})
    # s3cmd's configuration takes words.
    if name == "s3cmd":
        client.environment["ENABLE_HTTPS"] = "True" if secure else "False"
    words = ["bash", os.path.join(mint, "run/core", name, "test.sh")]
    if name == "awscli":
        words.append(("https://" if secure else "http://") + endpoint)
    # The one place outside its folder: the script appends to this file, and leaves it when it is interrupted.
    if os.path.exists("/tmp/multipart"):
        os.remove("/tmp/multipart")
    text = client.run(*words, status=None, limit_s=900)
    # One line a case; what a client said stands in it unescaped, so it is no JSON to rely on.
    cases = [line for line in text.splitlines() if line.startswith('{"name"')]
    passed = [line for line in cases if '"status": "PASS"' in line]
    failed = [line for line in cases if line not in passed]
    print(f"mint {name} over {'TLS' if secure else 'plain TCP'}: {len(passed)} of {max(SCRIPTS[name], len(cases))} cases")
    if not failed and len(passed) < SCRIPTS[name]:
        failed.append(f"{name} ended early")
    # What the client said itself comes last.
    return [*failed, text[-3000:]] if failed else []


def test(polis, root):
    client = Client(polis)
    folder = client.path("data")
    make_files(mint, folder)
    # The scripts are written for `python` and for version 1 of the AWS command line, which ends with 255 where 2 ends with 254.
    os.makedirs(client.path("bin"))
    os.symlink("/usr/bin/python3", client.path("bin/python"))
    program = "/usr/bin/aws" if os.path.exists("/usr/bin/aws") else shutil.which("aws")
    with open(client.path("bin/aws"), "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\n{program} "$@"\nstatus=$?\n[ $status -ne 254 ] || status=255\nexit $status\n')
    os.chmod(client.path("bin/aws"), 0o755)
    client.environment.update({
        "PATH": client.path("bin") + ":" + client.environment["PATH"], "MINT_MODE": "core", "MINT_DATA_DIR": folder, "SERVER_REGION": "us-east-1",
        "ACCESS_KEY": root["access_key"], "SECRET_KEY": root["secret_key"], "AWS_ACCESS_KEY_ID": root["access_key"],
        "AWS_SECRET_ACCESS_KEY": root["secret_key"], "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": "",
        "AWS_CA_BUNDLE": os.path.join(polis.data, "keys/object-tls-certificate.pem"),
        "CURL_CA_BUNDLE": os.path.join(polis.data, "keys/object-tls-certificate.pem"),
        "BOTO_EXPERIMENTAL__NO_EMPTY_CONTINUE": "true"})
    plain, secure = (f"127.0.0.1:{polis.port(name)}" for name in ("object.s3", "object.s3_tls"))
    # Server-side encryption with the client's key is tested over TLS only.
    failed = run_script(client, mint, "awscli", secure, True)
    failed += run_script(client, mint, "s3cmd", plain, False)
    check(not failed, "\n".join(failed))


mint = find_mint()
run(test)

#!/usr/bin/env python3
"""Every verb of `polis object`: what people see, what --json gives, and what a mistake is answered with."""
import json
import os
import ssl
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import Failed, Polis, check  # noqa: E402


def fails(polis, *words, contains, status=1):
    polis.command(*words, status=status)
    check(contains in polis.last_error, f"{' '.join(words)}: {polis.last_error}, expected {contains}")


def file(polis, name, content):
    path = os.path.join(polis.directory, "files", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(content)
    return path


def content(path):
    with open(path, "rb") as read:
        return read.read()


def objects(polis):
    run = polis.command
    run("object", "mb", "s3://docs")
    blob = os.urandom(700_000)
    up, down = file(polis, "up/a", blob), os.path.join(polis.directory, "down")
    check("upload" in run("object", "cp", up, "s3://docs/folder/"), "a copy into the store")
    file(polis, "up/b ä+%", b"second")
    run("object", "cp", "--recursive", os.path.dirname(up), "s3://docs/tree")
    listed = run("object", "ls", "--recursive", "s3://docs")
    check("folder/a" in listed and "tree/b ä+%" in listed, f"ls: {listed}")
    check("folder/" in run("object", "ls", "s3://docs") and "docs" in run("object", "ls"), "ls by folder, and of buckets")
    run("object", "cp", "--recursive", "s3://docs/tree/", down)
    check(content(os.path.join(down, "a")) == blob and content(os.path.join(down, "b ä+%")) == b"second", "a tree comes back")
    run("object", "cp", "s3://docs/folder/a", "s3://docs/twin")
    stat = polis.json("object", "stat", "s3://docs/twin")
    check(stat["content-length"] == "700000" and stat["key"] == "twin", f"stat: {stat}")
    run("object", "mv", "s3://docs/twin", "s3://docs/moved")
    fails(polis, "object", "stat", "s3://docs/twin", contains="no object s3://docs/twin")
    local = file(polis, "local", b"goes away")
    run("object", "mv", local, "s3://docs/local")
    check(not os.path.exists(local), "mv of a file removes it")
    run("object", "rm", "s3://docs/local")
    fails(polis, "object", "cp", "s3://docs/absent", down + "/x", contains="does not exist")
    check(not os.path.exists(down + "/x"), "a download that failed leaves no file")
    fails(polis, "object", "cp", up, down, contains="s3://")
    fails(polis, "object", "mb", "s3://Bad_Name", contains="bucket")
    fails(polis, "object", "stat", "s3://", contains="name a bucket")

    url = run("object", "presign", "s3://docs/moved", "--expires", "60").strip()
    with urllib.request.urlopen(url, timeout=20) as answer:
        check(answer.read() == blob, "a pre-signed URL")
    url = run("object", "presign", "s3://docs/moved", "--tls").strip()
    tls = ssl.create_default_context(cafile=os.path.join(polis.data, "keys/object-tls-certificate.pem"))
    with urllib.request.urlopen(url, timeout=20, context=tls) as answer:
        check(answer.read() == blob, "over TLS")
    url = run("object", "presign", "s3://docs/by url", "--method", "PUT").strip()
    with urllib.request.urlopen(urllib.request.Request(url, b"put", method="PUT"), timeout=20) as answer:
        check(answer.status == 200, "a pre-signed PUT")

    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::docs/*"}]}
    run("object", "policy", "s3://docs", "--put", file(polis, "policy", json.dumps(policy).encode()))
    check(polis.json("object", "policy", "s3://docs") == policy, "a policy")
    run("object", "policy", "s3://docs", "--remove")
    fails(polis, "object", "policy", "s3://docs", contains="policy")

    fails(polis, "object", "rb", "s3://docs", contains="not empty")
    check("polis apply" in run("object", "rm", "--recursive", "s3://docs/tree/"), "rm of a tree is a plan")
    run("object", "rm", "--recursive", "s3://docs/tree/", "--yes")
    check("tree" not in run("object", "ls", "s3://docs"), "that is applied")
    run("object", "rb", "--force", "s3://docs", "--yes")
    check(polis.json("object", "ls")["buckets"] == [], "the bucket is gone with everything in it")


def locked(polis):
    run = polis.command
    run("object", "mb", "--lock", "s3://kept")
    check(polis.json("object", "lock", "s3://kept") == {"bucket": "kept", "object_lock": True}, "a bucket with object lock")
    shown = polis.json("object", "lock", "s3://kept", "--mode", "governance", "--days", "2")
    check(shown["mode"] == "GOVERNANCE" and shown["days"] == "2", f"its default: {shown}")
    run("object", "cp", file(polis, "kept", b"one"), "s3://kept/a")
    run("object", "cp", file(polis, "kept", b"two"), "s3://kept/a")
    rows = run("object", "versions", "s3://kept").strip().splitlines()
    check(len(rows) == 3 and "latest" in rows[1], f"two versions: {rows}")
    older = polis.json("object", "versions", "s3://kept")[1]["version"]
    check(polis.json("object", "lock", "s3://kept/a")["mode"] == "GOVERNANCE", "versions take the default")
    fails(polis, "object", "rm", "s3://kept/a", "--version", older, contains="Access Denied")
    later = polis.json("object", "lock", "s3://kept/a", "--version", older, "--mode", "compliance", "--until", "2099-01-01T00:00:00Z", "--bypass")
    check(later["mode"] == "COMPLIANCE" and later["until"].startswith("2099"), f"longer: {later}")
    fails(polis, "object", "lock", "s3://kept/a", "--version", older, "--mode", "none", "--bypass", contains="Access Denied")
    check(polis.json("object", "lock", "s3://kept/a", "--mode", "none", "--bypass")["mode"] == "none", "governance is bypassed by who may")
    check(polis.json("object", "lock", "s3://kept/a", "--hold", "on")["hold"] == "on", "a legal hold")
    check(polis.json("object", "lock", "s3://kept/a", "--hold", "off")["hold"] == "off", "taken off")
    fails(polis, "object", "lock", "s3://kept", "--mode", "governance", contains="--days")
    fails(polis, "object", "lock", "s3://kept", "--hold", "on", contains="one object")
    fails(polis, "object", "lock", "s3://kept/a", "--days", "3", contains="--until")
    run("object", "mb", "s3://plain")
    check(polis.json("object", "lock", "s3://plain")["object_lock"] is False, "a bucket without")
    fails(polis, "object", "lock", "s3://plain", "--mode", "governance", "--days", "1", contains="ersioning")


def drives(polis):
    run = polis.command
    check(len(polis.json("object", "drives")["drives"]) == 6 and "online" in run("object", "drives"), "six drives")
    run("object", "kill-drive", "2", "--yes")
    check([d["state"] for d in polis.json("object", "drives")["drives"]].count("online") == 5, "one is out of service")
    run("object", "drive-online", "2")
    for verb in ("repair", "scrub", "compact"):
        run("object", verb)
    check([d["state"] for d in polis.json("object", "drives")["drives"]].count("online") == 6, "all are back")
    fails(polis, "object", "kill-drive", "99", contains="99")
    text = run("object", "durability", "--k", "4", "--m", "2", "--afr", "0.0081", "--repair-hours", "156")
    check("8.47" in text and "nines" in text, f"durability: {text}")


try:
    with Polis(systems=("object",)) as polis:
        for part in (objects, locked, drives):
            part(polis)
            print(f"ok {part.__name__}")
except Failed as failure:
    print(f"FAILED: {failure}")
    sys.exit(1)

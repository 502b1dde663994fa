#!/usr/bin/env python3
"""s4cmd: two threads, multipart in both directions, sync by MD5, wildcards, batches of deletes."""
import os

from client import SIZES, Client, check, md5_of, run, same_trees, write_file


def test(polis, root):
    client = Client(polis, {"S3_ACCESS_KEY": root["access_key"], "S3_SECRET_KEY": root["secret_key"], "AWS_DEFAULT_REGION": "us-east-1"})
    mib = 1 << 20

    def s4cmd(*words, **options):
        return client.run("/usr/bin/s4cmd", f"--endpoint-url={polis.s3_url}", "--retry=1", "--num-threads=2", f"--multipart-split-size={5 * mib}",
                          f"--max-singlepart-upload-size={8 * mib}", f"--max-singlepart-download-size={8 * mib}",
                          f"--max-singlepart-copy-size={8 * mib}", *words, **options)

    s4cmd("mb", "s3://docs")
    for name, size in SIZES.items():
        write_file(client.path("up", name), size)
    # Its own names for parts of a tree: "put -r" makes the last folder's name part of the keys.
    s4cmd("put", "--recursive", client.path("up"), "s3://docs/all/")
    listed = s4cmd("ls", "--recursive", "s3://docs")
    check(listed.count("s3://docs/all/up/") == len(SIZES) and "20000003" in listed, f"every file is listed: {listed}")
    os.makedirs(client.path("down"))
    s4cmd("get", "--recursive", "s3://docs/all/up", client.path("down"))
    same_trees(client.path("up"), client.path("down/up"))

    s4cmd("cp", "s3://docs/all/up/large", "s3://docs/twin")  # UploadPartCopy of four ranges
    s4cmd("get", "s3://docs/twin", client.path("twin"))
    check(md5_of(client.path("twin")) == md5_of(client.path("up/large")), "a copy by parts has the same bytes")
    s4cmd("mv", "s3://docs/all/up/row", "s3://docs/moved")
    check("s3://docs/moved" in s4cmd("ls", "s3://docs/*ved"), "a moved object is found by a wildcard")
    write_file(client.path("up/fresh"), 3333)
    os.remove(client.path("up/packed"))
    s4cmd("dsync", "--sync-check", "--delete-removed", client.path("up"), "s3://docs/all/up")
    listed = s4cmd("ls", "--recursive", "s3://docs/all")
    check(listed.count("s3://") == len(SIZES) and "fresh" in listed and "packed" not in listed, f"dsync mirrors the folder: {listed}")
    check("doesn't exist" in s4cmd("get", "s3://docs/absent", client.path("absent"), status="fails"), "a missing key says so")
    s4cmd("del", "--recursive", "s3://docs/*")
    check("s3://docs/" not in s4cmd("ls", "--recursive", "s3://docs"), "every key is gone")


run(test)

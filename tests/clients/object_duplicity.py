#!/usr/bin/env python3
"""duplicity keeps volumes in a bucket: full, incremental, verify, restore on a machine that knows nothing, an earlier state, removal of old chains."""
import os
import shutil
import time

from client import SIZES, Client, check, run, same_trees, wait_for, write_file


def test(polis, root):
    client = Client(polis, {"AWS_ACCESS_KEY_ID": root["access_key"], "AWS_SECRET_ACCESS_KEY": root["secret_key"], "AWS_DEFAULT_REGION": "us-east-1"})
    polis.command("object", "mb", "s3://backups")

    def duplicity(*words, **options):
        return client.run("/usr/bin/duplicity", *words, "--s3-endpoint-url", polis.s3_url, "--no-encryption", "--archive-dir", client.path("archive"),
                          "--num-retries", "1", **options)

    target = "boto3+s3://backups/laptop"
    for name, size in SIZES.items():
        write_file(client.path("files", name), size)
    check("Errors 0" in duplicity("full", "--volsize", "5", client.path("files"), target), "a full backup in volumes of 5 MB")
    shutil.copytree(client.path("files"), client.path("before"))
    # duplicity tells chains apart, and states, by whole seconds.
    before = int(time.time())
    wait_for("the next second", 3, lambda: int(time.time()) > before)
    write_file(client.path("files/fresh"), 3_000_000)
    os.remove(client.path("files/row"))
    check("Errors 0" in duplicity("incremental", client.path("files"), target), "an increment")
    check("0 differences found" in duplicity("verify", "--compare-data", target, client.path("files")), "every byte verifies")
    # A machine that knows nothing but the bucket.
    shutil.rmtree(client.path("archive"))
    duplicity("restore", target, client.path("restored"))
    same_trees(client.path("files"), client.path("restored"))
    duplicity("restore", "--time", str(before), target, client.path("earlier"))
    same_trees(client.path("before"), client.path("earlier"))

    duplicity("full", client.path("files"), target)
    check("Deleting backup chain" in duplicity("remove-all-but-n-full", "1", "--force", target), "the old chain goes")
    check("nothing deleted in cleanup" in duplicity("cleanup", "--force", target), "nothing is left over")
    client.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
    duplicity("collection-status", target, status="fails")


run(test)

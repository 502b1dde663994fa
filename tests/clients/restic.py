#!/usr/bin/env python3
"""restic keeps a repository in a bucket: init, backup, check with all data, restore, forget, prune."""
import os

from client import SIZES, Client, check, run, same_trees, write_file


def test(polis, root):
    client = Client(polis, {
        "AWS_ACCESS_KEY_ID": root["access_key"], "AWS_SECRET_ACCESS_KEY": root["secret_key"],
        "RESTIC_REPOSITORY": f"s3:{polis.s3_url}/backups/laptop", "RESTIC_PASSWORD": "open sesame", "RESTIC_PROGRESS_FPS": "0"})

    def restic(*words, **options):
        return client.run("restic", "--no-cache", *words, **options)

    restic("init")
    check("already initialized" in restic("init", status="fails"), "a second init is refused")
    for name, size in SIZES.items():
        write_file(client.path("home", name), size)
    restic("backup", client.path("home"))
    check("no errors were found" in restic("check", "--read-data"), "every byte of the repository checks")

    os.remove(client.path("home/large"))
    write_file(client.path("home/fresh"), 3_000_000)
    restic("backup", client.path("home"))
    check("2 snapshots" in restic("snapshots"), "both snapshots are there")
    restic("restore", "latest", "--target", client.path("restored"))
    same_trees(client.path("home"), client.path("restored") + client.path("home"))

    restic("forget", "--keep-last", "1", "--prune")
    check("1 snapshots" in restic("snapshots"), "one snapshot stays")
    check("no errors were found" in restic("check", "--read-data"), "the pruned repository is whole")
    client.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
    restic("snapshots", status="fails")


run(test)

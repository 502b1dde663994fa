#!/usr/bin/env python3
"""rclone: copy, sync, check, cat by range, move, server-side copy, purge."""
import os

from client import SIZES, Client, check, run, same_trees, write_file


def test(polis, root):
    client = Client(polis)
    os.makedirs(client.path(".config/rclone"))
    with open(client.path(".config/rclone/rclone.conf"), "w", encoding="utf-8") as file:
        file.write(f"[polis]\ntype = s3\nprovider = Other\naccess_key_id = {root['access_key']}\nsecret_access_key = {root['secret_key']}\n"
                   f"endpoint = {polis.s3_url}\nregion = us-east-1\nforce_path_style = true\nchunk_size = 5Mi\nupload_cutoff = 8Mi\n")

    def rclone(*words, **options):
        return client.run("rclone", "--retries", "1", "--low-level-retries", "1", *words, **options)

    rclone("mkdir", "polis:media")
    check("media" in rclone("lsd", "polis:"), "the bucket is listed")
    for name, size in SIZES.items():
        write_file(client.path("up", "deep/er", name), size)
    for i in range(60):
        write_file(client.path("up", f"many/{i:03}-ä b.txt"), 37 * i, seed=i)
    rclone("copy", "--transfers", "8", client.path("up"), "polis:media/tree")
    rclone("check", "--download", client.path("up"), "polis:media/tree")
    out = rclone("check", client.path("up"), "polis:media/tree")
    check("0 differences found" in out, f"check by hash: {out}")
    rclone("copy", "polis:media/tree", client.path("down"))
    same_trees(client.path("up"), client.path("down"))

    with open(client.path("up/deep/er/large"), "rb") as file:
        file.seek(5_242_870)
        expected = file.read(20)
    rclone("copyto", "polis:media/tree/deep/er/large", client.path("whole"))
    got = client.run("sh", "-c", "rclone cat --offset 5242870 --count 20 polis:media/tree/deep/er/large | md5sum").split()[0]
    import hashlib
    check(got == hashlib.md5(expected).hexdigest(), "a range by rclone cat")

    rclone("copy", "polis:media/tree", "polis:media/twin")  # on the server
    rclone("check", "polis:media/tree", "polis:media/twin")
    os.remove(client.path("up/many/007-ä b.txt"))
    write_file(client.path("up/many/008-ä b.txt"), 99, seed="changed")
    rclone("sync", client.path("up"), "polis:media/tree")
    check("0 differences found" in rclone("check", client.path("up"), "polis:media/tree"), "sync removes and replaces")
    check(f'"count":{len(SIZES) + 59}' in rclone("size", "--json", "polis:media/tree").replace(" ", ""), "size counts the keys")
    rclone("moveto", "polis:media/twin/many/001-ä b.txt", "polis:media/moved.txt")
    check("moved.txt" in rclone("lsf", "polis:media"), "a moved object is listed")
    rclone("touch", "polis:media/moved.txt")
    secure = ("--ca-cert", os.path.join(polis.data, "keys/object-tls-certificate.pem"), "--s3-endpoint", f"https://localhost:{polis.port('object.s3_tls')}")
    rclone(*secure, "copy", client.path("up/deep"), "polis:media/secure")
    check("0 differences found" in rclone(*secure, "check", "--download", client.path("up/deep"), "polis:media/secure"), "the same over TLS")
    rclone("purge", "polis:media")
    check("directory not found" in rclone("lsf", "polis:media", status="fails"), "the bucket is gone")


run(test)

#!/usr/bin/env python3
"""s3cmd with a configuration file of its own: it compares ETags with MD5 sums and insists on path style."""
import os

from client import SIZES, Client, check, md5_of, run, same_trees, write_file


def test(polis, root):
    client = Client(polis)
    host = f"127.0.0.1:{polis.port('object.s3')}"
    with open(client.path(".s3cfg"), "w", encoding="utf-8") as file:
        file.write(f"[default]\naccess_key = {root['access_key']}\nsecret_key = {root['secret_key']}\nhost_base = {host}\n"
                   f"host_bucket = {host}\nuse_https = False\nsignature_v2 = False\nbucket_location = us-east-1\nmax_retries = 0\n"
                   "multipart_chunk_size_mb = 5\n")

    def s3cmd(*words, **options):
        return client.run("s3cmd", "--no-progress", *words, **options)

    s3cmd("mb", "s3://docs")
    for name, size in SIZES.items():
        write_file(client.path("up", name), size)
    s3cmd("sync", client.path("up") + "/", "s3://docs/all/")
    check(len(s3cmd("ls", "--recursive", "s3://docs").strip().splitlines()) == len(SIZES), "every file is listed")
    os.makedirs(client.path("down"))
    s3cmd("get", "--recursive", "s3://docs/all/", client.path("down") + "/")
    same_trees(client.path("up"), client.path("down"))
    check("upload:" not in s3cmd("sync", client.path("up") + "/", "s3://docs/all/"), "a second sync finds nothing to do")

    s3cmd("cp", "s3://docs/all/row", "s3://docs/copy of row")
    s3cmd("mv", "s3://docs/copy of row", "s3://docs/moved")
    text = s3cmd("info", "s3://docs/moved")
    check(md5_of(client.path("up/row")) in text, f"info shows the MD5: {text}")
    s3cmd("put", "--add-header=x-amz-meta-colour:green", "--mime-type=text/x-test", client.path("up/one"), "s3://docs/meta")
    check("text/x-test" in s3cmd("info", "s3://docs/meta") and "green" in s3cmd("info", "s3://docs/meta"), "metadata is kept")
    s3cmd("setacl", "--acl-private", "s3://docs/meta", status=None)
    # Resumed download: the first half is there already.
    with open(client.path("up/large"), "rb") as whole, open(client.path("half"), "wb") as half:
        half.write(whole.read(SIZES["large"] // 2))
    s3cmd("get", "--continue", "s3://docs/all/large", client.path("half"))
    check(md5_of(client.path("half")) == md5_of(client.path("up/large")), "a download goes on where it stopped")
    check(" 20000003 " in s3cmd("du", "s3://docs/all/large") or "20000003" in s3cmd("du", "s3://docs/all/large"), "du adds up")

    # Settings of a bucket, and what an object is changed to in place.
    s3cmd("modify", "--add-header=x-amz-meta-colour:red", "s3://docs/meta")
    check("red" in s3cmd("info", "s3://docs/meta"), "metadata is replaced")
    s3cmd("expire", "--expiry-days=30", "--expiry-prefix=old/", "s3://docs")
    check("<Days>30</Days>" in s3cmd("getlifecycle", "s3://docs").replace(" ", ""), "a lifecycle rule")
    s3cmd("dellifecycle", "s3://docs")
    with open(client.path("policy"), "w", encoding="utf-8") as file:
        file.write('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::docs/open/*"}]}')
    s3cmd("setpolicy", client.path("policy"), "s3://docs")
    check("arn:aws:s3:::docs/open/*" in s3cmd("info", "s3://docs"), "a policy")
    s3cmd("delpolicy", "s3://docs")
    s3cmd("setacl", "--acl-public", "s3://docs/meta")
    check("anon" in s3cmd("info", "s3://docs/meta"), "everybody may read")
    secure = f"localhost:{polis.port('object.s3_tls')}"
    tls = ("--ssl", f"--ca-certs={os.path.join(polis.data, 'keys/object-tls-certificate.pem')}", f"--host={secure}", f"--host-bucket={secure}")
    s3cmd(*tls, "put", "--server-side-encryption", client.path("up/large"), "s3://docs/sealed")
    s3cmd(*tls, "get", "s3://docs/sealed", client.path("sealed"))
    check(md5_of(client.path("sealed")) == md5_of(client.path("up/large")) and "AES256" in s3cmd("info", "s3://docs/sealed"), "encrypted, over TLS")

    s3cmd("multipart", "s3://docs")
    check("does not exist" in s3cmd("get", "s3://docs/absent", client.path("absent"), status="fails"), "a missing key says so")
    check("bucketnotempty" in s3cmd("rb", "s3://docs", status="fails").lower(), "a full bucket stays")
    s3cmd("del", "--recursive", "--force", "s3://docs")
    s3cmd("rb", "s3://docs")
    check("s3://docs" not in s3cmd("ls"), "the bucket is gone")


run(test)

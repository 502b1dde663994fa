#!/usr/bin/env python3
"""The command line of libs3, in C and with SigV2 (object.sigv2): buckets, objects, metadata, ranges, conditions, ACLs, query strings."""
from client import SIZES, Client, check, md5_of, run, write_file


def test(polis, root):
    client = Client(polis, {"S3_ACCESS_KEY_ID": root["access_key"], "S3_SECRET_ACCESS_KEY": root["secret_key"],
                            "S3_HOSTNAME": f"127.0.0.1:{polis.port('object.s3')}"})

    def s3(*words, **options):
        return client.run("/usr/bin/s3", "--unencrypted", "--retries=0", *words, **options)

    check("successfully created" in s3("create", "docs"), "a bucket is made")
    check("docs" in s3("list") and "ACCESSIBLE" not in s3("test", "absent", status=None), "buckets are listed")
    for name, size in SIZES.items():
        path = write_file(client.path("up", name), size)
        s3("put", f"docs/all/{name}", f"filename={path}")
        s3("get", f"docs/all/{name}", f"filename={client.path(name)}")
        check(md5_of(client.path(name)) == md5_of(path), f"{name} reads back")
    s3("put", "docs/meta", f"filename={client.path('up/one')}", "contentType=text/x-test", "cacheControl=max-age=60", "x-amz-meta-colour=green",
       "cannedAcl=public-read")
    shown = s3("head", "docs/meta")
    check("text/x-test" in shown and "green" in shown and "ETag" in shown, f"metadata is kept: {shown}")
    s3("get", "docs/all/large", f"filename={client.path('part')}", "startByte=5242870", "byteCount=20")
    with open(client.path("up/large"), "rb") as whole, open(client.path("part"), "rb") as part:
        whole.seek(5242870)
        check(part.read() == whole.read(20), "a range")
    check("ERROR" in s3("get", "docs/all/row", f"filename={client.path('x')}", f"ifNotMatch=\"{md5_of(client.path('up/row'))}\"", status=None),
          "a condition that does not hold")
    s3("copy", "docs/all/row", "docs/twin")
    s3("get", "docs/twin", f"filename={client.path('twin')}")
    check(md5_of(client.path("twin")) == md5_of(client.path("up/row")), "a copy on the server")
    listed = s3("list", "docs", "prefix=all/", "maxkeys=3")
    check("all/border" in listed and "twin" not in listed, f"a listing by prefix: {listed}")
    check("all/" in s3("list", "docs", "delimiter=/"), "common prefixes")
    acl = s3("getacl", "docs/meta")
    check("FULL_CONTROL" in acl and "READ" in acl, f"the ACL: {acl}")
    s3("setacl", "docs/twin", input_text=s3("getacl", "docs/meta"))
    check("READ" in s3("getacl", "docs/twin"), "an ACL is set from another's")
    url = s3("gqs", "docs/all/row").strip()
    client.run("curl", "-fsS", "-o", client.path("signed"), url)
    check(md5_of(client.path("signed")) == md5_of(client.path("up/row")), "a query string authenticates")

    check("NoSuchKey" in s3("get", "docs/absent", f"filename={client.path('x')}", status=None), "NoSuchKey")
    check("BucketNotEmpty" in s3("delete", "docs", status=None), "BucketNotEmpty")
    client.environment["S3_SECRET_ACCESS_KEY"] = "wrong"
    check("SignatureDoesNotMatch" in s3("list", status=None), "SignatureDoesNotMatch")


run(test, settings=["object.sigv2=true"])

#!/usr/bin/env python3
"""AWS's own command line: `aws s3` for daily work, `aws s3api` for single operations."""
import json
import os

from client import SIZES, Client, check, md5_of, run, same_trees, write_file


def test(polis, root):
    client = Client(polis, {
        "AWS_ACCESS_KEY_ID": root["access_key"], "AWS_SECRET_ACCESS_KEY": root["secret_key"],
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1"})
    # Debian's, if it is there: a newer one of the user's may shadow it on PATH and is just as good.
    program = "/usr/bin/aws" if os.path.exists("/usr/bin/aws") else "aws"

    def s3(*words, **options):
        return client.run(program, "--endpoint-url", polis.s3_url, "s3", *words, **options)

    def api(*words, **options):
        text = client.run(program, "--endpoint-url", polis.s3_url, "--output", "json", "s3api", *words, **options)
        return json.loads(text) if text.strip().startswith("{") else text

    s3("mb", "s3://photos")
    check("photos" in s3("ls"), "the new bucket is not listed")
    check("BucketAlreadyExists" not in s3("mb", "s3://photos", status=None), "the owner makes the bucket again in us-east-1")

    for name, size in SIZES.items():
        write_file(client.path("up", "files", name), size)
    s3("cp", "--recursive", client.path("up"), "s3://photos/")
    s3("cp", "--recursive", "s3://photos/", client.path("down"))
    same_trees(client.path("up"), client.path("down"))
    s3("sync", client.path("up"), "s3://photos/")
    os.remove(client.path("up", "files", "one"))
    write_file(client.path("up", "files", "new one ü+%"), 4321)
    out = s3("sync", "--delete", client.path("up"), "s3://photos/")
    check("delete: s3://photos/files/one" in out and "new one ü+%" in out, f"sync did not see the changes: {out}")
    s3("mv", "s3://photos/files/packed", "s3://photos/moved/packed")
    check("PRE moved/" in s3("ls", "s3://photos/"), "the common prefix is not listed")

    head = api("head-object", "--bucket", "photos", "--key", "files/inline")
    check(head["ContentLength"] == 2048 and head["ETag"].strip('"') == md5_of(client.path("up/files/inline")), f"head: {head}")
    # v2 pages of two keys each.
    listed = api("list-objects-v2", "--bucket", "photos", "--page-size", "2")
    check(len(listed["Contents"]) == 7, f"listing by pages: {listed}")
    got = api("get-object", "--bucket", "photos", "--key", "files/large", "--range", "bytes=5242879-5242881", client.path("range"))
    with open(client.path("up/files/large"), "rb") as file:
        file.seek(5242879)
        expected = file.read(3)
    with open(client.path("range"), "rb") as file:
        check(file.read() == expected and got["ContentLength"] == 3, f"range over a part's border: {got}")

    api("put-object-tagging", "--bucket", "photos", "--key", "files/row", "--tagging", "TagSet=[{Key=team,Value=blue}]")
    check(api("get-object-tagging", "--bucket", "photos", "--key", "files/row")["TagSet"] == [{"Key": "team", "Value": "blue"}], "tags")

    api("put-bucket-versioning", "--bucket", "photos", "--versioning-configuration", "Status=Enabled")
    first = api("put-object", "--bucket", "photos", "--key", "v", "--body", client.path("up/files/inline"))
    api("put-object", "--bucket", "photos", "--key", "v", "--body", client.path("up/files/row"))
    api("delete-object", "--bucket", "photos", "--key", "v")
    versions = api("list-object-versions", "--bucket", "photos", "--prefix", "v")
    check(len(versions["Versions"]) == 2 and len(versions["DeleteMarkers"]) == 1, f"versions: {versions}")
    api("get-object", "--bucket", "photos", "--key", "v", "--version-id", first["VersionId"], client.path("v1"))
    check(md5_of(client.path("v1")) == md5_of(client.path("up/files/inline")), "the first version reads back")

    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}]}
    api("put-bucket-policy", "--bucket", "photos", "--policy", json.dumps(policy))
    check(json.loads(api("get-bucket-policy", "--bucket", "photos")["Policy"]) == policy, "the policy reads back")

    url = s3("presign", "s3://photos/files/row", "--expires-in", "60").strip()
    client.run("curl", "-fsS", "-o", client.path("presigned"), url)
    check(md5_of(client.path("presigned")) == md5_of(client.path("up/files/row")), "a pre-signed URL gives the bytes")

    # Over TLS, with the client's own key: in parts, and copied under another key.
    client.environment["AWS_CA_BUNDLE"] = os.path.join(polis.data, "keys/object-tls-certificate.pem")
    for name in ("key", "other key"):
        write_file(client.path(name), 32, seed=name)

    def secure(*words, **options):
        return client.run(program, "--endpoint-url", f"https://localhost:{polis.port('object.s3_tls')}", "s3", *words, **options)

    sealed = ("--sse-c", "AES256", "--sse-c-key", f"fileb://{client.path('key')}")
    secure("cp", *sealed, client.path("up/files/large"), "s3://photos/sealed")
    secure("cp", "--sse-c-copy-source", "AES256", "--sse-c-copy-source-key", f"fileb://{client.path('key')}", "--sse-c", "AES256", "--sse-c-key",
           f"fileb://{client.path('other key')}", "s3://photos/sealed", "s3://photos/sealed again")
    secure("cp", "--sse-c", "AES256", "--sse-c-key", f"fileb://{client.path('other key')}", "s3://photos/sealed again", client.path("opened"))
    check(md5_of(client.path("opened")) == md5_of(client.path("up/files/large")), "a sealed object reads back")
    secure("cp", "--sse-c", "AES256", "--sse-c-key", f"fileb://{client.path('key')}", "s3://photos/sealed again", client.path("x"), status="fails")

    # Errors have the code that tools look for.
    check("NoSuchBucket" in s3("ls", "s3://absent", status="fails"), "NoSuchBucket")
    check("404" in api("head-object", "--bucket", "photos", "--key", "absent", status="fails"), "404")
    check("InvalidRange" in api("get-object", "--bucket", "photos", "--key", "files/inline", "--range", "bytes=99999-", client.path("x"),
                                status="fails"), "InvalidRange")
    check("BucketNotEmpty" in s3("rb", "s3://photos", status="fails"), "BucketNotEmpty")
    client.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
    check("SignatureDoesNotMatch" in s3("ls", status="fails"), "SignatureDoesNotMatch")


run(test)

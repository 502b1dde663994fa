#!/usr/bin/env python3
"""Server-side encryption from outside: nothing readable on the disk, SSE-C with awscli and boto3 over TLS, named keys, the default of a bucket."""
import base64
import hashlib
import os
import random
import ssl

from client import Client, check, md5_of, run, write_file
from s3 import S3, S3Error

# Random, so that nothing compresses it, and found on the disk if it lies there as it is.
MARKER = random.Random(1).randbytes(48)
SIZES = {"inline": 600, "packed": 40_000, "rows": 700_000}
KEY = bytes(range(32))


def customer(key=KEY, prefix="x-amz-"):
    name = prefix + "server-side-encryption-customer-"
    return {name + "algorithm": "AES256", name + "key": base64.b64encode(key).decode(), name + "key-md5": base64.b64encode(hashlib.md5(key).digest()).decode()}


def content(size_bytes):
    return (MARKER + random.Random(size_bytes).randbytes(size_bytes))[:size_bytes]


def refused(status, code, act):
    try:
        act()
    except S3Error as error:
        check(error.status == status and (not error.code or error.code == code), f"expected {status} {code}, got {error}")
    else:
        check(False, f"expected {code}")


def on_disk(polis, needle):
    """Where rows and bytes lie; the first file that holds `needle`."""
    for top in ("store", "blob"):
        for folder, _, files in os.walk(os.path.join(polis.data, top)):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    if needle in file.read():
                        return os.path.join(folder, name)
    return None


def get(s3, bucket, key, headers=None):
    return s3.request("GET", f"/{bucket}/{key}", headers=headers)


def nothing_is_readable(polis, s3):
    s3.make_bucket("quiet")
    for name, size in SIZES.items():
        s3.put("quiet", name, content(size), {"x-amz-server-side-encryption": "AES256"})
        _, headers, body = get(s3, "quiet", name)
        check(body == content(size) and headers["x-amz-server-side-encryption"] == "AES256", f"{name} comes back")
        check(headers["content-length"] == str(size), "and has its own size")
    upload = s3.request("POST", "/quiet/parts", {"uploads": ""}, headers={"x-amz-server-side-encryption": "AES256"})[2]
    upload = upload.split(b"<UploadId>")[1].split(b"<")[0].decode()
    parts = [content(5 << 20), content(300)]
    etags = {n + 1: s3.put_part("quiet", "parts", upload, n + 1, part) for n, part in enumerate(parts)}
    s3.complete("quiet", "parts", upload, etags)
    check(get(s3, "quiet", "parts")[2] == b"".join(parts), "parts come back")
    check(s3.get("quiet", "parts", (5 << 20) - 10, (5 << 20) + 9) == b"".join(parts)[(5 << 20) - 10:(5 << 20) + 10], "a range over two parts")
    s3.close()  # reading the disk may take longer than an idle connection lives
    found = on_disk(polis, MARKER)
    check(found is None, f"encrypted bytes lie readable in {found}")
    # The search itself works.
    s3.put("quiet", "open", content(600))
    check(on_disk(polis, MARKER) is not None, "what is not encrypted is found")


def named_keys(polis, s3):
    s3.make_bucket("kms")
    headers = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "reports"}
    refused(400, "KMS.NotFoundException", lambda: s3.put("kms", "a", b"x", headers))
    polis.command("object", "kms", "create", "reports")
    polis.command("object", "kms", "create", "reports", status=1)
    keys = polis.json("object", "kms", "list")["keys"]
    check([key["name"] for key in keys] == ["reports"] and keys[0]["enabled"], f"the list of keys: {keys}")
    s3.put("kms", "a", content(5000), headers)
    answer = get(s3, "kms", "a")
    check(answer[2] == content(5000) and answer[1]["x-amz-server-side-encryption-aws-kms-key-id"] == "reports", "an object under a named key")
    polis.command("object", "kms", "disable", "reports")
    refused(400, "KMS.DisabledException", lambda: get(s3, "kms", "a"))
    refused(400, "KMS.DisabledException", lambda: s3.put("kms", "b", b"x", headers))
    polis.command("object", "kms", "enable", "reports")
    check(get(s3, "kms", "a")[2] == content(5000), "and again once it is enabled")
    refused(400, "InvalidArgument", lambda: s3.put("kms", "b", b"x", {"x-amz-server-side-encryption": "aws:kms"}))
    polis.command("object", "kms", "create", "aws/s3")
    s3.put("kms", "b", b"x", {"x-amz-server-side-encryption": "aws:kms"})
    check(get(s3, "kms", "b")[1]["x-amz-server-side-encryption-aws-kms-key-id"] == "aws/s3", "the default key")


def defaults(s3):
    s3.make_bucket("default")
    refused(404, "ServerSideEncryptionConfigurationNotFoundError", lambda: s3.request("GET", "/default", {"encryption": ""}))
    rule = ("<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>"
            "<KMSMasterKeyID>reports</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>")
    s3.put("default", "before", content(3000))
    s3.request("PUT", "/default", {"encryption": ""}, rule.encode())
    check(b"<KMSMasterKeyID>reports</KMSMasterKeyID>" in s3.request("GET", "/default", {"encryption": ""})[2], "the configuration comes back")
    check("x-amz-server-side-encryption" not in get(s3, "default", "before")[1], "what was there stays as it was")
    s3.put("default", "after", content(3000))
    check(get(s3, "default", "after")[1]["x-amz-server-side-encryption"] == "aws:kms", "the default of the bucket")
    s3.put("default", "other", content(3000), {"x-amz-server-side-encryption": "AES256"})
    check(get(s3, "default", "other")[1]["x-amz-server-side-encryption"] == "AES256", "a request's own wish wins")
    # Copies take the encryption of their own request or bucket, never the source's.
    s3.request("PUT", "/quiet/copied", headers={"x-amz-copy-source": "/default/after"})
    answer = get(s3, "quiet", "copied")
    check(answer[2] == content(3000) and "x-amz-server-side-encryption" not in answer[1], "a copy into a bucket without a default")
    s3.request("PUT", "/default/before", headers={"x-amz-copy-source": "/default/before", "x-amz-server-side-encryption": "AES256"})
    check(get(s3, "default", "before")[1]["x-amz-server-side-encryption"] == "AES256", "a copy onto itself that encrypts")
    s3.request("DELETE", "/default", {"encryption": ""})
    s3.put("default", "plain", b"x")
    check("x-amz-server-side-encryption" not in get(s3, "default", "plain")[1], "no default any more")


def customer_keys(s3, secure):
    s3.make_bucket("theirs")
    refused(400, "InvalidRequest", lambda: s3.put("theirs", "a", b"x", customer()))
    body = content(900_000)
    _, headers, _ = secure.request("PUT", "/theirs/a", body=body, headers=customer())
    check(headers["x-amz-server-side-encryption-customer-key-md5"] == customer()["x-amz-server-side-encryption-customer-key-md5"], "its MD5 comes back")
    refused(400, "InvalidRequest", lambda: get(secure, "theirs", "a"))
    refused(400, "InvalidRequest", lambda: get(secure, "theirs", "a", customer(bytes(32))))
    refused(400, "InvalidRequest", lambda: get(s3, "theirs", "a", customer()))
    refused(400, "InvalidRequest", lambda: secure.request("HEAD", "/theirs/a"))
    check(get(secure, "theirs", "a", customer())[2] == body, "with the key it comes back")
    check(get(secure, "theirs", "a", {**customer(), "range": "bytes=65530-65545"})[2] == body[65530:65546], "a range over packets")
    refused(400, "InvalidRequest", lambda: get(secure, "quiet", "inline", customer()))
    # From one customer's key to another, and out of it.
    secure.request("PUT", "/theirs/b", headers={"x-amz-copy-source": "/theirs/a", **customer(prefix="x-amz-copy-source-"), **customer(bytes(32))})
    check(get(secure, "theirs", "b", customer(bytes(32)))[2] == body, "a copy under another key")
    refused(400, "InvalidRequest", lambda: secure.request("PUT", "/theirs/c", headers={"x-amz-copy-source": "/theirs/a"}))


def with_awscli(polis, client, tls_url):
    source = write_file(client.path("large"), 20_000_003)
    aws = ["aws", "--endpoint-url", tls_url, "--ca-bundle", os.path.join(polis.data, "keys/object-tls-certificate.pem"), "s3"]
    with open(client.path("key"), "wb") as file:
        file.write(KEY)
    theirs = ["--sse-c", "AES256", "--sse-c-key", "fileb://" + client.path("key")]
    client.run(*aws, "cp", source, "s3://theirs/large", "--no-progress", *theirs)
    client.run(*aws, "cp", "s3://theirs/large", client.path("back"), "--no-progress", *theirs)
    check(md5_of(source) == md5_of(client.path("back")), "awscli's multipart upload under SSE-C comes back")
    client.run(*aws, "cp", "s3://theirs/large", client.path("not"), "--no-progress", status="fails")
    client.run(*aws, "cp", source, "s3://quiet/large", "--no-progress", "--sse", "aws:kms", "--sse-kms-key-id", "reports")
    client.run(*aws, "cp", "s3://quiet/large", client.path("back"), "--no-progress")
    check(md5_of(source) == md5_of(client.path("back")), "awscli's multipart upload under a named key comes back")


def test(polis, root):
    s3 = S3("127.0.0.1", polis.port("object.s3"), root["access_key"], root["secret_key"])
    tls = ssl.create_default_context(cafile=os.path.join(polis.data, "keys/object-tls-certificate.pem"))
    secure = S3("localhost", polis.port("object.s3_tls"), root["access_key"], root["secret_key"], tls=tls)
    nothing_is_readable(polis, s3)
    named_keys(polis, s3)
    defaults(s3)
    customer_keys(s3, secure)
    client = Client(polis, {"AWS_ACCESS_KEY_ID": root["access_key"], "AWS_SECRET_ACCESS_KEY": root["secret_key"], "AWS_DEFAULT_REGION": "us-east-1"})
    with_awscli(polis, client, f"https://localhost:{polis.port('object.s3_tls')}")
    secure.close()
    s3.close()
    # The keys are still there after a crash.
    polis.kill()
    polis.start()
    s3 = S3("127.0.0.1", polis.port("object.s3"), root["access_key"], root["secret_key"])
    for name, size in SIZES.items():
        check(s3.get("quiet", name) == content(size), f"{name} after a crash")
    check(s3.get("kms", "a") == content(5000), "an object under a named key after a crash")
    check(md5_of(client.path("large")) == hashlib.md5(s3.get("quiet", "large")).hexdigest(), "parts under a named key after a crash")


if __name__ == "__main__":
    run(test)

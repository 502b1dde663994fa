#!/usr/bin/env python3
"""boto 2, with the Signature Version 2 of its time (object.sigv2) in headers, query strings and form policies."""
from client import Client, run

SCRIPT = r'''
import base64, hashlib, hmac, io, json, os, sys, datetime, urllib.request
from boto.exception import S3ResponseError
from boto.s3.connection import S3Connection, OrdinaryCallingFormat
from boto.s3.key import Key

host, port, access, secret = sys.argv[1:]
store = S3Connection(access, secret, is_secure=False, host=host, port=int(port), calling_format=OrdinaryCallingFormat())

def fails(code, act):
    try:
        act()
    except S3ResponseError as error:
        assert error.error_code == code, (code, error.error_code, error.body)
    else:
        raise AssertionError("expected " + code)

bucket = store.create_bucket("docs")
assert [b.name for b in store.get_all_buckets()] == ["docs"]
blob = os.urandom(300_001)
key = bucket.new_key("folder/a b+c%ü")
key.set_metadata("colour", "green")
key.set_contents_from_string(blob, headers={"Content-Type": "text/x-test"})
again = bucket.get_key("folder/a b+c%ü")
assert again.size == len(blob) and again.get_metadata("colour") == "green" and again.content_type == "text/x-test"
assert again.etag.strip('"') == hashlib.md5(blob).hexdigest()
assert again.get_contents_as_string() == blob
assert again.get_contents_as_string(headers={"Range": "bytes=299990-"}) == blob[299990:]
again.copy("docs", "twin", metadata={"colour": "red"})
assert bucket.get_key("twin").get_metadata("colour") == "red"

for number in range(25):
    bucket.new_key("many/%03d" % number).set_contents_from_string(str(number))
assert len(list(bucket.list("many/"))) == 25
page = bucket.get_all_keys(prefix="many/", max_keys=10)
assert len(page) == 10 and page.is_truncated
assert sorted(p.name for p in bucket.list(delimiter="/")) == ["folder/", "many/", "twin"]

upload = bucket.initiate_multipart_upload("large")
parts = [os.urandom(5 << 20), os.urandom(1234)]
for number, part in enumerate(parts, 1):
    upload.upload_part_from_file(io.BytesIO(part), number)
assert [p.part_number for p in upload.get_all_parts()] == [1, 2]
upload.complete_upload()
assert bucket.get_key("large").get_contents_as_string() == b"".join(parts)
upload = bucket.initiate_multipart_upload("given up")
assert len(bucket.get_all_multipart_uploads()) == 1
upload.cancel_upload()
assert not bucket.get_all_multipart_uploads()

bucket.configure_versioning(True)
key = bucket.new_key("v")
key.set_contents_from_string("one")
first = key.version_id
key.set_contents_from_string("two")
bucket.delete_key("v")
assert bucket.get_key("v") is None
assert bucket.get_key("v", version_id=first).get_contents_as_string() == b"one"
assert len([v for v in bucket.list_versions("v")]) == 3

bucket.set_acl("public-read")
assert len(bucket.get_acl().acl.grants) == 2
bucket.set_policy(json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::docs/twin"}]}))
assert "GetObject" in bucket.get_policy().decode()
assert urllib.request.urlopen("http://%s:%s/docs/twin" % (host, port)).read() == blob

url = bucket.get_key("large").generate_url(60)
assert "Signature=" in url and urllib.request.urlopen(url).read() == b"".join(parts)
url = store.generate_url(60, "PUT", "docs", "signed put")
urllib.request.urlopen(urllib.request.Request(url, b"by url", method="PUT", headers={"Content-Type": ""}))
assert bucket.get_key("signed put").get_contents_as_string() == b"by url"

# boto's own build_post_form_args mixes text and bytes in Python 3.
until = (datetime.datetime.utcnow() + datetime.timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
policy = base64.b64encode(json.dumps({"expiration": until, "conditions": [
    {"bucket": "docs"}, {"key": "form"}, {"acl": "private"}, ["content-length-range", 0, 1000]]}).encode())
fields = {"key": "form", "acl": "private", "AWSAccessKeyId": access, "policy": policy.decode(),
          "signature": base64.b64encode(hmac.new(secret.encode(), policy, hashlib.sha1).digest()).decode()}
border = "xxBorderxx"
body = "".join(
    '--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (border, n, v) for n, v in fields.items())
body += '--%s\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nby form\r\n--%s--\r\n' % (border, border)
urllib.request.urlopen(urllib.request.Request("http://%s:%s/docs/" % (host, port), body.encode(), headers={
    "Content-Type": "multipart/form-data; boundary=" + border}))
assert bucket.get_key("form").get_contents_as_string() == b"by form"

fails("NoSuchBucket", lambda: store.get_bucket("absent"))
fails("NoSuchKey", lambda: Key(bucket, "absent").get_contents_as_string())
fails("BucketNotEmpty", bucket.delete)
removed = bucket.delete_keys([v for v in bucket.list_versions()])
assert not removed.errors
bucket.delete()
fails("SignatureDoesNotMatch", S3Connection(access, "wrong", is_secure=False, host=host, port=int(port), calling_format=OrdinaryCallingFormat()).get_all_buckets)
'''


def test(polis, root):
    client = Client(polis)
    client.run("/usr/bin/python3", "-", "127.0.0.1", str(polis.port("object.s3")), root["access_key"], root["secret_key"], input_text=SCRIPT)


run(test, settings=["object.sigv2=true"])

#!/usr/bin/env python3
"""Lifecycle rules with a day of two seconds, renaming and storage classes from outside, with boto3, across a kill -9."""
import datetime
import hashlib
import os
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from client import check, run, wait_for as wait_until

DAY_S = 2


def client_of(polis, root):
    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{polis.port('object.s3')}", region_name="us-east-1",
                        aws_access_key_id=root["access_key"], aws_secret_access_key=root["secret_key"],
                        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}))


def refused(code, act, **arguments):
    try:
        act(**arguments)
    except ClientError as error:
        check(error.response["Error"]["Code"] == code, f"expected {code}, got {error}")
    else:
        check(False, f"expected {code}")


def wait_for(probe, limit_s, what):
    wait_until(what, limit_s, probe)


def keys(s3, bucket):
    return {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def rules(s3, bucket, *each):
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={
        "Rules": [{"ID": f"r{i}", "Status": "Enabled", **one} for i, one in enumerate(each)]})


def rename(s3, bucket, source, target, prefix=False, **headers):
    """boto3 gives general buckets no RenameObject: a PUT with its parameters."""
    def change(request, **_):
        request.url += "?renameObject" + ("=prefix" if prefix else "")
        request.headers["x-amz-rename-source"] = f"/{bucket}/{source}"
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
    events = s3.meta.events
    events.register_first("before-sign.s3.PutObject", change, unique_id="rename")
    try:
        return s3.put_object(Bucket=bucket, Key=target)
    finally:
        events.unregister("before-sign.s3.PutObject", unique_id="rename")


def expiry(polis, s3):
    s3.create_bucket(Bucket="days")
    for name in ("old/1", "old/2", "kept/1", "late/1"):
        s3.put_object(Bucket="days", Key=name, Body=b"x" * 5000)
    rules(s3, "days", {"Filter": {"Prefix": "old/"}, "Expiration": {"Days": 2}}, {"Filter": {"Prefix": "late/"}, "Expiration": {"Days": 60}})
    put = s3.put_object(Bucket="days", Key="late/2", Body=b"y")
    check('rule-id="r1"' in put["Expiration"], "a PUT tells when it expires")
    when = datetime.datetime.strptime(s3.head_object(Bucket="days", Key="late/2")["Expiration"].split('"')[1], "%a, %d %b %Y %H:%M:%S GMT")
    check(59 < (when - datetime.datetime.utcnow()).days < 62, "in calendar days, at midnight")
    check("Expiration" not in s3.head_object(Bucket="days", Key="kept/1"), "what no rule speaks of does not expire")
    wait_for(lambda: keys(s3, "days") == {"kept/1", "late/1", "late/2"}, 20, "old/ to expire")

    # Whatever a crash meets, the reminders are still there.
    s3.put_object(Bucket="days", Key="old/3", Body=b"z")
    polis.kill()
    polis.start()


def versions(s3):
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    for i in range(6):
        s3.put_object(Bucket="versions", Key="k", Body=b"v%d" % i)
    s3.put_object(Bucket="versions", Key="tagged", Body=b"t")
    rules(s3, "versions",
          {"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}},
          {"Filter": {"Tag": {"Key": "go", "Value": "yes"}}, "Expiration": {"Days": 1}})
    wait_for(lambda: len(s3.list_object_versions(Bucket="versions", Prefix="k")["Versions"]) == 3, 20, "the oldest to go")
    check(s3.get_object(Bucket="versions", Key="k")["Body"].read() == b"v5", "the newest stays")
    check("tagged" in keys(s3, "versions"), "nothing asks for it yet")
    s3.put_object_tagging(Bucket="versions", Key="tagged", Tagging={"TagSet": [{"Key": "go", "Value": "yes"}]})
    wait_for(lambda: "tagged" not in keys(s3, "versions"), 20, "what was tagged later to go")
    rules(s3, "versions", {"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
          {"Filter": {}, "Expiration": {"ExpiredObjectDeleteMarker": True}})
    s3.delete_object(Bucket="versions", Key="k")
    wait_for(lambda: not {"Versions", "DeleteMarkers"} & set(s3.list_object_versions(Bucket="versions")), 20, "versions, then markers to go")
    s3.delete_bucket(Bucket="versions")


def locks(s3):
    s3.create_bucket(Bucket="locks", ObjectLockEnabledForBucket=True)
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=8)
    held = s3.put_object(Bucket="locks", Key="k", Body=b"held", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)["VersionId"]
    s3.put_object(Bucket="locks", Key="k", Body=b"newer")
    rules(s3, "locks", {"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
    time.sleep(2.5 * DAY_S)
    check(s3.get_object(Bucket="locks", Key="k", VersionId=held)["Body"].read() == b"held", "a rule does not remove what is locked")
    wait_for(lambda: len(s3.list_object_versions(Bucket="locks")["Versions"]) == 1, 20, "the lock to end")


def uploads(s3):
    s3.create_bucket(Bucket="uploads")
    kept = s3.create_multipart_upload(Bucket="uploads", Key="b/k")["UploadId"]
    rules(s3, "uploads", {"Filter": {"Prefix": "a/"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    begun = s3.create_multipart_upload(Bucket="uploads", Key="a/k")
    check(begun["AbortRuleId"] == "r0", "an upload tells when it is aborted")
    s3.upload_part(Bucket="uploads", Key="a/k", UploadId=begun["UploadId"], PartNumber=1, Body=b"p" * 100_000)
    wait_for(lambda: [one["UploadId"] for one in s3.list_multipart_uploads(Bucket="uploads").get("Uploads", [])] == [kept], 20, "the upload to be aborted")


def classes(polis, s3):
    s3.create_bucket(Bucket="classes")
    refused("InvalidStorageClass", s3.put_object, Bucket="classes", Key="k", Body=b"", StorageClass="COLDER")
    refused("InvalidStorageClass", s3.put_object, Bucket="classes", Key="k", Body=b"", StorageClass="GLACIER")  # needs 11 drives
    bodies = {"small": os.urandom(100), "packed": os.urandom(50_000), "rows": os.urandom(3_000_000)}
    for name, body in bodies.items():
        s3.put_object(Bucket="classes", Key=name, Body=body)
    parts = [os.urandom(5 << 20), os.urandom(700_000)]
    upload = s3.create_multipart_upload(Bucket="classes", Key="parts")["UploadId"]
    etags = [s3.upload_part(Bucket="classes", Key="parts", UploadId=upload, PartNumber=i + 1, Body=part)["ETag"] for i, part in enumerate(parts)]
    s3.complete_multipart_upload(Bucket="classes", Key="parts", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": i + 1, "ETag": etag} for i, etag in enumerate(etags)]})
    bodies["parts"] = b"".join(parts)
    polis.command("object", "tier", "s3://classes/small", "--class", "ONEZONE_IA")
    check("ONEZONE_IA" in polis.command("object", "tier", "s3://classes"), "the command line moves and counts classes")
    polis.command("object", "tier", "s3://classes/small", "--class", "FROZEN", status=None)
    before = {name: s3.head_object(Bucket="classes", Key=name) for name in bodies}
    rules(s3, "classes", {"Filter": {}, "Transitions": [{"Days": 0, "StorageClass": "REDUCED_REDUNDANCY"}, {"Days": 3, "StorageClass": "STANDARD_IA"}]})
    seen = set()

    def all_in(name):
        now = {one["Key"]: one["StorageClass"] for one in s3.list_objects_v2(Bucket="classes")["Contents"]}
        seen.update(now.values())
        return set(now.values()) == {name}
    wait_for(lambda: all_in("STANDARD_IA"), 40, "the objects to move")
    check("REDUCED_REDUNDANCY" in seen, "by way of the first class")
    for name, body in bodies.items():
        got = s3.get_object(Bucket="classes", Key=name)
        check(hashlib.md5(got["Body"].read()).digest() == hashlib.md5(body).digest(), f"{name} has its bytes")
        check(got["LastModified"] == before[name]["LastModified"] and got["ETag"] == before[name]["ETag"], f"{name} is what it was")


def renames(polis, s3):
    s3.create_bucket(Bucket="names")
    s3.put_object(Bucket="names", Key="in/a", Body=b"a" * 100_000, Metadata={"of": "a"}, ContentType="text/a")
    s3.put_object(Bucket="names", Key="taken", Body=b"taken")
    before = s3.head_object(Bucket="names", Key="in/a")
    refused("PreconditionFailed", rename, s3=s3, bucket="names", source="in/a", target="taken", if_none_match="*")
    refused("PreconditionFailed", rename, s3=s3, bucket="names", source="in/a", target="b", x_amz_rename_source_if_match='"other"')
    refused("NoSuchKey", rename, s3=s3, bucket="names", source="missing", target="b")
    rename(s3, "names", "in/a", "b%20c/ü", if_none_match="*")
    refused("404", s3.head_object, Bucket="names", Key="in/a")
    after = s3.get_object(Bucket="names", Key="b%20c/ü")
    check(after["Body"].read() == b"a" * 100_000 and after["LastModified"] == before["LastModified"] and after["Metadata"] == {"of": "a"}, "all of it went")
    for i in range(1500):
        s3.put_object(Bucket="names", Key=f"dir/{i:04}", Body=b"%d" % i)
    s3.put_object(Bucket="names", Key="new/0777", Body=b"in the way")
    refused("PreconditionFailed", rename, s3=s3, bucket="names", source="dir/", target="new/", prefix=True)
    s3.delete_object(Bucket="names", Key="new/0777")
    moved = rename(s3, "names", "dir/", "new/", prefix=True)
    check(moved["ResponseMetadata"]["HTTPHeaders"]["x-amz-renamed-objects"] == "1500", "all below the prefix went")
    check(s3.get_object(Bucket="names", Key="new/1234")["Body"].read() == b"1234", "with their bytes")
    polis.command("object", "mv", "s3://names/new/0001", "s3://names/one")
    polis.command("object", "mv", "--recursive", "s3://names/new/", "s3://names/again/")
    check(s3.get_object(Bucket="names", Key="one")["Body"].read() == b"1", "the command line moves one")
    check(s3.list_objects_v2(Bucket="names", Prefix="new/")["KeyCount"] == 0 and s3.get_object(Bucket="names", Key="again/0002"), "and all")
    polis.kill()
    polis.start()


def test(polis, root):
    s3 = client_of(polis, root)
    expiry(polis, s3)
    s3 = client_of(polis, root)
    wait_for(lambda: keys(s3, "days") == {"kept/1", "late/1", "late/2"}, 20, "old/3 to expire after a crash")
    check("expires after 60 days" in polis.command("object", "lifecycle", "s3://days"), "the command line tells the rules")
    polis.command("object", "lifecycle", "s3://days", "--remove")
    refused("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, Bucket="days")
    versions(s3)
    locks(s3)
    uploads(s3)
    renames(polis, s3)
    s3 = client_of(polis, root)
    check(s3.get_object(Bucket="names", Key="again/1499")["Body"].read() == b"1499", "what was renamed survives a crash")
    classes(polis, s3)


if __name__ == "__main__":
    run(test, settings=[f"object.lifecycle_day={DAY_S}s"])

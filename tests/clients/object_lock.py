#!/usr/bin/env python3
"""Object lock from outside, with boto3: retention, legal hold, defaults, who may bypass; over every path that removes, and after a crash."""
import datetime
import json
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from client import check, run


def client_of(polis, access_key, secret_key):
    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{polis.port('object.s3')}", region_name="us-east-1", aws_access_key_id=access_key,
                        aws_secret_access_key=secret_key, config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}))


def refused(code, act, **arguments):
    try:
        act(**arguments)
    except ClientError as error:
        check(error.response["Error"]["Code"] == code, f"expected {code}, got {error}")
    else:
        check(False, f"expected {code}")


def ahead(**by):
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(**by)


def settings(s3):
    s3.create_bucket(Bucket="plain")
    refused("InvalidBucketState", s3.put_object_lock_configuration, Bucket="plain", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    refused("InvalidRequest", s3.put_object, Bucket="plain", Key="a", Body=b"a", ObjectLockLegalHoldStatus="ON")
    s3.create_bucket(Bucket="vault", ObjectLockEnabledForBucket=True)
    check(s3.get_bucket_versioning(Bucket="vault")["Status"] == "Enabled", "a bucket with a lock has versions")
    refused("InvalidBucketState", s3.put_bucket_versioning, Bucket="vault", VersioningConfiguration={"Status": "Suspended"})
    refused("InvalidArgument", s3.put_object, Bucket="vault", Key="a", Body=b"a", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=ahead(days=-1))


def holds(s3):
    version = s3.put_object(Bucket="vault", Key="held", Body=b"held", ObjectLockLegalHoldStatus="ON")["VersionId"]
    refused("AccessDenied", s3.delete_object, Bucket="vault", Key="held", VersionId=version, BypassGovernanceRetention=True)
    marker = s3.delete_object(Bucket="vault", Key="held")
    check(marker["DeleteMarker"], "a marker may hide what is held")
    s3.delete_object(Bucket="vault", Key="held", VersionId=marker["VersionId"])
    check(s3.get_object(Bucket="vault", Key="held")["ObjectLockLegalHoldStatus"] == "ON", "and it comes back")
    s3.put_object_legal_hold(Bucket="vault", Key="held", LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket="vault", Key="held", VersionId=version)


def retention(s3, guest):
    until = ahead(days=400)
    version = s3.put_object(Bucket="vault", Key="kept", Body=b"kept", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)["VersionId"]
    head = s3.head_object(Bucket="vault", Key="kept")
    check(head["ObjectLockMode"] == "GOVERNANCE" and head["ObjectLockRetainUntilDate"] == until, "HEAD says what holds")
    out = s3.delete_objects(Bucket="vault", Delete={"Objects": [{"Key": "kept", "VersionId": version}, {"Key": "other"}]})
    check([e["Code"] for e in out["Errors"]] == ["AccessDenied"] and len(out["Deleted"]) == 1, "one is kept, the others go")
    s3.put_bucket_policy(Bucket="vault", Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": ["s3:DeleteObjectVersion", "s3:GetObject"], "Resource": "arn:aws:s3:::vault/*"}]}))
    refused("AccessDenied", guest.delete_object, Bucket="vault", Key="kept", VersionId=version, BypassGovernanceRetention=True)
    check("ObjectLockMode" not in guest.get_object(Bucket="vault", Key="kept"), "who may not ask does not learn it")
    refused("AccessDenied", s3.put_object_retention, Bucket="vault", Key="kept", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": ahead(days=1)})
    s3.put_object_retention(Bucket="vault", Key="kept", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}, BypassGovernanceRetention=True)
    refused("AccessDenied", s3.delete_object, Bucket="vault", Key="kept", VersionId=version, BypassGovernanceRetention=True)
    refused("BucketNotEmpty", s3.delete_bucket, Bucket="vault")
    return version


def copies_and_parts(s3):
    s3.put_object_lock_configuration(Bucket="vault", ObjectLockConfiguration={
        "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}})
    copy = s3.copy_object(Bucket="vault", Key="copy", CopySource="vault/kept")
    until = s3.get_object_retention(Bucket="vault", Key="copy")["Retention"]
    check(until["Mode"] == "GOVERNANCE" and abs(until["RetainUntilDate"] - ahead(days=2)) < datetime.timedelta(minutes=5), "a copy has its bucket's default")
    upload = s3.create_multipart_upload(Bucket="vault", Key="parts", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=ahead(seconds=4))["UploadId"]
    part = s3.upload_part(Bucket="vault", Key="parts", UploadId=upload, PartNumber=1, Body=b"p" * 70_000)
    parts = s3.complete_multipart_upload(Bucket="vault", Key="parts", UploadId=upload,
                                         MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})["VersionId"]
    refused("AccessDenied", s3.delete_object, Bucket="vault", Key="parts", VersionId=parts)
    for _ in range(60):
        try:
            s3.delete_object(Bucket="vault", Key="parts", VersionId=parts)
            break
        except ClientError:
            time.sleep(0.25)
    else:
        check(False, "what is over holds nothing")
    return copy["VersionId"]


def test(polis, root):
    s3 = client_of(polis, root["access_key"], root["secret_key"])
    account = polis.api("POST", "/api/object/v1/accounts", {"name": "guest", "access_key": "GUESTGUESTGUEST", "secret_key": "guest-secret-guest"})
    check(account, "an account for the guest")
    guest = client_of(polis, "GUESTGUESTGUEST", "guest-secret-guest")
    settings(s3)
    holds(s3)
    kept = retention(s3, guest)
    copy = copies_and_parts(s3)
    polis.kill()
    polis.start()
    s3 = client_of(polis, root["access_key"], root["secret_key"])
    refused("AccessDenied", s3.delete_object, Bucket="vault", Key="kept", VersionId=kept, BypassGovernanceRetention=True)
    refused("AccessDenied", s3.delete_object, Bucket="vault", Key="copy", VersionId=copy)
    s3.delete_object(Bucket="vault", Key="copy", VersionId=copy, BypassGovernanceRetention=True)


if __name__ == "__main__":
    run(test)

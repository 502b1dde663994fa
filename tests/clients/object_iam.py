#!/usr/bin/env python3
"""IAM's and STS's query API with boto3 and awscli: users, keys, policies, session tokens; and who may not."""
import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from client import Client, check, run


def client_of(polis, service, access_key, secret_key, token=None):
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{polis.port('object.s3')}", region_name="us-east-1", aws_access_key_id=access_key,
                        aws_secret_access_key=secret_key, aws_session_token=token, config=Config(retries={"max_attempts": 1}))


def refused(code, act, **arguments):
    try:
        act(**arguments)
    except ClientError as error:
        check(error.response["Error"]["Code"] == code, f"expected {code}, got {error}")
    else:
        check(False, f"expected {code}")


READ_SHELF = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::shelf", "arn:aws:s3:::shelf/*"]}]})


def users(polis, iam, s3):
    check(iam.get_user()["User"]["Arn"].endswith(":root"), "the caller is the root of the account")
    made = iam.create_user(UserName="reader", Path="/staff/")["User"]
    check(made["Arn"].endswith(":user/staff/reader") and made["Path"] == "/staff/", f"the path is part of the name: {made}")
    refused("EntityAlreadyExists", iam.create_user, UserName="reader")
    refused("ValidationError", iam.create_user, UserName="bad", Path="/no")
    refused("NoSuchEntity", iam.get_user, UserName="nobody")
    check([u["UserName"] for u in iam.list_users(PathPrefix="/staff/")["Users"]] == ["reader"], "by path")
    check(iam.list_users(PathPrefix="/others/")["Users"] == [], "and by no other")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    mine = client_of(polis, "s3", key["AccessKeyId"], key["SecretAccessKey"])
    refused("AccessDenied", mine.get_object, Bucket="shelf", Key="book")
    iam.put_user_policy(UserName="reader", PolicyName="shelf", PolicyDocument=READ_SHELF)
    check(mine.get_object(Bucket="shelf", Key="book")["Body"].read() == b"book", "what the policy allows")
    refused("AccessDenied", mine.put_object, Bucket="shelf", Key="book", Body=b"x")
    check(iam.get_user_policy(UserName="reader", PolicyName="shelf")["PolicyDocument"] == json.loads(READ_SHELF), "it reads back")
    refused("MalformedPolicyDocument", iam.put_user_policy, UserName="reader", PolicyName="bad", PolicyDocument="{}")
    their = client_of(polis, "iam", key["AccessKeyId"], key["SecretAccessKey"])
    refused("AccessDenied", their.create_user, UserName="friend")
    refused("AccessDenied", their.create_access_key, UserName="root")
    refused("InvalidClientTokenId", client_of(polis, "iam", "AKIANOBODY", "x" * 40).get_user)
    refused("SignatureDoesNotMatch", client_of(polis, "iam", key["AccessKeyId"], "x" * 40).get_user)
    iam.attach_user_policy(UserName="reader", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    mine.put_object(Bucket="shelf", Key="note", Body=b"x")
    iam.detach_user_policy(UserName="reader", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    iam.update_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    refused("InvalidAccessKeyId", mine.get_object, Bucket="shelf", Key="book")
    iam.update_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"], Status="Active")
    return key


def sessions(polis, key):
    sts = client_of(polis, "sts", key["AccessKeyId"], key["SecretAccessKey"])
    check(sts.get_caller_identity()["Arn"].endswith(":user/staff/reader"), "STS knows who asks")
    got = sts.get_session_token(DurationSeconds=900)["Credentials"]
    session = client_of(polis, "s3", got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
    check(session.get_object(Bucket="shelf", Key="book")["Body"].read() == b"book", "a session has its user's rights")
    refused("AccessDenied", session.put_object, Bucket="shelf", Key="book", Body=b"x")
    url = session.generate_presigned_url("get_object", Params={"Bucket": "shelf", "Key": "book"})
    check("security-token" in url.lower(), "a signed URL carries the token")
    refused("InvalidAccessKeyId", client_of(polis, "s3", got["AccessKeyId"], got["SecretAccessKey"]).list_buckets)
    refused("InvalidToken", client_of(polis, "s3", key["AccessKeyId"], key["SecretAccessKey"], got["SessionToken"]).list_buckets)
    refused("InvalidToken", client_of(polis, "s3", got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"][:-6] + "AAAAAA").list_buckets)
    again = client_of(polis, "sts", got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
    refused("AccessDenied", again.get_session_token)
    refused("AccessDenied", client_of(polis, "iam", got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"]).get_user)
    refused("ValidationError", sts.get_session_token, DurationSeconds=900, TokenCode="123456", SerialNumber="arn:aws:iam::1:mfa/x")
    refused("InvalidAction", sts.assume_role, RoleArn="arn:aws:iam::123456789012:role/none", RoleSessionName="none")
    return session


def test(polis, root):
    iam = client_of(polis, "iam", root["access_key"], root["secret_key"])
    s3 = client_of(polis, "s3", root["access_key"], root["secret_key"])
    s3.create_bucket(Bucket="shelf")
    s3.put_object(Bucket="shelf", Key="book", Body=b"book")
    key = users(polis, iam, s3)
    session = sessions(polis, key)
    client = Client(polis, {"AWS_ACCESS_KEY_ID": root["access_key"], "AWS_SECRET_ACCESS_KEY": root["secret_key"], "AWS_DEFAULT_REGION": "us-east-1"})
    out = client.run("aws", "--endpoint-url", f"http://127.0.0.1:{polis.port('object.s3')}", "--output", "json", "iam", "list-users")
    check("reader" in out, "awscli lists the users")
    refused("DeleteConflict", iam.delete_user, UserName="reader")
    iam.delete_user_policy(UserName="reader", PolicyName="shelf")
    iam.delete_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="reader")
    refused("InvalidToken", session.get_object, Bucket="shelf", Key="book")


if __name__ == "__main__":
    run(test)

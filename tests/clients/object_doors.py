#!/usr/bin/env python3
"""What stands before the operations: HTTPS and its certificate, virtual hosts, 100-continue, chunked uploads, pre-signed URLs as SDKs make them."""
import base64
import hashlib
import hmac
import os
import re
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request

from client import Client, Failed, Polis, check, run
from s3 import S3, S3Error

DOMAIN = "s3.local"


def own_tls(polis):
    context = ssl.create_default_context(cafile=os.path.join(polis.data, "keys/object-tls-certificate.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def refused(code, act):
    try:
        act()
    except S3Error as error:
        check(error.code == code, f"expected {code}, got {error}")
    else:
        check(False, f"expected {code}")


def fetch(url, method="GET", body=None, headers=None, tls=None):
    """(status, headers, body), whatever the status."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20, context=tls) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def https(polis, root, s3):
    tls = own_tls(polis)
    for host in ("localhost", "127.0.0.1"):
        secure = S3(host, polis.port("object.s3_tls"), root["access_key"], root["secret_key"], tls=tls)
        body = os.urandom(3_000_000)
        check(secure.put("docs", "over tls", body) == hashlib.md5(body).hexdigest(), "an upload over TLS")
        check(secure.get("docs", "over tls") == body and s3.get("docs", "over tls") == body, "one store behind both ports")
        check(secure.get("docs", "over tls", 1_000_000, 1_000_009) == body[1_000_000:1_000_010], "a range over TLS")
        check(fetch(secure.presign("GET", "/docs/over tls"), tls=tls)[2] == body, "a pre-signed URL over TLS")
        secure.close()
    # A policy tells the two apart.
    s3.request("PUT", "/docs", {"policy": ""}, b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
               b'"Resource":"arn:aws:s3:::docs/*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}')
    path = "/docs/over%20tls"
    check(fetch(f"https://localhost:{polis.port('object.s3_tls')}{path}", tls=tls)[0] == 200, "aws:SecureTransport over TLS")
    check(fetch(polis.s3_url + path)[0] == 403, "and without")
    try:
        fetch(f"https://localhost:{polis.port('object.s3_tls')}/", tls=ssl.create_default_context())
    except urllib.error.URLError as error:
        check("CERTIFICATE_VERIFY_FAILED" in str(error), f"nobody else vouches for the certificate: {error}")
    else:
        check(False, "a self-signed certificate was taken")
    # Whoever speaks plain HTTP there is not kept waiting.
    with socket.create_connection(("127.0.0.1", polis.port("object.s3_tls")), 10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            while plain.recv(4096):
                pass
        except ConnectionError:
            pass


def virtual_hosts(polis, root, s3):
    tls, port = own_tls(polis), polis.port("object.s3_tls")
    s3.put("docs", "a key", b"found by its host")
    with socket.create_connection(("127.0.0.1", port), 10) as plain, tls.wrap_socket(plain, server_hostname=f"docs.{DOMAIN}") as secure:
        url = urllib.parse.urlsplit(S3(DOMAIN, port, root["access_key"], root["secret_key"], tls=tls).presign(
            "GET", "/a key", host=f"docs.{DOMAIN}:{port}"))
        secure.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := secure.recv(65536):
            answer += more
    check(answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"found by its host"), f"a bucket by its host name, and its certificate: {answer[:200]}")


class Raw:
    """One request whose body is sent piece by piece."""

    def __init__(self, s3, method, path, headers, payload_hash="UNSIGNED-PAYLOAD"):
        fields = {"host": f"127.0.0.1:{s3.port}", **headers}
        authorization = s3.authorization(method, path, "", fields, payload_hash)
        self.socket = socket.create_connection(("127.0.0.1", s3.port), 20)
        self.stamp = fields["x-amz-date"]
        self.signature = authorization.rsplit("=", 1)[1]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{lines}authorization: {authorization}\r\nconnection: close\r\n\r\n".encode())

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.socket.close()

    def send(self, piece):
        self.socket.sendall(piece)

    def head(self):
        text = b""
        while b"\r\n\r\n" not in text:
            more = self.socket.recv(1)
            if not more:
                break
            text += more
        return text.decode()

    def rest(self):
        text = b""
        try:
            while more := self.socket.recv(65536):
                text += more
        except ConnectionError:
            pass
        return text.decode("utf-8", "replace")


def continues(polis, root, s3):
    waiting = {"expect": "100-continue", "content-length": "5"}
    with Raw(s3, "PUT", "/docs/waited", waiting) as request:
        check(request.head().startswith("HTTP/1.1 100"), "whoever may write is asked for the body")
        request.send(b"hello")
        check(request.head().startswith("HTTP/1.1 200"), "and is told when it is kept")
    check(s3.get("docs", "waited") == b"hello", "the body is there")
    stranger = S3("127.0.0.1", s3.port, root["access_key"], "wrong")
    with Raw(stranger, "PUT", "/docs/waited", waiting) as request:
        check(request.head().startswith("HTTP/1.1 403"), "a wrong signature is refused before the body is sent")
    with Raw(s3, "PUT", "/absent/waited", waiting) as request:
        check(request.head().startswith("HTTP/1.1 404"), "so is a bucket that is not there")
    with Raw(s3, "PUT", "/docs/waited", {**waiting, "content-length": str(6 << 30)}) as request:
        check(request.head().startswith("HTTP/1.1 400") and "EntityTooLarge" in request.rest(), "and a body that is too large")
    with Raw(s3, "PUT", "/docs/waited", {**waiting, "if-none-match": "*"}) as request:
        text = request.head()
        # The condition may be looked at before the body or after it.
        if text.startswith("HTTP/1.1 100"):
            request.send(b"again")
            text = request.head()
        check(text.startswith("HTTP/1.1 412"), f"a condition holds: {text}")
    check(s3.get("docs", "waited") == b"hello", "nothing has changed")


def chunked(polis, root, s3):
    """STREAMING-AWS4-HMAC-SHA256-PAYLOAD by hand: what a client gets wrong must leave nothing behind."""
    payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    pieces = [os.urandom(65536), os.urandom(65536), os.urandom(777), b""]
    whole = b"".join(pieces)

    def upload(path, spoil=None, left_out=0):
        with Raw(s3, "PUT", path, {"content-encoding": "aws-chunked,gzip", "transfer-encoding": "chunked",
                                   "x-amz-decoded-content-length": str(len(whole))}, payload) as request:
            day, key = request.stamp[:8], ("AWS4" + root["secret_key"]).encode()
            for part in (day, "us-east-1", "s3", "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            previous, framed = request.signature, b""
            for number, piece in enumerate(pieces[:len(pieces) - left_out]):
                text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", request.stamp, f"{day}/us-east-1/s3/aws4_request", previous,
                                  hashlib.sha256(b"").hexdigest(), hashlib.sha256(piece).hexdigest()])
                previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
                if spoil == number:
                    piece = bytes([piece[0] ^ 1]) + piece[1:]
                framed += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n"
            # The frames travel inside HTTP's own, cut elsewhere.
            for at in range(0, len(framed), 50_000):
                cut = framed[at:at + 50_000]
                try:
                    request.send(f"{len(cut):x}\r\n".encode() + cut + b"\r\n")
                except ConnectionError:
                    break
            else:
                request.send(b"0\r\n\r\n")
            return request.head() + request.rest()

    check(upload("/docs/chunked").startswith("HTTP/1.1 200"), "an upload in signed chunks")
    status, headers, body = s3.request("GET", "/docs/chunked")
    check(status == 200 and body == whole and headers.get("content-encoding") == "gzip", f"reads back without its frames: {headers}")
    check("SignatureDoesNotMatch" in upload("/docs/spoilt", spoil=1), "a changed byte breaks the chain")
    check("IncompleteBody" in upload("/docs/spoilt", left_out=2), "a chain without its end is no body")
    refused("NoSuchKey", lambda: s3.get("docs", "spoilt"))


def presigned(polis, root, s3):
    # SDKs move x-amz-* headers into the URL that they sign.
    status, _, body = fetch(s3.presign("PUT", "/docs/by url", {"x-amz-meta-colour": "green & blue", "x-amz-acl": "public-read", "x-amz-tagging": "team=red",
                                                              "x-amz-storage-class": "STANDARD"}), "PUT", b"by url")
    check(status == 200, f"a PUT by URL: {body}")
    _, headers, _ = s3.request("HEAD", "/docs/by url")
    check(headers.get("x-amz-meta-colour") == "green & blue" and headers.get("x-amz-tagging-count") == "1", f"metadata and tags of the URL: {headers}")
    check(fetch(polis.s3_url + "/docs/by%20url")[2] == b"by url", "the canned ACL of the URL")
    check(fetch(s3.presign("PUT", "/docs/copy", {"x-amz-copy-source": "/docs/by%20url"}), "PUT", b"")[0] == 200 and s3.get("docs", "copy") == b"by url",
          "a copy by URL")
    # Nobody signs for what stands in the query of a request without a signature.
    s3.request("PUT", "/open", {}, b"", {"x-amz-acl": "public-read-write"})
    check(fetch(polis.s3_url + "/open/x?x-amz-meta-colour=green", "PUT", b"x")[0] == 200, "everybody may write here")
    check("x-amz-meta-colour" not in s3.request("HEAD", "/open/x")[1], "but a query without a signature says nothing")
    s3.request("DELETE", "/open/x")
    s3.request("DELETE", "/open")

    # A checksum in the URL holds for the body.
    sha = "x-amz-checksum-sha256"

    good = base64.b64encode(hashlib.sha256(b"right").digest()).decode()
    check(fetch(s3.presign("PUT", "/docs/sum", {sha: good}), "PUT", b"right")[0] == 200, "the body that was signed for")
    status, _, body = fetch(s3.presign("PUT", "/docs/sum", {sha: good}), "PUT", b"wrong")
    check(status == 400 and b"BadDigest" in body, f"another body: {body}")
    check(fetch(s3.presign("PUT", "/docs/empty", {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC32"}), "PUT", b"")[0] == 200,
          "an empty body")
    status, _, body = fetch(s3.presign("PUT", "/docs/sum", {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC32"}), "PUT", b"text")
    check(status == 400 and b"BadDigest" in body and b"WHEN_REQUIRED" in body, f"the SDK's setting is named: {body}")
    check(s3.get("docs", "sum") == b"right", "nothing was written")

    url = s3.presign("GET", "/docs/sum", {"response-content-type": "text/css", "response-content-disposition": 'attachment; filename="ä.css"'})
    headers = fetch(url)[1]
    check(headers["content-type"] == "text/css", "an override of the answer")
    check(fetch(url.replace("text%2Fcss", "text%2Fhtml"))[0] == 403, "is signed, too")
    check(fetch(url, "PUT", b"x")[0] == 403, "a URL is good for one method")
    old = s3.presign("GET", "/docs/sum", expires_s=604801)
    check(fetch(old)[0] in (400, 403) and b"a week" in fetch(old)[2], "a week is the longest")


def conditions(polis, root, s3):
    etag = s3.put("docs", "c", b"one")

    def status(method, headers, body=b""):
        try:
            return s3.request(method, "/docs/c", body=body, headers=headers)[0]
        except S3Error as error:
            return error.status

    later, earlier = "Fri, 01 Jan 2100 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"
    for method in ("GET", "HEAD"):
        for headers, expected in [
                ({"if-match": etag}, 200), ({"if-match": f'"{etag}"'}, 200), ({"if-match": '"other"'}, 412), ({"if-match": "*"}, 200),
                ({"if-none-match": f'"{etag}"'}, 304), ({"if-none-match": f'W/"{etag}", "x"'}, 304), ({"if-none-match": '"other"'}, 200),
                ({"if-modified-since": earlier}, 200), ({"if-modified-since": later}, 304), ({"if-unmodified-since": earlier}, 412),
                ({"if-unmodified-since": later}, 200), ({"if-match": f'"{etag}"', "if-unmodified-since": earlier}, 200),
                ({"if-none-match": '"other"', "if-modified-since": later}, 200)]:
            got = status(method, headers)
            check(got == expected, f"{method} {headers}: {got}, expected {expected}")
    check(status("PUT", {"if-none-match": "*"}, b"two") == 412 and status("PUT", {"if-match": '"other"'}, b"two") == 412, "conditional PUTs")
    check(status("PUT", {"if-match": f'"{etag}"'}, b"two") == 200, "replaced by whoever knows it")
    check(status("DELETE", {"if-match": f'"{etag}"'}) == 412 and s3.get("docs", "c") == b"two", "a conditional DELETE")
    check(status("DELETE", {"if-match": hashlib.md5(b"two").hexdigest()}) == 204, "that holds")
    refused("NoSuchKey", lambda: s3.request("PUT", "/docs/c", body=b"x", headers={"if-match": f'"{etag}"'}))


def certificates(polis):
    """The certificate stays over a restart; the operator's own replaces it; half of one is refused."""
    client = Client(polis)
    kept = open(os.path.join(polis.data, "keys/object-tls-certificate.pem"), "rb").read()
    check(os.stat(os.path.join(polis.data, "keys/object-tls-key.pem")).st_mode & 0o077 == 0, "the key is the owner's alone")
    polis.stop()
    polis.start()
    check(open(os.path.join(polis.data, "keys/object-tls-certificate.pem"), "rb").read() == kept, "the certificate stays")
    polis.stop()
    client.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3", "-subj", "/CN=own",
               "-addext", "subjectAltName=DNS:localhost", "-keyout", client.path("own.key"), "-out", client.path("own.pem"))
    with Polis(systems=("object",), settings=[f'object.tls_certificate={client.path("own.pem")}', f'object.tls_key={client.path("own.key")}']) as other:
        check(not os.path.exists(os.path.join(other.data, "keys/object-tls-certificate.pem")), "none is made beside the operator's")
        own = ssl.create_default_context(cafile=client.path("own.pem"))
        check(fetch(f"https://localhost:{other.port('object.s3_tls')}/", tls=own)[0] == 403, "the operator's certificate is shown")
    with open(client.path("bad.pem"), "w", encoding="utf-8") as file:
        file.write("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    for words, settings in [
            ("belong together", [f'object.tls_certificate={client.path("own.pem")}']),
            ("object.tls_key", [f'object.tls_certificate={client.path("own.pem")}', f'object.tls_key={client.path("absent.key")}']),
            ("ertificate", [f'object.tls_certificate={client.path("bad.pem")}', f'object.tls_key={client.path("own.key")}'])]:
        broken = Polis(systems=("object",), settings=settings)
        try:
            broken.start()
        except Failed as error:
            check(words in str(error), f"{settings}: {error}")
        else:
            broken.stop()
            check(False, f"{settings} were taken")
    polis.start()


def test(polis, root):
    s3 = S3("127.0.0.1", polis.port("object.s3"), root["access_key"], root["secret_key"])
    s3.make_bucket("docs")
    for part in (https, virtual_hosts, continues, chunked, presigned, conditions):
        part(polis, root, s3)
    s3.close()
    certificates(polis)


run(test, settings=[f'object.domains={DOMAIN}'])

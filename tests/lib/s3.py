"""A small S3 client on Python's standard library: SigV4 with UNSIGNED-PAYLOAD or a payload hash, path style, one connection."""
import datetime
import hashlib
import hmac
import http.client
import re
import urllib.parse


class S3Error(Exception):
    def __init__(self, status, body):
        code = re.search(rb"<Code>([^<]*)", body or b"")
        self.status = status
        self.code = code.group(1).decode() if code else ""
        super().__init__(f"{status} {self.code} {body[:300]!r}")


def quote(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


class S3:
    def __init__(self, host, port, access_key, secret_key, region="us-east-1", timeout_s=30, tls=None):
        self.host, self.port, self.region = host, port, region
        self.access_key, self.secret_key = access_key, secret_key
        self.timeout_s = timeout_s
        self.tls = tls  # an ssl.SSLContext: HTTPS
        self.connection = None

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def _signature_of(self, method, path, query, headers, payload_hash, stamp):
        names, day = sorted(headers), stamp[:8]
        canonical = "\n".join([method, path, query, *(f"{n}:{headers[n].strip()}" for n in names), "", ";".join(names), payload_hash])
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret_key).encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return scope, hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def authorization(self, method, path, query, headers, payload_hash):
        """The Authorization field; adds x-amz-date and x-amz-content-sha256 to `headers`, which have lower-case names. Path and query encoded."""
        headers["x-amz-date"] = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
        headers["x-amz-content-sha256"] = payload_hash
        scope, signature = self._signature_of(method, path, query, headers, payload_hash, headers["x-amz-date"])
        return f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={';'.join(sorted(headers))}, Signature={signature}"

    def presign(self, method, path, query=None, expires_s=60, host=None):
        """A signed URL; `query` may hold x-amz-* headers, as SDKs move them there."""
        stamp = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
        host = host or f"{self.host}:{self.port}"
        every = {**(query or {}), "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Date": stamp, "X-Amz-Expires": expires_s,
                 "X-Amz-Credential": f"{self.access_key}/{stamp[:8]}/{self.region}/s3/aws4_request", "X-Amz-SignedHeaders": "host"}
        path = quote(path, "/-_.~")
        text = "&".join(f"{quote(k)}={quote(str(v))}" for k, v in sorted(every.items()))
        signature = self._signature_of(method, path, text, {"host": host}, "UNSIGNED-PAYLOAD", stamp)[1]
        return f"{'https' if self.tls else 'http'}://{host}{path}?{text}&X-Amz-Signature={signature}"

    def request(self, method, path, query=None, body=b"", headers=None, signed_payload=True):
        """Returns (status, headers with lower-case names, body) and raises S3Error from status 300 on."""
        path = quote(path, "/-_.~")
        query_text = "&".join(f"{quote(k)}={quote(str(v))}" for k, v in sorted((query or {}).items()))
        fields = {k.lower(): str(v) for k, v in (headers or {}).items()}
        fields["host"] = f"{self.host}:{self.port}"
        payload_hash = hashlib.sha256(body).hexdigest() if signed_payload else "UNSIGNED-PAYLOAD"
        fields["authorization"] = self.authorization(method, path, query_text, fields, payload_hash)
        if self.connection is None:
            self.connection = (http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout_s, context=self.tls) if self.tls else
                               http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s))
        try:
            self.connection.request(method, path + ("?" + query_text if query_text else ""), body=body or None, headers=fields)
            answer = self.connection.getresponse()
            content = answer.read()
        except Exception:
            # The connection is in an unknown state: the next request opens a new one.
            self.close()
            raise
        if answer.status >= 300:
            raise S3Error(answer.status, content)
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content

    def make_bucket(self, bucket):
        self.request("PUT", f"/{bucket}")

    def put(self, bucket, key, body, headers=None):
        return self.request("PUT", f"/{bucket}/{key}", body=body, headers=headers)[1]["etag"].strip('"')

    def get(self, bucket, key, begin=None, end=None):
        headers = {} if begin is None else {"range": f"bytes={begin}-{end}"}
        return self.request("GET", f"/{bucket}/{key}", headers=headers)[2]

    def delete(self, bucket, key):
        self.request("DELETE", f"/{bucket}/{key}")

    def begin_multipart(self, bucket, key):
        body = self.request("POST", f"/{bucket}/{key}", {"uploads": ""})[2]
        return re.search(rb"<UploadId>([^<]+)", body).group(1).decode()

    def put_part(self, bucket, key, upload, number, body):
        return self.request("PUT", f"/{bucket}/{key}", {"partNumber": number, "uploadId": upload}, body)[1]["etag"].strip('"')

    def complete(self, bucket, key, upload, etags):
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in sorted(etags.items()))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = self.request("POST", f"/{bucket}/{key}", {"uploadId": upload}, body)[2]
        # The status line leaves before the work is done; an error may stand in the body of a 200.
        if b"<Error>" in answer:
            raise S3Error(200, answer)
        return re.search(rb"<ETag>(?:&quot;|\")?([^<&\"]+)", answer).group(1).decode()

    def list(self, bucket, prefix=""):
        """Every (key, size, etag) of the bucket, page by page."""
        found, token = [], None
        while True:
            query = {"list-type": 2, "prefix": prefix, "encoding-type": "url"}
            if token:
                query["continuation-token"] = token
            body = self.request("GET", f"/{bucket}", query)[2].decode()
            for entry in re.findall(r"<Contents>(.*?)</Contents>", body, re.S):
                key = urllib.parse.unquote_plus(re.search(r"<Key>([^<]*)", entry).group(1))
                size = int(re.search(r"<Size>(\d+)", entry).group(1))
                etag = re.search(r"<ETag>(?:&quot;|&#34;|\")?([^<&\"]+)", entry).group(1)
                found.append((key, size, etag))
            token = re.search(r"<NextContinuationToken>([^<]+)", body)
            if not token:
                return found
            token = token.group(1)

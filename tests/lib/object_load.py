"""Clients of the object store that change everything a client can change, and remember what was acknowledged to them.

Each Writer owns its keys and buckets, so it can say at any moment what must be there: the world that was acknowledged or, when a
kill came between request and answer, that world with the one change that was under way, whole. A world is a dict from names to
values:

    ("object", bucket, key)     Thing, or None                        of a bucket without versions
    ("versions", bucket, key)   (Version, ...), newest first          of a versioned bucket
    ("uploads", bucket)         ((key, upload id, ((part, etag), ...)), ...)
    ("setting", bucket, kind)   what was written, or None
    ("bucket", name)            True, or None
"""
import base64
import hashlib
import random
import re
import threading
import urllib.parse
from collections import namedtuple
from xml.sax.saxutils import escape

from polis import Failed, check
from s3 import S3, S3Error

SHARED = "crash"  # all writers meet in it; every other bucket has one
# Inline, packed, a row of its own, several rows; small ones most often, because they share rows and syncs.
SIZES = [0, 1, 700, 2048, 2049, 9_000, 60_000, 200_000, 262_144, 600_000, 1_500_000]
PLAIN_KEYS, FOLDERS, VERSIONED_KEYS, VERSIONS_MAX = 12, 3, 5, 5
PART_BYTES = 5 << 20
NEW = "?"  # a version or upload whose id polis chooses; its answer tells it, or the restart

# What a client sees of a version. `etag` and `md5` differ after multipart uploads; None: any (of an encrypted one).
Thing = namedtuple("Thing", "md5 size etag tags meta public cipher hold", defaults=((), "", False, "", False))
Version = namedtuple("Version", "id thing")  # thing None: a delete marker


def md5(body):
    return hashlib.md5(body).hexdigest()


def multipart_etag(etags):
    return hashlib.md5(b"".join(bytes.fromhex(e) for e in etags)).hexdigest() + f"-{len(etags)}"


def tag_document(tags):
    inner = "".join(f"<Tag><Key>{escape(k)}</Key><Value>{escape(v)}</Value></Tag>" for k, v in tags)
    return f"<Tagging><TagSet>{inner}</TagSet></Tagging>".encode()


def with_md5(body):
    return {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}


def same(found, expected):
    """Equal, where NEW stands for any id and an ETag of None for any."""
    if isinstance(expected, Thing) and isinstance(found, Thing) and expected.etag is None:
        return found._replace(etag=None) == expected
    if isinstance(expected, tuple) and isinstance(found, tuple):
        return len(found) == len(expected) and all(same(f, e) for f, e in zip(found, expected))
    return expected == NEW or found == expected


def text_between(body, tag):
    found = re.search(rf"<{tag}>([^<]*)</{tag}>".encode(), body)
    return found.group(1).decode() if found else ""


# --- settings of a bucket: what is written, and how it is read back. A value is a short word or None (the setting is absent).


def policy_document(bucket, word):
    return (f'{{"Version":"2012-10-17","Statement":[{{"Sid":"{word}","Effect":"Deny","Principal":"*","Action":"s3:GetObject",'
            f'"Resource":"arn:aws:s3:::{bucket}/never-{word}/*"}}]}}').encode()


Setting = namedtuple("Setting", "query words document read removable headers", defaults=(True, None))
WORDS = [f"w{i}" for i in range(50)]
SETTINGS = {
    "tagging": Setting("tagging", WORDS, lambda b, w: tag_document([("word", w)]), lambda body: text_between(body, "Value")),
    "policy": Setting("policy", WORDS, policy_document, lambda body: re.search(rb'"Sid"\s*:\s*"([^"]+)"', body).group(1).decode()),
    "cors": Setting("cors", WORDS, lambda b, w: f"<CORSConfiguration><CORSRule><AllowedOrigin>http://{w}</AllowedOrigin><AllowedMethod>GET"
                                                f"</AllowedMethod></CORSRule></CORSConfiguration>".encode(),
                    lambda body: text_between(body, "AllowedOrigin")[len("http://"):]),
    "publicAccessBlock": Setting(
        "publicAccessBlock", ["true", "false"],
        lambda b, w: f"<PublicAccessBlockConfiguration><IgnorePublicAcls>{w}</IgnorePublicAcls></PublicAccessBlockConfiguration>".encode(),
        lambda body: text_between(body, "IgnorePublicAcls")),
    "ownership": Setting("ownershipControls", ["ObjectWriter", "BucketOwnerPreferred"],
                         lambda b, w: f"<OwnershipControls><Rule><ObjectOwnership>{w}</ObjectOwnership></Rule></OwnershipControls>".encode(),
                         lambda body: text_between(body, "ObjectOwnership")),
    "requestPayment": Setting("requestPayment", ["Requester", "BucketOwner"],
                              lambda b, w: f"<RequestPaymentConfiguration><Payer>{w}</Payer></RequestPaymentConfiguration>".encode(),
                              lambda body: {"BucketOwner": None}.get(text_between(body, "Payer"), "Requester"), False),
    "acl": Setting("acl", ["public-read", "private"], None, lambda body: "public-read" if b"AllUsers" in body else None, False,
                   lambda w: {"x-amz-acl": w}),
    "lifecycle": Setting("lifecycle", WORDS,
                         lambda b, w: f"<LifecycleConfiguration><Rule><ID>{w}</ID><Status>Enabled</Status><Filter><Prefix>never-{w}/</Prefix></Filter>"
                                      f"<Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>".encode(),
                         lambda body: text_between(body, "ID")),
    "encryption": Setting("encryption", ["AES256"],
                          lambda b, w: f"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{w}</SSEAlgorithm>"
                                       f"</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>".encode(),
                          lambda body: text_between(body, "SSEAlgorithm")),
}
DEFAULTS = {"requestPayment": "BucketOwner", "acl": "private"}  # words that read back as None


def read_setting(client, bucket, kind):
    setting = SETTINGS[kind]
    try:
        return setting.read(client.request("GET", f"/{bucket}", {setting.query: ""})[2])
    except S3Error as error:
        check(error.status == 404 and error.code != "NoSuchBucket", f"{bucket}: reading {kind}: {error}")
        return None


def offered(client, probe="probe"):
    """What the load uses, each tried once: a polis that answers NotImplemented would make the load smaller and say nothing."""
    found = set()
    client.make_bucket(probe)
    for kind in SETTINGS:
        setting, word = SETTINGS[kind], SETTINGS[kind].words[0]
        body = setting.document(probe, word) if setting.document else b""
        try:
            client.request("PUT", f"/{probe}", {setting.query: ""}, body, {**with_md5(body), **(setting.headers(word) if setting.headers else {})})
            found.add(kind)
        except S3Error as error:
            check(error.status == 501, f"{kind}: {error}")

    def tries(name, act):
        try:
            act()
            found.add(name)
        except S3Error as error:
            check(error.status == 501, f"{name}: {error}")

    tries("cipher", lambda: client.put(probe, "sealed", b"x", {"x-amz-server-side-encryption": "AES256"}))
    client.put(probe, "here", b"x")
    tries("rename", lambda: rename(client, probe, "here", "there"))
    tries("lock", lambda: client.request("PUT", f"/{probe}-lock", headers={"x-amz-bucket-object-lock-enabled": "true"}))
    missing = {*SETTINGS, "cipher", "rename", "lock"} - found
    check(not missing, f"not offered: {sorted(missing)}")
    return found


def rename(client, bucket, source, target, headers=None):
    client.request("PUT", f"/{bucket}/{target}", {"renameObject": ""},
                   headers={"x-amz-rename-source": urllib.parse.quote(f"/{bucket}/{source}"), **(headers or {})})


class Writer:
    """One client with keys and buckets of its own."""

    def __init__(self, number, seed, features):
        self.number = number
        self.random = random.Random(f"{seed}-{number}")
        self.features = features
        self.own = f"own-{number}"      # versioning is on or suspended
        self.churn = [f"churn-{number}-{i}" for i in range(3)]
        self.locked = f"locked-{number}"
        self.world = {("uploads", SHARED): (), ("uploads", self.own): ()}
        self.pending = {}               # what the change under way makes of the world
        self.bodies = {}                # parts of open uploads, by their MD5
        self.acknowledged = {}
        self.problem = None
        self.operations = [
            (self.put, 8), (self.put_if_absent, 1), (self.copy, 2), (self.delete, 1), (self.delete_many, 1), (self.tag, 1), (self.set_acl, 1),
            (self.begin_upload, 1), (self.put_part, 4), (self.copy_part, 1), (self.complete, 2), (self.abort, 0.5),
            (self.put_version, 4), (self.copy_version, 1), (self.delete_newest, 1), (self.delete_version, 2), (self.delete_versions, 1),
            (self.tag_version, 1), (self.set_versioning, 0.5), (self.set_setting, 2), (self.churn_bucket, 1.5)]
        if "rename" in features:
            self.operations += [(self.rename, 2), (self.rename_folder, 1)]
        if "lock" in features:
            self.operations += [(self.put_locked, 1), (self.set_hold, 1), (self.delete_locked, 1)]

    def prepare(self, client):
        client.make_bucket(self.own)
        self.set_versioning(client, "Enabled")
        if "lock" in self.features:
            client.request("PUT", f"/{self.locked}", headers={"x-amz-bucket-object-lock-enabled": "true"})

    def run(self, client, stop):
        acts, weights = zip(*self.operations)
        try:
            while not stop.is_set():
                self.random.choices(acts, weights)[0](client)
        except Failed as failure:
            self.problem = f"writer {self.number}: {failure}"
        except S3Error as error:
            self.problem = f"writer {self.number}: {error}"  # a kill gives no answer at all
        except OSError:
            pass  # the kill
        except Exception as error:  # an answer that the kill cut
            if not stop.is_set() and not isinstance(error, EOFError) and "http.client" not in type(error).__module__:
                self.problem = f"writer {self.number}: {error!r}"
        finally:
            client.close()

    def change(self, kind, overlay, act):
        """Until the answer, the world may be as it is or with the whole overlay; then it is with the overlay."""
        self.pending = overlay
        chosen = act()
        if chosen is not None:
            overlay = {name: fill(value, chosen) for name, value in overlay.items()}
        self.world.update(overlay)
        self.pending = {}
        self.acknowledged[kind] = self.acknowledged.get(kind, 0) + 1

    # --- what to do it with

    def body(self):
        return self.random.randbytes(self.random.choice(SIZES))

    def folder(self, number):
        return f"w{self.number}/folder-{number}/"

    def plain_key(self):
        if self.random.random() < 0.3:
            return f"{self.folder(self.random.randrange(FOLDERS))}{self.random.randrange(4)}"
        return f"w{self.number}/{self.random.randrange(PLAIN_KEYS):02}"

    def plain_keys(self):
        return sorted(name[2] for name, thing in self.world.items() if name[0] == "object" and thing)

    def tags(self):
        return tuple(sorted((f"k{i}", f"v{self.random.randrange(100)}") for i in range(self.random.choice([0, 0, 1, 3]))))

    def new_thing(self, body, bucket):
        cipher = ""
        headers = {}
        tags, meta, public = self.tags(), self.random.choice(["", f"m{self.random.randrange(1000)}"]), self.random.random() < 0.2
        if tags:
            headers["x-amz-tagging"] = urllib.parse.urlencode(tags)
        if meta:
            headers["x-amz-meta-word"] = meta
        if public and bucket == SHARED:
            headers["x-amz-acl"] = "public-read"
        public = public and bucket == SHARED
        if "cipher" in self.features:
            if self.random.random() < 0.25:
                headers["x-amz-server-side-encryption"] = cipher = "AES256"
            cipher = cipher or self.default_cipher(bucket)
        return Thing(md5(body), len(body), None if cipher else md5(body), tags, meta, public, cipher), headers

    def default_cipher(self, bucket):
        return self.world.get(("setting", bucket, "encryption")) or ""

    def versions(self, key, bucket=None):
        return self.world.get(("versions", bucket or self.own, key), ())

    def with_newest(self, key, thing):
        """The versions of a key with one more in front."""
        if self.world[("setting", self.own, "versioning")] == "Enabled":
            return (Version(NEW, thing), *self.versions(key))
        return (Version("null", thing), *(v for v in self.versions(key) if v.id != "null"))

    # --- objects without versions

    def put(self, client):
        body, key = self.body(), self.plain_key()
        thing, headers = self.new_thing(body, SHARED)

        def act():
            etag = client.put(SHARED, key, body, headers)
            check(thing.etag is None or etag == thing.etag, f"{key}: the ETag is not the MD5")

        self.change("put", {("object", SHARED, key): thing}, act)

    def put_if_absent(self, client):
        body, key = self.body(), self.plain_key()
        thing, headers = self.new_thing(body, SHARED)
        headers["if-none-match"] = "*"
        if self.world.get(("object", SHARED, key)):
            expect_refusal(f"{key}: a PUT over what is there", "PreconditionFailed", lambda: client.put(SHARED, key, body, headers))
        else:
            self.change("conditional put", {("object", SHARED, key): thing}, lambda: nothing(client.put(SHARED, key, body, headers)))

    def copy(self, client):
        keys = self.plain_keys()
        if not keys:
            return
        source, key = self.random.choice(keys), self.plain_key()
        if source == key:
            return
        thing = self.world[("object", SHARED, source)]
        replaced = self.random.random() < 0.3
        headers = {"x-amz-copy-source": urllib.parse.quote(f"/{SHARED}/{source}")}
        if replaced:
            thing = thing._replace(meta=f"c{self.random.randrange(1000)}")
            headers |= {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-word": thing.meta}
        # A copy is one piece, with an ACL and a cipher of its own.
        cipher = self.default_cipher(SHARED)
        thing = thing._replace(public=False, cipher=cipher, etag=None if cipher else thing.md5)
        self.change("copy", {("object", SHARED, key): thing}, lambda: nothing(copied(client.request("PUT", f"/{SHARED}/{key}", headers=headers))))

    def delete(self, client):
        key = self.plain_key()
        self.change("delete", {("object", SHARED, key): None}, lambda: client.delete(SHARED, key))

    def delete_many(self, client):
        """One request, one transaction: all or none."""
        keys = {self.plain_key() for _ in range(self.random.randrange(1, 6))}
        body = delete_document((key, None) for key in keys)
        self.change("delete of many", {("object", SHARED, key): None for key in keys}, lambda: nothing(deleted(
            client.request("POST", f"/{SHARED}", {"delete": ""}, body, with_md5(body)))))

    def tag(self, client):
        keys = self.plain_keys()
        if not keys:
            return
        key, tags = self.random.choice(keys), self.tags()
        thing = self.world[("object", SHARED, key)]._replace(tags=tags)
        body = tag_document(tags)

        def act():
            if tags:
                client.request("PUT", f"/{SHARED}/{key}", {"tagging": ""}, body, with_md5(body))
            else:
                client.request("DELETE", f"/{SHARED}/{key}", {"tagging": ""})

        self.change("tags", {("object", SHARED, key): thing}, act)

    def set_acl(self, client):
        keys = self.plain_keys()
        if not keys:
            return
        key, public = self.random.choice(keys), self.random.random() < 0.5
        thing = self.world[("object", SHARED, key)]._replace(public=public)
        self.change("ACL", {("object", SHARED, key): thing}, lambda: nothing(client.request(
            "PUT", f"/{SHARED}/{key}", {"acl": ""}, headers={"x-amz-acl": "public-read" if public else "private"})))

    def rename(self, client):
        keys = [key for key in self.plain_keys() if not key.endswith("/source")]  # which copies of parts need
        if not keys:
            return
        source, key = self.random.choice(keys), self.plain_key()
        if source == key:
            return
        thing = self.world[("object", SHARED, source)]
        self.change("rename", {("object", SHARED, key): thing, ("object", SHARED, source): None}, lambda: rename(client, SHARED, source, key))

    def rename_folder(self, client):
        """Every key of a folder in one transaction."""
        source, target = (self.folder(number) for number in self.random.sample(range(FOLDERS), 2))
        keys = [key for key in self.plain_keys() if key.startswith(source)]
        if not keys:
            return
        overlay = {}
        for key in keys:
            overlay[("object", SHARED, key)] = None
            overlay[("object", SHARED, target + key[len(source):])] = self.world[("object", SHARED, key)]

        def act():
            client.request("PUT", f"/{SHARED}/{target}", {"renameObject": "prefix"},
                           headers={"x-amz-rename-source": urllib.parse.quote(f"/{SHARED}/{source}")})

        if any(self.world.get(name) for name, thing in overlay.items() if thing):
            expect_refusal(f"renaming {source} over {target}", "PreconditionFailed", act)
        else:
            self.change("rename of a folder", overlay, act)

    # --- uploads, in the shared bucket and in the own one

    def uploads(self):
        return [(name[1], upload) for name, value in sorted(self.world.items()) if name[0] == "uploads" for upload in value]

    def begin_upload(self, client):
        bucket = self.random.choice([SHARED, self.own])
        uploads = self.world[("uploads", bucket)]
        if len(uploads) >= 2:
            return
        key = f"w{self.number}/multi{self.random.randrange(3)}" if bucket == SHARED else f"multi{self.random.randrange(2)}"
        self.change("upload", {("uploads", bucket): (*uploads, (key, NEW, ()))}, lambda: client.begin_multipart(bucket, key))

    def with_part(self, bucket, upload, number, etag):
        """The uploads of the bucket once this one has this part."""
        parts = tuple(sorted({**dict(upload[2]), number: etag}.items()))
        return {("uploads", bucket): tuple((*one[:2], parts) if one == upload else one for one in self.world[("uploads", bucket)])}

    def a_part(self):
        """An upload and the number of a part to write: a new one, or once in a while one that is there."""
        uploads = self.uploads()
        if not uploads:
            return None
        bucket, upload = self.random.choice(uploads)
        number = len(upload[2]) + 1
        if upload[2] and (number > 3 or self.random.random() < 0.15):
            number = self.random.randrange(1, number)
        return bucket, upload, number

    def put_part(self, client):
        chosen = self.a_part()
        if not chosen:
            return
        bucket, upload, number = chosen
        body = self.random.randbytes(PART_BYTES if number < 3 else self.random.randrange(1, 500_000))
        etag = md5(body)
        self.bodies[etag] = body
        self.change("part", self.with_part(bucket, upload, number, etag), lambda: nothing(check(
            client.put_part(bucket, upload[0], upload[1], number, body) == etag, f"{upload}: the ETag of a part is not its MD5")))

    def copy_part(self, client):
        chosen = self.a_part()
        if not chosen:
            return
        bucket, upload, number = chosen
        others = [etag for _, one in self.uploads() for _, etag in one[2] if len(self.bodies[etag]) == PART_BYTES]
        whole = f"w{self.number}/source"
        if number < 3 and not self.world.get(("object", SHARED, whole)):
            if not others:
                return
            body = self.bodies[others[0]]
            thing = Thing(md5(body), len(body), md5(body))
            if self.default_cipher(SHARED):
                return
            self.change("put", {("object", SHARED, whole): thing}, lambda: nothing(client.put(SHARED, whole, body)))
            self.bodies["source"] = body
        if "source" not in self.bodies:
            return
        body = self.bodies["source"]
        headers = {"x-amz-copy-source": f"/{SHARED}/{whole}"}
        if number >= 3:
            first = self.random.randrange(len(body) - 300_000)
            last = first + self.random.randrange(300_000)
            headers["x-amz-copy-source-range"] = f"bytes={first}-{last}"
            body = body[first:last + 1]
        etag = md5(body)
        self.bodies[etag] = body
        self.change("part copy", self.with_part(bucket, upload, number, etag), lambda: nothing(copied(client.request(
            "PUT", f"/{bucket}/{upload[0]}", {"partNumber": number, "uploadId": upload[1]}, headers=headers))))

    def complete(self, client):
        uploads = [(bucket, upload) for bucket, upload in self.uploads() if upload[2]]
        if not uploads:
            return
        bucket, upload = self.random.choice(uploads)
        parts = dict(upload[2])
        if len(parts) == 3 and self.random.random() < 0.2:
            del parts[2]  # what is not named goes
        numbers = sorted(parts)
        # Only the last part may be small.
        while len(numbers) > 1 and any(len(self.bodies[parts[n]]) < PART_BYTES for n in numbers[:-1]):
            del parts[numbers.pop()]
        whole = b"".join(self.bodies[parts[n]] for n in numbers)
        cipher = self.default_cipher(bucket)  # as when it began: the default stays while uploads are open
        thing = Thing(md5(whole), len(whole), None if cipher else multipart_etag([parts[n] for n in numbers]), cipher=cipher)
        overlay = {("uploads", bucket): tuple(one for one in self.world[("uploads", bucket)] if one != upload)}
        if bucket == SHARED:
            overlay[("object", bucket, upload[0])] = thing
        else:
            overlay[("versions", bucket, upload[0])] = self.with_newest(upload[0], thing)

        def act():
            body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{parts[n]}</ETag></Part>" for n in numbers)
            _, headers, answer = client.request("POST", f"/{bucket}/{upload[0]}", {"uploadId": upload[1]},
                                                f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode())
            check(b"<Error>" not in answer, f"{upload}: {answer}")
            return headers.get("x-amz-version-id") if bucket != SHARED else None

        self.change("completion", overlay, act)

    def abort(self, client):
        uploads = self.uploads()
        if not uploads:
            return
        bucket, upload = self.random.choice(uploads)
        overlay = {("uploads", bucket): tuple(one for one in self.world[("uploads", bucket)] if one != upload)}
        self.change("abort", overlay, lambda: nothing(client.request("DELETE", f"/{bucket}/{upload[0]}", {"uploadId": upload[1]})))

    # --- versions

    def versioned_key(self):
        return f"v{self.random.randrange(VERSIONED_KEYS)}"

    def put_version(self, client):
        key = self.versioned_key()
        if len(self.versions(key)) >= VERSIONS_MAX:
            return
        body = self.body()
        thing, headers = self.new_thing(body, self.own)
        self.change("version", {("versions", self.own, key): self.with_newest(key, thing)},
                    lambda: client.request("PUT", f"/{self.own}/{key}", body=body, headers=headers)[1].get("x-amz-version-id"))

    def some_version(self, markers=True):
        """(key, Version) of the own bucket, or None."""
        all_of_them = [(name[2], version) for name, value in sorted(self.world.items()) if name[0] == "versions" and name[1] == self.own
                       for version in value if markers or version.thing]
        return self.random.choice(all_of_them) if all_of_them else None

    def copy_version(self, client):
        chosen, key = self.some_version(markers=False), self.versioned_key()
        if not chosen or len(self.versions(key)) >= VERSIONS_MAX:
            return
        source, version = chosen
        cipher = self.default_cipher(self.own)
        thing = version.thing._replace(public=False, cipher=cipher, etag=None if cipher else version.thing.md5)
        headers = {"x-amz-copy-source": f"/{self.own}/{source}?versionId={version.id}"}
        self.change("copy of a version", {("versions", self.own, key): self.with_newest(key, thing)},
                    lambda: copied(client.request("PUT", f"/{self.own}/{key}", headers=headers))[1].get("x-amz-version-id"))

    def delete_newest(self, client):
        key = self.versioned_key()
        if len(self.versions(key)) >= VERSIONS_MAX:
            return
        self.change("delete marker", {("versions", self.own, key): self.with_newest(key, None)},
                    lambda: client.request("DELETE", f"/{self.own}/{key}")[1].get("x-amz-version-id"))

    def without(self, key, version):
        return {("versions", self.own, key): tuple(v for v in self.versions(key) if v != version)}

    def delete_version(self, client):
        chosen = self.some_version()
        if chosen:
            key, version = chosen
            self.change("delete of a version", self.without(key, version),
                        lambda: nothing(client.request("DELETE", f"/{self.own}/{key}", {"versionId": version.id})))

    def delete_versions(self, client):
        chosen = self.some_version()
        if not chosen:
            return
        key = chosen[0]
        gone = self.random.sample(self.versions(key), self.random.randrange(1, len(self.versions(key)) + 1))
        body = delete_document((key, version.id) for version in gone)
        self.change("delete of versions", {("versions", self.own, key): tuple(v for v in self.versions(key) if v not in gone)},
                    lambda: nothing(deleted(client.request("POST", f"/{self.own}", {"delete": ""}, body, with_md5(body)))))

    def tag_version(self, client):
        chosen = self.some_version(markers=False)
        if not chosen:
            return
        key, version = chosen
        tags = self.tags()
        changed = Version(version.id, version.thing._replace(tags=tags))
        body = tag_document(tags)
        self.change("tags of a version", {("versions", self.own, key): tuple(changed if v == version else v for v in self.versions(key))},
                    lambda: nothing(client.request("PUT", f"/{self.own}/{key}", {"tagging": "", "versionId": version.id}, body, with_md5(body))))

    def set_versioning(self, client, state=None):
        state = state or self.random.choice(["Enabled", "Enabled", "Suspended"])
        body = f"<VersioningConfiguration><Status>{state}</Status></VersioningConfiguration>".encode()
        self.change("setting", {("setting", self.own, "versioning"): state},
                    lambda: nothing(client.request("PUT", f"/{self.own}", {"versioning": ""}, body, with_md5(body))))

    # --- object lock

    def put_locked(self, client):
        key = f"l{self.random.randrange(3)}"
        before = self.versions(key, self.locked)
        if len(before) >= VERSIONS_MAX:
            return
        body, hold = self.body(), self.random.random() < 0.5
        thing = Thing(md5(body), len(body), md5(body), hold=hold)
        headers = with_md5(body) | ({"x-amz-object-lock-legal-hold": "ON"} if hold else {})
        self.change("locked version", {("versions", self.locked, key): (Version(NEW, thing), *before)},
                    lambda: client.request("PUT", f"/{self.locked}/{key}", body=body, headers=headers)[1]["x-amz-version-id"])

    def a_locked_version(self):
        all_of_them = [(name[2], version) for name, value in sorted(self.world.items()) if name[0] == "versions" and name[1] == self.locked
                       for version in value]
        return self.random.choice(all_of_them) if all_of_them else None

    def set_hold(self, client):
        chosen = self.a_locked_version()
        if not chosen:
            return
        key, version = chosen
        changed = Version(version.id, version.thing._replace(hold=not version.thing.hold))
        body = f"<LegalHold><Status>{'ON' if changed.thing.hold else 'OFF'}</Status></LegalHold>".encode()
        self.change("legal hold", {("versions", self.locked, key): tuple(changed if v == version else v for v in self.versions(key, self.locked))},
                    lambda: nothing(client.request("PUT", f"/{self.locked}/{key}", {"legal-hold": "", "versionId": version.id}, body, with_md5(body))))

    def delete_locked(self, client):
        chosen = self.a_locked_version()
        if not chosen:
            return
        key, version = chosen

        def remove():
            client.request("DELETE", f"/{self.locked}/{key}", {"versionId": version.id})

        if version.thing.hold:
            expect_refusal(f"{key}: deleting a version under legal hold", "AccessDenied", remove)
        else:
            self.change("delete of a version", {("versions", self.locked, key): tuple(
                v for v in self.versions(key, self.locked) if v != version)}, remove)

    # --- buckets and their settings

    def set_setting(self, client):
        kind = self.random.choice(sorted(set(SETTINGS) & self.features))
        setting = SETTINGS[kind]
        if kind == "encryption" and self.world[("uploads", self.own)]:
            return  # what an upload is sealed with is decided when it begins
        present = self.world.get(("setting", self.own, kind)) is not None
        if present and setting.removable and self.random.random() < 0.3:
            self.change("setting", {("setting", self.own, kind): None},
                        lambda: nothing(client.request("DELETE", f"/{self.own}", {setting.query: ""})))
            return
        word = self.random.choice(setting.words)
        body = setting.document(self.own, word) if setting.document else b""
        headers = {**with_md5(body), **(setting.headers(word) if setting.headers else {})}
        value = None if DEFAULTS.get(kind) == word else word
        self.change("setting", {("setting", self.own, kind): value},
                    lambda: nothing(client.request("PUT", f"/{self.own}", {setting.query: ""}, body, headers)))

    def churn_bucket(self, client):
        """Makes a bucket, with a setting that the next of its name must not have, or removes one."""
        name = self.random.choice(self.churn)
        if not self.world.get(("bucket", name)):
            check(read_versioning_of_new(client, name) is None, f"{name}: there though it was removed")
            self.change("bucket", {("bucket", name): True, ("setting", name, "tagging"): None}, lambda: client.make_bucket(name))
        elif self.world.get(("setting", name, "tagging")) is None and self.random.random() < 0.5:
            body = tag_document([("word", "kept")])
            self.change("setting", {("setting", name, "tagging"): "kept"},
                        lambda: nothing(client.request("PUT", f"/{name}", {"tagging": ""}, body, with_md5(body))))
        else:
            self.change("bucket removal", {("bucket", name): None, ("setting", name, "tagging"): None},
                        lambda: nothing(client.request("DELETE", f"/{name}")))

    # --- after a restart

    def names(self):
        return set(self.world) | set(self.pending)

    def verify(self, client, again):
        """Reads everything back; returns (reads, bytes). The world that is found becomes the world."""
        self.reads = 0
        found = {}
        for name in sorted(self.names(), key=str):
            found[name] = self.read(client, name)
        # Keys and versions that nobody wrote show in the listings.
        for bucket in (self.own, *([self.locked] if "lock" in self.features else ())):
            keys = {key for key, _, _, _ in list_versions(client, bucket)}
            expected = {name[2] for name, value in found.items() if name[0] == "versions" and name[1] == bucket and value}
            check(keys == expected, f"{bucket}: lists {sorted(keys ^ expected)} where there should be nothing, or does not list them")
        after = {**self.world, **self.pending}
        wrong = [name for name in self.names() if not same(found[name], self.world.get(name, absent(name)))]
        if wrong:
            wrong_after = [name for name in self.names() if not same(found[name], after.get(name, absent(name)))]
            describe = "; ".join(f"{name}: found {found[name]}, acknowledged {self.world.get(name)}"
                                 + (f", or under way {after.get(name)}" if name in self.pending else "") for name in (wrong_after or [])[:3])
            check(not wrong_after, f"writer {self.number}: {describe}")
        self.world = {**self.world, **found}
        self.pending = {}
        if not again:
            self.drop_bodies()
        return self.reads

    def drop_bodies(self):
        kept = {etag for _, upload in self.uploads() for _, etag in upload[2]} | {"source"}
        self.bodies = {etag: body for etag, body in self.bodies.items() if etag in kept}

    def read(self, client, name):
        self.reads += 1
        if name[0] == "object":
            return read_thing(client, name[1], name[2])
        if name[0] == "versions":
            listed = [(version, marker) for key, version, marker, _ in list_versions(client, name[1], name[2]) if key == name[2]]
            self.reads += len(listed)
            return tuple(Version(version, None if marker else read_thing(client, name[1], name[2], version, name[1] == self.locked))
                         for version, marker in listed)
        if name[0] == "uploads":
            prefix = f"w{self.number}/" if name[1] == SHARED else ""
            order = {upload[1]: i for i, upload in enumerate(self.world[name])}
            found = [(key, upload, tuple(list_parts(client, name[1], key, upload))) for key, upload in list_uploads(client, name[1], prefix)]
            return tuple(sorted(found, key=lambda one: order.get(one[1], len(order))))
        if name[0] == "bucket":
            return read_versioning_of_new(client, name[1])
        if name[2] == "versioning":
            return text_between(client.request("GET", f"/{name[1]}", {"versioning": ""})[2], "Status") or None
        if ("bucket", name[1]) in self.names() and read_versioning_of_new(client, name[1]) is None:
            return None
        return read_setting(client, name[1], name[2])


def absent(name):
    return () if name[0] in ("versions", "uploads") else None


def nothing(_):
    return None


def fill(value, chosen):
    if isinstance(value, (Thing, Version)):
        return type(value)(*(fill(one, chosen) for one in value))
    if isinstance(value, tuple):
        return tuple(fill(one, chosen) for one in value)
    return chosen if value == NEW else value


def expect_refusal(what, code, act):
    try:
        act()
    except S3Error as error:
        check(error.code == code, f"{what}: {error}")
        return
    raise Failed(f"{what} was not refused with {code}")


def copied(answer):
    check(b"<Error>" not in answer[2], f"a copy: {answer[2]}")
    return answer


def deleted(answer):
    check(b"<Error>" not in answer[2], f"a delete of many: {answer[2]}")
    return answer


def delete_document(items):
    inner = "".join(f"<Object><Key>{escape(key)}</Key>{f'<VersionId>{version}</VersionId>' if version else ''}</Object>" for key, version in items)
    return f"<Delete>{inner}</Delete>".encode()


def read_versioning_of_new(client, bucket):
    """True if the bucket is there."""
    try:
        client.request("HEAD", f"/{bucket}")
        return True
    except S3Error as error:
        check(error.status == 404, f"{bucket}: {error}")
        return None


def read_thing(client, bucket, key, version=None, lock=False):
    query = {"versionId": version} if version else {}
    try:
        _, headers, body = client.request("GET", f"/{bucket}/{key}", query)
    except S3Error as error:
        check(error.code == "NoSuchKey" and not version, f"{bucket}/{key} {version or ''}: {error}")
        return None
    tags = ()
    if "x-amz-tagging-count" in headers:
        document = client.request("GET", f"/{bucket}/{key}", {**query, "tagging": ""})[2].decode()
        tags = tuple(sorted(re.findall(r"<Key>([^<]*)</Key><Value>([^<]*)</Value>", document)))
        check(len(tags) == int(headers["x-amz-tagging-count"]), f"{bucket}/{key}: another number of tags than the header says")
    acl = client.request("GET", f"/{bucket}/{key}", {**query, "acl": ""})[2]
    return Thing(md5(body), len(body), headers["etag"].strip('"'), tags, headers.get("x-amz-meta-word", ""), b"AllUsers" in acl,
                 headers.get("x-amz-server-side-encryption", ""), lock and headers.get("x-amz-object-lock-legal-hold") == "ON")


def list_versions(client, bucket, prefix=""):
    """(key, version id, is a delete marker, size) of every version, as listed: page by page, small ones to cross pages often."""
    found, marker = [], {}
    while True:
        body = client.request("GET", f"/{bucket}", {"versions": "", "prefix": prefix, "max-keys": 7, **marker})[2].decode()
        for kind, entry in re.findall(r"<(Version|DeleteMarker)>(.*?)</\1>", body, re.S):
            size = re.search(r"<Size>(\d+)", entry)
            found.append((re.search(r"<Key>([^<]*)", entry).group(1), re.search(r"<VersionId>([^<]*)", entry).group(1), kind == "DeleteMarker",
                          int(size.group(1)) if size else 0))
        if "<IsTruncated>true" not in body:
            return found
        marker = {"key-marker": re.search(r"<NextKeyMarker>([^<]*)", body).group(1),
                  "version-id-marker": re.search(r"<NextVersionIdMarker>([^<]*)", body).group(1)}


def list_uploads(client, bucket, prefix):
    body = client.request("GET", f"/{bucket}", {"uploads": "", "prefix": prefix})[2].decode()
    return re.findall(r"<Upload><Key>([^<]*)</Key><UploadId>([^<]*)</UploadId>", body)


def list_parts(client, bucket, key, upload):
    body = client.request("GET", f"/{bucket}/{key}", {"uploadId": upload})[2].decode()
    return [(int(number), etag) for number, etag in
            re.findall(r"<PartNumber>(\d+)</PartNumber>.*?<ETag>(?:&quot;|\")?([0-9a-f]{32})", body, re.S)]


def connect(polis):
    root = polis.credentials
    return S3("127.0.0.1", polis.port("object.s3"), root["access_key"], root["secret_key"])


def start_writers(polis, count, seed):
    """Writers with their buckets made, in a fresh polis."""
    client = connect(polis)
    features = offered(client)
    client.make_bucket(SHARED)
    writers = [Writer(number, seed, features) for number in range(count)]
    for writer in writers:
        writer.prepare(client)
    client.close()
    return writers


def let_write(polis, writers, stop):
    """A thread for each writer, until `stop` or the death of polis."""
    return [threading.Thread(target=writer.run, args=(connect(polis), stop), daemon=True) for writer in writers]


def join_all(threads, workers):
    """After the end of polis, or of the load: every thread comes back, and nobody found anything wrong."""
    for thread in threads:
        thread.join(40)
        check(not thread.is_alive(), "a client hangs")
    for worker in workers:
        check(worker.problem is None, worker.problem)

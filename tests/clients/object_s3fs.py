#!/usr/bin/env python3
"""s3fs mounts a bucket with FUSE: files, folders, renames, appends, truncation, attributes; what it wrote is read by another mount."""
import os
import shutil
import subprocess
import sys

from client import SIZES, Client, check, md5_of, run, same_trees, wait_for, write_file

SKIPPED = 77


def why_not():
    """What keeps this machine from mounting; empty if nothing does."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be opened ({error.strerror})"
    if not shutil.which("s3fs"):
        return "s3fs is not installed"
    return ""


class Mount:
    def __init__(self, client, bucket, folder, url, *options):
        self.folder, self.client = client.path(folder), client
        os.makedirs(self.folder)
        self.log = open(client.path(folder + ".log"), "wb")
        # In the foreground: a child of this test, which ends with it.
        self.process = subprocess.Popen(
            ["s3fs", bucket, self.folder, "-f", "-o", f"url={url}", "-o", "use_path_request_style", "-o", f"passwd_file={client.path('passwd')}",
             "-o", "endpoint=us-east-1", "-o", "retries=3", "-o", "multipart_size=5", "-o", "max_stat_cache_size=0", *options],
            env=client.environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def ended(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return f"s3fs ended with {self.process.poll()}:\n{file.read()[-1500:]}"

    def __enter__(self):
        def mounted():
            return os.path.ismount(self.folder) or self.process.poll() is not None
        wait_for("the bucket is mounted", 30, mounted)
        if self.process.poll() is not None:
            raise MountFailed(self.ended())
        return self.folder

    def __exit__(self, kind, value, trace):
        # Lazily, so that a file that an error left open does not keep the mount.
        subprocess.run(["fusermount", "-u", "-z", self.folder], check=False, capture_output=True)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class MountFailed(Exception):
    pass


def use(top, client):
    for name, size in SIZES.items():
        write_file(client.path("up", name), size)
    shutil.copytree(client.path("up"), os.path.join(top, "all"))
    same_trees(client.path("up"), os.path.join(top, "all"))
    os.rename(os.path.join(top, "all/large"), os.path.join(top, "all/renamed"))  # a copy by parts, since it is large
    check(md5_of(os.path.join(top, "all/renamed")) == md5_of(client.path("up/large")), "a renamed file keeps its bytes")
    os.rename(os.path.join(top, "all"), os.path.join(top, "moved"))
    check(sorted(os.listdir(os.path.join(top, "moved"))) == sorted([*(set(SIZES) - {"large"}), "renamed"]), "a renamed folder keeps its files")

    note = os.path.join(top, "note ä+%.txt")
    with open(note, "w", encoding="utf-8") as file:
        file.write("one\n")
    with open(note, "a", encoding="utf-8") as file:
        file.write("two\n")
    with open(note, encoding="utf-8") as file:
        check(file.read() == "one\ntwo\n", "an append")
    with open(os.path.join(top, "moved/renamed"), "r+b") as file:  # the unchanged parts are copied on the server
        file.seek(7_000_000)
        file.write(b"changed")
    with open(client.path("up/large"), "r+b") as file:
        file.seek(7_000_000)
        file.write(b"changed")
    check(md5_of(os.path.join(top, "moved/renamed")) == md5_of(client.path("up/large")), "a write in the middle")
    os.truncate(os.path.join(top, "moved/row"), 1000)
    check(os.path.getsize(os.path.join(top, "moved/row")) == 1000, "a truncated file")
    os.chmod(note, 0o640)
    os.utime(note, (1_600_000_000, 1_600_000_000))
    os.symlink("note ä+%.txt", os.path.join(top, "link"))
    os.remove(os.path.join(top, "moved/one"))
    os.mkdir(os.path.join(top, "empty"))
    os.rmdir(os.path.join(top, "empty"))


def test(polis, root):
    client = Client(polis)
    with open(client.path("passwd"), "w", encoding="utf-8") as file:
        file.write(f"{root['access_key']}:{root['secret_key']}\n")
    os.chmod(client.path("passwd"), 0o600)
    polis.command("object", "mb", "s3://files")
    with Mount(client, "files", "mnt", polis.s3_url) as top:
        use(top, client)
    # Another machine, over TLS.
    secure = f"https://localhost:{polis.port('object.s3_tls')}"
    client.environment["CURL_CA_BUNDLE"] = os.path.join(polis.data, "keys/object-tls-certificate.pem")
    with Mount(client, "files", "mnt2", secure) as top:
        check(md5_of(os.path.join(top, "moved/renamed")) == md5_of(client.path("up/large")), "another mount reads the same bytes")
        note = os.stat(os.path.join(top, "link"))
        check(note.st_mode & 0o777 == 0o640 and int(note.st_mtime) == 1_600_000_000 and note.st_size == 8, f"attributes are kept: {note}")
        check("one" not in os.listdir(os.path.join(top, "moved")) and "empty" not in os.listdir(top), "what was removed is gone")
        shutil.rmtree(os.path.join(top, "moved"))
        check(sorted(os.listdir(top)) == ["link", "note ä+%.txt"], "a folder is removed with its files")


def tolerant(polis, root):
    try:
        test(polis, root)
    except MountFailed as error:
        # A container may show /dev/fuse and yet forbid mounts.
        if any(words in str(error) for words in ("Operation not permitted", "Permission denied", "fuse: device not found")):
            print(f"SKIPPED: this machine mounts nothing: {error}")
            sys.exit(SKIPPED)
        raise


reason = why_not()
if reason:
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)
run(tolerant)

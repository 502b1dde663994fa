#!/usr/bin/env python3
"""A backup made under load restores to a polis that has every object acknowledged before it began."""
import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import BINARY, Failed, Polis, check, wait_for  # noqa: E402
from s3 import S3, S3Error  # noqa: E402

SIZES = [0, 1, 2048, 50_000, 262_144, 2_000_000]


def client_of(polis, root=None):
    root = root or polis.credentials
    return S3("127.0.0.1", polis.port("object.s3"), root["access_key"], root["secret_key"])


def restore(backup, data, *words, passphrase=None, status=0):
    done = subprocess.run([BINARY, "restore", backup, "--data", data, *words], input=(passphrase or "") + "\n", capture_output=True, text=True, timeout=120, check=False)
    check(done.returncode == status, f"restore ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def main():
    chance = random.Random(11)
    with Polis() as polis:
        root, client = polis.credentials, client_of(polis)
        client.make_bucket("kept")
        client.make_bucket("churn")
        before = {f"o{i:02}": chance.randbytes(SIZES[i % len(SIZES)]) for i in range(30)}
        for key, body in before.items():
            client.put("kept", key, body)
        stop, churned = threading.Event(), []

        def churn():
            mine, numbers = client_of(polis, root), random.Random(12)
            while not stop.is_set():
                mine.put("churn", f"c{numbers.randrange(20)}", numbers.randbytes(numbers.choice(SIZES)))
                churned.append(1)

        thread = threading.Thread(target=churn)
        thread.start()
        wait_for("some churn", 20, lambda: len(churned) > 10)
        backup = os.path.join(polis.directory, "backup")
        polis.command("backup", backup, "--with-keys", input_text="open sesame please\n")
        plain = os.path.join(polis.directory, "plain")
        report = polis.json("backup", plain)
        check(report["files"] > 5 and report["size_bytes"] > 5_000_000, f"report {report}")
        stop.set()
        thread.join(20)
        polis.command("backup", backup, status=1)
        check("not empty" in polis.last_error, f"a second backup into it: {polis.last_error}")
        polis.command("backup", os.path.join(polis.data, "inside"), status=1)
        check("inside the data directory" in polis.last_error, polis.last_error)
        polis.stop()

        # The sums are those that sha256sum knows.
        done = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=backup, capture_output=True, text=True, timeout=60, check=False)
        check(done.returncode == 0, f"sha256sum: {done.stdout[:300]}{done.stderr[:300]}")
        check(not os.path.exists(os.path.join(plain, "keys.sealed")) and not os.path.exists(os.path.join(plain, "keys")), "no keys without --with-keys")

        target = os.path.join(polis.directory, "restored")
        second = Polis(directory=target)
        restore(backup, second.data, "--with-keys", passphrase="a wrong passphrase", status=1)
        check(not os.path.exists(second.data), "a failed restore leaves nothing")
        restore(backup, second.data, "--with-keys", passphrase="open sesame please")
        check("is not empty" in restore(backup, second.data, status=1), "a restore never overwrites")
        second.start()
        client = client_of(second, root)
        for key, body in before.items():
            check(hashlib.md5(client.get("kept", key)).digest() == hashlib.md5(body).digest(), f"{key} differs after the restore")
        for key, size, _ in client.list("churn"):
            check(len(client.get("churn", key)) == size, f"churn/{key} is not whole")
        client.put("kept", "after", b"life goes on")
        second.stop()

        # Without keys: objects and passwords are there, old access keys are not usable, new ones are.
        third = Polis(directory=os.path.join(polis.directory, "keyless"))
        out = restore(plain, third.data)
        check("make new access keys" in out, out)
        third.start()
        try:
            client_of(third, root).list("kept")
            raise Failed("an access key works without the key that sealed it")
        except S3Error as error:
            check(error.status in (403, 500), f"{error}")
        key = third.json("key", "add")
        check(client_of(third, key).get("kept", "o01") == before["o01"], "a new key reads")
        third.stop()

        # One flipped byte is found.
        damaged = os.path.join(polis.directory, "damaged")
        shutil.copytree(plain, damaged)
        with open(os.path.join(damaged, "SHA256SUMS"), encoding="utf-8") as file:
            names = [line.split("  ", 1)[1].rstrip("\n") for line in file]
        victim = os.path.join(damaged, max(names, key=lambda name: os.path.getsize(os.path.join(damaged, name))))
        with open(victim, "r+b") as file:
            file.seek(1000)
            byte = file.read(1)
            file.seek(1000)
            file.write(bytes([byte[0] ^ 1]))
        check("damaged" in restore(damaged, os.path.join(polis.directory, "never"), status=1), "damage is found")
        os.remove(os.path.join(damaged, "manifest.json"))
        check("no finished backup" in restore(damaged, os.path.join(polis.directory, "never"), status=1), "an unfinished backup is refused")
        polis.start()
    print("ok")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

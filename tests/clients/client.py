"""What the client scripts share: files with known content, and running a client in a directory of its own."""
import hashlib
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import Failed, Polis, check, wait_for  # noqa: E402

# Around every border that matters: empty, inline, packed, one unit, rows of its own, several parts.
SIZES = {"empty": 0, "one": 1, "inline": 2048, "packed": 100_000, "row": 300_000, "border": 5 * 1024 * 1024, "large": 20_000_003}


def write_file(path, size_bytes, seed=1):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(random.Random(f"{seed}-{size_bytes}").randbytes(size_bytes))
    return path


def md5_of(path):
    digest = hashlib.md5()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def same_trees(left, right):
    """Fails unless both folders hold the same files with the same bytes."""
    def contents(top):
        found = {}
        for folder, _, files in os.walk(top):
            for file in files:
                full = os.path.join(folder, file)
                found[os.path.relpath(full, top)] = md5_of(full)
        return found
    a, b = contents(left), contents(right)
    check(a == b, f"{left} and {right} differ: {sorted(set(a.items()) ^ set(b.items()))[:6]}")


class Client:
    def __init__(self, polis, environment=None):
        self.polis = polis
        self.home = os.path.join(polis.directory, "home")
        os.makedirs(self.home, exist_ok=True)
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RCLONE_", "RESTIC_", "S3_"))}
        self.environment = {**keep, "HOME": self.home, **(environment or {})}

    def path(self, *parts):
        return os.path.join(self.home, *parts)

    def run(self, *words, status=0, input_text=None, limit_s=120):
        """Runs the client; returns its output. `status` None accepts any; "fails" any but 0."""
        done = subprocess.run(list(words), env=self.environment, cwd=self.home, input=input_text, text=True, capture_output=True,
                              timeout=limit_s, check=False)
        held = status is None or (done.returncode != 0 if status == "fails" else done.returncode == status)
        check(held, f"{' '.join(words)} ended with {done.returncode}, expected {status}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout + done.stderr


def run(test, systems=("object",), **options):
    """Runs test(polis, root credentials) against a fresh polis; exit status 1 with the reason when it fails."""
    try:
        with Polis(systems=systems, **options) as polis:
            test(polis, polis.credentials)
    except Failed as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
    print("ok")

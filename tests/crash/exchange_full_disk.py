#!/usr/bin/env python3
"""The disk is full under a venue that trades: it stops, or goes on without rows, and says so; once there is room again, nothing that anybody was told is
gone (tests/crash/README.md)."""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from exchange_load import Market, replays_to_its_hash  # noqa: E402
from polis import Failed, Polis, check, crash_seed, tell_totals, wait_for  # noqa: E402

SKIPPED = 77
INSIDE = "POLIS_TEST_OWN_MOUNTS"
# Bus, store, keys, and room to trade in. The small disk holds no segment of a journal (256 MiB each, of venue and ledger), so nothing can be reserved
# and the journal is what fails; on the large one the journals have their place, and the rows have none.
SMALL_BYTES, LARGE_BYTES = 128 << 20, 700 << 20


def with_own_mounts():
    """Starts this script anew where it may mount; what is mounted ends with it."""
    if os.environ.get(INSIDE):
        return
    for flags in ("-m", "-rm"):
        with tempfile.TemporaryDirectory() as place:
            probe = subprocess.run(["unshare", flags, "mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False)
        if probe.returncode == 0:
            os.environ[INSIDE] = "1"
            os.execvp("unshare", ["unshare", flags, sys.executable, "-B", *sys.argv])
    print("skipped: nothing can be mounted here")
    sys.exit(SKIPPED)


class SmallDisk:
    """A file system of its own at a directory, and a file that takes what is free of it."""

    def __init__(self, path, size_bytes):
        self.path, self.ballast = path, os.path.join(path, "ballast")
        os.mkdir(path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", path], check=True)

    def fill(self, left_bytes):
        space = os.statvfs(self.path)
        with open(self.ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(space.f_bavail * space.f_frsize - left_bytes, 1))

    def make_room(self):
        os.remove(self.ballast)

    def remove(self):
        subprocess.run(["umount", "--lazy", self.path], check=False)


def health(polis):
    return next(system for system in polis.json("status")["systems"] if system["name"] == "exchange")


def told_as(polis, state):
    now = health(polis)
    return now if now["state"] == state else None


def readiness(polis):
    try:
        return 200, polis.get("/readyz")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def check_stopped(polis, market):
    """The venue says to everybody that it stands, why, and takes nothing."""
    told = wait_for("the venue says that it stands", 60, lambda: told_as(polis, "failed"))
    market.end()
    check("No space left" in told["message"], f"health does not say why: {told}")
    status, body = readiness(polis)
    check(status == 503 and "exchange" in body, f"/readyz answers {status} {body}")
    check(polis.log(1 << 20).count("ERROR the venue has stopped") == 1, "the log does not say once that the venue has stopped")
    polis.command("exchange", "fund", market.brokers[0].account, "USD", "1", status=1)
    check("stopped" in polis.last_error, f"an operator is told: {polis.last_error}")


def check_without_rows(polis, market):
    """The venue trades on; its reports have no rows, which health says."""
    told = wait_for("the venue says that reports have no rows", 60, lambda: told_as(polis, "degraded"))
    check("Reports are not written" in told["message"] and "No space left" in told["message"], f"health says: {told}")
    before = int(polis.json("exchange", "status")["sequence"])
    wait_for("the venue trades on", 20, lambda: int(polis.json("exchange", "status")["sequence"]) > before + 1000)
    market.end()


def start_while_full(polis):
    """It starts, or says why not."""
    try:
        polis.start()
    except Failed as failed:
        check("No space left" in str(failed) or "full" in str(failed), f"a start on a full disk ends without saying why: {failed}")
        return False
    polis.stop(60)
    return True


def one_round(threads, ack, large, seed, totals):
    directory = tempfile.mkdtemp(prefix="polis-test-")
    disk = SmallDisk(os.path.join(directory, "data"), LARGE_BYTES if large else SMALL_BYTES)
    polis = Polis(systems=("exchange", "ledger"), settings=[f"exchange.threads={threads}", f"exchange.ack={ack}"], directory=directory)
    chance = random.Random(f"{seed}-full")
    market = Market(seed)
    try:
        polis.start()
        market.define(polis)
        market.log_on(polis.port("exchange.fix"))
        market.begin()
        time.sleep(chance.uniform(0.1, 0.5))  # something is there before
        disk.fill(chance.randint(0, 2 << 20))
        (check_without_rows if large else check_stopped)(polis, market)
        polis.stop(60)
        if not large:
            totals["started while full"] += start_while_full(polis)
        disk.make_room()
        polis.start()
        check(health(polis)["state"] == "healthy", f"with room again: {health(polis)}")
        market.log_on(polis.port("exchange.fix"))
        market.settle()
        market.compare(polis)
        totals["steps"] += replays_to_its_hash(polis)
        for kind, count in market.totals().items():
            totals[kind] = totals.get(kind, 0) + count
        for broker in market.brokers:
            broker.close()
        polis.stop(60)
        totals["rounds"] += 1
    except BaseException:
        print(f"{threads}, ack={ack}, {'large' if large else 'small'} disk, seed {seed}")
        print(polis.log(5000) if os.path.exists(polis.log_path) else "")
        raise
    finally:
        if polis.process is not None:
            polis.kill()
        disk.remove()
        shutil.rmtree(directory, ignore_errors=True)


def main():
    with_own_mounts()
    seed = crash_seed()
    count = max(1, int(os.environ.get("POLIS_CRASH_ROUNDS", "6")) // 6)
    totals = {"rounds": 0, "steps": 0, "started while full": 0}
    try:
        for number in range(count):
            for threads, ack, large in (("fused", "disk", False), ("split", "bus", False), ("split", "disk", True)):
                one_round(threads, ack, large, seed + number, totals)
    except Failed as failure:
        print(f"FAILED (POLIS_CRASH_SEED={seed}): {failure}", flush=True)
        os._exit(1)
    tell_totals("crash.exchange_full_disk",
                f"{totals['rounds']} full disks, {totals['started while full']} starts on one; {totals['orders']} requests, {totals['reports']} reports, "
                f"{totals['resent']} requests sent again and {totals['gone']} never received; nothing told is lost, {totals['steps']} steps replayed; seed {seed}")
    os._exit(0)


main()

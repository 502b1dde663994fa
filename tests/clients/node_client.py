"""Installs the locked npm packages once (build/node-clients) and runs one script of node/ against a fresh polis."""
import filecmp
import json
import os
import shutil
import subprocess
import fcntl

from client import Client, run
from polis import ROOT

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(ROOT, "build/node-clients")


def install():
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two scripts may start together
        stamp, wanted = os.path.join(FOLDER, "installed.json"), os.path.join(HERE, "node/package-lock.json")
        if os.path.exists(stamp) and filecmp.cmp(stamp, wanted, shallow=False):
            return
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(HERE, "node", name), FOLDER)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], cwd=FOLDER, check=True, timeout=300)
        shutil.copy(wanted, stamp)


def run_script(name):
    install()
    # Modules are found from where the script lies.
    script = shutil.copy(os.path.join(HERE, "node", name), FOLDER)

    def test(polis, root):
        client = Client(polis, {"NODE_EXTRA_CA_CERTS": os.path.join(polis.data, "keys/object-tls-certificate.pem"), "S3_SETTINGS": json.dumps({
            "host": "127.0.0.1", "port": polis.port("object.s3"), "tls_port": polis.port("object.s3_tls"),
            "access_key": root["access_key"], "secret_key": root["secret_key"]})})
        client.run("node", script, limit_s=180)

    run(test)

"""Node's Kafka packages: lz4 and @confluentinc/kafka-javascript hold C++, which is compiled once per lock file."""
import filecmp
import fcntl
import glob
import json
import os
import shutil
import subprocess

from client import Client, Failed
from node_client import FOLDER, HERE, install
from polis import ROOT
from stream_client import brokers, run_stream

CONFLUENT = os.path.join(ROOT, "build/node-confluent")
RUNTIME = os.path.join(ROOT, "build/node-runtime")


def build_environment():
    """What a package's C++ is compiled with: the compiler that polis is built with, the headers beside the node that runs."""
    node = os.path.realpath(shutil.which("node"))
    prefix = os.path.dirname(os.path.dirname(node))
    environment = {**os.environ, "CC": "clang-19", "CXX": "clang++-19", "npm_config_build_from_source": "true"}
    if os.path.exists(os.path.join(prefix, "include/node/node.h")):
        environment["npm_config_nodedir"] = prefix
    return environment


def npm(folder, *words, environment=None, limit_s=900):
    done = subprocess.run(["npm", *words, "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit_s, check=False)
    if done.returncode:
        raise Failed(f"npm {' '.join(words)} in {folder} ended with {done.returncode}\n{done.stdout[-3000:]}")


def install_lz4():
    install()
    with open(os.path.join(FOLDER, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The package brings a build for another system along, so that a file that is there says nothing.
        stamp = os.path.join(FOLDER, "node_modules/lz4/build/built-here")
        if not os.path.exists(stamp):
            npm(FOLDER, "rebuild", "lz4", environment=build_environment())
            open(stamp, "w", encoding="utf-8").close()


def build_confluent(may_build):
    """The folder where the package is built, or None."""
    source = os.path.join(HERE, "node_confluent")
    wanted, stamp = os.path.join(source, "package-lock.json"), os.path.join(CONFLUENT, "built.json")
    os.makedirs(CONFLUENT, exist_ok=True)
    with open(os.path.join(CONFLUENT, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(stamp) and filecmp.cmp(stamp, wanted, shallow=False):
            return CONFLUENT
        if not may_build:
            return None
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(source, name), CONFLUENT)
        npm(CONFLUENT, "ci", "--ignore-scripts")
        # The package calls `make -j` without a number: hundreds of compilers at once. This make, first in PATH, gives it one.
        bin_folder = os.path.join(CONFLUENT, "bin")
        os.makedirs(bin_folder, exist_ok=True)
        with open(os.path.join(bin_folder, "make"), "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nfor a; do shift; [ "$a" = -j ] && a=-j{os.cpu_count()}; set -- "$@" "$a"; done\nexec {shutil.which("make")} "$@"\n')
            os.fchmod(file.fileno(), 0o755)
        # Shared: with the libraries of the system, where "static" would fetch their sources.
        environment = {**build_environment(), "CKJS_LINKING": "dynamic", "PATH": f"{bin_folder}:{os.environ['PATH']}"}
        npm(CONFLUENT, "rebuild", "@confluentinc/kafka-javascript", environment=environment)
        shutil.copy(wanted, stamp)
    return CONFLUENT


def newer_node(version):
    """A node of at least that version: the machine's own, or one that npm brings."""
    own = shutil.which("node")
    said = subprocess.run([own, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.strip().lstrip("v").split(".")[0]) >= version:
        return own
    source = os.path.join(HERE, "node_runtime")
    wanted, stamp = os.path.join(source, "package-lock.json"), os.path.join(RUNTIME, "installed.json")
    os.makedirs(RUNTIME, exist_ok=True)
    with open(os.path.join(RUNTIME, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (os.path.exists(stamp) and filecmp.cmp(stamp, wanted, shallow=False)):
            for name in ("package.json", "package-lock.json"):
                shutil.copy(os.path.join(source, name), RUNTIME)
            npm(RUNTIME, "ci", "--ignore-scripts")
            shutil.copy(wanted, stamp)
    found = glob.glob(os.path.join(RUNTIME, "node_modules/node-linux-*/bin/node"))
    if not found:
        raise Failed(f"npm brought no node for this machine into {RUNTIME}")
    return found[0]


def run_stream_script(name, folder=None, source="node", node="node", **options):
    if folder is None:
        install_lz4()
        folder = FOLDER
    # Modules are found from where the script lies.
    script = shutil.copy(os.path.join(HERE, source, name), folder)

    def test(polis):
        Client(polis, {"STREAM_SETTINGS": json.dumps({"broker": brokers(polis)})}).run(node, script, limit_s=300)

    run_stream(test, **options)

#!/usr/bin/env python3
"""openssl alone checks what the ledger signed: the head of its chain, and three proofs that a transfer is under it. A changed byte
is found, wherever it is."""
import json
import os
import shutil
import subprocess

from client import Client, Failed, Polis, check
from polis import BINARY

COUNT = 300


def book(polis):
    """Books of several commands, small and large; returns three transfers: in the first, in a large one, in the last."""
    polis.command("ledger", "ledger", "add", "1", "EUR")
    for name in ("alice", "bob"):
        polis.command("ledger", "account", "add", name, "--ledger", "1")

    def post(reference, count):
        postings = [{"from": "alice", "to": "bob", "amount": str(i + 1), "asset": "EUR"} for i in range(count)]
        transaction = polis.api("POST", "/api/ledger/v1/transactions", {"reference": reference, "postings": postings})["id"]
        transfers = polis.api("GET", "/api/ledger/v1/accounts/alice/transfers?limit=1000")["transfers"]
        return [transfer for transfer in transfers if transfer["user_data_128"] == transaction]
    first = post("first", 1)[0]
    among_many = post("many", COUNT)[COUNT * 2 // 3]
    for i in range(20):
        post(f"order {i}", 1 + i % 3)
    return [first, among_many, post("last", 1)[0]]


def openssl_checks(client, folder):
    """The steps of README.txt one by one, without check.sh: each file holds the digest of the one before."""
    def digest(path):
        return client.run("openssl", "dgst", "-sha256", "-r", path).split(" ")[0]

    def content(name):
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()
    client.run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", f"{folder}/ledger.pub.pem", "-rawin", "-in", f"{folder}/head.txt",
               "-sigfile", f"{folder}/head.sig")
    last = digest(f"{folder}/leaf.bin")
    for node in sorted(name for name in os.listdir(folder) if name.startswith("node-")):
        check(last in (content(node)[1:33].hex(), content(node)[33:].hex()), f"{node} holds the digest before it")
        last = digest(f"{folder}/{node}")
    links = content("links.bin")
    for i in range(0, len(links), 86):
        check(links[i + (54 if i == 0 else 1):][:32].hex() == last, f"link {i // 86} holds the digest before it")
        with open(client.path("link"), "wb") as file:
            file.write(links[i:i + 86])
        last = digest(client.path("link"))
    check(f"\nhead {last}\n" in content("head.txt").decode(), "the last digest is the head that was signed")


def proof_of(polis, client, transfer, name):
    folder = client.path(name)
    polis.command("ledger", "prove", transfer["id"], "--out", folder)
    check("ok: " in client.run("sh", f"{folder}/check.sh"), "check.sh agrees")
    openssl_checks(client, folder)
    # The leaf is the very transfer: its id, accounts and amount, little endian.
    with open(f"{folder}/leaf.bin", "rb") as file:
        leaf = file.read()
    fields = [int.from_bytes(leaf[at:at + 16], "little") for at in (1, 17, 33, 49)]
    expected = [int(transfer[key]) for key in ("id", "debit_account_id", "credit_account_id", "amount")]
    check(fields == expected and leaf[129:] == b"\xff" * 4, f"the leaf says {fields}, the transfer is {expected}")
    return folder


def changed_bytes_are_found(polis, client, folder):
    for name in sorted(os.listdir(folder)):
        if name in ("README.txt", "check.sh", "proof.json"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            original = file.read()
        for at in (0, len(original) // 2, len(original) - 2):
            if name == "ledger.pub.pem" and at != len(original) // 2:
                continue  # the frame of a PEM says nothing
            other = client.path("changed")
            shutil.rmtree(other, ignore_errors=True)
            shutil.copytree(folder, other)
            with open(os.path.join(other, name), "wb") as file:
                file.write(original[:at] + bytes([original[at] ^ 1]) + original[at + 1:])
            client.run("sh", f"{other}/check.sh", status="fails")
    with open(f"{folder}/proof.json", encoding="utf-8") as file:
        proof = json.load(file)
    polis.command("ledger", "prove", "--check", f"{folder}/proof.json")
    for change in ({"status": 1}, {"index": proof["index"] + 1}, {"record": "00" + proof["record"][2:]}, {"path": proof["path"][1:]},
                   {"links": proof["links"][:-1]}, {"previous": "11" * 32}):
        path = client.path("changed.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**proof, **change}, file)
        done = subprocess.run([BINARY, "ledger", "prove", "--check", path, "--data", polis.data],
                              capture_output=True, text=True, timeout=60, check=False)
        check(done.returncode != 0, f"a proof with another {list(change)[0]} is refused")


def heads_are_one_history(polis, client, early):
    """An early head and a late one are joined by links, which openssl hashes."""
    late = polis.api("GET", "/api/ledger/v1/chain/head")
    answer = polis.api("GET", f"/api/ledger/v1/chain/consistency?from={early['op']}&to={late['op']}")
    head = bytes.fromhex(early["head"])
    for link in answer["links"]:
        message = (b"\x02" + head + int(link["op"]).to_bytes(8, "little") + int(link["timestamp"]).to_bytes(8, "little") +
                   bytes([link["operation"]]) + link["count"].to_bytes(4, "little") + bytes.fromhex(link["root"]))
        with open(client.path("link"), "wb") as file:
            file.write(message)
        head = bytes.fromhex(client.run("openssl", "dgst", "-sha256", "-r", client.path("link")).split(" ")[0])
    check(answer["links"] and head.hex() == late["head"], "the early head leads to the late one")


def test(polis):
    client = Client(polis)
    book_before = polis.api("GET", "/api/ledger/v1/chain/head")
    transfers = book(polis)
    folders = [proof_of(polis, client, transfer, f"proof{i}") for i, transfer in enumerate(transfers)]
    with open(f"{folders[0]}/ledger.pub.pem", encoding="ascii") as file:
        check(file.read().strip() == polis.command("ledger", "head", "--key").strip(), "the key is the one that the ledger shows")
    changed_bytes_are_found(polis, client, folders[1])
    heads_are_one_history(polis, client, book_before)
    # A restart keeps the key and the history: the old proof stands, a new one ends in the same chain.
    polis.stop()
    polis.start()
    client.run("sh", f"{folders[2]}/check.sh")
    again = proof_of(polis, client, transfers[0], "again")
    with open(f"{again}/ledger.pub.pem", "rb") as new, open(f"{folders[0]}/ledger.pub.pem", "rb") as old:
        check(new.read() == old.read(), "the key is kept")


def main():
    try:
        with Polis(systems=("ledger",)) as polis:
            test(polis)
    except Failed as failure:
        print(f"FAILED: {failure}")
        raise SystemExit(1) from None
    print("ok")


if __name__ == "__main__":
    main()

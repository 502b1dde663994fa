#!/usr/bin/env python3
"""Users, keys, tokens, policies, plans and the API behind them, as people and scripts use them."""
import base64
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import BINARY, Failed, Polis, check  # noqa: E402
from s3 import S3, S3Error  # noqa: E402


def http(polis, method, path, body=None, headers=None, status=200):
    request = urllib.request.Request(polis.main_url + path, method=method, headers=headers or {},
                                     data=None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            got, text, fields = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        got, text, fields = error.code, error.read(), error.headers
    check(got == status, f"{method} {path}: {got}, not {status}: {text[:300]}")
    return json.loads(text) if text[:1] in (b"{", b"[") else text, fields


def commands_and_plans(polis):
    status = polis.json("status")
    check(any(s["name"] == "object" and s["state"] == "healthy" for s in status["systems"]), f"status: {status}")
    check("object" in polis.command("status"), "status for people")
    check(any(o["name"] == "main.listen" for o in polis.json("config", "show")), "config show")

    polis.command("user", "add", "ann", "--password-stdin", input_text="a long password\n")
    check("ann" in polis.command("user", "list"), "the new user is listed")
    check("kExists" in polis.command("user", "add", "ann", status=1) or "ann" in polis.last_error, f"twice: {polis.last_error}")
    key = polis.json("key", "add", "--user", "ann")
    s3 = S3("127.0.0.1", polis.port("object.s3"), key["access_key"], key["secret_key"])
    try:
        s3.make_bucket("denied")
        raise Failed("a user without a policy made a bucket")
    except S3Error as error:
        check(error.code == "AccessDenied", f"{error}")
    polis.command("policy", "attach", "AmazonS3FullAccess", "ann")
    s3.make_bucket("allowed")

    # A destructive command alone does nothing but show its plan.
    plan = polis.json("user", "remove", "ann")
    check(any("ann" in line for line in plan["touches"]) and plan["touched_count"] == 2, f"the plan: {plan}")
    check("ann" in polis.command("user", "list"), "nothing was done yet")
    polis.command("apply", plan["id"])
    check("ann" not in polis.command("user", "list"), "the plan was applied")
    polis.command("apply", plan["id"], status=1)
    check("no open plan" in polis.last_error, f"a plan is good once: {polis.last_error}")
    try:
        s3.list("allowed")
        raise Failed("a removed user's key still works")
    except S3Error as error:
        check(error.status == 403, f"{error}")
    polis.command("user", "add", "bob")
    polis.command("user", "remove", "bob", "--yes")
    check("bob" not in polis.command("user", "list"), "--yes applies at once")


def mistakes_say_what_to_do(polis):
    polis.command("stauts", status=2)
    check("Did you mean 'status'?" in polis.last_error, polis.last_error)
    polis.command("user", "show", "nobody", status=1)
    check("nobody" in polis.last_error, polis.last_error)
    error = json.loads(polis.command("user", "show", "nobody", "--json", status=1))
    check(error["error"]["code"] == "not found", f"{error}")
    nowhere = subprocess.run([BINARY, "status", "--data", "/nonexistent/place"], capture_output=True, text=True, timeout=20, check=False)
    check(nowhere.returncode == 1 and "polis up --data /nonexistent/place" in nowhere.stderr, nowhere.stderr)


def completion_works_in_bash(_):
    script = subprocess.run([BINARY, "completion", "bash"], capture_output=True, text=True, timeout=20, check=True).stdout
    ask = script + '\nCOMP_WORDS=(polis user ""); COMP_CWORD=2; _polis; printf "%s " "${COMPREPLY[@]}"\n' \
                   'COMP_WORDS=(polis st); COMP_CWORD=1; _polis; printf "%s " "${COMPREPLY[@]}"\n'
    offered = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=20, check=True).stdout.split()
    check({"add", "list", "remove", "status"} <= set(offered), f"offered {offered}")


def sign_in_over_http(polis):
    root = polis.credentials
    http(polis, "GET", "/api/polis/v1/status", status=401)
    http(polis, "POST", "/api/auth/v1/session", {"user": "root", "password": "wrong password"}, status=401)
    http(polis, "POST", "/api/auth/v1/session", {"user": "root"}, status=400)
    session, fields = http(polis, "POST", "/api/auth/v1/session", {"user": root["user"], "password": root["password"]})
    cookie = fields["Set-Cookie"].split(";")[0]
    check("HttpOnly" in fields["Set-Cookie"] and "SameSite=Strict" in fields["Set-Cookie"], "the cookie is guarded")
    http(polis, "GET", "/api/polis/v1/status", headers={"Cookie": cookie})
    http(polis, "POST", "/api/auth/v1/users", {"name": "eve"}, headers={"Cookie": cookie, "Origin": "https://elsewhere.example"}, status=403)
    bearer = {"Authorization": "Bearer " + session["token"]}
    http(polis, "GET", "/api/auth/v1/session", headers=bearer)
    http(polis, "DELETE", "/api/auth/v1/session", headers=bearer)
    http(polis, "GET", "/api/polis/v1/status", headers=bearer, status=401)

    token = polis.json("token", "add", "ci", "--lifetime", "1h")["token"]
    http(polis, "GET", "/api/polis/v1/status", headers={"Authorization": "Bearer " + token})
    remote = subprocess.run([BINARY, "status", "--json", "--url", polis.main_url, "--token", token], capture_output=True, text=True, timeout=20, check=False)
    check(remote.returncode == 0 and json.loads(remote.stdout)["systems"], f"over --url: {remote.stdout}{remote.stderr}")
    wrong = subprocess.run([BINARY, "status", "--url", polis.main_url, "--token", "nonsense"], capture_output=True, text=True, timeout=20, check=False)
    check(wrong.returncode == 1, "a wrong token is refused")
    check(http(polis, "GET", "/api/polis/v1/nowhere", headers={"Authorization": "Bearer " + token}, status=404), "an unknown path")
    check(any(r["action"].startswith("auth:") for r in polis.json("audit")["records"]), "what happened is in the audit trail")


class LiveSocket:
    """The few parts of RFC 6455 that a test needs."""

    def __init__(self, polis, token):
        self.socket = socket.create_connection(("127.0.0.1", polis.port("main")), timeout=20)
        self.socket.sendall((f"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
                             f"Authorization: Bearer {token}\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = self.file.readline().decode()
        while self.file.readline() not in (b"\r\n", b""):
            pass

    def send(self, message):
        data = json.dumps(message).encode()
        mask = os.urandom(4)
        head = bytes([0x81, 0x80 | len(data)]) if len(data) < 126 else bytes([0x81, 0xFE]) + len(data).to_bytes(2, "big")
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        while True:
            first, size = self.file.read(2)
            size = {126: lambda: int.from_bytes(self.file.read(2), "big"), 127: lambda: int.from_bytes(self.file.read(8), "big")}.get(size, lambda: size)()
            data = self.file.read(size)
            if first & 15 == 1:
                return json.loads(data)
            check(first & 15 == 9, f"frame {first:x}")

    def close(self):
        self.file.close()
        self.socket.close()


def live_topics(polis):
    token = polis.json("token", "add", "live")["token"]
    live = LiveSocket(polis, token)
    check("101" in live.status, live.status)
    live.send({"op": "subscribe", "topic": "polis.home"})
    first = live.receive()
    check(first["op"] == "snapshot" and first["seq"] == 1 and first["value"]["systems"]["object"]["state"] == "healthy", f"{first}")
    polis.get("/healthz")  # moves a counter
    second = live.receive()
    check(second["op"] == "delta" and second["seq"] == 2 and "polis_http_requests" in json.dumps(second["patch"]), f"{second}")
    live.send({"op": "ack", "topic": "polis.home", "seq": 2})
    live.send({"op": "subscribe", "topic": "no.such"})
    answers = [live.receive() for _ in range(2)]
    check(any(a["op"] == "error" and a["code"] == "not found" for a in answers), f"{answers}")
    live.send({"op": "dance", "topic": "polis.home"})
    answers = [live.receive() for _ in range(2)]
    check(any(a["op"] == "error" and a["code"] == "invalid" for a in answers), f"{answers}")
    live.close()
    refused = LiveSocket(polis, "nonsense")
    check("401" in refused.status, refused.status)
    refused.close()


def main():
    with Polis() as polis:
        for test in (commands_and_plans, mistakes_say_what_to_do, completion_works_in_bash, sign_in_over_http, live_topics):
            test(polis)
            print(f"ok {test.__name__}")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

#!/usr/bin/env python3
"""The ledger's JSON face with nothing but Python's http.client: every endpoint, bad input, rights, races, and kill -9."""
import http.client
import json
import random
import sys
import threading
import time
import urllib.parse

from client import Failed, Polis, check

SYSTEMS = ("object", "ledger")


class Http:
    """One client with one token (None: nobody). Keeps its connection."""

    def __init__(self, polis, token=None, base="/ledger/v1"):
        self.port, self.token, self.base, self.connection = polis.port("main"), token, base, None

    def ask(self, method, path, body=None, headers=None, raw=None):
        """(status, JSON or text, headers)"""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        fields = {"Content-Type": "application/json", **(headers or {})}
        if self.token:
            fields["Authorization"] = "Bearer " + self.token
        content = raw if raw is not None else None if body is None else json.dumps(body)
        try:
            self.connection.request(method, self.base + path, content, fields)
            answer = self.connection.getresponse()
            text = answer.read().decode()
        except (http.client.HTTPException, OSError):
            self.connection.close()
            self.connection = None
            raise
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(text) if "json" in kind else text, answer.headers

    def expect(self, status, method, path, body=None, headers=None, raw=None):
        got, document, fields = self.ask(method, path, body, headers, raw)
        check(got == status, f"{method} {path} {str(body)[:300]}: {got}, not {status}: {str(document)[:500]}")
        if status >= 400:
            check(fields["Content-Type"] == "application/problem+json", f"{path}: {fields['Content-Type']}")
            check(document["status"] == status and document["detail"], f"{path}: {document}")
        self.fields = fields
        return document

    def balance(self, account, **query):
        suffix = "?" + urllib.parse.urlencode(query) if query else ""
        return int(self.expect(200, "GET", f"/accounts/{urllib.parse.quote(account, safe='')}{suffix}")["balance"])

    def pay(self, status, reference, source, target, amount, **more):
        return self.expect(status, "POST", "/transactions", {
            "reference": reference, "postings": [{"from": source, "to": target, "amount": str(amount)}], **more})


def token_of(polis, user):
    return polis.api("POST", f"/api/auth/v1/users/{user}/tokens", {"name": "test", "scopes": []})["token"]


def nobody(polis):
    """Nothing is open to who has not proved who he is: on no path, by no method, below neither prefix."""
    for base in ("/ledger/v1", "/api/ledger/v1"):
        anonymous = Http(polis, base=base)
        for method, path in (("GET", "/ledgers"), ("GET", "/accounts"), ("GET", "/accounts/1"), ("GET", "/chain/head"), ("GET", "/chain/key"),
                             ("GET", "/trial-balance"), ("GET", "/events"), ("GET", "/export?format=csv"), ("GET", "/statements?account=1"),
                             ("GET", "/statistics"), ("GET", "/transfers"), ("GET", "/transactions"), ("GET", "/verify"),
                             ("POST", "/ledgers"), ("POST", "/accounts"), ("POST", "/transactions"), ("POST", "/verify"), ("POST", "/import"),
                             ("POST", "/transactions/1/post"), ("PATCH", "/accounts/1/meta")):
            anonymous.expect(401, method, path, {} if method != "GET" else None)
        Http(polis, "not-a-token", base).expect(401, "GET", "/ledgers")


def open_books(root):
    check(root.expect(201, "POST", "/ledgers", {"id": 1, "asset": "USD", "scale": 2})["asset"] == "USD", "the ledger")
    root.expect(200, "POST", "/ledgers", {"id": 1, "asset": "USD", "scale": 2})
    root.expect(409, "POST", "/ledgers", {"id": 1, "asset": "USD", "scale": 3})
    root.expect(201, "POST", "/ledgers", {"id": 2, "asset": "JPY", "scale": 0})
    check([one["id"] for one in root.expect(200, "GET", "/ledgers")["ledgers"]] == [1, 2], "two ledgers")
    for name, ledger, kind, limit in (("bank", 1, "asset", "none"), ("alice", 1, "liability", "debits_must_not_exceed_credits"),
                                      ("bob", 1, "liability", "debits_must_not_exceed_credits"), ("pool:usd", 1, "liability", "none"),
                                      ("bank:jpy", 2, "asset", "none"), ("pool:jpy", 2, "liability", "debits_must_not_exceed_credits"),
                                      ("shop:jpy", 2, "liability", "none")):
        made = root.expect(201, "POST", "/accounts", {"name": name, "ledger": ledger, "type": kind, "limit": limit, "history": name == "alice"})
        check(made["version"] == 1 and root.fields["ETag"] == '"1"', f"{made}")
        check(root.expect(200, "POST", "/accounts", {"name": name, "ledger": ledger, "type": kind, "limit": limit,
                                                     "history": name == "alice"})["id"] == made["id"], "made once")
    root.expect(409, "POST", "/accounts", {"name": "bank", "ledger": 2, "type": "asset"})
    root.expect(404, "POST", "/accounts", {"name": "lost", "ledger": 77})
    named = root.expect(200, "GET", "/accounts?name_prefix=pool")["accounts"]
    check([one["name"] for one in named] == ["pool:jpy", "pool:usd"], f"by prefix: {named}")
    check(len(root.expect(200, "GET", "/accounts?ledger=2&type=asset")["accounts"]) == 1, "by ledger and type")
    seen, cursor = [], ""
    while True:
        page = root.expect(200, "GET", f"/accounts?limit=2&cursor={cursor}")
        seen += [one["id"] for one in page["accounts"]]
        cursor = page.get("next")
        if not cursor:
            break
    check(len(seen) == len(set(seen)) == 7, f"pages: {seen}")


def book(root):
    first = root.pay(201, "deposit", "bank", "alice", 50000)
    check(root.fields["Location"] == f"/ledger/v1/transactions/{first['id']}", "where it is")
    again = root.pay(200, "deposit", "bank", "alice", 50000)
    check(again["id"] == first["id"] and root.fields["Idempotent-Replayed"] == "true", "a replay says so")
    check(root.balance("alice") == 50000, "booked once")
    root.pay(409, "deposit", "bank", "alice", 50001)
    shown = root.expect(200, "GET", f"/transactions/{first['id']}")
    check(shown["transfers"][0]["amount_decimal"] == "500.00" and shown["state"] == "booked", f"{shown}")
    check(root.expect(200, "GET", "/transactions?reference=deposit")["transactions"][0]["id"] == first["id"], "by reference")

    refused = root.pay(422, "too much", "alice", "bob", 50001)
    check(refused["code"] == "exceeds_credits" and refused["posting"] == 0, f"{refused}")
    check(root.pay(422, "too much", "alice", "bob", 50001) == refused, "the same answer again")
    check(root.pay(422, "nobody", "alice", "carl", 1)["code"] == "credit_account_not_found", "which account")
    root.pay(201, "nobody", "alice", "bob", 100)  # what never reached the books left its reference free

    # A 200 USD watch and its reversal; a key of its own.
    sale = root.expect(201, "POST", "/transactions", {"postings": [{"from": "alice", "to": "bob", "amount_decimal": "200.00", "asset": "USD"}],
                                                      "metadata": {"item": "watch"}}, {"Idempotency-Key": "sale-1"})
    check(sale["metadata"] == {"item": "watch"} and root.balance("bob") == 20100, f"{sale}")
    root.expect(409, "POST", "/transactions", {"postings": [{"from": "alice", "to": "bob", "amount": "1"}]}, {"Idempotency-Key": "sale-1"})
    back = root.expect(201, "POST", f"/transactions/{sale['id']}/reverse", {})
    check(back["of"] == sale["id"] and root.balance("bob") == 100, f"{back}")
    root.expect(200, "POST", f"/transactions/{sale['id']}/reverse", {})
    root.expect(409, "POST", f"/transactions/{sale['id']}/reverse", {}, {"Idempotency-Key": "once more"})

    # Two phases: reserve, post in part, and what is left is free again.
    hold = root.pay(201, "hold", "alice", "bob", 1000, pending=True, timeout=3600)
    check(hold["pending_state"] == "pending", f"{hold}")
    check(root.expect(200, "GET", "/accounts/alice")["debits_pending"] == "1000", "reserved")
    root.expect(400, "POST", f"/transactions/{hold['id']}/post", {"amount": "1001"})
    root.expect(400, "POST", f"/transactions/{hold['id']}/void", {"amount": "1"})
    root.expect(201, "POST", f"/transactions/{hold['id']}/post", {"amount": "600"})
    root.expect(200, "POST", f"/transactions/{hold['id']}/post", {"amount": "600"})
    late = root.expect(422, "POST", f"/transactions/{hold['id']}/void", {})
    check(late["code"] == "pending_transfer_already_posted", f"{late}")
    check(root.expect(200, "GET", f"/transactions/{hold['id']}")["pending_state"] == "posted", "posted")
    hold = root.pay(201, "hold 2", "alice", "bob", 1000, pending=True)
    root.expect(201, "POST", f"/transactions/{hold['id']}/void", {})
    check(root.balance("bob") == 700 and root.expect(200, "GET", "/accounts/alice")["debits_pending"] == "0", "released")
    root.expect(409, "POST", f"/transactions/{first['id']}/post", {})

    # A currency sale: both sides or none.
    root.pay(201, "float", "bank:jpy", "pool:jpy", 15000)
    fx = {"postings": [{"from": "alice", "to": "pool:usd", "amount": "10000", "asset": "USD"},
                       {"from": "pool:jpy", "to": "shop:jpy", "amount": "15000", "asset": "JPY"}]}
    check(root.expect(201, "POST", "/transactions", {**fx, "reference": "fx 1"})["ledgers"] == [1, 2], "two ledgers")
    before = root.balance("alice")
    second = root.expect(422, "POST", "/transactions", {**fx, "reference": "fx 2"})
    check(second["posting"] == 1 and root.balance("alice") == before, "the dollars did not move either")

    # One transaction of as many postings as a command holds.
    many = {"reference": "many", "postings": [{"from": "bank", "to": "pool:usd", "amount": "1"} for _ in range(8189)]}
    check(root.expect(201, "POST", "/transactions", many)["count"] == 8189, "8,189 postings")
    many["postings"].append(many["postings"][0])
    root.expect(413, "POST", "/transactions", {**many, "reference": "more"})
    waited = root.expect(200, "GET", "/accounts/pool:usd/transfers?limit=3&order=oldest")
    check(len(waited["transfers"]) == 3 and waited["next"], f"{waited}")


def bad_input(root):
    posting = {"from": "bank", "to": "alice", "amount": "1"}
    for body in ({}, {"reference": "x"}, {"reference": "x", "postings": []}, {"reference": "x", "postings": [1]},
                 {"postings": [posting]}, {"reference": "x", "postings": [{**posting, "amount": 1}]},
                 {"reference": "x", "postings": [{**posting, "amount": "-1"}]}, {"reference": "x", "postings": [{**posting, "amount": "1.0"}]},
                 {"reference": "x", "postings": [{**posting, "amount": "0"}]}, {"reference": "x", "postings": [{"from": "bank", "amount": "1"}]},
                 {"reference": "x", "postings": [{**posting, "amount": str(1 << 128)}]}, {"reference": "x", "postings": [{**posting, "extra": 1}]},
                 {"reference": "x", "postings": [posting], "timeout": 5}, {"reference": "x" * 257, "postings": [posting]},
                 {"reference": "x", "postings": [posting], "metadata": 7}):
        root.expect(400, "POST", "/transactions", body)
    for raw in ("", "{", "[]", "null", "\x00", "{\"reference\":\"\xff\"}", "[" * 5000, "{} {}"):
        root.expect(400, "POST", "/transactions", raw=raw.encode("latin-1"))
    for key in ("k" * 257, "\x7f"):
        root.expect(400, "POST", "/transactions", {"postings": [posting]}, {"Idempotency-Key": key})
    root.expect(413, "POST", "/transactions", raw=b"{\"a\":\"" + b"x" * (5 << 20) + b"\"}")
    for path in ("/accounts/nobody", "/accounts/123", "/accounts/%00", "/accounts/..%2f", "/transactions/7", "/transactions/x", "/transfers/9",
                 "/transactions?reference=none", "/nothing", "/accounts/alice/nothing", "/chain/proof?transfer=12345"):
        root.expect(404, "GET", path)
    for path in ("/accounts?limit=0", "/accounts?limit=1001", "/accounts?limit=x", "/accounts?type=gold", "/accounts?cursor=%ff", "/accounts?code=70000",
                 "/accounts/alice?at=yesterday", "/accounts/alice?at=op:x", "/accounts/alice?from=memory", "/accounts/alice?at=-1",
                 "/accounts/alice/transfers?side=left", "/transactions?cursor=zz", "/transfers?amount_min=x", "/transfers?account=%zz",
                 "/chain/proof", "/chain/proof?transfer=x", "/chain/consistency?from=9&to=3", "/chain/consistency?from=x",
                 "/statements", "/statements?account=alice&format=pdf", "/export", "/export?format=xls", "/export?format=csv&what=all",
                 "/events?after=x", "/accounts/alice?at=%zz"):
        root.expect(400, "GET", path)
    root.expect(416, "GET", "/accounts/alice?at=op:999999999")
    root.expect(409, "GET", "/accounts/bob/balances")
    for method, path in (("DELETE", "/accounts/alice"), ("PUT", "/ledgers"), ("POST", "/trial-balance")):
        check(root.ask(method, path)[0] in (404, 405), f"{method} {path}")
    for body in ({"id": 0, "asset": "X", "scale": 0}, {"id": 3, "asset": "", "scale": 0}, {"id": 3, "asset": "X", "scale": 99}, {"id": 3}, []):
        root.expect(400, "POST", "/ledgers", body)
    check(root.expect(200, "GET", "/trial-balance")["balanced"], "after all that the books balance")


def metadata(polis, root, token):
    root.expect(428, "PATCH", "/accounts/bob/meta", {"owner": "x"})
    for tag in ("*", "x", "\"\"", "1, 2"):
        root.expect(400, "PATCH", "/accounts/bob/meta", {"owner": "x"}, {"If-Match": tag})
    root.expect(412, "PATCH", "/accounts/bob/meta", {"owner": "x"}, {"If-Match": '"7"'})
    root.expect(412, "PATCH", "/accounts/bob/meta", {"owner": "x", "version": 9}, {"If-Match": '"1"'})
    changed = root.expect(200, "PATCH", "/accounts/bob/meta", {"owner": "Bob", "version": 2}, {"If-Match": '"1"'})
    check(changed["version"] == 2 and root.fields["ETag"] == '"2"', f"{changed}")
    root.expect(412, "PATCH", "/accounts/bob/meta", {"owner": "late"}, {"If-Match": '"1"'})
    root.expect(400, "PATCH", "/accounts/bob/meta", {"balance": "1"}, {"If-Match": '"2"'})
    root.expect(409, "PATCH", "/accounts/bob/meta", {"name": "alice"}, {"If-Match": '"2"'})
    check(len(root.expect(200, "GET", "/accounts?owner=Bob")["accounts"]) == 1, "by owner")

    # Writers who read, add one and write: retries on 412, no increment lost.
    lost, failures = [0], []

    def writer():
        mine = Http(polis, token)
        try:
            for _ in range(10):
                while True:
                    read = mine.expect(200, "GET", "/accounts/alice/meta")
                    number = int(read["labels"].get("n", "0")) + 1
                    status, document, _ = mine.ask("PATCH", "/accounts/alice/meta", {"labels": {"n": str(number)}},
                                                   {"If-Match": mine.fields["ETag"]})
                    if status == 200:
                        break
                    check(status == 412, f"{status} {document}")
                    lost[0] += 1
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)

    threads = [threading.Thread(target=writer) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failures, f"{failures}")
    check(root.expect(200, "GET", "/accounts/alice/meta")["labels"]["n"] == "60", "no change is lost")
    print(f"  60 changes by 6 writers, {lost[0]} lost races tried again")


def moments(root):
    """The balance at every op: stored, from history and from the journal agree."""
    ops = root.expect(200, "GET", "/statistics")["ops"]
    for account in ("alice", "bob", "bank", "pool:usd", "shop:jpy"):
        stored = root.balance(account)
        check(root.balance(account, **{"from": "history"}) == stored == root.balance(account, **{"from": "journal"}), account)
        check(root.balance(account, at=f"op:{ops}") == stored, account)
    history = root.expect(200, "GET", "/accounts/alice/balances?order=oldest&limit=1000")["balances"]
    for entry in history:
        then = root.expect(200, "GET", f"/accounts/alice?at={entry['timestamp']}")
        for name in ("debits_posted", "credits_posted", "debits_pending", "credits_pending"):
            check(then[name] == entry[name], f"alice at {entry['at']}: {name} {then[name]} {entry[name]}")
    check(root.balance("alice", at=history[0]["at"]) == 50000, "a time as text")
    return len(history)


def papers(root):
    text = root.expect(200, "GET", "/export?format=ledger")
    check("200.00" in text, text[:300])
    for form in ("hledger", "beancount", "csv"):
        check(len(root.expect(200, "GET", f"/export?format={form}&ledger=1")) > 1000, form)
    check("alice" in root.expect(200, "GET", "/export?what=accounts"), "accounts")
    statement = root.expect(200, "GET", "/statements?account=alice")
    check("alice" in json.dumps(statement), f"{statement}")
    check(":20:" in root.expect(200, "GET", "/statements?account=alice&format=mt940"), "mt940")
    check("camt.053" in root.expect(200, "GET", "/statements?account=alice&format=camt053"), "camt053")
    head = root.expect(200, "GET", "/chain/head")
    check(f"op {head['op']}" in head["text"] and len(head["head"]) == 64, f"{head}")
    check("BEGIN PUBLIC KEY" in root.expect(200, "GET", "/chain/key"), "key")
    links = root.expect(200, "GET", f"/chain/consistency?from=1&to={head['op']}")["links"]
    check(links[-1]["head"] == head["head"] and all(a["head"] == b["previous"] for a, b in zip(links, links[1:])), "one chain")
    transfer = root.expect(200, "GET", "/transactions?reference=deposit")["transactions"][0]["id"]
    transfer = root.expect(200, "GET", f"/transactions/{transfer}")["transfers"][0]["id"]
    check(root.expect(200, "GET", f"/transfers/{transfer}")["amount"] == "50000", "the transfer")
    check(root.expect(200, "GET", f"/chain/proof?transfer={transfer}"), "a proof")
    root.expect(202, "POST", "/verify")
    end = time.monotonic() + 60
    while (state := root.expect(200, "GET", "/verify"))["running"]:
        check(time.monotonic() < end, "verification ends")
        time.sleep(0.02)
    check(state["held"] and state["ops"] > 0, f"{state}")
    mixed = root.expect(200, "GET", "/transfers?ledger=1&amount_min=100&amount_max=1000&order=oldest&account=alice")["transfers"]
    check(mixed and all(100 <= int(one["amount"]) <= 1000 and one["ledger"] == 1 for one in mixed), f"{mixed}")
    # Page by page, in both directions, with a predicate that has no index: what a look at all of them finds.
    every, timestamp = [], 0
    while True:
        page = root.expect(200, "GET", f"/transfers?order=oldest&limit=1000&timestamp_min={timestamp}")
        every += page["transfers"]
        if "next" not in page:
            break
        timestamp = page["next"]
    wanted = [one["id"] for one in every if int(one["amount"]) >= 2]
    check(len(every) > 8189 and 8 < len(wanted) < 100, f"{len(every)} {len(wanted)}")
    for order, bound in (("oldest", "timestamp_min"), ("newest", "timestamp_max")):
        found, cursor = [], ""
        while True:
            page = root.expect(200, "GET", f"/transfers?amount_min=2&order={order}&limit=3{cursor}")
            found += [one["id"] for one in page["transfers"]]
            if "next" not in page:
                break
            cursor = f"&{bound}={page['next']}"
        check(found == (wanted if order == "oldest" else wanted[::-1]), f"{order}: {len(found)} of {len(wanted)}")


def events(polis, root, token):
    """Every change once and in order; a reader that comes back goes on where it stopped."""
    def read(after, count):
        connection = http.client.HTTPConnection("127.0.0.1", polis.port("main"), timeout=30)
        connection.request("GET", "/ledger/v1/events", headers={"Authorization": "Bearer " + token, "Last-Event-ID": str(after)})
        answer = connection.getresponse()
        check(answer.status == 200 and answer.headers["Content-Type"] == "text/event-stream", f"{answer.status}")
        found, number = [], 0
        while len(found) < count:
            line = answer.readline().decode().rstrip("\n")
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                found.append((number, json.loads(line[6:])))
        connection.close()
        return found

    all_of_them = read(0, 12)
    check([one[0] for one in all_of_them] == sorted({one[0] for one in all_of_them}), "ascending")
    check(all_of_them[0][1]["transfer"]["amount"] == "50000", f"{all_of_them[0]}")
    resumed = read(all_of_them[4][0], 7)
    check(resumed == all_of_them[5:], "a resumed stream goes on behind the last event")
    # What is booked now arrives now.
    now = int(root.expect(200, "GET", "/statistics")["timestamp_last"])
    timer = threading.Timer(0.2, lambda: Http(polis, token).pay(201, "for the stream", "bank", "alice", 3))
    timer.start()
    live = read(now, 1)
    timer.join()
    check(live[0][1]["transfer"]["amount"] == "3" and live[0][1]["credit_account"]["credits_posted"], f"{live}")


def rights(polis, root):
    """Policies per ledger: who may read the first may not read the second, nor post to either."""
    polis.api("POST", "/api/auth/v1/users", {"name": "reader", "password": "correct horse battery staple"})
    polis.api("PUT", "/api/auth/v1/policies/reads-one", {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ledger:Read", "Resource": "arn:polis:ledger:::ledger/1"}]})
    polis.api("POST", "/api/auth/v1/users", {"name": "clerk", "password": "correct horse battery staple"})
    polis.api("PUT", "/api/auth/v1/policies/posts-one", {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["ledger:Post", "ledger:Read"], "Resource": "arn:polis:ledger:::ledger/1"}]})
    polis.api("PUT", "/api/auth/v1/users/reader/policies/reads-one")
    polis.api("PUT", "/api/auth/v1/users/clerk/policies/posts-one")
    reader, clerk = Http(polis, token_of(polis, "reader")), Http(polis, token_of(polis, "clerk"))
    check([one["id"] for one in reader.expect(200, "GET", "/ledgers")["ledgers"]] == [1], "only what he may read")
    check(reader.expect(200, "GET", "/accounts/alice")["name"] == "alice", "reads")
    for path in ("/accounts/pool:jpy", "/accounts", "/accounts?ledger=2", "/trial-balance", "/trial-balance?ledger=2", "/events", "/export?format=csv",
                 "/export?format=csv&ledger=1", "/statistics", "/transfers", "/transactions", "/transactions?reference=fx%201", "/chain/head",
                 "/accounts/alice?from=journal", "/statements?account=shop:jpy"):
        reader.expect(403, "GET", path)
    reader.expect(200, "GET", "/trial-balance?ledger=1")
    check(all(2 not in one["ledgers"] for one in reader.expect(200, "GET", "/transactions?ledger=1")["transactions"]), "not what is half another's")
    reader.pay(403, "stolen", "bank", "alice", 1)
    reader.expect(403, "PATCH", "/accounts/alice/meta", {"owner": "me"}, {"If-Match": '"1"'})
    reader.expect(403, "POST", "/ledgers", {"id": 9, "asset": "X", "scale": 0})
    reader.expect(403, "POST", "/accounts", {"name": "mine", "ledger": 1})
    reader.expect(403, "POST", "/verify")
    reader.expect(403, "POST", "/import", raw="a,b\n")
    clerk.pay(201, "by the clerk", "bank", "alice", 1)
    clerk.pay(403, "abroad", "bank:jpy", "pool:jpy", 1)
    clerk.expect(403, "POST", "/transactions", {"reference": "both", "postings": [
        {"from": "bank", "to": "alice", "amount": "1"}, {"from": "bank:jpy", "to": "pool:jpy", "amount": "1"}]})
    sale = root.expect(200, "GET", "/transactions?reference=fx%201")["transactions"][0]["id"]
    clerk.expect(403, "POST", f"/transactions/{sale}/reverse", {})


def move_books(root):
    """The books as CSV into another polis: the same accounts, balances and times."""
    accounts, transfers = root.expect(200, "GET", "/export?what=accounts"), root.expect(200, "GET", "/export?format=csv")
    with Polis(systems=SYSTEMS) as other:
        other.api("POST", "/api/auth/v1/users", {"name": "boss", "password": "correct horse battery staple", "administrator": True})
        there = Http(other, token_of(other, "boss"))
        there.expect(201, "POST", "/ledgers", {"id": 1, "asset": "USD", "scale": 2})
        there.expect(201, "POST", "/ledgers", {"id": 2, "asset": "JPY", "scale": 0})
        done = there.expect(200, "POST", "/import?what=accounts", raw=accounts.encode())
        check(done["refused"] == 0 and done["created"] == done["rows"] > 6, f"{done}")
        done = there.expect(200, "POST", "/import", raw=transfers.encode())
        check(done["refused"] == 0 and done["created"] == done["rows"] > 8189, f"{str(done)[:500]}")
        again = there.expect(200, "POST", "/import", raw=transfers.encode())
        check(again["created"] == 0 and again["existed"] == done["rows"], f"a second run books nothing: {str(again)[:300]}")
        for account in ("alice", "bob", "bank", "pool:usd", "shop:jpy", "pool:jpy"):
            check(there.balance(account) == root.balance(account), account)
        check(there.expect(200, "GET", "/trial-balance")["balanced"], "balanced")


def imports(root):
    accounts = "id,ledger,time,code,name\n901,1,2020-01-01T00:00:00Z,1,old:cash\n902,1,2020-01-01T00:00:01Z,2,old:sales\n"
    done = root.expect(200, "POST", "/import?what=accounts", raw=accounts)
    if done["refused"]:  # imported times lie before everything that is booked: the books are not empty
        check(all("imported" in one["status"] for one in done["refusals"]), f"{done}")
    for raw in ("", "id\n1\n", "from,to\n\"a", "debit_account,credit_account,amount_minor,timestamp\nx,y,z,w\n"):
        root.expect(400, "POST", "/import", raw=raw)


def kill(polis, token, round_name):
    """kill -9 while requests are under way: afterwards each is sent again and books exactly what it asked for, once."""
    root = Http(polis, token)
    till = "till:" + round_name
    root.expect(201, "POST", "/accounts", {"name": till, "ledger": 1, "type": "liability"})
    wishes = {f"{round_name}-{i}": random.Random(i).randint(1, 500) for i in range(400)}
    acknowledged, stop = set(), threading.Event()

    def body(reference):
        return {"reference": reference, "metadata": {"wish": reference},
                "postings": [{"from": "bank", "to": till, "amount": str(wishes[reference])}]}

    def sender(references):
        mine = Http(polis, token)
        for reference in references:
            if stop.is_set():
                return
            try:
                if mine.ask("POST", "/transactions", body(reference))[0] in (200, 201):
                    acknowledged.add(reference)
            except (http.client.HTTPException, OSError):
                return

    names = list(wishes)
    threads = [threading.Thread(target=sender, args=(names[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    while len(acknowledged) < 120:
        check(time.monotonic() < end, "120 transactions within a minute")
        time.sleep(0.005)
    polis.kill()
    stop.set()
    for thread in threads:
        thread.join()
    booked_before = set(acknowledged)
    polis.start()
    root = Http(polis, token)
    for reference in booked_before:
        found = root.expect(200, "GET", f"/transactions?reference={reference}")["transactions"][0]
        check(found["state"] == "booked" and found["metadata"] == {"wish": reference}, f"{reference} was acknowledged: {found}")
    for reference in wishes:
        status, document, fields = root.ask("POST", "/transactions", body(reference))
        check(status in (200, 201), f"{reference}: {status} {document}")
        check(reference not in booked_before or fields["Idempotent-Replayed"] == "true", f"{reference} was booked before")
    check(root.balance(till) == sum(wishes.values()), f"{root.balance(till)} is not {sum(wishes.values())}")
    check(root.expect(200, "GET", "/trial-balance")["balanced"], "the books balance")
    print(f"  {round_name}: killed after {len(booked_before)} of {len(wishes)}; all booked once")


def main():
    with Polis(systems=SYSTEMS) as polis:
        polis.api("POST", "/api/auth/v1/users", {"name": "boss", "password": "correct horse battery staple", "administrator": True})
        token = token_of(polis, "boss")
        root = Http(polis, token)
        nobody(polis)
        open_books(root)
        book(root)
        bad_input(root)
        metadata(polis, root, token)
        print(f"  {moments(root)} moments agree")
        papers(root)
        events(polis, root, token)
        rights(polis, root)
        imports(root)
        move_books(root)
        # The same below the admin API's prefix.
        check(Http(polis, token, "/api/ledger/v1").balance("alice") == root.balance("alice"), "the mirror")
        kill(polis, token, "process")
        # The same with a disk that forgets what was not synced: a power cut.
        polis.stop()
        polis.environment["POLIS_TEST_DISK"] = "volatile"
        polis.start()
        kill(polis, token, "power")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)
print("ok")

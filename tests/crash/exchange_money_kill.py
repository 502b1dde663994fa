#!/usr/bin/env python3
"""kill -9 while money goes between wallets of the ledger and the venue, and while days are settled: what was acknowledged is there, what was asked
for again under the same name happened once, and in the end both books say the same (tests/crash/README.md)."""
import http.client
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import Failed, Polis, UnixConnection, check, wait_for  # noqa: E402

ROUNDS_A_DIRECTORY = 10
MEMBERS = ["M1", "M2", "M3"]
# Assets have ledgers from here on.
LEDGERS, WALLET = 9000, 4711
ADMIN = "/api/exchange/v1/admin/"
BROKEN = (OSError, http.client.HTTPException, json.JSONDecodeError)


class Clerk(threading.Thread):
    """Funds, withdraws and settles until the process is gone; remembers what it was told."""

    def __init__(self, polis, seed, day):
        super().__init__(daemon=True)
        self.polis, self.chance, self.day = polis, random.Random(seed), day
        self.funded, self.asked, self.withdrawn, self.lost = {}, {}, [], []
        self.settled = None

    def ask(self, path, body):
        connection = UnixConnection(os.path.join(self.polis.data, "run/polis.sock"))
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = json.loads(answer.read())
        connection.close()
        return answer.status, text

    def run(self):
        try:
            while True:
                self.move()
        except BROKEN:
            return

    def move(self):
        member, dice = self.chance.choice(MEMBERS), self.chance.random()
        amount = self.chance.randint(1, 5000)
        if dice < 0.5:
            name = str(self.chance.getrandbits(100) | 1)
            self.asked[name] = (member, amount)
            status, answer = self.ask(ADMIN + "fund", {"account": member, "asset": "USD", "amount": cents(amount), "wallet": str(WALLET), "transfer": name})
            check(status == 200, f"fund: {status} {answer}")
            self.funded[name] = self.asked[name]
        elif dice < 0.98:
            self.lost.append((member, amount))
            status, answer = self.ask(ADMIN + "withdraw", {"account": member, "asset": "USD", "amount": cents(amount), "wallet": str(WALLET)})
            self.lost.pop()
            if status == 200:
                self.withdrawn.append((member, amount))
            else:
                check(status == 400, f"withdraw: {status} {answer}")
        elif self.settled is None:
            self.settled = False
            status, plan = self.ask(ADMIN + "settle", {"day": self.day})
            if status == 202:
                status, answer = self.ask("/api/plan/v1/" + plan["id"], {})
            self.settled = status < 300


def cents(amount):
    return f"{amount // 100}.{amount % 100:02d}"


def units(text):
    return int(text.replace(".", ""))


def member_account(account, asset=1):
    return (0x505856 << 40 | 1 << 32) << 64 | account << 32 | asset


def ledger_balance(polis, account):
    told = polis.api("GET", f"/api/ledger/v1/accounts/{account}")
    return int(told["credits_posted"]) - int(told["debits_posted"])


def venue_balance(polis, member):
    balances = polis.api("GET", ADMIN + f"accounts/{member}")["balances"]
    return sum(units(one["total"]) for one in balances if one["asset"] == "USD")


def define(polis):
    """Answers the number of USD among the venue's assets."""
    polis.command("exchange", "instrument", "set", "ABC", "--tick=0.01", "--lot=1", "--quote=USD")
    for member in MEMBERS:
        polis.command("exchange", "account", "add", member)
    number = usd_number(polis)
    polis.api("POST", "/api/ledger/v1/ledgers", {"id": LEDGERS + number, "asset": "USD", "scale": 2})
    polis.api("POST", "/api/ledger/v1/accounts", {"id": str(WALLET), "name": "wallet", "ledger": LEDGERS + number, "type": "liability"})
    return number


def usd_number(polis):
    """Told by where a cent comes to lie."""
    polis.command("exchange", "fund", MEMBERS[0], "USD", "0.01")
    for number in (1, 2):
        try:
            if ledger_balance(polis, member_account(2, number)) == 1:
                return number
        except Failed:
            continue
    raise Failed("a cent was lost")


def rounds_in_one_directory(count, ack, volatile, seed, totals):
    polis = Polis(systems=("exchange", "ledger"), settings=[f"exchange.ack={ack}", "exchange.settle_daily=false"],
                  environment={"POLIS_TEST_DISK": "volatile"} if volatile else {})
    chance = random.Random(f"{seed}-kill")
    funded, out_low, out_high = {}, 0, 0
    day = 20260101
    try:
        polis.start()
        number = define(polis)
        for _ in range(count):
            day += 1
            clerks = [Clerk(polis, f"{seed}-{day}-{i}", day) for i in range(3)]
            for clerk in clerks:
                clerk.start()
            time.sleep(chance.uniform(0.1, 1.0))  # the moment of the kill is the random input of this test
            polis.kill()
            for clerk in clerks:
                clerk.join(20)
                check(not clerk.is_alive(), "a clerk hangs")
            if volatile and os.path.exists(os.path.join(polis.data, "run/exchange.bus")):
                os.unlink(os.path.join(polis.data, "run/exchange.bus"))
            polis.start()
            if volatile and ack == "bus":
                polis.command("exchange", "accept", status=None)
            for clerk in clerks:
                for name, (member, amount) in clerk.asked.items():
                    # Again under the same name: it happens once, whatever happened before.
                    if name not in clerk.funded or chance.random() < 0.1:
                        polis.api("POST", ADMIN + "fund", {"account": member, "asset": "USD", "amount": cents(amount), "wallet": str(WALLET),
                                                           "transfer": name})
                    funded[name] = (member, amount)
                out_low += sum(amount for _, amount in clerk.withdrawn)
                out_high += sum(amount for _, amount in clerk.withdrawn + clerk.lost)
                totals["settled"] += clerk.settled is True
                totals["withdrawals"] += len(clerk.withdrawn)
            all_in = 1 + sum(amount for _, amount in funded.values())  # the cent, too
            check_sums(polis, number, all_in, out_low, out_high)
            totals["rounds"] += 1
            totals["deposits"] += sum(len(clerk.asked) for clerk in clerks)
        polis.stop(60)
    except BaseException:
        polis.own = False  # keeps the directory
        print(f"round {totals['rounds'] + 1}, ack={ack}, seed {seed}, {'volatile' if volatile else 'page cache'}: data kept in {polis.directory}")
        print(polis.log(3000) if os.path.exists(polis.log_path) else "")
        if polis.process is not None:
            polis.kill()
        raise
    polis._clean_up()


def check_sums(polis, number, all_in, out_low, out_high):
    """Venue and ledger agree on each member; money that went in and did not come out is there."""
    def agree():
        return all(venue_balance(polis, member) == ledger_balance(polis, member_account(account, number))
                   for account, member in enumerate(MEMBERS, start=2))
    wait_for("venue and ledger agree on every member", 30, agree)
    there = sum(venue_balance(polis, member) for member in MEMBERS)
    check(all_in - out_high <= there <= all_in - out_low, f"{all_in} went in, {out_low} to {out_high} went out, {there} is there")
    wallet = ledger_balance(polis, WALLET)
    check(wallet == 1 - there, f"the wallet has {wallet}, the members {there}, and the issuer gave a cent")


def main():
    rounds = int(os.environ.get("POLIS_CRASH_ROUNDS", "4"))
    seed = os.environ.get("POLIS_CRASH_SEED", str(random.randrange(1 << 32)))
    totals = {"rounds": 0, "deposits": 0, "withdrawals": 0, "settled": 0}
    kinds = [("disk", False), ("disk", True), ("bus", False), ("bus", True)]
    left, number = rounds, 0
    while left > 0:
        count = min(ROUNDS_A_DIRECTORY, max(1, -(-rounds // len(kinds))), left)
        rounds_in_one_directory(count, *kinds[number % len(kinds)], f"{seed}-{number}", totals)
        left -= count
        number += 1
    print(f"{totals} (seed {seed})")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)

#!/usr/bin/env python3
"""The exchange's REST face by a program that signs with Python's own hmac: two traders, a few hundred random orders, each sent twice now and then, a
restart in between. What they were told is reckoned up here: balances, fills, the book, and the settlement file line by line, whose closing balances
are those of the ledger."""
import csv
import hashlib
import hmac
import io
import json
import os
import random
import time
import urllib.error
import urllib.request
from collections import defaultdict
from decimal import Decimal

from exchange_client import check, run_exchange, set_up
from polis import wait_for

BASE = "/api/exchange/v1/"
ORDERS = int(os.environ.get("POLIS_REST_ORDERS", "300"))


class Trader:
    def __init__(self, polis, session):
        key = polis.json("exchange", "key", "add", session)
        self.polis, self.session, self.key, self.secret = polis, session, key["key"], key["secret"].encode()
        self.orders = {}

    def ask(self, method, path, body=None, skew_s=0):
        """(status, JSON or text)."""
        data = b"" if body is None else json.dumps(body).encode()
        stamp = str(int((time.time() + skew_s) * 1000))
        signature = hmac.new(self.secret, stamp.encode() + method.encode() + (BASE + path).encode() + data, hashlib.sha256).hexdigest()
        request = urllib.request.Request(self.polis.main_url + BASE + path, data or None, method=method, headers={
            "X-Exchange-Key": self.key, "X-Exchange-Timestamp": stamp, "X-Exchange-Signature": signature})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if "json" in answer.headers["Content-Type"] else text
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def get(self, path):
        status, answer = self.ask("GET", path)
        check(status == 200, f"GET {path}: {status} {answer}")
        return answer

    def order(self, client_id, side, quantity, price):
        return self.ask("POST", "orders", {"client_id": client_id, "symbol": "ABC", "side": side, "quantity": str(quantity), "price": f"{price:.2f}"})


def trade(traders, noise, name):
    for number in range(ORDERS):
        trader = noise.choice(traders)
        client_id = f"{name}{number}"
        wish = (client_id, noise.choice(["buy", "sell"]), noise.randint(1, 500), Decimal(noise.randint(9990, 10010)) / 100)
        status, order = trader.order(*wish)
        check(status == 201, f"{wish}: {status} {order}")
        trader.orders[order["id"]] = order
        if noise.random() < 0.2:
            status, again = trader.order(*wish)
            check(status == 200 and again["id"] == order["id"], f"{wish} again: {status} {again}")
        if noise.random() < 0.2:
            status, gone = trader.ask("DELETE", f"orders/{order['id']}")
            check(status == 200 if order["status"] != "filled" else status == 422, f"cancel: {status} {gone}")


def all_fills(trader):
    fills, before = [], 0
    while True:
        page = trader.get(f"fills?limit=37&before={before}")
        fills += page["fills"]
        before = page.get("before", 0)
        if not before:
            return fills


def balances(trader):
    return {one["asset"]: Decimal(one["total"]) for one in trader.get("balances")["balances"]}


def compare(traders):
    """Balances are what was paid in and what the fills say, and what one bought the other sold."""
    bought, trades = Decimal(0), set()
    for trader in traders:
        money, shares = Decimal("100000000"), Decimal("10000000")
        filled = defaultdict(Decimal)
        for fill in all_fills(trader):
            sign = 1 if fill["side"] == "buy" else -1
            quantity = Decimal(fill["quantity"])
            shares += sign * quantity
            money -= sign * quantity * Decimal(fill["price"]) + Decimal(fill["fee"])
            bought += sign * quantity
            filled[fill["order"]] += quantity
            trades.add(fill["trade"])
        check(balances(trader) == {"USD": money, "ABC": shares}, f"{trader.session}: {balances(trader)}, reckoned {money} {shares}")
        for order in trader.orders.values():
            order.update(trader.get(f"orders/{order['id']}"))
            check(Decimal(order["filled_quantity"]) == filled[order["id"]], f"{order} has fills of {filled[order['id']]}")
        still_open = {order["id"] for order in trader.orders.values() if order["status"] in ("new", "partially_filled")}
        shown = {order["id"] for order in trader.get("orders?limit=1000")["orders"]}
        check(still_open == shown, f"open orders: {still_open ^ shown}")
    check(bought == 0, f"{bought} more were bought than sold")
    public, before = [], 0
    while True:
        page = traders[0].get(f"trades?symbol=ABC&limit=100&before={before}")
        public += page["trades"]
        before = page.get("before", 0)
        if not before:
            break
    check({one["id"] for one in public} == trades, f"{len(public)} trades in public, {len(trades)} among the traders")
    book = traders[0].get("book/ABC?depth=1000")
    resting = sum(Decimal(order["remaining_quantity"]) for trader in traders for order in trader.orders.values()
                  if order["status"] in ("new", "partially_filled"))
    check(sum(Decimal(level[1]) for side in ("bids", "asks") for level in book[side]) == resting, "the book holds what rests")


def settlement(polis, traders, day):
    """Each account's lines add up, and its file is the lines of the whole one."""
    whole = polis.command("exchange", "settlement", day)
    for number, trader in enumerate(traders):
        own = trader.get(f"settlement/{day}")
        lines = list(csv.DictReader(io.StringIO(own)))
        check(lines and all(line["name"] == trader.session for line in lines), f"{own[:200]}")
        check(all(line in whole for line in own.splitlines()), f"file of {trader.session} and the whole one differ")
        running = {}
        for line in lines:
            if line["type"] == "opening":
                running[line["asset"]] = Decimal(line["balance"])
            elif line["type"] == "closing":
                check(running[line["asset"]] == Decimal(line["balance"]) == balances(trader)[line["asset"]], f"{line}")
            else:
                running[line["asset"]] += Decimal(line["amount"])
                check(running[line["asset"]] == Decimal(line["balance"]), f"{line}")
        others = traders[1 - number].session
        check(f",{others}," not in own, "somebody else's lines")


def ledger_sums(polis, traders):
    """The member accounts of the ledger say what the venue says; ids are made as reporting/ledger_accounts.cc says."""
    for account, trader in enumerate(traders, start=2):
        for asset, (symbol, scale) in {1: ("USD", 2), 2: ("ABC", 0)}.items():
            wanted = asset if symbols(polis)[asset - 1] == symbol else 3 - asset
            number = (0x505856 << 40 | 1 << 32) << 64 | account << 32 | wanted
            told = polis.api("GET", f"/api/ledger/v1/accounts/{number}")
            booked = Decimal(int(told["credits_posted"]) - int(told["debits_posted"])).scaleb(-scale)
            check(booked == balances(trader)[symbol], f"{trader.session} {symbol}: ledger {booked}, venue {balances(trader)[symbol]}")


def symbols(polis):
    """Assets in the order of their ids: those of the first instrument."""
    first = polis.json("exchange", "instrument", "list")["instruments"]["ABC"]
    return [first["base"], first["quote"]]


def refusals(traders):
    trader = traders[0]
    status, answer = trader.ask("GET", "balances", skew_s=-6)
    check(status == 401 and answer["error"]["code"] == "bad_signature", f"{status} {answer}")
    status, answer = trader.order("r-1", "buy", 1, Decimal("999999.99"))
    check(status in (201, 422), f"{status} {answer}")
    status, answer = trader.ask("POST", "orders", {"client_id": "r-2", "symbol": "NONE", "side": "buy", "quantity": "1", "price": "1.00"})
    check(status == 404 and answer["error"]["code"] == "unknown_symbol", f"{status} {answer}")
    status, answer = trader.ask("POST", "orders", {"client_id": "r-3", "symbol": "ABC", "side": "buy", "quantity": "1", "price": "1.001"})
    check(status == 422 and "tick" in answer["error"]["reason"], f"{status} {answer}")
    others = next(iter(traders[1].orders))
    status, answer = trader.ask("DELETE", f"orders/{others}")
    check(status == 404 and answer["error"]["code"] == "unknown_order", f"{status} {answer}")
    trader.ask("DELETE", "orders")


def test(polis):
    noise = random.Random(6)
    set_up(polis, ["R1", "R2"])
    traders = [Trader(polis, session) for session in ("R1", "R2")]
    trade(traders, noise, "a")
    time.sleep(0.3)
    wait_for("the rows", 20, lambda: len(all_fills(traders[0])) > 0)
    polis.stop()
    polis.start()
    trade(traders, noise, "b")
    last = max(traders[0].get("time")["seq"], 1)
    wait_for("the rows of the last trade", 20, lambda: behind(traders, last))
    compare(traders)
    refusals(traders)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    polis.command("exchange", "settle", "--yes")
    settlement(polis, traders, day)
    ledger_sums(polis, traders)
    print(f"{2 * ORDERS} orders over REST: balances, fills, book, settlement and ledger agree")


def behind(traders, _):
    """Whether the rows have every fill that the orders have."""
    for trader in traders:
        told = sum(Decimal(fill["quantity"]) for fill in all_fills(trader))
        if told != sum(Decimal(trader.get(f"orders/{id}")["filled_quantity"]) for id in trader.orders):
            return False
    return True


if __name__ == "__main__":
    run_exchange(test)

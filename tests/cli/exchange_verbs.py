#!/usr/bin/env python3
"""Every verb of `polis exchange`: what operators define, see and stop; money in and out; the venue at any sequence number."""
import datetime
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from polis import Failed, Polis, check  # noqa: E402


class Venue:
    def __init__(self, polis):
        self.polis = polis

    def say(self, *words, **options):
        return self.polis.command("exchange", *words, **options)

    def json(self, *words, **options):
        return self.polis.json("exchange", *words, **options)

    def refused(self, words, *parts):
        self.say(*words, status=None)
        told = self.polis.last_error
        for part in parts:
            check(part in told, f"polis exchange {' '.join(words)} says {told!r}, not {part!r}")

    def balances(self, account):
        return {one["asset"]: one for one in self.json("account", "show", account)["balances"]}


def define(venue):
    abc = venue.json("instrument", "set", "ABC", "--phases", "24x7", "--band", "10%", "--collar", "5%", "--fee-taker", "2bp")
    check(abc["tick"] == "0.01" and abc["quote"] == "USD" and abc["fee_taker"] == "2bp" and abc["band"] == "10%", f"{abc}")
    coin = venue.json("instrument", "set", "XBT", "--tick", "0.5", "--lot", "0.0001", "--quote-decimals", "2", "--quote", "EUR", status=None)
    check("quote_decimals" in json.dumps(coin), f"a lot that costs 0.00005 EUR: {coin}")
    venue.say("instrument", "set", "XBT", "--tick", "0.5", "--lot", "0.0001", "--quote", "XEUR", "--quote-decimals", "5")
    venue.refused(["instrument", "set", "ABC", "--tick", "0.05"], "never change")
    venue.refused(["instrument", "set", "TOOLONGNAME"], "1 to 8")
    venue.refused(["instrument", "set", "DEF", "--band", "ten"], "band")
    venue.refused(["instrument", "set", "DEF", "--base", "USD"], "two different assets")
    check(venue.json("instrument", "set", "ABC", "--fee-taker", "0.5bp")["fee_taker"] == "0.5bp", "a fee cannot be changed")
    venue.say("instrument", "set", "ABC", "--fee-taker", "2bp")
    check(set(venue.json("instrument", "list")["instruments"]) == {"ABC", "XBT"}, "instruments")

    for account in ("A7", "B2"):
        venue.say("account", "add", account)
        venue.say("account", "add", account)  # twice is once
    check(venue.json("account", "list")["accounts"][1:] == ["A7", "B2"], "accounts")
    venue.refused(["account", "add", "a b"], "without spaces")
    brk = venue.json("session", "set", "BRK1", "--account", "A7", "--cancel-on-disconnect", "5s", "--rate", "0")
    check(brk["cancel_on_disconnect"] == "5s" and brk["rate"] == 0 and brk["app"] == "order", f"{brk}")
    venue.refused(["session", "set", "BRK2"], "account")
    venue.refused(["session", "set", "BRK2", "--account", "nobody"], "no account nobody")
    venue.refused(["session", "set", "BRK1", "--cancel-on-disconnect", "2m"], "60s")
    venue.say("session", "set", "BRK1", "--cancel-on-disconnect", "no")
    venue.say("session", "set", "COPY", "--app", "dropcopy")
    key = venue.json("key", "add", "BRK1")
    check(key["key"].startswith("PXK") and len(key["secret"]) >= 40, f"{key}")
    check([one["key"] for one in venue.json("key", "list")["keys"]] == [key["key"]], "keys")
    venue.refused(["key", "add", "COPY"], "enters no orders")
    venue.say("key", "remove", key["key"])
    check(venue.json("key", "list")["keys"] == [], "a key was not removed")


def move_money(venue):
    venue.refused(["fund", "A7", "USD", "0.001"], "amount")
    venue.refused(["fund", "A7", "GBP", "1"], "no asset")
    venue.refused(["fund", "nobody", "USD", "1"], "no account")
    venue.say("fund", "A7", "USD", "1000000")
    venue.say("fund", "A7", "ABC", "100000")
    venue.say("fund", "A7", "USD", "5", "--transfer", "77")
    venue.say("fund", "A7", "USD", "5", "--transfer", "77")  # the same transfer again
    check(venue.balances("A7")["USD"]["total"] == "1000005.00", f"{venue.balances('A7')}")


def trade(venue):
    ran = venue.json("load", "ABC", "--session", "BRK1", "--orders", "5000", "--seed", "5")["runs"][0]
    check(ran["refused"] > 0 and ran["accepted"] >= 2000, f"an account has 2,000 requests and 1,000 a second: {ran}")
    venue.say("risk", "set", "A7", "--rate", "0")
    venue.say("cancel", "A7")
    ran = venue.json("load", "ABC", "--session", "BRK1", "--orders", "5000")["runs"][0]
    check(ran["accepted"] == 5000 and ran["refused"] == 0 and ran["trades"] > 1000, f"{ran}")
    ran = venue.json("load", "ABC", "--session", "BRK1", "--orders", "500", "--rate", "1000", "--seed", "3")["runs"][0]
    check(ran["accepted"] == 500 and ran["latency_ns"]["p50"] > 0, f"{ran}")
    book = venue.json("book", "ABC")
    check(book["phase"] == "continuous" and book["bids"] == [] and book["asks"] == [] and "last" in book, f"{book}")
    check("ABC: continuous" in venue.say("book", "ABC"), "the ladder for people")
    venue.refused(["book", "NONE"], "no instrument")
    check(venue.json("orders", "A7")["orders"] == [], "orders")
    # One account on both sides: fees alone have left it.
    check(venue.balances("A7")["ABC"]["total"] == "100000", f"{venue.balances('A7')}")


def stop_things(venue):
    venue.say("risk", "set", "A7", "--quantity", "1")
    check(venue.json("risk", "show", "A7")["order_quantity_max"] == "1", "a limit was not set")
    ran = venue.json("load", "ABC", "--session", "BRK1", "--orders", "100", "--seed", "9")["runs"][0]
    check(ran["refused"] > 0, f"orders above the limit are taken: {ran}")
    venue.say("risk", "set", "A7", "--quantity", "0")
    venue.say("cancel", "A7")
    venue.say("kill", "A7")
    check(venue.json("risk", "show", "A7")["killed"], "the kill switch")
    ran = venue.json("load", "ABC", "--session", "BRK1", "--orders", "10")["runs"][0]
    check(ran["refused"] == 10, f"a stopped account trades: {ran}")
    venue.say("kill", "A7", "--lift")
    venue.say("restrict", "ABC", "--account", "A7")
    ran = venue.json("load", "ABC", "--session", "BRK1", "--orders", "10")["runs"][0]
    check(ran["refused"] == 10, f"a restricted account trades: {ran}")
    venue.say("restrict", "ABC", "--account", "A7", "--lift")
    venue.say("halt", "ABC")
    check(venue.json("book", "ABC")["phase"] == "halted", "a halt")
    venue.say("halt", "ABC", "--lift")
    venue.say("phase", "ABC", "closing-call")
    check(venue.json("book", "ABC")["phase"] == "closing_call", "a phase")
    venue.refused(["phase", "ABC", "lunch"], "must be one of")
    venue.say("phase", "ABC", "continuous")
    venue.refused(["break", "ABC", "999999999", "--yes"], "Unknown trade")
    venue.say("break", "ABC", "1", "--yes")
    venue.refused(["break", "ABC", "1", "--yes"], "")


def look_back(venue):
    status = venue.json("status")
    check(status["healthy"] and not status["halted"] and int(status["requests"]) > 5500, f"{status}")
    check("journal" in status["readers"], f"{status}")
    live = venue.json("account", "show", "A7")
    whole = venue.json("replay", "--verify", "--balances", "--orders", "--book", "ABC", "--account", "A7")
    check(whole["accounts"]["A7"]["state"] == live, f"{whole} is not {live}")
    check(int(whole["steps"]) >= 5500 and whole["book"]["phase"] == "continuous", f"{whole}")
    early = venue.json("replay", "--to", "200", "--balances", "--book", "ABC")
    check(int(early["sequence"]) >= 200 and int(early["steps"]) < int(whole["steps"]), f"{early}")
    venue.refused(["replay", "--to", "3", "--book", "ABC"], "no instrument")
    check("recomputed" in venue.say("replay", "--verify", "--balances", "--orders", "--book", "ABC"), "the text for people")
    return whole["hash"]


def settle(venue):
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d")
    venue.refused(["settlement", today], "")
    venue.say("settle", "--day", today, "--yes")
    lines = venue.say("settlement", today).splitlines()
    kinds = {line.split(",")[3] for line in lines[1:]}
    check(lines[0].startswith("account,name,asset,type") and {"deposit", "trade", "closing"} <= kinds, f"{lines[:3]} {kinds}")
    venue.refused(["settle", "--day", "20260231", "--yes"], "yyyymmdd")
    venue.refused(["settle", "--day", today, "--yes"], "")


def main():
    with Polis(systems=["ledger", "exchange"]) as polis:
        venue = Venue(polis)
        define(venue)
        move_money(venue)
        trade(venue)
        stop_things(venue)
        before = look_back(venue)
        settle(venue)
        hash_then = venue.json("replay", "--verify")["hash"]
        check(hash_then != before, "settling left no trace in the journal")
        polis.stop()
        polis.start()
        again = venue.json("replay", "--verify", "--balances", "--account", "A7")
        check(again["hash"] == hash_then, "the journal's hash is another one after a restart")
        check(again["accounts"]["A7"]["state"] == venue.json("account", "show", "A7"), "balances differ after a restart")
        polis.kill()
        polis.start()
        check(venue.json("replay", "--verify")["hash"] == hash_then, "the journal's hash is another one after kill -9")

    # A venue without a ledger trades what it has; nothing comes in.
    with Polis(systems=["exchange"]) as polis:
        venue = Venue(polis)
        venue.say("instrument", "set", "ABC")
        venue.say("account", "add", "A7")
        venue.refused(["fund", "A7", "USD", "1"], "ledger")
    print("ok")


try:
    main()
except Failed as failed:
    print(f"FAILED: {failed}")
    sys.exit(1)

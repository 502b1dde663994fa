#!/usr/bin/env python3
"""QuickFIX 1.15.1 as initiator, with its own dictionary's checks of everything that the venue sends: the published example, every combination of
order type, time in force, execution instruction and self-match instruction, replaces, cancels, status and mass cancel, and restarts of either side in
which nothing is lost or doubled."""
import itertools
import os
import random

from exchange_client import QuickFix, Report, check, now, run_exchange, set_up

ROUNDS = int(os.environ.get("POLIS_CRASH_ROUNDS", "10"))


def fields(report, *tags):
    return {tag: report.get(tag) for tag in tags}


def accepted(trader, *words, **more):
    own = trader.order(*words, **more)
    report = trader.app()
    check(report[11] == own and report[150] == "0" and report[39] == "0", f"accepted: {report.text}")
    return own, report


def archive_example(buyer, seller):
    """The book of the example and its market order for 2,700."""
    asks = {"100.10": [200, 400, 1100, 100], "100.11": [900, 700, 400], "100.12": [600, 900], "100.13": [100, 200]}
    bids = {"100.08": [500, 600, 900], "100.07": [100, 700], "100.06": [1100, 400, 300, 200], "100.05": [500, 100]}
    for side, levels in (("2", asks), ("1", bids)):
        for price, sizes in levels.items():
            for size in sizes:
                accepted(seller, side, size, price)
    own = buyer.order("1", 2700, t59="3")
    reports = [buyer.app() for _ in range(6)]
    check([r[150] for r in reports] == ["0"] + ["F"] * 5, f"six messages: {[r.text for r in reports]}")
    check([(float(r[31]), int(r[32])) for r in reports[1:]] == [(100.10, 200), (100.10, 400), (100.10, 1100), (100.10, 100), (100.11, 900)], "fills")
    check([r[39] for r in reports[1:]] == ["1"] * 4 + ["2"], "states")
    last = reports[-1]
    check(fields(last, 11, 151, 14, 6) == {11: own, 151: "0", 14: "2700", 6: "100.10333333"}, last.text)
    makers = [seller.app() for _ in range(5)]
    check([(r[150], r[39]) for r in makers] == [("F", "2")] * 5, f"makers: {[r.text for r in makers]}")
    # What is left: 700 and 400 at 100.11.
    own = buyer.order("1", 1100, "100.11", t59="4")
    check([buyer.app()[150] for _ in range(3)] == ["0", "F", "F"], "the best ask is 100.11 with 700 and 400")
    for _ in range(2):
        seller.app()
    seller.send("q", t11=seller.fresh_id(), t530="7", t60=now())
    answers = drain_mass_cancel(seller)
    check(sum(1 for r in answers if r.type() == "8") == 15, f"what was left of the book is cancelled: {len(answers)}")


def drain_mass_cancel(trader):
    answers = []
    while not answers or not any(r.type() == "r" for r in answers):
        answers.append(trader.app())
    # The report may come before or behind the cancels.
    while True:
        cancels = sum(1 for r in answers if r.type() == "8")
        wanted = int(next(r for r in answers if r.type() == "r").get(533, cancels))
        if cancels >= wanted:
            return answers
        answers.append(trader.app())


def cells(trader):
    """Each combination gets one answer of the right form, and what rests can be cancelled. No other side is in the book."""
    counted = {"0": 0, "8": 0}
    for kind, force, instruction, match in itertools.product("1234K", "0123467", (None, "6", "G"), (None, "N", "O", "B", "D")):
        more = {"t59": force}
        if force == "6":
            more["t432"] = "20991231"
        if instruction:
            more["t18"] = instruction
        if match:
            more.update(t7928="7", t8000=match)
        if kind in "34":
            more["t99"] = "101.00"
        own = trader.order("1", 100, "99.50" if kind in "24" else None, order_type=kind, **more)
        first = trader.app()
        cell = f"40={kind} 59={force} 18={instruction} 8000={match}"
        check(first.type() == "8" and first[11] == own and first[150] in "08", f"{cell}: {first.text}")
        counted[first[150]] += 1
        if first[150] == "8":
            check(first[39] == "8" and first[151] == "0" and first.get(58) and first.get(103) is not None, f"{cell}: {first.text}")
            plain = kind == "2" and force in "016" and instruction in (None, "6")
            check(not plain, f"{cell} is a plain limit order: {first.text}")
            continue
        if instruction == "G":
            check(force in "34", f"{cell}: all or none goes with 59=3 and 4 alone")
        if instruction == "6":
            check(kind in "24" and force not in "34", f"{cell}: post-only rests")
        if force in "34" and kind in "12K":
            end = trader.app()
            check(end[150] in "4C" and end[151] == "0", f"{cell} ends at once: {end.text}")
            continue
        cancel = trader.fresh_id()
        trader.send("F", t11=cancel, t41=own, t54="1", t55="ABC", t38="100", t60=now())
        end = trader.app()
        check(end.type() == "8" and end[150] == "4" and end[11] == cancel and end[41] == own, f"{cell} is cancelled: {end.text}")
    check(counted["0"] > 100 and counted["8"] > 100, f"some are taken, some are not: {counted}")
    print(f"{sum(counted.values())} combinations: {counted['0']} taken, {counted['8']} refused with a reason")


def self_match(trader):
    for instruction, expected in (("N", {"new": "4"}), ("O", {"old": "4"}), ("B", {"old": "4", "new": "4"}), ("D", {"old": "4", "new": "4"})):
        old, _ = accepted(trader, "2", 50, "100.00", t7928="9")
        new = trader.order("1", 50, "100.00", t7928="9", t8000=instruction)
        names = {old: "old", new: "new"}
        first = trader.app()
        check(first[11] == new and first[150] == "0", first.text)
        ended = {}
        while len(ended) < len(expected):
            report = trader.app()
            check(report[150] != "F", f"no trade between the two: {report.text}")
            if report[39] in "4C":
                ended[names[report[11]]] = "4"
        check(ended == expected, f"{instruction}: {ended}")
        for name, own in (("old", old), ("new", new)):
            if name not in ended:
                trader.send("F", t11=trader.fresh_id(), t41=own, t54="2" if name == "old" else "1", t55="ABC", t60=now())
                check(trader.app()[150] == "4", "the one that stays can be cancelled")


def refusals(trader):
    def refused(reason, *words, **more):
        own = trader.order(*words, **more)
        report = trader.app()
        check(report[150] == "8" and report[103] == reason and report[11] == own, f"103={reason}: {report.text}")
    refused("1", "1", 100, "99.50", t55="NOPE")
    refused("99", "1", 100, "99.505")
    refused("13", "1", "1.5", "99.50")
    # Money is looked at before size only if the size is one.
    refused("0", "1", "90000000", "99.50")
    own, _ = accepted(trader, "1", 100, "99.50")
    trader.send("D", t11=own, t38=1, t40="2", t44="99.50", t54="1", t55="ABC", t60=now())
    report = trader.app()
    check(report[150] == "8" and report[103] == "6", f"duplicate: {report.text}")
    # 97=Y of one that was seen is answered by how it stands.
    trader.send("D", t97="Y", t11=own, t38=1, t40="2", t44="99.50", t54="1", t55="ABC", t60=now())
    report = trader.app()
    check(report[150] == "I" and report[11] == own and report[38] == "100", f"possible resend: {report.text}")
    trader.send("F", t11=trader.fresh_id(), t41="nobody", t54="1", t55="ABC", t60=now())
    report = trader.app()
    check(report.type() == "9" and report[102] == "1" and report[434] == "1", report.text)
    trader.send("G", t11=trader.fresh_id(), t41="nobody", t54="1", t55="ABC", t60=now(), t38=5, t40="2", t44="99.00")
    report = trader.app()
    check(report.type() == "9" and report[102] == "1" and report[434] == "2", report.text)
    trader.send("F", t11=trader.fresh_id(), t41=own, t54="1", t55="ABC", t60=now())
    check(trader.app()[150] == "4", "cancelled")
    trader.send("F", t11=trader.fresh_id(), t41=own, t54="1", t55="ABC", t60=now())
    report = trader.app()
    check(report.type() == "9" and report[102] in "01", f"too late, or not known any more: {report.text}")
    # Known and unserved.
    trader.send("6", t23="x", t28="N", t55="ABC", t54="1", t27="L")
    report = trader.app()
    check(report.type() == "j" and report[380] == "3" and report[372] == "6", report.text)


def chains(trader):
    own, first = accepted(trader, "1", 100, "99.50", t59="1")
    second = trader.fresh_id()
    trader.send("G", t11=second, t41=own, t54="1", t55="ABC", t60=now(), t38=150, t40="2", t44="99.60")
    report = trader.app()
    check(report[150] == "5" and report[39] == "0" and report[37] == first[37] and report[11] == second and report[41] == own, report.text)
    check(fields(report, 38, 151, 14) == {38: "150", 151: "150", 14: "0"} and float(report[44]) == 99.60, report.text)
    # The old name is not the newest any more.
    trader.send("G", t11=trader.fresh_id(), t41=own, t54="1", t55="ABC", t60=now(), t38=10, t40="2", t44="99.60")
    check(trader.app().type() == "9", "41 must name the newest")
    trader.send("H", t11=second, t54="1", t55="ABC")
    report = trader.app()
    check(report[150] == "I" and report[39] == "0" and report[151] == "150", report.text)
    trader.send("F", t11=trader.fresh_id(), t41=second, t54="1", t55="ABC", t60=now())
    check(trader.app()[150] == "4", "cancelled by its newest name")
    own, _ = accepted(trader, "1", 100, "99.50")
    other, _ = accepted(trader, "2", 100, "100.50")
    trader.send("q", t11=trader.fresh_id(), t530="1", t55="ABC", t60=now())
    answers = drain_mass_cancel(trader)
    check({r[11] if r.get(41) is None else r[41] for r in answers if r.type() == "8"} >= {own, other} or
          sum(r.type() == "8" for r in answers) == 2, f"both are cancelled: {[r.text for r in answers]}")
    check(next(r for r in answers if r.type() == "r")[531] == "1", "531 says what was done")


def restarts(polis, maker):
    """One side comes and goes while the other trades with it; the venue itself goes, too. Everybody hears everything once."""
    taker = QuickFix(polis, "TAKER").start()
    chance = random.Random(5)
    orders, seen = {}, set()
    online = True

    def hear(report):
        check(report[17] not in seen, f"told twice: {report.text}")
        seen.add(report[17])
        order = orders[report[41] if report[150] in "45" and report.get(41) else report[11]]
        if report[150] == "F":
            order["filled"] += int(report[32])
            check(order["filled"] == int(report[14]), f"14 is the sum of 32: {report.text}")
        order["state"] = report[39]

    def settled():
        return all(order["state"] == "2" for order in orders.values())

    for round_number in range(ROUNDS):
        if not online:
            maker.start()
            online = True
        for _ in range(chance.randint(1, 4)):
            size = chance.randint(1, 9) * 10
            orders[maker.order("2", size, "100.00")] = {"filled": 0, "state": None, "size": size}
        while any(order["state"] is None for order in orders.values()):
            hear(maker.app())
        # Away, in an orderly way or not; meanwhile others trade with what it left.
        maker.say(chance.choice(["stop", "cut"]))
        while True:
            kind, text = maker.next()
            if kind == "app":
                hear(Report(text))
            if kind == "stopped":
                break
        online = False
        rest = sum(order["size"] - order["filled"] for order in orders.values())
        taker.order("1", rest, "100.00", t59="3")
        while True:
            report = taker.app()
            if report[150] == "F" and report[39] == "2":
                break
        if round_number % 5 == 4:
            taker.stop()
            if chance.random() < 0.5:
                polis.stop()
            else:
                polis.kill()
            polis.start()
            taker.start()
        maker.start()
        online = True
        while not settled():
            hear(maker.app())
    taker.stop()
    taker.end()
    print(f"{ROUNDS} restarts: {len(orders)} orders, {len(seen)} reports, each once")


def test(polis):
    set_up(polis, ["MAKER", "BUYER", "TAKER"], fee_taker="0")
    maker, buyer = QuickFix(polis, "MAKER").start(), QuickFix(polis, "BUYER").start()
    archive_example(buyer, maker)
    cells(buyer)
    self_match(buyer)
    refusals(buyer)
    chains(buyer)
    buyer.stop()
    buyer.end()
    restarts(polis, maker)
    maker.stop()
    maker.end()


run_exchange(test, keep_ports=True)

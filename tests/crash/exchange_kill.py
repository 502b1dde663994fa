#!/usr/bin/env python3
"""kill -9 of the venue under load: no acknowledged order or fill is lost or doubled, and the journal replays to the same hash (tests/crash/README.md)."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from exchange_load import Market, replays_to_its_hash  # noqa: E402
from polis import Failed, Polis, check, crash_seed, tell_totals  # noqa: E402

# All reports of a directory are in the brokers' memory: a fresh one now and then.
ROUNDS_A_DIRECTORY = 10
KINDS = ("orders", "reports", "fills", "again", "resent", "gone")


def rounds_in_one_directory(count, threads, ack, volatile, seed, totals):
    settings = [f"exchange.threads={threads}", f"exchange.ack={ack}", "exchange.snapshot_every=15000"]
    polis = Polis(systems=("exchange", "ledger"), settings=settings, environment={"POLIS_TEST_DISK": "volatile"} if volatile else {})
    chance = random.Random(f"{seed}-kill")
    market = Market(seed)
    try:
        polis.start()
        market.define(polis)
        market.log_on(polis.port("exchange.fix"))
        for _ in range(count):
            market.begin()
            time.sleep(chance.uniform(0.1, 1.2))  # the moment of the kill is the random input of this test
            polis.kill()
            market.end()
            lost_host = volatile  # a power cut takes the ring's memory with it
            if lost_host:
                os.unlink(os.path.join(polis.data, "run/exchange.bus"))
            # The other way of running it reads the same journal.
            if chance.random() < 0.3:
                polis.settings[0] = f"exchange.threads={'fused' if polis.settings[0].endswith('split') else 'split'}"
            begin = time.monotonic()
            polis.start()
            totals["longest_start"] = max(totals["longest_start"], time.monotonic() - begin)
            if lost_host and ack == "bus":
                accept_what_survived(polis, market)
            else:
                market.log_on(polis.port("exchange.fix"))
            market.settle()
            market.compare(polis)
            totals["rounds"] += 1
            totals[f"{threads} {ack}"] += 1
        totals["replayed"] += replays_to_its_hash(polis)
        for kind, counted in market.totals().items():
            totals[kind] += counted
        for broker in market.brokers[: chance.randint(0, len(market.brokers))]:
            broker.close()
        polis.stop(60)  # some clients are there and do not answer the Logout
    except BaseException:
        polis.own = False  # keeps the directory
        print(f"round {totals['rounds'] + 1}, {threads}, ack={ack}, seed {seed}, {'volatile' if volatile else 'page cache'}: data kept in {polis.directory}")
        print(polis.log(3000) if os.path.exists(polis.log_path) else "")
        if polis.process is not None:
            polis.kill()
        raise
    polis._clean_up()


def accept_what_survived(polis, market):
    """What was acknowledged on the bus alone may be gone with the host: the venue says so, takes nothing until an operator agrees, and goes on."""
    check(polis.json("exchange", "status")["halted"], "the venue lost its host in bus mode and did not open halted")
    for broker in market.brokers:
        polis.command("exchange", "cancel", broker.account)
    polis.command("exchange", "accept")
    check(not polis.json("exchange", "status")["halted"], "the venue is halted though an operator accepted the cut")
    shown = market.balances(polis)
    for broker in market.brokers:
        broker.begin_anew({symbol: int(shown[broker.account][symbol]["total"]) for symbol in broker.shares})
    market.log_on(polis.port("exchange.fix"), reset=True)


def main():
    count = int(os.environ.get("POLIS_CRASH_ROUNDS", "6"))
    seed = crash_seed()
    ways = [(threads, ack, volatile) for volatile in (False, True) for threads in ("fused", "split") for ack in ("disk", "bus")]
    totals = {name: 0 for name in ("rounds", "longest_start", "replayed", *KINDS, "fused disk", "fused bus", "split disk", "split bus")}
    # At least one round of each of the eight ways, in directories of a few rounds each.
    rounds = max(count, len(ways))
    try:
        done = 0
        while done < rounds:
            for i, way in enumerate(ways):
                share = min(ROUNDS_A_DIRECTORY, rounds // len(ways) + (i < rounds % len(ways)), rounds - done)
                if share > 0:
                    rounds_in_one_directory(share, *way, seed + done, totals)
                    done += share
        check(totals["orders"] and totals["fills"] and totals["again"], f"the load did nothing: {totals}")
    except Failed as failure:
        print(f"FAILED (POLIS_CRASH_SEED={seed}): {failure}")
        os._exit(1)
    line = (f"{totals['rounds']} kills (fused {totals['fused disk']} disk, {totals['fused bus']} bus; split {totals['split disk']} disk, "
            f"{totals['split bus']} bus; half of them lost the page cache and the ring too), {totals['orders']} requests, {totals['reports']} reports with "
            f"{totals['fills']} fills, {totals['again']} of them asked for again and equal, {totals['resent']} requests sent again and {totals['gone']} never "
            f"received; nothing acknowledged lost or doubled, balances as the reports say; {totals['replayed']} steps replayed to the same hash; longest start "
            f"{totals['longest_start']:.1f} s; seed {seed}")
    tell_totals("crash.exchange_kill", line)
    os._exit(0)


main()

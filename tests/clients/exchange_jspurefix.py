#!/usr/bin/env python3
"""The jspurefix package over TLS: Logon, 10,000 orders, and gaps that are filled after a socket was cut."""
import os
import shutil

from client import Client
from exchange_client import HERE, SYMBOL, check, dictionary, install_npm, run_exchange, set_up, settings

ORDERS = 10_000


def test(polis):
    set_up(polis, ["JS"])
    polis.command("exchange", "session", "set", "JS", "--password=correct horse")
    script = shutil.copy(os.path.join(HERE, "node_exchange/exchange_jspurefix.mjs"), install_npm())
    client = Client(polis, settings(port=polis.port("exchange.fix_tls"), session="JS", password="correct horse", orders=ORDERS, seconds=240,
                                    dictionary=dictionary(), certificate=os.path.join(polis.data, "keys/exchange-tls-certificate.pem")))
    print(client.run("node", script, limit_s=300).strip())
    check(polis.json("exchange", "book", SYMBOL).get("asks") == [], "every order met its other half")


run_exchange(test)

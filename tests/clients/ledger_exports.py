#!/usr/bin/env python3
"""ledger-cli, hledger and beancount read the books of four currencies: no error, and every account and total as polis has it.
The books come in from CSV and go out again as CSV; statements are read as MT940 and as camt.053."""
import csv
import io
import os
import random
import re
from collections import defaultdict
from decimal import Decimal, getcontext
from xml.etree import ElementTree

from client import Client, Failed, Polis, check

# (ledger, asset, digits behind the point)
LEDGERS = [(1, "USD", 2), (2, "EUR", 2), (3, "JPY", 0), (4, "KWD", 3)]
KINDS = ["asset", "liability", "equity", "income", "expense"]
BEGIN_NS = 1_577_836_800_000_000_000  # 2020-01-01
TRANSACTIONS = int(os.environ.get("POLIS_EXPORT_TRANSACTIONS", "5000"))
# What means something to one of the readers, or sorts with another name when it is simplified.
NAMES = ["alice", "Alice", "a  b", "a;b", "(virtual)", "[budget]", "*", "!", "assets:cash", "Assets:Cash", "Zürich", "日本", "say \"hi\"",
         "back\\slash", "-", "=SUM(1)", "a|b", "{lot}", "'", "2026-01-01", "a,b", "<b>&amp;", "@", "income:sales:shoes", "::", "x_y", "x y", "1a"]
PENDING, POST, VOID = 2, 4, 8

getcontext().prec = 60


def write_accounts(path):
    """Returns [(id, ledger)]."""
    accounts = []
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["timestamp", "id", "ledger", "name", "kind"])
        for i, name in enumerate(NAMES):
            for ledger, asset, _ in LEDGERS:
                number = 1000 + len(accounts)
                guarded = "'" + name if name[0] in "=+-@'" else name
                table.writerow([BEGIN_NS + len(accounts), number, ledger, f"{guarded} {asset}", KINDS[i % len(KINDS)]])
                accounts.append((number, ledger))
    return accounts


def write_transfers(path, accounts, chance):
    """Transfers over five years, one in twenty reserved first and then posted in part, voided, or left open."""
    of_ledger = defaultdict(list)
    for number, ledger in accounts:
        of_ledger[ledger].append(number)
    time = BEGIN_NS + 10**9
    step = 150_000_000 * 10**9 // TRANSACTIONS
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["timestamp", "id", "ledger", "debit_account", "credit_account", "amount_minor", "flags", "pending_id", "code"])
        for i in range(TRANSACTIONS):
            ledger = chance.choice(LEDGERS)[0]
            debit, credit = chance.sample(of_ledger[ledger], 2)
            amount = chance.randrange(10 ** chance.randrange(1, 12))
            time += chance.randrange(1, step)
            number = 1_000_000 + 2 * i
            if chance.random() >= 0.05:
                table.writerow([time, number, ledger, debit, credit, amount, 0, 0, 1])
                continue
            table.writerow([time, number, ledger, debit, credit, amount, PENDING, 0, 1])
            end = chance.choice([POST, VOID, None])
            if end is not None:
                part = chance.randrange(amount + 1) if end == POST else amount
                table.writerow([time + 1, number + 1, ledger, debit, credit, part, end, number, 1])
                time += 1


def book_today(polis):
    """What only a running ledger has: references, several postings in one, a reversal."""
    def post(path, body):
        return polis.api("POST", "/api/ledger/v1/transactions" + path, body)
    sale = post("", {"reference": "order 7; \"two\" | three, <four> & five", "postings": [
        {"from": "alice USD", "to": "Alice USD", "amount": "1234", "asset": "USD"},
        {"from": "alice JPY", "to": "Alice JPY", "amount": "1234", "asset": "JPY"}]})
    post(f"/{sale['id']}/reverse", {})
    hold = post("", {"reference": "hold", "pending": True, "postings": [{"from": "alice KWD", "to": "Alice KWD", "amount": "5005", "asset": "KWD"}]})
    post(f"/{hold['id']}/post", {"amount": "1001"})


def known_balances(polis):
    """{account id: debits - credits} in units of its asset, and {asset: sum of debits} of the trial balance."""
    digits = {asset: scale for _, asset, scale in LEDGERS}
    balances, after = {}, ""
    while True:
        page = polis.api("GET", "/api/ledger/v1/accounts?limit=1000" + (f"&after={after}" if after else ""))
        for account in page["accounts"]:
            minor = int(account["debits_posted"]) - int(account["credits_posted"])
            balances[int(account["id"])] = Decimal(minor).scaleb(-digits[account["asset"]])
        after = page.get("next")
        if not after:
            break
    trial = polis.api("GET", "/api/ledger/v1/trial-balance")
    check(trial["balanced"] and len(trial["ledgers"]) == len(LEDGERS), f"the trial balance is zero: {trial}")
    return balances, {total["asset"]: Decimal(total["debits_decimal"]) for total in trial["ledgers"]}


def same_balances(reader, found, labels, balances):
    """`found` is {label: balance}; what has no line is zero."""
    check(len(labels) == len(set(labels.values())) and set(labels.values()) <= set(balances), f"{reader}: one label an account")
    check(set(found) <= set(labels), f"{reader}: unknown accounts {sorted(set(found) - set(labels))[:3]}")
    wrong = [(label, found.get(label, 0), balances[number]) for label, number in labels.items() if found.get(label, 0) != balances[number]]
    check(not wrong, f"{reader} has other balances than polis: {wrong[:5]}")
    missing = [number for number, balance in balances.items() if balance != 0 and number not in labels.values()]
    check(not missing, f"{reader} lacks accounts {missing[:5]}")


def quantity(text):
    """The number of "-12.50 USD"."""
    return Decimal(re.sub(r"[^0-9.\-]", "", text.split(" ")[0]) or "0")


def read_with_ledger(client, path, balances, debits):
    with open(path, encoding="utf-8") as file:
        labels = {label: int(number) for label, number in re.findall(r"^account (.*)\n    note polis account (\d+)$", file.read(), re.M)}
    out = client.run("ledger", "-f", path, "--pedantic", "balance", "--flat", "--no-total", "--balance-format", "%(account)\t%(display_total)\n",
                     limit_s=300)
    found = {}
    for line in out.splitlines():
        label, amount = line.split("\t")
        found[label] = quantity(amount)
    same_balances("ledger", found, labels, balances)
    check(client.run("ledger", "-f", path, "balance", limit_s=300).rstrip().endswith("0"), "ledger: all currencies add up to zero")
    out = client.run("ledger", "-f", path, "balance", "--limit", "amount > 0", "--flat", "--no-total", "--balance-format", "%(display_total)\n",
                     limit_s=300)
    totals = defaultdict(Decimal)
    for line in out.splitlines():
        totals[line.split(" ")[-1]] += quantity(line)
    check(totals == debits, f"ledger: the debits of the trial balance: {totals} and {debits}")


def read_with_hledger(client, path, balances, debits):
    with open(path, encoding="utf-8") as file:
        labels = {label: int(number) for label, number in re.findall(r"^account (.*)  ; type:., polis_id:(\d+)$", file.read(), re.M)}
    client.run("hledger", "-f", path, "check", limit_s=300)
    client.run("hledger", "-f", path, "check", "--strict", limit_s=300)
    rows = list(csv.reader(io.StringIO(client.run("hledger", "-f", path, "balance", "--flat", "--no-total", "-O", "csv", limit_s=300))))
    found = {label: quantity(amount) for label, amount in rows[1:]}
    same_balances("hledger", found, labels, balances)
    rows = list(csv.reader(io.StringIO(client.run("hledger", "-f", path, "balance", "amt:>0", "--flat", "-O", "csv", limit_s=300))))
    totals = {part.split(" ")[-1]: quantity(part) for part in rows[-1][1].split(", ")}
    check(totals == debits, f"hledger: the debits of the trial balance: {totals} and {debits}")


# Runs in the interpreter that Debian's beancount belongs to.
BEANCOUNT = r"""
import sys
from collections import defaultdict
from decimal import getcontext
from beancount import loader
from beancount.core import data
getcontext().prec = 60
entries, errors, options = loader.load_file(sys.argv[1])
balances, debits = defaultdict(int), defaultdict(int)
for entry in entries:
    if isinstance(entry, data.Open):
        print("open", entry.account, entry.meta["polis_id"])
    elif isinstance(entry, data.Transaction):
        for posting in entry.postings:
            balances[posting.account] += posting.units.number
            if posting.units.number > 0:
                debits[posting.units.currency] += posting.units.number
for account, number in balances.items():
    print("balance", account, number)
for currency, number in debits.items():
    print("debits", currency, number)
sys.exit(len(errors) > 0)
"""


def read_with_beancount(client, path, balances, debits):
    check(client.run("bean-check", path, limit_s=600).strip() == "", "bean-check has nothing to say")
    labels, found, totals = {}, {}, {}
    for line in client.run("/usr/bin/python3", "-c", BEANCOUNT, path, limit_s=600).splitlines():
        kind, name, number = line.split(" ")
        if kind == "open":
            labels[name] = int(number)
        else:
            (found if kind == "balance" else totals)[name] = Decimal(number)
    same_balances("beancount", found, labels, balances)
    check(totals == debits, f"beancount: the debits of the trial balance: {totals} and {debits}")


def read_csv(path, balances, debits):
    found, totals = defaultdict(Decimal), defaultdict(Decimal)
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        check(not any(cell[:1] in ("=", "+", "-", "@") for cell in row.values()), f"a spreadsheet would compute {row}")
        if int(row["flags"]) & (PENDING | VOID):
            continue
        found[int(row["debit_account"])] += Decimal(row["amount"])
        found[int(row["credit_account"])] -= Decimal(row["amount"])
        totals[row["asset"]] += Decimal(row["amount"])
    check(all(found.get(number, 0) == balance for number, balance in balances.items()), "CSV: every balance follows from its rows")
    check(totals == debits, f"CSV: the debits of the trial balance: {dict(totals)} and {debits}")
    return len(rows)


def signed(mark, amount):
    return amount if mark in ("C", "CRDT") else -amount


def read_mt940(text):
    """Checks lengths and running balances of every page; returns the closing balance and the number of entries."""
    check(text.isascii(), "MT940 is ASCII")
    entries, balance = 0, None
    pages = text.split("\r\n-\r\n")
    check(pages.pop() == "", "MT940: every page is closed")
    for number, page in enumerate(pages):
        check(len(page) + 5 <= 2000, f"MT940: page {number} has {len(page)} characters")
        check(all(len(line) <= 65 + 4 and not line.startswith("-") for line in page.split("\r\n")), "MT940: lines are short")
        for tag, content in re.findall(r"^:(\d\d[A-Z]?):(.*?)\r?$", page, re.M):
            if tag in ("60F", "60M", "62F", "62M"):
                check(tag[2] == "F" or 0 < number or tag == "62M", "MT940: only the first opening balance is final")
                stated = signed(content[0], Decimal(content[10:].replace(",", ".")))
                check(balance in (None, stated), f"MT940: page {number} says {stated} where {balance} is due")
                balance = stated
            elif tag == "61":
                entries += 1
                mark, amount = re.match(r"\d{10}([CD])([0-9]+,[0-9]*)NTRF", content).groups()
                balance += signed(mark, Decimal(amount.replace(",", ".") + "0"))
    return balance, entries


def read_camt(client, path):
    # The schema is ISO's and not in this tree: who has camt.053.001.08.xsd names it.
    schema = os.environ.get("POLIS_CAMT_SCHEMA")
    client.run("xmllint", "--noout", *(["--schema", schema] if schema else []), path)
    space = {"c": "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"}
    statement = ElementTree.parse(path).getroot().find("c:BkToCstmrStmt/c:Stmt", space)

    def amount(element):
        return signed(element.find("c:CdtDbtInd", space).text, Decimal(element.find("c:Amt", space).text))
    order = [child.tag.split("}")[1] for child in statement]
    entries = statement.findall("c:Ntry", space)
    check(order[:8] == ["Id", "ElctrncSeqNb", "CreDtTm", "FrToDt", "Acct", "Bal", "Bal", "Ntry"], f"camt.053: elements are in order: {order[:9]}")
    check([b.find("c:Tp/c:CdOrPrtry/c:Cd", space).text for b in statement.findall("c:Bal", space)] == ["OPBD", "CLBD"], "both balances")
    children = ["NtryRef", "Amt", "CdtDbtInd", "Sts", "BookgDt", "ValDt", "AcctSvcrRef", "BkTxCd", "NtryDtls"]
    check(all([child.tag.split("}")[1] for child in entry] == children for entry in entries), "camt.053: entries have their elements in order")
    opening, closing = (amount(b) for b in statement.findall("c:Bal", space))
    check(opening + sum(map(amount, entries)) == closing, "camt.053: opening balance and entries give the closing balance")
    return closing, len(entries)


def statements(polis, client, balances):
    for name, number in (("alice USD", 1000), ("alice EUR", 1001), ("alice JPY", 1002), ("Zürich KWD", 1000 + 4 * NAMES.index("Zürich") + 3)):
        files = {}
        for form in ("json", "mt940", "camt053"):
            files[form] = client.path(f"statement.{form}")
            polis.command("ledger", "statement", name, "--format", form, "--out", files[form], limit_s=300)
        with open(files["mt940"], encoding="ascii", newline="") as file:
            mt940 = read_mt940(file.read())
        camt = read_camt(client, files["camt053"])
        check(mt940 == camt, f"{name}: MT940 has {mt940}, camt.053 {camt}")
        check(mt940[0] == -balances[number], f"{name}: the statement closes with {mt940[0]}, the account has {balances[number]}")


def import_again(polis, client, csv_path):
    """The exports make the same books somewhere else."""
    accounts = client.path("accounts_out.csv")
    polis.command("ledger", "export", "--accounts", "--out", accounts)
    with Polis(systems=("ledger",)) as other:
        for ledger, asset, scale in LEDGERS:
            other.command("ledger", "ledger", "add", str(ledger), asset, "--scale", str(scale))
        other.command("ledger", "import", accounts, "--accounts", limit_s=300)
        other.command("ledger", "import", csv_path, limit_s=300)
        check(known_balances(other) == known_balances(polis), "the imported books have other balances")
        again = other.json("ledger", "import", csv_path, limit_s=300)
        check(again["created"] == 0 and again["existed"] == again["rows"], f"the same file again books nothing: {again}")
        broken = client.path("broken.csv")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("time,debit_account,credit_account,amount\n2019-01-01,1000,1004,1.005\n")
        other.command("ledger", "import", broken, status=None)
        check("line 2, column amount" in other.last_error, f"a wrong row is named: {other.last_error}")


def test(polis):
    client = Client(polis, {"LC_ALL": "C.UTF-8", "LEDGER_FILE": "/dev/null"})
    seed = int(os.environ.get("POLIS_SEED", "7"))
    for ledger, asset, scale in LEDGERS:
        polis.command("ledger", "ledger", "add", str(ledger), asset, "--scale", str(scale))
    accounts = write_accounts(client.path("accounts.csv"))
    polis.command("ledger", "import", client.path("accounts.csv"), "--accounts")
    write_transfers(client.path("transfers.csv"), accounts, random.Random(seed))
    polis.command("ledger", "import", client.path("transfers.csv"), limit_s=300)
    book_today(polis)
    balances, debits = known_balances(polis)

    paths = {}
    for form, extension in (("ledger", "ledger"), ("hledger", "journal"), ("beancount", "beancount"), ("csv", "csv")):
        paths[form] = client.path(f"books.{extension}")
        polis.command("ledger", "export", "--format", form, "--out", paths[form], limit_s=300)
    rows = read_csv(paths["csv"], balances, debits)
    check(rows >= TRANSACTIONS, f"the export has all {TRANSACTIONS} transactions: {rows}")
    read_with_ledger(client, paths["ledger"], balances, debits)
    read_with_hledger(client, paths["hledger"], balances, debits)
    read_with_beancount(client, paths["beancount"], balances, debits)
    statements(polis, client, balances)
    import_again(polis, client, paths["csv"])


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

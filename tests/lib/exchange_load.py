"""Brokers that trade over FIX and know afterwards what must be true: every report once and always the same, every fill in its order's sum, every share
in somebody's balance. They live over the death of the venue that they trade on."""
import random
import socket
import threading
import time

from polis import Failed, check, wait_for

SOH = "\x01"
# What may differ when a message is sent again: framing, time of sending, the marks of a resend.
VOLATILE = {"8", "9", "10", "43", "52", "97", "122"}
OUTSTANDING_MAX = 300
SHARES_EACH, MONEY_EACH = 1_000_000, 1_000_000_000
SYMBOLS = ("ABC", "XYZ")


class Closed(Exception):
    """The venue is gone, or closed the connection."""


def now_text():
    seconds = time.time()
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03}"


class Broker:
    """One session and its account."""

    def __init__(self, index, seed):
        self.name, self.account = f"BRK{index}", f"A{index}"
        self.chance = random.Random(f"{seed}-{self.name}")
        self.prefix = f"{seed % 100000}.{index}."
        self.orders_sent = 0
        self.socket, self.buffer = None, b""
        self.totals = {"orders": 0, "reports": 0, "fills": 0, "again": 0, "resent": 0, "gone": 0}
        self.begin_anew({symbol: SHARES_EACH for symbol in SYMBOLS})

    def begin_anew(self, shares):
        """Nothing is known of any order or message; both numbers are 1."""
        self.next_out = 1
        self.sent = {}  # number: (type, fields), of application messages
        self.got = {}  # number: fields, or None of administrative messages
        self.applied = 0
        self.outstanding = {}  # ClOrdID: number that carried it
        self.answered = set()  # numbers of ours that the venue has answered
        self.orders = {}  # OrderID: [newest ClOrdID, symbol, side, quantity, filled]
        self.executions = set()
        self.shares = dict(shares)
        self.reset = False

    # --- bytes

    def connect(self, port):
        self.buffer = b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def frame(self, kind, number, fields, again=False):
        head = f"35={kind}{SOH}34={number}{SOH}"
        head += f"43=Y{SOH}" if again else ""
        time_text = now_text()
        head += f"49={self.name}{SOH}52={time_text}{SOH}56=POLIS{SOH}"
        head += f"122={time_text}{SOH}" if again else ""
        body = head + "".join(f"{tag}={value}{SOH}" for tag, value in fields)
        text = f"8=FIX.4.4{SOH}9={len(body)}{SOH}{body}"
        return (text + f"10={sum(text.encode()) % 256:03}{SOH}").encode()

    def write(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Closed(str(error)) from None

    def send(self, kind, fields):
        number, self.next_out = self.next_out, self.next_out + 1
        self.write(self.frame(kind, number, fields))

    def receive(self, limit_s):
        """Messages that have come, as lists of (tag, value)."""
        self.socket.settimeout(limit_s)
        try:
            data = self.socket.recv(1 << 18)
        except (TimeoutError, socket.timeout):
            return []
        except OSError as error:
            raise Closed(str(error)) from None
        if not data:
            raise Closed("end of stream")
        self.buffer += data
        messages = []
        begin = 0
        while True:
            end = self.buffer.find(b"\x0110=", begin)
            if end < 0 or len(self.buffer) < end + 8:
                break
            text = self.buffer[begin : end + 8].decode()
            check(text.startswith("8=FIX.4.4\x01") and text.endswith(SOH), f"{self.name}: framing is lost at {text[:200]!r}")
            messages.append([tuple(field.split("=", 1)) for field in text[:-1].split(SOH)])
            begin = end + 8
        self.buffer = self.buffer[begin:]
        return messages

    # --- what comes

    def take(self, message):
        fields = dict(message)
        kind, number, again = fields["35"], int(fields["34"]), fields.get("43") == "Y"
        if kind == "2":
            self.answer_resend(int(fields["7"]))
        elif kind == "4":
            check(fields.get("123") == "Y", f"{self.name}: a SequenceReset that is no gap fill")
            for gone in range(number, int(fields["36"])):
                self.note(gone, None, again)
            return
        elif kind == "1":
            self.send("0", [("112", fields["112"])])
        elif kind in "35":
            raise Failed(f"{self.name}: the venue says {message}")
        self.note(number, None if kind in "012345A" else [field for field in message if field[0] not in VOLATILE], again)

    def note(self, number, fields, again):
        if number in self.got:
            check(again, f"{self.name}: number {number} came twice and was not marked so: {self.got[number]} and {fields}")
            check(self.got[number] == fields, f"{self.name}: number {number} was {self.got[number]} and is {fields} when sent again")
            self.totals["again"] += 1
            return
        self.got[number] = fields
        while self.applied + 1 in self.got:
            self.applied += 1
            if self.got[self.applied] is not None:
                self.apply(dict(self.got[self.applied]))

    def settle_request(self, client_id):
        number = self.outstanding.pop(client_id, None)
        if number is not None:
            self.answered.add(number)

    def apply(self, report):
        """A report, in the order of numbers, once each."""
        self.totals["reports"] += 1
        kind = report["35"]
        if kind == "j":
            numbers = {number: client_id for client_id, number in self.outstanding.items()}
            if int(report["45"]) in numbers:
                self.settle_request(numbers[int(report["45"])])
            return
        self.settle_request(report["11"])
        if kind == "9":
            return
        check(kind == "8", f"{self.name}: an unknown message {report}")
        check(report["17"] not in self.executions, f"{self.name}: execution {report['17']} is there twice: {report}")
        self.executions.add(report["17"])
        event, order_id = report["150"], report["37"]
        if event == "8":
            return
        filled = int(report["14"])
        if event == "0":
            check(order_id not in self.orders, f"{self.name}: order {order_id} is new twice")
            self.orders[order_id] = [report["11"], report["55"], report["54"], int(report["38"]), 0]
            return
        check(order_id in self.orders, f"{self.name}: a report about order {order_id} that was never new: {report}")
        order = self.orders[order_id]
        if event == "F":
            size = int(report["32"])
            check(order[4] + size == filled, f"{self.name}: order {order_id} had {order[4]} filled; a fill of {size} makes it {filled}")
            order[4] = filled
            self.shares[order[1]] += size if order[2] == "1" else -size
            self.totals["fills"] += 1
        else:
            check(order[4] == filled, f"{self.name}: order {order_id} had {order[4]} filled, and now {filled} without a fill: {report}")
        if event == "5":
            order[0], order[3] = report["11"], int(report["38"])
        if report["39"] in "248C":
            del self.orders[order_id]

    def answer_resend(self, begin):
        """The venue never got what is from `begin` on. So it cannot have answered any of it."""
        for number in range(begin, self.next_out):
            if number in self.sent:
                check(number not in self.answered, f"{self.name}: the venue answered {number} once, {self.sent[number]}, and has lost it")
        end, run = self.next_out, begin
        again = self.chance.random() < 0.5
        for number in range(begin, end):
            if number not in self.sent:
                continue
            if not again:
                self.outstanding.pop(self.sent[number][2], None)
                self.totals["gone"] += 1
                continue
            if run < number:
                self.write(self.frame("4", run, [("36", str(number)), ("123", "Y")], True))
            kind, fields, _ = self.sent[number]
            self.write(self.frame(kind, number, fields, True))
            self.totals["resent"] += 1
            run = number + 1
        if run < end:
            self.write(self.frame("4", run, [("36", str(end)), ("123", "Y")], True))

    # --- what goes

    def order(self):
        """One request: mostly new orders around one price, cancels and replaces of open ones."""
        self.orders_sent += 1
        client_id = self.prefix + str(self.orders_sent)
        what = self.chance.random()
        if what < 0.6 or len(self.orders) < 5:
            kind = "D"
            price = 10000 + self.chance.randint(-8, 8)
            fields = [("11", client_id), ("38", str(self.chance.randint(1, 60))), ("40", "2"), ("44", f"{price / 100:.2f}"),
                      ("54", self.chance.choice("12")), ("55", self.chance.choice(SYMBOLS)),
                      ("59", "3" if self.chance.random() < 0.15 else "1"), ("60", now_text())]  # fmt: skip
        else:
            open_order = self.orders[self.chance.choice(list(self.orders)[-200:])]
            fields = [("11", client_id)]
            if what < 0.92:
                kind = "F"
                fields += [("41", open_order[0]), ("54", open_order[2]), ("55", open_order[1]), ("60", now_text())]
            else:
                kind = "G"
                price = 10000 + self.chance.randint(-8, 8)
                fields += [("38", str(open_order[4] + self.chance.randint(1, 60))), ("40", "2"), ("41", open_order[0]),
                           ("44", f"{price / 100:.2f}"), ("54", open_order[2]), ("55", open_order[1]), ("59", "1"), ("60", now_text())]  # fmt: skip
        number, self.next_out = self.next_out, self.next_out + 1
        self.sent[number] = (kind, fields, client_id)
        self.outstanding[client_id] = number
        self.totals["orders"] += 1
        return self.frame(kind, number, fields)

    def trade(self, ended):
        """Until the venue is gone, or `ended`."""
        try:
            while not ended.is_set():
                room = OUTSTANDING_MAX - len(self.outstanding)
                if room > 0:
                    self.write(b"".join(self.order() for _ in range(min(room, self.chance.randint(1, 20)))))
                for message in self.receive(0.002):
                    self.take(message)
        except Closed:
            pass

    def log_on(self, port, reset=False):
        """Connects, and asks again for a part of what came before, up to everything."""
        self.connect(port)
        known = max(self.got, default=0)
        self.send("A", [("98", "0"), ("108", "30")] + ([("141", "Y")] if reset else []))
        messages = []
        limit = time.monotonic() + 20
        while not messages:
            check(time.monotonic() < limit, f"{self.name}: no answer to Logon")
            messages = self.receive(1)
        check(dict(messages[0])["35"] == "A", f"{self.name}: Logon was answered by {messages[0]}")
        for message in messages:
            self.take(message)
        if known:
            begin = max(1, self.applied + 1 - int(self.chance.random() ** 3 * 4000))
            self.send("2", [("7", str(begin)), ("16", "0")])

    def settle(self):
        """Until everything sent is answered, and nothing is missing before what came last."""
        limit = time.monotonic() + 60
        while self.outstanding or self.applied != max(self.got, default=0):
            check(time.monotonic() < limit, f"{self.name}: {len(self.outstanding)} requests have no answer, first {sorted(self.outstanding.items())[:3]}; "
                  f"numbers up to {self.applied} are there, and {max(self.got, default=0)}")  # fmt: skip
            for message in self.receive(0.05):
                self.take(message)

    def listen(self):
        """Takes what has come, without waiting long."""
        while messages := self.receive(0.02):
            for message in messages:
                self.take(message)


class Market:
    """Some brokers, each driven by a thread while they trade."""

    def __init__(self, seed, brokers=4):
        self.brokers = [Broker(index + 1, seed) for index in range(brokers)]
        self.threads, self.ended, self.failures = [], threading.Event(), []

    def define(self, polis):
        for symbol in SYMBOLS:
            polis.command("exchange", "instrument", "set", symbol, "--band", "50%")
        for broker in self.brokers:
            polis.command("exchange", "account", "add", broker.account)
            polis.command("exchange", "risk", "set", broker.account, "--rate", "0", "--burst", "0", "--open-orders", "0")
            polis.command("exchange", "session", "set", broker.name, "--account", broker.account, "--rate", "0")
            polis.command("exchange", "fund", broker.account, "USD", str(MONEY_EACH))
            for symbol in SYMBOLS:
                polis.command("exchange", "fund", broker.account, symbol, str(SHARES_EACH))
        polis.command("exchange", "phase", "all", "continuous")

    def each(self, work):
        """Runs `work` for every broker at once; a failure of one is the failure of all."""
        failures = []

        def guarded(broker):
            try:
                work(broker)
            except Exception as error:  # told by the caller's thread
                failures.append(error)

        threads = [threading.Thread(target=guarded, args=(broker,)) for broker in self.brokers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def begin(self):
        self.ended.clear()

        def trade(broker):
            try:
                broker.trade(self.ended)
            except Exception as error:  # told by end()
                self.failures.append(error)

        self.threads = [threading.Thread(target=trade, args=(broker,), daemon=True) for broker in self.brokers]
        for thread in self.threads:
            thread.start()

    def end(self):
        """After the kill: all threads are back."""
        self.ended.set()
        for thread in self.threads:
            thread.join(30)
        for broker in self.brokers:
            broker.close()
        if self.failures:
            raise self.failures[0]

    def log_on(self, port, reset=False):
        self.each(lambda broker: broker.log_on(port, reset))

    def settle(self):
        self.each(Broker.settle)

    def balances(self, polis):
        """{account: {asset: total}}, the venue's own included."""
        shown = {}
        for account in ["venue", *(broker.account for broker in self.brokers)]:
            answer = polis.json("exchange", "account", "show", account)
            shown[account] = {balance["asset"]: balance for balance in answer["balances"]}
        return shown

    def compare(self, polis):
        """What the brokers were told is what the venue holds; nothing came or went."""

        def differences():
            self.each(Broker.listen)
            shown = self.balances(polis)
            wrong = []
            for broker in self.brokers:
                for symbol in SYMBOLS:
                    total = int(shown[broker.account].get(symbol, {"total": "0"})["total"])
                    if total != broker.shares[symbol]:
                        wrong.append(f"{broker.account} has {total} {symbol}, its reports make {broker.shares[symbol]}")
                held = polis.json("exchange", "orders", broker.account, "--limit", "10000")["orders"]
                if len(held) != min(len(broker.orders), 10000):
                    wrong.append(f"{broker.account} has {len(held)} open orders, its reports make {len(broker.orders)}")
            for asset, each in (("USD", MONEY_EACH * 100), *((symbol, SHARES_EACH) for symbol in SYMBOLS)):
                total = sum(int(balances[asset]["total"].replace(".", "")) for balances in shown.values() if asset in balances)
                if total != each * len(self.brokers):
                    wrong.append(f"all accounts together have {total} of {asset}, and {each * len(self.brokers)} came in")
            return wrong

        # Reports of the last trades may still be under way.
        end = time.monotonic() + 15
        while wrong := differences():
            if time.monotonic() > end:
                raise Failed("; ".join(wrong))

    def totals(self):
        return {kind: sum(broker.totals[kind] for broker in self.brokers) for kind in self.brokers[0].totals}


def replays_to_its_hash(polis):
    """The live venue's outputs were all compared by its shadow; a fresh replay of the files must agree with it at the same place."""
    status = wait_for("the shadow has caught up", 30, lambda: caught_up(polis))
    check(status["healthy"], f"the venue is not well: {status}")
    whole = polis.json("exchange", "replay", "--verify")
    short = polis.json("exchange", "replay", "--to", whole["sequence"])
    check(int(whole["sequence"]) >= int(status["sequence"]), f"the replay ended at {whole['sequence']}, the venue stands at {status['sequence']}")
    check(whole["hash"] == short["hash"], f"hash from the first record {whole['hash']}, from the newest snapshot {short['hash']}")
    return int(whole["steps"])


def caught_up(polis):
    status = polis.json("exchange", "status")
    return status if int(status["shadow"]) >= int(status["sequence"]) else None

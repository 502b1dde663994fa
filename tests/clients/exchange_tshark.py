#!/usr/bin/env python3
"""Wireshark's dissector of FIX reads a recorded conversation: QuickFIX with the venue, orders, trades, rejects, a gap and what fills it. Nothing is
malformed and every checksum is right. The recording is made by a proxy, so no right to capture is needed."""
import os
import socket
import struct
import subprocess
import threading

from exchange_client import QuickFix, check, now, run_exchange, set_up

PORT = 9878


class Recorder:
    """A TCP proxy that keeps what passes, as (connection, from the client, bytes)."""

    def __init__(self, port):
        self.target, self.passed, self.lock, self.count = port, [], threading.Lock(), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.target))
            self.count += 1
            for source, sink, client in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, sink, self.count, client), daemon=True).start()

    def _pump(self, source, sink, connection, client):
        try:
            while data := source.recv(65536):
                with self.lock:
                    self.passed.append((connection, client, data))
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def write(self, path):
        """As a capture file: Ethernet, IPv4, TCP; a connection's bytes in segments of up to 1,400."""
        sequence = {}
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for number, (connection, client, data) in enumerate(self.passed):
                for at in range(0, len(data), 1400):
                    part = data[at:at + 1400]
                    ours, theirs = sequence.setdefault((connection, client), 1000), sequence.setdefault((connection, not client), 1000)
                    ports = (20000 + connection, PORT) if client else (PORT, 20000 + connection)
                    tcp = struct.pack(">HHIIBBHHH", *ports, ours, theirs, 5 << 4, 0x18, 65535, 0, 0)
                    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(part), number & 0xFFFF, 0, 64, 6, 0, *[bytes([127, 0, 0, n]) for n in
                                                                                                            ((1, 2) if client else (2, 1))])
                    frame = bytes(12) + b"\x08\x00" + ip + tcp + part
                    file.write(struct.pack("<IIII", 1_700_000_000 + number, 0, len(frame), len(frame)) + frame)
                    sequence[(connection, client)] = ours + len(part)


class Door:
    """Looks like a polis whose FIX port is the recorder's."""

    def __init__(self, polis, recorder):
        self.directory, self.recorder = polis.directory, recorder

    def port(self, _):
        return self.recorder.port


def tshark(capture, *words):
    done = subprocess.run(["tshark", "-r", capture, "-d", f"tcp.port=={PORT},fix", "-o", "tcp.desegment_tcp_streams:TRUE", *words],
                          text=True, capture_output=True, timeout=120, check=False)
    check(done.returncode == 0, f"tshark {' '.join(words)} ended with {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def test(polis):
    set_up(polis, ["MAKER", "TAKER"])
    recorder = Recorder(polis.port("exchange.fix"))
    maker, taker = (QuickFix(Door(polis, recorder), name).start() for name in ("MAKER", "TAKER"))
    for n in range(20):
        maker.order("2", 10, f"100.{n:02}")
        check(maker.app()[150] == "0", "accepted")
    own = maker.order("1", 5, "99.00")
    maker.app()
    maker.send("G", t11=maker.fresh_id(), t41=own, t54="1", t55="ABC", t60=now(), t38=6, t40="2", t44="99.01")
    maker.app()
    maker.send("F", t11=maker.fresh_id(), t41="nobody", t54="1", t55="ABC", t60=now())
    check(maker.app().type() == "9", "cancel reject")
    maker.send("6", t23="x", t28="N", t55="ABC", t54="1", t27="L")
    check(maker.app().type() == "j", "business reject")
    maker.cut()
    taker.order("1", 200, "101.00", t59="3")
    while taker.app()[39] != "2":
        pass
    maker.start()
    for _ in range(20):
        check(maker.app()[150] == "F", "fills that were missed")
    maker.send("q", t11=maker.fresh_id(), t530="7", t60=now())
    for _ in range(2):
        maker.app()
    for client in (maker, taker):
        client.stop()
        client.end()
    capture = os.path.join(polis.directory, "fix.pcap")
    recorder.write(capture)
    sent = sum(data.count(b"8=FIX.4.4\x01") for _, _, data in recorder.passed)
    types = [t for line in tshark(capture, "-Y", "fix", "-T", "fields", "-e", "fix.MsgType").split() for t in line.split(",")]
    check(len(types) == sent, f"tshark sees {len(types)} of {sent} messages")
    check(set(types) >= {"A", "D", "8", "F", "9", "G", "j", "q", "r", "2", "5"}, f"kinds of messages: {sorted(set(types))}")
    malformed = tshark(capture, "-Y", "_ws.malformed")
    check(malformed == "", f"malformed: {malformed}")
    wrong = tshark(capture, "-Y", "fix.checksum_bad == 1")
    check(wrong == "", f"checksums: {wrong}")
    print(f"{sent} messages, 0 malformed")


run_exchange(test)

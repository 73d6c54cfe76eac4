# SPDX-License-Identifier: MIT
"""What subscribers can make relay spend, whatever they do: memory and sockets are bounded, and four healthy ones get every
byte beside them.

Of each kind COUNT are there, while a publisher sends STEPS pieces; a piece goes out when the healthy ones have got the one
before, so the time that each takes them shows. The same is done first without the hostile ones. What they have sent, what
relay has grown by and worked, and the times are in the report of the tests, and in deploy/doc/security.md.
"""

import math
import socket
import time

import pytest

from relaytest import address
from relaytest.daemon import IS_SANITIZED, POLL
from relaytest.ini import web
from relaytest.stream import script
from relaytest.web import BINARY, PING, frame, request, upgrade

COUNT = 50
STEPS = 60
PIECE = 100  # messages of 1000 bytes
RING = 1 << 20
FORMATS = 3  # raw, framed, and that of the web listener
GROWTH = FORMATS * (RING + RING // 4) + (3 << 20)  # as for publishers: tests/e2e/test_hostile_publishers.py
FEW = 8  # sockets that come and go with nobody
HEADS = 64


class Hostile:
    """One subscriber: begin() when it is there, turn() at each piece of the stream; a new one takes its place when relay has
    ended it."""

    door = "a-raw"
    receive_buffer = 0
    each_turn = 1  # connections that one makes in a turn, at most

    def __init__(self, relay):
        self.relay = relay
        self.sent = self.received = self.connections = 0
        self.sock = None
        self.connect()

    def connect(self):
        self.close()
        self.sock = address.connect(self.relay.address[f"listener {self.door}"], self.receive_buffer)
        self.connections += 1
        self.begin()

    def close(self):
        if self.sock:
            self.sock.close()

    def say(self, data):
        try:
            self.sent += self.sock.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self.connect()

    def hear(self, most=65536):
        """False: it has been ended."""
        try:
            got = len(self.sock.recv(most))
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.received += got
        return got > 0

    def begin(self):
        pass

    def turn(self):
        pass


class NeverReads(Hostile):
    receive_buffer = 4096


class ReadsAByte(NeverReads):
    def turn(self):
        if not self.hear(1):
            self.connect()


class HalfClosed(Hostile):
    def begin(self):
        self.sock.shutdown(socket.SHUT_WR)

    def turn(self):
        if not self.hear(1 << 20):
            self.connect()


class OpensAndCloses(Hostile):
    def turn(self):
        if self.connections % 2:
            address.reset_on_close(self.sock)
        self.connect()


class Garbage(Hostile):
    def turn(self):
        self.say(bytes(range(256)) * 4)
        if not self.hear():
            self.connect()


class GarbageForAHead(Garbage):
    door = "web"


class Pings(Hostile):
    door = "web"

    def begin(self):
        self.say(request("/a", upgrade()))

    def turn(self):
        self.say(frame(PING, b"x" * 125) * 10)
        if not self.hear():
            self.connect()


class Messages(Pings):
    def turn(self):
        self.say(frame(BINARY, b"x" * 1000))
        if not self.hear():
            self.connect()


class Requests(Hostile):
    door = "web"
    asks = request("/a", method="HEAD")
    each_turn = 5

    def turn(self):
        for _ in range(self.each_turn):
            self.say(self.asks)
            self.hear()
            self.connect()


class OldPositions(Requests):
    asks = request("/a?from=1")


class SlowHead(Hostile):
    """A request that never ends, byte by byte."""

    door = "web"

    def begin(self):
        self.rest = iter(request("/a", {"X": "y" * 10_000}))

    def turn(self):
        self.say(bytes([next(self.rest)]))
        if not self.hear():
            self.connect()


class SlowTls(SlowHead):
    """A ClientHello in the same way: relay has no TLS."""

    def begin(self):
        self.rest = iter(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"y" * 10_000)


def raw(seen, _relay):
    return seen["subscribers"] >= 4 + COUNT


# What shows that each has done what its name says.
ROWS = {
    "never reads": (NeverReads, raw),
    "reads a byte at a time": (ReadsAByte, raw),
    "is half-closed": (HalfClosed, raw),
    "opens and closes": (OpensAndCloses, lambda seen, _: seen["subscribers_total"] >= 4 + COUNT * STEPS // 2),
    "sends garbage": (Garbage, lambda seen, _: seen.get("closed_input", 0) >= COUNT),
    "sends garbage for a request": (GarbageForAHead, lambda _, relay: relay.get("http_refused_web_bad_request", 0) >= COUNT),
    "sends pings for ever": (Pings, lambda seen, _: seen.get("closed_flood", 0) >= COUNT),
    "sends messages for ever": (Messages, lambda seen, _: seen.get("closed_input", 0) >= COUNT),
    "asks and asks": (Requests, lambda _, relay: relay.get("http_requests_web", 0) >= COUNT * STEPS),
    "asks for what is gone": (OldPositions, lambda _, relay: relay.get("http_requests_web", 0) >= COUNT * STEPS),
    "sends a head byte by byte": (SlowHead, lambda seen, _: seen["subscribers"] == 4),
    "sends a TLS hello byte by byte": (SlowTls, lambda seen, _: seen["subscribers"] == 4),
}


def quantile(times, part):
    return sorted(times)[min(int(len(times) * part), len(times) - 1)] * 1000


def publish(lab, relay, publisher, readers, first, hostile=(), bound=math.inf):
    """STEPS pieces, each when all have got the one before, and relay has no more than `bound` sockets. How long each
    took, and the most sockets of relay."""
    made, times, most = readers[0].script, [], 0
    for step in range(first, first + STEPS):
        for one in hostile:
            one.turn()
        most = max(most, relay.socket_links())
        end = made.ends[(step + 1) * PIECE - 1]
        begin = made.ends[step * PIECE - 1] if step else 0
        started = time.monotonic()
        publisher.send(made.wire[begin:end])
        lab.loop.run(lambda end=end: all(one.position == end for one in readers), what="the healthy ones")
        times.append(time.monotonic() - started)
        lab.loop.run(lambda: relay.socket_links() <= bound, what=f"no more than {bound} sockets", poll=POLL)
    return times, most


@pytest.mark.parametrize("row", ROWS)
def test_what_subscribers_cost(lab, record_property, row):
    kind, has_done_it = ROWS[row]
    made = script("u32be", (1000,) * (2 * STEPS * PIECE), 1)
    sections = web(framing="u32be", ring="1m", segment="128k", on_slow="skip", options={"max_heads": HEADS})
    relay = lab.start({"relay": {"workers": 1}} | sections)
    readers = relay.subscribe("a-framed", made, 4)
    relay.wait("a", subscribers=4)
    publisher = relay.publish("a")
    cpu = relay.cpu_ms()
    alone, _ = publish(lab, relay, publisher, readers, 0)
    cpu_alone, cpu = relay.cpu_ms() - cpu, relay.cpu_ms()
    memory, sockets = relay.resident(), relay.socket_links()
    hostile = [kind(relay) for _ in range(COUNT)]
    # The first byte behind a FIN meets a reset, and the next one that reset: two pieces, and one may be under way.
    bound = sockets + COUNT * (1 + 3 * kind.each_turn) + FEW
    beside, most = publish(lab, relay, publisher, readers, STEPS, hostile, bound)
    relay.wait("a", test=lambda seen: has_done_it(seen, relay.blocks[-1]["relay"]))
    cpu_beside, grown = relay.cpu_ms() - cpu, relay.resident() - memory
    for one in hostile:
        address.reset_on_close(one.sock)
        one.close()
    relay.wait("a", subscribers=4)
    relay.run_until_done(readers)
    figures = {"bytes sent": sum(one.sent for one in hostile), "connections": sum(one.connections for one in hostile),
               "RSS grown": grown, "sockets": most - sockets, "ms of work alone": round(cpu_alone),
               "ms of work beside": round(cpu_beside), "ms p99 alone": round(quantile(alone, 0.99), 1),
               "ms p99 beside": round(quantile(beside, 0.99), 1)}
    for name, value in figures.items():
        record_property(name, value)
    print(f"{row}: {figures}")
    assert IS_SANITIZED or grown <= GROWTH
    assert all(one.end is None for one in readers)

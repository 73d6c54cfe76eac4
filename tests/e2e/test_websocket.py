# SPDX-License-Identifier: MIT
"""WebSocket subscribers: what they send, how they end, and that other implementations understand relay."""

import asyncio
import struct
import threading

import pytest

from relaytest.ini import web
from relaytest.stream import KIB, script, text_script
from relaytest.surroundings import needs, python_module
from relaytest.web import BINARY, CLOSE, PING, PONG, TEXT, WebSocketSubscriber, frame

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
CONTINUATION = 0


@pytest.fixture
def one(lab):
    """A subscriber of a quiet feed; one.relay is its relay."""
    relay = lab.start(web(heartbeat="0", options={"max_input": "4k", "input_rate": "1"}))
    made = WebSocketSubscriber(lab.loop, relay.address["listener web"], script("none", (10,), 1))
    relay.peers.append(made)
    made.relay = relay
    relay.wait("a", subscribers=1)
    return made


def closed(lab, one, code, reason):
    lab.loop.run(lambda: one.end, what="the end")
    assert (one.close_code, one.end) == (code, "fin"), (one.close_code, one.close_words, one.end)
    one.relay.wait("a", subscribers=0, test=lambda seen: seen[f"closed_{reason}"] == 1)


def test_pings_are_answered(lab, one):
    for text in (b"", b"x", b"y" * 125):
        one.send_frame(PING, text)
    lab.loop.run(lambda: len(one.pongs) == 3, what="pongs")
    assert one.pongs == [b"", b"x", b"y" * 125]
    one.send_frame(PONG, b"unasked")
    one.send_frame(TEXT, b"hello", final=False)
    one.send_frame(PING, b"between")
    one.send_frame(CONTINUATION, b" there")
    one.send_frame(BINARY, b"z" * 1000)
    lab.loop.run(lambda: len(one.pongs) == 4, what="a pong between fragments")
    publisher = one.relay.publish("a", one.script.wire)
    one.relay.run_until_done([one])
    publisher.flush()
    one.send_frame(CLOSE, struct.pack(">H", 1000) + b"bye")
    closed(lab, one, 1000, "peer_closed")


@pytest.mark.parametrize("code", [None, 1000, 1001, 3000, 4999])
def test_a_close_is_answered_with_its_code(lab, one, code):
    one.send_frame(CLOSE, struct.pack(">H", code) if code else b"")
    closed(lab, one, code or 1005, "peer_closed")


@pytest.mark.parametrize("code, reason, frames", [
    (1002, "bad_frame", [dict(opcode=BINARY, data=b"x", mask=False)]),
    (1002, "bad_frame", [dict(opcode=3)]),
    (1002, "bad_frame", [dict(opcode=11)]),
    (1002, "bad_frame", [dict(opcode=TEXT, data=b"x", reserved=0x40)]),
    (1002, "bad_frame", [dict(opcode=PING, data=b"x" * 126)]),
    (1002, "bad_frame", [dict(opcode=PING, final=False)]),
    (1002, "bad_frame", [dict(opcode=CONTINUATION)]),
    (1002, "bad_frame", [dict(opcode=TEXT, final=False), dict(opcode=TEXT)]),
    (1002, "bad_frame", [dict(opcode=CLOSE, data=b"x")]),
    (1002, "bad_frame", [dict(opcode=CLOSE, data=struct.pack(">H", 1005))]),
    (1007, "input_not_text", [dict(opcode=TEXT, data=b"\xff\xfe")]),
    (1007, "input_not_text", [dict(opcode=CLOSE, data=b"\x03\xe8\xff")]),
    (1009, "input_too_long", [dict(opcode=BINARY, data=b"x" * 4097)]),
    (1009, "input_too_long", [dict(opcode=BINARY, data=b"x" * 100_000, only=8000)]),  # the rest would meet a closed socket
    (1008, "input", [dict(opcode=BINARY, data=b"x" * 3000)] * 2),
    (1008, "input", [dict(opcode=BINARY)] * 800),
    (1008, "input", [dict(opcode=TEXT, final=False)] + [dict(opcode=CONTINUATION, final=False)] * 800),
    (1008, "input", [dict(opcode=PONG)] * 800),
    (1008, "flood", [dict(opcode=PING)] * 40),
])
def test_what_is_wrong_has_its_code(lab, one, code, reason, frames):
    one.send_frames([frame(**each) for each in frames])
    closed(lab, one, code, reason)


def test_the_length_that_killed_others(lab, one):
    """A length of 64 bits with the highest one set."""
    one.sock.send(b"\x82\xff" + b"\xff" * 8 + b"mask")
    closed(lab, one, 1002, "bad_frame")


def test_pongs_come_between_packets(lab):
    """While the stream runs, and to one that reads slowly: no frame is torn by them."""
    made = script("u32be", (70_000, 100, 300_000) * 20, 4)
    relay = lab.start(web(framing="u32be", options={"send_buffer": "16k", "user_timeout": "0"}, **LOSSLESS))
    readers = relay.subscribe("web", made, 3, kind=WebSocketSubscriber, receive_buffer=16 * KIB)
    relay.wait("a", subscribers=3)
    publisher = relay.publish("a", made.wire)
    for number in range(8):
        for reader in readers:
            reader.send_frame(PING, b"%d" % number)
        lab.loop.run_for(0.02)
    relay.run_until_done(readers)
    lab.loop.run(lambda: all(len(one.pongs) == 8 for one in readers), what="pongs")
    publisher.flush()


def test_heartbeats_are_pings(lab):
    relay = lab.start(web(heartbeat="50ms"))
    one = relay.subscribe("web", script("none", (1,), 1), kind=WebSocketSubscriber)
    lab.loop.run(lambda: one.pings >= 3, what="pings")


@pytest.mark.parametrize("heartbeat, at_once", [("10ms", 1), ("100ms", 40)])
def test_answers_to_heartbeats_are_no_flood(lab, heartbeat, at_once):
    """However often relay asks, and when a client that was away answers all at once."""
    relay = lab.start(web(heartbeat=heartbeat))
    one = relay.subscribe("web", script("none", (1,), 1), kind=WebSocketSubscriber)
    answered = 0

    def answer():
        nonlocal answered
        while one.pings - answered >= at_once:
            for _ in range(at_once):
                one.send_frame(PONG)
            answered += at_once
        assert not one.end, (one.close_code, one.close_words)
        return answered >= 80

    lab.loop.run(answer, what="pings", poll=0.01)
    one.send_frame(PING, b"still here?")
    lab.loop.run(lambda: one.pongs or one.end, what="a pong")
    assert one.pongs == [b"still here?"]
    relay.wait("a", subscribers=1, test=lambda seen: seen["subscriber_input"] >= 80 * 6)


def test_a_client_that_only_sends_fin_is_noticed(lab):
    relay = lab.start(web(heartbeat="50ms"))
    one = WebSocketSubscriber(lab.loop, relay.address["listener web"], script("none", (1,), 1))
    relay.wait("a", subscribers=1)
    one.close()
    relay.wait("a", subscribers=0)


def test_a_blocked_one_can_close(lab):
    """Its close frame is read though nothing can be written to it."""
    made = script("none", (256 * KIB,) * 32, 4)
    relay = lab.start(web(options={"send_buffer": "16k", "user_timeout": "0"}))
    one = relay.subscribe("web", made, kind=WebSocketSubscriber, receive_buffer=8 * KIB, paused=True)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.wait("a", subscribers_blocked=1)
    one.send_frame(CLOSE, struct.pack(">H", 1000))
    relay.wait("a", subscribers=0, closed_peer_closed=1)


class Received:
    """What python3-websockets makes of a stream, in a thread with a loop of its own."""

    def __init__(self, url, total, compression=None, **options):
        self.url = url
        self.total = total
        self.compression = compression
        self.options = options
        self.messages = []
        self.error = None
        self.opened = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            asyncio.run(self.read())
        except Exception as error:  # told by the test
            self.error = error

    async def read(self):
        import websockets

        async with websockets.connect(self.url, max_size=None, compression=self.compression,
                                      **self.options) as client:
            self.opened = True
            have = 0
            while have < self.total:
                message = await client.recv()
                self.messages.append(message)
                have += len(message)
            await (await client.ping(b"still there?"))

    @property
    def done(self):
        assert self.error is None, self.error
        return not self.thread.is_alive()


@needs(python_module, "websockets")
@pytest.mark.parametrize("kind", ["binary", "text", "per message", "subprotocol"])
def test_python_websockets(lab, kind):
    if kind == "text":
        made = text_script((100, 2000, 30) * 300, 5)
    else:
        made = script("u32be", (70_000, 100, 3000) * 30, 5)
    relay = lab.start(web(framing=made.framing, **LOSSLESS))
    raw = relay.subscribe("a-raw", made, 10)
    url = "ws://" + relay.address["listener web"].removeprefix("tcp:") + "/a"
    query = {"text": "?text=1", "per message": "?messages=message"}.get(kind, "")
    client = Received(url + query, len(made.payload),
                      **({"subprotocols": ["relay"]} if kind == "subprotocol" else {}))
    relay.wait("a", subscribers=11)
    relay.publish("a", made.wire)
    relay.run_until_done(raw)
    lab.loop.run(lambda: client.done, what="the client", poll=0.01)
    joined = ("" if kind == "text" else b"").join(client.messages)
    assert (joined.encode() if kind == "text" else joined) == made.payload
    if kind == "per message":
        assert client.messages == made.wire_pieces()
    assert isinstance(client.messages[0], str) == (kind == "text")
    relay.wait("a", subscribers=10)

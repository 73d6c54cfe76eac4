# SPDX-License-Identifier: MIT
"""The verifiers see what they are there to see: each kind of damage to a stream raises."""

import time

import pytest

from relaytest import address, packet
from relaytest.loop import READ, Loop
from relaytest.stream import position_coded, script
from relaytest.subscriber import FramedSubscriber, LineSubscriber, Subscriber

SIZES = (5, 300, 1, 70, 4096)
SESSION = 9


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


def serve(loop, wire, kind, made, **options):
    """A subscriber that is sent wire and then FIN."""
    listener, where = address.listen("tcp:127.0.0.1:0")
    subscriber = kind(loop, where, made, **options)
    loop.run(lambda: readable(loop, listener))
    sock = listener.accept()[0]
    sock.sendall(wire)
    sock.close()
    listener.close()
    try:
        loop.run(lambda: subscriber.end)
    finally:
        subscriber.close()
    return subscriber


def readable(loop, listener):
    seen = []
    loop.watch(listener, READ, seen.append)
    loop.turn(1)
    loop.unwatch(listener)
    return seen


def framed(made, damage=None):
    """The script as a right relay would send it, one packet a message; damage edits the packets."""
    parts = [packet.encode(packet.HEARTBEAT, session=SESSION, sequence=40)]
    now = time.time_ns()
    for index in range(made.count):
        body = made.message(index)
        head = dict(count=1, length=len(body), session=SESSION, sequence=40 + index, time=now)
        parts.append((head, body))
    if damage:
        damage(parts)
    return b"".join(p if isinstance(p, bytes) else packet.encode(**p[0]) + p[1] for p in parts)


def test_position_coded_blocks_hold_their_offset():
    stream = position_coded(3, 100)
    assert len(stream) == 100
    assert [int.from_bytes(stream[at:at + 8], "little") for at in range(0, 96, 16)] == [*range(0, 96, 16)]
    assert stream != position_coded(4, 100)


@pytest.mark.parametrize("framing", ["none", "line", "u16be", "u32le", "fixed:7"])
def test_right_bytes_pass(loop, framing):
    made = script(framing, (7,) * 50, 1)
    assert serve(loop, made.payload, Subscriber, made).done
    if made.ends:
        assert serve(loop, framed(made), FramedSubscriber, made).done


def test_a_late_joiner_is_located(loop):
    made = script("none", (5000,), 1)
    joined = serve(loop, made.payload[1234:], Subscriber, made, start=None)
    assert joined.done and joined.start == 1234


@pytest.mark.parametrize("change", [
    lambda b: b[:600] + bytes([b[600] ^ 1]) + b[601:],
    lambda b: b[:600] + b[616:],
    lambda b: b[:600] + b[584:],
    lambda b: b[:640] + position_coded(2, 16) + b[656:],
])
def test_wrong_bytes_raise(loop, change):
    made = script("none", SIZES, 1)
    with pytest.raises(AssertionError, match="wrong byte"):
        serve(loop, change(made.payload), Subscriber, made)


@pytest.mark.parametrize("field, value", [
    ("sequence", 43), ("session", 8), ("count", 2), ("flags", 1), ("flags", 2), ("length", 299),
    ("type", 9), ("time", 5), ("magic", b"RLY2"),
])
def test_wrong_header_fields_raise(loop, field, value):
    made = script("u32be", SIZES, 1)
    with pytest.raises(AssertionError):
        serve(loop, framed(made, lambda parts: parts[2][0].update({field: value})),
              FramedSubscriber, made)


def test_a_gap_counts_and_a_hole_raises(loop):
    made = script("u32be", SIZES, 1)

    def gap(parts):
        parts[2:4] = [packet.encode(packet.GAP, session=SESSION, sequence=41, time=43)]

    seen = serve(loop, framed(made, gap), FramedSubscriber, made)
    assert seen.done and seen.missed == 2 and seen.messages == 3
    with pytest.raises(AssertionError, match="expected sequence 41"):
        serve(loop, framed(made, lambda parts: parts.pop(2)), FramedSubscriber, made)


def test_cut_lines_raise(loop):
    made = script("line", (30, 40, 50, 60), 1)
    whole = serve(loop, made.message(1) + made.message(3), LineSubscriber, made)
    assert whole.lines == 2 and not whole.tail
    with pytest.raises(AssertionError, match="nobody published"):
        serve(loop, made.message(1) + made.message(2)[7:], LineSubscriber, made)

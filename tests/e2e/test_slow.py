# SPDX-License-Identifier: MIT
"""Slow subscribers: skip announces exactly what is missing, disconnect resets, wait loses nothing."""

import random
import signal

import pytest

from relaytest import packet
from relaytest.ini import ENGINES, TIGHT, feed
from relaytest.stream import KIB, MIB, script
from relaytest.subscriber import LineSubscriber
from relaytest.web import Answer, request

SLOW = {"receive_buffer": 4096, "paused": True}
RING = {"ring": "512k", "segment": "64k", "grace": "0", "stall_timeout": "1h"}
WINDOW = 256 * KIB


def publish_beside(relay, name, made, leader, end=None):
    """Publishes everything, or the first end bytes, at the pace of a subscriber that reads."""
    end = len(made.wire) if end is None else end
    publisher = relay.publish(name, made.wire[:end], piece=16 * KIB).follow(leader, WINDOW)
    relay.loop.run(lambda: leader.position == end, what=lambda: f"{end}: at {leader.position}")
    return publisher


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [200, 3000, 150_000])
def test_skip_announces_exactly_what_is_missing(lab, engine, size):
    made = script("u32be", (size,) * (3 * MIB // size), 4)
    relay = lab.start(feed("a", framing="u32be", on_slow="skip", framed=TIGHT, **RING,
                           **ENGINES[engine]))
    leader = relay.subscribe("a-raw", made)
    slow = relay.subscribe("a-framed", made, **SLOW)
    relay.wait("a", subscribers=2)
    publish_beside(relay, "a", made, leader)
    relay.assert_no_spin(0.3, 15)
    slow.resume()
    relay.run_until_done([slow])
    seen = relay.feed("a")
    assert slow.gaps and slow.messages + slow.missed == made.count
    assert seen["gaps"] == len(slow.gaps) and seen["skipped_messages"] == slow.missed, seen
    missing = len(made.payload) - (slow.payload_bytes - slow.partial_bytes)
    heads = packet.BYTES * seen["in_packets"]
    assert missing <= seen["skipped_bytes"] <= missing + heads, (seen, missing)
    assert slow.partial_bytes == 0


def test_skip_with_framing_none(lab):
    """Without boundaries each packet is a message: the sum of packets holds."""
    made = script("none", (4 * MIB,), 4)
    relay = lab.start(feed("a", on_slow="skip", framed=TIGHT, raw={"on_slow": "disconnect"}, **RING))
    leader = relay.subscribe("a-framed", made)
    slow = relay.subscribe("a-framed", made, **SLOW)
    relay.wait("a", subscribers=2)
    end = len(made.wire) - 1000
    publisher = publish_beside(relay, "a", made, leader, end)
    slow.resume()
    lab.loop.run(lambda: slow.gaps, what="the gap")
    publisher.send(made.wire[end:])
    relay.run_until_done([leader, slow])
    assert slow.messages + slow.missed == relay.feed("a")["in_messages"]


@pytest.mark.parametrize("engine", ENGINES)
def test_raw_skip_never_cuts_a_message(lab, engine):
    made = script("line", tuple(40 + at * 7 % 5000 for at in range(2000)), 6)
    relay = lab.start(feed("a", framing="line", raw=TIGHT | {"on_slow": "skip"}, **RING,
                           **ENGINES[engine]))
    leader = relay.subscribe("a-framed", made)
    slow = relay.subscribe("a-raw", made, kind=LineSubscriber, **SLOW)
    relay.wait("a", subscribers=2)
    end = made.ends[-50]
    publisher = publish_beside(relay, "a", made, leader, end)
    slow.resume()
    relay.wait("a", gaps=1)
    publisher.send(made.wire[end:])
    relay.run_until_done([leader, slow])
    seen = relay.feed("a")
    assert slow.tail == b"" and slow.lines + seen["skipped_messages"] == made.count, seen


@pytest.mark.parametrize("engine", ENGINES)
def test_disconnect(lab, engine):
    """Who falls behind is cut with a reason and by RST; what it had got is the stream's beginning."""
    made = script("none", (4 * MIB,), 8)
    relay = lab.start(feed("a", on_slow="disconnect", raw=TIGHT, **RING, **ENGINES[engine]))
    leader = relay.subscribe("a-raw", made)
    slow = relay.subscribe("a-raw", made, **SLOW)
    relay.wait("a", subscribers=2)
    publish_beside(relay, "a", made, leader)
    relay.wait("a", subscribers=1, closed_lag=1)
    slow.resume()
    lab.loop.run(lambda: slow.end, what="the end of the slow one")
    assert slow.end == "rst" and slow.position < len(made.payload)
    relay.wait_log(r"\blag\b|fell behind")


def test_raw_without_framing_is_disconnected_by_default(lab):
    made = script("none", (4 * MIB,), 8)
    relay = lab.start(feed("a", raw=TIGHT, **RING))
    leader = relay.subscribe("a-raw", made)
    relay.subscribe("a-raw", made, **SLOW)
    relay.wait("a", subscribers=2)
    publish_beside(relay, "a", made, leader)
    relay.wait("a", subscribers=1, closed_lag=1)


@pytest.mark.parametrize("engine", ENGINES)
def test_wait_loses_nothing(lab, engine):
    """The publisher is held while a reader stands still, twice; everybody gets every byte."""
    made = script("u32be", (70_000, 300, 4096) * 320, 2)
    relay = lab.start(feed("a", framing="u32be", on_slow="wait", raw=TIGHT, framed=TIGHT,
                           **RING, **ENGINES[engine]))
    readers = relay.subscribe("a-raw", made, 3) + relay.subscribe("a-framed", made, 3)
    slow = [relay.subscribe("a-raw", made, **SLOW), relay.subscribe("a-framed", made, **SLOW)]
    relay.wait("a", subscribers=8)
    publisher = relay.publish("a", made.wire)
    relay.wait("a", test=lambda seen: seen["wait_pauses"] > 0)
    relay.assert_no_spin(0.3, 15)
    for one in slow:
        one.read_exactly(2 * MIB)
    lab.loop.run(lambda: all(one.received == one.limit for one in slow), what="half of it")
    relay.wait("a", test=lambda seen: seen["subscribers_blocked"] >= 1)
    assert not publisher.done  # far more than the buffers of both kernels hold
    for one in slow:
        one.unlimited()
    relay.run_until_done(readers + slow)
    seen = relay.feed("a")
    assert seen["gaps"] == 0 and seen["subscribers"] == 8, seen


def test_stall_timeout(lab):
    """A dead reader holds a waiting feed for stall_timeout only."""
    made = script("none", (4 * MIB,), 2)
    relay = lab.start(feed("a", on_slow="wait", raw=TIGHT, **(RING | {"stall_timeout": "300ms"})))
    reader = relay.subscribe("a-raw", made)
    relay.subscribe("a-raw", made, **SLOW)
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire).follow(reader, 64 * KIB)  # so little that it never waits for this test
    relay.wait("a", subscribers=1, closed_stalled=1)
    relay.run_until_done([reader])


@pytest.mark.parametrize("limit", [{"max_lag": "128k"}, {"max_lag_time": "200ms"}])
def test_lag_limits_inside_the_ring(lab, limit):
    made = script("u32be", (1000,) * 3000, 2)
    ring = RING | {"ring": "64m", "heartbeat": "100ms"}
    relay = lab.start({"relay": {"workers": 1}}
                      | feed("a", framing="u32be", on_slow="skip", framed=TIGHT, **ring, **limit))
    leader = relay.subscribe("a-framed", made)
    slow = relay.subscribe("a-framed", made, **SLOW)
    relay.wait("a", subscribers=2)
    publisher = relay.publish("a", made.wire, piece=16 * KIB).follow(leader, WINDOW)
    lab.loop.run(lambda: leader.position > 2 * MIB, what="2 MiB of 3")
    if "max_lag_time" in limit:
        publisher.follow(leader, 0)
        lab.loop.run_for(0.3)
        publisher.follow(leader, WINDOW)
    relay.run_until_done([leader])
    beats = len(leader.heartbeats)  # limits are looked at before each
    lab.loop.run(lambda: len(leader.heartbeats) > beats, what="a heartbeat")
    slow.resume()
    relay.run_until_done([slow])
    assert slow.missed and slow.messages + slow.missed == made.count


def test_grace_spares_a_new_subscriber(lab):
    made = script("none", (4 * MIB,), 2)
    relay = lab.start(feed("a", on_slow="disconnect", raw=TIGHT, **(RING | {"ring": "8m", "grace": "60s"}),
                           max_lag="128k"))
    leader = relay.subscribe("a-raw", made)
    slow = relay.subscribe("a-raw", made, **SLOW)
    relay.wait("a", subscribers=2)
    publish_beside(relay, "a", made, leader)
    slow.resume()
    relay.run_until_done([slow])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("burst, least, most", [("0", 0, 0), ("20k", 18, 21), ("1h", 100, 100)])
def test_burst(lab, engine, burst, least, most):
    """A new subscriber begins that far back, at a message; then it goes on without a hole. One worker: in
    another one the live edge may be a message behind what the leader has."""
    made = script("u32be", (1020,) * 120, 2)
    relay = lab.start({"relay": {"workers": 1}} | feed("a", framing="u32be", burst=burst, on_slow="wait", **ENGINES[engine]))
    leader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a")
    for index in range(100):
        publisher.send(made.message(index))
        lab.loop.run(lambda: leader.position == made.ends[index], what=f"message {index}")
    late = relay.subscribe("a-framed", made, base=leader.base)
    lab.loop.run(lambda: late.session is not None and late.messages >= least, what="the burst")
    raw = relay.subscribe("a-raw", made, start=None)
    relay.wait("a", subscribers=3)
    publisher.send(made.wire[made.ends[99]:])
    relay.run_until_done([leader, late, raw])
    assert least + 20 <= late.messages <= most + 20
    assert late.start is not None and (len(made.payload) - raw.start) % 1024 == 0
    assert least + 20 <= (len(made.payload) - raw.start) // 1024 <= most + 20


def begins_in_the_past(subscriber):
    """Its first message had come before it was greeted."""
    return subscriber.headers[0].time < subscriber.heartbeats[0]


def test_a_burst_smaller_than_a_packet_is_that_packet(lab):
    """On a quiet feed, and on a busy one, whose packets are as long as a segment: each newcomer reaches the past."""
    made = script("u32be", (150_000,) * 60, 2)
    relay = lab.start(feed("a", framing="u32be", burst="1k", on_slow="wait", stall_timeout="60s"))
    leader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a")
    others = []
    for index in range(20):
        publisher.send(made.message(index))
        lab.loop.run(lambda: leader.position == made.ends[index], what=f"message {index}")
        others.append(relay.subscribe("a-framed", made, base=leader.base))
        lab.loop.run(lambda: others[-1].messages, what=f"what came before newcomer {index}")
        assert others[-1].start <= index and begins_in_the_past(others[-1])
    publisher.send(made.wire[made.ends[19]:])
    while not leader.done:
        some = relay.subscribe("a-framed", made, base=leader.base)
        lab.loop.run(lambda: some.messages, what="messages")
        assert begins_in_the_past(some)
        others.append(some)
    relay.run_until_done([leader, *others])


def test_a_burst_by_time_goes_by_arrival(lab):
    """Another relay's clock says 2023; what came from there came a moment ago, and nothing of it came years ago."""
    made = script("relay", (1000,) * 30, 2)
    relay = lab.start(feed("a", framing="relay", burst="1h", on_slow="wait", max_lag_time="1h", stall_timeout="60s"))
    leader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.run_until_done([leader])
    late = relay.subscribe("a-raw", made)
    relay.run_until_done([late])


def test_nobody_is_punished_for_a_pause_of_relay(lab):
    """It is stopped for longer than anybody may be silent, take nothing, lag, or be at a request."""
    made = script("u32be", (3000,) * 2000, 4)
    times = {"stall_timeout": "3s", "max_lag_time": "3s", "source_timeout": "3s", "grace": "0"}
    relay = lab.start({**feed("a", framing="u32be", on_slow="disconnect", framed=TIGHT, ring="16m", **times),
                       "listener web": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http",
                                        "head_timeout": "3s", "on_slow": "skip"}})
    leader = relay.subscribe("a-raw", made)
    held = relay.subscribe("a-framed", made, **SLOW)
    relay.wait("a", subscribers=2)
    head = request("/a?burst=0", method="HEAD")
    late = Answer(relay, "web", head[:5])
    publisher = relay.publish("a", made.wire, piece=16 * KIB).follow(leader, WINDOW)
    lab.loop.run(lambda: leader.position > 2 * MIB, what="2 MiB of 6")
    relay.process.send_signal(signal.SIGSTOP)
    late.sock.send(head[5:])
    lab.loop.run_for(4)
    relay.process.send_signal(signal.SIGCONT)
    lab.loop.run(lambda: late.data, what="an answer")
    assert late.data.startswith(b"HTTP/1.1 200 "), late.data
    held.resume()
    relay.run_until_done([leader, held])
    publisher.flush()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("framing", ["u32be", "line"])
def test_random_pauses(lab, engine, framing):
    """Ten readers stop and go on at random: for each and for all, received + announced = published."""
    chance = random.Random(9)
    made = script(framing, tuple(chance.choice((2, 90, 1400, 9000, 300_000)) for _ in range(400)), 9)
    relay = lab.start(feed("a", framing=framing, on_slow="skip", framed=TIGHT, **(RING | {"ring": "1m"}),
                           **ENGINES[engine]))
    leader = relay.subscribe("a-raw", made)
    readers = relay.subscribe("a-framed", made, 10, receive_buffer=4096)
    relay.wait("a", subscribers=11)
    relay.publish("a", made.wire, piece=16 * KIB).follow(leader, 2 * WINDOW)
    while not leader.done:
        getattr(chance.choice(readers), chance.choice(("pause", "pause", "resume")))()
        lab.loop.turn(0.001)
    for reader in readers:
        reader.resume()
    relay.run_until_done(readers)
    for reader in readers:
        assert reader.messages + reader.missed == made.count and reader.partial_bytes == 0
    seen = relay.feed("a")
    assert seen["gaps"] == sum(len(reader.gaps) for reader in readers) > 0, seen
    assert seen["skipped_messages"] == sum(reader.missed for reader in readers), seen

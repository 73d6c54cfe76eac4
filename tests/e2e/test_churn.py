# SPDX-License-Identifier: MIT
"""Subscribers that come and go in the middle of a stream, publishers that flap, and very long messages."""

import random

import pytest

from relaytest.ini import ENGINES, feed
from relaytest.stream import MIB, script

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
WAYS = ("close", "reset", "half_close")


@pytest.mark.parametrize("engine", ENGINES)
def test_joining_and_leaving(lab, engine):
    """300 subscribers join anywhere and leave anyhow: each one's bytes are the stream's, from the start
    of a message; two that stay get everything."""
    chance = random.Random(5)
    made = script("u32be", tuple(chance.choice((1, 90, 1400, 9000, 70_000)) for _ in range(1600)), 5)
    starts = {made.start_of(index) for index in range(made.count + 1)}
    relay = lab.start(feed("a", framing="u32be", ring="1m", burst="256k", **ENGINES[engine], **LOSSLESS))
    staying = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    lab.loop.run(lambda: staying[1].base is not None, what="the first heartbeat, which tells the sequence")
    last = made.start_of(made.count - 1)
    publisher = relay.publish("a", made.wire[:last]).follow(staying[0], MIB)
    joined, guests = 0, []
    while joined < 300 and staying[0].position < last:
        if len(guests) < 30:
            joined += 1
            kind = chance.choice(("raw", "framed"))
            options = {"base": staying[1].base} if kind == "framed" else {"start": None}
            guest = relay.subscribe(f"a-{kind}", made, **options)
            guest.enough = chance.choice((1, 40, 5000, 200_000))
            guests.append(guest)
        lab.loop.turn(0.001)
        for guest in [g for g in guests if g.received >= g.enough]:
            assert guest.start is None or guest.start in starts
            getattr(guest, chance.choice(WAYS))()
            guests.remove(guest)
    lab.loop.run(lambda: publisher.done, what="all but the last message")
    publisher.send(made.wire[last:])  # shows relay which of the half-closed are closed
    relay.run_until_done(staying)
    seen = relay.feed("a")
    assert joined > 60 and seen["gaps"] == 0 and seen["in_messages"] == made.count, seen


@pytest.mark.parametrize("framing", ["line", "u32be", "relay"])
@pytest.mark.parametrize("engine", ["splice", "compact", "copy", "auto"])
def test_flapping_publisher(lab, engine, framing):
    """Publishers are cut anywhere; the next goes on with the first message that was not published."""
    chance = random.Random(6)
    made = script(framing, tuple(chance.choice((1, 90, 9000, 200_000)) for _ in range(300)), 6)
    starts = wire_starts(made)
    more = {"last_line": "drop"} if framing == "line" else {}  # half a line is none
    relay = lab.start(feed("a", framing=framing, takeover="replace", engine=engine, **LOSSLESS, **more))
    readers = [relay.subscribe("a-raw", made),
               relay.subscribe("a-framed", made, same_session=made.session is None)]
    relay.wait("a", subscribers=2)
    turns = 0
    while (seen := relay.feed("a")["in_messages"]) < made.count:
        begin = starts[seen]
        end = min(len(made.wire), begin + chance.choice((3, 7, 5000, 150_000, 2_000_000)))
        publisher = relay.publish("a", made.wire[begin:end]).flush()
        turns += 1
        getattr(publisher, chance.choice(("close", "reset")))()
        relay.wait("a", source_losses=turns)
    relay.run_until_done(readers)
    assert turns > 20 and all(reader.end is None for reader in readers)


def wire_starts(made):
    """Where each message begins in what the publisher sends (relay: one message a packet)."""
    heads = 32 if made.times is not None else 0
    return [made.start_of(index) + heads * index for index in range(made.count)]


@pytest.mark.parametrize("framing", ["line", "u32be", "relay"])
@pytest.mark.parametrize("engine", ["splice", "compact", "copy"])
def test_messages_of_64_mib(lab, engine, framing):
    """Longer than any segment and than the ring."""
    made = script(framing, (64 * MIB - 4, 5, 20 * MIB), 7)
    relay = lab.start(feed("a", framing=framing, engine=engine, max_message="64m", ring="1m", **LOSSLESS))
    readers = relay.subscribe("a-raw", made, 2)
    readers.append(relay.subscribe("a-framed", made, same_session=made.session is None))
    relay.wait("a", subscribers=3)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    assert relay.feed("a")["in_messages"] == 3

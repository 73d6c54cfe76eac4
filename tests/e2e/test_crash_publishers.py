# SPDX-License-Identifier: MIT
"""relay dies, and its publisher goes on in the next process where all that was taken of it has been published: no byte is
lost, and none comes twice. Otherwise it is closed by reset, and connects again."""

import random

import pytest

from relaytest import packet
from relaytest.crashing import Crashing
from relaytest.ini import ENGINES, TIGHT, feed
from relaytest.stream import MIB, script

SIZES = (70_000, 300, 4096, 1) * 30
SLOW = {"receive_buffer": 4096, "paused": True}
KEPT = 2
KILLS_MAX = 60
FRAMINGS = ["none", "line", "u32be", "relay"]


def sections_of(ingest="listen tcp:127.0.0.1:0", **options):
    return {"relay": {"workers": 2}} | feed("a", ingest, raw=TIGHT, on_slow="wait", stall_timeout="1h", ring="4m", **options)


def went_on(crashing, publisher):
    """It is there, and nobody has been told that it had gone."""
    seen = crashing.relay.feed("a")
    assert publisher.lost is None
    assert seen["source_up"] == seen["source_connects"] == 1 and not seen["source_losses"], seen


def is_gone(crashing, publisher):
    """As if it had been cut; the next one is let in."""
    crashing.lab.loop.run(lambda: publisher.lost, what="the publisher's end")
    seen = crashing.relay.wait("a", source_up=0)
    assert seen["source_losses"] == seen["source_crash"] == 1, seen


def cut(made, count):
    """Where `count` of the messages end: in what is sent, and in what is read."""
    if not made.ends:
        return [len(made.wire) * count // len(SIZES)] * 2
    return made.ends[count - 1] + (packet.BYTES * count if made.times else 0), made.ends[count - 1]


@pytest.mark.parametrize("where", ["tcp", "unix"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_it_goes_on_between_two_messages(lab, framing, where):
    made = script(framing, SIZES, 2)
    crashing = Crashing(lab, sections_of("listen tcp:127.0.0.1:0" if where == "tcp" else f"listen unix:{lab.directory}/in",
                                         framing=framing))
    readers = crashing.relay.subscribe("a-raw", made, 4)
    crashing.relay.wait("a", subscribers=4)
    publisher = crashing.relay.publish("a")
    sent = 0
    for count in (10, 61, 90):
        begin, (sent, read) = sent, cut(made, count)
        publisher.send(made.wire[begin:sent])
        lab.loop.run(lambda: all(one.position == read for one in readers), what="what was published")
        assert crashing.die_at_rest(keeps_publishers=True) == (4, 0)
        went_on(crashing, publisher)
    publisher.send(made.wire[sent:])
    crashing.relay.run_until_done(readers)
    went_on(crashing, publisher)
    publisher.half_close()
    assert crashing.relay.wait("a", source_up=0)["source_peer_closed"] == 1


def test_it_is_read_on_with_fewer_subscribers(lab):
    """start_subscribers have been there once. That one of them has left since does not hold it up."""
    made = script("u32be", SIZES, 2)
    crashing = Crashing(lab, sections_of(framing="u32be", start_subscribers=2))
    stays, leaves = crashing.relay.subscribe("a-raw", made, 2)
    crashing.relay.wait("a", subscribers=2)
    publisher = crashing.relay.publish("a", made.wire[:made.ends[9]])
    lab.loop.run(lambda: stays.position == made.ends[9], what="what was published")
    leaves.reset()
    crashing.relay.wait("a", subscribers=1)
    assert crashing.die_at_rest(keeps_publishers=True) == (1, 0)
    went_on(crashing, publisher)
    publisher.send(made.wire[made.ends[9]:])
    crashing.relay.run_until_done([stays])


@pytest.mark.parametrize("framing", ["none", "u32be"])
def test_what_waits_in_its_socket_is_read(lab, framing):
    """relay had not taken it, since a slow subscriber is waited for."""
    made = script(framing, SIZES * 8, 2)
    crashing = Crashing(lab, sections_of(framing=framing, engine="splice"))
    slow = crashing.relay.subscribe("a-raw", made, **SLOW)
    crashing.relay.wait("a", subscribers=1)
    publisher = crashing.relay.publish("a", made.wire)
    assert crashing.relay.wait("a", test=lambda seen: seen["wait_pauses"])["in_bytes"] < len(made.wire)
    assert crashing.die_at_rest(keeps_publishers=True) == (1, 0)
    went_on(crashing, publisher)
    slow.unlimited()
    crashing.relay.run_until_done([slow])
    went_on(crashing, publisher)


@pytest.mark.parametrize("engine", ["splice-gift", "compact", "copy"])
def test_killed_at_full_rate(lab, engine):
    """At any moment: it goes on, and whoever survives has every byte, or it is reset. Until it has gone on twice."""
    made = script("none", SIZES * 8, 3)
    crashing = Crashing(lab, sections_of(framing="none", **ENGINES[engine]))
    pick = random.Random(engine)
    kept = kills = 0
    while kept < KEPT:
        assert kills < KILLS_MAX
        kills += 1
        readers = crashing.relay.subscribe("a-raw", made, 4)
        crashing.relay.wait("a", subscribers=4)
        publisher = crashing.relay.publish("a", made.wire)
        much = pick.randrange(1, 3 * MIB)
        lab.loop.run(lambda: publisher.sent >= much, what="some of it")
        before = crashing.relay.feed("a")["source_losses"]
        resumed, lost = crashing.die(keeps_publishers=True)
        assert resumed + lost == 4
        lab.loop.run(lambda: sum(one.end is None for one in readers) == resumed, what="the lost ones to be closed")
        is_kept = crashing.relay.feed("a")["source_losses"] == before
        if is_kept:
            crashing.relay.run_until_done([one for one in readers if one.end is None])
            kept += resumed > 0
        else:
            lab.loop.run(lambda: publisher.lost, what="its end")
        assert publisher.lost == (None if is_kept else "rst")
        for one in [publisher, *readers]:
            one.reset()
        crashing.relay.wait("a", subscribers=0, source_up=0)


def test_half_a_message_ends_it(lab):
    made = script("u32be", SIZES, 2)
    crashing = Crashing(lab, sections_of(framing="u32be", engine="copy"))
    publisher = crashing.relay.publish("a", made.wire[:made.ends[3] + 1])
    crashing.relay.wait("a", in_messages=4)
    assert crashing.die_at_rest(keeps_publishers=True) == (0, 0)
    is_gone(crashing, publisher)
    assert publisher.lost == "rst"


def test_another_framing_ends_it(lab):
    made = script("line", SIZES, 2)
    sections = sections_of(framing="line")
    crashing = Crashing(lab, sections)
    publisher = crashing.relay.publish("a", made.wire)
    crashing.relay.wait("a", in_messages=len(SIZES))
    sections["feed a"]["framing"] = "nul"
    assert crashing.die_at_rest(keeps_publishers=True) == (0, 0)
    is_gone(crashing, publisher)

# SPDX-License-Identifier: MIT
"""framing = ts: packets of MPEG transport streams are found, and only whole ones are published."""

import pytest

from relaytest.ini import ENGINES, feed, web
from relaytest.stream import Script
from relaytest.transport_stream import PACKET, media_script, ts_script
from relaytest.web import WebSubscriber, ask

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
DATAGRAM = 7 * PACKET
WORKERS = {"relay": {"workers": 2}}


def ts_feed(**options):
    return feed("a", framing="ts", **LOSSLESS, **options)


def whole(payload):
    """A script of the packets in payload."""
    return Script("ts", payload, ends=range(PACKET, len(payload) + 1, PACKET))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("piece", [100, DATAGRAM, 1448, 200_000])
def test_whole_packets_however_they_come(lab, engine, piece):
    """Garbage, then packets in pieces of any size: all of them come, the last one as well."""
    made = ts_script(3000 if piece > 100 else 300, 1)
    relay = lab.start(WORKERS | ts_feed(**ENGINES[engine]))
    readers = relay.subscribe("a-raw", made, 4) + relay.subscribe("a-framed", made, 4)
    relay.wait("a", subscribers=len(readers))
    publisher = relay.publish("a").send(b"\x11" * 100).send(made.wire, piece)
    relay.run_until_done(readers)
    assert publisher.lost is None
    relay.wait("a", in_messages=made.count, unsynced_bytes=100, sync_losses=0)
    relay.wait_log("no TS packet found")


def test_who_joins_begins_at_a_packet(lab):
    made = ts_script(2000, 2)
    relay = lab.start(ts_feed(burst="64k"))
    first = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", b"\x22" * 100 + made.wire[:1000 * PACKET])
    relay.wait("a", in_messages=1000)
    raw = relay.subscribe("a-raw", made, start=None)
    framed = relay.subscribe("a-framed", made, base=1)
    relay.wait("a", subscribers=3)
    publisher.send(made.wire[1000 * PACKET:])
    relay.run_until_done([first, raw, framed])
    assert raw.start % PACKET == 0 and 0 < raw.start < 1000 * PACKET
    assert 0 < framed.headers[0].sequence < 1000


@pytest.mark.parametrize("engine", ENGINES)
def test_a_torn_packet_is_not_published(lab, engine):
    """Bytes are lost inside a packet, and the cut lies where it would end: none of it comes."""
    made = ts_script(600, 3)
    broken, lost = 300 * PACKET + 90, 40
    sent = made.wire[:broken] + made.wire[broken + lost:]
    expected = whole(made.wire[:300 * PACKET] + made.wire[301 * PACKET:])
    relay = lab.start(ts_feed(**ENGINES[engine]))
    readers = [relay.subscribe("a-raw", expected), relay.subscribe("a-framed", expected)]
    relay.wait("a", subscribers=2)
    relay.publish("a").send(sent[:300 * PACKET + 100], DATAGRAM).send(sent[300 * PACKET + 100:301 * PACKET]).send(
        sent[301 * PACKET:], 1448)
    relay.run_until_done(readers)
    relay.wait("a", sync_losses=1, unsynced_bytes=PACKET - lost, in_messages=599)
    relay.wait_log("no TS packet found")


@pytest.mark.parametrize("distance, reason", [(192, "ts_with_time"), (204, "ts_with_parity")])
def test_packets_of_another_size_are_named(lab, distance, reason):
    made = ts_script(50, 4)
    wire = b"".join(piece + bytes(distance - PACKET) for piece in made.wire_pieces())
    relay = lab.start(ts_feed())
    publisher = relay.publish("a", wire)
    lab.loop.run(lambda: publisher.lost, what="the publisher to be closed")
    relay.wait_log(f"publisher down .*reason={reason} .*{distance} bytes")
    relay.wait("a", **{f"source_{reason}": 1, "in_messages": 0})


def test_a_publisher_that_comes_back_is_searched_anew(lab):
    """The last packet of one that ends is whole; the next one begins in the middle of a packet."""
    made = ts_script(100, 5)
    relay = lab.start(ts_feed())
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire[:50 * PACKET]).flush().close()
    relay.wait("a", in_messages=50, source_losses=1, partial_messages=0)
    relay.publish("a", made.wire[50 * PACKET - 60:])
    relay.run_until_done([reader])
    relay.wait("a", unsynced_bytes=60)


def test_a_hand_over_inside_a_packet(lab):
    made = ts_script(2000, 6)
    relay = lab.start(WORKERS | ts_feed())
    readers = relay.subscribe("a-raw", made, 2) + relay.subscribe("a-framed", made, 2)
    relay.wait("a", subscribers=4)
    publisher = relay.publish("a")
    for count in range(0, 2000, 200):
        at, end = count * PACKET + 77 * bool(count), (count + 200) * PACKET + 77
        publisher.send(made.wire[at:end]).flush()
        lab.loop.run(lambda sent=count + 200: all(r.position == sent * PACKET for r in readers), what="packets")
        relay.upgrade()
    relay.run_until_done(readers)
    relay.wait("a", unsynced_bytes=0, sync_losses=0, in_messages=2000)


GROUP, LEAD = 500, 20


def begins_at_tables(one, group):
    assert one.start == group * GROUP * PACKET, one.start / PACKET


@pytest.mark.parametrize("engine", ENGINES)
def test_a_player_begins_at_the_newest_key_frame(lab, engine):
    """With the tables before it; in every worker and format; over a hand-over; and by a request."""
    made = media_script(5, GROUP, LEAD, 7)
    sections = WORKERS | ts_feed(burst="keyframe", **ENGINES[engine])
    sections["listener web"] = {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http"}
    relay = lab.start(sections)
    first = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    sent = (3 * GROUP + 300) * PACKET
    publisher = relay.publish("a").send(made.wire[:sent], DATAGRAM)
    lab.loop.run(lambda: first.position == sent, what="packets")

    def join(count):
        return relay.subscribe("a-raw", made, count, start=None), relay.subscribe("a-framed", made, base=1)

    def check(raw, framed):
        for one in raw:
            begins_at_tables(one, 3)
        assert framed.headers[0].sequence == 1 + 3 * GROUP

    readers = [join(4)]
    asked = relay.subscribe("web", made, kind=WebSubscriber, path="/a?burst=keyframe", start=None)
    relay.wait("a", subscribers=7)
    relay.upgrade()
    readers.append(join(4))
    relay.wait("a", subscribers=12)
    publisher.send(made.wire[sent:])
    everybody = [first, asked] + [one for raw, framed in readers for one in (*raw, framed)]
    relay.run_until_done(everybody)
    begins_at_tables(asked, 3)
    for raw, framed in readers:
        check(raw, framed)


def test_without_a_key_frame_a_player_begins_live(lab):
    made = ts_script(400, 8)
    relay = lab.start(ts_feed(burst="keyframe"))
    first = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", made.wire[:300 * PACKET])
    lab.loop.run(lambda: first.position == 300 * PACKET, what="packets")
    late = relay.subscribe("a-raw", made, start=300 * PACKET)
    relay.wait("a", subscribers=2)
    publisher.send(made.wire[300 * PACKET:])
    relay.run_until_done([first, late])


def test_only_a_feed_with_key_frames_can_be_asked_for_one(lab):
    relay = lab.start(web(framing="line"))
    assert ask(relay, "/a?burst=keyframe")[0] == 400

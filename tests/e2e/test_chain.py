# SPDX-License-Identifier: MIT
"""Relay behind relay, and the two companions: session, sequence and time are kept all the way."""

import signal
import subprocess

import pytest

from relaytest import address, packet
from relaytest.daemon import BIN
from relaytest.ini import ENGINES, feed
from relaytest.loop import CEILING
from relaytest.stream import script
from relaytest.web import Answer, request

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}


def what_counts(reader):
    """(sequence, count, length, session, time) by the last message of a packet: packets may be cut
    differently on the way, but where one begins it begins alike."""
    return {h.sequence: (h.session, h.time) for h in reader.headers}


@pytest.mark.parametrize("engine", ENGINES)
def test_relay_behind_relay(lab, engine):
    made = script("u32be", (5, 900, 70_000, 1, 700_000, 4096) * 4, 1)
    first = lab.start(feed("a", framing="u32be", **ENGINES[engine], **LOSSLESS))
    where = first.address["listener a-framed"]
    second = lab.start(feed("b", f"connect {where}", framing="relay", **ENGINES[engine], **LOSSLESS),
                       name="second.ini")
    first.wait("a", subscribers=1)
    upper = first.subscribe("a-framed", made)
    lower = [second.subscribe("b-framed", made, same_session=False) for _ in range(3)]
    raw = second.subscribe("b-raw", made)
    first.wait("a", subscribers=2)
    second.wait("b", subscribers=4)
    pieces = made.wire_pieces()
    first.publish("a").send_each(pieces)
    first.run_until_done([upper, *lower, raw])
    told = what_counts(upper)
    for reader in lower:
        assert reader.session == upper.session
        assert what_counts(reader).items() <= told.items()
    assert second.feed("b")["source_missed"] == 0


def test_a_break_in_the_incoming_sequence_is_a_gap(lab):
    made = script("relay", (500,) * 50, 1)
    relay = lab.start(feed("a", framing="relay", **LOSSLESS))
    reader = relay.subscribe("a-framed", made, same_session=False)
    relay.wait("a", subscribers=1)
    one = len(made.wire) // made.count
    publisher = relay.publish("a", made.wire[:10 * one])
    publisher.send(made.wire[15 * one:20 * one])
    gap = packet.encode(packet.GAP, session=made.session, sequence=made.first + 20, time=made.first + 22)
    publisher.send(gap + made.wire[22 * one:])
    relay.run_until_done([reader])
    assert reader.gaps == [(made.first + 10, made.first + 15), (made.first + 20, made.first + 22)]
    assert reader.messages + reader.missed == made.count
    assert relay.feed("a")["source_missed"] == 7


def test_sequences_beyond_32_bits(lab):
    made = script("relay", (500,) * 50, 1, group=5, first=2**32 - 20, session=2**32 - 1)
    relay = lab.start(feed("a", framing="relay", **LOSSLESS))
    reader = relay.subscribe("a-framed", made, same_session=False)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.run_until_done([reader])
    assert reader.next == 2**32 + 30 and reader.session == 2**32 - 1


@pytest.mark.parametrize("way", ["quietly", "upgrade"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_message_in_several_packets_is_published_whole(lab, engine, way):
    """Who joins between two of them gets all of it; of one that does not end, nobody gets anything."""
    made = script("relay", (70_000, 500, 900), 1)
    relay = lab.start(feed("a", framing="relay", **ENGINES[engine], **LOSSLESS))

    def part(begin, end, sequence, flags=0):
        return packet.encode(count=0 if flags else 1, length=end - begin, session=made.session, flags=flags,
                             sequence=sequence, time=made.times.get(sequence, 1)) + made.payload[begin:end]

    def subscribe():
        return [relay.subscribe("a-framed", made, same_session=False), relay.subscribe("a-raw", made)]

    readers = subscribe()
    relay.wait("a", subscribers=2)
    publisher = relay.publish("a", part(0, 30_000, made.first, packet.CONTINUED))
    publisher.send(part(30_000, 31_000, made.first, packet.CONTINUED) + b"RLY1")
    relay.wait("a", test=lambda seen: seen["source_up"])
    if way == "upgrade":
        relay.upgrade()
    readers += subscribe()
    relay.wait("a", subscribers=4)
    broken = part(0, 2000, made.first + 1, packet.CONTINUED)
    broken += packet.encode(packet.SOURCE_UP, session=made.session, sequence=made.first + 1)
    publisher.send(part(31_000, made.ends[0], made.first)[4:] + broken)
    publisher.send(part(made.ends[0], made.ends[1], made.first + 1) + part(made.ends[1], made.ends[2], made.first + 2))
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert (seen["partial_messages"], seen["partial_bytes"], seen["in_packets"]) == (1, 2000, 3), seen


def test_a_new_session_starts_anew(lab):
    """A publisher with another session: subscribers see the session change, nobody is cut."""
    old, new = (script("relay", (500,) * 20, session, first=session, session=session) for session in (50, 60))
    relay = lab.start(feed("a", framing="relay", **LOSSLESS))
    reader = relay.subscribe("a-framed", old, same_session=False)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", old.wire)
    relay.run_until_done([reader])
    publisher.close()
    relay.wait("a", source_losses=1)
    lab.loop.run(lambda: reader.events[-1] == packet.SOURCE_DOWN, what="source down")
    reader.script, reader.payload, reader.base, reader.position = new, new.payload, new.first, 0
    relay.publish("a", new.wire)
    relay.run_until_done([reader])
    assert reader.session == 60 and not reader.gaps


def test_the_past_over_a_new_session_that_is_higher(lab):
    """It begins with the session that it goes back to. Its numbers are not those of the new one."""
    old, new = (script("relay", (500,) * 20, session, first=session, session=session) for session in (50, 60_000))
    relay = lab.start(feed("a", framing="relay", framed={"burst": "64k"}, raw={"burst": "64k"}, **LOSSLESS) | {
        "listener web": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http", "burst": "64k"}})
    publisher = relay.publish("a", old.wire)
    relay.wait("a", in_messages=20)
    publisher.close()
    relay.wait("a", source_losses=1)
    relay.publish("a", new.wire[:len(new.wire) // 2])
    relay.wait("a", in_messages=30)
    sock = address.connect(relay.address["listener a-framed"])
    sock.settimeout(CEILING)
    stream = sock.makefile("rb")
    seen = []
    while not seen or seen[-1].sequence < 60_009:
        seen.append(packet.decode(stream.read(packet.BYTES)))
        stream.read(seen[-1].length)
    sock.close()
    greeting, *told = [(one.type, one.session, one.sequence) for one in seen]
    assert greeting[0] == packet.HEARTBEAT and greeting[1:] == told[0][1:]
    told = [one for one in told if one[1] in (50, 60_000) and one[0] != packet.HEARTBEAT]
    assert told == ([(packet.DATA, 50, 50 + i) for i in range(20)] + [(packet.SOURCE_DOWN, 50, 70)] +
                    [(packet.SOURCE_UP, 50, 70)] + [(packet.DATA, 60_000, 60_000 + i) for i in range(10)])
    assert Answer(relay, "web", request("/a?from=60")).wait()[0] == 416


def test_relaycat_and_relaypub(lab):
    made = script("u32be", (500, 70_000) * 20, 1)
    source = lab.directory / "source"
    source.write_bytes(made.wire)
    relay = lab.start(feed("a", framing="u32be", **LOSSLESS))
    raw = subprocess.Popen([BIN / "relaycat", relay.address["listener a-raw"]], stdout=subprocess.PIPE)
    framed = subprocess.Popen([BIN / "relaycat", "--framed", "--verify", relay.address["listener a-framed"]],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    relay.wait("a", subscribers=2)
    sent = lab.run_tool("relaypub", "--framing", "none", relay.address["feed a"], source)
    assert sent.returncode == 0, sent.stderr
    relay.wait("a", in_messages=made.count)
    got = raw.stdout.read(len(made.wire))
    assert got == made.wire
    relay.signal(signal.SIGTERM)
    told = framed.communicate(timeout=CEILING)[1]
    assert framed.returncode == 0 and raw.wait(CEILING) == 0, told
    assert raw.stdout.read() == b""
    assert relay.wait_exit() == 0

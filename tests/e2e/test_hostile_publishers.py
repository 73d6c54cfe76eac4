# SPDX-License-Identifier: MIT
"""What a publisher can make relay take: its memory follows `ring`, whatever is sent, and stays so after it has gone.

A row sends SENT bytes. The bound is that of ring(5): for each format, `ring` and a quarter more, 128 KiB at least.
Resident memory may grow by that and SLACK, which is what a feed takes besides: buffers of the ingest, threads, and what
malloc keeps. With a service manager the rings lie in memory that outlives relay, and count in the same way.
"""

import struct

import pytest

from relaytest import address, packet
from relaytest.daemon import IS_SANITIZED, POLL
from relaytest.ini import feed
from relaytest.service_manager import ServiceManager
from relaytest.surroundings import NOBODY, another_user, as_user, needs

RING = 1 << 20
FORMATS = 2  # raw and framed
SENT = 6 << 20
SLACK = 3 << 20
BOUND = FORMATS * (RING + RING // 4)
LONG = 3 << 20
PAST = {"burst": "1"}  # there is a ring, though nobody reads


def headers(each):
    """Packets made by each(number), as many as SENT bytes have."""
    part = b"".join(each(number) for number in range(1, 1001))
    count = SENT // len(part)
    return b"".join(b"".join(each(1000 * block + number) for number in range(1, 1001)) for block in range(count))


def data(number, *, session=7, length=0):
    return packet.encode(count=1, length=length, session=session, sequence=number) + b"x" * length


def framed(kind, *bodies):
    one = b"".join(struct.pack(kind, len(body)) + body for body in bodies)
    return one * (SENT // len(one))


# framing, engine, bytes
ROWS = {
    "headers without bytes": ("relay", "copy", lambda: headers(data)),
    "a gap before each byte": ("relay", "copy", lambda: headers(lambda n: data(2 * n, length=1))),
    "a gap before each header": ("relay", "copy", lambda: headers(lambda n: data(2 * n))),
    "a session for each byte": ("relay", "copy", lambda: headers(lambda n: data(1, session=n % 2 + 1, length=1))),
    "news only": ("relay", "auto", lambda: headers(lambda n: packet.encode(packet.SOURCE_UP, session=7, sequence=1))),
    "one message that never ends": ("relay", "auto", lambda: headers(
        lambda n: packet.encode(flags=packet.CONTINUED, length=1, session=7, sequence=1) + b"x")),
    "empty lines": ("line", "copy", lambda: b"\n" * SENT),
    "empty lines in pipes": ("line", "splice", lambda: b"\n" * SENT),
    "single bytes": ("fixed:1", "copy", lambda: b"x" * SENT),
    "short and long by turns": ("u32be", "auto", lambda: framed(">I", b"x", b"y" * 70_000)),
    "just too long for two in a block": ("u32be", "copy", lambda: framed(">I", b"y" * 32_760)),
    "messages longer than the ring": ("u32be", "splice", lambda: framed(">I", b"y" * LONG)),
}


def publish_all(lab, relay, wire):
    """Until relay has read it and the publisher has gone."""
    publisher = relay.publish("a", wire)
    lab.loop.run(lambda: publisher.done and not publisher.unacknowledged or publisher.lost, what="all is sent", poll=POLL)
    publisher.close()
    relay.wait("a", source_up=0, source_losses=1)


def check_row(lab, row, record_property, **options):
    framing, engine, make = ROWS[row]
    wire = make()
    sections = {"relay": {"workers": 1}} | feed("a", framing=framing, engine=engine, ring="1m", segment="128k",
                                                raw=PAST, framed=PAST)
    relay = lab.start(sections, **options)
    before = relay.resident()
    publish_all(lab, relay, wire)
    seen = relay.feed("a")
    grown = relay.resident() - before
    record_property("bytes sent", len(wire))
    record_property("RSS grown", grown)
    record_property("ring_memory", seen["ring_memory"])
    print(f"{row}: {len(wire)} bytes sent, RSS {before} + {grown}, ring_memory {seen['ring_memory']}")
    # The newest message is kept whole in each format, and the next one while it comes.
    longest = LONG if row == "messages longer than the ring" else 0
    assert seen["ring_memory"] <= BOUND + FORMATS * longest
    assert IS_SANITIZED or grown <= BOUND + SLACK + (FORMATS + 1) * longest


@pytest.mark.parametrize("row", ROWS)
def test_memory_follows_the_ring(lab, record_property, row):
    check_row(lab, row, record_property)


@pytest.mark.parametrize("row", ["headers without bytes", "a gap before each byte", "a session for each byte",
                                 "short and long by turns"])
def test_kept_memory_follows_the_ring(lab, record_property, row):
    check_row(lab, row, record_property, **ServiceManager(lab).options())


@needs(another_user)
@pytest.mark.parametrize("row", ["short and long by turns", "empty lines in pipes"])
def test_it_holds_for_an_ordinary_user(lab, record_property, row, program_for_all):
    program = program_for_all("relay")
    check_row(lab, row, record_property, prefix=as_user(NOBODY), program=program, directory=program.parent)


def test_laggards_in_long_messages_hold_bytes_and_few_descriptors(lab):
    """Each stands in another message, which the ring has given up: a chain of pipes it was."""
    sections = {"relay": {"workers": 1}} | feed("a", framing="u32be", engine="splice", ring="1m", segment="64k",
                                              on_slow="skip", stall_timeout="1h", raw={"send_buffer": "32k",
                                                                                       "user_timeout": "0"})
    relay = lab.start(sections)
    message = struct.pack(">I", 700_000) + b"y" * 700_000
    publisher = relay.publish("a", message)
    relay.wait("a", in_messages=1)
    laggards = []
    for number in range(30):
        laggards.append(address.connect(relay.address["listener a-raw"], 4096))
        relay.wait("a", subscribers=number + 1)
        publisher.send(message * 3)
        relay.wait("a", in_messages=4 + 3 * number)
    seen = relay.feed("a")
    assert seen["subscribers"] == 30
    # As many as the rings keep (32 each, at 64k in 1m), 16 for laggards, and those of the ingest and idle ones.
    assert seen["pipes_open"] <= FORMATS * 32 + 16 + 16 + 16 + 2
    assert relay.pipes() <= 2 * seen["pipes_open"] + 8
    for sock in laggards:
        sock.close()
    relay.wait("a", subscribers=0)

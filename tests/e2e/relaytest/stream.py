# SPDX-License-Identifier: MIT
"""What a publisher sends and what every subscriber must get, byte for byte.

Messages are cut out of a position-coded stream (reliability.md 3.2): each 16-byte block holds its own
offset and a value that depends on seed and offset, so a stale page, a hole, a duplicate or another
feed's bytes cannot compare equal.
"""

import functools
import random
import sys
from array import array
from functools import lru_cache

from . import packet
from .frames import beast, rtcm3

KIB = 1024
MIB = 1024 * 1024

END = {"line": b"\n", "nul": b"\0", "cr": b"\r", "crlf": b"\r\n"}
PREFIX = {"u16be": (2, "big"), "u16le": (2, "little"), "u32be": (4, "big"), "u32le": (4, "little")}
FRAME = {"rtcm3": rtcm3, "beast": beast}


OFFSETS = array("Q")  # of blocks; as many as have been needed


def position_coded(seed, length):
    """length bytes of the stream of this seed."""
    blocks = (length + 15) // 16
    OFFSETS.extend(range(16 * len(OFFSETS), 16 * blocks, 16))
    coded = array("Q", bytes(blocks * 16))
    coded[0::2] = OFFSETS[:blocks]
    coded[1::2] = array("Q", random.Random(seed).randbytes(blocks * 8))
    if sys.byteorder == "big":
        coded.byteswap()
    return coded.tobytes()[:length]


class Script:
    """A published sequence of messages.

    wire is what the publisher sends; payload is what a raw subscriber gets of it; ends[i] is the
    offset in payload at which message i ends, or ends is None where boundaries are not known
    (framing = none). times maps the sequence of each packet to its time with framing = relay.
    """

    def __init__(self, framing, wire, payload=None, ends=None, first=None, session=None, times=None):
        self.framing = framing
        self.wire = wire
        self.payload = wire if payload is None else payload
        self.ends = ends
        self.first = first
        self.session = session
        self.times = times

    @property
    def count(self):
        return len(self.ends)

    def start_of(self, index):
        return self.ends[index - 1] if index else 0

    def message(self, index):
        return self.payload[self.start_of(index):self.ends[index]]

    @functools.cached_property
    def index_of(self):
        """Each message's index by its bytes."""
        return {self.message(index): index for index in range(self.count)}

    def wire_pieces(self):
        """The wire bytes message by message (not for framing = relay)."""
        return [self.message(index) for index in range(self.count)]


def frame(framing, body):
    """One message as the publisher writes it, of a body that does not hold what ends it."""
    if framing in PREFIX:
        width, order = PREFIX[framing]
        return len(body).to_bytes(width, order) + body
    if framing == "octet-counted":
        return b"%d " % len(body) + body
    if framing in FRAME:
        return FRAME[framing](body)
    return body + END.get(framing, b"")


@lru_cache(maxsize=10)
def script(framing, sizes, seed, group=1, first=1000, session=77):
    """A script of messages with bodies of these sizes (which count the end of a line).

    framing is a word of relay.ini, but not ts; with fixed:N all sizes are N; with relay every packet
    holds `group` messages.
    """
    end = END.get(framing, b"")
    cut = len(end)
    body = position_coded(seed, sum(sizes))
    if end:
        body = body.replace(end[-1:], b"\x0b")
    parts, ends, at, end = [], [], 0, 0
    for size in sizes:
        part = frame(framing, body[at:at + max(size - cut, 0)])
        at += size
        end += len(part)
        parts.append(part)
        ends.append(end)
    payload = b"".join(parts)
    if framing == "none":
        return Script(framing, payload)
    if framing != "relay":
        return Script(framing, payload, ends=ends)
    wire, times = [], {}
    for index in range(0, len(parts), group):
        held = parts[index:index + group]
        sequence = first + index
        times[sequence] = 1_700_000_000_000_000_000 + index
        wire.append(packet.encode(count=len(held), length=sum(map(len, held)), session=session,
                                  sequence=sequence, time=times[sequence]))
        wire.extend(held)
    return Script(framing, b"".join(wire), payload, ends, first, session, times)


@lru_cache(maxsize=4)
def text_script(sizes, seed):
    """A script of lines of these sizes (LF included) that are ASCII: for formats that carry text only."""
    digits = position_coded(seed, sum(sizes)).hex().encode()
    payload, ends, at = [], [], 0
    for size in sizes:
        payload.append(digits[at:at + size - 1] + b"\n")
        at += size
        ends.append(at)
    return Script("line", b"".join(payload), ends=ends)

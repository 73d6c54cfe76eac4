# SPDX-License-Identifier: MIT
"""The 32-byte packet header of the framed format (design 6), encoded and decoded."""

import struct
from typing import NamedTuple

MAGIC = b"RLY1"
BYTES = 32
LAYOUT = struct.Struct(">4sBBHIIQQ")

DATA, HEARTBEAT, GAP, END, SOURCE_DOWN, SOURCE_UP = range(6)
CONTINUED = 1
HOLE = 2
MOVED = 4
FLAGS = {HEARTBEAT: MOVED, GAP: HOLE}


class Packet(NamedTuple):
    type: int
    flags: int
    count: int
    length: int
    session: int
    sequence: int
    time: int

    @property
    def continued(self):
        return bool(self.flags & CONTINUED)

    @property
    def is_hole(self):
        """A gap in which nothing was lost."""
        return bool(self.flags & HOLE)


def encode(type=DATA, flags=0, count=0, length=0, session=0, sequence=0, time=0, magic=MAGIC):
    return LAYOUT.pack(magic, type, flags, count, length, session, sequence, time)


def decode(head):
    magic, *fields = LAYOUT.unpack(head)
    assert magic == MAGIC, f"packet starts with {magic!r}"
    packet = Packet(*fields)
    assert packet.type <= SOURCE_UP, f"unknown type: {packet}"
    assert packet.flags & ~FLAGS.get(packet.type, CONTINUED) == 0, f"unknown flag: {packet}"
    if packet.type != DATA:
        assert packet.count == 0 and packet.length == 0, f"payload announced: {packet}"
    else:
        assert packet.length > 0, f"empty data packet: {packet}"
        assert packet.count > 0 or packet.continued, f"no message ends here: {packet}"
    return packet

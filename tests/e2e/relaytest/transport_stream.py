# SPDX-License-Identifier: MIT
"""MPEG transport streams: packets of 188 bytes, as a multiplexer makes them."""

from .stream import Script, position_coded

PACKET = 188
SYNC = b"\x47"
VIDEO, AUDIO = 0x100, 0x101


def ts_packet(pid, counter, payload):
    """One packet; payload is 184 bytes, and has no sync byte in it, so that only packets look like packets."""
    return SYNC + bytes((pid >> 8, pid & 0xff, 0x10 | counter & 0xf)) + payload.replace(SYNC, b"H")


def tables(counter):
    """A packet that begins the PAT; what is in it is of no account to relay."""
    return SYNC + bytes((0x40, 0, 0x10 | counter & 0xf)) + b"\xff" * (PACKET - 4)


def key_frame(counter, pid=VIDEO, stream_id=0xe0):
    """A packet with random_access_indicator, in which a PES packet begins."""
    head = bytes((0x40 | pid >> 8, pid & 0xff, 0x30 | counter & 0xf, 7, 0x50)) + bytes(6)
    return SYNC + head + b"\x00\x00\x01" + bytes((stream_id,)) + b"\x33" * (PACKET - 16)


def media_script(groups, size, lead, seed):
    """Groups of `size` packets: tables, `lead` others, a key frame, then the rest; and a frame of sound in the middle."""
    made = ts_script(groups * size, seed)
    packets = made.wire_pieces()
    for group in range(groups):
        packets[group * size] = tables(group)
        packets[group * size + 1 + lead] = key_frame(group)
        packets[group * size + size // 2] = key_frame(group, AUDIO, 0xc0)
    return Script("ts", b"".join(packets), ends=made.ends)


def ts_script(count, seed):
    """A script of so many packets, of which each fourth is audio."""
    body = position_coded(seed, count * (PACKET - 4))
    packets = []
    for index in range(count):
        pid, counter = (AUDIO, index // 4) if index % 4 == 3 else (VIDEO, index - index // 4)
        packets.append(ts_packet(pid, counter, body[index * (PACKET - 4):(index + 1) * (PACKET - 4)]))
    return Script("ts", b"".join(packets), ends=[(index + 1) * PACKET for index in range(count)])

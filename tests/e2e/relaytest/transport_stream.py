# SPDX-License-Identifier: MIT
"""MPEG transport streams: packets of 188 bytes, as a multiplexer makes them."""

from .stream import Script, position_coded

PACKET = 188
SYNC = b"\x47"
VIDEO, AUDIO = 0x100, 0x101


def ts_packet(pid, counter, payload):
    """One packet; payload is 184 bytes, and has no sync byte in it, so that only packets look like packets."""
    return SYNC + bytes((pid >> 8, pid & 0xff, 0x10 | counter & 0xf)) + payload.replace(SYNC, b"H")


def ts_script(count, seed):
    """A script of so many packets, of which each fourth is audio."""
    body = position_coded(seed, count * (PACKET - 4))
    packets = []
    for index in range(count):
        pid, counter = (AUDIO, index // 4) if index % 4 == 3 else (VIDEO, index - index // 4)
        packets.append(ts_packet(pid, counter, body[index * (PACKET - 4):(index + 1) * (PACKET - 4)]))
    return Script("ts", b"".join(packets), ends=[(index + 1) * PACKET for index in range(count)])

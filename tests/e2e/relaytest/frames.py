# SPDX-License-Identifier: MIT
"""Frames of RTCM 3 and of Beast, by code of its own."""

BEAST_BODIES = {b"1": 9, b"2": 14, b"3": 21, b"4": 21, b"5": 21, b"P": 3, b"\xe3": 8}


def crc24q(data):
    crc = 0
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc = (crc << 1 ^ (0x1864cfb if crc & 0x800000 else 0)) & 0xffffff
    return crc


def rtcm3(body):
    """body: at most 1,023 bytes."""
    frame = b"\xd3" + len(body).to_bytes(2, "big") + body
    return frame + crc24q(frame).to_bytes(3, "big")


def beast(body):
    """The type follows from the length, which is one of BEAST_BODIES."""
    kind = next(kind for kind, length in BEAST_BODIES.items() if length == len(body))
    return b"\x1a" + kind + body.replace(b"\x1a", b"\x1a\x1a")

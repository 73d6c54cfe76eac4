# SPDX-License-Identifier: MIT
"""What a WebSocket client may send and what not, by the numbers of the Autobahn test suite's list of cases.

relay echoes nothing: subscribers have nothing to say, so of a right message nothing comes. What follows shows that it
was taken: pings are answered in their order, and a close frame with its code. All else that comes is an error.

Left out: 9.9 and on, which measure an echo's speed. 12 and 13, permessage-deflate: tests/e2e/test_compressed.py.
"""

import contextlib
import socket
import struct

import pytest

from relaytest.ini import web
from relaytest.stream import KIB, MIB, script
from relaytest.web import BINARY, CLOSE, PING, PONG, TEXT, WebSocketSubscriber, frame

CONTINUATION = 0
GOOD = bytes.fromhex("cebae1bdb9cf83cebcceb5")  # kosme in Greek: characters of 2, 3, 2, 2 and 2 bytes
BAD_END = b"\xf4\x90\x80\x80"  # U+110000
BAD_FRAME, NOT_TEXT, TOO_LONG = 1002, 1007, 1009
REASONS = {BAD_FRAME: "bad_frame", NOT_TEXT: "input_not_text", TOO_LONG: "input_too_long"}
OCTETS = 1


def text(data=b"", **more):
    return frame(TEXT, data, **more)


def binary(data=b"", **more):
    return frame(BINARY, data, **more)


def ping(data=b"", **more):
    return frame(PING, data, **more)


def more(data=b"", **options):
    return frame(CONTINUATION, data, **options)


def begin(data=b"", opcode=TEXT):
    return frame(opcode, data, final=False)


def between(data=b""):
    return more(data, final=False)


def close(code=None, reason=b""):
    return frame(CLOSE, (struct.pack(">H", code) if code is not None else b"") + reason)


def parts(data, size, opcode=TEXT):
    """A message in fragments of so many bytes."""
    pieces = [data[at:at + size] for at in range(0, len(data), size)]
    return b"".join(frame(CONTINUATION if at else opcode, piece, final=at == len(pieces) - 1)
                    for at, piece in enumerate(pieces))


CASES = {}


def case(number, *frames, code=None, pongs=(), chop=0):
    """code: of relay's close frame; None: nothing is wrong, and the client closes with 1000 at last.
    chop: all is sent in pieces of so many bytes; 0: at once."""
    assert number not in CASES
    data = b"".join(frames)
    CASES[number] = (data if code else data + close(1000), code or 1000, list(pongs), chop)


# --- 1: framing

for group, make in ((1, text), (2, binary)):
    for last, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
        case(f"1.{group}.{last}", make(b"*" * size))
    case(f"1.{group}.8", make(b"*" * 65536), chop=997)

# --- 2: pings and pongs

case("2.1", ping(), pongs=[b""])
case("2.2", ping(b"Hello, world!"), pongs=[b"Hello, world!"])
case("2.3", ping(b"\0\xff\xfe\xfd\xfc\xfb\0\xff"), pongs=[b"\0\xff\xfe\xfd\xfc\xfb\0\xff"])
case("2.4", ping(b"\xfe" * 125), pongs=[b"\xfe" * 125])
case("2.5", ping(b"\xfe" * 126), code=BAD_FRAME)
case("2.6", ping(b"\xfe" * 125), pongs=[b"\xfe" * 125], chop=OCTETS)
case("2.7", frame(PONG))
case("2.8", frame(PONG, b"unsolicited pong payload"))
case("2.9", frame(PONG, b"unsolicited pong payload"), ping(b"ping payload"), pongs=[b"ping payload"])
TEN = [b"payload-%d" % number for number in range(10)]
case("2.10", *map(ping, TEN), pongs=TEN)
case("2.11", *map(ping, TEN), pongs=TEN, chop=OCTETS)

# --- 3: reserved bits

for last, (bits, chop) in enumerate(((0x10, 0), (0x20, 0), (0x30, 0), (0x40, OCTETS)), 1):
    before = [text(b"Hello, world!")] if last > 1 else []
    case(f"3.{last}", *before, text(b"Hello, world!", reserved=bits), ping(), code=BAD_FRAME, chop=chop)
case("3.5", binary(b"\0\xff\xfe\xfd\xfc\xfb\0\xff", reserved=0x50), code=BAD_FRAME)
case("3.6", ping(b"Hello, world!", reserved=0x60), code=BAD_FRAME)
case("3.7", frame(CLOSE, reserved=0x70), code=BAD_FRAME)

# --- 4: reserved opcodes

for group, first in ((1, 3), (2, 11)):
    case(f"4.{group}.1", frame(first), code=BAD_FRAME)
    case(f"4.{group}.2", frame(first + 1, b"reserved opcode payload"), code=BAD_FRAME)
    case(f"4.{group}.3", text(b"Hello, world!"), frame(first + 2), ping(), code=BAD_FRAME)
    case(f"4.{group}.4", text(b"Hello, world!"), frame(first + 3, b"reserved"), ping(), code=BAD_FRAME)
    case(f"4.{group}.5", text(b"Hello, world!"), frame(first + 4, b"reserved"), ping(), code=BAD_FRAME, chop=OCTETS)

# --- 5: fragments

case("5.1", ping(b"fragment1", final=False), more(b"fragment2"), code=BAD_FRAME)
case("5.2", frame(PONG, b"fragment1", final=False), more(b"fragment2"), code=BAD_FRAME)
for first, chop in ((3, 0), (4, 15), (5, OCTETS)):
    case(f"5.{first}", begin(b"fragment1"), more(b"fragment2"), chop=chop)
    case(f"5.{first + 3}", begin(b"fragment1"), ping(b"ping payload"), more(b"fragment2"), pongs=[b"ping payload"], chop=chop)
for first, chop in ((9, 0), (10, 29), (11, OCTETS)):
    case(f"5.{first}", more(b"non-continuation payload"), text(b"Hello, world!"), code=BAD_FRAME, chop=chop)
    case(f"5.{first + 3}", between(b"non-continuation payload"), text(b"Hello, world!"), code=BAD_FRAME, chop=chop)
case("5.15", begin(b"fragment1"), more(b"fragment2"), between(b"fragment3"), text(b"fragment4"), code=BAD_FRAME)
case("5.16", *[between(b"fragment1"), begin(b"fragment2"), more(b"fragment3")] * 2, code=BAD_FRAME)
case("5.17", *[more(b"fragment1"), begin(b"fragment2"), more(b"fragment3")] * 2, code=BAD_FRAME)
case("5.18", begin(b"fragment1"), text(b"fragment2"), code=BAD_FRAME)
FIVE = [begin(b"fragment1"), between(b"fragment2"), ping(b"pongme 1!"), between(b"fragment3"), between(b"fragment4"),
        ping(b"pongme 2!"), more(b"fragment5")]
case("5.19", *FIVE, pongs=[b"pongme 1!", b"pongme 2!"], chop=30)
case("5.20", *FIVE, pongs=[b"pongme 1!", b"pongme 2!"])

# --- 6: UTF-8

case("6.1.1", text())
case("6.1.2", begin(), between(), more())
case("6.1.3", begin(), between("middle frame payload".encode()), more())
LONG = "Hello-µ@ßöäüàá-UTF-8!!".encode()
case("6.2.1", text(LONG))
case("6.2.2", begin(LONG[:14]), more(LONG[14:]))
case("6.2.3", parts(LONG, 1))
case("6.2.4", parts(GOOD, 1))
WRONG = GOOD + b"\xed\xa0\x80" + b"edited"
case("6.3.1", text(WRONG), code=NOT_TEXT)
case("6.3.2", parts(WRONG, 1), code=NOT_TEXT)
# What comes behind the wrong byte is not sent at all: it is refused where it stands.
case("6.4.1", begin(GOOD), between(BAD_END), code=NOT_TEXT)
case("6.4.2", begin(GOOD), between(BAD_END[:2]), code=NOT_TEXT)
WHOLE = GOOD + BAD_END + b"edited"
case("6.4.3", text(WHOLE)[:6 + len(GOOD) + 4], code=NOT_TEXT)
case("6.4.4", text(WHOLE)[:6 + len(GOOD) + 2], code=NOT_TEXT)
for last, data in enumerate((GOOD, b"hello$world", "hello¢world".encode(), "hello€world".encode(),
                             "hello\N{CJK UNIFIED IDEOGRAPH-24B62}world".encode()), 1):
    case(f"6.5.{last}", text(data))
for length in range(1, len(GOOD) + 1):
    case(f"6.6.{length}", text(GOOD[:length]), code=None if length in (2, 5, 7, 9, 11) else NOT_TEXT)

VALID = {
    "6.7": "00 c280 e0a080 f0908080",
    "6.9": "7f dfbf efbfbf f48fbfbf",
    "6.11": "ed9fbf ee8080 efbfbd f48fbfbf",
    "6.22": " ".join(chr(plane << 16 | low).encode().hex() for plane in range(17) for low in (0xfffe, 0xffff)),
    "6.23": "efbfb9 efbfba efbfbb efbfbc efbfbd efbfbe efbfbf",
}
UNFINISHED = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf"
INVALID = {
    "6.8": "f888808080 fc8480808080",
    "6.10": "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf",
    "6.12": "80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf " + bytes(range(0x80, 0xbf)).hex(),
    "6.13": " ".join("".join(f"{byte:02x}20" for byte in some)
                     for some in (range(0xc0, 0xe0), range(0xe0, 0xf0), range(0xf0, 0xf8), range(0xf8, 0xfc), range(0xfc, 0xfe))),
    "6.14": UNFINISHED,
    "6.15": UNFINISHED.replace(" ", ""),
    "6.16": "fe ff fefeffff",
    "6.17": "c0af e080af f08080af f8808080af fc80808080af",
    "6.18": "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf",
    "6.19": "c080 e08080 f0808080 f880808080 fc8080808080",
    "6.20": "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf",
    "6.21": " ".join(high + low for high in ("eda080", "edadbf", "edae80", "edafbf") for low in ("edb080", "edbfbf")),
}
for groups, code in ((VALID, None), (INVALID, NOT_TEXT)):
    for group, row in groups.items():
        for last, data in enumerate(row.split(" "), 1):
            case(f"{group}.{last}", text(bytes.fromhex(data)), code=code)
case("6.11.5", text(BAD_END), code=NOT_TEXT)

# --- 7: the end

HELLO = text(b"Hello World!")
case("7.1.1", HELLO, close(1000), HELLO, code=1000)
case("7.1.2", close(1000), close(1000), code=1000)
case("7.1.3", close(1000), ping(), code=1000)
case("7.1.4", close(1000), HELLO, code=1000)
case("7.1.5", begin(b"fragment1"), close(1000), more(b"fragment2"), code=1000)
case("7.1.6", text(b"BAsd7&jh23" * 26214), close(1000), ping(), code=1000)
case("7.3.1", close(), code=1005)
case("7.3.2", frame(CLOSE, b"a"), code=BAD_FRAME)
case("7.3.3", close(1000), code=1000)
case("7.3.4", close(1000, b"Hello World!"), code=1000)
case("7.3.5", close(1000, b"*" * 123), code=1000)
case("7.3.6", close(1000, b"*" * 124), code=BAD_FRAME)
case("7.5.1", close(1000, WRONG), code=NOT_TEXT)
for last, code in enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1):
    case(f"7.7.{last}", close(code), code=code)
for last, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
    case(f"7.9.{last}", close(code), code=BAD_FRAME)
case("7.13.1", close(5000), code=BAD_FRAME)
case("7.13.2", close(65535), code=BAD_FRAME)  # 65536 there, which does not fit

# --- 9: large messages, and many; max_input is 1m

SIZES = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB)
for group, make in ((1, text), (2, binary)):
    for last, size in enumerate(SIZES, 1):
        if size <= MIB:
            case(f"9.{group}.{last}", make(b"*" * size))
        else:  # no more than the length is sent
            case(f"9.{group}.{last}", make(b"*" * size, only=14), code=TOO_LONG)
for group, opcode in ((3, TEXT), (4, BINARY)):
    for last, size in enumerate((64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB), 1):
        case(f"9.{group}.{last}", parts(b"*" * MIB, size, opcode))
    case(f"9.{group}.9", parts(b"*" * 4 * MIB, 4 * MIB, opcode)[:14], code=TOO_LONG)
for group, make in ((5, text), (6, binary)):
    for last, chop in enumerate((64, 128, 256, 512, KIB, 2 * KIB), 1):
        case(f"9.{group}.{last}", make(b"*" * MIB), chop=chop)
for group, make in ((7, text), (8, binary)):
    for last, size in enumerate((0, 16, 64, 256, KIB, 4 * KIB), 1):
        case(f"9.{group}.{last}", make(b"*" * size) * 1000)

# --- 10: fragments that a client makes by itself

case("10.1.1", parts(b"*" * 65536, 1300))


def send(one, data, chop):
    one.sock.setblocking(True)
    one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has been refused before its end
        for at in range(0, len(data), chop or len(data)):
            one.sock.sendall(data[at:at + (chop or len(data))])
    one.sock.setblocking(False)


@pytest.mark.parametrize("group", ["1", "2", "3", "4", "5", "6", "7", "9", "10"])
def test_cases(lab, group):
    relay = lab.start(web(heartbeat="0", options={"max_input": "1m", "input_rate": "0"}))
    mine = {number: row for number, row in CASES.items() if number.split(".")[0] == group}
    wrong, expected = [], {}
    for number, (data, code, pongs, chop) in mine.items():
        one = WebSocketSubscriber(lab.loop, relay.address["listener web"], script("none", (10,), 1))
        lab.loop.run(lambda one=one: one.status, what="an answer")
        send(one, data, chop)
        lab.loop.run(lambda one=one: one.end, what=f"the end of case {number}")
        is_its_own = code == 1000 or number.startswith("7.7.") or number == "7.3.1"
        ends = ("fin", "rst") if chop and not is_its_own else ("fin",)  # it has gone on sending
        if (one.close_code, one.pongs) != (code, pongs) or one.end not in ends:
            wrong.append(f"{number}: closed with {one.close_code} and {one.end}, expected {code}; pongs {one.pongs}")
        reason = "peer_closed" if is_its_own else REASONS[code]
        expected[f"closed_{reason}"] = expected.get(f"closed_{reason}", 0) + 1
    assert not wrong, "\n".join(wrong)
    relay.wait("a", subscribers=0, subscribers_total=len(mine), **expected)

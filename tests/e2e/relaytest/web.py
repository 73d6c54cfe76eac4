# SPDX-License-Identifier: MIT
"""Subscribers by HTTP: chunks, bare bytes, server-sent events, WebSocket; every byte is compared.

received counts what follows the head of the answer, as relay's delivered_bytes does.
"""

import json
import os
import re
import socket
import struct
from pathlib import Path

from . import address
from .daemon import POLL
from .loop import CEILING, READ
from .subscriber import FramedSubscriber, Subscriber

CRLF = b"\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def request(path, fields=(), method="GET", version="1.1"):
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost",
             *(f"{name}: {value}" for name, value in dict(fields).items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def upgrade(**more):
    return {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **more}


def frame(opcode, data=b"", final=True):
    """A WebSocket client's frame of up to 125 bytes as it is on the wire."""
    key = b"\x37\xfa\x21\x3d"
    return (bytes([opcode | (0x80 if final else 0), 0x80 | len(data)]) + key
            + bytes(byte ^ key[i % 4] for i, byte in enumerate(data)))


def unread(one):
    """Bytes that relay has not read, as the kernel shows them; None: not to be seen just now."""
    port = one.sock.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if int(fields[2].split(":")[1], 16) == port and fields[3] == "01":
            return int(fields[4].split(":")[1], 16)
    return None


def wait_read(some):
    some[0].loop.run(lambda: all(unread(one) == 0 for one in some), what="all to be read", poll=POLL)


def parse_head(head):
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, _reason = first.split(" ", 2)
    assert version == "HTTP/1.1", first
    fields = {}
    for line in lines:
        name, _, value = line.partition(": ")
        assert name.lower() not in fields or name.lower() == "connection", f"{name} twice: {head}"
        fields[name.lower()] = value
    return int(status), fields


class Answer:
    """One request and all that comes back until relay closes; for refusals."""

    def __init__(self, relay, listener, data, source=None, half_close=False):
        self.loop = relay.loop
        self.data = b""
        self.end = None
        family, where = address.parse(relay.address[f"listener {listener}"])
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(CEILING)
        self.sock.connect(where)
        self.sock.setblocking(False)
        relay.peers.append(self)
        if data:
            self.sock.send(data)
        if half_close:
            self.sock.shutdown(socket.SHUT_WR)
        self.loop.watch(self.sock, READ, self.ready)

    def ready(self, _events):
        try:
            got = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            got = b""
            self.end = "rst"
        self.data += got
        if not got:
            self.end = self.end or "fin"
            self.close()

    def wait(self):
        """(status, fields, body), once relay has closed."""
        self.loop.run(lambda: self.end, what=lambda: f"an end after {self.data[:300]!r}")
        assert self.end == "fin", f"{self.end} after {self.data[:300]!r}"
        return self.parse()

    def parse(self):
        head, found, body = self.data.partition(CRLF + CRLF)
        assert found, f"no whole head: {self.data[:300]!r}"
        status, fields = parse_head(head)
        if "content-length" in fields and body:
            assert len(body) == int(fields["content-length"]), self.data
        return status, fields, body.decode()

    def close(self):
        if self.sock is not None:
            self.loop.unwatch(self.sock)
            self.sock.close()
            self.sock = None

    def reset(self):
        if self.sock is not None and self.sock.family != socket.AF_UNIX:
            address.reset_on_close(self.sock)
        self.close()


def ask(relay, path="/a", fields=(), method="GET", version="1.1", **options):
    """(status, fields, body) of one request at the listener web."""
    return Answer(relay, "web", request(path, fields, method, version), **options).wait()


class WebSubscriber(Subscriber):
    """GET /FEED; takes the body as the fields of the answer say it is made."""

    def __init__(self, loop, target, script, path="/a", fields=(), version="1.1", start=0, **options):
        self.head = b""
        self.status = None
        self.fields = {}
        self.rest = bytearray()  # has come, and not been taken yet, from `rest_at` on
        self.rest_at = 0
        self.left = 0
        self.finished = False
        self.version = version
        super().__init__(loop, target, script, start=start, **options)
        self.sock.setblocking(True)
        self.sock.send(request(path, fields, version=version))
        self.sock.setblocking(False)

    def take(self, data):
        if self.status is None:
            self.head += data
            head, found, rest = self.head.partition(CRLF + CRLF)
            if not found:
                self.received = 0
                return
            self.received = len(rest)
            self.status, self.fields = parse_head(head)
            self.check_status()
            data = rest
        if data:
            self.take_body(data)

    def check_status(self):
        assert self.status == 200, f"{self.status} {self.fields} {self.head}"
        chunked = self.fields.get("transfer-encoding") == "chunked"
        assert chunked == (self.version == "1.1"), self.fields
        assert self.fields["x-content-type-options"] == "nosniff", self.fields
        assert "no-store" in self.fields["cache-control"], self.fields

    def take_body(self, data):
        if self.version == "1.0":
            self.take_payload(data)
            return
        self.take_steps(data, self.take_chunk)

    def take_steps(self, data, step):
        """Until a step has to go on later: it returns false then. What was taken goes once, not step by step."""
        self.rest += data
        while step():
            pass
        del self.rest[:self.rest_at]
        self.rest_at = 0

    def coming(self, count):
        """The next bytes, at most so many, which stay."""
        return bytes(memoryview(self.rest)[self.rest_at:self.rest_at + count])

    def cut(self, count):
        """The next bytes, at most so many, which are taken."""
        piece = self.coming(count)
        self.rest_at += len(piece)
        return piece

    def take_chunk(self):
        if self.left > 0:
            piece = self.cut(self.left)
            self.left -= len(piece)
            if piece:
                self.take_payload(piece)
            if self.left:
                return False
            self.left = -1
        if self.left == -1:  # the end of a chunk
            if len(self.rest) < self.rest_at + 2:
                return False
            end = self.cut(2)
            assert end == CRLF, f"a chunk ends in {end!r}"
            self.left = 0
            return True
        assert not (self.finished and len(self.rest) > self.rest_at), f"bytes behind the last chunk: {self.coming(80)!r}"
        line, found, _ = self.coming(32).partition(CRLF)
        if not found:
            assert len(line) < 32, f"no chunk head: {line!r}"
            return False
        self.rest_at += len(line) + len(CRLF)
        self.left = int(line, 16)
        if self.left == 0:
            self.finished, self.left = True, -1
        return True

    def take_payload(self, data):
        super().take(data)


def event_text(data):
    """What an answer with an event stream says behind its head; it has no CR but those of the chunks."""
    return re.sub(rb"(?:\r\n)?[0-9a-f]+\r\n", b"", data.partition(CRLF + CRLF)[2])


def event_ids(data):
    """The ids of the messages in an event stream, as (session, sequence)."""
    blocks = [event.split(b"\n") for event in event_text(data).split(b"\n\n")]
    ids = [line[4:] for lines in blocks if any(line.startswith(b"data: ") for line in lines)
           for line in lines if line.startswith(b"id: ") and not lines[0].startswith(b"event: ")]
    return [tuple(int(part) for part in one.split(b"-")) for one in ids]


class EventSubscriber(WebSubscriber):
    """Server-sent events of a feed of lines whose first message has sequence `base`."""

    def __init__(self, loop, target, script, base=1, fields=(), **options):
        self.text = b""
        self.base = base
        self.last_id = None
        self.last_event_id = ""  # as a browser would send it
        self.retries = []
        self.gaps = []
        self.news = []
        super().__init__(loop, target, script, fields={"Accept": "text/event-stream", **dict(fields)},
                         **options)

    def check_status(self):
        super().check_status()
        assert self.fields["content-type"] == "text/event-stream", self.fields

    def take_payload(self, data):
        *events, self.text = (self.text + data).split(b"\n\n")
        for event in events:
            self.take_event(event.split(b"\n"))

    def take_event(self, lines):
        pairs = [line.split(b": ", 1) for line in lines if not line.startswith(b":")]
        if not pairs:
            return
        values = {name.decode(): value for name, value in pairs if name != b"data"}
        data = b"\n".join(value for name, value in pairs if name == b"data")
        self.last_event_id = values.get("id", self.last_event_id.encode()).decode()
        if "retry" in values:
            self.retries.append(int(values["retry"]))
        if not any(name == b"data" for name, _ in pairs):
            return
        if values.get("event") == b"gap":
            self.gaps.append(data)
            seen = json.loads(data)
            self.position = self.script.start_of(seen["to"] - self.base)
        elif "event" in values:
            self.news.append((values["event"], data))
        else:
            self.take_message(int(values["id"].split(b"-")[1]), data)

    def take_message(self, sequence, data):
        index = sequence - self.base
        begin = self.script.start_of(index)
        if self.position is None or not self.last_id:
            self.position = self.start = begin
        assert self.position == begin, f"message {index} at {self.position}, not {begin}"
        self.last_id = sequence
        self.compare(data + b"\n")


class WebSocketSubscriber(WebSubscriber):
    """A WebSocket; messages are taken apart and compared. per_message: each is one of the script."""

    reserved = 0x70  # bits that no frame has

    def __init__(self, loop, target, script, text=False, per_message=False, path="/a", fields=(),
                 **options):
        self.text = text
        self.per_message = per_message
        self.close_code = None
        self.close_words = b""
        self.pongs = []
        self.pings = 0
        self.gaps = []
        self.messages = 0
        super().__init__(loop, target, script, path=path, fields={**upgrade(), **dict(fields)},
                         **options)

    def check_status(self):
        assert self.status == 101, f"{self.status} {self.fields} {self.head}"
        assert self.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    def take_body(self, data):
        self.take_steps(data, self.take_frame)

    def take_frame(self):
        head = self.coming(10)
        if len(head) < 2:
            return False
        assert self.close_code is None, f"bytes behind the close frame: {self.coming(40)!r}"
        assert head[0] & 0x80 and not head[0] & self.reserved, f"no whole message: {head[:2].hex()}"
        assert not head[1] & 0x80, "a masked frame of a server"
        length, at = head[1], 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(head) < 2 + width:
                return False
            length, at = int.from_bytes(head[2:2 + width], "big"), 2 + width
        if len(self.rest) < self.rest_at + at + length:
            return False
        self.rest_at += at
        self.take_message(head[0] & 15, self.unpack(head[0], self.cut(length)))
        return True

    def unpack(self, _first, data):
        """The message of a frame with this first byte."""
        return data

    def take_message(self, opcode, data):
        if opcode == PING:
            self.pings += 1
        elif opcode == PONG:
            self.pongs.append(data)
        elif opcode == CLOSE:
            self.close_code = struct.unpack(">H", data[:2])[0] if data else 1005
            self.close_words = data[2:]
        elif opcode == TEXT and not self.text:
            self.take_gap_text(data)
        else:
            assert opcode == (TEXT if self.text else BINARY), f"opcode {opcode}"
            self.messages += 1
            if self.per_message:
                self.check_is_message(data)
            self.take_payload(data)

    def take_gap_text(self, data):
        seen = json.loads(data)["gap"]
        self.gaps.append((seen["from"], seen["to"]))
        self.position = self.script.start_of(seen["to"] - 1)

    def check_is_message(self, data):
        assert self.position + len(data) in self.script.ends, "not at the end of a message"
        begin = self.position
        assert begin == 0 or begin in self.script.ends, "not at the start of a message"

    def send_frame(self, opcode, data=b"", **options):
        self.send_frames([frame(opcode, data, **options)])

    def send_frames(self, frames):
        """All at once, so relay has them before it looks at the first."""
        self.sock.setblocking(True)
        self.sock.sendall(b"".join(frames))
        self.sock.setblocking(False)


def frame(opcode, data=b"", final=True, mask=True, reserved=0, only=None):
    """A frame of a WebSocket client. only: no more than so many bytes of it."""
    head = bytes([opcode | (0x80 if final else 0) | reserved])
    flag = 0x80 if mask else 0
    if len(data) < 126:
        head += bytes([flag | len(data)])
    elif len(data) < 65536:
        head += struct.pack(">BH", flag | 126, len(data))
    else:
        head += struct.pack(">BQ", flag | 127, len(data))
    if mask:
        key = os.urandom(4)
        data = key + bytes(byte ^ key[i % 4] for i, byte in enumerate(data))
    return (head + data)[:only]


class FramedWebSubscriber(WebSubscriber, FramedSubscriber):
    """GET /FEED?format=framed: the body is the framed stream."""

    def __init__(self, loop, target, script, path="/a?format=framed", **options):
        super().__init__(loop, target, script, path=path, **options)

    def check_status(self):
        assert self.status == 200, f"{self.status} {self.fields} {self.head}"
        assert self.fields["content-type"] == "application/vnd.relay.framed", self.fields
        assert "transfer-encoding" not in self.fields and "content-length" not in self.fields, self.fields
        self.head = b""  # from here on of a packet

    def take_body(self, data):
        self.take_payload(data)


class FramedWebSocketSubscriber(WebSocketSubscriber, FramedSubscriber):
    """The same on a WebSocket: each message is a packet."""

    def __init__(self, loop, target, script, path="/a?format=framed", **options):
        super().__init__(loop, target, script, path=path, **options)

    def check_status(self):
        super().check_status()
        self.head = b""  # from here on of a packet

    def take_message(self, opcode, data):
        if opcode in (CLOSE, PONG):
            super().take_message(opcode, data)
            return
        assert opcode == BINARY, f"opcode {opcode}"
        FramedSubscriber.take(self, data)
        assert not self.left and not self.head, f"{self.left} bytes are missing in {data[:40]!r}"


def everything(framing):
    """What feed a, of this framing, can be read as by HTTP: (kind, options)."""
    kinds = [(WebSubscriber, {}), (WebSubscriber, {"version": "1.0"}), (WebSocketSubscriber, {}),
             (FramedWebSubscriber, {}), (FramedWebSocketSubscriber, {})]
    if framing != "none":
        kinds.append((WebSocketSubscriber, {"per_message": True, "path": "/a?messages=message"}))
    if framing == "line":
        kinds += [(EventSubscriber, {}), (EventSubscriber, {"version": "1.0"}),
                  (WebSocketSubscriber, {"text": True, "path": "/a?text=1"}),
                  (WebSocketSubscriber, {"text": True, "per_message": True, "path": "/a?text=1&messages=message"})]
    return kinds


def asked(kind, options, query):
    """The options of such a subscriber that says this as well."""
    framed = kind in (FramedWebSubscriber, FramedWebSocketSubscriber)
    path = options.get("path", "/a?format=framed" if framed else "/a")
    return {**options, **({"base": 1} if framed else {}), "path": f"{path}{'&' if '?' in path else '?'}{query}"}

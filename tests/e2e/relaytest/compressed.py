# SPDX-License-Identifier: MIT
"""Subscribers that take what is compressed: by Python's zlib, and compared like all others.

packed counts the pieces that came compressed.
"""

import zlib

from .web import EventSubscriber, WebSocketSubscriber, WebSubscriber

GZIP = {"Accept-Encoding": "gzip"}
OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
HEAD_CHUNK = 15  # sent with the head of the answer, as a part of it
COMPRESSED = 0x40


class Gzip(WebSubscriber):
    """Chunks of one gzip stream, which never ends."""

    def __init__(self, loop, target, script, fields=(), **options):
        self.inflater = zlib.decompressobj(31)
        self.packed = 0
        super().__init__(loop, target, script, fields={**GZIP, **dict(fields)}, **options)

    def check_status(self):
        super().check_status()
        assert self.fields["content-encoding"] == "gzip", self.fields
        assert "Accept-Encoding" in self.fields["vary"], self.fields
        self.received -= HEAD_CHUNK

    def take_payload(self, data):
        made = self.inflater.decompress(data)
        assert not self.inflater.eof and not self.inflater.unused_data
        self.packed += len(made) > len(data)
        if made:
            super().take_payload(made)


class GzipEventSubscriber(Gzip, EventSubscriber):
    """Events in it."""


class DeflateSubscriber(WebSocketSubscriber):
    """A WebSocket with permessage-deflate: each message is inflated by itself."""

    reserved = 0x30

    def __init__(self, loop, target, script, fields=(), **options):
        self.packed = 0
        super().__init__(loop, target, script, fields={**OFFER, **dict(fields)}, **options)

    def check_status(self):
        super().check_status()
        assert self.fields["sec-websocket-extensions"] == AGREED, self.fields

    def unpack(self, first, data):
        if not first & COMPRESSED:
            return data
        assert first & 15 in (1, 2), f"a compressed frame of opcode {first & 15}"
        made = zlib.decompressobj(-15).decompress(data + b"\0\0\xff\xff")
        assert len(made) > len(data), "compressed, and no shorter"
        self.packed += 1
        return made


def everything_compressed(framing):
    """What feed a, of this framing, can be read as compressed: (kind, options)."""
    kinds = [(Gzip, {}), (DeflateSubscriber, {})]
    if framing != "none":
        kinds.append((DeflateSubscriber, {"per_message": True, "path": "/a?messages=message"}))
    if framing == "line":
        kinds += [(GzipEventSubscriber, {}), (DeflateSubscriber, {"text": True, "path": "/a?text=1"}),
                  (DeflateSubscriber, {"text": True, "per_message": True, "path": "/a?text=1&messages=message"})]
    return kinds

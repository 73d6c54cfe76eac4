# SPDX-License-Identifier: MIT
"""Publishers by HTTP: a request head, and a body of the kind that it announces."""

import os
import random
import struct

from . import address
from .web import BINARY, CLOSE, CRLF, request, upgrade

TOKEN = "publ1sher"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
KINDS = ("source", "put-to-end", "length", "chunked", "websocket")


def published(lab, name="a", options=None, listener=None, **more):
    """A feed with ingest = http, a listener where it is published to and read, and a raw one."""
    tokens = lab.directory / "publishers"
    tokens.write_text(f"{TOKEN}\n")
    tokens.chmod(0o600)
    return {f"feed {name}": {"ingest": "http", **more},
            f"listener {name}-raw": {"feed": name, "listen": "tcp:127.0.0.1:0", **(options or {})},
            "listener web": {"feed": "all", "listen": "tcp:127.0.0.1:0", "format": "http", "publish": "yes",
                             "publish_token_file": tokens, **(listener or {})}}


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def cut(data, seed, most):
    pick = random.Random(seed)
    at, parts = 0, []
    while at < len(data):
        size = pick.randrange(1, most)
        parts.append(data[at:at + size])
        at += size
    return parts


def masked(opcode, data=b"", final=True):
    """A frame of a WebSocket client, of any length."""
    key = os.urandom(4)
    head = bytes([opcode | (0x80 if final else 0)])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65536:
        head += struct.pack(">BH", 0x80 | 126, len(data))
    else:
        head += struct.pack(">BQ", 0x80 | 127, len(data))
    mask = int.from_bytes((key * (len(data) // 4 + 1))[:len(data)], "big")
    return head + key + (int.from_bytes(data, "big") ^ mask).to_bytes(len(data), "big")


def head_of(kind, length, path="/a", fields=None, method=None):
    fields = BEARER if fields is None else fields
    if kind == "source":
        return request(path, fields, "SOURCE", "1.0")
    if kind == "put-to-end":
        return request(path, fields, "PUT")
    if kind == "length":
        return request(path, {"Content-Length": length, **fields}, method or "POST")
    if kind == "chunked":
        return request(path, {"Transfer-Encoding": "chunked", **fields}, method or "POST")
    return request(path + "?publish=1", upgrade(**fields))


def body_of(kind, data, seed=1, most=40_000, parts=None):
    """As it is on the wire, whole, with its end; in these parts."""
    parts = parts or cut(data, seed, most)
    if kind == "chunked":
        return b"".join(map(chunk, parts)) + b"0\r\n\r\n"
    if kind == "websocket":
        return b"".join(masked(BINARY, part) for part in parts) + masked(CLOSE, b"\x03\xe8")
    return data


def connect(relay, data=b"", listener="web"):
    """A connection that has sent this, as a Publisher: what relay answers is in its `received`."""
    return relay.adopt(address.connect(relay.address[f"listener {listener}"])).send(data)


def publish(relay, kind, data, path="/a", fields=None, **options):
    """Head and body at once, so that the body begins where the head ends."""
    return connect(relay, head_of(kind, len(data), path, fields) + body_of(kind, data, **options))


def statuses(publisher):
    """Of all the answers that have come."""
    return [int(line.split()[1]) for line in publisher.received.split(CRLF) if line.startswith(b"HTTP/1.1 ")]

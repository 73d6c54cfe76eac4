# SPDX-License-Identifier: MIT
"""Peers that nobody invited: their bytes are no request, no frame and no packet, or almost one. What they get is not
looked at; the others must not notice them."""

import os
import socket

from relaytest import address
from relaytest.loop import READ
from relaytest.web import frame, request, upgrade

PATHS = ("/", "/lines", "/short?burst=64k", "/long?from=0", "/long?from=99999999999999999999", "/bytes?format=framed",
         "/packets?messages=message", "/lines?text=1", "/%2e%2e/lines", "/nothing", "*")
PROXY = (b"PROXY TCP4 10.1.2.3 10.0.0.1 1234 80\r\n", b"PROXY UNKNOWN\r\n",
         b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\1\2\3\x0a\0\0\1\x04\xd2\0\x50")
ADMIN = ("/status.json", "/metrics", "/", "/subscribers.json?limit=5&sort=age", "/subscribers.json?limit=1000000&sort=lag",
         "/config", "/limits.json", "/readyz", "/readyz?feed=%ff", "/healthz", "/no-such-thing")
POSTS = ("/kick?feed=lines&id=N", "/kick?feed=long&id=N", "/title?feed=lines&title=x", "/log-level?level=info", "/no-such-thing")


def mutate(pick, data):
    """Some of its bytes are others, are gone, or are new."""
    data = bytearray(data)
    for _ in range(pick.randrange(1, 4)):
        at = pick.randrange(len(data) + 1)
        way = pick.randrange(3)
        if way == 0:
            data[at:at + 1] = bytes([pick.randrange(256)])
        elif way == 1:
            del data[at:at + pick.choice((1, 1, 20))]
        else:
            data[at:at] = os.urandom(pick.choice((1, 3, 200)))
    return bytes(data)


def some_request(pick):
    fields = pick.choice(({}, {"Accept": "text/event-stream"}, upgrade(), {"Last-Event-ID": "1-5"},
                          {"Last-Event-ID": "x" * 300}, {"X-Long": "y" * 40_000}, {"Content-Length": "7"}))
    return request(pick.choice(PATHS), fields, pick.choice(("GET", "GET", "GET", "HEAD", "POST", "OPTIONS")),
                   pick.choice(("1.1", "1.1", "1.0", "2.0")))


def some_bytes(pick):
    """For whoever: a request, whole, in part or broken, random bytes, or a flood."""
    data = some_request(pick)
    if pick.random() < 0.2:
        data = pick.choice(PROXY) + data
    way = pick.random()
    if way < 0.3:
        return data
    if way < 0.5:
        return data[:pick.randrange(len(data))]
    if way < 0.8:
        return mutate(pick, data)
    return os.urandom(pick.choice((1, 40, 5000))) if way < 0.95 else b"\r\n" * 100_000


def some_frame(pick):
    """What a WebSocket's client may say, or may not."""
    data = os.urandom(pick.choice((0, 1, 5, 120)))
    made = frame(pick.choice((1, 2, 8, 9, 10, 0, 3, 11)), data, pick.random() < 0.8)
    return mutate(pick, made) if pick.random() < 0.2 else made


class HostilePeer:
    """Connects anywhere; says something now and then, reads or does not, and goes."""

    def __init__(self, pick, loop, target, is_silent=False):
        self.pick = pick
        self.is_silent = is_silent
        self.loop = loop
        self.sock = address.connect(target, pick.choice((0, 4096)))
        if pick.random() < 0.7:
            loop.watch(self.sock, READ, self.read)

    def read(self, _events):
        try:
            if self.sock.recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.loop.unwatch(self.sock)

    def ask(self):
        """As somebody who looks at relay, or steers it."""
        method, path = self.pick.choice([("GET", path) for path in ADMIN] + [("POST", path) for path in POSTS])
        data = request(path.replace("N", str(self.pick.randrange(300))), {"Content-Length": "0"}, method)
        self.send(mutate(self.pick, data) if self.pick.random() < 0.3 else data)

    def say(self):
        if self.is_silent:
            return
        self.send(some_frame(self.pick) if self.pick.random() < 0.3 else some_bytes(self.pick))
        if self.pick.random() < 0.1 and self.sock.family != socket.AF_UNIX:
            self.send(b"!", socket.MSG_OOB)

    def send(self, data, flags=0):
        try:
            self.sock.send(data, flags)
        except OSError:
            pass  # it has been thrown out, or its socket is full

    def half_close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has been thrown out

    def reset(self):
        if self.sock is None:
            return
        if self.sock.family != socket.AF_UNIX and self.pick.random() < 0.5:
            address.reset_on_close(self.sock)
        self.loop.unwatch(self.sock)
        self.sock.close()
        self.sock = None

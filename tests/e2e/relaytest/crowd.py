# SPDX-License-Identifier: MIT
"""Subscribers that stay for as long as they are let, whatever happens to relay, and look at every byte.

A message is a number of 8 bytes, again and again, up to MESSAGE bytes: so a byte that is missing, doubled or another
one's shows at once, while messages that are missing as a whole (of a publisher that died with relay; skipped) do not.
"""

import itertools
import selectors
import struct
import threading

from . import address, packet

MESSAGE = 1024
NUMBER = struct.Struct(">Q")


def message(number):
    return NUMBER.pack(number) * (MESSAGE // NUMBER.size)


class Wrong(Exception):
    """What relay sent is not what was published."""


class Reader:
    """Raw; whole messages, each with a greater number than the one before."""

    def __init__(self, where):
        self.sock = address.connect(where)
        self.rest = b""
        self.last = -1
        self.messages = 0
        self.missed = 0

    def take(self, data):
        self.rest += data
        whole = len(self.rest) // MESSAGE * MESSAGE
        for at in range(0, whole, MESSAGE):
            self.take_message(self.rest[at:at + MESSAGE])
        self.rest = self.rest[whole:]

    def take_message(self, data):
        number, = NUMBER.unpack_from(data)
        if number <= self.last or data != message(number):
            raise Wrong(f"after message {self.last}: {data[:64].hex()}")
        self.missed += self.last >= 0 and number != self.last + 1
        self.last = number
        self.messages += 1


class FramedReader(Reader):
    """A sequence without a break that is not told, too."""

    def __init__(self, where):
        super().__init__(where)
        self.next = None
        self.gaps = 0

    def take(self, data):
        self.rest += data
        at = 0
        while len(self.rest) - at >= packet.BYTES:
            header = packet.decode(self.rest[at:at + packet.BYTES])
            end = at + packet.BYTES + header.length
            if len(self.rest) < end:
                break
            self.take_packet(header, self.rest[at + packet.BYTES:end])
            at = end
        self.rest = self.rest[at:]

    def take_packet(self, header, data):
        if self.next not in (None, header.sequence) or len(data) != header.count * MESSAGE:
            raise Wrong(f"expected sequence {self.next}: {header}")
        for at in range(0, len(data), MESSAGE):
            self.take_message(data[at:at + MESSAGE])
        self.gaps += header.type == packet.GAP and not header.is_hole
        self.next = header.time if header.type == packet.GAP else header.sequence + header.count


class Crowd(threading.Thread):
    """count raw ones and as many framed; whoever is closed is counted, and another one comes."""

    def __init__(self, raw, framed, count):
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.stopped = threading.Event()
        self.closed = {Reader: 0, FramedReader: 0}
        self.wrong = []
        self.where = {Reader: raw, FramedReader: framed}
        self.all = []
        for kind, _ in itertools.product(self.where, range(count)):
            self.add(kind)
        self.start()

    def add(self, kind):
        one = kind(self.where[kind])
        self.all.append(one)
        self.selector.register(one.sock, selectors.EVENT_READ, one)

    def run(self):
        while not self.stopped.is_set():
            for key, _ in self.selector.select(0.1):
                self.read(key.data)

    def read(self, one):
        try:
            data = one.sock.recv(256 * 1024)
            one.take(data)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        except Wrong as wrong:
            self.wrong.append(str(wrong))
            data = b""
        if not data:
            self.selector.unregister(one.sock)
            one.sock.close()
            self.closed[type(one)] += 1
            self.add(type(one))

    def stop(self):
        self.stopped.set()
        self.join()

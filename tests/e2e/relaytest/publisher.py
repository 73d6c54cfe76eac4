# SPDX-License-Identifier: MIT
"""A publisher on any writable file: queues bytes and writes them as the loop finds room."""

import fcntl
import os
import socket
import struct
import termios
from collections import deque

from . import address
from .loop import READ, WRITE

PIECE = 256 * 1024


class Publisher:
    """Owns file, a socket or a pipe's descriptor; the bytes go out in the pieces they were queued in.

    lost tells how relay ended the connection: None, "fin", "rst" or "pipe".
    """

    def __init__(self, loop, file):
        self.loop = loop
        self.file = file
        self.is_socket = isinstance(file, socket.socket)
        self.queue = deque()
        self.at = 0
        self.sent = 0
        self.lost = None
        self.received = b""
        self.window = None
        if not self.is_socket:
            os.set_blocking(file, False)
        self.rewatch()

    def send(self, data, piece=PIECE):
        """Queues data; each piece is a write of its own."""
        self.queue.append((memoryview(data), piece))
        self.rewatch()
        return self

    def send_each(self, parts):
        for part in parts:
            self.queue.append((memoryview(part), len(part)))
        self.rewatch()
        return self

    def follow(self, subscriber, window):
        """Never more than window bytes ahead of what subscriber has got (wire against payload)."""
        self.window = (subscriber, window)
        subscriber.on_progress = self.rewatch
        return self

    @property
    def done(self):
        return not self.queue

    @property
    def unacknowledged(self):
        """Bytes that relay's kernel has not taken yet."""
        return struct.unpack("i", fcntl.ioctl(self.file, termios.TIOCOUTQ, b"\0" * 4))[0]

    def room(self):
        if self.window is None:
            return PIECE
        subscriber, window = self.window
        return window - (self.sent - subscriber.position)

    def rewatch(self):
        if self.file is None:
            return
        events = READ if self.is_socket and self.lost is None else 0
        if self.queue and self.lost is None and self.room() > 0:
            events |= WRITE
        self.loop.watch(self.file, events, self.ready)

    def ready(self, events):
        try:
            if events & READ and self.is_socket:
                self.read()
            if events & WRITE and self.lost is None:
                self.write()
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.lost = "rst"
        except OSError:  # EPIPE; ENOTCONN of a connection that was reset while being made
            self.lost = "pipe"
        self.rewatch()

    def read(self):
        data = self.file.recv(4096)
        self.received += data
        if not data:
            self.lost = "fin"

    def write(self):
        budget = PIECE
        while self.queue and budget > 0 and (room := self.room()) > 0:
            data, piece = self.queue[0]
            part = data[self.at:self.at + min(piece - self.at % piece, room)]
            count = self.file.send(part) if self.is_socket else os.write(self.file, part)
            self.sent += count
            self.at += count
            budget -= count
            if self.at == len(data):
                self.queue.popleft()
                self.at = 0

    def flush(self, ceiling=None):
        """Runs the loop until all is written and, on TCP, acknowledged by relay's kernel."""
        self.loop.run(lambda: self.done, ceiling, lambda: f"publisher sent only {self.sent} bytes")
        if self.is_socket and self.file.family != socket.AF_UNIX:
            self.loop.run(lambda: self.lost or not self.unacknowledged, ceiling,
                          "the last byte to be acknowledged", poll=0.001)
        return self

    def half_close(self):
        self.file.shutdown(socket.SHUT_WR)

    def reset(self):
        if self.file is not None and self.is_socket and self.file.family != socket.AF_UNIX:
            address.reset_on_close(self.file)
        self.close()

    def close(self):
        if self.file is None:
            return
        self.loop.unwatch(self.file)
        if self.is_socket:
            self.file.close()
        else:
            os.close(self.file)
        self.file = None

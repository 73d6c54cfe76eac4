# SPDX-License-Identifier: MIT
"""Every way into a feed: the value of `ingest =` and how a publisher gets there."""

import os
import socket

from . import address
from .loop import READ

STREAMS = ("listen-tcp", "listen-tcp6", "listen-unix", "connect-tcp", "connect-unix", "fifo", "stdin")
FILES = ("file", "stdin-file")


class Ingest:
    """One way in. value is for the ini, stdin for the daemon; open(relay) makes the publisher."""

    def __init__(self, kind, loop, directory, feed):
        self.kind = kind
        self.loop = loop
        self.feed = feed
        self.path = directory / f"{feed}.in"
        self.stdin = None
        self.listener = None
        self.value = getattr(self, "value_" + kind.replace("-", "_"))()

    def value_listen_tcp(self):
        return "listen tcp:127.0.0.1:0"

    def value_listen_tcp6(self):
        return "listen tcp:[::1]:0"

    def value_listen_unix(self):
        return f"listen unix:{self.path}"

    def value_connect_tcp(self):
        self.listener, where = address.listen("tcp:127.0.0.1:0")
        return f"connect {where}"

    def value_connect_unix(self):
        self.listener, where = address.listen(f"unix:{self.path}")
        return f"connect {where}"

    def value_fifo(self):
        os.mkfifo(self.path)
        return f"fifo:{self.path}"

    def value_stdin(self):
        self.stdin, self.writer = os.pipe()
        return "stdin"

    def value_file(self):
        return f"file:{self.path}"

    def value_stdin_file(self):
        return "stdin"

    def accept(self):
        """The connection that relay makes to us."""
        made = []

        def ready(_events):
            made.append(self.listener.accept()[0])
            self.loop.unwatch(self.listener)

        self.loop.watch(self.listener, READ, ready)
        self.loop.run(lambda: made, what=f"relay to connect to {self.value}")
        made[0].setblocking(False)
        if made[0].family != socket.AF_UNIX:
            made[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made[0]

    def open(self, relay):
        if self.listener is not None:
            return relay.adopt(self.accept())
        if self.kind == "fifo":
            return relay.adopt(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
        if self.kind == "stdin":
            return relay.adopt(self.writer)
        return relay.publish(self.feed)

    def started(self):
        """After the daemon has started: our copy of its stdin is not needed any more."""
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def close(self):
        self.started()
        if self.listener is not None:
            self.listener.close()

# SPDX-License-Identifier: MIT
"""Feeds beside those of the model: by datagrams, from a file that grows, and published by HTTP. Each has a line for each
newcomer, and is well when the newcomer gets it."""

import socket
import struct

from relaytest import address
from relaytest.daemon import POLL
from relaytest.loop import CEILING
from relaytest.web_publisher import BEARER, TOKEN, head_of

FEEDS = ("datagrams", "appended", "posted")


class Sources:
    def __init__(self, stage):
        self.stage = stage
        self.count = 0
        self.tokens = stage.directory / "tokens"
        self.tokens.write_text(f"{TOKEN}\n")
        self.tokens.chmod(0o600)
        self.file = stage.directory / "appended"
        self.file.touch()
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def sections(self):
        ingests = {"datagrams": f"udp:127.0.0.1:{self.port}", "appended": f"tail:{self.file}", "posted": "http"}
        made = {"listener posting": {"feed": "all", "listen": "tcp:127.0.0.1:0", "format": "http", "publish": "yes",
                                     "publish_token_file": self.tokens}}
        for name, ingest in ingests.items():
            framing = {} if name == "datagrams" else {"framing": "line"}
            made[f"feed {name}"] = {"ingest": ingest, "on_slow": "disconnect", **framing}
            made[f"listener {name}"] = {"feed": name, "listen": "tcp:127.0.0.1:0"}
        return made

    def send(self, name):
        """A line of its own; what could not be taken just now is lost by right."""
        self.count += 1
        line = b"%b %d\n" % (name.encode(), self.count)
        if name == "datagrams":
            self.sender.sendto(line, ("127.0.0.1", self.port))
        elif name == "appended":
            with self.file.open("ab") as file:
                file.write(line)
        else:
            self.stage.attempt(lambda: self.post(line))
        return line

    def post(self, line):
        with address.connect(self.stage.relay.address["listener posting"]) as peer:
            peer.settimeout(CEILING)
            peer.sendall(head_of("length", len(line), "/posted", BEARER) + line)

    def check(self):
        for name in FEEDS:
            self.check_feed(name)

    def tell_losses(self, name):
        """What was lost for another worker for want of memory is told with the next packet, and ends who is there by
        then: so that is one before the newcomer."""
        before = self.stage.relay.feed(name)["in_messages"]

        def is_taken():
            self.send(name)
            self.stage.loop.turn(0.01)
            return self.stage.relay.feed(name)["in_messages"] > before

        self.stage.loop.run(is_taken, what=f"feed {name} to take a line", poll=POLL)

    def check_feed(self, name):
        """Whole lines of this feed, and in the end the newest one."""
        got = b""
        self.tell_losses(name)
        reader = address.connect(self.stage.relay.address[f"listener {name}"])
        reader.setblocking(False)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # an end that relay sees at once

        def look():
            nonlocal got
            line = self.send(name)
            self.stage.loop.turn(0.01)
            try:
                while part := reader.recv(65536):
                    got += part
            except BlockingIOError:
                pass
            return line in got or got.count(b"\n") > 1

        try:
            self.stage.loop.run(look, what=lambda: f"feed {name} to be served: {got[-80:]}", poll=POLL)
        finally:
            reader.close()
        numbers = [int(line.removeprefix(name.encode() + b" ")) for line in got.splitlines()]
        assert got.endswith(b"\n") and numbers == sorted(set(numbers)), f"feed {name}: {got[-200:]}"

    def close(self):
        self.sender.close()

# SPDX-License-Identifier: MIT
"""Subscribers of several feeds on one connection: what comes of each is compared with its own script.

scripts: a Script for each feed, by its name. Numbers are those of the combination: each message has the next one.
After a gap some of any feed may be missing; as many as were told.
"""

import json
import re

from .stream import Script, frame
from .web import BINARY, TEXT, EventSubscriber, WebSocketSubscriber

NOTHING = Script("line", b"", ends=[])


class OfOne:
    """How far a subscriber of several is with one of them, for a publisher to follow."""

    def __init__(self, several, name):
        self.several = several
        self.name = name
        self.on_progress = None

    @property
    def position(self):
        return self.several.scripts[self.name].start_of(self.several.at[self.name])


class Several:
    """What both kinds have; begin() is to be called before anything comes."""

    def begin(self, scripts):
        self.scripts = scripts
        self.at = dict.fromkeys(scripts, 0)
        self.session = None
        self.sequence = None  # of the next message
        self.told = 0  # messages that it was told it missed
        self.missed = 0  # and that it did miss, as far as others came behind them
        self.feed_gaps = []

    @property
    def done(self):
        return all(self.at[name] == script.count for name, script in self.scripts.items())

    def lead(self, publishers, window):
        """The publishers, by feed, are never more than window bytes ahead of what it has got."""
        for name, publisher in publishers.items():
            publisher.follow(OfOne(self, name), window)
        self.on_progress = lambda: [publisher.rewatch() for publisher in publishers.values()]

    def take_messages(self, name, session, first, data):
        """One or more whole messages of a feed."""
        script, index = self.scripts[name], self.at[name]
        begin = script.start_of(index)
        if not script.payload.startswith(data, begin):
            begin = script.payload.find(data, begin)
            assert begin >= 0 and self.told, f"feed {name}, message {index}: {data[:60]!r}"
            self.missed += script.ends.index(begin) + 1 - index
            index = script.ends.index(begin) + 1
        last = script.ends.index(begin + len(data), index)
        self.follow(session, first, last + 1 - index)
        self.at[name] = last + 1

    def follow(self, session, first, count):
        if self.session is not None:
            assert (session, first) == (self.session, self.sequence), f"{session}-{first}, not {self.session}-{self.sequence}"
        self.session, self.sequence = session, first + count

    def take_told(self, said):
        """A gap, as an object of JSON."""
        if "feed" in said:
            self.feed_gaps.append((said["feed"], said["to"] - said["from"]))
        else:
            self.told += said["to"] - said["from"]
        assert self.sequence in (None, said["from"]), f"{said} at {self.sequence}"
        self.sequence = said["to"]


class SeveralEvents(Several, EventSubscriber):
    """As server-sent events."""

    def __init__(self, loop, target, scripts, **options):
        self.begin(scripts)
        super().__init__(loop, target, NOTHING, **options)

    def take_event(self, lines):
        pairs = [line.split(b": ", 1) for line in lines if not line.startswith(b":")]
        values = {name.decode(): value for name, value in pairs if name != b"data"}
        data = b"\n".join(value for name, value in pairs if name == b"data")
        name = values.get("event", b"").decode()
        if name in self.scripts:
            self.last_event_id = values["id"].decode()
            session, first = (int(part) for part in self.last_event_id.split("-"))
            self.take_messages(name, session, first, frame(self.scripts[name].framing, data))
        elif name == "gap":
            self.last_event_id = values["id"].decode()
            self.gaps.append(data)
            if json.loads(data)["from"] is not None:
                self.take_told(json.loads(data))
        else:
            assert name in ("", "source"), lines
            super().take_event(lines)


class SeveralWebSocket(Several, WebSocketSubscriber):
    """On a WebSocket: a line before what comes of a feed."""

    def __init__(self, loop, target, scripts, **options):
        self.begin(scripts)
        super().__init__(loop, target, NOTHING, **options)

    def take_message(self, opcode, data):
        if opcode == TEXT and data.startswith(b"{"):
            self.take_told(json.loads(data)["gap"])
        elif opcode in (TEXT, BINARY):
            assert opcode == (TEXT if self.text else BINARY), f"opcode {opcode}"
            line, _, rest = data.partition(b"\n")
            name, session, first = re.fullmatch(r"(\S+) (\d+)-(\d+)", line.decode()).groups()
            before = self.at[name]
            self.take_messages(name, int(session), int(first), rest)
            assert not self.per_message or self.at[name] - before == 1 or self.told
            self.messages += 1
        else:
            super().take_message(opcode, data)

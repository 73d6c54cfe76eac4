# SPDX-License-Identifier: MIT
"""The peers of a play: who publishes, who reads, who is hostile; and what each of them does next."""

import socket

from relaytest.web import frame

from . import configuration, hostile
from .publishers import ModelPublisher
from .readers import Asking, EventReader, FramedReader, Reader, WebReader, WebSocketReader
from .stream import Stream

MOST_READERS, MOST_HOSTILE = 30, 12
NOBODY = "nobody"  # who could do it, so it was not done
READ_AT_ONCE = (1, 50, 1500, 20_000, 300_000)

# class, options, and what stands in the path
BY_HTTP = ((WebReader, {}, ""), (WebReader, {"version": "1.0"}, ""), (WebSocketReader, {}, ""))
BY_HTTP_MESSAGES = ((WebSocketReader, {"per_message": True}, "messages=message"), (EventReader, {}, ""))
BY_HTTP_LINES = ((WebSocketReader, {"text": True}, "text=1"),
                 (WebSocketReader, {"text": True, "per_message": True}, "text=1&messages=message"))


class Peers:
    """Works on self.relay; self.pick is the run's only source of chance."""

    def __init__(self, pick, loop):
        self.pick = pick
        self.loop = loop
        self.streams = {feed: Stream(feed, framing) for feed, (framing, _, _) in configuration.FEEDS.items()}
        self.publishers = {feed: [] for feed in self.streams}
        self.readers = []
        self.hostile = []
        self.checked = 0

    # Publishers.

    def publisher(self, feed):
        """One that relay has not ended, as far as is known."""
        alive = [one for one in self.publishers[feed] if one.file is not None and one.lost is None]
        for one in self.publishers[feed]:
            if one not in alive:
                one.reset()
        self.publishers[feed] = alive
        return self.pick.choice(alive) if alive else self.connect_publisher(feed)

    def connect_publisher(self, feed):
        made = ModelPublisher(self.pick, self.loop, self.relay.address[f"feed {feed}"], self.streams[feed])
        self.publishers[feed].append(made)
        return made

    def some_feed(self):
        return self.pick.choice(list(self.streams))

    def do_publish(self):
        feed = self.some_feed()
        publisher, count = self.publisher(feed), self.pick.choice((1, 1, 3, 10, 40))
        if len(publisher.queue) < 3:
            publisher.publish(count)
        return f"{count} to {feed}"

    def do_second_publisher(self):
        """Takes over or is turned away, often while the first one is within a message."""
        feed = self.some_feed()
        if self.pick.random() < 0.7:
            self.publisher(feed).half()
            self.loop.run_for(self.pick.choice((0.001, 0.02)))
        self.connect_publisher(feed).publish(self.pick.choice((1, 5)))
        return f"of {feed}"

    def do_end_publisher(self):
        feed = self.some_feed()
        publisher = self.publisher(feed)
        if publisher.done and self.pick.random() < 0.5:
            publisher.half()
            self.loop.run_for(0.005)
        way = self.pick.choice(("close", "reset", "half_close"))
        self.end_publisher(publisher, way)
        return f"of {feed} by {way}"

    def end_publisher(self, publisher, way):
        try:
            getattr(publisher, way)()
        except OSError:
            publisher.close()  # relay has ended it
        if way == "half_close" and publisher.file is not None:
            publisher.queue.clear()  # nothing more may be sent

    def do_break_framing(self):
        feed = self.pick.choice(("lines", "long", "packets"))
        publisher = self.publisher(feed)
        publisher.break_framing()
        return f"of {feed}"

    def do_urgent_data(self):
        feed = self.some_feed()
        self.publisher(feed).urgent()
        return f"to {feed}"

    # Readers.

    def do_subscribe(self):
        if len(self.readers) >= MOST_READERS:
            return NOBODY
        feed = self.some_feed()
        listener, kind, options = self.some_kind(feed)
        options["receive_buffer"] = self.pick.choice((0, 0, 4096))
        name = f"{kind.__name__} {feed} {options}"
        tells_gaps = kind in (FramedReader, EventReader) or kind is WebSocketReader and listener == "gaps"
        options["may_miss"] = not tells_gaps and configuration.may_miss(self.sections, listener, feed)
        try:
            reader = self.relay.subscribe(listener, self.streams[feed], kind=kind, paused=True, **options)
        except OSError as error:
            return f"{name}: {error}"
        reader.name = name
        reader.place = listener, feed, tells_gaps
        reader.was_killed = reader.has_said_goodbye = False
        reader.is_fast = self.pick.random() < 0.6
        if reader.is_fast:
            reader.resume()
        self.readers.append(reader)
        return name

    def some_kind(self, feed):
        """(listener, class, options)"""
        kind = self.pick.choice(("raw", "framed", "framed", "http", "http", "http"))
        if kind != "http":
            return f"{feed}-{kind}", Reader if kind == "raw" else FramedReader, {}
        kinds = BY_HTTP
        if self.streams[feed].knows_messages:
            kinds += BY_HTTP_MESSAGES
        if feed == "lines":
            kinds += BY_HTTP_LINES
        kind, options, query = self.pick.choice(kinds)
        past = self.pick.choice(("", "", "burst=64k", "burst=1s", self.begin(feed)))
        options = options | {"path": f"/{feed}?" + "&".join(part for part in (query, past) if part)}
        if kind is EventReader and self.pick.random() < 0.3:
            options["fields"] = {"Last-Event-ID": self.begin(feed)[5:]}
        return self.pick.choice(configuration.WEB), kind, options

    def begin(self, feed):
        """A place in the past, where there may be one."""
        session, sequence = self.streams[feed].newest or (1, 1)
        sequence = max(0, sequence - self.pick.choice((0, 1, 30, 1000)))
        return f"from={self.pick.choice(('', f'{session}-', '7-'))}{sequence}"

    def some_reader(self):
        return self.pick.choice(self.readers) if self.readers else None

    def do_read(self):
        """One that does not read by itself takes some, or goes on for good."""
        if (reader := self.some_reader()) is None or reader.is_fast or reader.end:
            return NOBODY
        if self.pick.random() < 0.05:
            reader.is_fast = True
            reader.unlimited()
            return f"{reader.name} from now on"
        count = self.pick.choice(READ_AT_ONCE)
        reader.read_exactly(count)
        return f"{count} by {reader.name}"

    def do_pause(self):
        if (reader := self.some_reader()) is None or reader.end:
            return NOBODY
        reader.is_fast = False
        reader.pause()
        return reader.name

    def do_leave(self):
        if (reader := self.some_reader()) is None:
            return NOBODY
        way = self.pick.choice(("close", "reset", "half_close"))
        if way == "half_close":
            try:
                reader.half_close()
            except OSError:
                pass  # relay has ended it
            reader.name += ", half-closed"
            reader.has_said_goodbye = isinstance(reader, Asking)  # with format = raw it may go on
            return reader.name
        self.forget(reader, way)
        return f"{reader.name} by {way}"

    def do_say(self):
        """A reader that gets what it asked for also says something, which is its own risk."""
        if (reader := self.some_reader()) is None or reader.end:
            return NOBODY
        is_websocket = isinstance(reader, WebSocketReader)
        if self.pick.random() < 0.7:
            data = frame(9, b"there?") if is_websocket else b"hello"
        else:
            data = hostile.some_frame(self.pick) if is_websocket else hostile.some_bytes(self.pick)
        try:
            reader.sock.send(data)
        except BlockingIOError:
            pass  # relay does not take it
        except OSError:
            reader.finish("rst")  # which the next read would take for a good end
        return f"{len(data)} bytes by {reader.name}"

    def forget(self, reader, way="reset"):
        self.checked += reader.follower.checked
        getattr(reader, way)()
        if reader in self.readers:
            self.readers.remove(reader)
        if reader in self.relay.peers:
            self.relay.peers.remove(reader)

    def forget_ended(self):
        for reader in [one for one in self.readers if one.end]:
            self.check_end(reader)
            self.forget(reader)

    def check_end(self, reader):
        """An end in the middle of a message must not look like a good one, unless nobody was left to see to that."""
        if reader.was_killed or reader.has_said_goodbye or reader.refused:
            return
        if reader.end == "fin" and reader.sock.family != socket.AF_UNIX and reader.stream.knows_messages:
            state = reader.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]  # 8: CLOSE_WAIT, behind a FIN
            assert not reader.cutter.rest, f"{reader.name}: FIN within a message, {state=}: {reader.cutter.rest[:60]!r}"

    # The hostile ones.

    def do_hostile_peer(self):
        if len(self.hostile) >= MOST_HOSTILE:
            self.hostile.pop(0).reset()
        name = self.pick.choice([name for name in self.relay.address if not name.startswith("feed")])
        self.hostile.append(hostile.HostilePeer(self.pick, self.loop, self.relay.address[name]))
        self.hostile[-1].say()
        return f"at {name}"

    def do_hostile_publisher(self):
        """Other protocols, floods and silence at the ingest. In other framings some of that could
        be a message."""
        feed = self.pick.choice(("short", "long", "packets"))
        one = hostile.HostilePeer(self.pick, self.loop, self.relay.address[f"feed {feed}"], is_silent=feed == "short")
        one.say()
        self.hostile.append(one)
        return f"at {feed}"

    def do_hostile_deed(self):
        if not self.hostile:
            return NOBODY
        one = self.pick.choice(self.hostile)
        way = self.pick.choice(("say", "say", "half_close", "reset"))
        if way == "reset":
            self.hostile.remove(one)
        getattr(one, way)()
        return way

    def do_admin(self):
        door = self.pick.choice(("admin listen", "admin socket"))
        one = hostile.HostilePeer(self.pick, self.loop, self.relay.address[door])
        one.ask()
        self.hostile.append(one)
        return door

    def close_all_hostile(self):
        for one in self.hostile:
            one.reset()
        self.hostile = []

# SPDX-License-Identifier: MIT
"""Subscribers of each format: the parsers of relaytest, with the model in the place of a script."""

from relaytest import packet
from relaytest.stream import frame
from relaytest.subscriber import FramedSubscriber, Subscriber
from relaytest.web import TEXT, EventSubscriber, WebSocketSubscriber, WebSubscriber

from .stream import Cutter, Follower

# What a request may be answered, if not by the stream.
REFUSALS = {404, 406, 408, 416, 429, 503}


class Reader(Subscriber):
    """Whole messages, one after another."""

    def __init__(self, loop, target, stream, may_miss=False, **options):
        self.stream = stream
        self.follower = Follower(self, stream, may_miss)
        self.cutter = Cutter(stream.framing)
        self.refused = False
        self.name = type(self).__name__
        super().__init__(loop, target, stream, **options)

    def take(self, data):
        for message in self.cutter.cut(data):
            self.follower.take(message)

    def take_whole(self, data):
        """Nothing but whole messages; how many."""
        messages = self.cutter.cut(data)
        for message in messages:
            self.follower.take(message)
        if self.stream.knows_messages:
            assert not self.cutter.rest, f"a packet ends within a message: {self.cutter.rest[:80]!r}"
        return len(messages)

    def told_gap(self):
        self.cutter.rest = b""
        self.follower.gap()


class FramedReader(FramedSubscriber, Reader):
    """Sequence and count are those of the messages."""

    def __init__(self, loop, target, stream, **options):
        self.collected = b""
        self.has_ended = False
        super().__init__(loop, target, stream, same_session=False, **options)

    def open_packet(self, header):
        if self.has_ended or header.session != self.session:  # one that skips may not see the end
            self.next = None
            self.has_ended = False
            self.told_gap()
        super().open_packet(header)

    def seek(self, sequence):
        pass

    def compare(self, data):
        self.collected += data

    def close_packet(self):
        header, data = self.packet, self.collected
        self.collected = b""
        count = self.take_whole(data)
        if self.stream.framing == "none":
            count = 1
        assert count == header.count, f"{count} messages: {header}"
        if self.stream.framing == "relay":
            assert bool(self.cutter.rest) == header.continued, f"{self.cutter.rest[:40]!r} is left: {header}"
        self.next += header.count
        if self.follower.next and header.count and self.stream.framing != "none":
            era, number = self.follower.last
            self.stream.check_place(self.session, self.next - 1, era, number)

    def take_gap(self, header):
        super().take_gap(header)
        self.told_gap()

    def take_event(self, header):
        super().take_event(header)
        self.has_ended = header.type == packet.END


class Asking:
    """By HTTP: goes before a subscriber of relaytest, and takes a refusal for an answer."""

    def check_status(self):
        self.refused = self.is_refusal()
        if not self.refused:
            super().check_status()

    def is_refusal(self):
        return self.status in REFUSALS

    def take_body(self, data):
        if not self.refused:
            super().take_body(data)


class WebReader(Asking, WebSubscriber, Reader):
    """Chunks, or the bare body."""


class EventReader(Asking, EventSubscriber, Reader):
    """One message an event; ids without a hole that is not told."""

    def __init__(self, loop, target, stream, **options):
        self.expected = None
        super().__init__(loop, target, stream, **options)

    def is_refusal(self):
        """An EventSource would not come back after another status than 200: it is told in one event, and that is all."""
        return super().is_refusal() or (self.status == 200 and "content-length" in self.fields)

    def take_event(self, lines):
        gaps = len(self.gaps)
        super().take_event(lines)
        if len(self.gaps) > gaps:
            self.told_gap()
            session, sequence = self.last_event_id.split("-")
            self.expected = int(session), int(sequence) + 1

    def take_message(self, sequence, data):
        session = int(self.last_event_id.split("-")[0])
        if self.expected and self.expected[0] == session:
            assert self.expected[1] == sequence, f"id {sequence}, and not {self.expected[1]}"
        elif self.expected:
            self.told_gap()
        self.expected = session, sequence + 1
        self.follower.take(frame(self.stream.framing, data))
        if self.follower.next:
            self.stream.check_place(session, sequence, *self.follower.last)


class WebSocketReader(Asking, WebSocketSubscriber, Reader):
    """Messages of whole packets, or of one message of the feed each."""

    def take_message(self, opcode, data):
        if opcode == TEXT and data.startswith(b'{"gap":'):
            self.take_gap_text(data)
            self.told_gap()
        else:
            super().take_message(opcode, data)

    def take_payload(self, data):
        count = self.take_whole(data)
        if self.per_message:
            assert count == 1 or not self.stream.knows_messages, f"{count} messages in one"

    def check_is_message(self, data):
        pass

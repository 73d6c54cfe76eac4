# SPDX-License-Identifier: MIT
"""Subscribers that compare every byte they get with the script, as it comes.

A wrong byte, a wrong header field or a break in the sequence raises at once. Position is the offset in
the script's payload up to which this subscriber has got (or been told that it missed) everything.
"""

import socket
import time

from . import address, packet
from .loop import READ

PIECE = 256 * 1024
LOCATE = 48


class Subscriber:
    """Reads raw bytes. With start=None the first bytes are looked up in the script (a late joiner).

    end tells how relay ended it: None (still connected), "fin" or "rst". It connects from the address `source`, and
    sends `first`.
    """

    def __init__(self, loop, target, script, start=0, receive_buffer=0, paused=False, limit=None, source=None, first=b""):
        self.loop = loop
        self.script = script
        self.payload = script.payload
        self.position = start
        self.start = start
        self.received = 0
        self.end = None
        self.limit = limit
        self.feed = None
        self.pending = b""
        self.on_progress = None
        self.sock = address.connect(target, receive_buffer, source)
        if first:
            self.sock.send(first)
        if not paused:
            self.resume()

    def pause(self):
        self.loop.unwatch(self.sock)

    def resume(self):
        if self.end is None:  # behind a reset there would be what looks like a good end
            self.loop.watch(self.sock, READ, self.ready)

    def ready(self, _events):
        try:
            want = PIECE if self.limit is None else min(PIECE, self.limit - self.received)
            data = self.sock.recv(want)
        except BlockingIOError:
            return
        except OSError:
            self.finish("rst")
            return
        if not data:
            self.finish("fin")
            return
        self.received += len(data)
        self.take(data)
        if self.limit is not None and self.received >= self.limit:
            self.pause()
        if self.on_progress:
            self.on_progress()

    def finish(self, how):
        self.end = how
        self.pause()

    def read_exactly(self, count):
        """Goes on for count more bytes, then pauses again."""
        self.limit = self.received + count
        self.resume()

    def unlimited(self):
        self.limit = None
        self.resume()

    @property
    def is_reading(self):
        return self.sock is not None and self.sock.fileno() in self.loop.selector.get_map()

    @property
    def done(self):
        return self.position == len(self.payload)

    def take(self, data):
        if self.position is None:
            self.pending += data
            if len(self.pending) < LOCATE:
                return
            data, self.pending = self.pending, b""
            self.position = self.start = self.locate(data)
        self.compare(data)

    def locate(self, data):
        at = self.payload.find(data[:LOCATE])
        assert at >= 0, f"not in the stream: {data[:LOCATE].hex()}"
        return at

    def compare(self, data):
        if not self.payload.startswith(data, self.position):
            raise AssertionError(self.difference(data))
        self.position += len(data)

    def difference(self, data):
        """Where the first wrong byte is, and where in the stream it would have been right."""
        want = self.payload[self.position:self.position + len(data)]
        same = next((i for i, (a, b) in enumerate(zip(data, want)) if a != b), len(want))
        piece = data[same:same + 32]
        elsewhere = self.payload.find(piece) if len(piece) == 32 else -1
        return (f"wrong byte at {self.position + same} of {len(self.payload)}: got {piece.hex()}, "
                f"want {want[same:same + 32].hex()}; these bytes stand at {elsewhere}")

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        if self.sock is not None and self.sock.family != socket.AF_UNIX:
            address.reset_on_close(self.sock)
        self.close()

    def close(self):
        if self.sock is not None:
            self.loop.unwatch(self.sock)
            self.sock.close()
            self.sock = None


class LineSubscriber(Subscriber):
    """A raw subscriber of lines that may miss some: each line it gets must be whole and later than
    the one before. lines counts them; tail is what came after the last LF."""

    def __init__(self, loop, target, script, **options):
        self.lines = 0
        self.last = -1
        self.tail = b""
        super().__init__(loop, target, script, **options)

    def take(self, data):
        *lines, self.tail = (self.tail + data).split(b"\n")
        for line in lines:
            index = self.script.index_of.get(line + b"\n")
            assert index is not None, f"a line that nobody published: {line[:80]!r}"
            assert index > self.last, f"line {index} after line {self.last}"
            self.last = index
            self.lines += 1
            self.position = self.script.ends[index]


class FramedSubscriber(Subscriber):
    """Reads packets and checks each header field against design 6 and the script.

    base is the sequence of the script's first message. Learned from the first heartbeat, which then
    stands for message `first_message`.
    """

    def __init__(self, loop, target, script, base=None, first_message=0, same_session=True, **options):
        self.head = b""
        self.packet = None
        self.left = 0
        self.session = None
        self.same_session = same_session
        self.next = None
        self.base = script.first if base is None else base
        self.first_message = first_message
        self.open = False
        self.messages = 0
        self.payload_bytes = 0
        self.gaps = []
        self.holes = []
        self.events = []
        self.heartbeats = []
        self.headers = []
        self.partial_bytes = 0
        super().__init__(loop, target, script, **options)

    @property
    def missed(self):
        return sum(after - first for first, after in self.gaps)

    @property
    def done(self):
        return self.position == len(self.payload) and self.left == 0 and not self.open

    def take(self, data):
        at = 0
        while at < len(data):
            if self.left:
                count = min(self.left, len(data) - at)
                self.compare(data if count == len(data) else data[at:at + count])
                self.payload_bytes += count
                at += count
                self.left -= count
                if not self.left:
                    self.close_packet()
                continue
            count = packet.BYTES - len(self.head)
            self.head += data[at:at + count]
            at += count
            if len(self.head) == packet.BYTES:
                head, self.head = self.head, b""
                self.open_packet(packet.decode(head))

    def open_packet(self, header):
        if self.session is None:
            assert header.type == packet.HEARTBEAT, f"first packet is {header}"
            self.session = header.session
        if header.session != self.session:
            assert not self.same_session, f"session {self.session} became that of {header}"
            self.session, self.next = header.session, None
        if self.next is None:
            self.next = header.sequence
            if self.base is None:
                self.base = header.sequence - self.first_message
            self.seek(header.sequence)
        self.packet = header
        if header.type == packet.DATA:
            self.open_data(header)
        elif header.type == packet.GAP:
            self.take_gap(header)
        else:
            self.take_event(header)

    def open_data(self, header):
        assert header.sequence == self.next, f"expected sequence {self.next}: {header}"
        times = self.script.times
        if times is not None:
            assert header.time == times[header.sequence], f"time not kept: {header}"
        else:
            assert abs(header.time / 1e9 - time.time()) < 600, f"time is not now: {header}"
        self.headers.append(header)
        self.left = header.length

    def close_packet(self):
        header = self.packet
        self.next += header.count
        self.messages += header.count
        self.open = header.continued
        ends = self.script.ends
        if ends is None:
            assert header.count == (0 if header.continued else 1), f"framing none: {header}"
            return
        index = self.next - self.base
        begin = self.script.start_of(index)
        if header.continued:
            assert begin < self.position < ends[index], f"not inside message {index}: {header}"
        else:
            assert self.position == begin, f"ends at {self.position}, not at {begin}: {header}"

    def take_gap(self, header):
        assert header.sequence == self.next, f"expected sequence {self.next}: {header}"
        assert header.time > header.sequence, f"nothing is missing: {header}"
        (self.holes if header.is_hole else self.gaps).append((header.sequence, header.time))
        self.next = header.time
        self.seek(self.next)
        self.open = False

    def take_event(self, header):
        assert header.sequence == self.next, f"expected sequence {self.next}: {header}"
        if header.type == packet.HEARTBEAT:
            self.heartbeats.append(header.time)
        else:
            self.events.append(header.type)

    def seek(self, sequence):
        """Places position at a message; where boundaries are unknown the next bytes tell."""
        if self.script.session not in (None, self.session):
            return  # before the first packet of a feed that keeps its publisher's session
        if self.script.ends is None:
            self.position = 0 if not self.headers and not self.gaps else None
            return
        index = sequence - self.base
        assert 0 <= index <= self.script.count, f"sequence {sequence} was never published"
        begin = self.script.start_of(index)
        if self.open:
            self.partial_bytes += self.position - self.script.start_of(self.next - self.base)
        self.position = begin

    def compare(self, data):
        if self.position is None:
            self.position = self.locate(data)
        super().compare(data)

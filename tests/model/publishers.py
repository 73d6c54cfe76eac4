# SPDX-License-Identifier: MIT
"""Publishers that keep to their framing, cut their bytes anywhere, and end anyhow; and some that break it."""

import os
import socket

from relaytest import address, packet
from relaytest.publisher import Publisher

# How many bytes a write has.
WHOLE = 1 << 20
CUTS = (7, 61, 1448, 4096, 65_536, WHOLE)
TOO_LONG = b"z" * 1_100_000


class ModelPublisher(Publisher):
    """Publishes the messages of one era of a stream, in their order, and gets it when it begins: until then relay does not
    know it as a publisher. With framing = relay it may go on with the era of the publisher before."""

    def __init__(self, pick, loop, target, stream):
        self.pick = pick
        self.stream = stream
        self.has_urgent = False
        self.rest = b""
        self.era = None
        super().__init__(loop, address.connect(target))

    def begin(self):
        """It may repeat what relay perhaps has not got, and jump ahead; but its first message has a name, for nobody tells a
        reader without packets that another session begins."""
        stream, pick = self.stream, self.pick
        if stream.times and stream.last_era and pick.random() < 0.6:
            self.era = stream.last_era
            self.number = max(0, stream.made[self.era] + pick.choice((0, 0, -20, 5)))
        else:
            self.era = stream.new_era()
            self.number = pick.choice((0, 1000)) if stream.times else 0
        while stream.is_nameless(stream.message(self.era, self.number)):
            self.number += 1

    def publish(self, count, cut=None):
        """The next messages; the number of the last one."""
        wires = [self.next_wire() for _ in range(count)]
        self.send(self.rest + b"".join(wires), cut or self.pick.choice(CUTS))
        self.rest = b""
        return self.number - 1

    def next_wire(self):
        if self.era is None:
            self.begin()
        wire = self.packets(self.message()) if self.stream.times else self.message()
        self.stream.made[self.era] = max(self.number, self.stream.made[self.era])
        return wire

    def message(self):
        made = self.stream.message(self.era, self.number)
        self.number += 1
        return made

    def publish_named(self):
        """One message that every reader can tell from all others, at the end of those published. It is not cut: of 150,000
        bytes in pieces of 7 a reader with a small receive buffer gets segments so small that they alone can take longer than
        relay has to be well again."""
        while True:
            last = self.publish(1, WHOLE)
            if not self.stream.is_nameless(self.stream.message(self.era, last)):
                return self.era, last

    def packets(self, message):
        """One message in one packet or several, or another in the same packet; sometimes with a gap, or news. Of some the
        end never comes: nobody may get anything of these."""
        chance, sequence = self.pick.random(), self.number - 1
        if chance < 0.05 and len(message) > 100:
            middle = self.pick.randrange(1, len(message))
            begin = self.data(message[:middle], sequence, 0, packet.CONTINUED)
            return begin if chance < 0.01 else begin + self.data(message[middle:], sequence, 1)
        if chance < 0.10:
            message += self.message()
            return self.data(message, sequence, 2)
        if chance < 0.11:
            self.number += self.pick.randrange(1, 50)
            gap = packet.encode(packet.GAP, session=self.era, sequence=sequence + 1, time=self.number)
            return self.data(message, sequence, 1) + gap
        if chance < 0.12:
            self.number += self.pick.randrange(1, 50)  # a gap that is seen in the sequence alone
        elif chance < 0.13:
            kind = self.pick.choice((packet.HEARTBEAT, packet.SOURCE_DOWN, packet.SOURCE_UP))
            return packet.encode(kind, session=self.era, sequence=sequence) + self.data(message, sequence, 1)
        return self.data(message, sequence, 1)

    def data(self, part, sequence, count, flags=0):
        return packet.encode(flags=flags, count=count, length=len(part), session=self.era, sequence=sequence,
                             time=self.stream.times[sequence]) + part

    def urgent(self):
        """One byte beside the stream. A second one would push the first one into it (tcp(7))."""
        if self.file.family != socket.AF_UNIX and not self.has_urgent and self.lost is None:
            self.has_urgent = True
            try:
                self.file.send(b"!", socket.MSG_OOB)
            except OSError:
                pass  # it is gone, or full

    def half(self):
        """The next message begins, and goes on with what is published next, if that ever comes."""
        wire = self.next_wire()
        cut = self.pick.randrange(len(wire))
        self.send(self.rest + wire[:cut])
        self.rest = wire[cut:]

    def break_framing(self):
        """Behind whole messages comes something for which it is cut off."""
        if self.rest:
            self.publish(1)
        framing, pick = self.stream.framing, self.pick
        if framing == "line":
            self.send(TOO_LONG)
        elif framing == "u32be":
            self.send(pick.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x20\x00\x00")))
        elif framing == "relay":
            self.send(self.broken_packet())

    def broken_packet(self):
        pick = self.pick
        if self.era is None:
            self.begin()
        session = {"session": self.era, "sequence": self.number}
        return pick.choice((
            os.urandom(64),
            packet.encode(9, **session),
            packet.encode(packet.HEARTBEAT, length=5, **session),
            packet.encode(packet.GAP, time=self.number, **session),
            packet.encode(count=1, length=2**32 - 1, **session),
            packet.encode(count=1, length=50, magic=b"RLY2", **session) + b"x" * 50))

# SPDX-License-Identifier: MIT
"""What is published, as a pure function; and what one reader has to see of it.

A message is named by (era, number). The era is the publisher's connection; with framing = relay it is the session that
the publisher gives, and the number is the sequence. Any message can be made again from its name, so each byte that a
reader gets is compared, and nothing has to be kept.
"""

import functools
import re
import zlib

from relaytest.stream import PREFIX, frame

POOL = bytes(b"0123456789abcdefghijklmnopqrstuv"[(i * 2654435761 >> 15) & 31] for i in range(1 << 18))
NAME = re.compile(rb"@(\w+) (\d+) (\d+) ")
SIZES = (0, 1, 10, 10, 60, 60, 60, 300, 300, 1400, 1400, 4096, 9000, 9000, 30_000, 60_000)
LARGE = 150_000
# Bodies too short for a name.
NAMELESS = (b"", b".")
FIXED = 188


def by_lines(framing):
    """Where relay knows no messages, or is told them, a line feed tells the reader."""
    return framing in ("line", "none", "relay")


@functools.lru_cache(maxsize=4096)
def message(framing, feed, era, number):
    """As the publisher sends it and raw subscribers get it, with its delimiters."""
    chance = zlib.crc32(b"%s %d %d" % (feed.encode(), era, number))
    if framing.startswith("fixed"):
        size = FIXED
    elif chance % 97 == 0 and framing not in PREFIX or chance % 97 == 0 and PREFIX[framing][0] == 4:
        size = LARGE
    else:
        size = SIZES[chance % len(SIZES)]
    if size <= 1 and number and framing != "none":
        body = NAMELESS[size]
    else:
        head = b"@%s %d %d " % (feed.encode(), era, number)
        fill = max(0, size - len(head) - 9)
        begin = chance % (len(POOL) - LARGE)
        text = head + POOL[begin:begin + fill]
        body = text + b" %08x" % zlib.crc32(text)
    return frame("line" if by_lines(framing) else framing, body)


class Stream:
    """The model of one feed: how far each era has been sent, and which sequence its messages have got.

    It stands where the subscribers of relaytest want a script.
    """

    payload, ends, first, session = b"", None, 0, None

    class Times:
        """framing = relay: the time of each packet follows from its sequence."""

        def __getitem__(self, sequence):
            return 1_700_000_000_000_000_000 + sequence

    def __init__(self, feed, framing):
        self.feed = feed
        self.framing = framing
        self.times = self.Times() if framing == "relay" else None
        self.made = {}  # of each era: the number of the next message
        self.last_era = 0
        self.bases = {}
        self.newest = None  # the session and sequence that a reader saw last

    @property
    def knows_messages(self):
        """Whether relay can tell where one ends."""
        return self.framing not in ("none", "relay")

    def start_of(self, _index):
        return 0

    def message(self, era, number):
        return message(self.framing, self.feed, era, number)

    def new_era(self):
        self.last_era += 1
        self.made[self.last_era] = 0
        return self.last_era

    def is_nameless(self, data):
        return any(data == frame("line" if by_lines(self.framing) else self.framing, one) for one in NAMELESS)

    def find_begun(self, part, past):
        """An era that is not one of those and whose first message begins so; None."""
        eras = (era for era in range(1, self.last_era + 1) if era not in past)
        return next((era for era in eras if self.message(era, 0).startswith(part)), None)

    def is_published(self, era, number):
        return number < self.made.get(era, 0)

    def check_place(self, session, sequence, era, number):
        """In a session, the sequence of an era's messages goes up with their number, for every reader."""
        self.newest = session, sequence
        if self.times:
            assert (session, sequence) == (era, number), f"feed {self.feed}: {(session, sequence)} has {(era, number)}"
            return
        base = self.bases.setdefault((session, era), sequence - number)
        assert sequence - number == base, (f"feed {self.feed}: session {session}, sequence {sequence} has message {number} of "
                                           f"era {era}, and another had {sequence - base}")


class Cutter:
    """Cuts bytes into messages by the framing; keeps what is not whole."""

    def __init__(self, framing):
        self.framing = framing
        self.rest = b""

    def cut(self, data):
        data = self.rest + data
        found, at = [], 0
        while end := self.end_of(data, at):
            found.append(data[at:end])
            at = end
        self.rest = data[at:]
        return found

    def end_of(self, data, at):
        """Of the message that begins there; 0: it is not whole."""
        if by_lines(self.framing):
            return data.find(b"\n", at) + 1
        size = FIXED
        if self.framing in PREFIX:
            width, order = PREFIX[self.framing]
            if len(data) < at + width:
                return 0
            size = width + int.from_bytes(data[at:at + width], order)
        return at + size if len(data) >= at + size else 0


class Follower:
    """Compares the messages of one reader.

    may_miss: it can skip without being told (raw and http; relay's own publisher may also tell gaps that these never
    hear of). next: the message that has to come; None: any that is later than last.
    """

    def __init__(self, reader, stream, may_miss):
        self.reader = reader
        self.stream = stream
        self.may_miss = may_miss
        self.next = None
        self.last = (0, -1)
        self.past = {0}  # eras: of two publishers who come at once, relay may take either first
        self.joining = True
        self.checked = 0

    def gap(self):
        """Something is missing here, and the reader has been told."""
        self.next = None
        self.joining = True

    def take(self, data):
        if self.next and self.stream.is_published(*self.next) and data == self.stream.message(*self.next):
            self.advance(*self.next)
        elif self.stream.framing == "none":
            self.take_unframed(data)
        elif self.may_begin_anew and self.stream.is_nameless(data):
            self.next = None
        else:
            self.find(data)

    @property
    def may_begin_anew(self):
        return self.joining or self.may_miss or self.next is None

    def take_unframed(self, data):
        """Nobody keeps what publishers that ended, one after another, left of their messages from the next one's first."""
        before, *begun = data.split(b"@")
        if not begun:
            assert self.joining, self.wrong(data)
            self.joining = False
            return
        if not before and len(begun) == 1:
            self.find(data)
            return
        assert self.may_begin_anew or not before, self.wrong(data)
        parts = [b"@" + part for part in begun]
        if not before and (self.may_begin_anew or self.stream.message(*self.next).startswith(parts[0])):
            del parts[0]
        for part in parts:
            era = self.stream.find_begun(part, self.past)
            assert era, self.wrong(data)
        assert self.stream.message(era, 0) == part and self.stream.is_published(era, 0), self.wrong(data, (era, 0))
        self.advance(era, 0)

    def find(self, data):
        """By its name: another message than the next one."""
        name = NAME.match(data[PREFIX.get(self.stream.framing, (0,))[0]:])
        assert name, self.wrong(data)
        assert name[1].decode() == self.stream.feed, f"foreign feed: {self.wrong(data)}"
        era, number = int(name[2]), int(name[3])
        assert data == self.stream.message(era, number), self.wrong(data, (era, number))
        after = f"{self.reader.name}: {(era, number)} after {self.last}"
        if era == self.last[0]:
            assert number > self.last[1], after
        else:
            assert era not in self.past or self.stream.times, after
        assert self.stream.is_published(era, number), f"feed {self.stream.feed}: {(era, number)} was never published"
        if not self.may_begin_anew:
            assert era != self.last[0], f"{after}, and no gap was told"
            assert number == 0 or self.stream.times, f"{after}: an era begins with its first message"
        self.advance(era, number)

    def advance(self, era, number):
        self.joining = False
        self.past.add(era)
        self.last = (era, number)
        self.next = (era, number + 1)
        self.checked += 1

    def wrong(self, data, name=None):
        """What came, and where it differs from the message that it says it is, or that was to come."""
        name = name or self.next
        text = f"{self.reader.name}: after {self.last} came {data[:80]!r} of {len(data)} bytes"
        if not name:
            return text
        want = self.stream.message(*name)
        at = next((i for i, (a, b) in enumerate(zip(data, want)) if a != b), min(len(data), len(want)))
        return (f"{text}; message {name} has {len(want)} and differs at {at}: "
                f"{data[max(0, at - 20):at + 40]!r} instead of {want[max(0, at - 20):at + 40]!r}")

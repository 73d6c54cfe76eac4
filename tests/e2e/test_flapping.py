# SPDX-License-Identifier: MIT
"""Publishers killed and reconnected every 0.1-2 s: no torn message, each outage announced, and nothing
of an old source after the first byte of the new one.

Every life of a publisher is an epoch with bytes of its own. A message is a u32be length, the epoch, the
number of the message in it, and a piece of a position-coded stream that no other epoch has.
"""

import random
import select
import struct
import time

import pytest

from relaytest import packet
from relaytest.ini import ENGINES, feed
from relaytest.stream import position_coded
from relaytest.subscriber import Subscriber

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h", "framing": "u32be"}
LIVES = 8  # of each publisher, at least
DIALLED_LIVES = 4  # of one to which relay connects: it backs off
HEAD = struct.Struct(">III")
EPOCH_BYTES = 300_000


class Epoch:
    """What one life of a publisher sends: whole messages, then the beginning of one more."""

    def __init__(self, number, seed, largest):
        rng = random.Random(seed * 1000 + number)
        body = position_coded(seed * 1000 + number, EPOCH_BYTES)
        self.messages = []
        at = 0
        while at < len(body):
            part = body[at:at + rng.randint(1, largest)]
            at += len(part)
            self.messages.append(HEAD.pack(len(part) + 8, number, len(self.messages)) + part)
        self.torn = self.messages.pop()[:-1] if rng.random() < 0.8 else b""
        self.wire = b"".join(self.messages) + self.torn


class Flapper:
    """One feed's publisher, with its lives; step() brings it up and down when the time has come."""

    def __init__(self, relay, way, seed, largest, replaces):
        self.relay = relay
        self.way = way
        self.seed = seed
        self.rng = random.Random(seed)
        self.largest = largest
        self.replaces = replaces
        self.lives = LIVES if way.listener is None else DIALLED_LIVES
        self.epochs = []
        self.publisher = None
        self.due = 0.0

    def step(self, now):
        if now < self.due:
            return
        if self.publisher is None or self.replaces:
            self.bring_up()
            self.due = now + self.rng.choice([0.1, 0.1, 0.3, 0.3, 0.7, 2.0])
        else:
            self.kill()
            self.due = now + self.rng.choice([0.0, 0.0, 0.1, 0.2])

    def bring_up(self):
        """For a feed that connects to its publisher this happens when relay comes, as it backs off."""
        if self.way.listener is not None and not select.select([self.way.listener], [], [], 0)[0]:
            return
        epoch = Epoch(len(self.epochs), self.seed, self.largest)
        self.epochs.append(epoch)
        old = self.publisher
        self.publisher = self.way.open(self.relay).send(epoch.wire, piece=self.rng.choice([1000, 65536]))
        if old:  # relay has cut it off, or is about to
            self.relay.loop.run(lambda: old.lost, what="the old publisher to be cut off")
            old.close()

    def retry(self):
        """One that came before relay had seen the end of the one before it was turned away: again."""
        if self.publisher is None or self.publisher.lost:
            if self.publisher:
                self.kill()
            self.bring_up()

    def kill(self):
        (self.publisher.reset if self.rng.random() < 0.5 else self.publisher.close)()
        self.publisher = None


class Watcher(Subscriber):
    """Takes messages apart; each must be whole, of the epoch it stands in, and in its place."""

    def __init__(self, loop, target, flapper, **options):
        self.flapper = flapper
        self.buffer = b""
        self.epoch = -1
        self.index = 0
        self.whole = {}
        super().__init__(loop, target, EMPTY, **options)

    @property
    def done(self):
        """The last epoch has come completely."""
        last = self.flapper.epochs[-1]
        return self.whole.get(len(self.flapper.epochs) - 1) == len(last.messages) and not self.buffer

    def take(self, data):
        self.buffer += data
        at = 0
        while at + HEAD.size <= len(self.buffer):
            end = at + 4 + HEAD.unpack_from(self.buffer, at)[0]
            if end > len(self.buffer):
                break
            self.take_message(self.buffer[at:end])
            at = end
        self.buffer = self.buffer[at:]

    def take_message(self, message):
        _, epoch, index = HEAD.unpack_from(message)
        assert epoch < len(self.flapper.epochs), f"epoch {epoch} has not begun"
        assert epoch >= self.epoch, f"epoch {epoch} after the first bytes of {self.epoch}"
        if epoch > self.epoch:
            self.begin_epoch(epoch)
        assert index == self.index, f"epoch {epoch}: message {index} where {self.index} is due"
        assert message == self.flapper.epochs[epoch].messages[index], f"epoch {epoch}: message {index} differs"
        self.index += 1
        self.whole[epoch] = self.index

    def begin_epoch(self, epoch):
        self.epoch, self.index = epoch, 0


class FramedWatcher(Watcher):
    """The same through packet headers: sequences without a break, and outages where epochs change."""

    def __init__(self, loop, target, flapper, **options):
        self.head = b""
        self.left = 0
        self.next = None
        self.session = None
        self.downs = 0
        self.is_up = True  # who joins while there is no source is told so at once
        self.ups = 0
        self.outages_before = 0
        super().__init__(loop, target, flapper, **options)

    def take(self, data):
        while data:
            if self.left:
                part, data = data[:self.left], data[self.left:]
                self.left -= len(part)
                super().take(part)
                continue
            need = packet.BYTES - len(self.head)
            self.head += data[:need]
            data = data[need:]
            if len(self.head) == packet.BYTES:
                head, self.head = self.head, b""
                self.take_header(packet.decode(head))

    def take_header(self, header):
        if self.session is None:
            self.session, self.next = header.session, header.sequence
        assert header.session == self.session and header.type != packet.GAP, header
        assert header.sequence == self.next, f"expected sequence {self.next}: {header}"
        self.next += header.count
        self.left = header.length
        if header.type == packet.DATA:
            assert self.is_up, f"data while the source is down: {header}"
        elif header.type == packet.SOURCE_DOWN:
            assert not self.buffer, f"{len(self.buffer)} bytes of a message when the source went"
            self.downs += 1
            self.is_up = False
        elif header.type == packet.SOURCE_UP:
            assert not self.is_up, "a source came up over another one"
            self.ups += 1
            self.is_up = True

    def begin_epoch(self, epoch):
        if self.epoch >= 0:
            assert self.downs > self.outages_before, f"no outage between {self.epoch} and {epoch}"
        self.outages_before = self.downs
        super().begin_epoch(epoch)


class EMPTY:
    """A watcher knows its bytes from the flapper's epochs."""

    payload = b""


# name: (way in, options of the feed, largest message)
FEEDS = {
    "fin": ("listen-tcp", {"engine": "auto"}, 3000),
    "splice": ("listen-tcp", ENGINES["splice-gift"], 40_000),
    "copy": ("listen-unix", ENGINES["copy"], 3000),
    "dial": ("connect-tcp", ENGINES["compact"], 20_000),
    "taken": ("listen-tcp", {"takeover": "replace"}, 20_000),
    "large": ("listen-tcp", {"segment": "64k"}, 200_000),
}


def attach(relay, name, flapper):
    """Two raw and two framed watchers of a feed."""
    made = []
    for listener, kind in ((f"{name}-raw", Watcher), (f"{name}-framed", FramedWatcher)):
        made += [kind(relay.loop, relay.address[f"listener {listener}"], flapper) for _ in range(2)]
    for one in made:
        one.feed = name
    relay.peers += made
    return made


@pytest.mark.parametrize("names", [list(FEEDS)], ids=["all"])
def test_flapping_sources(lab, names):
    ways = {name: lab.ingest(FEEDS[name][0], name) for name in names}
    sections = {}
    for name in names:
        sections |= feed(name, ways[name].value, **LOSSLESS, **FEEDS[name][1])
    relay = lab.start(sections)
    flappers, watchers = {}, {}
    for seed, name in enumerate(names, 1):
        _, options, largest = FEEDS[name]
        flappers[name] = Flapper(relay, ways[name], seed, largest, "takeover" in options)
        watchers[name] = attach(relay, name, flappers[name])
        relay.wait(name, subscribers=4)
    flap(lab, flappers)
    for name in names:
        settle(lab, relay, name, flappers[name], watchers[name])


def flap(lab, flappers):
    """Steps all of them until each has had its lives."""
    def look():
        for flapper in flappers.values():
            flapper.step(time.monotonic())
        return all(len(flapper.epochs) >= flapper.lives for flapper in flappers.values())

    lab.loop.run(look, poll=0.005,
                 what=lambda: f"lives: {[(name, len(one.epochs)) for name, one in flappers.items()]}")


def settle(lab, relay, name, flapper, watchers):
    """The last epoch arrives whole, and relay and all watchers have counted the same outages."""
    def look():
        flapper.retry()
        return all(w.done for w in watchers)

    lab.loop.run(look, poll=0.005,
                 what=lambda: f"{name}: last epoch, {[(w.epoch, w.index, len(w.buffer)) for w in watchers]}")
    seen = relay.feed(name)
    served = seen["source_connects"]
    assert 3 <= len(watchers[0].whole) <= served <= len(flapper.epochs), (name, len(flapper.epochs), seen)
    for watcher in watchers:
        assert watcher.whole == watchers[0].whole, f"{name}: two watchers saw different messages"
        if isinstance(watcher, FramedWatcher):
            # A watcher that joined before the first source was told that there was none.
            joined_down = watcher.downs - seen["source_losses"]
            assert joined_down in (0, 1), (name, watcher.downs, seen)
            assert watcher.ups == served - 1 + joined_down, (name, watcher.ups, seen)
    assert seen["gaps"] == 0 and seen["in_messages"] == sum(watchers[0].whole.values()), seen

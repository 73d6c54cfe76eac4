# SPDX-License-Identifier: MIT
"""A play: one relay, one seed, and actions one after another until the time is over. Whatever is not as the model says
raises, and the play tells how it came to that."""

import collections
import random
import time
import traceback

from relaytest.daemon import POLL
from relaytest.loop import CEILING, Loop

from .peers import NOBODY, Peers
from .process import Process

# How often each action comes, in relation to the others.
WEIGHTS = {
    "publish": 60, "second_publisher": 2, "end_publisher": 2, "break_framing": 1, "urgent_data": 1,
    "subscribe": 12, "read": 12, "pause": 2, "leave": 3, "say": 3,
    "hostile_peer": 3, "hostile_publisher": 1, "hostile_deed": 5, "admin": 2,
    "reload": 0.6, "wrong_reload": 0.3, "upgrade": 0.3, "wrong_upgrade": 0.15, "kill": 0.3, "pause_relay": 0.3,
    "settle": 0.3,
}
REMEMBERED = 20
LOG_LINES = 60


class Play(Peers, Process):
    def __init__(self, seed, directory):
        super().__init__(random.Random(seed), Loop())
        self.seed = seed
        self.directory = directory
        self.count = 0
        self.counts = collections.Counter()
        self.last = collections.deque(maxlen=REMEMBERED)
        fixed = {"workers": self.pick.choice((1, 2, 3)), "survive_crash": self.pick.choice(("auto", "auto", "no"))}
        self.start(fixed)

    def run(self, seconds):
        """True: nothing was wrong."""
        try:
            self.play(seconds)
            self.finish()
            return True
        except Exception:
            self.tell_failure()
            return False
        finally:
            self.close_all_hostile()
            self.stop()
            self.loop.close()

    def play(self, seconds):
        """Longer where a slow machine has not come to everything."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or self.never() and time.monotonic() < end + CEILING:
            self.act(self.choose())
        self.act("settle")

    def choose(self):
        """By the weights; but nothing waits for its luck until the end."""
        never = self.never()
        if never and self.pick.random() < 0.1:
            return self.pick.choice(never)
        return self.pick.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    def never(self):
        return [name for name in WEIGHTS if not self.counts[name]]

    def act(self, name):
        self.count += 1
        self.last.append(f"{self.count}: {name}")
        did = getattr(self, f"do_{name}")()
        self.counts[name] += did != NOBODY
        self.last[-1] += f" {did or ''}"
        self.loop.turn(self.pick.choice((0, 0, 0.001, 0.003)))
        self.forget_ended()

    def do_settle(self):
        """Nobody is hostile or slow any more: then each reader gets what is published, and all accounts are right."""
        self.close_all_hostile()
        for reader in self.readers:
            reader.is_fast = True
            reader.unlimited()
        for feed in self.streams:
            self.settle_feed(feed)
        self.relay.check_accounts(self.relay.status())

    def settle_feed(self, feed):
        """A subscriber may be on its way into the feed when a message is published, and a publisher may be turned away;
        so there is another message until relay has taken one and each reader has got one. Somebody hostile who has gone
        by FIN looks like a half-closed reader until it is sent something."""
        readers = [one for one in self.readers if one.place[1] == feed]
        first = {}
        taken = self.relay.feed(feed)["in_messages"]

        def is_settled():
            self.forget_ended()
            return all(one not in self.readers or one.refused or has_got(one) for one in readers)

        def has_got(reader):
            era, number = reader.follower.last
            return number >= first.get(era, number + 1)

        def publish():
            publisher = self.publisher(feed)
            if publisher.done:
                era, number = publisher.publish_named()
                first.setdefault(era, number)
            self.loop.turn(0.02)
            return is_settled() and self.relay.feed(feed)["in_messages"] > taken

        self.loop.run(publish, what=lambda: "to be served: " + "; ".join(
            f"{one.name} at {one.follower.last}" for one in readers
            if one in self.readers and not one.refused and not has_got(one)) + f"; published: {first}", poll=POLL)

    def finish(self):
        """The universal checks, and an end with exit code 0."""
        for some in self.publishers.values():
            for one in some:
                one.reset()
        for reader in list(self.readers):
            self.forget(reader)
        self.relay.finish()
        assert not self.never(), f"never happened: {', '.join(self.never())}"

    def tell_failure(self):
        print(traceback.format_exc())
        print(f"\nseed {self.seed}, action {self.count}; the last ones:", *self.last, sep="\n  ")
        for reader in self.readers:
            reader.pause()  # or another failure would hide this one
        lines = [line[:1000] for line in self.relay.log if " status feed=" not in line and " reload: " not in line]
        if self.relay.code is None:
            lines += [f"feed {name}: {seen}" for name, seen in self.relay.status()["feed"].items()]
        print("relay's log:", *lines[-LOG_LINES:], sep="\n  ", flush=True)

    def report(self):
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return f"seed {self.seed}: {self.count} actions, {self.checked} messages compared; {done}"

# SPDX-License-Identifier: MIT
"""Where the faults are: a relay with readers of each format at feeds of each framing, and the model of tests/model that
knows what each of them has to see."""

import os
import random
import re
import signal
import tempfile
import time
from pathlib import Path

from model import configuration
from model.peers import NOBODY, Peers
from model.process import Process
from relaytest.daemon import POLL, Relay
from relaytest.loop import Loop
from relaytest.service_manager import ServiceManager

from .sources import Sources

READERS = 2  # of each feed
FIXED = {"workers": "2", "survive_crash": "auto"}
# Who does nothing wrong is not thrown out, and all are let in.
FEED = {"takeover": "replace", "source_timeout": "0", "on_source_loss": "hold", "stall_timeout": "10s", "max_subscribers": "0",
        "max_message": "1m", "max_lag": "0", "max_lag_time": "0"}
# Files are full soon, and the oldest go.
HISTORY = {"history_file": "1m", "history_size": "4m", "history_sync": "100ms"}
LISTENER = {"max_per_ip": "0", "accept_rate": "0", "max_input": "4k", "input_rate": "0", "user_timeout": "0"}


class Stage(Peers, Process):
    def __init__(self, directory, engine="auto", env=None, has="", prefix=()):
        super().__init__(random.Random(1), Loop())
        self.directory = Path(tempfile.mkdtemp(dir=directory))
        self.engine = engine
        self.sources = Sources(self) if has == "sources" else None
        self.is_recorded = has == "history"
        self.env = env or {}
        self.fixed = FIXED
        self.closers = []
        self.manager = ServiceManager(self)
        self.relay = None
        self.choose_sections()
        self.launch(prefix)

    def choose_sections(self):
        self.sections = configuration.random_sections(self.pick, self.directory, self.fixed)
        for name, options in self.sections.items():
            kind = name.split()[0]
            options.update(FEED | {"engine": self.engine} if kind == "feed" else LISTENER if kind == "listener" else {})
            if kind == "feed" and self.is_recorded:
                options.update(HISTORY | {"history": self.directory / f"history-{name.split()[1]}"})
        if self.sources:
            self.sections |= self.sources.sections()

    def launch(self, prefix=(), wait=True):
        """The first relay, or the next one: with what the service manager keeps, and who is still there."""
        options = self.manager.options(env=self.env)
        options["prefix"] = (*options["prefix"], *prefix)
        old, self.relay = self.relay, Relay(self.loop, self.directory, self.sections, wait=False, **options)
        self.relay.expect(r"Z error ")
        if old:
            self.relay.peers, old.peers = old.peers, []
            old.kill()
        if wait:
            self.wait_ready()
        return self.relay

    def wait_ready(self):
        """False: it has ended instead, and said why."""
        relay = self.relay
        self.loop.run(lambda: relay.code is not None or any(re.search(r" info ready\b", line) for line in relay.log),
                      what="relay to be ready, or to end")
        if relay.code is not None:
            self.check_orderly_end()
            return False
        relay.ready = True
        relay.baseline = relay.socket_links() + relay.outgoing()
        return True

    def check_orderly_end(self):
        relay = self.relay
        assert relay.code is not None and relay.code >= 0, f"relay was ended by signal {-relay.code}: {relay.log[-8:]}"
        assert relay.code == 0 or any("error" in line for line in relay.log), f"relay ended with {relay.code}: {relay.log[-8:]}"

    # What goes on.

    def publish_everywhere(self, count=2):
        for feed in self.streams:
            self.attempt(lambda feed=feed: self.publisher(feed).publish(count, cut=4096))

    def linger(self, most=0.25):
        """Until all readers have got what is published, or it takes too long: something fails just now."""
        end = time.monotonic() + most
        while time.monotonic() < end and any(self.is_behind(one) for one in self.readers):
            self.loop.turn(0.005)

    def is_behind(self, reader):
        stream = reader.stream
        era, number = reader.follower.last
        made = stream.made.get(stream.last_era, 0)
        return made and not reader.end and (era, number) < (stream.last_era, made - 1)

    def populate(self):
        for feed in self.streams:
            here = sum(one.place[1] == feed for one in self.readers)
            for _ in range(READERS - here):
                self.subscribe_to(feed)

    def subscribe_to(self, feed):
        chosen, self.some_feed = self.some_feed, lambda: feed
        try:
            assert self.do_subscribe() != NOBODY
        finally:
            self.some_feed = chosen
        if self.readers:
            self.readers[-1].is_fast = True
            self.readers[-1].unlimited()

    def attempt(self, deed):
        """Something that relay may not be able to answer just now."""
        try:
            return deed()
        except OSError:
            return None

    def excuse(self):
        """Nobody was left to see to a good end."""
        for reader in self.readers:
            reader.was_killed = True

    # When all is over.

    def settle(self):
        """relay is well again: whoever is still there gets what is published, and so do new ones."""
        self.close_all_hostile()
        self.reset_publishers()
        self.forget_ended()
        self.populate()
        for feed in self.streams:
            self.settle_feed(feed)
        if self.sources:
            self.sources.check()
        self.relay.check_accounts(self.relay.status())

    def settle_feed(self, feed):
        readers = [one for one in self.readers if one.place[1] == feed]
        first = {}

        def got(reader):
            era, number = reader.follower.last
            return reader not in self.readers or reader.refused or number >= first.get(era, number + 1)

        def look():
            publisher = self.publisher(feed)
            if publisher.done:
                era, number = publisher.publish_named()
                first.setdefault(era, number)
            self.loop.turn(0.002)
            self.forget_ended()
            return all(map(got, readers))

        self.loop.run(look, what=lambda: "to be served: " + "; ".join(
            f"{one.name} at {one.follower.last} with {one.received} bytes" for one in readers if not got(one)), poll=POLL)

    def reset_publishers(self):
        for some in self.publishers.values():
            for one in some:
                one.reset()

    def finish(self):
        self.reset_publishers()
        for reader in list(self.readers):
            self.forget(reader)
        self.close_all_hostile()
        if self.relay.code is None:
            self.relay.finish()

    def close(self):
        if self.sources:
            self.sources.close()
        self.close_all_hostile()
        self.stop()
        self.loop.close()

    def restart(self):
        """Another relay in the place of one that has ended in good order."""
        self.excuse()
        self.reset_publishers()
        for fd in self.manager.store.values():
            os.close(fd)
        self.manager.store.clear()
        return self.launch()

    def signal_end(self, number):
        self.relay.signal(number)
        if number == signal.SIGKILL:
            self.excuse()

# SPDX-License-Identifier: MIT
"""A long play, which comes to rest again and again: everybody has gone, and the configuration is the first one. Then relay
has no more descriptors, pipes and memory than it had at rest in the beginning, whatever happened between."""

import collections
import mmap
import re
import struct
import time

from relaytest.daemon import BIN, POLL, Relay

from .play import Play

WARM_S = 600  # until then, what relay has at rest is its measure
ROUND_S = 60
IDLE_S = 65
STEPS = (-500, -3, 0, 3, 500)  # seconds; readers expect the time to be right to ten minutes
RSS = 1.02


class Probe:
    """The page of tests/model/probe.c."""

    def __init__(self, path):
        path.write_bytes(bytes(4096))
        with path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)
        self.env = {"LD_PRELOAD": "libprobe.so", "LD_LIBRARY_PATH": str(BIN), "RELAY_PROBE": str(path)}
        self.asked = 0

    def step(self, seconds):
        struct.pack_into("=q", self.page, 0, seconds)

    def ask(self):
        self.asked += 1
        struct.pack_into("=Q", self.page, 8, self.asked)

    def in_use(self):
        answered, count = struct.unpack_from("=QQ", self.page, 16)
        assert answered == self.asked, "malloc was not asked"
        return count


class LongPlay(Play):
    def __init__(self, seed, directory):
        self.probe = Probe(directory / "probe")
        self.rests = 0
        self.bounds = {}
        super().__init__(seed, directory)

    def start(self, fixed):
        super().start(fixed | {"survive_crash": "auto"})
        self.first = self.sections

    def choose_sections(self):
        """What nobody reads any more is given up at once, so that rest is rest."""
        sections = super().choose_sections()
        for name, options in sections.items():
            if name.startswith("feed"):
                options.update(burst="0", keep_past="0")
            elif name.startswith("listener"):
                options.pop("burst", None)
        return sections

    def launch(self):
        return Relay(self.loop, self.directory, self.sections, **self.manager.options(env=self.probe.env))

    def play(self, seconds):
        """Rounds of chance, each of which ends at rest."""
        began = time.monotonic()
        warm = min(WARM_S, seconds / 3)
        while time.monotonic() < began + seconds:
            self.play_round()
            if not self.bounds or time.monotonic() < began + warm:
                self.take_measure()
            else:
                self.check_measure()

    def play_round(self):
        end = time.monotonic() + ROUND_S
        self.probe.step(self.pick.choice(STEPS))
        while time.monotonic() < end:
            self.act(self.choose())
        self.act("settle")
        self.come_to_rest()

    def come_to_rest(self):
        self.close_all_hostile()
        for reader in list(self.readers):
            self.forget(reader)
        for some in self.publishers.values():
            for one in some:
                one.reset()
        self.sections = self.first
        self.relay.wait_log(r" reloaded\b", self.relay.reload(self.first))
        self.relay.sections = self.first
        self.rests += 1

    def measure(self):
        self.probe.ask()
        status = self.relay.status()
        feeds = status["feed"].values()
        if any(one["subscribers"] or one["source_up"] for one in feeds):
            return None
        return {"descriptors": len(self.relay.links()), "pipes": sum(one["pipes_open"] for one in feeds),
                "bytes in use": self.probe.in_use(), "RSS": self.relay.resident()}

    def kinds(self):
        """Of descriptors, by what they lead to."""
        return dict(collections.Counter(re.sub(r"[0-9]+", "N", link) for link in self.relay.links()))

    def excess(self, seen):
        return {name: (seen[name], most) for name, most in self.bounds.items()
                if seen[name] > most * (RSS if name == "RSS" else 1)}

    def take_measure(self):
        """What is idle goes after a minute, at most."""
        self.loop.run_for(IDLE_S)
        self.loop.run(self.measure, what="all to have gone", poll=POLL)
        seen = self.measure()
        self.bounds = {name: max(count, self.bounds.get(name, 0)) for name, count in seen.items()}
        self.tell(seen)

    def check_measure(self):
        last = {}

        def look():
            last.update(self.measure() or {})
            return last and not self.excess(last)

        self.loop.run(look, 2 * IDLE_S, lambda: f"no more than at first: {self.excess(last)}; open are {self.kinds()}", POLL)
        self.tell(last)

    def tell(self, seen):
        print(f"at rest {self.rests}: " + ", ".join(f"{name} {count}" for name, count in seen.items()), self.kinds(), flush=True)

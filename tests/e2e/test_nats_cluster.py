# SPDX-License-Identifier: MIT
"""Two relays that read a stream of three NATS nodes: whichever dies, nobody loses a message or gets one twice."""

import signal
import threading
import time
from itertools import cycle
from pathlib import Path

import pytest

from relaytest.ini import web
from relaytest.nats import POLL, Client, Cluster, NatsError, nanoseconds, nodes_here
from relaytest.stream import Script
from relaytest.web import FramedWebSubscriber

pytestmark = pytest.mark.cluster

SIZE = 1024
PAUSE = 0.004
STREAM = "PRICES"


class Load(threading.Thread):
    """One message after the other; each until some node says that the stream has it."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.nodes = cycle(cluster.nodes)
        self.client = None
        self.stored = 0  # at least
        self.must_end = threading.Event()

    def run(self):
        while not self.must_end.wait(PAUSE):
            body = b"%d " % self.stored
            self.store(body + bytes(SIZE - len(body)))
            self.stored += 1
        if self.client:
            self.client.close()

    def store(self, body):
        while not self.must_end.is_set():
            try:
                self.client = self.client or Client(next(self.nodes).port, timeout=2)
                self.client.request("prices.x", body)
                return
            except (OSError, NatsError, ValueError):
                if self.client:
                    self.client.close()
                self.client = None
                self.must_end.wait(PAUSE)

    def end(self):
        self.must_end.set()
        self.join()


class Reader(FramedWebSubscriber):
    """Notes each message by its number, and how long none came at most."""

    def __init__(self, *arguments, **options):
        self.last = time.monotonic()
        self.stall = 0
        self.body = b""
        self.seen = {}
        super().__init__(*arguments, Script("relay", b"", ends=None), same_session=False, **options)

    def compare(self, data):
        self.body += data

    def close_packet(self):
        assert self.next not in self.seen, f"message {self.next} has come twice"
        self.seen[self.next] = (self.packet.session, self.packet.time, self.body)
        self.next += 1
        self.messages += 1
        self.body = b""
        now = time.monotonic()
        self.stall = max(self.stall, now - self.last)
        self.last = now


class Site:
    """The cluster under load, and the relays with a reader each."""

    def __init__(self, lab):
        self.lab = lab
        self.cluster = Cluster(lab.loop, nodes_here(lab.loop, lab.directory))
        lab.closers.append(self.cluster.close)
        self.started = 0
        made = self.cluster.wait_api(f"STREAM.CREATE.{STREAM}", name=STREAM, subjects=["prices.>"], storage="file",
                                     retention="limits", num_replicas=3)
        self.session = (nanoseconds(made["created"]) // 10**6) % 2**32 | 1
        self.cluster.wait_current(STREAM)
        self.relays = [self.start_relay() for _ in range(2)]
        self.readers = [self.read(relay) for relay in self.relays]
        self.load = Load(self.cluster)
        lab.closers.append(self.load.end)
        self.load.start()
        self.wait_progress()

    def start_relay(self):
        self.started += 1
        relay = self.lab.start({"nats": {"servers": self.cluster.urls},
                                **web(ingest=f"jetstream:{STREAM}", burst="65536k", ring="64m", backfill="1h")},
                               name=f"{self.started}.ini")
        relay.wait("a", source_up=1)
        return relay

    def read(self, relay, after=None):
        where = f"&from={self.session}-{after + 1}" if after is not None else ""
        reader = Reader(relay.loop, relay.address["listener web"], path=f"/a?format=framed{where}")
        relay.peers.append(reader)
        reader.relay = relay
        return reader

    def read_on(self, relay, reader):
        """What a subscriber lacks of another relay, which may be a moment behind that one."""
        relay.loop.run(lambda: relay.feed("a")["next_seq"] >= reader.next, poll=POLL)
        again = self.read(relay, reader.next - 1)
        again.seen = reader.seen
        return again

    def wait_progress(self, count=100):
        """Until the stream has so many messages more, and each reader has them."""
        want = self.load.stored + count
        self.lab.loop.run(lambda: self.load.stored >= want and all((one.next or 0) > want for one in self.readers),
                          what=lambda: f"{want}: {[one.next for one in self.readers]}, stored {self.load.stored}")

    def check(self):
        """A relay that begins now reads the whole stream: that is what the readers must have got, each message once."""
        self.load.end()
        cold = self.read(self.start_relay(), 0)
        self.readers.append(cold)
        last = self.cluster.wait_api(f"STREAM.INFO.{STREAM}")["state"]["last_seq"]
        self.lab.loop.run(lambda: all(one.next == last + 1 for one in self.readers),
                          what=lambda: f"{last}: {[one.next for one in self.readers]}")
        assert sorted(cold.seen) == list(range(1, last + 1))
        for one in self.readers:
            assert not one.gaps and not one.holes
            assert sorted(one.seen) == list(range(min(one.seen), last + 1))
            assert all(cold.seen[sequence] == message for sequence, message in one.seen.items())
        for relay in self.relays:
            relay.wait("a", source_missed=0, source_repeated=0)

    def stalls(self, what):
        """Printed; then they are counted anew."""
        print(f"{what}: no message for {', '.join(f'{one.stall:.2f} s' for one in self.readers)}")
        for one in self.readers:
            one.stall = 0


@pytest.fixture
def site(lab):
    return Site(lab)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_each_node_goes_and_comes_back(site, number):
    for node in (site.cluster.leader(STREAM), *site.cluster.nodes):
        role = "leader" if node is site.cluster.leader(STREAM) else "follower"
        site.stalls("before")
        if number == signal.SIGKILL:
            node.kill()
        else:
            node.process.send_signal(number)
        site.wait_progress()
        site.stalls(f"{node.name}, {role}, {number.name}")
        if number == signal.SIGKILL:
            node.start()
        else:
            node.process.send_signal(signal.SIGCONT)
        site.cluster.wait_current(STREAM)
        site.wait_progress()
    site.check()


def test_a_node_that_announces_its_end_is_left_at_once(site):
    """While it still runs, and keeps its clients: it closes JetStream first, so what a relay sees of that is one of several
    things."""
    for node in site.cluster.nodes:
        connected = [relay for relay in site.relays if is_connected(relay, node)]
        site.stalls("before")
        seen = [len(relay.log) for relay in connected]
        node.process.send_signal(signal.SIGUSR2)
        site.lab.loop.run(lambda node=node, some=connected: not any(is_connected(relay, node) for relay in some),
                          what="each relay to leave the node", poll=POLL)
        assert node.process.poll() is None
        for relay, since in zip(connected, seen):
            assert not any(f"server={node.url} " in line and "the connection is lost" in line for line in relay.log[since:])
        site.wait_progress()
        site.stalls(f"{node.name}, lame duck")
        node.kill()
        node.start()
        site.cluster.wait_current(STREAM)
    site.check()


def is_connected(relay, node):
    """By its sockets."""
    inodes = {link[8:-1] for link in relay.links() if link.startswith("socket:")}
    peer = f"0100007F:{node.port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(words[2] == peer and words[9] in inodes for words in lines)


def test_a_relay_dies_and_its_subscribers_go_on_at_the_other(site):
    for gone in range(2):
        dead, other = site.relays[gone], site.relays[1 - gone]
        dead.signal(signal.SIGKILL)
        dead.wait_exit()
        for index, reader in enumerate(site.readers):
            if reader.relay is dead:
                site.readers[index] = site.read_on(other, reader)
        site.wait_progress()
        site.stalls(f"relay {gone}, SIGKILL")
        site.relays[gone] = site.start_relay()
    site.check()

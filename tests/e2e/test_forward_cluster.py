# SPDX-License-Identifier: MIT
"""Two origins of one publisher, and a stream of three NATS nodes: whichever dies, the stream has each message once."""

import os
import signal
import socket
import threading

import pytest

from relaytest import address, packet
from relaytest.ini import feed
from relaytest.nats import POLL, Client, Cluster, nodes_here

pytestmark = pytest.mark.cluster

SIZE = 1024
PAUSE = 0.004
STREAM = "PRICES"
SUBJECT = "prices.x"
SESSION = 4711


class Publisher(threading.Thread):
    """Numbers its messages, and sends each to all origins that are there."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sent = 0
        self.size = SIZE
        self.burst = 1  # messages at once
        self.origins = {}  # name: where
        self.socks = {}
        self.must_end = threading.Event()

    def run(self):
        while not self.must_end.wait(PAUSE):
            count = self.burst
            wire = b"".join(self.message(self.sent + i + 1) for i in range(count))
            for name, where in list(self.origins.items()):
                self.send(name, where, wire)
            self.sent += count
        for sock in self.socks.values():
            sock.close()

    def message(self, number):
        """NATS compresses what it can."""
        body = b"%d " % number
        body += os.urandom(self.size - len(body))
        return packet.encode(count=1, length=len(body), session=SESSION, sequence=number, time=1) + body

    def send(self, name, where, wire):
        try:
            if name not in self.socks:
                family, to = address.parse(where)
                self.socks[name] = socket.socket(family, socket.SOCK_STREAM)
                self.socks[name].connect(to)
            self.socks[name].sendall(wire)
        except OSError:
            self.socks.pop(name).close()

    def end(self):
        self.must_end.set()
        self.join()


class Site:
    """The cluster under load by way of two origins."""

    def __init__(self, lab, subjects):
        self.lab = lab
        self.cluster = Cluster(lab.loop, nodes_here(lab.loop, lab.directory))
        lab.closers.append(self.cluster.close)
        self.cluster.wait_api(f"STREAM.CREATE.{STREAM}", name=STREAM, subjects=subjects, storage="file",
                              retention="limits", num_replicas=3)
        self.cluster.wait_current(STREAM)
        self.started = 0
        self.publisher = Publisher()
        self.origins = {}
        for name in "ab":
            self.start_origin(name)
        lab.closers.append(self.publisher.end)
        self.publisher.start()
        self.wait_progress()

    def start_origin(self, name):
        self.started += 1
        relay = self.lab.start({"nats": {"servers": self.cluster.urls},
                                **feed("a", framing="relay", forward=f"jetstream:{STREAM}", forward_subject=SUBJECT,
                                       ring="64m")}, name=f"{self.started}.ini")
        relay.wait("a", forward_up=1)
        self.origins[name] = relay
        self.publisher.origins[name] = relay.address["feed a"]

    def state(self):
        return (self.cluster.try_api(f"STREAM.INFO.{STREAM}") or {}).get("state", {})

    def wait_progress(self, count=100):
        """Until the stream has so many messages more than were sent by now."""
        want = self.publisher.sent + count
        self.lab.loop.run(lambda: self.state().get("last_seq", 0) >= want, poll=POLL,
                          what=lambda: f"{want} messages; {self.state()}")

    def check(self):
        self.publisher.end()
        self.lab.loop.run(lambda: self.state().get("messages", 0) >= self.publisher.sent, poll=POLL,
                          what=lambda: f"{self.publisher.sent} messages; {self.state()}")
        for relay in self.origins.values():
            relay.wait("a", forward_up=1, forward_lag=0)
        client = Client(self.cluster.leader(STREAM).port)
        try:
            numbers = [int(body.split()[0]) for _, _, body in client.stored(STREAM)]
        finally:
            client.close()
        assert sorted(numbers) == list(range(1, self.publisher.sent + 1))
        late = sum(one > following for one, following in zip(numbers, numbers[1:]))
        self.cluster.wait_whole(STREAM)
        print(f"{len(numbers)} messages, {late} times one behind a later one")


@pytest.fixture(params=[["prices.>"], [SUBJECT]], ids=["of-several", "alone"])
def site(lab, request):
    return Site(lab, request.param)


def test_each_node_is_killed_and_comes_back(site):
    for node in (site.cluster.leader(STREAM), *site.cluster.nodes):
        node.kill()
        site.wait_progress()
        node.start()
        site.cluster.wait_current(STREAM)
        site.wait_progress()
    site.check()


def test_each_origin_is_killed_and_comes_back(site):
    for name in "abab":
        relay = site.origins[name]
        del site.publisher.origins[name]
        relay.signal(signal.SIGKILL)
        relay.wait_exit()
        site.wait_progress()
        site.start_origin(name)
        site.wait_progress()
    site.check()


def test_a_node_that_was_away_for_long_lacks_nothing(site):
    """The others have dropped from their logs (8 MiB) what it has missed: it gets that from the stream itself. What comes
    behind that is on its way while the message before is, too."""
    away = next(node for node in site.cluster.nodes if node is not site.cluster.leader(STREAM))
    away.kill()
    site.publisher.burst = 4
    site.publisher.size = 4 * SIZE
    site.wait_progress(3000)
    site.publisher.size = SIZE
    away.start()
    site.cluster.wait_current(STREAM)
    site.wait_progress()
    site.check()

# SPDX-License-Identifier: MIT
"""The example of deploy/doc/scale-out.md: three NATS nodes, two origins, three edges and HAProxy, each on a host of its
own, with the files of deploy/doc/examples/scale-out. Whatever dies or loses its link, subscribers that come back lose
nothing."""

import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from relaytest import packet
from relaytest.daemon import ROOT
from relaytest.ini import parsed
from relaytest.nats import POLL, Cluster, Server, nanoseconds
from relaytest.network import Network
from relaytest.stream import Script
from relaytest.surroundings import needs, network_link, program
from relaytest.web import FramedWebSubscriber

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200), needs(network_link), needs(program, "haproxy"),
              needs(program, "nats-server")]

FILES = ROOT / "deploy/doc/examples/scale-out"
ORIGINS = {"origin-a": "192.0.2.21", "origin-b": "192.0.2.22"}
NODES = {"nats-a": "192.0.2.11", "nats-b": "192.0.2.12", "nats-c": "192.0.2.13"}
EDGES = {"edge-1": "192.0.2.31", "edge-2": "192.0.2.32", "edge-3": "192.0.2.33"}
BALANCER = "192.0.2.41"
HERE = "192.0.2.254"
STREAM = "PRICES"
SESSION = 77  # of the publisher
SIZE = 1024
FULL = 0  # as much as the slowest subscriber takes
RATES = [FULL if one == "full" else int(one) for one in os.environ.get("RELAY_TEST_RATE", "1000").split()]
LEAD = 4000  # messages on their way, with FULL
PAST = int(os.environ.get("RELAY_TEST_PAST", "60000"))  # messages of the last hour
CHUNK = 1000
BATCH_S = 0.05
SILENT_S = 4  # a subscriber that hears nothing for so long comes back; heartbeats are a second apart
CEILING = 120


def message(number):
    return (b"%d " % number).ljust(SIZE, b"\0")


def wire(number):
    return packet.encode(count=1, length=SIZE, session=SESSION, sequence=number + 1, time=number + 1) + message(number)


class Load(threading.Thread):
    """A publisher that numbers its messages, and sends each to all origins that it reaches. The first `count` at once."""

    def __init__(self, network, origins, rate, count):
        super().__init__(daemon=True)
        self.rate = rate
        self.count = count
        self.subscribers = ()  # FULL goes by the slowest of these
        self.must_end = threading.Event()
        self.links = [Link(network, self, where) for where in origins]

    def run(self):
        for link in self.links:
            link.start()
        while not self.must_end.wait(BATCH_S if self.rate else BATCH_S / 10):
            taken = [one.next for one in self.subscribers]
            if self.rate:
                self.count += max(1, int(self.rate * BATCH_S))
            elif taken and all(taken):
                self.count = max(self.count, min(taken) + LEAD)
            else:
                self.count += 1  # they begin with what comes next

    def end(self):
        self.must_end.set()
        self.join()

    def close(self):
        self.end()
        for link in self.links:
            link.must_end.set()
            link.join()


class Link(threading.Thread):
    """To one origin. What is made while it is cut is left to the others."""

    def __init__(self, network, load, where):
        super().__init__(daemon=True)
        self.network = network
        self.load = load
        self.where = where
        self.sent = 0
        self.is_up = False
        self.must_end = threading.Event()

    def run(self):
        self.network.enter()
        while not self.must_end.is_set():
            try:
                with socket.create_connection(self.where, timeout=1) as sock:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000)
                    self.is_up = True
                    self.send_all(sock)
            except OSError:
                self.must_end.wait(BATCH_S)
            self.is_up = False
            self.sent = self.load.count

    def send_all(self, sock):
        sock.settimeout(10)
        while not self.must_end.is_set():
            end = min(self.load.count, self.sent + CHUNK)
            if end == self.sent:
                self.must_end.wait(BATCH_S / 10)
            sock.sendall(b"".join(map(wire, range(self.sent, end))))
            self.sent = end


class Connection(FramedWebSubscriber):
    """One of a subscriber's connections: it hands each whole message on."""

    def __init__(self, owner, target, path):
        self.owner = owner
        self.body = b""
        self.heard = time.monotonic()
        super().__init__(owner.loop, target, Script("relay", b"", ends=None), path=path, same_session=False)

    def check_status(self):
        if self.status != 200:
            self.owner.refusals[self.status] = self.owner.refusals.get(self.status, 0) + 1
            self.finish("refused")
        else:
            super().check_status()

    def take(self, data):
        self.heard = time.monotonic()
        super().take(data)

    def take_body(self, data):
        if self.end != "refused":
            super().take_body(data)

    def compare(self, data):
        self.body += data

    def close_packet(self):
        assert self.packet.count == 1, self.packet
        self.owner.take(self.packet.session, self.next, self.body)
        self.next += 1
        self.body = b""


class Subscriber:
    """Comes back for the next message as soon as its connection ends, or is silent."""

    def __init__(self, loop, target, path, first=None):
        self.loop = loop
        self.target = target
        self.path = path
        self.session = None
        self.next = first
        self.seen = {}
        self.refusals = {}
        self.connections = 0
        self.last = time.monotonic()
        self.stall = 0
        self.connection = None
        self.look()

    def look(self):
        one = self.connection
        if one and not one.end and time.monotonic() - one.heard < SILENT_S:
            return
        if one:
            one.reset()
        place = f"&from={f'{self.session}-' if self.session else ''}{self.next}" if self.next else ""
        self.connections += 1
        self.connection = Connection(self, self.target, f"{self.path}?format=framed{place}")

    def take(self, session, sequence, body):
        assert session == self.session or not self.session, f"session {session} after {self.session}"
        assert sequence == self.next or not self.next, f"message {sequence}, expected {self.next}"
        self.session, self.next = session, sequence + 1
        self.seen[sequence] = int(body.split()[0])
        assert body == message(self.seen[sequence])
        now = time.monotonic()
        self.stall = max(self.stall, now - self.last)
        self.last = now

    def close(self):
        self.connection.reset()


class Site:
    """All hosts of the example, a load, and a subscriber for each edge, behind HAProxy. past: the stream has so many
    messages before."""

    def __init__(self, lab, network, rate, past=0):
        self.lab = lab
        self.step = rate or LEAD  # messages that are progress
        self.loop = lab.loop
        self.network = network
        self.hosts = {name: network.host(address) for name, address in {**NODES, **ORIGINS, **EDGES}.items()}
        self.cluster = Cluster(lab.loop, nodes=[self.start_node(name) for name in NODES])
        lab.closers.append(self.cluster.close)
        made = self.cluster.wait_api(f"STREAM.CREATE.{STREAM}", name=STREAM, subjects=["prices.x"], storage="file",
                                     retention="limits", num_replicas=3)
        self.session = (nanoseconds(made["created"]) // 10**6) % 2**32 | 1
        self.cluster.wait_current(STREAM)
        self.relays = {}
        self.starts = 0
        for name in ORIGINS:
            self.start_origin(name)
        self.load = Load(network, [(address, 7101) for address in ORIGINS.values()], rate, past)
        lab.closers.append(self.load.close)
        self.load.start()
        self.began = time.monotonic()
        self.loop.run(lambda: self.state().get("messages", 0) >= past, CEILING, poll=POLL,
                      what=lambda: f"{past} messages of the past: {self.state()}")

    def state(self):
        return (self.cluster.try_api(f"STREAM.INFO.{STREAM}") or {}).get("state", {})

    def start_node(self, name):
        text = (FILES / f"{name}.conf").read_text().replace("/var/lib/nats", f"{self.lab.directory}/{name}")
        return Server(self.loop, self.lab.directory, name, port=4222, host=NODES[name], conf=text,
                      prefix=self.hosts[name].command())

    def start_relay(self, name, file):
        self.starts += 1
        directory = self.lab.directory
        sections = parsed((FILES / file).read_text().replace("/var/lib/relay", f"{directory}/{name}"))
        sections["admin"]["socket"] = f"unix:{directory}/{name}.sock"
        (directory / name).mkdir(exist_ok=True)
        relay = self.relays[name] = self.lab.start(sections, name=f"{name}-{self.starts}.ini",
                                                   prefix=self.hosts[name].command())
        relay.control = directory / f"{name}.sock"
        return relay

    def start_origin(self, name):
        self.start_relay(name, "origin.ini").wait("prices", forward_up=1)

    def start_edge(self, name):
        self.start_relay(name, "edge.ini").wait("prices", source_up=1)

    def wait_origin(self, name):
        """Until the publisher reaches both origins again, and what this one forwards is acknowledged."""
        relay = self.relays[name]
        self.loop.run(lambda: all(one.is_up and one.sent + self.step > self.load.count for one in self.load.links),
                      CEILING, poll=POLL, what="the publisher to reach both origins")
        acked = relay.feed("prices")["forward_acked"]

        def there():
            for one in self.subscribers:  # with FULL, who has gone holds up the load
                one.look()
            return relay.feed("prices")["forward_acked"] > acked + self.step

        self.loop.run(there, CEILING, poll=POLL, what=f"{name} to forward")

    def start_balancer(self):
        host = self.network.host(BALANCER)
        directory = self.lab.directory
        (directory / "haproxy.cfg").write_text(
            (FILES / "haproxy.cfg").read_text().replace("global\n", f"global\n    stats socket {directory}/stats\n"))
        balancer = subprocess.Popen(host.command("haproxy", "-f", directory / "haproxy.cfg", "-db", "-q"))
        self.lab.closers.append(lambda: (balancer.kill(), balancer.wait()))
        self.wait_balancer(*EDGES)

    def server_states(self):
        """Of HAProxy (management.txt, show stat): UP, DOWN, DRAIN."""
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(f"{self.lab.directory}/stats")
                sock.sendall(b"show stat\n")
                text = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
            except OSError:
                return {}
        head, *lines = text.strip().split("\n")
        status = head.lstrip("# ").split(",").index("status")
        return {fields[1]: fields[status] for fields in (line.split(",") for line in lines) if fields[0] == "edges"}

    def wait_balancer(self, *names, state="UP"):
        self.loop.run(lambda: all(self.server_states().get(name, "").startswith(state) for name in names), CEILING,
                      what=lambda: f"{names} {state}: {self.server_states()}", poll=POLL)

    def subscribe(self, count):
        self.subscribers = []
        for _ in range(count):
            self.subscribers.append(Subscriber(self.loop, f"tcp:{BALANCER}:7003", "/prices"))
            self.lab.closers.append(self.subscribers[-1].close)
        self.load.subscribers = self.subscribers
        self.wait_progress()

    def wait_progress(self, steps=1):
        """Until so many messages more are stored, and each subscriber has them."""
        want = self.load.count + steps * self.step

        def there():
            for one in self.subscribers:
                one.look()
            return self.load.count >= want and all((one.next or 0) > want for one in self.subscribers)

        self.loop.run(there, CEILING, poll=POLL, what=lambda: f"{want}: {[one.next for one in self.subscribers]}, stored "
                      f"{self.load.count}; {self.server_states()}; {[one.refusals for one in self.subscribers]}")

    def tell_stalls(self, what):
        """Printed; then they are counted anew."""
        print(f"{what}: no message for {', '.join(f'{one.stall:.2f} s' for one in self.subscribers)}")
        for one in self.subscribers:
            one.stall = 0

    def check(self, fresh):
        """Each subscriber has all that the stream has from its first message on: `fresh` has all of it, and each number
        that was stored once, in the publisher's order."""
        everybody = (*self.subscribers, fresh)
        self.load.end()
        last = self.load.count

        def there():
            for one in everybody:
                one.look()
            return all(one.next == last + 1 for one in everybody)

        self.loop.run(there, CEILING, poll=POLL, what=lambda: f"{last}: {[one.next for one in everybody]}")
        assert sorted(fresh.seen) == list(range(1, last + 1))
        assert [fresh.seen[sequence] for sequence in range(1, last + 1)] == list(range(last))
        assert self.cluster.wait_api(f"STREAM.INFO.{STREAM}")["state"]["last_seq"] == last
        for one in everybody:
            assert one.session == self.session
            assert one.seen == {sequence: fresh.seen[sequence] for sequence in range(min(one.seen), last + 1)}
            one.close()
        self.load.close()
        seconds = time.monotonic() - self.began
        print(f"{last} messages, {last * SIZE / seconds / 1e6:.1f} MB/s, {sum(one.connections for one in everybody)} "
              f"connections, refused {[one.refusals for one in everybody]}")


@pytest.fixture
def network():
    with Network(HERE) as made, made.entered():
        yield made


@pytest.fixture(params=RATES, ids=lambda rate: f"{rate or 'full'}")
def site(request, network, lab):
    made = Site(lab, network, request.param)
    for name in EDGES:
        made.start_edge(name)
    made.start_balancer()
    made.subscribe(len(EDGES))
    made.tell_stalls("at first")
    return made


def fresh_reader(site, name):
    reader = Subscriber(site.loop, f"tcp:{EDGES[name]}:7003", "/prices", first=1)
    site.lab.closers.append(reader.close)
    return reader


def test_each_is_killed(site):
    for node in site.cluster.nodes:
        role = "leader" if node is site.cluster.leader(STREAM) else "follower"
        node.kill()
        site.wait_progress()
        site.tell_stalls(f"{node.name}, {role}, killed")
        node.start()
        site.cluster.wait_current(STREAM)
        site.wait_progress()
        site.tell_stalls(f"{node.name} is back")
    for name in ORIGINS:
        site.relays[name].signal(signal.SIGKILL)
        site.relays[name].wait_exit()
        site.wait_progress()
        site.tell_stalls(f"{name} killed")
        site.start_origin(name)
        site.wait_origin(name)
        site.wait_progress()
        site.tell_stalls(f"{name} is back")
    for name in EDGES:
        site.relays[name].signal(signal.SIGKILL)
        site.relays[name].wait_exit()
        site.wait_progress()
        site.tell_stalls(f"{name} killed")
        site.wait_balancer(name, state="DOWN")
        site.start_edge(name)
        site.wait_balancer(name)
        site.wait_progress()
        site.tell_stalls(f"{name} is back")
    site.check(fresh_reader(site, "edge-1"))


def test_each_loses_its_link(site):
    for name in (*NODES, *ORIGINS, *EDGES):
        site.hosts[name].pull()
        site.wait_progress(5)
        site.tell_stalls(f"{name} without link")
        if name in EDGES:
            site.wait_balancer(name, state="DOWN")
        site.hosts[name].plug()
        if name in EDGES:
            site.wait_balancer(name)
        elif name in NODES:
            site.cluster.wait_current(STREAM)
        else:
            site.wait_origin(name)
        site.wait_progress()
        site.tell_stalls(f"{name} is back")
    site.check(fresh_reader(site, "edge-1"))


def test_an_edge_is_drained(site):
    """Its subscribers go on at the others; HAProxy sends nobody to it, and it ends."""
    for name in EDGES:
        edge = site.relays[name]
        before = sum(one.connections for one in site.subscribers)
        edge.signalled = True
        done = site.lab.run_tool("relayctl", "-s", edge.control, "drain", "--spread", "8s")
        assert done.returncode == 0, done
        site.wait_balancer(name, state="DRAIN")
        site.loop.run(lambda: [one.look() for one in site.subscribers] and edge.code is not None, CEILING, poll=POLL,
                      what="the edge to end")
        assert edge.code == 0
        site.wait_progress()
        site.tell_stalls(f"{name} drained")
        assert sum(one.connections for one in site.subscribers) > before
        site.start_edge(name)
        site.wait_balancer(name)
    site.check(fresh_reader(site, "edge-1"))


def test_a_cold_edge_joins_under_load_and_has_the_last_hour(network, lab):
    site = Site(lab, network, RATES[0], PAST)
    site.start_edge("edge-1")
    site.start_edge("edge-2")
    site.subscribers = [fresh_reader(site, name) for name in ("edge-1", "edge-2")]
    site.load.subscribers = tuple(site.subscribers)
    site.wait_progress(10)
    site.tell_stalls("before")
    began = time.monotonic()
    site.start_edge("edge-3")
    cold = fresh_reader(site, "edge-3")
    site.loop.run(lambda: cold.seen, CEILING, what="the first message", poll=POLL)
    first = time.monotonic() - began
    site.subscribers.append(cold)
    site.wait_progress()
    print(f"a cold edge: a message after {first:.2f} s, {len(cold.seen)} after {time.monotonic() - began:.2f} s")
    site.tell_stalls("a cold edge joins")
    site.subscribers.remove(cold)
    site.check(cold)
    assert min(cold.seen) == 1 and len(cold.seen) > PAST and not cold.refusals

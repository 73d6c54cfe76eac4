# SPDX-License-Identifier: MIT
"""Trees: relays that read from relays by HTTP, whose subscribers see one sequence, whichever they ask."""

import signal
import socket

from relaytest import address, packet
from relaytest.ini import feed, web
from relaytest.loop import CEILING
from relaytest.origin import Origin
from relaytest.stream import script, text_script
from relaytest.tool import Tool
from relaytest.web import request

MADE = text_script((1000,) * 300, 7)
HOST = "127.7.7.8"
KEEPS = {"burst": "1"}  # a ring of framed packets from the start


class Node:
    """A relay of the tree, which may die and come back at the same address."""

    def __init__(self, lab, name, *parents, **options):
        self.lab, self.name, self.count = lab, name, 0
        ingest = {"ingest": "connect " + ", ".join(parents), "framing": "relay:line", "retry_max": "1s",
                  "source_timeout": "2s"} if parents else {"framing": "line"}
        self.sections = web(listen=f"tcp:{HOST}:0", framed=KEEPS, **{"ring": "8m", **ingest, **options})
        self.relay = None
        self.start()

    def start(self):
        self.count += 1
        self.relay = self.lab.start(self.sections, name=f"{self.name}{self.count}.ini")
        self.sections["listener web"]["listen"] = self.relay.address["listener web"]
        return self

    def kill(self):
        self.relay.signal(signal.SIGKILL)
        self.relay.wait_exit()

    def finish_first(self):
        """At the end of the test, since it is a subscriber of the others."""
        self.lab.relays.remove(self.relay)
        self.lab.relays.append(self.relay)

    @property
    def url(self):
        return "http://{}:{}/a".format(*address.parse(self.relay.address["listener web"])[1])


def cat(node):
    before = node.relay.feed("a")["subscribers"]
    tool = Tool(node.lab, "relaycat", "--reconnect", "--verify", "--framing", "line", node.url)
    node.relay.wait("a", test=lambda seen: seen["subscribers"] > before)
    return tool


def number(event_id):
    return int(event_id.split("-")[1])


def events(node, last_id, count):
    """(id, data) of so many events behind last_id. A stream begins with a whole packet, which may have more before it."""
    found, text = [], b""
    family, where = address.parse(node.relay.address["listener web"])
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(CEILING)
        sock.connect(where)
        sock.sendall(request("/a", {"Accept": "text/event-stream", "Last-Event-ID": last_id},
                             version="1.0"))
        while len(found) < count:
            more = sock.recv(65536)
            assert more, text[-200:]
            text += more
            *whole, text = text.split(b"\n\n")
            for event in whole:
                fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
                assert fields.get(b"event") != b"gap", event
                if b"data" in fields and b"event" not in fields and number(fields[b"id"].decode()) > number(last_id):
                    found.append((fields[b"id"].decode(), fields[b"data"]))
    return found[:count]


def test_parents_die_in_turn(lab):
    """Three levels. Each parent of the leaf is killed, one hangs, one comes back empty: nothing is missing anywhere, and
    an event has the same id at all of them."""
    root = Node(lab, "root")
    left, right = (Node(lab, name, root.url) for name in ("left", "right"))
    for node in (left, right):
        node.relay.wait("a", source_up=1)
    leaf = Node(lab, "leaf", left.url, right.url)
    leaf.relay.wait("a", source_up=1)
    cats = [cat(node) for node in (root, leaf)]
    publisher = root.relay.publish("a")
    sent = 0

    def publish(end):
        nonlocal sent
        publisher.send(MADE.wire[sent * 1000:end * 1000])
        sent = end
        lab.loop.run(lambda: all(len(one.out) == end * 1000 for one in cats),
                     what=lambda: f"{end} messages; {[len(one.out) for one in cats]} {[one.told for one in cats]}")

    def moved(times):
        leaf.relay.wait("a", source_connects=times, source_up=1)

    publish(60)
    left.kill()
    publish(120)
    moved(2)
    left.start().relay.wait("a", source_up=1)
    publish(160)
    right.kill()
    publish(200)
    moved(3)
    right.start().relay.wait("a", source_up=1)
    publish(240)
    left.relay.process.send_signal(signal.SIGSTOP)
    publish(280)
    moved(4)
    left.relay.process.send_signal(signal.SIGCONT)
    publish(300)

    for one in cats:
        one.stop()
        assert one.out == MADE.payload
        assert [one.total(name) for name in ("messages", "gaps", "errors", "losses")] == [300, 0, 0, 0], one.told
    seen = leaf.relay.feed("a")
    assert (seen["source_missed"], seen["source_out_of_range"], seen["in_messages"]) == (0, 0, 300), seen
    assert seen["session"] == root.relay.feed("a")["session"] and seen["next_seq"] == 301

    at_root = events(root, f"{seen['session']}-240", 60)
    assert [data for _, data in at_root] == [MADE.message(i).rstrip(b"\n") for i in range(240, 300)]
    read, last = [], f"{seen['session']}-240"
    for turn in range(6):
        read += events((leaf, root, right)[turn % 3], last, 10)
        last = read[-1][0]
    assert read == at_root
    leaf.finish_first()


def test_a_leaf_that_is_killed_comes_back_at_its_parent(lab):
    """Its subscriber goes on at the parent, and back."""
    root = Node(lab, "root")
    leaf = Node(lab, "leaf", root.url)
    leaf.relay.wait("a", source_up=1)
    session = root.relay.feed("a")["session"]
    publisher = root.relay.publish("a")
    publisher.send(MADE.wire[:100_000])
    leaf.relay.wait("a", in_messages=100)
    one = Tool(lab, "relaycat", "--from", f"{session}-1", "-n", 100, "--framing", "line", leaf.url)
    one.wait_end()
    leaf.kill()
    publisher.send(MADE.wire[100_000:200_000])
    other = Tool(lab, "relaycat", "--from", f"{session}-101", "-n", 100, "--framing", "line", root.url)
    other.wait_end()
    assert one.out + other.out == MADE.payload[:200_000]


def test_it_begins_in_the_past_of_its_parent(lab):
    root = Node(lab, "root")
    publisher = root.relay.publish("a").send(MADE.wire[:100_000])
    root.relay.wait("a", in_messages=100)
    leaf = Node(lab, "leaf", root.url + "?from=0")
    leaf.relay.wait("a", in_messages=100, source_missed=0)
    publisher.send(MADE.wire[100_000:200_000])
    leaf.relay.wait("a", in_messages=200, source_missed=0)


PACKETS = script("relay", (100,) * 60, 11, group=1, first=1000, session=77)
FRAMED = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.relay.framed\r\n\r\n"
ONE = packet.BYTES + 100


def out_of_range(session, oldest, following):
    return (b"HTTP/1.1 416 Range Not Satisfiable\r\nRelay-Session: %d\r\nRelay-Oldest: %s\r\nRelay-Next: %d\r\n"
            b"Content-Length: 0\r\n\r\n" % (session, oldest, following))


def read_from(lab, origin, other=None, **options):
    urls = [one.url("/a") for one in (origin, other) if one]
    relay = lab.start(feed("a", "connect " + ", ".join(urls), framing="relay", start_subscribers=1, retry_max="1s",
                           **options))
    return relay, relay.subscribe("a-framed", PACKETS, start=0, base=1000, same_session=False)


def asked(origin):
    return [one.line.split()[1] for one in origin.asked]


def test_what_a_parent_no_longer_has_is_a_gap(lab):
    first = PACKETS.wire[:20 * ONE]
    origin = Origin(lab, lambda one: one.send(FRAMED + first).end(), out_of_range(77, b"1030", 1060),
                    FRAMED + PACKETS.wire[30 * ONE:])
    relay, reader = read_from(lab, origin)
    relay.run_until_done([reader])
    assert asked(origin) == ["/a?format=framed", "/a?format=framed&from=77-1020", "/a?format=framed&from=77-1030"]
    assert reader.gaps == [(1020, 1030)]
    relay.wait("a", source_missed=10, source_out_of_range=1, source_refusals=1, in_messages=50)
    relay.wait_log("place not found upstream feed=a asked=77-1020 instead=77-1030")


def test_a_parent_that_is_behind(lab):
    """What it repeats is dropped."""
    origin = Origin(lab, lambda one: one.send(FRAMED + PACKETS.wire[:20 * ONE]).end())
    behind = Origin(lab, out_of_range(77, b"1000", 1018), FRAMED + PACKETS.wire[18 * ONE:])
    relay, reader = read_from(lab, origin, behind)
    relay.run_until_done([reader])
    assert asked(behind) == ["/a?format=framed&from=77-1020", "/a?format=framed&from=77-1018"]
    relay.wait("a", source_missed=0, source_repeated=2, in_messages=60)


def test_a_parent_that_never_has_it(lab):
    """It is asked twice, and then left alone for the pause."""
    gone = out_of_range(77, b"1030", 1060)
    origin = Origin(lab, lambda one: one.send(FRAMED + PACKETS.wire[:20 * ONE]).end(), gone, gone,
                    FRAMED + PACKETS.wire[20 * ONE:])
    relay, reader = read_from(lab, origin)
    relay.run_until_done([reader])
    assert asked(origin)[1:] == [f"/a?format=framed&from=77-{number}" for number in (1020, 1030, 1020)]
    relay.wait_log("connect failed .*answered 416")


def test_a_parent_that_is_no_relay(lab):
    origin = Origin(lab, b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n" + b"x" * 100)
    relay = lab.start(feed("a", f"connect {origin.url('/a')}", framing="relay"))
    relay.wait_log("connect failed .*type 'audio/mpeg'; expected a feed of a relay")
    relay.wait("a", test=lambda seen: seen["source_refusals"] >= 1, source_connects=0)


def test_a_silent_parent_is_left(lab):
    """It has given a stream, and then hangs."""
    silent = Origin(lab, FRAMED + PACKETS.wire[:20 * ONE])
    other = Origin(lab, FRAMED + PACKETS.wire[20 * ONE:])
    relay, reader = read_from(lab, silent, other, source_timeout="3s")
    relay.run_until_done([reader])
    assert asked(silent) == ["/a?format=framed"] and asked(other) == ["/a?format=framed&from=77-1020"]
    relay.wait("a", source_source_timeout=1, source_missed=0)



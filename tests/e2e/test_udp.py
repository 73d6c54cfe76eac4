# SPDX-License-Identifier: MIT
"""ingest = udp: one datagram is one message; what is lost, too long or denied is counted, and seen as a gap."""

import signal
import socket

import pytest

from relaytest.ini import feed
from relaytest.stream import Script, script
from relaytest.transport_stream import PACKET, ts_script

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
WORKERS = {"relay": {"workers": 2}}


class Sender:
    """Datagrams to a port of this machine, or to a group on the loopback interface."""

    def __init__(self, host="127.0.0.1", own="127.0.0.1"):
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(self.family, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1" if ":" in host else "127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.target = (host, self.port)
        self.sock = socket.socket(self.family, socket.SOCK_DGRAM)
        if self.family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            self.sock.bind((own, 0))

    def send(self, messages):
        for message in messages:
            self.sock.sendto(message, self.target)
        return self

    def close(self):
        self.sock.close()


@pytest.fixture
def sender(lab):
    def make(*arguments):
        made = Sender(*arguments)
        lab.closers.append(made.close)
        return made

    return make


def send_all(relay, sender, made):
    """Not faster than relay reads: the kernel drops what it has no room for."""
    pieces = made.wire_pieces()
    for at in range(0, len(pieces), 20):
        sender.send(pieces[at:at + 20])
        relay.wait("a", in_messages=min(at + 20, len(pieces)))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "*"])
def test_a_datagram_is_a_message(lab, sender, host):
    made = script("fixed:900", (900,) * 100, 1)
    one = sender("::1" if host == "[::1]" else "127.0.0.1")
    relay = lab.start(WORKERS | feed("a", f"udp:{host}:{one.port}", **LOSSLESS))
    readers = relay.subscribe("a-raw", made, 2) + relay.subscribe("a-framed", made, 2)
    relay.wait("a", subscribers=4)
    send_all(relay, one, made)
    relay.run_until_done(readers)
    assert all(header.count == 1 for header in readers[-1].headers)
    relay.wait("a", in_messages=100, in_packets=100, source_connects=1, source_missed=0, datagrams_lost=0)
    relay.wait_log(r"publisher up feed=a peer=udp:\S+:\d+$")


def test_the_longest_and_the_empty(lab, sender):
    sizes = (65507, 1, 65507, 1472)
    made = Script("fixed:1", script("none", (sum(sizes),), 2).wire, ends=[65507, 65508, 131015, sum(sizes)])
    one = sender()
    relay = lab.start(feed("a", f"udp:127.0.0.1:{one.port}", **LOSSLESS))
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    for count, message in enumerate(made.wire_pieces(), 1):
        one.send([message, b""])
        relay.wait("a", in_messages=count)
    relay.run_until_done(readers)


def test_packets_of_a_transport_stream(lab, sender):
    """As encoders send it: seven packets a datagram. Some begin in the middle of one."""
    made = ts_script(700, 3)
    one = sender()
    relay = lab.start(feed("a", f"udp:127.0.0.1:{one.port}", framing="ts", **LOSSLESS))
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    one.send([b"\x11" * 100])
    for at in range(0, len(made.wire), 70 * PACKET):
        one.send([made.wire[place:place + 7 * PACKET] for place in range(at, at + 70 * PACKET, 7 * PACKET)])
        relay.wait("a", test=lambda seen, least=at // PACKET + 69: seen["in_messages"] >= least)
    relay.run_until_done(readers)
    relay.wait("a", in_messages=700, unsynced_bytes=100)


def test_a_datagram_over_max_message_is_a_gap(lab, sender):
    sent = [b"x" * 1000, b"z" * 1001, b"z" * 60_000, b"y" * 1000]
    whole = Script("fixed:1", b"".join(sent), ends=[1000, 2001, 62_001, 63_001])
    one = sender()
    relay = lab.start(feed("a", f"udp:127.0.0.1:{one.port}", max_message="1000"))
    raw = relay.subscribe("a-raw", Script("fixed:1000", sent[0] + sent[3], ends=[1000, 2000]))
    framed = relay.subscribe("a-framed", whole)
    relay.wait("a", subscribers=2)
    one.send(sent)
    relay.run_until_done([raw, framed])
    assert framed.missed == 2
    relay.wait("a", in_messages=2, datagrams_too_long=2, source_missed=2)
    relay.wait_log("datagrams missing feed=a lost=0 too_long=[12] denied=0")


def test_what_the_kernel_drops_is_counted(lab, sender):
    one = sender()
    relay = lab.start(feed("a", f"udp:127.0.0.1:{one.port}"))
    relay.process.send_signal(signal.SIGSTOP)
    count = 40_000
    one.send(b"%08d" % number + b"." * 1000 for number in range(count))
    relay.process.send_signal(signal.SIGCONT)
    relay.wait("a", test=lambda seen: seen["in_messages"] > 0)
    one.send([b"the last"])  # with it comes how many were dropped
    seen = relay.wait("a", test=lambda seen: seen["in_messages"] + seen["datagrams_lost"] == count + 1)
    assert seen["datagrams_lost"] > 0 and seen["source_missed"] == seen["datagrams_lost"], seen
    relay.wait_log("datagrams missing feed=a lost=")


def test_who_may_not_publish(lab, sender):
    good, bad = sender(), sender("127.0.0.1", "127.0.0.2")
    bad.target = good.target
    made = Script("fixed:4", b"goodmore", ends=[4, 8])
    relay = lab.start(feed("a", f"udp:127.0.0.1:{good.port}", publisher_deny="127.0.0.2"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    bad.send([b"evil"])
    relay.wait("a", datagrams_denied=1, source_up=0)
    good.send([b"good"])
    bad.send([b"evil"])
    good.send([b"more"])
    relay.run_until_done([reader])
    relay.wait("a", datagrams_denied=2, in_messages=2, source_missed=0)


def test_a_hand_over_loses_none(lab, sender):
    made = script("fixed:500", (500,) * 200, 5)
    one = sender()
    relay = lab.start(WORKERS | feed("a", f"udp:127.0.0.1:{one.port}", **LOSSLESS))
    readers = relay.subscribe("a-raw", made, 2) + relay.subscribe("a-framed", made, 2)
    relay.wait("a", subscribers=4)
    pieces = made.wire_pieces()
    for at in range(0, 200, 40):
        one.send(pieces[at:at + 40])
        relay.upgrade()
    relay.run_until_done(readers)
    relay.wait("a", in_messages=200, datagrams_lost=0, source_connects=1)


def test_silence_is_an_end(lab, sender):
    one = sender()
    relay = lab.start(feed("a", f"udp:127.0.0.1:{one.port}", source_timeout="200ms"))
    for number in range(1, 3):
        one.send([b"words"])
        relay.wait("a", in_messages=number, source_losses=number, source_up=0, source_source_timeout=number)


def test_a_group_and_one_sender_of_it(lab, sender):
    """On the loopback interface, from two addresses."""
    one, other = sender("239.1.2.3"), sender("239.1.2.3", "127.0.0.2")
    other.target = one.target
    where = f"239.1.2.3%lo:{one.port}"
    relay = lab.start({**feed("a", f"udp:{where}"), **feed("b", f"udp:127.0.0.2@{where}")})
    both = [relay.subscribe("a-raw", Script("fixed:4", b"oneAtwoA", ends=[4, 8])),
            relay.subscribe("b-raw", Script("fixed:4", b"twoA", ends=[4]))]
    relay.wait("a", subscribers=1)
    relay.wait("b", subscribers=1)
    one.send([b"oneA"])
    relay.wait("a", in_messages=1)
    other.send([b"twoA"])
    relay.run_until_done(both)
    relay.wait("b", in_messages=1)


@pytest.mark.parametrize("where, says", [("127.0.0.1", "Address already in use"), ("239.1.2.3%nowhere", "No such device"),
                                         ("198.51.100.1", "Cannot assign requested address")])
def test_what_cannot_be_opened_is_said(lab, sender, where, says):
    one = sender()
    one.sock.close()
    one.sock = socket.socket(one.family, socket.SOCK_DGRAM)
    one.sock.bind(("127.0.0.1", one.port))
    relay = lab.start(feed("a", f"udp:{where}:{one.port}"), wait=False)
    relay.expect(says)
    lab.loop.run(lambda: relay.code is not None, what="its end")
    assert relay.code == 1 and f"udp:{where}:{one.port}: {says}" in "\n".join(relay.log)

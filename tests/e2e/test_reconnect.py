# SPDX-License-Identifier: MIT
"""relaypub and relaycat with --reconnect outlive a relay that goes away: which bytes come, and what is told."""

import fcntl
import os
import re
import signal
import socket
import struct
import termios

import pytest

from relaytest import address
from relaytest.daemon import POLL
from relaytest.ini import feed
from relaytest.loop import READ
from relaytest.stream import position_coded
from relaytest.tool import Tool

# An address that no other test listens at, so that the ports stay free while relay is away.
HOST = "127.7.7.7"
LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
AGAIN = r"; trying again\n"


class Away:
    """A relay that is stopped and started at the same addresses."""

    def __init__(self, lab, sections):
        self.lab = lab
        self.sections = sections
        self.count = 0
        self.relay = None

    def start(self):
        self.count += 1
        self.relay = self.lab.start(self.sections, name=f"relay{self.count}.ini")
        for key, where in self.relay.address.items():
            kind, name = key.split(" ", 1)
            option = "ingest" if kind == "feed" else "listen"
            self.sections[f"{kind} {name}"][option] = f"listen {where}" if kind == "feed" else where
        return self.relay

    def end(self, number):
        self.relay.signal(number)
        assert self.relay.wait_exit() in (0, -number)
        return self


def away(lab, framing, **options):
    return Away(lab, feed("a", f"listen tcp:{HOST}:0", framing=framing, raw={"listen": f"tcp:{HOST}:0"},
                          framed={"listen": f"tcp:{HOST}:0"}, **LOSSLESS, **options))


def let_go(relay, publisher=None):
    """Of who has ended relay knows only that nothing more comes from him: what it sends next is answered by RST."""
    (publisher or relay.publish("a")).send(b"for nobody\n")
    relay.wait("a", subscribers=0)


def unread(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]


def lines(first, end):
    return b"".join(b"line %d of the log\n" % number for number in range(first, end))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_lines_over_a_restart(lab, number):
    """As `tail -F log | relaypub --reconnect`: nothing is read while relay is away, and each line comes once. Half a
    line stands in the pipe when relay goes."""
    there = away(lab, "line", start_subscribers=2)
    relay = there.start()
    raw = Tool(lab, "relaycat", "--reconnect", relay.address["listener a-raw"])
    framed = Tool(lab, "relaycat", "--reconnect", "--verify", "--framing", "line", relay.address["listener a-framed"])
    read_end, write_end = os.pipe()
    pub = Tool(lab, "relaypub", "--reconnect", "--framing", "line", relay.address["feed a"], stdin=read_end)
    half = len(lines(0, 100)) + 7
    os.write(write_end, lines(0, 200)[:half])
    relay.wait("a", in_messages=100)
    lab.loop.run(lambda: raw.out == framed.out == lines(0, 100), what="the first lines")
    there.end(number)
    for tool in (raw, framed, pub):
        tool.wait_told(AGAIN)
    rest = lines(0, 200)[half:]
    os.write(write_end, rest)
    assert unread(read_end) == len(rest)
    relay = there.start()
    lab.loop.run(lambda: len(raw.out) == len(framed.out) == len(lines(0, 200)),
                 what=lambda: f"the rest; {raw.told} {framed.told} {pub.told}")
    assert raw.out == framed.out == lines(0, 200)
    os.close(read_end)
    os.close(write_end)
    pub.wait_end()
    assert relay.feed("a")["in_messages"] == 100
    assert [pub.total(name) for name in ("bytes", "losses", "repeated_bytes", "left_out")] == [
        len(lines(0, 200)), 1, 0, 0]
    raw.stop()
    assert re.search(r"is back after .*: a new session, \d+ after \d+", framed.stop())
    let_go(relay)
    for tool in (raw, framed, pub):
        assert len(re.findall(AGAIN, tool.told)) == tool.told.count(" is back after ") == 1, tool.told


def test_bytes_over_kills_amid_traffic(lab):
    """Relay is killed twice while messages come. Each that comes is whole and in its place."""
    there = away(lab, "u32be")
    relay = there.start()
    cat = Tool(lab, "relaycat", "--reconnect", "--verify", "--framing", "u32be", "--positions", 7,
               relay.address["listener a-framed"], keeps=False)
    relay.wait("a", subscribers=1)
    pub = Tool(lab, "relaypub", "--reconnect", "--framing", "u32be", "--positions", 7, "--size", "2000", "--rate", 2000,
               relay.address["feed a"])
    for losses in (1, 2):
        relay.wait("a", test=lambda seen: seen["in_messages"] > 1000 and seen["delivered_bytes"] > 1000 * 2000)
        there.end(signal.SIGKILL)
        pub.wait_told(AGAIN, losses)
        cat.wait_told(AGAIN, losses)
        relay = there.start()
    relay.wait("a", test=lambda seen: seen["in_messages"] > 1000 and seen["delivered_bytes"] > 1000 * 2000)
    pub.stop()
    cat.stop()
    assert cat.total("errors") == 0 and cat.total("losses") == pub.total("losses") == 2
    assert cat.total("verified") > 2000 * 2000


def test_what_is_missed_is_told(lab):
    """With packets of its own the publisher's session and sequence outlive relay: messages + missed = published."""
    count = 6000
    there = away(lab, "relay", start_subscribers=1)
    relay = there.start()
    cat = Tool(lab, "relaycat", "--reconnect", "--verify", "--positions", 9, relay.address["listener a-framed"],
               keeps=False)
    pub = Tool(lab, "relaypub", "--reconnect", "--framing", "relay", "--positions", 9, "--size", "2000", "--rate", 3000,
               "--count", count, relay.address["feed a"])
    relay.wait("a", test=lambda seen: seen["in_messages"] > 1000)
    there.end(signal.SIGKILL)
    relay = there.start()
    pub.wait_end()
    relay.wait("a", test=lambda seen: seen["source_losses"] == 1 and seen["delivered_bytes"] > 0)
    back = (r"(is back after .*|session \d+ goes on): (nothing missed(, messages \d+ to \d+ come again)?"
            r"|\d+ messages missed, from \d+ to \d+)\n")
    lab.loop.run(lambda: re.search(back, cat.told) and cat.told.endswith("source down\n"), poll=POLL,
                 what=lambda: f"the end; told: {cat.told}")
    cat.stop()
    assert cat.total("messages") + cat.total("missed") == count == pub.total("messages")
    assert cat.total("errors") == 0


def test_a_kicked_subscriber_comes_back_without_a_gap(lab):
    """What the burst gives once more is left out."""
    there = away(lab, "u32be")
    there.sections["listener a-framed"]["burst"] = "1024k"
    there.sections["admin"] = {"socket": f"unix:{lab.directory}/admin.sock"}
    relay = lab.start(there.sections)
    cat = Tool(lab, "relaycat", "--reconnect", "--verify", "--framing", "u32be", "--positions", 3,
               relay.address["listener a-framed"])
    relay.wait("a", subscribers=1)
    pub = Tool(lab, "relaypub", "--framing", "u32be", "--positions", 3, "--size", "1000", "--rate", 50,
               relay.address["feed a"])
    lab.loop.run(lambda: len(cat.out) > 20 * 1004, what="the first messages")
    for identity in (1, 2):
        kicked = lab.run_tool("relayctl", "-s", lab.directory / "admin.sock", "kick", "--feed", "a", identity)
        assert kicked.returncode == 0, kicked.stderr
        cat.wait_told(r": nothing missed, messages 1 to \d+ come again\n", identity)
    pub.stop()
    count = pub.total("messages")
    lab.loop.run(lambda: len(cat.out) == count * 1004, what=lambda: f"all {count} messages; {len(cat.out)}; {cat.told}")
    cat.stop()
    stream = position_coded(3, count * 1000)  # its values are another generator's, the offsets are the same
    for number in range(count):
        message = cat.out[number * 1004 + 4:(number + 1) * 1004]
        at = -number * 1000 % 16
        assert message[at:at + 8] == stream[number * 1000 + at:number * 1000 + at + 8]
    assert [cat.total(name) for name in ("messages", "gaps", "errors", "losses")] == [count, 0, 0, 2]


# Beside a peer that is no relay, and does what none should.

class Peer:
    """Listens where relaypub connects to; each connection is taken and ended by hand."""

    def __init__(self, lab, buffer=1 << 16):
        self.lab = lab
        self.listener, self.address = address.listen("tcp:127.0.0.1:0")
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        lab.closers.append(self.listener.close)

    def accept(self):
        made = []
        self.lab.loop.watch(self.listener, READ, lambda _events: made.append(self.listener.accept()[0]))
        self.lab.loop.run(lambda: made, what="a connection")
        self.lab.loop.unwatch(self.listener)
        made[0].setblocking(False)
        return made[0]

    def read(self, sock, size=None):
        """So many bytes, or all until the end."""
        got = bytearray()
        ended = []

        def ready(_events):
            data = sock.recv(1 << 20 if size is None else size - len(got))
            got.extend(data)
            if not data:
                ended.append(True)

        self.lab.loop.watch(sock, READ, ready)
        self.lab.loop.run(lambda: ended or len(got) == size, what=lambda: f"{size} bytes; {len(got)} came")
        self.lab.loop.unwatch(sock)
        return bytes(got)


def cut(sock):
    address.reset_on_close(sock)
    sock.close()


def test_a_message_is_never_cut_in_two(lab):
    """The peer takes three and a half messages, then resets: what comes next begins with a whole message, and not
    before those that had been acknowledged."""
    size, count = 1 << 20, 12
    peer = Peer(lab)
    pub = Tool(lab, "relaypub", "--reconnect", "--framing", "u32be", "--positions", 1, "--size", size, "--count", count,
               peer.address)
    sock = peer.accept()
    peer.read(sock, 7 * (size + 4) // 2)
    cut(sock)
    got = peer.read(peer.accept())
    begin = struct.unpack("<Q", got[4:12])[0] // size
    assert 3 <= begin < count
    assert len(got) == (count - begin) * (size + 4)
    for number in range(begin, count):
        at = (number - begin) * (size + 4)
        assert got[at:at + 12] == struct.pack(">I", size) + struct.pack("<Q", number * size)
    pub.wait_end()
    assert (pub.total("messages"), pub.total("losses"), pub.total("bytes")) == (count, 1, count * (size + 4))


def test_lines_are_sent_again_whole(lab):
    """The same for lines that are read, and longer than what the sockets hold."""
    source = lab.directory / "log"
    made = [b"%d " % number + b"x" * (1 << 20) + b"\n" for number in range(12)]
    source.write_bytes(b"".join(made) + b"no end")
    peer = Peer(lab)
    pub = Tool(lab, "relaypub", "--reconnect", "--framing", "line", peer.address, source)
    sock = peer.accept()
    peer.read(sock, 3 * (1 << 20))
    cut(sock)
    got = peer.read(peer.accept())
    begin = int(got.split(b" ", 1)[0])
    assert begin >= 2 and got == b"".join(made[begin:]) + b"no end"
    pub.wait_end()


def test_a_peer_that_hangs_up_at_once(lab):
    """As relay does with a publisher too many: no byte is lost to it, and it is told once, not at each try."""
    peer = Peer(lab)
    pub = Tool(lab, "relaypub", "--reconnect", "--size", 100, "--framing", "line", "--count", 50, peer.address)
    for turn in range(3):
        (cut if turn else socket.socket.close)(peer.accept())
    got = peer.read(peer.accept())
    assert [int(line.split()[0]) for line in got.splitlines()] == [*range(1, 51)]
    told = pub.wait_end()
    assert len(re.findall(AGAIN, told)) == 1 and re.search(r"is there after .* s, 4 tries\n", told), told
    assert pub.total("losses") == 0


def test_one_subscriber_too_many_waits_for_its_turn(lab):
    there = away(lab, "line", max_subscribers=1)
    relay = there.start()
    first, second = (Tool(lab, "relaycat", "--reconnect", "--count", 1, relay.address["listener a-raw"])
                     for _ in relay.wait("a", subscribers=0) and range(2))
    lab.loop.run(lambda: "trying again" in first.told + second.told, what="one to be refused")
    publisher = relay.publish("a", b"one\n")
    lab.loop.run(lambda: first.out or second.out, what="the line")
    let_go(relay, publisher)
    relay.wait("a", subscribers=1)
    publisher.send(b"two\n")
    first.wait_end()
    second.wait_end()
    let_go(relay, publisher)
    assert sorted((first.out, second.out)) == [b"one\n", b"two\n"]


@pytest.mark.parametrize("tool", ["relaypub", "relaycat"])
def test_a_stop_ends_the_wait(lab, tool):
    keeper, where = address.refuse()
    lab.closers.append(keeper.close)
    running = Tool(lab, tool, "--reconnect", where)
    running.wait_told(AGAIN)
    running.stop()
    limited = Tool(lab, tool, "--reconnect", "--connect-retry", "100ms", where)
    assert "Connection refused" in limited.wait_end(1)


def test_a_stop_tells_what_was_not_sent(lab):
    peer = Peer(lab)
    pub = Tool(lab, "relaypub", "--reconnect", "--framing", "u32be", "--size", 20 << 20, "--count", 1, peer.address)
    sock = peer.accept()
    peer.read(sock, 1000)
    peer.listener.close()
    cut(sock)
    pub.wait_told(AGAIN)
    assert f"{(20 << 20) + 4} bytes were not sent" in pub.stop(1)


def test_a_relay_that_connects_comes_back(lab):
    """relaypub --listen --reconnect behind `ingest = connect`."""
    pub = Tool(lab, "relaypub", "--listen", "--reconnect", "--demo", f"unix:{lab.directory}/pub")
    pub.wait_told("listening on")
    sections = feed("a", f"connect unix:{lab.directory}/pub", framing="line", **LOSSLESS)
    for turn in range(2):
        relay = lab.start(sections, name=f"relay{turn}.ini")
        relay.wait("a", test=lambda seen: seen["in_messages"] > 5)
        relay.signal(signal.SIGTERM)
        relay.wait_exit()
        pub.wait_told(AGAIN, turn + 1)
    pub.process.send_signal(signal.SIGTERM)
    pub.process.wait()
    assert not os.path.exists(f"{lab.directory}/pub")

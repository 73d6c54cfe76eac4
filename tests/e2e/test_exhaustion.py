# SPDX-License-Identifier: MIT
"""When descriptors run out, or the network goes away: who is served goes on being served, nothing spins, and
newcomers are let in again."""

import ctypes
import re
import resource
import socket
import subprocess
import time

import pytest

from relaytest import address
from relaytest.daemon import preload
from relaytest.ini import feed, web
from relaytest.loop import CEILING
from relaytest.namespace import Namespace
from relaytest.stream import script
from relaytest.subscriber import Subscriber
from relaytest.surroundings import needs, network_link
from relaytest.web import ask

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h", "framing": "u32be"}


def connect_all(lab, relay, count):
    """Connections that relay may let wait, take, or reset."""
    made = []
    for _ in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(address.parse(relay.address["listener a-raw"])[1])
        made.append(sock)
    return made


@pytest.mark.parametrize("workers", [1, 3])
def test_descriptors_run_out(lab, workers):
    """EMFILE: no spin, no flood of lines, no harm to those who are there; and all is well afterwards."""
    made = script("u32be", (2000,) * 3000, 1)
    relay = lab.start({"relay": {"workers": workers}} | feed("a", **LOSSLESS))
    readers = relay.subscribe("a-framed", made, 6)
    relay.wait("a", subscribers=6)
    half = made.ends[made.count // 2]
    publisher = relay.publish("a", made.wire[:half])
    lab.loop.run(lambda: all(one.position == half for one in readers), what="the first half")
    before = len(relay.links())
    limits = resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (before + 10, limits[1]))
    since, began = len(relay.log), time.monotonic()
    crowd = connect_all(lab, relay, 200)
    relay.wait(test=lambda block: block["relay"].get("accept_errors_a-raw", 0) >= 2)
    relay.assert_no_spin(1.0, 150)
    elapsed = time.monotonic() - began
    lines = [line for line in relay.log[since:] if re.search("accept failed", line)]
    assert 1 <= len(lines) <= 2 + elapsed, lines
    publisher.send(made.wire[half:])
    relay.run_until_done(readers)
    assert all(one.end is None for one in readers)
    for sock in crowd:  # by RST: whoever came in behind the last bytes would look half-closed, and be kept
        address.reset_on_close(sock)
        sock.close()
    resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, limits)
    late = Subscriber(lab.loop, relay.address["listener a-raw"], made, start=None)
    relay.peers.append(late)
    relay.wait("a", test=lambda seen: seen["subscribers"] >= 7)


def test_a_token_cannot_be_looked_up(lab):
    """libcrypto has no memory: that is relay's failure, and not a wrong token of whoever asks."""
    tokens = lab.directory / "tokens"
    tokens.write_text("known\n")
    tokens.chmod(0o600)
    relay = lab.start(web(options={"token_file": tokens}), env=preload(RELAY_REFUSE="digest:ENOMEM:after=10"))

    def code(token):
        return ask(relay, fields={"Authorization": f"Bearer {token}"}, method="HEAD")[0]

    codes = [code("known") for _ in range(20)]
    assert codes == sorted(codes) and set(codes) == {200, 503}, codes  # the first of them are known
    assert code("unknown") == 503
    assert ask(relay, method="HEAD")[0] == 401
    seen = relay.status()["relay"]
    assert (seen["http_refused_web_no_memory"], seen["http_refused_web_token"]) == (codes.count(503) + 1, 1)


def test_nothing_more_can_be_watched(lab):
    """epoll_ctl(2) has no room for another descriptor (ENOSPC, fs.epoll.max_user_watches): who comes is turned away, also as
    a publisher, and who is there goes on."""
    made = script("u32be", (2000,) * 300, 1)
    relay = lab.start({"relay": {"workers": 1}} | feed("a", framing="u32be"), env=preload(RELAY_REFUSE="epoll_add:ENOSPC:after=60"))
    readers = relay.subscribe("a-framed", made, 4)
    relay.wait("a", subscribers=4)
    half = made.ends[made.count // 2]
    publisher = relay.publish("a", made.wire[:half])
    lab.loop.run(lambda: all(one.position == half for one in readers), what="the first half")
    crowd = [Subscriber(lab.loop, relay.address["listener a-raw"], made, start=None) for _ in range(100)]
    relay.peers += crowd
    relay.wait("a", test=lambda seen: seen.get("closed_no_memory", 0) > 0)
    lab.loop.run(lambda: any(one.end == "rst" for one in crowd), what="somebody to be turned away")
    second = relay.publish("a", made.wire)
    lab.loop.run(lambda: second.lost, what="the second publisher to be turned away")
    publisher.send(made.wire[half:])
    relay.run_until_done(readers)
    assert all(one.end is None for one in readers)
    relay.assert_no_spin(1.0, 150)


def receive(sock, count):
    sock.settimeout(CEILING)
    data = b""
    while len(data) < count:
        data += sock.recv(count - len(data))
    return data


CLONE_NEWNET = 0x40000000  # sched.h
LIBC = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Link(Namespace):
    """A network namespace, joined by a link that can be taken down."""

    def __init__(self):
        super().__init__()
        # No other link has these names and addresses, nor one whose namespace is still being taken down.
        number = self.holder.pid % 2**14
        self.ours, self.theirs = f"rl{number}a", f"rl{number}b"
        self.here, self.there = (f"198.18.{number // 64}.{number % 64 * 4 + end}" for end in (1, 2))
        self.run("ip", "link", "add", self.ours, "type", "veth", "peer", "name", self.theirs, "netns", str(self.holder.pid))
        self.run("ip", "addr", "add", f"{self.here}/30", "dev", self.ours)
        self.run("ip", "link", "set", self.ours, "up")
        self.run(*self.command("ip", "addr", "add", f"{self.there}/30", "dev", self.theirs))
        self.run(*self.command("ip", "link", "set", self.theirs, "up"))

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, capture_output=True, timeout=CEILING)

    def connect(self, port, receive_buffer=0):
        """A socket of the namespace, connected from there: a descriptor keeps its namespace."""
        with open("/proc/self/ns/net", "rb") as home, open(f"/proc/{self.holder.pid}/ns/net", "rb") as there:
            enter(there)
            try:
                return address.connect(f"tcp:{self.here}:{port}", receive_buffer)
            finally:
                enter(home)

    def cut(self):
        self.run(*self.command("ip", "link", "set", self.theirs, "down"))


@needs(network_link)
def test_the_network_goes_away(lab):
    """Idle, busy and full peers behind a dead link are all closed, each by its own limit; the others notice
    nothing."""
    made = script("u32be", (4000,) * 4000, 2)
    with Link() as link:
        sections = feed("a", framing="u32be", on_slow="skip", stall_timeout="3s",
                        raw={"listen": "tcp:0.0.0.0:0", "keepalive": "2s", "user_timeout": "2s"})
        sections |= feed("quiet", raw={"listen": "tcp:0.0.0.0:0", "keepalive": "2s", "user_timeout": "2s"})
        relay = lab.start(sections)
        here = relay.subscribe("a-framed", made)
        ports = {name: int(relay.address[f"listener {name}-raw"].rpartition(":")[2]) for name in ("a", "quiet")}
        busy = [link.connect(ports["a"]) for _ in range(3)]
        full = [link.connect(ports["a"], 4096) for _ in range(3)]
        idle = [link.connect(ports["quiet"]) for _ in range(3)]
        relay.wait("a", subscribers=7)
        relay.wait("quiet", subscribers=3)
        publisher = relay.publish("a").follow(here, 1 << 20)
        publisher.send(made.wire[:4_000_000])
        lab.loop.run(lambda: here.position >= 3_900_000, what="the first part")
        link.cut()
        publisher.send(made.wire[4_000_000:])
        relay.run_until_done([here])
        relay.wait("a", subscribers=1)
        relay.wait("quiet", subscribers=0)
        seen = relay.feed("a")
        assert seen.get("closed_network", 0) + seen.get("closed_stalled", 0) == 6, seen
        assert relay.feed("quiet").get("closed_network", 0) == 3
        for sock in busy + full + idle:
            sock.close()


@needs(network_link)
def test_a_closed_window_is_no_dead_network(lab):
    """A player pauses for longer than user_timeout and goes on; then it pauses again, and its network goes."""
    made = script("u32be", (4000,) * 1000, 2)
    half = made.ends[500]
    with Link() as link:
        relay = lab.start(feed("a", framing="u32be", on_slow="wait", ring="16m", stall_timeout="1h",
                               raw={"listen": "tcp:0.0.0.0:0", "user_timeout": "5s", "send_buffer": "64k"}))
        here = relay.subscribe("a-framed", made)
        player = link.connect(int(relay.address["listener a-raw"].rpartition(":")[2]), 4096)
        relay.wait("a", subscribers=2)
        publisher = relay.publish("a", made.wire[:half])
        lab.loop.run(lambda: here.position == half, what="the first half")
        relay.wait("a", subscribers=2, subscribers_blocked=1)
        lab.loop.run_for(9)
        assert receive(player, half) == made.payload[:half]
        publisher.send(made.wire[half:])
        relay.run_until_done([here])
        relay.wait("a", subscribers=2, subscribers_blocked=1)
        link.cut()
        relay.wait("a", subscribers=1, closed_network=1)
        player.close()

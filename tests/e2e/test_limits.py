# SPDX-License-Identifier: MIT
"""Who is let in, and how many: access lists, max_per_ip, accept_rate; each refusal has its reason.

Who is slow: each skip and each slow close names its cause."""

import os
import socket
import time
from pathlib import Path

import pytest

from relaytest import address
from relaytest.admin import Admin
from relaytest.daemon import preload
from relaytest.ini import TIGHT, feed
from relaytest.stream import KIB, script
from relaytest.surroundings import NOBODY, another_user, as_user, mount_namespace, needs

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}


class Knock:
    """A peer that connects from a chosen loopback address, to be let in or refused."""

    def __init__(self, relay, where, source=None):
        family, target = address.parse(where)
        self.loop = relay.loop
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(10)
        relay.peers.append(self)
        self.was_reset = False
        try:
            self.sock.connect(target)
        except ConnectionResetError:  # so soon that connect() sees it
            self.was_reset = True
        self.sock.setblocking(False)

    def look(self):
        try:
            assert self.sock.recv(65536), "a refusal that looks like an empty stream"
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.was_reset = True
        return self.was_reset

    def refused(self):
        self.loop.run(lambda: self.was_reset or self.look(), what="a refusal", poll=0.005)

    def reset(self):
        if self.sock.fileno() >= 0 and self.sock.family != socket.AF_UNIX:
            address.reset_on_close(self.sock)
        self.sock.close()


@pytest.mark.parametrize("lists, allowed, refused", [
    ({"deny": "127.0.0.2"}, ["127.0.0.1", "127.0.0.3"], ["127.0.0.2"]),
    ({"allow": "127.0.0.2/31, ::1"}, ["127.0.0.2", "127.0.0.3"], ["127.0.0.1"]),
    ({"allow": "127.0.0.0/8", "deny": "127.0.0.2, 127.0.1.0/24"}, ["127.0.0.1"],
     ["127.0.0.2", "127.0.1.9"]),
    ({"allow": "::/0"}, [], ["127.0.0.1"]),
])
@pytest.mark.parametrize("listen", ["tcp:127.0.0.1:0", "tcp:*:0"])
def test_access_lists(lab, lists, allowed, refused, listen):
    """Deny first; IPv4 is the same on a dual-stack socket."""
    relay = lab.start(feed("a", raw={"listen": listen, **lists}))
    where = f"tcp:127.0.0.1:{address.parse(relay.address['listener a-raw'])[1][1]}"
    for source in refused:
        Knock(relay, where, source).refused()
    for source in allowed:
        Knock(relay, where, source)
    relay.wait("a", subscribers=len(allowed), closed_denied=len(refused))
    relay.wait_log(r"subscriber refused listener=a-raw peer=tcp:127\.0\.\d\.\d:\d+ reason=denied")


def test_unix_sockets_are_not_asked(lab):
    relay = lab.start(feed("a", heartbeat="100ms",  # by which closed ones are noticed
                           framed={"listen": f"unix:{lab.directory}/s", "deny": "0.0.0.0/0, ::/0",
                                   "max_per_ip": 1}))
    for _ in range(3):
        Knock(relay, relay.address["listener a-framed"])
    relay.wait("a", subscribers=3)


def test_a_bad_list_is_a_config_error(lab):
    sections = feed("a", publisher_deny="10.0.0.1/8", raw={"allow": "here"})
    relay = lab.start(sections, wait=False).expect("a")
    assert relay.wait_exit() == 78
    assert any("publisher_deny" in line and "bits behind" in line for line in relay.log), relay.log
    assert any("'here' is no address" in line for line in relay.log), relay.log


def test_publisher_lists_are_for_listening(lab):
    relay = lab.start(feed("a", ingest="stdin", publisher_allow="127.0.0.1"), wait=False)
    assert relay.wait_exit() == 78
    assert any("for ingest = listen, http and udp only" in line for line in relay.log), relay.log


def test_publishers(lab):
    """Who may not publish is counted, and takes over from nobody; a reload asks anew."""
    made = script("u32be", (900, 70_000, 5), 1)
    sections = feed("a", framing="u32be", takeover="replace", publisher_deny="127.0.0.2", **LOSSLESS)
    relay = lab.start(sections)
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", made.wire[:1000])
    lab.loop.run(lambda: reader.position == made.ends[0], what="the first message")
    where = relay.address["feed a"]
    for _ in range(3):
        Knock(relay, where, "127.0.0.2").refused()
    relay.wait("a", source_denied=3, source_up=1, source_losses=0)
    sections["feed a"]["publisher_allow"] = "127.0.0.3"
    relay.wait_log("reloaded", relay.reload(sections))
    Knock(relay, where, "127.0.0.1").refused()
    publisher.send(made.wire[1000:])
    relay.run_until_done([reader])
    seen = relay.wait("a", source_denied=4, source_connects=1)
    assert seen["in_messages"] == made.count


def test_max_per_ip(lab):
    """Counted by address, given back at the end of a subscriber, changed by a reload."""
    sections = feed("a", raw={"max_per_ip": 2})
    relay = lab.start(sections)
    where = relay.address["listener a-raw"]
    first = [Knock(relay, where) for _ in range(2)]
    relay.wait("a", subscribers=2)
    for _ in range(3):
        Knock(relay, where).refused()
    Knock(relay, where, "127.0.0.2")
    relay.wait("a", subscribers=3, closed_per_address=3)
    relay.wait_log("reason=per_address")
    first[0].reset()
    relay.wait("a", subscribers=2)
    Knock(relay, where)
    relay.wait("a", subscribers=3)
    Knock(relay, where).refused()
    sections["listener a-raw"]["max_per_ip"] = 3
    relay.wait_log("reloaded", relay.reload(sections))
    Knock(relay, where)
    relay.wait("a", subscribers=4)
    Knock(relay, where).refused()
    sections["listener a-raw"]["max_per_ip"] = 0
    relay.wait_log("reloaded", relay.reload(sections))
    for _ in range(10):
        Knock(relay, where)
    relay.wait("a", subscribers=14, closed_per_address=5)


def test_counts_outlive_their_listener(lab):
    """Two listeners share a format; the subscribers of the one that goes stay, and close well."""
    sections = feed("a", raw={"max_per_ip": 5})
    sections["listener more"] = {"feed": "a", "listen": "tcp:127.0.0.1:0", "max_per_ip": 5}
    relay = lab.start(sections)
    made = [Knock(relay, relay.address["listener more"]) for _ in range(5)]
    relay.wait("a", subscribers=5)
    del sections["listener more"]
    relay.wait_log("reloaded", relay.reload(sections))
    relay.baseline -= 1
    relay.wait("a", subscribers=5)
    for one in made:
        one.reset()
    relay.wait("a", subscribers=0)


def test_accept_rate(lab):
    """A second's worth at once, then the rate; who waits does so in the kernel and costs no CPU."""
    relay = lab.start(feed("a", raw={"accept_rate": 20}))
    where = relay.address["listener a-raw"]
    began = time.monotonic()
    for _ in range(40):
        Knock(relay, where)
    relay.wait("a", test=lambda seen: seen["subscribers"] >= 20)
    before = relay.cpu_ms()
    lab.loop.run_for(0.5)
    spent = relay.cpu_ms() - before
    relay.wait("a", subscribers=40)
    took = time.monotonic() - began
    assert took >= 0.95, took
    assert spent < 100, spent
    assert relay.status()["relay"]["accept_paced_a-raw"] > 0
    relay.wait_log("accept_rate reached")
    relay.wait_log(r"accept_rate reached address=\S+, more of them suppressed=\d+$")


def test_accept_rate_leaves_others_alone(lab):
    """Those who are there get their bytes while newcomers wait, and a reload lets all in."""
    made = script("u32be", (4000,) * 200, 1)
    sections = feed("a", framing="u32be", raw={"accept_rate": 1}, **LOSSLESS)
    relay = lab.start(sections)
    readers = relay.subscribe("a-framed", made, 3)
    relay.wait("a", subscribers=3)
    for _ in range(5):
        Knock(relay, relay.address["listener a-raw"])
    relay.wait("a", test=lambda seen: seen["subscribers"] >= 4)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    sections["listener a-raw"]["accept_rate"] = 0
    relay.wait_log("reloaded", relay.reload(sections))
    relay.wait("a", subscribers=8)


# A reader that stands still fills up after a few hundred kilobytes; the ring holds little more.
SLOW = {"receive_buffer": 4096, "paused": True}
RING = {"ring": "256k", "segment": "64k", "grace": "0", "stall_timeout": "1h"}


def publish_beside(relay, made, slow_listener):
    """Publishes at the pace of a reader, past one that stands still."""
    leader = relay.subscribe("a-framed", made)
    slow = relay.subscribe(slow_listener, made, **SLOW)
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire, piece=16 * KIB).follow(leader, 64 * KIB)
    relay.run_until_done([leader])
    return slow


@pytest.mark.parametrize("options, reason", [
    ({"on_slow": "disconnect"}, "lag"),
    ({"on_slow": "wait", "stall_timeout": "300ms"}, "stalled"),
])
def test_the_cause_of_a_close(lab, options, reason):
    """A subscriber that does not read: its receive window, in status and log."""
    made = script("u32be", (1000,) * 4000, 2)
    relay = lab.start(feed("a", framing="u32be", raw=TIGHT, **(RING | options)))
    publish_beside(relay, made, "a-raw")
    relay.wait("a", subscribers=1, closed_slow_by_receive_window=1, **{f"closed_{reason}": 1})
    relay.wait_log(rf"subscriber closed .*reason={reason} .*cause=receive_window")


def test_the_cause_of_a_skip(lab):
    made = script("u32be", (1000,) * 4000, 2)
    relay = lab.start(feed("a", framing="u32be", on_slow="skip", raw=TIGHT, **RING))
    slow = publish_beside(relay, made, "a-raw")
    slow.compare = lambda data: None
    slow.resume()
    seen = relay.wait("a", test=lambda seen: seen["gaps"] > 0)
    assert seen["skipped_by_receive_window"] == seen["gaps"], seen
    relay.wait_log(r"subscriber skipped .*cause=receive_window")


def test_max_pinned(lab):
    """Above the limit of all together, the one that holds most is closed, and nobody else."""
    made = script("u32be", (1000,) * 4000, 2)
    sections = feed("a", framing="u32be", on_slow="skip", raw=TIGHT, framed={"send_buffer": "200k"},
                    **RING)
    relay = lab.start({"relay": {"max_pinned": "64m"}} | sections)
    leader = relay.subscribe("a-raw", made)
    small = relay.subscribe("a-raw", made, 2, **SLOW)
    relay.subscribe("a-framed", made, **SLOW)
    relay.wait("a", subscribers=4)
    relay.publish("a", made.wire, piece=16 * KIB).follow(leader, 64 * KIB)
    relay.run_until_done([leader])
    relay.wait(test=lambda block: block["relay"].get("pinned_bytes", 0) > 200 * KIB)
    sections["relay"] = {"max_pinned": "256k"}
    relay.wait_log("reloaded", relay.reload(sections))
    relay.wait("a", subscribers=3, closed_pinned=1, closed_slow_by_receive_window=1)
    relay.wait_log("reason=pinned .*cause=receive_window")
    relay.wait(test=lambda block: 0 < block["relay"]["pinned_bytes"] <= 256 * KIB)
    assert all(one.end is None for one in [leader, *small])


@pytest.mark.parametrize("after, descriptors", [(0, 1024), (1, 2048)])
def test_a_sandbox_without_limits(lab, after, descriptors):
    """prlimit64 refused, altogether or for raising the limit alone: it is told, and subscribers are served."""
    made = script("u32be", (5000,) * 40, 1)
    relay = lab.start({"relay": {"workers": 1}} | feed("a", framing="u32be", **LOSSLESS),
                      env=preload(RELAY_REFUSE=f"prlimit:EPERM:after={after}"), prefix=["prlimit", "--nofile=2048:4096"])
    relay.wait_log(rf"warning the limit of open files cannot be had or raised, taking {descriptors}$")
    relay.wait_log(rf"budget subscribers=[1-9]\d* .*descriptors={descriptors} ")
    readers = relay.subscribe("a-framed", made, 3)
    relay.wait("a", subscribers=3)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)


def test_budget(lab):
    """One line at start says what the ceiling is, and what raises it."""
    relay = lab.start({"relay": {"max_subscribers": 7, "workers": 1}} | feed("a"))
    relay.wait_log(r"budget subscribers=7 \(raise max_subscribers for more\) descriptors=\d+ .*pipes=\d+/96")
    relay = lab.start({"relay": {"max_subscribers": 7, "workers": 3}} | feed("a"))
    relay.wait_log(r"budget subscribers=7 .*pipes=\d+/224")
    relay = lab.start({"relay": {"workers": 1}} | feed("a", raw={"send_buffer": "64k"}),
                      prefix=["prlimit", "--nofile=2048"])
    relay.wait_log(r"budget subscribers=1728 \(raise LimitNOFILE for more\) descriptors=2048 reserved=320")
    # Many pipes a ring, and those of laggards: two descriptors each. Two rings of 64m, and a quarter more.
    relay = lab.start({"relay": {"workers": 1}} | feed("a", ring="64m", segment="64k"))
    relay.wait_log(rf"reserved={64 + 2 * (32 + 2 * (2048 + 16))} .*rings_bytes={2 * (80 << 20)} memory_limit=\d+ ")


@pytest.mark.parametrize(("options", "most"), [({}, 4), ({"max_combinations": 3}, 3), ({"max_combinations": 0}, 0)])
def test_budget_of_combinations(lab, options, most):
    """a+b, a+c, b+c and a+b+c, each in one format, with the largest ring. d has no messages."""
    names = ("a", "b", "c", "d")
    sections = {f"feed {name}": {"ingest": "listen tcp:127.0.0.1:0", "framing": "line"} for name in names}
    sections["feed b"] |= {"ring": "16m"}
    sections["feed d"] |= {"ring": "24m", "framing": "none"}
    web = {"format": "http", "listen": "tcp:127.0.0.1:0", "feed": "all", **options}
    relay = lab.start({"relay": {"workers": 1}, "listener web": web, **sections})
    rings = [8, 16, 8, 24]  # MiB, each in two formats
    pipes = sum(32 + 2 * 4 * ring for ring in rings)
    reserved = sum(max(256, 2 * (32 + 2 * (4 * ring + 16))) for ring in rings)
    rings_bytes = sum(2 * ring * 5 // 4 for ring in rings) + most * 16 * 5 // 4
    relay.wait_log(rf" reserved={64 + 256 + reserved + most * 2 * (64 + 16)} .* rings_bytes={rings_bytes << 20} .*"
                   rf" pipes=\d+/{pipes + most * 64}( |$)")


@needs(another_user)
def test_a_reload_keeps_what_the_start_has_found(lab, program_for_all):
    """Pages for pipes are limited for an ordinary user alone."""
    program = program_for_all("relay")
    sections = feed("a") | {"admin": {"listen": "tcp:127.0.0.1:0"}}
    relay = lab.start(sections, directory=program.parent, program=program, prefix=as_user(NOBODY))
    before = Admin(relay).get("/limits.json")["budget"]
    assert before["pipe_pages"] == int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text())
    relay.wait_log("reloaded", relay.reload(sections | {"relay": {"max_subscribers": 7}}))
    after = Admin(relay).get("/limits.json")["budget"]
    assert after == before | {"subscribers": 7, "is_by_option": True}


@needs(mount_namespace)
@pytest.mark.parametrize(("ring", "fits"), [("16m", True), ("32m", False)])
def test_memory_is_compared_with_the_limit_of_the_cgroup(lab, ring, fits):
    """64 MiB by memory.high, below memory.max; two rings, and a quarter more."""
    make = 'mount -t tmpfs none /sys/fs/cgroup; cd /sys/fs/cgroup; echo 67108864 >memory.high; echo max >memory.max; exec "$@"'
    relay = lab.start({"relay": {"workers": 1}} | feed("a", ring=ring), prefix=["unshare", "--mount", "sh", "-c", make, "sh"])
    relay.wait_log(r"budget .* memory_limit=67108864 ")
    warned = relay.wait_log("ready") and [line for line in relay.log if "rings and requests may take" in line]
    assert bool(warned) == (not fits)


@needs(another_user)
def test_budget_of_an_ordinary_user(lab, program_for_all):
    """How many segments the pipe pages of a user hold: 64 slots for 512k, 16 for 128k; the largest counts."""
    program = program_for_all("relay")
    pages = int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text(encoding="ascii"))
    for segment, slots in (("512k", 64), ("128k", 16)):
        relay = lab.start(feed("a", segment=segment), directory=program.parent, program=program,
                          prefix=as_user(60000 + os.getpid() % 5000))
        told = rf"pipe_pages={pages} segments={pages // slots}" if pages else r"pipes=\d+/\d+"
        relay.wait_log(rf"budget .*{told}( |$)")

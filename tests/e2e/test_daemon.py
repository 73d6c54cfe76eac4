# SPDX-License-Identifier: MIT
"""The daemon's own life: reload, drain, heartbeats, limits."""

import fcntl
import os
import pathlib
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

from relaytest import packet
from relaytest.daemon import BIN
from relaytest.ini import TIGHT, feed
from relaytest.loop import READ
from relaytest.stream import MIB, script

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
SLOW = {"receive_buffer": 4096, "paused": True}
RELOADED = r" reloaded\b"


def test_reload_changes_what_it_says(lab):
    """A changed option, a feed more, then a feed less; whoever is connected stays."""
    made = script("u32be", (5000,) * 30, 1)
    one = feed("a", framing="u32be", heartbeat="0", **LOSSLESS)
    relay = lab.start(one)
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    publisher = relay.publish("a", made.wire[:made.ends[9]])
    relay.loop.run(lambda: all(r.position == made.ends[9] for r in readers), what="the first part")
    beats = len(readers[1].heartbeats)

    one["feed a"]["heartbeat"] = "50ms"
    relay.sections = one | feed("b")
    since = relay.reload(relay.sections)
    relay.wait_log(RELOADED, since)
    relay.wait("b", subscribers=0)
    lab.loop.run(lambda: len(readers[1].heartbeats) >= beats + 3, what="heartbeats every 50 ms")
    publisher.send(made.wire[made.ends[9]:made.ends[19]])
    relay.loop.run(lambda: all(r.position == made.ends[19] for r in readers), what="the second part")
    other = script("none", (9000,), 2)
    of_b = relay.subscribe("b-raw", other)
    relay.wait("b", subscribers=1)
    relay.publish("b", other.wire)
    relay.run_until_done([of_b])

    since = relay.reload(one)
    relay.wait_log(RELOADED, since)
    lab.loop.run(lambda: of_b.end, what="the removed feed to let go of its subscriber")
    relay.wait(test=lambda block: set(block["feed"]) == {"a"})
    publisher.send(made.wire[made.ends[19]:])
    relay.run_until_done(readers)
    assert all(r.end is None for r in readers) and publisher.lost is None


@pytest.mark.parametrize("broken", [
    "[feed a]\nfaming = line\n", "[feed a\n", "", "x" * 100_000,
    "[feed a]\ningest = stdin\nring = 9g\n[listener x]\nfeed = a\nlisten = tcp:127.0.0.1:0\n",
], ids=["key", "section", "empty", "overlong", "range"])
def test_a_broken_file_changes_nothing(lab, broken):
    made = script("u32be", (5000,) * 20, 1)
    relay = lab.start(feed("a", framing="u32be", **LOSSLESS)).expect("relay.ini", "reload")
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    publisher = relay.publish("a", made.wire[:made.ends[9]])
    relay.wait("a", source_up=1)
    since = relay.reload(broken)
    relay.wait_log("relay.ini", since)
    after = relay.feed("a")
    assert (after["subscribers"], after["source_up"]) == (2, 1), after
    publisher.send(made.wire[made.ends[9]:])
    relay.run_until_done(readers)
    late = relay.subscribe("a-framed", made, base=readers[1].base)
    lab.loop.run(lambda: late.heartbeats, what="a subscriber after the reload")


def test_reload_with_an_address_in_use_changes_nothing(lab):
    made = script("none", (9000,), 1)
    sections = feed("a", **LOSSLESS)
    relay = lab.start(sections).expect("in use", "reload")
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    other = lab.start(feed("c"), name="other.ini")
    since = relay.reload(sections | feed("b", raw={"listen": other.address["listener c-raw"]}))
    relay.wait_log("already in use", since)
    relay.wait(test=lambda block: set(block["feed"]) == {"a"})
    relay.publish("a", made.wire)
    relay.run_until_done([reader])


def test_many_reloads_leak_nothing(lab):
    sections = feed("a") | feed("b", framing="line")
    relay = lab.start(sections)
    for turn in range(20):
        since = relay.reload(sections if turn % 2 else sections | feed("c"))
        relay.wait_log(RELOADED, since)
    relay.wait(test=lambda block: set(block["feed"]) == {"a", "b"})
    relay.wait_baseline()


@pytest.mark.parametrize("engine", ["splice", "compact", "copy"])
def test_drain_on_sigterm(lab, engine):
    """Who has something in hand gets it all, then FIN; new ones are not taken; exit 0."""
    made = script("u32be", (70_000,) * 30, 1)
    relay = lab.start({"relay": {"drain": "60s"}}
                      | feed("a", framing="u32be", engine=engine, raw=TIGHT, framed=TIGHT, **LOSSLESS))
    leader = relay.subscribe("a-raw", made)
    slow = [relay.subscribe("a-raw", made, **SLOW), relay.subscribe("a-framed", made, **SLOW)]
    relay.wait("a", subscribers=3)
    relay.publish("a", made.wire)
    relay.run_until_done([leader])
    relay.signal(signal.SIGTERM)
    relay.wait_log("drain|shutting down|SIGTERM")
    lab.loop.run(lambda: leader.end == "fin", what="FIN to who has everything")
    for one in slow:
        one.resume()
    lab.loop.run(lambda: all(one.end for one in slow), what="the end of the slow ones")
    assert [one.end for one in slow] == ["fin", "fin"] and all(one.done for one in slow)
    assert slow[1].events[-1] == packet.END
    assert relay.wait_exit() == 0


def test_drain_ends_after_its_time(lab):
    made = script("none", (3 * MIB,), 1)
    relay = lab.start({"relay": {"drain": "300ms"}} | feed("a", raw=TIGHT, on_slow="wait", stall_timeout="1h"))
    relay.subscribe("a-raw", made, **SLOW)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.wait("a", test=lambda seen: seen["subscribers_blocked"])
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0


def test_second_sigterm_ends_at_once(lab):
    made = script("none", (3 * MIB,), 1)
    relay = lab.start({"relay": {"drain": "1h"}} | feed("a", raw=TIGHT, on_slow="wait", stall_timeout="1h"))
    relay.subscribe("a-raw", made, **SLOW)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.wait("a", test=lambda seen: seen["subscribers_blocked"])
    relay.signal(signal.SIGTERM)
    relay.wait_log("drain|shutting down|SIGTERM")
    relay.signal(signal.SIGTERM)
    relay.wait_exit()


def test_heartbeats(lab):
    """After silence only, on framed only; none with heartbeat = 0."""
    made = script("line", (100,) * 5, 1)
    relay = lab.start(feed("beat", framing="line", heartbeat="100ms") | feed("mute", heartbeat="0"))
    framed, raw = relay.subscribe("beat-framed", made), relay.subscribe("beat-raw", made)
    mute = relay.subscribe("mute-framed", made)
    relay.wait("beat", subscribers=2)
    relay.wait("mute", subscribers=1)
    relay.publish("beat", made.wire)
    relay.run_until_done([framed, raw])
    begin = len(framed.heartbeats)
    lab.loop.run(lambda: len(framed.heartbeats) >= begin + 6, what="six heartbeats")
    beats = framed.heartbeats[begin:]
    # By relay's clock: never sooner than that, and where nothing holds it up not much later.
    pauses = [(after - before) / 1e6 for before, after in zip(beats, beats[1:])]
    assert 95 < min(pauses) < 600, pauses
    assert len(mute.heartbeats) == 1


def test_limit_of_subscribers(lab):
    """One more than max_subscribers is closed at once, counted, and hurts nobody."""
    made = script("none", (90_000,), 1)
    relay = lab.start(feed("a", max_subscribers=3, **LOSSLESS))
    readers = relay.subscribe("a-raw", made, 2) + [relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=3)
    more = relay.subscribe("a-raw", made)
    lab.loop.run(lambda: more.end, what="the one too many to be closed")
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["closed_limit"] == 1 and more.received == 0, seen
    readers[0].reset()
    relay.wait("a", subscribers=2)
    late = relay.subscribe("a-raw", made, start=None)
    relay.wait("a", subscribers=3)
    assert late.end is None


def test_1200_subscribers(lab):
    made = script("u32be", (20_000, 5, 3000) * 4, 1)
    relay = lab.start(feed("a", framing="u32be", **LOSSLESS))
    readers = relay.subscribe("a-raw", made, 600) + relay.subscribe("a-framed", made, 600)
    relay.wait("a", subscribers=1200)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["delivered_messages"] == made.count * 1200, seen
    assert relay.sockets() <= relay.baseline + 1201 and relay.pipes() < 300


def test_nobody_reads_the_log(lab):
    """A full pipe behind standard error holds up neither the worker nor the control thread; what is read later is whole."""
    made = script("line", (100,) * 50, 1)
    relay = lab.start(feed("a", framing="line", burst="1024k", takeover="replace", **LOSSLESS))
    early = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    lab.loop.unwatch(relay.stderr)
    room = fcntl.fcntl(relay.stderr, fcntl.F_SETPIPE_SZ, 4096)
    asked = 0

    def is_full():
        nonlocal asked
        relay.signal(signal.SIGUSR1)
        asked += 1
        waiting = struct.unpack("i", fcntl.ioctl(relay.stderr, termios.FIONREAD, b"\0" * 4))[0]
        return asked > 20 and waiting > room // 2

    lab.loop.run(is_full, poll=0.01, what="a full log")
    half = made.ends[24]
    relay.publish("a", made.wire[:half])  # its line in the log is the worker's
    lab.loop.run(lambda: early.position == half, what="the first half")
    late = relay.subscribe("a-raw", made)
    lab.loop.run(lambda: late.position == half, what="the past for a newcomer")
    relay.publish("a", made.wire[half:])
    relay.run_until_done([early, late])
    lab.loop.watch(relay.stderr, READ, relay.read_log)
    relay.wait_log("publisher down.*taken_over")
    assert not any("log lines lost" in line for line in relay.log)


def test_nobody_reads_what_the_service_manager_is_told(lab):
    """Its socket takes some ten messages (net.unix.max_dgram_qlen); the others are lost, and hold up nobody."""
    path = lab.directory / "notify"
    made = script("line", (100,) * 50, 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        relay = lab.start(feed("a", framing="line", **LOSSLESS) | {"relay": {"survive_crash": "no"}},
                          env={"NOTIFY_SOCKET": str(path)})
        early = relay.subscribe("a-raw", made)
        relay.wait("a", subscribers=1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
            with pytest.raises(BlockingIOError):
                while True:  # what relay has not sent until the queue is full, somebody else has
                    other.sendto(b"X=1", str(path))
        for _ in range(3):  # each announces itself, and its end
            relay.wait_log("reloaded", relay.reload(relay.sections))
        late = relay.subscribe("a-raw", made)
        relay.wait("a", subscribers=2)
        relay.publish("a", made.wire)
        relay.run_until_done([early, late])


def test_standard_descriptors_are_held(lab):
    """Started with 0 to 2 closed, nothing of relay's own gets these numbers, also behind an exec."""
    path, ini = lab.directory / "in", lab.directory / "closed.ini"
    ini.write_text(f"[feed a]\ningest = listen unix:{path}\n[listener a]\nfeed = a\nlisten = unix:{path}.out\n"
                   "[admin]\nlisten = none\n")
    with subprocess.Popen(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", BIN / "relay", "-c", ini]) as process:
        try:
            lab.loop.run(path.exists, poll=0.01, what="a relay without standard descriptors")
            for fd in (0, 1, 2):
                assert os.readlink(f"/proc/{process.pid}/fd/{fd}") == "/dev/null"
                flags = (pathlib.Path(f"/proc/{process.pid}/fdinfo") / str(fd)).read_text().split("flags:")[1].split()[0]
                assert not int(flags, 8) & os.O_CLOEXEC
        finally:
            process.terminate()


def test_what_the_service_manager_is_told(lab):
    """sd_notify(3): a reload, good or bad, is announced before it begins and ended by READY; a drain asks for time."""
    path = lab.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)

        def told():
            return dict(line.partition("=")[::2] for line in manager.recv(4096).decode().splitlines())

        def next_told(*keys):
            while not (words := told()).keys() & set(keys):
                assert set(words) == {"STATUS"}, words
            return words

        relay = lab.start(feed("a"), env={"NOTIFY_SOCKET": str(path)})
        assert told()["STATUS"].startswith("1 feed, 0 subscribers, ")
        assert told() == {"READY": "1"}
        for text, status in ((None, "1 feed, "), ("[bogus]\n", "the last reload failed, see the journal; 1 feed, ")):
            before = time.monotonic_ns() // 1000
            relay.expect(*(["error"] if text else [])).reload(text or relay.sections)
            reloading = next_told("RELOADING")
            assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            assert told()["STATUS"].startswith(status)
            assert told() == {"READY": "1"}
        made = script("line", (10,), 1)
        relay.subscribe("a-raw", made)
        relay.wait("a", subscribers=1)
        relay.signal(signal.SIGTERM)
        assert next_told("STOPPING") == {"STOPPING": "1"}
        words = told() | told()
        assert words["STATUS"].startswith("draining: 1 subscribers left, ") and int(words["EXTEND_TIMEOUT_USEC"]) > 1e6

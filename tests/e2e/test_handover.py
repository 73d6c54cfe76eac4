# SPDX-License-Identifier: MIT
"""A new process in place of the old one (SIGUSR2): nobody is closed, and no byte is lost or doubled."""

import os
import random
import shutil
import signal
import socket
import stat
import struct

import pytest

from relaytest import daemon
from relaytest.bag import start_with
from relaytest.ingest import STREAMS
from relaytest.ini import ENGINES, TIGHT, feed
from relaytest.stream import KIB, MIB, Script, script
from relaytest.surroundings import ipv6, needs

SLOW = {"receive_buffer": 4096, "paused": True}
RING = {"ring": "512k", "segment": "64k", "grace": "0"}
LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h", "framing": "u32be"}
WORKERS = {"relay": {"workers": 2}}
UPGRADES = 20


@pytest.mark.parametrize("engine", ENGINES)
def test_keeps_everybody(lab, engine):
    """Some read, some in bits with tiny buffers, so that they are cut in mid-packet; the publisher goes on."""
    made = script("u32be", (70_000, 300, 4096, 1) * 200, 2)
    relay = lab.start(WORKERS | feed("a", raw=TIGHT, framed=TIGHT, **RING, **LOSSLESS, **ENGINES[engine]))
    readers = relay.subscribe("a-raw", made, 8) + relay.subscribe("a-framed", made, 8)
    slow = relay.subscribe("a-raw", made, 4, **SLOW) + relay.subscribe("a-framed", made, 4, **SLOW)
    everybody = readers + slow
    relay.wait("a", subscribers=len(everybody))
    publisher = relay.publish("a", made.wire)
    pick = random.Random(engine)
    before = os.stat(f"/proc/{relay.process.pid}").st_ctime
    for _ in range(UPGRADES):
        for one in slow:
            one.read_exactly(pick.randrange(1, len(made.wire) // UPGRADES))
        lab.loop.run(lambda: any(one.received == one.limit for one in slow), what="some of it")
        relay.upgrade()
    assert os.stat(f"/proc/{relay.process.pid}").st_ctime >= before and publisher.lost is None
    for one in slow:
        one.unlimited()
    relay.run_until_done(everybody)
    seen = relay.feed("a")
    count = len(everybody)
    assert seen["subscribers"] == seen["subscribers_total"] == count and seen["gaps"] == 0, seen
    assert seen["subscribers_resumed"] == UPGRADES * count, seen
    assert seen["in_messages"] == made.count and seen["delivered_messages"] == count * made.count, seen
    assert seen["source_connects"] == 1 and seen["source_losses"] == 0 and seen["partial_messages"] == 0, seen
    assert len(relay.log) and sum("resumed subscribers=" in line for line in relay.log) == UPGRADES


@pytest.mark.parametrize("engine", ENGINES)
def test_skips_stay_exact(lab, engine):
    """What a slow one misses is announced, over hand-overs too; a packet in hand is finished."""
    made = script("u32be", (3000, 40_000, 10) * 150, 4)
    relay = lab.start(WORKERS | feed("a", framing="u32be", on_slow="skip", stall_timeout="1h", framed=TIGHT, **RING,
                                     **ENGINES[engine]))
    leader = relay.subscribe("a-framed", made)
    slow = relay.subscribe("a-framed", made, 4, **SLOW)
    relay.wait("a", subscribers=5)
    publisher = relay.publish("a").follow(leader, 256 * KIB)
    for part in range(UPGRADES):
        publisher.send(made.wire[len(made.wire) * part // UPGRADES:len(made.wire) * (part + 1) // UPGRADES])
        relay.upgrade()
        for one in slow:
            one.read_exactly(1000)
    lab.loop.run(lambda: leader.position > len(made.payload) - 256 * KIB, what="nearly all")
    for one in slow:
        one.unlimited()
    relay.run_until_done([leader, *slow])
    seen = relay.feed("a")
    assert all(one.messages + one.missed == made.count and one.gaps for one in slow)
    assert seen["gaps"] == sum(len(one.gaps) for one in slow), seen
    assert seen["skipped_messages"] == sum(one.missed for one in slow), seen
    assert seen["subscribers_resumed"] == 5 * UPGRADES, seen


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs(ipv6)) if kind == "listen-tcp6" else kind
                                  for kind in STREAMS])
def test_every_way_in(lab, kind):
    """A message that is half there goes on; the publisher does not notice."""
    made = script("u32be", (3000,) * 40, 2)
    way = lab.ingest(kind, "a")
    relay = lab.start(WORKERS | feed("a", way.value, framing="u32be", on_slow="wait"))
    readers = relay.subscribe("a-raw", made, 2) + relay.subscribe("a-framed", made, 2)
    relay.wait("a", subscribers=4)
    publisher = way.open(relay)
    for index in range(10):
        end = made.ends[index] + 1000
        publisher.send(made.wire[publisher.sent:end])
        lab.loop.run(lambda: publisher.done and readers[0].position == made.ends[index], what="a message and a half")
        relay.upgrade()
    publisher.send(made.wire[publisher.sent:])
    relay.run_until_done(readers)
    assert publisher.lost is None
    seen = relay.feed("a")
    assert seen["source_connects"] == 1 and seen["source_losses"] == 0 and seen["partial_bytes"] == 0, seen
    assert seen["in_messages"] == made.count


@pytest.mark.parametrize("framing, sizes", [("line", (2000,) * 60), ("fixed:188", (188,) * 600), ("u16le", (900,) * 90),
                                            ("relay", (900,) * 90), ("u32be", (3 * MIB, 5) * 3)])
@pytest.mark.parametrize("engine", ["splice-gift", "compact", "copy"])
def test_every_framing_in_pieces(lab, framing, sizes, engine):
    made = script(framing, sizes, 5)
    relay = lab.start(WORKERS | feed("a", framing=framing, on_slow="wait", ring="16m", stall_timeout="1h",
                                     **ENGINES[engine]))
    readers = (relay.subscribe("a-raw", made, 3)
               + relay.subscribe("a-framed", made, 3, same_session=framing != "relay"))
    relay.wait("a", subscribers=6)
    publisher = relay.publish("a")
    pick = random.Random(framing)
    at = 0
    for _ in range(8):
        end = min(len(made.wire), at + pick.randrange(1, len(made.wire) // 8))
        publisher.send(made.wire[at:end])
        at = end
        lab.loop.run(lambda: publisher.done and publisher.unacknowledged == 0, what="a piece to be taken",
                     poll=0.005)
        relay.upgrade()
    publisher.send(made.wire[at:])
    relay.run_until_done(readers)
    assert relay.feed("a")["source_losses"] == 0


def test_a_file_goes_on(lab):
    """Read past the page cache and through it."""
    made = script("u32be", (100_000,) * 200, 6)
    ways = {}
    for name, direct in (("a", "yes"), ("b", "no")):
        path = lab.directory / f"{name}.bin"
        path.write_bytes(made.wire)
        ways[name] = {"direct": direct, "rate": "8m", "start_subscribers": 2, "on_slow": "wait"}
    sections = WORKERS | {key: value for name, way in ways.items()
                          for key, value in feed(name, f"file:{lab.directory / (name + '.bin')}", framing="u32be",
                                                 stall_timeout="1h", **way).items()}
    relay = lab.start(sections)
    readers = [one for name in ways for one in (relay.subscribe(f"{name}-raw", made),
                                                relay.subscribe(f"{name}-framed", made))]
    for part in range(1, 5):
        lab.loop.run(lambda: readers[0].position > len(made.payload) * part // 6, what="a part")
        relay.upgrade()
    relay.run_until_done(readers)


def test_who_half_closed_and_who_counts(lab):
    """A half-closed one goes on receiving; max_per_ip and identities go on counting."""
    made = script("line", (500,) * 400, 7)
    relay = lab.start(feed("a", framing="line", on_slow="wait", raw={"max_per_ip": "2"}))
    readers = relay.subscribe("a-raw", made, 2)
    relay.wait("a", subscribers=2)
    readers[0].half_close()
    publisher = relay.publish("a", made.wire[:50_000])
    lab.loop.run(lambda: readers[0].position > 40_000, what="a part")
    relay.upgrade()
    third = relay.subscribe("a-raw", made)
    lab.loop.run(lambda: third.end, what="the third one to be refused")
    assert relay.feed("a")["closed_per_address"] == 1
    publisher.send(made.wire[50_000:])
    relay.run_until_done(readers)
    readers[1].reset()
    relay.wait("a", subscribers=1)
    fourth = relay.subscribe("a-raw", made, start=None)
    relay.wait("a", subscribers=2)
    assert fourth.end is None


def test_configuration_has_changed(lab):
    """What the new configuration no longer has is closed with the reason; all else goes on."""
    made = script("u32be", (5000,) * 200, 8)
    sections = {"relay": {"workers": 3}} | feed("a", **LOSSLESS) | feed("b", **LOSSLESS)
    relay = lab.start(sections)
    kept = relay.subscribe("a-raw", made, 6)
    gone = relay.subscribe("a-framed", made, 3) + relay.subscribe("b-raw", made, 3)
    relay.wait("a", subscribers=9)
    publisher = relay.publish("a", made.wire[:500_000])
    relay.publish("b", made.wire[:500_000])
    lab.loop.run(lambda: kept[0].position > 400_000, what="a part")
    del sections["listener a-framed"], sections["feed b"], sections["listener b-raw"], sections["listener b-framed"]
    sections["relay"] = {"workers": 1}
    sections["feed a"]["segment"] = "64k"
    relay.write(sections)
    relay.upgrade()
    relay.wait_log(r"workers stay as many .* workers=3 wanted=1")
    relay.wait_log("feed not resumed feed=b")
    lab.loop.run(lambda: all(one.end for one in gone), what="those to be closed")
    assert all(one.end == "rst" for one in gone)
    assert relay.feed("a")["closed_removed"] == 3
    publisher.send(made.wire[500_000:])
    relay.run_until_done(kept)
    relay.baseline = relay.sockets() - len(kept) - 1


BROKEN = {
    "ends with an error": ("#!/bin/sh\nexit 3\n", "ended with exit code 3"),
    "is of another schema": ("#!/bin/sh\necho other schema >&2\nexit 1\n", "ended with exit code 1"),
    "is no program": ("\0\0garbage", "Exec format error|ended with exit code 127"),
    "dies": ("#!/bin/sh\nkill -SEGV $$\n", "was ended by signal 11"),
    "is gone": (None, "No such file"),
}


def put_program(path, text):
    """As a package does: a new file in place of the old one."""
    if text is None:
        path.unlink()
        return
    fresh = path.with_suffix(".new")
    if isinstance(text, str):
        fresh.write_text(text)
    else:
        shutil.copy(text, fresh)
    fresh.chmod(stat.S_IRWXU)
    fresh.rename(path)


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_program_changes_nothing(lab, how):
    made = script("u32be", (5000,) * 300, 9)
    program = lab.directory / "relay"
    put_program(program, daemon.BIN / "relay")
    relay = lab.start(WORKERS | feed("a", **LOSSLESS), program=program)
    readers = relay.subscribe("a-raw", made, 4) + relay.subscribe("a-framed", made, 4)
    relay.wait("a", subscribers=8)
    publisher = relay.publish("a", made.wire[:700_000])
    text, answer = BROKEN[how]
    put_program(program, text)
    relay.expect("upgrade failed")
    relay.upgrade(f"upgrade failed: .*({answer}).*nothing has changed")
    lab.loop.run(lambda: readers[0].position > 600_000, what="a part")
    put_program(program, daemon.BIN / "relay")
    relay.upgrade()
    publisher.send(made.wire[700_000:])
    relay.run_until_done(readers)
    assert relay.feed("a")["subscribers_resumed"] == 8


def test_a_broken_configuration_changes_nothing(lab):
    made = script("line", (500,) * 400, 7)
    sections = feed("a", framing="line", on_slow="wait")
    relay = lab.start(sections)
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    relay.write(sections | {"feed a": {"ingest": "nonsense"}})
    relay.expect("upgrade failed").upgrade("upgrade failed: .* ended with exit code 78, nothing has changed")
    relay.publish("a", made.wire)
    relay.run_until_done([reader])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("call", ["state_memory", "execv"])
def test_a_call_fails_while_all_stand_still(lab, engine, call):
    """The workers go on as they stood, with whom they have."""
    made = script("u32be", (70_000, 300, 4096, 1) * 200, 2)
    relay = lab.start(WORKERS | feed("a", raw=TIGHT, framed=TIGHT, **RING, **LOSSLESS, **ENGINES[engine]),
                      env=daemon.preload(RELAY_REFUSE=f"{call}:EPERM"))
    readers = relay.subscribe("a-raw", made, 4) + relay.subscribe("a-framed", made, 4)
    slow = relay.subscribe("a-raw", made, 2, **SLOW) + relay.subscribe("a-framed", made, 2, **SLOW)
    relay.wait("a", subscribers=12)
    relay.publish("a", made.wire)
    relay.expect("upgrade failed")
    for _ in range(5):
        for one in slow:
            one.read_exactly(100_000)
        relay.upgrade("upgrade failed: .*Operation not permitted, nothing has changed")
    for one in slow:
        one.unlimited()
    relay.run_until_done(readers + slow)
    assert relay.feed("a")["subscribers_resumed"] == 0


def test_a_ring_that_cannot_go_on_is_not_left(lab):
    """The memory in which it would go on could not be had. relay serves all the same, and an upgrade changes nothing."""
    made = script("u32be", (70_000, 300, 4096, 1) * 50, 2)
    relay = lab.start(WORKERS | feed("a", **LOSSLESS), env=daemon.preload(RELAY_REFUSE="memfd_create:ENOMEM"))
    readers = relay.subscribe("a-raw", made, 4) + relay.subscribe("a-framed", made, 4)
    relay.wait("a", subscribers=8)
    relay.wait_log("feed=a format=raw could not go on in another process: Cannot allocate memory")
    publisher = relay.publish("a", made.wire[:made.ends[99]])
    relay.wait("a", in_messages=100)
    relay.expect("upgrade failed").upgrade("upgrade failed: feed a: not all of a ring can go on, nothing has changed")
    publisher.send(made.wire[made.ends[99]:])
    relay.run_until_done(readers)
    assert relay.feed("a")["subscribers_resumed"] == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("call", ["state_memory:1", "execv:1"])
def test_a_publisher_that_takes_over_meanwhile_begins_anew(lab, engine, call):
    """It comes while nothing is served, and the one before is in the middle of a message."""
    first, second = script("u32be", (300,) * 3, 1), script("u32be", (300, 5) * 20, 2)
    relay = lab.start(WORKERS | feed("a", takeover="replace", **LOSSLESS, **ENGINES[engine]),
                      env=daemon.preload(RELAY_STOP=call))
    ends = list(first.ends) + [len(first.wire) + end for end in second.ends]
    both = Script("u32be", first.wire + second.wire, ends=ends)
    readers = [relay.subscribe("a-raw", both), relay.subscribe("a-framed", both)]
    relay.wait("a", subscribers=2)
    relay.publish("a", first.wire + struct.pack(">I", 1000) + b"A" * 500)
    relay.wait("a", in_messages=first.count)
    relay.process.send_signal(signal.SIGUSR2)
    relay.wait_stopped()
    relay.publish("a", second.wire)
    relay.process.send_signal(signal.SIGCONT)
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["source_taken_over"] == 1 and seen["source_connects"] == 2, seen


HEAD = struct.Struct("8sQQQ")
NUMBER = struct.pack("i", 9)  # that the one descriptor had
SCHEMA, _ = daemon.schemas()
STATES = {
    "another schema": (HEAD.pack(b"RLYHAND\0", 99, 1, 0), "state of schema 99, expected"),
    "another magic": (HEAD.pack(b"NONSENSE", SCHEMA, 1, 0), "no state of a relay"),
    "short": (b"RLYHAND\0", "state"),
    "empty": (HEAD.pack(b"RLYHAND\0", SCHEMA, 1, 0) + NUMBER, "state: workers at byte 0 of 0"),
    "descriptors are missing": (HEAD.pack(b"RLYHAND\0", SCHEMA, 2, 0), "2 descriptors, there are 0 and 1"),
    "nonsense": (HEAD.pack(b"RLYHAND\0", SCHEMA, 1, 64) + NUMBER + b"\xff" * 64, "state: workers at byte 8 of 64"),
}


@pytest.mark.parametrize("how", STATES)
def test_a_state_that_cannot_be_read(lab, how):
    """What hangs on it is closed by reset, not resumed wrong; relay serves all the same."""
    made = script("line", (500,) * 400, 7)
    state, answer = STATES[how]
    server = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(server.getsockname())
    held, _ = server.accept()
    relay = start_with(lab, state, [held], feed("a", framing="line", on_slow="wait"))
    held.close()
    server.close()
    relay.expect("nothing resumed").wait_log(f"nothing resumed: .*{answer}")
    with pytest.raises(ConnectionResetError):
        peer.recv(1)
    peer.close()
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.run_until_done([reader])

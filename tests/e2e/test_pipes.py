# SPDX-License-Identifier: MIT
"""What is special about pipes: slots run out, tails stay corked, calls are refused, quotas are used up."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from relaytest import address
from relaytest.daemon import preload
from relaytest.ini import ENGINES, feed
from relaytest.stream import KIB, script
from relaytest.surroundings import another_user, as_user, needs, pipe_quota

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}


@pytest.mark.parametrize("piece", [1, 1448])
def test_slots_run_out(lab, piece):
    """Small fragments fill a pipe by slots; one of the readers stops, then goes on: no stall."""
    scripts = {engine: script("none", (piece * 3000,), seed) for seed, engine in enumerate(ENGINES)}
    sections = {}
    for name, options in ENGINES.items():
        sections |= feed(name, ring="256k", segment="64k", raw={"send_buffer": "64k"}, **options,
                         **LOSSLESS)
    relay = lab.start(sections)
    stopped, reading = [], []
    for name, one in scripts.items():
        stopped.append(relay.subscribe(f"{name}-raw", one, receive_buffer=4096, paused=True))
        reading += relay.subscribe(f"{name}-raw", one, 3) + relay.subscribe(f"{name}-framed", one, 3)
    relay.wait(test=lambda block: all(f["subscribers"] == 7 for f in block["feed"].values()))
    publishers = [relay.publish(name, one.wire, piece=piece) for name, one in scripts.items()]
    if piece == 1:
        relay.run_until_done(reading)
    else:
        relay.wait(test=lambda block: all(f["wait_pauses"] for f in block["feed"].values()))
    for one in stopped:
        one.resume()
    relay.run_until_done(stopped + reading)
    assert all(publisher.done for publisher in publishers)


@pytest.mark.parametrize("kind", ["listen-tcp", "listen-unix", "fifo"])
def test_tails_are_not_corked(lab, kind):
    """Tails of exactly 16, 32 and 48 slots reach the reader at once though nothing follows.

    A corked tail comes 205 ms late, every time, so it is enough that one of some does not."""
    ingests = {engine: lab.ingest(kind, engine) for engine in ENGINES}
    tails = [(slots, piece) for slots in (16, 32, 48) for piece in (1, 1448, 4096)]
    chances = 10
    made = script("none", (chances * sum(slots * piece for slots, piece in tails),), 3)
    sections = {}
    for name, options in ENGINES.items():
        sections |= feed(name, ingests[name].value, **options, **LOSSLESS)
    relay = lab.start(sections)
    for name, ingest in ingests.items():
        readers = [relay.subscribe(f"{name}-raw", made), relay.subscribe(f"{name}-framed", made)]
        relay.wait(name, subscribers=2)
        publisher = ingest.open(relay)
        end = 0
        for slots, piece in tails:
            took = []
            while not took or took[-1] > 0.15:
                assert len(took) < chances, f"{name}: {slots} slots of {piece}: {took}"
                at, end = end, end + slots * piece
                begin = time.monotonic()
                publisher.send(made.wire[at:end], piece=piece)
                lab.loop.run(lambda: all(r.position == end for r in readers),
                             what=lambda: f"{name}: {slots} slots of {piece}")
                took.append(time.monotonic() - begin)


REFUSE = [f"{call}:{error}" for call in ("tee", "splice", "vmsplice")
          for error in ("EPERM", "ENOSYS", "EINVAL")]
REFUSE += ["tee:EPERM:after=9", "splice_in:EINVAL:after=9", "splice_out:EPERM:after=9",
           "vmsplice:ENOSYS:after=9"]
REFUSE += ["socketpair:EPERM", "send_pair:EPERM", "splice_pair:EINVAL", "splice_pair:EINVAL:after=9"]
SHORT = ["splice_in:1000", "splice_out:1000", "splice:4096", "tee:4096", "vmsplice:1000", "send_pair:1000",
         "splice_pair:1000"]


def serve_under_faults(lab, env):
    """Identical bytes to 4 subscribers of every engine and framing; returns the feeds' metrics."""
    sizes = (1, 127, 4096, 65537, 1024 * KIB + 1, 5, 200_000)
    framings = ("none", "line", "u32be", "relay")
    scripts, sections = {}, {}
    for seed, (name, options) in enumerate(ENGINES.items()):
        for framing in framings:
            key = f"{name}-{framing}"
            scripts[key] = script(framing, sizes, seed)
            sections |= feed(key, framing=framing, **options, **LOSSLESS)
    relay = lab.start(sections, env=env)
    readers = []
    for key, one in scripts.items():
        readers += relay.subscribe(f"{key}-raw", one, 2)
        readers += relay.subscribe(f"{key}-framed", one, 2, same_session=one.session is None)
    relay.wait(test=lambda block: all(f["subscribers"] == 4 for f in block["feed"].values()))
    for key, one in scripts.items():
        relay.publish(key, one.wire)
    relay.run_until_done(readers)
    return relay.status()["feed"]


@pytest.mark.parametrize("refused", REFUSE)
def test_refused_calls_cost_only_speed(lab, refused):
    seen = serve_under_faults(lab, preload(RELAY_REFUSE=refused))
    told = {key for key, metrics in seen.items() if metrics["refused_calls"]}
    assert told, f"nobody noticed: {seen['splice-gift-none']}"
    assert not any(key.startswith("copy") for key in told), told


@pytest.mark.parametrize("short", SHORT)
def test_short_calls_change_nothing(lab, short):
    seen = serve_under_faults(lab, preload(RELAY_SHORT=short))
    if not short.startswith("tee"):  # a short tee cannot be gone on with: it counts as refused
        assert not any(metrics["refused_calls"] for metrics in seen.values())


CARD_PIECE = 1448


def send_loosely(sock, file, size):
    """Sends size bytes, of which each CARD_PIECE lies on a page of its own in file, as a network card would deliver them."""
    into, out_of = os.pipe()[::-1]
    try:
        for number in range(-(-size // CARD_PIECE)):
            left = min(CARD_PIECE, size - number * CARD_PIECE)
            os.splice(file.fileno(), into, left, offset_src=number * 4096)
            while left:
                left -= os.splice(out_of, sock.fileno(), left)
    finally:
        os.close(into)
        os.close(out_of)


@pytest.mark.parametrize("workers", [1, 2])
def test_loose_arrivals_are_compacted_for_many_and_copied_for_few(lab, tmp_path, workers):
    """engine = auto: no byte goes on as it came, in slots of 1448 bytes, and every byte is right."""
    made = script("none", (16 * 1024 * KIB,), 9)
    rule = {"engine": "auto", "copy_below": "8k", "compact_readers": 4}
    relay = lab.start({"relay": {"workers": workers}} | feed("many", **rule, **LOSSLESS) | feed("few", **rule, **LOSSLESS))
    readers = relay.subscribe("many-raw", made, 4) + relay.subscribe("many-framed", made, 4)
    readers += [relay.subscribe("few-raw", made), relay.subscribe("few-framed", made)]
    relay.wait("many", subscribers=8)
    relay.wait("few", subscribers=2)
    sockets = [address.connect(relay.address[f"feed {name}"]) for name in ("many", "few")]
    with (tmp_path / "pages").open("w+b", buffering=0) as file:
        pieces = [made.wire[at:at + CARD_PIECE] for at in range(0, len(made.wire), CARD_PIECE)]
        file.write(b"".join(piece.ljust(4096, b"\0") for piece in pieces))
        threads = [threading.Thread(target=send_loosely, args=(sock, file, len(made.wire))) for sock in sockets]
        for sock, thread in zip(sockets, threads):
            sock.setblocking(True)
            thread.start()
        relay.run_until_done(readers)
        for sock, thread in zip(sockets, threads):
            thread.join()
            sock.close()
    many, few = relay.feed("many"), relay.feed("few")
    for seen in (many, few):
        assert seen["spliced_bytes"] == 0 and seen["engine_fallbacks"] == seen["refused_calls"] == 0, seen
    # What happens to arrive in less than copy_below is copied.
    assert many["compacted_bytes"] > many["copied_bytes"] and many["dense_bytes"] > 0, many
    assert few["compacted_bytes"] == few["dense_bytes"] == 0, few


HOARDED = 1200
HOARDER = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = [os.pipe() for _ in range(int(sys.argv[1]))]
print("held", flush=True)
sys.stdin.read()
"""


@needs(another_user)
@needs(pipe_quota, HOARDED)
def test_unprivileged_with_the_pipe_quota_used_up(lab, program_for_all):
    """Another process of relay's user holds 1,200 pipes: what is left is copied, the bytes are the same."""
    user = 60000 + os.getpid() % 5000  # the quota is the user's: one that no other process has
    program = program_for_all("relay")
    with subprocess.Popen([*as_user(user), sys.executable, "-c", HOARDER, str(HOARDED)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as hoarder:
        try:
            assert hoarder.stdout.readline() == b"held\n"
            scripts, sections = {}, {}
            for seed, (name, options) in enumerate(ENGINES.items()):
                scripts[name] = script("u32be", (1, 4096, 65537, 3_000_000) * 3, seed)
                sections |= feed(name, framing="u32be", **options, **LOSSLESS)
            relay = lab.start(sections, directory=program.parent, program=program, prefix=as_user(user))
            readers = []
            for name, one in scripts.items():
                readers += relay.subscribe(f"{name}-raw", one, 4)
                readers += relay.subscribe(f"{name}-framed", one, 4)
            relay.wait(test=lambda block: all(f["subscribers"] == 8 for f in block["feed"].values()))
            for name, one in scripts.items():
                relay.publish(name, one.wire)
            relay.run_until_done(readers)
            seen = relay.feed("splice-gift")
            assert seen["copied_bytes"] > 0 and seen["spliced_bytes"] == 0, seen
            relay.wait_log("no pipe.*copying")
        finally:
            hoarder.stdin.close()


@pytest.mark.parametrize("framing", ["none", "u32be", "relay"])
def test_urgent_data(lab, framing):
    """MSG_OOB from a publisher: no spin, and no byte in the stream is lost.

    The urgent byte itself is out of the stream; what is before and behind it arrives."""
    made = script(framing, (5000,) * 20, 5)
    sections = {}
    for name, options in ENGINES.items():
        sections |= feed(name, framing=framing, **options, **LOSSLESS)
    relay = lab.start(sections)
    readers = [relay.subscribe(f"{name}-raw", made) for name in ENGINES]
    readers += [relay.subscribe(f"{name}-framed", made, same_session=framing != "relay") for name in ENGINES]
    relay.wait(test=lambda block: all(f["subscribers"] == 2 for f in block["feed"].values()))
    publishers = [relay.publish(name) for name in ENGINES]
    half = len(made.wire) // 2 + 1000  # within a message
    for publisher in publishers:
        publisher.send(made.wire[:half]).flush()
        publisher.file.send(b"!", socket.MSG_OOB)
    relay.assert_no_spin(0.3, 30)
    for publisher in publishers:
        publisher.send(made.wire[half:]).flush()
    relay.run_until_done(readers)
    for publisher in publishers:
        publisher.file.send(b"!", socket.MSG_OOB)
    relay.assert_no_spin(0.3, 30)

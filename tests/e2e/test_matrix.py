# SPDX-License-Identifier: MIT
"""Every ingest x every framing x raw and framed x every engine gives identical bytes to 8 subscribers."""

import pytest

from relaytest.ingest import FILES, STREAMS
from relaytest.ini import ENGINES, feed
from relaytest.stream import KIB, MIB, script
from relaytest.surroundings import ipv6, many_pipes, passrights

SMALL = (1, 2, 125, 126, 127, 4095, 4096, 4097)
MIDDLE = (65535, 65536, 65537)
LARGE = (MIB - 1, MIB, MIB + 1, 3 * MIB)  # 8 MiB: test_fixed_sizes; 64 MiB: test_churn

FRAMINGS = ("none", "line", "fixed:188", "u16be", "u16le", "u32be", "u32le", "relay", "crlf",
            "octet-counted")

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h", "max_message": "9m"}


def make(framing, seed):
    """Small, large and again small messages, as far as the framing permits."""
    if framing.startswith("fixed:"):
        return script(framing, (int(framing[6:]),) * 9000, seed)
    if framing.startswith("u16"):
        return script(framing, SMALL + (65534, 65535) * 20 + SMALL, seed)
    return script(framing, SMALL + MIDDLE + LARGE + SMALL[::-1], seed)


def start_of_subscribers(relay, scripts):
    """Four raw and four framed subscribers of each feed."""
    made = {}
    for name, one in scripts.items():
        same = {"same_session": one.session is None}
        made[name] = (relay.subscribe(f"{name}-raw", one, 4)
                      + relay.subscribe(f"{name}-framed", one, 4, **same))
    return made


def check_paths(relay, expected):
    """The engine expected of each feed carried the bytes. Only asked of sockets: where nothing can be
    peeked at (fifo, stdin) messages are gathered in memory."""
    block = relay.status()
    for name, engine in expected.items():
        seen = block["feed"][name]
        assert seen["engine_fallbacks"] == 0 and seen["refused_calls"] == 0, f"{name}: {seen}"
        if engine == "copy":
            assert seen["spliced_bytes"] == seen["compacted_bytes"] == 0, f"{name}: {seen}"
        elif engine == "compact":
            assert seen["compacted_bytes"] > 0 and seen["spliced_bytes"] == 0, f"{name}: {seen}"
        elif engine.startswith("splice"):
            assert seen["spliced_bytes"] + seen["compacted_bytes"] > 0, f"{name}: {seen}"


def check_input(relay, scripts):
    block = relay.status()
    for name, one in scripts.items():
        seen = block["feed"][name]
        assert seen["in_bytes"] == len(one.payload), f"{name}: {seen}"
        if one.ends is not None:
            assert seen["in_messages"] == one.count, f"{name}: {seen}"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_streams(lab, framing, engine):
    kinds = [kind for kind in STREAMS if kind != "listen-tcp6" or not lab.lacks(ipv6)]
    ingests = {kind: lab.ingest(kind, kind) for kind in kinds}
    scripts = {kind: make(framing, seed) for seed, kind in enumerate(kinds)}
    sections = {}
    for name, ingest in ingests.items():
        sections |= feed(name, ingest.value, framing=framing, **ENGINES[engine], **LOSSLESS)
    relay = lab.start(sections)
    subscribers = start_of_subscribers(relay, scripts)
    relay.wait(test=lambda block: all(block["feed"][name]["subscribers"] == 8 for name in scripts))
    publishers = {name: ingest.open(relay) for name, ingest in ingests.items()}
    for name, publisher in publishers.items():
        publisher.send(scripts[name].wire)
    relay.run_until_done(sum(subscribers.values(), []))
    if engine == "copy" or not lab.lacks(many_pipes):
        expected = {name: engine for name in scripts if "-" in name}
        if engine.startswith("splice") and lab.lacks(passrights):
            expected |= {name: "copy" for name in expected if name.endswith("-unix")}
        check_paths(relay, expected)
    check_input(relay, scripts)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_files(lab, framing, engine):
    """A file begins when relay does: a burst over everything gives late subscribers all of it."""
    ingests = {kind: lab.ingest(kind, kind) for kind in FILES}
    scripts = {kind: make(framing, 10 + seed) for seed, kind in enumerate(FILES)}
    for name, one in scripts.items():
        ingests[name].path.write_bytes(one.wire)
    sections = {}
    for name, ingest in ingests.items():
        sections |= feed(name, ingest.value, framing=framing, ring="64m", burst="65536k",
                         **ENGINES[engine], **LOSSLESS)
    with ingests["stdin-file"].path.open("rb") as file:
        relay = lab.start(sections, stdin=file)
    subscribers = start_of_subscribers(relay, scripts)
    relay.run_until_done(sum(subscribers.values(), []))
    check_input(relay, scripts)


@pytest.mark.parametrize("engine", ENGINES)
def test_fixed_sizes(lab, engine):
    """framing = fixed:N for each size."""
    sizes = SMALL + MIDDLE + LARGE + (8 * MIB,)
    scripts = {f"n{size}": script(f"fixed:{size}", (size,) * max(2, min(1000, 256 * KIB // size)), size)
               for size in sizes}
    sections = {}
    for name, one in scripts.items():
        sections |= feed(name, framing=one.framing, **ENGINES[engine], **LOSSLESS)
    relay = lab.start(sections)
    subscribers = start_of_subscribers(relay, scripts)
    relay.wait(test=lambda block: all(block["feed"][name]["subscribers"] == 8 for name in scripts))
    for name, one in scripts.items():
        relay.publish(name, one.wire)
    relay.run_until_done(sum(subscribers.values(), []))
    check_input(relay, scripts)

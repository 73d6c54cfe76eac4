# SPDX-License-Identifier: MIT
"""FIN, RST and half-close of publisher and subscriber at every phase of a message."""

import itertools

import pytest

from relaytest import packet
from relaytest.ini import ENGINES, feed
from relaytest.stream import KIB, script

WAYS = ("fin", "rst", "half")
LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
SIZES = (1, 900, 70_000, 4096)
# How much of the message behind the whole ones arrives: prefix of 4 bytes, body of 50,000.
PHASES = {"before-header": 0, "mid-header": 2, "mid-message": 20_000, "backlog": 20_000}


def end(peer, way):
    {"fin": peer.close, "rst": peer.reset, "half": peer.half_close}[way]()


@pytest.mark.parametrize("engine", ENGINES)
def test_publisher_goes_away(lab, engine):
    """What had arrived whole is delivered, the begun message is not; then the next publisher's is.

    In the backlog phase subscribers do not read until the publisher has gone."""
    cases = {f"{way}-{phase}": (way, phase) for way, phase in itertools.product(WAYS, PHASES)}
    sections, scripts = {}, {}
    for seed, (name, (_way, phase)) in enumerate(cases.items()):
        many = 12 if phase == "backlog" else 1
        scripts[name] = script("u32be", SIZES * many + (50_000, 8, 30_000), seed)
        sections |= feed(name, framing="u32be", **ENGINES[engine], **LOSSLESS)
    relay = lab.start(sections)
    readers = {}
    for name, (_way, phase) in cases.items():
        paused = phase == "backlog"
        small = 4096 if paused else 0
        one = scripts[name]
        readers[name] = [relay.subscribe(f"{name}-raw", one, paused=paused, receive_buffer=small),
                         relay.subscribe(f"{name}-framed", one, paused=paused, receive_buffer=small)]
    relay.wait(test=lambda block: all(f["subscribers"] == 2 for f in block["feed"].values()))
    for name, (way, phase) in cases.items():
        one = scripts[name]
        whole = one.start_of(one.count - 2 - 1)
        publisher = relay.publish(name, one.wire[:whole + PHASES[phase]])
        publisher.flush()
        end(publisher, way)
    relay.wait(test=lambda block: all(f["source_losses"] == 1 for f in block["feed"].values()))
    for name, (_way, phase) in cases.items():
        one = scripts[name]
        whole = one.start_of(one.count - 3)
        for reader in readers[name]:
            reader.resume()
        lab.loop.run(lambda: all(r.position == whole for r in readers[name]),
                     what=lambda: f"{name}: {whole}, {[r.position for r in readers[name]]}")
        seen = relay.feed(name)
        assert seen["partial_messages"] == (1 if PHASES[phase] else 0), f"{name}: {seen}"
        assert seen["partial_bytes"] == PHASES[phase], f"{name}: {seen}"
        assert seen["in_messages"] == one.count - 3, f"{name}: {seen}"
    for name in cases:
        one = scripts[name]
        relay.publish(name, one.wire[one.start_of(one.count - 3):])
        relay.run_until_done(readers[name])
        assert readers[name][1].events[-2:] == [packet.SOURCE_DOWN, packet.SOURCE_UP], name


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("listener", ["raw", "framed"])
def test_subscriber_goes_away(lab, engine, listener):
    """Others get everything; what the one held is given back. A half-closed one gets everything too."""
    phases = {"at-once": None, "before-header": 0, "mid-header": 10, "mid-message": 40_000, "backlog": 1}
    made = script("u32be", (300, 70_000, 4096, 1, 200 * KIB) * 8, 7)
    sections = feed("a", framing="u32be", ring="1m", **ENGINES[engine], **LOSSLESS)
    relay = lab.start(sections)
    others = relay.subscribe("a-raw", made, 4) + relay.subscribe("a-framed", made, 4)
    name = f"a-{listener}"
    staying, leaving = [], []
    for way, (phase, count) in itertools.product(WAYS, phases.items()):
        one = relay.subscribe(name, made, receive_buffer=4096, paused=True)
        if phase == "at-once":
            end(one, way)
        else:
            leaving.append((way, count, one))
        if way == "half" and phase == "at-once":
            staying.append(one)
    # All that ever came: one that has gone at once may still be counted as there.
    relay.wait("a", subscribers_total=len(others) + len(WAYS) * len(phases))
    publisher = relay.publish("a", made.wire)
    for way, count, one in leaving:
        heartbeat = packet.BYTES if listener == "framed" else 0
        if count:
            one.read_exactly(heartbeat * 2 + count)
            lab.loop.run(lambda: one.received == one.limit, what="bytes to leave in the middle of")
        end(one, way)
        if way == "half":
            staying.append(one)
    for one in staying:
        one.unlimited()
    relay.run_until_done(others + staying)
    assert publisher.done
    seen = relay.wait("a", subscribers=len(others) + len(staying))
    assert seen["gaps"] == 0 and seen["in_messages"] == made.count, seen


@pytest.mark.parametrize("listener", ["raw", "framed"])
def test_dead_subscribers_of_a_silent_feed(lab, listener):
    """A half-closed one that is reset later is noticed though nothing is sent to it."""
    made = script("none", (10,), 1)
    relay = lab.start(feed("a", heartbeat="0"))
    half = relay.subscribe(f"a-{listener}", made, 5)
    relay.wait("a", subscribers=5)
    for one in half:
        one.half_close()
    lab.loop.run_for(0.1)
    assert relay.feed("a")["subscribers"] == 5
    for one in half:
        one.reset()
    relay.wait("a", subscribers=0)


def test_source_loss_closes_after_the_last_byte(lab):
    """Who lags when the source goes gets the rest of it, but nothing of the next one."""
    made = script("u32be", (64 * KIB,) * 40, 3)
    relay = lab.start(feed("a", framing="u32be", on_source_loss="close", ring="8m",
                           raw={"send_buffer": "16k", "user_timeout": "0"}, **LOSSLESS))
    readers = relay.subscribe("a-raw", made, 4, paused=True, receive_buffer=4096)
    relay.wait("a", subscribers=4)
    publisher = relay.publish("a", made.wire)
    relay.wait("a", in_messages=made.count)
    publisher.close()
    relay.wait("a", source_losses=1)
    again = relay.publish("a", made.wire)
    relay.wait("a", in_messages=2 * made.count)
    assert relay.feed("a")["subscribers"] == 4
    for one in readers:
        one.resume()
    lab.loop.run(lambda: all(one.done and one.end == "fin" for one in readers), what="all, then FIN")
    relay.wait("a", subscribers=0, closed_source_lost=4)
    again.close()


def test_on_source_loss(lab):
    """hold keeps subscribers and tells the framed ones; close ends them once they have everything."""
    made = script("u32be", (900, 70_000, 5), 1)
    sections = (feed("hold", framing="u32be", on_source_loss="hold", **LOSSLESS)
                | feed("close", framing="u32be", on_source_loss="close", **LOSSLESS))
    relay = lab.start(sections)
    readers = {name: [relay.subscribe(f"{name}-raw", made), relay.subscribe(f"{name}-framed", made)]
               for name in ("hold", "close")}
    publishers = {}
    for name, both in readers.items():
        relay.wait(name, subscribers=2)
        publishers[name] = relay.publish(name, made.wire)
        relay.run_until_done(both)
        assert both[1].events == [packet.SOURCE_DOWN, packet.SOURCE_UP]
        publishers[name].close()
    relay.wait("close", subscribers=0, closed_source_lost=2)
    lab.loop.run(lambda: all(r.end == "fin" for r in readers["close"]), what="FIN to subscribers")
    lab.loop.run(lambda: len(readers["hold"][1].events) == 3, what="source down")
    assert readers["hold"][1].events[-1] == packet.SOURCE_DOWN
    assert all(r.end is None for r in readers["hold"])
    assert relay.feed("hold")["subscribers"] == 2

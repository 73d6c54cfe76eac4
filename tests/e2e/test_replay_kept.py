# SPDX-License-Identifier: MIT
"""Who reads history files goes on at the next byte: over an upgrade, a restart and a crash, in every format."""

import random

import pytest

from relaytest.crashing import Crashing
from relaytest.daemon import preload
from relaytest.ini import TIGHT, web
from relaytest.stream import script, text_script
from relaytest.subscriber import FramedSubscriber
from relaytest.web import FramedWebSubscriber, asked, everything

# Neither who has arrived in the ring nor the recorder skips: then nothing may be missing.
RING = {"ring": "128k", "segment": "64k", "grace": "0", "on_slow": "wait", "on_history_lag": "wait", "stall_timeout": "1h",
        "heartbeat": "0"}
STREAMS = {"line": (1000,) * 6000, "none": (64 * 1024,) * 90, "u32be": (300_000, 5, 70_000) * 16}
SLOW = {"paused": True, "receive_buffer": 4096}


def sections(lab, framing="line", options=None, **more):
    return {"relay": {"workers": 2},
            **web(framing=framing, history=lab.directory / "history", history_file="1m", options=TIGHT | (options or {}),
                  raw=TIGHT, framed=TIGHT, **{**RING, **more})}


def stream_of(framing):
    return text_script(STREAMS[framing], 3) if framing == "line" else script(framing, STREAMS[framing], 3)


def fill(relay, made, end=None):
    """Published up to there, which is the end of a message; nearly all of it is in the files only."""
    reader = relay.subscribe("web", made, kind=FramedWebSubscriber, path="/a?format=framed", base=1)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", made.wire[:end])
    end = len(made.wire[:end])
    relay.loop.run(lambda: reader.position == end, what="what is published")
    return publisher, reader


def replays(relay, made, framing, count=1):
    return [relay.subscribe("web", made, kind=kind, **SLOW, **asked(kind, options, "from=0"))
            for kind, options in everything(framing) for _ in range(count)]


def read_some(loop, some, pick):
    """Each gets a number of bytes of its own, and then stands still."""
    for one in some:
        one.read_exactly(pick.randrange(100_000, 250_000))
    loop.run(lambda: all(one.received >= one.limit for one in some if one.end is None), what="some of it")


@pytest.mark.parametrize("framing", STREAMS)
def test_over_upgrades(lab, framing):
    made = stream_of(framing)
    part = made.ends[made.count * 3 // 4] if made.ends else len(made.wire) // 2
    relay = lab.start(sections(lab, framing))
    publisher, live = fill(relay, made, part)
    some, pick = replays(relay, made, framing), random.Random(framing)
    relay.wait("a", subscribers_replaying=len(some))
    for times in range(1, 4):
        read_some(lab.loop, some, pick)
        relay.upgrade()
        seen = relay.wait("a", subscribers_replaying=len(some))
        assert seen["subscribers_resumed"] == times * (1 + len(some)) and "closed_handover" not in seen, seen
    for one in some:
        one.unlimited()
    publisher.send(made.wire[part:])
    relay.run_until_done([live, *some])
    assert not any(one.gaps for one in some if isinstance(one, FramedSubscriber))
    relay.wait("a", subscribers_replaying=0)


@pytest.mark.parametrize("framing", STREAMS)
def test_over_crashes(lab, framing):
    """At rest, everybody survives."""
    made = stream_of(framing)
    crashing = Crashing(lab, sections(lab, framing))
    _, live = fill(crashing.relay, made)
    live.close()
    some, pick = replays(crashing.relay, made, framing), random.Random(framing)
    for _ in range(3):
        crashing.relay.wait("a", subscribers=len(some), subscribers_replaying=len(some))
        read_some(lab.loop, some, pick)
        assert crashing.die_at_rest() == (len(some), 0)
        assert "closed_crash" not in crashing.relay.feed("a")
    for one in some:
        one.unlimited()
    crashing.relay.run_until_done(some)
    assert not any(one.gaps for one in some if isinstance(one, FramedSubscriber))
    crashing.relay.wait("a", subscribers_replaying=0)


@pytest.mark.parametrize("framing", STREAMS)
def test_killed_while_they_are_sent_to(lab, framing):
    """No wrong byte to anybody, and none twice; who is lost is closed by a reset."""
    made = stream_of(framing)
    crashing = Crashing(lab, sections(lab, framing, options={"replay_rate": "2m"}))
    _, live = fill(crashing.relay, made)
    live.close()
    some, pick = replays(crashing.relay, made, framing, 2), random.Random(framing)
    crashing.relay.wait("a", subscribers=len(some), subscribers_replaying=len(some))
    for one in some:
        one.unlimited()
    for _ in range(3):
        much = sum(one.received for one in some) + pick.randrange(1, 2_000_000)
        lab.loop.run(lambda much=much: sum(one.received for one in some) >= much, what="some of it")
        alive = sum(one.end is None for one in some)
        resumed, lost = crashing.die()
        assert resumed + lost == alive
        lab.loop.run(lambda resumed=resumed: sum(one.end is None for one in some) == resumed, what="the lost ones to be closed")
    left = [one for one in some if one.end is None]
    assert all(one.end in (None, "rst") for one in some) and crashing.resumed > crashing.lost
    print(f"survived {crashing.resumed} of {crashing.resumed + crashing.lost}; {len(left)} of {len(some)} all kills")
    crashing.relay.run_until_done(left)


@pytest.mark.parametrize("way", ["upgrade", "crash"])
def test_who_fell_behind_the_ring(lab, way):
    """on_slow = replay, by TCP and by HTTP: they are in the files when relay goes, and in the ring of the next one at
    the end."""
    made = text_script((1000,) * 6000, 14)
    crashing = Crashing(lab, sections(lab, on_slow="replay", max_lag="0"))
    relay = crashing.relay
    slow = [relay.subscribe(form, made, **SLOW) for form in ("a-raw", "a-framed", "a-raw")]
    slow += [relay.subscribe("web", made, kind=kind, **SLOW, **options) for kind, options in everything("line")]
    live = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1 + len(slow))
    relay.publish("a", made.wire)
    lab.loop.run(lambda: live.position == len(made.wire), what="a live reader")
    pick = random.Random(way)
    for _ in range(2):
        read_some(lab.loop, slow, pick)
        crashing.relay.wait("a", subscribers_replaying=len(slow))
        if way == "upgrade":
            crashing.relay.upgrade()
        else:
            assert crashing.die_at_rest() == (len(slow) + 1, 0)
        seen = crashing.relay.wait("a", subscribers_replaying=len(slow))
        assert seen["skipped_messages"] == 0, seen
    for one in slow:
        one.unlimited()
    crashing.relay.run_until_done([live, *slow])
    assert not any(one.gaps for one in slow if isinstance(one, FramedSubscriber))


def test_the_file_has_gone(lab):
    """Deleted while it was read: the next process cannot open it, and says why it closes."""
    made = text_script((1000,) * 12000, 8)
    relay = lab.start(sections(lab, history_size="4m"))
    publisher, live = fill(relay, made, 3_000_000)
    slow = replays(relay, made, "line")
    relay.wait("a", subscribers_replaying=len(slow))
    first = sorted((lab.directory / "history").glob("*.rly"))[0]
    first.with_suffix(".idx").unlink()
    first.unlink()
    relay.upgrade()
    relay.wait("a", closed_handover=len(slow), subscribers_replaying=0, subscribers=1)
    relay.wait_log("subscribers not resumed feed=a .*reason=handover")
    for one in slow:
        one.resume()
    lab.loop.run(lambda: all(one.end for one in slow), what="an end of all")
    assert {one.end for one in slow} == {"rst"}
    publisher.send(made.wire[3_000_000:])
    relay.run_until_done([live])


def test_another_folder(lab):
    """The same place in another history is another byte."""
    made = text_script((1000,) * 4000, 8)
    relay = lab.start(sections(lab))
    _, live = fill(relay, made, 3_000_000)
    slow = replays(relay, made, "line")
    relay.wait("a", subscribers_replaying=len(slow))
    relay.write({**sections(lab), **feed_in(lab, "elsewhere")})
    relay.upgrade()
    relay.wait("a", closed_handover=len(slow), subscribers=1)
    for one in slow:
        one.resume()
    lab.loop.run(lambda: all(one.end for one in slow), what="an end of all")
    assert {one.end for one in slow} == {"rst"} and live.end is None


def feed_in(lab, folder):
    return {"feed a": {**sections(lab)["feed a"], "history": lab.directory / folder}}


@pytest.mark.parametrize("call", ["state_memory", "execv"])
def test_an_upgrade_that_fails_changes_nothing(lab, call):
    """They are where they were, read on in the same process, and what comes then is recorded."""
    made = text_script((1000,) * 6000, 8)
    relay = lab.start(sections(lab), env=preload(RELAY_REFUSE=f"{call}:EPERM"))
    publisher, live = fill(relay, made, 4_000_000)
    some, pick = replays(relay, made, "line"), random.Random(8)
    relay.wait("a", subscribers_replaying=len(some))
    relay.expect("upgrade failed")
    for _ in range(2):
        read_some(lab.loop, some, pick)
        relay.upgrade("upgrade failed: .*Operation not permitted, nothing has changed")
        relay.wait("a", subscribers_replaying=len(some), subscribers_resumed=0)
    publisher.send(made.wire[4_000_000:])
    for one in some:
        one.unlimited()
    relay.run_until_done([live, *some, *(relay.subscribe("web", made, kind=kind, **asked(kind, options, "from=0"))
                                         for kind, options in everything("line"))])

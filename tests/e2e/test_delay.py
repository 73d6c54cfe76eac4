# SPDX-License-Identifier: MIT
"""delay: a listener whose subscribers get everything so much later, out of the history; never before its time."""

import random
import signal
import time

import pytest

from relaytest.crashing import Crashing
from relaytest.daemon import POLL, preload
from relaytest.hanging_disk import await_hang
from relaytest.ini import TIGHT, web
from relaytest.past import SESSION, packet_start, past_script, record_past
from relaytest.stream import text_script
from relaytest.subscriber import FramedSubscriber, Subscriber
from relaytest.web import (EventSubscriber, FramedWebSocketSubscriber, FramedWebSubscriber, WebSocketSubscriber,
                           WebSubscriber, ask, asked, everything)

DELAY = 2
OPTIONS = {"ring": "128k", "segment": "64k", "on_slow": "wait", "on_history_lag": "wait", "stall_timeout": "1h"}


def sections(lab, delayed=None, **more):
    """A feed with a listener of each kind that has a delay, and one for live subscribers."""
    both = {"relay": {"workers": 2},
            **web(history=lab.directory / "history", **{"framing": "line", **OPTIONS, "heartbeat": "200ms", **more}),
            "listener live": {"feed": "a", "listen": "tcp:127.0.0.1:0"}}
    for name in ("a-raw", "a-framed", "web"):
        both[f"listener {name}"].update({"delay": f"{DELAY}s", "on_slow": "disconnect", **(delayed or {})})
    return both


class Clock:
    """When each byte of the payload was published; nobody may have it sooner than DELAY behind that."""

    def __init__(self, made):
        self.made, self.times = made, []

    def publish(self, publisher, begin, end):
        self.times.append((begin, time.time()))
        publisher.send(self.made.wire[begin:end])

    def check(self, one):
        """As soon as it has them."""
        if one.position == one.start:
            return
        newest = max((when for begin, when in self.times if begin < (one.position or 0)), default=0)
        assert time.time() >= newest + DELAY, f"{one.position} bytes after {time.time() - newest:.3f} s"

    def watch(self, one):
        one.on_progress = lambda: self.check(one)
        return one


class Timely:
    """Of a framed subscriber: each packet, whatever it says, is as old as it must be."""

    def open_packet(self, header):
        if header.type != 2:
            age = time.time_ns() - header.time
            assert age >= DELAY * 10 ** 9, f"{age / 1e9:.3f} s old: {header}"
        super().open_packet(header)


class TimelyFramed(Timely, FramedSubscriber):
    pass


class TimelyWeb(Timely, FramedWebSubscriber):
    pass


class TimelyWebSocket(Timely, FramedWebSocketSubscriber):
    pass


def kinds():
    timely = {FramedWebSubscriber: TimelyWeb, FramedWebSocketSubscriber: TimelyWebSocket}
    return [(timely.get(kind, kind), options) for kind, options in everything("line")]


def readers_of_all(relay, made, clock):
    """One in each format, who begin with what is old enough: nothing, at first."""
    some = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made, kind=TimelyFramed, base=1)]
    for kind, options in kinds():
        base = {"base": 1} if kind in (TimelyWeb, TimelyWebSocket) else {}
        some.append(relay.subscribe("web", made, kind=kind, **{**options, **base}))
    return [clock.watch(one) for one in some]


def test_everything_comes_later_in_every_format(lab):
    made = text_script((1000,) * 3000, 31)
    relay, clock = lab.start(sections(lab)), Clock(made)
    live = relay.subscribe("live", made)
    readers = readers_of_all(relay, made, clock)
    relay.wait("a", subscribers=1 + len(readers), subscribers_replaying=len(readers))
    publisher = relay.publish("a")
    for begin in range(0, 3_000_000, 1_000_000):
        clock.publish(publisher, begin, begin + 1_000_000)
        lab.loop.run(lambda end=begin + 1_000_000: live.position == end, what="what is live")
        assert not any(one.position > begin for one in readers)
    relay.run_until_done([live, *readers])
    seen = relay.feed("a")
    # Who has caught up still reads the history, and misses nothing.
    assert (seen["subscribers_replaying"], seen["skipped_messages"]) == (len(readers), 0), seen
    assert not any(one.gaps for one in readers if hasattr(one, "gaps"))


def test_time_is_that_of_the_packets(lab):
    """Of what another relay took in: what was old when it came is there at once, and the rest when it is old enough."""
    made = past_script((1000,) * 400, 32, lambda index: 3600 if index < 100 else 1800 if index < 200 else 0)
    both = sections(lab, delayed={"burst": "2700s"}, framing="relay:line", history_age="2d")
    relay = record_past(lab, both, made, 200)
    all_there_is = relay.subscribe("web", made, kind=TimelyWeb, path="/a?format=framed&from=0")
    lab.loop.run(lambda: all_there_is.position == 200_000, what="what is old enough")
    burst = relay.subscribe("a-framed", made, kind=TimelyFramed, same_session=False)
    asked_for = relay.subscribe("web", made, kind=TimelyWeb, path="/a?format=framed&burst=5400s")
    none = relay.subscribe("web", made, kind=TimelyWeb, path="/a?format=framed&burst=0", start=None)
    lab.loop.run(lambda: burst.position == asked_for.position == 200_000, what="the bursts")
    assert (burst.headers[0].sequence, asked_for.headers[0].sequence) == (101, 1)
    relay.publish("a", made.wire[packet_start(made, 200):])
    young = [relay.subscribe("web", made, kind=kind, path=f"/a?{query}", start=begin)
             for kind, query, begin in ((TimelyWeb, "format=framed&since=-40m", 100_000),
                                        (TimelyWeb, f"format=framed&from={SESSION}-200", 199_000),
                                        (WebSubscriber, f"from={SESSION}-101", 100_000))]
    relay.run_until_done([all_there_is, burst, asked_for, none, *young])
    assert none.headers[0].sequence == 201


def test_who_asks_for_what_is_too_young_gets_it_in_time(lab):
    made = text_script((1000,) * 300, 33)
    relay, clock = lab.start(sections(lab)), Clock(made)
    publisher = relay.publish("a")
    clock.publish(publisher, 0, 100_000)
    relay.wait("a", in_messages=100)
    first = clock.watch(relay.subscribe("web", made, kind=TimelyWeb, path="/a?format=framed&from=0", base=1))
    lab.loop.run(lambda: first.position == 100_000, what="what is old enough by then")
    clock.publish(publisher, 100_000, 200_000)
    relay.wait("a", in_messages=200)
    last = f"{first.session}-100"
    readers = [relay.subscribe("web", made, kind=TimelyWeb, path=f"/a?format=framed&from={first.session}-101", base=1,
                               start=100_000),
               relay.subscribe("web", made, kind=EventSubscriber, fields={"Last-Event-ID": last}, start=100_000),
               relay.subscribe("web", made, kind=WebSubscriber, path="/a?since=-0s", start=200_000)]
    for one in readers:
        clock.watch(one)
    lab.loop.run(lambda: readers[0].position == readers[1].position == 200_000, what="what is old enough then")
    assert readers[1].gaps == []
    for query in (f"from={first.session}-900", f"from={first.session + 1}-1"):
        assert ask(relay, f"/a?{query}")[0] == 416
    for query in ("burst=64k", "burst=keyframe"):
        code, _, body = ask(relay, f"/a?{query}")
        assert code == 400 and "burst is to be a duration" in body, body
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    until = [clock.watch(relay.subscribe("web", made, kind=kind, **asked(kind, options, f"from=0&until={end}")))
             for kind, options in everything("line")]
    lab.loop.run(lambda: all(one.end for one in until), what="an end of all")
    assert {(one.end, one.position) for one in until} == {("fin", 200_000)}
    clock.publish(publisher, 200_000, 300_000)
    relay.run_until_done([first, *readers])


def test_an_event_source_with_an_id_that_is_gone_is_told(lab):
    made = text_script((1000,) * 100, 34)
    relay, clock = lab.start(sections(lab)), Clock(made)
    publisher = relay.publish("a", made.wire[:50_000])
    relay.wait("a", in_messages=50)
    first = relay.subscribe("web", made, kind=EventSubscriber)
    lab.loop.run(lambda: first.position == 50_000, what="the first half")
    back = clock.watch(relay.subscribe("web", made, kind=EventSubscriber, start=None, fields={"Last-Event-ID": "5-3"}))
    lab.loop.run(lambda: back.gaps, what="to be told")
    clock.publish(publisher, 50_000, 100_000)
    relay.run_until_done([first, back])


def test_a_quiet_feed_is_told_from_a_dead_one(lab):
    """By heartbeats, and pings, which are as late as all else."""
    made = text_script((1000,) * 10, 35)
    relay = lab.start(sections(lab))
    readers = [relay.subscribe("a-framed", made, kind=TimelyFramed, base=1),
               relay.subscribe("web", made, kind=TimelyWeb, base=1),
               relay.subscribe("web", made, kind=WebSocketSubscriber)]
    lab.loop.run(lambda: len(readers[0].heartbeats) > 4 and len(readers[1].heartbeats) > 4 and readers[2].pings > 2,
                 what="signs of life")
    relay.publish("a", made.wire)
    relay.run_until_done(readers)


def test_a_slow_one_holds_nobody_up_and_loses_nothing(lab):
    made = text_script((1000,) * 4000, 36)
    both = sections(lab, delayed=TIGHT)
    relay, clock = lab.start(both), Clock(made)
    live = relay.subscribe("live", made)
    slow = [relay.subscribe("a-raw", made, receive_buffer=4096, paused=True),
            relay.subscribe("web", made, kind=TimelyWeb, base=1, receive_buffer=4096, paused=True)]
    relay.wait("a", subscribers=3)
    publisher = relay.publish("a")
    clock.publish(publisher, 0, 4_000_000)
    lab.loop.run(lambda: live.position == 4_000_000, what="what is live")
    for one in slow:
        clock.watch(one)
        one.resume()
    relay.run_until_done([live, *slow])


def test_who_takes_nothing_is_closed(lab):
    made = text_script((1000,) * 4000, 37)
    relay = lab.start(sections(lab, delayed=TIGHT, stall_timeout="1s"))
    slow = relay.subscribe("a-raw", made, receive_buffer=4096, paused=True)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.wait("a", closed_stalled=1, subscribers=0)
    slow.resume()
    lab.loop.run(lambda: slow.end, what="the end")
    assert slow.end == "rst"


def test_the_end(lab):
    """A source that is lost ends nothing, since what it published last is still to come. A stop waits for nobody here, and
    looks like a break: the rest is to be had after the start."""
    made = text_script((1000,) * 200, 38)
    both = sections(lab, on_source_loss="close")
    both["relay"]["drain"] = "1h"
    relay, clock = lab.start(both), Clock(made)
    readers = readers_of_all(relay, made, clock)
    live = relay.subscribe("live", made)
    relay.wait("a", subscribers=1 + len(readers))
    publisher = relay.publish("a")
    clock.publish(publisher, 0, 100_000)
    publisher.flush()
    publisher.close()
    lab.loop.run(lambda: live.end, what="the end of a live one")
    lab.loop.run(lambda: all(one.position == 100_000 for one in readers), what="the rest of the delayed ones")
    session = next(one for one in readers if isinstance(one, TimelyWeb)).session
    clock.publish(relay.publish("a"), 100_000, 200_000)
    relay.wait("a", in_messages=200)
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0
    lab.loop.run(lambda: all(one.end for one in readers), what="the end of all")
    assert {one.end for one in readers} == {"rst"}
    again = lab.start(both)
    back = clock.watch(again.subscribe("web", made, kind=TimelyWeb, path=f"/a?format=framed&from={session}-101", base=1,
                                       start=100_000))
    lab.loop.run(lambda: back.position == 200_000, what="the rest")


def test_reloads_and_upgrades(lab):
    """Over an upgrade they go on; a reload is for who comes later. Nobody is given what is too young."""
    made = text_script((1000,) * 300, 39)
    both = sections(lab)
    relay, clock = lab.start(both), Clock(made)
    publisher = relay.publish("a")
    some = readers_of_all(relay, made, clock)
    relay.wait("a", subscribers_replaying=len(some))
    clock.publish(publisher, 0, 100_000)
    relay.wait("a", in_messages=100)
    relay.upgrade()
    clock.publish(publisher, 100_000, 200_000)
    lab.loop.run(lambda: all(one.position == 200_000 for one in some), what="what is old enough")
    both["listener a-raw"]["delay"] = "0"
    relay.wait_log("reloaded", relay.reload(both))
    now = relay.subscribe("a-raw", made, start=200_000)
    relay.wait("a", subscribers=1 + len(some))
    clock.publish(publisher, 200_000, 300_000)
    lab.loop.run(lambda: now.done, what="one without a delay")
    assert not any(one.position > 200_000 for one in some)
    relay.run_until_done([now, *some])


@pytest.mark.parametrize("of_feed, of_listener, words", [
    ({}, {"delay": "15m"}, "delay = 15m comes out of the history, and [feed a] has none; expected history = FOLDER"),
    ({"history": "/h", "history_age": "10m"}, {"delay": "15m"}, "delay = 15m is longer than history_age = 10m"),
    ({"history": "/h", "history_age": "20m"}, {"delay": "15m", "burst": "600s"}, "delay = 15m with its burst is longer than"),
    ({"history": "/h"}, {"delay": "15m", "burst": "64k"}, "needs a burst of time"),
    ({"history": "/h", "burst": "64k"}, {"delay": "15m"}, "needs a burst of time"),
    ({"history": "/h"}, {"delay": "15m", "on_slow": "wait"}, "on_slow = wait is for who reads the ring"),
    ({"history": "/h"}, {"delay": "15m", "max_age": "10m", "format": "http"}, "max_age = 10m is not longer than delay = 15m"),
    ({"history": "/h"}, {"max_age": "10m", "burst": "1h", "format": "http"}, "burst = 1h is longer than max_age = 10m"),
    ({"history": "/h"}, {"max_age": "10m"}, "max_age is for format = http only"),
    ({"history": "/h"}, {"delay": "soon"}, "bad value 'soon' for 'delay'")])
def test_what_cannot_be_is_refused(lab, of_feed, of_listener, words):
    """With its file and line."""
    ini = lab.directory / "bad.ini"
    text = "".join(f"{key} = {value}\n" for key, value in of_feed.items())
    ini.write_text(f"[feed a]\ningest = listen tcp:127.0.0.1:0\n{text}[listener l]\nfeed = a\nlisten = tcp:127.0.0.1:0\n"
                   + "".join(f"{key} = {value}\n" for key, value in of_listener.items()))
    done = lab.run_tool("relay", "-t", "-c", ini)
    assert done.returncode != 0 and words in done.stderr and f"{ini}:" in done.stderr, done.stderr


def test_since_is_exact_also_where_the_recorder_is_behind(lab):
    """What came before that time and is written later is not sent."""
    says_so = lab.memory / "disk-hangs"
    made = text_script((1000,) * 300, 42)
    both = sections(lab)
    both["relay"]["log_level"] = "debug"
    relay = lab.start(both, env=preload(RELAY_HANG=f"pwrite:{says_so}"))
    publisher = relay.publish("a", made.wire[:100_000])
    lab.loop.run(lambda: any((lab.directory / "history").glob("*.rly")), what="the recorder", poll=POLL)
    says_so.touch()
    publisher.send(made.wire[100_000:200_000])
    relay.wait("a", in_messages=200)
    await_hang(lab, says_so)
    reader = relay.subscribe("web", made, kind=WebSubscriber, path="/a?since=-0s", start=200_000)
    relay.wait_log("subscriber waits for the recorder")
    says_so.unlink()
    publisher.send(made.wire[200_000:])
    relay.run_until_done([reader])


def test_a_disk_that_hangs_holds_up_nobody_else(lab):
    """How far the delay reaches cannot be looked up meanwhile. Who is delayed waits, and then has all; others go on."""
    says_so = lab.memory / "disk-hangs"
    made = text_script((1000,) * 300, 40)
    relay = lab.start(sections(lab), env=preload(RELAY_HANG=f"pread:{says_so}"))
    clock, publisher = Clock(made), relay.publish("a")
    live = relay.subscribe("live", made)
    readers = [clock.watch(relay.subscribe("a-framed", made, kind=TimelyFramed, base=1)),
               clock.watch(relay.subscribe("web", made, kind=TimelyWeb, base=1))]
    relay.wait("a", subscribers_replaying=len(readers))
    clock.publish(publisher, 0, 100_000)
    lab.loop.run(lambda: all(one.position == 100_000 for one in readers), what="what is old enough")
    says_so.touch()
    clock.publish(publisher, 100_000, 300_000)
    relay.run_until_done([live])
    lab.loop.run(lambda: time.time() > clock.times[-1][1] + DELAY + 0.5, what="it to be old enough", poll=POLL)
    again = relay.subscribe("live", made, start=300_000)
    relay.wait("a", subscribers=2 + len(readers))
    assert not any(one.position > 100_000 for one in readers)
    says_so.unlink()
    relay.run_until_done([again, *readers])


def test_killed_again_and_again(lab):
    """Once while what has come is being recorded, and then while they are sent to. Who goes on does so at the next byte, and
    not before its time; who is lost is closed by a reset. What was not recorded, they are told."""
    made, pick = text_script((1000,) * 3000, 41), random.Random(41)
    crashing, clock = Crashing(lab, sections(lab)), Clock(made)
    readers = readers_of_all(crashing.relay, made, clock)
    crashing.relay.wait("a", subscribers_replaying=len(readers))
    for begin in range(0, 3_000_000, 1_000_000):
        clock.publish(crashing.relay.publish("a"), begin, begin + 1_000_000)
        crashing.relay.wait("a", next_seq=1 + (begin + 1_000_000) // 1000)
        alive = [one for one in readers if one.end is None]
        if begin:
            much = begin + pick.randrange(1, 800_000)
            lab.loop.run(lambda much=much, alive=alive: max(one.position for one in alive) >= much, what="some of it")
        resumed, lost = crashing.die()
        assert resumed + lost == len(alive)
        lab.loop.run(lambda resumed=resumed: sum(one.end is None for one in readers) == resumed, what="the lost ones to go")
    assert crashing.resumed > crashing.lost
    left = [one for one in readers if one.end is None]
    again = clock.watch(crashing.relay.subscribe("web", made, kind=TimelyWeb, path="/a?format=framed&from=0", base=1))
    crashing.relay.run_until_done([again])
    lab.loop.run(lambda: all(one.done or one.end for one in left), what="all that was recorded")
    assert {one.end for one in readers} <= {None, "rst"}
    assert again.gaps or all(one.done for one in left)
    assert all(one.done and one.gaps == again.gaps for one in left if isinstance(one, Timely))

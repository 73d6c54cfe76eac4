# SPDX-License-Identifier: MIT
"""relay dies, and subscribers go on in the next process: those whose place is known, without a wrong byte; the others
are closed by reset. A publisher that is cut connects again and begins with a whole message."""

import os
import random
import re
import signal
from pathlib import Path

import pytest

from relaytest import packet
from relaytest.admin import Admin
from relaytest.crashing import Crashing
from relaytest.daemon import POLL
from relaytest.ini import ENGINES, TIGHT, feed
from relaytest.publisher import Publisher
from relaytest.service_manager import ServiceManager
from relaytest.stream import MIB, script, text_script
from relaytest.subscriber import FramedSubscriber, LineSubscriber
from relaytest.surroundings import ipv6
from relaytest.web import (PING, Answer, EventSubscriber, WebSocketSubscriber, WebSubscriber, event_ids, everything, frame,
                           request, wait_read)

WORKERS = [1, 2]
SLOW = {"receive_buffer": 4096, "paused": True}
KILLS = 4  # make soak-crash has a hundred
REPEATED = 400


class FramedLines(FramedSubscriber):
    """A subscriber of framed lines that may miss some, as the publisher's that died with relay: the sequence has no
    break that is not told, and each line is whole and later than the one before."""

    def __init__(self, loop, target, script, **options):
        self.last = -1
        self.payload_of_packet = b""
        super().__init__(loop, target, script, **options)

    def seek(self, sequence):
        self.position = 0 if self.last < 0 else self.script.ends[self.last]

    def compare(self, data):
        self.payload_of_packet += data

    def close_packet(self):
        header, lines = self.packet, self.payload_of_packet.split(b"\n")
        self.payload_of_packet = b""
        assert lines.pop() == b"" and len(lines) == header.count and not header.continued, header
        for line in lines:
            index = self.script.index_of.get(line + b"\n")
            assert index is not None and index > self.last, f"line {index} after line {self.last}"
            self.last = index
        self.position = self.script.ends[self.last]
        self.next += header.count
        self.messages += header.count


class WebLines(WebSubscriber, LineSubscriber):
    """The same of chunks or bare bytes."""


class WebSocketLines(WebSocketSubscriber, LineSubscriber):
    """The same of messages."""


class EventLines(EventSubscriber, LineSubscriber):
    """The same of events, each a line; their ids go up."""

    def take_message(self, sequence, data):
        assert not self.last_id or sequence > self.last_id, f"id {sequence} after {self.last_id}"
        self.last_id = sequence
        LineSubscriber.take(self, data + b"\n")


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_at_rest_all_survive(lab, engine, workers):
    """Nothing is under way: whoever has read all, and whoever has not, gets the rest of the stream."""
    made = script("u32be", (70_000, 300, 4096, 1) * 60, 2)
    sections = {"relay": {"workers": workers}} | feed("a", framing="u32be", on_slow="wait", stall_timeout="1h",
                                                      raw=TIGHT, framed=TIGHT, ring="16m", **ENGINES[engine])
    crashing = Crashing(lab, sections)
    relay = crashing.relay
    readers = relay.subscribe("a-raw", made, 6) + relay.subscribe("a-framed", made, 6)
    slow = relay.subscribe("a-raw", made, 3, **SLOW) + relay.subscribe("a-framed", made, 3, **SLOW)
    everybody = readers + slow
    relay.wait("a", subscribers=len(everybody))
    sent = 0
    publisher = relay.publish("a")
    for times, count in enumerate((10, 60, 113, made.count), 1):
        publisher.send(made.wire[sent:made.ends[count - 1]])
        sent = made.ends[count - 1]
        if count == made.count:
            break
        lab.loop.run(lambda: all(one.position == made.ends[count - 1] for one in readers), 60, "all of it")
        before = crashing.relay.wait("a", subscribers_blocked=len(slow))
        assert crashing.die_at_rest(keeps_publishers=True) == (len(everybody), 0)
        seen = crashing.relay.feed("a")
        assert seen["subscribers_resumed"] == times * len(everybody) and "closed_crash" not in seen, seen
        assert seen["source_up"] == seen["source_connects"] == 1 and not seen["source_losses"], seen
        # What was counted goes on.
        assert seen["subscribers_total"] == len(everybody), seen
        assert all(seen[name] == before[name] for name in ("in_bytes", "in_messages", "packets_copy")), (seen, before)
        assert seen["delivered_messages"] >= before["delivered_messages"] > 0, (seen, before)
        for one in slow:
            one.read_exactly(50_000)
        lab.loop.run(lambda: all(one.received == one.limit for one in slow), 60, "some of it")
    for one in slow:
        one.unlimited()
    crashing.relay.run_until_done(everybody, 60)
    assert publisher.lost is None
    assert all(not one.gaps for one in everybody if hasattr(one, "gaps"))


def next_message(made, publisher, begin):
    """The first that the publisher, which began with message `begin`, had not written whole; and one behind it when it
    had written a part of that."""
    header = packet.BYTES if made.times else 0
    at = made.start_of(begin) + publisher.sent
    index = begin
    while index < made.count and made.ends[index] + header * (index + 1 - begin) <= at:
        index += 1
    return index


def wire_from(made, index, held_back):
    """From this message on, but for so many bytes at the end."""
    begin = made.start_of(index) + (packet.BYTES * index if made.times else 0)
    return memoryview(made.wire)[begin:len(made.wire) - held_back]


def caught_up(relay, name):
    """Nobody has anything to get of what relay has taken."""
    slowest = Admin(relay, "socket").get(f"/subscribers.json?feed={name}&sort=lag&limit=1")["subscribers"]
    return all(one["lag_bytes"] == 0 for one in slowest)


def die_at_full_rate(crashing, scripts, readers, pick, before=lambda: lambda: None):
    """Killed again and again; the publishers of the feeds begin anew each time. before() is called a moment before, and
    what it gives when relay is back. Returns the subscribers that survived all."""
    loop = crashing.lab.loop
    everybody = [one for some in readers.values() for one in some]
    begins = dict.fromkeys(scripts, 0)
    # Who skips to the end of a stream of lines gets nothing that tells where it is, so the last one waits for everybody.
    held_back = {name: b"" if made.times else made.message(made.count - 1) for name, made in scripts.items()}
    for name, some in readers.items():
        crashing.relay.wait(name, subscribers=len(some))
    for round_ in range(KILLS + 1):
        relay = crashing.relay
        for name in scripts:  # all is read of a publisher that went on until it was reset
            relay.wait(name, source_up=0)
        before_it = {name: relay.feed(name)["in_messages"] for name in scripts}
        publishers = {name: relay.publish(name, wire_from(made, begins[name], len(held_back[name])))
                      for name, made in scripts.items()}
        if round_ == KILLS:
            break
        much = pick.randrange(1, 3 * MIB)
        loop.run(lambda: sum(one.sent for one in publishers.values()) >= much, 60, "some of it")
        alive = sum(one.end is None for one in everybody)
        after = before()
        resumed, lost = crashing.die()
        assert resumed + lost == alive, (resumed, lost, alive)
        loop.run(lambda: sum(one.end is None for one in everybody) == resumed, 60, "the lost ones to be closed")
        assert all(one.end in (None, "rst") for one in everybody)
        after()
        for name, made in scripts.items():
            begins[name] = max(0, next_message(made, publishers[name], begins[name]) - (REPEATED if made.times else 0))
    for name, last in held_back.items():
        if last:
            relay.wait(name, in_messages=before_it[name] + scripts[name].count - 1 - begins[name])
            loop.run(lambda: caught_up(relay, name), what="everybody to catch up", poll=POLL)
            publishers[name].send(last)
    left = [one for one in everybody if one.end is None]
    relay.run_until_done(left)
    print(f"survived {crashing.resumed} of {crashing.resumed + crashing.lost}; {len(left)} of {len(everybody)} all kills")
    for name, some in readers.items():
        assert publishers[name].lost is None
        assert relay.feed(name)["subscribers"] == sum(one in left for one in some)
    assert crashing.resumed > crashing.lost
    return left


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("engine", ["splice-gift", "compact", "copy"])
def test_under_full_rate(lab, engine, workers):
    """Killed at any moment: no wrong byte to anybody. Where the publisher repeats what relay may not have got, and says
    so (framing = relay), whoever survives misses nothing at all."""
    lines = script("line", (3000, 70_000, 10, 400) * 300, 3)
    exact = script("relay", (3000, 70_000, 10, 400) * 300, 4)
    sections = {"relay": {"workers": workers}, "admin": {"listen": "none", "socket": f"unix:{lab.directory}/admin"}}
    sections |= feed("a", framing="line", on_slow="skip", stall_timeout="1h", ring="4m", **ENGINES[engine])
    sections |= feed("b", framing="relay", on_slow="wait", stall_timeout="1h", ring="4m", **ENGINES[engine])
    crashing = Crashing(lab, sections)
    relay = crashing.relay
    readers = {
        "a": relay.subscribe("a-raw", lines, 5, kind=LineSubscriber)
             + relay.subscribe("a-framed", lines, 5, kind=FramedLines, base=0),
        "b": relay.subscribe("b-raw", exact, 5) + relay.subscribe("b-framed", exact, 5, same_session=False)}
    die_at_full_rate(crashing, {"a": lines, "b": exact}, readers, random.Random(engine))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("engine", ["splice-gift", "compact", "copy"])
def test_by_http_under_full_rate(lab, engine, workers):
    """And no broken frame, chunk or event; a ping that is sent while there is no relay is answered by the next one."""
    lines = text_script((3000, 20_000, 40, 400) * 900, 3)
    exact = script("relay", (3000, 70_000, 10, 400) * 300, 4)
    sections = {"relay": {"workers": workers}, "admin": {"listen": "none", "socket": f"unix:{lab.directory}/admin"},
                "listener web": WEB | {"feed": "all"}}
    sections |= feed("a", framing="line", on_slow="skip", stall_timeout="1h", ring="4m", **ENGINES[engine])
    sections |= feed("b", framing="relay", on_slow="wait", stall_timeout="1h", ring="4m", **ENGINES[engine])
    crashing = Crashing(lab, sections)
    relay = crashing.relay
    kinds = [(WebLines, {}), (WebLines, {"version": "1.0"}), (EventLines, {}), (EventLines, {"version": "1.0"}),
             (WebSocketLines, {}), (WebSocketLines, {"path": "/a?messages=message"}),
             (WebSocketLines, {"path": "/a?text=1", "text": True}),
             (WebSocketLines, {"path": "/a?text=1&messages=message", "text": True})]
    readers = {"a": [relay.subscribe("web", lines, kind=kind, **options) for kind, options in kinds for _ in range(2)]}
    kinds = [(WebSubscriber, {}), (WebSubscriber, {"version": "1.0"}), (WebSocketSubscriber, {})]
    readers["b"] = [relay.subscribe("web", exact, kind=kind, path="/b", **options)
                    for kind, options in kinds for _ in range(3)]
    for name, some in readers.items():
        for one in some:
            one.feed = name
    words = frame(PING, b"still there?")
    pick = random.Random(engine)
    sockets = [one for some in readers.values() for one in some if isinstance(one, WebSocketSubscriber)]

    def say(part):
        for one in sockets:
            if one.end is None:
                one.sock.setblocking(True)
                one.sock.sendall(part)
                one.sock.setblocking(False)

    left = die_at_full_rate(crashing, {"a": lines, "b": exact}, readers, pick,
                            lambda: lambda: say(words))
    sockets = [one for one in sockets if one in left]
    lab.loop.run(lambda: all(len(one.pongs) == KILLS for one in sockets), what="pongs")
    assert sockets and all(set(one.pongs) == {b"still there?"} for one in sockets)


MADE = script("u32be", (70_000, 300, 4096, 1) * 20, 2)
HALF = MADE.ends[39]


def read_all_before(lab, readers, end=HALF):
    lab.loop.run(lambda: all(one.position == end for one in readers), what="what was published")


def test_every_kind(lab):
    """Over TCP and unix sockets, raw, framed, by HTTP, and one that only listens, they go on."""
    sections = {"relay": {"workers": 2}} | feed("a", framing="u32be", on_slow="wait", stall_timeout="1h", heartbeat="0")
    sections["listener local"] = {"feed": "a", "listen": f"unix:{lab.directory}/local"}
    if not lab.lacks(ipv6):
        sections["listener six"] = {"feed": "a", "listen": "tcp:[::1]:0"}
    sections["listener web"] = {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http"}
    crashing = Crashing(lab, sections)
    relay = crashing.relay
    readers = [relay.subscribe(name, MADE) for name in ("a-raw", "a-framed", "local", "six")
               if f"listener {name}" in sections for _ in range(2)]
    web = [relay.subscribe("web", MADE, kind=kind) for kind in (WebSubscriber, WebSocketSubscriber)]
    everybody = readers + web
    relay.wait("a", subscribers=len(everybody))
    readers[0].half_close()
    relay.publish("a", MADE.wire[:HALF])
    read_all_before(lab, everybody)
    assert crashing.die_at_rest() == (len(everybody), 0)
    relay = crashing.relay
    assert "closed_crash" not in relay.feed("a")
    relay.publish("a", MADE.wire[HALF:])
    relay.run_until_done(everybody)
    for one in web:
        one.half_close()
    relay.wait("a", subscribers=len(readers))  # by HTTP that is an end


WEB = {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http"}


@pytest.mark.parametrize("framing,engine,workers", [
    (("line", "u32be")[i % 2], engine, WORKERS[(i // 2 + j) % 2])
    for i in range(2) for j, engine in enumerate(ENGINES)])
def test_by_http_at_rest(lab, framing, engine, workers):
    """In every format, whether it was opened on demand or not: readers at the live edge, slow ones in mid-frame."""
    sizes = (70_000, 300, 4096, 20) * 60
    made = text_script(sizes, 2) if framing == "line" else script(framing, sizes, 2)
    sections = {"relay": {"workers": workers}}
    sections |= feed("a", framing=framing, on_slow="wait", stall_timeout="1h", ring="16m", **ENGINES[engine])
    sections["listener web"] = WEB | TIGHT
    crashing = Crashing(lab, sections)
    relay = crashing.relay
    kinds = everything(framing)
    readers = [relay.subscribe("web", made, kind=kind, **options) for kind, options in kinds]
    slow = [relay.subscribe("web", made, kind=kind, **SLOW, **options) for kind, options in kinds]
    everybody = readers + slow
    relay.wait("a", subscribers=len(everybody))
    sent = 0
    for count in (10, 60, 113, made.count):
        begin, sent = sent, made.ends[count - 1]
        publisher = crashing.relay.publish("a", made.wire[begin:sent])
        if count == made.count:
            break
        lab.loop.run(lambda: all(one.position == sent for one in readers), 60, "all of it")
        crashing.relay.wait("a", subscribers_blocked=len(slow))
        assert crashing.die_at_rest() == (len(everybody), 0)
        resumed = {10: 1, 60: 2, 113: 3}[count] * len(everybody)
        assert crashing.relay.feed("a")["subscribers_resumed"] == resumed
        for one in slow:
            one.read_exactly(50_000)
        lab.loop.run(lambda: all(one.received == one.limit for one in slow), 60, "some of it")
    for one in slow:
        one.unlimited()
    crashing.relay.run_until_done(everybody, 60)
    assert publisher.lost is None


def test_who_is_in_the_middle_of_its_words_is_lost(lab):
    """Wherever a ping is cut; who was between two of them goes on, twice."""
    words = frame(PING, b"still there?")
    crashing = Crashing(lab, feed("a", framing="u32be", heartbeat="20ms") | {"listener web": WEB})
    stays = [crashing.relay.subscribe("web", MADE, kind=WebSocketSubscriber) for _ in range(3)]
    for count in (1, 2):
        halves = [crashing.relay.subscribe("web", MADE, kind=WebSocketSubscriber) for _ in range(1, len(words))]
        crashing.relay.wait("a", subscribers=len(stays) + len(halves))
        for at, one in enumerate(halves, 1):
            one.sock.sendall(words[:at])
        for one in stays:
            one.sock.sendall(words)
        wait_read(halves + stays)
        assert crashing.die_at_rest() == (len(stays), len(halves))
        lab.loop.run(lambda: all(one.end for one in halves), what="their ends")
        assert {one.end for one in halves} == {"rst"}
        lab.loop.run(lambda: all(len(one.pongs) == count for one in stays), what="pongs")
    crashing.relay.publish("a", MADE.wire)
    crashing.relay.run_until_done(stays)


def test_a_pong_that_waits_is_sent(lab):
    """It is in the middle of a packet; what it sent while there was no relay is answered as well."""
    made = text_script((70_000,) * 60, 5)
    sections = feed("a", framing="line", on_slow="wait", stall_timeout="1h", ring="16m")
    crashing = Crashing(lab, sections | {"listener web": WEB | TIGHT})
    slow = crashing.relay.subscribe("web", made, 3, kind=WebSocketSubscriber, text=True, path="/a?text=1", **SLOW)
    crashing.relay.wait("a", subscribers=len(slow))
    crashing.relay.publish("a", made.wire)
    crashing.relay.wait("a", subscribers_blocked=len(slow), in_messages=made.count)
    for one in slow:
        one.send_frame(PING, b"before")
    wait_read(slow)
    crashing.stop_at_rest()
    for one in slow:
        one.send_frame(PING, b"meanwhile")
    assert crashing.die() == (len(slow), 0)
    for one in slow:
        one.unlimited()
    lab.loop.run(lambda: all(one.position == len(made.payload) and len(one.pongs) == 2 for one in slow), 60, "all")
    assert all(one.pongs == [b"before", b"meanwhile"] for one in slow)


def test_a_format_that_nobody_reads_just_now(lab):
    """Opened on demand, it keeps its past over a crash, at each listener that offers it, also when the one is gone where
    it was read; who is at its request is closed."""
    made = text_script((300,) * 900, 5)
    sections = {"relay": {"workers": 2}} | feed("a", framing="line", on_slow="wait", stall_timeout="1h")
    sections |= {"listener web": WEB, "listener other": WEB}
    crashing = Crashing(lab, sections)
    first = Answer(crashing.relay, "web", request("/a", {"Accept": "text/event-stream"}, version="1.0"))
    crashing.relay.wait("a", subscribers=1)
    publisher = crashing.relay.publish("a", made.wire[:30_000])
    crashing.relay.wait("a", in_messages=100)
    publisher.send(made.wire[30_000:90_000])
    lab.loop.run(lambda: b"-300\n" in first.data, what="a third")
    session = event_ids(first.data)[0][0]
    first.reset()
    crashing.relay.wait("a", subscribers=0)
    late = Answer(crashing.relay, "web", b"GET /a HT")
    crashing.relay.wait(test=lambda seen: seen["relay"]["http_heads_web"] == 1)
    assert crashing.die_at_rest() == (0, 0)
    lab.loop.run(lambda: late.end, what="the end of a request")
    assert late.end == "rst" and not late.data
    since = {"Accept": "text/event-stream", "Last-Event-ID": f"{session}-100"}
    again = Answer(crashing.relay, "web", request("/a", since, version="1.0"))
    crashing.relay.publish("a", made.wire[90_000:])
    lab.loop.run(lambda: b"-900\n" in again.data, what="the rest")
    ids = event_ids(again.data)
    assert ids == [(session, number) for number in range(101, 901)] and b"event: gap" not in again.data, ids[:3]
    again.reset()
    crashing.relay.wait("a", subscribers=0)
    del sections["listener web"]
    crashing.relay.wait_log("reloaded", crashing.relay.reload(sections))
    elsewhere = Answer(crashing.relay, "other", request("/a", since, version="1.0"))
    lab.loop.run(lambda: b"-900\n" in elsewhere.data, what="the past")
    ids = event_ids(elsewhere.data)
    assert ids == [(session, number) for number in range(101, 901)] and b"event: gap" not in elsewhere.data, ids[:3]


def test_who_is_behind(lab):
    """A slow one that finds its place trimmed is told what it missed, as ever; one in mid-packet finishes that first."""
    made = script("u32be", (3000, 40_000, 10) * 100, 4)
    sections = feed("a", framing="u32be", on_slow="skip", stall_timeout="1h", framed=TIGHT, ring="512k", segment="64k",
                    grace="60s")
    crashing = Crashing(lab, sections)
    leader = crashing.relay.subscribe("a-framed", made)
    slow = crashing.relay.subscribe("a-framed", made, 4, **SLOW)
    crashing.relay.wait("a", subscribers=5)
    begin = 0
    for count in (100, 200, 300):
        relay = crashing.relay
        publisher = relay.publish("a", made.wire[begin:made.ends[count - 1]]).follow(leader, 256 * 1024)
        publisher.sent = begin  # as the window counts
        publisher.rewatch()
        begin = made.ends[count - 1]
        lab.loop.run(lambda: leader.position == begin, 60, "the leader")
        assert crashing.die_at_rest() == (5, 0)
        for one in slow:
            one.read_exactly(1000)
        lab.loop.run(lambda: all(one.received == one.limit for one in slow), 60, "some of it")
    for one in slow:
        one.unlimited()
    lab.loop.run(lambda: all(one.done for one in slow), 60, "the end")
    assert all(one.messages + one.missed == made.count and one.gaps for one in slow)
    seen = crashing.relay.feed("a")
    assert seen["gaps"] == sum(bool(one.gaps) for one in slow), seen


def test_a_lost_source_ends_it(lab):
    """on_source_loss = close: the publisher is gone with relay; what was published is read to its end."""
    sections = {"relay": {"workers": 2}} | feed("a", framing="u32be", on_slow="wait", stall_timeout="1h", raw=TIGHT,
                                                on_source_loss="close", framed=TIGHT)
    crashing = Crashing(lab, sections)
    relay = crashing.relay
    readers = relay.subscribe("a-raw", MADE, 4) + relay.subscribe("a-raw", MADE, 4, **SLOW)
    relay.wait("a", subscribers=8)
    relay.publish("a", MADE.wire)
    read_all_before(lab, readers[:4], len(MADE.payload))
    assert crashing.die_at_rest()[1] == 0
    assert crashing.relay.feed("a")["subscribers_resumed"] == 8
    lab.loop.run(lambda: all(one.end for one in readers[:4]), what="the end of those that have all")
    for one in readers[4:]:
        one.unlimited()
    lab.loop.run(lambda: all(one.end for one in readers), what="the end of all")
    assert all(one.end == "fin" and one.done for one in readers)


def counted(seen):
    """What listeners have counted."""
    return {name: value for name, value in seen["relay"].items() if re.match("accept|http_(?!heads)", name)}


def balance(seen):
    """Who was taken is there, or was closed, or refused."""
    a = seen["feed"]["a"]
    closed = sum(value for name, value in a.items() if re.match("closed_(?!slow_by)", name))
    taken = seen["relay"]["accepted_a-raw"] + seen["relay"]["accepted_a-framed"]
    return taken == closed + a["subscribers"] and a["subscribers_total"] == taken - a.get("closed_per_address", 0)


def test_limits_and_counters_go_on(lab):
    """Who survived still counts for its address, listeners count on, and accounts balance, also with those who came and
    went the moment before; who drains gets the end."""
    sections = feed("a", framing="u32be", on_slow="wait", raw={"max_per_ip": 3}) | {"listener web": WEB}
    crashing = Crashing(lab, sections)
    readers = crashing.relay.subscribe("a-raw", MADE, 3)
    nothing = Answer(crashing.relay, "web", request("/nothing"))
    other = crashing.relay.subscribe("a-raw", MADE)
    lab.loop.run(lambda: other.end and nothing.end, what="the refusals")
    before = crashing.relay.wait(test=lambda seen: seen["feed"]["a"]["subscribers"] == 3 and balance(seen))
    assert before["relay"]["http_refused_web_unknown_feed"] == before["relay"]["accepted_web"] == 1, before
    assert crashing.die_at_rest() == (3, 0)
    relay = crashing.relay
    after = relay.status()
    assert counted(after) == counted(before) and balance(after), (before, after)
    goes = relay.subscribe("a-framed", MADE, 4)
    lab.loop.run(lambda: all(one.received for one in goes), what="heartbeats")
    for one in goes:
        one.reset()
    crashing.die()
    relay = crashing.relay
    relay.wait(test=lambda seen: seen["feed"]["a"]["subscribers"] == 3 and balance(seen))
    assert relay.status()["relay"]["accepted_a-framed"] == 4
    other = relay.subscribe("a-raw", MADE)
    lab.loop.run(lambda: other.end, what="the refusal")
    relay.wait("a", closed_per_address=2)
    relay.publish("a", MADE.wire)
    relay.run_until_done(readers)
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0
    lab.loop.run(lambda: all(one.end for one in readers), what="the end")
    assert all(one.end == "fin" for one in readers)

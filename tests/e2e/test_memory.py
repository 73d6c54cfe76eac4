# SPDX-License-Identifier: MIT
"""Memory follows use: a format that nobody reads holds nothing, however many workers there are, and however much is
published."""

import pytest

from relaytest import ini
from relaytest.daemon import IS_SANITIZED
from relaytest.stream import MIB, text_script
from relaytest.web import Answer, EventSubscriber, WebSocketSubscriber, WebSubscriber, event_ids, event_text, request

BUDGET = 64 * MIB
PIPE = 512 * 1024  # a pipe of a default feed, when it is full
KINDS = ((WebSubscriber, {}), (WebSubscriber, {"version": "1.0"}), (EventSubscriber, {}),
         (EventSubscriber, {"version": "1.0"}), (WebSocketSubscriber, {}),
         (WebSocketSubscriber, {"text": True, "path": "/a?text=1"}),
         (WebSocketSubscriber, {"per_message": True, "path": "/a?messages=message"}))


def sections(workers, web=None, **options):
    return {"relay": {"workers": workers}} | ini.web(serves="all", options=web, framing="line", **options)


def memory(relay, seen):
    """Resident, and in pipes as far as relay has them open: full ones count in no other figure."""
    return relay.resident() + seen["pipes_open"] * PIPE


def is_given_up(seen):
    return seen["ring_bytes"] == seen["pipes_open"] == 0


def test_nobody_is_connected(lab):
    """A default feed at eight workers, before anybody has read it, and when all who did have gone."""
    made = text_script((1000,) * 12_000, 1)
    relay = lab.start(sections(8, keep_past="2s", on_slow="wait", stall_timeout="1h"))
    publisher = relay.publish("a", made.wire)
    seen = relay.wait("a", in_messages=made.count)
    assert is_given_up(seen) and seen["crossed_packets"] == 0, seen
    assert IS_SANITIZED or memory(relay, seen) <= BUDGET, memory(relay, seen)
    readers = [*relay.subscribe("a-raw", made, 2), *relay.subscribe("a-framed", made, 2, base=made.count + 1)]
    readers += [relay.subscribe("web", made, kind=kind, base=made.count + 1, **options)
                if kind is EventSubscriber else relay.subscribe("web", made, kind=kind, **options)
                for kind, options in KINDS for _ in range(2)]
    relay.wait("a", subscribers=len(readers))
    publisher.send(made.wire)
    relay.run_until_done(readers)
    assert relay.feed("a")["ring_bytes"] > BUDGET  # as much as that, if it were not given up
    relay.close_peers()
    publisher = relay.publish("a", made.wire)
    seen = relay.wait("a", test=lambda now: is_given_up(now) and now["in_messages"] == 3 * made.count)
    assert IS_SANITIZED or memory(relay, seen) <= BUDGET, memory(relay, seen)
    publisher.close()


def test_feeds_at_rest_hold_two_descriptors(lab):
    """For each address, however many workers there are; and no pipe, no block."""
    def start(count):
        feeds = {f"feed f{i}": {"ingest": f"listen unix:{lab.directory}/{count}-{i}"} for i in range(count)}
        relay = lab.start({"relay": {"workers": 4}, **feeds, "listener web": {
            "feed": "all", "listen": "tcp:127.0.0.1:0", "format": "http"}}, name=f"{count}.ini")
        return len(relay.links())

    assert start(220) - start(20) <= 2 * 200


def test_who_comes_back_in_time_finds_the_past(lab):
    """In whichever worker; later, what is missing is told."""
    made = text_script((1000,) * 60, 2)
    relay = lab.start(sections(2, keep_past="1h"))
    first = relay.subscribe("web", made, kind=EventSubscriber)
    lab.loop.run(lambda: first.last_event_id, what="a place")
    session = first.fields["relay-session"]
    first.close()
    relay.wait("a", subscribers=0)
    relay.publish("a", made.wire)
    relay.wait("a", in_messages=made.count)
    for _ in range(6):
        back = Answer(relay, "web", request("/a", {"Accept": "text/event-stream", "Last-Event-ID": f"{session}-0"}))
        lab.loop.run(lambda one=back: b"-60\ndata: " in one.data, what="all of it")
        assert [number for _, number in event_ids(back.data)] == [*range(1, 61)]
        assert b"event: gap" not in back.data
    relay.wait_log("reloaded", relay.reload(sections(2, keep_past="0")))
    relay.close_peers()
    relay.wait("a", ring_bytes=0)
    late = Answer(relay, "web", request("/a", {"Accept": "text/event-stream", "Last-Event-ID": f"{session}-0"}))
    lab.loop.run(lambda: b"event: gap" in late.data, what="the gap")
    assert b'data: {"from":1,"to":61}' in event_text(late.data) and not event_ids(late.data)
    code, fields, _ = Answer(relay, "web", request("/a?from=5")).wait()
    assert code == 416 and fields["relay-oldest"] == "61"


@pytest.mark.parametrize("past", [{"web": {"burst": "1k"}}, {"raw": {"burst": "1k"}}])
def test_with_a_burst_there_is_a_past_from_the_start(lab, past):
    """Of what the listener with the burst offers; and a reload takes it away."""
    made = text_script((1000,) * 60, 3)
    given = sections(2, keep_past="0", **past)
    relay = lab.start(given)
    relay.publish("a", made.wire)
    seen = relay.wait("a", in_messages=made.count, test=lambda now: now["crossed_packets"] > 0)
    formats = 3 if "web" in past else 1
    assert seen["ring_bytes"] >= formats * 60_000, seen
    if "web" in past:
        late = Answer(relay, "web", request("/a?from=1", {"Accept": "text/event-stream"}))
        lab.loop.run(lambda: b"-60\ndata: " in late.data, what="all of it")
        late.reset()
        relay.wait("a", subscribers=0)
        assert relay.feed("a")["ring_bytes"] >= formats * 60_000
    relay.wait_log("reloaded", relay.reload(sections(2, keep_past="0")))
    relay.wait("a", ring_bytes=0)


@pytest.mark.parametrize("by", ["raw", "framed", "burst"])
def test_the_past_of_another_format(lab, by):
    """Nobody has read by HTTP yet, but there is a past: what others read, or what is kept for them."""
    made = text_script((1000,) * 30, 5)
    relay = lab.start(sections(2, raw={"burst": "1"} if by == "burst" else None))
    readers = [] if by == "burst" else [relay.subscribe(f"a-{by}", made)]
    relay.wait("a", subscribers=len(readers))
    publisher = relay.publish("a")
    for index in range(made.count):
        publisher.send(made.message(index))  # a packet each
        relay.wait("a", in_messages=index + 1)
    relay.run_until_done(readers)
    late = []
    for kind, options in KINDS:
        path = options.get("path", "/a")
        asked = {**options, "path": f"{path}{'&' if '?' in path else '?'}burst=10k", "start": made.start_of(20)}
        late.append(relay.subscribe("web", made, kind=kind, **asked))
    relay.run_until_done(late)
    assert all(made.start_of(20) <= one.start <= made.start_of(21) for one in late)  # an event has more around it
    relay.close_peers()
    relay.wait("a", subscribers=0)
    events = Answer(relay, "web", request("/a?from=1", {"Accept": "text/event-stream"}))
    lab.loop.run(lambda: b"-30\ndata: " in events.data, what="all of it")
    assert [number for _, number in event_ids(events.data)] == [*range(1, 31)]


def test_a_format_is_offered_by_two(lab):
    """One of them goes, or offers another kind: who came by the other one stays."""
    made = text_script((1000,) * 60, 4)
    both = {**sections(2), "listener more": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http"}}
    relay = lab.start(both)
    readers = [relay.subscribe(name, made, kind=WebSocketSubscriber) for name in ("web", "more") for _ in range(2)]
    relay.wait("a", subscribers=4)
    publisher = relay.publish("a", made.wire[:30_000])
    relay.wait_log("reloaded", relay.reload({**both, "listener more": {**both["listener more"], "gaps": "yes"}}))
    assert relay.feed("a")["subscribers"] == 4
    relay.wait_log("reloaded", relay.reload(sections(2)))
    relay.sections = sections(2)
    publisher.send(made.wire[30_000:])
    relay.run_until_done(readers)
    relay.wait_log("reloaded", relay.reload(sections(2, web={"gaps": "yes"})))
    lab.loop.run(lambda: all(one.end for one in readers), what="their ends")
    relay.wait("a", subscribers=0, closed_removed=4)

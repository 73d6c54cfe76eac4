# SPDX-License-Identifier: MIT
"""since= and until= of a request by HTTP: by time, to the message, in every format."""

import re
import time
from datetime import datetime, timezone

import pytest

from relaytest.ini import web
from relaytest.stream import KIB, text_script
from relaytest.web import (EventSubscriber, FramedWebSubscriber, WebSocketSubscriber, WebSubscriber, ask, asked,
                           everything)

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
MADE = text_script((1000,) * 300, 7)


def utc(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def start(lab, **more):
    return lab.start({"relay": {"workers": 2}, **web(framing="line", **{"burst": "1", **LOSSLESS, **more})})


def warm(lab, relay, kinds):
    """Each format has a past from here on, in both workers."""
    readers = [one for kind, options in kinds for one in relay.subscribe("web", MADE, 2, kind=kind, **options)]
    relay.wait("a", subscribers=len(readers))
    return readers


def publish_in_three(lab, relay):
    """100 messages each; returns the times between them."""
    publisher, times = relay.publish("a"), []
    for third in range(3):
        publisher.send(MADE.wire[third * 100_000:(third + 1) * 100_000])
        relay.wait("a", in_messages=100 * (third + 1))
        lab.loop.run_for(0.02)
        times.append(time.time())
        lab.loop.run_for(0.02)
    return publisher, times


def test_by_time_to_the_message_in_every_format(lab):
    relay = start(lab)
    kinds = everything("line")
    warmers = warm(lab, relay, kinds)
    _, (first, second, _third) = publish_in_three(lab, relay)
    relay.run_until_done(warmers)
    for query, begin, end in ((f"since={utc(first)}&until={utc(second)}", 100_000, 200_000),
                              (f"from=1&until={utc(first)}", 0, 100_000),
                              (f"since=-1h&until={utc(second)}", 0, 200_000),
                              (f"since={utc(second)}&until=-0", 200_000, 300_000),
                              (f"since={utc(first)}&until={utc(first)}", 100_000, 100_000)):
        readers = [relay.subscribe("web", MADE, kind=kind, start=begin, **asked(kind, options, query))
                   for kind, options in kinds]
        lab.loop.run(lambda some=readers: all(one.end for one in some), what=f"an end of {query}")
        for one in readers:
            assert one.end == "fin" and one.position == end, (query, one, one.position)
            assert not isinstance(one, WebSocketSubscriber) or one.close_code == 1000, one.close_code
            assert isinstance(one, (WebSocketSubscriber, FramedWebSubscriber)) or one.version == "1.0" or one.finished
    relay.wait("a", closed_until=5 * len(kinds), subscribers=len(warmers))


def test_an_end_that_is_still_to_come(lab):
    """On a silent feed as well, and over an upgrade; what comes by then is got, and nothing later."""
    relay = start(lab, heartbeat="0")
    stays = relay.subscribe("web", MADE, kind=FramedWebSubscriber, base=1)
    relay.wait("a", subscribers=1)
    end = time.time() + 3
    readers = [relay.subscribe("web", MADE, kind=kind, **asked(kind, options, f"until={utc(end)}"))
               for kind, options in everything("line")]
    relay.wait("a", subscribers=1 + len(readers))
    publisher = relay.publish("a")
    publisher.send(MADE.wire[:100_000])
    lab.loop.run(lambda: all(one.position == 100_000 for one in readers), what="the first of it")
    relay.upgrade()
    assert time.time() < end, "the upgrade took too long for this test"
    lab.loop.run(lambda: time.time() > end, poll=0.05)
    publisher.send(MADE.wire[100_000:])
    lab.loop.run(lambda: all(one.end for one in readers), what="an end of all")
    assert {(one.end, one.position) for one in readers} == {("fin", 100_000)}
    relay.run_until_done([stays])
    relay.wait("a", closed_until=len(readers))


def test_what_is_gone_is_told(lab):
    relay = start(lab, ring="128k", segment="64k")
    warmers = warm(lab, relay, [(WebSubscriber, {}), (EventSubscriber, {})])
    _, (first, second, third) = publish_in_three(lab, relay)
    relay.run_until_done(warmers)
    for fields in ((), {"Accept": "text/event-stream"}):
        code, told, body = ask(relay, f"/a?since={utc(first - 1)}", fields)
        oldest = int(told["relay-oldest"])
        assert code == 416 and 1 < oldest < 301 and told["relay-next"] == "301", (code, told)
        came = re.search(rf"is {oldest}, of (\d{{4}}-\S+Z), ", body)[1]
        assert utc(first - 1) < came < utc(third), body
        # What the answer names can be had.
        kind = EventSubscriber if fields else WebSubscriber
        one = relay.subscribe("web", MADE, kind=kind, path=f"/a?since={came}", start=None)
        relay.run_until_done([one])
        assert one.start == MADE.start_of(oldest - 1)
    assert 128 * KIB >= len(MADE.payload) - one.start
    late = relay.subscribe("web", MADE, kind=WebSubscriber, path=f"/a?since={utc(third)}", start=300_000)
    lab.loop.run(lambda: late.status, what="the head")
    assert utc(second) < utc(third)


@pytest.mark.parametrize("query, words", [
    ("since=2100-01-01T00:00:00Z", "since lies in the future"), ("since=yesterday", "-15m"), ("since=15m", "-15m"),
    ("until=-5m", "until lies in the past"), ("since=-1m&until=-2m", "before since"),
    ("since=-1m&from=1", "exclude"), ("until=2026-02-30T00:00:00Z", "2026-11-28T09:30:00Z")])
def test_what_cannot_be_meant_is_refused(lab, query, words):
    relay = start(lab)
    code, _, body = ask(relay, f"/a?{query}")
    assert code == 400 and words in body, (code, body)

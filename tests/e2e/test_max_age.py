# SPDX-License-Identifier: MIT
"""max_age: how far back who asks an http listener may go, in the ring and in the history."""

from relaytest.ini import web
from relaytest.past import SESSION, packet_start, past_script, record_past
from relaytest.stream import text_script
from relaytest.web import EventSubscriber, FramedWebSubscriber, WebSubscriber, ask

MADE = text_script((1000,) * 900, 21)
OLD = 300  # messages that came two hours ago; the others half an hour ago, so that max_age = 1h lies between
RING = {"ring": "128k", "segment": "64k", "on_slow": "wait", "on_history_lag": "wait", "stall_timeout": "1h"}


def start(lab):
    """A feed whose ring is empty, and whose history reaches further back than max_age."""
    made = past_script((1000,) * 900, 21, lambda index: 7200 if index < OLD else 1800)
    both = {"relay": {"workers": 2}, **web(framing="relay:line", history=lab.directory / "history", **RING)}
    both["listener web"]["max_age"] = "1h"
    return record_past(lab, both, made, 800), made


def test_what_is_older_is_as_if_it_were_gone(lab):
    relay, made = start(lab)
    for query in (f"from={SESSION}-1", f"from={SESSION}-{OLD}", "from=7", "since=-90m", "since=-100d"):
        code, fields, body = ask(relay, f"/a?{query}")
        assert code == 416 and fields["relay-oldest"] == str(OLD + 1), (query, code, fields, body)
        assert f"oldest one it has is {OLD + 1}, of 20" in body
    relay.publish("a", made.wire[packet_start(made, 800):])
    for query, first in ((f"from={SESSION}-{OLD + 1}", OLD), (f"from={SESSION}-{OLD + 100}", OLD + 99), ("from=0", OLD),
                         ("since=-50m", OLD), ("burst=3000s", OLD), ("burst=3h", OLD)):
        one = relay.subscribe("web", made, kind=FramedWebSubscriber, path=f"/a?format=framed&{query}", start=None)
        lab.loop.run(lambda one=one: one.position == len(made.payload), what=f"all behind {query}")
        assert (one.headers[0].sequence, one.gaps) == (first + 1, []), query
        one.close()


def test_an_event_source_that_was_away_for_longer(lab):
    """It is told what it misses."""
    relay, made = start(lab)
    one = relay.subscribe("web", made, kind=EventSubscriber, start=None, fields={"Last-Event-ID": f"{SESSION}-10"})
    lab.loop.run(lambda: one.gaps, what="to be told")
    relay.publish("a", made.wire[packet_start(made, 800):])
    relay.run_until_done([one])
    assert one.start == 800_000


def test_the_ring_alone(lab):
    """Without a history: what the ring has had for too long cannot be asked for, and no burst reaches back to it."""
    both = web(framing="line", burst="1")
    both["listener web"]["max_age"] = "1s"
    relay = lab.start(both)
    publisher = relay.publish("a", MADE.wire[:100_000])
    relay.wait("a", in_messages=100)
    lab.loop.run(lambda: ask(relay, "/a?from=1&until=-0s")[0] == 416, what="it to be too old", poll=0.2)
    publisher.send(MADE.wire[100_000:200_000])
    relay.wait("a", in_messages=200)
    for wish in ("from=0", "burst=65536k", "burst=1h"):
        one = relay.subscribe("web", MADE, kind=FramedWebSubscriber, path=f"/a?format=framed&{wish}", base=1, start=None)
        lab.loop.run(lambda one=one: one.position == 200_000, what=f"what is young enough with {wish}")
        assert one.headers[0].sequence > 100, (wish, one.headers[0])
    one = relay.subscribe("web", MADE, kind=EventSubscriber, start=None,
                          fields={"Last-Event-ID": f"{ask(relay, '/a?from=9999')[1]['relay-session']}-1"})
    lab.loop.run(lambda: one.position == 200_000, what="what is young enough, behind a gap")
    assert one.gaps and one.start >= 100_000

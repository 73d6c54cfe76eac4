# SPDX-License-Identifier: MIT
"""coalesce: small pieces of a publisher are taken together, and nothing that is held is lost."""

import signal

import pytest

from relaytest.ini import feed
from relaytest.stream import script

LONG = {"coalesce": "512k", "coalesce_time": "1m", "on_slow": "wait", "stall_timeout": "1h"}


def pieces(made):
    return [made.wire[at:at + 500] for at in range(0, len(made.wire), 500)]


@pytest.mark.parametrize("way", ["listen-tcp", "listen-unix", "fifo"])
@pytest.mark.parametrize("engine", ["auto", "splice", "compact", "copy"])
def test_pieces_are_taken_together(lab, way, engine):
    """TCP holds all until so many bytes are there; the others can be held for 2 ms only."""
    made = script("line", (1000,) * 20, 1)
    is_tcp = way == "listen-tcp"
    way = lab.ingest(way, "a")
    options = {**LONG, "coalesce": len(made.wire) if is_tcp else LONG["coalesce"]}
    relay = lab.start(feed("a", way.value, framing="line", engine=engine, **options))
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    way.open(relay).send_each(pieces(made))
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["in_messages"] == 20
    assert seen["in_packets"] == 1 if is_tcp else seen["source_holds"] >= 1, seen


@pytest.mark.parametrize("event", ["end", "takeover", "reload", "upgrade", "drain"])
def test_what_is_held_is_not_lost(lab, event):
    made = script("line", (1000,) * 20, 1)
    half = made.ends[9]
    sections = feed("a", framing="line", takeover="replace", **LONG)
    relay = lab.start(sections)
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", made.wire[:half])
    relay.wait("a", source_holds=1, in_messages=0)
    if event == "drain":
        relay.signal(signal.SIGTERM)
        lab.loop.run(lambda: reader.position == half, what="what was held")
        return
    if event == "takeover":
        publisher = relay.publish("a", made.wire[half:])
    elif event == "reload":
        sections["feed a"]["coalesce"] = "none"
        relay.reload(sections)
    elif event == "upgrade":
        relay.upgrade()
    if event in ("end", "takeover"):
        publisher.flush().close()
    if event != "takeover":
        if event != "upgrade":
            lab.loop.run(lambda: reader.position == half, what="what was held")
        publisher = relay.publish("a") if event == "end" else publisher
        publisher.send(made.wire[half:]).flush().close()
    relay.run_until_done([reader])


def test_reloads_while_a_unix_socket_is_held(lab):
    """It is not watched for these 2 ms; a reload that ends the hold has it watched again."""
    made = script("line", (1000,) * 60, 1)
    sections = feed("a", lab.ingest("listen-unix", "a").value, framing="line", **LONG)
    relay = lab.start(sections)
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a")
    for number, end in enumerate(made.ends):
        sections["feed a"]["coalesce"] = ("64k", "512k")[number % 2]
        publisher.send(made.message(number))
        lab.loop.run(lambda: publisher.done, what="a line to be sent")
        relay.wait_log("reloaded", relay.reload(sections))
        lab.loop.run(lambda: reader.position == end, what=f"line {number}")
    assert relay.feed("a")["source_holds"] > 0

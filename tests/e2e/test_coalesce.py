# SPDX-License-Identifier: MIT
"""coalesce: small pieces of a publisher are taken together, and nothing that is held is lost."""

import signal

import pytest

from relaytest.ini import feed
from relaytest.stream import script
from relaytest.web_publisher import KINDS, body_of, connect, head_of, published, statuses

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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ["auto", "splice"])
def test_pieces_of_a_body_are_taken_together(lab, kind, engine):
    """What is held is the body as it comes, chunk heads and all; its end is answered, though nothing comes behind it."""
    made = script("line", (1000,) * 20, 1)
    body = body_of(kind, made.wire, most=700, parts=made.wire_pieces() if kind == "websocket" else None)
    relay = lab.start(published(lab, framing="line", engine=engine, **{**LONG, "coalesce_time": "300ms"}))
    readers = relay.subscribe("a-raw", made, 2)
    relay.wait("a", subscribers=2)
    publisher = connect(relay, head_of(kind, len(made.wire)))
    parts = [body[at:at + 500] for at in range(0, len(body), 500)]
    publisher.send_each(parts[:-1])
    relay.wait("a", test=lambda seen: seen["source_holds"] >= 1)
    publisher.send_each(parts[-1:])
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["source_holds"] >= 1 and seen["in_packets"] < 10, seen
    if kind in ("length", "chunked"):
        lab.loop.run(lambda: statuses(publisher) == [204], what="the answer")


def test_a_body_of_known_length_is_not_held_at_its_end(lab):
    """Nothing more can come, so who waits for the answer need not wait for coalesce_time."""
    made = script("line", (1000,) * 20, 1)
    half = made.ends[9] + 300
    relay = lab.start(published(lab, framing="line", **LONG))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    publisher = connect(relay, head_of("length", len(made.wire))).flush()
    publisher.send(made.wire[:half])
    relay.wait("a", source_holds=1)
    publisher.send(made.wire[half:])
    lab.loop.run(lambda: statuses(publisher) == [204], ceiling=30, what="the answer")
    relay.run_until_done([reader])


@pytest.mark.parametrize("kind", ["chunked", "length", "websocket"])
@pytest.mark.parametrize("event", ["takeover", "end", "upgrade"])
def test_a_body_that_is_held_is_not_lost(lab, event, kind):
    """What had come of a body that is taken over is published, and so is the last part of a whole one."""
    made = script("line", (1000,) * 20, 1)
    half = made.ends[9]
    parts = made.wire_pieces()[:10] if kind == "websocket" else None
    body = body_of(kind, made.wire[:half], most=700, parts=parts)
    end_bytes = {"chunked": 5, "length": 0, "websocket": 8}[kind]
    relay = lab.start(published(lab, framing="line", takeover="replace", **LONG))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    length = half if event == "end" else len(made.wire)
    publisher = connect(relay, head_of(kind, length) + (body if event == "end" else body[:len(body) - end_bytes]))
    relay.wait("a", source_connects=1)
    publisher.flush()
    if event == "end":
        publisher.half_close()
        lab.loop.run(lambda: publisher.lost, what="the answer")
        assert statuses(publisher) == [101 if kind == "websocket" else 204]
    elif event == "upgrade":
        relay.upgrade()
        lab.loop.run(lambda: publisher.lost, what="the answer")
        assert statuses(publisher) == [101 if kind == "websocket" else 503] and publisher.lost == "fin"
        assert kind != "websocket" or publisher.received.count(b"\x03\xf4") == 1  # 1012, the server restarts
        relay.wait("a", source_handover=1, in_messages=10)
    connect(relay, head_of("length", len(made.wire) - half) + made.wire[half:]).flush().half_close()
    relay.run_until_done([reader])

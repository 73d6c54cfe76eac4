# SPDX-License-Identifier: MIT
"""What is published is compressed once for all: gzip for bodies and events, permessage-deflate for WebSockets. Each
reader inflates it by an implementation of its own and compares every byte."""

import json
import random
import struct
import subprocess

import pytest

from relaytest.browser import Browser
from relaytest.compressed import AGREED, GZIP, OFFER, DeflateSubscriber, Gzip, GzipEventSubscriber, everything_compressed
from relaytest.crashing import Crashing
from relaytest.ini import ENGINES, TIGHT, web
from relaytest.stream import KIB, Script, script, text_script
from relaytest.surroundings import chromium, needs, python_module
from relaytest.web import (BINARY, CLOSE, PING, TEXT, EventSubscriber, FramedWebSocketSubscriber, WebSocketSubscriber,
                           WebSubscriber, ask, asked, everything)
import test_replay_kept
from test_websocket import Received

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
RING = {"ring": "512k", "segment": "64k", "grace": "0"}
SLOW = {"receive_buffer": 4096, "paused": True}
EVENTS = {"Accept": "text/event-stream"}
CONTINUATION = 0


def sections(options=None, workers=1, **more):
    return {"relay": {"workers": workers}, **web(options={"compress": "yes", **(options or {})}, **more)}


def json_lines(count, seed, trades=1):
    """From 5 trades on, each is long enough to be compressed among others."""
    pick = random.Random(seed)
    lines = [b",".join(b'{"symbol":"%s","price":%d.%02d,"size":%d,"venue":"XNAS"}'
                       % (pick.choice((b"ABC", b"XYZ", b"QQQ")), pick.randrange(500), pick.randrange(100), pick.randrange(1000))
                       for _ in range(trades)) for _ in range(count)]
    lines = [b"%s\n" % line if trades == 1 else b"[%s]\n" % line for line in lines]
    ends, at = [], 0
    for line in lines:
        at += len(line)
        ends.append(at)
    return Script("line", b"".join(lines), ends=ends)


def made_of(framing):
    """Some of it is noise, which cannot be compressed."""
    sizes = (30_000, 300, 4096, 2) * 60
    return text_script(sizes, 3) if framing == "line" else script(framing, (16 * KIB,) * 60 if framing == "none" else sizes, 3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("framing", ["line", "none", "u32be"])
def test_everybody_gets_the_same_bytes(lab, engine, framing):
    """Compressed or not, side by side in two workers; and to compress costs the same for five readers as for one."""
    made = made_of(framing)
    relay = lab.start(sections(workers=2, framing=framing, heartbeat="50ms", **LOSSLESS, **ENGINES[engine]))
    kinds = everything_compressed(framing)
    packed = [one for kind, options in kinds for one in relay.subscribe("web", made, 5, kind=kind, **options)]
    plain = [one for kind, options in everything(framing) for one in relay.subscribe("web", made, 2, kind=kind, **options)]
    relay.wait("a", subscribers=len(packed) + len(plain))
    relay.publish("a", made.wire)
    relay.run_until_done(packed + plain, 60)
    seen = relay.wait("a", compressed_bytes=len(kinds) * 2 * len(made.payload))
    if framing == "line":  # the digits of a number: half of it is needed
        assert seen["compressed_to_bytes"] < 0.7 * seen["compressed_bytes"], seen
        assert all(one.packed for one in packed)
    wide = [one for one in plain if type(one) is WebSocketSubscriber]
    assert all("sec-websocket-extensions" not in one.fields for one in wide)


def test_lines_of_json_become_small(lab):
    made = json_lines(5000, 4)
    relay = lab.start(sections(framing="line", **LOSSLESS))
    kinds = [(GzipEventSubscriber, EventSubscriber), (Gzip, WebSubscriber), (DeflateSubscriber, WebSocketSubscriber)]
    pairs = [[relay.subscribe("web", made, kind=kind) for kind in pair] for pair in kinds]
    relay.wait("a", subscribers=6)
    relay.publish("a", made.wire)
    relay.run_until_done([one for pair in pairs for one in pair])
    for packed, plain in pairs:
        assert packed.received < 0.45 * plain.received, (type(packed), packed.received, plain.received)


def test_what_cannot_be_compressed_goes_as_it_is(lab):
    """Also messages that are too short for it."""
    made = script("u32be", (70_000, 1, 5, 3000) * 10, 5)
    relay = lab.start(sections(framing="u32be", **LOSSLESS))
    whole = relay.subscribe("web", made, kind=DeflateSubscriber, path="/a?messages=message", per_message=True)
    plain = relay.subscribe("web", made, kind=WebSocketSubscriber, path="/a?messages=message", per_message=True)
    relay.wait("a", subscribers=2)
    publisher = relay.publish("a")
    publisher.send_each(made.wire_pieces())
    relay.run_until_done([whole, plain])
    assert whole.received <= plain.received and 0 < whole.packed < made.count


def test_short_messages_of_one_packet_go_as_they_are(lab):
    """Alone in its packet, each is worth it."""
    made = json_lines(200, 12, 4)
    relay = lab.start(sections(framing="line", **LOSSLESS))
    one = relay.subscribe("web", made, kind=DeflateSubscriber, path="/a?messages=message", per_message=True)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a")
    for at in range(20):
        publisher.send(made.message(at))
        lab.loop.run(lambda: one.position == made.start_of(at + 1), what="each line")
    assert one.packed == 20 == relay.feed("a")["in_packets"]
    publisher.send(made.wire[made.start_of(20):])
    relay.run_until_done([one])
    assert one.packed < relay.feed("a")["in_packets"] < 40  # more than one at once may have come in pieces


# --- who gets it

def head(relay, path="/a", **fields):
    status, fields, _ = ask(relay, path, {name.replace("_", "-"): value for name, value in fields.items()}, method="HEAD")
    assert status == 200
    return fields


@pytest.mark.parametrize("accepts, coding", [
    (None, None), ("gzip", "gzip"), ("gzip, deflate, br", "gzip"), ("*", "gzip"), ("gzip;q=0", None), ("br, *;q=0", None),
    ("identity", None), ("gzip;q=0.5, identity;q=0.9", None), ("deflate", None),
])
def test_a_body_is_compressed_for_who_accepts_it(lab, accepts, coding):
    relay = lab.start(sections(framing="line"))
    fields = {"Accept_Encoding": accepts} if accepts else {}
    for more in ({}, EVENTS):
        seen = head(relay, **fields, **more)
        assert seen.get("content-encoding") == coding and seen["vary"] == "Accept-Encoding"
    seen = head(relay, "/a?format=framed", **fields)
    assert "content-encoding" not in seen and "vary" not in seen


def test_it_is_for_the_asking_and_off_by_itself(lab):
    """Without compress = yes, and where a client is too old or cannot say what it takes."""
    made = json_lines(50, 1)
    relay = lab.start(sections(options={"compress": "no"}, framing="line"))
    for more in ({}, EVENTS):
        seen = head(relay, **{"Accept_Encoding": "gzip"}, **more)
        assert "content-encoding" not in seen and "vary" not in seen
    readers = [relay.subscribe("web", made, kind=WebSocketSubscriber, fields=OFFER),
               relay.subscribe("web", made, kind=EventSubscriber, fields=GZIP),
               relay.subscribe("web", made, kind=WebSubscriber, fields=GZIP, version="1.0")]
    relay.wait("a", subscribers=3)
    assert relay.reload(sections(framing="line")) is not None
    relay.wait_log("reloaded")
    readers.append(relay.subscribe("web", made, kind=EventSubscriber, fields=GZIP, version="1.0"))
    readers.append(relay.subscribe("web", made, kind=FramedWebSocketSubscriber, fields=OFFER))
    relay.wait("a", subscribers=5)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    assert all("sec-websocket-extensions" not in one.fields and "content-encoding" not in one.fields for one in readers)
    assert relay.feed("a")["compressed_bytes"] == 0


@pytest.mark.parametrize("offer, answer", [
    ("permessage-deflate", AGREED),
    ("permessage-deflate; server_max_window_bits=15", AGREED + "; server_max_window_bits=15"),
    ("permessage-deflate; server_max_window_bits=9", None),
    ("permessage-deflate; server_max_window_bits=9, permessage-deflate", AGREED),
    ("permessage-deflate; server_max_window_bits=99", None),
    ("permessage-deflate; unheard_of", None),
    ("x-webkit-deflate-frame", None),
])
def test_an_offer_is_met_or_left(lab, offer, answer):
    made = json_lines(20, 1)
    relay = lab.start(sections(framing="line"))
    kind = type("Offering", (DeflateSubscriber,), {"check_status": WebSocketSubscriber.check_status})
    one = relay.subscribe("web", made, kind=kind, fields={"Sec-WebSocket-Extensions": offer})
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.run_until_done([one])
    assert one.fields.get("sec-websocket-extensions") == answer and bool(one.packed) == bool(answer)


def test_compress_is_for_http(lab):
    relay = lab.start(web(options={"format": "raw", "compress": "yes"}), wait=False).expect("compress is for format = http only")
    assert relay.wait_exit() == 78


def test_a_reload_takes_it_away(lab):
    """Who reads it compressed is closed; the others stay."""
    made = json_lines(100, 1)
    with_it = sections(framing="line")
    relay = lab.start(with_it)
    packed = [relay.subscribe("web", made, kind=kind) for kind in (Gzip, GzipEventSubscriber, DeflateSubscriber)]
    stays = relay.subscribe("web", made, kind=EventSubscriber)
    relay.wait("a", subscribers=4)
    relay.wait_log("reloaded", relay.reload(sections(options={"compress": "no"}, framing="line")))
    lab.loop.run(lambda: all(one.end for one in packed), what="their ends")
    assert packed[0].finished and packed[1].finished and packed[2].close_code == 1001
    relay.wait("a", subscribers=1, closed_removed=3)
    relay.publish("a", made.wire)
    relay.run_until_done([stays])


# --- what a WebSocket client sends

@pytest.mark.parametrize("frames, code", [
    ([dict(opcode=TEXT, data=b"\xaa\x00", reserved=0x40), dict(opcode=BINARY, data=b"not deflate", reserved=0x40)], None),
    ([dict(opcode=TEXT, data=b"\xff", reserved=0x40, final=False), dict(opcode=PING, data=b"x"),
      dict(opcode=CONTINUATION, data=b"\xfe")], None),
    ([dict(opcode=PING, reserved=0x40)], 1002),
    ([dict(opcode=TEXT, final=False), dict(opcode=CONTINUATION, reserved=0x40)], 1002),
    ([dict(opcode=TEXT, reserved=0x20)], 1002),
    ([dict(opcode=TEXT, data=b"\xff")], 1007),
    ([dict(opcode=BINARY, data=b"x" * 5000, reserved=0x40)], 1009),
])
def test_a_client_may_compress_what_is_passed_over(lab, frames, code):
    """It is never inflated; as much as it has on the wire counts."""
    made = json_lines(20, 1)
    relay = lab.start(sections(options={"max_input": "4k"}, framing="line", heartbeat="0"))
    one = relay.subscribe("web", made, kind=DeflateSubscriber)
    relay.wait("a", subscribers=1)
    for each in frames:
        one.send_frame(**each)
    if code:
        lab.loop.run(lambda: one.end, what="the end")
        assert one.close_code == code
        return
    pongs = len(one.pongs)
    one.send_frame(PING, b"still there?")
    lab.loop.run(lambda: b"still there?" in one.pongs, what="a pong")
    relay.publish("a", made.wire)
    relay.run_until_done([one])
    one.send_frame(CLOSE, struct.pack(">H", 1000))
    lab.loop.run(lambda: one.end, what="the end")
    assert one.close_code == 1000 and pongs <= 1


# --- the middle of the stream

def test_a_reader_begins_anywhere(lab):
    """With a burst, from any message, and where an event stream left off."""
    made = json_lines(3000, 2, 5)
    relay = lab.start(sections(framing="line", ring="4m"))
    relay.subscribe("a-raw", made)  # of which what is made anew has its past
    first = relay.subscribe("web", made, kind=GzipEventSubscriber)
    relay.wait("a", subscribers=2)
    publisher = relay.publish("a")
    for at in range(0, 2000, 100):
        publisher.send(made.wire[made.start_of(at):made.start_of(at + 100)])
        lab.loop.run(lambda: first.position == made.start_of(at + 100), what="each piece")
    session = first.last_event_id.split("-")[0]
    kinds = [(kind, {**options, "per_message": False} if "per_message" in options else options)
             for kind, options in everything_compressed("line")]
    late = [relay.subscribe("web", made, kind=kind, start=None, **asked(kind, options, query))
            for kind, options in kinds
            for query in ("burst=10k", *(f"from={session}-{number}" for number in (1500, 1777, 1999, 2001)))]
    back = relay.subscribe("web", made, kind=GzipEventSubscriber, fields={"Last-Event-ID": f"{session}-1500"})
    relay.wait("a", subscribers=len(late) + 3)
    publisher.send(made.wire[made.start_of(2000):])
    relay.run_until_done([first, back, *late])
    assert made.start_of(1400) <= back.start <= made.start_of(1500) and not back.gaps
    assert relay.feed("a")["gaps"] == 0 and all(one.packed for one in late)


def test_slow_ones_are_told(lab):
    """Events and, with gaps = yes, WebSockets skip and say so; bodies cannot, and end."""
    made = text_script((4000,) * 6000, 2)
    relay = lab.start(sections(framing="line", ring="256k", segment="64k", grace="0", stall_timeout="1h",
                               options={"gaps": "yes", "send_buffer": "16k"}))
    options = {"receive_buffer": 8 * KIB, "paused": True}
    events = relay.subscribe("web", made, kind=GzipEventSubscriber, **options)
    sockets = [relay.subscribe("web", made, kind=DeflateSubscriber, path=path, **options, per_message="messages" in path)
               for path in ("/a", "/a?messages=message")]
    chunks = relay.subscribe("web", made, kind=Gzip, **options)
    relay.wait("a", subscribers=4)
    relay.publish("a", made.wire)
    relay.wait("a", in_messages=6000, closed_lag=1)
    for one in (events, *sockets, chunks):
        one.resume()
    relay.run_until_done([events, *sockets])
    lab.loop.run(lambda: chunks.end, what="its end")
    assert events.gaps and all(one.gaps for one in sockets) and chunks.end == "rst" and not chunks.finished
    assert relay.feed("a")["gaps"] == len(events.gaps) + sum(len(one.gaps) for one in sockets)


def test_news_are_in_the_stream(lab):
    """Heartbeats, a source that goes and comes, the end of a drain."""
    made = json_lines(100, 3)
    relay = lab.start(sections(framing="line", heartbeat="30ms"))
    events = relay.subscribe("web", made, kind=GzipEventSubscriber)
    socket = relay.subscribe("web", made, kind=DeflateSubscriber)
    body = relay.subscribe("web", made, kind=Gzip)
    relay.wait("a", subscribers=3)
    publisher = relay.publish("a", made.wire[:made.start_of(40)])
    lab.loop.run(lambda: events.position == made.start_of(40), what="the first messages")
    publisher.close()
    lab.loop.run(lambda: (b"source", b"down") in events.news, what="the news")
    relay.publish("a", made.wire[made.start_of(40):])
    relay.run_until_done([events, socket, body])
    lab.loop.run(lambda: socket.pings > 2, what="pings")
    assert [said for _, said in events.news][-2:] == [b"down", b"up"]
    relay.signal(15)
    assert relay.wait_exit() == 0
    lab.loop.run(lambda: all(one.end == "fin" for one in (events, socket, body)), what="their ends")
    assert len(events.retries) == 2 and events.finished and body.finished and socket.close_code == 1001


def test_the_history_is_sent_as_it_is(lab):
    """To compress for one reader alone is not worth it: the stream is the same, and goes on compressed from the ring."""
    made = json_lines(30_000, 6, 5)
    relay = lab.start(sections(workers=2, framing="line", history=lab.directory / "history", history_file="1m", ring="128k",
                               segment="64k", grace="0", on_slow="wait", on_history_lag="wait", stall_timeout="1h"))
    publisher = relay.publish("a", made.wire[:made.start_of(25_000)])
    relay.wait("a", in_messages=25_000)
    reader = relay.subscribe("web", made, kind=EventSubscriber, path="/a?from=1")
    lab.loop.run(lambda: reader.position == made.start_of(25_000), what="the history")
    reader.close()
    before = relay.feed("a")
    kinds = everything_compressed("line")
    readers = [relay.subscribe("web", made, kind=kind, **asked(kind, options, "from=1")) for kind, options in kinds]
    lab.loop.run(lambda: all(one.position == made.start_of(25_000) for one in readers), what="the history")
    relay.wait("a", subscribers_replaying=0)
    seen = relay.feed("a")
    assert seen["replayed_bytes"] - before["replayed_bytes"] > len(kinds) * made.start_of(20_000)
    # What a new format takes of the ring is compressed, once for each worker.
    assert seen["compressed_bytes"] <= len(kinds) * 2 * 128 * KIB * 2, seen
    packed = [one.packed for one in readers]
    publisher.send(made.wire[made.start_of(25_000):])
    relay.run_until_done(readers)
    assert all(one.packed > count for one, count in zip(readers, packed))


# --- another process

@pytest.mark.parametrize("engine", ["splice-gift", "copy"])
def test_a_hand_over_keeps_everybody(lab, engine):
    """Some in mid-frame; and those that compress what they send may go on doing so."""
    made = made_of("line")
    relay = lab.start(sections(workers=2, framing="line", options=TIGHT, **RING, **LOSSLESS, **ENGINES[engine]))
    readers, slow = [], []
    for kind, options in everything_compressed("line"):
        readers += relay.subscribe("web", made, 2, kind=kind, **options)
        slow += relay.subscribe("web", made, 2, kind=kind, **SLOW, **options)
    everybody = readers + slow
    relay.wait("a", subscribers=len(everybody))
    publisher = relay.publish("a", made.wire)
    pick = random.Random(engine)
    for number in range(4):
        for one in slow:
            one.read_exactly(pick.randrange(1, len(made.wire) // 20))
        lab.loop.run(lambda: any(one.received == one.limit for one in slow), 60, "some of it")
        for one in everybody:
            if isinstance(one, DeflateSubscriber):
                one.send_frame(TEXT, b"\xff%d" % number, reserved=0x40)
        relay.upgrade()
    assert publisher.lost is None
    for one in slow:
        one.unlimited()
    relay.run_until_done(everybody, 60)
    seen = relay.feed("a")
    assert seen["subscribers_resumed"] == 4 * len(everybody) and seen["gaps"] == 0, seen
    assert not any(key.startswith("closed_") and seen[key] for key in seen), seen


def test_a_crash_keeps_who_is_at_rest(lab):
    made = json_lines(3000, 7)
    crashing = Crashing(lab, sections(workers=2, framing="line", on_slow="wait", stall_timeout="1h", ring="16m"))
    relay = crashing.relay
    everybody = [one for kind, options in everything_compressed("line")
                 for one in relay.subscribe("web", made, 2, kind=kind, **options)]
    relay.wait("a", subscribers=len(everybody))
    for begin, end in ((0, 1000), (1000, 2000), (2000, 3000)):
        crashing.relay.publish("a", made.wire[made.start_of(begin):made.start_of(end)])
        lab.loop.run(lambda: all(one.position == made.start_of(end) for one in everybody), 60, "all of it")
        if end < 3000:
            assert crashing.die_at_rest() == (len(everybody), 0)
    assert not any(one.gaps for one in everybody if hasattr(one, "gaps"))


@pytest.mark.parametrize("how", ["upgrade", "crash"])
def test_who_reads_the_history_goes_on(lab, how):
    """Each in the middle of a packet that the next process makes anew."""
    made = text_script((1000,) * 6000, 3)
    options = test_replay_kept.sections(lab, "line", options={"compress": "yes"})
    crashing = Crashing(lab, options) if how == "crash" else None
    relay = crashing.relay if crashing else lab.start(options)
    _, live = test_replay_kept.fill(relay, made)
    live.close()
    some = [relay.subscribe("web", made, kind=kind, **SLOW, **asked(kind, options, "from=0"))
            for kind, options in everything_compressed("line")]
    pick = random.Random(how)
    for _ in range(3):
        relay.wait("a", subscribers=len(some), subscribers_replaying=len(some))
        test_replay_kept.read_some(lab.loop, some, pick)
        if crashing:
            assert crashing.die_at_rest() == (len(some), 0)
            relay = crashing.relay
        else:
            relay.upgrade()
    for one in some:
        one.unlimited()
    relay.run_until_done(some)
    relay.wait("a", subscribers_replaying=0)


# --- clients that others wrote

def test_curl_takes_it(lab):
    """An end that relay makes is a good one, although gzip has no trailer."""
    made = json_lines(2000, 8)
    relay = lab.start(sections(framing="line", on_source_loss="close", **LOSSLESS))
    url = "http://" + relay.address["listener web"].removeprefix("tcp:") + "/a"
    curls = [subprocess.Popen(["curl", "-sSN", "--compressed", *more, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
             for more in ([], ["-H", "Accept: text/event-stream"])]
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire).flush().close()
    body, events = (curl.communicate(timeout=60) for curl in curls)
    assert [curl.returncode for curl in curls] == [0, 0], (body[1], events[1])
    assert body[0] == made.payload
    lines = [line[6:] + b"\n" for line in events[0].split(b"\n") if line.startswith(b"data: ")]
    assert b"".join(line for line in lines if line.startswith(b"{")) == made.payload
    assert relay.feed("a")["compressed_bytes"] == 2 * len(made.payload)


@needs(python_module, "websockets")
@pytest.mark.parametrize("query", ["", "?text=1", "?messages=message"])
def test_python_websockets_takes_it(lab, query):
    made = json_lines(2000, 9, 5)
    relay = lab.start(sections(framing="line", **LOSSLESS))
    url = "ws://" + relay.address["listener web"].removeprefix("tcp:") + "/a"
    client = Received(url + query, len(made.payload), compression="deflate")
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    lab.loop.run(lambda: client.done, what="the client", poll=0.01)
    joined = ("" if "text" in query else b"").join(client.messages)
    assert (joined.encode() if "text" in query else joined) == made.payload
    seen = relay.feed("a")
    assert seen["compressed_bytes"] == len(made.payload)
    # Each has a head.
    assert seen["compressed_to_bytes"] < len(made.payload) + (2 * made.count if "message" in query else 0)


@needs(chromium)
def test_chromium_takes_it(lab):
    """Chromium asks for it by itself, and joins in the middle."""
    made = json_lines(300, 10)
    relay = lab.start(sections(framing="line", options={"burst": "4k"}, **LOSSLESS))
    where = relay.address["listener web"].removeprefix("tcp:")
    publisher = relay.publish("a", made.wire[:made.start_of(100)])
    relay.wait("a", in_messages=100)
    with Browser(lab.directory) as browser:
        browser.open(f"http://{where}/")
        browser.wait("document.body && document.body.textContent.includes('/a')")
        browser.value("""{ events = []; sockets = []; body = '';
            new EventSource('/a').onmessage = (event) => events.push(event.data);
            socket = new WebSocket(`ws://${location.host}/a?text=1&messages=message`);
            socket.onmessage = (event) => sockets.push(event.data);
            (async () => { const answer = await fetch('/a'); const reader = answer.body.getReader();
                const decoder = new TextDecoder();
                for (;;) body += decoder.decode((await reader.read()).value, {stream: true}); })(); 0 }""")
        browser.wait("socket.readyState === 1 && events.length && sockets.length && body")
        assert browser.value("socket.extensions") == AGREED
        publisher.send(made.wire[made.start_of(100):])
        relay.wait("a", in_messages=300)
        whole = made.payload.decode()
        last = json.dumps(made.message(299).decode().strip())
        for name in ("events", "sockets", "body"):
            browser.wait(f"String({name}).trim().endsWith({last})", what=name)
        assert whole.endswith("".join(line + "\n" for line in browser.value("events")))
        assert whole.endswith("".join(browser.value("sockets"))) and whole.endswith(browser.value("body"))
    assert relay.feed("a")["compressed_bytes"] >= 3 * len(made.wire[made.start_of(100):])

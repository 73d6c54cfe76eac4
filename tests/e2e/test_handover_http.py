# SPDX-License-Identifier: MIT
"""A new process in place of the old one (SIGUSR2), seen by HTTP: chunks, bare bytes, events and WebSockets go on to
the byte; who is in the middle of what it says is told to come again (1012); and who is still at its request asks the
new process again."""

import random
import re
import struct

import pytest

from relaytest import daemon, ini
from relaytest.ini import ENGINES, TIGHT, feed
from relaytest.stream import KIB, script, text_script
from relaytest.web import (BINARY, CLOSE, PING, TEXT, Answer, EventSubscriber, FramedWebSubscriber, WebSocketSubscriber,
                           WebSubscriber, everything, frame, request, upgrade, wait_read)

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
RING = {"ring": "512k", "segment": "64k", "grace": "0"}
SLOW = {"receive_buffer": 4096, "paused": True}
WORKERS = {"relay": {"workers": 2}}
UPGRADES = 10
CONTINUATION = 0


def web(options=None, **more):
    return WORKERS | ini.web(options=options, **more)


def made_of(framing):
    sizes = (30_000, 300, 4096, 2) * 200
    if framing == "line":
        return text_script(sizes, 3)
    return script(framing, (16 * KIB,) * 420 if framing == "none" else sizes, 3)


@pytest.mark.parametrize("framing", ["none", "line", "u32be"])
@pytest.mark.parametrize("engine", ENGINES)
def test_keeps_everybody(lab, engine, framing):
    """Of each kind some read and some are cut in mid-frame, by tiny buffers; all of them ping all the while."""
    made = made_of(framing)
    relay = lab.start(web(framing=framing, options=TIGHT, **RING, **LOSSLESS, **ENGINES[engine]))
    readers, slow = [], []
    for kind, options in everything(framing):
        readers += relay.subscribe("web", made, 2, kind=kind, **options)
        slow += relay.subscribe("web", made, 2, kind=kind, **SLOW, **options)
    everybody = readers + slow
    relay.wait("a", subscribers=len(everybody))
    publisher = relay.publish("a", made.wire)
    pick = random.Random(engine)
    sockets = [one for one in everybody if isinstance(one, WebSocketSubscriber)]
    for number in range(UPGRADES):
        for one in slow:
            one.read_exactly(pick.randrange(1, len(made.wire) // UPGRADES))
        lab.loop.run(lambda: any(one.received == one.limit for one in slow), 60, "some of it")
        for one in sockets:
            one.send_frame(PING, b"%d" % number)
        relay.upgrade()
    assert publisher.lost is None
    for one in slow:
        one.unlimited()
    relay.run_until_done(everybody, 60)
    lab.loop.run(lambda: all(one.pongs and one.pongs[-1] == b"%d" % (UPGRADES - 1) for one in sockets), what="pongs")
    count = len(everybody)
    seen = relay.wait("a", delivered_messages=count * made.count) if framing != "none" else relay.feed("a")
    assert seen["subscribers"] == seen["subscribers_total"] == count and seen["gaps"] == 0, seen
    assert seen["subscribers_resumed"] == UPGRADES * count, seen
    assert seen["source_connects"] == 1 and not any(key.startswith("closed_") and seen[key] for key in seen), seen
    assert not any("not resumed" in line for line in relay.log)


class Quiet:
    """WebSockets at a quiet feed, as many as a client's words can be cut in two."""

    loop = property(lambda self: self.relay.loop)

    def __init__(self, lab, words, cuts=None, **options):
        self.cuts = cuts or range(1, len(words))
        self.words = words
        self.script = script("none", (10,), 1)
        self.relay = lab.start(web(heartbeat="0", options={"max_input": "4k", "input_rate": "1"}),
                               **options)
        self.sockets = [self.relay.subscribe("web", self.script, kind=WebSocketSubscriber) for _ in self.cuts]
        self.relay.wait("a", subscribers=len(self.sockets))

    def begin(self, answer=None):
        """The first parts are read by the old process."""
        for one, at in zip(self.sockets, self.cuts):
            one.sock.sendall(self.words[:at])
        wait_read(self.sockets)
        self.relay.upgrade(*([answer] if answer else []))
        return self

    def say(self, answer=None):
        self.begin(answer)
        for one, at in zip(self.sockets, self.cuts):
            one.sock.sendall(self.words[at:])
        return self

    def closed(self, code, reason):
        self.relay.loop.run(lambda: all(one.end for one in self.sockets), what="their ends")
        assert {(one.close_code, one.end) for one in self.sockets} == {(code, "fin")}
        self.relay.wait("a", subscribers=0, test=lambda seen: seen[f"closed_{reason}"] == len(self.sockets))


def test_who_is_in_the_middle_of_its_words_is_told(lab):
    """Wherever a ping or a text in fragments is cut, also with a whole ping before: 1012, and a good end."""
    text = frame(TEXT, b"gr\xc3", final=False) + frame(PING, b"x") + frame(CONTINUATION, b"\xbc\xc3\x9f")
    Quiet(lab, text).begin().closed(1012, "handover")


def test_between_two_messages_it_goes_on(lab):
    """Twice, so that what was restored is handed over as well; then they read on."""
    words = frame(PING, b"still there?") + frame(TEXT, b"gr\xc3\xbc\xc3\x9f")
    first = len(frame(PING, b"still there?"))
    quiet = Quiet(lab, words, [first, len(words)] * 3)
    for count in (1, 2):
        quiet.say()
        lab.loop.run(lambda: all(len(one.pongs) == count for one in quiet.sockets), what="pongs")
    assert all(set(one.pongs) == {b"still there?"} for one in quiet.sockets)
    publisher = quiet.relay.publish("a", quiet.script.wire)
    quiet.relay.run_until_done(quiet.sockets)
    publisher.flush()


def test_the_packet_in_hand_is_finished_first(lab):
    """Who is in the middle of what it says, and of a packet, gets all that is in the ring, and then the close."""
    made = text_script((70_000,) * 20, 5)
    relay = lab.start(web(framing="line", options=TIGHT, **LOSSLESS))
    slow = relay.subscribe("web", made, 2, kind=WebSocketSubscriber, text=True, path="/a?text=1", **SLOW)
    relay.wait("a", subscribers=len(slow))
    relay.publish("a", made.wire)
    relay.wait("a", subscribers_blocked=len(slow), in_messages=made.count)
    for one in slow:
        one.sock.sendall(frame(PING, b"half")[:3])
    wait_read(slow)
    relay.upgrade()
    for one in slow:
        one.unlimited()
    lab.loop.run(lambda: all(one.end for one in slow), 60, "their ends")
    assert {(one.close_code, one.end, one.position) for one in slow} == {(1012, "fin", len(made.payload))}
    relay.wait("a", subscribers=0, closed_handover=len(slow))


def test_a_wrong_text_is_noticed(lab):
    words = frame(BINARY, b"x") + frame(TEXT, b"\xc3\x28")
    Quiet(lab, words, [len(frame(BINARY, b"x"))] * 3).say().closed(1007, "input_not_text")


def test_a_close_is_answered(lab):
    words = frame(PING, b"x") + frame(CLOSE, struct.pack(">H", 3000) + b"bye")
    Quiet(lab, words, [len(frame(PING, b"x"))] * 3).say().closed(3000, "peer_closed")


@pytest.mark.parametrize("call", ["state_memory", "execv"])
def test_a_hand_over_that_fails_does_not_show(lab, call):
    """All go on in the old process, in the middle of what they said."""
    words = frame(PING, b"still there?")
    quiet = Quiet(lab, words, range(1, len(words), 4), env=daemon.preload(RELAY_REFUSE=f"{call}:EPERM"))
    head = request("/a")
    late = Answer(quiet.relay, "web", head[:9])
    quiet.relay.expect("upgrade failed")
    quiet.say("upgrade failed: .*nothing has changed")
    lab.loop.run(lambda: all(one.pongs == [b"still there?"] for one in quiet.sockets), what="pongs")
    late.sock.send(head[9:])
    lab.loop.run(lambda: late.data.startswith(b"HTTP/1.1 200 "), what="the answer")


def test_what_a_client_may_send_is_counted_on(lab):
    """max_input holds over hand-overs, not from each to the next: 4 times 1008 bytes are within it."""
    quiet = Quiet(lab, frame(BINARY, b"z" * 120) * 8, [4 * len(frame(BINARY, b"z" * 120))])
    for _ in range(4):
        quiet.say()
    quiet.sockets[0].sock.sendall(frame(BINARY, b"z" * 120) * 3)
    quiet.closed(1008, "input")


def test_a_fin_is_still_the_end(lab):
    """Of an HTTP client FIN means that it has gone, also to a process that did not let it in."""
    made = text_script((100,) * 10, 1)
    relay = lab.start(web(framing="line", heartbeat="0"))
    readers = [relay.subscribe("web", made, kind=kind, **options) for kind, options in everything("line")]
    stays = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=len(readers) + 1)
    stays.half_close()
    relay.upgrade()
    for reader in readers:
        reader.half_close()
    relay.wait("a", subscribers=1, closed_peer_closed=len(readers))
    relay.publish("a", made.wire)
    relay.run_until_done([stays])


def test_events_go_on_by_their_ids(lab):
    """Who reads sees no seam; who comes back with its Last-Event-ID finds the past, of a format opened on demand too."""
    made = script("fixed:188", (188,) * 900, 4)
    lines = text_script((300,) * 900, 5)
    relay = lab.start({**web(framing="line", **LOSSLESS), **feed("b", framing="fixed:188", **LOSSLESS),
                       "listener more": {"feed": "b", "listen": "tcp:127.0.0.1:0", "format": "http"}})
    reader = relay.subscribe("web", lines, kind=EventSubscriber)
    first = Answer(relay, "more", request("/b", {"Accept": "text/event-stream"}))
    relay.wait("b", subscribers=1)
    publisher, other = relay.publish("a", lines.wire[:90_000]), relay.publish("b", made.wire[:188 * 440])
    relay.wait("b", in_messages=440)
    other.send(made.wire[188 * 440:188 * 450])
    lab.loop.run(lambda: reader.position == 90_000 and b"-450\n" in first.data, what="one half")
    first.reset()
    relay.wait("b", subscribers=0)
    relay.upgrade()
    place = {"Last-Event-ID": reader.last_event_id.split("-")[0] + "-100"}
    back = relay.subscribe("web", lines, kind=EventSubscriber, fields=place, start=100 * 300)
    session = re.search(rb"id: (\d+)-450\n", first.data)[1].decode()
    again = Answer(relay, "more", request("/b", {"Accept": "text/event-stream", "Last-Event-ID": f"{session}-440"}))
    publisher.send(lines.wire[90_000:])
    other.send(made.wire[188 * 450:])
    relay.run_until_done([reader, back])
    assert reader.last_id == back.last_id == 900
    lab.loop.run(lambda: b"-900\n" in again.data, what="the other half")
    ids = [int(part) for part in re.findall(rb"id: \d+-(\d+)\ndata", again.data)]
    assert ids == list(range(441, 901)) and not back.gaps and b"event: gap" not in again.data, ids[:3]


@pytest.mark.parametrize("engine", ENGINES)
def test_gaps_stay_exact(lab, engine):
    """Who may skip is told what it missed, over hand-overs as well."""
    made = text_script((4000, 30_000, 20) * 250, 2)
    relay = lab.start(web(framing="line", options={"gaps": "yes", **TIGHT}, on_slow="skip", stall_timeout="1h", **RING,
                          **ENGINES[engine]))
    leader = relay.subscribe("web", made, kind=EventSubscriber)
    slow = relay.subscribe("web", made, 2, kind=EventSubscriber, **SLOW)
    slow += relay.subscribe("web", made, 2, kind=WebSocketSubscriber, **SLOW)
    slow += relay.subscribe("web", made, 2, kind=WebSocketSubscriber, text=True, path="/a?text=1", **SLOW)
    relay.wait("a", subscribers=7)
    for one in slow[4:]:
        one.take_message = gaps_as_text(one)
    publisher = relay.publish("a").follow(leader, 256 * KIB)
    for part in range(UPGRADES):
        publisher.send(made.wire[len(made.wire) * part // UPGRADES:len(made.wire) * (part + 1) // UPGRADES])
        relay.upgrade()
        for one in slow:
            one.read_exactly(1000)
    lab.loop.run(lambda: leader.position > len(made.payload) - 256 * KIB, 60, "nearly all")
    for one in slow:
        one.unlimited()
    relay.run_until_done([leader, *slow], 60)
    seen = relay.feed("a")
    assert all(one.gaps for one in slow) and seen["gaps"] == sum(len(one.gaps) for one in slow), seen
    assert seen["subscribers_resumed"] == 7 * UPGRADES, seen


def gaps_as_text(one):
    """Of a WebSocket of texts: gaps are told by what they begin with."""
    take = one.take_message

    def take_message(opcode, data):
        if opcode == TEXT and data.startswith(b'{"gap"'):
            one.take_gap_text(data)
        else:
            take(opcode, data)

    return take_message


def test_last_words_are_said_once(lab):
    """The publisher has gone (on_source_loss = close) and they are behind, over two hand-overs: the rest, and one end."""
    made = text_script((30_000,) * 60, 6)
    relay = lab.start(web(framing="line", on_source_loss="close", options=TIGHT, **LOSSLESS))
    readers = [relay.subscribe("web", made, kind=kind, **SLOW, **options) for kind, options in everything("line")]
    relay.wait("a", subscribers=len(readers))
    publisher = relay.publish("a", made.wire)
    relay.wait("a", in_messages=made.count)
    publisher.close()
    relay.wait("a", source_losses=1)
    relay.upgrade()
    for one in readers:
        one.read_exactly(500_000)
    lab.loop.run(lambda: all(one.received == one.limit for one in readers), what="a part")
    relay.upgrade()
    for one in readers:
        one.unlimited()
    lab.loop.run(lambda: all(one.end for one in readers), 30, "their ends")
    assert [one.end for one in readers] == ["fin"] * len(readers) and all(one.done for one in readers)
    for one in readers:
        if isinstance(one, WebSocketSubscriber):
            assert one.close_code == 1001, one.close_code
        else:  # the framed stream is a body without chunks
            assert one.finished == (one.version == "1.1" and not isinstance(one, FramedWebSubscriber))
    relay.wait("a", subscribers=0, closed_source_lost=len(readers))


# Places.


def test_addresses_and_limits_are_counted_at_once(lab):
    """Also of those whose address a proxy told; and a token is still asked for."""
    tokens = lab.directory / "tokens"
    tokens.write_text("# one\nsesame-open-0123456789\n")
    relay = lab.start(web(framing="line", max_subscribers=6, options={
        "max_per_ip": 2, "trusted_proxies": "127.0.0.5", "token_file": tokens}))
    fields = {"Authorization": "Bearer sesame-open-0123456789"}

    def through(host, accept="*/*"):
        head = f"PROXY TCP4 {host} 127.0.0.1 5 80\r\n".encode()
        return Answer(relay, "web", head + request("/a", {**fields, "Accept": accept}), source="127.0.0.5")

    def ask(fields, source=None):
        return Answer(relay, "web", request("/a", fields), source=source).wait()[0]

    held = [through("10.8.0.1"), through("10.8.0.1", "text/event-stream"), through("10.8.0.2")]
    made = text_script((100,) * 10, 1)
    own = [relay.subscribe("web", made, kind=kind, fields=fields) for kind in (WebSubscriber, WebSocketSubscriber)]
    relay.wait("a", subscribers=5)
    assert ask({}) == 401
    since = len(relay.log)
    relay.upgrade()
    for source in (None, "127.0.0.1"):
        assert ask(fields, source) == 429
    assert through("10.8.0.1").wait()[0] == 429
    assert ask({}) == 401 and relay.status()["relay"]["http_refused_web_token"] == 2
    relay.wait("a", subscribers=5, closed_per_address=3)
    sixth = through("10.8.0.2")
    relay.wait("a", subscribers=6)
    assert through("10.8.0.3").wait()[0] == 503
    held[1].reset()
    relay.wait("a", subscribers=5)
    again = through("10.8.0.1")
    relay.wait("a", subscribers=6)
    relay.publish("a", made.wire)
    relay.run_until_done(own)
    lab.loop.run(lambda: all(made.payload[-80:] in one.data for one in (held[0], held[2], sixth, again)), what="bytes")
    assert not any("not counted" in line for line in relay.log[since:])


# Who is at its request.


@pytest.mark.parametrize("cut", ["empty", "the middle", "all but one byte"])
def test_who_is_at_its_request_asks_again(lab, cut):
    """It is closed without an answer; nobody is left behind, and what it asks anew is answered."""
    made = text_script((1000,) * 30, 1)
    relay = lab.start(web(framing="line", **LOSSLESS))
    head = request("/a")
    at = {"empty": 0, "the middle": len(head) // 2, "all but one byte": len(head) - 1}[cut]
    late = Answer(relay, "web", head[:at])
    relay.wait(test=lambda seen: seen["relay"]["http_heads_web"] == 1)
    wait_read([late])
    relay.upgrade()
    lab.loop.run(lambda: late.end, what="the end of the old connection")
    assert late.data == b"" and relay.status()["relay"]["http_heads_web"] == 0
    again = relay.subscribe("web", made, kind=WebSubscriber)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.run_until_done([again])
    assert relay.status()["relay"]["http_adopted_web"] == 2


def test_what_a_listener_has_counted_stays(lab):
    relay = lab.start(web(framing="line", **LOSSLESS))
    assert Answer(relay, "web", request("/none")).wait()[0] == 404
    before = relay.status()["relay"]
    relay.upgrade()
    seen = relay.status()["relay"]
    for key in ("http_requests_web", "http_adopted_web"):
        assert seen[key] == before[key] == 1, seen


# What the new configuration says.


def test_configuration_has_changed(lab):
    """Who reads what is still offered stays; all else is closed with the reason."""
    made = text_script((1000,) * 100, 8)
    sections = web(framing="line", **LOSSLESS)
    sections["listener more"] = {**sections["listener web"], "gaps": "yes"}
    sections["listener own"] = {**sections["listener web"]}
    relay = lab.start(sections)
    kept = [relay.subscribe("web", made, kind=kind, **options) for kind, options in everything("line")]
    gone = [relay.subscribe("more", made, kind=WebSocketSubscriber),
            relay.subscribe("more", made, kind=WebSocketSubscriber, text=True, path="/a?text=1"),
            relay.subscribe("a-raw", made)]
    shared = relay.subscribe("own", made, kind=EventSubscriber)
    half = Answer(relay, "own", b"GET /a HTTP/1.1\r\n")
    relay.wait("a", subscribers=len(kept) + 4)
    relay.wait(test=lambda seen: seen["relay"]["http_heads_own"] == 1)
    publisher = relay.publish("a", made.wire[:50_000])
    lab.loop.run(lambda: all(one.position == 50_000 for one in [*kept, *gone, shared]), what="a half")
    sections["listener more"]["gaps"] = "no"
    del sections["listener own"], sections["listener a-raw"]
    relay.write(sections)
    relay.upgrade()
    lab.loop.run(lambda: all(one.end for one in gone[:2]) and half.end, what="those to be closed")
    assert [one.end for one in gone[:2]] == ["rst"] * 2
    publisher.send(made.wire[50_000:])
    # HTTP/1.0 keeps raw open, and events are read elsewhere too.
    relay.run_until_done([*kept, gone[2], shared])
    assert relay.feed("a")["closed_removed"] == 2
    relay.baseline = relay.sockets() - len(kept) - 3


def test_a_format_that_nobody_offers_any_more(lab):
    """WebSockets that are told of gaps are gone with their listener; raw and framed are not, since http offers both."""
    made = text_script((1000,) * 100, 8)
    sections = web(framing="line", **LOSSLESS)
    sections["listener more"] = {**sections["listener web"], "gaps": "yes"}
    relay = lab.start(sections)
    kept = [relay.subscribe("a-framed", made), relay.subscribe("a-raw", made),
            relay.subscribe("web", made, kind=WebSocketSubscriber)]
    gone = relay.subscribe("more", made, kind=WebSocketSubscriber)
    relay.wait("a", subscribers=4)
    del sections["listener a-raw"], sections["listener a-framed"], sections["listener more"]
    relay.write(sections)
    relay.upgrade()
    lab.loop.run(lambda: gone.end, what="its end")
    assert gone.end == "rst" and relay.feed("a")["closed_removed"] == 1
    relay.publish("a", made.wire)
    relay.run_until_done(kept)
    relay.baseline = relay.sockets() - 3


def test_reloads_between(lab):
    """A format opened on demand, handed over, is closed by a reload that no longer offers it, and not before."""
    made = text_script((1000,) * 100, 8)
    sections = web(framing="line", **LOSSLESS)
    relay = lab.start(sections)
    texts = relay.subscribe("web", made, kind=WebSocketSubscriber, text=True, path="/a?text=1")
    chunks = relay.subscribe("web", made, kind=WebSubscriber)
    relay.wait("a", subscribers=2)
    relay.upgrade()
    relay.wait_log("reloaded", relay.reload(sections))
    publisher = relay.publish("a", made.wire[:50_000])
    lab.loop.run(lambda: texts.position == chunks.position == 50_000, what="a half")
    sections["listener web"]["gaps"] = "yes"
    relay.wait_log("reloaded", relay.reload(sections))
    lab.loop.run(lambda: texts.end, what="its end")
    assert texts.close_code == 1001
    publisher.send(made.wire[50_000:])
    relay.run_until_done([chunks])

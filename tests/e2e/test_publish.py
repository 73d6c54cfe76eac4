# SPDX-License-Identifier: MIT
"""Publishing by HTTP: PUT, POST, SOURCE and WebSockets, who may, and what a hostile one can do."""

import socket

import pytest

from relaytest import address, daemon
from relaytest.ini import ENGINES, feed
from relaytest.stream import KIB, MIB, script, text_script
from relaytest.web import (BINARY, CLOSE, CRLF, PING, PONG, TEXT, Answer, WebSubscriber, request, upgrade)
from relaytest.web_publisher import (BEARER, KINDS, TOKEN, body_of, chunk, connect, head_of, masked, publish, published,
                                     statuses)

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}


def sizes_of(total, *sizes):
    return tuple(sizes[i % len(sizes)] for i in range(total * len(sizes) // sum(sizes)))


def ended(relay, publisher, end="fin"):
    relay.loop.run(lambda: publisher.lost, what="relay to close the publisher")
    assert publisher.lost in (end, "pipe" if end == "rst" else end), (publisher.lost, publisher.received)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("framing, sizes", [
    ("none", (64 * KIB,) * 20), ("line", sizes_of(MIB, 100, 3000, 17)), ("u32be", sizes_of(2 * MIB, 300_000, 5, 70_000)),
    ("fixed:188", (188,) * 3000), ("relay", sizes_of(MIB, 5000, 70_000))])
def test_every_body_brings_every_byte(lab, kind, engine, framing, sizes):
    made = script(framing, sizes, 3)
    relay = lab.start(published(lab, framing=framing, **ENGINES[engine], **LOSSLESS))
    readers = [*relay.subscribe("a-raw", made, 2), relay.subscribe("web", made, kind=WebSubscriber)]
    relay.wait("a", subscribers=3)
    publisher = publish(relay, kind, made.wire, parts=made.wire_pieces() if framing == "line" else None)
    relay.run_until_done(readers)
    if kind in ("length", "chunked"):
        ended(relay, publisher)
        assert statuses(publisher) == [204]
    else:
        assert statuses(publisher) == [101 if kind == "websocket" else 200]
        publisher.half_close()
        ended(relay, publisher)
    seen = relay.wait("a", source_up=0, source_connects=1, source_losses=1)
    assert seen["partial_messages"] == 0 and seen["source_peer_closed"] == 1, seen


@pytest.mark.parametrize("kind", ("source", "length"))
def test_zero_copy_stays(lab, kind):
    """A body that stands bare in its connection is spliced, but for what came with the head of the request. The ring has
    room for a pipe for each message: so none becomes a block, however far the readers are behind."""
    made = script("u32be", (100 * KIB,) * 100, 4)
    relay = lab.start({"relay": {"workers": 1},
                       **published(lab, framing="u32be", engine="splice", segment="128k", **LOSSLESS)})
    readers = relay.subscribe("a-raw", made, 3)
    relay.wait("a", subscribers=3)
    publish(relay, kind, made.wire)
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["pipes_to_blocks"] == 0 and seen["spliced_bytes"] >= 0.98 * 3 * len(made.payload), seen


def test_one_message_a_request(lab):
    """Each POST is a publisher of its own; with last_line its body need not end in LF."""
    relay = lab.start(published(lab, framing="line"))
    made = text_script((20,) * 50, 5)
    reader = relay.subscribe("web", made, kind=WebSubscriber)
    relay.wait("a", subscribers=1)
    for index in range(made.count):
        one = publish(relay, "length", made.message(index))
        ended(relay, one)
        assert statuses(one) == [204]
    relay.run_until_done([reader])
    assert relay.feed("a")["source_connects"] == made.count


# Who may.


def refused(relay, data, status, reason, words=""):
    before = relay.status()["relay"].get(f"http_refused_web_{reason}", 0)
    got, fields, body = Answer(relay, "web", data).wait()
    assert got == status and words in body, (got, body)
    assert relay.status()["relay"][f"http_refused_web_{reason}"] == before + 1
    return fields


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_token_nothing_is_taken(lab, kind):
    readers = lab.directory / "readers"
    readers.write_text("reader\n")
    readers.chmod(0o600)
    relay = lab.start(published(lab, framing="line", listener={"token_file": readers}))
    for fields in ({}, {"Authorization": "Bearer reader"}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"},
                   {"Cookie": f"access_token={TOKEN}"}):
        found = refused(relay, head_of(kind, 4, fields=fields) + body_of(kind, b"one\n"), 401, "token")
        assert found["www-authenticate"].startswith("Basic "), found
    assert Answer(relay, "web", request("/a", BEARER)).wait()[0] == 401, "a publisher's token reads"
    seen = relay.feed("a")
    assert seen["in_bytes"] == 0 and seen["source_connects"] == 0, seen


def test_basic_and_query(lab):
    """An encoder has a user and a password; the password is the token."""
    made = text_script((30,) * 8, 6)
    relay = lab.start(published(lab, framing="line"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    half = made.start_of(4)
    publish(relay, "length", made.payload[:half], fields={"Authorization": "Basic c291cmNlOnB1Ymwxc2hlcg=="})
    relay.wait("a", source_losses=1)
    connect(relay, head_of("length", len(made.payload) - half, f"/a?access_token={TOKEN}", {}) + made.payload[half:])
    relay.run_until_done([reader])


def test_where_nothing_is_published(lab):
    relay = lab.start({**published(lab, framing="line"), **feed("b"),
                       "listener plain": {"feed": "all", "listen": "tcp:127.0.0.1:0", "format": "http"}})
    body = {"Content-Length": 1, **BEARER}
    refused(relay, request("/none", body, "PUT") + b"x", 404, "unknown_feed")
    refused(relay, request("/b", body, "PUT") + b"x", 403, "not_published", "not published to by HTTP")
    refused(relay, request("/a", BEARER, "POST"), 411, "no_length", "Content-Length")
    refused(relay, request("/a", {**BEARER, **body, "Transfer-Encoding": "chunked"}, "POST") + b"x", 400, "bad_request")
    refused(relay, request("/a", {"Transfer-Encoding": "gzip, chunked", **BEARER}, "POST"), 501, "bad_request")
    for method in ("PUT", "POST", "SOURCE"):
        got, fields, _body = Answer(relay, "plain", request("/a", body, method) + b"x").wait()
        assert got == 405 and fields["allow"] == "GET, HEAD, OPTIONS", (got, fields)
    assert relay.feed("a")["in_bytes"] == 0


def test_pages_of_other_sites(lab):
    """A page can make a browser send a request, with cookies and passwords that the browser knows: so its origin must be
    named. That any page may read does not let it publish."""
    relay = lab.start(published(lab, framing="line", listener={"origins": "*"}))
    port = address.parse(relay.address["listener web"])[1][1]
    for kind in KINDS:
        for origin in ("https://evil.example", "null"):
            refused(relay, head_of(kind, 4, fields={**BEARER, "Origin": origin}) + body_of(kind, b"one\n"), 403, "origin")
    assert relay.feed("a")["in_bytes"] == 0
    own = head_of("length", 4, fields={**BEARER, "Origin": f"http://127.0.0.1:{port}"}).replace(
        b"Host: localhost", b"Host: 127.0.0.1:%d" % port)
    assert Answer(relay, "web", own + b"one\n").wait()[0] == 204
    relay.reload(published(lab, framing="line", listener={"origins": "https://good.example"}))
    relay.wait_log("reload: listener web: origins")
    good = {**BEARER, "Origin": "https://good.example"}
    got, fields, _body = Answer(relay, "web", head_of("length", 4, fields=good) + b"one\n").wait()
    assert got == 204 and fields["access-control-allow-origin"] == "https://good.example", fields
    asked = request("/a", {"Origin": "https://good.example", "Access-Control-Request-Method": "PUT",
                           "Access-Control-Request-Headers": "authorization"}, "OPTIONS")
    got, fields, _body = Answer(relay, "web", asked).wait()
    assert got == 204 and "PUT" in fields["access-control-allow-methods"], fields


def test_publisher_deny(lab):
    relay = lab.start(published(lab, framing="line", publisher_deny="127.0.0.2"))
    for source, status in (("127.0.0.2", 403), ("127.0.0.3", 204)):
        assert Answer(relay, "web", head_of("length", 4) + b"one\n", source=source).wait()[0] == status
    assert relay.wait("a", in_bytes=4)["source_denied"] == 1


# One at a time.


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_one(lab, kind):
    """takeover = reject: 409, also where it waits for 100. replace: the first one goes, and its unfinished message with it."""
    made = text_script((30,) * 8, 7)
    relay = lab.start(published(lab, framing="line"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    begun = body_of(kind, made.message(0))
    end = {"chunked": 5, "websocket": 8}.get(kind, 0)
    first = connect(relay, head_of(kind, len(made.payload)) + begun[:len(begun) - end])
    relay.wait("a", in_messages=1)
    refused(relay, head_of("length", 4) + b"one\n", 409, "published", "has a publisher already")
    refused(relay, head_of("chunked", 0, fields={**BEARER, "Expect": "100-continue"}), 409, "published")
    relay.reload(published(lab, framing="line", takeover="replace"))
    relay.wait_log("reload: feed a: takeover")
    second = publish(relay, "length", made.payload[made.start_of(1):])
    ended(relay, first, "fin" if kind in ("length", "chunked", "websocket") else "rst")
    if kind in ("length", "chunked"):
        assert statuses(first) == [409]
    relay.run_until_done([reader])
    ended(relay, second)
    seen = relay.feed("a")
    assert seen["source_taken_over"] == 1 and seen["source_rejected"] == 2, seen


def test_a_body_is_not_sent_before_it_is_let_in(lab):
    made = text_script((30,) * 4, 8)
    relay = lab.start(published(lab, framing="line"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    fields = {**BEARER, "Expect": "100-continue"}
    for kind, body in (("chunked", made.payload[:60]), ("put-to-end", made.payload[60:])):
        one = connect(relay, head_of(kind, 0, fields=fields))
        lab.loop.run(lambda one=one: one.received.endswith(CRLF + CRLF), what="100")
        assert one.received == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.send(body_of(kind, body)).flush()
        if kind == "put-to-end":
            one.half_close()
        ended(relay, one)
        assert statuses(one) == [100, 204] if kind == "chunked" else [100]
        relay.wait("a", source_up=0)
    relay.run_until_done([reader])


# WebSockets.


def test_messages_of_a_websocket(lab):
    """Each is a line, whether it ends in LF or not, in however many frames it comes. Pings are answered, and a close is."""
    relay = lab.start(published(lab, framing="line"))
    lines = [b"one", b"two\n", b"three", b"", b"four\n", b"five"]
    made = text_script((1,), 1)
    made.payload = made.wire = b"one\ntwo\nthree\n\nfour\nfive\n"
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    one = connect(relay, request("/a?publish=1", upgrade(**{"Sec-WebSocket-Protocol": f"relay, relay.bearer.{TOKEN}"})))
    lab.loop.run(lambda: one.received.endswith(CRLF + CRLF), what="101")
    assert b"Sec-WebSocket-Protocol: relay\r\n" in one.received
    head = len(one.received)
    for line in lines:
        middle = len(line) // 2
        one.send(masked(TEXT, line[:middle], False) + masked(PING, b"p") + masked(0, line[middle:], False) + masked(0), 1)
    relay.run_until_done([reader])
    lab.loop.run(lambda: len(one.received) == head + 3 * len(lines), what="an answer to each ping")
    assert one.received[head:] == (bytes([0x80 | PONG, 1]) + b"p") * len(lines)
    assert relay.feed("a")["in_messages"] == len(lines)
    one.send(masked(CLOSE, b"\x03\xe8bye"))
    ended(relay, one)
    assert one.received.endswith(bytes([0x80 | CLOSE, 2, 3, 0xe8]))
    relay.wait("a", source_peer_closed=1)


# Hostile.


BROKEN = {
    "no size": b"hello\n", "a size that is too large": b"10000000000000000\r\n", "a bare LF": b"5\nhello\r\n",
    "no end of a chunk": chunk(b"x")[:-2] + b"zz", "a long extension": b"5;" + b"x" * 2000,
    "a long trailer": b"0\r\n" + b"x" * 9000, "a sign": b"-5\r\nhello"}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_chunks(lab, what):
    """What came before is published; the message in which it breaks is not."""
    made = text_script((30,) * 3, 9)
    relay = lab.start(published(lab, framing="line"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    body = chunk(made.payload) + (b"" if "long trailer" in what else chunk(b"not whole"))
    one = connect(relay, head_of("chunked", 0) + body + BROKEN[what])
    ended(relay, one)
    assert statuses(one) == [400], one.received
    relay.run_until_done([reader])
    seen = relay.wait("a", source_bad_body=1)
    assert seen["in_bytes"] == len(made.payload), seen


@pytest.mark.parametrize("kind", ("length", "chunked", "websocket"))
@pytest.mark.parametrize("how", ("fin", "rst"))
def test_half_a_body(lab, kind, how):
    made = text_script((30,) * 3, 10)
    relay = lab.start(published(lab, framing="line"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    parts = [*made.wire_pieces(), b"half of a line, and then nothing"]
    whole = body_of(kind, b"".join(parts), parts=parts)
    one = connect(relay, head_of(kind, 1000) + whole[:-12])
    relay.run_until_done([reader])
    one.flush()
    if how == "fin":
        one.half_close()
        ended(relay, one)
    else:
        one.reset()
    seen = relay.wait("a", source_losses=1)
    assert seen["partial_messages"] == 1 and seen["in_bytes"] == len(made.payload), seen
    assert seen["source_cut_body" if how == "fin" else "source_peer_reset"] == 1, seen


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("framing", ("none", "line", "u16be", "fixed:10"))
def test_what_stands_behind_a_body_is_not_published(lab, framing, engine):
    made = script(framing, (10,) * 3000, 11)
    relay = lab.start(published(lab, framing=framing, **ENGINES[engine]))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    for kind in ("length", "chunked"):
        half = len(made.wire) // 2
        part = made.wire[:half] if kind == "length" else made.wire[half:]
        one = connect(relay, head_of(kind, len(part)) + body_of(kind, part) + request("/a", BEARER, "PUT") + b"smuggled\n" * 20)
        ended(relay, one)
        assert statuses(one) == [204]
    relay.run_until_done([reader])
    assert relay.feed("a")["in_bytes"] == len(made.wire)


def test_a_message_that_is_too_long(lab):
    relay = lab.start(published(lab, framing="line", max_message="1k"))
    for kind in ("length", "chunked"):
        one = publish(relay, kind, b"x" * 5000)
        ended(relay, one)
        assert statuses(one) == [413], one.received
    assert relay.wait("a", source_too_long=2)["in_bytes"] == 0


def test_bodies_that_never_come(lab):
    """They wait, 16 of them at most, and take nothing over; source_timeout ends them. Who sends publishes meanwhile."""
    relay = lab.start(published(lab, framing="line"))
    silent = [connect(relay, head_of("chunked", 0)) for _ in range(17)]
    ended(relay, silent[0])
    assert statuses(silent[0]) == [408]
    assert relay.wait("a", source_crowded_out=1)["source_connects"] == 0
    one = publish(relay, "length", b"one\n")
    ended(relay, one)
    assert statuses(one) == [204]
    relay.reload(published(lab, framing="line", source_timeout="100ms"))
    for publisher in silent[2:]:
        ended(relay, publisher)
        assert statuses(publisher) == [408]
    assert relay.wait("a", test=lambda seen: seen.get("source_source_timeout", 0) >= 15)["in_bytes"] == 4


def test_silence_within_a_body(lab):
    relay = lab.start(published(lab, framing="line", source_timeout="200ms"))
    one = connect(relay, head_of("chunked", 0) + chunk(b"one\nhalf"))
    ended(relay, one)
    assert statuses(one) == [408]
    assert relay.wait("a", source_source_timeout=1)["partial_messages"] == 1


# Another process.


@pytest.mark.parametrize("kind", KINDS)
def test_over_an_upgrade(lab, kind):
    """What is sent to the end of its connection goes on. All else is ended, and comes back."""
    made = text_script((30,) * 40, 12)
    relay = lab.start(published(lab, framing="line", takeover="replace"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    half = made.start_of(20)
    goes_on = kind in ("source", "put-to-end")
    body = body_of(kind, made.payload[:half + 7 if goes_on else half])
    cut_off = {"chunked": 5, "websocket": 8}.get(kind, 0)
    one = connect(relay, head_of(kind, 10_000) + body[:len(body) - cut_off])
    relay.wait("a", in_messages=20)
    silent = connect(relay, head_of("chunked", 0, fields={**BEARER, "Expect": "100-continue"}))
    relay.loop.run(lambda: silent.received, what="to be let in")
    relay.upgrade()
    if goes_on:
        one.send(made.payload[half + 7:])
    else:
        relay.wait("a", source_losses=1, source_handover=1)
        ended(relay, one)
        assert statuses(one) == [101 if kind == "websocket" else 503]
        publish(relay, kind, made.payload[half:])
    ended(relay, silent)
    assert statuses(silent) == [100, 503]
    relay.run_until_done([reader])


@pytest.mark.parametrize("kind", ["length", "chunked", "websocket"])
def test_an_upgrade_that_fails_ends_nobody(lab, kind):
    made = text_script((30,) * 40, 12)
    relay = lab.start(published(lab, framing="line"), env=daemon.preload(RELAY_REFUSE="execv:EPERM"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    body = body_of(kind, made.payload)
    one = connect(relay, head_of(kind, len(made.payload)) + body[:600])
    relay.wait("a", test=lambda seen: seen["in_messages"] >= 15)
    relay.expect("upgrade failed").upgrade("upgrade failed: .*nothing has changed")
    one.send(body[600:])
    relay.run_until_done([reader])
    assert relay.wait("a", source_peer_closed=1)["source_losses"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_of_relay(lab, kind):
    relay = lab.start(published(lab, framing="line"))
    one = connect(relay, head_of(kind, 1000) + body_of(kind, b"one\n")[:7])
    relay.loop.run(lambda: statuses(one) or kind in ("length", "chunked"), what="an answer")
    if kind in ("length", "source", "put-to-end"):
        relay.wait("a", in_messages=1)
    relay.signal(15)
    assert relay.wait_exit() == 0
    relay.loop.run(lambda: one.lost, what="an end")
    if kind in ("length",):
        assert statuses(one) == [503] and one.lost == "fin"

# SPDX-License-Identifier: MIT
"""Listeners with format = http: streams, answers, who may ask, and what a request can cost."""

import signal
import socket
import struct
import subprocess
import time

import pytest

from relaytest.ini import ENGINES, feed, web
from relaytest.stream import KIB, MIB, script, text_script
from relaytest.surroundings import needs, program
from relaytest.web import (Answer, EventSubscriber, FramedWebSocketSubscriber, FramedWebSubscriber,
                           WebSocketSubscriber, WebSubscriber, ask, request, upgrade)

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}


def sizes_of(total, *sizes):
    made, at = [], 0
    while at < total:
        made.append(sizes[len(made) % len(sizes)])
        at += made[-1]
    return tuple(made)


def status(relay, key):
    return relay.status()["relay"].get(key, 0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("framing, sizes", [
    ("none", (64 * KIB,) * 40), ("line", sizes_of(2 * MIB, 100, 3000, 17)),
    ("u32be", sizes_of(4 * MIB, 300_000, 5, 70_000)), ("fixed:188", (188,) * 6000)])
def test_every_kind_gets_every_byte(lab, engine, framing, sizes):
    made = text_script(sizes, 3) if framing == "line" else script(framing, sizes, 3)
    relay = lab.start(web(framing=framing, **ENGINES[engine], **LOSSLESS))
    has_messages = framing != "none"
    readers = [*relay.subscribe("a-raw", made, 2),
               relay.subscribe("web", made, kind=WebSubscriber),
               relay.subscribe("web", made, kind=WebSubscriber, version="1.0"),
               relay.subscribe("web", made, kind=WebSocketSubscriber),
               relay.subscribe("web", made, kind=FramedWebSubscriber),
               relay.subscribe("web", made, kind=FramedWebSubscriber, version="1.0"),
               relay.subscribe("web", made, kind=FramedWebSocketSubscriber)]
    if has_messages:
        readers.append(relay.subscribe("web", made, kind=WebSocketSubscriber, per_message=True,
                                       path="/a?messages=message"))
    if framing == "line":
        readers += [relay.subscribe("web", made, kind=EventSubscriber),
                    relay.subscribe("web", made, kind=EventSubscriber, version="1.0"),
                    relay.subscribe("web", made, kind=WebSocketSubscriber, text=True,
                                    path="/a?text=1")]
    relay.wait("a", subscribers=len(readers))
    publisher = relay.publish("a", made.wire)
    relay.run_until_done(readers)
    publisher.flush()


def test_zero_copy_stays(lab):
    """Chunk and frame heads go with the payload by tee and splice. Few pipes, as an ordinary user has them."""
    made = script("u32be", (100 * KIB,) * 160, 4)
    relay = lab.start({
        "relay": {"workers": 1},
        "feed a": {"ingest": "listen tcp:127.0.0.1:0", "framing": "u32be", "engine": "splice",
                   "ring": "1m", "segment": "128k", **LOSSLESS},
        "listener web": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http"}})
    readers = [*relay.subscribe("web", made, 3, kind=WebSubscriber),
               *relay.subscribe("web", made, 3, kind=WebSocketSubscriber)]
    relay.wait("a", subscribers=6)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["spliced_bytes"] >= 0.99 * 6 * len(made.payload), seen
    assert seen["copied_bytes"] + seen["compacted_bytes"] <= 0.01 * 6 * len(made.payload), seen
    assert seen["tee_calls"] > 0 and seen["gifted_bytes"] > 0, seen


def test_two_workers(lab):
    made = text_script(sizes_of(MIB, 2000, 30), 5)
    sections = web(framing="line", **LOSSLESS)
    sections["relay"] = {"workers": 2}
    relay = lab.start(sections)
    readers = [*relay.subscribe("web", made, 4, kind=WebSubscriber),
               *relay.subscribe("web", made, 4, kind=WebSocketSubscriber),
               *relay.subscribe("web", made, 4, kind=EventSubscriber)]
    relay.wait("a", subscribers=12)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)


# Answers.


def test_answers(lab):
    """Each refusal has its status, a line, a name and a counter."""
    relay = lab.start({**web(framing="line", serves="all"), **feed("b")})
    line = "text/plain; charset=utf-8"
    counted = {}

    def refused(expected, reason, words, *arguments, **options):
        code, fields, body = ask(relay, *arguments, **options)
        assert code == expected and words in body and body.count("\n") == 1, (code, fields, body)
        assert fields["content-type"] == line and fields["connection"] == "close", fields
        counted[reason] = counted.get(reason, 0) + 1
        assert status(relay, f"http_refused_web_{reason}") == counted[reason], relay.status()
        return fields

    refused(404, "unknown_feed", "no such feed", "/c")
    refused(404, "unknown_feed", "no such feed", "/" + "x" * 100)
    refused(404, "unknown_feed", "no such feed", "/a//")
    refused(400, "bad_request", "burst", "/a?burst=5m")
    refused(400, "bad_request", "from", "/a?from=-1")
    refused(400, "bad_request", "exclude", "/a?from=1&burst=1k")
    refused(400, "bad_request", "given twice", "/a?from=1&x=2&from=1")
    refused(400, "bad_request", "messages", "/a?messages=all")
    refused(400, "bad_request", "framed", "/a?format=raw")
    refused(400, "bad_request", "excludes", "/a?format=framed&messages=packet", upgrade())
    refused(406, "not_acceptable", "framing", "/b", {"Accept": "text/event-stream"})
    refused(400, "no_text", "lines", "/b?text=1", upgrade())
    refused(400, "no_messages", "messages end", "/b?messages=message", upgrade())
    fields = refused(426, "handshake", "13", "/a", upgrade(**{"Sec-WebSocket-Version": "8"}))
    assert fields["sec-websocket-version"] == "13"
    refused(400, "handshake", "", "/a", upgrade(**{"Sec-WebSocket-Key": "short"}))
    assert ask(relay, "/a", method="POST")[0] == 405
    assert ask(relay, "/a", method="BREW")[0] == 501
    assert ask(relay, "/a b")[0] == 400
    code, fields, body = ask(relay, "/")
    assert (code, fields["content-type"], body) == (200, line, "/a\n/b\n")
    assert relay.feed("a")["subscribers_total"] == 0


def test_heads(lab):
    relay = lab.start({**web(framing="line", serves="all"), **feed("b")})
    for path, accept, kind in (("/a", "*/*", "text/plain; charset=utf-8"),
                               ("/b", "*/*", "application/octet-stream"),
                               ("/a", "text/event-stream", "text/event-stream"),
                               ("/a", "text/html, text/event-stream;q=0, */*", "text/plain; charset=utf-8")):
        code, fields, body = ask(relay, path, {"Accept": accept}, method="HEAD")
        assert (code, fields["content-type"], body) == (200, kind, ""), fields
        assert fields["transfer-encoding"] == "chunked", fields
    for path, accept in (("/b?format=framed", "*/*"), ("/b", "application/vnd.relay.framed")):
        code, fields, _ = ask(relay, path, {"Accept": accept}, method="HEAD")
        assert (code, fields["content-type"]) == (200, "application/vnd.relay.framed"), fields
        assert "transfer-encoding" not in fields
    code, fields, _ = ask(relay, "/a", method="HEAD", version="1.0")
    assert code == 200 and "transfer-encoding" not in fields
    assert ask(relay, "/c", method="HEAD")[::2] == (404, "")


def test_resume(lab):
    """from= and Last-Event-ID begin at a message; one that is not there is told, with what is."""
    made = text_script((1000,) * 400, 6)
    relay = lab.start(web(framing="line", ring="256k", segment="64k", burst="100k"))
    relay.publish("a").send_each(made.wire_pieces())
    relay.wait("a", in_messages=400)
    code, fields, body = ask(relay, "/a?from=1")
    oldest, following = int(fields["relay-oldest"]), int(fields["relay-next"])
    assert code == 416 and following == 401 and 1 < oldest < 401, fields
    assert str(oldest) in body and str(following) in body, body
    assert ask(relay, "/a?from=402")[0] == 416
    session = fields["relay-session"]
    for path in (f"/a?from={session}-1", f"/a?from={int(session) ^ 1}-300"):
        code, fields, body = ask(relay, path)
        assert (code, fields["relay-session"]) == (416, session) and session in body, (fields, body)
        assert (int(fields["relay-oldest"]), int(fields["relay-next"])) == (oldest, following), fields
    relay.wait("a", closed_out_of_range=4)
    one = relay.subscribe("web", made, kind=WebSubscriber, path="/a?from=300", start=None)
    events = relay.subscribe("web", made, kind=EventSubscriber, path="/a?from=7",
                             fields={"Last-Event-ID": f"{session}-299"})
    named = relay.subscribe("web", made, kind=WebSubscriber, path=f"/a?from={session}-300", start=None)
    all_there_is = relay.subscribe("web", made, kind=WebSubscriber, path="/a?from=0", start=None)
    live = relay.subscribe("web", made, kind=WebSubscriber, path="/a?from=401", start=400_000)
    bursts = [relay.subscribe("web", made, kind=WebSubscriber, path=path, start=None)
              for path in ("/a", "/a?burst=100k", "/a?burst=1h")]
    socket_ = relay.subscribe("web", made, kind=WebSocketSubscriber, path="/a?from=300",
                              start=None)
    framed = [relay.subscribe("web", made, kind=kind, path="/a?format=framed&burst=100k", base=1)
              for kind in (FramedWebSubscriber, FramedWebSocketSubscriber)]
    relay.run_until_done([one, events, named, all_there_is, live, *bursts, socket_, *framed])
    first = int(one.fields["relay-sequence"])
    assert oldest <= first <= 300 and one.start == made.start_of(first - 1), one.fields
    assert events.start <= made.start_of(299) and not events.gaps
    assert named.start == one.start and all_there_is.start == made.start_of(oldest - 1)
    assert 0 < len(made.payload) - bursts[0].start <= 100 * KIB
    assert bursts[0].start == bursts[1].start > bursts[2].start
    none = relay.subscribe("web", made, kind=WebSubscriber, path="/a?burst=0", start=len(made.payload))
    lab.loop.run(lambda: none.status, what="the head")


# Who may ask.


def test_tokens(lab):
    """By field or subprotocol; a reload reads the file again; no token is ever logged."""
    tokens = lab.directory / "tokens"
    tokens.write_text("# of the dashboard\nfirst-Secret.1\n\nother~secret==\n")
    tokens.chmod(0o600)
    sections = web(options={"token_file": tokens}, framing="line")
    relay = lab.start(sections)
    made = text_script((100,) * 50, 1)

    def code(**fields):
        return ask(relay, "/a", {name.replace("_", "-"): value for name, value in fields.items()},
                   method="HEAD")

    assert code()[0] == 401
    assert code()[1]["www-authenticate"] == 'Basic realm="relay", Bearer realm="relay"'
    assert 'error="invalid_token"' in code(Authorization="Bearer first-Secret.")[1]["www-authenticate"]
    assert code(Authorization="Basic first-Secret.1")[0] == 401
    assert code(Authorization="Bearer # of the dashboard")[0] == 401
    assert code(Authorization="Bearer first-Secret.1")[0] == 200
    assert code(Authorization="bearer  other~secret==")[0] == 200
    assert ask(relay, "/")[0] == 401 and ask(relay, "/nowhere")[0] == 401
    reader = relay.subscribe("web", made, kind=WebSocketSubscriber,
                             fields={"Sec-WebSocket-Protocol": "relay, relay.bearer.first-Secret.1"})
    lab.loop.run(lambda: reader.status, what="the handshake")
    assert reader.fields["sec-websocket-protocol"] == "relay"
    tokens.write_text("third\n")
    relay.wait_log("reloaded", relay.reload(sections))
    assert code(Authorization="Bearer first-Secret.1")[0] == 401
    assert code(Authorization="Bearer third")[0] == 200
    relay.wait("a", subscribers=1)  # who is there stays
    tokens.write_text("not a token\n")
    relay.expect("token_file")
    relay.wait_log(r"reload failed: .*tokens:1: this is no token.*nothing has changed",
                   relay.reload(sections))
    tokens.unlink()
    relay.wait_log(r"reload failed: .*cannot read .*nothing has changed", relay.reload(sections))
    assert code(Authorization="Bearer third")[0] == 200
    assert not any("ecret" in line or "third" in line for line in relay.log), relay.log


def test_a_credential(lab):
    (lab.directory / "web").write_text("T0ken\n")
    (lab.directory / "web").chmod(0o600)
    sections = web(options={"token_file": "credential:web"})
    relay = lab.start(sections, env={"CREDENTIALS_DIRECTORY": str(lab.directory)})
    assert ask(relay, "/a", {"Authorization": "Bearer T0ken"}, method="HEAD")[0] == 200
    assert ask(relay, "/a", {"Authorization": "Bearer t0ken"}, method="HEAD")[0] == 401


def test_a_start_without_its_tokens_fails(lab):
    relay = lab.start(web(options={"token_file": lab.directory / "none"}), wait=False).expect("token")
    assert relay.wait_exit() != 0
    assert any("token_file: cannot read" in line for line in relay.log), relay.log


@pytest.mark.parametrize("origins, origin, expected", [
    ("none", None, 200), ("none", "http://localhost", 200), ("none", "https://localhost", 200),
    ("none", "http://localhost:81", 403), ("none", "https://example.org", 403), ("none", "null", 403),
    ("*", "https://example.org", 200), ("*", "null", 200),
    ("https://example.org, http://localhost:8000", "https://example.org", 200),
    ("https://example.org", "HTTPS://Example.org:443", 200),
    ("https://example.org", "http://example.org", 403),
    ("https://example.org", "https://example.org.evil.test", 403)])
def test_origins(lab, origins, origin, expected):
    relay = lab.start(web(options={"origins": origins}))
    fields = {"Origin": origin} if origin else {}
    listed = expected == 200 and origin and "//localhost" not in origin
    shown = ("*" if origins == "*" else origin) if listed else None
    code, seen, _ = ask(relay, "/a", fields, method="HEAD")
    assert (code, seen.get("access-control-allow-origin")) == (expected, shown), seen
    assert ("vary" in seen) == bool(listed and origins != "*")
    code, seen, _ = ask(relay, "/a", {**fields, "Access-Control-Request-Method": "GET",
                                      "Access-Control-Request-Headers": "authorization"}, "OPTIONS")
    assert (code, seen.get("access-control-allow-origin")) == (204 if expected == 200 else 403, shown)
    assert ("Authorization" in seen.get("access-control-allow-headers", "")) == bool(listed)
    if expected == 200:
        reader = relay.subscribe("web", script("none", (10,), 1), kind=WebSocketSubscriber,
                                 fields=fields)
        lab.loop.run(lambda: reader.status, what="the handshake")
    else:
        assert ask(relay, "/a", upgrade(**fields))[0] == 403


def test_addresses_and_limits(lab):
    made = script("none", (10,), 1)
    relay = lab.start(web(options={"deny": "127.0.0.9", "max_per_ip": 2}, max_subscribers=3))
    assert ask(relay, source="127.0.0.9")[0] == 403
    for _ in range(2):
        relay.subscribe("web", made, kind=WebSubscriber)
    relay.wait("a", subscribers=2, closed_denied=1)
    code, fields, _ = ask(relay)
    assert (code, fields["retry-after"]) == (429, "5")
    Answer(relay, "web", request("/a"), source="127.0.0.2")
    relay.wait("a", subscribers=3, closed_per_address=1)
    code, fields, _ = ask(relay, source="127.0.0.3")
    assert (code, fields["retry-after"]) == (503, "5")
    seen = relay.wait("a", subscribers=3, closed_limit=1, subscribers_total=3)
    assert seen["closed_denied"] == 1
    assert ask(relay, method="HEAD", source="127.0.0.3")[0] == 200  # no subscriber


def proxy_v2(source, version=0x21):
    inside = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 5, 80)
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([version, 0x11]) + struct.pack(">H", len(inside)) + inside


def test_proxies(lab):
    """The address that a trusted proxy tells counts; nobody else may tell one."""
    relay = lab.start(web(options={"trusted_proxies": "127.0.0.5", "deny": "10.9.0.0/16",
                                   "max_per_ip": 1}))

    def through(head, source="127.0.0.5"):
        return Answer(relay, "web", head + request("/a", method="HEAD"), source=source).wait()[0]

    assert through(b"PROXY TCP4 10.8.0.1 127.0.0.1 5 80\r\n") == 200
    assert through(b"PROXY TCP4 10.9.0.1 127.0.0.1 5 80\r\n") == 403
    assert through(b"PROXY UNKNOWN\r\n") == 200
    assert through(proxy_v2("10.8.0.1")) == 200
    assert through(proxy_v2("10.9.7.7")) == 403
    assert through(proxy_v2("10.9.7.7", version=0x20)) == 200  # LOCAL: the proxy for itself
    assert through(b"") == 400
    assert through(b"PROXY TCP4 10.8.0.1 127.0.0.1 5 80\r\n", source="127.0.0.1") == 400
    assert through(b"", source="127.0.0.1") == 200
    relay.wait_log(r"request refused listener=web peer=tcp:10\.9\.0\.1:5 reason=denied")
    for host in ("10.8.0.1", "10.8.0.2"):
        Answer(relay, "web", f"PROXY TCP4 {host} 127.0.0.1 5 80\r\n".encode() + request("/a"),
               source="127.0.0.5")
    relay.wait("a", subscribers=2)
    again = Answer(relay, "web", b"PROXY TCP4 10.8.0.2 127.0.0.1 6 80\r\n" + request("/a"),
                   source="127.0.0.5")
    assert again.wait()[0] == 429


def test_unix_sockets(lab):
    relay = lab.start(web(listen=f"unix:{lab.directory}/s", heartbeat="100ms",
                          options={"deny": "0.0.0.0/0, ::/0", "max_per_ip": 1}))
    made = script("none", (1000,) * 5, 1)
    readers = relay.subscribe("web", made, 2, kind=WebSocketSubscriber)
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)


# What a client can cost.


def test_slow_heads(lab):
    """The deadline is absolute, waiting clients are bounded, and others are served meanwhile: the oldest makes room."""
    made = script("none", (1000,) * 9, 2)
    relay = lab.start(web(options={"head_timeout": "3s", "max_heads": 6}))
    first = Answer(relay, "web", b"GET /a HT")
    relay.wait(test=lambda seen: seen["relay"]["http_heads_web"] == 1)
    slow = [Answer(relay, "web", b"GET /a HT") for _ in range(5)]
    relay.wait(test=lambda seen: seen["relay"]["http_heads_web"] == 6)
    assert ask(relay, method="HEAD")[0] == 200
    code, fields, _ = first.wait()
    assert code == 503 and "retry-after" in fields
    assert status(relay, "http_refused_web_heads") == 1
    relay.wait_log(r"request refused listener=web peer=tcp:127\.0\.0\.1:\d+ reason=heads status=503")
    raw = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.run_until_done([raw])

    def drip():
        for one in slow:
            if not one.end:
                try:
                    one.sock.send(b"T")
                except OSError:
                    pass
        return all(one.end for one in slow)

    lab.loop.run(drip, what="the deadline", poll=0.05)
    assert {one.parse()[0] for one in slow} == {408}
    assert status(relay, "http_refused_web_late") == 5
    relay.wait(test=lambda seen: seen["relay"]["http_heads_web"] == 0)
    reader = relay.subscribe("web", made, kind=WebSubscriber, start=len(made.payload))
    lab.loop.run(lambda: reader.status, what="to be served again")


def test_junk_behind_the_head(lab):
    """One request a connection: what follows is thrown away, and too much of it is the end."""
    made = script("none", (1000,) * 9, 2)
    relay = lab.start(web(options={"max_input": "2k"}, **LOSSLESS))
    head = request("/a")
    some = WebSubscriber(lab.loop, relay.address["listener web"], made)
    relay.peers.append(some)
    some.sock.send(b"x" * 1000 + request("/b"))
    much = Answer(relay, "web", head + b"y" * 5000)
    lab.loop.run(lambda: much.end, what="an end")
    assert much.end == "rst" and not much.data, (much.end, much.data)
    later = Answer(relay, "web", head)
    lab.loop.run(lambda: later.data, what="a head")
    later.sock.send(b"z" * 5000)
    lab.loop.run(lambda: later.end, what="an end")
    early = Answer(relay, "web", request("/a", upgrade()) + b"\x89\x80\0\0\0\0")
    lab.loop.run(lambda: early.end, what="an end")
    relay.wait("a", closed_input=3, subscribers=1)
    relay.publish("a", made.wire)
    relay.run_until_done([some])
    for junk in (b"\0" * 100, b"\r\n", b"GET /a\r\n\r\n", b"\x16\x03\x01\x02\0" * 20,
                 request("/a", {"Content-Length": "5"}), request("/a", {"Transfer-Encoding": "chunked"}),
                 b"GET /a HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", request("/" + "a" * 40000)):
        code, _, _ = Answer(relay, "web", junk, half_close=True).wait()
        assert 400 <= code < 600, junk


def test_nothing_a_client_sends_forges_a_log_line(lab):
    relay = lab.start(web())
    since, began = len(relay.log), time.monotonic()
    for byte in range(256):
        at = bytes([byte])
        Answer(relay, "web", b"GET /" + at + b"level=error HTTP/1.1\r\nHost: localhost\r\nX" + at + b": " + at
               + b"\r\nAuthorization: Bearer " + at + b"\r\nOrigin: " + at + b"\r\n\r\n",
               half_close=True)
    relay.wait(test=lambda seen: seen["relay"].get("http_refused_web_bad_request", 0) +
               seen["relay"].get("http_refused_web_origin", 0) +
               seen["relay"].get("http_refused_web_unknown_feed", 0) >= 250)
    for line in relay.log[since:]:
        assert " status " in line or "refused" in line, line
        assert all(" " <= char <= "~" for char in line), line
    refused = [line for line in relay.log[since:] if "refused listener" in line]
    assert len(refused) <= 2 + time.monotonic() - began, refused


# Ends.


def test_a_drain_ends_cleanly(lab):
    """The last chunk, a close frame, and no request any more."""
    made = text_script((1000,) * 100, 2)
    relay = lab.start(web(framing="line"))
    chunked = relay.subscribe("web", made, kind=WebSubscriber)
    plain = relay.subscribe("web", made, kind=WebSubscriber, version="1.0")
    events = relay.subscribe("web", made, kind=EventSubscriber)
    websocket = relay.subscribe("web", made, kind=WebSocketSubscriber)
    relay.wait("a", subscribers=4)
    relay.publish("a", made.wire)
    relay.run_until_done([chunked, plain, events, websocket])
    late = Answer(relay, "web", b"GET /a HTTP/1.1\r\n")
    relay.wait(test=lambda seen: seen["relay"]["http_heads_web"] == 1)
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0
    readers = (chunked, plain, events, websocket)
    lab.loop.run(lambda: all(one.end for one in readers), what="their ends")
    assert [one.end for one in readers] == ["fin"] * 4
    assert chunked.finished and events.finished and websocket.close_code == 1001
    late.reset()


def test_feeds_come_and_go(lab):
    """feed = all follows a reload; who reads another feed stays."""
    made = script("none", (1000,) * 20, 2)
    sections = {**web(serves="all"), **feed("b")}
    relay = lab.start(sections)
    reader = relay.subscribe("web", made, kind=WebSubscriber)
    gone = relay.subscribe("web", made, kind=WebSubscriber, path="/b")
    relay.wait("a", subscribers=1)
    relay.wait("b", subscribers=1)
    without = {name: one for name, one in sections.items() if not name.split()[1].startswith("b")}
    relay.wait_log("reloaded", relay.reload({**without, **feed("c")}))
    relay.sections = {**sections, **feed("c")}
    lab.loop.run(lambda: gone.end, what="the end of /b")
    assert gone.finished
    assert ask(relay, "/b", method="HEAD")[0] == 404
    assert ask(relay, "/c", method="HEAD")[0] == 200
    assert ask(relay, "/")[2] == "/a\n/c\n"
    relay.publish("a", made.wire)
    relay.run_until_done([reader])
    sections = {**without, **feed("c")}
    sections["listener web"] = {**sections["listener web"], "feed": "c", "gaps": "yes"}
    relay.wait_log("reloaded", relay.reload(sections))
    lab.loop.run(lambda: reader.end, what="the end of /a")
    assert ask(relay, "/")[2] == "/c\n"


def test_slow_ones_are_told(lab):
    """Events and, with gaps = yes, WebSockets skip and say so; chunks cannot, and end."""
    made = text_script((4000,) * 4000, 2)
    relay = lab.start(web(framing="line", ring="256k", segment="64k", grace="0", stall_timeout="1h",
                          options={"gaps": "yes", "send_buffer": "16k"}))
    options = {"receive_buffer": 8 * KIB, "paused": True}
    events = relay.subscribe("web", made, kind=EventSubscriber, **options)
    sockets = relay.subscribe("web", made, kind=WebSocketSubscriber, **options)
    chunks = relay.subscribe("web", made, kind=WebSubscriber, **options)
    relay.wait("a", subscribers=3)
    relay.publish("a", made.wire)
    relay.wait("a", in_messages=4000, closed_lag=1)
    for one in (events, sockets, chunks):
        one.resume()
    relay.run_until_done([events, sockets])
    lab.loop.run(lambda: chunks.end, what="its end")
    assert events.gaps and sockets.gaps and chunks.end == "rst" and not chunks.finished
    assert relay.feed("a")["gaps"] == len(events.gaps) + len(sockets.gaps)


def test_who_has_gone_is_noticed_on_a_silent_feed(lab):
    """FIN is the end of an HTTP client, so it does not keep its place."""
    made = script("none", (10,), 1)
    relay = lab.start(web(heartbeat="0"))
    readers = [WebSubscriber(lab.loop, relay.address["listener web"], made, version=version)
               for version in ("1.1", "1.0")]
    readers.append(WebSocketSubscriber(lab.loop, relay.address["listener web"], made))
    relay.wait("a", subscribers=3)
    for reader in readers:
        reader.close()
    relay.wait("a", subscribers=0, closed_peer_closed=3)


# Other clients.


@needs(program, "curl")
def test_curl(lab):
    made = script("u32be", sizes_of(4 * MIB, 300_000, 50, 60_000), 8)
    relay = lab.start(web(framing="u32be", on_source_loss="close", **LOSSLESS))
    raw = relay.subscribe("a-raw", made, 5)
    url = "http://" + relay.address["listener web"].removeprefix("tcp:") + "/a"
    curls = [subprocess.Popen(["curl", "-sSN", *version, "-o", lab.directory / f"out{index}", url],
                              stderr=subprocess.PIPE)
             for index, version in enumerate((["--http1.1"], ["--http1.0"], ["--http1.1"]))]
    relay.wait("a", subscribers=8)
    publisher = relay.publish("a", made.wire).flush()
    relay.run_until_done(raw)
    publisher.close()
    lab.loop.run(lambda: all(one.poll() is not None for one in curls), what="curl to end", poll=0.01)
    for index, one in enumerate(curls):
        assert one.returncode == 0, one.stderr.read()
        assert (lab.directory / f"out{index}").read_bytes() == made.payload
        one.stderr.close()


def test_a_thousand_raw_subscribers_beside(lab):
    made = script("u32be", sizes_of(200_000, 16_000, 90), 9)
    relay = lab.start(web(framing="u32be", **LOSSLESS))
    raw = relay.subscribe("a-raw", made, 1000)
    kinds = [relay.subscribe("web", made, kind=WebSubscriber),
             relay.subscribe("web", made, kind=WebSocketSubscriber),
             relay.subscribe("web", made, kind=WebSocketSubscriber, per_message=True,
                             path="/a?messages=message")]
    relay.wait("a", subscribers=1003)
    relay.publish("a", made.wire)
    relay.run_until_done([*raw, *kinds])


@pytest.mark.parametrize("options, words", [
    ({"format": "raw", "token_file": "x"}, "token_file is for format = http only"),
    ({"format": "raw", "feed": "all"}, "feed = all is for format = http only"),
    ({"origins": "example.org"}, "'example.org' is no origin"),
    ({"origins": "https://a, none"}, "'none' is no origin"),
    ({"content_type": "mp3"}, "expected auto, or a media type"),
    ({"format": "raw", "content_type": "audio/mpeg"}, "content_type is for format = http only"),
    ({"http_fields": "Content-Length: 5"}, "'Content-Length' is a field that relay sends by itself"),
    ({"http_fields": "a: b | c"}, "'c' does not begin with a name and a colon"),
    ({"trusted_proxies": "proxy"}, "'proxy' is no address"),
    ({"token_file": "credential:"}, "names no credential"),
    ({"on_slow": "skip"}, "is http and"),
    ({"gaps": "maybe"}, "expected one of no, yes"),
    ({"max_heads": "0"}, "max_heads"),
])
def test_mistakes_are_told_with_their_line(lab, options, words):
    sections = web(options=options)
    relay = lab.start(sections, wait=False).expect("relay.ini")
    assert relay.wait_exit() == 78
    key = next(key for key in reversed(options))
    number = next(number for number, line in enumerate(relay.ini.read_text().split("\n"), 1)
                  if line.startswith(f"{key} =") and
                  relay.ini.read_text().split("\n")[number - 1].endswith(str(options[key])))
    assert any(words in line and f"relay.ini:{number}:" in line for line in relay.log), relay.log

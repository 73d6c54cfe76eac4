# SPDX-License-Identifier: MIT
"""ingest = connect http://...: relay is the client of an HTTP origin."""

import functools
import re

import pytest

from relaytest.admin import Admin
from relaytest.ini import feed
from relaytest.origin import OK, Origin, chunk
from relaytest.stream import script, text_script

MADE = text_script((200,) * 50, 3)
BLOCKS = script("fixed:512", (512,) * 64, 5)


def pull(origin, *more, **options):
    return feed("a", "connect " + ", ".join([origin.url(), *more]), retry_max="1s", **options)


def chunks(data, size):
    return b"".join(chunk(data[at:at + size]) for at in range(0, len(data), size))


def tell(relay, pattern):
    return relay.wait_log(r"connect failed .*" + pattern)


def test_a_body_to_the_end_of_the_connection(lab):
    """It stands bare behind the head, so the kernel passes it on."""
    origin = Origin(lab, OK + b"\r\n" + BLOCKS.wire[:700])
    relay = lab.start(pull(origin, framing="fixed:512", engine="splice", start_subscribers=1))
    reader = relay.subscribe("a-raw", BLOCKS)
    one = origin.wait_asked()
    assert one.line == "GET /stream HTTP/1.1"
    assert [one.field(name) for name in ("Host", "User-Agent", "Accept", "Authorization", "Icy-MetaData")] == [
        origin.where, "relay", "*/*", None, None]
    one.send(BLOCKS.wire[700:])
    relay.run_until_done([reader])
    seen = relay.wait("a", in_messages=64, source_requests=1, source_refusals=0)
    assert seen["spliced_bytes"] > 0 and seen["copied_bytes"] == 0, seen


@pytest.mark.parametrize("size", (1, 7, 4096))
def test_chunks(lab, size):
    origin = Origin(lab, lambda one: one.send(OK + b"Transfer-Encoding: chunked\r\n\r\n"))
    relay = lab.start(pull(origin, framing="line", start_subscribers=1))
    reader = relay.subscribe("a-raw", MADE)
    origin.wait_asked().send(chunks(MADE.wire, size))
    relay.run_until_done([reader])
    origin.asked[0].send(b"0\r\n\r\n")
    relay.wait_log("publisher down feed=a reason=peer_closed")


def test_a_length(lab):
    """A body is over with its length, and asked for again."""
    half = MADE.ends[24]
    origin = Origin(lab, *(OK + b"Content-Length: %d\r\n\r\n" % len(part) + part
                           for part in (MADE.wire[:half], MADE.wire[half:])))
    relay = lab.start(pull(origin, framing="line", start_subscribers=1))
    reader = relay.subscribe("a-raw", MADE)
    relay.run_until_done([reader])
    relay.wait("a", source_peer_closed=2, in_messages=50)


def test_icy(lab):
    origin = Origin(lab, b"ICY 200 OK\r\nicy-name: x\r\ncontent-type: audio/mpeg\r\n\r\n" + MADE.wire)
    relay = lab.start(pull(origin, framing="line", start_subscribers=1))
    relay.run_until_done([relay.subscribe("a-raw", MADE)])


@pytest.mark.parametrize("answer", (
    b"ICY 200 OK\r\n", b"ICY 200 OK\r\n\r\n", b"ICY 200 OK\r\nServer: caster\r\nDate: today\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nNtrip-Version: Ntrip/2.0\r\nContent-Type: gnss/data\r\n\r\n"))
def test_ntrip(lab, tmp_path, answer):
    """NTRIP 1 casters may end their head with its first line."""
    made = script("rtcm3", (100,) * 20, 9)
    origin = Origin(lab, lambda one: one.send(answer))
    secret = tmp_path / "secret"
    secret.write_text("rover:gehe:im\n")
    secret.chmod(0o600)
    relay = lab.start(feed("a", f"connect ntrip://{origin.where}/MOUNT", framing="rtcm3", start_subscribers=1,
                           ingest_token_file=secret))
    reader = relay.subscribe("a-raw", made)
    one = origin.wait_asked()
    assert one.line == "GET /MOUNT HTTP/1.1" and one.field("User-Agent").startswith("NTRIP ")
    assert one.field("Ntrip-Version") == "Ntrip/2.0"
    assert one.field("Authorization") == "Basic cm92ZXI6Z2VoZTppbQ=="
    one.send(made.wire)
    relay.run_until_done([reader])
    assert not any("gehe" in line for line in relay.log)


def gga(text):
    """The fields of a sentence whose checksum is right."""
    match = re.fullmatch(r"\$(GPGGA,[^*]*)\*([0-9A-F]{2})", text)
    assert match, text
    assert functools.reduce(lambda a, b: a ^ b, match[1].encode()) == int(match[2], 16), text
    return match[1].split(",")[2:]


def sentences(one):
    """What came behind the request."""
    text = one.request.partition(b"\r\n\r\n")[2].decode()
    assert text == "" or text.endswith("\r\n"), text
    return [gga(line) for line in text.split("\r\n")[:-1]]


MUNICH = "4808.22600,N,01134.52400,E,1,12,1.0,520.0,M,0.0,M,,".split(",")
CAPE = "3355.50000,S,01825.20000,W,1,12,1.0,-4.2,M,0.0,M,,".split(",")


@pytest.mark.parametrize("answer", (b"ICY 200 OK\r\n\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"))
def test_position(lab, answer):
    """A caster is told with the request, behind its answer, and again and again; over an upgrade and by a reload, too."""
    made = script("rtcm3", (100,) * 20, 9)
    as_body = (lambda data: chunk(data)) if b"chunked" in answer else lambda data: data
    origin = Origin(lab, *[lambda one: one.send(answer)] * 2)
    sections = feed("a", f"connect ntrip://{origin.where}/VRS", framing="rtcm3", retry_max="1s",
                    ntrip_gga="48.1371, 11.5754, 520")
    relay = lab.start(sections)
    one = origin.wait_asked()
    assert gga(one.field("Ntrip-GGA")) == MUNICH
    one.send(as_body(made.wire))
    relay.wait("a", in_messages=20, source_positions=2)
    lab.loop.run(lambda: sentences(one) == [MUNICH] * 2, what="two sentences")
    relay.upgrade()
    lab.loop.run(lambda: sentences(origin.connections[-1])[-1:] == [MUNICH], what="a sentence to the new process")
    sections["feed a"]["ntrip_gga"] = "-33.925, -18.42, -4.2"
    relay.reload(sections)
    lab.loop.run(lambda: sentences(origin.connections[-1])[-1:] == [CAPE], what="the new position")


def test_no_position(lab):
    """Neither without one, nor to who is no caster."""
    caster, other = Origin(lab, b"ICY 200 OK\r\n\r\n" + MADE.wire), Origin(lab, OK + b"\r\n" + MADE.wire)
    relay = lab.start({**feed("a", f"connect ntrip://{caster.where}/M", framing="line"),
                       **feed("b", f"connect {other.url()}, ntrip://{caster.where}/M", framing="line", ntrip_gga="1, 2")})
    assert caster.wait_asked().field("Ntrip-GGA") is None and other.wait_asked().field("Ntrip-GGA") is None
    for name in "ab":
        relay.wait(name, in_messages=50, source_positions=0)
    assert not sentences(caster.asked[0]) and not sentences(other.asked[0])


def test_a_token_is_read_for_each_request(lab, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("# of the origin\n\nfirst-token\n")
    origin = Origin(lab, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", OK + b"\r\n" + MADE.wire)
    relay = lab.start(pull(origin, framing="line", start_subscribers=1, ingest_token_file=secret))
    reader = relay.subscribe("a-raw", MADE)
    assert origin.wait_asked().field("Authorization") == "Bearer first-token"
    secret.write_text("second-token\n")
    assert origin.wait_asked(2).field("Authorization") == "Bearer second-token"
    relay.run_until_done([reader])
    tell(relay, "answered 401: it asks for a token, .* ingest_token_file")
    assert not any("-token" in line for line in relay.log)
    relay.wait("a", source_requests=2, source_refusals=1)


def test_a_token_that_cannot_be_read(lab, tmp_path):
    origin = Origin(lab)
    relay = lab.start(pull(origin, ingest_token_file=tmp_path / "none"))
    tell(relay, "cannot read .*/none: No such file")
    assert not origin.asked


@pytest.mark.parametrize("answer, why", (
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nno\x1b[1m!\n", r'answered 404: .* \("no\?\[1m!"\)'),
    (b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n8;x=y\r\nno such!\r\n0\r\n\r\n", r'answered 404: .* \("no such!"\)'),
    (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n", "answered 404"),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "answered 101"),
    (b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n\r\n", "answered 503: it has no room now"),
    (b"HTTP/1.1 302 Found\r\nLocation: http://other/x\r\n\r\n", "redirects to http://other/x; expected that address"),
    (b"HTTP/1.1 206 Partial Content\r\n\r\n", "answered 206"),
    (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>log in</html>", "answered with a web page"),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "compressed"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "Content-Length"),
    (b"SOURCETABLE 200 OK\r\nContent-Type: text/plain\r\n\r\nENDSOURCETABLE\r\n", "no such mount point"),
    (b"HTTP/1.1 200 OK\r\nContent-Type: gnss/sourcetable\r\n\r\nENDSOURCETABLE\r\n", "no such mount point"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer of HTTP"),
    (b"HTTP/1.1 xyz\r\n\r\n", "no answer of HTTP"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 17000, "longer than 16 KiB"),
    (lambda one: one.end(), "connection ended before an answer"),
    (lambda one: one.send(b"HTTP/1.1 200 O").end(), "connection ended before an answer"),
    (lambda one: one.reset(), "reset"),
))
def test_answers_without_a_stream(lab, answer, why):
    """Each is counted, told once with what to do, and the origin is asked again."""
    origin = Origin(lab, answer, OK + b"\r\n" + MADE.wire)
    relay = lab.start(pull(origin, framing="line", start_subscribers=1))
    tell(relay, why)
    relay.run_until_done([relay.subscribe("a-raw", MADE)])
    relay.wait("a", source_requests=2, source_refusals=1, source_up=1)
    assert sum("connect failed" in line for line in relay.log) == 1


def test_no_answer_at_all(lab):
    """source_timeout counts from the request on."""
    silent, other = Origin(lab, None), Origin(lab, OK + b"\r\n" + MADE.wire)
    relay = lab.start(pull(silent, other.url(), framing="line", start_subscribers=1, source_timeout="500ms"))
    tell(relay, f"address={silent.url()} error=no answer to the request in time")
    relay.run_until_done([relay.subscribe("a-raw", MADE)])
    relay.wait("a", source_requests=2, source_refusals=1)


@pytest.mark.parametrize("head, rest, reason", (
    (b"Content-Length: 20000\r\n\r\n", b"", "cut_body"),
    (b"Transfer-Encoding: chunked\r\n\r\n", b"", "cut_body"),
    (b"Transfer-Encoding: chunked\r\n\r\n", b"not hexadecimal\r\n", "bad_body"),
))
def test_a_body_that_breaks(lab, head, rest, reason):
    """What was whole is published; the origin is asked again."""
    half = MADE.ends[24]
    begin = chunk(MADE.wire[:half] + b"half a li") if b"chunked" in head else MADE.wire[:half] + b"half a li"
    origin = Origin(lab, lambda one: one.send(OK + head + begin + rest).end(), OK + b"\r\n" + MADE.wire[half:])
    relay = lab.start(pull(origin, framing="line", start_subscribers=1))
    relay.run_until_done([relay.subscribe("a-raw", MADE)])
    relay.wait("a", **{f"source_{reason}": 1, "in_messages": 50, "partial_messages": 1})


def test_it_goes_on_over_an_upgrade(lab):
    """A bare body does; chunks are asked for again."""
    half = MADE.ends[24]
    origin = Origin(lab, OK + b"\r\n" + MADE.wire[:half])
    relay = lab.start(pull(origin, framing="line", start_subscribers=1))
    reader = relay.subscribe("a-raw", MADE)
    relay.wait("a", in_messages=25)
    relay.upgrade()
    origin.asked[0].send(MADE.wire[half:])
    relay.run_until_done([reader])
    assert len(origin.connections) == 1


def test_whom_it_is_pulled_from_is_shown(lab):
    """Without the query of the URL, which may say more than all should see; the same, and since then, over an upgrade."""
    origin = Origin(lab, OK + b"\r\n" + MADE.wire)
    sections = pull(origin, framing="line")
    sections["feed a"]["ingest"] += "?key=p4ss"
    relay = lab.start({"admin": {"listen": "tcp:127.0.0.1:0", "socket": "none"}, **sections})
    relay.wait("a", in_messages=50)
    admin = Admin(relay)
    shown = admin.get("/status.json")["feeds"][0]
    assert shown["origin"] == origin.url() and shown["origin_since_ms"] > 0
    metrics = admin.ask("/metrics").text
    assert f'relay_feed_origin_info{{feed="a",origin="{origin.url()}"}} 1\n' in metrics and "p4ss" not in metrics
    relay.upgrade()
    again = admin.get("/status.json")["feeds"][0]
    assert [again[key] for key in ("origin", "origin_since_ms")] == [shown[key] for key in ("origin", "origin_since_ms")]
    origin.asked[0].end()
    relay.wait("a", source_losses=1)


def test_chunks_are_asked_for_again_over_an_upgrade(lab):
    half = MADE.ends[24]
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    origin = Origin(lab, head + chunk(MADE.wire[:half]), head + chunk(MADE.wire[half:]))
    relay = lab.start(pull(origin, framing="line", start_subscribers=1))
    reader = relay.subscribe("a-raw", MADE)
    relay.wait("a", in_messages=25)
    relay.upgrade()
    relay.run_until_done([reader])
    relay.wait("a", source_handover=1)


def test_the_better_one_is_taken_once_it_has_a_stream(lab):
    """An origin that accepts, and has nothing, is not back."""
    origin, other = Origin(lab), Origin(lab, OK + b"\r\n" + MADE.wire[:MADE.ends[24]])
    origin.answers = [b"HTTP/1.1 503 x\r\n\r\n", b"HTTP/1.1 503 x\r\n\r\n", OK + b"\r\n" + MADE.wire[MADE.ends[24]:]]
    relay = lab.start(pull(origin, other.url(), framing="line", start_subscribers=1))
    reader = relay.subscribe("a-raw", MADE)
    relay.run_until_done([reader], ceiling=90)
    relay.wait("a", source_better_source=1)
    assert len(origin.asked) == 3


@pytest.mark.parametrize("ingest, more, why", (
    ("connect https://h/a", {}, "relay does not speak TLS; expected http:// to a proxy"),
    ("connect http://h", {}, "the path of the feed is missing"),
    ("connect http://u:p4ss@h/a", {}, "who relay is does not go into the URL"),
    ("connect http://h/a?access_token=p4ss", {}, "a token does not go into the URL"),
    ("connect http://h/a%20b#c", {}, "a character that a URL cannot have"),
    ("connect http://h:0/a", {}, "names no host and port"),
    ("listen http://h/a", {}, "is not an address"),
    ("connect " + ", ".join(["tcp:h:1"] * 9), {}, "at most 8 addresses"),
    ("connect tcp:h:1", {"ingest_token_file": "/x"}, "ingest_token_file is for ingest = connect http://"),
    ("connect http://h/a", {"framing": "relay:none"}, "relay:none"),
    ("connect http://h/a", {"framing": "relay:ts", "burst": "keyframe"}, "burst = keyframe is for framing = ts"),
))
def test_bad_addresses(lab, ingest, more, why):
    made = feed("a", ingest, **more)
    relay = lab.start(made, wait=False, options=("-t",))
    assert relay.wait_exit() != 0
    told = "\n".join(relay.log)
    assert re.search(r"relay\.ini:\d+: error: ", told) and why in told, told
    assert "p4ss" not in told

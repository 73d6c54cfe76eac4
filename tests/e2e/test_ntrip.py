# SPDX-License-Identifier: MIT
"""NTRIP 1 and 2, for rovers and bases, as they stand in their papers."""

from base64 import b64encode

import pytest

from relaytest.ini import feed
from relaytest.stream import script
from relaytest.web import CRLF, Answer, WebSubscriber, request
from relaytest.web_publisher import TOKEN, chunk, connect, published

ROVER = "r0ver"
BASIC = {"Authorization": f"Basic {b64encode(f'joe:{ROVER}'.encode()).decode()}"}
ONE = {"User-Agent": "NTRIP test/1.0"}
TWO = {"User-Agent": "NTRIP test/2.0", "Ntrip-Version": "Ntrip/2.0"}
GGA = b"$GPGGA,134658.00,5106.9792,N,11402.3003,W,2,09,1.0,1048.47,M,-16.27,M,08,AAAA*60\r\n"


def start(lab):
    tokens = lab.directory / "rovers"
    tokens.write_text(f"{ROVER}\n")
    tokens.chmod(0o600)
    return lab.start(published(lab, framing="none", listener={"token_file": tokens}))


@pytest.mark.parametrize("mount", ("/a", "a"))
@pytest.mark.parametrize("base", (1, 2))
def test_base_and_rovers(lab, mount, base):
    made = script("none", (200,) * 50, 1)
    relay = start(lab)
    old = Answer(relay, "web", request("/a", {**ONE, **BASIC}, version="1.0"))
    relay.wait("a", subscribers=1)
    new = relay.subscribe("web", made, kind=WebSubscriber, fields={**TWO, **BASIC})
    old.sock.send(GGA)
    relay.wait("a", subscribers=2, test=lambda seen: seen["subscriber_input"] >= len(GGA))
    if base == 1:
        one = connect(relay, f"SOURCE {TOKEN} {mount}\r\nSource-Agent: NTRIP test\r\n\r\n".encode())
        lab.loop.run(lambda: one.received, what="an answer")
        assert one.received == b"ICY 200 OK\r\n\r\n"
        one.send(made.wire)
    else:
        fields = {**TWO, "Authorization": f"Basic {b64encode(f'base:{TOKEN}'.encode()).decode()}"}
        one = connect(relay, request("/a", {**fields, "Transfer-Encoding": "chunked"}, "POST"))
        lab.loop.run(lambda: one.received.endswith(CRLF + CRLF), what="an answer before the body")
        assert one.received.startswith(b"HTTP/1.1 200 OK\r\n")
        one.send(chunk(made.wire))
    relay.run_until_done([new])
    assert new.fields["content-type"] == "gnss/data" and new.fields["ntrip-version"] == "Ntrip/2.0", new.fields
    lab.loop.run(lambda: len(old.data) == len(b"ICY 200 OK\r\n\r\n") + len(made.wire), what="all bytes")
    assert old.data == b"ICY 200 OK\r\n\r\n" + made.wire


def answer(relay, data):
    asked = Answer(relay, "web", data)
    relay.loop.run(lambda: asked.end, what="an answer")
    assert asked.end == "fin"
    return asked.data


def test_the_source_table(lab):
    relay = start(lab)
    row = b"STR;a;a;;;2;;;;0.00;0.00;0;0;relay;none;B;N;0;\r\nENDSOURCETABLE\r\n"
    for path in ("/", "/none"):
        head, _, body = answer(relay, request(path, {**ONE, **BASIC}, version="1.0")).partition(CRLF + CRLF)
        assert head.startswith(b"SOURCETABLE 200 OK\r\n") and body == row, (head, body)
        assert b"Content-Length: %d" % len(row) in head
    status, fields, body = Answer(relay, "web", request("/", {**TWO, **BASIC})).wait()
    assert status == 200 and fields["content-type"] == "gnss/sourcetable" and body.encode() == row, (fields, body)
    assert Answer(relay, "web", request("/none", {**TWO, **BASIC})).wait()[0] == 404
    assert Answer(relay, "web", request("/", ONE, version="1.0")).wait()[0] == 401


def test_the_source_table_for_who_has_no_token(lab):
    """gpsd asks for it so, and takes mounts of known formats only: those are told, and nothing else."""
    tokens = lab.directory / "rovers"
    tokens.write_text(f"{ROVER}\n")
    tokens.chmod(0o600)
    relay = lab.start({**published(lab, framing="rtcm3", listener={"token_file": tokens}), **feed("b")})
    mount = b"STR;a;a;RTCM 3;;2;;;;0.00;0.00;0;0;relay;none;B;N;0;\r\n"
    end = b"ENDSOURCETABLE\r\n"
    assert answer(relay, request("/", ONE, version="1.0")).endswith(CRLF + CRLF + mount + end)
    status, _, body = Answer(relay, "web", request("/", TWO)).wait()
    assert status == 200 and body.encode() == mount + end, body
    whole = answer(relay, request("/", {**ONE, **BASIC}, version="1.0"))
    assert mount in whole and b"STR;b;b;;;" in whole
    for path, fields in (("/a", TWO), ("/none", TWO), ("/", {})):
        assert Answer(relay, "web", request(path, fields)).wait()[0] == 401


def test_bases_that_are_refused(lab):
    relay = start(lab)
    first = connect(relay, f"SOURCE {TOKEN} /a\r\n\r\nx".encode())
    relay.wait("a", source_up=1)
    assert answer(relay, f"SOURCE {ROVER} /a\r\n\r\n".encode()).startswith(b"ERROR - Bad Password")
    assert answer(relay, f"SOURCE {TOKEN} /none\r\n\r\n".encode()).startswith(b"ERROR - Mount Point Taken or Invalid")
    assert answer(relay, f"SOURCE {TOKEN} /a\r\n\r\n".encode()).startswith(b"ERROR - Mount Point Taken or Invalid")
    assert first.lost is None
    assert not [line for line in relay.log if TOKEN in line or ROVER in line]

# SPDX-License-Identifier: MIT
"""Requests as the world writes them: large heads, half-closed connections, and queries of any kind."""

import re
import socket

import pytest

from relaytest.ini import web
from relaytest.stream import text_script
from relaytest.web import Answer, WebSubscriber, request, upgrade

BUSTERS = ["/a?_=1732800000000", "/a?type=http&nocache=66", "/a?utm_source=x", "/a?", "/a?&", "/a?a[]=1", "/a?q=a|b&q=%zz",
           "/a?" + "x" * 20_000, "/a/", "/a/?from=0", "/%61"]


@pytest.mark.parametrize("path", BUSTERS)
def test_what_nobody_knows_is_passed_over(lab, path):
    relay = lab.start(web(framing="line"))
    assert Answer(relay, "web", request(path, method="HEAD")).wait()[0] == 200


def test_every_answer_has_its_time(lab):
    relay = lab.start(web(framing="line"))
    for data in (request("/a", method="HEAD"), request("/none"), request("/"), request("/a", method="OPTIONS"), b"junk\r\n",
                 request("/a", upgrade(**{"Sec-WebSocket-Version": "8"}))):
        fields = Answer(relay, "web", data).wait()[1]
        assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", fields["date"]), fields


@pytest.mark.parametrize("bytes_of_cookies", [4000, 8192, 16_000, 32_000])
def test_large_heads(lab, bytes_of_cookies):
    """A page whose domain has large cookies sends all of them, in pieces as they come; a head over 32 KiB is refused."""
    made = text_script((100,) * 20, 1)
    relay = lab.start(web(framing="line"))
    head = request("/a", {"Cookie": "x" * bytes_of_cookies})
    late = Answer(relay, "web", b"\r\n" + head[:2000])
    relay.wait(test=lambda seen: seen["relay"]["http_heads_web"] == 1)
    late.sock.send(head[2000:])
    reader = relay.subscribe("web", made, kind=WebSubscriber, fields={"Cookie": "x" * bytes_of_cookies})
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done([reader])
    lab.loop.run(lambda: made.payload[-100:] in late.data, what="the stream")
    assert Answer(relay, "web", request("/a", {"Cookie": "x" * 33_000})).wait()[0] == 431
    assert Answer(relay, "web", request("/" + "x" * 33_000)).wait()[0] == 414


@pytest.mark.parametrize("fields", [{}, {"Accept": "text/event-stream"}])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_half_closed_request(lab, fields, version):
    """FIN in the segment of the last byte: there is no more to ask, but somebody listens. Later it means gone."""
    made = text_script((100,) * 20, 2)
    relay = lab.start(web(framing="line"))
    head = request("/a", fields, version=version)
    asking = Answer(relay, "web", head[:-1])
    relay.wait(test=lambda seen: seen["relay"]["http_heads_web"] == 1)
    asking.sock.send(head[-1:], socket.MSG_MORE)
    asking.sock.shutdown(socket.SHUT_WR)
    later = Answer(relay, "web", head)
    relay.wait("a", subscribers=2)
    lab.loop.run(lambda: later.data, what="an answer")
    later.sock.shutdown(socket.SHUT_WR)
    relay.wait("a", subscribers=1, closed_peer_closed=1)
    relay.publish("a", made.wire)
    lab.loop.run(lambda: made.payload[-50:-1] in asking.data, what="the stream")
    assert not asking.end

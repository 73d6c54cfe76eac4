# SPDX-License-Identifier: MIT
"""What an answer of a stream carries: content_type and http_fields of a feed or listener."""

import pytest

from relaytest.ini import feed, web
from relaytest.stream import script
from relaytest.web import WebSubscriber, ask


@pytest.mark.parametrize("framing, expected", [
    ("line", "text/plain; charset=utf-8"), ("fixed:188", "video/mp2t"), ("ts", "video/mp2t"),
    ("none", "application/octet-stream"), ("u16be", "application/octet-stream")])
def test_the_framing_says_the_content_type(lab, framing, expected):
    relay = lab.start(web(framing=framing))
    assert ask(relay, "/a", method="HEAD")[1]["content-type"] == expected


def test_content_type_and_fields(lab):
    """Of the feed or the listener; a reload changes them, and a stream that has begun goes on."""
    made = script("line", (100,) * 20, 1)
    options = {}
    feeds = {"content_type": "audio/mpeg", "http_fields": "icy-name: Radio 1 | X-A: b"}
    relay = lab.start({**web(framing="line", serves="all", options=options, **feeds), **feed("b")})

    def fields(path, **extra):
        code, seen, _ = ask(relay, path, extra, method="HEAD")
        assert code == 200
        return seen["content-type"], seen.get("icy-name"), seen.get("x-a")

    reader = relay.subscribe("web", made, kind=WebSubscriber)
    relay.wait("a", subscribers=1)
    assert fields("/a") == ("audio/mpeg", "Radio 1", "b")
    assert fields("/a", Accept="text/event-stream") == ("text/event-stream", "Radio 1", "b")
    assert fields("/b") == ("application/octet-stream", None, None)
    feeds["content_type"] = "audio/ogg; codecs=opus"
    feeds["http_fields"] = ""
    relay.wait_log("reloaded", relay.reload({**web(framing="line", serves="all", options=options, **feeds), **feed("b")}))
    assert fields("/a") == ("audio/ogg; codecs=opus", None, None)
    options.update(content_type="video/mp2t", http_fields="X-A: c")
    relay.wait_log("reloaded", relay.reload({**web(framing="line", serves="all", options=options, **feeds), **feed("b")}))
    assert fields("/a") == ("video/mp2t", None, "c")
    assert fields("/b") == ("video/mp2t", None, "c")
    relay.publish("a", made.wire)
    relay.run_until_done([reader])

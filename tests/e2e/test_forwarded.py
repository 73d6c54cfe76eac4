# SPDX-License-Identifier: MIT
"""Proxies that tell the client's address in fields of the request: who is kept out, counted and named goes by it."""

from relaytest.ini import feed
from relaytest.stream import script
from relaytest.web import Answer, WebSubscriber, request
from relaytest.web_publisher import connect, head_of, published

PROXY = {"trusted_proxies": "127.0.0.5, 10.0.0.0/8", "proxy_header": "forwarded"}


def ask(relay, fields, source="127.0.0.5"):
    return Answer(relay, "web", request("/a", fields, "HEAD"), source=source).wait()[0]


def test_who_is_kept_out(lab):
    relay = lab.start({**feed("a"), "listener web": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http",
                                                     "deny": "203.0.113.9", **PROXY}})
    assert ask(relay, {"X-Forwarded-For": "203.0.113.9"}) == 403
    assert ask(relay, {"X-Forwarded-For": "203.0.113.9, 10.0.0.1"}) == 403
    assert ask(relay, {"Forwarded": "for=203.0.113.9;proto=https"}) == 403
    assert ask(relay, {"X-Forwarded-For": "203.0.113.9, 198.51.100.1"}) == 200, "the client's own word counts"
    assert ask(relay, {"X-Forwarded-For": "198.51.100.1", "Forwarded": "for=203.0.113.9"}) == 400
    assert ask(relay, {}) == 200
    assert ask(relay, {"X-Forwarded-For": "203.0.113.9"}, source="127.0.0.6") == 200, "anybody's word counts"
    relay.wait_log("request refused listener=web peer=tcp:203.0.113.9:0 reason=denied")


def test_each_client_is_counted(lab):
    made = script("none", (100,) * 3, 1)
    relay = lab.start({**feed("a"), "listener web": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http",
                                                     "max_per_ip": 1, **PROXY, "trusted_proxies": "127.0.0.0/8"}})
    for number in (1, 2, 3):
        relay.subscribe("web", made, kind=WebSubscriber, fields={"X-Forwarded-For": f"198.51.100.{number}"})
        relay.wait("a", subscribers=number)
    refused = Answer(relay, "web", request("/a", {"X-Forwarded-For": "198.51.100.1"})).wait()
    assert refused[0] == 429, refused


def test_a_publisher_behind_a_proxy(lab):
    relay = lab.start(published(lab, framing="line", publisher_deny="203.0.113.9",
                                listener={**PROXY, "trusted_proxies": "127.0.0.0/8"}))
    data = head_of("length", 4) + b"one\n"
    spoilt = data.replace(b"Host:", b"X-Forwarded-For: 203.0.113.9\r\nHost:")
    assert Answer(relay, "web", spoilt).wait()[0] == 403
    connect(relay, data.replace(b"Host:", b"X-Forwarded-For: 198.51.100.1\r\nHost:"))
    relay.wait_log("publisher up feed=a peer=tcp:198.51.100.1:0")

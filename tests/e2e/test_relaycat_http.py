# SPDX-License-Identifier: MIT
"""relaycat http://HOST:PORT/FEED: from, since and until, and going on where it was after a break."""

import os
import signal
import time

import pytest

from relaytest import address
from relaytest.ini import web
from relaytest.stream import text_script
from relaytest.tool import Tool

MADE = text_script((1000,) * 300, 7)


def url(relay, feed="a"):
    _, (host, port) = address.parse(relay.address["listener web"])
    return f"http://{host}:{port}/{feed}"


def start(lab, **more):
    sections = web(framing="line", **{"burst": "1", **more})
    return lab.start({**sections, "admin": {"listen": "none", "socket": f"unix:{lab.directory}/admin.sock"}})


def test_a_range_of_the_past(lab):
    relay = start(lab)
    relay.publish("a").send(MADE.wire)
    relay.wait("a", in_messages=300)
    for arguments, begin, end in ((("--from", "0"), 0, 300), (("--since", "-1h"), 0, 300),
                                  (("--since", "1990-01-01T00:00:00Z"), 0, 300)):
        cat = Tool(lab, "relaycat", "--verify", "--framing", "line", *arguments, "--until", "-0", url(relay))
        cat.wait_end()
        assert cat.out == MADE.payload[begin * 1000:end * 1000], (arguments, len(cat.out))
        assert (cat.total("messages"), cat.total("errors")) == (end - begin, 0)
    cat = Tool(lab, "relaycat", "--verify", "--framing", "line", "--from", "250", "-n", 1, url(relay))
    cat.wait_end()
    assert MADE.payload[249_000:250_000] in cat.out and cat.out in MADE.payload  # one packet, wherever it ends


def test_refusals(lab):
    relay = start(lab)
    for code, arguments, words in (
            (1, ("--from", "7", url(relay)), "refused with 416: the feed does not have that message; the oldest one"),
            (1, (url(relay, "b"),), "refused with 404: there is no such feed"),
            (1, ("--since", "2100-01-01T00:00:00Z", url(relay)), "refused with 400: since lies in the future"),
            (2, ("--since", "yesterday", url(relay)), "--since: \"yesterday\" is neither a time"),
            (2, ("--from", "x", url(relay)), "--from: \"x\" is neither"),
            (2, ("--from", "1", "--since", "-1m", url(relay)), "exclude one another"),
            (2, ("--until", "-1m", relay.address["listener a-raw"]), "need an address http://"),
            (2, ("http://localhost:80",), "expected http://HOST[:PORT]/FEED"),
            (1, (url(relay).replace(*reversed([str(port_of(relay, "feed a")), str(port_of(relay, "listener web"))])),),
             "")):
        cat = Tool(lab, "relaycat", *arguments)
        assert words in cat.wait_end(code) and cat.told.startswith("relaycat: "), (arguments, cat.told)


def test_a_token_comes_out_of_a_file(lab):
    """Never out of the arguments, which all on the machine can read; and no message has a byte of it."""
    tokens, mine = lab.directory / "tokens", lab.directory / "token"
    tokens.write_text("other\nsesame\n")
    both = web(framing="line", burst="1")
    both["listener web"]["token_file"] = tokens
    relay = lab.start(both)
    relay.publish("a", MADE.wire)
    relay.wait("a", in_messages=MADE.count)
    good = ("--from", "0", "-n", str(MADE.count), "--token-file", mine, url(relay))
    for text, code, words in (("# of me\n\nsesame\n", 0, ""), ("wrong\n", 1, "refused with 401"),
                              ("open sesame\n", 2, "is no token"), ("# nothing\n", 2, "has no token"),
                              ("x" * 600, 2, "is no token"), (None, 2, "cannot read")):
        mine.unlink(missing_ok=True)
        if text is not None:
            mine.write_text(text)
        cat = Tool(lab, "relaycat", *map(str, good))
        told = cat.wait_end(code)
        assert words in told and "sesame" not in told, told
        assert code or cat.out == MADE.payload
    of_systemd = {**os.environ, "CREDENTIALS_DIRECTORY": str(lab.directory)}
    mine.write_text("sesame\n")
    done = lab.run_tool("relaycat", "-q", "--from", "0", "-n", MADE.count, "--token-file", "credential:token", url(relay),
                        env=of_systemd)
    assert done.returncode == 0 and done.stdout.encode() == MADE.payload, done.stderr
    done = lab.run_tool("relaycat", "--token-file", mine, relay.address["listener a-raw"])
    assert done.returncode == 2 and "--token-file needs an address http://" in done.stderr


def port_of(relay, what):
    return address.parse(relay.address[what])[1][1]


@pytest.mark.parametrize("workers", (1, 2))
def test_it_goes_on_where_it_was(lab, workers):
    """Kicked three times while messages come: each comes once, and none is missed."""
    relay = lab.start({"relay": {"workers": workers}, **web(framing="line", burst="1", ring="8m"),
                       "admin": {"listen": "none", "socket": f"unix:{lab.directory}/admin.sock"}})
    cat = Tool(lab, "relaycat", "--reconnect", "--verify", "--framing", "line", url(relay))
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a")
    for third in range(3):
        publisher.send(MADE.wire[third * 100_000:third * 100_000 + 70_000])
        lab.loop.run(lambda third=third: len(cat.out) >= third * 100_000 + 70_000, what="messages before a break")
        kicked = lab.run_tool("relayctl", "-s", lab.directory / "admin.sock", "kick", "--feed", "a", third + 1)
        assert kicked.returncode == 0, kicked.stderr
        publisher.send(MADE.wire[third * 100_000 + 70_000:(third + 1) * 100_000])
        cat.wait_told(": nothing missed", third + 1)
    lab.loop.run(lambda: len(cat.out) >= len(MADE.payload), what=lambda: f"all; {len(cat.out)}; {cat.told}")
    cat.stop()
    assert cat.out == MADE.payload
    assert [cat.total(name) for name in ("messages", "gaps", "errors", "losses")] == [300, 0, 0, 3]


def test_what_is_gone_is_told_and_the_oldest_comes(lab):
    """A relay that was started anew has another session."""
    relay = start(lab)
    cat = Tool(lab, "relaycat", "--reconnect", "--verify", "--framing", "line", url(relay))
    relay.wait("a", subscribers=1)
    relay.publish("a").send(MADE.wire[:100_000])
    lab.loop.run(lambda: len(cat.out) == 100_000, what="the first messages")
    relay.signal(signal.SIGTERM)
    relay.wait_exit()
    again = lab.start({**web(framing="line", burst="1", listen=relay.address["listener web"])})
    again.publish("a").send(MADE.wire[100_000:])
    cat.wait_told("a new session")
    lab.loop.run(lambda: len(cat.out) == len(MADE.payload), what=lambda: f"the rest; {len(cat.out)}; {cat.told}")
    cat.stop()
    assert cat.out == MADE.payload and cat.total("errors") == 0


def test_an_end_that_is_still_to_come_ends_it(lab):
    relay = start(lab)
    end = time.gmtime(time.time() + 3)
    cat = Tool(lab, "relaycat", "--reconnect", "--verify", "--framing", "line", "--until",
               time.strftime("%Y-%m-%dT%H:%M:%SZ", end), url(relay))
    relay.wait("a", subscribers=1)
    relay.publish("a").send(MADE.wire)
    cat.wait_end()
    assert cat.out == MADE.payload and cat.total("losses") == cat.total("errors") == 0

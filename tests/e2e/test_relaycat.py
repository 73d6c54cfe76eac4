# SPDX-License-Identifier: MIT
"""What relaycat says at its end: only what the stream can show."""

import re

import pytest

from relaytest.ini import feed
from relaytest.tool import Tool

LINES = b"one\ntwo\nthree\n"
SAID = {
    "raw": ([], r"bytes=14 errors=0"),
    "raw, counted": (["--framing", "line"], r"messages=3 bytes=14 errors=0"),
    "framed": (["-f"], r"packets=\d messages=3 bytes=14 gaps=0 missed=0 errors=0"),
}


@pytest.mark.parametrize("kind", SAID)
def test_totals(lab, kind):
    options, total = SAID[kind]
    relay = lab.start(feed("a", framing="line"))
    cat = Tool(lab, "relaycat", *options, relay.address["listener a-framed" if kind == "framed" else "listener a-raw"])
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", LINES)
    lab.loop.run(lambda: cat.out == LINES, what="the lines")
    assert re.fullmatch(total, cat.stop().splitlines()[-1]), cat.told
    publisher.send(b"for nobody\n")
    relay.wait("a", subscribers=0)


def test_rates_of_raw_bytes(lab):
    """Each second: without messages and latency, which nobody knows."""
    relay = lab.start(feed("a", framing="line"))
    cat = Tool(lab, "relaycat", "--stats", relay.address["listener a-raw"])
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", LINES)
    lab.loop.run(lambda: b"\n" in cat.told.encode(), what="a second")
    assert re.fullmatch(r"[\d.]+ \w*B/s", cat.told.splitlines()[0]), cat.told
    cat.stop()
    publisher.send(b"for nobody\n")
    relay.wait("a", subscribers=0)

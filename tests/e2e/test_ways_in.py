# SPDX-License-Identifier: MIT
"""Each way in which a configuration comes to a relay: at a start, by SIGHUP, by SIGUSR2, after a crash. And what becomes of
one that is good, of one that does not read, and of one that reads but cannot be applied. A restart by systemd is in
tests/service; an edit behind the last check is in test_way_back.py."""

import re
import signal
import socket

import pytest

from relaytest.crashing import Crashing
from relaytest.ini import feed
from relaytest.stream import script

MADE = script("u32be", (70_000, 300, 1) * 20, 2)
HALF = MADE.ends[29]

# What is put into the file; {taken} is somebody else's port. Then what relay says of it.
FILES = {
    "good": ("tcp:127.0.0.1:0", None),
    "does not read": ("nonsense", r"relay\.ini:\d+: error: .*listen"),
    "does not apply": ("tcp:127.0.0.1:{taken}", "Address already in use"),
}
DONE = {"SIGHUP": r" reloaded\b", "SIGUSR2": r" info ready\b"}
REFUSED = {
    "SIGHUP": "reload failed: .*nothing has changed",
    "SIGUSR2": "upgrade failed: .*nothing has changed",
    "crash": "configuration refused: .*going on with the one before",
}


def sections_of(lab):
    return {"relay": {"workers": 2}} | feed("a", framing="u32be", on_slow="wait", stall_timeout="1h")


def with_another(sections, listen, taken):
    port = str(taken.getsockname()[1])
    return sections | {"listener new": {"feed": "a", "listen": listen.replace("{taken}", port)}}


def come(way, crashing, edited):
    """The relay that has got the file, one way or the other."""
    relay = crashing.relay
    if way == "crash":
        crashing.stop_at_rest()
        crashing.sections = edited
        crashing.die()
        return crashing.relay
    relay.write(edited)
    since = len(relay.log)
    relay.process.send_signal(getattr(signal, way))
    relay.wait_log(f"{DONE[way]}|{REFUSED[way]}", since)
    return relay


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("way", REFUSED)
def test_what_comes_to_a_running_relay(lab, way, what):
    """The good one is in effect; any other changes nothing. Nobody is cut, and not a byte is missing."""
    listen, said = FILES[what]
    sections = sections_of(lab)
    crashing = Crashing(lab, sections)
    readers = [crashing.relay.subscribe(name, MADE) for name in ("a-raw", "a-framed")]
    crashing.relay.wait("a", subscribers=2)
    publisher = crashing.relay.publish("a", MADE.wire[:HALF])
    lab.loop.run(lambda: all(one.position == HALF for one in readers), what="the first half")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        edited = with_another(sections, listen, taken)
        relay = come(way, crashing, edited)
    if said:
        relay.expect(": error: ", *REFUSED.values()).wait_log(REFUSED[way])
        relay.wait_log(said)
        assert "listener new" not in relay.address
        relay.sections = sections
    else:
        assert "listener new" in relay.address and not any(re.search(REFUSED[way], line) for line in relay.log)
        relay.sections = edited
        relay.baseline += 1
    if way == "crash":
        publisher = relay.publish("a", MADE.wire[HALF:])
    else:
        publisher.send(MADE.wire[HALF:])
    relay.run_until_done(readers)
    assert publisher.lost is None


@pytest.mark.parametrize("what, code", [("good", None), ("does not read", 78), ("does not apply", 1)])
def test_what_comes_to_a_start(lab, what, code):
    """There is nothing to go on with: relay says why and ends. What is wrong in the file itself is not tried again."""
    listen, said = FILES[what]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        relay = lab.start(with_another(sections_of(lab), listen, taken), wait=not said)
        if said:
            relay.expect(": error: ", " error ")
            assert relay.wait_exit() == code
            assert any(re.search(said, line) for line in relay.log), relay.log
        else:
            assert "listener new" in relay.address

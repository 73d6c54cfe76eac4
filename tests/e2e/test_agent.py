# SPDX-License-Identifier: MIT
"""agent of [admin]: what HAProxy's agent-check gets."""

import signal
import socket

import pytest

from relaytest import address
from relaytest.ini import feed
from relaytest.loop import CEILING
from relaytest.stream import script

SCRIPT = script("line", (100,) * 4, 3)


def start(lab, **options):
    return lab.start({"relay": {"max_subscribers": 8, "drain": "60s"},
                      "admin": {"listen": "none", "socket": "none", "agent": "tcp:127.0.0.1:0", **options},
                      **feed("a", framing="line", raw={"send_buffer": "32k", "user_timeout": "0"}, on_slow="wait",
                             stall_timeout="1h")})


def line(relay):
    family, where = address.parse(relay.address["admin agent"])
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(CEILING)
        sock.connect(where)
        text = b""
        while more := sock.recv(100):
            text += more
    return text.decode()


def test_it_says_how_much_room_there_is(lab):
    relay = start(lab)
    assert line(relay) == "drain\n"
    publisher = relay.publish("a", SCRIPT.wire)
    relay.wait("a", source_up=1, in_messages=4)
    assert line(relay) == "ready 100%\n"
    relay.subscribe("a-raw", SCRIPT, count=3, start=len(SCRIPT.payload))
    relay.wait("a", subscribers=3)
    assert line(relay) == "ready 62%\n"
    relay.subscribe("a-raw", SCRIPT, count=5, start=len(SCRIPT.payload))
    relay.wait("a", subscribers=8)
    assert line(relay) == "ready 1%\n"
    publisher.close()
    relay.wait("a", source_up=0)
    assert line(relay) == "drain\n"


def test_a_relay_that_drains(lab):
    relay = start(lab)
    big = script("line", (100_000,) * 40, 4)
    reader = relay.subscribe("a-raw", big, paused=True, receive_buffer=4096)
    relay.wait("a", subscribers=1)
    relay.publish("a", big.wire)
    relay.wait("a", subscribers_blocked=1)
    relay.signal(signal.SIGTERM)
    relay.wait_log("draining")
    assert line(relay) == "drain\n"
    reader.close()


def test_who_is_not_in_allow_gets_nothing(lab):
    relay = start(lab, allow="10.0.0.0/8")
    with pytest.raises(ConnectionResetError):
        line(relay)
    relay.wait_log("admin refused peer=tcp:127.0.0.1:")


@pytest.mark.parametrize("agent, why", (
    ("unix:/tmp/x", "agent in [admin] is for tcp"),
    ("tcp:127.0.0.1:7000", "127.0.0.1:7000"),
))
def test_bad_addresses(lab, agent, why):
    relay = lab.start({"admin": {"listen": "none", "socket": "none", "agent": agent},
                       **feed("a", "listen tcp:127.0.0.1:7000")}, wait=False, options=("-t",))
    assert relay.wait_exit() != 0
    assert any("error: " in told and why in told for told in relay.log), relay.log


def test_a_reload_opens_and_closes_it(lab):
    relay = start(lab, agent="none")
    assert "admin agent" not in relay.address
    sections = {**relay.sections, "admin": {**relay.sections["admin"], "agent": "tcp:127.0.0.1:0"}}
    relay.wait_log("reloaded", relay.reload(sections))
    assert line(relay) == "drain\n"
    sections["admin"]["agent"] = "none"
    relay.wait_log("reloaded", relay.reload(sections))
    with pytest.raises(ConnectionRefusedError):
        line(relay)

# SPDX-License-Identifier: MIT
"""Sockets that the service manager passes: listen = systemd:NAME."""

import os
import socket
import sys
from pathlib import Path

import pytest

from relaytest.ini import feed
from relaytest.stream import script

PASS = (sys.executable, str(Path(__file__).parent / "relaytest" / "pass_sockets.py"))
LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
RELOADED = r" reloaded\b"


def passing(*sockets):
    return (*PASS, *sockets, "--")


def activated(**options):
    """A feed of which publisher and subscribers come to passed sockets."""
    return feed("a", "listen systemd:in", raw={"listen": "systemd:out"}, framed={"listen": "systemd:framed"},
                framing="u32be", **LOSSLESS, **options)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_bytes_flow(lab, kind):
    def spec(name):
        return f"{name}=tcp" if kind == "tcp" else f"{name}=unix:{lab.directory}/{name}"

    made = script("u32be", (5000,) * 20, 1)
    relay = lab.start(activated(), prefix=passing(spec("in"), spec("out"), spec("framed")))
    assert all(where.startswith(kind + ":") for where in relay.address.values())
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    assert not [line for line in relay.log if " warning " in line]


def test_the_socket_outlives_reloads(lab):
    """A listener that goes and one that is made anew: the same socket, and nobody who waited in it is lost."""
    made = script("u32be", (5000,) * 20, 1)
    sections = activated()
    relay = lab.start(sections, prefix=passing("in=tcp", "out=tcp", f"framed=unix:{lab.directory}/s"))
    before = dict(relay.address)
    stayer = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)

    without = {name: section for name, section in sections.items() if name != "listener a-raw"}
    since = relay.reload(without)
    relay.wait_log(r"passed socket not used name=out address=" + before["listener a-raw"], since)
    relay.wait_log(RELOADED, since)
    early = relay.subscribe("a-raw", made)  # waits in the backlog: nobody accepts

    since = relay.reload(sections)
    relay.wait_log(RELOADED, since)
    assert relay.address == before
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done([stayer, early])

    # Another name in the file for the same socket, and the file of a unix socket is not relay's to remove.
    renamed = {("listener other" if name == "listener a-framed" else name): section
               for name, section in sections.items()}
    since = relay.reload(renamed)
    relay.wait_log(RELOADED, since)
    assert relay.address["listener other"] == before["listener a-framed"]
    assert os.path.exists(lab.directory / "s")
    relay.sections = renamed
    relay.wait("a", subscribers=1)


def test_a_drain_leaves_the_socket_open(lab):
    """What the service manager holds goes on taking connections: here the test holds it in its place."""
    path = str(lab.directory / "s")
    relay = lab.start(feed("a", raw={"listen": "systemd:out"}), prefix=passing(f"out=unix:{path}"))
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        relay.wait("a", subscribers=1)
    relay.finish()
    assert os.path.exists(path)


def refused(lab, sections, *sockets):
    """The log of a relay that does not start."""
    relay = lab.start(sections, prefix=passing(*sockets), wait=False)
    relay.signalled = True
    relay.expect("error")
    assert relay.wait_exit() == 1
    return "\n".join(relay.log)


@pytest.mark.parametrize("sockets, expected", [
    (["other=tcp"], r"listen systemd:out: no socket of this name was passed; .*FileDescriptorName=out; passed: other (tcp:127"),
    ([], "listen systemd:out: no socket of this name was passed; expected one of a socket unit with "
         "FileDescriptorName=out; passed: nothing"),
    (["out=tcp", "out=tcp"], "listen systemd:out: 2 sockets of this name were passed; expected a name of its own"),
    (["out=udp"], "listen systemd:out: the socket is not a stream; expected ListenStream="),
    (["out=bound"], "listen systemd:out: the socket does not listen; expected Accept=no"),
], ids=["other", "none", "two", "datagram", "idle"])
def test_what_cannot_be_listened_on(lab, sockets, expected):
    log = refused(lab, feed("a", raw={"listen": "systemd:out"}), *sockets)
    head, _, tail = expected.partition(".*")
    assert f"listener a-raw: {head}" in log and tail in log, log


def test_reload_to_a_name_that_was_not_passed_changes_nothing(lab):
    sections = activated()
    relay = lab.start(sections, prefix=passing("in=tcp", "out=tcp", "framed=tcp"))
    relay.expect("reload failed")
    since = relay.reload(sections | {"listener a-raw": sections["listener a-raw"] | {"listen": "systemd:web"}})
    relay.wait_log(r"reload failed: listener a-raw: listen systemd:web: .*passed: in \(.*\), out \(.*\), framed", since)
    relay.subscribe("a-raw", script("none", (1,), 1))
    relay.wait("a", subscribers=1)

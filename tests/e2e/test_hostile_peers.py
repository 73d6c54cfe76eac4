# SPDX-License-Identifier: MIT
"""Peers that send what nobody expects of them: they harm only themselves."""

import array
import os
import re
import signal
import socket
import struct

import pytest

from relaytest import daemon
from relaytest.address import connect, reset_on_close
from relaytest.admin import Admin
from relaytest.ini import ENGINES, feed
from relaytest.loop import CEILING
from relaytest.stream import script
from relaytest.surroundings import needs, passrights
from relaytest.web import Answer
from test_passed import passing

LINGER = 1000  # seconds: longer than a test may last
OLD_KERNEL = "passrights:ENOPROTOOPT"


class Lingering:
    """A TCP socket whose peer does not read, and that waits for it when it is closed: socket(7), SO_LINGER."""

    def __init__(self):
        server = socket.create_server(("127.0.0.1", 0))
        self.sock = socket.create_connection(server.getsockname())
        self.peer, _ = server.accept()
        server.close()
        self.sock.setblocking(False)
        try:
            while True:
                self.sock.send(b"x" * 65536)
        except BlockingIOError:
            pass
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER))

    def give(self, sock):
        """Passes it on with a byte, so that the receiver has it alone."""
        rights = array.array("i", [self.sock.fileno()])
        sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        self.sock.close()

    def end(self):
        """Whoever closes it waits no more."""
        self.peer.close()
        self.sock.close()


def sections_for(lab, engine="auto", **more):
    return {"relay": {"workers": 1}, "admin": {"listen": "tcp:127.0.0.1:0", "socket": f"unix:{lab.directory}/admin"},
            **feed("a", f"listen unix:{lab.directory}/in", raw={"listen": f"unix:{lab.directory}/out"}, framing="line",
                   **ENGINES.get(engine, {})),
            "listener a-web": {"feed": "a", "listen": f"unix:{lab.directory}/web", "format": "http"},
            **feed("b", framing="line"), **more}


WHERE = {"publisher": "feed a", "subscriber": "listener a-raw", "http": "listener a-web", "admin": "admin socket"}


@pytest.mark.parametrize("kernel", [pytest.param("new", marks=needs(passrights)), "old"])
@pytest.mark.parametrize("who", WHERE)
def test_nobody_waits_for_a_descriptor_that_a_peer_sends(lab, who, kernel):
    """Closing it may last for ever. From Linux 6.16 on the kernel refuses it; before, relay closes it apart: when it
    comes with bytes that are read, and when it still lies in the queue of a connection that ends."""
    env = daemon.preload(RELAY_REFUSE=OLD_KERNEL) if kernel == "old" else {}
    relay = lab.start(sections_for(lab), env=env)
    made = script("line", (100,) * 50, 1)
    lingering = [Lingering(), Lingering()]
    one = connect(relay.address[WHERE[who]])
    if kernel == "old":  # whoever closes one last waits: that must not be this test
        relay.process.send_signal(signal.SIGSTOP)
        relay.wait_stopped()
    for each in lingering:
        if kernel == "old":
            each.give(one)
            continue
        with pytest.raises(PermissionError):
            each.give(one)
        one.send(b"x\n")
    relay.process.send_signal(signal.SIGCONT)
    # Another feed, in the same thread, and the control thread.
    reader = relay.subscribe("b-raw", made)
    relay.wait("b", subscribers=1)
    relay.publish("b", made.wire)
    relay.run_until_done([reader])
    assert Admin(relay).ask("/healthz").status == 200
    if kernel == "old" and who == "subscriber":
        relay.wait("a", closed_descriptors=1)
    if kernel == "old" and who == "publisher":
        relay.wait("a", source_descriptors=1)
    one.close()
    # Only now their closing comes to an end.
    for each in lingering:
        each.end()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_unix_publisher_of_an_older_kernel(lab, engine):
    """The engines that do not see the bytes would lose sight of the descriptors: they are not used there."""
    made = script("line", (100, 5000, 60_000) * 50, 1)
    sections = sections_for(lab, engine)
    relay = lab.start(sections, env=daemon.preload(RELAY_REFUSE=OLD_KERNEL))
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    assert relay.feed("a")["spliced_bytes"] == 0


@needs(passrights)
def test_abstract_sockets_refuse_descriptors(lab):
    """There file permissions guard nothing."""
    name = f"@relay-test-{lab.directory.name}"
    relay = lab.start(sections_for(lab, **{"listener c": {"feed": "a", "listen": f"unix:{name}"}}))
    refuses_descriptors(relay, "\0" + name[1:])


@needs(passrights)
def test_passed_sockets_refuse_descriptors(lab):
    """They listened before relay was there."""
    path = f"{lab.directory}/passed"
    sections = sections_for(lab, **{"listener c": {"feed": "a", "listen": "systemd:out"}})
    relay = lab.start(sections, prefix=passing(f"out=unix:{path}"))
    refuses_descriptors(relay, path)


def refuses_descriptors(relay, where):
    one = socket.socket(socket.AF_UNIX)
    one.connect(where)
    relay.wait("a", subscribers=1)
    with pytest.raises(PermissionError):
        one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
    one.close()


def change_later(lab, relay, path, made):
    """What a later subscriber gets of a file that was sent by sendfile(2), delivered, and then changed."""
    path.write_bytes(made.wire)
    first = relay.subscribe("b-raw", made)
    relay.wait("b", subscribers=1)
    publisher = connect(relay.address["feed b"])
    with path.open("r+b") as file:
        at = 0
        while at < len(made.wire):
            try:
                at += os.sendfile(publisher.fileno(), file.fileno(), at, len(made.wire) - at)
            except BlockingIOError:
                lab.loop.turn(0.01)
        relay.run_until_done([first])
        first.reset()
        file.write(b"-" * len(made.wire))
    late = connect(relay.address["listener b-raw"])
    late.settimeout(CEILING)
    got = b""
    while len(got) < len(made.wire):
        got += late.recv(65536)
    reset_on_close(late)
    late.close()
    publisher.close()
    return got


@pytest.mark.parametrize("engine", ENGINES)
def test_copied_pages_stay_as_they_were(lab, engine):
    """A local publisher keeps the pages that it has sent: relay has copies."""
    made = script("line", (1000,) * 60, 1)
    relay = lab.start(feed("b", framing="line", burst="1024k", publisher_pages="copy", **ENGINES[engine]))
    assert change_later(lab, relay, lab.directory / "file", made) == made.wire
    assert relay.feed("b")["packets_splice"] == 0


def test_shared_pages_are_the_publishers(lab):
    """The default, and what a reload changes."""
    made = script("line", (1000,) * 60, 1)
    sections = feed("b", framing="line", burst="1024k", engine="splice")
    relay = lab.start(sections)
    assert b"-" * 4096 in change_later(lab, relay, lab.directory / "file", made)
    sections["feed b"]["publisher_pages"] = "copy"
    since = relay.reload(sections)
    relay.wait_log(r" reloaded$", since)
    before = relay.feed("b")["packets_splice"]
    relay.wait("b", source_losses=1)
    relay.publish("b", made.wire)
    relay.wait("b", in_messages=2 * made.count)
    assert relay.feed("b")["packets_splice"] == before


HEADS = 8
ASK = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_flood_of_unfinished_requests_crowds_out_itself(lab):
    """Whoever has most of them loses one: those of other addresses may be as slow as they like."""
    sections = feed("a") | {"listener web": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http",
                                             "max_heads": HEADS}}
    relay = lab.start(sections)
    slow = [Answer(relay, "web", ASK[:20], source=f"127.0.0.{10 + i}") for i in range(2)]
    flood = [Answer(relay, "web", ASK[:20], source="127.0.0.2") for _ in range(10 * HEADS)]
    lab.loop.run(lambda: sum(one.end is not None for one in flood) == 9 * HEADS + 2, what="the flood's own end")
    for one in slow:
        one.sock.send(ASK[20:])
    lab.loop.run(lambda: all(b"\r\n\r\n" in one.data for one in slow), what="answers")
    assert all(one.data.startswith(b"HTTP/1.1 200 ") for one in slow), [one.data for one in slow]
    assert all(one.data.startswith(b"HTTP/1.1 503 ") for one in flood if one.end)
    for one in slow + flood:
        one.reset()


def test_a_name_that_a_peer_has_given_itself_is_one_word(lab):
    """It may be no field of its own in the log, and no sign that a terminal takes for a command."""
    name = b"x feed=bank reason=none message_id=1 \xc2\x9b31m\xff\n\"end"
    relay = lab.start(sections_for(lab))
    for where in ("feed a", "listener a-raw"):
        one = socket.socket(socket.AF_UNIX)
        one.bind(b"\0" + name + where[:1].encode())
        one.connect(relay.address[where].removeprefix("unix:"))
        relay.adopt(one).send(b"x\n")
    expected = '@x?feed=bank?reason=none?message_id=1???31m??"end'
    relay.wait_log(f"publisher up feed=a peer=unix:{re.escape(expected)}f$")
    relay.wait("a", subscribers=1)
    rows = Admin(relay).get("/subscribers.json")["subscribers"]
    assert [row["peer"] for row in rows] == [f"unix:{expected}l"]

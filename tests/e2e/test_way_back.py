# SPDX-License-Identifier: MIT
"""The file has been edited, and what it asks for cannot be had: the next process goes on with the configuration before,
says so, and nobody is cut. By an upgrade whose check was right a moment ago, and after a crash."""

import os
import signal
import socket

import pytest

from relaytest import daemon
from relaytest.admin import Admin
from relaytest.crashing import Crashing
from relaytest.ini import feed
from relaytest.service_manager import ServiceManager
from relaytest.stream import script
from relaytest.web import Answer, WebSubscriber, request

MADE = script("u32be", (70_000, 300, 4096, 1) * 20, 2)
HALF = MADE.ends[39]
GONE = "/nonexistent"
BEARER = {"Authorization": "Bearer secret"}
REFUSED = "configuration refused: .*going on with the one before"


def sections_of(lab):
    return ({"relay": {"workers": 2}, "admin": {"listen": "none", "socket": f"unix:{lab.directory}/admin"}}
            | feed("a", framing="u32be", on_slow="wait", stall_timeout="1h")
            | {"listener a-local": {"feed": "a", "listen": f"unix:{lab.directory}/local"}})


def more(name, **options):
    return {f"listener {name}": {"feed": "a", "listen": "tcp:127.0.0.1:0", **options}}


# What is put into the file; {taken} is the port of somebody else. Then what the log says of it.
EDITS = {
    "an error": ({"feed a": {"ingest": "nonsense"}}, "relay.ini:.* error: "),
    "no file": (None, "relay.ini: error: cannot read: No such file"),
    "a port that is taken": (more("new", listen="tcp:127.0.0.1:{taken}"), "Address already in use"),
    "a feed at a port that is taken": (feed("b", "listen tcp:127.0.0.1:{taken}"), "Address already in use"),
    "an admin port that is taken": ({"admin": {"listen": "tcp:127.0.0.1:{taken}"}}, "admin: .*Address already in use"),
    "a name that is not known": (more("new", listen="tcp:no-such-name.invalid:9000"), "no-such-name.invalid"),
    "a directory that is not there": (more("new", listen=f"unix:{GONE}/s"), "No such file"),
    "a group that is not there": (more("new", listen="unix:s", socket_group="no-such-group"), "no group 'no-such-group'"),
    "a fifo that is not there": (feed("b", f"fifo:{GONE}/f"), f"fifo:{GONE}/f"),
    "a file that is not there": (feed("b", f"file:{GONE}/f"), f"file:{GONE}/f"),
    "a token file that is not there": (more("new", format="http", token_file=f"{GONE}/t"), f"cannot read {GONE}/t"),
}


class Way:
    """How one process follows another. The file is edited where no check sees it any more."""

    def __init__(self, lab, sections):
        self.lab = lab
        self.start(sections)

    def edit(self, sections):
        if sections is None:
            self.relay.ini.unlink()
        else:
            self.relay.write(sections)


class Upgrade(Way):
    """SIGUSR2: the check has said that all is right, and the new program is about to run."""

    def start(self, sections):
        self.manager = ServiceManager(self.lab)
        self.relay = self.lab.start(sections, **self.manager.options(env=daemon.preload(RELAY_STOP="execv:1")))

    def go(self, edited):
        since = len(self.relay.log)
        self.relay.process.send_signal(signal.SIGUSR2)
        self.relay.wait_stopped()
        self.edit(edited)
        self.relay.process.send_signal(signal.SIGCONT)
        self.relay.wait_log(r" info ready\b", since)


class Crash(Way):
    """SIGKILL."""

    def start(self, sections):
        self.crashing = Crashing(self.lab, sections)
        self.manager = self.crashing.manager
        self.relay = self.crashing.relay

    def go(self, edited):
        self.crashing.stop_at_rest()
        self.edit(edited)
        self.crashing.sections = edited
        self.crashing.die()
        self.relay = self.crashing.relay


WAYS = {"upgrade": Upgrade, "crash": Crash}


def check_told(lab, way, answer):
    relay = way.relay.expect("configuration refused", ": error: ")
    lines = [line for line in relay.log if "configuration refused" in line]
    assert len(lines) == 1, lines
    relay.wait_log(f"configuration refused: .*{answer}.*; going on with the one before")
    assert relay.status()["relay"]["config_fallbacks"] == 1
    control = Admin(relay, "socket")
    told = control.get("/status.json")["relay"]
    assert told["reload_failed"] and told["config_fallbacks"] == 1 and told["config_fault"], told
    assert "\nrelay_config_fallbacks_total 1\n" in control.ask("/metrics").text
    shown = lab.run_tool("relayctl", "-s", f"{lab.directory}/admin", "status")
    assert "the configuration in the file is not in effect" in shown.stdout, shown
    assert any(one.get("STATUS", "").startswith("the configuration before is in effect") for one in way.manager.messages)
    return control


@pytest.mark.parametrize("what, how", [(what, how) for what in EDITS for how in WAYS
                                       if EDITS[what][0] is not None or how == "upgrade"])
def test_nobody_is_cut(lab, what, how):
    sections = sections_of(lab)
    way = WAYS[how](lab, sections)
    readers = [way.relay.subscribe(name, MADE) for name in ("a-raw", "a-framed")]
    way.relay.wait("a", subscribers=2)
    where = dict(way.relay.address)
    publisher = way.relay.publish("a", MADE.wire[:HALF])
    lab.loop.run(lambda: all(one.position == HALF for one in readers), what="the first half")
    edits, answer = EDITS[what]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        if edits is not None:
            edits = sections | {name: {key: str(value).replace("{taken}", port) for key, value in section.items()}
                                for name, section in edits.items()}
        way.go(edits)
        relay = way.relay
        relay.sections = sections
        control = check_told(lab, way, answer)
        assert {name: at for name, at in relay.address.items() if name in where} == where
    if how == "crash":
        publisher = relay.publish("a", MADE.wire[HALF:])
    else:
        publisher.send(MADE.wire[HALF:])
    relay.run_until_done(readers)
    assert publisher.lost is None
    late = relay.subscribe("a-local", MADE, start=None)
    relay.wait("a", subscribers=3)
    assert late.end is None
    late.reset()
    relay.wait("a", subscribers=2)
    relay.wait_log(r" reloaded\b", relay.reload(sections))
    told = control.get("/status.json")["relay"]
    assert not told["reload_failed"] and told["config_fault"] == "" and told["config_fallbacks"] == 1, told


def test_it_is_tried_again_and_counted_on(lab):
    """Each next process tries the file first; how often it was no good is kept over all of them."""
    way = Crash(lab, sections_of(lab))
    reader = way.relay.subscribe("a-raw", MADE)
    way.relay.wait("a", subscribers=1)
    for count in (1, 2):
        way.go(sections_of(lab) | more("new", listen=f"unix:{GONE}/s"))
        way.relay.sections = sections_of(lab)
        way.relay.expect("configuration refused").wait_log(REFUSED)
        assert way.relay.status()["relay"]["config_fallbacks"] == count
    way.go(sections_of(lab) | more("new", listen=f"unix:{lab.directory}/s"))
    assert not [line for line in way.relay.log if "configuration refused" in line]
    assert "listener new" in way.relay.address and way.relay.status()["relay"]["config_fallbacks"] == 2
    way.relay.baseline += 1  # the new one
    way.relay.publish("a", MADE.wire)
    way.relay.run_until_done([reader])


def test_its_own_fifo_is_gone(lab):
    """Nothing was edited. Subscribers stay, and a reload finds the fifo when it is there again."""
    fifo = lab.directory / "fifo"
    os.mkfifo(fifo)
    sections = feed("a", f"fifo:{fifo}", framing="u32be", on_slow="wait", stall_timeout="1h")
    way = Crash(lab, sections)
    reader = way.relay.subscribe("a-raw", MADE)
    way.relay.wait("a", subscribers=1)
    fifo.unlink()
    way.go(sections)
    way.relay.expect("configuration refused", "no publisher until the next reload").wait_log(REFUSED)
    os.mkfifo(fifo)
    way.relay.wait_log(r" reloaded\b", way.relay.reload(sections))
    publisher = way.relay.adopt(os.open(fifo, os.O_WRONLY))
    publisher.send(MADE.wire)
    way.relay.run_until_done([reader])


@pytest.mark.parametrize("how", WAYS)
def test_its_own_tokens_are_gone(lab, how):
    """Who is a subscriber stays, and nobody else gets in."""
    tokens = lab.directory / "tokens"
    tokens.write_text("secret\n")
    sections = sections_of(lab) | more("web", format="http", token_file=tokens)
    way = WAYS[how](lab, sections)
    reader = way.relay.subscribe("web", MADE, kind=WebSubscriber, fields=BEARER)
    way.relay.wait("a", subscribers=1)

    def edit(_):
        tokens.unlink()

    way.edit = edit
    way.go(sections)
    way.relay.expect("configuration refused", "cannot read .*tokens").wait_log(REFUSED)
    assert Answer(way.relay, "web", request("/a", BEARER)).wait()[0] == 401
    way.relay.publish("a", MADE.wire)
    way.relay.run_until_done([reader])


@pytest.mark.parametrize("how", WAYS)
def test_the_directory_of_its_socket_is_gone(lab, how):
    """What the process before listened on is listened on, although nobody finds it."""
    directory = lab.directory / "away"
    directory.mkdir()
    sections = sections_of(lab) | more("away", listen=f"unix:{directory}/s")
    way = WAYS[how](lab, sections)
    reader = way.relay.subscribe("a-raw", MADE)
    way.relay.wait("a", subscribers=1)

    def edit(_):
        (directory / "s").unlink()
        directory.rmdir()

    way.edit = edit
    way.go(sections)
    way.relay.expect("configuration refused", "going on with the socket of before").wait_log(REFUSED)
    way.relay.wait_log("listener away: .*No such file.*; going on with the socket of before")
    way.relay.publish("a", MADE.wire)
    way.relay.run_until_done([reader])
    directory.mkdir()
    way.relay.wait_log(r" reloaded\b", way.relay.reload(sections))
    late = way.relay.subscribe("away", MADE, start=None)
    way.relay.wait("a", subscribers=2)
    assert late.end is None

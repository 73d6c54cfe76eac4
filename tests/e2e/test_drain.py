# SPDX-License-Identifier: MIT
"""relayctl drain --spread: subscribers are let go one after the other, and told to come back elsewhere."""

import re
import signal
import struct

import pytest

from relaytest import packet
from relaytest.admin import Admin
from relaytest.ini import feed
from relaytest.stream import script
from relaytest.tool import Tool
from relaytest.web import Answer, WebSubscriber, ask, request, upgrade

MADE = script("line", (100,) * 20, 5)
FIRST = MADE.wire[:MADE.start_of(10)]
SPREAD = "2s"


class Drain:
    """A relay with a publisher, and relayctl for it."""

    def __init__(self, lab, **more):
        self.lab = lab
        self.path = lab.directory / "admin.sock"
        self.relay = lab.start({"admin": {"listen": "tcp:127.0.0.1:0", "socket": f"unix:{self.path}"},
                                **feed("a", framing="line", heartbeat="0", raw={}, framed={}),
                                "listener web": {"listen": "tcp:127.0.0.1:0", "format": "http", "feed": "a",
                                                 "burst": "64k"}, **more})
        self.admin = Admin(self.relay)
        self.publisher = self.relay.publish("a", FIRST)
        self.relay.wait("a", in_messages=10)

    def ctl(self, *words, code=0):
        self.relay.signalled = self.relay.signalled or words[0] == "drain"  # it may end at any time now
        done = self.lab.run_tool("relayctl", "-s", self.path, *words)
        assert done.returncode == code, done
        return done.stdout + done.stderr

    def end(self):
        """Relay ends by itself, and all that asked have got all it sent."""
        assert self.relay.wait_exit() == 0
        asked = [peer for peer in self.relay.peers if isinstance(peer, Answer)]
        self.lab.loop.run(lambda: all(one.end for one in asked), what="an end of all")


def test_each_format_is_told(lab):
    """All that was published comes first; then the end, as clean as the format has one."""
    there = Drain(lab)
    relay = there.relay
    made = {kind: Answer(relay, "web", request(path, fields)) for kind, path, fields in (
        ("http", "/a", {}), ("framed", "/a?format=framed", {}), ("events", "/a", {"Accept": "text/event-stream"}),
        ("websocket", "/a", upgrade()), ("websocket-framed", "/a?format=framed", upgrade()))}
    made["raw"] = Answer(relay, "a-raw", b"")
    relay.wait("a", subscribers=len(made))
    there.publisher.send(MADE.wire[len(FIRST):])
    relay.wait("a", in_messages=MADE.count)
    assert there.ctl("drain", "--spread", SPREAD) == f"draining over {SPREAD}\n"
    there.end()
    assert {kind: one.end for kind, one in made.items()} == {kind: "fin" for kind in made}
    body = {kind: one.data.partition(b"\r\n\r\n")[2] for kind, one in made.items()}
    assert made["raw"].data == MADE.wire[len(FIRST):]
    assert body["http"].endswith(MADE.wire[-100:] + b"\r\n0\r\n\r\n")
    last = packet.decode(body["framed"][-packet.BYTES:])
    assert (last.type, last.flags, last.sequence) == (packet.HEARTBEAT, packet.MOVED, MADE.count + 1)
    assert f"{last.session}-{MADE.count}\n".encode() in body["events"]
    retry = int(re.search(rb"retry: (\d+)\n\n\r\n0\r\n\r\n$", body["events"])[1])
    assert 1000 <= retry <= 3000
    for kind in ("websocket", "websocket-framed"):
        code, = struct.unpack(">H", re.search(rb"\x88[^\x00-\x01](..)relay lets its subscribers go; [^\x88]*$", body[kind],
                                              re.DOTALL)[1])
        assert code == 1012
    at = body["websocket-framed"].rindex(b"\x82\x20RLY1")
    assert packet.decode(body["websocket-framed"][at + 2:at + 2 + packet.BYTES])[:2] == last[:2]


def test_one_after_the_other_and_taken_back(lab):
    """Some go, all else goes on: newcomers are let in, and messages come. Who is still there when the drain is taken
    back stays. Asked anew, it is about those who are there then; the newcomer goes when the time is over."""
    there = Drain(lab)
    relay, count = there.relay, 40
    some = [Answer(relay, "web", request("/a")) for _ in range(count)]
    relay.wait("a", subscribers=count)
    assert there.admin.ask("/readyz").status == 200
    assert "relay is not draining" in there.ctl("drain", "--cancel", code=1)
    there.ctl("drain", "--spread", "20s")
    refused = there.admin.ask("/readyz")
    assert (refused.status, refused.json["error"]) == (503, "draining")
    assert "relay_draining 1\n" in there.admin.ask("/metrics").text
    relay.wait("a", test=lambda seen: seen.get("closed_moved", 0) >= 2)
    shown = there.admin.get("/status.json")
    metrics = shown["feeds"][0]["metrics"]
    assert shown["relay"]["draining"] and 0 < shown["relay"]["slow_drain_left_ms"] < 20_000
    assert metrics["subscribers_to_go"] == metrics["subscribers"] < count
    assert re.search(r"draining slowly  to go \d+  left \d", there.ctl("status"))
    newcomer = relay.subscribe("web", MADE, kind=WebSubscriber)
    relay.wait("a", subscribers_total=count + 1)
    assert "drain --cancel" in there.ctl("upgrade", code=1)
    assert there.ctl("drain", "--cancel") == "the drain is taken back\n"
    assert there.admin.ask("/readyz").status == 200 and not there.admin.get("/status.json")["relay"]["draining"]
    seen = relay.wait("a", subscribers_to_go=0)
    assert seen["subscribers"] == count + 1 - seen["closed_moved"] > 1
    there.publisher.send(MADE.wire[len(FIRST):])
    relay.run_until_done([newcomer])
    stayed = [one for one in some if not one.end]
    lab.loop.run(lambda: all(MADE.wire[-100:] in one.data for one in stayed), what="the last message")
    there.ctl("drain", "--spread", "500ms")
    there.end()
    assert all(one.end == "fin" and one.data.endswith(b"0\r\n\r\n") for one in some)


def test_a_newcomer_stays_until_the_time_is_over(lab):
    there = Drain(lab)
    there.ctl("drain", "--spread", SPREAD)  # nobody is there: it ends when it is seen
    there.end()
    there = Drain(lab, relay={"drain": "1h"})
    old = Answer(there.relay, "web", request("/a"))
    there.relay.wait("a", subscribers=1)
    there.ctl("drain", "--spread", SPREAD)
    new = Answer(there.relay, "web", request("/a?format=framed"))
    there.end()
    assert old.end == new.end == "fin"
    packets = new.data.partition(b"\r\n\r\n")[2]
    last = packet.decode(packets[-packet.BYTES:])
    assert (last.type, last.flags) == (packet.END, 0)


def test_a_drain_at_once_needs_no_waiting(lab):
    there = Drain(lab)
    one = Answer(there.relay, "web", request("/a"))
    there.relay.wait("a", subscribers=1)
    there.ctl("drain", "--spread", "1h")
    there.relay.wait_log("slow drain begins subscribers=1 over_ms=3600000")
    assert there.ctl("drain") == "draining\n"
    there.end()
    assert one.end == "fin"
    there = Drain(lab)
    one = Answer(there.relay, "web", request("/a"))
    there.relay.wait("a", subscribers=1)
    there.ctl("drain", "--spread", "1h")
    there.relay.signal(signal.SIGTERM)
    there.end()


@pytest.mark.parametrize("query", ("", "?spread=", "?spread=5", "?spread=0s", "?spread=25h", "?over=5m"))
def test_bad_times(lab, query):
    there = Drain(lab)
    answer = Admin(there.relay, "socket").post(f"/drain-slowly{query}")
    assert answer.status == 400 and "spread=DURATION" in answer.json["error"]
    assert ask(there.relay, "/b")[0] == 404


def test_relaycat_says_so(lab):
    """It says what it is told, and that it tries again."""
    there = Drain(lab)
    cat = Tool(lab, "relaycat", "--reconnect", "--verify", "--framing", "line",
               there.relay.address["listener a-framed"])
    there.relay.wait("a", subscribers=1)
    there.publisher.send(MADE.wire[len(FIRST):])
    lab.loop.run(lambda: cat.out == MADE.wire[len(FIRST):], what="the messages")
    there.ctl("drain", "--spread", "200ms")
    cat.wait_told(r"let go, session \d+ goes on with message 21, best at another address\n")
    there.end()
    cat.wait_told("; trying again")
    cat.stop()

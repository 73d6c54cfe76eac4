# SPDX-License-Identifier: MIT
"""The examples of sources.md carry what their trade sends. Only places are changed for this machine: addresses, ports,
devices and paths."""

import os
import pty
import re

from relaytest.daemon import ROOT
from relaytest.frames import beast
from relaytest.stream import Script
from relaytest.web import Answer, event_text, request
from test_devices import append
from test_udp import Sender

EXAMPLES = ROOT / "deploy/doc/examples"


def sections_of(name, **ingests):
    """As a dict for lab.start(): listeners at free ports, and these feeds read from elsewhere."""
    made = {}
    for line in (EXAMPLES / name).read_text().splitlines():
        if title := re.fullmatch(r"\[(.+)\]", line):
            section = made[title[1]] = {}
        elif line and not line.startswith(";"):
            key, value = line.split(" = ", 1)
            section[key] = re.sub(r"tcp:[^:]*:\d+", "tcp:127.0.0.1:0", value)
    made["admin"]["listen"] = "none"
    for feed, ingest in ingests.items():
        made[f"feed {feed}"]["ingest"] = ingest
    return made


def test_aircraft(lab):
    master, device = pty.openpty()
    lab.closers.append(lambda: os.close(master))
    relay = lab.start(sections_of("adsb.ini", own=f"serial:{os.ttyname(device)}"))
    os.close(device)
    frames = [beast(bytes((n, 26, 7)) * 7) for n in range(50)]
    made = Script("beast", b"".join(frames))
    own, neighbours = relay.subscribe("beast", made), relay.subscribe("beast-neighbours", made)
    relay.wait("own", subscribers=1, source_up=1)
    relay.wait("neighbours", subscribers=1)
    os.write(master, made.wire)
    relay.publish("neighbours", made.wire)
    relay.run_until_done([own, neighbours])


def test_logs(lab):
    log = lab.directory / "app.log"
    log.touch()
    sender = Sender()
    lab.closers.append(sender.close)
    relay = lab.start(sections_of("logs.ini", app=f"tail:{log}", devices=f"udp:127.0.0.1:{sender.port}"))
    relay.wait("app", source_up=1)
    page = Answer(relay, "web", request("/app", {"Accept": "text/event-stream"}))
    other = Answer(relay, "web", request("/syslog", {"Accept": "text/event-stream"}))
    datagrams = relay.subscribe("devices", Script("fixed:1", b"<13>one<13>two", ends=[7, 14]))
    relay.wait("devices", subscribers=1)
    append(log, "something has happened")
    relay.publish("syslog", b"10 <13>1 what9 <13>1 two")
    sender.send([b"<13>one", b"<13>two"])
    lab.loop.run(lambda: b"data: something has happened\n\n" in event_text(page.data), what="the line")
    lab.loop.run(lambda: b"data: <13>1 what\n\n" in event_text(other.data), what="the message")
    relay.run_until_done([datagrams])


def test_market_data(lab):
    sender = Sender("239.1.2.3")
    lab.closers.append(sender.close)
    relay = lab.start(sections_of("market-data.ini", trades=f"udp:127.0.0.1@239.1.2.3%lo:{sender.port}"))
    messages = [b"%016d" % number * 40 for number in range(100)]
    made = Script("fixed:640", b"".join(messages), ends=range(640, 64_001, 640))
    readers = [relay.subscribe("framed", made), relay.subscribe("raw", made)]
    relay.wait("trades", subscribers=2)
    for at in range(0, 100, 20):
        sender.send(messages[at:at + 20])
        relay.wait("trades", in_messages=at + 20)
    relay.run_until_done(readers)

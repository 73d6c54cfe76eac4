# SPDX-License-Identifier: MIT
"""The programs that people have in front of a relay: rsyslog, logrotate, socat at a serial line and as a sender to a
multicast group in another network namespace. Run by `make test-clients`."""

import os
import subprocess
import time

import pytest

from relaytest.frames import beast
from relaytest.ini import feed
from relaytest.namespace import Namespace
from relaytest.stream import Script
from relaytest.surroundings import needs, network_link
from test_devices import append, lines, start

pytestmark = pytest.mark.clients


class Program:
    def __init__(self, lab, *command, **options):
        self.process = subprocess.Popen([str(word) for word in command], **options)
        lab.closers.append(self.end)

    def end(self):
        self.process.terminate()
        self.process.wait()


def test_socat_at_a_serial_line(lab):
    """Its pty is the device; it reads what the receiver says from a file."""
    frames = [beast(bytes((n, 26, 51)) * 7) for n in range(200)]
    made = Script("beast", b"".join(frames), ends=[sum(map(len, frames[:n + 1])) for n in range(200)])
    heard = lab.directory / "heard"
    heard.write_bytes(made.wire)
    device = lab.directory / "ttyUSB0"
    relay, readers = start(lab, made, f"serial:{device}", serial_mode="3000000 8N1")
    relay.wait_log("source missing")
    Program(lab, "socat", "-u", f"OPEN:{heard},ignoreeof", f"PTY,link={device},rawer,mode=666,wait-slave")
    relay.run_until_done(readers)
    relay.wait("a", in_messages=200, unsynced_bytes=0)


def test_logrotate(lab):
    """Both ways, as often as it likes."""
    path = lab.directory / "app.log"
    texts = [f"line {number}" for number in range(40)]
    path.touch()
    os.chmod(lab.directory, 0o755)
    relay, readers = start(lab, lines(*texts), f"tail:{path}")
    relay.wait("a", source_up=1)
    rules = lab.directory / "rules"
    for number, text in enumerate(texts, 1):
        append(path, text)
        relay.wait("a", in_messages=number)
        if number % 10:
            continue
        how = "copytruncate" if number % 20 else "create"
        rules.write_text(f"{path} {{\n rotate 9\n size 1\n {how}\n missingok\n}}\n")
        os.chmod(rules, 0o644)
        subprocess.run(["/usr/sbin/logrotate", "-f", "-s", lab.directory / "state", rules], check=True)
        relay.wait("a", files_shrunk=(number + 10) // 20)
    relay.run_until_done(readers)
    relay.wait("a", source_losses=0, partial_messages=0)


def test_rsyslog_counts_octets(lab):
    """Messages with a line feed in them come whole."""
    relay = lab.start(feed("a", framing="octet-counted"))
    host, port = relay.address["feed a"].removeprefix("tcp:").rsplit(":", 1)
    log = lab.directory / "in.sock"
    rules = lab.directory / "rsyslog.conf"
    rules.write_text(f"""
global(workDirectory="{lab.directory}" parser.escapeControlCharactersOnReceive="off")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{log}")
*.* action(type="omfwd" target="{host}" port="{port}" protocol="tcp" TCP_Framing="octet-counted"
           template="RSYSLOG_SyslogProtocol23Format")
""")
    sender = Program(lab, "rsyslogd", "-n", "-f", rules, "-i", lab.directory / "pid")
    lab.loop.run(log.exists, what="rsyslog", poll=0.01)
    for number in range(20):
        subprocess.run(["logger", "-u", log, f"one {number}\ntwo"], check=True)
    seen = relay.wait("a", test=lambda seen: seen["in_messages"] >= 20)
    assert seen.get("source_bad_count", 0) == 0, seen
    sender.end()
    relay.wait("a", source_up=0)


@needs(network_link)
def test_a_sender_to_a_group_from_another_namespace(lab):
    """Over a link, joined at its interface; what another sender sends to the group does not come."""
    with Namespace() as outside:
        inner, outer = "relay-in", "relay-out"
        for command in (f"link add {inner} type veth peer name {outer} netns {outside.holder.pid}",
                        f"addr add 192.0.2.1/24 dev {inner}", f"link set {inner} up"):
            subprocess.run(["ip", *command.split()], check=True)
        lab.closers.append(lambda: subprocess.run(["ip", "link", "del", inner], check=False, capture_output=True))
        for command in (f"addr add 192.0.2.7/24 dev {outer}", f"addr add 192.0.2.8/24 dev {outer}",
                        f"link set {outer} up"):
            subprocess.run(outside.command("ip", *command.split()), check=True)
        relay = lab.start(feed("a", f"udp:192.0.2.7@232.1.2.3%{inner}:5000"))
        made = Script("fixed:4", b"good" * 3, ends=[4, 8, 12])
        reader = relay.subscribe("a-raw", made)
        relay.wait("a", subscribers=1)

        def send(own, text):
            to = f"UDP4-DATAGRAM:232.1.2.3:5000,bind={own},ip-multicast-if={own}"
            subprocess.run(outside.command("socat", "-u", "-", to), input=text, check=True)

        until = time.monotonic() + 30  # the interface takes a moment to be up
        while not relay.feed("a")["in_messages"] and time.monotonic() < until:
            send("192.0.2.7", b"good")
        first = relay.feed("a")["in_messages"]
        send("192.0.2.8", b"evil")
        for number in range(first, 3):
            send("192.0.2.7", b"good")
            relay.wait("a", in_messages=number + 1)
        relay.run_until_done([reader])

# SPDX-License-Identifier: MIT
"""relay.service under the real systemd, in the container of tests/service/run: the unit as it is installed, its user,
its sandbox, READY, reload, stop and watchdog. The tests run in this order and leave the service as the next expects it.

It is longer than 600 lines because one boot of the container carries all of them, one after the other.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, "/e2e")

from relaytest.connector import Connector  # noqa: E402
from relaytest.nats import Client, NatsError  # noqa: E402

INI = pathlib.Path("/etc/relay/relay.ini")
DROP_IN = pathlib.Path("/run/systemd/system/relay.service.d/test.conf")
MESSAGE_BYTES = 64 * 1024
MESSAGES = 128
PORTS = {"splice": 7100, "compact": 7200, "copy": 7300}
# How long anything may take, in seconds: far more than it does on a machine that others use too.
CEILING = 60

FEED = """
[feed {name}]
ingest = listen tcp:127.0.0.1:{port}
framing = u32be
engine = {name}
on_slow = wait
stall_timeout = 1h
start_subscribers = 2
[listener {name}-raw]
feed = {name}
listen = tcp:127.0.0.1:{raw}
[listener {name}-framed]
feed = {name}
listen = tcp:127.0.0.1:{framed}
format = framed
"""


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=CEILING)
    assert not check or done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
    return done


def wait_until(is_true, what):
    """Polls. Each poll starts a program, so it is slow enough by itself."""
    end = time.monotonic() + CEILING
    while not (value := is_true()):
        assert time.monotonic() < end, f"still not so after {CEILING} s: {what}"
    return value


def show(key):
    return run("systemctl", "show", "--value", "--property", key, "relay").stdout.strip()


def journal():
    run("journalctl", "--sync")
    return run("journalctl", "--quiet", "--unit=relay", "--output=cat").stdout


def await_journal(text, more_than=0):
    """relay's lines come from a thread of their own, so what it has done is seen before they are."""
    return wait_until(lambda: (log := journal()).count(text) > more_than and log, f"{text} in the journal")


def entries(*matches):
    """What the journal has for these FIELD=value, newest last, as dicts."""
    run("journalctl", "--sync")
    lines = run("journalctl", "--quiet", "--unit=relay", "--output=json", *matches).stdout.splitlines()
    return [json.loads(line) for line in lines]


def status_of(feed):
    before = journal().count("status end")
    run("systemctl", "kill", "--signal=USR1", "--kill-whom=main", "relay")
    log = await_journal("status end", before)
    line = [line for line in log.splitlines() if f"status feed={feed} " in line][-1]
    return dict(field.split("=", 1) for field in line.split() if "=" in field)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=CEILING)


def read_to_end(peer):
    received = bytearray()
    while part := peer.recv(1 << 20):
        received += part
    return bytes(received)


def read_exactly(peer, length):
    received = bytearray()
    while len(received) < length:
        part = peer.recv(length - len(received))
        assert part, f"the end after {len(received)} of {length} bytes"
        received += part
    return bytes(received)


def drop_in(*lines):
    """Lines for [Service]; none: as it is installed."""
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text("\n".join(["[Service]", *lines, ""]))
    run("systemctl", "daemon-reload")


def write_feeds(*names, more="", drain="2s"):
    INI.write_text(f"[relay]\ndrain = {drain}\n" + more + "".join(
        FEED.format(name=name, port=PORTS[name], raw=PORTS[name] + 1, framed=PORTS[name] + 2) for name in names))


def keepers():
    return run("pgrep", "--exact", "relay-keeper", check=False).stdout.split()


@pytest.fixture(scope="module")
def stayer():
    """Subscribes when there are feeds to subscribe to, and stays over all reloads."""
    with connect(7001) as peer:
        yield peer


def test_starts_with_the_installed_example():
    run("systemctl", "start", "relay")
    assert show("ActiveState") == "active"
    assert show("Type") == "notify"
    connect(7001).close()


def test_runs_as_relay_without_privileges():
    proc = pathlib.Path("/proc") / show("MainPID")
    status = dict(re.findall(r"^(\w+):\s*(.*)$", (proc / "status").read_text(), re.M))
    assert proc.owner() == "relay"
    assert status["CapEff"] == status["CapBnd"] == "0" * 16
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    # Less where this machine or container allows less; relay takes all of it.
    soft, hard = re.search(r"^Max open files +(\d+) +(\d+) ", (proc / "limits").read_text(), re.M).groups()
    assert (show("LimitNOFILE"), soft) == ("1048576", hard)


def test_exposure():
    verdict = run("systemd-analyze", "security", "--no-pager", "relay").stdout.splitlines()[-1]
    assert float(re.search(r"(\d+\.\d+)", verdict)[1]) <= 1.5, verdict


# What the sandbox refuses on purpose. relay goes on without, or its error says how to allow it.
REFUSED = {
    "chown",  # socket_group, which needs a drop-in
    "execv",  # by this name, of Alpha; that of other machines is execve
    "setrlimit",  # beyond what systemd has given it
    "syscall",  # no call of its own
}


def test_the_sandbox_refuses_no_system_call_that_relay_makes():
    """The functions that relay takes out of the C library, as far as they are named after what they ask the kernel."""
    known = set(run("systemd-analyze", "syscall-filter", "@known").stdout.split())
    asked = set(re.findall(r" U (\w+)", run("nm", "--dynamic", "/usr/local/bin/relay").stdout)) & known
    assert {"splice", "tee", "vmsplice", "mincore", "sync_file_range", "memfd_create"} <= asked
    assert asked - set(show("SystemCallFilter").split()) == REFUSED


def test_systemd_has_nothing_to_say_about_the_units():
    """As they are installed, with their programs; every manual page that they name is there."""
    units = sorted(pathlib.Path("/usr/local/lib/systemd/system").glob("relay*"))
    assert len(units) == 6
    pathlib.Path("/etc/manpath.config").write_text("MANDATORY_MANPATH /usr/local/share/man\n")
    done = run("systemd-analyze", "verify", *map(str, units))
    assert (done.stdout, done.stderr) == ("", "")


def test_tells_its_status():
    wait_until(lambda: re.match(r"1 feeds?, \d+ subscribers?", show("StatusText")), "STATUS= in systemctl show")


def test_good_reload(stayer):
    pid = show("MainPID")
    INI.write_text(INI.read_text() + "\n" + FEED.format(name="copy", port=7300, raw=7301, framed=7302))
    run("systemctl", "reload", "relay")
    connect(7301).close()  # at once: when systemctl returns, it is served
    assert (show("ActiveState"), show("SubState"), show("MainPID")) == ("active", "running", pid)
    assert show("StatusText").startswith("2 feeds, ")
    with connect(7000) as publisher:
        publisher.sendall(b"after the reload\n")
        assert read_exactly(stayer, 17) == b"after the reload\n"


def test_the_journal_has_fields(stayer):
    """What the lines of the last reload's publisher say can be searched for, and is explained."""
    up = wait_until(lambda: entries("RELAY_FEED=demo", "MESSAGE_ID=c08abd7dea35474a8e44faa2207152f8"), "the publisher")[-1]
    assert up["MESSAGE"].startswith("publisher up feed=demo peer=tcp:127.0.0.1:")
    assert up["RELAY_PEER"] == up["MESSAGE"].rpartition("peer=")[2]
    assert (up["PRIORITY"], up["SYSLOG_IDENTIFIER"], up["_SYSTEMD_UNIT"]) == ("6", "relay", "relay.service")
    down = wait_until(lambda: entries("RELAY_FEED=demo", "RELAY_REASON=peer_closed"), "the end of the publisher")[-1]
    assert down["MESSAGE"].startswith("publisher down feed=demo ")
    assert "Feed demo has lost its publisher" in run("journalctl", "--quiet", "-x", "--unit=relay").stdout


def test_broken_reload(stayer):
    pid = show("MainPID")
    good = INI.read_text()
    INI.write_text(good + "\n[listener demo-raw]\nlisten = nonsense\n")
    line = len(INI.read_text().splitlines())
    done = run("systemctl", "reload", "relay", check=False)
    assert done.returncode != 0 and "Job for relay.service failed" in done.stderr, done
    await_journal("reload failed")
    await_journal(f"relayctl: /etc/relay/relay.ini:{line}: ")
    await_journal("relayctl: nothing is changed")
    assert (show("ActiveState"), show("SubState"), show("MainPID")) == ("active", "running", pid)
    assert show("StatusText").startswith("the last reload failed, see the journal; 2 feeds, ")
    with connect(7000) as publisher:
        publisher.sendall(b"nothing changed\n")
        assert read_exactly(stayer, 16) == b"nothing changed\n"
    INI.write_text(good)
    run("systemctl", "reload", "relay")
    assert show("StatusText").startswith("2 feeds, ")


def test_reload_when_the_file_says_nothing_of_admin(stayer):
    """The service has its socket all the same, unless it is told to have none; SIGHUP is left then."""
    pid, good = show("MainPID"), INI.read_text()
    bare = good.replace("[admin]\n", "")
    assert bare != good
    INI.write_text(bare)
    run("systemctl", "reload", "relay")
    INI.write_text(bare + FEED.format(name="splice", port=7100, raw=7101, framed=7102))
    run("systemctl", "reload", "relay")
    connect(7101).close()
    admin = pathlib.Path("/run/relay/admin.sock")
    assert (admin.owner(), admin.group(), oct(admin.stat().st_mode & 0o777)) == ("relay", "relay", "0o660")
    run("setpriv", "--reuid=65534", "--regid=relay", "--clear-groups", "relayctl", "status")
    stranger = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "relayctl", "status", check=False)
    assert stranger.returncode == 3 and "are you in group relay?" in stranger.stderr

    INI.write_text(bare + "[admin]\nlisten = none\nsocket = none\n")
    run("systemctl", "reload", "relay")
    assert not admin.exists()
    assert run("systemctl", "reload", "relay", check=False).returncode != 0
    await_journal("no such socket; is relay running, with its [admin] socket there?")
    INI.write_text(good)
    run("systemctl", "kill", "--signal=HUP", "--kill-whom=main", "relay")
    wait_until(admin.exists, "the socket again")
    run("systemctl", "reload", "relay")
    assert (show("ActiveState"), show("MainPID")) == ("active", pid)


@pytest.mark.parametrize("engine, counter", [
    ("splice", "spliced_bytes"), ("compact", "compacted_bytes"), ("copy", "copied_bytes")])
def test_bytes_through_the_sandbox(engine, counter):
    """The ring is small, and the other engines have none: in the pipes that an ordinary user may have (pipe(7)) there is
    room for the rings of both workers, however small the packets are. What has none is rightly copied."""
    write_feeds(engine)
    INI.write_text(INI.read_text().replace("on_slow = wait", "on_slow = wait\nring = 1m"))
    start_again()
    port = PORTS[engine]
    relaycat = ["relaycat", "--quiet", "--timeout", f"{CEILING}s", "--positions", "5", "--framing", "u32be",
                "--count", str(MESSAGES)]
    readers = [subprocess.Popen([*relaycat, *more], stdout=subprocess.DEVNULL)
               for more in ([f"tcp:127.0.0.1:{port + 1}"], ["--framed", "--verify", f"tcp:127.0.0.1:{port + 2}"])]
    run("relaypub", "--quiet", "--positions", "5", "--framing", "u32be", "--size", str(MESSAGE_BYTES),
        "--count", str(MESSAGES), f"tcp:127.0.0.1:{port}")
    assert [reader.wait(timeout=CEILING) for reader in readers] == [0, 0]
    counted = status_of(engine)
    assert (counted["refused_calls"], counted["engine_fallbacks"]) == ("0", "0"), counted
    assert int(counted[counter]) >= 2 * MESSAGES * MESSAGE_BYTES, counted


EVERYTHING = """
[nats]
servers = nats://127.0.0.1:4222

[feed a]
ingest = listen tcp:127.0.0.1:7000
framing = line
history = /var/lib/relay/a
history_sync = packet
forward = jetstream:LINES
forward_subject = lines.a

[feed pulled]
ingest = connect http://localhost:7003/a?from=1
framing = line
history = /var/lib/relay/pulled

[feed read]
ingest = jetstream:LINES
subject = lines.>
backfill = 1h
history = /var/lib/relay/read

[feed datagrams]
ingest = udp:127.0.0.1:7005

[listener web]
feed = all
listen = tcp:127.0.0.1:7003
format = http
"""


def nats_with_a_stream():
    """When it answers; to be ended."""
    server = subprocess.Popen(["nats-server", "--jetstream", "--store_dir", "/tmp/nats", "--addr", "127.0.0.1"],
                              stderr=subprocess.DEVNULL)

    def has_stream():
        with contextlib.suppress(OSError, NatsError):
            return Client(4222).api("STREAM.CREATE.LINES", name="LINES", subjects=["lines.>"])

    wait_until(has_stream, "a stream")
    return server


def test_whatever_relay_can_do_works_in_the_sandbox():
    """A history, on the disk first; forwarding, and reading what was forwarded; a name that is looked up; datagrams. All of it
    is there after a stop."""
    lines = [f"line {number}" for number in range(1000)]
    server = nats_with_a_stream()
    pathlib.Path("/etc/nsswitch.conf").write_text("hosts: files\n")
    pathlib.Path("/etc/hosts").write_text("127.0.0.1 localhost\n")
    INI.write_text(EVERYTHING)
    start_again()
    try:
        with connect(7000) as publisher:
            publisher.sendall("".join(f"{line}\n" for line in lines).encode())
        with connect(7003) as subscriber:
            subscriber.sendall(b"GET /datagrams HTTP/1.0\r\n\r\n")
            assert subscriber.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"a datagram", ("127.0.0.1", 7005))
            while b"a datagram" not in subscriber.recv(1 << 16):
                pass

        def is_there(name, end):
            done = run("relaycat", "--quiet", "--timeout", f"{CEILING}s", "--from", "1", "--count", str(len(lines)),
                       f"http://127.0.0.1:7003/{name}")
            assert done.stdout == "".join(f"{line}{end}" for line in lines)

        for _ in range(2):
            is_there("a", "\n")
            is_there("pulled", "\n")
            is_there("read", "\n")
            assert "ok" in [line for line in run("relayctl", "doctor", check=False).stdout.splitlines()
                            if "relay_history" in line][0]
            start_again()
    finally:
        server.terminate()
        server.wait()
    run("systemctl", "stop", "relay")


def restart():
    """The limit of starts is for a service that fails."""
    run("systemctl", "reset-failed", "relay")
    run("systemctl", "restart", "relay")


def start_again():
    """Without a hand-over."""
    run("systemctl", "stop", "relay")
    run("systemctl", "reset-failed", "relay")
    run("systemctl", "start", "relay")


def start_readers(port, count, *more):
    relaycat = ["relaycat", "--quiet", "--timeout", f"{CEILING}s", "--positions", "5", "--framing", "u32be", *more]
    return [subprocess.Popen([*relaycat, *how, f"tcp:127.0.0.1:{where}"], stdout=subprocess.DEVNULL)
            for how, where in (([], port + 1), (["--framed", "--verify"], port + 2)) for _ in range(count)]


@pytest.mark.parametrize("engine", PORTS)
def test_a_restart_keeps_everybody(engine):
    """Twenty of each kind, under a publisher: no connection ends, and every byte comes, once."""
    write_feeds(engine)
    INI.write_text(INI.read_text().replace("on_slow = wait", "on_slow = wait\non_source_loss = close"))
    start_again()
    pids = {show("MainPID")}
    readers = start_readers(PORTS[engine], 10)
    wait_until(lambda: status_of(engine)["subscribers"] == "20", "20 subscribers")
    publisher = subprocess.Popen(["relaypub", "--quiet", "--positions", "5", "--framing", "u32be", "--size", "16k",
                                  "--rate", "800", f"tcp:127.0.0.1:{PORTS[engine]}"])
    wait_until(lambda: int(status_of(engine)["in_messages"]) > 100, "the first messages")
    for _ in range(5):
        restart()
        pids.add(show("MainPID"))
    before = int(status_of(engine)["in_messages"])
    wait_until(lambda: int(status_of(engine)["in_messages"]) > before, "messages after the restarts")
    publisher.terminate()
    assert publisher.wait(timeout=CEILING) == 0
    assert [reader.wait(timeout=CEILING) for reader in readers] == [0] * 20
    counted = status_of(engine)
    assert len(pids) == 6 and counted["subscribers_resumed"] == "100", (pids, counted)
    assert (counted["subscribers_total"], counted["source_connects"], counted["partial_messages"]) == ("20", "1", "0")
    assert int(counted["delivered_messages"]) == 20 * int(counted["in_messages"])
    assert show("NFileDescriptorStore") == "0" and len(keepers()) == 1


def test_an_upgrade_in_place_keeps_everybody():
    """The same under the sandbox, without systemd taking part; the process stays the same."""
    write_feeds("splice")
    start_again()
    pid = show("MainPID")
    readers = start_readers(PORTS["splice"], 5, "--count", "4000")
    wait_until(lambda: status_of("splice")["subscribers"] == "10", "10 subscribers")
    publisher = subprocess.Popen(["relaypub", "--quiet", "--positions", "5", "--framing", "u32be", "--size", "16k",
                                  "--count", "4000", "--rate", "1600", f"tcp:127.0.0.1:{PORTS['splice']}"])
    wait_until(lambda: int(status_of("splice")["in_messages"]) > 100, "the first messages")
    before = journal().count("resumed subscribers=")
    assert run("relayctl", "upgrade").stdout.startswith("relay ")
    await_journal("resumed subscribers=", before)
    assert (show("MainPID"), show("ActiveState"), show("NRestarts")) == (pid, "active", "0")
    assert publisher.wait(timeout=CEILING) == 0
    assert [reader.wait(timeout=CEILING) for reader in readers] == [0] * 10
    assert len(keepers()) == 1


WEB = """
[feed web]
ingest = listen tcp:127.0.0.1:7500
framing = line
on_slow = wait
on_source_loss = close
[listener web]
feed = web
listen = tcp:127.0.0.1:7501
format = http
"""
WEBSOCKET = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
PING = b"\x89\x82\0\0\0\0hi"


class Web(threading.Thread):
    """GET /web, read to the end."""

    def __init__(self, *fields):
        super().__init__(daemon=True)
        self.peer = connect(7501)
        self.peer.settimeout(60)
        self.peer.sendall("\r\n".join(["GET /web HTTP/1.1", "Host: localhost", *fields, "", ""]).encode())
        self.start()

    def run(self):
        self.head, _, self.body = read_to_end(self.peer).partition(b"\r\n\r\n")

    def finish(self):
        self.join(timeout=60)
        assert not self.is_alive()
        return self


class Lines(threading.Thread):
    """Publishes numbered lines until it is told to stop; `sent` is what was sent."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.peer = connect(port)
        self.stop = threading.Event()
        self.sent = b""
        self.count = 0
        self.start()

    def run(self):
        while not self.stop.wait(0.005):
            lines = b"".join(b"%07d %s\n" % (number, b"x" * (number % 500))
                             for number in range(self.count, self.count + 16))
            self.peer.sendall(lines)
            self.sent += lines
            self.count += 16
        self.peer.close()

    def finish(self):
        self.stop.set()
        self.join(timeout=60)
        assert not self.is_alive()
        return self.sent


def dechunked(body):
    pieces = []
    while True:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        assert body[count:count + 2] == b"\r\n", body[count:count + 2]
        if count == 0:
            assert body == b"\r\n", body
            return b"".join(pieces)
        pieces.append(body[:count])
        body = body[count + 2:]


def unframed(body):
    """(opcode, payload) of each frame."""
    at, frames = 0, []
    while at < len(body):
        length, width = body[at + 1], {126: 2, 127: 8}.get(body[at + 1], 0)
        at += 2 + width
        length = int.from_bytes(body[at - width:at], "big") if width else length
        frames.append((body[at - width - 2] & 15, body[at:at + length]))
        assert len(frames[-1][1]) == length
        at += length
    return frames


def test_a_restart_keeps_who_reads_by_http():
    """Chunks, events and a WebSocket under a publisher, and pings before each restart. Who is still at its request is
    closed, and asks again."""
    INI.write_text("[relay]\ndrain = 2s\n" + WEB)
    start_again()
    chunks, events, websocket = Web(), Web("Accept: text/event-stream"), Web(*WEBSOCKET)
    wait_until(lambda: status_of("web")["subscribers"] == "3", "3 subscribers")
    publisher = Lines(7500)
    wait_until(lambda: int(status_of("web")["in_messages"]) > 100, "the first messages")
    late = connect(7501)
    late.sendall(b"GET /nothing HTTP/1.1\r\n")
    for _ in range(3):
        websocket.peer.sendall(PING)
        restart()
    assert publisher.is_alive()
    assert read_to_end(late) == b""
    late.close()
    with connect(7501) as again:
        again.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_to_end(again).startswith(b"HTTP/1.1 404 ")
    lines = publisher.finish()
    assert dechunked(chunks.finish().body) == lines
    first, *told = [event.split(b"\n") for event in dechunked(events.finish().body).split(b"\n\n")
                    if event.startswith(b"id: ")]
    session = first[0].removesuffix(b"-0")  # where it begins; relay-protocol(7)
    assert [event[0] for event in told] == [b"%s-%d" % (session, number + 1) for number in range(publisher.count)]
    assert b"".join(event[1].removeprefix(b"data: ") + b"\n" for event in told) == lines
    frames = unframed(websocket.finish().body)
    assert b"".join(data for opcode, data in frames if opcode == 2) == lines
    assert [data for opcode, data in frames if opcode == 10] == [b"hi"] * 3
    assert frames[-1][0] == 8
    counted = status_of("web")
    assert (counted["subscribers_resumed"], counted["subscribers_total"]) == ("9", "3"), counted


CANNOT_BE_HAD = {
    "an error": ("no_such_key = 1\n", "relay.ini:3: "),
    "a port that is taken": ("[listener new]\nfeed = copy\nlisten = tcp:127.0.0.1:7399\n", "Address already in use"),
    "a fifo that is not there": ("[feed new]\ningest = fifo:/nonexistent/f\n[listener new]\nfeed = new\n"
                                 "listen = tcp:127.0.0.1:7398\n", "fifo:/nonexistent/f"),
    "a token file that is not there": ("[listener new]\nfeed = copy\nformat = http\nlisten = tcp:127.0.0.1:7398\n"
                                       "token_file = /nonexistent/t\n", "cannot read /nonexistent/t"),
}


@pytest.mark.parametrize("what", CANNOT_BE_HAD)
def test_a_restart_goes_on_with_the_configuration_before(what):
    """What the file asks for cannot be had: nobody is cut, and systemctl status says so until a reload is right."""
    more, answer = CANNOT_BE_HAD[what]
    message = b"\x00\x00\x00\x02ab"
    write_feeds("copy")
    start_again()
    with connect(7301) as raw, connect(7302) as framed, connect(7300) as publisher, \
            socket.create_server(("127.0.0.1", 7399)):
        publisher.sendall(message)
        assert read_exactly(raw, 6) == message
        write_feeds("copy", more=more)
        told = journal().count("configuration refused: ")
        restart()
        publisher.sendall(message)
        assert read_exactly(raw, 6) == message
        log = await_journal("configuration refused: ", told)
        lines = [line for line in log.splitlines() if "configuration refused: " in line]
        assert len(lines) == told + 1 and answer in lines[-1] and lines[-1].endswith("; going on with the one before")
        assert show("StatusText").startswith("the configuration before is in effect, see the journal; 1 feed, ")
        seen = json.loads(run("relayctl", "status", "--json").stdout)["relay"]
        assert seen["config_fault"] and seen["config_fallbacks"] == 1 and seen["survives_crash"], seen
        write_feeds("copy")
        run("systemctl", "reload", "relay")
        assert show("StatusText").startswith("1 feed, ")
        publisher.sendall(message)
        assert read_exactly(raw, 6) == message
        received = b""
        while received.count(message) < 3:
            received += (part := framed.recv(65536))
            assert part, "the end"


def exchange(port):
    """Somebody who comes now, and a publisher that sends until he is there."""
    with connect(port + 1) as subscriber, connect(port + 2), connect(port) as publisher:
        subscriber.settimeout(0.02)
        end = time.monotonic() + 20
        received = b""
        while not received:
            publisher.sendall(b"\x00\x00\x00\x02ab")
            try:
                received = subscriber.recv(6)
                assert received, "the end"
            except TimeoutError:
                assert time.monotonic() < end, "not a byte in 20 s"
        assert b"\x00\x00\x00\x02ab".startswith(received)


def kill(pid, number):
    """Sends it, and waits until the process is dead: who connects then is not taken by the old one."""
    pidfd = os.pidfd_open(int(pid))
    os.kill(int(pid), number)
    assert select.select([pidfd], [], [], 20)[0]
    os.close(pidfd)


def await_another(pid):
    """The process after `pid`, once it serves. Asked for in this order: the state may be that of the old process yet."""
    return wait_until(lambda: (now := show("MainPID")) not in ("0", pid) and show("ActiveState") == "active" and now,
                      "another main process")


def wait_until_a_crash_is_survived():
    """What relay needs for that is with a keeper, who stores it, a moment after READY."""
    wait_until(lambda: json.loads(run("relayctl", "status", "--json").stdout)["relay"]["survives_crash"], "survives_crash")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_refuses_nobody(number, capsys):
    """The unit as it is installed; somebody connects all the time."""
    write_feeds("copy")
    start_again()
    wait_until_a_crash_is_survived()
    pid = show("MainPID")
    knocker = Connector("tcp:127.0.0.1:7301", "tcp:127.0.0.1:7302")
    began = time.monotonic()
    kill(pid, number)
    exchange(7300)
    with capsys.disabled():
        print(f"serves again {1000 * (time.monotonic() - began):.0f} ms after {number.name}")
    another = await_another(pid)
    connected, refused = knocker.stop()
    assert connected > 0 and not refused
    await_journal("resumed after a crash")
    assert show("NRestarts") == "1"
    wait_until(lambda: show("NFileDescriptorStore") == "0", "an empty store")
    assert len(keepers()) == 1
    run("systemctl", "restart", "relay")
    assert show("MainPID") != another and len(keepers()) == 1


def test_the_keeper_is_replaced():
    pid, (keeper,) = show("MainPID"), keepers()
    kill(keeper, signal.SIGKILL)
    wait_until(lambda: len(keepers()) == 1 and keepers() != [keeper], "another keeper")
    await_journal(f"keeper ended keeper_pid={keeper}")
    assert (show("MainPID"), show("ActiveState")) == (pid, "active")
    told = journal().count("resumed after a crash")
    wait_until_a_crash_is_survived()
    kill(pid, signal.SIGKILL)
    await_another(pid)
    assert await_journal("resumed after a crash", told).count("resumed after a crash") == told + 1
    exchange(7300)


def test_a_kill_of_all():
    """The keeper, too: what it did not come to give away is not waited for."""
    pid = show("MainPID")
    run("systemctl", "kill", "--signal=KILL", "relay", check=False)  # EIO when it ends meanwhile
    await_another(pid)
    exchange(7300)
    assert len(keepers()) == 1


def test_stop_drains():
    """A subscriber that is late when the stop begins gets all the same what had been published."""
    message = b"\x00\x04\x00\x00" + bytes(range(256)) * 1024
    write_feeds("copy", drain="25s")
    start_again()
    with connect(7301) as late, connect(7302) as other, connect(7300) as publisher:
        publisher.sendall(message * 16)
        wait_until(lambda: status_of("copy")["in_messages"] == "16", "16 messages published")
        stop = subprocess.Popen(["systemctl", "stop", "relay"])
        wait_until(lambda: "draining" in journal().split("ready ")[-1], "draining in the journal")
        assert read_to_end(late) == message * 16
        end_of_session = read_to_end(other)[-32:]
        assert (end_of_session[:4], end_of_session[4]) == (b"RLY1", 3)
        assert stop.wait(timeout=CEILING) == 0
    assert (show("ActiveState"), show("Result")) == ("inactive", "success")
    assert not keepers() and show("NFileDescriptorStore") == "0"


def test_stop_ends_although_one_does_not_read():
    write_feeds("copy")
    start_again()
    with connect(7301) as dead, connect(7302), connect(7300) as publisher:
        dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        publisher.settimeout(0.2)

        def is_stuck():
            """All that takes bytes is full: relay, not the publisher, knows that it waits for the dead one."""
            with contextlib.suppress(TimeoutError):
                while True:
                    publisher.send(b"\x00\x00\x00\xfc" + b"x" * 252)
            return status_of("copy")["subscribers_blocked"] != "0"

        wait_until(is_stuck, "one that blocks")
        started = time.monotonic()
        run("systemctl", "stop", "relay")
        assert time.monotonic() - started > 1.5  # a drain; that it ends, stop has shown
    assert show("Result") == "success"


def test_draining_may_take_longer_than_the_unit_gives():
    """relay asks for more time while it drains, and says in the status what it waits for."""
    write_feeds("copy", drain="5s")
    drop_in("TimeoutStopSec=1s")
    start_again()
    with connect(7301) as dead, connect(7302), connect(7300) as publisher:
        dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        publisher.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                publisher.send(b"\x00\x00\x00\xfc" + b"x" * 252)
        stop = subprocess.Popen(["systemctl", "stop", "relay"])
        wait_until(lambda: re.match(r"draining: [12] subscribers left, for [1-5] s at most", show("StatusText")),
                   "the status of draining")
        assert stop.wait(timeout=20) == 0
    assert show("Result") == "success" and "Killing process" not in journal().split("draining ")[-1]
    drop_in()


def write_feed(ingest="listen tcp:127.0.0.1:7000", listen="tcp:127.0.0.1:7001", more=""):
    INI.write_text(f"[feed a]\ningest = {ingest}\n{more}[listener a-raw]\nfeed = a\nlisten = {listen}\n")


def cannot_start(why):
    run("systemctl", "stop", "relay")
    assert run("systemctl", "start", "relay", check=False).returncode != 0
    await_journal(why)


@contextlib.contextmanager
def started_with(*lines):
    """relay, with a drop-in."""
    run("systemctl", "stop", "relay")
    drop_in(*lines)
    start_again()
    yield
    run("systemctl", "stop", "relay")
    drop_in()


def test_a_socket_file_of_another_group():
    """The sandbox knows no other group, and refuses chown. The error says which drop-in changes that."""
    write_feed(listen="unix:/run/relay/a.sock\nsocket_group = adm")
    needed = ("SupplementaryGroups=adm", "PrivateUsers=no", "SystemCallFilter=chown")
    cannot_start("must be in the group adm (in the unit: {}, {} and {})".format(*needed))
    with started_with(*needed):
        path = pathlib.Path("/run/relay/a.sock")
        assert (path.owner(), path.group(), path.stat().st_mode & 0o777) == ("relay", "adm", 0o660)


def test_a_log_of_another_group():
    """As `relay -t` and sources.md say."""
    log = pathlib.Path("/var/log/app.log")
    log.write_bytes(b"the first line\n")
    shutil.chown(log, group="adm")
    log.chmod(0o640)
    write_feed(ingest=f"tail:{log}", more="framing = line\nstart_subscribers = 1\n")
    start_again()
    await_journal(f"{log}: Permission denied")
    with started_with("SupplementaryGroups=adm"), connect(7001) as subscriber:
        status_of("a")  # it has been let in: what comes from now on is its own
        with log.open("ab") as file:
            file.write(b"the second line\n")
        assert read_exactly(subscriber, 16) == b"the second line\n"


def test_a_port_below_1024():
    """As the error says, and the unit."""
    write_feed(ingest="listen tcp:127.0.0.1:80")
    needed = ("AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "PrivateUsers=no")
    cannot_start("in the unit {}, {} and {}".format(*needed))
    with started_with(*needed):
        connect(80).close()


ROLES = """
[feed demo]
ingest = listen systemd:publisher
framing = line
[listener raw]
feed = demo
listen = systemd:subscribers
[listener framed]
feed = demo
listen = unix:/run/relay/framed.sock
format = framed
"""
SOCKETS = ("relay-publisher.socket", "relay-subscribers.socket")


class TestSockets:
    """Socket activation."""

    @pytest.fixture(scope="class")
    def sockets(self):
        """relay is not running, and systemd listens for it."""
        run("systemctl", "stop", "relay")
        run("systemctl", "reset-failed", "relay")
        INI.write_text("[relay]\ndrain = 2s\n" + ROLES)
        run("systemctl", "start", *SOCKETS)
        yield
        run("systemctl", "stop", "relay", *SOCKETS)

    def test_the_first_connection_starts_it(self, sockets):
        """The bytes of somebody who came before relay did are not lost."""
        assert show("ActiveState") == "inactive"
        with connect(7001) as subscriber, connect(7000) as publisher:
            wait_until(lambda: show("ActiveState") == "active", "relay started by its socket")
            wait_until(lambda: status_of("demo")["subscribers"] == "1", "the subscriber that waited")
            publisher.sendall(b"early\n")
            assert read_exactly(subscriber, 6) == b"early\n"
        assert pathlib.Path("/proc", show("MainPID")).owner() == "relay"
        addresses = {entry["RELAY_ADDRESS"] for entry in entries("_PID=" + show("MainPID")) if "RELAY_ADDRESS" in entry}
        assert addresses == {"tcp:127.0.0.1:7000", "tcp:127.0.0.1:7001", "unix:/run/relay/framed.sock",
                             "unix:/run/relay/admin.sock"}

    def test_a_restart_refuses_nobody(self, sockets):
        """Somebody connects all the time; without the socket unit most of these would be refused."""
        with subprocess.Popen(["systemctl", "restart", "relay"]) as restart:
            count = 0
            while restart.poll() is None:
                connect(7001).close()
                count += 1
        assert restart.returncode == 0 and count > 0
        assert show("ActiveState") == "active"

    def test_a_reload_keeps_the_sockets(self, sockets):
        good = INI.read_text()
        before = int(status_of("demo")["subscribers_total"])
        with connect(7001) as stayer, connect(7000) as publisher:
            wait_until(lambda: int(status_of("demo")["subscribers_total"]) > before, "the subscriber")
            INI.write_text(good.replace("systemd:subscribers", "systemd:web"))
            assert run("systemctl", "reload", "relay", check=False).returncode != 0
            await_journal("no socket of this name was passed")
            INI.write_text(good + "[listener more]\nfeed = demo\nlisten = tcp:127.0.0.1:7009\n")
            run("systemctl", "reload", "relay")
            publisher.sendall(b"kept\n")
            assert read_exactly(stayer, 5) == b"kept\n"
        connect(7009).close()
        INI.write_text(good)

    def test_a_socket_that_nothing_listens_on_is_told(self, sockets):
        run("systemctl", "stop", "relay")
        run("systemctl", "start", "relay-http.socket")
        run("systemctl", "start", "relay")
        pid = show("MainPID")
        lines = wait_until(lambda: entries(f"_PID={pid}", "MESSAGE_ID=1738a80df5b142148ef2d4365f3aa832"), "it to be told")
        told = {entry["RELAY_NAME"] for entry in lines}
        assert told == {"http"}
        run("systemctl", "stop", "relay", "relay-http.socket")

    def test_the_admin_socket_is_taken_by_itself(self, sockets):
        """relayctl starts relay by it, and the configuration says nothing; a reload comes over it too."""
        run("systemctl", "start", "relay-admin.socket")
        admin = pathlib.Path("/run/relay/admin.sock")
        # PID 1 changes no owner there, where user relay could put another file: the directory says who may come in.
        assert (admin.owner(), oct(admin.stat().st_mode & 0o777)) == ("root", "0o666")
        assert (admin.parent.owner(), admin.parent.group(), oct(admin.parent.stat().st_mode & 0o777)) == (
            "relay", "relay", "0o750")
        stranger = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "relayctl", "status", check=False)
        assert stranger.returncode == 3 and "are you in group relay?" in stranger.stderr
        assert show("ActiveState") == "inactive"
        assert run("relayctl", "feeds", "--names").stdout == "demo\n"
        for _ in range(3):
            run("systemctl", "reload", "relay")
        restart()
        run("systemctl", "reload", "relay")
        assert not entries("_PID=" + show("MainPID"), "MESSAGE_ID=1738a80df5b142148ef2d4365f3aa832")
        run("systemctl", "stop", "relay", "relay-admin.socket")
        assert not admin.exists()


def test_an_instance_of_its_own():
    other = pathlib.Path("/etc/relay/other.ini")
    other.write_text(FEED.format(name="copy", port=7400, raw=7401, framed=7402).replace("start_subscribers = 2", ""))
    run("systemctl", "start", "relay@other")
    with connect(7401) as subscriber:
        pid = run("systemctl", "show", "--value", "--property=MainPID", "relay@other").stdout.strip()
        assert pathlib.Path("/proc", pid).owner() == "relay"
        assert os.path.isdir("/run/relay/other")

        def is_subscribed():
            run("systemctl", "kill", "--signal=USR1", "--kill-whom=main", "relay@other")
            run("journalctl", "--sync")
            return " subscribers=1 " in run("journalctl", "--quiet", "--unit=relay@other", "--output=cat").stdout

        wait_until(is_subscribed, "the subscriber")
        with connect(7400) as publisher:
            publisher.sendall(b"\x00\x00\x00\x02ab")
            assert read_exactly(subscriber, 6) == b"\x00\x00\x00\x02ab"

        # It has a socket of its own, by which it is reloaded and not the other.
        assert run("relayctl", "feeds", "--names").stdout == "copy\n"
        write_feeds("splice")
        start_again()
        both = run("relayctl", "feeds", check=False)
        assert (both.returncode, both.stderr) == (
            2, "relayctl: 2 relays run here, say which with --unit: relay, relay@other\n")
        other.write_text(FEED.format(name="compact", port=7500, raw=7501, framed=7502))
        run("systemctl", "reload", "relay@other")
        assert run("relayctl", "--unit", "relay@other", "feeds", "--names").stdout == "compact\n"
        assert run("relayctl", "--unit", "relay", "feeds", "--names").stdout == "splice\n"
        run("systemctl", "reload", "relay")
        other.write_text("no_such_key = 1\n")
        assert run("systemctl", "reload", "relay@other", check=False).returncode != 0
        assert run("relayctl", "-u", "other", "feeds", "--names").stdout == "compact\n"
    run("systemctl", "stop", "relay", "relay@other")


def test_watchdog_restarts():
    write_feeds("copy")
    drop_in("WatchdogSec=2s")
    run("systemctl", "start", "relay")
    wait_until_a_crash_is_survived()
    pid = show("MainPID")
    knocker = Connector("tcp:127.0.0.1:7301", "tcp:127.0.0.1:7302")
    run("systemctl", "kill", f"--signal={signal.SIGSTOP.value}", "--kill-whom=main", "relay")
    wait_until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", "restarted by the watchdog")
    assert show("MainPID") not in ("0", pid)
    await_journal("Watchdog timeout")
    assert not knocker.stop()[1]
    wait_until(lambda: "resumed after a crash" in journal().split("Watchdog timeout")[-1], "resumed in the journal")
    connect(7301).close()
    # And one that is alive is left alone.
    pid = show("MainPID")
    end = time.monotonic() + 4.5
    wait_until(lambda: show("MainPID") == pid and time.monotonic() > end, "two watchdog periods")
    assert show("NRestarts") == "1"


def test_a_worker_that_hangs_is_a_relay_that_hangs():
    """One thread is held, as a debugger does; all others go on. PTRACE_SEIZE, PTRACE_INTERRUPT."""
    pid = show("MainPID")
    workers = [task.name for task in pathlib.Path("/proc", pid, "task").iterdir()
               if task.joinpath("comm").read_text().startswith("worker ")]
    before = int(show("NRestarts"))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    held = int(sorted(workers)[0])
    for request in (0x4206, 0x4207):
        assert libc.ptrace(request, held, None, None) == 0, os.strerror(ctypes.get_errno())
    connect(7301).close()  # the control thread is well
    # The thread that dies must be waited for by who holds it.
    wait_until(lambda: os.waitpid(held, os.WNOHANG | 0x40000000)[0] == held and not os.path.exists(f"/proc/{pid}/task/{held}"),
               "the end of the thread that was held")
    wait_until(lambda: int(show("NRestarts")) == before + 1 and show("ActiveState") == "active", "restarted by the watchdog")
    assert show("MainPID") not in ("0", pid)
    connect(7301).close()


def test_configuration_error_is_not_retried():
    run("systemctl", "stop", "relay")
    write_feeds("copy", more="no_such_key = 1\n")
    assert run("systemctl", "start", "relay", check=False).returncode != 0
    assert (show("ActiveState"), show("ExecMainStatus"), show("NRestarts")) == ("failed", "78", "0")
    await_journal("/etc/relay/relay.ini:3: ")


def test_the_last_words_of_a_failed_start_are_in_the_journal():
    """journald is late, and would find no process any more that it could ask for its unit: relay waits for it. The
    entry is the unit's all the same."""
    journald = int(run("systemctl", "show", "--value", "--property=MainPID", "systemd-journald").stdout)
    write_feeds("copy")
    for _ in range(5):
        run("systemctl", "reset-failed", "relay")
        with socket.create_server(("127.0.0.1", 7300)):
            os.kill(journald, signal.SIGSTOP)
            start = subprocess.Popen(["systemctl", "start", "relay"])
            with contextlib.suppress(subprocess.TimeoutExpired):
                start.wait(timeout=0.5)  # a relay that does not wait has ended by then
            os.kill(journald, signal.SIGCONT)
            assert start.wait(timeout=CEILING) != 0
            run("systemctl", "stop", "relay")
        last = entries("PRIORITY=3", "SYSLOG_IDENTIFIER=relay", "_TRANSPORT=journal")
        assert last[-1]["MESSAGE"] == "feed copy: listen tcp:127.0.0.1:7300: Address already in use"
        assert last[-1]["_SYSTEMD_UNIT"] == "relay.service"

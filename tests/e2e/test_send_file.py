# SPDX-License-Identifier: MIT
"""send_file: a login goes to each publisher that relay has connected to, before anything is read, and nowhere else."""

import os
import pty
import re

import pytest

from relaytest.daemon import ini_text
from relaytest.ingest import Ingest
from relaytest.ini import feed
from relaytest.stream import Script

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
LOGIN = b"user m4rker pass 17\r\n"
WHOLE = bytes(range(256)) * 256  # 64 KiB, the most


@pytest.fixture
def login(lab):
    path = lab.directory / "login"
    path.write_bytes(LOGIN)
    path.chmod(0o600)
    return path


def received(lab, publisher, data):
    lab.loop.run(lambda: len(publisher.received) >= len(data), what=f"{data[:40]} of relay")
    assert publisher.received == data


def nothing_told(relay):
    assert not [line for line in relay.log if "m4rker" in line]


@pytest.mark.parametrize("kind", ["connect-tcp", "connect-unix"])
def test_a_login_is_sent_at_each_connection(lab, login, kind):
    made = Script("line", b"one\ntwo\nthree\n", ends=[4, 8, 14])
    ingest = Ingest(kind, lab.loop, lab.directory, "a")
    lab.closers.append(ingest.close)
    sections = feed("a", ingest.value, framing="line", send_file=login, **LOSSLESS)
    relay = lab.start(sections | {"relay": {"log_level": "debug"}})
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    for number, text in enumerate((b"one\n", b"two\n", b"three\n"), 1):
        publisher = ingest.open(relay)
        received(lab, publisher, login.read_bytes())
        publisher.send(text).flush()
        relay.wait("a", in_messages=number)
        if number == 1:
            login.write_bytes(b"another m4rker\n")
            relay.wait_log(r" reloaded\b", relay.reload(sections))
            relay.upgrade()  # who is logged in stays so
            assert publisher.received == LOGIN
        publisher.close()
    relay.run_until_done([reader])
    relay.wait("a", source_connects=3)
    nothing_told(relay)


def test_who_does_not_want_it(lab, login):
    """A publisher that hangs up at once is one that has ended."""
    ingest = Ingest("connect-tcp", lab.loop, lab.directory, "a")
    lab.closers.append(ingest.close)
    relay = lab.start(feed("a", ingest.value, send_file=login, retry_max="1s", **LOSSLESS))
    for count in range(1, 3):
        publisher = ingest.open(relay)
        relay.wait("a", source_connects=count)
        publisher.reset()
        relay.wait("a", source_losses=count)
    relay.assert_no_spin()


def line_of(lab, path):
    end, device = pty.openpty()
    path.symlink_to(os.ttyname(device))
    os.chmod(os.ttyname(device), 0o666)
    os.close(device)
    lab.closers.append(lambda: os.close(end))
    os.set_blocking(end, False)
    return end


def read_all(lab, end, count):
    """As a slow receiver does."""
    got = bytearray()

    def look():
        try:
            got.extend(os.read(end, 300))
        except BlockingIOError:
            pass
        return len(got) >= count

    lab.loop.run(look, what=f"{count} bytes at the line", poll=0.0005)
    return bytes(got)


def test_commands_for_a_serial_receiver(lab, login):
    """As fast as the line takes them, and what the receiver says meanwhile is read."""
    made = Script("line", b"ready\nfix\n", ends=[6, 10])
    login.write_bytes(WHOLE)
    end = line_of(lab, lab.directory / "gps")
    relay = lab.start(feed("a", f"serial:{lab.directory}/gps", framing="line", send_file=login, **LOSSLESS))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1, source_up=1)
    os.write(end, b"ready\n")
    relay.wait("a", in_messages=1)
    assert read_all(lab, end, len(WHOLE)) == WHOLE
    os.write(end, b"fix\n")
    relay.run_until_done([reader])
    relay.assert_no_spin()


def test_a_login_that_is_not_taken_begins_anew_after_an_upgrade(lab, login):
    login.write_bytes(WHOLE)
    end = line_of(lab, lab.directory / "gps")
    relay = lab.start(feed("a", f"serial:{lab.directory}/gps", framing="line", send_file=login, **LOSSLESS))
    relay.wait("a", source_up=1)
    relay.upgrade()
    relay.wait("a", source_connects=2, source_up=1)
    got = b""
    while not got.endswith(WHOLE):
        got += read_all(lab, end, 1)
    assert len(got) < 2 * len(WHOLE)


WRONG = {
    "missing": ("connect tcp:127.0.0.1:9", None, r"cannot read \S+/login: No such file or directory"),
    "empty": ("serial:/dev/ttyUSB0", b"", "login is empty; expected the bytes to be sent"),
    "too long": ("connect tcp:127.0.0.1:9", WHOLE + b"1", "login is longer than 65536 bytes"),
    "listening": ("listen tcp:127.0.0.1:0", LOGIN, "send_file is for ingest = connect and serial only"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_sent_is_told_by_t(lab, login, what):
    ingest, data, text = WRONG[what]
    login.unlink() if data is None else login.write_bytes(data)
    path = lab.directory / "try.ini"
    path.write_text(ini_text(feed("a", ingest, send_file=login)))
    done = lab.run_tool("relay", "-t", "-c", path)
    assert done.returncode == 78, done
    found = re.search(rf"try\.ini:(\d+): error: .*{text}", done.stderr)
    assert found and path.read_text().splitlines()[int(found[1]) - 1].startswith("send_file"), done.stderr


def test_a_reload_without_the_file_changes_nothing(lab, login):
    ingest = Ingest("connect-tcp", lab.loop, lab.directory, "a")
    lab.closers.append(ingest.close)
    sections = feed("a", ingest.value, framing="line", send_file=login, **LOSSLESS)
    relay = lab.start(sections)
    publisher = ingest.open(relay)
    received(lab, publisher, LOGIN)
    login.unlink()
    relay.expect("reload failed", "send_file", "upgrade failed")
    since = relay.reload(sections)
    relay.wait_log(r"reload failed: feed a: send_file: cannot read \S+/login: No such file", since)
    relay.upgrade(" upgrade failed")
    publisher.close()
    received(lab, ingest.open(relay), LOGIN)

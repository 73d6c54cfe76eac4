# SPDX-License-Identifier: MIT
"""ingest = serial and tail: what comes later, goes away, comes back, is rotated or shrinks."""

import fcntl
import itertools
import os
import pty
import struct
import termios

import pytest

from relaytest.crashing import Crashing
from relaytest.frames import beast
from relaytest.ini import feed
from relaytest.stream import Script, script

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
WORKERS = {"relay": {"workers": 2}}


def lines(*texts):
    payload = b"".join(text.encode() + b"\n" for text in texts)
    ends, at = [], 0
    for text in texts:
        at += len(text) + 1
        ends.append(at)
    return Script("line", payload, ends=ends)


def start(lab, made, ingest, **options):
    relay = lab.start(WORKERS | feed("a", ingest, framing=made.framing, **LOSSLESS, **options))
    readers = [*relay.subscribe("a-raw", made, 2), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=3)
    return relay, readers


# --- serial


class Line:
    """A pty: the receiver writes into one end, relay reads the other, through a link that stays where it is."""

    def __init__(self, lab):
        self.path = lab.directory / "gps"
        self.end = -1
        lab.closers.append(self.unplug)

    def plug(self):
        self.end, device = pty.openpty()
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(device))
        os.chmod(os.ttyname(device), 0o666)
        os.close(device)
        return self

    def write(self, data):
        for at in range(0, len(data), 500):
            os.write(self.end, data[at:at + 500])

    def unplug(self):
        if self.end >= 0:
            self.path.unlink()
            os.close(self.end)
            self.end = -1


def speed(end):
    """As struct termios2 says it (TCGETS2, ioctl_tty(2)); a pty has no parity."""
    return struct.unpack_from("I", fcntl.ioctl(end, 0x802c542a, bytes(44)), 36)[0]


def test_a_receiver_at_a_serial_line(lab):
    """Every byte passes, also such as a terminal would take for a command of its own."""
    frames = [beast(bytes((n + k) % 256 for k in range(21))) for n in range(256)]
    made = Script("beast", b"".join(frames), ends=list(itertools.accumulate(map(len, frames))))
    line = Line(lab).plug()
    relay, readers = start(lab, made, f"serial:{line.path}", serial_mode="57600 7E2")
    relay.wait("a", source_up=1)
    flags = termios.tcgetattr(line.end)
    assert not flags[3] & (termios.ECHO | termios.ICANON | termios.ISIG) and not flags[0] & termios.ICRNL
    assert flags[2] & termios.CSTOPB and speed(line.end) == 57600
    line.write(made.wire)
    relay.run_until_done(readers)
    relay.wait("a", unsynced_bytes=0)


def test_a_device_that_goes_and_comes_back(lab):
    made = lines("before", "after", "at last")
    line = Line(lab)
    relay, readers = start(lab, made, f"serial:{line.path}")
    relay.wait_log("source missing feed=a: serial:.*No such file or directory; trying again every second")
    for number, text in enumerate(("before", "after", "at last"), 1):
        line.plug()
        relay.wait("a", source_connects=number, source_up=1)
        line.write(text.encode() + b"\n")
        relay.wait("a", in_messages=number)
        line.unplug()
        relay.wait("a", source_losses=number, source_up=0)
        missing = [entry for entry in relay.log if "source missing" in entry]
        assert len(missing) <= number + 1, missing
    relay.run_until_done(readers)


def test_what_is_no_serial_device(lab):
    (lab.directory / "file").write_bytes(b"")
    relay = lab.start(feed("a", f"serial:{lab.directory}/file"))
    relay.wait_log("source missing feed=a: serial:.*/file: Inappropriate ioctl for device")


def test_a_serial_line_over_a_hand_over(lab):
    made = script("line", (100,) * 60, 1)
    made = Script("line", made.wire.replace(b"\x00", b"0"), ends=made.ends)
    line = Line(lab).plug()
    relay, readers = start(lab, made, f"serial:{line.path}")
    relay.wait("a", source_up=1)
    for at in range(0, len(made.wire), 1450):
        line.write(made.wire[at:at + 1450])
        relay.wait("a", in_messages=min(at + 1450, 6000) // 100)
        relay.upgrade()
    relay.run_until_done(readers)
    relay.wait("a", source_connects=1, source_losses=0)


# --- tail


@pytest.fixture
def path(lab):
    return lab.directory / "app.log"


def append(path, text):
    with path.open("ab") as file:
        file.write(text if isinstance(text, bytes) else text.encode() + b"\n")


def test_a_file_that_grows(lab, path):
    """From where it ends when relay begins."""
    append(path, "the past")
    made = script("line", (80,) * 2000, 1)
    relay, readers = start(lab, made, f"tail:{path}")
    relay.wait("a", source_up=1)
    for at in range(0, len(made.wire), 7777):
        append(path, made.wire[at:at + 7777])
        relay.wait("a", in_messages=min(at + 7777, len(made.wire)) // 80)
    relay.run_until_done(readers)
    relay.assert_no_spin()


def test_a_file_that_comes_later_is_read_from_its_beginning(lab, path):
    made = lines("first", "second")
    relay, readers = start(lab, made, f"tail:{path}")
    relay.wait_log("source missing feed=a: tail:.*No such file or directory")
    append(path, "first")
    relay.wait("a", in_messages=1)
    append(path, "second")
    relay.run_until_done(readers)


def test_rotation_by_rename(lab, path):
    """The writer goes on in the old file for a while, as it does until it is told; all of that comes first."""
    made = lines("one", "two", "three, late", "four", "five")
    path.touch()
    relay, readers = start(lab, made, f"tail:{path}")
    relay.wait("a", source_up=1)
    append(path, "one")
    relay.wait("a", in_messages=1)
    old = path.with_suffix(".log.1")
    path.rename(old)
    append(old, "two")
    relay.wait("a", in_messages=2)
    path.touch()
    append(old, "three, late")
    relay.wait("a", in_messages=3)
    append(path, "four")
    relay.wait("a", in_messages=4)
    append(old, "nobody reads this")
    append(path, "five")
    relay.run_until_done(readers)
    relay.wait("a", source_connects=1, source_losses=0, files_shrunk=0)
    relay.wait_log("file begins anew feed=a .*: it is another one")


def test_rotation_by_truncation(lab, path):
    made = lines("a line of some length", "short", "more")
    path.touch()
    relay, readers = start(lab, made, f"tail:{path}")
    relay.wait("a", source_up=1)
    append(path, "a line of some length")
    relay.wait("a", in_messages=1)
    os.truncate(path, 0)
    relay.wait("a", files_shrunk=1)
    append(path, "short")
    relay.wait("a", in_messages=2)
    append(path, "more")
    relay.run_until_done(readers)
    relay.wait_log("file begins anew feed=a .*: it is shorter than what was read of it")
    relay.wait("a", source_losses=0)


@pytest.mark.parametrize("last", ["publish", "drop"])
def test_half_a_line_at_the_end_of_the_old_file(lab, path, last):
    payload = b"halfwhole\n" if last == "publish" else b"whole\n"
    made = Script("line", payload, ends=[4, 10] if last == "publish" else [6])
    path.touch()
    relay, readers = start(lab, made, f"tail:{path}", last_line=last)
    relay.wait("a", source_up=1)
    append(path, b"half")
    path.rename(path.with_suffix(".1"))
    append(path, "whole")
    relay.run_until_done(readers)
    relay.wait("a", partial_messages=int(last == "drop"))


def test_a_tail_over_a_hand_over(lab, path):
    made = script("line", (90,) * 300, 3)
    path.touch()
    relay, readers = start(lab, made, f"tail:{path}")
    relay.wait("a", source_up=1)
    for at in range(0, len(made.wire), 7000):
        append(path, made.wire[at:at + 7000])
        relay.upgrade()
    relay.run_until_done(readers)
    relay.wait("a", in_messages=300, source_connects=1)


@pytest.mark.parametrize("rotation", ["none", "rename", "removed", "truncated", "twice"])
def test_a_tail_over_a_crash(lab, path, rotation):
    """Nothing is lost and nothing comes twice, whatever was done to the file while relay was away."""
    made = lines("one", "half a line", "while away", *(["anew"] if rotation != "none" else []), "at last")
    if rotation == "truncated":
        made = lines("one", "a", "at last")
    path.touch()
    crashing = Crashing(lab, WORKERS | feed("a", f"tail:{path}", framing="line", **LOSSLESS))
    readers = [*crashing.relay.subscribe("a-raw", made, 2), crashing.relay.subscribe("a-framed", made)]
    crashing.relay.wait("a", subscribers=3, source_up=1)
    append(path, "one")
    crashing.relay.wait("a", in_messages=1)
    if rotation == "twice":
        crashing.relay.upgrade()  # nothing has been read since
    append(path, b"half a ")
    crashing.stop_at_rest()
    if rotation == "truncated":
        os.truncate(path, 0)
    else:
        append(path, b"line\n")
        append(path, "while away")
    if rotation in ("rename", "removed", "twice"):
        path.rename(path.with_suffix(".1"))
    if rotation == "removed":
        path.with_suffix(".1").unlink()
    if rotation != "none":
        append(path, "a" if rotation == "truncated" else "anew")
    assert crashing.die() == (3, 0)
    if rotation == "twice":
        crashing.relay.wait("a", in_messages=4)  # counted on from before the crash
        assert crashing.die_at_rest() == (3, 0)
    append(path, "at last")
    crashing.relay.run_until_done(readers)

# SPDX-License-Identifier: MIT
"""A program on a terminal of its own, or at the end of a pipe: what it shows, and keys for it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

from .daemon import POLL
from .loop import CEILING, Loop

END = b"\0end of terminal\0"
WRITE = "1" if os.uname().machine == "x86_64" else "64"  # of /proc/PID/syscall


class Terminal:
    """with Terminal(command) as terminal: terminal.wait(b"text"); terminal.type(b"q"); terminal.end()

    A controlling terminal makes signals of keys, and shows what the program writes to standard error, too.
    """

    def __init__(self, command, columns=100, rows=24, env=None, is_controlling=False):
        self.ours, theirs = pty.openpty()
        self.theirs = theirs
        self.resize(columns, rows)
        self.seen = b""
        self.modes_before = self.modes()
        clean = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        prefix = ("setsid", "--ctty", "--wait") if is_controlling else ()
        self.process = subprocess.Popen([*prefix, *map(str, command)], stdin=theirs, stdout=theirs,
                                        stderr=theirs if is_controlling else subprocess.PIPE,
                                        env={**clean, **(env or {})})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()
        os.close(self.ours)
        os.close(self.theirs)

    def resize(self, columns, rows):
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize_running(self, columns, rows):
        """The signal goes to the program by hand: the terminal is not its controlling one."""
        self.resize(columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def is_held_up(self):
        """It waits in write(2), since nobody reads, and has taken its signals."""
        process = Path(f"/proc/{self.process.pid}")
        return (not re.search(r"ShdPnd:\s*0*[1-9a-f]", (process / "status").read_text())
                and (process / "syscall").read_text().split()[0] == WRITE)

    def wait_held_up(self):
        loop = Loop()
        loop.run(self.is_held_up, what="a write(2) that waits", poll=POLL)
        loop.close()

    def modes(self):
        return termios.tcgetattr(self.theirs)

    def type(self, keys):
        os.write(self.ours, keys)

    def interrupt(self):
        """What Ctrl-C does: SIGINT to all of the job."""
        self.type(b"\x03")

    def read(self, timeout):
        if select.select([self.ours], [], [], timeout)[0]:
            self.seen += os.read(self.ours, 65536)
            return True
        return False

    def wait(self, text, since=0):
        """Until text is there; returns the place behind it."""
        return self.find(re.escape(text), since).end()

    def find(self, pattern, since=0):
        """Until the pattern is there; returns the match."""
        end = time.monotonic() + CEILING
        while not (found := re.compile(pattern).search(self.seen, since)):
            assert time.monotonic() < end, f"no {pattern!r} in {self.seen[since:][-2000:]!r}"
            self.read(0.1)
        return found

    def end(self):
        """The exit code; seen is all that the program has written. The kernel hands that on in its own time, so what
        is written behind it tells when it is there."""
        end = time.monotonic() + CEILING
        while (code := self.process.poll()) is None:
            assert time.monotonic() < end, f"still running after {self.seen[-2000:]!r}"
            self.read(0.01)
        before = len(self.seen)
        os.write(self.theirs, END)
        self.wait(END, max(0, before - len(END)))
        self.seen = self.seen.removesuffix(END)
        return code


class Pipe(Terminal):
    """The same for a program whose output goes into a pipe, and which reads nothing."""

    def __init__(self, command, env=None):
        self.ours, self.theirs = os.pipe()
        self.seen = b""
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=self.theirs,
                                        stderr=self.theirs, start_new_session=True, env={**os.environ, **(env or {})})

    def interrupt(self):
        os.killpg(self.process.pid, signal.SIGINT)

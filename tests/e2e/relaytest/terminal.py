# SPDX-License-Identifier: MIT
"""A program on a terminal of its own: what it shows, and keys for it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from .loop import CEILING

END = b"\0end of terminal\0"


class Terminal:
    """with Terminal(command) as terminal: terminal.wait(b"text"); terminal.type(b"q"); terminal.end()"""

    def __init__(self, command, columns=100, rows=24, env=None):
        self.ours, theirs = pty.openpty()
        self.theirs = theirs
        self.resize(columns, rows)
        self.seen = b""
        self.modes_before = self.modes()
        clean = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        self.process = subprocess.Popen([str(word) for word in command], stdin=theirs, stdout=theirs,
                                        stderr=subprocess.PIPE, env={**clean, **(env or {})})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self.ours)
        os.close(self.theirs)

    def resize(self, columns, rows):
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize_running(self, columns, rows):
        """The signal goes to the program by hand: the terminal is not its controlling one."""
        self.resize(columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def modes(self):
        return termios.tcgetattr(self.theirs)

    def type(self, keys):
        os.write(self.ours, keys)

    def read(self, timeout):
        if select.select([self.ours], [], [], timeout)[0]:
            self.seen += os.read(self.ours, 65536)
            return True
        return False

    def wait(self, text, since=0):
        """Until text is there; returns the place behind it."""
        end = time.monotonic() + CEILING
        while text not in self.seen[since:]:
            assert time.monotonic() < end, f"no {text!r} in {self.seen[since:][-2000:]!r}"
            self.read(0.1)
        return self.seen.index(text, since) + len(text)

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

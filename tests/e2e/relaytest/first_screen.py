# SPDX-License-Identifier: MIT
"""make run in a network namespace, and what it says to try, each in a terminal as a person would."""

import contextlib
import fcntl
import json
import os
import re
import subprocess

from .daemon import BIN, ROOT
from .loop import CEILING
from .terminal import Terminal

LOG = ROOT / "build/demo.log"
LAST = b"Ctrl-C ends relay."
ADDRESS = re.compile(r"https?://\S+")
ENVIRONMENT = {"no_proxy": "*"}
READ_ADDRESS = """
import sys, urllib.request
for line in urllib.request.urlopen(sys.argv[1]):
    sys.stdout.buffer.write(line)
    sys.stdout.flush()
"""


def no_other():
    """A need: make run wants the directory for itself."""
    if not LOG.exists():
        return ""
    with open(__file__, "rb") as this:
        fcntl.flock(this, fcntl.LOCK_EX)
        is_taken = subprocess.run(["flock", "--nonblock", LOG, "true"], check=False).returncode
    return "no make run: somebody's is at work in this directory" if is_taken else ""


@contextlib.contextmanager
def only_one():
    """One make run at a time in this directory: those of other tests are waited for."""
    with open(__file__, "rb") as this:
        fcntl.flock(this, fcntl.LOCK_EX)
        yield


def in_terminal(command, env=None):
    return Terminal(command, columns=80, rows=24, env=env, is_controlling=True)


def end_by_ctrl_c(shown):
    """Where it has not ended by itself."""
    with shown:
        if shown.process.poll() is None:
            shown.interrupt()
            shown.end()


def status(inside):
    """What the status page of relay.ini.example is made of."""
    command = ("/usr/bin/python3", "-c", READ_ADDRESS, "http://127.0.0.1:7090/status.json")
    done = subprocess.run(inside.command(*command), env={**os.environ, **ENVIRONMENT}, capture_output=True,
                          timeout=CEILING, check=True)
    return json.loads(done.stdout)


class Screen:
    """make run in a namespace, until its screen is whole."""

    def __init__(self, inside, kind):
        self.inside = inside
        self.built = (BIN / "relay").stat().st_mtime_ns
        self.shown = kind(inside.command("make", "--no-print-directory", "-C", ROOT, "run"))

    def lines(self):
        """All of it, once the last line is there."""
        self.shown.find(re.escape(LAST) + rb"\r?\n")
        assert self.built == (BIN / "relay").stat().st_mtime_ns, "make run has built anew: build as tests/run does"
        return self.shown.seen.decode().splitlines()

    def things_to_try(self):
        """Commands and addresses stand behind four spaces, what they show behind a #."""
        return [line[4:].partition("  # ")[0].strip() for line in self.lines() if line.startswith("    ")]

    def start(self, what):
        """In a terminal of its own, as a person would."""
        command = ("bash", "-c", f"cd '{ROOT}' && {what}")
        if ADDRESS.fullmatch(what):
            command = ("/usr/bin/python3", "-c", READ_ADDRESS, what)
        return in_terminal(self.inside.command(*command), ENVIRONMENT)

# SPDX-License-Identifier: MIT
"""A network namespace with a loopback interface and nothing else: every port is free there, and who is in it is known."""

import os
import signal
import subprocess
from pathlib import Path

IS_ROOT = os.geteuid() == 0
MAKE = ("unshare", "--net") if IS_ROOT else ("unshare", "--map-root-user", "--net")
ENTER = ("--net",) if IS_ROOT else ("--user", "--preserve-credentials", "--net")
UP = "ip link set lo up"


class Namespace:
    """with Namespace() as inside: subprocess.run(inside.command("program", "argument"))"""

    def __init__(self):
        # It stands as long as a process is in it: cat waits for the end of its input.
        self.holder = subprocess.Popen([*MAKE, "sh", "-c", f"{UP} && echo up && exec cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"up\n"
        self.identity = self.identity_of(self.holder.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.members():
            os.kill(pid, signal.SIGKILL)
        self.holder.communicate()

    def command(self, *words):
        return ["nsenter", f"--target={self.holder.pid}", *ENTER, "--", *map(str, words)]

    @staticmethod
    def identity_of(pid):
        try:
            return os.readlink(f"/proc/{pid}/ns/net")
        except OSError:  # ended meanwhile, or somebody else's
            return None

    def members(self):
        """The processes in it, but for the one that holds it."""
        pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
        return [pid for pid in pids if pid != self.holder.pid and self.identity_of(pid) == self.identity]

    def listening(self):
        """The TCP ports that somebody listens on (proc(5): state 0A)."""
        lines = [line.split() for name in ("tcp", "tcp6")
                 for line in Path(f"/proc/{self.holder.pid}/net/{name}").read_text(encoding="ascii").splitlines()[1:]]
        return {int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A"}

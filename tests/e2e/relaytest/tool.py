# SPDX-License-Identifier: MIT
"""relaycat and relaypub beside a relay."""

import os
import re
import signal
import subprocess

from .daemon import BIN, POLL
from .loop import READ


class Tool:
    """A running program; what it writes is read as it comes."""

    def __init__(self, lab, name, *arguments, stdin=subprocess.DEVNULL, keeps=True):
        self.loop = lab.loop
        self.process = subprocess.Popen([str(BIN / name), *map(str, arguments)], stdin=stdin,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.out = bytearray()
        self.keeps = keeps
        self.told = ""
        for file in (self.process.stdout, self.process.stderr):
            self.loop.watch(file.fileno(), READ, lambda _events, file=file: self.read(file))
        lab.closers.append(self.kill)

    def read(self, file):
        data = os.read(file.fileno(), 1 << 16)
        if not data:
            self.loop.unwatch(file.fileno())
        if file is self.process.stderr:
            self.told += data.decode()
        elif self.keeps:
            self.out += data

    def wait_told(self, pattern, times=1):
        self.loop.run(lambda: len(re.findall(pattern, self.told)) >= times, poll=POLL,
                      what=lambda: f"{times} times {pattern!r} of {self.process.args}; told: {self.told}")

    def wait_end(self, code=0):
        """What it told in all."""
        files = [self.process.stdout.fileno(), self.process.stderr.fileno()]
        known = self.loop.selector.get_map()
        self.loop.run(lambda: not any(file in known for file in files), poll=POLL,
                      what=lambda: f"{self.process.args} to end; told: {self.told}")
        assert self.process.wait() == code, self.told
        return self.told

    def stop(self, code=0):
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end(code)

    def total(self, name):
        return int(re.search(rf"\b{name}=(\d+)", self.told)[1])

    def kill(self):
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdout, self.process.stderr):
            self.loop.unwatch(file.fileno())
            file.close()

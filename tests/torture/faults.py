# SPDX-License-Identifier: MIT
"""Faults in a running relay: strace(1) refuses its system calls, a library in it its allocations."""

import mmap
import os
import re
import select
import signal
import struct
import subprocess
from pathlib import Path

from relaytest.loop import CEILING

PATIENCE = 3  # seconds that strace has to let go
ATTACHED = re.compile(rb"attached")


def tracer_of(pid):
    """0: nobody."""
    try:
        return int(re.search(r"TracerPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def end_and_wait(pid):
    """Of a process that is not a child; it may have ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # with -D it minds no other
        assert select.select([pidfd], [], [], CEILING)[0], "strace does not let go"
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


class Refusal:
    """One system call fails: call number `when` of each thread, or from then on."""

    def __init__(self, directory, call, error, when, lasts):
        self.name = f"{call} {error} at {when}{' and after' if lasts else ''}"
        self.call = call
        self.out = directory / "strace"
        self.out.unlink(missing_ok=True)
        inject = f"{call}:error={error}:when={when}{'+' if lasts else ''}"
        self.command = ("strace", "-f", "-o", str(self.out), "-e", f"trace={call},execve", "-e", f"inject={inject}")
        self.process = None

    def prefix(self):
        """Before a program, which stays the child of whoever starts it."""
        return (*self.command, "-D", "--")

    def attach(self, pid):
        self.process = subprocess.Popen((*self.command, "-p", str(pid)), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        assert ATTACHED.search(line), line

    def detach(self, pid):
        """True: it has failed at all."""
        tracer = tracer_of(pid)
        if self.process:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:  # a child of vfork(2) holds it up
                self.process.kill()
                self.process.communicate()
        elif tracer:
            end_and_wait(tracer)
        return self.out.exists() and b"(INJECTED)" in self.out.read_bytes()


def has_ended_loader(fault, relay):
    """The first mmap of a program is that of ld.so, which bears nothing: it writes to address 0 when it gets no memory.
    Of relay, nothing runs then."""
    if fault.call != "mmap" or relay.code != -signal.SIGSEGV:
        return False
    lines = [line for line in fault.out.read_text().splitlines() if line.startswith(f"{relay.process.pid} ")]
    return any("execve" in before and "(INJECTED)" in line for before, line in zip(lines, lines[1:]))


def count_calls(directory, pid, play):
    """The calls that relay makes while play() goes on: name and how often, in all threads."""
    out = directory / "strace"
    process = subprocess.Popen(("strace", "-f", "-c", "-U", "name,calls", "-o", str(out), "-p", str(pid)),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    line = process.stderr.readline()
    assert ATTACHED.search(line), line
    play()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=CEILING)
    return read_counts(out)


def read_counts(path):
    lines = [line.split() for line in path.read_text().splitlines()]
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit() and words[0] != "total"}


class Allocations:
    """The page that tests/torture/allocation.c looks at: it counts down to the one that fails."""

    LAYOUT = struct.Struct("=iii")  # left until it fails (0: none), whether all after it do, how many have failed

    def __init__(self, directory):
        self.path = directory / "allocations"
        self.path.write_bytes(bytes(4096))
        with self.path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)

    def arm(self, when, lasts):
        self.page[:self.LAYOUT.size] = self.LAYOUT.pack(when, lasts, 0)

    def disarm(self):
        """True: one has failed."""
        failed = self.LAYOUT.unpack(self.page[:self.LAYOUT.size])[2]
        self.page[:8] = bytes(8)
        return failed > 0

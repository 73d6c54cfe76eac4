# SPDX-License-Identifier: MIT
"""Where a process spends its time while a run goes on: perf's samples, or else strace's count of system calls."""

import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

LINES_SHOWN = 14
START_SECONDS = 0.3


class Profiler:
    """Watches pid within a `with`; then writes the whole to `path` and the beginning to stderr."""

    def __init__(self, pid, path):
        self.path = path
        self.folder = tempfile.TemporaryDirectory(prefix="relay-profile-")
        self.data = pathlib.Path(self.folder.name, "data")
        self.is_perf = True
        self.process = self.start(["perf", "record", "-q", "-F", "999", "-g", "-p", str(pid), "-o", str(self.data)])
        if not self.process:
            self.is_perf = False
            self.process = self.start(["strace", "-c", "-f", "-p", str(pid), "-o", str(self.data)])
        if not self.process:
            print("note: neither perf nor strace works here, so there is no profile", file=sys.stderr)

    @staticmethod
    def start(command):
        """The process, or None when it is not there or ends at once, as for want of rights."""
        if not shutil.which(command[0]):
            return None
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            return process
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()
            self.tell()
        self.folder.cleanup()

    def tell(self):
        text = self.data.read_text(errors="replace") if not self.is_perf else self.report(["--no-children"])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text, encoding="utf-8")
        if self.is_perf:
            text = self.report(["--no-children", "-g", "none"])
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        print("\n".join(f"    {line}" for line in lines[:LINES_SHOWN]), f"    all of it: {self.path}", sep="\n",
              file=sys.stderr)

    def report(self, options):
        command = ["perf", "report", "--stdio", "--percent-limit", "0.5", "-i", str(self.data), *options]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout

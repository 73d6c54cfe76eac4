# SPDX-License-Identifier: MIT
"""Fixtures: a loop, a directory and a way to start relays; the universal checks run after each test."""

import functools
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from relaytest import daemon  # noqa: E402
from relaytest.ingest import Ingest  # noqa: E402
from relaytest.loop import CEILING, Loop  # noqa: E402
from relaytest.nats import Server  # noqa: E402
from relaytest.surroundings import descriptors, file_system_in_memory, room_in_memory  # noqa: E402

FROZEN = set()

# A socket's path has at most 107 bytes (unix(7)), and relay.ini takes no file of tokens with a blank in its path.
if len(tempfile.gettempdir()) > 60 or " " in tempfile.gettempdir():
    tempfile.tempdir = "/tmp"

# tests/run gives the tests huge pages; the programs under test do not inherit that.
os.environ.pop("GLIBC_TUNABLES", None)

# A job in the background has SIGINT ignored (bash(1)), and so would each program that it starts; what has a handler
# is set back for them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Of descriptors a terminal has often 1,024, and may have more (getrlimit(2)): peers are many here.
SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
WANTED = 20000 if HARD == resource.RLIM_INFINITY else min(HARD, 20000)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(SOFT, WANTED), HARD))


class Lab:
    """What a test works with: lab.start(ini) makes a Relay, lab.ingest(kind, feed) a way into it."""

    def __init__(self, directory, properties):
        self.directory = directory
        self.properties = properties
        self.loop = Loop()
        self.relays = []
        self.ingests = []
        self.closers = []

    def start(self, sections, **options):
        stdin = next((i.stdin for i in self.ingests if i.stdin is not None), None)
        options.setdefault("directory", self.directory)
        options.setdefault("stdin", stdin)
        relay = daemon.Relay(self.loop, sections=sections, **options)
        self.relays.append(relay)
        for ingest in self.ingests:
            ingest.started()
        return relay

    def ingest(self, kind, feed):
        made = Ingest(kind, self.loop, self.directory, feed)
        self.ingests.append(made)
        return made

    def run_tool(self, *command, timeout=CEILING, **options):
        """A program of build/ to its end."""
        name, *rest = command
        return subprocess.run([str(daemon.BIN / name), *map(str, rest)], capture_output=True,
                              text=True, timeout=timeout, check=False, **options)

    def lacks(self, need, *arguments):
        """Why this need is not met here; the test goes on without, and tests/run says so at its end."""
        if why := need(*arguments):
            self.properties.append(("left out", why))
        return why

    @functools.cached_property
    def memory(self):
        """A directory on a disk that always answers at once, where the machine has one: for tests that bring about
        themselves that it does not."""
        if file_system_in_memory():
            return self.directory
        made = tempfile.TemporaryDirectory(prefix="relay-", dir="/dev/shm")
        self.closers.append(made.cleanup)
        return Path(made.name)

    def close(self):
        for ingest in self.ingests:
            ingest.close()
        for close in reversed(self.closers):
            close()
        self.loop.close()


def pytest_runtest_setup(item):
    if why := descriptors():
        pytest.skip(why)
    for mark in item.iter_markers("needs"):
        need, *arguments = mark.args
        if why := need(*arguments):
            pytest.skip(why)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.call_passed = report.passed
    if report.failed and (lab := item.funcargs.get("lab")):
        for relay in lab.relays:
            lines = [line[:300] for line in relay.log if " status " not in line]
            report.sections.append(("log of relay", "\n".join(lines[-30:])))


@pytest.fixture
def tmp_path(request):
    """In place of pytest's: short, for sockets lie in it. It lies in memory, but for tests that are about a disk: others
    can keep that busy for longer than relay waits for it. What a browser that is ending still writes there is no
    error."""
    is_on_disk = request.node.get_closest_marker("disk") or room_in_memory()
    with tempfile.TemporaryDirectory(prefix="relay-", dir=None if is_on_disk else "/dev/shm",
                                     ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture
def program_for_all():
    """Called with a name: that program of build/ in a directory where every user may run it."""
    with tempfile.TemporaryDirectory(prefix="relay-e2e-") as directory:
        os.chmod(directory, 0o755)

        def copy(name):
            made = Path(shutil.copy(daemon.BIN / name, directory))
            made.chmod(0o755)
            return made

        yield copy


@pytest.fixture
def lab(request, tmp_path):
    made = Lab(tmp_path, request.node.user_properties)
    try:
        yield made
        if getattr(request.node, "call_passed", False):
            freeze_once(request.node.path, made.relays)
            for relay in reversed(made.relays):
                relay.finish()
    finally:
        for relay in made.relays:
            relay.kill()
        made.close()


@pytest.fixture
def server(lab):
    """Called, it starts a server of NATS, which ends with the test."""
    def start(name="s", **options):
        made = Server(lab.loop, lab.directory, name, **options)
        lab.closers.append(made.close)
        return made

    return start


def freeze_once(path, relays):
    """Once per test file: a second in which nobody sends costs no CPU."""
    running = [relay for relay in relays if relay.code is None and not relay.signalled]
    if running and path not in FROZEN:
        FROZEN.add(path)
        running[0].assert_no_spin()

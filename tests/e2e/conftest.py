# SPDX-License-Identifier: MIT
"""Fixtures: a loop, a directory and a way to start relays; the universal checks run after each test."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from relaytest import daemon  # noqa: E402
from relaytest.ingest import Ingest  # noqa: E402
from relaytest.loop import Loop  # noqa: E402

FROZEN = set()


class Lab:
    """What a test works with: lab.start(ini) makes a Relay, lab.ingest(kind, feed) a way into it."""

    def __init__(self, directory):
        self.directory = directory
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

    def run_tool(self, *command, timeout=20, **options):
        """A program of build/ to its end."""
        name, *rest = command
        return subprocess.run([str(daemon.BIN / name), *map(str, rest)], capture_output=True,
                              text=True, timeout=timeout, check=False, **options)

    def close(self):
        for ingest in self.ingests:
            ingest.close()
        for close in self.closers:
            close()
        self.loop.close()


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
def lab(request, tmp_path):
    made = Lab(tmp_path)
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


def freeze_once(path, relays):
    """Once per test file: two seconds in which nobody sends cost no CPU."""
    running = [relay for relay in relays if relay.code is None and not relay.signalled]
    if running and path not in FROZEN:
        FROZEN.add(path)
        running[0].assert_no_spin()

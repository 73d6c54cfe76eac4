# SPDX-License-Identifier: MIT
"""A plugin of pytest: how the tests ended, and what relay could not do under this kernel.

The second comes from the counters of the relays of the matrix, where nothing but the kernel refuses anything. Lines
that begin with "report: " are for tests/kernels/run.
"""

import os
import re
from collections import Counter, defaultdict

import pytest

from relaytest.ingest import FILES, STREAMS

KINDS = STREAMS + FILES
SOCKETS = [kind for kind in STREAMS if "-" in kind]
REFUSED = re.compile(r"Z warn (.*(?:refused by the kernel|no pipe).*)")

counters = {key: Counter() for key in ("refused_calls", "engine_fallbacks")}  # by engine asked for, and way in
packets = defaultdict(Counter)  # in the same way: how many went by which engine
said = Counter()


def take_counters(engine, relay):
    for block in relay.blocks[-1:]:
        for name, seen in block["feed"].items():
            where = engine, name if name in KINDS else "listen-tcp"
            packets[where].update({way: seen[f"packets_{way}"] for way in ("splice", "compact", "copy")})
            for key, counter in counters.items():
                counter[where] += seen[key]
    for line in relay.log:
        if found := REFUSED.search(line):
            said[re.sub(r" feed=\S+", "", found[1])] += 1


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    lab = getattr(item, "funcargs", {}).get("lab")
    yield
    if lab and item.path.name == "test_matrix.py":
        for relay in lab.relays:
            take_counters(item.callspec.params["engine"], relay)


def places(counter):
    found = [f"{engine} by {kind} {count}" for (engine, kind), count in counter.items() if count]
    return f" ({', '.join(found)})" if found else ""


def never_taken():
    """Of each engine that was asked for, the sockets of which it took no packet. Of fifos and files it takes some only."""
    for engine in dict.fromkeys(engine for engine, _ in packets):
        way = engine.partition("-")[0]
        missing = [kind for kind in SOCKETS if packets[engine, kind] and not packets[engine, kind][way]]
        if way != "auto" and missing:
            yield f"{engine}: all was copied that came by {', '.join(missing)}"


def left_out(stats):
    """Why, and of how many tests a part or all."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in stats.get("skipped", ()))
    for report in stats.get("passed", ()):
        reasons.update({why for name, why in report.user_properties if name == "left out"})
    return [f"left out in {count} tests: {why}" for why, count in reasons.items()]


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    bad = stats.get("failed", []) + stats.get("error", [])
    lines = [f"{os.environ['RELAY_WHO']}: {len(stats.get('passed', ()))} passed, {len(bad)} failed",
             *(f"  failed: {report.nodeid}" for report in bad)]
    if packets:
        lines += [f"  {key} of the matrix: {counter.total()}" + places(counter) for key, counter in counters.items()]
    lines += [f"  {line}" for line in (*never_taken(), *(f"{count} x {line}" for line, count in said.items()),
                                       *left_out(stats))]
    terminalreporter.ensure_newline()
    for line in lines:
        terminalreporter.write_line(f"report: {line}")

# SPDX-License-Identifier: MIT
"""make run as a newcomer sees it: each command and each address that it prints is tried, then Ctrl-C ends it."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from relaytest.browser import Browser
from relaytest.daemon import BAD_LINE, BIN, CARRIERS, POLL, ROOT
from relaytest.first_screen import ADDRESS, LOG, Screen, end_by_ctrl_c, in_terminal, no_other, only_one, status
from relaytest.loop import CEILING
from relaytest.namespace import Namespace
from relaytest.surroundings import chromium, needs, network_namespace
from relaytest.terminal import Pipe

pytestmark = [needs(network_namespace), needs(no_other)]

PORTS = {7000, 7001, 7002, 7003, 7004, 7005, 7090}


@pytest.fixture(autouse=True)
def alone():
    with only_one():
        yield


@pytest.fixture
def inside():
    with Namespace() as made:
        yield made


# What comes of each thing to try.

def shows_prices(shown):
    """Three lines in a row: nothing is missing between them."""
    price = rb"#(\d+) [A-Z]+ \d+\.\d\d [+-]\d+\.\d\d\r?\n"
    found = shown.find(rb"[^\n]*".join([price] * 3))
    first = int(found[1])
    assert [int(number) for number in found.groups()] == [first, first + 1, first + 2]


def shows_latency(shown):
    shown.find(rb"[1-9][\d.]* [kM]?B/s +\d+ messages/s +latency p50=[\d.]+[mun]?s")


def shows_gap(shown):
    missed, since, until = map(int, shown.find(rb"gap: (\d+) messages missed, from (\d+) to (\d+)\b").groups())
    assert missed == until - since + 1 > 0


def shows_top(shown):
    for name in (b"demo", b"busy"):
        shown.find(rb"\n%s +(\x1b\[\d+m)?up\b\S* +[\d.]+ [kM]?B/s " % name)


def shows_log(shown):
    shown.find(rb" info ready .*\n(.*\n)*.* info publisher up feed=demo")


def shows_counters(shown):
    assert shown.end() == 0
    text = shown.seen.decode()
    feeds = {one["name"]: one for one in json.loads(text[text.index("{"):text.rindex("}") + 1])["feeds"]}
    assert feeds["demo"]["source_up"] and feeds["busy"]["source_up"]


def shows_page(shown):
    assert shown.end() == 0
    assert b"<title>" in shown.seen and b"status.json" in shown.seen


TRIED = [
    (r"\S+/relaycat tcp:127\.0\.0\.1:7001", shows_prices),
    (r"\S+/relaycat -f --stats tcp:127\.0\.0\.1:7002", shows_latency),
    (r"\S+/relaycat -f tcp:127\.0\.0\.1:7005 \| \(sleep \d; cat >/dev/null\)", shows_gap),
    (r"\S+/relayctl -s http://127\.0\.0\.1:7090 top", shows_top),
    (r"tail -f build/demo\.log", shows_log),
    (r"http://127\.0\.0\.1:7003/demo", shows_prices),
    (r"http://127\.0\.0\.1:7090/", shows_page),
    (r"curl -N http://127\.0\.0\.1:7003/demo", shows_prices),
    (r"curl http://127\.0\.0\.1:7090/status\.json", shows_counters),
]


def check_of(what):
    checks = [check for pattern, check in TRIED if re.fullmatch(pattern, what)]
    assert len(checks) == 1, f"no test knows what comes of {what!r}"
    return checks[0]


def try_all(screen, things):
    opened = [(what, screen.start(what)) for what in things]
    try:
        for what, shown in opened:
            check_of(what)(shown)
    finally:
        for _, shown in opened:
            end_by_ctrl_c(shown)


def sockets(pid):
    links = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(one))
        except FileNotFoundError:
            pass
    return sum(link.startswith("socket:") for link in links)


def check_everybody_has_gone(lab, screen, at_rest):
    """The universal checks: nobody is left, no socket either, and what was delivered was carried by an engine."""
    seen = {}

    def look():
        seen.update(status(screen.inside))
        pairs = sum(one["metrics"]["socket_pairs"] for one in seen["feeds"])
        return not seen["relay"]["subscribers"] and sockets(seen["relay"]["pid"]) - 2 * pairs <= at_rest

    lab.loop.run(look, what=lambda: f"subscribers to go: {seen}", poll=POLL)
    for one in seen["feeds"]:
        metrics = one["metrics"]
        assert sum(metrics[key] for key in CARRIERS) == metrics["delivered_bytes"] > 0, one
        assert metrics["subscribers_total"] > 0 and metrics["subscribers"] == 0, one


def check_end(inside, shown):
    """As a person ends it: the shell is told that Ctrl-C has ended make, and nothing is left."""
    shown.interrupt()
    assert shown.end() == -signal.SIGINT, shown.seen
    assert shown.seen.endswith((b"relay has ended.\n", b"relay has ended.\r\n")), shown.seen
    assert not inside.members() and not inside.listening()
    log = LOG.read_text(encoding="utf-8").splitlines()
    assert log and not [line for line in log if BAD_LINE.search(line)]


@pytest.mark.parametrize("kind", [in_terminal, Pipe])
def test_all_that_it_prints(lab, inside, kind):
    screen = Screen(inside, kind)
    with screen.shown as shown:
        things = screen.things_to_try()
        assert len(things) == len(set(things)) == len(TRIED)
        assert f"in {ROOT}:" in shown.seen.decode()
        assert PORTS == inside.listening()
        pid = status(screen.inside)["relay"]["pid"]
        lab.loop.run(lambda: all(one["source_up"] for one in status(inside)["feeds"]), what="the publishers", poll=POLL)
        at_rest = sockets(pid)
        before = shown.seen
        try_all(screen, things)
        check_everybody_has_gone(lab, screen, at_rest)
        shown.read(0)
        assert shown.seen == before, "something scrolls the addresses away"
        check_end(inside, shown)


def test_it_fits_a_small_terminal(inside):
    screen = Screen(inside, in_terminal)
    with screen.shown as shown:
        lines = [line.replace(f"{BIN.relative_to(ROOT)}/", "build/") for line in screen.lines()]
        assert len(lines) < 24, lines
        assert not [line for line in lines if len(line) > 80 and str(ROOT) not in line]
        places = {line.index("  # ") for line in lines if "  # " in line}
        assert len(places) == 1, "not aligned"
        needs_curl = lines.index("With curl:")
        assert not [line for line in lines[:needs_curl] if re.search(r"\b(curl|nc|ncat)\b", line)]
        check_end(inside, shown)


@needs(chromium)
def test_addresses_in_a_browser(lab, inside):
    screen = Screen(inside, Pipe)
    with screen.shown as shown:
        demo, page = [what for what in screen.things_to_try() if ADDRESS.fullmatch(what)]
        before = set(inside.members())
        with Browser(lab.directory, inside.command()) as browser:
            browser.open(page)
            browser.wait("document.querySelectorAll('.feed').length === 2")
            browser.wait("document.body.textContent.includes('source up')")
            browser.open(demo)
            browser.wait("/#\\d+ [A-Z]+ \\d+\\.\\d\\d/.test(document.body.innerText)")
        lab.loop.run(lambda: before.issuperset(inside.members()), what="the browser's processes to end", poll=POLL)
        check_end(inside, shown)


# What may stand in its way.

def refused(inside, *words, **environment):
    """make run that fails: what it says. It leaves nobody behind."""
    before = set(inside.members())
    done = subprocess.run(inside.command("make", "--no-print-directory", "-C", ROOT, "run", *words), check=False,
                          env={**os.environ, **environment}, capture_output=True, text=True, timeout=CEILING)
    assert done.returncode == 2, done
    assert set(inside.members()) == before
    return done.stderr


def test_a_second_one_beside_it(inside):
    screen = Screen(inside, Pipe)
    with screen.shown as shown:
        screen.lines()
        assert "error: make run is at work in this directory already" in refused(inside)
        assert " info ready " in LOG.read_text(encoding="utf-8")
        try_all(screen, ["http://127.0.0.1:7003/demo"])
        check_end(inside, shown)


def test_a_port_is_taken(inside):
    with Pipe(inside.command(BIN / "relay", "-c", ROOT / "relay.ini.example")) as other:
        other.find(rb" info ready ")
        said = refused(inside)
        assert "listen tcp:127.0.0.1:7000: Address already in use\nerror: the port above is taken" in said
        named = subprocess.run(inside.command("ss", "-ltnp"), capture_output=True, text=True, check=True).stdout
        assert re.search(rf"127\.0\.0\.1:7000\b.*pid={other.process.pid}\b", named)
        other.interrupt()
        assert other.end() == 0


def test_the_build_fails(inside):
    """With a compiler that is not one; its objects have a directory of their own."""
    made = ROOT / "build/obj/false-release"
    try:
        assert "error: relay could not be built; the reason stands above\n" in refused(inside, "CC=false")
    finally:
        shutil.rmtree(made, ignore_errors=True)

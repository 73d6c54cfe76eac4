# SPDX-License-Identifier: MIT
"""relayctl against a stub of the admin server: what it asks, shows and says when something is wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from relaytest.admin_stub import AdminStub, status, subscriber
from relaytest.daemon import BIN, preload
from relaytest.loop import CEILING
from relaytest.surroundings import NOBODY, another_user, as_user, needs
from relaytest.terminal import Terminal

EVIL = "b\033]0;owned\007\u009b2J"
EVIL_SHOWN = "b\\x1b]0;owned\\x07\\xc2\\x9b2J"


@pytest.fixture
def stub(tmp_path):
    with AdminStub(tmp_path / "admin.sock") as made:
        made.answers["GET", "/status.json"] = 200, status()
        made.answers["GET", "/subscribers.json"] = 200, {"subscribers": [], "total": 0}
        yield made


@pytest.fixture
def ctl(lab, stub):
    def run(*words, **options):
        return lab.run_tool("relayctl", "-s", stub.path, *words, **options)

    return run


def good(done):
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def bad(done, code, *lines):
    assert (done.returncode, done.stderr) == (code, "".join(f"relayctl: {line}\n" for line in lines))
    return done.stdout


def rows(text, heading):
    """The table under the heading as dicts; columns are where the headings are, so this checks that they align."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(heading))
    titles = re.split(r"  +", lines[at].strip())
    found = []
    for line in lines[at + 1:]:
        if not line:
            break
        found.append(dict(zip(titles, re.split(r"  +", line.strip()))))
    return found


# Looking.

def test_status_shows_all(ctl, stub):
    shown = good(ctl("status"))
    assert shown.startswith("relay 0.1  pid 4711  up 1h 02m  running  log level info\n"
                            "subscribers 3 of at most 19,000  pinned 2.50 MB\n")
    assert rows(shown, "WORKER") == [{"WORKER": "0", "SUBSCRIBERS": "3", "FEEDS": "1", "TURNS": "1,234,567",
                                      "LAG P50": "1 us", "LAG P99": "250 us", "LAG MAX": "1.50 ms"}]
    assert rows(shown, "FEED") == [{
        "FEED": "a", "PUBLISHER": "up", "IN": "1.50 MB/s", "OUT": "3.00 GB/s", "SUBSCRIBERS": "3", "BLOCKED": "1",
        "SKIPS": "5", "CLOSED SLOW": "5", "RING": "8.39 MB", "ENGINE": "auto: copy, splice",
        "SOURCE": "listen tcp:127.0.0.1:7000"}]
    assert rows(shown, "LISTENER")[0]["ACCEPTED"] == "12"
    assert stub.seen == [("GET", "/status.json", "")]


def test_a_draining_relay_says_so(ctl, stub):
    stub.answers["GET", "/status.json"] = 200, status(draining=True)
    assert "  draining  " in good(ctl("status"))


def test_feeds(ctl, stub):
    stub.answers["GET", "/status.json"] = 200, status(feeds=("a", EVIL))
    assert [row["FEED"] for row in rows(good(ctl("feeds")), "FEED")] == ["a", EVIL_SHOWN]
    assert good(ctl("feeds", "--names")) == f"a\n{EVIL_SHOWN}\n"
    assert json.loads(good(ctl("feeds", "--json"))) == {"feeds": status(feeds=("a", EVIL))["feeds"]}


def test_subscribers_asks_for_what_was_wanted(ctl, stub):
    worst = subscriber(9, state="blocked", cause="receive_window", lag_bytes=4200000, lag_ms=1500, lag_messages=1024,
                       queued_bytes=65536, peer=EVIL)
    stub.answers["GET", "/subscribers.json"] = 200, {"subscribers": [worst, subscriber(2)], "total": 12000}
    shown = good(ctl("subscribers", "--feed", "my feed&x=1", "--slow", "--limit", "2"))
    assert stub.seen == [("GET", "/subscribers.json", "sort=lag&limit=2&slow=1&feed=my%20feed%26x%3D1")]
    assert shown.startswith("2 of 12,000 subscribers\n")
    assert rows(shown, "ID")[0] == {
        "ID": "9", "FEED": "a", "FORMAT": "raw", "PEER": EVIL_SHOWN, "STATE": "blocked", "CAUSE": "receive_window",
        "LAG": "4.20 MB", "LAG TIME": "1.50 s", "LAG MSGS": "1,024", "QUEUED": "65.5 kB", "DELIVERED": "7",
        "CONNECTED": "1m 01s", "WORKER": "0"}
    good(ctl("subscribers"))
    assert stub.seen[-1] == ("GET", "/subscribers.json", "sort=lag&limit=50")


def test_show(ctl, stub):
    config = "[relay]\nworkers = 2\n# caf\u00e9\n"
    stub.answers["GET", "/config"] = 200, config
    stub.answers["GET", "/limits.json"] = 200, {"budget": {"pipes": 1234567, "is_by_option": False},
                                                "sysctls": {"a.b": "x\033"}, "list": [1, None]}
    assert good(ctl("show", "config")) == config
    assert json.loads(good(ctl("show", "config", "--json"))) == {"text": config}
    assert rows(good(ctl("show", "limits")), "NAME") == [
        {"NAME": "budget.pipes", "VALUE": "1,234,567"}, {"NAME": "budget.is_by_option", "VALUE": "no"},
        {"NAME": "sysctls.a.b", "VALUE": "x\\x1b"}, {"NAME": "list.0", "VALUE": "1"},
        {"NAME": "list.1", "VALUE": "not known"}]
    with Terminal([BIN / "relayctl", "-s", stub.path, "show", "config"]) as terminal:
        terminal.wait(b"# caf\\xc3\\xa9")
        assert terminal.end() == 0


@pytest.mark.parametrize("words", [("status",), ("feeds",), ("subscribers",), ("top",), ("doctor",)])
def test_json_is_ascii(ctl, stub, words):
    stub.answers["GET", "/status.json"] = 200, status(feeds=(EVIL,))
    stub.answers["GET", "/subscribers.json"] = 200, {"subscribers": [subscriber(1, peer=EVIL)], "total": 1}
    done = ctl(*words, "--json")
    assert done.stderr == "" and json.loads(done.stdout)
    assert not re.search(r"[^\n -~]", done.stdout)


@pytest.mark.parametrize("env, coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_colours_are_for_terminals(ctl, stub, env, coloured):
    assert "\033" not in good(ctl("status"))
    with Terminal([BIN / "relayctl", "-s", stub.path, "status"], env=env) as terminal:
        terminal.wait(b"LISTENER")
        assert terminal.end() == 0
        assert (b"\033[32mup\033[0m" in terminal.seen) == coloured
        assert coloured or b"\033" not in terminal.seen


# Steering.

@pytest.mark.parametrize("words, request_, said", [
    (("kick", "--feed", "my feed", "17"), ("POST", "/kick", "feed=my%20feed&id=17"),
     "closed subscriber 17 of feed my feed\n"),
    (("title", "--feed", "my feed", "So What & more"), ("POST", "/title", "feed=my%20feed&title=So%20What%20%26%20more"),
     "set the title of feed my feed\n"),
    (("drain",), ("POST", "/drain", ""), "draining\n"),
    (("log-level", "debug"), ("POST", "/log-level", "level=debug"), "log level is debug\n"),
])
def test_commands(ctl, stub, words, request_, said):
    stub.answers[request_[:2]] = 200, {"ok": True}
    assert good(ctl(*words)) == said
    assert stub.seen == [request_]
    assert json.loads(good(ctl(*words, "--json"))) == {"ok": True}
    stub.answers[request_[:2]] = 501, {"error": "not\nyet"}
    assert bad(ctl(*words), 1, "not\\x0ayet") == ""
    assert json.loads(bad(ctl(*words, "--json"), 1, "not\\x0ayet")) == {"error": "not\nyet"}
    stub.answers[request_[:2]] = 500, "oops"
    bad(ctl(*words), 1, f"relay answered 500 to {'?'.join(filter(None, request_[1:]))}")


def upgrade_state(process, **changes):
    return {"process": process, "version": "0.2", "subscribers": 1200, "under_way": False, "error": "", "errors": [],
            **changes}


def answers(*bodies):
    """One after the other; the last one again and again."""
    left = list(bodies)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_upgrade_waits_for_the_next_process(ctl, stub):
    stub.answers["POST", "/upgrade"] = 202, {"ok": True, "process": 7}
    looks = upgrade_state(7, under_way=True), upgrade_state(7, under_way=True), upgrade_state(8)
    stub.answers["GET", "/upgrade.json"] = 200, answers(*looks)
    assert good(ctl("upgrade")) == "relay 0.2 has taken over, subscribers: 1,200\n"
    assert [path for _, path, _ in stub.seen] == ["/upgrade"] + 3 * ["/upgrade.json"]
    stub.answers["GET", "/upgrade.json"] = 200, answers(*looks)
    assert json.loads(good(ctl("upgrade", "--json"))) == looks[-1]


def test_upgrade_says_why_not(ctl, stub):
    refused = upgrade_state(7, error="/usr/bin/relay ended with exit code 78", errors=["relay.ini:3: bad\033"])
    lines = ["relay.ini:3: bad\\x1b", f"nothing has changed: {refused['error']}"]
    stub.answers["POST", "/upgrade"] = 202, {"ok": True, "process": 7}
    stub.answers["GET", "/upgrade.json"] = 200, answers(upgrade_state(7, under_way=True), refused)
    assert bad(ctl("upgrade"), 1, *lines) == ""
    assert json.loads(bad(ctl("upgrade", "--json"), 1, *lines)) == refused
    stub.answers["POST", "/upgrade"] = 409, {"error": "an upgrade is under way"}
    bad(ctl("upgrade"), 1, "an upgrade is under way")


def test_upgrade_to_a_relay_that_does_not_know_the_question(ctl, stub):
    stub.answers["POST", "/upgrade"] = 202, {"ok": True, "process": 7}
    stub.answers["GET", "/upgrade.json"] = 405, {"error": "not with this method"}
    assert good(ctl("upgrade")) == "a program that says no more has taken over\n"


def test_upgrade_does_not_guess(ctl, stub):
    """No end in time, no answer any more, a relay that came before this relayctl: how it ended is not known."""
    stub.answers["POST", "/upgrade"] = 202, {"ok": True, "process": 7}
    stub.answers["GET", "/upgrade.json"] = 200, upgrade_state(7, under_way=True)
    late = "the upgrade has not ended in time (--timeout): "
    bad(ctl("upgrade", "--timeout", "2s"), 3, f"{late}it is still under way")
    stub.answers["GET", "/upgrade.json"] = 200, "SSH"
    bad(ctl("upgrade", "--timeout", "2s"), 3, f"{late}relay's answer has no number of its process")
    stub.answers["POST", "/upgrade"] = 202, {"ok": True}
    bad(ctl("upgrade"), 3, "begun; a relay of this version does not say how it ends, its log does")


def test_reload_waits_and_tells(ctl, stub):
    asked, answer = threading.Event(), threading.Event()

    def slowly():
        asked.set()
        assert answer.wait(CEILING)
        return {"ok": True, "changes": ["feed a: ring 8m -> 16m"]}

    stub.answers["POST", "/reload"] = 200, slowly
    result = []
    thread = threading.Thread(target=lambda: result.append(ctl("reload")))
    thread.start()
    assert asked.wait(CEILING) and not result
    answer.set()
    thread.join()
    assert good(result[0]) == "reloaded\n  feed a: ring 8m -> 16m\n"


def test_reload_tells_all_errors(ctl, stub):
    errors = ["relay.ini:3: unknown key 'rnig'\033[2J", "relay.ini:9: bad size"]
    stub.answers["POST", "/reload"] = 422, {"ok": False, "errors": errors, "error": "nothing is changed"}
    lines = ["relay.ini:3: unknown key 'rnig'\\x1b[2J", errors[1], "nothing is changed"]
    assert bad(ctl("reload"), 1, *lines) == ""
    assert json.loads(bad(ctl("reload", "--json"), 1, *lines)) == {
        "ok": False, "errors": errors, "error": "nothing is changed"}


# What goes wrong.

def test_nobody_there(lab, tmp_path):
    path = tmp_path / "none.sock"
    reason = f"cannot reach relay at {path}: no such socket; is relay running, with its [admin] socket there?"
    assert bad(lab.run_tool("relayctl", "-s", path, "status"), 3, reason) == ""
    assert json.loads(bad(lab.run_tool("relayctl", "-s", path, "feeds", "--json"), 3, reason)) == {"error": reason}
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    bad(lab.run_tool("relayctl", "-s", path, "reload"), 3,
        f"cannot reach relay at {path}: nobody listens; is relay running?")
    bad(lab.run_tool("relayctl", "-s", "/tmp/" + 120 * "x", "status"), 3,
        f"cannot reach relay at /tmp/{120 * 'x'}: the path is too long for a socket")


@needs(another_user)
def test_no_permission(stub, program_for_all):
    os.chmod(stub.path, 0o600)
    closed = os.path.dirname(stub.path)
    os.chmod(closed, 0o700)
    with Terminal([*as_user(NOBODY), program_for_all("relayctl"), "-s", stub.path, "status"]) as terminal:
        assert terminal.end() == 3
        assert terminal.process.stderr.read().decode() == (
            f"relayctl: cannot reach relay at {stub.path}: permission denied; are you in group relay?\n")


@pytest.mark.parametrize("said, reason", [
    (b"", "it closed without an answer"),
    (b"SSH-2.0\r\n", "the answer is not HTTP"),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{}", "the answer was cut short"),
])
def test_not_relay(lab, tmp_path, said, reason):
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve():
            peer = listening.accept()[0]
            with peer:
                peer.recv(4096)
                peer.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        bad(lab.run_tool("relayctl", "-s", path, "status"), 3, f"cannot reach relay at {path}: {reason}")
        thread.join()


def test_no_answer_in_time(lab, tmp_path):
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        bad(lab.run_tool("relayctl", "-s", path, "--timeout", "50ms", "status"), 3,
            f"cannot reach relay at {path}: no answer in time (--timeout)")


def test_interrupted_before_the_answer(tmp_path):
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with subprocess.Popen([BIN / "relayctl", "-s", path, "status"], stderr=subprocess.PIPE, text=True) as asking:
            with listening.accept()[0] as peer:
                peer.recv(4096)
                asking.send_signal(signal.SIGINT)
                assert asking.wait(CEILING) == 3
            assert asking.stderr.read() == f"relayctl: cannot reach relay at {path}: interrupted before its answer\n"


def test_answers_that_are_not_understood(ctl, stub):
    stub.answers["GET", "/status.json"] = 200, {**status(), "version": 2}
    bad(ctl("status"), 3, "relay's status has version 2, expected 1: use the relayctl that came with this relay")
    stub.answers["GET", "/status.json"] = 200, "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")
    bad(ctl("feeds"), 3, "relay's status has version 0, expected 1: use the relayctl that came with this relay")
    del stub.answers["GET", "/status.json"]
    bad(ctl("feeds"), 1, "no /status.json here")
    # Fields of other types, and none at all, are no reason to fail.
    stub.answers["GET", "/status.json"] = 200, {"version": 1, "relay": 5, "feeds": [{"name": 3, "metrics": []}, 7],
                                                "workers": {}, "listeners": None}
    good(ctl("status"))


def test_output_that_cannot_be_written(stub):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([BIN / "relayctl", "-s", stub.path, "status"], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=CEILING, check=False)
    bad(done, 1, "standard output cannot be written")


# top

def test_top_in_a_pipe_is_once(ctl, stub):
    """Of two looks, since a rate needs two; who was not in the first has none yet."""
    def look(sent, *more):
        return {"subscribers": [subscriber(2, lag_bytes=900, sent_bytes=sent), subscriber(1), *more], "total": 2}

    stub.answers["GET", "/subscribers.json"] = 200, answers(look(1 << 20), look((1 << 20) + 50_000_000, subscriber(3)))
    shown = good(ctl("top", "--interval", "100ms"))
    listed = rows(shown, "ID")
    assert [row["ID"] for row in listed] == ["2", "1", "3"] and rows(shown, "FEED")
    assert [row["RATE"] for row in listed][1:] == ["0 B/s", "-"] and re.fullmatch(r"[\d.]+ MB/s", listed[0]["RATE"])
    assert "\033" not in shown and stub.seen[-1] == ("GET", "/subscribers.json", "sort=lag&limit=20")
    stub.answers["GET", "/subscribers.json"] = 200, answers(look(0), look(50_000_000))
    lagging = json.loads(good(ctl("top", "--json", "--interval", "100ms")))["lagging"]["subscribers"]
    assert 1_000_000 < lagging[0]["rate"] <= 500_000_000 and lagging[1]["rate"] == 0


def test_top_fits_a_terminal_of_80(stub):
    """With long names, a full IPv6 address and large numbers nothing but names and addresses is cut."""
    wide = "a-feed-with-a-name-that-is-long-and-longer"
    looks = []

    def living():
        looks.append(1)
        return {"subscribers": [subscriber(1234567, feed=wide, state="blocked", cause="receive_window",
                                           peer="tcp:[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
                                           lag_bytes=123_000_000, lag_ms=999_000, sent_bytes=10**9 * len(looks))],
                "total": 1}

    stub.answers["GET", "/subscribers.json"] = 200, living
    stub.answers["GET", "/status.json"] = 200, status(feeds=(wide,))
    with Terminal([BIN / "relayctl", "-s", stub.path, "top", "--interval", "100ms"], columns=80) as terminal:
        at = terminal.wait(b"GB/s", terminal.wait(b"1234567 "))
        lines = []
        while not all(any(line.startswith(row) for line in lines) for row in ("a-feed", "1234567")):  # a look may be late
            at = terminal.wait(b"\033[H", at)
            page = re.sub(rb"\033\[[0-9;]*[mKJH]", b"", terminal.seen[at:terminal.wait(b"\033[J", at)]).decode()
            lines = page.split("\r\n")
            assert max(map(len, lines)) <= 79, lines
        terminal.type(b"q")
        assert terminal.end() == 0
    feed_row = next(line for line in lines if line.startswith("a-feed"))
    row = next(line for line in lines if line.startswith("1234567"))
    assert feed_row.split()[0].endswith("..") and feed_row.endswith(" 5")
    assert re.fullmatch(r"1234567  a-feed\S*\.\.  \[2001:db8\S*\.\.  +[\d.]+ GB/s  +123 MB  16m 39s  window", row), row


def test_top_lives_on_a_terminal(stub):
    looks = []

    def living():
        looks.append(1)
        return {"subscribers": [subscriber(1000 + len(looks), peer=EVIL)] + [subscriber(n) for n in range(60)],
                "total": 61}

    stub.answers["GET", "/subscribers.json"] = 200, living
    with Terminal([BIN / "relayctl", "-s", stub.path, "top", "--interval", "100ms"], columns=200) as terminal:
        at = terminal.wait(b"\n1001 ")
        at = terminal.wait(EVIL_SHOWN.encode(), at)
        at = terminal.wait(b"1003 ", at)
        asked = [query for _, path, query in stub.seen if path == "/subscribers.json"]
        assert set(asked) == {"sort=lag&limit=24"}
        terminal.resize_running(40, 10)
        page = [b"x" * 200]
        while max(map(len, page)) > 39:  # those of the old size are still on their way
            at = terminal.wait(b"\033[H", at)
            end = terminal.wait(b"\033[J", at)
            page = re.sub(rb"\033\[[0-9;]*[mKJH]", b"", terminal.seen[at:end]).split(b"\r\n")
        assert len(page) <= 10 and max(map(len, page)) == 39
        terminal.type(b"xq")
        assert terminal.end() == 0
        assert terminal.seen.startswith(b"\033[?1049h\033[?25l") and terminal.seen.endswith(b"\033[?25h\033[?1049l")
        assert terminal.modes() == terminal.modes_before


def test_top_is_resized_while_its_terminal_is_slow(stub):
    """What is being written is written to its end."""
    rows_there = 2000  # more than a terminal takes that nobody reads
    stub.answers["GET", "/subscribers.json"] = 200, {"subscribers": [subscriber(n) for n in range(rows_there)],
                                                     "total": rows_there}
    with Terminal([BIN / "relayctl", "-s", stub.path, "top", "--interval", "1h"], columns=200, rows=2 * rows_there) as terminal:
        terminal.wait_held_up()
        for _ in range(3):  # the first one may only end a call that has written something
            terminal.resize_running(200, 10)
            terminal.wait_held_up()
        terminal.wait(f"\n{rows_there - 1} ".encode())
        terminal.type(b"q")
        assert terminal.end() == 0


def test_top_outlives_relay(stub):
    with Terminal([BIN / "relayctl", "-s", stub.path, "top", "--interval", "100ms"]) as terminal:
        at = terminal.wait(b"relay 0.1")
        answers, stub.answers = stub.answers, {}
        at = terminal.wait(b"no /status.json here", at)
        stub.answers = answers
        terminal.wait(b"relay 0.1", at)
        terminal.process.terminate()
        assert terminal.end() == 0
        assert terminal.seen.endswith(b"\033[?25h\033[?1049l")


# doctor

def checks(done):
    found = json.loads(done.stdout)
    assert done.returncode == (1 if found["findings"] else 0) and done.stderr == ""
    assert found["findings"] == sum(one["verdict"] == "finding" for one in found["checks"])
    assert all(bool(one.get("change")) == (one["verdict"] == "finding") for one in found["checks"])
    return {one["name"]: one for one in found["checks"]}


def test_doctor_without_relay(lab, tmp_path):
    done = lab.run_tool("relayctl", "-s", tmp_path / "none", "doctor", "--json")
    found = checks(done)
    assert found["relay"]["verdict"] == "not known"
    assert {found[name]["verdict"] for name in ("vmsplice", "tee", "splice")} == {"ok"}
    text = lab.run_tool("relayctl", "-s", tmp_path / "none", "doctor")
    assert text.returncode == done.returncode
    findings = sum(one["verdict"] == "finding" for one in found.values())
    assert text.stdout.count("  change: ") == text.stdout.count("\nfinding") == findings


@pytest.mark.parametrize("call", ["vmsplice", "tee", "splice"])
def test_doctor_sees_a_refused_call(lab, tmp_path, call):
    env = {**os.environ, **preload(RELAY_REFUSE=f"{call}:EPERM")}
    found = checks(lab.run_tool("relayctl", "-s", tmp_path / "none", "doctor", "--json", env=env))
    assert found[call]["found"] == f"{call}(2) is refused: Operation not permitted"
    assert "SystemCallFilter=" in found[call]["change"]
    assert {found[other]["verdict"] for other in {"vmsplice", "tee", "splice"} - {call}} == {"ok"}


def test_doctor_asks_relay(ctl, stub):
    made = status()
    made["feeds"][0]["metrics"].update(refused_calls=3, engine_fallbacks=40)
    stub.answers["GET", "/status.json"] = 200, made
    stub.answers["GET", "/limits.json"] = 200, {"budget": {"subscribers": 900, "is_by_option": True, "pipes": 10,
                                                           "pipes_wanted": 64}}
    stub.answers["GET", "/config"] = 200, "[listener x]\ncongestion = nosuch\n"
    found = checks(ctl("doctor", "--json"))
    assert found["relay"]["verdict"] == found["relay_subscribers"]["verdict"] == "ok"
    assert found["relay_subscribers"]["found"] == "relay takes at most 900 subscribers; max_subscribers bounds it"
    assert {name for name, one in found.items() if one["verdict"] == "finding" and name.startswith("relay_")} == {
        "relay_calls", "relay_fallbacks", "relay_pipes", "relay_congestion"}
    assert found["relay_memory"]["verdict"] == "ok" and "no limit" in found["relay_memory"]["found"]
    stub.answers["GET", "/limits.json"] = 200, {"budget": {"subscribers": 900, "descriptors": 1024, "heads_bytes": 1 << 20,
                                                           "rings_bytes": 1 << 30, "memory_bytes": 1 << 30}}
    full = checks(ctl("doctor", "--json"))["relay_memory"]
    assert full["verdict"] == "finding" and "MemoryMax=" in full["change"] and "lower ring" in full["change"]
    few = checks(ctl("doctor", "--json"))["relay_subscribers"]
    assert few["verdict"] == "finding" and "LimitNOFILE=1048576" in few["change"]
    assert "modprobe" in found["relay_congestion"]["change"] and "nosuch" in found["relay_congestion"]["change"]
    allowed = open("/proc/sys/net/ipv4/tcp_allowed_congestion_control", encoding="ascii").read().split()[0]
    stub.answers["GET", "/config"] = 200, f"congestion = {allowed}\n"
    assert "relay_congestion" not in checks(ctl("doctor", "--json"))

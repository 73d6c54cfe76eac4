# SPDX-License-Identifier: MIT
"""README.md tells no tale: each command in its fences is run here, or stands in LEFT_OUT with the reason why not."""

import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from relaytest.daemon import BIN, ROOT
from relaytest.first_screen import ENVIRONMENT, Screen, no_other, only_one
from relaytest.ini import feed
from relaytest.loop import CEILING
from relaytest.namespace import Namespace
from relaytest.surroundings import needs, network_namespace, program
from relaytest.terminal import Pipe

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
COMMENT = re.compile(r"(^|\s+)# .*")
INLINE = re.compile(r"`(relay(?:cat|pub|ctl)? -[^`]+)`")


def fences(language):
    return [text for kind, text in FENCE.findall(README) if kind == language]


def commands():
    """One a line, without the comment behind it."""
    lines = (COMMENT.sub("", line).strip() for text in fences("sh") for line in text.splitlines())
    return [line for line in lines if line]


# What is run while make run is at work, and what it has to show: its exit status and a pattern.
PRICE = r"#\d+ [A-Z]+ \d+\.\d\d [+-]\d+\.\d\d\n"
TIME_IS_UP = 28  # curl(1)
BESIDE_MAKE_RUN = {
    "build/relaycat -n 3 tcp:127.0.0.1:7001": (0, rf"([^\n]*{PRICE}){{3}}"),
    "build/relaycat -f -n 3 tcp:127.0.0.1:7002": (0, rf"([^\n]*{PRICE}){{3,}}"),
    "curl -sN -m 1 http://127.0.0.1:7003/demo": (TIME_IS_UP, rf"([^\n]*{PRICE})+"),
    "curl -s http://127.0.0.1:7090/healthz": (0, r"ok\n"),
}

# Run together, beside make run.
HEALTHY = "build/relaycat -f --stats tcp:127.0.0.1:7005 >/dev/null"
SLOW = "build/relaycat -f tcp:127.0.0.1:7005 | (sleep 5; cat >/dev/null)"

# Run with the programs of the build in PATH, beside a relay as its unit starts it.
AS_AN_OPERATOR = {
    "relay -t -c /etc/relay/relay.ini": ({0}, r""),
    "relayctl top": ({0}, r"\ba\b"),
    "relayctl doctor": ({0, 1}, r"(?i)pipe"),
}

INSTALLS = "changes this machine; tests/service and tests/package run it on a machine of their own"
LEFT_OUT = {
    "make run": "test_first_screen.py runs it, and this file does for the commands beside it",
    "make test": "it runs this very test",
    "make install": INSTALLS,
    "systemd-sysusers && systemd-tmpfiles --create && sysctl --system && journalctl --update-catalog": INSTALLS,
    "systemctl daemon-reload && systemctl enable --now relay": INSTALLS,
    "systemctl reload relay": "needs systemd as process 1; tests/service runs it",
    "systemctl restart relay": "needs systemd as process 1; tests/service runs it",
}


def of_this_build(command):
    """As it stands, with the programs of the build that is tested."""
    return re.sub(r"\bbuild/relay", f"{shlex.quote(str(BIN))}/relay", command)


def run(command, *, cwd=ROOT, prefix=list, **environment):
    return subprocess.run(prefix(["bash", "-c", of_this_build(command)]), cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, **ENVIRONMENT, **environment}, timeout=CEILING, check=False)


def test_each_command_is_accounted_for():
    there = commands()
    assert len(there) == len(set(there)), "a command stands twice"
    known = [*BESIDE_MAKE_RUN, HEALTHY, SLOW, *AS_AN_OPERATOR, *LEFT_OUT]
    assert len(known) == len(set(known))
    assert not set(there) - set(known), "neither run here nor in LEFT_OUT"
    assert not set(known) - set(there), "no longer in README.md"


def test_code_stands_in_fences():
    """So that no command escapes: each fence says what is in it, each command is one line, no block is indented."""
    assert {kind for kind, _ in FENCE.findall(README)} <= {"sh", "ini", "text"}
    assert README.count("```") == 2 * len(FENCE.findall(README))
    assert not [line for line in commands() if line.endswith("\\")]
    assert not re.search(r"^\n(    |\t)", FENCE.sub("", README), re.M)


def test_ini_is_right(tmp_path):
    assert fences("ini")
    for text in fences("ini"):
        (tmp_path / "relay.ini").write_text(text, encoding="utf-8")
        done = run("relay -t -c relay.ini", cwd=tmp_path, PATH=f"{BIN}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr


def test_commands_in_sentences():
    found = INLINE.findall(README)
    assert found
    for command in found:
        done = run(command, PATH=f"{BIN}:{os.environ['PATH']}")
        assert done.returncode == 0 and done.stdout, (command, done)


def test_each_figure_has_its_command():
    """That can be run: make help tells of it, or it is a script that knows these options."""
    _, _, table = README.partition("| command |\n")
    rows = re.match(r"\| --- .*\n((?:\|.*\n)+)", table)[1].splitlines()
    told = run("make --no-print-directory help").stdout
    for row in rows:
        found = re.search(r"\| `([^`]+)` \|$", row)
        assert found, row
        program, *words = found[1].split()
        if program == "make":
            assert re.search(rf"^make {words[0]}\s", told, re.M), row
        else:
            said = run(f"{program} --help")
            assert said.returncode == 0, row
            assert not [word for word in words if word.startswith("--") and word not in said.stdout], row


@pytest.fixture
def screen():
    """make run that is ready. Ctrl-C ends it, and nothing is left."""
    with only_one(), Namespace() as inside:
        made = Screen(inside, Pipe)
        with made.shown as shown:
            made.lines()
            yield made
            shown.interrupt()
            assert shown.end() == -signal.SIGINT
            assert not inside.members() and not inside.listening()


@needs(network_namespace)
@needs(no_other)
@needs(program, "curl")
def test_beside_make_run(screen):
    for command, (code, pattern) in BESIDE_MAKE_RUN.items():
        done = run(command, prefix=lambda words: screen.inside.command(*words))
        assert done.returncode == code and re.fullmatch(pattern, done.stdout), (command, done)


@needs(network_namespace)
@needs(no_other)
def test_watch_a_slow_one(screen):
    """It is told what it missed; the healthy one misses nothing meanwhile."""
    with screen.start(of_this_build(HEALTHY)) as healthy, screen.start(of_this_build(SLOW)) as slow:
        healthy.find(rb"[1-9]\d* messages/s +latency p50=")
        missed, since, until = map(int, slow.find(rb"gap: (\d+) messages missed, from (\d+) to (\d+)\b").groups())
        assert missed == until - since + 1 > 0
        for shown in (slow, healthy):
            shown.interrupt()
            shown.end()
        assert b" gaps=0 missed=0 errors=0" in healthy.seen, healthy.seen[-300:]


@pytest.mark.parametrize("command", AS_AN_OPERATOR)
def test_as_an_operator(lab, command):
    """As a unit starts relay: the environment says where the admin socket is. /etc/relay has relay.ini."""
    codes, pattern = AS_AN_OPERATOR[command]
    environment = {"RUNTIME_DIRECTORY": str(lab.directory), "PATH": f"{BIN}:{os.environ['PATH']}"}
    lab.start(feed("a"), env=environment)
    (lab.directory / "etc").mkdir()
    shutil.copy(ROOT / "relay.ini.example", lab.directory / "etc/relay.ini")
    done = run(command.replace("/etc/relay", f"{lab.directory}/etc"), **environment)
    assert done.returncode in codes and re.search(pattern, done.stdout + done.stderr), done

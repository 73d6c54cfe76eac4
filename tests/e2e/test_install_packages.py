# SPDX-License-Identifier: MIT
"""tests/install-packages with programs that play the parts of apt-get, sudo and the like: what a newcomer sees of it."""

import os
import shutil
import stat

import pytest

from relaytest.daemon import ROOT
from relaytest.first_screen import in_terminal
from relaytest.terminal import Pipe

MISSING = ["libev-dev", "libjansson-dev"]
NOISE = "Unpacking this and that"

# Each part is played by a script. What would change this machine only says that it was called.
PARTS = {
    "dpkg-query": """for name; do case $name in libev-dev | libjansson-dev | -*) ;; *) echo "ii $name" ;; esac; done""",
    "id": "echo 1000",
    "apt-get": f"""case " $* " in
*" update "*) [ -z "${{UPDATE-}}" ] || eval "$UPDATE" ;;
*" -s "*) [ -z "${{FIND-}}" ] || eval "$FIND"; printf 'Inst one\\nInst two\\nInst three\\nConf one\\n' ;;
*) echo '{NOISE}'; [ -z "${{INSTALL-}}" ] || eval "$INSTALL" ;;
esac
echo "apt-get $*" >>"$PART_LOG" """,
    "sudo": """if [ -n "${PASSWORD-}" ]; then
	[ ! -e "$PART_LOG.asked" ] || asked=yes
	if [ -z "${asked-}" ]; then
		printf '[sudo] password: ' >/dev/tty
		read -r given </dev/tty
		[ "$given" = "$PASSWORD" ] || { echo 'sudo: 3 incorrect password attempts' >&2; exit 1; }
		: >"$PART_LOG.asked"
	fi
fi
exec "$@" """,
    **{name: f'echo "{name} $*" >>"$PART_LOG"' for name in ("install", "systemctl", "update-rc.d")},
    # Of all that it removes only the policy is not its own.
    "rm": 'case $* in */policy-rc.d) echo "rm $*" >>"$PART_LOG" ;; *) exec /bin/rm "$@" ;; esac',
}


class Machine:
    """A tree with the script in it, and the parts in front of PATH."""

    def __init__(self, directory):
        self.tree = directory / "tree"
        self.parts = directory / "parts"
        self.called = directory / "called"
        self.log = self.tree / "build/install-packages.log"
        (self.tree / "tests").mkdir(parents=True)
        self.parts.mkdir()
        for name in ("install-packages", "packages"):
            shutil.copy(ROOT / "tests" / name, self.tree / "tests")
        for name, text in PARTS.items():
            self.play(name, text)

    def play(self, name, text):
        part = self.parts / name
        part.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        part.chmod(part.stat().st_mode | stat.S_IXUSR)

    def start(self, kind=Pipe, path=None, **environment):
        path = path or f"{self.parts}:{os.environ['PATH']}"
        return kind([self.tree / "tests/install-packages", "build"],
                    env={"PATH": path, "PART_LOG": str(self.called), **environment})

    def calls(self):
        return self.called.read_text(encoding="utf-8").splitlines() if self.called.exists() else []


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def ended(shown):
    """Its exit status and its lines."""
    with shown:
        return shown.end(), shown.seen.decode().splitlines()


def by_hand(names):
    return f"    apt-get update && apt-get install --no-install-recommends {' '.join(names)}"


def test_one_line_a_step(machine):
    code, lines = ended(machine.start())
    assert code == 0, lines
    assert lines[:2] == [f"Missing packages: {' '.join(MISSING)}",
                         "Installing them takes root: sudo may ask for your password."]
    assert [line.rstrip("0123456789 s") for line in lines[2:]] == [
        "  reading the lists of packages ...", "  installing 3 packages: the missing ones, and what they need ..."]
    assert NOISE in machine.log.read_text(encoding="utf-8")
    assert [call.split()[-1] for call in machine.calls() if call.startswith("apt-get ")] == ["update", *MISSING[-1:] * 2]


def test_nothing_is_missing(machine):
    machine.play("dpkg-query", 'for name; do echo "ii $name"; done')
    assert ended(machine.start()) == (0, [])
    assert not machine.log.exists()


def test_no_network(machine):
    """apt-get update ends well without; what it could not fetch is told all the same."""
    code, lines = ended(machine.start(UPDATE='echo "W: Failed to fetch http://mirror/: no such host"',
                                      FIND='echo "E: Unable to locate package libev-dev" >&2; exit 100'))
    assert code == 1
    assert lines[-5:] == ["error: apt-get does not find the packages, or finds that they do not fit this system",
                          "    W: Failed to fetch http://mirror/: no such host",
                          "    E: Unable to locate package libev-dev",
                          "The whole output is in build/install-packages.log. To do it by hand, as root:",
                          by_hand(MISSING)]


@pytest.mark.parametrize("phase", ["UPDATE", "INSTALL"])
def test_apt_get_fails(machine, phase):
    code, lines = ended(machine.start(**{phase: 'echo "E: dpkg was interrupted" >&2; exit 100'}))
    assert code == 1
    assert " ... failed" in lines[-5]
    assert lines[-4:] == ["error: the packages could not be installed", "    E: dpkg was interrupted",
                          "The whole output is in build/install-packages.log. To do it by hand, as root:",
                          by_hand(MISSING)]


def test_neither_root_nor_sudo(machine):
    """Only what the script needs is found: no sudo."""
    (machine.parts / "sudo").unlink()
    for name in ("cat", "date", "dirname", "grep", "head", "mkdir", "sed"):
        (machine.parts / name).symlink_to(shutil.which(name))
    code, lines = ended(machine.start(path=str(machine.parts)))
    assert code == 1
    assert lines[1] == "error: there is neither root nor sudo to install packages"
    assert lines[-1] == by_hand(MISSING)
    assert not machine.calls()


def test_sudo_asks_for_a_password(machine):
    with machine.start(in_terminal, PASSWORD="open sesame") as shown:
        shown.wait(b"[sudo] password: ")
        assert b" ... " not in shown.seen
        shown.type(b"open sesame\n")
        assert shown.end() == 0, shown.seen
        assert shown.seen.count(b" s\r\n") == 2


def test_sudo_refuses(machine):
    with machine.start(in_terminal, PASSWORD="open sesame") as shown:
        shown.wait(b"[sudo] password: ")
        shown.type(b"open barley\n")
        assert shown.end() == 1
        assert b"error: sudo did not allow it" in shown.seen
    assert not machine.calls()


def test_ctrl_c(machine):
    """apt-get is told by the terminal as well; the policy that keeps services from starting is taken back."""
    with machine.start(in_terminal, INSTALL='echo begun >>"$PART_LOG"; read -r never </dev/tty') as shown:
        shown.wait(b"installing 3 packages")
        while "begun" not in machine.calls():
            assert shown.process.poll() is None, shown.seen
            shown.read(0.01)
        shown.interrupt()
        assert shown.end() == 130
        assert shown.seen.endswith(b"Interrupted. Run it again to go on.\r\n"), shown.seen
    called = [call.partition(" ")[0] for call in machine.calls()]
    assert called.count("install") == called.count("rm")

# SPDX-License-Identifier: MIT
"""What the programs say about themselves, for the checks of pages and completions."""

import os
import re
import subprocess

PROGRAMS = {"relay": 8, "relaycat": 1, "relaypub": 1, "relayctl": 1}
OPTION = re.compile(r"(?<![\w-])(--?[a-zA-Z][a-z-]*)")


def output(program, *arguments):
    path = os.path.join(os.environ["RELAY_BIN_DIR"], program)
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout


def commands():
    """Of relayctl: those that begin a line of --help."""
    return set(re.findall(r"^  ([a-z][a-z-]*) .*  ", output("relayctl", "--help"), re.M))


def options(program):
    """{"-f", "--framed", ...}: those that begin a line of --help."""
    found = set()
    for line in output(program, "--help").splitlines():
        if match := re.match(r" +(-.*?)(?:  |$)", line):
            found |= set(OPTION.findall(match[1]))
    assert found, program
    return found

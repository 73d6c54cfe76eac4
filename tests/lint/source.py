# SPDX-License-Identifier: MIT
"""The tree as the checks in this folder see it. Paths are relative to the top, where the checks run."""

import functools
import os
import re
import sys

NOT_SOURCE = {".git", "build", "__pycache__", ".pytest_cache"}
NOT_TEXT = (".png",)
COMMENT_OR_LITERAL = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL
)


def files(*folders, endings=("",)):
    """Files under the folders (default: the whole tree) whose names end so, sorted."""
    found = []
    for folder in folders or (".",):
        for at, below, names in os.walk(folder):
            below[:] = [name for name in below if name not in NOT_SOURCE]
            found += [os.path.join(at, name).removeprefix("./") for name in names
                      if name not in NOT_SOURCE and not name.endswith(NOT_TEXT)]
    return sorted(path for path in found if path.endswith(endings) and not os.path.islink(path))


def c_files(*folders):
    return files(*folders, endings=(".c", ".h", ".def"))


@functools.cache
def text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


@functools.cache
def code_lines(path):
    """(number, line) with comments and the inside of literals blanked, but include lines as they are."""
    whole = text(path)
    blank = COMMENT_OR_LITERAL.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), whole)
    return [(number, raw if re.match(r"\s*#\s*include\b", code) else code)
            for number, (raw, code) in enumerate(zip(whole.split("\n"), blank.split("\n")), 1)]


class Findings:
    """Prints each finding; finish() ends the check with the right exit status."""

    def __init__(self):
        self.count = 0

    def add(self, path, line, found, expected):
        self.count += 1
        print(f"{path}:{line}: {found}; expected {expected}")

    def finish(self):
        sys.exit(1 if self.count else 0)

# SPDX-License-Identifier: MIT
"""Some of the faults of the torture sweep (tests/torture), of each scenario; `make torture` makes all."""

import subprocess
import sys

import pytest

from relaytest.daemon import BIN, IS_SANITIZED, ROOT
from relaytest.surroundings import needs, tracing

sys.path.insert(0, str(ROOT / "tests"))

from torture.scenarios import NAMES  # noqa: E402


def faults():
    if IS_SANITIZED:
        return "no faults: a build with sanitizers has an allocator of its own"
    if BIN.name.endswith("coverage"):
        return "no faults: what counts lines does not look whether it has got its memory (libgcov)"
    return tracing()


SHARES = {"crash": "401"}  # each waits until another crash would be survived


@needs(faults)
@pytest.mark.parametrize("name", NAMES)
def test_faults_are_borne(name):
    command = (sys.executable, str(ROOT / "tests/torture/run"), "--only", f"^{name}$", "--share", SHARES.get(name, "101"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr

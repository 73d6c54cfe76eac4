# SPDX-License-Identifier: MIT
"""The stateful fuzzer of tests/model for a minute, and with the seeds that once found something for some seconds each."""

import subprocess
import sys

import pytest

from relaytest.daemon import ROOT


def play(*words):
    done = subprocess.run([sys.executable, str(ROOT / "tests/model/run"), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("seed", ["11", "12", "13"])
def test_play(seed):
    play("--seed", seed, "--seconds", "20")


def test_findings():
    play("--findings", "--seconds", "5")

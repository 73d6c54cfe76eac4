# SPDX-License-Identifier: MIT
"""A disk that does not answer as long as a file is there (RELAY_HANG of tests/fault/refuse.c)."""

from .daemon import POLL


def await_hang(lab, says_so):
    """Until a call hangs. A disk that is only slow does not count, which relay itself could not tell apart."""
    lab.loop.run(lambda: says_so.stat().st_size > 0, what="the disk to hang", poll=POLL)

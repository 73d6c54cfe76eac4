# SPDX-License-Identifier: MIT
"""History and the page cache: what is old leaves it, and what comes from the disk holds nobody else up."""

import pytest

from relaytest.daemon import POLL
from relaytest.ini import feed
from relaytest.page_cache import cached_bytes
from relaytest.stream import MIB, script
from relaytest.surroundings import direct_io, needs, program

KEPT = 64 * MIB  # what relay leaves there, HISTORY_CACHED_BYTES
LOSSLESS = {"framing": "u32be", "on_slow": "wait", "on_history_lag": "wait", "stall_timeout": "1h"}


@pytest.fixture(autouse=True)
def needs_a_disk(tmp_path):
    """A file system in memory has nowhere to drop its files to."""
    if why := direct_io(tmp_path):
        pytest.skip(why)


def files_of(folder):
    """All that holds packets, the oldest first."""
    return sorted(folder.glob("*.rly"))


def publish(relay, made):
    before = relay.feed("a")["in_messages"]
    publisher = relay.publish("a", made.wire)
    publisher.flush()
    publisher.close()
    relay.wait("a", in_messages=before + made.count)


@needs(program, "fincore")
@pytest.mark.parametrize("size, sync", [("8m", "1s"), ("1g", "0"), ("100m", "1h")])
def test_what_is_old_is_dropped_behind_the_recorder(lab, size, sync):
    """However long a file is, and whether or not the disk is ever waited for."""
    folder = lab.directory / "history"
    relay = lab.start(feed("a", history=folder, history_file=size, history_sync=sync, **LOSSLESS))
    made = script("u32be", (MIB,) * 48, 5)
    for _ in range(3):
        publish(relay, made)

    def cached():
        return [cached_bytes(path) for path in files_of(folder)]

    def is_dropped():
        return sum(path.stat().st_size for path in files_of(folder)) >= 144 * MIB and sum(cached()) < KEPT + 6 * MIB

    lab.loop.run(is_dropped, what=lambda: f"what is old to go: {cached()}", poll=POLL)
    assert sum(cached()) > KEPT - 4 * MIB and cached()[-1] > 0, cached()
    if size == "8m":
        assert sum(cached()[:8]) == 0, cached()

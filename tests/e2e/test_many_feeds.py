# SPDX-License-Identifier: MIT
"""What a feed costs does not depend on how many there are: descriptors, and how often threads had to wait for one another."""

import os
from pathlib import Path

import pytest

FEW, MANY = 20, 200
# For each feed, in four workers. It was 70 and 18 when the control thread went from worker to worker.
START_WAITS, RELOAD_WAITS = 30, 12


def sections(lab, count, **options):
    """Feeds with an http listener for all of them."""
    made = {"relay": {"workers": 4},
            "listener web": {"feed": "all", "listen": "tcp:127.0.0.1:0", "format": "http"}}
    for i in range(count):
        made[f"feed f{i}"] = {"ingest": f"listen unix:{lab.directory}/{count}-{i}", "framing": "line", **options}
    return made


def descriptors(relay):
    return len(os.listdir(f"/proc/{relay.process.pid}/fd"))


def waits(relay):
    """How often a thread gave its processor away by itself: the control thread for each call into a worker, and a worker
    for each task."""
    total = 0
    for task in Path(f"/proc/{relay.process.pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total


@pytest.mark.parametrize("engine", ["auto", "copy"])
def test_descriptors(lab, engine):
    """At rest: where it listens, and the one that listeners keep for when there are no more. With a publisher its socket,
    and nothing more while nobody reads."""
    few, many = (lab.start(sections(lab, count, engine=engine), name=f"{count}.ini") for count in (FEW, MANY))
    assert descriptors(many) - descriptors(few) == 2 * (MANY - FEW)
    before = descriptors(few)
    publishers = [few.publish(f"f{i}", b"line\n" * 1000) for i in range(FEW)]
    for i in range(FEW):
        few.wait(f"f{i}", in_messages=1000, pipes_open=0)
    assert descriptors(few) == before + FEW
    for publisher in publishers:
        publisher.close()


def test_start_and_reload(lab):
    """Each feed more costs the same few calls into the workers: at a start, and at a reload that changes all."""
    spent = []
    for count in (FEW, MANY):
        relay = lab.start(sections(lab, count), name=f"{count}.ini")
        start = waits(relay)
        relay.wait_log("reloaded", relay.reload(sections(lab, count, ring="4m")))
        spent.append((start, waits(relay) - start))
    (start_few, reload_few), (start_many, reload_many) = spent
    assert (start_many - start_few) / (MANY - FEW) <= START_WAITS, spent
    assert (reload_many - reload_few) / (MANY - FEW) <= RELOAD_WAITS, spent

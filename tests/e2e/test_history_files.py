# SPDX-License-Identifier: MIT
"""The files of a history by themselves: verified, exported, played and published again."""

import json
import random
import re
import signal
import subprocess
from datetime import datetime, timezone

import pytest

from relaytest.daemon import BIN
from relaytest.ini import feed
from relaytest.stream import script

MADE = script("u32be", (70_000, 300, 4096, 1, 200_000) * 8, 2)
ADMIN = {"admin": {"listen": "tcp:127.0.0.1:0"}}


def begin(lab, **options):
    folder = lab.directory / "history"
    sections = feed("a", framing="u32be", on_slow="wait", on_history_lag="wait", history=folder, **options)
    return lab.start(sections | ADMIN), folder, sections


def publish(relay, made=MADE):
    before = relay.feed("a")["in_messages"]
    publisher = relay.publish("a", made.wire)
    publisher.flush()
    publisher.close()
    relay.wait("a", in_messages=before + made.count, source_up=0)


def stop(relay, how=signal.SIGTERM):
    relay.signal(how)
    relay.wait_exit()


def relayctl(lab, *words, relay=None):
    where = ["-s", "http://" + relay.address["admin listen"].removeprefix("tcp:")] if relay else []
    return lab.run_tool("relayctl", *where, "history", *words)


def verify(lab, folder):
    """The exit code, and what is wrong: (file, from, to, words)."""
    done = relayctl(lab, "verify", folder, "--json")
    wrong = [(one["file"], one["wrong_from"], one["wrong_to"], one["wrong"]) for one in json.loads(done.stdout)
             if one["wrong"]]
    return done.returncode, wrong


def play(path, *options):
    """The payload; relaycat finds nothing missing, twice or cut."""
    done = subprocess.run([BIN / "relaycat", "--verify", *options, path], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_what_was_written_is_verified(lab):
    """While it is written, and when relay has stopped."""
    relay, folder, _ = begin(lab, history_file="1m", history_size="1g")
    publish(relay)
    done = relayctl(lab, "verify", "--feed", "a", relay=relay)
    assert done.returncode == 0, done.stdout + done.stderr
    publish(relay)
    stop(relay)
    assert verify(lab, folder) == (0, [])
    done = relayctl(lab, "verify", folder, "--json")
    files = json.loads(done.stdout)
    assert len(files) > 2 and sum(one["messages"] for one in files) == 2 * MADE.count


def test_the_first_wrong_byte_is_named(lab):
    """A byte is changed at 12 places of the files, and 4 of the indexes."""
    relay, folder, _ = begin(lab)
    publish(relay)
    stop(relay)
    choose = random.Random(15)
    # Of the head of an index, only its first bytes say anything.
    for kind, first, times in (("rly", 0, 12), ("idx", 32, 4)):
        path = folder / f"0000000001.{kind}"
        good = path.read_bytes()
        for at in choose.sample(range(first, len(good)), times):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1 << choose.randrange(8)]) + good[at + 1:])
            code, wrong = verify(lab, folder)
            assert code == 1 and len(wrong) == 1, f"{kind} {at}"
            assert kind == "idx" or wrong[0][1] <= at <= wrong[0][2], f"{at}: {wrong}"
        path.write_bytes(good)
    (folder / "0000000001.rly").write_bytes((folder / "0000000001.rly").read_bytes()[:-1])
    assert verify(lab, folder)[0] == 1
    (folder / "0000000001.idx").unlink()
    assert "has no index" in verify(lab, folder)[1][0][3]


def test_what_came_between_two_times_is_exported(lab):
    """relaycat plays it, and relay publishes it again, with the numbers it had."""
    relay, folder, _ = begin(lab, history_file="1m", history_size="1g")
    parts = [script("u32be", (1000 * part, 50_000) * 40, 2) for part in (1, 2, 3)]
    times = []
    for part in parts:
        times.append(now())
        publish(relay, part)
    out = lab.directory / "part.rly"
    done = relayctl(lab, "export", "--feed", "a", "--since", times[1], "--until", times[2], out, relay=relay)
    assert done.returncode == 0, done.stderr
    stop(relay)
    assert play(out, "--framing", "u32be") == parts[1].payload

    again = lab.start(feed("b", f"file:{out}", framing="relay", start_subscribers=1), name="again.ini")
    reader = again.subscribe("b-framed", script("u32be", (1,), 2), same_session=False, paused=True)
    again.wait("b", in_messages=parts[1].count)
    assert again.feed("b")["source_missed"] == 0
    reader.close()

    whole = lab.directory / "whole.rly"
    assert relayctl(lab, "export", whole, folder).returncode == 0
    assert play(whole) == b"".join(part.payload for part in parts)


def test_a_session_ends_in_an_export(lab):
    """A kill begins a new one; relaycat takes both for whole."""
    relay, folder, sections = begin(lab)
    publish(relay)
    lab.loop.run(lambda: json.loads(relayctl(lab, "--json", "--feed", "a", relay=relay).stdout)[0]["history"]["lag_messages"] == 0,
                 what="the recorder", poll=0.05)
    stop(relay, signal.SIGKILL)
    relay = lab.start(sections)
    publish(relay)
    stop(relay)
    out = lab.directory / "both.rly"
    assert relayctl(lab, "export", out, folder).returncode == 0
    assert play(out) == 2 * MADE.payload


@pytest.mark.parametrize("words, said", [
    (("export", "there", "FOLDER"), "there: File exists"),
    (("export", "new", "nowhere"), "nowhere: No such file"),
    (("export", "new", "FOLDER", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"), "nothing was recorded then"),
    (("export", "new"), "expected --feed FEED, or a FOLDER"),
    (("export", "new", "FOLDER", "--since", "yesterday"), "neither a time"),
    (("verify", "nowhere"), "nowhere: No such file"),
    (("verify", "FOLDER", "--feed", "a"), "--feed and .* both say"),
    (("verify", "FOLDER", "--since", "-15m"), "no time"),
    (("mend", "FOLDER"), "expected verify"),
])
def test_what_cannot_be_done_is_said(lab, words, said):
    relay, folder, _ = begin(lab)
    publish(relay)
    stop(relay)
    (lab.directory / "there").write_text("mine")
    done = relayctl(lab, *(folder if word == "FOLDER" else lab.directory / word if word in ("there", "new", "nowhere") else word
                           for word in words))
    assert done.returncode in (1, 2)
    assert re.search(said, done.stderr), done.stderr
    assert (lab.directory / "there").read_text() == "mine" and not (lab.directory / "new").exists()

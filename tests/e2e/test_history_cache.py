# SPDX-License-Identifier: MIT
"""History and the page cache: what is old leaves it, and what comes from the disk holds nobody else up."""

import contextlib
import json
import os
import signal
import socket
import subprocess

import pytest

from relaytest import address
from relaytest.daemon import POLL, SLOW_DISK, preload
from relaytest.hanging_disk import await_hang
from relaytest.ini import TIGHT, feed
from relaytest.little_memory import little_memory
from relaytest.loop import CEILING
from relaytest.page_cache import Witness, bring_to_disk, cached_bytes, cached_share, drop_from_cache
from relaytest.stream import KIB, MIB, script, text_script
from relaytest.surroundings import direct_io, memory_cgroup, needs, program, read_at_once
from relaytest.web import Answer, FramedWebSubscriber, asked, everything, request
from test_history import told

KEPT = 64 * MIB  # what relay leaves there, HISTORY_CACHED_BYTES
LOSSLESS = {"framing": "u32be", "on_slow": "wait", "on_history_lag": "wait", "stall_timeout": "1h"}

pytestmark = pytest.mark.disk


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


# Neither who has arrived in the ring nor the recorder skips.
RING = {"ring": "128k", "segment": "64k", "grace": "0"}


def served(lab, name, **options):
    """A feed with a history and a listener, which is named after it."""
    return {**feed(name, **{"history": lab.directory / name, **RING, **LOSSLESS, **options}),
            f"listener web-{name}": {"feed": name, "listen": "tcp:127.0.0.1:0", "format": "http", **TIGHT}}


def drain(relay, wanted):
    """So many bytes of the history, from the first one on, which are thrown away: MSG_TRUNC on TCP (tcp(7), Linux)."""
    room = bytearray(MIB)
    with address.connect(relay.address["listener web-a"]) as sock:
        # What waits there stays in the page cache: on one machine, both ends have the same pages. A large one would
        # acknowledge late what relay's small one holds: less than two segments, 40 ms for each.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
        sock.settimeout(CEILING)
        sock.sendall(request("/a?format=framed&from=0"))
        while wanted > 0:
            count = sock.recv_into(room, MIB, socket.MSG_TRUNC)
            assert count, f"{wanted} bytes are missing"
            wanted -= count


@needs(program, "fincore")
@pytest.mark.parametrize("size, sync", [("8m", "1s"), ("1g", "0"), ("100m", "1h")])
def test_what_is_old_is_dropped_behind_the_recorder(lab, size, sync):
    """However long a file is, and whether or not the disk is ever waited for. What a reader brings in goes again behind
    it, and what was there before stays."""
    folder = lab.directory / "history"
    witness = Witness(lab.directory / "witness")
    relay = lab.start(served(lab, "a", history=folder, history_file=size, history_sync=sync, ring="8m", segment="512k"))
    made = script("u32be", (MIB,) * 48, 5)
    for _ in range(3):
        publish(relay, made)

    def cached():
        return [cached_bytes(path) for path in files_of(folder)]

    def is_dropped():
        return sum(path.stat().st_size for path in files_of(folder)) >= 144 * MIB and sum(cached()) < KEPT + 6 * MIB

    lab.loop.run(is_dropped, what=lambda: f"what is old to go: {cached()}", poll=POLL)
    kept = cached()
    if not lab.lacks(witness.why_not):
        assert sum(kept) > KEPT - 4 * MIB and kept[-1] > 0, kept
    there = 0
    if size == "8m":
        assert sum(cached()[:8]) == 0, cached()
        there = len(files_of(folder)[2].read_bytes())
    drain(relay, 144 * MIB)
    lab.loop.run(lambda: sum(cached()) < KEPT + there + 6 * MIB, what=lambda: f"what was read to go: {cached()}", poll=POLL)
    kept = cached()
    if not lab.lacks(witness.why_not):
        assert sum(kept) > KEPT + there - 4 * MIB, kept
    for path in files_of(folder):  # a busy disk needs longer than relay would wait for it at its end
        bring_to_disk(path)


@needs(program, "fincore")
@needs(memory_cgroup)
def test_what_others_have_in_the_page_cache_stays(lab):
    """Replays go by, out of the disk: six times as much as relay and they may fill together."""
    folder, others = lab.directory / "a", lab.directory / "others"
    witness = Witness(lab.directory / "witness")
    relay = lab.start(served(lab, "a", history_file="8m", ring="8m", segment="512k"))
    made = script("u32be", (MIB,) * 64, 9)
    for _ in range(2):
        publish(relay, made)

    def is_dropped():
        files = files_of(folder)
        return sum(path.stat().st_size for path in files) >= 128 * MIB and sum(map(cached_bytes, files)) < KEPT + 6 * MIB

    lab.loop.run(is_dropped, what="what is old to go", poll=POLL)
    others.write_bytes(os.urandom(MIB) * 12)
    drop_from_cache(others)
    with little_memory(32 * MIB) as members:
        members.write_text(str(relay.process.pid), encoding="ascii")
        subprocess.run(["sh", "-c", 'echo $$ >"$0" && cat "$1" >/dev/null', members, others], check=True)
        assert cached_share(others) == 1
        for _ in range(3):
            drain(relay, 64 * MIB)
            kept = cached_share(others)
            assert kept > 0.95 or lab.lacks(witness.why_not), kept


def record(lab, relay, name, made):
    """All of it is in files, and on the disk."""
    publisher = relay.publish(name, made.wire)
    publisher.flush()
    publisher.close()
    lab.loop.run(lambda: sum(path.stat().st_size for path in files_of(lab.directory / name)) > len(made.payload),
                 what="the recorder", poll=POLL)


def replay(relay, name, made, **options):
    return relay.subscribe(f"web-{name}", made, kind=FramedWebSubscriber, path=f"/{name}?format=framed&from=0", base=1,
                           **options)


@needs(program, "fincore")
def test_from_a_cold_disk_in_every_format(lab):
    """Small packets that are gathered, and large ones that are sent out of the file."""
    made = script("u32be", (300, 70_000, 5, 300_000) * 60, 6)
    relay = lab.start(served(lab, "a", history_file="2m"))
    record(lab, relay, "a", made)
    for path in files_of(lab.directory / "a"):
        drop_from_cache(path)
    readers = [relay.subscribe("web-a", made, kind=kind, **asked(kind, options, "from=0"))
               for kind, options in everything("u32be")]
    relay.run_until_done(readers)
    assert relay.feed("a")["replayed_bytes"] > len(made.payload)


def unanswered_ms(lab, relay):
    where = relay.address["admin listen"].removeprefix("tcp:")
    done = lab.run_tool("relayctl", "-s", f"http://{where}", "--json", "history", "--feed", "a")
    if "once a second is enough" in done.stderr:
        return 0
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)[0]["history"]["unanswered_ms"]


@contextlib.contextmanager
def hanging(lab, **rules):
    """A relay whose disk does not answer who reads from it, as long as a file says so; a reader of feed a who waits for the
    disk, one of feed b who stands still and does not need it, and both scripts."""
    says_so = lab.memory / "disk-hangs"
    made = {"a": script("u32be", (64 * KIB,) * 200, 7), "b": script("u32be", (64 * KIB,) * 100, 8)}
    relay = lab.start({**served(lab, "a", history_file="1m"), **served(lab, "b", history_file="64m"),
                       "admin": {"listen": "tcp:127.0.0.1:0"}},
                      env=preload(RELAY_HANG=f"pread:{says_so}:{lab.directory / 'a'}", **rules))
    readers = {}
    for name, one in made.items():
        record(lab, relay, name, one)
        readers[name] = replay(relay, name, one, paused=True)
        relay.wait(name, subscribers_replaying=1)
    for path in files_of(lab.directory / "a")[1:]:
        drop_from_cache(path)
    says_so.touch()
    readers["a"].resume()
    await_hang(lab, says_so)
    # So long only a reader waits: the disk does answer who writes.
    lab.loop.run(lambda: unanswered_ms(lab, relay) > 2000, what="a reader to wait for the disk", poll=POLL)
    yield relay, readers, says_so


@needs(program, "fincore")
@pytest.mark.parametrize("refused", ["", "mincore:EPERM"])
def test_a_disk_that_hangs_holds_up_only_who_reads_from_it(lab, refused):
    """Another reader in the same worker goes on.  Once the disk answers, nothing is missing. So also where a filter of
    system calls refuses to tell what is in the page cache."""
    if refused and (why := read_at_once(lab.directory)):
        pytest.skip(why)
    with hanging(lab, **({"RELAY_REFUSE": refused} if refused else {})) as (relay, readers, says_so):
        readers["b"].resume()
        relay.run_until_done([readers["b"]])
        assert not readers["a"].done
        says_so.unlink()
        relay.run_until_done([readers["a"]])


@needs(program, "fincore")
def test_an_upgrade_is_refused_while_somebody_waits_for_the_disk(lab):
    with hanging(lab) as (relay, readers, says_so):
        relay.expect("upgrade failed").upgrade(SLOW_DISK + ".*nothing has changed")
        says_so.unlink()
        for reader in readers.values():
            reader.resume()
        relay.run_until_done(list(readers.values()))


@needs(program, "fincore")
def test_a_stop_does_not_wait_for_who_waits_for_the_disk(lab):
    with hanging(lab) as (relay, _, _):
        relay.expect("history is left as a crash would leave it")
        relay.signal(signal.SIGTERM)
        assert relay.wait_exit() == 0
        relay.wait_log("history is left as a crash would leave it feed=a ")


def hung(lab):
    """A relay whose disk does not answer who reads from it. Half of feed a is in files. A reader of feed b, who began before,
    stands still and does not need the disk. Both scripts."""
    says_so = lab.memory / "disk-hangs"
    made = {"a": text_script((1000, 20_000) * 100, 7), "b": script("u32be", (64 * KIB,) * 50, 8)}
    both = {**served(lab, "a", framing="line"), **served(lab, "b"), "admin": {"listen": "tcp:127.0.0.1:0"}}
    both["listener web-a"]["max_age"] = "1h"
    relay = lab.start(both, env=preload(RELAY_HANG=f"pread:{says_so}:{lab.directory / 'a'}"))
    publisher = relay.publish("a", made["a"].wire[:made["a"].ends[99]])
    relay.wait("a", in_messages=100)
    record(lab, relay, "b", made["b"])
    goes_on = replay(relay, "b", made["b"], paused=True)
    relay.wait("b", subscribers_replaying=1)
    lab.loop.run(lambda: told(lab, relay)["lag_messages"] == 0, what="the recorder", poll=POLL)
    says_so.touch()
    return relay, made, publisher, goes_on, says_so


def begin(lab, relay, made, says_so):
    """In each format, by number and by time."""
    late = [relay.subscribe("web-a", made, kind=kind, **asked(kind, options, wish))
            for kind, options in everything("line") for wish in ("from=0", "since=-30m")]
    await_hang(lab, says_so)
    return late


def test_who_begins_on_a_disk_that_hangs_holds_up_nobody_else(lab):
    """The other reader goes on, and the recorder. Once the disk answers, they begin, and nothing is missing."""
    relay, made, publisher, goes_on, says_so = hung(lab)
    late = begin(lab, relay, made["a"], says_so)
    goes_on.resume()
    relay.run_until_done([goes_on])
    publisher.send(made["a"].wire[made["a"].ends[99]:])
    lab.loop.run(lambda: told(lab, relay)["next_seq"] == 201, what="the recorder", poll=POLL)
    assert relay.feed("a")["subscribers_replaying"] == 0
    assert not any(one.received for one in late)
    says_so.unlink()
    relay.run_until_done(late)


def test_an_upgrade_while_some_begin(lab):
    """The disk answers one of them then; the others have not been looked up yet."""
    relay, made, publisher, goes_on, says_so = hung(lab)
    late = begin(lab, relay, made["a"], says_so)
    relay.upgrade(once_under_way=says_so.unlink)
    publisher.send(made["a"].wire[made["a"].ends[99]:])
    goes_on.resume()
    relay.run_until_done([goes_on, *late])


@pytest.mark.parametrize("gone", ["listener web-a", "feed a"])
def test_what_goes_while_some_begin(lab, gone):
    """They are told so at once, however long the disk does not answer."""
    relay, _, publisher, goes_on, says_so = hung(lab)
    late = [Answer(relay, "web-a", request(f"/a?{wish}")) for wish in ("from=0", "since=-30m")]
    await_hang(lab, says_so)
    relay.expect("history is left as a crash would leave it")
    left = {name: options for name, options in relay.sections.items()
            if gone not in (name, f"feed {options.get('feed')}")}
    since = relay.reload(left)
    for one in late:
        code, fields, body = one.wait()
        assert code == 503 and "retry-after" in fields and "no longer has it" in body, (code, fields, body)
    relay.wait_log("reloaded", since)
    publisher.close()
    says_so.unlink()
    goes_on.resume()
    relay.run_until_done([goes_on])

# SPDX-License-Identifier: MIT
"""history_sync = packet: subscribers get what is on the disk, and nothing else. The disk is slow, silent, full or broken,
relay is upgraded or killed, and the power is cut."""

import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from relaytest import small_disk
from relaytest.crashing import Crashing
from relaytest.daemon import POLL, SLOW_DISK, preload
from relaytest.hanging_disk import await_hang
from relaytest.ini import TIGHT, feed, web
from relaytest.stream import script, text_script
from relaytest.web import FramedWebSubscriber, asked, everything
from test_history import behind, payload_of, recorded, stop, told
from test_history_kill import Seen, messages_of, receive, send

ADMIN = {"admin": {"listen": "tcp:127.0.0.1:0"}}
SYNC = {"history_sync": "packet", "on_slow": "wait", "stall_timeout": "1h"}
MADE = text_script((1000, 3000, 20, 9000) * 300, 5)


def sections(lab, framing="line", options=None, **more):
    return {"relay": {"workers": 2}, **ADMIN,
            **web(framing=framing, history=lab.directory / "history", options=options, **{**SYNC, **more})}


def readers_of(relay, made):
    """In each format, at the live edge; and one who begins with the first message, whatever is in the files."""
    some = [relay.subscribe(name, made) for name in ("a-raw", "a-framed")]
    some += [relay.subscribe("web", made, kind=kind, **options) for kind, options in everything("line")]
    return some


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("framing, sizes", [("line", (1000,) * 2000), ("none", (64 * 1024,) * 60),
                                            ("u32be", (300_000, 5, 70_000) * 12)])
def test_everybody_gets_everything(lab, framing, sizes, workers):
    made = text_script(sizes, 5) if framing == "line" else script(framing, sizes, 5)
    both = sections(lab, framing)
    both["relay"]["workers"] = workers
    relay = lab.start(both)
    some = [relay.subscribe(name, made, 3) for name in ("a-raw", "a-framed")]
    some = [one for few in some for one in few]
    some += [relay.subscribe("web", made, kind=kind, **options) for kind, options in everything(framing)]
    relay.wait("a", subscribers=len(some))
    relay.publish("a", made.wire)
    relay.run_until_done(some)
    relay.wait("a", held_bytes=0)
    stop(relay)
    packets = recorded(lab.directory / "history")
    assert payload_of(packets) == made.payload


def test_nobody_gets_what_the_disk_has_not_answered(lab):
    """Those who are there, who comes, who replays and who skips; all of them once it answers."""
    says_so = lab.memory / "disk-hangs"
    relay = lab.start(sections(lab), env=preload(RELAY_HANG=f"fdatasync:{says_so}"))
    some = readers_of(relay, MADE)
    relay.wait("a", subscribers=len(some))
    half = MADE.ends[599]
    publisher = relay.publish("a", MADE.wire[:half])
    lab.loop.run(lambda: all(one.position == half for one in some), what="the first half")
    says_so.touch()
    publisher.send(MADE.wire[half:])
    relay.wait("a", in_messages=MADE.count)
    await_hang(lab, says_so)
    late = [relay.subscribe("a-raw", MADE, start=half), relay.subscribe("a-framed", MADE, first_message=600, start=half)]
    late += [relay.subscribe("web", MADE, kind=kind, **asked(kind, options, "from=0")) for kind, options in everything("line")]
    relay.wait("a", subscribers=len(some) + len(late))
    relay.wait("a", test=lambda seen: seen["held_bytes"] > len(MADE.wire) - half)
    lab.loop.run_for(0.2)
    assert {one.position for one in some} == {half}
    assert all(one.position <= half for one in late)
    says_so.unlink()
    relay.run_until_done(some + late)
    relay.wait("a", held_bytes=0)


def test_the_publisher_waits_for_a_disk_that_hangs(lab):
    """What waits is bounded by the ring, and nothing is lost, however long it takes."""
    says_so = lab.memory / "disk-hangs"
    made = text_script((1000,) * 5000, 6)
    relay = lab.start(sections(lab, ring="1m", segment="128k", grace="0", stall_timeout="5s"),
                      env=preload(RELAY_HANG=f"fdatasync:{says_so}"))
    some = readers_of(relay, made)
    relay.wait("a", subscribers=len(some))
    says_so.touch()
    publisher = relay.publish("a", made.wire[:made.ends[0]])
    await_hang(lab, says_so)  # with the first message in hand, so that the others do not fit on the way to the disk
    publisher.send(made.wire[made.ends[0]:])
    relay.wait("a", test=lambda seen: seen["wait_pauses"] + seen["crossing_holds"] > 0)
    # The recorder comes back by itself, and nobody else takes it for a reason to go on.
    relay.wait_log("subscriber closed feed=a format=framed subscriber=0 reason=stalled")
    assert relay.feed("a")["in_bytes"] < 2 << 20
    assert not any(one.position for one in some)
    says_so.unlink()
    relay.run_until_done(some)
    assert relay.feed("a")["skipped_messages"] == 0
    stop(relay)
    packets = recorded(lab.directory / "history")
    assert payload_of(packets) == made.payload and behind(packets) == 1 + made.count


def test_a_full_disk_stops_all_until_there_is_room(lab):
    folder = lab.directory / "history"
    if not small_disk.mount(lab, folder):
        return
    relay = lab.start(sections(lab, ring="1m", segment="128k")).expect("history cannot be written")
    some = readers_of(relay, MADE)
    relay.wait("a", subscribers=len(some))
    half = MADE.ends[599]
    publisher = relay.publish("a", MADE.wire[:half])
    lab.loop.run(lambda: all(one.position == half for one in some), what="the first half")
    ballast = small_disk.fill(folder, 1 << 16)
    publisher.send(MADE.wire[half:])
    relay.wait_log("history cannot be written .*: No space left on device, subscribers and the publisher wait")
    had = [one.position for one in some]
    assert max(had) < len(MADE.wire)
    ballast.unlink()
    relay.run_until_done(some)
    stop(relay)
    packets = recorded(folder)
    assert payload_of(packets) == MADE.payload and behind(packets) == 1 + MADE.count
    assert not [header for header, _ in packets if header.type == 2]


def test_a_disk_that_fails_gets_nothing_out(lab):
    """fdatasync says EIO, for good: what it was asked for is not believed to be there."""
    relay = lab.start(sections(lab), env=preload(RELAY_REFUSE="fdatasync:EIO")).expect("history cannot be")
    some = readers_of(relay, MADE)
    relay.wait("a", subscribers=len(some))
    relay.publish("a", MADE.wire)
    relay.wait("a", in_messages=MADE.count)
    relay.wait_log("history cannot be written .*: Input/output error, subscribers and the publisher wait")
    lab.loop.run(lambda: told(lab, relay)["errors"] > 2, what="more tries", poll=POLL)
    assert told(lab, relay)["failing"] and not any(one.position for one in some)


@pytest.mark.parametrize("way", ["upgrade", "crash"])
def test_what_waits_goes_on_in_the_next_process(lab, way):
    """The publisher repeats itself (framing = relay), so that nothing may be missing after a crash."""
    made = script("relay", (3000, 70_000, 10, 400) * 400, 4)
    crashing = Crashing(lab, {"relay": {"workers": 2}} | feed("a", framing="relay", raw=TIGHT, framed=TIGHT,
                                                              history=lab.directory / "history", **SYNC))
    relay = crashing.relay
    some = relay.subscribe("a-raw", made, 4) + relay.subscribe("a-framed", made, 4, same_session=False)
    relay.wait("a", subscribers=len(some))
    publisher = relay.publish("a", made.wire)
    for third in range(1, 4):
        if all(one.end for one in some):
            break
        lab.loop.run(lambda third=third: min(one.position for one in some if not one.end) > third * len(made.payload) // 5,
                     what="some of it")
        if way == "upgrade":
            crashing.relay.upgrade()
            continue
        alive = sum(one.end is None for one in some)
        assert sum(crashing.die()) == alive
        publisher = crashing.relay.publish("a", made.wire)
    # A kill may come while all of them are being served. die() has seen that each was told so.
    left = [one for one in some if one.end is None]
    assert way == "crash" or len(left) == len(some)
    crashing.relay.run_until_done(left)
    assert publisher.lost is None and all(not one.gaps for one in left if hasattr(one, "gaps"))


def test_an_upgrade_is_refused_while_the_disk_does_not_answer(lab):
    says_so = lab.memory / "disk-hangs"
    relay = lab.start(sections(lab), env=preload(RELAY_HANG=f"fdatasync:{says_so}"))
    some = readers_of(relay, MADE)
    relay.wait("a", subscribers=len(some))
    says_so.touch()
    relay.publish("a", MADE.wire)
    await_hang(lab, says_so)
    relay.expect("upgrade failed").upgrade(SLOW_DISK + ".*nothing has changed")
    assert not any(one.position for one in some)
    says_so.unlink()
    relay.upgrade()
    relay.run_until_done(some)


KILLS = int(os.environ.get("RELAY_KILLS", "3"))


def cut_power(folder, synced, choose):
    """Of each file as much is left as was synced, and perhaps some more: as it was, or as the length of bytes that never
    came to the disk. A note may be empty: relay was killed before it was written, so nobody knew of it."""
    for path in folder.iterdir():
        note = synced / path.name
        if path.suffix not in (".rly", ".idx"):
            continue
        size = path.stat().st_size
        least = min(int(note.read_text() or 0) if note.exists() else 0, size)
        left = choose.randrange(least, size + 1)
        os.truncate(path, choose.choice((least, left)))
        os.truncate(path, left)
    owner = folder / "history"
    lines = owner.read_text().splitlines()
    owner.write_text("".join(line + "\n" for line in lines if not line.startswith("boot ")) + "boot another\n")


def test_after_a_power_cut_the_session_goes_on(lab):
    """All that anybody ever got is in the files, under its number; and no number stands for two messages."""
    folder, synced = lab.directory / "history", lab.directory / "synced"
    synced.mkdir()
    both = feed("a", framing="u32be", history=folder, history_file="1m", history_size="4g", **SYNC)
    choose = random.Random(KILLS)
    seen, sent = Seen(), set()
    for life in range(KILLS):
        relay = lab.start(both, env=preload(RELAY_SYNCED=synced))
        relay.expect("history was not closed in good order")
        with ThreadPoolExecutor() as pool:
            got = pool.submit(receive, relay.address["listener a-framed"])
            relay.wait("a", subscribers=1)
            published = pool.submit(send, relay.address["feed a"], life)
            enough = relay.feed("a")["in_messages"] + choose.randrange(100, 1500)
            relay.wait("a", test=lambda status, enough=enough: status["in_messages"] >= enough)
            relay.signal(signal.SIGKILL)
            relay.wait_exit()
            seen.add(got.result())
            sent |= published.result()
        cut_power(folder, synced, choose)
    relay = lab.start(both)
    relay.expect("history was not closed in good order")
    stop(relay)
    files = {}
    for path in sorted(folder.glob("*.rly")):
        files |= messages_of(path.read_bytes())
    assert seen.messages and all(files.get(key) == digest for key, digest in seen.messages.items())
    seen.add(files)
    assert set(seen.messages.values()) <= sent and len({session for session, _ in files}) == 1
    done = lab.run_tool("relayctl", "history", "verify", folder)
    assert done.returncode == 0, done.stderr


def test_another_history_sync_makes_the_feed_anew(lab):
    """Who was promised the disk first is not served without it."""
    made = text_script((1000,) * 100, 7)
    relay = lab.start(sections(lab))
    one = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    relay.wait_log("history_sync changed from 'packet' to '2s', so it is made anew",
                   relay.reload(sections(lab, history_sync="2s")))
    lab.loop.run(lambda: one.end, what="the end")
    relay.wait_log("history_sync changed from '2s' to 'packet', so it is made anew", relay.reload(sections(lab)))
    again = [relay.subscribe("a-raw", made), relay.subscribe("web", made, kind=FramedWebSubscriber, path="/a?format=framed")]
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done(again)


def test_a_wrong_word_is_told(lab):
    relay = lab.start(sections(lab, history_sync="packets"), wait=False).expect("history_sync")
    assert relay.wait_exit() != 0
    assert [line for line in relay.log if "packet, or a duration from 0 to 1h" in line], relay.log

# SPDX-License-Identifier: MIT
"""History: what a framed subscriber gets is on disk, over restarts, crashes and a disk that is full."""

import json
import shutil
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from relaytest import address, packet, small_disk
from relaytest.daemon import SLOW_DISK, preload
from relaytest.hanging_disk import await_hang
from relaytest.ini import ENGINES, feed
from relaytest.loop import CEILING
from relaytest.service_manager import ServiceManager
from relaytest.stream import script

LOSSLESS = {"framing": "u32be", "on_slow": "wait", "on_history_lag": "wait", "stall_timeout": "1h"}
ADMIN = {"admin": {"listen": "tcp:127.0.0.1:0"}}
LEFT = "history is left as a crash would leave it"
# What dies sooner than a second after it was resumed is not resumed again.
LIVES_S = 1.1
MADE = script("u32be", (70_000, 300, 4096, 1, 900_000) * 8, 2)
SMALL = script("u32be", (1000,) * 4000, 2)


def history(lab, **options):
    """A feed that is recorded, and the folder."""
    folder = lab.memory / "history"
    return feed("a", history=folder, **{**LOSSLESS, **options}), folder


def packets_of(data):
    """(header, payload), without heartbeats: those that a file begins with are its own."""
    made, at = [], 0
    while at < len(data):
        header = packet.decode(data[at:at + packet.BYTES])
        end = at + packet.BYTES + header.length
        assert end <= len(data), f"a torn packet at {at} of {len(data)}"
        if header.type != packet.HEARTBEAT:
            made.append((header, data[at + packet.BYTES:end]))
        at = end
    return made


def recorded(folder):
    """All files, one behind the other."""
    files = sorted(folder.glob("*.rly"))
    assert [one.with_suffix(".idx").exists() for one in files] == [True] * len(files)
    return packets_of(b"".join(one.read_bytes() for one in files))


def payload_of(packets):
    return b"".join(payload for header, payload in packets if header.type == packet.DATA)


def behind(packets):
    """The sequence behind them; each goes on from the one before."""
    following = packets[0][0].sequence
    for header, _ in packets:
        assert header.sequence == following
        following = header.time if header.type == packet.GAP else header.sequence + header.count
    return following


def told(lab, relay):
    where = relay.address["admin listen"].removeprefix("tcp:")
    done = lab.run_tool("relayctl", "-s", f"http://{where}", "--json", "history", "--feed", "a")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[0]["history"]


def stop(relay):
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0


def doctors_row(lab, relay):
    where = f"http://{relay.address['admin listen'].removeprefix('tcp:')}"
    told = json.loads(lab.run_tool("relayctl", "-s", where, "--json", "doctor").stdout)
    return next(one for one in told["checks"] if one["name"] == "relay_history")


def publish(relay, made=MADE):
    """All of it, and until relay has taken it in, and the publisher has gone."""
    before = relay.feed("a")["in_messages"]
    publisher = relay.publish("a", made.wire)
    publisher.flush()
    publisher.close()
    relay.wait("a", in_messages=before + made.count, source_up=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_holds_what_a_framed_subscriber_gets(lab, engine):
    sections, folder = history(lab, **ENGINES[engine])
    relay = lab.start(sections)
    with address.connect(relay.address["listener a-framed"]) as live, ThreadPoolExecutor() as pool:
        live.settimeout(CEILING)
        got = pool.submit(lambda: b"".join(iter(lambda: live.recv(1 << 20), b"")))
        relay.wait("a", subscribers=1)
        publish(relay)
        stop(relay)
        expected = packets_of(got.result())
    expected = [one for one in expected if one[0].type != packet.END]
    # It was told of the publisher that was not there; the recorder came before there was a feed.
    assert [one for one in recorded(folder) if one[0].type != packet.SOURCE_DOWN] \
        == [one for one in expected if one[0].type != packet.SOURCE_DOWN]
    assert payload_of(expected) == MADE.payload


def test_the_sequence_goes_on_after_a_restart(lab):
    """The history of both can be published again, file by file."""
    sections, folder = history(lab, history_file="1m", history_size="1g")
    for _ in range(2):
        relay = lab.start(sections)
        publish(relay)
        stop(relay)
    packets = recorded(folder)
    assert payload_of(packets) == 2 * MADE.payload
    assert len({header.session for header, _ in packets}) == 1
    assert behind(packets) == 1 + 2 * MADE.count
    assert not [header for header, _ in packets if header.type == packet.GAP]
    assert len(list(folder.glob("*.rly"))) > 4

    again = lab.start(feed("b", f"file:{sorted(folder.glob('*.rly'))[0]}", framing="relay", start_subscribers=1),
                      name="again.ini")
    reader = again.subscribe("b-framed", script("u32be", (1,), 2), same_session=False, paused=True)
    again.wait("b", test=lambda seen: seen["in_messages"] > 0)
    assert again.feed("b")["source_missed"] == 0
    reader.close()


def test_a_crash_loses_nothing_unseen(lab):
    """Killed again and again under load: each message is in the history once, or in a gap."""
    sections, folder = history(lab)
    manager = ServiceManager(lab)
    relay = lab.start(sections, **manager.options())
    for _ in range(3):
        publish(relay)
        lab.loop.run_for(LIVES_S)
        publisher = relay.publish("a", MADE.wire)
        relay.wait("a", test=lambda seen: seen["in_messages"] > MADE.count)
        relay.signal(signal.SIGKILL)
        assert relay.wait_exit() == -signal.SIGKILL
        relay = lab.start(sections, **manager.options())
        relay.wait_log("resumed after a crash")
        publisher.reset()  # it may have gone on
        relay.wait("a", source_up=0)
    publish(relay)
    stop(relay)
    packets = recorded(folder)
    assert len({header.session for header, _ in packets}) == 1
    assert behind(packets) > 4 * MADE.count
    assert payload_of(packets).endswith(MADE.payload)


def test_a_kill_without_a_keeper_begins_a_new_session(lab):
    """Nobody knows what was sent last, so no sequence may be given out twice."""
    sections, folder = history(lab)
    relay = lab.start(sections)
    publish(relay)
    relay.signal(signal.SIGKILL)
    relay.wait_exit()
    relay = lab.start(sections)
    relay.wait_log("history begins a new session")
    publish(relay)
    stop(relay)
    data = [header for header, _ in recorded(folder) if header.type == packet.DATA]
    assert len({header.session for header in data}) == 2
    assert data[-1].sequence + data[-1].count == 1 + MADE.count


def test_what_comes_first_is_recorded(lab):
    """A file is published as soon as relay begins."""
    source = lab.directory / "source"
    source.write_bytes(MADE.wire)
    folder = lab.directory / "history"
    relay = lab.start(feed("a", f"file:{source}", history=folder, **LOSSLESS))
    relay.wait("a", in_messages=MADE.count)
    stop(relay)
    assert payload_of(recorded(folder)) == MADE.payload


def test_an_upgrade_leaves_no_gap(lab):
    sections, folder = history(lab)
    relay = lab.start(sections)
    for _ in range(2):
        publish(relay)
        relay.upgrade()
    publish(relay)
    stop(relay)
    packets = recorded(folder)
    assert payload_of(packets) == 3 * MADE.payload
    assert len({header.session for header, _ in packets}) == 1
    assert not [header for header, _ in packets if header.type == packet.GAP]


def test_two_relays_on_one_folder_are_an_error(lab):
    sections, folder = history(lab)
    lab.start(sections)
    second = lab.run_tool("relay", "-c", lab.directory / "relay.ini", "-o", "admin.listen=none", timeout=60)
    assert second.returncode != 0
    assert f"history {folder}: another relay has it open" in second.stderr


def test_a_folder_with_other_files_is_refused_as_it_is(lab):
    sections, folder = history(lab)
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    relay = lab.start(sections, wait=False).expect("history")
    assert relay.wait_exit() != 0
    relay.wait_exit()
    assert [line for line in relay.log if "it has notes.txt; expected a folder of its own" in line]
    assert [one.name for one in folder.iterdir()] == ["notes.txt"]


def test_a_full_disk_is_a_gap_and_the_feed_goes_on(lab):
    """A file system of 8 MiB, the rest of which somebody else takes for a while. What comes first fits into the ring,
    so the recorder gets it, however late, and finds the disk full; what comes then does not."""
    sections, folder = history(lab, on_history_lag="gap", on_slow="skip", ring="1m", segment="128k")
    if not small_disk.mount(lab, folder):
        return
    relay = lab.start(sections).expect("history cannot be written")
    publish(relay, script("u32be", (1000,) * 10, 2))
    ballast = small_disk.fill(folder, 1 << 20)
    publish(relay, script("u32be", (100_000,) * 5, 2))
    relay.wait_log("history cannot be written")
    publish(relay, script("u32be", (100_000,) * 35, 2))
    ballast.unlink()
    relay.wait_log("history is written again")
    publish(relay, script("u32be", (1000,) * 10, 2))
    stop(relay)
    packets = recorded(folder)
    assert [header for header, _ in packets if header.type == packet.GAP]
    assert behind(packets) == 1 + 60


def hanging(lab, call, sections):
    """A relay whose disk does not answer such a call any more, and the file that says so."""
    says_so = lab.memory / "disk-hangs"
    relay = lab.start(sections | ADMIN, env=preload(RELAY_HANG=f"{call}:{says_so}"))
    publish(relay)
    says_so.touch()
    publish(relay, script("u32be", (1000,) * 10, 2))
    await_hang(lab, says_so)
    return relay, says_so


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_an_upgrade_is_refused_while_the_disk_does_not_answer(lab, call):
    """The feed goes on meanwhile, and once the disk answers nothing is missing, and the upgrade works."""
    sections, folder = history(lab)
    relay, says_so = hanging(lab, call, sections)
    relay.expect("upgrade failed").upgrade(SLOW_DISK + ".*nothing has changed")
    publish(relay, script("u32be", (1000,) * 10, 2))
    says_so.unlink()
    relay.upgrade()
    publish(relay)
    stop(relay)
    packets = recorded(folder)
    assert not [header for header, _ in packets if header.type == packet.GAP]
    assert behind(packets) == 1 + 2 * MADE.count + 20


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_stop_does_not_wait_for_a_disk_that_never_answers(lab, call):
    """It says what it leaves; the next one begins a new session, since nobody knows what was sent."""
    sections, folder = history(lab)
    relay, says_so = hanging(lab, call, sections)
    relay.expect(LEFT)
    stop(relay)
    relay.wait_log(f"{LEFT} feed=a .*: not all of it could be brought")
    says_so.unlink()
    relay = lab.start(sections)
    relay.wait_log("history begins a new session")
    publish(relay)
    stop(relay)
    assert len({header.session for header, _ in recorded(folder)}) == 2


def test_a_stop_waits_for_a_busy_disk(lab):
    """The log says so, and nothing is missing, of either history."""
    says_so = lab.memory / "disk-hangs"
    folders = {name: lab.memory / name for name in "ab"}
    sections = {}
    for name, folder in folders.items():
        sections |= feed(name, history=folder, history_sync="0", **LOSSLESS)
    relay = lab.start(sections | ADMIN, env=preload(RELAY_HANG=f"fdatasync:{says_so}"))
    for name in folders:
        relay.publish(name, MADE.wire)
    for name in folders:
        relay.wait(name, in_messages=MADE.count)
    says_so.touch()
    relay.signal(signal.SIGTERM)
    relay.wait_log("history waits for the disk feed=[ab] ")
    says_so.unlink()
    assert relay.wait_exit() == 0
    for folder in folders.values():
        assert payload_of(recorded(folder)) == MADE.payload
    relay = lab.start(sections)
    relay.wait_log("history feed=b .* session=[1-9]")
    assert not any("new session" in line for line in relay.log), relay.log


# history_sync; so many messages are taken in any case, and no more once this counter has gone up by that.  With packet, half
# a ring waits for the disk at most, at home and in the branch of the recorder.
LATER = ("1s", 256, "crossing_holds", 1)
HELD_UP = pytest.mark.parametrize("held", [LATER, ("packet", 32, "wait_pauses", 2)])


def held_up(lab, held=LATER, relay_options=None):
    """A relay whose disk does not answer, and that has taken in all it can: the ring is full, and so is the way into it.
    The last of what it returns: how many messages."""
    sync, sent, counter, more = held
    sections, folder = history(lab, ring="128k", segment="64k", history_sync=sync)
    says_so = lab.memory / "disk-hangs"
    relay = lab.start({"relay": relay_options or {}} | sections | ADMIN, env=preload(RELAY_HANG=f"pwrite:{says_so}"))
    says_so.touch()
    publisher = relay.publish("a", SMALL.wire[:1004 * sent])
    seen = relay.wait("a", in_messages=sent)
    end = seen[counter] + more
    while seen[counter] < end:
        publisher.send(SMALL.wire[1004 * sent:1004 * (sent + 16)])
        sent += 16
        seen = relay.wait("a", test=lambda seen, sent=sent: seen["in_messages"] == sent or seen[counter] >= end)
    assert sent < SMALL.count
    return relay, folder, says_so, seen["in_messages"]


def assert_all_written(folder, messages):
    packets = recorded(folder)
    assert behind(packets) == 1 + messages
    assert not [header for header, _ in packets if header.type == packet.GAP]
    assert len({header.session for header, _ in packets}) == 1
    assert len(payload_of(packets)) == 1004 * messages
    assert SMALL.payload.startswith(payload_of(packets))


@HELD_UP
def test_a_stop_writes_what_a_slow_disk_has_held_up(lab, held):
    """What fills the ring, and what waits on its way into it, is written before the end."""
    relay, folder, says_so, messages = held_up(lab, held)
    relay.signal(signal.SIGTERM)
    relay.wait_log("draining")
    says_so.unlink()
    assert relay.wait_exit() == 0
    assert_all_written(folder, messages)


@HELD_UP
def test_a_reload_writes_what_a_slow_disk_has_held_up(lab, held):
    """The feed is removed, and the disk answers then."""
    relay, folder, says_so, messages = held_up(lab, held)
    since = relay.reload(ADMIN | feed("b"))
    relay.wait_log("reload: ", since)
    says_so.unlink()
    relay.wait_log("reloaded", since)
    assert_all_written(folder, messages)


@HELD_UP
def test_an_upgrade_keeps_what_a_slow_disk_has_held_up(lab, held):
    """The disk answers once nobody is served any more."""
    relay, folder, says_so, messages = held_up(lab, held)
    relay.upgrade(once_under_way=says_so.unlink)
    stop(relay)
    assert_all_written(folder, messages)


def test_a_refused_upgrade_keeps_what_a_slow_disk_has_held_up(lab):
    """The recorder has left its feed for it, which waits until that is back."""
    relay, folder, says_so, _ = held_up(lab)
    relay.expect("upgrade failed").upgrade(SLOW_DISK)
    says_so.unlink()
    relay.close_peers()
    relay.wait("a", source_up=0)
    lab.loop.run(lambda: told(lab, relay)["lag_messages"] == 0, what="the recorder", poll=0.05)
    messages = relay.feed("a")["in_messages"]
    stop(relay)
    assert_all_written(folder, messages)


def ended_without_its_feed(lab):
    """A relay whose disk has answered only when the feed was not there any more. That is between 2 s, which the recorder
    has, and 12 s, when relay gives up such a disk: where the machine was too busy for that, another relay tries."""
    for _ in range(5):
        relay, folder, says_so, messages = held_up(lab, relay_options={"drain": "0"})
        relay.expect("history lacks what came last", LEFT).signal(signal.SIGTERM)

        def has_no_feed(relay=relay):
            """The recorder has a pair of sockets: its own is the last one of relay's."""
            try:
                return relay.socket_links() == 1
            except FileNotFoundError:
                return True  # there is no relay either

        lab.loop.run(has_no_feed, what="the feed to go", poll=0.001)
        says_so.unlink()
        assert relay.wait_exit() == 0
        if not any(LEFT in line for line in relay.log):
            return relay, folder, messages
        shutil.rmtree(folder)
    raise AssertionError("the disk always answered too late")


def test_what_a_slow_disk_has_not_taken_by_the_end_is_a_gap(lab):
    """What it has got by then is written."""
    relay, folder, messages = ended_without_its_feed(lab)
    there = behind(recorded(folder))
    relay.wait_log(f"history lacks what came last feed=a: it ends at .* sequence={there}, the feed at .* sequence={1 + messages};")
    assert there < 1 + messages
    sections, _ = history(lab)
    relay = lab.start(sections)
    publish(relay, script("u32be", (1000,) * 10, 2))
    stop(relay)
    packets = recorded(folder)
    assert behind(packets) == 1 + messages + 10
    assert len({header.session for header, _ in packets}) == 1
    assert [(header.sequence, header.time) for header, _ in packets if header.type == packet.GAP] == [(there, 1 + messages)]


def test_a_reload_does_not_wait_for_a_disk_that_never_answers(lab):
    """The feed is removed.  Its folder stays locked until the disk answers, and is free then."""
    sections, folder = history(lab)
    other = feed("b")
    relay, says_so = hanging(lab, "fdatasync", sections | other)
    relay.expect(LEFT, "reload failed")
    relay.wait_log("reloaded", relay.reload(ADMIN | other))
    relay.wait_log("reload failed: history .*: another relay has it open, or this one still waits for its disk",
                   relay.reload(ADMIN | sections | other))
    says_so.unlink()
    while "failed" in relay.wait_log("reloaded|reload failed", relay.reload(ADMIN | sections | other)):
        pass
    publish(relay)
    stop(relay)
    assert payload_of(recorded(folder)).endswith(MADE.payload)


def test_relayctl_tells_how_far_back(lab):
    sections, _ = history(lab)
    relay = lab.start(sections | ADMIN)
    publish(relay)
    lab.loop.run(lambda: told(lab, relay)["lag_messages"] == 0, what="the recorder", poll=0.05)
    seen = told(lab, relay)
    assert (seen["oldest_seq"], seen["next_seq"], seen["failing"]) == (1, 1 + MADE.count, False)
    assert seen["written_bytes"] > len(MADE.payload) and seen["readers"] == 0
    where = f"http://{relay.address['admin listen'].removeprefix('tcp:')}"
    row = doctors_row(lab, relay)
    assert (row["verdict"], "relay records 1 feeds" in row["found"]) == ("ok", True), row
    with urllib.request.urlopen(f"{where}/metrics") as answer:
        text = answer.read().decode()
    assert 'relay_history_lag_messages{feed="a"} 0\n' in text and 'relay_history_oldest_sequence{feed="a"} 1\n' in text


def test_the_doctor_finds_what_cannot_be_recorded(lab):
    """A disk that refuses, and one that does not answer; and that all is well again."""
    sections, _ = history(lab, on_history_lag="gap", on_slow="skip")
    says_so = lab.memory / "disk-hangs"
    relay = lab.start(sections | ADMIN, env=preload(RELAY_REFUSE="pwrite:ENOSPC:after=40", RELAY_HANG=f"pwrite:{says_so}"))
    says_so.touch()
    publisher = relay.expect("history cannot be").publish("a", script("u32be", (1000,), 2).wire)

    def found():
        row = doctors_row(lab, relay)
        return (row["verdict"], "feed a cannot be recorded now" in row["found"], "the disk is full" in row.get("change", ""))

    lab.loop.run(lambda: told(lab, relay)["unanswered_ms"] >= 5000, what="the disk to hang", poll=1)
    assert found() == ("finding", True, True)
    says_so.unlink()
    lab.loop.run(lambda: found()[0] == "ok", what="the disk to answer", poll=1)
    while not any("history cannot be written" in line for line in relay.log):
        publisher.send(script("u32be", (1000,), 2).wire)
        relay.status()
    assert found() == ("finding", True, True)

# SPDX-License-Identifier: MIT
"""Replay: what the ring no longer has comes out of the history, and goes on from the ring without a seam."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from relaytest.daemon import POLL, preload
from relaytest.ini import TIGHT, web
from relaytest.stream import KIB, script, text_script
from relaytest.web import (CLOSE, Answer, EventSubscriber, FramedWebSubscriber, WebSocketSubscriber, ask, asked, everything,
                           request)

# Neither who has arrived in the ring nor the recorder skips: then nothing may be missing.
RING = {"ring": "128k", "segment": "64k", "grace": "0", "on_slow": "wait", "on_history_lag": "wait", "stall_timeout": "1h"}


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f"{seconds % 1:.6f}"[1:] + "Z"


def sections(lab, framing="line", **more):
    return {"relay": {"workers": 2},
            **web(framing=framing, history=lab.directory / "history", history_file="1m", **{**RING, **more})}


def replay(relay, made, query="from=0", **options):
    return relay.subscribe("web", made, kind=FramedWebSubscriber, path=f"/a?format=framed&{query}", base=1, **options)


def begun(made):
    """Bytes of the first message; where nobody knows, of a piece."""
    return made.ends[0] if made.ends else 1000


def begin(lab, relay, made):
    """A publisher whose first message is in the history."""
    def is_recorded():
        reader = read(lab, relay, made, 1)
        reader.close()
        return relay.feed("a")["replayed_bytes"]

    publisher = relay.publish("a", made.wire[:begun(made)])
    lab.loop.run(is_recorded, what="the first message in it", poll=POLL)
    relay.wait("a", subscribers=0)
    return publisher


def read(lab, relay, made, count):
    """A reader of all that there is, once it has so many messages."""
    reader = replay(relay, made)
    lab.loop.run(lambda: reader.messages >= count, what=lambda: f"{reader.messages} of {count} messages")
    return reader


@pytest.mark.parametrize("framing, sizes", [("line", (1000,) * 6000), ("none", (64 * KIB,) * 90),
                                            ("u32be", (300_000, 5, 70_000) * 16)])
def test_everything_since_the_beginning(lab, framing, sizes):
    """Readers who come at any moment while it is published get each byte once."""
    made = text_script(sizes, 3) if framing == "line" else script(framing, sizes, 3)
    relay = lab.start(sections(lab, framing))
    publisher = begin(lab, relay, made)
    readers, pick = [], random.Random(framing)
    first = replay(relay, made)
    for at in range(begun(made), len(made.wire), 200_000):
        publisher.send(made.wire[at:at + 200_000])
        lab.loop.run(lambda: publisher.done, what="the publisher")
        lab.loop.run_for(pick.random() / 20)
        readers.append(replay(relay, made))
    relay.run_until_done([first, *readers])
    last = replay(relay, made)
    relay.run_until_done([last])
    seen = relay.feed("a")
    assert seen["replayed_bytes"] > len(made.wire) and not first.gaps and not any(one.gaps for one in readers), seen
    relay.wait("a", subscribers_replaying=0)


@pytest.mark.parametrize("framing, sizes", [("line", (1000,) * 4000), ("none", (64 * KIB,) * 60),
                                            ("u32be", (300_000, 5, 70_000) * 12)])
def test_every_format(lab, framing, sizes):
    """They arrive while it is published: each byte once, in the words of each format."""
    made = text_script(sizes, 13) if framing == "line" else script(framing, sizes, 13)
    relay = lab.start(sections(lab, framing))
    publisher = begin(lab, relay, made)
    kinds, readers = everything(framing), []
    step = (len(made.wire) - begun(made)) // 3 + 1
    for at in range(begun(made), len(made.wire), step):
        publisher.send(made.wire[at:at + step])
        readers += [relay.subscribe("web", made, kind=kind, **asked(kind, options, "from=0")) for kind, options in kinds]
        lab.loop.run(lambda: publisher.done, what="the publisher")
    relay.run_until_done(readers)
    seen = relay.feed("a")
    readers = [relay.subscribe("web", made, kind=kind, **asked(kind, options, "from=0")) for kind, options in kinds]
    relay.run_until_done(readers)
    for one in (one for one in readers if isinstance(one, WebSocketSubscriber)):
        one.send_frame(CLOSE, b"\x03\xe8")
        lab.loop.run(lambda one=one: one.end, what="the end of a WebSocket")
        assert (one.end, one.close_code) == ("fin", 1000)
    # The ring has an eighth of it at most, so nearly all came out of the files.
    assert relay.feed("a")["replayed_bytes"] - seen["replayed_bytes"] > len(kinds) * len(made.payload) * 3 // 4, seen
    relay.wait("a", subscribers_replaying=0)


def test_from_any_message(lab):
    made = text_script((997,) * 5000, 4)
    relay = lab.start(sections(lab))
    begin(lab, relay, made).send(made.wire[begun(made):])
    session = read(lab, relay, made, made.count).session
    pick = random.Random(4)
    readers = []
    for _ in range(20):
        number = pick.randrange(1, 5001)
        readers.append((number, replay(relay, made, f"from={session}-{number}", start=None)))
    relay.run_until_done([one for _, one in readers])
    for number, one in readers:
        first = int(one.fields["relay-sequence"])
        assert first <= number and one.headers[0].sequence == first, (number, one.headers[0])
        assert first + one.headers[0].count > number, (number, one.headers[0])
        assert one.fields["relay-session"] == str(session)
    code, fields, body = ask(relay, f"/a?format=framed&from={session + 1}-1")
    assert code == 416 and fields["relay-oldest"] == "1" and "oldest one it has is 1, of 20" in body, (fields, body)
    assert ask(relay, f"/a?format=framed&from={session}-5002")[0] == 416


def hanging(lab, made):
    """A relay whose recorder has got more than the first message, and written that one only; its ring begins behind what
    the recorder has got. And the session, and the file that says that the disk hangs."""
    says_so = lab.memory / "disk-hangs"
    both = sections(lab)
    both["relay"]["log_level"] = "debug"
    relay = lab.start(both, env=preload(RELAY_HANG=f"pwrite:{says_so}"))
    publisher = begin(lab, relay, made)
    session = read(lab, relay, made, 1).session
    says_so.touch()
    publisher.send(made.wire[begun(made):made.ends[1]])
    relay.wait("a", in_messages=2)  # so the third begins a packet
    publisher.send(made.wire[made.ends[1]:])
    relay.wait("a", test=lambda seen: seen["wait_pauses"] > 0)
    return relay, session, says_so


def await_waiting(lab, relay, count):
    lab.loop.run(lambda: sum("subscriber waits for the recorder" in line for line in relay.log) == count,
                 what=f"{count} to wait for the recorder")


def test_a_message_that_is_neither_in_the_ring_nor_in_a_file(lab):
    """It is on its way from the one to the other: who asks for it waits until it has got there."""
    made = text_script((997,) * 4000, 18)
    relay, session, says_so = hanging(lab, made)
    early = [relay.subscribe("web", made, kind=kind, start=2 * 997, **asked(kind, options, f"from={session}-3"))
             for kind, options in everything("line")]
    await_waiting(lab, relay, len(early))
    assert not any(one.received for one in early)
    says_so.unlink()
    relay.run_until_done(early)
    relay.wait("a", subscribers_replaying=0)


@pytest.mark.parametrize("events", [False, True])
def test_a_recorder_that_does_not_get_there(lab, events):
    """Whoever waits for it is told to come back, after some seconds, or at once when the listener goes."""
    made = text_script((997,) * 4000, 19)
    relay, session, says_so = hanging(lab, made)
    path, fields = f"/a?from={session}-3", {"Accept": "text/event-stream"} if events else {}
    code, fields_back, body = ask(relay, path, fields)
    assert "has not written yet" in body, body
    assert (code, "retry-after" in fields_back, "event: refused" in body) == ((200, False, True) if events else (503, True, False))
    relay.wait("a", closed_recorder_behind=1)
    waiting = Answer(relay, "web", request(path, fields))
    await_waiting(lab, relay, 2)
    relay.reload({name: section for name, section in relay.sections.items() if name != "listener web"})
    assert "no longer has it" in waiting.wait()[2]
    relay.wait("a", closed_removed=1)
    says_so.unlink()
    relay.wait("a", in_messages=made.count)


def test_by_time(lab):
    made = text_script((1000,) * 3000, 5)
    relay = lab.start(sections(lab))
    publisher, times = begin(lab, relay, made), []
    for third in range(3):
        publisher.send(made.wire[third * 1_000_000 or 1000:(third + 1) * 1_000_000])
        read(lab, relay, made, 1000 * (third + 1))
        lab.loop.run_for(0.02)
        times.append(time.time())
        lab.loop.run_for(0.02)
    for query, first, last in ((f"since={utc(times[0])}&until={utc(times[1])}", 1000, 2000),
                              (f"from=0&until={utc(times[0])}", 0, 1000),
                              (f"burst=1h&until={utc(times[1])}", 0, 2000),
                              (f"since=-1h&until={utc(times[2])}", 0, 3000),
                              (f"since={utc(times[2])}&until=-0", 3000, 3000)):
        some = [relay.subscribe("web", made, kind=kind, start=first * 1000, **asked(kind, options, query))
                for kind, options in everything("line")]
        lab.loop.run(lambda some=some: all(one.end for one in some), what=f"an end of {query}")
        for one in some:
            assert (one.end, one.position) == ("fin", last * 1000), (query, one)
            assert not isinstance(one, WebSocketSubscriber) or one.close_code == 1000, one.close_code


def test_an_event_source_does_not_come_back_for_ever(lab):
    """Behind the end of its range it comes back with what it has got last, and is told that there is no more."""
    made = text_script((1000,) * 3000, 16)
    relay = lab.start(sections(lab))
    publisher = begin(lab, relay, made)
    publisher.send(made.wire[1000:2_000_000])
    session = read(lab, relay, made, 2000).session
    lab.loop.run_for(0.02)
    end = time.time()
    lab.loop.run_for(0.02)
    publisher.send(made.wire[2_000_000:])
    read(lab, relay, made, 3000)
    path, events = f"/a?since=-1h&until={utc(end)}", {"Accept": "text/event-stream"}
    for last, status in ((2000, 204), (2500, 204), (3000, 204)):
        code, fields, body = ask(relay, path, {**events, "Last-Event-ID": f"{session}-{last}"})
        assert (code, body) == (status, "") and "content-length" not in fields, (last, code, fields, body)
    for last in (1999, 10):
        one = relay.subscribe("web", made, kind=EventSubscriber, path=path, start=None,
                              fields={"Last-Event-ID": f"{session}-{last}"})
        lab.loop.run(lambda one=one: one.end, what="the end of the range")
        assert (one.end, one.position, one.last_id) == ("fin", 2_000_000, 2000)
    relay.wait("a", closed_until=5)


def test_the_burst_of_a_listener(lab):
    """It reaches into the files, in each format; only so many at once, others begin with what the ring has."""
    made = text_script((1000,) * 3000, 17)
    both = sections(lab, burst="1h")
    for name in ("a-raw", "a-framed", "web"):
        both[f"listener {name}"].update(replay_rate="8m")
    both["listener few"] = {"feed": "a", "listen": "tcp:127.0.0.1:0", "max_replays": 1, "send_buffer": "32k"}
    relay = lab.start(both)
    publisher = relay.publish("a", made.wire[:2_000_000])
    relay.wait("a", in_messages=2000)
    read(lab, relay, made, 2000).close()
    readers = [relay.subscribe(name, made) for name in ("a-raw", "a-framed")]
    readers += [relay.subscribe("web", made, kind=kind, **options) for kind, options in everything("line")]
    lab.loop.run(lambda: all(one.position == 2_000_000 for one in readers), what="what was published before")
    relay.wait("a", subscribers_replaying=0)
    first = relay.subscribe("few", made, paused=True, receive_buffer=4096)
    relay.wait("a", subscribers_replaying=1)
    less = relay.subscribe("few", made, start=None)
    lab.loop.run(lambda: less.position == 2_000_000, what="what the ring has")
    assert 2_000_000 - 256 * KIB < less.start < 2_000_000
    first.resume()
    publisher.send(made.wire[2_000_000:])
    relay.run_until_done([first, less, *readers])


def test_over_a_restart(lab):
    """A fresh relay on the old folder: what was before its birth comes, and then what is published now."""
    made = text_script((1000,) * 4000, 6)
    relay = lab.start(sections(lab))
    begin(lab, relay, made).send(made.wire[1000:2_000_000])
    session = read(lab, relay, made, 2000).session
    relay.signal(signal.SIGTERM)
    relay.wait_exit()
    again = lab.start(sections(lab))
    readers = [replay(again, made), replay(again, made, f"from={session}-1500", start=None)]
    again.publish("a", made.wire[2_000_000:])
    again.run_until_done(readers)
    assert readers[0].session == readers[1].session == session and not readers[0].gaps


@pytest.mark.parametrize("workers", [1, 2])
def test_on_slow_replay(lab, workers):
    """Who stops reading falls behind the ring, goes on from the files, and then from the ring; and again."""
    made = text_script((1000,) * 6000, 14)
    both = sections(lab, on_slow="replay", ring="256k", max_lag="0")
    both["relay"]["workers"] = workers
    for name in ("a-raw", "a-framed", "web"):
        both[f"listener {name}"].update(TIGHT)
    both["listener live"] = {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "framed", "on_slow": "wait"}
    relay = lab.start(both)
    live = relay.subscribe("live", made)
    slow = [relay.subscribe(form, made, receive_buffer=4096) for form in ("a-raw", "a-framed", "a-raw")]
    slow += [relay.subscribe("web", made, kind=kind, receive_buffer=4096, **options)
             for kind, options in everything("line")]
    relay.wait("a", subscribers=1 + len(slow))
    joined = relay.feed("a")["subscribers_total"]
    publisher = relay.publish("a")
    for begin, end in ((0, 2_500_000), (2_500_000, 5_000_000)):
        for one in slow:
            one.pause()
        fell_back = relay.feed("a")["fell_back"]
        publisher.send(made.wire[begin:end])
        lab.loop.run(lambda end=end: live.position == end, what=lambda: f"a live reader at {live.position}")
        for one in slow:
            one.resume()
        lab.loop.run(lambda end=end: all(one.position == end for one in slow),
                     what=lambda: f"all; they are at {[one.position for one in slow]}")
        assert relay.feed("a")["fell_back"] - fell_back >= len(slow)
    relay.wait("a", subscribers_replaying=0)
    seen = relay.feed("a")
    publisher.send(made.wire[5_000_000:])
    relay.run_until_done([live, *slow])
    assert not any(one.gaps for one in slow if hasattr(one, "gaps"))
    assert (seen["subscribers"], seen["subscribers_total"], seen["skipped_messages"]) == (1 + len(slow), joined, 0)
    assert "closed_lag" not in relay.feed("a")


def test_on_slow_replay_of_who_never_reads(lab):
    """It holds nobody up, and is closed for it."""
    made = text_script((1000,) * 4000, 15)
    relay = lab.start(sections(lab, on_slow="replay", stall_timeout="1s"))
    slow = relay.subscribe("web", made, kind=FramedWebSubscriber, base=1, paused=True, receive_buffer=4096)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.wait("a", closed_stalled=1, subscribers=0)
    slow.resume()
    lab.loop.run(lambda: slow.end, what="the end")
    assert slow.end == "rst"


def test_who_does_not_read_is_closed(lab):
    made = text_script((1000,) * 8000, 7)
    relay = lab.start(sections(lab, stall_timeout="1s"))
    begin(lab, relay, made).send(made.wire[1000:])
    read(lab, relay, made, made.count)
    slow = replay(relay, made, paused=True, receive_buffer=4096)
    relay.wait("a", subscribers_replaying=1)
    relay.wait("a", closed_stalled=1, subscribers_replaying=0)
    slow.resume()
    lab.loop.run(lambda: slow.end, what="the end")
    assert slow.end == "rst"


def test_who_keeps_a_deleted_file_is_closed(lab):
    """Slow readers keep the room of one file more than history_size, and no more."""
    made = text_script((1000,) * 24000, 11)
    relay = lab.start(sections(lab, history_size="4m"))
    publisher = begin(lab, relay, made)
    publisher.send(made.wire[1000:3_000_000])
    read(lab, relay, made, 3000).close()
    slow = [relay.subscribe("web", made, kind=kind, paused=True, receive_buffer=4096, **asked(kind, options, "from=0"))
            for kind, options in everything("line")]
    relay.wait("a", subscribers_replaying=len(slow))
    publisher.send(made.wire[3_000_000:])
    relay.wait("a", closed_lag=len(slow), subscribers_replaying=0)
    deleted = [os.readlink(one) for one in Path(f"/proc/{relay.process.pid}/fd").iterdir() if one.is_symlink()]
    assert sum(one.endswith(".rly (deleted)") for one in deleted) <= 1, deleted
    for one in slow:
        one.resume()
    lab.loop.run(lambda: all(one.end for one in slow), what="an end of all")
    assert {one.end for one in slow} == {"rst"}


def test_only_so_many_at_once(lab):
    made = text_script((1000,) * 8000, 9)
    both = sections(lab)
    both["listener web"]["max_replays"] = 2
    relay = lab.start(both)
    begin(lab, relay, made).send(made.wire[1000:])
    live = read(lab, relay, made, made.count)
    slow = [replay(relay, made, paused=True, receive_buffer=4096) for _ in range(2)]
    relay.wait("a", subscribers_replaying=2)
    code, fields, body = ask(relay, "/a?format=framed&from=0")
    assert code == 503 and "retry-after" in fields and "history" in body, (code, fields, body)
    slow[0].unlimited()
    relay.run_until_done([live, slow[0]])
    relay.wait("a", subscribers_replaying=1)
    relay.run_until_done([replay(relay, made)])
    slow[1].close()
    relay.wait("a", subscribers_replaying=0)

# SPDX-License-Identifier: MIT
"""framing = nul, cr, crlf, octet-counted, rtcm3 and beast: what devices and log senders speak."""

import random

import pytest

from relaytest.frames import rtcm3
from relaytest.ini import ENGINES, feed
from relaytest.stream import Script, script
from relaytest.web import Answer, event_text, request

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
WORKERS = {"relay": {"workers": 2}}
SIZES = {"nul": (1, 2, 3, 900, 70_000) * 20, "cr": (1, 2, 3, 900, 70_000) * 20, "crlf": (2, 3, 900, 70_000) * 20,
         "octet-counted": (1, 9, 10, 900, 70_000) * 20, "rtcm3": (0, 1, 2, 19, 300, 1023) * 10,
         "beast": (9, 14, 21, 21, 3, 8) * 60}
WEB = {"listener web": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http"}}


def start(lab, made, **options):
    relay = lab.start(WORKERS | feed("a", framing=made.framing, **LOSSLESS, **options))
    readers = relay.subscribe("a-raw", made, 2) + relay.subscribe("a-framed", made, 2)
    relay.wait("a", subscribers=len(readers))
    return relay, readers


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("framing", SIZES)
def test_whole_messages_however_they_come(lab, framing, engine):
    made = script(framing, SIZES[framing], 1)
    relay, readers = start(lab, made, **ENGINES[engine])
    publisher = relay.publish("a").send(made.wire[:300], 1).send(made.wire[300:20_000], 97).send(made.wire[20_000:])
    relay.run_until_done(readers)
    assert publisher.lost is None
    relay.wait("a", in_messages=made.count, unsynced_bytes=0, sync_losses=0)


@pytest.mark.parametrize("framing", SIZES)
def test_a_hand_over_inside_a_message(lab, framing):
    made = script(framing, SIZES[framing], 2)
    relay, readers = start(lab, made)
    publisher = relay.publish("a")
    pick, at = random.Random(framing), 0
    for _ in range(6):
        end = min(len(made.wire), at + pick.randrange(1, len(made.wire) // 6))
        publisher.send(made.wire[at:end]).flush()
        at = end
        whole = sum(place <= at for place in made.ends)
        # A Beast frame is found where the next one begins behind it.
        relay.wait("a", test=lambda seen, least=whole - 1: seen["in_messages"] >= least)
        relay.upgrade()
    publisher.send(made.wire[at:])
    relay.run_until_done(readers)
    relay.wait("a", in_messages=made.count, source_losses=0, unsynced_bytes=0, sync_losses=0)


@pytest.mark.parametrize("framing, sent", [("nul", b"one\0t\nwo\0"), ("cr", b"one\rt\nwo\r"), ("crlf", b"one\r\nt\nwo\r\n"),
                                           ("octet-counted", b"3 one4 t\nwo")])
def test_events_have_the_bare_text(lab, framing, sent):
    relay = lab.start(feed("a", framing=framing) | WEB)
    browser = Answer(relay, "web", request("/a", {"Accept": "text/event-stream"}))
    relay.wait("a", subscribers=1)
    relay.publish("a", sent)
    lab.loop.run(lambda: b"wo\n\n" in browser.data, what="both events")
    text = event_text(browser.data)
    assert b"data: one\n\n" in text and b"data: t\ndata: wo\n\n" in text, text


@pytest.mark.parametrize("framing", ["nul", "cr", "crlf"])
def test_a_last_one_without_its_end(lab, framing):
    made = script(framing, (9, 5, 7), 3)
    end = {"nul": b"\0", "cr": b"\r", "crlf": b"\r\n"}[framing]
    cut = Script(framing, made.wire.removesuffix(end), ends=made.ends[:-1] + [made.ends[-1] - len(end)])
    relay, readers = start(lab, cut)
    relay.publish("a", cut.wire).flush().close()
    relay.run_until_done(readers)
    relay.wait("a", in_messages=3, partial_messages=0)


def test_other_words_between_frames_are_passed_over(lab):
    """A GNSS receiver mixes its own messages with those of RTCM."""
    frames = [rtcm3(bytes((n, 211, 0)) * 20) for n in range(50)]
    payload = b"".join(frames)
    made = Script("rtcm3", payload, ends=[len(frames[0]) * (n + 1) for n in range(50)])
    nmea = b"$GNGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B\r\n"
    relay, readers = start(lab, made)
    relay.publish("a").send(nmea.join(frames), 100)
    relay.run_until_done(readers)
    relay.wait("a", in_messages=50, unsynced_bytes=49 * len(nmea), sync_losses=49)
    relay.wait_log("no frame found feed=a framing=rtcm3, passing over; ")


def test_a_frame_that_was_changed_is_not_published(lab):
    frames = [rtcm3(bytes((n, n)) * 100) for n in range(1, 5)]
    made = Script("rtcm3", frames[0] + frames[1] + frames[3], ends=[206, 412, 618])
    relay, readers = start(lab, made)
    changed = frames[2][:77] + b"!" + frames[2][78:]
    relay.publish("a").send(frames[0] + frames[1] + changed + frames[3], 50)
    relay.run_until_done(readers)
    relay.wait("a", in_messages=3, unsynced_bytes=206, sync_losses=1)


@pytest.mark.parametrize("bad", [b"<13>1 2026-11-28T00:00:00Z host app - - - words\n", b"05 hello", b" ", b"GET / "])
def test_no_octet_count_ends_the_publisher(lab, bad):
    made = script("octet-counted", (10, 20, 30), 4)
    relay, readers = start(lab, made)
    publisher = relay.publish("a", made.wire + bad)
    lab.loop.run(lambda: publisher.lost, what="the publisher to be closed")
    relay.run_until_done(readers)
    relay.wait("a", in_messages=3, source_bad_count=1)
    relay.wait_log("publisher down feed=a reason=bad_count .*RFC 6587")


def test_a_count_over_max_message_ends_the_publisher(lab):
    made = script("octet-counted", (10, 1000), 5)
    relay, readers = start(lab, made, max_message="1000")
    publisher = relay.publish("a", made.wire + b"1001 ")
    lab.loop.run(lambda: publisher.lost, what="the publisher to be closed")
    relay.run_until_done(readers)
    relay.wait("a", in_messages=2, source_too_long=1)

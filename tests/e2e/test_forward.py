# SPDX-License-Identifier: MIT
"""forward = jetstream: what a publisher sends is in the stream, each message once, over deaths of servers and relays."""

import itertools
import signal
import threading

import pytest

from relaytest import address
from relaytest.admin import Admin
from relaytest.crashing import Crashing
from relaytest.daemon import preload
from relaytest.ini import feed
from relaytest.nats import POLL, Losing
from relaytest.stream import KIB, Script, position_coded, script, text_script

SUBJECT = "prices.x"
FORWARD = {"forward": "jetstream:PRICES", "forward_subject": SUBJECT}
LINES = text_script((200,) * 900, 3)


def forwarding(nats, name="a", framing="line", **options):
    return {"nats": {"servers": nats.url}, **feed(name, framing=framing, **{**FORWARD, **options})}


def start(lab, nats, name=None, **options):
    relay = lab.start(forwarding(nats, **options), **({"name": name} if name else {}))
    relay.wait("a", forward_up=1)
    return relay


def errors(relay, more=0):
    """For wait(): what is counted by now, and so many. A server of a busy machine may not have answered in time."""
    return {"forward_errors": relay.feed("a")["forward_errors"] + more}


def bodies(nats, **options):
    return [body for _, _, body in nats.client().stored(**options)]


def wait_stored(lab, nats, count):
    client = nats.client()
    lab.loop.run(lambda: client.api("STREAM.INFO.PRICES")["state"]["messages"] >= count,
                 what=lambda: client.api("STREAM.INFO.PRICES")["state"], poll=POLL)


def wait_recorded(lab, relay, count):
    """Until so many messages are in the history."""
    admin = Admin(relay)
    lab.loop.run(lambda: admin.get("/status.json")["feeds"][0]["history"]["next_seq"] == count + 1, poll=POLL)


def part(made, first, last):
    """The wire bytes of these messages of a text script."""
    return made.wire[made.start_of(first):made.start_of(last)]


# ---- what lands in the stream ----


def test_each_message_is_one_of_the_stream(lab, server):
    nats = server()
    nats.stream()
    relay = start(lab, nats)
    at_start = errors(relay) | {"forward_connects": relay.feed("a")["forward_connects"]}
    readers = [relay.subscribe("a-raw", LINES), relay.subscribe("a-framed", LINES)]
    relay.wait("a", subscribers=2)
    relay.publish("a", LINES.wire)
    relay.run_until_done(readers)
    relay.wait("a", forward_acked=900, forward_sent=900, forward_duplicates=0, forward_missed=0, forward_lag=0, **at_start)
    session = relay.feed("a")["session"]
    assert nats.client().stored() == [(SUBJECT, f"{SUBJECT}:{session}-{i + 1}", LINES.message(i)) for i in range(900)]
    relay.wait_log(rf"forward up feed=a server={nats.url} stream=PRICES subject={SUBJECT}$")


@pytest.mark.parametrize("framing", ["u32be", "nul", "fixed:188", "octet-counted"])
def test_messages_of_each_framing(lab, server, framing):
    nats = server()
    nats.stream()
    made = script(framing, (188,) * 40 if framing == "fixed:188" else (70_000, 300, 4096, 1) * 10, 2)
    relay = start(lab, nats, framing=framing)
    relay.publish("a", made.wire)
    relay.wait("a", forward_acked=40)
    assert bodies(nats) == made.wire_pieces()


def test_packets_without_messages_are_passed_on_as_they_came(lab, server):
    nats = server()
    nats.stream()
    payload = position_coded(5, 3 << 20)
    relay = start(lab, nats, framing="none")
    relay.publish("a", payload)
    relay.wait("a", in_bytes=len(payload), test=lambda now: now["forward_acked"] == now["in_packets"])
    assert b"".join(bodies(nats)) == payload


def test_two_feeds_give_subscribers_what_the_stream_has(lab, server):
    """What forward_ack = wait would mean: they get a message once the stream has it, with its sequence."""
    nats = server()
    session = nats.stream()
    made = Script("relay", LINES.payload, ends=LINES.ends, first=1, session=session)
    sections = {**forwarding(nats, on_slow="wait"), **feed("b", "jetstream:PRICES", subject=SUBJECT)}
    for name in ("a-raw", "a-framed"):
        del sections[f"listener {name}"]
    relay = lab.start(sections)
    relay.wait("a", forward_up=1)
    relay.wait("b", source_up=1)
    reader = relay.subscribe("b-framed", made)
    relay.wait("b", subscribers=1)
    relay.publish("a", LINES.wire)
    relay.run_until_done([reader])
    assert reader.session == session and not reader.gaps and not reader.holes


def test_operators_see_the_server_and_what_waits(lab, server):
    nats = server()
    nats.stream()
    relay = lab.start({"admin": {"listen": "tcp:127.0.0.1:0"}, **forwarding(nats)})
    admin = Admin(relay)
    publisher = relay.publish("a", part(LINES, 0, 300))
    relay.wait("a", forward_acked=300, forward_lag=0, forward_up=1)
    told = admin.ask("/metrics").text
    assert f'relay_feed_forward_info{{feed="a",server="{nats.url}"}} 1\n' in told
    assert 'relay_feed_forward_lag{feed="a"} 0\n' in told and 'relay_feed_forward_acked_total{feed="a"} 300\n' in told
    shown = admin.get("/status.json")["feeds"][0]["forward"]
    assert (shown["server"], shown["up"], shown["next_seq"]) == (nats.url, True, 301)
    nats.kill()
    publisher.send(part(LINES, 300, 600))
    relay.wait("a", in_messages=600, forward_up=0, forward_lag=300)
    told = admin.ask("/metrics").text
    assert "relay_feed_forward_info{" not in told and 'relay_feed_forward_lag{feed="a"} 300\n' in told
    shown = admin.get("/status.json")["feeds"][0]["forward"]
    assert (shown["server"], shown["up"], shown["next_seq"]) == ("", False, 301)


# ---- over deaths ----


def test_a_server_that_is_killed_costs_no_message_and_doubles_none(lab, server):
    nats = server()
    nats.stream()
    relay = start(lab, nats)
    publisher = relay.publish("a", part(LINES, 0, 300))
    lab.loop.run(lambda: relay.feed("a")["forward_acked"] > 0, poll=POLL)
    nats.kill()
    publisher.send(part(LINES, 300, 600))
    relay.wait_log("forward stopped feed=a: ")
    relay.wait("a", in_messages=600, forward_up=0)
    nats.start()
    publisher.send(part(LINES, 600, 900))
    relay.wait("a", forward_acked=900, forward_lag=0, forward_missed=0, forward_up=1)
    assert bodies(nats) == LINES.wire_pieces()


WAYS = pytest.mark.parametrize("how", ["upgrade", "reload", "crash", "term"])


def go_on(lab, relay, publisher, how, sections, nats, crashing, at_end=lambda: None):
    """The relay that goes on, and its publisher: another one where the first was closed. nats: the section of a reload.
    at_end: between the end of one relay and the start of the next."""
    if how == "upgrade":
        relay.upgrade()
        return relay, publisher
    if how == "reload":
        relay.wait_log("reloaded", relay.reload({**sections, "nats": nats}))
        return relay, publisher
    if how == "crash":
        crashing.die()
        relay = crashing.relay
    else:
        relay.signal(signal.SIGTERM)
        relay.wait_exit()
        at_end()
        relay = lab.start(sections, name="second.ini")
    return relay, relay.publish("a")


@WAYS
def test_a_relay_goes_on_behind_what_the_stream_has(lab, server, how):
    nats = server()
    nats.stream()
    sections = forwarding(nats, on_slow="wait", stall_timeout="1h")
    crashing = Crashing(lab, sections) if how == "crash" else None
    relay = crashing.relay if crashing else lab.start(sections)
    relay.wait("a", forward_up=1)
    publisher = relay.publish("a", part(LINES, 0, 500))
    relay.wait("a", in_messages=500)

    def at_end():
        assert bodies(nats) == LINES.wire_pieces()[:500], "what was in the ring was forwarded first"

    twice = {"servers": f"{nats.url}, {nats.url}"}
    relay, publisher = go_on(lab, relay, publisher, how, sections, twice, crashing, at_end)
    publisher.send(part(LINES, 500, 900))
    wait_stored(lab, nats, 900)
    relay.wait("a", forward_lag=0, forward_missed=0)
    assert bodies(nats) == LINES.wire_pieces()


def test_a_relay_with_a_history_forwards_what_the_one_before_could_not(lab, server):
    nats = server()
    nats.stream()
    options = {"history": lab.directory / "history"}
    first = start(lab, nats, **options)
    publisher = first.publish("a", part(LINES, 0, 300))
    first.wait("a", forward_acked=300)
    nats.kill()
    publisher.send(part(LINES, 300, 600))
    first.wait("a", in_messages=600)
    first.signal(signal.SIGTERM)
    first.wait_exit()
    nats.start()
    second = start(lab, nats, name="second.ini", **options)
    second.publish("a", part(LINES, 600, 900))
    second.wait("a", forward_acked=600, forward_missed=0, forward_lag=0)
    assert bodies(nats) == LINES.wire_pieces()


def test_after_an_upgrade_that_failed_whoever_was_not_paused_goes_on(lab, server):
    """The disk of the feed before does not answer, so the forwarder and the recorder of this one are not asked to pause."""
    nats = server()
    nats.stream()
    says_so = lab.memory / "disk-hangs"
    before = feed("a", framing="line", history=lab.directory / "history-a")
    relay = lab.start({**before, **forwarding(nats, "b", history=lab.directory / "history-b")},
                      env=preload(RELAY_HANG=f"pwrite:{says_so}"))
    relay.wait("b", forward_up=1)
    says_so.touch()
    relay.publish("a", b"one\n")
    relay.wait("a", in_messages=1)
    relay.expect("upgrade failed").upgrade("upgrade failed: history .*-a: after .* not all of it is on the disk.*nothing has changed")
    says_so.unlink()
    relay.publish("b", LINES.wire)
    relay.wait("b", forward_acked=900, forward_sent=900, forward_duplicates=0, forward_connects=1, subscribers_total=2)
    assert bodies(nats) == LINES.wire_pieces()


# ---- what the stream has not, though it has later ones ----


def way_that_loses(lab, nats, number, **options):
    way = Losing(nats, f"-{number}", **options)
    lab.closers.append(way.close)
    return way


def losing(lab, nats, number, **options):
    return way_that_loses(lab, nats, number, **options).url


def test_nothing_overtakes_what_was_lost_on_the_way(lab, server):
    """In a stream that has this subject alone: those behind it wait until it is published again."""
    nats = server()
    nats.stream(subjects=[SUBJECT])
    relay = lab.start(forwarding(nats) | {"nats": {"servers": losing(lab, nats, 300)}})
    relay.wait("a", forward_up=1)
    once_more = {**errors(relay, 1), "forward_connects": relay.feed("a")["forward_connects"] + 1}
    relay.expect("stream PRICES lacks a message that was published before; relay begins again with that")
    relay.publish("a", LINES.wire)
    relay.wait("a", forward_acked=900, forward_up=1, **once_more)
    assert bodies(nats) == LINES.wire_pieces()


@WAYS
def test_who_goes_on_finds_what_was_lost_on_the_way(lab, server, how):
    """Nobody has noticed yet that the stream does not acknowledge it."""
    nats = server()
    nats.stream()
    sections = forwarding(nats, history=lab.directory / "history", on_slow="replay", on_history_lag="wait")
    sections["nats"] = {"servers": losing(lab, nats, 300)}
    crashing = Crashing(lab, sections) if how == "crash" else None
    relay = crashing.relay if crashing else lab.start(sections)
    relay.wait("a", forward_up=1)
    publisher = relay.publish("a", part(LINES, 0, 600))
    relay.wait("a", test=lambda seen: seen["forward_acked"] >= 599)
    relay, publisher = go_on(lab, relay, publisher, how, sections, {"servers": nats.url}, crashing)
    publisher.send(part(LINES, 600, 900))
    wait_stored(lab, nats, 900)
    relay.wait("a", forward_lag=0, forward_up=1, forward_missed=0)
    got = bodies(nats)
    assert sorted(got) == sorted(LINES.wire_pieces())
    assert [one for one in got if one != LINES.message(299)] == LINES.wire_pieces()[:299] + LINES.wire_pieces()[300:]


def test_who_goes_on_finds_what_was_refused(lab, server):
    """Relay is killed before it could publish that again."""
    nats = server()
    nats.stream()
    sections = {"admin": {"listen": "tcp:127.0.0.1:0"}, **forwarding(nats, history=lab.directory / "history")}
    relay = lab.start({**sections, "nats": {"servers": losing(lab, nats, 300, refused=True)}})
    relay.wait("a", forward_up=1)
    relay.publish("a", part(LINES, 0, 600))
    relay.wait_log("forward stopped feed=a: stream PRICES takes no message: expected stream does not match")
    wait_recorded(lab, relay, 600)
    relay.signal(signal.SIGKILL)
    relay.wait_exit()
    before = bodies(nats)
    assert LINES.message(299) not in before and LINES.message(300) in before
    second = lab.start(sections, name="second.ini")
    second.publish("a", part(LINES, 600, 900))
    wait_stored(lab, nats, 900)
    second.wait("a", forward_lag=0, forward_up=1, forward_missed=0, forward_acked=900 - len(before))
    assert sorted(bodies(nats)) == sorted(LINES.wire_pieces())


def test_what_was_deleted_from_the_stream_does_not_come_back(lab, server):
    nats = server()
    nats.stream(duplicate_window=100_000_000)
    options = {"history": lab.directory / "history"}
    first = start(lab, nats, **options)
    first.publish("a", part(LINES, 0, 600))
    first.wait("a", forward_acked=600)
    nats.client().api("STREAM.MSG.DELETE.PRICES", seq=300)
    first.signal(signal.SIGTERM)
    first.wait_exit()
    second = start(lab, nats, name="second.ini", **options)
    second.publish("a", part(LINES, 600, 900))
    second.wait("a", forward_acked=300, forward_sent=300, forward_lag=0, forward_missed=0)
    state = nats.client().api("STREAM.INFO.PRICES")["state"]
    assert (state["messages"], state["last_seq"], state["num_deleted"]) == (899, 900, 1)


def test_what_stands_behind_later_ones_hides_none_of_them(lab, server):
    """What was lost on the way is the newest message then; and the stream knows no ids any more."""
    nats = server()
    nats.stream(duplicate_window=100_000_000)
    sections = forwarding(nats, history=lab.directory / "history")
    sections["nats"] = {"servers": losing(lab, nats, 300)}
    first = lab.start(sections)
    first.publish("a", part(LINES, 0, 600))
    first.wait_log("forward stopped feed=a: stream PRICES has acknowledged nothing for 5 s")
    first.wait("a", forward_acked=600, forward_sent=601, forward_duplicates=0, forward_up=1)
    want = LINES.wire_pieces()[:299] + LINES.wire_pieces()[300:600] + [LINES.message(299)]
    assert bodies(nats) == want
    first.signal(signal.SIGTERM)
    first.wait_exit()
    second = lab.start(sections, name="second.ini")
    second.publish("a", part(LINES, 600, 900))
    second.wait("a", forward_acked=300, forward_lag=0, forward_missed=0)
    assert bodies(nats) == want + LINES.wire_pieces()[600:]


# ---- what comes late ----


def die_with_one_on_its_way(lab, nats, **options):
    """A relay that is killed. The stream has 299 messages of it; the next one is still on its way there."""
    way = way_that_loses(lab, nats, 300, late=True)
    sections = {**forwarding(nats, **options), "nats": {"servers": way.url}, "admin": {"listen": "tcp:127.0.0.1:0"}}
    relay = lab.start(sections)
    relay.wait("a", forward_up=1)
    publisher = relay.publish("a", part(LINES, 0, 299))
    relay.wait("a", forward_acked=299)
    publisher.send(LINES.message(299))
    lab.loop.run(way.is_on_its_way.is_set, what="message 300 to be published", poll=POLL)
    if "history" in options:
        wait_recorded(lab, relay, 300)
    relay.signal(signal.SIGKILL)
    relay.wait_exit()
    return way


def test_what_comes_late_is_not_taken_behind_newer_ones(lab, server):
    nats = server()
    nats.stream(subjects=[SUBJECT])
    way = die_with_one_on_its_way(lab, nats)
    relay = start(lab, nats, name="second.ini")
    at_start = errors(relay)
    publisher = relay.publish("a", LINES.message(300))
    relay.wait("a", forward_acked=1)
    assert b"wrong last sequence" in way.arrive()
    publisher.send(LINES.message(301))
    relay.wait("a", forward_acked=2, **at_start)
    assert bodies(nats) == LINES.wire_pieces()[:299] + LINES.wire_pieces()[300:302]


def test_what_comes_late_is_not_taken_twice(lab, server):
    """The relay that goes on in its place has published it, and the stream no longer knows its id."""
    nats = server()
    nats.stream(subjects=[SUBJECT], duplicate_window=100_000_000)
    options = {"history": lab.directory / "history"}
    way = die_with_one_on_its_way(lab, nats, **options)
    relay = start(lab, nats, name="second.ini", **options)
    at_start = errors(relay)
    relay.wait("a", forward_acked=1)
    nats.wait_ids_forgotten(100_000_000)
    assert b"wrong last sequence" in way.arrive()
    relay.publish("a", part(LINES, 300, 900))
    relay.wait("a", forward_acked=601, **at_start)
    assert bodies(nats) == LINES.wire_pieces()


# ---- origins in pairs ----

NUMBERED = script("relay", (900,) * 600, 4, 2)
SUBJECTS = pytest.mark.parametrize("subjects", [["prices.>"], [SUBJECT]], ids=["of-several", "alone"])


def pair(lab, nats):
    return [start(lab, nats, name=f"{i}.ini", framing="relay:fixed:900") for i in range(2)]


def packets_until(count):
    """The wire bytes of so many messages of NUMBERED: two in each packet."""
    return count // 2 * (32 + 2 * 900)


@SUBJECTS
def test_of_two_origins_either_may_die(lab, server, subjects):
    nats = server()
    nats.stream(subjects=subjects)
    relays = pair(lab, nats)
    publishers = [relay.publish("a", NUMBERED.wire[:packets_until(200)]) for relay in relays]
    for relay in relays:
        relay.wait("a", forward_acked=200)
    assert sum(relay.feed("a")["forward_duplicates"] for relay in relays) == 200
    relays[0].signal(signal.SIGKILL)
    relays[0].wait_exit()
    publishers[1].send(NUMBERED.wire[packets_until(200):packets_until(400)])
    relays[1].wait("a", forward_acked=400)
    again = start(lab, nats, name="again.ini", framing="relay:fixed:900")
    later = again.publish("a", NUMBERED.wire[packets_until(300):packets_until(500)])
    again.wait("a", in_messages=200, forward_acked=100)
    relays[1].signal(signal.SIGKILL)
    relays[1].wait_exit()
    later.send(NUMBERED.wire[packets_until(500):])
    again.wait("a", in_messages=300, forward_acked=200, forward_missed=0)
    assert bodies(nats) == [NUMBERED.payload[i * 900:(i + 1) * 900] for i in range(600)]


@SUBJECTS
def test_an_origin_that_was_away_for_longer_than_the_window_doubles_nothing(lab, server, subjects):
    nats = server()
    nats.stream(subjects=subjects)
    relays = pair(lab, nats)
    publishers = [relay.publish("a", NUMBERED.wire[:packets_until(200)]) for relay in relays]
    for relay in relays:
        relay.wait("a", forward_acked=200)
    nats.change_stream(duplicate_window=100_000_000)
    nats.kill()
    for relay, publisher in zip(relays, publishers):
        publisher.send(NUMBERED.wire[packets_until(200):])
        relay.wait("a", in_messages=600, forward_up=0)
    relays[1].process.send_signal(signal.SIGSTOP)
    nats.start()
    relays[0].wait("a", forward_acked=600)
    assert len(bodies(nats)) == 600
    relays[1].process.send_signal(signal.SIGCONT)
    relays[1].wait("a", forward_lag=0, forward_up=1)
    assert bodies(nats) == [NUMBERED.payload[i * 900:(i + 1) * 900] for i in range(600)]


def test_the_first_messages_of_an_origin_are_not_taken_twice(lab, server):
    """It has looked at the stream before the other one published them, and the stream no longer knows their ids."""
    nats = server()
    nats.stream(subjects=[SUBJECT], duplicate_window=100_000_000)
    relays = pair(lab, nats)
    relays[0].publish("a", NUMBERED.wire[:packets_until(200)])
    relays[0].wait("a", forward_acked=200)
    nats.wait_ids_forgotten(100_000_000)
    relays[1].expect("stream PRICES has got messages since relay looked at it; relay looks again")
    once_more = errors(relays[1], 1)
    relays[1].publish("a", NUMBERED.wire)
    relays[1].wait("a", in_messages=600, forward_lag=0, forward_up=1, forward_missed=0, **once_more)
    assert bodies(nats) == [NUMBERED.payload[i * 900:(i + 1) * 900] for i in range(600)]


def test_an_origin_gets_in_however_much_the_other_one_publishes(lab, server):
    """More of it has come whenever this one has looked at the stream: it looks three times at most."""
    nats = server()
    nats.stream(subjects=[SUBJECT], storage="memory")
    relay = start(lab, nats)
    relay.expect("stream PRICES has got messages since relay looked at it; relay looks again")
    other, has_got_in = nats.client(), threading.Event()

    def publish():
        for number in itertools.count(1):
            if has_got_in.is_set():
                return
            other.request(SUBJECT, bytes(64 * KIB), Nats_Msg_Id=f"{SUBJECT}:7-{number}")

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    wait_stored(lab, nats, 100)
    most = errors(relay, 3)["forward_errors"]
    relay.publish("a", b"one\n")
    relay.wait("a", forward_acked=1, forward_duplicates=0, forward_up=1, test=lambda now: now["forward_errors"] <= most)
    has_got_in.set()
    thread.join()


# ---- slow ----

BIG = text_script((4000,) * 1500, 6)  # 6 MB
SLOW = {"ring": "512k", "segment": "64k", "grace": "0"}


def test_what_the_ring_loses_is_told_and_counted(lab, server):
    nats = server()
    nats.stream()
    relay = start(lab, nats, **SLOW)
    nats.process.send_signal(signal.SIGSTOP)
    relay.publish("a", BIG.wire)
    relay.wait("a", in_messages=1500, test=lambda now: now["gaps"] > 0)
    nats.process.send_signal(signal.SIGCONT)
    relay.wait("a", test=lambda now: now["forward_acked"] + now["forward_missed"] == 1500)
    assert relay.feed("a")["forward_missed"]
    relay.wait_log("forward misses messages feed=a session=")
    got = bodies(nats)
    seen = relay.feed("a")
    assert len(got) + seen["forward_missed"] == 1500
    places = [BIG.wire_pieces().index(one) for one in got]
    assert places == sorted(set(places)) and places[0] == 0


def test_the_publisher_waits(lab, server):
    nats = server()
    nats.stream()
    relay = start(lab, nats, on_slow="wait", stall_timeout="1h", **SLOW)
    nats.process.send_signal(signal.SIGSTOP)
    relay.publish("a", BIG.wire)
    relay.wait("a", test=lambda now: now["wait_pauses"] > 0)
    assert relay.feed("a")["in_messages"] < 1500
    nats.process.send_signal(signal.SIGCONT)
    relay.wait("a", in_messages=1500, forward_acked=1500, forward_missed=0)
    assert bodies(nats) == BIG.wire_pieces()


# ---- what is wrong ----

BAD = {
    "no-stream": ({}, None, "there is no stream PRICES; `nats stream ls` lists"),
    "no-subject": ({}, {"subjects": ["other.>"]}, "stream PRICES has no subject prices.x; `nats stream info PRICES`"),
    "no-ack": ({}, {"no_ack": True}, r"stream PRICES acknowledges nothing \(no_ack\)"),
    "no-jetstream": ({"jetstream": False}, None, "JetStream is not there"),
    "login": ({"more": 'authorization { user: u, password: p }\n'}, None, "the servers do not take the user"),
}


def serves_on(relay, words):
    """It says so once, and goes on with all else."""
    made = Script("line", b"one\n", ends=[4])
    other = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    relay.publish("a", b"one\n")
    relay.wait_log(f"forward stopped feed=a: .*{words}")
    relay.run_until_done([other])
    relay.wait("a", forward_up=0, test=lambda now: now["forward_errors"] > 2)
    assert sum("forward stopped" in line for line in relay.log) == 1


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_forwarded_to_is_said_once(lab, server, case):
    server_options, stream, words = BAD[case]
    nats = server(**server_options)
    if stream is not None:
        nats.stream(**stream)
    relay = lab.start(forwarding(nats))
    serves_on(relay, words)
    if case == "no-stream":
        nats.stream()
        relay.wait("a", forward_up=1, forward_lag=0)
        assert bodies(nats) == [b"one\n"]


def test_servers_that_are_not_there_hold_up_nothing(lab, server):
    port = address.spare_port()
    relay = lab.start({**forwarding(server("other")), "nats": {"servers": f"nats://127.0.0.1:{port}"}})
    serves_on(relay, r"cannot connect: .*no server of \[nats\] servers answers")
    late = server("late", port=port)
    late.stream()
    relay.wait("a", forward_up=1, forward_lag=0)
    assert bodies(late) == [b"one\n"]


def test_what_a_user_may_not_publish_is_named(lab, server):
    users = '{ user: boss, password: p }, { user: joe, password: p, permissions: { publish: "$JS.API.>" } }'
    nats = server(more=f"authorization {{ users: [ {users} ] }}\n")
    boss = nats.client(user="boss", **{"pass": "p"})
    boss.api("STREAM.CREATE.PRICES", name="PRICES", subjects=["prices.>"], storage="file", num_replicas=1)
    secret = lab.directory / "secret"
    secret.write_text("p\n")
    sections = forwarding(nats)
    sections["nats"].update(user="joe", password_file=secret)
    relay = lab.start(sections)
    serves_on(relay, rf'Permissions Violation for Publish to "{SUBJECT}".*the user needs to publish to {SUBJECT}, ')


@pytest.mark.parametrize("whose", ["server", "stream"])
def test_too_long_a_message_is_left_out_and_named(lab, server, whose):
    nats = server(**({"more": "max_payload: 2000\n"} if whose == "server" else {}))
    nats.stream(**({"max_msg_size": 2000} if whose == "stream" else {}))
    relay = start(lab, nats)
    at_start = errors(relay)
    relay.publish("a", b"one\n" + bytes(2000) + b"\n" + b"two\n")
    relay.wait("a", forward_acked=2, forward_too_long=1, forward_lag=0, **at_start)
    relay.wait_log("forward leaves out a message feed=a session=[0-9]+ sequence=2 bytes=2001: it is longer than")
    assert bodies(nats) == [b"one\n", b"two\n"]

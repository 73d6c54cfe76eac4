# SPDX-License-Identifier: MIT
"""ingest = nats and jetstream: one sequence at every relay, over deaths of servers and relays; what is wrong is said."""

import json
import shutil
import signal
import time

import pytest

from relaytest import address, packet
from relaytest.admin import Admin
from relaytest.ini import feed, web
from relaytest.nats import POLL
from relaytest.stream import Script, position_coded
from relaytest.web import EventSubscriber, FramedWebSubscriber, ask

KEPT = {"burst": "4096k"}
SUBJECT = "prices.x"


def messages(count, seed=1, size=900, first=1, session=None):
    """A script of messages with these numbers in a stream."""
    payload = position_coded(seed, count * size)
    return Script("relay", payload, ends=[size * (i + 1) for i in range(count)], first=first, session=session)


def reading(server, ingest, name="a", make=web, servers=None, **options):
    return {"nats": {"servers": servers or server.url}, **make(name=name, ingest=ingest, **{**KEPT, **options})}


def start(lab, server, ingest="jetstream:PRICES", **options):
    keys = {key: options.pop(key) for key in ("name", "directory", "options", "wait") if key in options}
    relay = lab.start(reading(server, ingest, **options), **keys)
    if keys.get("wait", True):
        relay.wait("a", source_up=1)
    return relay


def framed(relay, made, **options):
    reader = FramedWebSubscriber(relay.loop, relay.address["listener web"], made, same_session=False, **options)
    relay.peers.append(reader)
    return reader


def resume(relay, made, session, sequence):
    """A subscriber that has all before `sequence` from somewhere else."""
    return framed(relay, made, path=f"/a?format=framed&from={session}-{sequence}")


def of_stream(reader):
    """What the packets with messages say of themselves."""
    return [(h.session, h.sequence, h.count, h.length, h.time) for h in reader.headers]


# ---- reading ----


def test_what_is_published_to_a_subject_now(lab, server):
    nats = server(jetstream=False)
    made = messages(50, first=None)
    relay = start(lab, nats, f"nats:{SUBJECT}", make=feed)
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    nats.client().publish(SUBJECT, *made.wire_pieces())
    relay.run_until_done(readers)
    assert all(header.count == 1 for header in readers[1].headers)
    relay.wait("a", in_messages=50, source_missed=0, source_connects=1, nats_connects=1)
    relay.wait_log(rf"publisher up feed=a peer={nats.url} subject={SUBJECT}$")


def test_a_message_has_the_same_number_at_every_relay(lab, server):
    nats = server()
    session = nats.stream()
    made = messages(100, session=session)
    relays = [start(lab, nats, name=f"{i}.ini") for i in range(2)]
    readers = [framed(relay, made) for relay in relays]
    for relay in relays:
        relay.wait("a", subscribers=1)
    nats.client().store(SUBJECT, *made.wire_pieces())
    relays[0].run_until_done(readers)
    assert of_stream(readers[0]) == of_stream(readers[1])
    assert readers[0].session == session
    for relay in relays:
        relay.wait("a", source_missed=0, source_holes=0, nats_renewals=0)


def test_a_subscriber_of_a_relay_that_dies_goes_on_at_another(lab, server):
    nats = server()
    session = nats.stream()
    made = messages(100, session=session)
    pieces = made.wire_pieces()
    publisher = nats.client()
    first, second = (start(lab, nats, name=f"{i}.ini") for i in range(2))
    reader = framed(first, made)
    first.wait("a", subscribers=1)
    publisher.store(SUBJECT, *pieces[:40])
    first.loop.run(lambda: reader.messages == 40)
    first.signal(signal.SIGKILL)
    first.wait_exit()
    publisher.store(SUBJECT, *pieces[40:])
    again = resume(second, made, session, 41)
    second.run_until_done([again])
    assert again.headers[0].sequence == 41 and again.messages == 60
    assert not again.gaps and not again.holes


def test_events_have_the_numbers_of_the_stream(lab, server):
    nats = server()
    session = nats.stream()
    lines = Script("relay", b"".join(b"line %03d\n" % i for i in range(20)), ends=[9 * (i + 1) for i in range(20)])
    relay = start(lab, nats)
    nats.client().store(SUBJECT, *(piece[:-1] for piece in lines.wire_pieces()))
    relay.wait("a", in_messages=20)
    reader = EventSubscriber(relay.loop, relay.address["listener web"], lines, path=f"/a?from={session}-11")
    relay.peers.append(reader)
    relay.loop.run(lambda: reader.last_id == 20)
    assert reader.start == lines.start_of(10) and reader.last_event_id == f"{session}-20"


def test_a_relay_that_starts_cold_has_the_past(lab, server):
    nats = server()
    session = nats.stream()
    made = messages(100, session=session)
    nats.client().store(SUBJECT, *made.wire_pieces())
    relay = start(lab, nats, backfill="1h")
    relay.wait("a", in_messages=100)
    reader = resume(relay, made, session, 1)
    relay.run_until_done([reader])
    assert reader.messages == 100 and not reader.gaps


def test_without_backfill_a_feed_begins_with_what_is_new(lab, server):
    nats = server()
    session = nats.stream()
    made = messages(60, session=session)
    pieces = made.wire_pieces()
    publisher = nats.client()
    publisher.store(SUBJECT, *pieces[:30])
    relay = start(lab, nats)
    reader = framed(relay, made)
    relay.wait("a", subscribers=1)
    publisher.store(SUBJECT, *pieces[30:])
    relay.run_until_done([reader])
    assert reader.headers[0].sequence == 31


def test_what_a_filter_leaves_out_is_a_hole_and_no_loss(lab, server):
    nats = server()
    session = nats.stream()
    made = messages(40, session=session)
    relay = start(lab, nats, subject=SUBJECT, make=web)
    reader = framed(relay, made)
    lower = lab.start(feed("b", f"connect {relay.address['listener a-framed']}", framing="relay"), name="lower.ini")
    behind = lower.subscribe("b-framed", made, same_session=False)
    relay.wait("a", subscribers=2)
    lower.wait("b", subscribers=1)
    publisher = nats.client()
    for index, piece in enumerate(made.wire_pieces()):
        publisher.store("prices.other" if index % 4 == 1 else SUBJECT, piece)
    relay.run_until_done([reader, behind])
    for one in (reader, behind):
        assert one.holes == [(2 + 4 * i, 3 + 4 * i) for i in range(10)] and not one.gaps
        assert one.messages == 30
    relay.wait("a", source_holes=10, source_missed=0)
    lower.wait("b", source_holes=10, source_missed=0)
    told = lab.run_tool("relaycat", "--stats", "--headers", "-n", "1", relay.address["listener a-framed"])
    assert "gaps=0 missed=0 errors=0" in told.stderr + told.stdout


def test_empty_messages_are_holes_and_long_ones_are_told(lab, server):
    nats = server()
    session = nats.stream()
    made = messages(4, session=session)
    one, two, three, four = made.wire_pieces()
    relay = start(lab, nats, max_message="1000")
    reader = framed(relay, made)
    relay.wait("a", subscribers=1)
    nats.client().store(SUBJECT, one, b"", bytes(1001), four)
    relay.run_until_done([reader])
    assert reader.holes == [(2, 3)] and reader.gaps == [(3, 4)]
    relay.wait("a", source_holes=1, source_missed=1, nats_too_long=1)
    relay.wait_log("nats message passed over feed=a sequence=3 bytes=1001, more than max_message")


def test_a_reload_changes_what_is_too_long(lab, server):
    nats = server()
    nats.stream()
    relay = start(lab, nats, max_message="1000")
    client = nats.client()
    client.store(SUBJECT, bytes(1001))
    relay.wait("a", nats_too_long=1)
    relay.wait_log(r" reloaded\b", relay.reload(reading(nats, "jetstream:PRICES", max_message="2000")))

    def is_taken():  # the reader is told within a tick
        client.store(SUBJECT, bytes(1001))
        return relay.feed("a")["in_messages"] > 0

    lab.loop.run(is_taken, what="a message to be taken", poll=POLL)


def test_a_mirror_gets_its_session_by_hand(lab, server):
    nats = server()
    nats.stream()
    made = messages(10, session=4711)
    relay = start(lab, nats, session=4711)
    reader = framed(relay, made)
    relay.wait("a", subscribers=1)
    nats.client().store(SUBJECT, *made.wire_pieces())
    relay.run_until_done([reader])
    assert reader.session == 4711


# ---- over deaths ----


def test_a_server_that_is_killed_costs_no_message(lab, server):
    nats = server()
    session = nats.stream()
    made = messages(100, session=session)
    pieces = made.wire_pieces()
    relay = start(lab, nats)
    reader = framed(relay, made)
    relay.wait("a", subscribers=1)
    nats.client().store(SUBJECT, *pieces[:50])
    relay.loop.run(lambda: reader.messages == 50)
    nats.kill()
    relay.wait_log("nats source read anew feed=a .*: the (connection is lost|subscription has ended)")
    nats.start()
    nats.client().store(SUBJECT, *pieces[50:])
    relay.run_until_done([reader])
    assert not reader.gaps and not reader.holes
    assert packet.SOURCE_DOWN not in reader.events
    relay.wait("a", source_missed=0, source_repeated=0, source_up=1, nats_connects=2)


def test_another_server_is_taken(lab, server):
    nats = server()
    session = nats.stream()
    made = messages(10, session=session)
    relay = start(lab, nats, servers=f"nats://127.0.0.1:{address.spare_port()}, {nats.url}")
    reader = framed(relay, made)
    relay.wait("a", subscribers=1)
    nats.client().store(SUBJECT, *made.wire_pieces())
    relay.run_until_done([reader])


@pytest.mark.parametrize("how", ["upgrade", "reload"])
def test_a_feed_goes_on_with_the_next_message(lab, server, how):
    nats = server()
    session = nats.stream()
    made = messages(90, session=session)
    pieces = made.wire_pieces()
    relay = start(lab, nats)
    reader = framed(relay, made)
    relay.wait("a", subscribers=1)
    publisher = nats.client()
    publisher.store(SUBJECT, *pieces[:30])
    relay.loop.run(lambda: reader.messages == 30)
    publisher.publish(SUBJECT, *pieces[30:60])
    if how == "upgrade":
        relay.upgrade()
    else:
        sections = reading(nats, "jetstream:PRICES", servers=f"{nats.url}, {nats.url}")
        relay.wait_log("reloaded", relay.reload(sections))
    publisher.flush()
    publisher.store(SUBJECT, *pieces[60:])
    relay.run_until_done([reader])
    assert not reader.gaps and packet.SOURCE_DOWN not in reader.events
    relay.wait("a", in_messages=90, source_missed=0, source_repeated=0)


def begin_and_end(lab, nats, pieces, number):
    """A relay with a history has read these messages, and is ended by this signal. The options of the next one."""
    options = {"history": lab.directory / "history"}
    relay = start(lab, nats, **options)
    nats.client().store(SUBJECT, *pieces)
    relay.wait("a", in_messages=len(pieces))
    relay.signal(number)
    relay.wait_exit()
    return {"name": "second.ini", **options}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_a_feed_with_a_history_goes_on_where_it_was(lab, server, number):
    nats = server()
    session = nats.stream()
    made = messages(60, session=session)
    pieces = made.wire_pieces()
    options = begin_and_end(lab, nats, pieces[:30], number)
    nats.client().store(SUBJECT, *pieces[30:])
    second = start(lab, nats, **options)
    second.wait("a", next_seq=61)
    reader = resume(second, made, session, 1)
    second.run_until_done([reader])
    assert reader.messages == 60 and not reader.gaps


@pytest.mark.parametrize("how", ["purged", "deleted"])
def test_what_is_gone_before_it_was_read_is_a_hole(lab, server, how):
    """As over a weekend, where the stream has a max_age: nothing is to come, and it is not asked for again and again."""
    nats = server()
    session = nats.stream()
    made = messages(7, session=session)
    pieces = made.wire_pieces()
    options = begin_and_end(lab, nats, pieces[:3], signal.SIGTERM)
    publisher = nats.client()
    publisher.store(SUBJECT, *pieces[3:6])
    if how == "purged":
        publisher.api("STREAM.PURGE.PRICES")
    else:
        for sequence in (4, 5, 6):
            publisher.api("STREAM.MSG.DELETE.PRICES", seq=sequence)
    looks = nats.client().watch("$JS.API.STREAM.INFO.PRICES")
    second = start(lab, nats, **options)
    for _ in range(4):
        looks.message()
    second.wait("a", nats_lag=0, nats_renewals=0)
    reader = resume(second, made, session, 1)
    publisher.store(SUBJECT, pieces[6])
    second.run_until_done([reader])
    assert reader.holes == [(4, 7)] and not reader.gaps
    second.wait("a", source_holes=3, source_missed=0, nats_renewals=0)


def test_who_may_not_ask_for_single_messages_reads_on(lab, server):
    """Nobody tells it then whether the newest message, which has been deleted here, is there."""
    nats = server(more="""
        authorization { users = [{user: all, password: x}, {user: reader, password: y, permissions: {
            publish: {deny: "$JS.API.STREAM.MSG.GET.>"}}}] }
        no_auth_user: all
    """)
    session = nats.stream()
    made = messages(4, first=3, session=session)
    publisher = nats.client()
    publisher.store(SUBJECT, b"kept", b"deleted")
    publisher.api("STREAM.MSG.DELETE.PRICES", seq=2)
    password = lab.directory / "password"
    password.write_text("y")
    password.chmod(0o600)
    sections = reading(nats, "jetstream:PRICES")
    sections["nats"] |= {"user": "reader", "password_file": password}
    relay = lab.start(sections)
    relay.wait("a", source_up=1)
    reader = framed(relay, made)
    relay.wait("a", subscribers=1)
    publisher.store(SUBJECT, *made.wire_pieces())
    relay.run_until_done([reader])
    relay.wait("a", source_missed=0, nats_renewals=0)


def test_a_stream_that_is_made_anew_is_another_session(lab, server):
    nats = server()
    nats.stream()
    relay = start(lab, nats)
    publisher = nats.client()
    publisher.store(SUBJECT, *messages(5).wire_pieces())
    relay.wait("a", in_messages=5)
    publisher.api("STREAM.DELETE.PRICES")
    session = nats.stream()
    made = messages(7, seed=2, session=session)
    publisher.store(SUBJECT, *made.wire_pieces())
    relay.wait_log(f"nats stream made anew feed=a stream=PRICES session={session}$")
    relay.wait("a", in_messages=12, source_missed=0)
    reader = resume(relay, made, session, 1)
    relay.run_until_done([reader])


@pytest.mark.parametrize("is_late", [True, False], ids=["late", "gone"])
def test_a_stream_that_lacks_what_was_read_of_it(lab, server, is_late):
    """It is waited for. Where other messages have its numbers, they are read in a session of its own."""
    nats = server()
    session = nats.stream()
    made, others = messages(5, session=session), messages(3, seed=2, first=4)
    store, kept = lab.directory / "s", lab.directory / "kept"
    nats.client().store(SUBJECT, *made.wire_pieces()[:3])
    nats.kill(signal.SIGTERM)
    shutil.copytree(store, kept)
    nats.start()
    relay = start(lab, nats, backfill="1h")
    nats.client().store(SUBJECT, *made.wire_pieces()[3:])
    relay.wait("a", in_messages=5)
    reader = resume(relay, made, session, 1)
    relay.run_until_done([reader])
    reader.reset()
    nats.kill(signal.SIGTERM)
    store.rename(lab.directory / "whole")
    kept.rename(store)
    nats.start()
    relay.wait_log("nats source not read feed=a: stream PRICES ends before message 5, which was read: waiting for it")
    if is_late:
        nats.kill()
        shutil.rmtree(store)
        (lab.directory / "whole").rename(store)
        nats.start()
        nats.client().store(SUBJECT, b"six")
        relay.wait("a", in_messages=6, nats_losses=0, source_missed=0, session=session, next_seq=7)
        return
    nats.client().store(SUBJECT, *others.wire_pieces())
    relay.wait("a", in_messages=8, nats_losses=1, source_missed=0, next_seq=7)
    relay.wait_log("nats stream has lost messages feed=a stream=PRICES from=4 read=5, going on in a session of its own")
    others.session = relay.feed("a")["session"]
    assert others.session != session
    relay.run_until_done([resume(relay, others, others.session, 4)])


def test_a_feed_that_waits_for_a_subscriber_takes_no_memory(lab, server):
    """What the stream has more waits there."""
    nats = server()
    nats.stream()
    size, count = 1 << 19, 240
    piece = position_coded(1, size)
    made = Script("relay", b"", ends=[])
    relay = start(lab, nats, make=feed, on_slow="wait", stall_timeout="1h", ring="1m", burst="0",
                  raw={"send_buffer": "64k"})
    reader = relay.subscribe("a-raw", made, paused=True)
    relay.wait("a", subscribers=1)
    publisher = nats.client()
    before = relay.resident()
    for _ in range(count):
        publisher.publish(SUBJECT, piece).flush()
    relay.wait("a", test=lambda now: now["wait_pauses"] > 0)
    seen = relay.feed("a")["in_messages"]
    assert seen < count / 2
    assert relay.resident() - before < 60 << 20, "flow control holds 32 MiB, the ring 1"
    reader.compare = lambda data: None
    reader.resume()
    relay.wait("a", in_messages=count, source_missed=0)


# ---- what is wrong ----

WORKQUEUE = {"retention": "workqueue"}
BAD = {
    "no-stream": ({}, None, {}, "there is no stream PRICES; `nats stream ls` lists"),
    "workqueue": ({}, WORKQUEUE, {}, r"stream PRICES removes messages as they are read \(retention = workqueue\)"),
    "interest": ({}, {"retention": "interest"}, {}, r"\(retention = interest\)"),
    "no-jetstream": ({"jetstream": False}, None, {}, "JetStream is not there"),
    "login": ({"more": 'authorization { user: u, password: p }\n'}, None, {}, "the servers do not take the user"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_said_once(lab, server, case):
    server_options, stream, options, words = BAD[case]
    nats = server(**server_options)
    if stream is not None:
        nats.stream(**stream)
    relay = lab.start({**reading(nats, "jetstream:PRICES", **options), **feed("b", framing="line")})
    other = relay.subscribe("b-raw", Script("line", b"one\n", ends=[4]))
    relay.wait("b", subscribers=1)
    relay.wait_log(f"nats source not read feed=a: .*{words}")
    relay.publish("b", b"one\n")
    relay.run_until_done([other])
    assert relay.feed("a")["source_up"] == 0
    if case == "login":
        relay.loop.run(lambda: nats.log.read_text().count("authentication error") > 2, poll=POLL)
    else:
        relay.wait("a", test=lambda now: now["nats_connects"] > 2)
    assert sum("nats source not read" in line for line in relay.log) == 1
    if case == "no-stream":
        nats.stream()
        relay.wait("a", source_up=1)


def test_servers_that_are_not_there_hold_up_nothing(lab, server):
    port = address.spare_port()
    options = reading(None, "jetstream:PRICES", servers=f"nats://127.0.0.1:{port}")
    relay = lab.start(options)
    relay.wait_log("nats source not read feed=a: cannot connect: .*no server of \\[nats\\] servers answers")
    assert relay.feed("a")["source_up"] == 0
    assert lab.run_tool("relay", "-t", "-c", relay.ini, timeout=10).returncode == 0
    server("late", port=port).stream()
    relay.wait("a", source_up=1)


SECRET = "m4rker-nats"


@pytest.mark.parametrize("way", ["password", "token"])
def test_who_relay_is_stands_in_a_file_and_nowhere_else(lab, server, way):
    secret = lab.directory / "secret"
    secret.write_text(f"{SECRET}\n")
    who = f'user: joe, password: "{SECRET}"' if way == "password" else f'token: "{SECRET}"'
    login = {"user": "joe", "pass": SECRET} if way == "password" else {"auth_token": SECRET}
    nats = server(jetstream=False, more=f"authorization {{ {who} }}\n")
    keys = {"user": "joe", "password_file": secret} if way == "password" else {"token_file": secret}
    sections = reading(nats, f"nats:{SUBJECT}")
    sections["nats"].update(keys)
    relay = lab.start({"relay": {"log_level": "debug"}, **sections})
    relay.wait("a", source_up=1)
    nats.client(**login).publish(SUBJECT, b"one")
    relay.wait("a", in_messages=1)
    printed = lab.run_tool("relay", "-T", "-c", relay.ini).stdout
    status, _, _ = ask(relay, "/a?format=events", method="HEAD")
    assert status and not any(SECRET in text for text in (*relay.log, printed))
    assert SECRET not in json.dumps(relay.status())


def test_a_secret_that_cannot_be_read_is_named(lab, server):
    nats = server(jetstream=False)
    sections = reading(nats, f"nats:{SUBJECT}")
    sections["nats"]["token_file"] = lab.directory / "none"
    relay = lab.start(sections)
    relay.wait_log(f"nats source not read feed=a: cannot read {lab.directory}/none: No such file")
    told = lab.run_tool("relay", "-t", "-c", relay.ini)
    assert told.returncode and f"cannot read {lab.directory}/none" in told.stderr


def test_whom_it_is_read_from_is_shown(lab, server):
    """On the page and in the metrics: which server, and since when. After its death, the other one."""
    one, other = server("one"), server("other")
    relay = lab.start({"admin": {"listen": "tcp:127.0.0.1:0", "socket": "none"},
                       **reading(one, f"nats:{SUBJECT}", servers=f"{one.url}, {other.url}")})
    relay.wait("a", source_up=1)
    admin = Admin(relay)
    shown = admin.get("/status.json")["feeds"][0]
    assert shown["origin"] in (one.url, other.url) and shown["origin_since_ms"] / 1000 <= time.time()
    now, then = (one, other) if shown["origin"] == one.url else (other, one)
    metrics = admin.ask("/metrics").text
    assert f'relay_feed_origin_info{{feed="a",origin="{now.url}"}} 1\n' in metrics
    assert f'relay_feed_origin_since_seconds{{feed="a"}} {shown["origin_since_ms"] / 1000:.3f}\n' in metrics
    now.kill()
    lab.loop.run(lambda: admin.get("/status.json")["feeds"][0]["origin"] == then.url, what="the other server", poll=POLL)
    assert admin.get("/status.json")["feeds"][0]["origin_since_ms"] > shown["origin_since_ms"]
    then.kill()
    relay.wait("a", source_up=0)
    assert admin.get("/status.json")["feeds"][0]["origin"] == ""
    assert "relay_feed_origin_info{" not in admin.ask("/metrics").text

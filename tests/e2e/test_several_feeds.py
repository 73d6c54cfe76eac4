# SPDX-License-Identifier: MIT
"""Several feeds on one connection (GET /a+b): each feed's bytes, gaps, who comes back, limits, and how it ends."""

import json
import re
import signal

import pytest

from relaytest import daemon, packet
from relaytest.compressed import GZIP, OFFER
from relaytest.ini import TIGHT, feed, web
from relaytest.service_manager import ServiceManager
from relaytest.several import SeveralEvents, SeveralWebSocket
from relaytest.stream import Script, script, text_script
from relaytest.web import Answer, ask, request, upgrade

EVENTS = {"Accept": "text/event-stream"}
LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}
BOTH = "/a+b"


def nul_script(sizes, seed):
    """Text messages that end in a zero byte."""
    lines = text_script(sizes, seed)
    return Script("nul", lines.payload.replace(b"\n", b"\0"), ends=lines.ends)


def sections(workers=1, options=None, relay=None, second=None, **more):
    """Feeds a (lines) and b (zero bytes) behind an http listener that serves all."""
    return {"relay": {"workers": workers, **(relay or {})}, **web(serves="all", framing="line", options=options, **more),
            **feed("b", **{"framing": "nul", **more, **(second or {})})}


def scripts(count=300):
    return {"a": text_script((100,) * count, 1), "b": nul_script((70,) * (count // 2), 2)}


def join(relay, made, kind=SeveralEvents, count=1, path=BOTH, **options):
    before = relay.status()["feed"].get("a+b", {}).get("subscribers_total", 0)
    some = [kind(relay.loop, relay.address["listener web"], made, path=path, **options) for _ in range(count)]
    for one in some:
        one.feed = "a+b"
    relay.peers.extend(some)
    relay.wait("a+b", test=lambda seen: seen.get("subscribers_total", 0) >= before + count)
    return some if count > 1 else some[0]


def alone(relay, made, kind="raw"):
    """A subscriber of each by itself."""
    some = [relay.subscribe(f"{name}-{kind}", one) for name, one in made.items()]
    for name in made:
        relay.wait(name, subscribers=1)
    return some


def publish(relay, made, publishers=None):
    publishers = publishers or {name: relay.publish(name) for name in made}
    for name, one in made.items():
        publishers[name].send_each(one.wire_pieces())
    return publishers


KINDS = {
    "events": (SeveralEvents, {}),
    "events-http-1.0": (SeveralEvents, {"version": "1.0"}),
    "packets": (SeveralWebSocket, {}),
    "messages": (SeveralWebSocket, {"path": f"{BOTH}?messages=message", "per_message": True}),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_each_feed_comes_whole(lab, kind, workers):
    """Beside those who read one of them; two of each, in whichever worker."""
    made = scripts()
    relay = lab.start(sections(workers, **LOSSLESS))
    kind, options = KINDS[kind]
    some = join(relay, made, kind, 2, **options)
    single = alone(relay, made, "framed")
    publish(relay, made)
    relay.run_until_done([*some, *single])
    assert all(one.told == 0 and not one.feed_gaps for one in some)
    seen = relay.feed("a+b")
    assert (seen["in_messages"], seen["subscribers"]) == (0, 2), seen


@pytest.mark.parametrize("engine", ["copy", "splice"])
def test_large_binary_messages(lab, engine):
    """By pipes as well, and several times: no pipe mixes the feeds up."""
    made = {"a": script("u32be", (200_000, 70_000) * 20, 3), "b": script("u32be", (150_000,) * 30, 4)}
    large = {"framing": "u32be", "engine": engine, "max_message": "1m", **LOSSLESS}
    relay = lab.start({**web(serves="all", **large), **feed("b", **large)})
    some = join(relay, made, SeveralWebSocket, 2)
    single = alone(relay, made)
    publish(relay, made)
    relay.run_until_done([*some, *single])


def test_text_messages(lab):
    made = {"a": text_script((60,) * 100, 5), "b": text_script((61,) * 100, 6)}
    relay = lab.start(sections(second={"framing": "line"}, **LOSSLESS))
    one = join(relay, made, SeveralWebSocket, path=f"{BOTH}?text=1&messages=message", per_message=True, text=True)
    publish(relay, made)
    relay.run_until_done([one])


def test_the_order_of_names_is_all_one(lab):
    relay = lab.start(sections())
    made = scripts(4)
    some = [join(relay, made), join(relay, made, path="/b+a"), join(relay, made, path="/b%2Ba")]
    publish(relay, made)
    relay.run_until_done(some)
    assert set(relay.status()["feed"]) == {"a", "b", "a+b"}
    assert len({one.last_event_id for one in some}) == 1


REFUSED = [
    ("/a+c", EVENTS, 404, "unknown_feed", "there is no feed 'c'"),
    ("/a+", EVENTS, 404, "unknown_feed", "there is no feed ''"),
    ("/+", EVENTS, 404, "unknown_feed", "there is no feed ''"),
    ("/a+" + "x" * 200, EVENTS, 404, "unknown_feed", "there is no feed 'xxx"),
    ("/a+a", EVENTS, 400, "bad_request", "feed a is named twice"),
    ("/a+raw", EVENTS, 400, "no_messages", "feed raw does not know where its messages end"),
    ("/a+gap", EVENTS, 400, "bad_request", "feed gap has the name of another event"),
    ("/b+c1+c2+c3+c4+c5+c6+c7+c8", EVENTS, 400, "bad_request", "more than 8 feeds"),
    (BOTH, {}, 406, "not_acceptable", "text/event-stream or by WebSocket"),
    (f"{BOTH}?format=framed", {}, 406, "not_acceptable", "text/event-stream or by WebSocket"),
    (f"{BOTH}?format=framed", upgrade(), 406, "not_acceptable", "text/event-stream or by WebSocket"),
    ("/a+bytes?text=1", upgrade(), 400, "no_text", "text=1 needs a feed of lines"),
    (f"{BOTH}?burst=keyframe", EVENTS, 400, "no_key_frames", "framing = ts"),
    (f"{BOTH}?from=0&since=-1m", EVENTS, 400, "bad_request", "exclude one another"),
]


def test_what_cannot_be_had_is_refused(lab):
    """With a line that names the feed, and nothing is made for it."""
    more = {"feed raw": {"ingest": "listen tcp:127.0.0.1:0"},
            "feed bytes": {"ingest": "listen tcp:127.0.0.1:0", "framing": "u32be"},
            **{f"feed {name}": {"ingest": "listen tcp:127.0.0.1:0", "framing": "line"}
               for name in ("gap", *(f"c{i}" for i in range(1, 9)))}}
    relay = lab.start({**sections(), **more})
    for path, fields, status, reason, said in REFUSED:
        code, _fields, body = ask(relay, path, fields)
        assert (code, said in body) == (status, True), f"{path}: {code} {body}"
        assert relay.status()["relay"][f"http_refused_web_{reason}"] >= 1
    code, fields, _body = ask(relay, BOTH, EVENTS, method="HEAD")
    assert (code, fields["content-type"]) == (200, "text/event-stream")
    assert "a+b" not in relay.status()["feed"]


def test_only_what_the_listener_serves(lab):
    one = {**sections(), "listener only-a": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http"}}
    relay = lab.start(one)
    code, _fields, body = Answer(relay, "only-a", request(BOTH, EVENTS)).wait()
    assert code == 404 and "there is no feed 'b'" in body


def test_a_limit_of_combinations(lab):
    """Refused by name, until one is given up."""
    relay = lab.start({**sections(options={"max_combinations": "1"}, keep_past="1s"), **feed("c", framing="line")})
    made = scripts(2)
    first, second = join(relay, made), join(relay, made, SeveralWebSocket)
    code, fields, body = ask(relay, "/a+c", upgrade())
    assert code == 503 and "retry-after" in fields and "max_combinations" in body
    code, _fields, body = ask(relay, "/a+c", EVENTS)
    assert code == 200 and '"reason":"combinations"' in body
    assert relay.status()["relay"]["http_refused_web_combinations"] == 2
    first.reset()
    second.reset()
    relay.wait(test=lambda block: set(block["feed"]) == {"a", "b", "c"})
    late = SeveralEvents(lab.loop, relay.address["listener web"], {"a": made["a"]}, path="/a+c")
    relay.peers.append(late)
    relay.wait("a+c", subscribers=1)
    relay.publish("a").send_each(made["a"].wire_pieces())
    relay.run_until_done([late])


@pytest.mark.parametrize("kind", ["events", "messages"])
def test_a_slow_one_hurts_nobody_and_is_told(lab, kind):
    kind, options = KINDS[kind]
    made = {"a": text_script((1000,) * 3000, 7), "b": nul_script((1500,) * 1000, 8)}
    small = {"ring": "256k", "segment": "64k", "on_slow": "skip", "stall_timeout": "1h"}
    relay = lab.start(sections(options=TIGHT, **small))
    slow = join(relay, made, kind, paused=True, receive_buffer=4096, **options)
    publishers = {name: relay.publish(name) for name in made}
    single = alone(relay, made, "framed")
    quick = join(relay, made, kind, **options)
    quick.lead(publishers, 32768)
    publish(relay, made, publishers)
    relay.run_until_done([quick, *single])
    relay.wait("a+b", test=lambda seen: seen["gaps"] or seen["subscribers_blocked"])
    slow.resume()
    lab.loop.run(lambda: slow.sequence == quick.sequence, what="the live edge")
    assert slow.told > 0 and slow.missed <= slow.told
    assert slow.told == sum(one.count - slow.at[name] for name, one in made.items()) + slow.missed
    seen = relay.feed("a+b")
    assert seen["skipped_messages"] == slow.told and quick.told == 0


def test_who_comes_back_goes_on_or_is_told(lab):
    relay = lab.start(sections(keep_past="1s"))
    made = scripts(200)
    first = join(relay, made)
    publish(relay, made)
    relay.run_until_done([first])
    session, last = first.session, first.sequence - 1
    back = Answer(relay, "web", request("/b+a", {**EVENTS, "Last-Event-ID": f"{session}-{last - 20}"}))
    lab.loop.run(lambda: f"id: {session}-{last}\nevent".encode() in back.data, what="the rest")
    assert f"id: {session}-{last - 19}\n".encode() in back.data and b"event: gap" not in back.data
    code, fields, _body = ask(relay, f"{BOTH}?from={session}-{last + 2}", upgrade())
    assert (code, fields["relay-next"]) == (416, str(last + 1))
    back.reset()
    first.reset()
    relay.wait(test=lambda block: "a+b" not in block["feed"])
    late = Answer(relay, "web", request(BOTH, {**EVENTS, "Last-Event-ID": f"{session}-{last}"}))
    lab.loop.run(lambda: b"event: gap" in late.data, what="a gap")
    assert b'data: {"from":null,"to":1}' in late.data
    code, fields, _body = ask(relay, f"{BOTH}?from={session}-{last}", EVENTS)
    assert code == 416 and fields["relay-session"] != str(session)


def test_a_source_that_goes_is_told_by_name(lab):
    relay = lab.start(sections())
    made = scripts(10)
    one = join(relay, made)
    publishers = publish(relay, made)
    relay.run_until_done([one])
    assert one.news[0] == (b"source", b"down")
    assert sorted(one.news[1:]) == [(b"source", b'{"feed":"a","source":"up"}'), (b"source", b'{"feed":"b","source":"up"}')]
    publishers["b"].close()
    lab.loop.run(lambda: len(one.news) == 4, what="news")
    assert one.news[3] == (b"source", b'{"feed":"b","source":"down"}')
    publishers["a"].close()
    lab.loop.run(lambda: len(one.news) == 5, what="news")
    newcomer = join(relay, made)
    lab.loop.run(lambda: newcomer.news, what="news")
    assert newcomer.news == [(b"source", b"down")]


def test_a_gap_of_one_feed_is_told_with_its_name(lab):
    """The numbers of the combination go on behind it, and a new session of one begins a new one."""
    relay = lab.start(sections(second={"framing": "relay:line"}, heartbeat="0"))
    events = Answer(relay, "web", request(BOTH, EVENTS))
    relay.wait("a+b", subscribers=1)
    publisher = relay.publish("b")
    for sequence, line in ((50, b"one\n"), (54, b"two\n")):
        publisher.send(packet.encode(count=1, length=len(line), session=7, sequence=sequence) + line)
    lab.loop.run(lambda: b"data: two" in events.data, what="the second")
    said = [json.loads(one) for one in re.findall(rb"event: gap\nid: \S+\ndata: (.*)\n", events.data)]
    assert [(one["feed"], one["to"] - one["from"]) for one in said] == [("b", 3)], said
    ids = re.findall(rb"id: (\d+)-(\d+)\nevent: b", events.data)
    assert [int(number) for _session, number in ids] == [said[0]["from"] - 1, said[0]["to"]]
    publisher.send(packet.encode(count=1, length=4, session=8, sequence=1) + b"new\n")
    lab.loop.run(lambda: b"data: new" in events.data, what="the new session")
    session, number = re.findall(rb"id: (\d+)-(\d+)\nevent: b", events.data)[-1]
    assert session != ids[0][0] and int(number) == 1


def test_a_reload_keeps_it_or_ends_it(lab):
    made = scripts(100)
    ini = sections(heartbeat="100ms")
    relay = lab.start(ini)
    events, socket = join(relay, made), join(relay, made, SeveralWebSocket)
    publishers = publish(relay, {name: one for name, one in made.items() if name == "a"})
    since = relay.reload({**ini, **feed("c", framing="line")})
    relay.wait_log("reloaded", since)
    publish(relay, {"b": made["b"]}, {"b": relay.publish("b")})
    relay.run_until_done([events, socket])
    assert publishers and not events.end
    gone = {name: one for name, one in ini.items() if not name.startswith(("feed b", "listener b"))}
    since = relay.reload(gone)
    relay.wait_log("reloaded", since)
    lab.loop.run(lambda: events.end and socket.end, what="the end")
    assert (socket.close_code, events.finished) == (1001, True)
    assert set(relay.status()["feed"]) == {"a"}


def test_a_listener_that_no_longer_serves_one_ends_it(lab):
    ini = sections()
    relay = lab.start(ini)
    one = join(relay, scripts(4), SeveralWebSocket)
    relay.reload({**ini, "listener web": {**ini["listener web"], "feed": "a"}})
    lab.loop.run(lambda: one.end, what="the end")
    assert one.close_code == 1001
    assert set(relay.status()["feed"]) == {"a", "b"}


def test_a_reload_without_compress_ends_the_compressed_ones(lab):
    made = scripts(10)
    relay = lab.start(sections(options={"compress": "yes"}))
    stays = join(relay, made)
    packed = [Answer(relay, "web", request(BOTH, fields)) for fields in ({**EVENTS, **GZIP}, {**upgrade(), **OFFER})]
    relay.wait("a+b", subscribers=3)
    relay.wait_log("reloaded", relay.reload(sections(options={"compress": "no"})))
    lab.loop.run(lambda: all(one.end for one in packed), what="their ends")
    relay.wait("a+b", subscribers=1, closed_removed=2)
    publish(relay, made)
    relay.run_until_done([stays])


@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_who_waits_for_a_message_goes_with_it(lab, how):
    """For one that is yet to come (test_ahead.py).  What has been freed shows (mallopt(3), M_PERTURB)."""
    made = scripts(10)
    ini = sections(relay={"log_level": "debug"})
    relay = lab.start(ini, env={"MALLOC_PERTURB_": "165"})
    one = join(relay, made)
    publishers = publish(relay, made)
    relay.run_until_done([one])
    waiting = Answer(relay, "web", request(f"{BOTH}?from={one.session}-{one.sequence + 2}", upgrade()))
    relay.wait_log("subscriber waits for a message to come feed=a\\+b")
    if how == "upgrade":
        relay.upgrade()
    else:
        relay.reload({name: one for name, one in ini.items() if not name.startswith(("feed b", "listener b"))})
    code, fields, body = waiting.wait()
    assert code == 503 and "retry-after" in fields and publishers, body


def test_an_upgrade_ends_it_and_says_so(lab):
    made = scripts(10)
    relay = lab.start(sections())
    events, socket = join(relay, made), join(relay, made, SeveralWebSocket)
    single = alone(relay, made)
    publishers = publish(relay, made)
    relay.run_until_done([events, socket, *single])
    relay.upgrade()
    lab.loop.run(lambda: events.end and socket.end, what="the end")
    assert socket.close_code == 1012 and not any(one.end for one in single) and publishers
    back = Answer(relay, "web", request(BOTH, {**EVENTS, "Last-Event-ID": events.last_event_id}))
    lab.loop.run(lambda: b"event: gap" in back.data, what="a gap")
    assert b'data: {"from":null,"to":1}' in back.data


@pytest.mark.parametrize("call", ["state_memory", "execv"])
def test_an_upgrade_that_fails_does_not_show(lab, call):
    """Not to who reads, in whichever worker, nor to who waits for a message to come."""
    made = scripts(40)
    relay = lab.start(sections(2, relay={"log_level": "debug"}), env=daemon.preload(RELAY_REFUSE=f"{call}:EPERM"))
    readers = join(relay, made, count=2) + join(relay, made, SeveralWebSocket, count=2)
    relay.wait("a+b", subscribers=4)
    publishers = {name: relay.publish(name) for name in made}
    publishers["a"].send_each(made["a"].wire_pieces()[:20])
    lab.loop.run(lambda: readers[0].sequence == 21, what="a part")
    waiting = Answer(relay, "web", request(f"{BOTH}?from={readers[0].session}-23", upgrade()))
    relay.wait_log("subscriber waits for a message to come feed=a\\+b")
    relay.expect("upgrade failed")
    relay.upgrade("upgrade failed: .*nothing has changed")
    publishers["b"].send_each(made["b"].wire_pieces())
    relay.upgrade("upgrade failed: .*nothing has changed")
    publishers["a"].send_each(made["a"].wire_pieces()[20:])
    relay.run_until_done(readers)
    lab.loop.run(lambda: waiting.data, what="an answer")
    assert b" 503 " not in waiting.data.split(b"\r\n")[0]
    waiting.reset()


def test_a_crash_ends_it_and_nothing_is_lost_in_silence(lab):
    """A subscriber of one feed goes on; one of several comes back, and is told."""
    manager = ServiceManager(lab)
    made = scripts(10)
    ini = sections()
    relay = lab.start(ini, **manager.options())
    events = join(relay, made)
    single = alone(relay, {"a": made["a"]})
    publishers = publish(relay, made)
    relay.run_until_done([events, *single])
    relay.signal(signal.SIGKILL)
    assert relay.wait_exit() == -signal.SIGKILL
    relay = lab.start(ini, **manager.options())
    relay.wait_log("resumed after a crash")
    lab.loop.run(lambda: events.end, what="the end")
    assert not events.finished and not single[0].end and publishers
    back = Answer(relay, "web", request(BOTH, {**EVENTS, "Last-Event-ID": events.last_event_id}))
    lab.loop.run(lambda: b"event: gap" in back.data, what="a gap")
    assert b'data: {"from":null,"to":1}' in back.data
    single[0].reset()
    relay.peers += publishers.values()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_gives_all_first(lab, workers):
    made = scripts(200)
    relay = lab.start(sections(workers, **LOSSLESS))
    events, socket = join(relay, made), join(relay, made, SeveralWebSocket)
    publish(relay, made)
    relay.wait("a", in_messages=made["a"].count)
    relay.wait("b", in_messages=made["b"].count)
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0
    lab.loop.run(lambda: events.end and socket.end, what="the end")
    assert events.done and socket.done and events.finished and socket.close_code == 1001

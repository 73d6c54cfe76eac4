# SPDX-License-Identifier: MIT
"""Event streams go on: after a break, a stop and start, a long sleep, and with ids of others."""

import json
import re
import signal

import pytest

from relaytest.browser import Browser
from relaytest.ini import web
from relaytest.stream import text_script
from relaytest.surroundings import chromium, needs
from relaytest.web import Answer, EventSubscriber, WebSocketSubscriber, event_ids, event_text, request, upgrade

EVENTS = {"Accept": "text/event-stream"}
SMALL = {"ring": "256k", "segment": "64k"}
PAST = {"burst": "1k"}  # from the start, whether somebody reads or not


def sections(listen="tcp:127.0.0.1:0", options=None, **more):
    return web(listen=listen, options=options, framing="line", **more)


def come_back(relay, place, path="/a", **fields):
    return Answer(relay, "web", request(path, {**EVENTS, "Last-Event-ID": place, **fields}))


def gaps(data):
    return [(place.decode(), json.loads(said))
            for place, said in re.findall(rb"event: gap\nid: (\S+)\ndata: (.*)\n\n", event_text(data))]


def check_ids(data, session, first, last):
    """All messages from first to last, which stand in packets: perhaps with some before."""
    ids = event_ids(data)
    assert ids[0][1] <= first and ids == [(int(session), number) for number in range(ids[0][1], last + 1)], ids[:3]


def publish(relay, made):
    publisher = relay.publish("a")
    publisher.send_each(made.wire_pieces())
    relay.wait("a", in_messages=made.count)
    return publisher


def test_the_id_says_where_to_go_on(lab):
    """Also before the first message: the stream begins with the place where it stands."""
    made = text_script((1000,) * 40, 1)
    relay = lab.start(sections())
    early = relay.subscribe("web", made, kind=EventSubscriber)
    lab.loop.run(lambda: early.last_event_id, what="a place")
    session = early.fields["relay-session"]
    assert early.last_event_id == f"{session}-0" and len(early.retries) == 1
    publish(relay, made)
    relay.run_until_done([early])
    assert early.last_event_id == f"{session}-40" and not early.gaps
    for place, first in ((f"{session}-0", 1), (f"{session}-10", 11)):
        back = come_back(relay, place)
        lab.loop.run(lambda: b"-40\ndata: " in back.data, what="all")
        check_ids(back.data, session, first, 40)
        assert not gaps(back.data), back.data[:300]
    live = come_back(relay, f"{session}-40")
    lab.loop.run(lambda: f"id: {session}-40\nretry: ".encode() in live.data, what="a place")
    assert not event_ids(live.data) and not gaps(live.data)


def test_what_is_gone_is_told_once(lab):
    """Who is cut right behind the gap does not ask for the lost again."""
    made = text_script((1000,) * 400, 2)
    relay = lab.start(sections(**SMALL))
    first = relay.subscribe("web", made, kind=EventSubscriber)
    lab.loop.run(lambda: first.last_event_id, what="a place")
    session = first.fields["relay-session"]
    publish(relay, made)
    relay.run_until_done([first])
    late = come_back(relay, f"{session}-6")
    lab.loop.run(lambda: b"-400\ndata: " in late.data, what="all there is")
    [(place, said)] = gaps(late.data)
    oldest = said["to"]
    assert said == {"from": 7, "to": oldest} and place == f"{session}-{oldest - 1}" and 7 < oldest < 400
    check_ids(late.data, session, oldest, 400)
    assert event_ids(late.data)[0] == (int(session), oldest)
    again = come_back(relay, place)
    lab.loop.run(lambda: b"-400\ndata: " in again.data, what="all there is")
    assert not gaps(again.data) and event_ids(again.data)[0] == (int(session), oldest)


@pytest.mark.parametrize("workers", [1, 2])
def test_another_session(lab, workers):
    """After a stop and start: told, however many messages there are by then; a plain number is of no session."""
    made = text_script((1000,) * 50, 3)
    with_workers = {"relay": {"workers": workers}, **sections(options=PAST)}
    relay = lab.start(with_workers)
    first = relay.subscribe("web", made, kind=EventSubscriber)
    lab.loop.run(lambda: first.last_event_id, what="a place")
    publish(relay, made)
    relay.run_until_done([first])
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0
    relay = lab.start(with_workers, name="again.ini")
    publisher = relay.publish("a")
    pieces = list(text_script((1000,) * 100, 4).wire_pieces())
    for sent, total in ((0, 0), (0, 10), (10, 100)):
        publisher.send_each(pieces[sent:total])
        relay.wait("a", in_messages=total)
        for before in (first.last_event_id, "50"):
            back = come_back(relay, before)
            last = f"-{total}\ndata: " if total else "\nretry: "
            lab.loop.run(lambda: last.encode() in back.data and gaps(back.data), what="all")
            session = re.search(r"\r\nRelay-Session: (\d+)", back.data.decode())[1]
            assert not before.startswith(session) and back.data.startswith(b"HTTP/1.1 200 ")
            assert gaps(back.data) == [(f"{session}-0", {"from": None, "to": 1})], back.data[:400]
            assert event_ids(back.data) == [(int(session), number) for number in range(1, total + 1)]
            back.reset()
    for path, fields in (("/a", {}), ("/a", upgrade())):
        code, fields, body = Answer(relay, "web",
                                    request(f"{path}?from={first.last_event_id}", fields)).wait()
        assert (code, fields["relay-session"], fields["relay-oldest"]) == (416, session, "1"), body
        assert session in body
    socket = relay.subscribe("web", text_script((1000,) * 100, 4), kind=WebSocketSubscriber,
                             path=f"/a?from={session}-1")
    relay.run_until_done([socket])


@pytest.mark.parametrize("place", ["1700000000:0", "urn:uuid:0d4a7b1c-8a2e-4d7c-9a43-3f3f6f1a2b3c", "abc", "-1", "7-",
                                   "18446744073709551615", "x" * 5000, "\u20ac"])
def test_an_id_of_somebody_else_is_none(lab, place):
    made = text_script((1000,) * 9, 5)
    relay = lab.start(sections())
    publisher = publish(relay, made)
    back = come_back(relay, place.encode().decode("latin-1"))
    lab.loop.run(lambda: b"retry: " in back.data, what="the beginning")
    assert back.data.startswith(b"HTTP/1.1 200 ")
    publisher.send(b"more\n")
    lab.loop.run(lambda: b"data: more\n" in back.data, what="what comes")
    assert [number for _, number in event_ids(back.data)] == [10] and not gaps(back.data)


def test_the_source_is_told_once(lab):
    """Whether the stream begins before the publisher went away, or behind."""
    made = text_script((1000,) * 10, 6)
    relay = lab.start(sections())
    first = relay.subscribe("web", made, kind=EventSubscriber)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", made.wire[:9000])
    lab.loop.run(lambda: first.position == 9000, what="nine messages")
    publisher.close()
    relay.wait("a", source_up=0)
    session = first.fields["relay-session"]
    readers = [come_back(relay, place) for place in (f"{session}-3", f"{session}-9", "50")]
    lab.loop.run(lambda: all(b"data: down\n" in one.data for one in readers), what="the news")
    relay.publish("a", made.wire[9000:])
    lab.loop.run(lambda: all(b"-10\ndata: " in one.data for one in readers), what="what comes")
    for one in readers:
        news = re.findall(rb"event: source\ndata: (\w+)\n", event_text(one.data))
        assert news[-2:] == [b"down", b"up"] and news.count(b"down") == 1, one.data
    relay.run_until_done([first])


def test_a_drain_sends_the_crowd_home_one_by_one(lab):
    made = text_script((1000,) * 9, 7)
    relay = lab.start(sections())
    crowd = [*relay.subscribe("web", made, 30, kind=EventSubscriber),
             *relay.subscribe("web", made, 10, kind=EventSubscriber, version="1.0")]
    relay.wait("a", subscribers=40)
    publish(relay, made)
    relay.run_until_done(crowd)
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0
    lab.loop.run(lambda: all(one.end == "fin" for one in crowd), what="their ends")
    assert all(len(one.retries) == 2 and 1000 <= one.retries[0] < 3000 for one in crowd)
    late = sorted(one.retries[1] for one in crowd)
    assert 1000 <= late[0] and late[-1] < 10_000 and late[-1] - late[0] > 7000, late
    assert max(after - before for before, after in zip(late, late[1:])) < 1000, late


@needs(chromium)
def test_a_browser_over_a_stop_and_start(lab):
    """Chromium goes on by itself, and knows that the stream is another one."""
    relay = lab.start(sections(options=PAST))
    where = relay.address["listener web"]
    relay.publish("a", b"one\n")
    relay.wait("a", in_messages=1)
    with Browser(lab.directory) as browser:
        browser.open(f"http://{where.removeprefix('tcp:')}/")
        browser.wait("document.body && document.body.textContent.includes('/a')")
        browser.value("""{ said = []; const source = new EventSource('/a?burst=1k');
            source.onmessage = (event) => said.push(event.lastEventId + ' ' + event.data);
            source.addEventListener('gap', (event) => said.push('gap ' + event.data));
            source.onerror = () => said.push('state ' + source.readyState); 0 }""")
        browser.wait("said.some((one) => one.endsWith('-1 one'))")
        relay.signal(signal.SIGTERM)
        assert relay.wait_exit() == 0
        browser.wait("said.includes('state 0')")
        relay = lab.start(sections(where, PAST), name="again.ini")
        relay.publish("a", b"two\n")
        relay.wait("a", in_messages=1)
        browser.wait("said.some((one) => one.endsWith('-1 two'))")
        said = [one for one in browser.value("said") if not one.startswith("state 0")]
    assert [one.partition(" ")[2] for one in said] == ["one", '{"from":null,"to":1}', "two"], said
    assert said[0].split()[0] != said[2].split()[0]


def test_a_full_listener_ends_no_event_stream(lab):
    """An EventSource never asks again after any status but 200: who may come later is told so, and when."""
    relay = lab.start(sections(options={"max_per_ip": 2, "origins": "https://a.example"}, max_subscribers=3))
    waits = set()

    def is_sent_away(source, reason, status):
        code, fields, body = Answer(relay, "web", request("/a", {**EVENTS, "Origin": "https://a.example"}), source=source).wait()
        told = re.fullmatch(r'retry: (\d+)\nevent: refused\ndata: (.*)\n\n', body)
        assert (code, fields["content-type"]) == (200, "text/event-stream"), body
        assert fields["access-control-allow-origin"] == "https://a.example"
        assert json.loads(told[2])["reason"] == reason and 5000 <= int(told[1]) < 15_000, body
        assert Answer(relay, "web", request("/a"), source=source).wait()[0] == status
        waits.add(told[1])

    first = [Answer(relay, "web", request("/a", EVENTS), source="127.0.0.2") for _ in range(2)]
    relay.wait("a", subscribers=2)
    is_sent_away("127.0.0.2", "per_address", 429)
    first.append(Answer(relay, "web", request("/a", EVENTS), source="127.0.0.3"))
    relay.wait("a", subscribers=3)
    for _ in range(9):
        is_sent_away("127.0.0.4", "full", 503)
    assert len(waits) > 5, waits
    assert relay.feed("a")["closed_limit"] == 18 and relay.feed("a")["closed_per_address"] == 2
    for one in first:
        one.reset()
    relay.wait("a", subscribers=0)
    back = Answer(relay, "web", request("/a", EVENTS), source="127.0.0.4")
    relay.wait("a", subscribers=1)
    back.reset()


@needs(chromium)
def test_a_browser_waits_for_its_turn(lab):
    relay = lab.start(sections(options={"max_per_ip": 1, "burst": "64k"}))
    relay.publish("a", b"one\n")
    relay.wait("a", in_messages=1)
    with Browser(lab.directory) as browser:
        browser.open(f"http://{relay.address['listener web'].removeprefix('tcp:')}/")
        browser.wait("document.body && document.body.textContent.includes('/a')")
        other = Answer(relay, "web", request("/a"))
        relay.wait("a", subscribers=1)
        browser.value("""{ said = []; const source = new EventSource('/a');
            source.onmessage = (event) => said.push(event.data);
            source.addEventListener('refused', (event) => said.push(JSON.parse(event.data).reason));
            source.onerror = () => said.push('state ' + source.readyState); 0 }""")
        browser.wait("said.includes('state 0')")
        other.reset()
        relay.wait("a", subscribers=0)
        browser.wait("said.includes('one')")
        assert browser.value("said") == ["per_address", "state 0", "one"]

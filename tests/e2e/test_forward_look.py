# SPDX-License-Identifier: MIT
"""forward = jetstream, after a start: the stream is asked what it has, by many questions at once."""

import pytest

from relaytest.admin import Admin
from relaytest.ini import feed
from relaytest.nats import POLL, Gathering
from test_forward import NUMBERED, bodies, packets_until, pair

SUBJECT = "prices.x"
SESSION = 7
TAIL = 1024  # messages that may have been on their way
AT_ONCE = 32  # messages of 1 MiB, which is max_payload unless the server says otherwise


def forwarding(way):
    return {"admin": {"listen": "tcp:127.0.0.1:0"}, "nats": {"servers": way.url},
            **feed("a", framing="line", forward="jetstream:PRICES", forward_subject=SUBJECT)}


def store(nats, count):
    """As a relay would have done it."""
    client = nats.client()
    for number in range(1, count + 1):
        client.request(SUBJECT, b"x" * 100, Nats_Msg_Id=f"{SUBJECT}:{SESSION}-{number}")


def batches(count, at_once):
    """The newest message is asked for by its subject; before that, twice as many each time."""
    sizes, size = [], 1
    while count:
        sizes.append(min(size, count))
        count -= sizes[-1]
        size = min(2 * size, at_once)
    return sizes


def gathering(lab, nats, **options):
    way = Gathering(nats, **options)
    lab.closers.append(way.close)
    return way


@pytest.mark.parametrize("config, at_once", [("", AT_ONCE), (f"max_payload: {8 << 20}\n", AT_ONCE // 8)],
                         ids=["1m", "8m"])
def test_many_messages_are_asked_for_at_once(lab, server, config, at_once):
    """No more than the server lets wait for a client, however long they are. One at a time, they would wait for ever."""
    nats = server(more=config)
    nats.stream()
    store(nats, 400)
    sizes = batches(399, at_once)
    way = gathering(lab, nats, sizes=sizes)
    relay = lab.start(forwarding(way))
    relay.wait("a", forward_up=1, forward_connects=1)
    assert (way.asked, way.sizes) == (399, [])


def test_no_more_are_asked_for_than_may_have_been_on_their_way(lab, server):
    nats = server()
    nats.stream()
    store(nats, 1200)
    way = gathering(lab, nats)
    relay = lab.start(forwarding(way))
    relay.wait("a", forward_up=1, forward_connects=1)
    assert TAIL - 1 <= way.asked < TAIL - 1 + AT_ONCE


def test_long_messages_are_few(lab, server):
    """4 MiB may have been on their way, and one more."""
    nats = server()
    nats.stream()
    client = nats.client()
    for number in range(1, 41):
        client.request(SUBJECT, bytes(900_000), Nats_Msg_Id=f"{SUBJECT}:{SESSION}-{number}")
    way = gathering(lab, nats)
    relay = lab.start(forwarding(way))
    relay.wait("a", forward_up=1, forward_connects=1)
    assert way.asked == sum(batches(7, AT_ONCE))


def test_operators_are_told_that_the_stream_is_asked(lab, server):
    nats = server()
    nats.stream()
    store(nats, 2)
    way = gathering(lab, nats, hold=True)
    relay = lab.start(forwarding(way))
    admin = Admin(relay)

    def told():
        return admin.get("/status.json")["feeds"][0]["forward"]

    lab.loop.run(lambda: told()["looking"], what=told, poll=POLL)
    relay.wait("a", forward_up=0)
    way.hold = False
    relay.wait("a", forward_up=1)
    lab.loop.run(lambda: not told()["looking"], what=told, poll=POLL)
    lines = [line for line in relay.log if "forward looks at its stream" in line]
    assert len(lines) == 1
    assert f"feed=a server={way.url} stream=PRICES subject={SUBJECT}: it asks for the last messages" in lines[0]


def test_what_an_origin_does_not_know_of_is_not_overtaken(lab, server):
    """One origin has published while the other one had no publisher, and was told of it by nobody. That one's first
    messages are refused; the one behind them that expects what the stream has would be taken, and overtake them."""
    nats = server()
    nats.stream(subjects=[SUBJECT])
    relays = pair(lab, nats)
    relays[0].publish("a", NUMBERED.wire[:packets_until(100)])
    relays[0].wait("a", forward_acked=100)
    relays[1].expect("stream PRICES has got messages since relay looked at it; relay looks again")
    relays[1].publish("a", NUMBERED.wire[packets_until(100):])
    relays[1].wait("a", in_messages=500, forward_acked=500, forward_lag=0, forward_up=1)
    assert bodies(nats) == [NUMBERED.payload[i * 900:(i + 1) * 900] for i in range(600)]

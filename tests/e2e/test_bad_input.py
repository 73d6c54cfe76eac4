# SPDX-License-Identifier: MIT
"""Bad publishers and bad subscribers: closed with a reason, and no part of it reaches anybody."""

import pytest

from relaytest import packet
from relaytest.ini import ENGINES, feed
from relaytest.stream import KIB, MIB, script
from relaytest.web import BINARY, WebSocketSubscriber, WebSubscriber, frame

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}


def relay_packet(made, **change):
    fields = dict(count=1, length=10, session=made.session, sequence=made.first + made.count,
                  time=made.times[made.first] + made.count)
    return packet.encode(**(fields | change)) + b"x" * 10


# What comes behind three good messages, by framing, and the reason for the end.
BAD = {
    "line-long": ("line", lambda _: b"x" * (MIB + 1), "too_long"),
    "line-long-ended": ("line", lambda _: b"x" * (MIB + 1) + b"\n", "too_long"),
    "u32be-long": ("u32be", lambda _: (MIB + 1).to_bytes(4, "big") + b"x" * 1000, "too_long"),
    "u32le-long": ("u32le", lambda _: (MIB + 1).to_bytes(4, "little"), "too_long"),
    "u32be-all-ones": ("u32be", lambda _: b"\xff" * 40, "too_long"),
    "relay-long": ("relay", lambda made: relay_packet(made, length=MIB + 1), "too_long"),
    "relay-magic": ("relay", lambda made: relay_packet(made, magic=b"RLY2"), "bad_magic"),
    "relay-magic-of-something-else": ("relay", lambda _: b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
                                      "bad_magic"),
    "relay-type": ("relay", lambda made: relay_packet(made, type=17), "bad_header"),
    "relay-no-message": ("relay", lambda made: relay_packet(made, count=0), "bad_header"),
    "relay-heartbeat-with-payload": ("relay", lambda made: relay_packet(made, type=1), "bad_header"),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_publishers(lab, engine):
    """Good messages, then a bad one in the same write: the good arrive, the rest reaches nobody."""
    scripts, sections = {}, {}
    for seed, (name, (framing, _make, _reason)) in enumerate(BAD.items()):
        scripts[name] = script(framing, (10, 70_000, 1000, 10, 900_000), seed)
        sections |= feed(name, framing=framing, max_message="1m", **ENGINES[engine], **LOSSLESS)
    relay = lab.start(sections)
    for name, (framing, make, reason) in BAD.items():
        made = scripts[name]
        readers = [relay.subscribe(f"{name}-raw", made),
                   relay.subscribe(f"{name}-framed", made, same_session=made.session is None)]
        relay.wait(name, subscribers=2)
        publisher = relay.publish(name, made.wire + make(made), piece=16 * MIB)
        lab.loop.run(lambda: publisher.lost, what=f"{name} to be closed")
        relay.run_until_done(readers)
        seen = relay.wait(name, source_losses=1, source_up=0)
        assert seen["in_messages"] == made.count, f"{name}: {seen}"
        assert seen[f"source_{reason}"] == 1, f"{name}: {seen}"
        assert all(reader.position == len(made.payload) for reader in readers), name
    since = "\n".join(relay.log)
    assert since.count("max_message") + since.count("too_long") >= 1


@pytest.mark.parametrize("framing", ["line", "u32be", "relay"])
def test_a_message_of_max_message_passes(lab, framing):
    made = script(framing, (MIB - 4, 5, MIB - 4), 1)
    relay = lab.start(feed("a", framing=framing, max_message="1m", **LOSSLESS))
    readers = [relay.subscribe("a-raw", made),
               relay.subscribe("a-framed", made, same_session=made.session is None)]
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)


@pytest.mark.parametrize("framing", ["u16be", "u16le", "u32be", "u32le"])
def test_messages_without_body(lab, framing):
    """A length of 0 is a message that is its prefix only."""
    made = script(framing, (0, 5, 0, 0, 70 if framing[:3] == "u16" else 70_000, 0), 1)
    relay = lab.start(feed("a", framing=framing, **LOSSLESS))
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire, piece=1)
    relay.run_until_done(readers)
    assert relay.feed("a")["in_messages"] == made.count


FEW = {"max_input": "4k", "input_rate": "1"}


@pytest.mark.parametrize("listener", ["raw", "framed"])
def test_subscribers_that_send(lab, listener):
    """A little is ignored; more than max_input ends them; nobody else notices."""
    made = script("none", (300 * KIB,), 1)
    relay = lab.start(feed("a", raw=FEW, framed=FEW, **LOSSLESS))
    others = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    polite = relay.subscribe(f"a-{listener}", made)
    chatty = relay.subscribe(f"a-{listener}", made)
    relay.wait("a", subscribers=4)
    polite.sock.send(b"GET / HTTP/1.0\r\n\r\n")
    chatty.sock.send(b"x" * 5000)
    relay.wait("a", subscribers=3, closed_input=1)
    lab.loop.run(lambda: chatty.end, what="the end of the chatty one")
    relay.publish("a", made.wire)
    relay.run_until_done(others + [polite])
    assert relay.feed("a")["subscriber_input"] >= 18


def test_subscribers_that_say_a_little_now_and_then(lab):
    """Ten times max_input in all, never more at once than may be: the bucket is full again before the next words."""
    made = script("fixed:100", (100,) * 3000, 1)
    full = {"max_input": "1k", "input_rate": "512m"}
    relay = lab.start({**feed("a", framing="fixed:100", raw=full, framed=full, **LOSSLESS),
                       "listener web": {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http", **full}})
    talkers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made),
               relay.subscribe("web", made, kind=WebSubscriber),
               relay.subscribe("web", made, kind=WebSocketSubscriber)]
    relay.wait("a", subscribers=len(talkers))
    said = 0
    for _ in range(12):
        for talker in talkers:
            words = b"$GPGGA,1\r\n" * 85
            if isinstance(talker, WebSocketSubscriber):
                words = frame(BINARY, words[:120]) * 7
            talker.sock.sendall(words)
            said += len(words)
            relay.wait("a", subscriber_input=said)
    relay.publish("a", made.wire)
    relay.run_until_done(talkers)
    assert not relay.feed("a").get("closed_input")


def test_wire_bytes_in_the_log_are_escaped(lab):
    relay = lab.start(feed("a", framing="relay", **LOSSLESS))
    publisher = relay.publish("a", b"\x1b[31m\n\r\0" * 10)
    lab.loop.run(lambda: publisher.lost, what="the publisher to be closed")
    relay.wait("a", source_losses=1)
    assert not any(set(line) & {"\x1b", "\r", "\0"} for line in relay.log)

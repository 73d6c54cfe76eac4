# SPDX-License-Identifier: MIT
"""One feed in many workers: everybody gets the same bytes wherever placed, branches sleep and wake, and
what one worker has counted is in the sum."""

import pytest

from relaytest import packet
from relaytest.ini import ENGINES, feed
from relaytest.stream import KIB, MIB, script

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h", "framing": "u32be", "max_message": "9m"}
WORKERS = {"relay": {"workers": 4}}
MIXED = (1, 100, 4096, 65536, 200_000, MIB, 3, 2 * MIB + 1, 7) * 3


def workers_of(relay):
    """The status lines of the workers, as dicts."""
    relay.status()
    since = max(i for i, line in enumerate(relay.log) if "status end" in line)
    lines = []
    for line in reversed(relay.log[:since]):
        if "status worker=" in line:
            lines.append(dict(pair.split("=") for pair in line.split() if "=" in pair))
        elif "status feed=" in line:
            break
    return sorted(lines, key=lambda one: int(one["worker"]))


@pytest.mark.parametrize("engine", ENGINES)
def test_same_bytes_in_every_worker(lab, engine):
    made = script("u32be", MIXED, 1)
    # Rings for which the pipes of an ordinary user are enough.
    relay = lab.start(WORKERS | feed("a", ring="2m", **ENGINES[engine], **LOSSLESS))
    readers = relay.subscribe("a-raw", made, 6) + relay.subscribe("a-framed", made, 6)
    relay.wait("a", subscribers=12)
    assert [one["subscribers"] for one in workers_of(relay)] == ["3"] * 4
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["in_messages"] == len(MIXED)
    assert seen["delivered_messages"] == 12 * len(MIXED)
    assert seen["crossed_packets"] >= 3 * seen["in_packets"]
    assert seen["crossing_losses"] == 0
    assert seen["engine_fallbacks"] == 0 and seen["refused_calls"] == 0, seen
    if engine.startswith("splice"):
        assert seen["spliced_bytes"] > 0 and seen["compacted_bytes"] == 0
    elif engine == "compact":
        assert seen["compacted_bytes"] > 0 and seen["spliced_bytes"] == 0
    elif engine == "copy":
        assert seen["spliced_bytes"] == seen["compacted_bytes"] == 0
    assert sum(int(one["turns"]) for one in workers_of(relay)) > 0


def test_branches_sleep_and_wake(lab):
    """Where nobody is, nothing crosses; who comes later starts at the live edge, and misses nothing from
    there on."""
    made = script("u32be", (500,) * 30_000, 2)
    relay = lab.start({"relay": {"workers": 2}} | feed("a", **LOSSLESS))
    first = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a")
    publisher.send(made.wire[:3_000_000])
    lab.loop.run(lambda: first.position >= 2_900_000, what="the first part")
    assert relay.feed("a")["crossed_packets"] == 0
    second = relay.subscribe("a-raw", made, start=None)
    relay.wait("a", subscribers=2)
    assert [one["subscribers"] for one in workers_of(relay)] == ["1", "1"]
    publisher.send(made.wire[3_000_000:6_000_000])
    lab.loop.run(lambda: min(first.position, second.position or 0) >= 5_900_000, what="the second part")
    crossed = relay.feed("a")["crossed_packets"]
    assert crossed > 0
    second.reset()
    relay.wait("a", subscribers=1)
    # The branch goes to sleep: packets go on, and no longer cross.
    at = [6_000_000]

    def is_asleep():
        before = relay.feed("a")["crossed_packets"]
        publisher.send(made.wire[at[0]:at[0] + 20_000])
        at[0] += 20_000
        lab.loop.run(lambda: first.position > at[0] - 504, what="some more")
        return relay.feed("a")["crossed_packets"] == before

    lab.loop.run(is_asleep, what="the branch to sleep", poll=0.05)
    third = relay.subscribe("a-raw", made, start=None)
    relay.wait("a", subscribers=2)
    publisher.send(made.wire[at[0]:])
    lab.loop.run(lambda: first.done and third.done, what="the end")
    assert relay.feed("a")["crossing_losses"] == 0


def test_bursts_in_every_worker(lab):
    """A branch keeps the past where newcomers may ask for it, though nobody is there."""
    made = script("line", (300,) * 2000, 3)
    relay = lab.start(WORKERS | feed("a", framing="line", ring="4m", raw={"burst": "4096k"},
                                     framed={"burst": "4096k"}, on_slow="wait", stall_timeout="1h"))
    publisher = relay.publish("a", made.wire)
    relay.wait("a", in_messages=2000)
    readers = relay.subscribe("a-raw", made, 4) + relay.subscribe("a-framed", made, 4)
    relay.run_until_done(readers)
    assert [one["subscribers"] for one in workers_of(relay)] == ["2"] * 4
    publisher.close()


def test_slow_one_in_another_worker(lab):
    """on_slow = wait holds the publisher, wherever the slow one is; skip tells it what it missed."""
    made = script("u32be", (8000,) * 4000, 4)
    tight = {"send_buffer": "16k", "user_timeout": "0", "notsent_lowat": "16k"}
    relay = lab.start({"relay": {"workers": 2}}
                      | feed("wait", ring="256k", segment="64k", raw=tight, **LOSSLESS)
                      | feed("skip", ring="256k", segment="64k", framing="u32be", on_slow="skip",
                             stall_timeout="1h", framed=tight))
    for name, listener in (("wait", "wait-raw"), ("skip", "skip-framed")):
        fast = relay.subscribe(listener, made)
        relay.wait(name, subscribers=1)
        slow = relay.subscribe(listener, made, paused=True, receive_buffer=4096)
        relay.wait(name, subscribers=2)
        relay.publish(name, made.wire)
        if name == "wait":
            relay.wait("wait", test=lambda seen: seen["wait_pauses"] > 0)
            assert not fast.done
            slow.resume()
            relay.run_until_done([fast, slow])
        else:
            lab.loop.run(lambda one=fast: one.done, what="the fast one")
            slow.resume()
            lab.loop.run(lambda one=slow: one.done, what="the slow one")
            assert relay.feed("skip")["gaps"] >= 1


def test_source_that_goes_is_told_everywhere(lab):
    made = script("u32be", (900, 70_000, 5), 5)
    relay = lab.start(WORKERS | feed("hold", on_source_loss="hold", **LOSSLESS)
                      | feed("close", on_source_loss="close", **LOSSLESS))
    for name in ("hold", "close"):
        readers = relay.subscribe(f"{name}-framed", made, 8)
        relay.wait(name, subscribers=8)
        publisher = relay.publish(name, made.wire)
        relay.run_until_done(readers)
        publisher.close()
        if name == "hold":
            lab.loop.run(lambda all_=readers: all(r.events[-1] == packet.SOURCE_DOWN for r in all_),
                         what="source down")
        else:
            lab.loop.run(lambda all_=readers: all(r.end == "fin" for r in all_), what="FIN to all")
            relay.wait(name, subscribers=0, closed_source_lost=8)


def test_end_of_session_is_told_where_only_a_branch_is_read(lab):
    """The upstream begins another session, and nobody is left at home: a subscriber in another worker is told."""
    old, new = (script("relay", (500,) * 20, session, first=session, session=session) for session in (50, 60))
    relay = lab.start({"relay": {"workers": 2}}
                      | feed("a", framing="relay", heartbeat="0", on_slow="wait", stall_timeout="1h"))
    at_home = relay.subscribe("a-framed", old, same_session=False)
    relay.wait("a", subscribers=1)
    elsewhere = relay.subscribe("a-framed", old, same_session=False)
    relay.wait("a", subscribers=2)
    assert [one["subscribers"] for one in workers_of(relay)] == ["1", "1"]
    publisher = relay.publish("a", old.wire)
    relay.run_until_done([at_home, elsewhere])
    at_home.reset()
    relay.wait("a", subscribers=1)
    elsewhere.script, elsewhere.payload, elsewhere.base, elsewhere.position = new, new.payload, new.first, 0
    publisher.send(new.wire)
    relay.run_until_done([elsewhere])
    assert packet.END in elsewhere.events
    assert elsewhere.session == 60 and not elsewhere.gaps


def test_reload_moves_nobody(lab):
    """Feeds and listeners come and go in all workers; who is connected elsewhere does not notice."""
    made = script("u32be", (3000,) * 1000, 6)
    sections = WORKERS | feed("a", **LOSSLESS)
    relay = lab.start(sections)
    readers = relay.subscribe("a-raw", made, 8)
    relay.wait("a", subscribers=8)
    publisher = relay.publish("a", made.wire[:1_000_000])
    more = sections | feed("b", **LOSSLESS)
    relay.wait_log("reloaded", relay.reload(more))
    relay.sections = more
    others = relay.subscribe("b-framed", made, 8)
    relay.wait("b", subscribers=8)
    relay.publish("b", made.wire)
    relay.run_until_done(others)
    since = relay.reload(sections)
    relay.wait_log("reloaded", since)
    lab.loop.run(lambda: all(one.end for one in others), what="the end of b")
    publisher.send(made.wire[1_000_000:])
    relay.run_until_done(readers)
    changed = {"relay": {"workers": 2}} | feed("a", **LOSSLESS)
    since = relay.reload(changed)
    relay.wait_log("workers changed from '4' to '2', but not before the next start", since)
    relay.wait_log("reloaded", since)
    assert len(workers_of(relay)) == 4
    assert all(one.end is None for one in readers)


def test_drain_reaches_every_worker(lab):
    """Who lags in a branch still gets all that is in its ring, then FIN."""
    made = script("u32be", (64 * KIB,) * 30, 7)
    relay = lab.start({"relay": {"workers": 4, "drain": "60s"}}
                      | feed("a", ring="8m", raw={"send_buffer": "16k", "user_timeout": "0"}, **LOSSLESS))
    readers = relay.subscribe("a-raw", made, 8, paused=True, receive_buffer=4096)
    relay.wait("a", subscribers=8)
    relay.publish("a", made.wire)
    relay.wait("a", in_messages=30)
    relay.signal(15)
    relay.wait_log("draining subscribers=8")
    for one in readers:
        one.resume()
    lab.loop.run(lambda: all(one.done and one.end == "fin" for one in readers), what="all, then FIN")
    assert relay.wait_exit() == 0

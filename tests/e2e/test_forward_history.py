# SPDX-License-Identifier: MIT
"""forward with a history: what the ring has no more, and the stream has yet to get, comes from the files."""

import signal

import pytest

from relaytest.crashing import Crashing
from relaytest.daemon import preload
from relaytest.hanging_disk import await_hang
from relaytest.stream import KIB, script
from test_forward import BIG, SLOW, bodies, errors, forwarding, part, start, wait_recorded, wait_stored
from test_history_cache import record, replay, served


def make_forwarder_anew(relay, nats):
    """By a reload with the same server, named twice."""
    twice = {"servers": f"{nats.url}, {nats.url}"}
    relay.wait_log("reloaded", relay.reload({**relay.sections, "nats": twice}))


def test_what_the_ring_loses_comes_from_the_history(lab, server):
    nats = server()
    nats.stream()
    relay = start(lab, nats, on_slow="replay", history=lab.directory / "history", on_history_lag="wait", **SLOW)
    nats.process.send_signal(signal.SIGSTOP)
    relay.publish("a", BIG.wire)
    relay.wait("a", in_messages=1500)
    nats.process.send_signal(signal.SIGCONT)
    relay.wait("a", forward_acked=1500, forward_missed=0, test=lambda now: now["replayed_bytes"] > 0)
    assert bodies(nats) == BIG.wire_pieces()


@pytest.mark.parametrize("meanwhile", ["nothing", "reload"])
def test_a_disk_that_hangs_holds_up_only_what_is_forwarded_from_it(lab, server, meanwhile):
    """Another reader of a history in the same worker goes on. Once the disk answers, nothing is missing, not even of a
    forwarder that was stopped while it waited."""
    nats = server()
    nats.stream()
    says_so = lab.memory / "disk-hangs"
    other = script("u32be", (64 * KIB,) * 100, 8)
    relay = lab.start({"admin": {"listen": "tcp:127.0.0.1:0"}, **served(lab, "b"),
                       **forwarding(nats, on_slow="replay", history=lab.directory / "history-a", on_history_lag="wait", **SLOW)},
                      env=preload(RELAY_HANG=f"pread:{says_so}:{lab.directory / 'history-a'}"))
    relay.wait("a", forward_up=1)
    at_start = errors(relay)
    record(lab, relay, "b", other)
    reader = replay(relay, "b", other, paused=True)
    relay.wait("b", subscribers_replaying=1)
    says_so.touch()
    nats.process.send_signal(signal.SIGSTOP)
    relay.publish("a", BIG.wire)
    relay.wait("a", in_messages=1500)
    nats.process.send_signal(signal.SIGCONT)
    await_hang(lab, says_so)
    reader.resume()
    relay.run_until_done([reader])
    relay.wait("a", test=lambda now: 0 < now["forward_acked"] < 1500)
    if meanwhile == "reload":
        make_forwarder_anew(relay, nats)
    says_so.unlink()
    wait_stored(lab, nats, 1500)
    relay.wait("a", forward_lag=0, forward_missed=0, **at_start)
    assert bodies(nats) == BIG.wire_pieces()


def test_what_is_on_its_way_to_the_files_is_waited_for(lab, server):
    """The ring does not have it any more, and the recorder has yet to write it."""
    nats = server()
    nats.stream()
    says_so = lab.memory / "disk-hangs"
    sections = {"admin": {"listen": "tcp:127.0.0.1:0"},
                **forwarding(nats, on_slow="replay", history=lab.directory / "history", on_history_lag="wait",
                             **{**SLOW, "stall_timeout": "1h"})}
    relay = lab.start(sections, env=preload(RELAY_HANG=f"pwrite:{says_so}"))
    relay.wait("a", forward_up=1)
    publisher = relay.publish("a", part(BIG, 0, 100))
    relay.wait("a", forward_acked=100)
    wait_recorded(lab, relay, 100)
    says_so.touch()
    publisher.send(BIG.message(100))
    relay.wait("a", forward_acked=101)
    nats.kill()
    publisher.send(part(BIG, 101, 1500))
    relay.wait("a", test=lambda now: now["wait_pauses"] > 0)
    make_forwarder_anew(relay, nats)
    nats.start()
    relay.wait("a", forward_up=1)
    says_so.unlink()
    wait_stored(lab, nats, 1500)
    relay.wait("a", forward_lag=0, forward_missed=0)
    assert bodies(nats) == BIG.wire_pieces()


@pytest.mark.parametrize("how, on_slow", [("upgrade", "wait"), ("upgrade", "replay"), ("crash", "replay")])
def test_what_was_on_its_way_comes_from_the_history(lab, server, how, on_slow):
    """The stream has taken nothing for so long that the ring has gone on without it."""
    nats = server()
    nats.stream()
    sections = {"admin": {"listen": "tcp:127.0.0.1:0"},
                **forwarding(nats, on_slow=on_slow, history=lab.directory / "history", on_history_lag="wait",
                             **{**SLOW, "stall_timeout": "1h"})}
    crashing = Crashing(lab, sections) if how == "crash" else None
    relay = crashing.relay if crashing else lab.start(sections)
    relay.wait("a", forward_up=1)
    publisher = relay.publish("a", part(BIG, 0, 100))
    relay.wait("a", forward_acked=100)
    nats.process.send_signal(signal.SIGSTOP)
    publisher.send(part(BIG, 100, 1500))
    if on_slow == "wait":
        relay.wait("a", test=lambda now: now["wait_pauses"] > 0)
    else:
        relay.wait("a", in_messages=1500)
    if how == "upgrade":
        relay.upgrade()
    else:
        wait_recorded(lab, relay, 1500)  # what is on its way from the ring to the files, a crash loses
        crashing.die_at_rest()
        relay = crashing.relay
    nats.process.send_signal(signal.SIGCONT)
    wait_stored(lab, nats, 1500)
    relay.wait("a", forward_lag=0, forward_missed=0)
    assert bodies(nats) == BIG.wire_pieces()

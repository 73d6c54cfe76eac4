# SPDX-License-Identifier: MIT
"""Signals that come while relay starts, reloads, drains, or upgrades itself (SIGUSR2): none is lost, whatever step it
comes in."""

import signal

import pytest

from relaytest import daemon
from relaytest.ini import TIGHT, feed
from relaytest.stream import MIB, script

SLOW = {"receive_buffer": 4096, "paused": True}

# Calls before which relay stands still: tests/fault/refuse.c. The new program has counts of its own.
STEPS = {
    "the check runs": "waitpid:1",
    "signals are about to wait": "sigprocmask:3",
    "packing": "state_memory:1",
    "sending descriptors": "sendmsg:1",
    "about to exec": "execv:1",
    "the new one reads": "recvmsg:1",
}


def stop_in_upgrade(relay):
    """Until it stands still at its step."""
    relay.process.send_signal(signal.SIGUSR2)
    relay.wait_stopped()


def go_on(relay, *signals):
    for one in signals:
        relay.process.send_signal(one)
    relay.process.send_signal(signal.SIGCONT)


def start(lab, step):
    return lab.start({"relay": {"workers": 2}} | feed("a", framing="line", on_slow="wait"),
                     env=daemon.preload(RELAY_STOP=STEPS[step]))


@pytest.mark.parametrize("step", STEPS)
def test_requests_wait_for_the_next_program(lab, step):
    """Each is acted upon, and the upgrade itself goes well: the stream goes on."""
    made = script("line", (100,) * 100, 1)
    relay = start(lab, step)
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    for number, answer in ((signal.SIGUSR1, r" status relay "), (signal.SIGHUP, r" reloaded$")):
        since = len(relay.log)
        stop_in_upgrade(relay)
        go_on(relay, number)
        relay.wait_log(r" resumed subscribers=1 ", since)
        relay.wait_log(answer, since)
    # An upgrade beside one that is under way is refused; afterwards it is one of its own.
    since = len(relay.log)
    stop_in_upgrade(relay)
    relay.expect("an upgrade is under way")
    go_on(relay, signal.SIGUSR2)
    if step in ("the check runs", "signals are about to wait"):
        relay.wait_log("an upgrade is under way", since)
    else:
        relay.wait_stopped()
        go_on(relay)
    relay.publish("a", made.wire)
    relay.run_until_done([reader])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", STEPS)
def test_an_end_is_not_forgotten(lab, step, number):
    relay = start(lab, step)
    stop_in_upgrade(relay)
    relay.signalled = True
    go_on(relay, number)
    assert relay.wait_exit() == 0
    assert any(" draining " in line for line in relay.log)


# Before these calls relay stands still while it starts.
STARTING = {
    "limits are read": "prlimit:1",
    "engines are measured": "socketpair:1",
    "the first descriptor is watched": "epoll_add:1",
}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", STARTING)
def test_signals_wait_for_the_start(lab, step, number):
    """What asks is answered once relay is ready. What ends it may end it at once: nobody is served yet."""
    relay = lab.start(feed("a", framing="line"), env=daemon.preload(RELAY_STOP=STARTING[step]), wait=False)
    relay.wait_stopped()
    relay.signalled = True
    go_on(relay, number)
    if number in (signal.SIGTERM, signal.SIGINT):
        assert relay.wait_exit() in (0, -number)
        return
    since = relay.log.index(relay.wait_log(r" info ready\b")) + 1
    relay.wait_log(r" reloaded\b" if number == signal.SIGHUP else " status end", since)


LISTENING = 4  # times that relay listens as it starts with one feed: its ingest, two listeners, the admin socket
ANSWERS = {signal.SIGHUP: r" reloaded$", signal.SIGUSR1: " status end", signal.SIGUSR2: r" resumed subscribers=1 ",
           signal.SIGTERM: " draining ", signal.SIGINT: " draining "}


@pytest.mark.parametrize("number", ANSWERS)
def test_signals_wait_for_a_reload(lab, number):
    """It stands still where it begins to listen for a feed that is new. Each signal is acted upon after that."""
    made = script("line", (100,) * 100, 1)
    sections = {"relay": {"workers": 2}} | feed("a", framing="line", on_slow="wait")
    relay = lab.start(sections, env=daemon.preload(RELAY_STOP=f"listen:{LISTENING + 1}"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    since = relay.reload(sections | feed("b"))
    relay.wait_stopped()
    ends = number in (signal.SIGTERM, signal.SIGINT)
    relay.signalled = ends
    go_on(relay, number)
    reloaded = relay.log.index(relay.wait_log(r" reloaded$", since)) + 1
    relay.wait_log(ANSWERS[number], reloaded)
    if ends:
        assert relay.wait_exit() == 0
        return
    relay.wait("b", subscribers=0)
    relay.publish("a", made.wire)
    relay.run_until_done([reader])
    relay.wait_log(r" reloaded$", relay.reload(sections))


REFUSED_IN_DRAIN = {signal.SIGHUP: "reload failed: relay is shutting down",
                    signal.SIGUSR2: "upgrade failed: relay is shutting down"}


def test_signals_in_a_drain(lab):
    """What would serve anew is refused, the status is told, and the drain goes on."""
    made = script("none", (3 * MIB,), 1)
    relay = lab.start({"relay": {"drain": "1h"}} | feed("a", raw=TIGHT, on_slow="wait", stall_timeout="1h"))
    slow = relay.subscribe("a-raw", made, **SLOW)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.wait("a", test=lambda seen: seen["subscribers_blocked"])
    relay.signal(signal.SIGTERM)
    relay.wait_log(" draining ")
    for number in REFUSED_IN_DRAIN:
        relay.expect(REFUSED_IN_DRAIN[number])
        relay.process.send_signal(number)
        relay.wait_log(REFUSED_IN_DRAIN[number])
    since = len(relay.log)
    relay.process.send_signal(signal.SIGUSR1)
    relay.wait_log(" status end", since)
    slow.resume()
    lab.loop.run(lambda: slow.end == "fin", what="the end of the slow one")
    assert relay.wait_exit() == 0

# SPDX-License-Identifier: MIT
"""Signals that come while relay starts, or upgrades itself (SIGUSR2): none is lost, whatever step it comes in."""

import signal

import pytest

from relaytest import daemon
from relaytest.ini import feed
from relaytest.stream import script

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

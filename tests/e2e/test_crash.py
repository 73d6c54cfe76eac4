# SPDX-License-Identifier: MIT
"""relay dies: what it had open waits with the service manager for the next process. And every other end leaves nothing."""

import fcntl
import os
import random
import re
import signal
import socket
import struct
import subprocess
import termios
import threading
import urllib.request

import pytest

from relaytest import address, daemon
from relaytest.bag import start_with
from relaytest.connector import Connector
from relaytest.ini import feed
from relaytest.service_manager import ServiceManager
from relaytest.stream import script

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h", "framing": "u32be"}
MADE = script("u32be", (70_000, 300, 4096, 1) * 20, 2)
RESUMED = "resumed after a crash"


def sections_of(lab):
    """A feed with a listener of each kind; another one like it, for those who only connect."""
    made = {"relay": {"workers": 2}}
    for name in ("a", "door"):
        made |= feed(name, **LOSSLESS)
        made[f"listener {name}-web"] = {"feed": name, "listen": "tcp:127.0.0.1:0", "format": "http"}
        made[f"listener {name}-local"] = {"feed": name, "listen": f"unix:{lab.directory}/{name}"}
    return made


@pytest.fixture(autouse=True)
def nobody_knocks_on():
    """After a failure either: the ports may be somebody else's by then."""
    yield
    for thread in threading.enumerate():
        if isinstance(thread, Connector):
            thread.stop()


def knock(relay):
    """Somebody who connects all the time."""
    return Connector(*(where for name, where in relay.address.items() if " door" in name))


def crash(relay, number=signal.SIGKILL):
    """The log ends when nobody holds standard error any more: so the keeper has ended, too."""
    relay.signal(number)
    assert relay.wait_exit() == -number


def serves(relay):
    """Everybody who comes now gets every byte."""
    readers = [relay.subscribe(name, MADE) for name in ("a-raw", "a-framed", "a-local")]
    relay.wait("a", subscribers=len(readers))
    publisher = relay.publish("a", MADE.wire)
    relay.run_until_done(readers)
    assert publisher.lost is None
    for one in [*readers, publisher]:  # or they would survive
        one.reset()
    relay.wait("a", subscribers=0, source_up=0)


def admin(lab):
    return {"admin": {"listen": "tcp:127.0.0.1:0", "socket": f"unix:{lab.directory}/admin"}}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_nobody_is_refused(lab, number):
    """Twice, so that what has been resumed is resumed as well."""
    manager = ServiceManager(lab)
    sections = sections_of(lab)
    relay = lab.start(sections, **manager.options())
    where = dict(relay.address)
    connector = knock(relay)
    for _ in range(2):
        serves(relay)
        crash(relay, number)
        assert sorted(manager.store) == ["relay-bag-in", "relay-bag-out", "relay-state"]
        relay = lab.start(sections, **manager.options())
        assert relay.address == where
        relay.wait_log(RESUMED)
        lab.loop.run(lambda: not manager.store, what="the store to be emptied")
    serves(relay)
    connected, refused = connector.stop()
    assert connected > 0 and not refused
    assert len(manager.keepers()) == 1


def test_who_waits_is_served(lab):
    """Who connects while there is no relay waits in the socket, publishers as well."""
    manager = ServiceManager(lab)
    sections = sections_of(lab)
    relay = lab.start(sections, **manager.options())
    lost = relay.publish("a", MADE.wire[:100_000])
    lab.loop.run(lambda: lost.done and not lost.unacknowledged, what="the first publisher", poll=0.001)
    crash(relay)
    early = [relay.subscribe(name, MADE) for name in ("a-raw", "a-framed", "a-local")]
    publisher = relay.publish("a", MADE.wire)
    sections["feed a"]["start_subscribers"] = len(early)
    relay = lab.start(sections, **manager.options())
    relay.peers += [*early, publisher]
    relay.run_until_done(early)
    assert publisher.lost is None and lost.lost == "rst"


def test_passed_sockets(lab):
    """The service manager passes them each time; what relay makes of them is not left in them."""
    sockets = {name: address.listen("tcp:127.0.0.1:0")[0] for name in ("in", "out")}
    manager = ServiceManager(lab, **sockets)
    sections = feed("a", "listen systemd:in", raw={"listen": "systemd:out"}, **LOSSLESS)
    del sections["listener a-framed"]
    relay = lab.start(sections, **manager.options())
    connector = Connector(*relay.address.values())
    for _ in range(2):
        crash(relay)
        relay = lab.start(sections, **manager.options())
        relay.wait_log(RESUMED)
    assert not connector.stop()[1]
    reader = relay.subscribe("a-raw", MADE)
    relay.wait("a", subscribers=1)
    relay.publish("a", MADE.wire)
    relay.run_until_done([reader])
    assert not [line for line in relay.log if "passed socket not used" in line]
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0
    lab.loop.run(lambda: reader.end, what="the end")
    assert reader.end == "fin"


def test_what_a_reload_changed(lab):
    """A listener that came is kept, one that went is not, one that moved is where it is now."""
    manager = ServiceManager(lab)
    sections = sections_of(lab) | admin(lab)
    relay = lab.start(sections, **manager.options())
    gone = relay.address["listener a-framed"]
    sections["listener new"] = {"feed": "a", "listen": "tcp:127.0.0.1:0"}
    sections["listener a-local"]["listen"] = f"unix:{lab.directory}/elsewhere"
    del sections["listener a-framed"]
    relay.wait_log(r" reloaded\b", relay.reload(sections))
    where = {name: text for name, text in relay.address.items() if name != "listener a-framed"}
    connector = Connector(*(text for name, text in where.items() if not name.startswith("admin")))
    crash(relay)
    relay = lab.start(sections, **manager.options())
    assert not connector.stop()[1]
    del where["admin listen"]
    assert {name: text for name, text in relay.address.items() if name != "admin listen"} == where
    with pytest.raises(ConnectionRefusedError):
        address.connect(gone)


def test_amid_reloads(lab):
    """Listeners come, go and move while relay dies, at any moment: the others are as they were."""
    manager = ServiceManager(lab)
    pick = random.Random(5)
    sections = sections_of(lab)
    relay = lab.start(sections, **manager.options())
    where = dict(relay.address)
    connector = knock(relay)
    for turn in range(15):
        changed = dict(sections)
        for i in range(pick.randrange(1, 8)):
            changed[f"listener more{turn % 2}{i}"] = {"feed": "a", "listen": "tcp:127.0.0.1:0"}
        relay.reload(changed)
        lab.loop.run_for(pick.uniform(0, 0.008))
        crash(relay)
        relay = lab.start(changed, **manager.options())
        relay.wait_log(RESUMED)
        assert {name: text for name, text in relay.address.items() if name in where} == where
    assert not connector.stop()[1]
    serves(relay)


def orderly_end(relay):
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0


def drain_for_somebody(relay):
    """Who does not read: so it takes its time."""
    relay.subscribe("a-raw", MADE, receive_buffer=4096, paused=True)
    relay.wait("a", subscribers=1)
    relay.publish("a", MADE.wire)
    relay.wait("a", subscribers_blocked=1)
    relay.signal(signal.SIGTERM)
    relay.wait_log("draining")


def two_signals(relay):
    drain_for_somebody(relay)
    relay.signal(signal.SIGINT)
    assert relay.wait_exit() == 0


def death_while_draining(relay):
    drain_for_somebody(relay)
    crash(relay)


@pytest.mark.parametrize("end", [orderly_end, two_signals, death_while_draining])
def test_an_orderly_end_leaves_nothing(lab, end):
    manager = ServiceManager(lab)
    relay = lab.start(sections_of(lab), **manager.options())
    assert len(manager.keepers()) == 1
    end(relay)
    assert not manager.keepers() and not manager.store
    for where in relay.address.values():
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            address.connect(where)


def test_a_failed_start_leaves_nothing(lab):
    manager = ServiceManager(lab)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sections = sections_of(lab) | feed("b", f"listen tcp:127.0.0.1:{taken.getsockname()[1]}")
        relay = lab.start(sections, wait=False, **manager.options())
        relay.expect("Address already in use")
        assert relay.wait_exit() == 1
    assert not manager.keepers() and not manager.store


@pytest.mark.parametrize("arguments", [("-t",), ("-T",), ("--check-handover", str(daemon.schemas()[0])), ("--version",)])
def test_who_only_asks_gets_no_keeper(lab, arguments):
    manager = ServiceManager(lab)
    ini = lab.directory / "relay.ini"
    ini.write_text(daemon.ini_text(sections_of(lab)))
    subprocess.run([daemon.BIN / "relay", "-c", ini, *arguments], check=True, capture_output=True, timeout=20,
                   env=os.environ | {"NOTIFY_SOCKET": manager.path})
    lab.loop.turn(0)
    assert not manager.messages and not manager.keepers()


def upgraded(relay):
    relay.upgrade()


def failed_to_upgrade(relay):
    relay.expect("upgrade failed").upgrade("upgrade failed: .*Operation not permitted, nothing has changed")


@pytest.mark.parametrize("how, refused", [(upgraded, ""), (failed_to_upgrade, "execv:EPERM")])
def test_over_upgrades(lab, how, refused):
    """Each program has a keeper of its own, and only one; what a failed one has left goes on."""
    manager = ServiceManager(lab)
    sections = sections_of(lab)
    env = daemon.preload(RELAY_REFUSE=refused) if refused else {}
    relay = lab.start(sections, **manager.options(env=env))
    keepers = {*manager.keepers()}
    connector = knock(relay)
    for _ in range(3):
        how(relay)
        lab.loop.run(lambda: len(manager.keepers()) == 1, what="a keeper", poll=0.01)
        assert not keepers & {*manager.keepers()}
        keepers |= {*manager.keepers()}
    assert not connector.stop()[1]
    relay.wait_baseline()
    connector = knock(relay)
    crash(relay)
    relay = lab.start(sections, **manager.options())
    relay.wait_log(RESUMED)
    serves(relay)
    assert not connector.stop()[1]


def test_a_keeper_that_dies_is_replaced(lab):
    manager = ServiceManager(lab)
    sections = sections_of(lab)
    relay = lab.start(sections, **manager.options())
    serves(relay)
    for count in (1, 2):
        keeper, = manager.keepers()
        os.kill(keeper, signal.SIGKILL)
        relay.wait_log(rf"keeper ended .*restarts={count}\b")
        lab.loop.run(lambda: len(manager.keepers()) == 1, what="another keeper", poll=0.01)
        assert manager.keepers() != [keeper]
    assert relay.status()["relay"]["keeper_restarts"] == 2
    relay.close_peers()
    relay.wait_baseline()
    connector = knock(relay)
    crash(relay)
    relay = lab.start(sections, **manager.options())
    relay.wait_log(RESUMED)
    assert not connector.stop()[1]
    serves(relay)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGABRT, signal.SIGUSR1,
                                    signal.SIGUSR2, signal.SIGQUIT])
def test_the_keeper_takes_no_signals(lab, number):
    """A service manager sends them to all of the service; here they come before relay's death."""
    manager = ServiceManager(lab)
    relay = lab.start(sections_of(lab), **manager.options())
    os.kill(manager.keepers()[0], number)
    crash(relay)
    assert len(manager.store) == 3


def test_a_crash_before_ready_is_not_resumed(lab):
    """relay stands still in its own log, which nobody reads, with sockets open; what it was given it had taken."""
    manager = ServiceManager(lab)
    sections = sections_of(lab)
    relay = lab.start(sections, **manager.options())
    reader = relay.subscribe("a-raw", MADE)
    relay.wait("a", subscribers=1)
    crash(relay)
    sections |= {f"listener more{i}": {"feed": "a", "listen": "tcp:127.0.0.1:0"} for i in range(200)}
    relay = lab.start(sections, wait=False, **manager.options())
    lab.loop.unwatch(relay.stderr)
    room = fcntl.fcntl(relay.stderr, fcntl.F_SETPIPE_SZ, 4096)

    def is_full():
        return struct.unpack("i", fcntl.ioctl(relay.stderr, termios.FIONREAD, b"\0" * 4))[0] > room - 256

    lab.loop.run(is_full, what="a log that is full", poll=0.005)
    keeper, = manager.keepers()
    lab.loop.run(lambda: not manager.store, what="what it was given to be taken")
    relay.signal(signal.SIGKILL)
    lab.loop.run(lambda: relay.code is not None, what="its end")
    lab.loop.run(lambda: keeper not in manager.keepers(), what="the keeper's end", poll=0.005)
    assert not manager.store
    lab.loop.run(lambda: reader.end, what="the end of who was there")
    assert reader.end == "rst"
    relay = lab.start(sections_of(lab), **manager.options())
    assert not [line for line in relay.log if "resumed" in line]
    serves(relay)


@pytest.mark.parametrize("how", ["option", "no service manager"])
def test_without_a_keeper(lab, how):
    manager = ServiceManager(lab)
    sections = sections_of(lab)
    options = {}
    if how == "option":
        sections["relay"]["survive_crash"] = "no"
        options = manager.options()
    relay = lab.start(sections, **options)
    assert not manager.keepers()
    crash(relay)
    assert not manager.store
    with pytest.raises(ConnectionRefusedError):
        address.connect(relay.address["listener a-raw"])


# As crash_record.h has it: its arrays are looked up there.
_, SCHEMA = daemon.schemas()
ARRAYS = [name for name, count in re.findall(r"\tstruct crash_array (\w+)(?:\[(\d)])?;",
                                             (daemon.ROOT / "relay/daemon/crash_record.h").read_text())
          for _ in range(int(count or 1))]
HEAD = struct.Struct("<QIIIxxxxQQQQQQQQQ")
BYTES = 8192
FDS_AT, SOCKETS_AT = 1024, 2048


def text_of(value):
    return struct.pack("<Q", len(value)) + value.encode()


def sum_add(total, first, second):
    """As kept_sum.h has it, like the next two."""
    product = (total ^ first ^ 0x6d5ad4c3b9378e1b) * (second ^ 0xb3c6a5925e974d63)
    return product % 2 ** 64 ^ product >> 64


def sum_of(seed, data):
    total, other, length = seed, ~seed % 2 ** 64, len(data)
    while len(data) >= 32:
        words, data = struct.unpack("<4Q", data[:32]), data[32:]
        total, other = sum_add(total, *words[:2]), sum_add(other, *words[2:])
    words = struct.unpack("<4Q", data.ljust(32, b"\0"))
    return sum_add(sum_add(total, *words[:2]), length, sum_add(other, *words[2:]))


def stamp(version):
    return version << 32 | (version + 1) * 0x9d2c5b81 % 2 ** 32


def region(numbers, sockets=(), *, schema=SCHEMA, size=BYTES, bytes=BYTES, fd_count=None, fds_at=FDS_AT,
           version=stamp(2), sockets_bytes=None, counts=(SOCKETS_AT, 0, 0), flipped=None):
    """What a relay leaves that had these numbers open and these (kind, name, address, number, cookie)."""
    no_config, fallbacks = 2 ** 64 - 1, 0
    listing = struct.pack("<QQQ", no_config, fallbacks, len(sockets))
    for kind, name, where, number, cookie in sockets:
        listing += struct.pack("<Q", kind) + text_of(name) + text_of(where) + struct.pack("<QQ", number, cookie)
    length = len(listing) if sockets_bytes is None else sockets_bytes
    fd_count = len(numbers) if fd_count is None else fd_count
    used = {"fds": (fds_at, 4, 64), "listeners": (SOCKETS_AT, 1, 4096), "counts": counts}  # at, bytes of one, how many
    arrays = struct.pack("<8sQQQ", b"RLYCRSH\0", schema, bytes, 1)
    for name in ARRAYS:
        arrays += struct.pack("<QQQ", *used.get(name, (SOCKETS_AT, 0, 0)))
    fds = struct.pack(f"<{len(numbers)}i", *numbers)
    head = HEAD.pack(sum_of(0, arrays), 1, 0, 0, 1, version, length, length, sum_of(2, listing[:length]), 0,
                     sum_of(0, fds), fd_count, 2)
    memory = bytearray(BYTES)
    memory[:len(arrays + head)] = arrays + head
    memory[FDS_AT:FDS_AT + len(fds)] = fds
    memory[SOCKETS_AT:SOCKETS_AT + len(listing)] = listing
    if flipped is not None:
        memory[flipped] ^= 0x10
    return memory[:size]


def cookie_of(sock):
    so_cookie = 57
    return struct.unpack("Q", sock.getsockopt(socket.SOL_SOCKET, so_cookie, 8))[0]


REGIONS = {
    "another schema": ({"schema": 99}, "region of schema 99, expected"),
    "another length": ({"bytes": BYTES + 64}, "region of 8256 bytes and 2 descriptors, there are 8192 and 2"),
    "descriptors are missing": ({"fd_count": 3}, "3 descriptors, there are 8192 and 2"),
    "numbers in disorder": ({"numbers": (9, 9)}, "descriptors are not in order"),
    "an array outside": ({"fds_at": BYTES}, "an array is not in it"),
    "an array nowhere": ({"fds_at": 2 ** 64 - 64}, "an array is not in it"),
    "counters of another width": ({"counts": (SOCKETS_AT, 64, 1)}, "listeners: Protocol error"),
    "a wrong bit in the head": ({"flipped": 40}, "region: sum of the head"),
    "a wrong bit in a number": ({"flipped": FDS_AT}, "region: sum of the descriptors"),
    "a wrong bit in a list": ({"flipped": SOCKETS_AT + 40}, "listening sockets: sum"),
    "no such version": ({"version": 3 << 32}, "listening sockets: version"),
    "too long a list": ({"sockets_bytes": 4097}, "listening sockets: length"),
    "half a list": ({"sockets_bytes": 56}, "listening sockets: "),
    "a kind that is none": ({"sockets": [(7, "a", "", 9, 1)]}, "listening sockets: kind of socket"),
    "short": ({"size": 128}, "region of 128 bytes"),
}


@pytest.mark.parametrize("how", REGIONS)
def test_a_region_that_cannot_be_read(lab, how):
    """What hangs on it is closed by reset, not resumed wrong; relay serves all the same."""
    changes, answer = REGIONS[how]
    sections = feed("a", **LOSSLESS) | {"listener a-local": {"feed": "a", "listen": f"unix:{lab.directory}/local"}}
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        held, _ = server.accept()
        given = {"numbers": (9, 10), "sockets": [(1, "a-raw", "tcp:127.0.0.1:0", 9, cookie_of(server))]} | changes
        with held:
            relay = start_with(lab, region(**given), [server, held], sections)
        relay.expect("nothing resumed").wait_log(f"nothing resumed: .*{answer}")
    with peer, pytest.raises(ConnectionResetError):
        peer.recv(1)
    serves(relay)


@pytest.mark.parametrize("is_same", [True, False])
def test_a_number_that_is_another_ones(lab, is_same):
    """A listening socket is taken for what its cookie says, not its number."""
    sections = feed("a", **LOSSLESS) | {"listener a-local": {"feed": "a", "listen": f"unix:{lab.directory}/local"}}
    with socket.create_server(("127.0.0.1", 0)) as server:
        listed = (1, "a-raw", "tcp:127.0.0.1:0", 9, cookie_of(server) + (not is_same))
        relay = start_with(lab, region((9,), [listed]), [server], sections)
        assert (relay.address["listener a-raw"] == f"tcp:127.0.0.1:{server.getsockname()[1]}") == is_same
    relay.wait_log(RESUMED)
    serves(relay)


def test_it_is_told(lab):
    """How often the keeper was lost, for Prometheus; what the log has after a crash."""
    manager = ServiceManager(lab)
    sections = sections_of(lab) | admin(lab)
    crash(lab.start(sections, **manager.options()))
    relay = lab.start(sections, **manager.options())
    assert " warning resumed after a crash subscribers=0 lost=0 silence_ms=" in relay.wait_log(RESUMED)
    host = relay.address["admin listen"].removeprefix("tcp:")
    with urllib.request.urlopen(f"http://{host}/metrics", timeout=10) as answer:
        assert "\nrelay_keeper_restarts_total 0\n" in answer.read().decode()

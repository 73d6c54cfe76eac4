# SPDX-License-Identifier: MIT
"""PROXY headers at raw and framed listeners: who the peer is, and what becomes of a header that is late, wrong or cut."""

import signal
import socket
import struct

import pytest

from relaytest.admin import Admin
from relaytest.ini import feed
from relaytest.service_manager import ServiceManager
from relaytest.stream import script
from relaytest.web import Answer, WebSubscriber

RELOADED = r" reloaded\b"
PROXY = "127.0.0.5"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 %s 127.0.0.1 5 80\r\n"


def sections(**options):
    more = {"trusted_proxies": f"{PROXY}, ::1", **options}
    return feed("a", framing="u32be", raw=more, framed=more)


def v2(source, command=0x21, more=b""):
    inside = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 5, 80) + more
    return SIGNATURE + bytes([command, 0x11]) + struct.pack(">H", len(inside)) + inside


def connect(relay, data=b"", listener="a-raw", source=PROXY):
    return Answer(relay, listener, data, source=source)


def shown(relay):
    return {row["peer"] for row in Admin(relay, "socket").get("/subscribers.json")["subscribers"]}


def wait_reset(lab, *peers):
    """A refused peer is reset: no clean end of an empty stream."""
    for peer in peers:
        lab.loop.run(lambda peer=peer: peer.end, what="a refused peer to be closed")
        assert peer.end == "rst" and not peer.data, (peer.end, peer.data)


@pytest.mark.parametrize("header", [V1 % b"10.8.0.1", v2("10.8.0.1"), v2("10.8.0.1", more=b"\4\0\1x"),
                                    b"PROXY UNKNOWN and more\r\n", v2("10.8.0.1", command=0x20)],
                         ids=["v1", "v2", "v2-extension", "unknown", "local"])
def test_streams(lab, header):
    """Every byte reaches raw and framed peers behind a proxy, whatever their header, and those who come without one."""
    made = script("u32be", (100, 70_000, 5, 2000), 1)
    relay = lab.start(sections())
    readers = [relay.subscribe("a-raw", made, source=PROXY, first=header),
               relay.subscribe("a-framed", made, source=PROXY, first=header),
               relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=4)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)


def test_a_header_byte_by_byte(lab):
    relay = lab.start(sections())
    for count, header in enumerate((V1 % b"10.8.0.1", v2("10.8.0.1")), 1):
        peer = connect(relay)
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header[:-1]:
            peer.sock.sendall(bytes([byte]))
        assert relay.feed("a")["subscribers"] == count - 1
        peer.sock.sendall(header[-1:])
        relay.wait("a", subscribers=count)


def test_what_stands_behind_it(lab):
    """It is the subscriber's own: counted as input, and too much of it closes."""
    relay = lab.start(sections(max_input="100"))
    connect(relay, V1 % b"10.8.0.1" + b"x" * 60)
    relay.wait("a", subscribers=1, subscriber_input=60)
    connect(relay, v2("10.8.0.1") + b"x" * 600)
    relay.wait("a", subscribers=1, closed_input=1, subscribers_total=2)


def test_who_counts(lab):
    """Access lists, max_per_ip and the log go by the address in the header."""
    relay = lab.start(sections(deny="10.9.0.0/16", max_per_ip=1))
    wait_reset(lab, connect(relay, V1 % b"10.9.0.1"))
    relay.wait_log(r"subscriber refused listener=a-raw peer=tcp:10\.9\.0\.1:5 reason=denied")
    for host in (b"10.8.0.1", b"10.8.0.2"):
        connect(relay, V1 % host)
    relay.wait("a", subscribers=2, closed_denied=1)
    wait_reset(lab, connect(relay, v2("10.8.0.2")))
    relay.wait("a", subscribers=2, closed_per_address=1)


def test_who_is_shown(lab):
    """The list of subscribers goes by it, whichever way it was told; also in the next process, and after a crash."""
    manager = ServiceManager(lab)
    made = script("u32be", (100, 70_000, 5, 2000), 1)
    by = {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http", "trusted_proxies": PROXY}
    ini = {"admin": {"listen": "none", "socket": f"unix:{lab.directory}/admin"}, **sections(), "listener web": by,
           "listener fields": {**by, "proxy_header": "forwarded"}}
    relay = lab.start(ini, **manager.options())
    readers = [
        relay.subscribe("a-raw", made, source=PROXY, first=V1 % b"10.8.0.1"),
        relay.subscribe("a-framed", made, source=PROXY, first=v2("10.8.0.2")),
        relay.subscribe("web", made, kind=WebSubscriber, source=PROXY, first=V1 % b"10.8.0.3"),
        relay.subscribe("fields", made, kind=WebSubscriber, source=PROXY, fields={"X-Forwarded-For": "2001:db8::4"}),
        relay.subscribe("a-raw", made, source=PROXY, first=b"PROXY UNKNOWN\r\n"), relay.subscribe("a-raw", made)]
    relay.wait("a", subscribers=len(readers))
    hosts = ["tcp:%s:%d" % one.sock.getsockname() for one in readers[4:]]
    expected = {"tcp:10.8.0.1:5", "tcp:10.8.0.2:5", "tcp:10.8.0.3:5", "tcp:[2001:db8::4]:0", *hosts}
    assert shown(relay) == expected
    relay.upgrade()
    assert shown(relay) == expected
    relay.signal(signal.SIGKILL)
    assert relay.wait_exit() == -signal.SIGKILL
    relay = lab.start(ini, **manager.options())
    relay.peers += readers
    relay.wait_log("resumed after a crash")
    assert shown(relay) == expected
    relay.publish("a", made.wire)
    relay.run_until_done(readers)


BAD = {
    "http": (b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n", "not a PROXY header"),
    "line": (b"PROXY TCP4 10.8.0.1 127.0.0.1 5\r\n", "a PROXY line that cannot be read"),
    "long": (b"PROXY " + b"x" * 200, "a PROXY line of more than 107 bytes"),
    "long2": (SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 600, "a PROXY header of more than 536 bytes"),
    "short2": (SIGNATURE + b"\x21\x11\0\4" + b"x" * 4, "a PROXY header that is too short for its addresses"),
    "datagram": (SIGNATURE + b"\x21\x12\0\x0c" + b"x" * 12, "a PROXY header for another protocol than TCP or a unix stream"),
    "version": (SIGNATURE + b"\x31\x11\0\x0c" + b"x" * 12, "a PROXY header of another version than 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_headers(lab, name):
    data, why = BAD[name]
    relay = lab.start(sections())
    wait_reset(lab, connect(relay, data))
    relay.wait("a", closed_no_proxy_head=1, subscribers_total=0)
    relay.wait_log(rf"subscriber refused listener=a-raw peer=tcp:{PROXY}:\d+ reason=no_proxy_head \(.*: {why}\)")


def test_cut_headers(lab):
    """Who ends inside of it is refused; who says nothing and goes only looked if relay is there."""
    relay = lab.start(sections())
    for data in (V1[:9], SIGNATURE + b"\x21"):
        wait_reset(lab, Answer(relay, "a-raw", data, source=PROXY, half_close=True))
    relay.wait("a", closed_no_proxy_head=2)
    for _ in range(3):
        connect(relay).reset()
        connect(relay).close()
    connect(relay, V1 % b"10.8.0.1")
    relay.wait("a", subscribers=1, closed_no_proxy_head=2, subscribers_total=1)


def test_a_look_with_a_header(lab):
    """LOCAL and FIN: nobody is behind the proxy, so it is no subscriber that only half-closed."""
    relay = lab.start(sections())
    for header in (v2("10.8.0.1", command=0x20), SIGNATURE + b"\x20\0\0\0"):
        looking = connect(relay, header)
        relay.wait("a", subscribers=1)
        looking.sock.shutdown(socket.SHUT_WR)
        relay.wait("a", subscribers=0)
    relay.wait("a", subscribers_total=2, closed_peer_closed=2)


def test_a_header_that_never_ends(lab):
    relay = lab.start(sections(head_timeout="300ms"))
    some = [connect(relay), connect(relay, V1[:9]), connect(relay, SIGNATURE, listener="a-framed")]
    wait_reset(lab, *some)
    relay.wait("a", closed_no_proxy_head=3)
    relay.wait_log(r"reason=no_proxy_head \(.*: the PROXY header did not come in time\)")


def test_too_many_wait(lab):
    """The oldest makes room, and its place serves the next."""
    relay = lab.start(sections(max_heads=2, head_timeout="5m"))
    oldest, *_ = [connect(relay) for _ in range(3)]
    wait_reset(lab, oldest)
    connect(relay, V1 % b"10.8.0.1")
    relay.wait("a", subscribers=1, closed_no_proxy_head=2)
    relay.wait_log("newer connections took all places")


def test_reload_and_drain(lab):
    """Who waits goes on waiting over a reload, and is reset when relay stops."""
    relay = lab.start(sections(head_timeout="5m"))
    waiting = connect(relay)
    changed = sections(head_timeout="5m", max_input="8k")
    relay.wait_log(RELOADED, relay.reload(changed))
    waiting.sock.sendall(V1 % b"10.8.0.1")
    relay.wait("a", subscribers=1)
    changed["listener a-raw"]["trusted_proxies"] = "127.0.0.6"
    relay.wait_log(RELOADED, relay.reload(changed))
    connect(relay)
    relay.wait("a", subscribers=2)
    still = connect(relay, listener="a-framed")
    relay.signal(signal.SIGTERM)
    wait_reset(lab, still)
    assert relay.wait_exit() == 0

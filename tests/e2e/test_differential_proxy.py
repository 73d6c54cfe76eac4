# SPDX-License-Identifier: MIT
"""PROXY headers: the same bytes to relay and to HAProxy, whose protocol it is. Both take them, and name the same source,
or both refuse them. Run by `make test-clients`.

The headers are those of the unit tests, tests/unit/proxy_protocol_cases.def.
"""

import contextlib
import re
import socket
import subprocess

import pytest

from relaytest import address
from relaytest.daemon import ROOT
from relaytest.loop import CEILING
from relaytest.web_publisher import TOKEN, published

pytestmark = pytest.mark.clients

REQUEST = f"POST /a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1\r\n\r\n1".encode()
SIGNATURE = "0d0a0d0a000d0a515549540a "
REFUSED = "refused"

# The end of a header, and what HAProxy makes of it where relay does not do the same.
DIFFERENT = {
    # It reads numbers that are not in their one form (section 2.1 of the specification), and takes what is left of them.
    r"192.0.2.1 198.51.100.2 65536 443\r\n": "192.0.2.1 0",
    r"192.0.2.1 198.51.100.2 56324 65536\r\n": "192.0.2.1 56324",
    r"192.0.2.1 198.51.100.2 4294967297 443\r\n": "192.0.2.1 1",
    r"192.0.2.1 198.51.100.2 01 443\r\n": "192.0.2.1 1",
    r"192.0.2.1 198.51.100.2 56324 00\r\n": "192.0.2.1 56324",
    r"192.0.2.256 198.51.100.2 1 2\r\n": "192.0.3.0 1",
    r"192.0.2 198.51.100.2 1 2\r\n": "192.0.2.0 1",
    r"192.0.2.01 198.51.100.2 1 2\r\n": "192.0.2.1 1",
    r"192.0.2.1 198.51.100 1 2\r\n": "192.0.2.1 1",
    r"3221225985 198.51.100.2 1 2\r\n": "217.0.0.0 1",
    # What stands behind UNKNOWN is passed over, says section 2.1.
    r"UNKNOWN .*\r\n": REFUSED,
    # An upstream that does not say who it is, and a unix peer: section 2.2 leaves it open.
    r"QUIT\n\x21\x00..(\xff)*": REFUSED,
    r"QUIT\n\x21\x31.{218}": REFUSED,
}


def read_hex(text):
    """As parse_rig_read_hex() of the unit tests reads it, but for what is masked."""
    data = b""
    for quoted, digits, times in re.findall(r"'([^']*)'|([0-9a-f]{2})(?:\*(\d+))?", text):
        data += quoted.encode() if not digits else bytes.fromhex(digits) * int(times or 1)
    return data


def cases():
    """What is expected, and the bytes: of a whole header only those of it, with a request behind."""
    text = (ROOT / "tests/unit/proxy_protocol_cases.def").read_text(encoding="utf-8")
    for expected, signature, hexes in re.findall(r'^CASE\("([^"]*)", (SIGNATURE )?"([^"]*)"\)', text, re.M):
        data = read_hex((SIGNATURE if signature else "") + hexes.replace("\\\\", "\\"))
        if expected != "more" and not expected.startswith("error"):
            data = data[:int(expected.split(" ")[-1])]
        yield expected, data


def source_of(expected, own):
    """As both of them have to name it, ADDRESS PORT; own: the port that it comes from."""
    if expected == "more" or expected.startswith("error"):
        return REFUSED
    name = expected.rsplit(" ", 1)[0]
    return f"127.0.0.1 {own}" if name == "none" else plain(name)


def plain(name):
    """An IPv4 address in IPv6 is that address; a unix peer without a name is @ in the log."""
    return re.sub(r"[\[\]@]|::ffff:", "", name)


def say(peer, data, is_whole):
    """All that comes up to the end of a head, and its status; 0: none has come."""
    got = b""
    address.reset_on_close(peer)
    with contextlib.suppress(ConnectionError):  # who refuses may not have read it all
        peer.sendall(data + (REQUEST if is_whole else b""))
        if not is_whole:
            with contextlib.suppress(OSError):  # it has been reset: ENOTCONN
                peer.shutdown(socket.SHUT_WR)
        while b"\r\n\r\n" not in got and (part := peer.recv(65536)):
            got += part
    found = re.match(rb"HTTP/1\.1 (\d+) ", got)
    return got, int(found[1]) if found else 0


def ask_relay(relay, port, data, is_whole):
    """(source, own port)"""
    since = len(relay.log)
    with socket.create_connection(("127.0.0.1", port), CEILING) as peer:
        own = peer.getsockname()[1]
        if say(peer, data, is_whole)[1] // 100 != 2:
            return REFUSED, own
    line = relay.wait_log("publisher up feed=a", since)
    relay.wait("a", source_up=0)
    kind, where = re.search(r"peer=(tcp|unix):(.*)", line).groups()
    return plain(" ".join(where.rsplit(":", 1)) if kind == "tcp" else f"unix {where}"), own


def ask_haproxy(port, data, is_whole):
    with socket.create_connection(("127.0.0.1", port), CEILING) as peer:
        own = peer.getsockname()[1]
        got, status = say(peer, data, is_whole)
    if status // 100 != 2:
        return REFUSED, own
    host, number = re.search(rb"(?i)\r\nsource: (\S*) (\S*)\r\n", got).groups()
    return plain(f"{host.decode()} {int(number or 0)}"), own


@pytest.fixture
def haproxy(lab):
    port = address.spare_port()
    (lab.directory / "haproxy.cfg").write_text(
        "defaults\n    mode http\n    timeout client 1m\n    timeout connect 1m\n    timeout server 1m\n"
        f"frontend f\n    bind 127.0.0.1:{port} accept-proxy\n"
        "    http-request return status 200 hdr Source \"%[src] %[src_port]\"\n")
    process = subprocess.Popen(["haproxy", "-f", lab.directory / "haproxy.cfg", "-q", "-db"])

    def listens():
        assert process.poll() is None
        try:
            address.connect(f"tcp:127.0.0.1:{port}").close()
        except OSError:
            return False
        return True

    lab.loop.run(listens, what="HAProxy to listen", poll=0.02)
    yield port
    process.terminate()
    process.wait()


def test_proxy_headers(lab, haproxy):
    relay = lab.start(published(lab, framing="none", listener={"trusted_proxies": "127.0.0.1"}))
    port = address.parse(relay.address["listener web"])[1][1]
    wrong, met = [], set()
    for expected, data in cases():
        ours, own = ask_relay(relay, port, data, expected != "more")
        theirs, other = ask_haproxy(haproxy, data, expected != "more")
        want = source_of(expected, other)
        for end, instead in DIFFERENT.items():
            if expected != "more" and re.search(end.encode() + rb"\Z", data, re.S):
                want, _ = instead, met.add(end)
        if (ours, theirs) != (source_of(expected, own), want):
            wrong.append(f"{data!r}: relay {ours}, HAProxy {theirs}, expected {expected}")
    assert not wrong, "\n".join(wrong)
    assert met == set(DIFFERENT)

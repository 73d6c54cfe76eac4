# SPDX-License-Identifier: MIT
"""Requests that two parsers may read in two ways: what relay serves, node and nginx serve as well and read alike. Run by
`make test-clients`.

So a proxy in front of relay and relay itself never disagree where a request ends, or what it asks for.
"""

import json
import re
import socket
import struct
import subprocess

import pytest

from relaytest import address
from relaytest.loop import CEILING
from relaytest.ini import feed
from relaytest.web_publisher import TOKEN, published

pytestmark = pytest.mark.clients

# Says how it has read the request, and answers 400 where it cannot.
NODE = """
require('http').createServer((request, answer) => {
  const parts = [];
  request.on('data', part => parts.push(part));
  request.on('end', () => {
    answer.setHeader('Connection', 'close');
    answer.end(JSON.stringify([request.method, request.url, Buffer.concat(parts).toString('latin1')]));
  });
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
"""

LINE = "GET /a HTTP/1.1"
HOST = "Host: localhost"


def head(*lines, line=LINE, host=HOST):
    return "\r\n".join((line, *((host,) if host else ()), *lines, "", "")).encode("latin-1")


# The request, and what relay answers.
HEADS = {
    "as usual": (head(), 200),
    "HTTP/1.0": (head(line="GET /a HTTP/1.0", host=""), 200),
    "a query": (head(line="GET /a?burst=1k HTTP/1.1"), 200),
    "an absolute target": (head(line="GET http://localhost/a HTTP/1.1"), 200),
    "an absolute target of another host": (head(line="GET http://localhost/a HTTP/1.1", host="Host: other"), 200),
    "an escape": (head(line="GET /%61 HTTP/1.1"), 200),
    "an escaped slash": (head(line="GET /%2fa HTTP/1.1"), 400),
    "an escaped zero": (head(line="GET /a%00 HTTP/1.1"), 400),
    "half an escape": (head(line="GET /a%4 HTTP/1.1"), 400),
    "dots": (head(line="GET /b/../a HTTP/1.1"), 400),
    "a fragment": (head(line="GET /a#b HTTP/1.1"), 400),
    "a tab in the line": (head(line="GET\t/a HTTP/1.1"), 400),
    "two blanks in the line": (head(line="GET  /a HTTP/1.1"), 400),
    "a blank in the target": (head(line="GET /a b HTTP/1.1"), 400),
    "a line without a version": (head(line="GET /a"), 400),
    "a small version": (head(line="GET /a http/1.1"), 400),
    "a version of three digits": (head(line="GET /a HTTP/1.10"), 400),
    "HTTP/2.0": (head(line="GET /a HTTP/2.0"), 505),
    "a method in small letters": (head(line="get /a HTTP/1.1"), 501),
    "no host": (head(host=""), 400),
    "two hosts": (head("Host: localhost"), 400),
    "an empty host": (head(host="Host:"), 400),
    "a host with a blank": (head(host="Host: local host"), 400),
    "a host with a user": (head(host="Host: me@localhost"), 400),
    "a blank before the colon": (head("X : y"), 400),
    "a folded field": (head("X: y\r\n z"), 400),
    "a field that begins with a blank": (head(" X: y"), 400),
    "a field without a name": (head(": y"), 400),
    "a field without a colon": (head("X"), 400),
    "a zero in a field": (head("X: a\0b"), 400),
    "a CR in a field": (head("X: a\rb"), 400),
    "a CR before CR LF": (head("X: a\r"), 400),
    "a control character in a field": (head("X: a\x01b"), 400),
    "DEL in a field": (head("X: a\x7fb"), 400),
    "a tab in a field": (head("X: a\tb"), 200),
    "bytes above ASCII in a field": (head("X: \xfc"), 200),
    "an empty field": (head("X:"), 200),
    "a name of a field with a parenthesis": (head("X(y): z"), 400),
    "a name of a field above ASCII": (head("X\xfc: z"), 400),
    "LF alone": (head().replace(b"\r\n", b"\n"), 400),
    "LF alone at the end": (head()[:-2] + b"\n", 400),
    "an empty line before": (b"\r\n" + head(), 200),
    "a body of nothing": (head("Content-Length: 0"), 200),
    "a body": (head("Content-Length: 1") + b"x", 400),
    "a length with a sign": (head("Content-Length: +0"), 400),
    "a length below zero": (head("Content-Length: -1"), 400),
    "a length in hex": (head("Content-Length: 0x0"), 400),
    "two lengths": (head("Content-Length: 0", "Content-Length: 0"), 400),
    "a list of lengths": (head("Content-Length: 0, 0"), 400),
    "an empty length": (head("Content-Length:"), 400),
    "chunks": (head("Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "length and chunks": (head("Content-Length: 0", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
}

GET_IN = f"Authorization: Bearer {TOKEN}"


def post(*lines, body=b"", version="1.1"):
    return head(GET_IN, *lines, line=f"POST /a HTTP/{version}") + body


CHUNKED = "Transfer-Encoding: chunked"

# Shapes of request smuggling (RFC 9112, 6.3 and 11.2): a body that is published, or None.
BODIES = {
    "a length": (post("Content-Length: 3", body=b"abc"), b"abc"),
    "a length, and more behind it": (post("Content-Length: 3", body=b"abcGET /b HTTP/1.1\r\n\r\n"), b"abc"),
    "zeros before a length": (post("Content-Length: 003", body=b"abc"), b"abc"),
    "blanks around a length": (post("Content-Length:  3  ", body=b"abc"), b"abc"),
    "a tab before a length": (post("Content-Length:\t3", body=b"abc"), None),
    "a tab behind a length": (post("Content-Length: 3\t", body=b"abc"), None),
    "a tab before chunked": (post("Transfer-Encoding:\tchunked", body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "a tab behind chunked": (post("Transfer-Encoding: chunked\t", body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "chunks": (post(CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"), b"abc"),
    "chunks in capitals": (post("TRANSFER-ENCODING: CHUNKED", body=b"3\r\nabc\r\n0\r\n\r\n"), b"abc"),
    "an extension of a chunk": (post(CHUNKED, body=b"3;a=b\r\nabc\r\n0\r\n\r\n"), b"abc"),
    "a trailer": (post(CHUNKED, body=b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"), b"abc"),
    "CL.TE": (post("Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG"), None),
    "TE.CL": (post(CHUNKED, "Content-Length: 3", body=b"8\r\nSMUGGLED\r\n0\r\n\r\n"), None),
    "CL.CL": (post("Content-Length: 3", "Content-Length: 5", body=b"abcde"), None),
    "CL, CL": (post("Content-Length: 3, 3", body=b"abc"), None),
    "TE.TE": (post(CHUNKED, CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "chunked twice": (post("Transfer-Encoding: chunked, chunked", body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "chunked and another": (post("Transfer-Encoding: chunked, identity", body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "another and chunked": (post("Transfer-Encoding: gzip, chunked", body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "xchunked": (post("Transfer-Encoding: xchunked", body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "a vertical tab before chunked": (post("Transfer-Encoding: \x0bchunked", body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "a blank behind the name": (post("Transfer-Encoding : chunked", body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "a folded chunked": (post("Transfer-Encoding:\r\n chunked", body=b"3\r\nabc\r\n0\r\n\r\n"), None),
    "chunks in HTTP/1.0": (post(CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n", version="1.0"), None),
    "a chunk's length in 0x": (post(CHUNKED, body=b"0x3\r\nabc\r\n0\r\n\r\n"), None),
    "a chunk's length with a sign": (post(CHUNKED, body=b"+3\r\nabc\r\n0\r\n\r\n"), None),
    "a chunk's length behind a blank": (post(CHUNKED, body=b" 3\r\nabc\r\n0\r\n\r\n"), None),
    "a chunk's length of 2^64": (post(CHUNKED, body=b"10000000000000003\r\nabc\r\n0\r\n\r\n"), None),
    "a chunk that is longer than it says": (post(CHUNKED, body=b"2\r\nabc\r\n0\r\n\r\n"), None),
    "a chunk's line that ends with LF": (post(CHUNKED, body=b"3\nabc\r\n0\r\n\r\n"), None),
    "a length of 2^64": (post("Content-Length: 18446744073709551619", body=b"abc"), None),
}


@pytest.fixture
def others(lab):
    """Asks node and nginx."""
    node = subprocess.Popen(["node", "-e", NODE], stdout=subprocess.PIPE, text=True)
    ports = [int(node.stdout.readline())]
    listener, where = address.listen("tcp:127.0.0.1:0")
    listener.close()
    ports.append(address.parse(where)[1][1])
    paths = " ".join(f"{kind}_temp_path {lab.directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (lab.directory / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {lab.directory}/nginx.pid; error_log {lab.directory}/nginx.log;\n"
        f"events {{ worker_connections 64; }}\nhttp {{ access_log off; {paths}\nserver {{ listen 127.0.0.1:{ports[1]};\n"
        "location / { return 200 '[\"$request_method\", \"$uri\"]'; } } }\n")
    nginx = subprocess.Popen(["nginx", "-c", lab.directory / "nginx.conf", "-p", lab.directory], stderr=subprocess.DEVNULL)

    def listens():
        assert nginx.poll() is None
        try:
            address.connect(where).close()
        except OSError:
            return False
        return True

    lab.loop.run(listens, what="nginx to listen", poll=0.02)
    yield ports
    for one in (node, nginx):
        one.terminate()
        one.wait()


def is_whole(got):
    """Of a feed's stream, which has no end, the head is enough."""
    answer, separator, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", answer)
    return separator and (b"application/octet-stream" in answer if not length else len(body) >= int(length[1]))


def ask(port, data):
    """The status of the first answer, and its body; 0: it was closed without one."""
    with socket.create_connection(("127.0.0.1", port), CEILING) as peer:
        got = b""
        try:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # an end that relay sees at once
            peer.sendall(data)
            while not is_whole(got) and (part := peer.recv(65536)):
                got += part
        except ConnectionError:
            pass
    answer, _, body = got.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", answer)
    if b"chunked" in answer.lower() and b"\r\n" in body:
        body = body.split(b"\r\n", 1)[1].split(b"\r\n", 1)[0]
    return (int(found[1]) if found else 0), body


def test_heads(lab, others):
    relay = lab.start({**feed("a"), "listener web": {"feed": "all", "listen": "tcp:127.0.0.1:0", "format": "http", "hosts": "*"}})
    port = address.parse(relay.address["listener web"])[1][1]
    wrong = []
    for name, (data, expected) in HEADS.items():
        status, _ = ask(port, data)
        if status != expected:
            wrong.append(f"{name}: relay answers {status}, expected {expected}")
        if status != 200:
            continue
        for other, theirs in zip(("node", "nginx"), others):
            code, body = ask(theirs, data)
            method, url, *_ = json.loads(body) if code == 200 else ("", "")
            path = re.sub(r"^http://[^/]*|\?.*", "", url).replace("%61", "a")
            if (code, method, path) != (200, "GET", "/a"):
                wrong.append(f"{name}: relay serves it, {other} answers {code} {body}")
    assert not wrong, "\n".join(wrong)


def test_bodies(lab, others):
    """Each is published whole and alone, or not at all."""
    relay = lab.start(published(lab, framing="none", listener={"hosts": "*"}))
    port = address.parse(relay.address["listener web"])[1][1]
    wrong = []
    for name, (data, expected) in BODIES.items():
        before = relay.feed("a")["in_bytes"]
        status, _ = ask(port, data)
        taken = relay.wait("a", source_up=0)["in_bytes"] - before
        if (status in (200, 201, 204)) != (expected is not None) or taken not in ((len(expected),) if expected else (0, 2, 3)):
            wrong.append(f"{name}: relay answers {status} and has {taken} bytes, expected {expected}")
        if expected is None:
            continue
        for other, theirs in zip(("node", "nginx"), others):
            code, body = ask(theirs, data)
            if code != 200 or (other == "node" and json.loads(body)[2] != expected.decode()):
                wrong.append(f"{name}: relay has {expected}, {other} answers {code} {body}")
    assert not wrong, "\n".join(wrong)

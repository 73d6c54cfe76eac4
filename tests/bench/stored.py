# SPDX-License-Identifier: MIT
"""Servers that keep messages and give them out again, filled and read from the first: relay's history, NATS JetStream and
Redis Streams. The clients ask for the next messages before they have got the last ones, so that no server waits for
them."""

import contextlib
import os
import pathlib
import shutil
import sys
import time

from bench import ROOT, RunFailed, connect
from servers import Process, Relay, free_port, is_listening, make_ini, which

sys.path[:0] = [str(ROOT / "tests" / "e2e")]
from relaytest.nats import Client, NatsError  # noqa: E402
from relaytest.page_cache import cached_bytes, drop_from_cache  # noqa: E402

CHUNK_BYTES = 1 << 20
READ_BYTES = 1 << 20
MARK = b"the last of them"  # what the last message ends with
KEPT_BYTES = 64 << 20  # of the newest, that relay leaves in the page cache
LIMIT_S = 60
SETTLE_S = 20
FILE_BYTES = 64 << 20  # of a history
ASKED_BYTES = 4 << 20  # that a client asks for at once, in messages
ASKED_AHEAD = 4  # so often, before the first of them has come


def messages(size, count):
    """In pieces of several; the same bytes but for the mark at the end."""
    body = os.urandom(size)
    at_once = max(1, CHUNK_BYTES // size)
    for done in range(0, count - 1, at_once):
        yield [body] * min(at_once, count - 1 - done)
    yield [body[:-len(MARK)] + MARK]


def read_to_mark(sock, more=lambda got: None):
    """Until the mark has come; `more` is told how many bytes have. Returns them."""
    room, tail, got = bytearray(READ_BYTES), b"", 0
    sock.settimeout(LIMIT_S)
    try:
        while MARK not in tail:
            count = sock.recv_into(room)
            if not count:
                raise RunFailed(f"closed behind {got} bytes")
            got += count
            # A mark may be cut by two calls.
            tail = (tail + room[:count])[-2 * len(MARK) - 64:]
            more(got)
    except TimeoutError as error:
        raise RunFailed(f"nothing for {LIMIT_S} s behind {got} bytes") from error
    return got


class Asking:
    """Asks for the next messages whenever so many have come that they will soon be wanted. ask(first, count)."""

    def __init__(self, size, count, ask):
        self.size, self.count, self.ask = size, count, ask
        self.at_once = max(1, ASKED_BYTES // size)
        self.asked = 0
        self(0)

    def __call__(self, got):
        while self.asked < min(self.count, got // self.size + ASKED_AHEAD * self.at_once):
            self.ask(self.asked, min(self.at_once, self.count - self.asked))
            self.asked += self.at_once


# --- relay --------------------------------------------------------------------------------------------------------


class History:
    """A folder below `parent` that relay has recorded, all of it on the disk."""

    def __init__(self, parent, size, wanted, relay):
        self.path = pathlib.Path(parent, f"history-{size}-{wanted}")
        self.size, self.count = size, max(1, wanted // size)
        try:
            self.record(relay)
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)  # a part of it is none
            raise

    def serve(self, relay, options=()):
        ini = make_ini(["framing = u32be", f"history = {self.path}", f"history_file = {FILE_BYTES}", "history_size = 0",
                        "on_history_lag = wait", "on_slow = wait", "stall_timeout = 1h", "heartbeat = 0"],
                       ["format = http"], ["workers = 1"])
        return Relay(ini, relay, options)

    def record(self, relay):
        with self.serve(relay) as server, connect(server.ingest) as publisher:
            for piece in messages(self.size, self.count):
                publisher.sendall(b"".join(self.size.to_bytes(4, "big") + body for body in piece))
            deadline = time.monotonic() + LIMIT_S
            while int(server.status().get("in_messages", 0)) < self.count or self.bytes() < self.count * self.size:
                if time.monotonic() > deadline:
                    raise RunFailed("relay does not record")
                time.sleep(0.05)
            for path in self.files():
                with path.open("rb") as file:
                    os.fsync(file.fileno())

    def files(self):
        return sorted(self.path.glob("*.rly"))

    def bytes(self):
        return sum(path.stat().st_size for path in self.files())

    def payload(self):
        """What a reader of the whole gets, and more, of which the least is known: heads, heartbeats."""
        return self.count * (4 + self.size)

    def cached(self):
        return sum(cached_bytes(path) for path in self.files())

    def begin(self):
        """relay has just started, and drops what is old, once. Returns when it has."""
        oldest = self.files()[0]
        if self.bytes() - oldest.stat().st_size < KEPT_BYTES:
            return
        oldest.read_bytes()
        self.wait_until(lambda: not cached_bytes(oldest))

    def settle(self):
        """relay drops what only its readers needed. Returns what is in the page cache then, or after some seconds."""
        self.wait_until(lambda: self.cached() < KEPT_BYTES + (4 << 20))
        return self.cached()

    @staticmethod
    def wait_until(is_done):
        deadline = time.monotonic() + SETTLE_S
        while not is_done() and time.monotonic() < deadline:
            time.sleep(0.1)

    def warm(self):
        for path in self.files():
            with path.open("rb") as file:
                while file.read(CHUNK_BYTES):
                    pass
        if self.cached() < 0.999 * self.bytes():
            raise RunFailed("the files do not stay in the page cache")

    def cool(self):
        for path in self.files():
            # A file of one page may keep it; what counts is all of them.
            with contextlib.suppress(AssertionError):
                drop_from_cache(path)
        if self.cached() > 0.01 * self.bytes():
            raise RunFailed("the files do not leave the page cache")



def ask_relay(server):
    """The framed stream from the first message on, as the body of an answer."""
    sock = connect(server.subscribe)
    sock.sendall(b"GET /bench?format=framed&from=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return sock


# --- the others ---------------------------------------------------------------------------------------------------


class JetStream(Process):
    title, program = "NATS JetStream", "nats-server"

    def __init__(self, parent):
        super().__init__(parent)
        port = free_port()
        config = self.path / "nats.conf"
        config.write_text(f'host: 127.0.0.1\nport: {port}\nmax_payload: 8MB\njetstream {{ store_dir: "{self.path}" }}\n')
        self.address = f"127.0.0.1:{port}"
        try:
            self.start([which(self.program), "-c", str(config)])
            self.wait_until(lambda: is_listening(port), 10, "did not start")
            self.client = Client(port, timeout=LIMIT_S)
        except (RunFailed, NatsError):
            self.stop()
            raise

    def fill(self, size, count):
        self.client.api("STREAM.CREATE.BENCH", name="BENCH", subjects=["bench"], storage="file", retention="limits",
                        num_replicas=1)
        stored = 0
        for piece in messages(size, count):
            self.client.publish("bench", *piece).flush()
            stored += len(piece)
            # It takes more than it has stored, and forgets that when it is too much.
            while self.client.api("STREAM.INFO.BENCH")["state"]["messages"] < stored:
                time.sleep(0.001)

    def replay(self, size, count):
        made = self.client.api("CONSUMER.CREATE.BENCH", stream_name="BENCH",
                               config={"ack_policy": "none", "deliver_policy": "all"})
        sock = self.client.sock

        def ask(_, wanted):
            body = f'{{"batch":{wanted},"expires":{LIMIT_S * 10**9}}}'
            sock.sendall(f"PUB $JS.API.CONSUMER.MSG.NEXT.BENCH.{made['name']} REPLAY {len(body)}\r\n{body}\r\n".encode())

        sock.sendall(b"SUB REPLAY 1000000\r\n")
        return read_to_mark(sock, Asking(size, count, ask))


class RedisStreams(Process):
    title, program = "Redis Streams", "redis-server"

    def __init__(self, parent):
        super().__init__(parent)
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        try:
            self.start([which(self.program), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(self.path),
                        "--save", "", "--appendonly", "no"])
            self.wait_until(lambda: is_listening(port), 10, "did not start")
            self.sock = connect(self.address)
        except RunFailed:
            self.stop()
            raise

    @staticmethod
    def command(*words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)

    def fill(self, size, count):
        self.sock.settimeout(LIMIT_S)
        answers, number = self.sock.makefile("rb"), 0
        for piece in messages(size, count):
            self.sock.sendall(b"".join(self.command("XADD", "bench", f"1-{number + i + 1}", "m", body)
                                       for i, body in enumerate(piece)))
            number += len(piece)
            for _ in piece:
                if not answers.readline().startswith(b"$"):
                    raise RunFailed("redis-server does not take a message")
                answers.readline()

    def replay(self, size, count):
        def ask(first, wanted):
            self.sock.sendall(self.command("XREAD", "COUNT", wanted, "STREAMS", "bench", f"1-{first}"))

        return read_to_mark(self.sock, Asking(size, count, ask))


OTHERS = {"jetstream": JetStream, "redis": RedisStreams}


# SPDX-License-Identifier: MIT
"""nats-server, and a client of its text protocol (docs.nats.io, Client Protocol): there is no package with one."""

import base64
import contextlib
import json
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from datetime import datetime, timezone

from .address import spare_port
from .loop import CEILING

POLL = 0.02


def nanoseconds(text):
    """Of a time as JetStream writes it: 2026-01-02T03:04:05.678901234Z."""
    whole, part = re.fullmatch(r"(.*?)(?:\.(\d+))?Z", text).groups()
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp())
    return seconds * 10**9 + int((part or "0").ljust(9, "0"))


class NatsError(Exception):
    """What the server refuses."""


class Client:
    """One connection. Requests wait for their answer."""

    def __init__(self, port, host="127.0.0.1", timeout=CEILING, **login):
        self.sock = socket.create_connection((host, port), timeout)
        self.rest = b""
        self.requests = 0
        self.line()
        about = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, **login}
        self.sock.sendall(b"CONNECT " + json.dumps(about).encode() + b"\r\nPING\r\n")
        if (answer := self.line()) != b"PONG":
            raise NatsError(answer)

    def fill(self):
        data = self.sock.recv(1 << 16)
        if not data:
            raise ConnectionResetError
        self.rest += data

    def line(self):
        while b"\r\n" not in self.rest:
            self.fill()
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def exactly(self, count):
        while len(self.rest) < count:
            self.fill()
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def message(self):
        """The body of the next one."""
        while True:
            words = self.line().split()
            if words[0] == b"PING":
                self.sock.sendall(b"PONG\r\n")
            elif words[0] in (b"MSG", b"HMSG"):
                data = self.exactly(int(words[-1]) + 2)[:-2]
                return data[int(words[-2]):] if words[0] == b"HMSG" else data
            elif words[0].startswith(b"-ERR"):
                raise NatsError(words)

    def publish(self, subject, *bodies):
        """What they come to is not asked for; flush() waits until the server has them."""
        self.sock.sendall(b"".join(f"PUB {subject} {len(body)}\r\n".encode() + body + b"\r\n" for body in bodies))
        return self

    def watch(self, subject):
        """message() gives what is published to it from now on."""
        self.sock.sendall(f"SUB {subject} watch\r\n".encode())
        return self.flush()

    def flush(self):
        self.sock.sendall(b"PING\r\n")
        while (words := self.line()) != b"PONG":
            if words == b"PING":
                self.sock.sendall(b"PONG\r\n")
        return self

    def request(self, subject, body=b"", **fields):
        """The answer as JSON; one with an error raises. fields: of the header, '_' for '-'."""
        self.requests += 1
        inbox = f"_INBOX.{id(self)}.{self.requests}"
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        head = f"NATS/1.0\r\n{head}\r\n".encode() if fields else b""
        counts = f"{len(head)} {len(head) + len(body)}" if fields else len(body)
        self.sock.sendall(f"SUB {inbox} {self.requests}\r\nUNSUB {self.requests} 1\r\n"
                          f"{'HPUB' if fields else 'PUB'} {subject} {inbox} {counts}\r\n".encode() + head + body + b"\r\n")
        text = self.message()
        if not text:
            raise NatsError("nobody answers")
        answer = json.loads(text)
        if "error" in answer:
            raise NatsError(answer["error"])
        return answer

    def api(self, call, **body):
        return self.request(f"$JS.API.{call}", json.dumps(body).encode() if body else b"")

    def store(self, subject, *bodies):
        """Publishes, one after the other; the sequences that the stream has given."""
        return [self.request(subject, body)["seq"] for body in bodies]

    def stored(self, name="PRICES"):
        """What a stream has, in its order: (subject, id of the message, body) of each."""
        state = self.api(f"STREAM.INFO.{name}")["state"]
        found = []
        for number in range(state["first_seq"], state["last_seq"] + 1):
            one = self.api(f"STREAM.MSG.GET.{name}", seq=number)["message"]
            fields = base64.b64decode(one.get("hdrs", "")).decode()
            found.append((one["subject"], (re.findall(r"Nats-Msg-Id: (.*)\r", fields) or [None])[0],
                          base64.b64decode(one.get("data", ""))))
        return found

    def close(self):
        self.sock.close()


class Server:
    """A nats-server, which keeps its port over its death: one of 127.0.0.1, or as `conf` says. prefix: the command that
    runs it elsewhere."""

    def __init__(self, loop, directory, name="s", *, jetstream=True, more="", port=None, host="127.0.0.1", conf=None,
                 prefix=()):
        self.loop = loop
        self.name = name
        self.host = host
        self.port = port or spare_port()
        self.url = f"nats://{host}:{self.port}"
        self.monitor = None  # its port for that
        self.process = None
        self.log = directory / f"{name}.log"
        self.conf = directory / f"{name}.conf"
        storing = f'jetstream {{ store_dir: "{directory}/{name}" }}\n' if jetstream else ""
        self.conf.write_text(conf or f'host: "{host}"\nport: {self.port}\nserver_name: {name}\n{storing}{more}')
        self.prefix = prefix
        self.clients = []
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.prefix, "nats-server", "-c", str(self.conf)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.loop.run(self.answers, what=lambda: self.log.read_text()[-2000:], poll=POLL)
        return self

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def client(self, **login):
        made = Client(self.port, self.host, **login)
        self.clients.append(made)
        return made

    def stream(self, name="PRICES", subjects=("prices.>",), **more):
        """Makes a stream; its session at each relay."""
        made = self.client().api(f"STREAM.CREATE.{name}", name=name, subjects=list(subjects),
                                 **{"storage": "file", "retention": "limits", "num_replicas": 1, **more})
        return (nanoseconds(made["created"]) // 10**6) % 2**32 | 1

    def change_stream(self, name="PRICES", **changed):
        client = self.client()
        client.api(f"STREAM.UPDATE.{name}", **{**client.api(f"STREAM.INFO.{name}")["config"], **changed})

    def wait_ids_forgotten(self, window):
        """Until a stream with such a duplicate window (ns) knows no id that it knows now."""
        self.stream("IDS", subjects=["ids"], duplicate_window=window)
        client = self.client()

        def is_taken_as_new():
            return not client.request("ids", Nats_Msg_Id="one").get("duplicate")

        assert is_taken_as_new()
        self.loop.run(is_taken_as_new, what="the duplicate window to pass", poll=POLL)

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait()

    def close(self):
        for client in self.clients:
            client.close()
        self.kill()


class Losing(threading.Thread):
    """A way to a server on which one published message is lost, as in a server that dies: the first with such an end of
    its id. refused: instead, the server refuses it, and then there is no way any more. late: instead, it arrives when
    arrive() says so, and what comes behind it does then."""

    def __init__(self, server, end, refused=False, late=False):
        super().__init__(daemon=True)
        self.refused = refused
        self.late = late
        self.is_on_its_way = threading.Event()
        self.has_time = threading.Event()
        self.answer = b""  # of the server, to what was late
        self.is_answered = threading.Event()
        self.server = server
        self.to = (server.host, server.port)
        self.end = f"{end}\r\n".encode()
        self.listening = socket.create_server((server.host, 0))
        self.url = f"nats://{server.host}:{self.listening.getsockname()[1]}"
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            far = socket.create_connection(self.to)
            threading.Thread(target=self.pass_on, args=(near, far), daemon=True).start()
            threading.Thread(target=self.pass_back, args=(far, near), daemon=True).start()

    def pass_on(self, near, far):
        try:
            with near.makefile("rb") as commands:
                while line := commands.readline():
                    about = line.split()
                    if about[0] in (b"PUB", b"HPUB"):
                        line += commands.read(int(about[-1]) + 2)
                    if not self.end or self.end not in line:
                        far.sendall(line)
                        continue
                    self.end = b""
                    if self.late:
                        self.is_on_its_way.set()
                        self.has_time.wait()
                        far.sendall(line)
                        self.is_answered.wait()  # who is closed before that is told nothing
                    elif self.refused:
                        self.close()
                        stream = re.search(rb"Nats-Expected-Stream: (.*)\r", line)[1]
                        far.sendall(line.replace(stream, bytes(len(stream)).replace(b"\0", b"x")))
            far.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def pass_back(self, far, near):
        try:
            while data := far.recv(1 << 16):
                if self.has_time.is_set():
                    self.answer += data
                    if b"seq" in self.answer:
                        self.is_answered.set()
                with contextlib.suppress(OSError):  # who has asked may be gone
                    near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        far.close()

    def arrive(self):
        """What the server says to it."""
        self.has_time.set()
        self.server.loop.run(self.is_answered.is_set, what="an answer to what came late", poll=POLL)
        return self.answer

    def close(self):
        self.has_time.set()
        self.is_answered.set()
        if self.listening.fileno() >= 0:
            self.listening.shutdown(socket.SHUT_RDWR)
            self.listening.close()


class Gathering(threading.Thread):
    """A way to a server on which questions for stored messages by their numbers wait until so many of them are there as
    `sizes` has next: then all of these are passed on. After the last one nothing waits. hold: instead, until they are let
    go."""

    def __init__(self, server, sizes=(), hold=False):
        super().__init__(daemon=True)
        self.to = (server.host, server.port)
        self.sizes = list(sizes)
        self.hold = hold
        self.asked = 0
        self.waiting = b""
        self.count = 0
        self.listening = socket.create_server((server.host, 0))
        self.url = f"nats://{server.host}:{self.listening.getsockname()[1]}"
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listening.accept()
                far = socket.create_connection(self.to)
                threading.Thread(target=self.pass_on, args=(near, far), daemon=True).start()
                threading.Thread(target=self.pass_back, args=(far, near), daemon=True).start()

    def pass_on(self, near, far):
        self.waiting, self.count = b"", 0
        with contextlib.suppress(OSError), near.makefile("rb") as commands:
            while line := commands.readline():
                about = line.split()
                if about[0] in (b"PUB", b"HPUB"):
                    line += commands.read(int(about[-1]) + 2)
                far.sendall(self.gather(line) if b".MSG.GET." in line and b'"seq"' in line else line)
            far.shutdown(socket.SHUT_WR)

    def gather(self, question):
        """What may go on now."""
        self.asked += 1
        self.count += 1
        self.waiting += question
        if self.hold or (self.sizes and self.count < self.sizes[0]):
            return b""
        self.sizes = self.sizes[1:]
        ready, self.waiting, self.count = self.waiting, b"", 0
        return ready

    @staticmethod
    def pass_back(far, near):
        with contextlib.suppress(OSError):
            while data := far.recv(1 << 16):
                near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)
        far.close()

    def close(self):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


def nodes_here(loop, directory):
    """Three servers, each a node of one cluster, that tell what they have themselves."""
    routes = [spare_port() for _ in range(3)]
    urls = ", ".join(f"nats-route://127.0.0.1:{port}" for port in routes)
    nodes = []
    for i, port in enumerate(routes):
        monitor = spare_port()
        nodes.append(Server(loop, directory, f"n{i}",
                            more=f'cluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{urls}] }}\n'
                                 f'http: "127.0.0.1:{monitor}"\n'
                                 'lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"\n'))
        nodes[-1].monitor = monitor
    return nodes


class Cluster:
    def __init__(self, loop, nodes):
        self.loop = loop
        self.nodes = nodes
        self.urls = ", ".join(node.url for node in nodes)

    def try_api(self, call, **body):
        """The answer of any node; None while there is no leader that could give one."""
        for node in self.nodes:
            try:
                client = Client(node.port, node.host, timeout=1)
            except OSError:
                continue
            try:
                return client.api(call, **body)
            except (OSError, NatsError):
                continue
            finally:
                client.close()
        return None

    def wait_api(self, call, **body):
        answers = []

        def ask():
            answers.append(self.try_api(call, **body))
            return answers[-1]

        self.loop.run(ask, what=call, poll=POLL)
        return answers[-1]

    def wait_current(self, stream):
        """Until the stream has a leader, and each other node has all of it."""
        def is_current():
            about = (self.try_api(f"STREAM.INFO.{stream}") or {}).get("cluster", {})
            others = about.get("replicas", [])
            return about.get("leader") and len(others) == 2 and all(
                one.get("current") and not one.get("offline") for one in others)

        self.loop.run(is_current, what=f"replicas of {stream}", poll=POLL)

    def wait_whole(self, stream):
        """Until each node has itself what the others have. That it is current does not say so."""
        def own(node):
            with urllib.request.urlopen(f"http://{node.host}:{node.monitor}/jsz?streams=1") as answer:
                told = json.load(answer)
            return next(one["state"]["last_seq"] for account in told["account_details"]
                        for one in account["stream_detail"] if one["name"] == stream)

        self.loop.run(lambda: len({own(node) for node in self.nodes}) == 1, poll=POLL,
                      what=lambda: f"all of {stream} at each node; last: {[own(node) for node in self.nodes]}")

    def leader(self, stream):
        name = self.wait_api(f"STREAM.INFO.{stream}")["cluster"]["leader"]
        return next(node for node in self.nodes if node.name == name)

    def close(self):
        for node in self.nodes:
            node.close()

# SPDX-License-Identifier: MIT
"""The servers of the bench: relay with a configuration of its own, and relay and its peers with their files of
tests/bench/peers. A server runs for one measurement, in a directory of its own, on core 0."""

import collections
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from bench import BIN, RunFailed, pin

PEERS = pathlib.Path(__file__).resolve().parent / "peers"
MODULES = "/usr/lib/nginx/modules"


class Refused(RunFailed):
    """The server does not start with this configuration."""

    is_final = True


class Process:
    """One server for one run, in a directory of its own, ended with all its children."""

    is_pinned = True  # to SERVER_CORE

    def __init__(self, parent=None):
        self.folder = tempfile.TemporaryDirectory(prefix="relay-bench-", dir=parent)
        self.path = pathlib.Path(self.folder.name)
        # Servers that are started as root and give that up must still reach and write their files.
        os.chmod(self.path, 0o777)
        self.process = None

    def start(self, command):
        try:
            with open(self.path / "log", "wb") as log:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                preexec_fn=pin if self.is_pinned else None,
                                                start_new_session=True)
        except OSError as error:
            raise RunFailed(f"{command[0]}: {error.strerror}") from error

    def log(self):
        return (self.path / "log").read_text(errors="replace")

    def wait_until(self, is_done, seconds, what):
        """Until is_done() is something, which is returned."""
        deadline = time.monotonic() + seconds
        while True:
            is_over = self.process.poll() is not None or time.monotonic() > deadline
            result = is_done()
            if result:
                return result
            if is_over:
                last = (self.log().strip().splitlines()[-1:] or ["(no log)"])[0]
                if self.process.poll() is not None:
                    raise Refused(last.split("; expected")[0])
                raise RunFailed(f"{what}; last line of its log: {last}")
            time.sleep(0.01)

    def wait_for(self, pattern, seconds, after=0):
        return self.wait_until(lambda: re.search(pattern, self.log()[after:]), seconds, f"no {pattern!r}")

    def status(self, feed="bench"):
        """The counters of that feed of relay's, those that are not 0."""
        after = len(self.log())
        self.process.send_signal(signal.SIGUSR1)
        try:
            self.wait_for(r"status end", 2, after)
        except RunFailed as failure:
            print(f"  {failure}", file=sys.stderr)
            return {}
        line = re.search(rf"status feed={feed} (.*)", self.log()[after:])
        pairs = re.findall(r"(\w+)=(\S+)", line[1]) if line else []
        return {key: value for key, value in pairs if value != "0"}

    def worker(self):
        """The process that does the work: nginx has one below its master."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        below = children.read_text().split() if children.exists() else []
        return int(below[0]) if below else self.process.pid

    def addresses(self):
        """What relay-bench has to know."""
        return {"ingest": self.ingest, "subscribe": self.subscribe, "server-pid": self.worker()}

    def stop(self):
        """The process is the leader of a session, so its group is its own children and nobody else."""
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL) if self.process else ():
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(3)
                break
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                break
        if self.process:
            self.process.wait()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def make_ini(feed=(), listener=(), relay=()):
    """One feed and one listener named bench; each argument has lines for its section."""
    return "\n".join(["[relay]", *relay, "[feed bench]", "ingest = listen tcp:127.0.0.1:0", *feed,
                      "[listener bench]", "feed = bench", "listen = tcp:127.0.0.1:0", *listener, ""])


class Relay(Process):
    """A relay with what make_ini() made, on ports that it tells in its log."""

    def __init__(self, ini, relay, options=(), is_pinned=True):
        super().__init__()
        self.is_pinned = is_pinned
        (self.path / "relay.ini").write_text(ini)
        command = [relay, "-c", str(self.path / "relay.ini")]
        for option in options:
            command += ["-o", option]
        try:
            self.start(command)
            self.wait_for(r"\bready\b", 5)
            self.ingest = self.wait_for(r"listening feed=bench address=tcp:(\S+)", 1)[1]
            self.subscribe = self.wait_for(r"listening listener=bench address=tcp:(\S+)", 1)[1]
        except RunFailed:
            self.stop()
            raise


Server = collections.namedtuple("Server", "title program config dialect arguments limit", defaults=[None])
# limit: what ends the number of connections, and at how many.
SERVERS = {
    "relay": Server("relay", None, "relay.ini", "relay", ["-c", "@CONFIG@"]),
    "stream": Server("relay, no framing", None, "relay.ini", "relay",
                     ["-c", "@CONFIG@", "-o", "feed b.framing=none", "-o", "feed b.on_slow=disconnect"]),
    "http": Server("relay, HTTP", None, "relay.ini", "relay-http",
                   ["-c", "@CONFIG@", "-o", "listener b.format=http"]),
    "websocket": Server("relay, WebSocket", None, "relay.ini", "relay-websocket",
                        ["-c", "@CONFIG@", "-o", "listener b.format=http"]),
    "messages": Server("relay, WS a message", None, "relay.ini", "relay-messages",
                       ["-c", "@CONFIG@", "-o", "listener b.format=http", "-o", "listener b.messages=message"]),
    "copy": Server("relay, engine copy", None, "relay.ini", "relay", ["-c", "@CONFIG@", "-o", "feed b.engine=copy"]),
    "redis": Server("Redis pub/sub", "redis-server", "redis.conf", "redis", ["@CONFIG@"]),
    "nats": Server("NATS", "nats-server", "nats.conf", "nats", ["-c", "@CONFIG@"]),
    "mosquitto": Server("Mosquitto", "mosquitto", "mosquitto.conf", "mqtt", ["-c", "@CONFIG@"]),
    "nchan": Server("Nchan, WebSocket", "nginx", "nginx.conf", "websocket",
                    ["-e", "stderr", "-p", "@DIR@", "-c", "@CONFIG@"]),
    "icecast": Server("Icecast", "icecast2", "icecast.xml", "icecast", ["-c", "@CONFIG@"]),
    # No configuration file; the limit is raised to what select() leaves.
    "ncat": Server("ncat --broker", "ncat", None, "relay",
                   ["--listen", "--broker", "--max-conns", "1010", "127.0.0.1", "@PORT@"], (1005, "select(2): 1024 fds")),
    # Libraries: a program of ours beside their name in tests/bench/peers, made by make bench-peers.
    "zmq": Server("ZeroMQ PUB", "relay-peer-zmq", None, "zmq", ["@INGEST@", "@PORT@", "@HISTORY@"]),
    "nng": Server("nng pub", "relay-peer-nng", None, "nng", ["@INGEST@", "@PORT@", "@HISTORY@"]),
}
RELAYS = ["relay", "stream", "http", "websocket", "messages", "copy"]
LIBRARIES = ["zmq", "nng"]
HISTORY_BYTES = 8 << 20  # relay's ring, unless set


def which(program):
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:{BIN}")


def find_program(name, relay):
    return relay if name in RELAYS else which(SERVERS[name].program)


def find_installed(names, relay):
    """Of these servers those that can be started; says which cannot."""
    found = []
    for name in names:
        is_there = name != "nchan" or pathlib.Path(MODULES, "ngx_nchan_module.so").exists()
        if is_there and find_program(name, relay):
            found.append(name)
        else:
            print(f"  {SERVERS[name].title}: not installed, left out", file=sys.stderr)
    return found


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def fill(text, replacements):
    for word, value in replacements.items():
        text = text.replace(word, str(value))
    return text


class Peer(Process):
    """One of SERVERS, relay among them, with its file of tests/bench/peers. `size` is that of the messages, for
    servers that count their history in those."""

    def __init__(self, name, size, relay, options=()):
        super().__init__()
        server = SERVERS[name]
        port = free_port()
        ingest = free_port() if name in RELAYS + LIBRARIES else port
        config = self.path / str(server.config)
        replacements = {"@PORT@": port, "@INGEST@": ingest, "@DIR@": self.path, "@MODULES@": MODULES,
                        "@CONFIG@": config, "@HISTORY@": HISTORY_BYTES // size}
        if server.config:
            config.write_text(fill((PEERS / server.config).read_text(), replacements))
        command = [find_program(name, relay), *(fill(word, replacements) for word in server.arguments)]
        if name in RELAYS:
            for option in options:
                command += ["-o", option]
        self.ingest, self.subscribe = f"127.0.0.1:{ingest}", f"127.0.0.1:{port}"
        try:
            self.start(command)
            for number in {port, ingest}:
                self.wait_until(lambda number=number: is_listening(number), 10, "did not start")
        except RunFailed:
            self.stop()
            raise


def is_listening(port):
    """Without connecting: to some servers a connection is a subscriber already."""
    local = f"0100007F:{port:04X}"
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(line[1] == local and line[3] == "0A" for line in lines)


def start_peer(name, size, relay, options=()):
    """A port that was free a moment ago may be taken, so there is a second and a third try."""
    for _ in range(2):
        try:
            return Peer(name, size, relay, options)
        except RunFailed:
            continue
    return Peer(name, size, relay, options)


class Busy(Process):
    """A process that spins on the core of the servers, within a `with`."""

    def __init__(self):
        super().__init__()
        self.start([sys.executable, "-c", "while True: pass"])

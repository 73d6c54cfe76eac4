# SPDX-License-Identifier: MIT
"""What the scripts of the bench share: servers of their own, the call of relay-bench, tables, CSV, plots.

A server runs in a directory of its own on core 0, relay-bench on core 1. A run that comes to nothing is a
RunFailed, which says why in a line; the scripts tell it and go on.
"""

import collections
import csv
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(__file__).resolve().parent / "peers"
BIN = pathlib.Path(os.environ.get("RELAY_BIN_DIR") or "build")
BIN = BIN if BIN.is_absolute() else ROOT / BIN
QUICK = os.environ.get("QUICK", "") not in ("", "0")
MODULES = "/usr/lib/nginx/modules"
INSIDE = "RELAY_BENCH_NAMESPACE"
SERVER_CORE, LOAD_CORE = 0, 1
DISTURBED = 0.1  # cores that others took during a run
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class RunFailed(Exception):
    """One measurement came to nothing; the others go on."""


def bytes_of(text):
    return int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text)


def words(text):
    """An argument that is a list."""
    return text.split(",")


# --- the machine --------------------------------------------------------------------------------------------------


def core(number):
    """That core, or -1 where there is none."""
    return number if number in os.sched_getaffinity(0) else -1


def pin():
    if core(SERVER_CORE) >= 0:
        os.sched_setaffinity(0, {SERVER_CORE})


def describe_machine():
    return f"{os.uname().sysname} {os.uname().release}, {os.cpu_count()} cores, loopback"


def read_setting(name):
    path = pathlib.Path("/proc/sys/net/ipv4", name)
    return path.read_text().strip() if path.exists() else ""


def congestions_offered(wanted):
    """Those of `wanted` that the kernel offers; [""], the system's own, when none is."""
    offered = read_setting("tcp_available_congestion_control").split()
    return [name for name in wanted if name in offered] or [""]


def enter_namespace(congestion):
    """Starts the script anew in a network namespace in which every connection uses that congestion control, since the
    servers that are compared have no option for it. Returns the one in force; where the user's rights or the kernel
    allow no such namespace, that is the system's."""
    if os.environ.get(INSIDE):
        return use_congestion(congestion)
    way = ["unshare", "--net"]
    if os.geteuid():
        way = ["unshare", "--map-current-user", "--keep-caps", "--net"]
    if not shutil.which("ip") or subprocess.run([*way, "true"], capture_output=True, check=False).returncode:
        print("note: no network namespace of our own, so the system's congestion control is used", file=sys.stderr)
        return read_congestion()
    os.execvpe(way[0], [*way, sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})


def use_congestion(congestion):
    """By the route to loopback: unlike the sysctl, that may name one which the machine's owner keeps from users."""
    commands = ["ip link set lo up"] + [
        f"ip route replace local {to} dev lo table local proto kernel scope host src 127.0.0.1 congctl {congestion}"
        for to in ("127.0.0.1", "127.0.0.0/8")]
    for command in commands:
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"note: {command}: {done.stderr.strip()}", file=sys.stderr)
    return read_congestion()


def read_congestion():
    """Of the accepting end of a connection over loopback, which is where a server stands."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            return accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


def limit_subscribers(count):
    """No more than one process may have descriptors for."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return count if limit == resource.RLIM_INFINITY else max(1, min(count, limit - 500))


def need_programs(*programs):
    for program in programs:
        if not os.access(program, os.X_OK):
            sys.exit(f"{program} is missing: make {os.path.relpath(program, ROOT)}")
    if len(os.sched_getaffinity(0)) < 2:
        print("one core only: server and load share it, so figures mean little", file=sys.stderr)
    # So that servers are stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


# --- servers ------------------------------------------------------------------------------------------------------


class Process:
    """One server for one run, in a directory of its own, ended with all its children."""

    is_pinned = True  # to SERVER_CORE

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="relay-bench-")
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
                last = self.log().strip().splitlines()[-1:] or ["(no log)"]
                raise RunFailed(f"{what}; last line of its log: {last[0]}")
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


class Relay(Process):
    """A relay with this configuration, of one feed and one listener named bench, on ports that it tells in its log."""

    def __init__(self, ini, relay, options=()):
        super().__init__()
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
    "stream": Server("relay, framing none", None, "relay.ini", "relay",
                     ["-c", "@CONFIG@", "-o", "feed b.framing=none", "-o", "feed b.on_slow=disconnect"]),
    "http": Server("relay, HTTP", None, "relay.ini", "relay-http",
                   ["-c", "@CONFIG@", "-o", "listener b.format=http"]),
    "websocket": Server("relay, WebSocket", None, "relay.ini", "relay-websocket",
                        ["-c", "@CONFIG@", "-o", "listener b.format=http"]),
    "messages": Server("relay, WebSocket, one a message", None, "relay.ini", "relay-messages",
                       ["-c", "@CONFIG@", "-o", "listener b.format=http", "-o", "listener b.messages=message"]),
    "copy": Server("relay, engine copy", None, "relay.ini", "relay", ["-c", "@CONFIG@", "-o", "feed b.engine=copy"]),
    "redis": Server("Redis pub/sub", "redis-server", "redis.conf", "redis", ["@CONFIG@"]),
    "nats": Server("NATS", "nats-server", "nats.conf", "nats", ["-c", "@CONFIG@"]),
    "mosquitto": Server("Mosquitto", "mosquitto", "mosquitto.conf", "mqtt", ["-c", "@CONFIG@"]),
    "nchan": Server("Nchan (WebSocket)", "nginx", "nginx.conf", "websocket",
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


def find_program(name, relay):
    if name in RELAYS:
        return relay
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:{BIN}"
    return shutil.which(SERVERS[name].program, path=path)


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


# --- the load -----------------------------------------------------------------------------------------------------


def call_load(options, seconds):
    """Runs relay-bench with these options, those with a value; `seconds` is how long it may take. What it printed."""
    command = [str(BIN / "relay-bench"), "--cpu", str(core(LOAD_CORE)), "--server-cpu", str(core(SERVER_CORE))]
    for key, value in options.items():
        if value not in (None, ""):
            command += [f"--{key}", str(value)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as expired:
        raise RunFailed("relay-bench did not come to an end") from expired
    if done.returncode:
        raise RunFailed((done.stderr.strip().splitlines() or ["relay-bench failed"])[0])
    return json.loads(done.stdout)


def time_to_fill(rate, size):
    """The kernel lets a send buffer grow up to the last number of tcp_wmem: before it is full, who does not read costs
    the server what a healthy one costs."""
    most = int((read_setting("tcp_wmem").split() or ["0", "0", 4 << 20])[2])
    return min(60.0, 2 + 1.1 * most / (rate * size))


def own_busy(result):
    return (result["server_busy"] + result["load_busy"]) / os.cpu_count()


def others_busy(result):
    return max(0.0, result["machine_busy"] - own_busy(result))


def others_of(result):
    """Cores that neither server nor load kept busy."""
    if "machine_busy" in result:
        return others_busy(result) * os.cpu_count()
    return result.get("others_cpu", 0)


def undisturbed(results):
    """Of several runs those during which the machine was ours; all, where there was none."""
    return [result for result in results if others_of(result) <= DISTURBED] or results


class Patience:
    """Waits for a quiet machine before a run, altogether at most so many seconds."""

    def __init__(self, seconds):
        self.left = seconds

    def wait(self):
        while self.left > 0:
            before = read_busy()
            time.sleep(0.25)
            if (read_busy() - before) / 0.25 <= 2 * DISTURBED:
                return
            self.left -= 0.25


def read_busy():
    """Seconds that all cores were busy since the machine was started."""
    ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:8]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def median_of(results, field):
    values = [result[field] for result in results]
    return statistics.median(values) if values else None


# --- tables and CSV -----------------------------------------------------------------------------------------------


def show(value, form):
    return "-" if value is None else format(value, form)


def lay_out(head, rows):
    """A table in markdown."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    lines = ["| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)) + " |"
             for row in [head, *rows]]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def write_csv(path, rows):
    """Rows are dicts; the head is that of all."""
    if not rows:
        return
    head = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, head)
        writer.writeheader()
        writer.writerows(rows)


# --- plots --------------------------------------------------------------------------------------------------------

STYLE = """
set terminal pngcairo size 800,420 font "sans,10" background "#ffffff"
set border 3 lc rgb "#555555"
set tics nomirror
set grid ytics lc rgb "#dddddd"
set key outside right top noenhanced
"""


def quote(cell):
    """For gnuplot, to which a number in quotes is a word."""
    return "?" if cell is None else f"{cell:g}" if isinstance(cell, (int, float)) else f'"{cell}"'


def plot(path, script, columns):
    """Draws a PNG, if gnuplot is there. `script` is gnuplot's and finds the columns, lists of equal length whose first
    cells are titles, in $data; None leaves a hole."""
    if not shutil.which("gnuplot"):
        print(f"note: no gnuplot, so no {path.name}", file=sys.stderr)
        return
    lines = [" ".join(quote(cell) for cell in row) for row in zip(*columns)]
    text = f"{STYLE}\nset output \"{path}\"\nset datafile missing \"?\"\n$data << END\n" + "\n".join(lines)
    done = subprocess.run(["gnuplot"], input=f"{text}\nEND\n{script}\n", capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"gnuplot: {path.name}: {done.stderr.strip()}", file=sys.stderr)


def plot_bars(path, title, unit, groups, series, is_log=False):
    """Groups of bars; series: title to a value for each group, None where there is none."""
    columns = [["group", *groups]] + [[name, *values] for name, values in series.items()]
    lowest = min((value for values in series.values() for value in values if value), default=1)
    plot(path, f'set title "{title}" noenhanced\nset ylabel "{unit}"\n'
         f"{f'set logscale y; set yrange [{lowest / 3:g}:*]' if is_log else 'set yrange [0:*]'}\n"
         "set style data histogram\nset style histogram clustered gap 1\nset style fill solid 0.9 noborder\n"
         "set xtics noenhanced\n"
         f"plot for [i=2:{len(columns)}] $data using i:xtic(1) title columnheader(i)", columns)


def plot_lines(path, title, unit, below, steps, series, colors):
    """Lines over steps, which stand at equal distances; series as in plot_bars(), of which each group of so many has
    the same colors and another dash."""
    columns = [["step", *steps]] + [[name, *values] for name, values in series.items()]
    lines = [f"$data using 0:{i + 2}:xtic(1) with linespoints pt 7 ps 0.8 lw 2 lc {i % colors + 1} "
             f"dt {i // colors + 1} title columnheader({i + 2})" for i in range(len(series))]
    plot(path, f'set title "{title}" noenhanced\nset ylabel "{unit}"\nset xlabel "{below}" noenhanced\n'
         "set yrange [0:*]\nset xtics noenhanced\nset offsets 0.3, 0.3, 0, 0\nplot " + ", ".join(lines), columns)

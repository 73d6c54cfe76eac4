# SPDX-License-Identifier: MIT
"""What the scripts of the bench share: the machine, the call of relay-bench, rounds, tables, CSV, plots.

Servers (servers.py) have core 0, relay-bench has core 1. A run that comes to nothing is a RunFailed, which says why in
a line; the scripts tell it and go on.
"""

import collections
import csv
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import textwrap
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("RELAY_BIN_DIR") or "build")
BIN = BIN if BIN.is_absolute() else ROOT / BIN
QUICK = os.environ.get("QUICK", "") not in ("", "0")
INSIDE = "RELAY_BENCH_NAMESPACE"
SERVER_CORE, LOAD_CORE = 0, 1
DISTURBED = 0.1  # cores that others took during a run
APART = 1.5  # highest over lowest of the rounds: from here on they do not tell one figure
COLUMNS = 100  # of what is printed
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
CORES = os.sched_getaffinity(0)  # before a script takes one of them


class RunFailed(Exception):
    """One measurement came to nothing; the others go on."""

    is_final = False  # another try would come to the same


def bytes_of(text):
    return int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text)


def words(text):
    """An argument that is a list."""
    return text.split(",")


# --- the machine --------------------------------------------------------------------------------------------------


def core(number):
    """That core, or -1 where there is none."""
    return number if number in CORES else -1


def pin():
    if core(SERVER_CORE) >= 0:
        os.sched_setaffinity(0, {SERVER_CORE})


def describe_machine():
    return f"{os.uname().sysname} {os.uname().release}, {os.cpu_count()} cores, loopback"


def file_system(folder):
    command = ["df", "--output=fstype", folder]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


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
    if len(CORES) < 2:
        print("one core only: server and load share it, so figures mean little", file=sys.stderr)
    # So that servers are stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


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


def cpu_of(pid):
    """Seconds, of all its threads, those that have ended as well: what clock_getcpuclockid(3) makes of a number."""
    return time.clock_gettime((~pid << 3) | 2)


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 10)


# --- rounds -------------------------------------------------------------------------------------------------------


def spread(results, field):
    """Highest over lowest of the rounds; of five or more, without the highest and the lowest."""
    values = sorted(result[field] for result in results if result[field])
    values = values[1:-1] if len(values) >= 5 else values
    return values[-1] / values[0] if values else 1.0


def show_spread(results, field):
    """Marked where the rounds are so far apart that their median says little."""
    ratio = spread(results, field)
    return f"{ratio:.2f}{' !' if ratio > APART else ''}"


class Rounds:
    """Keeps every result by key, and why a key has none. A key is a tuple; its last word is what takes turns."""

    def __init__(self, budget, patience):
        self.results = collections.defaultdict(list)
        self.reasons = {}
        self.refused = set()
        self.deadline = time.monotonic() + budget
        self.patience = Patience(patience)
        self.left_out = 0

    def run(self, key, number, measure, tell):
        if key in self.refused:
            return
        if time.monotonic() > self.deadline:
            self.left_out += 1
            return
        self.patience.wait()
        name = " ".join(word for word in key if word)
        try:
            result = measure(key)
        except RunFailed as failure:
            self.reasons[key] = str(failure)
            if failure.is_final:
                self.refused.add(key)
            print(f"  {name}: {failure}", file=sys.stderr)
            return
        self.results[key].append({"round": number, **result})
        others = others_of(result)
        disturbed = f"  (others took {others:.2f} cores)" if others > DISTURBED else ""
        print(f"  {name}: {tell(result)}{disturbed}", file=sys.stderr)

    def in_turn(self, rows, rounds, again, measure, field, tell):
        """Rows are lists of keys, which take turns, every second round backwards. Rows whose rounds are apart by `field`
        are run up to `again` times more, as a whole, since their ratios are what counts."""
        for number in range(rounds):
            for row in rows:
                for key in row[::-1 if number % 2 else 1]:
                    self.run(key, number, measure, tell)
        for number in range(rounds, rounds + again):
            for row in rows:
                if any(spread(self.results[key], field) > APART for key in row):
                    for key in row[::-1 if number % 2 else 1]:
                        self.run(key, number, measure, tell)

    def median(self, key, field):
        return median_of(self.results.get(key, []), field)

    def tell_missing(self, keys):
        """Keys without a result, with the reason."""
        missing = collections.defaultdict(list)
        for key in keys:
            if key in self.reasons and not self.results.get(key):
                missing[key[-1], self.reasons[key]].append(key)
        lines = [f"- {name}, {len(of)} of the rows: left out: {reason}" for (name, reason), of in missing.items()]
        return "\n".join(textwrap.fill(line, COLUMNS, subsequent_indent="  ") for line in lines)

    def tell_time(self, budget):
        return (f"{self.left_out} runs were left out: the time of {budget:g} s was used up.\n\n" if self.left_out
                else "")


def ratio_of(rounds, key, other, field):
    """The median over the median of another key; None where one of them has no result."""
    ours, theirs = rounds.median(key, field), rounds.median(other, field)
    return ours / theirs if ours and theirs else None


def tell_losses(results):
    """What no run should have."""
    lost = sum(result.get("lost_bytes", 0) for result in results)
    torn = sum(result.get("torn", 0) for result in results)
    closed = sum(result.get("closed", 0) for result in results)
    delivered = min((result["delivered"] for result in results if "delivered" in result), default=1)
    text = f"  LOST {lost} bytes" if lost else ""
    text += f"  DELIVERED {percent(delivered)}" if delivered < 1 else ""
    text += f"  TORN {torn} times" if torn else ""
    return text + (f"  CLOSED {closed} subscribers" if closed else "")


def percent(share):
    """Never 100 for what is less."""
    return f"{int(10000 * share + 1e-6) / 100:.2f} %"


def conditions(results):
    """Under a table: what its runs were like."""
    if not results:
        return ""
    others = [others_of(result) for result in results]
    compared = min((result["compared"] for result in results if "compared" in result), default=None)
    text = (f"{len(results)} runs. Other processes took {statistics.median(others):.2f} cores in the median, and at most "
            f"{max(others):.2f}; over {DISTURBED} a run was disturbed. ")
    text += f"At least {percent(compared)} of the bytes were compared. " if compared is not None else ""
    losses = tell_losses(results).strip()
    return fold(text + (f"In all of them: {losses}." if losses else "Nothing was lost, closed or torn.")) + "\n"


# --- tables and CSV -----------------------------------------------------------------------------------------------


def show(value, form):
    return "-" if value is None else format(value, form)


def fold(text):
    """A paragraph, or each of several, in lines that a terminal has room for."""
    return "\n\n".join(textwrap.fill(part, COLUMNS) for part in text.strip().split("\n\n"))


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

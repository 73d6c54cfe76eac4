# SPDX-License-Identifier: MIT
"""The real daemon: relay.ini written, started, its log followed, its status asked by SIGUSR1.

finish() is the end of every test: the universal checks of reliability.md 3.1.
"""

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

from .loop import CEILING, READ
from .publisher import Publisher
from .subscriber import FramedSubscriber, Subscriber
from . import address

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(os.environ.get("RELAY_BIN_DIR", ROOT / "build")).resolve()


def schemas():
    """Of a state that can be resumed, and of what a crash leaves, as relay says it."""
    asked = subprocess.run([BIN / "relay", "--check-handover", "none"], capture_output=True, text=True, timeout=20)
    told = re.search(r"schema none cannot be resumed, expected (\d+) \(behind a crash: (\d+)\)", asked.stderr)
    return int(told[1]), int(told[2])


# Seconds between two looks at something that makes no event for the loop.
POLL = 0.005

# How much slower than others the machine is said to be (emulated, say): as much more an idle relay costs there.
SLOWNESS = max(1, CEILING / 60)

# Of a feed that is read from NATS: to the server, and a pair between the threads.
NATS_SOCKETS = 3

# Then its resident memory is not what the program takes.
IS_SANITIZED = bool(re.search("address|thread|memory", BIN.name))

SLOW_DISK = r"upgrade failed: history .* not all of it is on the disk"
BAD_LINE = re.compile(r"Z error |Sanitizer|runtime error:|SUMMARY: ")
CARRIERS = ("spliced_bytes", "compacted_bytes", "copied_bytes", "noted_bytes")


def ini_text(sections):
    """{"feed a": {"ingest": ..., ...}, ...} as an ini file."""
    if isinstance(sections, str):
        return sections
    lines = []
    for name, options in sections.items():
        lines.append(f"[{name}]")
        lines.extend(f"{key} = {value}" for key, value in options.items())
        lines.append("")
    return "\n".join(lines)


def number(text):
    try:
        return int(text)
    except ValueError:
        return text


def preload(**rules):
    """The environment in which calls are refused or shortened (tests/fault/refuse.c). LD_PRELOAD cannot name a path with
    a space (ld.so(8))."""
    asan = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": "librefuse.so", "LD_LIBRARY_PATH": str(BIN), "ASAN_OPTIONS": asan, **rules}


class Relay:
    """A running relay. It logs into `log`; address maps "listener x", "feed x", "admin listen" and "admin socket" to where it listens.

    sections is the ini as a dict; expect() declares log lines that would otherwise fail the test.
    """

    def __init__(self, loop, directory, sections, *, options=(), env=None, stdin=None, prefix=(),
                 name="relay.ini", wait=True, program=BIN / "relay", pass_fds=()):
        self.loop = loop
        self.sections = sections
        self.peers = []
        self.log = []
        self.tail = b""
        self.address = {}
        self.expected = []
        self.blocks = []
        self.block = None
        self.code = None
        self.ready = False
        self.signalled = False
        self.ini = directory / name
        self.printed = tempfile.TemporaryFile()
        self.write(sections)
        command = [*prefix, str(program), "-c", str(self.ini), *options]
        self.process = subprocess.Popen(
            command, stdin=stdin if stdin is not None else subprocess.DEVNULL,
            stdout=self.printed, stderr=subprocess.PIPE, pass_fds=pass_fds,
            env={**os.environ, **(env or {})})
        self.stderr = self.process.stderr.fileno()
        os.set_blocking(self.stderr, False)
        loop.watch(self.stderr, READ, self.read_log)
        self.pidfd = os.pidfd_open(self.process.pid)
        loop.watch(self.pidfd, READ, self.reap)
        if wait:
            self.wait_log(r"\bready\b")
            self.ready = True
            self.baseline = self.socket_links() + self.outgoing()

    # The log.

    def read_log(self, _events):
        try:
            data = os.read(self.stderr, 65536)
        except BlockingIOError:
            return
        if not data:
            self.loop.unwatch(self.stderr)
            return
        *lines, self.tail = (self.tail + data).split(b"\n")
        for line in lines:
            self.take_line(line.decode(errors="replace"))

    def take_line(self, line):
        self.log.append(line)
        if found := re.search(r"listening (listener|feed|admin)=(\S+) address=(.+)", line):
            kind, name, where = found.groups()
            self.address[f"{kind} {name}"] = where
        elif found := re.search(r"status (feed=(\S+)|relay|end)(.*)", line):
            self.take_status(*found.groups())

    def take_status(self, kind, feed, rest):
        if self.block is None:
            self.block = {"relay": {}, "feed": {}}
        pairs = dict(pair.split("=", 1) for pair in rest.split() if "=" in pair)
        values = {key: number(text) for key, text in pairs.items()}
        if feed:
            self.block["feed"][feed] = values
        elif kind == "relay":
            self.block["relay"] = values
        else:
            self.blocks.append(self.block)
            self.block = None

    def wait_log(self, pattern, since=0, ceiling=None):
        """The first line from `since` on in which pattern is found."""
        found = []

        def look():
            found[:] = [line for line in self.log[since:] if re.search(pattern, line)]
            return found or self.code is not None

        self.loop.run(look, ceiling, lambda: f"log line {pattern!r}; log: {self.log[-8:]}")
        assert found, f"relay ended with {self.code} before {pattern!r}: {self.log[-8:]}"
        return found[0]

    def expect(self, *patterns):
        """Declares error lines that this test provokes."""
        self.expected.extend(patterns)
        return self

    # The status.

    def status(self):
        have = len(self.blocks)
        self.process.send_signal(signal.SIGUSR1)
        self.loop.run(lambda: len(self.blocks) > have or self.code is not None, what="status end")
        assert self.code is None, f"relay ended with {self.code}: {self.log[-8:]}"
        return self.blocks[-1]

    def feed(self, name):
        return self.status()["feed"][name]

    def wait(self, feed=None, test=None, ceiling=None, **values):
        """Polls the status until the feed's metrics equal values (and test(metrics) holds).

        Without feed, test gets the whole status block."""
        last = [None]

        def look():
            block = self.status()
            last[0] = seen = block if feed is None else block["feed"].get(feed, {})
            return (test is None or test(seen)) and all(seen.get(k) == v for k, v in values.items())

        self.loop.run(look, ceiling, lambda: f"feed {feed}: {values}; last: {last[0]}", rests=True)
        return last[0]

    # Peers.

    def subscribe(self, listener, script, count=1, kind=None, **options):
        """count subscribers of a listener's format; a list, or the one."""
        section = self.sections[f"listener {listener}"]
        if kind is None:
            kind = FramedSubscriber if section.get("format") == "framed" else Subscriber
        where = self.address[f"listener {listener}"]
        made = [kind(self.loop, where, script, **options) for _ in range(count)]
        for one in made:
            one.feed = section["feed"]
        self.peers.extend(made)
        return made if count > 1 else made[0]

    def publish(self, feed, data=b"", **options):
        """A publisher connected to a feed that listens."""
        return self.adopt(address.connect(self.address[f"feed {feed}"])).send(data, **options)

    def adopt(self, file):
        publisher = Publisher(self.loop, file)
        self.peers.append(publisher)
        return publisher

    def run_until_done(self, subscribers, ceiling=None):
        """Until each subscriber has got its whole script."""
        def report():
            return "; ".join(f"at {s.position}/{len(s.payload)} end={s.end}"
                             for s in subscribers if not s.done)

        def look():
            return all(s.done for s in subscribers)

        self.loop.run(look, ceiling, report)

    # The process.

    def links(self):
        folder = f"/proc/{self.process.pid}/fd"
        links = []
        for name in os.listdir(folder):
            try:
                links.append(os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:
                pass
        return links

    def socket_links(self):
        return sum(link.startswith("socket:") for link in self.links())

    def sockets(self):
        """But for the pairs that relay says its feeds have, of two sockets each."""
        pairs = sum(seen["socket_pairs"] for seen in self.status()["feed"].values())
        return self.socket_links() - 2 * pairs

    def open_pipes(self):
        return sum(seen["pipes_open"] for seen in self.status()["feed"].values())

    def outgoing(self):
        """Feeds that connect: they may do so after ready. What is forwarded has its pair before that, but where it begins
        in a history, which is read first."""
        feeds = self.sections.values() if isinstance(self.sections, dict) else ()
        forwarded = sum(1 + 2 * ("history" in one) for one in feeds if "forward" in one)
        ingests = [str(one.get("ingest", "")) for one in feeds]
        of_nats = sum(one.startswith(("nats:", "jetstream:")) for one in ingests)
        return sum(one.startswith("connect") for one in ingests) + NATS_SOCKETS * of_nats + forwarded

    def pipes(self):
        return sum(link.startswith("pipe:") for link in self.links())

    def resident(self):
        """Bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])

    def cpu_ms(self):
        """Time all threads ran, from schedstat (ns): finer than utime and stime."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass  # a thread that reads a file or looks up a name has ended meanwhile
        return total / 1e6

    def assert_no_spin(self, seconds=1.0, limit_ms=20):
        """With inputs frozen the daemon sleeps. On a machine that is very busy the little that is left costs
        more, so there are a few chances; a spin takes none of them."""
        for _ in range(5):
            before = self.cpu_ms()
            self.loop.run_for(seconds)
            spent = self.cpu_ms() - before
            if spent <= limit_ms * SLOWNESS:
                return
        raise AssertionError(f"{spent:.1f} ms of CPU in {seconds:g} idle seconds")

    def write(self, sections):
        self.ini.write_text(ini_text(sections))

    def reload(self, sections):
        """Writes the ini and sends SIGHUP; returns the log index from which to look for answers."""
        self.write(sections)
        since = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        return since

    def upgrade(self, answer=None, once_under_way=None):
        """Sends SIGUSR2 and waits for the answer: the new program being ready, or another one. Where the disk has not taken
        all of a history in time, relay goes on, and is asked again. once_under_way: to be called when nobody is served."""
        while True:
            since = len(self.log)
            self.process.send_signal(signal.SIGUSR2)
            if once_under_way:
                self.wait_log("upgrading", since)
                once_under_way()
            line = self.wait_log(answer or rf" info ready\b|{SLOW_DISK}", since)
            if answer or not re.search(SLOW_DISK, line):
                return line
            self.expect(SLOW_DISK)
            once_under_way = None

    def wait_stopped(self):
        """Until it has got SIGSTOP, as from RELAY_STOP of preload()."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        self.loop.run(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", what="relay to stop", poll=POLL)

    def reap(self, _events):
        self.loop.unwatch(self.pidfd)
        self.code = self.process.wait()
        if self.ready and not self.signalled:
            raise AssertionError(f"relay died with {self.code}: {self.log[-3:]}")

    def signal(self, number):
        self.signalled = True
        self.process.send_signal(number)

    def wait_exit(self, ceiling=None):
        self.loop.run(lambda: self.code is not None, ceiling, "relay to end")
        self.loop.run(lambda: self.stderr not in self.loop.selector.get_map(), what="end of the log")
        return self.code

    # The end of every test.

    def finish(self):
        """The universal checks; then a clean end."""
        if self.code is None and not self.signalled:
            self.check_accounts(self.status())
            self.check_deliveries()
            self.close_peers()
            self.check_nothing_leaked()
            self.signal(signal.SIGTERM)
            code = self.wait_exit()
            assert code == 0, f"exit code {code}: {self.log[-8:]}"
        self.close_peers()
        self.check_log()

    def check_accounts(self, block):
        """What was delivered went by one of the engines, and is what the subscribers got."""
        for name, seen in block["feed"].items():
            carried = sum(seen[key] for key in CARRIERS)
            assert carried == seen["delivered_bytes"], f"feed {name}: carried {carried}: {seen}"
            assert seen["subscribers_total"] >= seen["subscribers"], f"feed {name}: {seen}"

    def check_deliveries(self):
        """Where all who ever joined still read, what relay says it delivered is what they got."""
        for name, seen in self.status()["feed"].items():
            ours = [peer for peer in self.peers if getattr(peer, "feed", None) == name]
            if not ours or len(ours) != seen["subscribers_total"] or not all(o.is_reading for o in ours):
                continue
            self.wait(name, test=lambda now: now["delivered_bytes"] + now["replayed_bytes"]
                      == sum(o.received for o in ours))

    def check_nothing_leaked(self):
        def left():
            return {name: seen["subscribers"] for name, seen in self.status()["feed"].items()
                    if seen["subscribers"]}

        self.loop.run(lambda: not left(), what=lambda: f"subscribers to go: {left()}", poll=POLL)
        self.wait_baseline()
        # Of the ends that no feed knows only stderr and stdin may be left; pipes that come back from
        # another worker may be closed between the two looks.
        self.loop.run(lambda: self.pipes() - 2 * self.open_pipes() <= 2, poll=POLL,
                      what=lambda: f"{self.pipes()} pipe ends, {self.open_pipes()} pipes known")

    def wait_baseline(self):
        """Until relay holds no more sockets than when it was ready."""
        self.loop.run(lambda: self.sockets() <= self.baseline, poll=POLL,
                      what=lambda: f"{self.baseline} sockets: {self.links()}")

    def check_log(self):
        bad = [line for line in self.log if BAD_LINE.search(line)
               and not any(re.search(pattern, line) for pattern in self.expected)]
        assert not bad, f"unexpected in the log: {bad[:5]}"
        self.printed.seek(0)
        printed = self.printed.read(1000)
        assert not printed, f"a daemon has nothing to print: {printed}"

    def close_peers(self):
        """By RST: after a FIN a raw subscriber might be one that only half-closed, and is kept."""
        for peer in self.peers:
            peer.reset()

    def kill(self):
        """What is left after a failed test."""
        self.close_peers()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.loop.unwatch(self.stderr)
        self.loop.unwatch(self.pidfd)
        self.process.stderr.close()
        self.printed.close()
        os.close(self.pidfd)

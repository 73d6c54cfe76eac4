# SPDX-License-Identifier: MIT
"""Each call fails once, and from then on, with each errno; each allocation fails once, and from then on."""

import re
import signal
import traceback

from . import scenarios
from .calls import ERRNOS, HIDES_ENDS, ONLY_ONCE
from .faults import Allocations, Refusal, count_calls, has_ended_loader, read_counts
from .stage import Stage

ENDS = ("upgrade", "drain")  # relay may end in good order there
UPGRADED = r" info ready\b|upgrade failed"


class Sweep:
    """share: of all faults, every share-th. most: of one call and one errno, so many numbers of the call."""

    def __init__(self, directory, program, share, most, only="", faults=""):
        self.directory = directory
        self.allocation_env = {"LD_PRELOAD": "liballocation.so", "LD_LIBRARY_PATH": str(program)}
        self.share = share
        self.most = most
        self.only = only
        self.faults = faults
        self.turn = 0
        self.runs = 0
        self.failed = []

    def is_next(self, fault):
        if not re.search(self.faults, fault.name):
            return False
        self.turn += 1
        return self.turn % self.share == 0

    def run(self):
        for name, engine, deed in scenarios.RUNNING:
            if re.search(self.only, name):
                self.sweep(name, lambda env, engine=engine: Running(self.directory, name, engine, deed, env))
        for name, make in (("start", Starting), ("crash", Resuming)):
            if re.search(self.only, name):
                self.sweep(name, lambda env, make=make: make(self.directory, env))
        return not self.failed

    def sweep(self, name, make):
        before = self.runs, len(self.failed)
        self.sweep_calls(name, make)
        self.sweep_allocations(name, make)
        print(f"{name}: {self.runs - before[0]} faults, {len(self.failed) - before[1]} of them were not borne", flush=True)

    def sweep_calls(self, name, make):
        theatre = make({})
        try:
            counts = theatre.count()
            print(f"{name}: " + ", ".join(f"{call} {count}" for call, count in sorted(counts.items())), flush=True)
            for call in sorted(set(counts) & set(ERRNOS)):
                for error in ERRNOS[call]:
                    for lasts in (False,) if call in ONLY_ONCE or error in ONLY_ONCE else (False, True):
                        for when in range(1, min(self.most, counts[call]) + 1):
                            fault = Refusal(self.directory, call, error, when, lasts)
                            if self.is_next(fault):
                                theatre = self.try_one(theatre, make, name, fault, {})
        finally:
            theatre.close()

    def sweep_allocations(self, name, make):
        allocations = Allocations(self.directory)
        env = self.allocation_env | {"RELAY_ALLOCATIONS": str(allocations.path)}
        theatre = make(env)
        try:
            for lasts in (False, True):
                for when in range(1, 30 * self.most + 1):
                    fault = Shortage(allocations, when, lasts)
                    if self.is_next(fault):
                        theatre = self.try_one(theatre, make, name, fault, env)
                        if not fault.has_failed:
                            break
        finally:
            theatre.close()

    def try_one(self, theatre, make, name, fault, env):
        """The theatre for the next one."""
        self.runs += 1
        try:
            theatre.play(fault)
            return theatre
        except Exception as error:
            relay = theatre.stage.relay
            if has_ended_loader(fault, relay):
                print(f"{name}, {fault.name}: left out, it has ended ld.so", flush=True)
                self.runs -= 1
            else:
                print(f"{name}, {fault.name}:\n{traceback.format_exc()}", flush=True)
                lines = [line[:400] for line in relay.log if " info status " not in line]
                print(*lines[-15:], ended(relay), sep="\n  ", flush=True)
                self.failed.append((name, fault.name, str(error)[:200]))
            theatre.stage.close()
            return make(env)


def ended(relay):
    """Whose end it was that a reader saw: that of relay, or why relay has ended whom."""
    if (code := relay.process.poll()) is not None:
        return f"relay has ended with {code}"
    try:
        feeds = relay.status()["feed"]
    except AssertionError:
        return "relay runs, and does not answer"
    return {name: {key: count for key, count in seen.items() if key.startswith(("closed_", "source_")) and count}
            for name, seen in feeds.items()}


class Shortage:
    """An allocation fails."""

    call = "allocation"

    def __init__(self, allocations, when, lasts):
        self.allocations = allocations
        self.when, self.lasts = when, lasts
        self.name = f"allocation {when}{' and after' if lasts else ''}"
        self.has_failed = False

    def prefix(self):
        self.allocations.arm(self.when, self.lasts)
        return ()

    def attach(self, _pid):
        self.allocations.arm(self.when, self.lasts)

    def detach(self, _pid):
        self.has_failed = self.allocations.disarm()
        return self.has_failed


class Running:
    """Faults in a relay that runs, and goes on."""

    def __init__(self, directory, name, engine, deed, env):
        self.directory, self.name, self.deed = directory, name, deed
        self.stage = Stage(directory, engine, env, name)
        self.stage.settle()

    def count(self):
        relay = self.stage.relay
        since = len(relay.log)
        counts = count_calls(self.directory, relay.process.pid, lambda: self.deed(self.stage))
        self.recover(since)
        return counts

    def play(self, fault):
        stage = self.stage
        pid, since = stage.relay.process.pid, len(stage.relay.log)
        fault.attach(pid)
        try:
            self.deed(stage)
        finally:
            fault.detach(pid)
        if re.search(HIDES_ENDS, fault.name):
            stage.excuse()
        self.recover(since)

    def recover(self, since):
        stage, relay = self.stage, self.stage.relay
        if self.name == "upgrade":
            stage.loop.run(lambda: relay.code is not None or any(re.search(UPGRADED, line) for line in relay.log[since:]),
                           what="the upgrade to be done, or not")
        elif self.name == "drain":
            relay.wait_exit()
        if relay.code is not None:
            assert self.name in ENDS, f"relay ended with {relay.code}: {relay.log[-8:]}"
            stage.check_orderly_end()
            stage.restart()
        stage.settle()

    def close(self):
        self.stage.finish()
        self.stage.close()


class Starting:
    """Faults in a relay that starts: it is ready in the end, or says why not."""

    def __init__(self, directory, env):
        self.directory, self.env = directory, env
        self.stage = Stage(directory, "auto", env)

    def leave(self):
        stage = self.stage
        if stage.relay.code is None:
            stage.relay.signal(signal.SIGTERM)
            stage.relay.wait_exit()

    def count(self):
        self.leave()
        out = self.directory / "strace"
        prefix = ("strace", "-D", "-f", "-c", "-U", "name,calls", "-o", str(out), "--")
        self.stage.launch(prefix)
        self.stage.relay.signal(signal.SIGTERM)
        self.stage.relay.wait_exit()
        self.stage.loop.run(lambda: out.exists() and "\ntotal" in out.read_text(), what="the counts", poll=0.01)
        self.stage.launch()
        return read_counts(out)

    def play(self, fault):
        stage = self.stage
        self.leave()
        stage.launch(fault.prefix(), wait=False)
        try:
            is_ready = stage.wait_ready()
        finally:
            fault.detach(stage.relay.process.pid)
        if not is_ready:
            stage.restart()
        stage.settle()

    def close(self):
        self.stage.finish()
        self.stage.close()


class Resuming(Starting):
    """Faults in a relay that starts behind one that was killed, with its subscribers."""

    def __init__(self, directory, env):
        super().__init__(directory, env)
        self.stage.settle()

    def leave(self):
        stage = self.stage
        if stage.relay.code is None:
            stage.relay.wait(test=lambda seen: seen["relay"].get("survives_crash"))
            stage.signal_end(signal.SIGKILL)
            stage.relay.wait_exit()
            stage.reset_publishers()

    def play(self, fault):
        super().play(fault)
        super().leave()  # in good order: what was refused to this one it may lack for good, such as its keeper
        self.stage.restart()
        self.stage.settle()

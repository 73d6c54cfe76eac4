# SPDX-License-Identifier: MIT
"""A relay that is killed again and again, beside a service manager that starts it anew."""

import os
import re
import signal
from pathlib import Path

from .daemon import POLL
from .publisher import Publisher
from .service_manager import ServiceManager

RESUMED = r"resumed after a crash subscribers=(\d+) lost=(\d+) silence_ms="
EPOLL_WAIT = {"232", "281", "441"} if os.uname().machine == "x86_64" else {"22", "441"}  # of /proc/PID/syscall


class Crashing:
    """Counts what became of its subscribers. `sections` is the file that the next start finds."""

    def __init__(self, lab, sections):
        self.lab = lab
        self.sections = sections
        self.manager = ServiceManager(lab)
        self.relay = lab.start(sections, **self.manager.options())
        self.baseline = self.relay.baseline
        self.resumed = self.lost = 0

    def die_at_rest(self, **options):
        self.stop_at_rest()
        return self.die(**options)

    def stop_at_rest(self):
        """Each worker has answered and waits for events. Whoever is being served when relay dies is lost by right, and a
        timer or a probe of the kernel can make relay serve somebody at any moment."""
        self.relay.status()
        self.lab.loop.run(self.stops_at_rest, what="a moment of rest", poll=POLL)

    def stops_at_rest(self):
        process = self.relay.process.pid
        self.relay.signal(signal.SIGSTOP)
        os.waitpid(process, os.WUNTRACED)
        threads = [one for one in Path(f"/proc/{process}/task").iterdir()
                   if (one / "comm").read_text().startswith("worker")]
        is_rest = all((one / "syscall").read_text().split()[0] in EPOLL_WAIT for one in threads)
        if not is_rest:
            self.relay.signal(signal.SIGCONT)
        return is_rest

    def die(self, keeps_publishers=False):
        """Killed, and started again, until another crash would be survived. Publishers are reset: one may wait to be accepted
        yet, and one may go on. But with keeps_publishers they are left to relay."""
        self.relay.signal(signal.SIGKILL)
        assert self.relay.wait_exit() == -signal.SIGKILL
        for one in self.relay.peers:
            if isinstance(one, Publisher) and not keeps_publishers:
                one.reset()
        peers, self.relay.peers = self.relay.peers, []
        self.relay = self.lab.start(self.sections, **self.manager.options())
        found = re.search(RESUMED, self.relay.wait_log(RESUMED))
        resumed, lost = map(int, found.groups())
        for one in peers:
            one.feed = None  # what it got before is not in this relay's counters
        self.relay.peers = peers
        self.relay.baseline = self.baseline  # resumed subscribers may come and go while it is counted
        self.resumed += resumed
        self.lost += lost
        self.relay.wait(test=lambda seen: seen["relay"].get("survives_crash"))
        return resumed, lost

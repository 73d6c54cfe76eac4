# SPDX-License-Identifier: MIT
"""What is done to the process of a play: reloads, upgrades, crashes and pauses."""

import re
import signal

from relaytest.daemon import Relay
from relaytest.service_manager import ServiceManager

from . import configuration
from .peers import NOBODY

READY = r" info ready\b"
# relay gives the check of the new program ten seconds, and not more on a machine that is very busy.
TOO_BUSY = "upgrade failed: .* was ended by signal 9, nothing has changed"


class Process:
    """Keeps self.relay and self.sections. Under a stand-in for the service manager, so that crashes are survived."""

    def start(self, fixed):
        self.fixed = fixed
        self.closers = []
        self.sections = self.choose_sections()
        self.manager = ServiceManager(self)  # which takes from a lab what a play has, too
        self.relay = self.launch()

    def choose_sections(self):
        return configuration.random_sections(self.pick, self.directory, self.fixed)

    def launch(self):
        return Relay(self.loop, self.directory, self.sections, **self.manager.options())

    @property
    def survives(self):
        return self.fixed["survive_crash"] == "auto"

    def do_reload(self):
        """With other values of anything, while everybody goes on."""
        self.sections = self.choose_sections()
        self.relax()
        self.relay.wait_log(r" reloaded\b", self.relay.reload(self.sections))
        self.relay.sections = self.sections
        self.relax()

    def relax(self):
        """Who may miss something under another policy may from now on."""
        for reader in self.readers:
            listener, feed, tells_gaps = reader.place
            reader.follower.may_miss |= not tells_gaps and configuration.may_miss(self.sections, listener, feed)

    def do_wrong_reload(self):
        self.relay.expect(r"relay\.ini:\d+: error: ", "reload failed: the configuration has errors")
        wrong = configuration.wrong_sections(self.pick, self.sections)
        self.relay.wait_log("reload failed: .*nothing has changed", self.relay.reload(wrong))
        self.relay.write(self.sections)

    def do_upgrade(self):
        self.relay.expect(TOO_BUSY)
        return NOBODY if re.search(TOO_BUSY, self.relay.upgrade(f"{READY}|{TOO_BUSY}")) else None

    def do_wrong_upgrade(self):
        """It has to find the error before anything is given up."""
        self.relay.expect(r"relay\.ini:\d+: error: ", "upgrade failed")
        self.relay.write(configuration.wrong_sections(self.pick, self.sections))
        self.relay.upgrade("upgrade failed.*nothing has changed")
        self.relay.write(self.sections)

    def do_kill(self):
        """Without a warning; the next process goes on with whoever survives, and none of them gets a wrong byte."""
        old = self.relay
        if self.survives:
            old.wait(test=lambda seen: seen["relay"].get("survives_crash"))
        old.signal(signal.SIGKILL)
        assert old.wait_exit() == -signal.SIGKILL
        for some in self.publishers.values():
            for one in some:
                one.reset()
        peers, old.peers = old.peers, []
        old.check_log()
        old.kill()
        self.relay = self.launch()
        self.relay.peers, self.relay.baseline, self.relay.expected = peers, old.baseline, old.expected
        for reader in self.readers:
            reader.was_killed |= not self.survives

    def do_pause_relay(self):
        """As a machine that sleeps, or a debugger."""
        self.relay.process.send_signal(signal.SIGSTOP)
        self.loop.run_for(self.pick.choice((0.01, 0.1, 0.5)))
        self.relay.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.relay.kill()
        for close in self.closers:
            close()

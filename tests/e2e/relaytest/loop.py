# SPDX-License-Identifier: MIT
"""One selector that drives publishers, subscribers and the daemon's log in the test's own thread.

A callback that finds a wrong byte raises, so the failure comes out of the wait that saw it.
"""

import os
import selectors
import time

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

# How long a condition may take before the test fails, in seconds. It costs time only when something is wrong, so it
# is far above what a machine needs that others use too; sanitizer runs raise it.
CEILING = float(os.environ.get("RELAY_TEST_CEILING", "60"))
# Between two looks at what is dear to look at, in seconds.
SHORTEST_REST, LONGEST_REST = 0.002, 0.03


class Loop:
    """Calls `call(events)` for every file that is ready while a wait runs."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()

    def watch(self, file, events, call):
        """Watches a file for events (0 = none); replaces an earlier watch of the same file."""
        known = file in self.selector.get_map()
        if not events:
            if known:
                self.selector.unregister(file)
        elif known:
            self.selector.modify(file, events, call)
        else:
            self.selector.register(file, events, call)

    def unwatch(self, file):
        self.watch(file, 0, None)

    def turn(self, timeout):
        for key, events in self.selector.select(max(0.0, timeout)):
            # An earlier callback of this turn may have closed this file.
            if self.selector.get_map().get(key.fd) is key:
                key.data(events)

    def run(self, until, ceiling=None, what="the condition", poll=None, rests=False):
        """Runs until until() is true; fails after the ceiling. `what` may be a callable.

        until is looked at after every event; with poll also each so many seconds. rests: it is dear to look at, so that
        is done now and then, and less often the longer it takes."""
        ceiling = CEILING if ceiling is None else ceiling
        deadline, rest = time.monotonic() + ceiling, SHORTEST_REST
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                text = what() if callable(what) else what
                raise AssertionError(f"not within {ceiling:g} s: {text}")
            if rests:
                self.run_for(min(left, rest))
                rest = min(1.5 * rest, LONGEST_REST)
            else:
                self.turn(left if poll is None else min(left, poll))

    def run_for(self, seconds):
        """Serves everybody for a stretch of time: to see that something does not happen."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.turn(left)

    def close(self):
        self.selector.close()

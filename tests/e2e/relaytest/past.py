# SPDX-License-Identifier: MIT
"""A stream of lines that another relay took in when the test says, for framing = relay:line."""

import signal
import time

from . import packet
from .daemon import POLL
from .stream import Script, text_script

SESSION = 77


def past_script(sizes, seed, age_of):
    """One packet for each message; age_of(index): how many seconds ago it came."""
    made, now, begin, parts, times = text_script(sizes, seed), time.time_ns(), 0, [], {}
    for index, end in enumerate(made.ends):
        times[1 + index] = now - int(age_of(index) * 10 ** 9) + index
        parts += [packet.encode(count=1, length=end - begin, session=SESSION, sequence=1 + index, time=times[1 + index]),
                  made.payload[begin:end]]
        begin = end
    return Script("relay", b"".join(parts), made.payload, made.ends, first=1, session=SESSION, times=times)


def packet_start(script, index):
    """Where the packet of a message begins on the wire."""
    return script.start_of(index) + packet.BYTES * index


def record_past(lab, sections, made, count):
    """A relay whose history begins with the first `count` messages, as if it had recorded them when they came.

    Before its publisher is there, a relay records that it has none: that is not so old, and no file in front of others
    may be younger. So another relay records, and its first file is deleted.
    """
    folder = sections["feed a"]["history"]
    relay = lab.start(sections, name="before.ini")
    publisher = relay.publish("a", made.wire[:packet_start(made, count)])
    relay.wait("a", in_messages=count)
    lab.loop.run(lambda: sum(one.stat().st_size for one in folder.glob("*.rly")) >= packet_start(made, count), poll=POLL,
                 what="all of it in files")
    publisher.close()
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0
    for one in sorted(folder.iterdir()):
        if one.stem == "0000000001":
            one.unlink()
    return lab.start(sections)

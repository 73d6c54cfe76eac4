# SPDX-License-Identifier: MIT
"""relay-protocol(7): the client that stands there as an example works."""

import re
import subprocess
import sys

from relaytest.daemon import ROOT
from relaytest.ini import feed
from relaytest.loop import CEILING
from relaytest.stream import script


def test_the_example_client(lab):
    page = (ROOT / "deploy/man/relay-protocol.7").read_text()
    client = re.search(r"^(import socket, .*?)^\.Ed$", page, re.M | re.S)[1].replace("\\e", "\\")
    made = script("u32be", (5000,) * 20, 1)
    relay = lab.start(feed("a", framing="u32be", on_source_loss="close"))
    port = relay.address["listener a-framed"].rpartition(":")[2]
    program = subprocess.Popen([sys.executable, "-c", client.replace("7002", port)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", made.wire)
    publisher.flush()
    publisher.half_close()
    out, err = program.communicate(timeout=CEILING)
    assert (program.returncode, err) == (0, b"")
    assert out == made.wire

# SPDX-License-Identifier: MIT
"""The files of deploy/doc/examples: each is good as it stands, but for where it lies, and does what it is for."""

import re

import pytest

from relaytest.daemon import ROOT
from relaytest.ini import parsed
from relaytest.stream import script
from relaytest.web import Answer, WebSubscriber, request
from relaytest.web_publisher import connect, publish

EXAMPLES = ROOT / "deploy/doc/examples"
TOKENS = ("encoders", "bases", "rovers")


def sections_of(lab, name):
    """Only ports, the directory of the tokens, and where a multicast group is joined are others."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for token in TOKENS:
        (lab.directory / token).write_text(f"{token}-token\n")
        (lab.directory / token).chmod(0o600)
    text = re.sub(r"tcp:(\*|127\.0\.0\.1):\d+", "tcp:127.0.0.1:0", text).replace("/etc/relay/", f"{lab.directory}/")
    text = text.replace("/var/lib/relay/", f"{lab.directory}/")
    text = text.replace("udp:198.51.100.9@232.1.2.3%eth1:", "udp:127.0.0.1@232.1.2.3%lo:")
    return parsed(text)


@pytest.mark.parametrize("name", sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.ini")))
def test_each_is_good(lab, name):
    relay = lab.start(sections_of(lab, name))
    checked = lab.run_tool("relay", "-t", "-c", relay.ini)
    assert checked.returncode == 0, checked.stderr


def bearer(name):
    return {"Authorization": f"Bearer {name}-token"}


def test_media(lab):
    relay = lab.start(sections_of(lab, "media.ini"))
    made = script("none", (4000,) * 30, 1)
    listeners = [relay.subscribe("web", made, kind=WebSubscriber, path="/radio") for _ in range(2)]
    relay.wait("radio", subscribers=2)
    half = len(made.wire) // 2
    one = publish(relay, "source", made.wire[:half], path="/radio", fields=bearer("encoders"))
    relay.wait("radio", in_bytes=half)
    publish(relay, "source", made.wire[half:], path="/radio", fields=bearer("encoders"))
    relay.run_until_done(listeners)
    assert listeners[0].fields["content-type"] == "audio/mpeg" and listeners[0].fields["icy-name"] == "Radio 1"
    lab.loop.run(lambda: one.lost, what="the first encoder to be replaced")
    assert Answer(relay, "web", request("/tv", method="HEAD")).wait()[1]["content-type"] == "video/mp2t"


def test_gnss(lab):
    relay = lab.start(sections_of(lab, "gnss.ini"))
    made = script("none", (200,) * 30, 2)
    rover = relay.subscribe("caster", made, kind=WebSubscriber, path="/BASE1",
                            fields={"Ntrip-Version": "Ntrip/2.0", **bearer("rovers")})
    relay.wait("BASE1", subscribers=1)
    base = connect(relay, b"SOURCE bases-token /BASE1\r\nSource-Agent: NTRIP x\r\n\r\n" + made.wire, listener="caster")
    relay.run_until_done([rover])
    assert base.received == b"ICY 200 OK\r\n\r\n"

# SPDX-License-Identifier: MIT
"""Firefox and Chromium behind nginx, HAProxy and Apache, as deploy/doc/proxies.md sets them up; run by `make test-clients`."""

import os
import subprocess

import pytest

from relaytest import address
from relaytest.ini import feed
from test_client_proxies import PROXIES, started, until_it_listens  # noqa: F401 (started is a fixture)
from test_clients import BROWSERS, page  # noqa: F401 (page is one, too)

pytestmark = pytest.mark.clients

LINES = [f"line {number} <ü>" for number in range(20)]


def behind_proxies(lab, started, origin):  # noqa: F811
    """A relay with a feed of lines and a radio, and where the proxies in front of it are."""
    sound = lab.directory / "sound.mp3"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=40", "-c:a", "libmp3lame", sound],
                   check=True, timeout=60)
    listener = {"feed": "all", "listen": "tcp:127.0.0.1:0", "format": "http", "trusted_proxies": "127.0.0.1", "origins": origin}
    relay = lab.start({**feed("a", framing="line"), **feed("radio", burst="1024k", content_type="audio/mpeg"),
                       **{f"listener {header}": {**listener, "proxy_header": header} for header in ("proxy", "forwarded")}})
    relay.publish("radio", sound.read_bytes())
    relay.wait("radio", in_bytes=sound.stat().st_size)
    origins = []
    for name, (make, header) in PROXIES.items():
        directory, own = lab.directory / name, address.spare_port()
        directory.mkdir()
        process = started(make(directory, address.parse(relay.address[f"listener {header}"])[1][1], own))
        until_it_listens(lab, process, own)
        origins.append(f"http://127.0.0.1:{own}")
    return relay, origins


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_browser_behind_proxies(lab, page, started, browser):  # noqa: F811
    """Events come at once, one by one, and <audio> plays in mid-stream, through each of them."""
    page.html = "proxied.html"
    origin = f"http://127.0.0.1:{page.server_address[1]}"
    relay, origins = behind_proxies(lab, started, origin)
    profile = lab.directory / "profile"
    profile.mkdir()
    process = subprocess.Popen([*(word.format(profile) for word in BROWSERS[browser]), f"{origin}/?origins={','.join(origins)}"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                               env={**os.environ, "HOME": str(profile)})
    try:
        relay.wait("a", subscribers=len(origins), ceiling=60)
        publisher = relay.publish("a")
        for number, line in enumerate(LINES, 1):
            publisher.send(f"{line}\n".encode())
            relay.wait("a", in_messages=number)
        publisher.send(b"END\n")
        lab.loop.run(lambda: page.results, 60, "the page's results", poll=0.01)
    finally:
        os.killpg(process.pid, 9)
        process.wait(20)
    assert page.results == [{one: {"events": LINES, "audio": "playing"} for one in origins}]

# SPDX-License-Identifier: MIT
"""Clients that are large to install: Chromium, node-ws, ffprobe. Run by `make test-clients`."""

import hashlib
import http.server
import json
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from relaytest.ini import feed
from relaytest.stream import script, text_script

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
LOSSLESS = {"on_slow": "wait", "stall_timeout": "60s"}


def http_listener(name="a", **options):
    return {"feed": name, "listen": "tcp:127.0.0.1:0", "format": "http", **options}


def place(relay, listener):
    return relay.address[f"listener {listener}"].removeprefix("tcp:")


def wait_exit(lab, process):
    lab.loop.run(lambda: process.poll() is not None, what=f"{process.args[0]} to end", poll=0.01)
    out, err = process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


class Page(http.server.BaseHTTPRequestHandler):
    """Serves client.html and takes its result."""

    def do_GET(self):
        found = self.path.startswith("/?")
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        if found:
            self.wfile.write((HERE / "client.html").read_bytes())

    def do_POST(self):
        self.server.results.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def page():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.results = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_browser(lab, page):
    """EventSource, WebSocket and fetch in Chromium, from a page of another origin, 1,000 raw ones beside."""
    (lab.directory / "tokens").write_text("t0ken\n")
    (lab.directory / "tokens").chmod(0o600)
    origin = f"http://127.0.0.1:{page.server_address[1]}"
    relay = lab.start({**feed("a", framing="line", **LOSSLESS),
                       "listener web": http_listener(token_file=lab.directory / "tokens", origins=origin),
                       "listener open": http_listener(origins=origin)})
    made = text_script((1000, 30, 5000) * 60, 7)
    raw = relay.subscribe("a-raw", made, 1000)
    browser = subprocess.Popen(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--no-first-run", f"--user-data-dir={lab.directory}/profile",
         f"{origin}/?relay={place(relay, 'web')}&open={place(relay, 'open')}&total={len(made.payload)}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        relay.wait("a", subscribers=1004, ceiling=60)
        relay.publish("a", made.wire)
        relay.run_until_done(raw, ceiling=60)
        lab.loop.run(lambda: page.results, 60, "the page's result", poll=0.01)
    finally:
        os.killpg(browser.pid, 15)
        browser.wait(20)
    right = [len(made.payload), hashlib.sha256(made.payload).hexdigest()]
    assert page.results == [{name: right for name in ("websocket", "text", "fetch", "events")}]
    relay.wait("a", subscribers=1000)


def test_node_ws(lab):
    made = script("u32be", (70_000, 300_000, 5) * 20, 8)
    relay = lab.start({**feed("a", framing="u32be", on_source_loss="close", **LOSSLESS),
                       "listener web": http_listener()})
    raw = relay.subscribe("a-raw", made, 1000)
    nodes = [subprocess.Popen(["node", HERE / "client.mjs", f"ws://{place(relay, 'web')}/a{query}",
                               lab.directory / f"out{index}"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
             for index, query in enumerate(("", "?messages=message"))]
    relay.wait("a", subscribers=1002)
    publisher = relay.publish("a", made.wire).flush(60)
    relay.run_until_done(raw, ceiling=60)
    publisher.close()
    for index, node in enumerate(nodes):
        assert wait_exit(lab, node).strip() == "1001"
        assert (lab.directory / f"out{index}").read_bytes() == made.payload


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory):
    """Four seconds of MPEG-TS, and how many packets of video ffprobe finds in it."""
    path = tmp_path_factory.mktemp("media") / "test.ts"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25",
                    "-t", "4", "-c:v", "mpeg2video", "-f", "mpegts", path], check=True, timeout=60)
    return path, subprocess.run(probe(path), check=True, timeout=60, capture_output=True,
                                text=True).stdout


def probe(url):
    return ["ffprobe", "-v", "error", "-count_packets", "-show_entries",
            "stream=codec_name,width,height,nb_read_packets", "-of", "csv=p=0", url]


def test_ffprobe(lab, transport_stream):
    path, expected = transport_stream
    assert re.match(r"mpeg2video,320,240,\d\d+", expected), expected
    relay = lab.start({**feed("a", ingest=f"file:{path}", framing="fixed:188", start_subscribers="2",
                              on_source_loss="close", **LOSSLESS),
                       "listener web": http_listener()})
    probes = [subprocess.Popen(probe(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
              for url in (f"http://{place(relay, 'web')}/a", f"tcp://{place(relay, 'a-raw')}")]
    for one in probes:
        assert wait_exit(lab, one) == expected

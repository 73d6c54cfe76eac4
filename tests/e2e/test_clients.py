# SPDX-License-Identifier: MIT
"""Clients that `make test` does without: Chromium, Firefox, node-ws, ffprobe, mpv, HAProxy, slowhttptest; and all kinds
beside 1,000 raw ones.

Run by `make test-clients`."""

import hashlib
import http.server
import json
import os
import re
import resource
import subprocess
import threading
import time
from pathlib import Path

import pytest

from relaytest.daemon import BIN
from relaytest.ini import feed
from relaytest.stream import Script, script, text_script
from relaytest.web import WebSocketSubscriber, WebSubscriber
from relaytest.web_publisher import TOKEN, published
from test_websocket import Received

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}


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
            self.wfile.write((HERE / self.server.html).read_bytes())

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
    server.html = "client.html"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("browser, compress", [("chromium", "no"), ("chromium", "yes"), ("firefox", "yes")])
def test_a_browser(lab, page, browser, compress):
    """EventSource, WebSocket and fetch, from a page of another origin, 1,000 raw ones beside."""
    (lab.directory / "tokens").write_text("t0ken\n")
    (lab.directory / "tokens").chmod(0o600)
    origin = f"http://127.0.0.1:{page.server_address[1]}"
    relay = lab.start({"relay": {"workers": 2}, **feed("a", framing="line", **LOSSLESS),
                       "listener web": http_listener(token_file=lab.directory / "tokens", origins=origin, compress=compress),
                       "listener open": http_listener(origins=origin, compress=compress)})
    made = text_script((1000, 30, 5000) * 60, 7)
    raw = relay.subscribe("a-raw", made, 1000)
    profile = lab.directory / "profile"
    profile.mkdir()
    shown = subprocess.Popen(
        [*(word.format(profile) for word in BROWSERS[browser]),
         f"{origin}/?relay={place(relay, 'web')}&open={place(relay, 'open')}&total={len(made.payload)}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "HOME": str(profile)})
    try:
        relay.wait("a", subscribers=1004, ceiling=60)
        relay.publish("a", made.wire)
        relay.run_until_done(raw, ceiling=60)
        lab.loop.run(lambda: page.results, 60, "the page's result", poll=0.01)
    finally:
        os.killpg(shown.pid, 15)
        shown.wait(20)
    right = [len(made.payload), hashlib.sha256(made.payload).hexdigest()]
    assert page.results == [{name: right for name in ("websocket", "text", "fetch", "events")}]
    relay.wait("a", subscribers=1000, compressed_bytes=2 * 4 * len(made.payload) if compress == "yes" else 0)


@pytest.mark.parametrize("compress", ["no", "yes"])
def test_node_ws(lab, compress):
    """It offers permessage-deflate."""
    made = script("u32be", (70_000, 300_000, 5) * 20, 8)
    relay = lab.start({"relay": {"workers": 2}, **feed("a", framing="u32be", on_source_loss="close", **LOSSLESS),
                       "listener web": http_listener(compress=compress)})
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
    assert relay.feed("a")["compressed_bytes"] == (2 * 2 * len(made.payload) if compress == "yes" else 0)


def test_node_ws_publishes(lab):
    """It says its token as a page must, offers permessage-deflate, which is not agreed to, and sends lines without their ends."""
    made = text_script((100, 20_000, 1) * 100, 4)
    relay = lab.start(published(lab, framing="line", **LOSSLESS))
    readers = relay.subscribe("a-raw", made, 2)
    relay.wait("a", subscribers=2)
    lines = lab.directory / "lines"
    lines.write_bytes(made.payload)
    node = subprocess.Popen(["node", HERE / "publisher.mjs", f"ws://{place(relay, 'web')}/a?publish=1", TOKEN, lines],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert wait_exit(lab, node).strip() == "1000"
    relay.run_until_done(readers)
    seen = relay.wait("a", source_losses=1)
    assert seen["in_messages"] == made.count and seen["source_peer_closed"] == 1


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory):
    """Four seconds of MPEG-TS, and how many packets of video ffprobe finds in it."""
    path = tmp_path_factory.mktemp("media") / "test.ts"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25",
                    "-t", "4", "-c:v", "mpeg2video", "-f", "mpegts", path], check=True, timeout=60)
    return path, subprocess.run(probe(path), check=True, timeout=60, capture_output=True,
                                text=True).stdout


BROWSERS = {
    "chromium": ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--no-first-run", "--autoplay-policy=no-user-gesture-required", "--user-data-dir={}"],
    "firefox": ["firefox-esr", "--headless", "--no-remote", "--profile", "{}"],
}


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("kind, codec, media_type", [("mp3", "libmp3lame", "audio/mpeg"),
                                                     ("ogg", "libvorbis", "application/ogg")])
def test_a_browser_plays(lab, page, browser, kind, codec, media_type):
    """<audio>, in the middle of a stream that has no end; nothing but the media type says what it is."""
    sound = lab.directory / f"sound.{kind}"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=40", "-c:a", codec, sound],
                   check=True, timeout=60)
    relay = lab.start({**feed("a", burst="1024k", content_type=media_type), "listener web": http_listener()})
    relay.publish("a", sound.read_bytes())
    relay.wait("a", in_bytes=sound.stat().st_size)
    profile = lab.directory / "profile"
    profile.mkdir()
    page.html = "player.html"
    command = [word.format(profile) for word in BROWSERS[browser]]
    player = subprocess.Popen(
        [*command, f"http://127.0.0.1:{page.server_address[1]}/?stream=http://{place(relay, 'web')}/a"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "HOME": str(profile)})
    try:
        lab.loop.run(lambda: page.results, 60, "the player to say what it does", poll=0.01)
    finally:
        os.killpg(player.pid, 9)
        player.wait(20)
    assert page.results[0] == "playing"


def test_mpv(lab, transport_stream):
    """It joins in the middle, behind stray bytes, and shows pictures."""
    stream = transport_stream[0].read_bytes()
    relay = lab.start({**feed("a", framing="ts", burst="1024k"), "listener web": http_listener()})
    relay.publish("a", b"stray" + stream)
    relay.wait("a", in_bytes=len(stream))
    player = subprocess.Popen(["mpv", "--no-config", "--vo=null", "--ao=null", "--cache=no", "--frames=10", "--msg-level=all=error",
                               f"http://{place(relay, 'web')}/a"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert not wait_exit(lab, player)


HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend http
    bind {directory}/http
    default_backend relay
backend relay
    option httpchk GET /
    server relay {relay} send-proxy-v2 check inter 100ms
frontend tcp
    bind {directory}/tcp
    mode tcp
    default_backend looked_at
backend looked_at
    mode tcp
    option tcp-check
    server relay {relay} send-proxy check check-send-proxy inter 100ms
"""


def test_haproxy(lab):
    """Streams of either PROXY version, and its looks at relay: those are no bad requests, and not logged."""
    made = text_script((1000,) * 100, 6)
    relay = lab.start({**feed("a", framing="line", **LOSSLESS),
                       "listener web": http_listener(trusted_proxies="127.0.0.1", hosts="*")})
    (lab.directory / "haproxy.cfg").write_text(HAPROXY.format(directory=lab.directory, relay=place(relay, "web")))
    proxy = subprocess.Popen(["haproxy", "-f", lab.directory / "haproxy.cfg", "-q"])
    try:
        lab.loop.run(lambda: all((lab.directory / name).exists() for name in ("http", "tcp")), what="haproxy", poll=0.01)
        readers = []
        for name in ("http", "tcp"):
            relay.address["listener web"] = f"unix:{lab.directory / name}"
            readers.append(relay.subscribe("web", made, kind=WebSubscriber))
        relay.wait("a", subscribers=2)
        relay.publish("a", made.wire)
        relay.run_until_done(readers)
        relay.wait(test=lambda seen: seen["relay"]["accepted_web"] > 2 + 8)  # it has looked, some times each way
    finally:
        proxy.terminate()
        proxy.wait(20)
    assert not [line for line in relay.log if "request refused" in line], relay.log


def probe(url):
    return ["ffprobe", "-v", "error", "-count_packets", "-show_entries",
            "stream=codec_name,width,height,nb_read_packets", "-of", "csv=p=0", url]


def test_ffprobe(lab, transport_stream):
    """By HTTP and by TCP, of a feed whose every byte 1,000 raw ones get too."""
    path, expected = transport_stream
    assert re.match(r"mpeg2video,320,240,\d\d+", expected), expected
    made = Script("fixed:188", path.read_bytes())
    relay = lab.start({**feed("a", ingest=f"file:{path}", framing="fixed:188", start_subscribers="1002",
                              on_source_loss="close", **LOSSLESS),
                       "listener web": http_listener()})
    raw = relay.subscribe("a-raw", made, 1000)
    probes = [subprocess.Popen(probe(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
              for url in (f"http://{place(relay, 'web')}/a", f"tcp://{place(relay, 'a-raw')}")]
    for one in probes:
        assert wait_exit(lab, one) == expected
    relay.run_until_done(raw, ceiling=60)


def test_curl(lab):
    made = script("u32be", (300_000, 50, 60_000) * 5, 10)
    relay = lab.start({**feed("a", framing="u32be", on_source_loss="close", **LOSSLESS),
                       "listener web": http_listener()})
    raw = relay.subscribe("a-raw", made, 1000)
    curls = [subprocess.Popen(["curl", "-sSN", f"--http{version}", "-o", lab.directory / f"out{version}",
                               f"http://{place(relay, 'web')}/a"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
             for version in ("1.0", "1.1")]
    relay.wait("a", subscribers=1002)
    publisher = relay.publish("a", made.wire).flush(60)
    relay.run_until_done(raw, ceiling=60)
    publisher.close()
    for one, version in zip(curls, ("1.0", "1.1")):
        wait_exit(lab, one)
        assert (lab.directory / f"out{version}").read_bytes() == made.payload


def test_python_websockets(lab):
    made = script("u32be", (70_000, 100, 3000) * 30, 11)
    relay = lab.start({**feed("a", framing="u32be", **LOSSLESS), "listener web": http_listener()})
    raw = relay.subscribe("a-raw", made, 1000)
    clients = [Received(f"ws://{place(relay, 'web')}/a{query}", len(made.payload))
               for query in ("", "?messages=message")]
    relay.wait("a", subscribers=1002)
    relay.publish("a", made.wire)
    relay.run_until_done(raw, ceiling=60)
    lab.loop.run(lambda: all(one.done for one in clients), 60, "the clients", poll=0.01)
    for one in clients:
        assert b"".join(one.messages) == made.payload
    assert clients[1].messages == made.wire_pieces()


# Slow headers (Slowloris).

SLOW = 5000


class Attack:
    """slowhttptest: SLOW clients that add a field to their request every three seconds and never end it."""

    def __init__(self, lab, url):
        self.lab = lab
        self.out = lab.directory / "attack"
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                ["slowhttptest", "-H", "-c", str(SLOW), "-r", "2500", "-i", "3", "-x", "24", "-l", "100", "-p", "20",
                 "-u", url], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192)))

    @property
    def is_over(self):
        return self.process.poll() is not None

    def end(self):
        """How it ended, in its own words."""
        self.process.kill()
        self.process.wait()
        return re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", self.out.read_text(errors="replace"))[-600:]


class Traffic:
    """A line each 10 ms, and one subscriber by HTTP after the other, each as soon as the one before has its answer."""

    def __init__(self, relay, made):
        self.relay = relay
        self.made = made
        self.publisher = relay.publish("a")
        self.pieces = iter(made.wire_pieces())
        self.due = time.monotonic()
        self.newcomers = []
        self.most_resident = 0

    def go_on(self):
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + 0.01
        self.publisher.send(next(self.pieces))
        self.most_resident = max(self.most_resident, self.relay.resident())
        if not self.newcomers or self.newcomers[-1].status:
            self.newcomers.append(self.relay.subscribe("web", self.made, kind=WebSubscriber, start=None))

    def finish(self):
        self.publisher.send_each(self.pieces)


@pytest.mark.parametrize("max_heads, reason, memory", [(2 * SLOW, "late", 10 << 10), (256, "heads", 1 << 10)])
def test_slow_headers(lab, max_heads, reason, memory):
    """Who reads gets every byte, who comes is let in; the slow ones are closed at the deadline, which no field that they
    add puts off, or make room before; and each costs relay no more than so many bytes."""
    made = text_script((1000,) * 10_000, 12)
    relay = lab.start({**feed("a", framing="line", **LOSSLESS), "listener web": http_listener(max_heads=max_heads)})
    readers = [*relay.subscribe("a-raw", made, 100), *relay.subscribe("web", made, 10, kind=WebSubscriber),
               *relay.subscribe("web", made, 10, kind=WebSocketSubscriber)]
    relay.wait("a", subscribers=len(readers))
    traffic = Traffic(relay, made)
    before = relay.resident()
    attack = Attack(lab, f"http://{place(relay, 'web')}/a")
    try:
        def is_over():
            traffic.go_on()
            return attack.is_over

        lab.loop.run(is_over, 90, lambda: attack.end(), poll=0.01)
    finally:
        words = attack.end()
    assert "No open connections left" in words, words
    seen = relay.status()["relay"]
    late, heads = (seen.get(f"http_refused_web_{name}", 0) for name in ("late", "heads"))
    if reason == "late":
        assert (late, heads) == (SLOW, 0), seen
    else:  # one of slowhttptest's own probes may have had to go as well
        assert SLOW <= late + heads <= SLOW + 10 and heads > SLOW / 2, seen
    relay.wait_log(rf"request refused listener=web peer=tcp:127\.0\.0\.1:\d+ reason={reason}")
    assert seen["http_heads_web"] <= 1, seen
    assert len(traffic.newcomers) > 10
    grown = traffic.most_resident - before - (8 << 20)  # the ring fills meanwhile
    assert grown <= SLOW * memory or "address" in BIN.name, f"{grown} bytes for {SLOW}"
    print(f"{SLOW} slow ones: {late} late, {heads} made room; {len(traffic.newcomers)} newcomers; {grown} bytes")
    traffic.finish()
    relay.run_until_done([*readers, *traffic.newcomers], ceiling=60)

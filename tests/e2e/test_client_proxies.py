# SPDX-License-Identifier: MIT
"""Real proxies as deploy/doc/proxies.md sets them up, and real publishers: run by `make test-clients`."""

import re
import subprocess

import pytest

from relaytest import address
from relaytest.daemon import ROOT
from relaytest.ini import feed
from relaytest.stream import script, text_script
from relaytest.subscriber import FramedSubscriber, Subscriber
from relaytest.web import EventSubscriber, WebSocketSubscriber, WebSubscriber
from relaytest.web_publisher import TOKEN, published

pytestmark = pytest.mark.clients



def block(language, port):
    """The example of the document, with the port where relay listens."""
    text = (ROOT / "deploy/doc/proxies.md").read_text(encoding="utf-8")
    return re.search(rf"```{language}\n(.*?)```", text, re.S)[1].replace(":7003", f":{port}")


def nginx(directory, port, own):
    paths = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (directory / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/nginx.log;\n"
        f"events {{ worker_connections 64; }}\nhttp {{ access_log off; {paths}\n"
        f"server {{ listen 127.0.0.1:{own};\n{block('nginx', port)}}} }}\n")
    return ["nginx", "-c", directory / "nginx.conf", "-p", directory]


def haproxy(directory, port, own):
    (directory / "haproxy.cfg").write_text(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 1h\n"
        f"frontend f\n    bind 127.0.0.1:{own}\n    default_backend relay\n{block('haproxy', port)}")
    return ["haproxy", "-f", directory / "haproxy.cfg", "-q", "-db"]


def apache(directory, port, own):
    modules = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
                      for name in ("mpm_event", "authz_core", "headers", "proxy", "proxy_http"))
    (directory / "apache.conf").write_text(
        f"ServerRoot {directory}\nServerName localhost\nPidFile {directory}/apache.pid\nErrorLog {directory}/apache.log\n"
        f"Listen 127.0.0.1:{own}\nDefaultRuntimeDir {directory}\n{modules}{block('apache', port)}")
    return ["apache2", "-X", "-f", directory / "apache.conf"]


PROXIES = {"nginx": (nginx, "forwarded"), "haproxy": (haproxy, "proxy"), "apache": (apache, "forwarded")}


@pytest.fixture
def started():
    running = []

    def start(command, **options):
        running.append(subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, **options))
        return running[-1]

    yield start
    for one in running:
        one.terminate()
        try:
            one.wait(5)
        except subprocess.TimeoutExpired:  # Apache waits for its connections; nginx killed so would leave its workers
            one.kill()
            one.wait()


def until_it_listens(lab, process, port):
    def look():
        assert process.poll() is None, f"{process.args} ended"
        try:
            address.connect(f"tcp:127.0.0.1:{port}").close()
        except OSError:
            return False
        return True

    lab.loop.run(look, what=f"{process.args[0]} to listen", poll=0.02)


@pytest.mark.parametrize("name", PROXIES)
def test_behind_a_proxy(lab, started, name):
    """Events, chunks and WebSockets come at once; who they are for is named; a publisher goes through too."""
    make, header = PROXIES[name]
    made = text_script((40,) * 20, 1)
    sections = {**published(lab, framing="line",
                            listener={"trusted_proxies": "127.0.0.1", "proxy_header": header, "deny": "127.0.0.9"}),
                **feed("b")}
    relay = lab.start(sections)
    port = address.parse(relay.address["listener web"])[1][1]
    own = address.spare_port()
    process = started(make(lab.directory, port, own))
    until_it_listens(lab, process, own)
    readers = []
    for kind in (WebSubscriber, EventSubscriber, WebSocketSubscriber):
        one = kind(lab.loop, f"tcp:127.0.0.1:{own}", made)
        relay.peers.append(one)
        readers.append(one)
    relay.wait("a", subscribers=3)
    said = subprocess.run(["curl", "-sS", "-m", "20", "-H", f"Authorization: Bearer {TOKEN}", "--data-binary", "@-",
                           f"http://127.0.0.1:{own}/a"], input=made.payload, capture_output=True, timeout=60, check=False)
    assert said.returncode == 0, said
    relay.run_until_done(readers)
    denied = subprocess.run(["curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", "--interface", "127.0.0.9",
                             f"http://127.0.0.1:{own}/a"], capture_output=True, text=True, timeout=60, check=False)
    assert denied.stdout == "403", denied


def test_haproxy_before_a_stream(lab, started):
    """Raw and framed streams come whole through its TCP mode; who they are for counts; its checks trouble nobody."""
    made = script("u32be", (100_000,) * 30, 2)
    more = {"trusted_proxies": "127.0.0.1", "deny": "127.0.0.9"}
    relay = lab.start(feed("a", framing="u32be", on_slow="wait", raw=more, framed=more))
    own = {kind: address.spare_port() for kind in ("raw", "framed")}
    ready = address.spare_port()
    text = ("defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n"
            f"frontend ready\n    bind 127.0.0.1:{ready}\n    tcp-request connection reject\n")
    for kind, port in own.items():
        where = address.parse(relay.address[f"listener a-{kind}"])[1][1]
        backend = block("haproxy-tcp", where).replace(":7001", f":{where}").replace("backend stream", f"backend {kind}")
        text += (f"frontend f-{kind}\n    bind 127.0.0.1:{port}\n    default_backend {kind}\n"
                 + backend.replace("send-proxy-v2", "send-proxy-v2 check inter 50ms" if kind == "raw" else "send-proxy"))
    (lab.directory / "haproxy.cfg").write_text(text)
    process = started(["haproxy", "-f", lab.directory / "haproxy.cfg", "-q", "-db"])
    until_it_listens(lab, process, ready)
    readers = []
    for kind, make in (("raw", Subscriber), ("framed", FramedSubscriber)):
        one = make(lab.loop, f"tcp:127.0.0.1:{own[kind]}", made)
        relay.peers.append(one)
        readers.append(one)
    relay.wait("a", test=lambda now: now["subscribers"] >= 2)
    denied = Subscriber(lab.loop, f"tcp:127.0.0.1:{own['raw']}", made, source="127.0.0.9")
    relay.peers.append(denied)
    relay.wait_log(r"subscriber refused listener=a-raw peer=tcp:127\.0\.0\.9:\d+ reason=denied")
    publisher = relay.publish("a", made.wire)
    relay.run_until_done(readers)
    assert "closed_no_proxy_head" not in relay.feed("a")
    process.terminate()  # its FIN alone could be one that only half-closed; the next bytes show that it has gone
    process.wait()
    publisher.send(made.wire)
    relay.wait("a", subscribers=0)


PUBLISHERS = {
    "curl -T": ["curl", "-sS", "-T", "-", "-u", f"any:{TOKEN}", "http://HOST/a"],
    "curl --data-binary": ["curl", "-sS", "--data-binary", "@-", "-u", f"any:{TOKEN}", "http://HOST/a"],
}


@pytest.mark.parametrize("what", PUBLISHERS)
def test_curl(lab, what):
    made = script("u32be", (100_000,) * 30, 2)
    relay = lab.start(published(lab, framing="u32be", on_slow="wait"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    host = relay.address["listener web"].removeprefix("tcp:")
    process = subprocess.Popen([word.replace("HOST", host) for word in PUBLISHERS[what]], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(made.wire, timeout=60)
    assert process.returncode == 0 and not out, (out, err)
    relay.run_until_done([reader])


SOURCE = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=10", "-f", "lavfi", "-i", "sine", "-t", "3"]
FFMPEG = {
    "icecast": ["-map", "1:a", "-c:a", "mp2", "-content_type", "audio/mpeg", "-f", "mp2", f"icecast://source:{TOKEN}@HOST/a"],
    "icecast, as before 2.4": ["-map", "1:a", "-c:a", "mp2", "-content_type", "audio/mpeg", "-legacy_icecast", "1", "-f", "mp2",
                               f"icecast://source:{TOKEN}@HOST/a"],
    "put": ["-f", "mpegts", "-method", "PUT", "-auth_type", "basic", f"http://source:{TOKEN}@HOST/a"],
    "post in chunks": ["-f", "mpegts", "-headers", f"Authorization: Bearer {TOKEN}\r\n", "http://HOST/a"],
}


@pytest.mark.parametrize("what", FFMPEG)
def test_ffmpeg(lab, what):
    """What comes out is what ffmpeg makes: MPEG audio or a transport stream, of its length."""
    relay = lab.start(published(lab, framing="none"))
    host = relay.address["listener web"].removeprefix("tcp:")
    out = lab.directory / "out"
    reader = subprocess.Popen(["curl", "-sN", "-o", str(out), f"http://{host}/a"])
    try:
        relay.wait("a", subscribers=1)
        made = subprocess.run([*SOURCE, *(word.replace("HOST", host) for word in FFMPEG[what])], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
        assert made.returncode == 0, made.stderr
        # Of Icecast's old protocol ffmpeg does not read the answer, so closing resets the connection.
        seen = relay.wait("a", source_up=0, source_losses=1)
        assert seen.get("source_peer_closed", 0) + seen.get("source_peer_reset", 0) == 1, seen
        lab.loop.run(lambda: out.exists() and out.stat().st_size == seen["in_bytes"], what="all of it", poll=0.02)
    finally:
        reader.terminate()
        reader.wait()
    data = out.read_bytes()
    kind = "mp3" if "icecast" in what else "mpegts"
    about = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=format_name,duration", "-of", "csv=p=0", str(out)],
                           capture_output=True, text=True, timeout=60, check=True).stdout
    assert kind in about and 2.5 < float(about.strip().split(",")[-1]) < 3.6, about
    assert len(data) % 188 == 0 or kind == "mp3"


def test_str2str(lab, started):
    """A base and a rover of RTKLIB."""
    tokens = lab.directory / "rovers"
    tokens.write_text("r0ver\n")
    tokens.chmod(0o600)
    relay = lab.start({**published(lab, framing="none", listener={"token_file": tokens}), **feed("b")})
    host = relay.address["listener web"].removeprefix("tcp:")
    rover_out = lab.directory / "rover"
    source, where = address.listen("tcp:127.0.0.1:0")
    started(["str2str", "-in", f"tcpcli://{where.removeprefix('tcp:')}", "-out", f"ntrips://:{TOKEN}@{host}/a"],
            stdout=subprocess.DEVNULL)
    started(["str2str", "-in", f"ntrip://joe:r0ver@{host}/a", "-out", f"file://{rover_out}"], stdout=subprocess.DEVNULL)
    source.settimeout(60)
    receiver = source.accept()[0]
    relay.wait("a", subscribers=1)
    epochs = [b"epoch %d;" % number for number in range(400)]
    for epoch in epochs:
        receiver.sendall(epoch)
    lab.loop.run(lambda: rover_out.exists() and epochs[-1] in rover_out.read_bytes(), what="the last epoch", poll=0.05)
    receiver.close()
    source.close()


def test_str2str_as_a_caster(lab, started):
    """relay is its rover, and tells it a position; the stream begins right behind ICY 200 OK."""
    frame = script("rtcm3", (100,), 9).wire
    port = address.spare_port()
    relay = lab.start({**feed("base", framing="rtcm3"),
                       **feed("a", f"connect ntrip://127.0.0.1:{port}/M", framing="rtcm3", retry_max="1s",
                              ntrip_gga="48.1371, 11.5754")})
    base = relay.address["listener base-raw"].removeprefix("tcp:")
    started(["str2str", "-in", f"tcpcli://{base}", "-out", f"ntripc://:{port}/M"], stdout=subprocess.DEVNULL)
    relay.wait("base", subscribers=1)
    publisher = relay.publish("base")

    def comes():
        """It answers only while it has bytes for its rover."""
        publisher.send(frame)
        seen = relay.feed("a")
        return seen["source_positions"] >= 1 and seen["in_messages"] >= 20

    lab.loop.run(comes, 60, "frames from the caster", poll=0.05)
    assert relay.feed("a")["unsynced_bytes"] == 0

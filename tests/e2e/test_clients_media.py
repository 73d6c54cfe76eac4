# SPDX-License-Identifier: MIT
"""Encoders, players and receivers of the field: ezstream, VLC and gpsd. Run by `make test-clients`."""

import json
import os
import subprocess

import pytest

from relaytest.frames import rtcm3
from relaytest.surroundings import NOBODY, as_user
from relaytest.web_publisher import TOKEN, published
from test_clients_sources import Program

pytestmark = pytest.mark.clients


@pytest.fixture
def sound(lab):
    """Six seconds of a tone as MPEG audio."""
    path = lab.directory / "tone.mp3"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine", "-t", "6", "-c:a", "mp2", "-b:a", "64k", "-f", "mp2", path],
                   check=True, timeout=60)
    path.chmod(0o644)
    return path


def host_of(relay):
    return relay.address["listener web"].removeprefix("tcp:")


EZSTREAM = """<?xml version="1.0" encoding="UTF-8"?>
<ezstream>
  <servers><server>
    <name>default</name><protocol>HTTP</protocol><hostname>{host}</hostname><port>{port}</port>
    <user>source</user><password>{token}</password><tls>none</tls><reconnect_attempts>1</reconnect_attempts>
  </server></servers>
  <streams><stream><name>default</name><mountpoint>/a</mountpoint><format>MP3</format></stream></streams>
  <intakes><intake><name>default</name><type>file</type><filename>{sound}</filename><stream_once>yes</stream_once></intake></intakes>
</ezstream>
"""


def test_ezstream(lab, sound):
    """Every byte that it sends, at its own pace."""
    relay = lab.start(published(lab, framing="none", content_type="audio/mpeg"))
    host, port = host_of(relay).split(":")
    out, rules = lab.directory / "out", lab.directory / "ezstream.xml"
    rules.write_text(EZSTREAM.format(host=host, port=port, token=TOKEN, sound=sound))
    rules.chmod(0o600)
    reader = Program(lab, "curl", "-sN", "-o", out, f"http://{host}:{port}/a")
    relay.wait("a", subscribers=1)
    made = subprocess.run(["ezstream", "-v", "-c", rules], capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made
    seen = relay.wait("a", source_up=0, source_losses=1)
    assert seen["in_bytes"] > 40_000, (seen, made.stderr)
    lab.loop.run(lambda: out.exists() and out.stat().st_size == seen["in_bytes"], what="all of it", poll=0.02)
    reader.end()
    assert out.read_bytes() in sound.read_bytes()


def test_vlc(lab, sound):
    """It joins a radio in the middle, and what it records is what relay sent it."""
    relay = lab.start(published(lab, framing="none", content_type="audio/mpeg", burst="16k"))
    host = host_of(relay)
    folder = lab.directory / "vlc"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    lab.directory.chmod(0o755)
    publisher = Program(lab, "ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", sound, "-c", "copy", "-f", "mp2",
                        "-content_type", "audio/mpeg", f"icecast://source:{TOKEN}@{host}/a", stdin=subprocess.DEVNULL)
    relay.wait("a", source_up=1)
    player = subprocess.Popen([*map(str, as_user(NOBODY)), "cvlc", "--no-color", "-q", f"http://{host}/a",
                               f"--sout=#std{{access=file,mux=raw,dst={folder}/out}}", "vlc://quit"],
                              env={**os.environ, "HOME": str(folder)}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
    relay.wait("a", subscribers=1)
    out = folder / "out"
    try:
        lab.loop.run(lambda: player.poll() is not None or (out.exists() and out.stat().st_size > 12_000), what="sound in VLC",
                     poll=0.05)
    finally:
        player.kill()
    assert out.exists(), player.communicate()[1]
    publisher.end()
    found = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", out],
                           capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split() in (["mp2"], ["mp3"]), found


def test_gpsd(lab):
    """A receiver's daemon that takes its corrections from relay, as ntrip://."""
    tokens = lab.directory / "rovers"
    tokens.write_text("r0ver\n")
    tokens.chmod(0o600)
    relay = lab.start(published(lab, framing="rtcm3", listener={"token_file": tokens}))
    host = host_of(relay)
    # Message 1005, the place of the base, of station 42: 152 bits.
    station = rtcm3(((1005 << 140) | (42 << 128)).to_bytes(19, "big"))
    receiver = Program(lab, "gpsd", "-N", "-n", "-S", "2947", "-D", "1", f"ntrip://joe:r0ver@{host}/a",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    relay.wait("a", subscribers=1)
    watcher = subprocess.Popen(["gpspipe", "-w"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lab.closers.append(lambda: (watcher.kill(), watcher.wait()))
    os.set_blocking(watcher.stdout.fileno(), False)
    heard = bytearray()

    def has_heard():
        heard.extend(watcher.stdout.read() or b"")
        return any(json.loads(line).get("class") == "RTCM3" for line in heard.split(b"\n")[:-1])

    publisher = subprocess.Popen(["curl", "-sN", "-T", "-", "-u", f"any:{TOKEN}", f"http://{host}/a"], stdin=subprocess.PIPE)
    lab.closers.append(lambda: (publisher.kill(), publisher.wait()))

    def look():
        publisher.stdin.write(station)
        publisher.stdin.flush()
        return has_heard()

    lab.loop.run(look, what=lambda: f"gpsd to tell of the message: {bytes(heard)}", poll=0.2)
    receiver.end()
    publisher.stdin.close()
    publisher.wait(60)

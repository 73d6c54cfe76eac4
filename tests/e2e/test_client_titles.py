# SPDX-License-Identifier: MIT
"""Titles of audio with the programs that set and show them: ffmpeg, ffprobe, mpv, VLC; run by `make test-clients`."""

import os
import shutil
import subprocess

import pytest

from relaytest.web_publisher import TOKEN, published

pytestmark = pytest.mark.clients

TITLE = "Miles Davis – So What"
SOURCE = ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "sine", "-c:a", "mp2", "-content_type", "audio/mpeg",
          "-ice_name", "Radio 1", "-ice_genre", "Jazz", "-f", "mp2"]


@pytest.fixture
def station(lab):
    """Where ffmpeg plays for as long as the test lasts, under a title."""
    relay = lab.start(published(lab, framing="none", content_type="audio/mpeg", burst="64k"))
    host = relay.address["listener web"].removeprefix("tcp:")
    encoder = subprocess.Popen([*SOURCE, f"icecast://source:{TOKEN}@{host}/a"], stdin=subprocess.DEVNULL)
    relay.wait("a", source_up=1)
    said = subprocess.run(["curl", "-sS", "-m", "20", "-G", "-u", f"source:{TOKEN}", "--data-urlencode", f"song={TITLE}", "-d",
                           "mount=/a", "-d", "mode=updinfo", f"http://{host}/admin/metadata"],
                          capture_output=True, text=True, timeout=60, check=True)
    assert "<return>1</return>" in said.stdout, said
    yield f"http://{host}/a"
    encoder.terminate()
    encoder.wait()


def shows(lab, words, *command, **options):
    """Until the program has written these words."""
    out = lab.directory / "out"
    with open(out, "wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)
    try:
        lab.loop.run(lambda: all(word.encode() in out.read_bytes() for word in words),
                     what=lambda: f"{words}, not {out.read_bytes()[-2000:]!r}", poll=0.05)
    finally:
        process.terminate()
        process.wait()


def test_ffprobe(lab, station):
    shows(lab, [f"TAG:StreamTitle={TITLE}", "TAG:icy-name=Radio 1", "TAG:icy-genre=Jazz"],
          "ffprobe", "-v", "error", "-show_entries", "format_tags", station)


def test_mpv(lab, station):
    shows(lab, [f"title: {TITLE}"], "mpv", "--no-config", "--vo=null", "--ao=null", "--term-status-msg=title: ${media-title}",
          station)


@pytest.mark.skipif(not shutil.which("cvlc"), reason="VLC is not there")
def test_vlc(lab, station):
    """It does not run as root."""
    options = {"user": 65534, "group": 65534, "env": {**os.environ, "HOME": "/nonexistent"}} if os.geteuid() == 0 else {}
    shows(lab, [f"New Icy-Title={TITLE}"], "cvlc", "-vvv", "--no-color", "--aout=adummy", station, **options)

# SPDX-License-Identifier: MIT
"""ingest = file: past the page cache (direct = auto | yes | no): bytes, path, page cache, refusals, removal."""

import shutil
import tempfile
from pathlib import Path

import pytest

from relaytest.daemon import preload
from relaytest.ini import ENGINES, feed
from relaytest.page_cache import cached_share, drop_from_cache
from relaytest.stream import KIB, MIB, script
from relaytest.surroundings import direct_io, file_system_in_memory, many_pipes, needs, program

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h", "max_message": "9m"}
BLOCK = 512 * KIB  # what one direct read asks for; the pipe behind it holds two
SIZES = (1, 4095, 4096, 4097, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 4096 + 17, 8 * BLOCK + 5)
FRAMINGS = ("none", "line", "fixed:188", "u16be", "u32le", "relay")

pytestmark = pytest.mark.disk


@pytest.fixture(autouse=True)
def needs_direct_io(tmp_path):
    """Files of these tests lie on a file system with a disk below it."""
    if why := direct_io(tmp_path):
        pytest.skip(why)


def file_feeds(lab, scripts, **options):
    """A feed for each script: a file that is read once a raw and a framed subscriber are there."""
    sections = {}
    for name, one in scripts.items():
        path = lab.directory / f"{name}.in"
        path.write_bytes(one.wire)
        sections |= feed(name, f"file:{path}", framing=one.framing, start_subscribers=2, **options, **LOSSLESS)
    return sections


def read_all(relay, scripts):
    """Both subscribers of each feed get their bytes; returns the feeds' metrics when the files have ended."""
    readers = []
    for name, one in scripts.items():
        readers += [relay.subscribe(f"{name}-raw", one),
                    relay.subscribe(f"{name}-framed", one, same_session=one.session is None)]
    relay.run_until_done(readers)
    block = relay.wait(test=lambda now: all(seen["source_losses"] == 1 for seen in now["feed"].values()))
    for name, one in scripts.items():
        seen = block["feed"][name]
        assert seen["in_bytes"] == len(one.payload) and seen["partial_bytes"] == 0, f"{name}: {seen}"
        assert seen["source_connects"] == 1 and seen["source_direct"] == 0, f"{name}: {seen}"
    return block["feed"]


def check_direct(feeds, scripts):
    for name, one in scripts.items():
        assert feeds[name]["direct_bytes"] == len(one.wire), f"{name}: {feeds[name]}"


def way_of(relay, name):
    return relay.wait_log(rf"file open feed={name} ").rsplit("way=", 1)[1]


@pytest.mark.parametrize("engine", ["splice", "copy"])
def test_sizes_around_blocks(lab, engine):
    scripts = {f"n{size}": script("none", (size,), size) for size in SIZES}
    relay = lab.start(file_feeds(lab, scripts, direct="yes", engine=engine))
    assert all(way_of(relay, name) == "direct" for name in scripts)
    feeds = read_all(relay, scripts)
    check_direct(feeds, scripts)
    if engine == "copy" or not lab.lacks(many_pipes):
        carried = "spliced_bytes" if engine == "splice" else "copied_bytes"
        assert all(feeds[name][carried] >= 2 * size for name, size in zip(scripts, SIZES)), feeds


@pytest.mark.parametrize("engine", ENGINES)
def test_framings(lab, engine):
    sizes = (1, 4095, 60000, 7, 65535) * 40
    scripts = {framing.replace(":", ""): script(framing, (188,) * 20011 if "fixed" in framing else sizes, 5)
               for framing in FRAMINGS}
    relay = lab.start(file_feeds(lab, scripts, direct="yes", **ENGINES[engine]))
    feeds = read_all(relay, scripts)
    check_direct(feeds, scripts)
    for name, one in scripts.items():
        assert one.ends is None or feeds[name]["in_messages"] == one.count, f"{name}: {feeds[name]}"


def test_empty_file(lab):
    path = lab.directory / "empty"
    path.write_bytes(b"")
    relay = lab.start(feed("a", f"file:{path}", direct="yes"))
    seen = relay.wait("a", source_losses=1, source_up=0)
    assert seen["in_bytes"] == 0 and seen["direct_bytes"] == 0 and seen["source_peer_closed"] == 1, seen


@needs(program, "fincore")
def test_page_cache_is_left_alone(lab):
    """direct = yes brings nothing of the file into the page cache; direct = no does."""
    scripts = {way: script("fixed:4096", (4096,) * 6144, 9) for way in ("yes", "no")}
    sections = {}
    for way in scripts:
        sections |= file_feeds(lab, {way: scripts[way]}, direct=way)
    paths = {way: lab.directory / f"{way}.in" for way in scripts}
    for path in paths.values():
        drop_from_cache(path)
    relay = lab.start(sections)
    feeds = read_all(relay, scripts)
    assert feeds["yes"]["direct_bytes"] == len(scripts["yes"].wire) and feeds["no"]["direct_bytes"] == 0
    assert way_of(relay, "no") == "page_cache"
    assert cached_share(paths["yes"]) < 0.02 and cached_share(paths["no"]) > 0.98


def test_auto_goes_by_size(lab):
    """A small file is spliced from the page cache; one larger than memory is read directly, and not further
    ahead than the pipe holds while nobody subscribes."""
    small, huge = lab.directory / "small", lab.directory / "huge"
    small.write_bytes(bytes(1000))
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    kept = feed("s", f"file:{small}", start_subscribers=1)
    relay = lab.start(kept | feed("h", f"file:{huge}", start_subscribers=1))
    assert way_of(relay, "s") == "page_cache" and way_of(relay, "h") == "direct"
    relay.wait("h", source_direct=1, source_up=1, in_bytes=0, test=lambda seen: seen["direct_bytes"] >= BLOCK // 8)
    assert relay.feed("s")["source_direct"] == 0
    relay.assert_no_spin(0.3, 15)
    assert relay.feed("h")["direct_bytes"] <= 2 * BLOCK
    since = relay.reload(kept)
    relay.wait_log(r" reloaded\b", since)
    lab.loop.run(lambda: not any("huge" in link for link in relay.links()), poll=0.005,
                 what=lambda: f"the file to be closed: {relay.links()}")


def test_feed_is_removed_while_it_is_read(lab):
    """Again and again a feed goes while its file is read at full speed; the other one is not touched."""
    huge = lab.directory / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    made = script("u32be", (5000,) * 40, 1)
    kept = feed("a", framing="u32be", **LOSSLESS)
    relay = lab.start(kept)
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a")
    for turn in range(8):
        since = relay.reload(kept | feed("h", f"file:{huge}", direct="yes", engine=("splice", "copy")[turn % 2]))
        relay.wait_log(r" reloaded\b", since)
        relay.wait("h", test=lambda seen: seen.get("in_bytes", 0) > 64 * MIB)
        since = relay.reload(kept)
        relay.wait_log(r" reloaded\b", since)
        publisher.send(made.wire[made.start_of(5 * turn):made.ends[5 * turn + 4]])
        relay.wait("a", in_messages=5 * turn + 5)
    relay.run_until_done([reader])
    lab.loop.run(lambda: not any("huge" in link for link in relay.links()), poll=0.005,
                 what=lambda: f"the files to be closed: {relay.links()}")


def test_file_that_grows_behind_its_tail(lab):
    """What is appended behind an unaligned end while the file is read is broadcast, too."""
    made = script("none", (3 * BLOCK + 100 + 5000,), 3)
    path = lab.directory / "a.in"
    path.write_bytes(made.wire[:-5000])
    relay = lab.start(feed("a", f"file:{path}", direct="yes", start_subscribers=1, **LOSSLESS))
    relay.wait("a", direct_bytes=2 * BLOCK)
    with path.open("ab") as file:
        file.write(made.wire[-5000:])
    relay.run_until_done([relay.subscribe("a-raw", made)])
    assert relay.wait("a", source_losses=1)["direct_bytes"] == len(made.wire)


@pytest.mark.parametrize("where", [pytest.param("tmpfs", marks=needs(file_system_in_memory)), "first read"])
def test_refused(lab, where):
    """Without direct I/O the file is read the other way, and that is said once."""
    folder = lab.directory
    if where == "tmpfs":
        folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        made = script("fixed:1000", (1000,) * 3000, 4)
        path = folder / "a.in"
        path.write_bytes(made.wire)
        relay = lab.start(feed("a", f"file:{path}", framing=made.framing, direct="yes", start_subscribers=2, **LOSSLESS),
                          env=preload(RELAY_REFUSE="pread:EINVAL") if where == "first read" else None)
        feeds = read_all(relay, {"a": made})
        assert feeds["a"]["direct_bytes"] == 0, feeds
        assert sum("no direct I/O feed=a" in line for line in relay.log) == 1
    finally:
        if where == "tmpfs":
            shutil.rmtree(folder)


def test_read_error(lab):
    """A read that fails ends the source with its reason; what came before is broadcast."""
    made = script("none", (4 * BLOCK,), 4)
    path = lab.directory / "a.in"
    path.write_bytes(made.wire)
    relay = lab.start(feed("a", f"file:{path}", direct="yes", start_subscribers=1, **LOSSLESS),
                      env=preload(RELAY_REFUSE="pread:EIO:after=2"))
    reader = relay.subscribe("a-raw", made)
    seen = relay.wait("a", source_losses=1, in_bytes=2 * BLOCK, direct_bytes=2 * BLOCK)
    assert "error=Input/output error" in relay.wait_log("publisher down feed=a"), seen
    lab.loop.run(lambda: reader.position == 2 * BLOCK, what="what was read before the error")

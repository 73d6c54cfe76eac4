# SPDX-License-Identifier: MIT
"""Publishers that come, go, come back, are two, or say nothing."""

import os
import socket
import time

import pytest

from relaytest import address, packet
from relaytest.ingest import STREAMS
from relaytest.ini import feed
from relaytest.stream import Script, script
from relaytest.surroundings import ipv6, mount_namespace, needs

LOSSLESS = {"on_slow": "wait", "stall_timeout": "1h"}


def ended(lab, publisher):
    lab.loop.run(lambda: publisher.lost, what="the publisher to be closed")
    return publisher.lost


def test_takeover_reject(lab):
    made = script("u32be", (5000,) * 10, 1)
    relay = lab.start(feed("a", framing="u32be", takeover="reject", **LOSSLESS))
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    first = relay.publish("a", made.wire[:7000])
    relay.wait("a", source_connects=1, in_messages=1)
    second = relay.publish("a", made.wire)
    assert ended(lab, second)
    first.send(made.wire[7000:])
    relay.run_until_done([reader])
    assert first.lost is None and relay.feed("a")["source_connects"] == 1


def test_takeover_replace(lab):
    """The new publisher goes on; the old one's begun message is not published."""
    made = script("u32be", (5000,) * 10, 1)
    relay = lab.start(feed("a", framing="u32be", takeover="replace", **LOSSLESS))
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    first = relay.publish("a", made.wire[:7000])
    relay.wait("a", in_messages=1)
    relay.publish("a", made.wire[made.ends[0]:])
    assert ended(lab, first)
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["source_connects"] == 2 and seen["partial_messages"] == 1, seen


def test_source_timeout(lab):
    made = script("u32be", (5000,) * 2, 1)
    relay = lab.start(feed("a", framing="u32be", source_timeout="1s", **LOSSLESS))
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    silent = relay.publish("a", made.wire[:made.ends[0]])
    assert ended(lab, silent)
    relay.wait("a", source_losses=1, source_up=0)
    relay.wait_log("source_timeout|sent nothing")
    relay.publish("a", made.wire[made.ends[0]:])
    relay.run_until_done([reader])


def outlast_timeout(relay):
    """Until a silent publisher, who comes now, has been silent for too long."""
    silent = relay.publish("b", b"\0")
    relay.wait_log("publisher down feed=b reason=source_timeout")
    silent.close()


SHORT = {"framing": "u32be", "source_timeout": "300ms", **LOSSLESS}


def test_what_is_not_read_is_no_silence_before_the_start(lab):
    """Once the first subscriber has come, the publisher is read, and its silence begins to count."""
    made = script("u32be", (5000,) * 2, 1)
    relay = lab.start(feed("a", start_subscribers=1, **SHORT) | feed("b", **SHORT))
    publisher = relay.publish("a", made.wire)
    relay.wait("a", source_up=1)
    outlast_timeout(relay)
    assert publisher.lost is None
    relay.run_until_done([relay.subscribe("a-raw", made)])
    relay.wait("a", source_connects=1)


def test_what_is_not_read_is_no_silence_while_somebody_is_waited_for(lab):
    made = script("u32be", (5000,) * 2000, 1)
    relay = lab.start(feed("a", ring="128k", segment="64k", **SHORT) | feed("b", **SHORT))
    reader = relay.subscribe("a-raw", made, paused=True)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.wait("a", test=lambda now: now["wait_pauses"] > 0)
    outlast_timeout(relay)
    reader.resume()
    relay.run_until_done([reader])
    relay.wait("a", source_connects=1)


@pytest.mark.parametrize("options", [{"framing": "none"}, {"framing": "line", "last_line": "drop"}])
def test_fifo_writers_come_and_go(lab, options):
    """A fifo whose writer goes away: no spin, the next writer is served, half a line is not."""
    framing = options["framing"]
    made = script(framing, (3000,) * 30, 2)
    way = lab.ingest("fifo", "a")
    relay = lab.start(feed("a", way.value, **options, **LOSSLESS))
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    for turn in range(3):
        writer = way.open(relay)
        end = (turn + 1) * 30_000
        begun = 100 if framing == "line" and turn < 2 else 0
        writer.send(made.wire[turn * 30_000:end + begun]).flush()
        lab.loop.run(lambda: all(r.position == end for r in readers), what=f"{end} bytes")
        writer.close()
        relay.wait("a", source_losses=turn + 1)
        relay.assert_no_spin(0.3, 15)
    assert relay.feed("a")["partial_messages"] == (2 if framing == "line" else 0)


def unended(made):
    """The same, but the last line has no LF."""
    return Script("line", made.wire[:-1], ends=[*made.ends[:-1], made.ends[-1] - 1])


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("last", [1, 300, 300_000])
def test_a_last_line_without_lf(lab, way, last):
    """An orderly end ends the line, and everybody gets it as it came."""
    made = unended(script("line", (300,) * 20 + (last + 1,), 3))
    ingest = lab.ingest(way, "a")
    relay = lab.start(feed("a", ingest.value, framing="line", **LOSSLESS))
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    ingest.open(relay).send(made.wire).flush().close()
    relay.run_until_done(readers)
    relay.wait("a", in_messages=made.count, partial_messages=0, source_losses=1)


def test_an_unfinished_line_is_dropped_where_that_is_right(lab):
    """After a reset always, and by last_line = drop, which a reload changes."""
    made = unended(script("line", (300,) * 20, 4))
    sections = feed("a", framing="line", last_line="drop", **LOSSLESS)
    relay = lab.start(sections)
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire[:made.ends[4] + 100]).flush().close()
    relay.wait("a", in_messages=5, partial_messages=1, source_losses=1)
    sections["feed a"]["last_line"] = "publish"
    relay.reload(sections)
    reset = relay.publish("a", made.wire[made.ends[4]:made.ends[9] + 100]).flush()
    relay.wait("a", in_messages=10)
    reset.reset()
    relay.wait("a", partial_messages=2, source_losses=2)
    relay.publish("a", made.wire[made.ends[9]:]).flush().close()
    relay.run_until_done([reader])
    relay.wait("a", partial_messages=2, in_messages=20)


def test_end_of_stdin(lab):
    made = script("line", (300,) * 30, 2)
    way = lab.ingest("stdin", "a")
    relay = lab.start(feed("a", "stdin", framing="line", **LOSSLESS))
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    writer = way.open(relay).send(made.wire)
    relay.run_until_done([reader])
    writer.close()
    relay.wait("a", source_losses=1, source_up=0)
    relay.assert_no_spin(0.3, 15)
    assert reader.end is None


def test_connect_in_order_of_preference(lab):
    """The first address refuses: the second is used; when that goes away relay comes again."""
    made = script("u32be", (5000,) * 10, 1)
    closed, first = address.refuse()
    way = lab.ingest("connect-tcp", "a")
    relay = lab.start(feed("a", f"connect {first}, {way.value.split()[1]}", framing="u32be", **LOSSLESS))
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    publisher = way.open(relay).send(made.wire[:made.ends[4] + 100]).flush()
    lab.loop.run(lambda: all(r.position == made.ends[4] for r in readers), what="half")
    publisher.close()
    way.open(relay).send(made.wire[made.ends[4]:])
    relay.run_until_done(readers)
    seen = relay.feed("a")
    assert seen["source_connects"] == 2 and seen["partial_messages"] == 1, seen
    assert readers[1].events[-2:] == [packet.SOURCE_DOWN, packet.SOURCE_UP]
    closed.close()


def test_unreachable_publisher_backs_off(lab):
    """Connecting in vain costs nothing."""
    closed, where = address.refuse()
    relay = lab.start(feed("a", f"connect {where}"))
    relay.assert_no_spin(1.5, 30)
    assert relay.feed("a")["source_up"] == 0
    closed.close()


@pytest.mark.parametrize("direct", ["no", "yes"])
def test_file_at_a_rate(lab, direct):
    made = script("fixed:1000", (1000,) * 200, 1)
    way = lab.ingest("file", "a")
    way.path.write_bytes(made.wire)
    begin = time.monotonic()
    relay = lab.start(feed("a", way.value, framing="fixed:1000", rate="100k", burst="1024k", direct=direct,
                           **LOSSLESS))
    reader = relay.subscribe("a-raw", made)
    relay.run_until_done([reader])
    took = time.monotonic() - begin
    assert took > 1.5, took


def test_publisher_leaves_while_nobody_listens(lab):
    """Connections are taken and given back whether or not anybody subscribes."""
    made = script("u32be", (5000,) * 10, 1)
    relay = lab.start(feed("a", framing="u32be", **LOSSLESS))
    for turn in range(20):
        publisher = relay.publish("a", made.wire).flush()
        relay.wait("a", in_messages=10 * (turn + 1))
        publisher.close()
        relay.wait("a", source_losses=turn + 1)


@needs(ipv6)
def test_ipv6_and_names(lab):
    made = script("none", (5000,), 1)
    sections = feed("a", "listen tcp:localhost:0", raw={"listen": "tcp:[::1]:0"},
                    framed={"listen": f"unix:{lab.directory}/a.sock"}, **LOSSLESS)
    relay = lab.start(sections)
    readers = [relay.subscribe("a-raw", made), relay.subscribe("a-framed", made)]
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    assert os.path.exists(f"{lab.directory}/a.sock")


@needs(ipv6)
@needs(mount_namespace)
def test_a_name_is_listened_on_with_all_its_addresses(lab):
    """As Debian's /etc/hosts has localhost: who comes by the other family is served too."""
    hosts = lab.directory / "hosts"
    hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as free:
        port = free.getsockname()[1]
    made = script("line", (500,) * 20, 1)
    relay = lab.start(feed("a", framing="line", raw={"listen": f"tcp:localhost:{port}"}, **LOSSLESS),
                      prefix=("unshare", "-m", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"))
    readers = []
    for host in ("127.0.0.1", "[::1]"):
        relay.address["listener a-raw"] = f"tcp:{host}:{port}"
        readers.append(relay.subscribe("a-raw", made))
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)


def test_a_subscriber_of_an_empty_feed_is_told(lab):
    """First a heartbeat with session and sequence, then that there is no source."""
    made = script("u32be", (10,), 1)
    relay = lab.start(feed("a", framing="u32be", heartbeat="0"))
    reader = relay.subscribe("a-framed", made)
    lab.loop.run(lambda: reader.events, what="the source-down packet")
    assert reader.events == [packet.SOURCE_DOWN] and len(reader.heartbeats) == 1
    relay.publish("a", made.wire)
    relay.run_until_done([reader])
    late = relay.subscribe("a-framed", made, base=reader.base)
    lab.loop.run(lambda: late.heartbeats, what="the first heartbeat")
    assert late.events == []


@pytest.mark.parametrize("takeover", ["reject", "replace"])
def test_who_sends_nothing_takes_nothing(lab, takeover):
    """Health checks and silent strangers: not told to anybody, nobody is put out, and the publisher gets in beside them."""
    made = script("line", (100,) * 20, 1)
    relay = lab.start(feed("a", framing="line", takeover=takeover, **LOSSLESS))
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    silent = [relay.publish("a") for _ in range(3)]
    relay.publish("a").close()
    half = made.ends[9]
    publisher = relay.publish("a", made.wire[:half])
    lab.loop.run(lambda: reader.position == half, what="the first half")
    if takeover == "replace":
        relay.publish("a").close()
    publisher.send(made.wire[half:])
    relay.run_until_done([reader])
    seen = relay.feed("a")
    assert seen["source_connects"] == 1 and seen.get("source_losses", 0) == 0, seen
    assert publisher.lost is None and all(one.lost is None for one in silent)
    assert sum("publisher " in line for line in relay.log) == 1, relay.log


@pytest.mark.parametrize("head, reason", [
    (b"POST / HTTP/1.1\r\nHost: a\r\n\r\nevil\n", "http_request"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "tls_hello"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh_banner"),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "proxy_head"),
])
def test_another_protocol_on_an_ingest(lab, head, reason):
    """Closed with a reason, counted, nothing of it published, however it is cut; sniff = no takes it as the stream."""
    made = script("line", (100,) * 20, 1)
    sections = feed("a", framing="line", takeover="replace", **LOSSLESS)
    relay = lab.start(sections)
    reader = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a", made.wire[:made.ends[9]])
    lab.loop.run(lambda: reader.position == made.ends[9], what="the first half")
    for parts in ([head], [head[:1], head[1:4], head[4:]]):
        stranger = relay.publish("a")
        for part in parts:
            stranger.send(part)
            lab.loop.run(lambda who=stranger: who.lost or who.done, what="the bytes to go")
        assert ended(lab, stranger)
    publisher.send(made.wire[made.ends[9]:])
    relay.run_until_done([reader])
    seen = relay.feed("a")
    assert seen[f"source_{reason}"] == 2 and seen["source_connects"] == 1, seen
    relay.wait_log(rf"publisher rejected .*reason={reason} .*sniff = no")


def test_the_next_one_waits_for_the_last_bytes_of_a_closed_one(lab):
    """A publisher that comes back while bytes of its old connection are unread is not turned away."""
    made = script("u32be", (5000,) * 400, 1)
    way = lab.ingest("listen-unix", "a")  # over TCP, a window that is closed would keep the end back
    relay = lab.start(feed("a", way.value, framing="u32be", takeover="reject", ring="128k", segment="64k",
                           framed={"send_buffer": "16k", "user_timeout": "0"}, **LOSSLESS))
    reader = relay.subscribe("a-framed", made, receive_buffer=4096, paused=True)
    relay.wait("a", subscribers=1)
    half = made.ends[49]  # more than the ring and the subscriber hold, and the rest fits into relay's socket
    first = way.open(relay).send(made.wire[:half])
    lab.loop.run(lambda: first.done, what="all to be sent")
    first.close()
    second = way.open(relay).send(made.wire[half:])
    assert relay.wait("a", source_connects=1)["in_bytes"] < half
    reader.resume()
    relay.run_until_done([reader])
    assert second.lost is None and relay.feed("a")["source_connects"] == 2

# SPDX-License-Identifier: MIT
"""What relay does while something fails. Each is short, waits for nothing that may not come, and can be done again."""

import signal

from model import hostile
from relaytest.web import request

from .sources import FEEDS

A_WHILE = 0.05


def traffic(stage):
    for _ in range(2):
        stage.publish_everywhere()
        stage.linger()


def joins(stage):
    for feed in stage.streams:
        stage.attempt(lambda feed=feed: stage.subscribe_to(feed))
    stage.publish_everywhere()
    stage.linger()
    for reader in stage.readers[:len(stage.streams)]:
        stage.forget(reader)
    stage.loop.run_for(A_WHILE / 3)


def laggards(stage):
    """Who does not read is behind soon; then they read on."""
    for reader in stage.readers[::2]:
        reader.pause()
    for _ in range(4):
        stage.publish_everywhere(20)
        stage.loop.run_for(A_WHILE / 2)
    stage.forget_ended()
    for reader in stage.readers:
        reader.unlimited()
    stage.linger()


def publishers(stage):
    """They come, take over within a message, break the framing and go."""
    for feed in stage.streams:
        stage.attempt(lambda feed=feed: stage.publisher(feed).half())
    stage.loop.run_for(A_WHILE / 2)
    for feed in stage.streams:
        stage.attempt(lambda feed=feed: stage.connect_publisher(feed).publish(2))
    stage.linger()
    for feed in ("lines", "long", "packets"):
        stage.attempt(lambda feed=feed: stage.publisher(feed).break_framing())
    stage.attempt(lambda: stage.publisher("bytes").urgent())
    stage.loop.run_for(A_WHILE / 2)


def visitors(stage):
    """Requests that are no good, and such as only want to look."""
    for name in ("web", "gaps", "lines-raw", "long-framed"):
        for data in (request("/nothing"), request("/"), b"GET / HTTP/9\r\n\r\n", hostile.PROXY[2]):
            stage.attempt(lambda name=name, data=data: say(stage, f"listener {name}", data))
    stage.publish_everywhere(1)
    stage.loop.run_for(A_WHILE)


def say(stage, door, data):
    peer = hostile.HostilePeer(stage.pick, stage.loop, stage.relay.address[door])
    stage.hostile.append(peer)
    peer.send(data)


def admin(stage):
    for door in ("admin listen", "admin socket"):
        for path in hostile.ADMIN:
            stage.attempt(lambda door=door, path=path: say(stage, door, request(path, {"Host": "localhost"})))
    stage.publish_everywhere(1)
    stage.loop.run_for(2 * A_WHILE)


def status(stage):
    stage.relay.process.send_signal(signal.SIGUSR1)
    stage.publish_everywhere(1)
    stage.loop.run_for(A_WHILE)


def reload(stage):
    stage.choose_sections()
    stage.relax()
    stage.relay.sections = stage.sections
    stage.relay.reload(stage.sections)
    stage.publish_everywhere(1)
    stage.loop.run_for(3 * A_WHILE)
    stage.relax()


def upgrade(stage):
    stage.publish_everywhere(1)
    stage.relay.process.send_signal(signal.SIGUSR2)
    stage.loop.run_for(10 * A_WHILE)


def history(stage):
    """The feeds are recorded, and the past is asked for."""
    for feed in stage.streams:
        stage.attempt(lambda feed=feed: say(stage, "listener web", request(f"/{feed}?format=framed&from=0")))
    traffic(stage)


def sources(stage):
    """By datagrams, from a file that grows, and by HTTP."""
    for _ in range(3):
        for name in FEEDS:
            stage.sources.send(name)
        stage.publish_everywhere(1)
        stage.loop.run_for(A_WHILE)


def drain(stage):
    stage.publish_everywhere(1)
    stage.signal_end(signal.SIGTERM)
    stage.loop.run_for(3 * A_WHILE)


# Faults come while relay runs: name, engine, what goes on.
RUNNING = (
    ("traffic by splice", "splice", traffic),
    ("traffic by compact", "compact", traffic),
    ("traffic by copy", "copy", traffic),
    ("traffic by auto", "auto", traffic),
    ("subscribers come and go", "auto", joins),
    ("laggards in pipes", "splice", laggards),
    ("laggards in blocks", "copy", laggards),
    ("publishers", "auto", publishers),
    ("visitors", "auto", visitors),
    ("admin", "auto", admin),
    ("status", "auto", status),
    ("reload", "auto", reload),
    ("upgrade", "auto", upgrade),
    ("drain", "auto", drain),
    ("history", "auto", history),
    ("sources", "auto", sources),
)
# And while it starts: alone, and behind one that was killed.
STARTING = ("start", "crash")
NAMES = (*(name for name, _, _ in RUNNING), *STARTING)

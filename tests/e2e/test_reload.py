# SPDX-License-Identifier: MIT
"""A reload moves where relay listens, and nobody who is connected is touched."""

import os
import stat

import pytest

from relaytest import address
from relaytest.admin import Admin
from relaytest.ini import feed
from relaytest.stream import script

LOSSLESS = {"on_slow": "wait", "stall_timeout": "60s"}
RELOADED = r" reloaded\b"


def port(text):
    return text.rsplit(":", 1)[1]


class Moved:
    """A feed with a publisher and two subscribers, who are all there before and after each move."""

    def __init__(self, lab):
        self.made = script("u32be", (3000,) * 40, 1)
        self.sections = feed("a", framing="u32be", **LOSSLESS) | {"admin": {"listen": "tcp:127.0.0.1:0"}}
        self.relay = lab.start(self.sections)
        self.at = {who: port(where) for who, where in self.relay.address.items()}
        self.readers = [self.relay.subscribe("a-raw", self.made), self.relay.subscribe("a-framed", self.made)]
        self.relay.wait("a", subscribers=2)
        self.publisher = self.relay.publish("a")
        self.sent = 0

    def send(self):
        end = self.made.ends[self.sent]
        self.publisher.send(self.made.wire[self.made.ends[self.sent - 1] if self.sent else 0:end])
        self.sent += 1
        self.relay.loop.run(lambda: all(r.position == end for r in self.readers), what="what was sent")

    def to(self, answer=RELOADED, **addresses):
        """ingest, raw, framed: where these listen now."""
        names = {"ingest": ("feed a", "ingest", "listen "), "raw": ("listener a-raw", "listen", ""),
                 "framed": ("listener a-framed", "listen", ""), "admin": ("admin", "listen", "")}
        for who, where in addresses.items():
            section, key, before = names[who]
            self.sections[section] = {**self.sections[section], key: before + where}
        self.relay.wait_log(answer, self.relay.reload(self.sections))
        self.send()

    def knock(self, where):
        """Somebody gets a connection. relay has it before he closes, so what is sent next tells it that he has gone."""
        is_reader = where.rsplit(":", 1)[1] == port(self.relay.address["listener a-raw"])
        before = self.relay.feed("a")["subscribers_total"]
        connection = address.connect(where)
        if is_reader:
            self.relay.wait("a", subscribers_total=before + 1)
        connection.close()

    def end(self):
        while self.sent < len(self.made.ends):
            self.send()
        self.publisher.close()
        self.relay.run_until_done(self.readers)


@pytest.mark.parametrize("who", ["raw", "ingest", "admin"])
@pytest.mark.parametrize("hosts", [("*", "127.0.0.1"), ("0.0.0.0", "*", "[::]", "0.0.0.0"), ("127.0.0.2", "127.0.0.1")])
def test_an_address_moves_and_comes_back(lab, who, hosts):
    moved = Moved(lab)
    names = {"raw": "listener a-raw", "ingest": "feed a", "admin": "admin listen"}
    at = moved.at[names[who]]
    moved.to(**{who: f"tcp:127.0.0.1:{at}"})
    for host in hosts:
        moved.to(**{who: f"tcp:{host}:{at}"})
        moved.knock(f"tcp:127.0.0.{2 if host == '127.0.0.2' else 1}:{at}")
    moved.end()


def test_ports_are_swapped(lab):
    """Among listeners, and between an ingest, a listener and the admin page."""
    moved = Moved(lab)
    a, b, c, d = (f"tcp:127.0.0.1:{moved.at[who]}"
                  for who in ("listener a-raw", "listener a-framed", "feed a", "admin listen"))
    moved.to(raw=b, framed=a)
    assert moved.relay.address["listener a-raw"] == b and moved.relay.address["listener a-framed"] == a
    moved.to(raw=c, ingest=b)
    moved.to(raw=d, admin=c)
    moved.to(raw=a, framed=b, ingest=c, admin=d)
    moved.end()


def test_both_families_come_and_go(lab):
    """[::] makes room for 0.0.0.0 of the same port, and takes IPv4 again when that is gone."""
    moved = Moved(lab)
    moved.to(raw=f"tcp:[::]:{moved.at['listener a-raw']}")
    moved.to(framed=f"tcp:0.0.0.0:{moved.at['listener a-raw']}")
    moved.to(framed=f"tcp:127.0.0.1:{moved.at['listener a-framed']}")
    moved.knock(f"tcp:127.0.0.1:{moved.at['listener a-raw']}")
    moved.end()


def test_what_fails_leaves_all_as_it_was(lab):
    """One address is a stranger's: those that could be had are not taken either."""
    moved = Moved(lab)
    at = moved.at["listener a-raw"]
    moved.to(raw=f"tcp:127.0.0.1:{at}", framed=f"tcp:127.0.0.1:{moved.at['listener a-framed']}")
    kept = {name: dict(section) for name, section in moved.sections.items()}
    other = lab.start(feed("c"), name="other.ini")
    moved.relay.expect("reload failed")
    taken = other.address["listener c-raw"]
    moved.to(rf"reload failed: listener a-framed: listen {taken}: Address already in use, nothing has changed "
             rf"\(.*relay\.ini:\d+: ss -ltnp sport = :{port(taken)} ", raw=f"tcp:*:{at}", framed=taken)
    with pytest.raises(OSError):
        address.connect(f"tcp:127.0.0.2:{at}")
    moved.sections = kept
    moved.to()
    moved.end()


def test_a_socket_file_that_was_removed_is_made_anew(lab):
    path = lab.directory / "out.sock"
    sections = feed("a", raw={"listen": f"unix:{path}", "socket_mode": "0600"})
    relay = lab.start(sections)
    made = script("none", (9000,), 1)
    before = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    path.unlink()
    relay.wait_log(RELOADED, relay.reload(sections))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    after = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=2)
    sections["listener a-raw"]["socket_mode"] = "0666"
    relay.wait_log(RELOADED, relay.reload(sections))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    relay.publish("a", made.wire)
    relay.run_until_done([before, after])


def test_a_fifo_that_was_made_anew_is_opened(lab):
    path = lab.directory / "in.fifo"
    os.mkfifo(path)
    sections = feed("a", ingest=f"fifo:{path}", framing="line")
    relay = lab.start(sections)
    made = script("line", (30,) * 4, 1)
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    path.unlink()
    os.mkfifo(path)
    relay.wait_log(RELOADED, relay.reload(sections))
    with open(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "wb") as writer:
        writer.write(made.wire)
    relay.run_until_done([reader])


def test_the_admin_socket_has_its_mode_and_comes_back(lab):
    path = lab.directory / "admin.sock"
    sections = feed("a") | {"admin": {"listen": "none", "socket": f"unix:{path}", "socket_mode": "0600"}}
    relay = lab.start(sections)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    path.unlink()
    relay.wait_log(RELOADED, relay.reload(sections))
    assert Admin(relay, "socket").get("/status.json")["version"] == 1

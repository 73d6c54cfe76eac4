# SPDX-License-Identifier: MIT
"""Titles between the bytes of audio (Icy-MetaData: 1): every byte in its place, for everybody who asks, and for nobody else."""

import base64
from urllib.parse import quote

import pytest

from relaytest.ini import ENGINES, TIGHT, feed, web
from relaytest.stream import script
from relaytest.web import Answer, WebSubscriber, ask, parse_head, request
from relaytest.web_publisher import BEARER, TOKEN, connect, published

AUDIO = {"content_type": "audio/mpeg"}
ASKS = {"Icy-MetaData": "1"}
INTERVAL = 16000
CRLF = b"\r\n"


class Player(Answer):
    """What a player makes of the answer: audio, and the titles between."""

    def __init__(self, relay, path="/a", fields=(), version="1.1"):
        super().__init__(relay, "web", request(path, {**ASKS, **dict(fields)}, version=version))

    @property
    def head(self):
        return parse_head(self.data.partition(CRLF + CRLF)[0])

    def wait_head(self):
        self.loop.run(lambda: CRLF + CRLF in self.data, what="the head")
        return self.head

    def split(self):
        """(audio, titles) as far as they have come."""
        body = self.data.partition(CRLF + CRLF)[2]
        audio, titles = b"", []
        while len(body) > INTERVAL:
            length = 16 * body[INTERVAL]
            if len(body) < INTERVAL + 1 + length:
                break
            block = body[INTERVAL + 1:INTERVAL + 1 + length].rstrip(b"\0")
            assert block.startswith(b"StreamTitle='") and block.endswith(b"';"), block
            titles.append(block[13:-2].decode())
            audio += body[:INTERVAL]
            body = body[INTERVAL + 1 + length:]
        return audio + body[:INTERVAL], titles

    def wait_audio(self, count):
        self.loop.run(lambda: len(self.split()[0]) >= count, what=lambda: f"{count} bytes of audio, not {len(self.split()[0])}")
        return self.split()


def update(relay, query, token=TOKEN):
    login = base64.b64encode(f"source:{token}".encode()).decode()
    return ask(relay, f"/admin/metadata?{query}", {"Authorization": f"Basic {login}"})


@pytest.mark.parametrize("engine", ENGINES)
def test_every_byte(lab, engine):
    """Pieces of any length, for players of both versions of HTTP, beside a client that does not ask."""
    sizes = (1, 15_999, 16_000, 5, 100_000, 31_995, 7000)
    made = script("none", sizes, 1)
    relay = lab.start(web(**AUDIO, **ENGINES[engine]))
    plain = relay.subscribe("web", made, kind=WebSubscriber)
    players = [Player(relay), Player(relay, version="1.0")]
    relay.wait("a", subscribers=3)
    publisher, at = relay.publish("a"), 0
    for size in sizes:  # each a packet, or more
        publisher.send(made.payload[at:at + size])
        at += size
        relay.wait("a", in_bytes=at)
    relay.run_until_done([plain])
    for player in players:
        audio, titles = player.wait_audio(len(made.payload))
        assert audio == made.payload
        assert titles == [""] * (len(made.payload) // INTERVAL)
        status, fields = player.head
        assert status == 200 and fields["icy-metaint"] == str(INTERVAL)
        assert "transfer-encoding" not in fields and fields["content-type"] == "audio/mpeg"


def test_who_comes_later(lab):
    """Its count begins anew: at the interval that runs, or with a burst at one before."""
    made = script("none", (40_000, 10_000, 50_000), 2)
    relay = lab.start(web(**AUDIO))
    first = Player(relay)
    relay.wait("a", subscribers=1)
    publisher = relay.publish("a").send(made.payload[:50_000])
    first.wait_audio(50_000)
    late, burst = Player(relay), Player(relay, "/a?burst=40k")
    relay.wait("a", subscribers=3)
    publisher.send(made.payload[50_000:])
    assert late.wait_audio(52_000)[0] == made.payload[48_000:]
    assert burst.wait_audio(84_000)[0] == made.payload[16_000:]
    assert first.wait_audio(100_000)[0] == made.payload


def radio(lab, **more):
    """A publisher that has sent nothing yet, and relay with two workers."""
    sections = published(lab, framing="none", **AUDIO, **more)
    relay = lab.start({**sections, "relay": {"workers": 2}})
    publisher = connect(relay, request("/a", {**BEARER, "ice-name": "Radio 1", "ice-genre": "Jazz", "icy-br": "128",
                                              "ice-public": "", "Content-Type": "audio/mpeg"}, "SOURCE", "1.0"))
    lab.loop.run(lambda: b"200" in publisher.received, what="the publisher to be let in")
    return relay, publisher


def test_titles(lab):
    """A publisher names what it plays, in the words of Icecast's clients; all players read it in the next block."""
    made = script("none", (INTERVAL,) * 5, 3)
    relay, publisher = radio(lab)
    players = [Player(relay) for _ in range(4)]
    relay.wait("a", subscribers=4)
    told = {"Blue – Joni Mitchell": "song=" + quote("Blue – Joni Mitchell"),
            "Miles Davis - So What": "artist=Miles%20Davis&title=So%20What",
            "It`; x": "song=" + quote("It'; x"),
            "Florence + The Machine": "song=Florence+%2B+The+Machine",
            "ü" * 120: "song=" + quote("ü" * 200)}
    for number, query in enumerate(told.values()):
        status, fields, body = update(relay, f"mount=/a&mode=updinfo&{query}&charset=UTF-8")
        assert (status, fields["content-type"]) == (200, "text/xml") and "<return>1</return>" in body
        publisher.send(made.payload[number * INTERVAL:(number + 1) * INTERVAL])
        for player in players:
            lab.loop.run(lambda player=player: len(player.split()[1]) > number, what="a title")
    for player in players:
        assert player.split() == (made.payload, list(told))


def test_names(lab):
    """What the publisher says of itself, unless the operator says otherwise; VLC asks for titles where it sees a name."""
    def named(fields):
        return {name: value for name, value in fields.items() if name.startswith("icy-")}

    relay, _ = radio(lab, http_fields="Icy-Genre: Bebop")
    names = {"icy-name": "Radio 1", "icy-genre": "Bebop", "icy-br": "128"}
    assert named(Player(relay).wait_head()[1]) == {**names, "icy-metaint": str(INTERVAL)}
    assert named(ask(relay, method="HEAD")[1]) == names
    assert named(ask(relay, "/a?format=framed", method="HEAD")[1]) == {"icy-genre": "Bebop"}
    relay = lab.start(web(**AUDIO))
    assert named(ask(relay, method="HEAD")[1]) == {"icy-name": "a"}


BAD = {
    "mode=updinfo&mount=/a&song=x": (401, "wrong", "token"),
    "mode=updinfo&mount=/b&song=x": (404, TOKEN, "no such feed"),
    "mode=stats&mount=/a&song=x": (400, TOKEN, "mode is not updinfo"),
    "mode=updinfo&mount=a&song=x": (400, TOKEN, "mount is not"),
    "mode=updinfo&mount=/a": (400, TOKEN, "neither song nor title"),
    "mode=updinfo&mount=/a&song=%FC": (400, TOKEN, "no UTF-8"),
    "mode=updinfo&mount=/a&song=a%0Ab": (400, TOKEN, "no UTF-8"),
    "mode=updinfo&mount=/a&song=" + "x" * 2000: (400, TOKEN, "too long"),
    "mode=updinfo&mount=/" + "a" * 3000 + "&song=x": (400, TOKEN, "too long"),
}


def test_bad_updates(lab):
    """Refused with what is wrong, and the title stays."""
    relay, publisher = radio(lab)
    player = Player(relay)
    relay.wait("a", subscribers=1)
    update(relay, "mode=updinfo&mount=/a&song=first")
    for query, (status, token, words) in BAD.items():
        answer = update(relay, query, token)
        assert answer[0] == status and words in answer[2], (query, answer)
    publisher.send(b"x" * INTERVAL)
    lab.loop.run(lambda: player.split()[1] == ["first"], what="the title")


def test_relayctl(lab):
    """Without a token, and for a feed that is published by TCP."""
    made = script("none", (INTERVAL,) * 3, 7)
    sections = web(**AUDIO)
    sections.update(feed("other"))
    path = lab.directory / "admin.sock"
    relay = lab.start({**sections, "relay": {"workers": 2}, "admin": {"listen": "none", "socket": f"unix:{path}"}})
    players = [Player(relay) for _ in range(3)]
    relay.wait("a", subscribers=3)
    publisher = relay.publish("a")

    def title(*words):
        return lab.run_tool("relayctl", "-s", path, "title", *words)

    for number, text in enumerate(("Blue – Joni Mitchell & more + 1%", "", "ü" * 200)):
        done = title("--feed", "a", text)
        assert (done.returncode, done.stdout) == (0, "set the title of feed a\n"), done
        publisher.send(made.payload[number * INTERVAL:(number + 1) * INTERVAL])
        for player in players:
            lab.loop.run(lambda player=player: len(player.split()[1]) > number, what="a title")
    for name, text, words in (("b", "x", "there is no feed 'b'"), ("other", "x", "has no titles"),
                              ("a", "a\nb", "without control characters"), ("a", "x" * 2000, "less than 1024 bytes"),
                              ("a", "x" * 5000, "TEXT is too long")):
        done = title("--feed", name, text)
        assert done.returncode == (2 if len(text) == 5000 else 1) and done.stdout == "" and words in done.stderr, done
    for player in players:
        assert player.split() == (made.payload, ["Blue – Joni Mitchell & more + 1%", "", "ü" * 120])


def test_where_nobody_publishes(lab):
    relay = lab.start(web(**AUDIO))
    assert update(relay, "mode=updinfo&mount=/a&song=x")[0] == 404


def test_what_is_no_audio(lab):
    """Its players get the bytes and nothing else; so do those who ask for another format."""
    made = script("none", (40_000,), 4)
    for media in ("application/octet-stream", "audio/ogg", "video/mp2t"):
        relay = lab.start(web(content_type=media))
        reader = relay.subscribe("web", made, kind=WebSubscriber, fields=ASKS)
        relay.wait("a", subscribers=1)
        relay.publish("a", made.wire)
        relay.run_until_done([reader])
        assert "icy-metaint" not in ask(relay, fields=ASKS, method="HEAD")[1]
        assert ask(relay, "/a?format=framed", ASKS, "HEAD")[1]["content-type"] == "application/vnd.relay.framed"


def test_an_upgrade(lab):
    """Players go on in the middle of an interval, and the title and the names are still known."""
    made = script("none", (90_000,), 5)
    relay, publisher = radio(lab)
    player = Player(relay)
    relay.wait("a", subscribers=1)
    update(relay, "mode=updinfo&mount=/a&song=So%20What")
    publisher.send(made.payload[:40_001])
    player.wait_audio(40_001)
    relay.upgrade()
    publisher.send(made.payload[40_001:])
    assert player.wait_audio(90_000) == (made.payload, ["So What"] * 5)
    assert Player(relay).wait_head()[1]["icy-name"] == "Radio 1"


def test_the_slow(lab):
    """A skip would tear the count: who is too slow is closed, also with on_slow = skip."""
    relay = lab.start(web(**AUDIO, framing="fixed:64", ring="1m", options={"on_slow": "skip", **TIGHT}))
    player = Player(relay)
    relay.wait("a", subscribers=1)
    lab.loop.unwatch(player.sock)
    relay.publish("a", script("fixed:64", (64,) * 131_072, 6).wire)
    relay.wait("a", closed_lag=1, subscribers=0, gaps=0)

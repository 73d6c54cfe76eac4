# SPDX-License-Identifier: MIT
"""relay is killed again and again under full rate, and the disk loses what was not synced, or files are cut and corrupted: no
session and sequence is ever given to two messages, and the files hold, and give, nothing that was not published.

RELAY_KILLS says how often; make soak-history does both 200 times."""

import hashlib
import os
import random
import signal
import struct
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from relaytest import address, packet
from relaytest.ini import feed, web
from relaytest.loop import CEILING

KILLS = int(os.environ.get("RELAY_KILLS", "3"))
BODIES = (20, 300, 5000, 60_000)


def messages_of(data):
    """{(session, sequence): digest} of the whole messages; none is longer than a packet."""
    found, at = {}, 0
    while at + packet.BYTES <= len(data):
        header = packet.decode(data[at:at + packet.BYTES])
        end = at + packet.BYTES + header.length
        if end > len(data):
            break
        place = at + packet.BYTES
        for number in range(header.count if header.type == packet.DATA else 0):
            after = place + 4 + struct.unpack_from(">I", data, place)[0]
            found[(header.session, header.sequence + number)] = hashlib.sha1(data[place:after]).digest()
            place = after
        at = end
    return found


class Seen:
    """What anybody ever got under a number."""

    def __init__(self):
        self.messages = {}

    def add(self, found):
        for key, digest in found.items():
            assert self.messages.setdefault(key, digest) == digest, f"two messages with the number {key}"


def send(where, life):
    """Other messages in each life, until relay is gone; their digests."""
    choose = random.Random(life)
    sent = set()
    try:
        with address.connect(where) as publisher:
            publisher.settimeout(CEILING)
            while True:
                body = choose.randbytes(choose.choice(BODIES))
                wire = struct.pack(">I", len(body)) + body
                sent.add(hashlib.sha1(wire).digest())
                publisher.sendall(wire)
    except OSError:
        return sent


def receive(where):
    data = bytearray()
    try:
        with address.connect(where) as subscriber:
            subscriber.settimeout(CEILING)
            while piece := subscriber.recv(1 << 20):
                data += piece
    except ConnectionError:
        pass
    return messages_of(bytes(data))


def cut_power(folder, choose):
    """Of the newest file anything may be missing that was never synced, and the machine has been started since."""
    newest = sorted(folder.glob("*.rly"))[-1:]
    for path in newest:
        os.truncate(path, choose.randrange(path.stat().st_size + 1))
    start_machine(folder)


def start_machine(folder):
    """It seems to have been started since."""
    owner = folder / "history"
    lines = owner.read_text().splitlines()
    owner.write_text("".join(line + "\n" for line in lines if not line.startswith("boot ")) + "boot another\n")


def damage(folder, choose):
    """The newest file, or an index, is cut at random or has other bits, and the machine has been started since."""
    newest = sorted(folder.glob("*.rly"))[-1]
    path = choose.choice([newest, choose.choice(sorted(folder.glob("*.idx")))])
    data = bytearray(path.read_bytes())
    if not data or choose.random() < 0.5:
        del data[choose.randrange(len(data) + 1):]
    else:
        for _ in range(choose.randrange(1, 5)):
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    path.write_bytes(data)
    start_machine(folder)


def replayed(where, wish="from=0"):
    """What there is from there on, as a client gets it; 416 says that there is nothing."""
    try:
        with urllib.request.urlopen(f"http://{where}/a?format=framed&{wish}&until=-0s", timeout=CEILING) as answer:
            return messages_of(answer.read())
    except urllib.error.HTTPError as error:
        assert error.code == 416
        return {}


def begin(lab, make=feed):
    folder = lab.directory / "history"
    return folder, make("a", framing="u32be", history=folder, history_sync="0", history_file="4m", history_size="64m")


def kill_at_random(relay, choose):
    enough = relay.feed("a")["in_messages"] + choose.randrange(1, 2000)
    relay.wait("a", test=lambda status: status["in_messages"] >= enough)
    relay.signal(signal.SIGKILL)
    relay.wait_exit()


def check(lab, folder, seen, sent):
    """What is in the files is what was published, and what anybody got under its number."""
    for path in sorted(folder.glob("*.rly")):
        seen.add(messages_of(path.read_bytes()))
    assert set(seen.messages.values()) <= sent
    done = lab.run_tool("relayctl", "history", "verify", folder)
    assert done.returncode == 0, done.stderr


def delete_wrong_index(lab, sections, folder):
    """As deploy/doc/history.md says. What is wrong in the index of an older file may not show by itself."""
    done = lab.run_tool("relayctl", "history", "verify", folder)
    if done.returncode == 0:
        return
    assert " of the index " in done.stderr
    for path in folder.glob("*.idx"):
        path.unlink()
    relay = lab.start(sections)
    relay.signal(signal.SIGTERM)
    relay.wait_exit()


def test_after_a_power_cut_no_number_is_given_twice(lab):
    folder, sections = begin(lab)
    choose = random.Random(KILLS)
    seen, sent = Seen(), set()
    for life in range(KILLS):
        relay = lab.start(sections)
        with ThreadPoolExecutor() as pool:
            got = pool.submit(receive, relay.address["listener a-framed"])
            relay.wait("a", subscribers=1)
            published = pool.submit(send, relay.address["feed a"], life)
            kill_at_random(relay, choose)
            seen.add(got.result())
            sent |= published.result()
        cut_power(folder, choose)
    relay = lab.start(sections)
    relay.signal(signal.SIGTERM)
    relay.wait_exit()
    check(lab, folder, seen, sent)


def test_all_sessions_are_read_to_their_ends(lab):
    """Also where the ring has its own session from the first message on, and whatever is asked for."""
    folder, sections = begin(lab, web)
    sections["feed a"]["history_file"] = "1m"
    for life in range(2):
        relay = lab.start(sections)
        with ThreadPoolExecutor() as pool:
            pool.submit(send, relay.address["feed a"], life)
            relay.wait("a", test=lambda status: status["in_messages"] >= 300)
            relay.signal(signal.SIGKILL)
            relay.wait_exit()
    relay = lab.start(sections)
    files = sorted(folder.glob("*.rly"))
    written = messages_of(b"".join(path.read_bytes() for path in files))
    assert len({session for session, _ in written}) == 2 and len(files) > 3
    where = relay.address["listener web"].removeprefix("tcp:")
    publisher = relay.publish("a")
    for messages in (0, 1, 2):
        found = [replayed(where, wish) for wish in ("from=0", "since=-1h", "burst=1h")]
        assert all(written.items() <= one.items() and len(one) == len(written) + messages for one in found)
        publisher.send(struct.pack(">I4s", 4, b"news")).flush()
        relay.wait("a", in_messages=messages + 1)


def test_a_damaged_file_gives_nobody_a_wrong_byte(lab):
    """What is left of it is the beginning of what was written, and the files before are whole."""
    folder, sections = begin(lab, web)
    choose = random.Random(KILLS)
    seen, sent, most = Seen(), set(), 0
    for life in range(KILLS):
        relay = lab.start(sections)
        with ThreadPoolExecutor() as pool:
            published = pool.submit(send, relay.address["feed a"], life)
            kill_at_random(relay, choose)
            sent |= published.result()
        for path in sorted(folder.glob("*.rly")):
            seen.add(messages_of(path.read_bytes()))
        damage(folder, choose)
        relay = lab.start(sections)
        found = replayed(relay.address["listener web"].removeprefix("tcp:"))
        assert found.items() <= seen.messages.items()
        most = max(most, len(found))
        relay.signal(signal.SIGKILL)
        relay.wait_exit()
    relay = lab.start(sections)
    relay.signal(signal.SIGTERM)
    relay.wait_exit()
    delete_wrong_index(lab, sections, folder)
    check(lab, folder, seen, sent)
    assert most

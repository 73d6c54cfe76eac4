# SPDX-License-Identifier: MIT
"""relayctl against relay itself: what it shows is so, and what it commands happens."""

import json
import os
import re
import socket
import subprocess

from relaytest.daemon import BIN, ROOT, ini_text
from relaytest.ini import TIGHT, feed
from relaytest.loop import CEILING
from relaytest.namespace import Namespace
from relaytest.stream import KIB, script
from relaytest.surroundings import needs, network_namespace

SLOW = {"receive_buffer": 4096, "paused": True}
RING = {"ring": "512k", "segment": "64k", "grace": "0"}


class Admin:
    """A relay with an admin socket, and relayctl for it."""

    def __init__(self, lab, sections):
        self.lab = lab
        self.path = lab.directory / "admin.sock"
        self.sections = {"admin": {"listen": "none", "socket": f"unix:{self.path}"}, **sections}
        self.relay = lab.start(self.sections)

    def ctl(self, *words, code=0):
        done = self.lab.run_tool("relayctl", "-s", self.path, *words)
        assert done.returncode == code, done
        return done

    def json(self, *words, code=0):
        return json.loads(self.ctl(*words, "--json", code=code).stdout)

    def get(self, target):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.path))
            sock.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode().partition("\r\n\r\n")[2]


def blocked(lab, **options):
    """An admin whose feed has a reader that is done and one that stopped."""
    made = script("u32be", (8 * KIB,) * 256, 3)
    admin = Admin(lab, feed("a", framing="u32be", on_slow="skip", stall_timeout="1h", framed=TIGHT, **RING, **options))
    relay = admin.relay
    leader = relay.subscribe("a-raw", made)
    slow = relay.subscribe("a-framed", made, **SLOW)
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire, piece=16 * KIB).follow(leader, 256 * KIB)
    relay.run_until_done([leader])
    relay.wait("a", subscribers_blocked=1)
    return admin, leader, slow


def test_what_is_shown_is_so(lab):
    admin, _, _ = blocked(lab)
    shown, names = {}, ("in_bytes", "in_messages", "subscribers", "subscribers_blocked", "delivered_bytes")

    def is_so():
        """Not of two looks between which the kernel took a little more for the one that stopped."""
        metrics = admin.relay.feed("a")
        shown.update(admin.json("feeds")["feeds"][0])
        return all(shown["metrics"][name] == metrics[name] for name in names)

    lab.loop.run(is_so, what="relayctl to show what relay logs", poll=0.01)
    assert shown["name"] == "a" and shown["source_up"] is True
    status = admin.json("status")
    assert (status["relay"]["pid"], status["relay"]["subscribers"]) == (admin.relay.process.pid, 2)
    assert {one["name"] for one in status["listeners"]} == {"a-raw", "a-framed"}
    assert admin.ctl("feeds", "--names").stdout == "a\n"
    for page in ("status", "feeds", "subscribers", "top"):
        assert re.search(r"\ba\b", admin.ctl(page).stdout)
    assert admin.ctl("show", "config").stdout == subprocess.run(
        [BIN / "relay", "-T", "-c", admin.relay.ini], capture_output=True, text=True, check=True).stdout
    assert "budget.subscribers" in admin.ctl("show", "limits").stdout


def test_the_one_that_stopped_is_named_and_kicked(lab):
    admin, leader, slow = blocked(lab)
    listed = admin.json("subscribers", "--feed", "a", "--slow")["subscribers"]
    assert [(one["format"], one["state"]) for one in listed] == [("framed", "blocked")]
    assert listed[0]["lag_bytes"] > 0 and listed[0]["cause"] == "receive_window"
    everybody = admin.json("subscribers")
    assert [one["format"] for one in everybody["subscribers"]] == ["framed", "raw"] and everybody["total"] == 2
    assert admin.json("subscribers", "--limit", "1")["subscribers"][0]["id"] == listed[0]["id"]
    number = str(listed[0]["id"])
    assert admin.ctl("kick", "--feed", "a", number).stdout == f"closed subscriber {number} of feed a\n"
    admin.relay.wait("a", subscribers=1, closed_kicked=1)
    again = admin.ctl("kick", "--feed", "a", number, code=1)
    assert again.stdout == "" and number in again.stderr
    assert admin.ctl("kick", "--feed", "no such", "1", code=1).stderr.startswith("relayctl: ")
    slow.close()
    assert leader.end is None


def test_reload(lab):
    admin = Admin(lab, feed("a"))
    admin.relay.write({**admin.sections, **feed("b")})
    assert admin.ctl("reload").stdout.startswith("reloaded\n")
    assert admin.ctl("feeds", "--names").stdout.split() == ["a", "b"]
    admin.relay.expect("error").write(ini_text(admin.sections) + "\n[feed c]\nrnig = 5m\n[bogus]\n")
    refused = admin.ctl("reload", code=1)
    assert refused.stdout == "" and refused.stderr.count("relay.ini:") >= 2
    assert refused.stderr.endswith("relayctl: nothing is changed\n")
    assert len(admin.json("reload", code=1)["errors"]) >= 2
    assert admin.ctl("feeds", "--names").stdout.split() == ["a", "b"]
    admin.relay.write(admin.sections)
    admin.ctl("reload")
    assert admin.ctl("feeds", "--names").stdout.split() == ["a"]


def test_log_level_upgrade_doctor(lab):
    admin = Admin(lab, feed("a"))
    admin.ctl("log-level", "debug")
    assert admin.json("status")["relay"]["log_level"] == "debug"
    assert "loud" not in admin.ctl("log-level", "loud", code=1).stdout
    done = admin.lab.run_tool("relayctl", "-s", admin.path, "doctor", "--json")
    found = {one["name"]: one["verdict"] for one in json.loads(done.stdout)["checks"]}
    assert found["relay"] == "ok" and {"relay_subscribers", "relay_pipes", "relay_calls"} <= set(found)


def test_upgrade_waits_for_the_next_process(lab):
    admin = Admin(lab, feed("a"))
    before = admin.json("status")["relay"]
    assert re.fullmatch(r"relay \S+ has taken over, subscribers: 0\n", admin.ctl("upgrade").stdout)
    assert admin.json("status")["relay"]["pid"] == before["pid"]
    admin.relay.wait_log("resumed")


def test_upgrade_says_why_not(lab):
    admin = Admin(lab, feed("a"))
    admin.relay.expect("upgrade failed").write(ini_text(admin.sections) + "\n[feed c]\nrnig = 5m\n")
    refused = admin.ctl("upgrade", code=1)
    assert refused.stdout == ""
    assert re.search(r"^relayctl: .*relay\.ini:\d+: .*rnig", refused.stderr, re.M)
    assert re.search(r"^relayctl: nothing has changed: .* ended with exit code 78$", refused.stderr, re.M)
    admin.relay.wait_log(r"error upgrade failed: .*relay\.ini:\d+: .*rnig")
    admin.relay.write(admin.sections)
    admin.ctl("upgrade")


@needs(network_namespace)
def test_looking_without_a_socket(tmp_path):
    """Where no relay has a socket, the page of the default address tells the same; it takes no commands."""
    with Namespace() as inside:
        def ctl(*words):
            return subprocess.run(inside.command(BIN / "relayctl", *words), capture_output=True, text=True,
                                  timeout=CEILING, check=False)

        note = "relayctl: no admin socket at /run/relay/admin.sock, looking by http://127.0.0.1:7090\n"
        nobody = ctl("status")
        assert nobody.returncode == 3 and nobody.stderr == note + (
            "relayctl: cannot reach relay at http://127.0.0.1:7090: nobody listens; is relay running?\n")
        ini = tmp_path / "relay.ini"
        ini.write_text(ini_text({"admin": {"listen": "tcp:127.0.0.1:7090", "socket": "none"}, **feed("a")}))
        with subprocess.Popen(inside.command(BIN / "relay", "-c", ini), stderr=subprocess.PIPE) as relay:
            try:
                assert any(b" info ready " in line for line in relay.stderr)
                shown, refused, told = ctl("feeds", "--names"), ctl("reload"), ctl("-s", "http://127.0.0.1:7090", "drain")
            finally:
                relay.terminate()
            assert relay.wait(CEILING) == 0
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "a\n", note)
    assert refused.returncode == 3 and "/run/relay/admin.sock: no such socket" in refused.stderr
    assert (told.returncode, told.stderr) == (1, "relayctl: this method is not served here\n")


def test_as_a_service_calls_it(lab):
    """What ExecReload= does: no word about the socket in the configuration, none on the command line."""
    env = {"RUNTIME_DIRECTORY": f"{lab.directory}:/nowhere"}
    relay = lab.start(feed("a"), env=env)

    def reload():
        return lab.run_tool("relayctl", "reload", env={**os.environ, **env})

    relay.write({**feed("a"), **feed("b")})
    done = reload()
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("reloaded\n"), done
    relay.expect("error").write("[feed a]\nrnig = 5m\n")
    done = reload()
    assert done.returncode == 1 and "relay.ini:2: " in done.stderr, done
    relay.write({**feed("a"), "admin": {"listen": "none", "socket": "none"}})
    done = reload()
    assert done.returncode == 0, done
    relay.baseline -= 1
    done = reload()
    assert done.returncode == 3 and "no such socket" in done.stderr, done


def test_drain(lab):
    admin = Admin(lab, feed("a"))
    admin.relay.signalled = True
    assert admin.ctl("drain").stdout == "draining\n"
    assert admin.relay.wait_exit() == 0
    assert "is relay running" in admin.ctl("status", code=3).stderr


def test_dashboard_and_alerts_use_what_is_there(lab):
    admin, _, _ = blocked(lab, history=lab.directory / "history")
    # Also what has no sample here, since nothing is forwarded.
    there = set(re.findall(r"^(?:# TYPE )?([a-z_]+)(?=[{ ])", admin.get("/metrics"), re.M))
    for path in ("deploy/grafana/relay.json", "deploy/prometheus/relay.rules.yml"):
        used = set(re.findall(r"\b((?:relay|process)_[a-z_]+)(?=[{\s=,)\[])", (ROOT / path).read_text()))
        assert used and used <= there, used - there

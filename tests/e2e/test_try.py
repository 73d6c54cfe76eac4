# SPDX-License-Identifier: MIT
"""What can be tried beforehand is tried by relay -t, and before an upgrade: each error has its line and a way out."""

import os
import re
import socket
import subprocess

import pytest

from relaytest import daemon
from relaytest.daemon import ini_text
from relaytest.ini import feed
from relaytest.stream import script
from relaytest.surroundings import NOBODY, another_user, as_user, needs


def listener(**options):
    return feed("a") | {"listener x": {"feed": "a", **options}}


def check(lab, sections, *prefix, program=daemon.BIN / "relay"):
    path = lab.directory / "try.ini"
    path.write_text(ini_text(sections))
    done = subprocess.run([*prefix, program, "-t", "-c", path], capture_output=True, text=True, timeout=60)
    return done, path.read_text().splitlines()


MISSING = {
    "fifo": (feed("a", ingest="fifo:/nonexistent/f"), "ingest", "No such file or directory; mkfifo /nonexistent/f"),
    "not a fifo": (feed("a", ingest="fifo:/dev/null"), "ingest", "not a fifo; .*file:PATH for a regular file"),
    "file": (feed("a", ingest="file:/nonexistent/f"), "ingest", "file:/nonexistent/f: No such file or directory"),
    "not a file": (feed("a", ingest="file:/dev/ptmx"), "ingest",
                   "file:/dev/ptmx: not a regular file; .*serial:PATH for a serial device"),
    "directory of a socket": (listener(listen="unix:/nonexistent/s"), "listen = unix",
                              "No such file or directory; mkdir -p /nonexistent"),
    "group": (listener(listen="unix:s", socket_group="no-such-group"), "listen = unix",
              "there is no group 'no-such-group'"),
    "token file": (listener(listen="tcp:127.0.0.1:0", format="http", token_file="/nonexistent/t"), "token_file",
                   "cannot read /nonexistent/t"),
    "folder of a tail": (feed("a", ingest="tail:/nonexistent/f"), "ingest",
                         "tail:/nonexistent/f: No such file or directory; mkdir -p /nonexistent makes the folder"),
    "not a tail": (feed("a", ingest="tail:/dev"), "ingest", "tail:/dev: not a regular file; .*ls -l /dev shows"),
    "not a device": (feed("a", ingest="serial:/etc/passwd"), "ingest", "serial:/etc/passwd: not a serial device; "),
    "interface": (feed("a", ingest="udp:239.1.2.3%none7:5000"), "ingest",
                  "udp:239.1.2.3%none7:5000: No such device; ip link shows the interfaces"),
    "own address": (feed("a", ingest="udp:192.0.2.77:5000"), "ingest",
                    "udp:192.0.2.77:5000: Cannot assign requested address; .*ip address those of this machine"),
    "name": (listener(listen="tcp:no-such-name.invalid:9000"), "listen = tcp:no-such", "getent ahosts no-such-name"),
    "name and number": (listener(listen="tcp:localhost:9001") |
                        {"listener y": {"feed": "a", "listen": "tcp:127.0.0.1:9001"}},
                        "listen = tcp:127.0.0.1:9001", r"is taken by \[listener x\]"),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_not_there_is_told_by_t(lab, what):
    sections, key, text = MISSING[what]
    done, lines = check(lab, sections)
    assert done.returncode == 78, done
    found = re.search(rf"try\.ini:(\d+): error: .*{text}", done.stderr)
    assert found and lines[int(found[1]) - 1].startswith(key), done.stderr


def test_a_path_without_its_word_is_told_how_to_be_written(lab):
    done, _ = check(lab, listener(listen="/run/x"))
    assert done.returncode == 78 and "a path is written unix:/run/x" in done.stderr


@needs(another_user)
def test_a_port_below_1024_has_its_way_out(lab, program_for_all):
    lab.directory.chmod(0o755)
    done, _ = check(lab, listener(listen="tcp:127.0.0.1:443"), *as_user(NOBODY), program=program_for_all("relay"))
    assert done.returncode == 78, done
    assert re.search(r"Permission denied; .*systemd:NAME.*AmbientCapabilities=.*setcap", done.stderr), done.stderr


@needs(another_user)
@pytest.mark.parametrize("kind, group", [("serial", "dialout"), ("tail", "adm")])
def test_what_relay_may_not_read_has_its_way_out(lab, program_for_all, kind, group):
    lab.directory.chmod(0o755)
    path = lab.directory / "app.log"
    path.write_bytes(b"")
    if kind == "serial":
        path.unlink()
        end, device = os.openpty()
        lab.closers += [lambda: os.close(end), lambda: os.close(device)]
        path.symlink_to(os.ttyname(device))
    path.chmod(0o600)
    done, _ = check(lab, feed("a", ingest=f"{kind}:{path}"), *as_user(NOBODY), program=program_for_all("relay"))
    assert done.returncode == 78, done
    assert re.search(rf"{kind}:{path}: Permission denied; .*SupplementaryGroups={group}", done.stderr), done.stderr


def test_what_may_come_later_is_a_warning(lab):
    for ingest in (f"tail:{lab.directory}/app.log", "serial:/dev/ttyNONE7"):
        done, _ = check(lab, feed("a", ingest=ingest))
        assert done.returncode == 0, done
        assert f"warning: {ingest}: No such file or directory; relay takes it up when it is there" in done.stderr


def test_another_program_at_the_port_of_datagrams(lab):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "*"):
            done, _ = check(lab, feed("a", ingest=f"udp:{host}:{port}"))
            assert done.returncode == 78, done
            assert f"udp:{host}:{port}: Address already in use by process {os.getpid()}; ss -lunp sport = :{port}" \
                in done.stderr, done
        # A group has as many as want it.
        done, _ = check(lab, feed("a", ingest=f"udp:239.1.2.3%lo:{port}"))
        assert done.returncode == 0, done


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "*"])
def test_the_datagrams_of_relay_are_not_in_its_own_way(lab, host):
    family = socket.AF_INET if host == "127.0.0.1" else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(("" if host == "*" else host.strip("[]"), 0))
        port = probe.getsockname()[1]
    sections = feed("a", ingest=f"udp:{host}:{port}")
    relay = lab.start(sections)
    done = lab.run_tool("relay", "-t", "-c", relay.ini)
    assert done.returncode == 0 and done.stderr == "", done
    sections["feed a"]["segment"] = "64k"
    relay.wait_log(r" reloaded\b", relay.reload(sections))  # the feed is made anew
    relay.upgrade()
    done, _ = check(lab, sections)  # for another file, it is a stranger
    assert done.returncode == 78 and "Address already in use by process" in done.stderr, done


def test_a_reload_tells_what_no_start_would_wait_for(lab):
    relay = lab.start(feed("a"))
    relay.expect("reload failed", "ingest = |this line")
    for ingest, text in (("serial:/etc/passwd", "not a serial device"), ("tail:/nonexistent/f", "No such file or directory"),
                         ("udp:239.1.2.3%none7:5000", "No such device")):
        since = relay.reload(feed("a") | feed("b", ingest=ingest))
        relay.wait_log(f"reload failed: feed b: .*{text}", since)
    relay.expect("source missing")
    relay.wait_log(r" reloaded\b", relay.reload(feed("a") | feed("b", ingest=f"tail:{lab.directory}/app.log")))
    relay.wait_log(r" reloaded\b", relay.reload(feed("a")))


def test_another_program_at_the_address_is_an_error(lab):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done, _ = check(lab, listener(listen=f"tcp:*:{port}"))
    assert done.returncode == 78, done
    assert f"Address already in use by process {os.getpid()}; ss -ltnp sport = :{port}" in done.stderr
    path = lab.directory / "taken.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        done, _ = check(lab, listener(listen=f"unix:{path}"))
        assert done.returncode == 78 and f"by process {os.getpid()}" in done.stderr, done
    done, _ = check(lab, listener(listen=f"unix:{path}"))
    assert done.returncode == 0, done  # nobody listens any more


def test_the_relay_that_serves_the_file_is_not_in_its_own_way(lab):
    """Nobody is visited by the check, either."""
    path = lab.directory / "out.sock"
    sections = feed("a", raw={"listen": f"unix:{path}"})
    relay = lab.start(sections)
    port = relay.address["feed a"].rsplit(":", 1)[1]
    sections["feed a"]["ingest"] = f"listen tcp:127.0.0.1:{port}"
    relay.wait_log(r" reloaded\b", relay.reload(sections))
    for host in ("127.0.0.1", "*"):
        sections["feed a"]["ingest"] = f"listen tcp:{host}:{port}"
        relay.ini.write_text(ini_text(sections))
        done = lab.run_tool("relay", "-t", "-c", relay.ini)
        assert done.returncode == 0 and done.stderr == "", done
    done, _ = check(lab, sections)  # for another file, it is a stranger
    assert done.returncode == 78 and "Address already in use by process" in done.stderr, done
    assert relay.feed("a")["subscribers_total"] == 0


def test_an_address_for_later_is_a_warning(lab):
    done, _ = check(lab, listener(listen="tcp:192.0.2.77:9000"))
    assert done.returncode == 0 and re.search(r"try\.ini:\d+: warning: .*does not have the address yet", done.stderr), done
    done, _ = check(lab, feed("a", ingest="connect tcp:no-such-name.invalid:9000"))
    assert done.returncode == 0 and "warning: connect tcp:no-such-name.invalid:9000" in done.stderr, done


@pytest.mark.parametrize("what", ["port", "fifo"])
def test_an_upgrade_that_could_not_start_changes_nothing(lab, what):
    made = script("line", (500,) * 40, 7)
    sections = feed("a", framing="line", on_slow="wait")
    relay = lab.start(sections)
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    relay.expect("upgrade failed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wrong = {"port": feed("b", ingest=f"listen tcp:127.0.0.1:{taken.getsockname()[1]}"),
                 "fifo": feed("b", ingest="fifo:/nonexistent/f")}
        relay.write(sections | wrong[what])
        relay.upgrade("upgrade failed: .* ended with exit code 78, nothing has changed")
    relay.publish("a", made.wire)
    relay.run_until_done([reader])


def test_an_upgrade_may_move_addresses(lab):
    """Its own sockets, which it hands over, are in nobody's way."""
    made = script("line", (500,) * 40, 7)
    sections = feed("a", framing="line", on_slow="wait")
    relay = lab.start(sections)
    raw, framed = (relay.address[f"listener a-{kind}"] for kind in ("raw", "framed"))
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    sections["listener a-raw"]["listen"] = framed.replace("127.0.0.1", "*")
    sections["listener a-framed"]["listen"] = raw
    relay.write(sections)
    relay.upgrade()
    other = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=2)
    relay.publish("a", made.wire)
    relay.run_until_done([reader, other])


def test_a_history_that_the_disk_has_no_room_for(lab):
    """Said with both figures; the history begins all the same, since files elsewhere may go."""
    sections = listener(listen="tcp:127.0.0.1:0")
    sections["feed a"] |= {"history": lab.directory / "history", "history_size": "60000g"}
    done, lines = check(lab, sections)
    line = 1 + next(number for number, text in enumerate(lines) if text.startswith("history ="))
    assert done.returncode == 0, done.stderr
    assert re.search(rf":{line}: warning: history_size = 60000g, and the file system of \S+ has room for \d+[mg]\n",
                     done.stderr), done.stderr


@needs(another_user)
def test_a_history_that_may_not_be_written(lab, program_for_all):
    """It says which folder, and nothing is made or changed there."""
    folder = lab.directory / "history"
    lab.directory.chmod(0o755)
    folder.mkdir(mode=0o700)
    sections = listener(listen="tcp:127.0.0.1:0")
    sections["feed a"] |= {"history": folder}
    done, lines = check(lab, sections, *as_user(NOBODY), program=program_for_all("relay"))
    line = 1 + next(number for number, text in enumerate(lines) if text.startswith("history ="))
    assert done.returncode != 0 and f":{line}: error: " in done.stderr, done.stderr
    assert f"history {folder}" in done.stderr and "Permission denied" in done.stderr, done.stderr
    assert not list(folder.iterdir())

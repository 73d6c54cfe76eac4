# SPDX-License-Identifier: MIT
"""The configuration as the operator meets it: every error at once, exit codes, the options of relay."""

import re
import socket

import pytest

from relaytest.daemon import ROOT, ini_text
from relaytest.ini import feed

GOOD = ini_text(feed("a"))


def run(lab, text, *options):
    path = lab.directory / "relay.ini"
    path.write_text(text)
    return lab.run_tool("relay", "-c", path, *options)


def test_what_0_means_can_be_set(lab):
    """Each option whose help says what 0 does takes it."""
    rows = re.findall(r'^OPTION\((relay|admin|feed|listener), +(\w+), .*\n((?: +".*"[,)]*\n?)+)',
                      (ROOT / "config/options.def").read_text(encoding="utf-8"), re.M)
    sections = {"relay": {}, "admin": {}} | feed("a")
    zero = [(name, key) for name, key, text in rows if re.search(r"(?<!Port )\b0: ", re.sub(r'"\s*"', "", text))]
    for name, key in zero:
        for section, options in sections.items():
            if section.split()[0] == name:
                options[key] = "0"
    sections["feed a"]["history"] = lab.directory / "history"
    done = run(lab, ini_text(sections), "-t")
    assert done.returncode == 0 and len(zero) > 15, done.stderr


BAD = {
    "unknown key": ("[feed a]\ningest = stdin\nfaming = line\n", [r":3:.*faming.*framing"]),
    "unknown section": ("[fed a]\ningest = stdin\n", [r":1:.*fed"]),
    "bad value": (GOOD + "[relay]\nturn_budget = soon\n", [r":\d+:.*turn_budget"]),
    "bad unit": (GOOD + "[relay]\ndrain = 10\n", [r":\d+:.*drain"]),
    "out of range": ("[feed a]\ningest = stdin\nmax_message = 65m\n", [r":3:.*max_message"]),
    "bad framing": ("[feed a]\ningest = stdin\nframing = fixed:0\n", [r":3:.*framing"]),
    "bad ingest": ("[feed a]\ningest = listen http:x\n", [r":2:.*ingest"]),
    "duplicate key": ("[feed a]\ningest = stdin\ningest = stdin\n", [r":3:.*ingest"]),
    "duplicate section": (GOOD + GOOD, [r":\d+:.*feed a"]),
    "overlong line": (GOOD + "[relay]\n# " + "x" * 100_000 + "\nlog_level = info\n", [r":\d+:.*long"]),
    "overlong value": (GOOD + "[relay]\nlog_level = " + "x" * 100_000 + "\n", [r":\d+:.*long"]),
    "unterminated section": ("[feed a\ningest = stdin\n", [r":1:"]),
    "no equals sign": ("[feed a]\ningest = stdin\nframing line\n", [r":3:"]),
    "key before section": ("ingest = stdin\n" + GOOD, [r":1:"]),
    "feed without listener": ("[feed a]\ningest = stdin\n", [r":1:.*listener"]),
    "listener of no feed": (GOOD + "[listener x]\nfeed = b\nlisten = tcp:127.0.0.1:0\n", [r":\d+:.*\bb\b"]),
    "required key": ("[feed a]\nframing = line\n[listener x]\nfeed = a\nlisten = tcp:127.0.0.1:0\n",
                     [r":1:.*ingest"]),
    "one address twice": ("[feed a]\ningest = stdin\n[listener x]\nfeed = a\nlisten = tcp:127.0.0.1:7001\n"
                          "[listener y]\nfeed = a\nlisten = tcp:127.0.0.1:7001\n", [r":8:.*7001"]),
    "several": ("[feed a]\ningest = stdin\nrinf = 1m\nsegment = 2g\n[listener x]\nfeed = b\nlisten = udp:1\n",
                [r":3:.*rinf.*ring", r":4:.*segment", r":6:.*\bb\b", r":7:.*listen"]),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("options", [(), ("-t",)], ids=["start", "check"])
def test_errors_are_listed_and_exit_is_78(lab, name, options):
    text, wanted = BAD[name]
    done = run(lab, text, *options)
    assert done.returncode == 78, done
    for pattern in wanted:
        assert re.search("relay.ini" + pattern, done.stderr), f"{pattern}: {done.stderr}"
    assert not re.search(r"listening|\bready\b", done.stderr)


def test_an_empty_file_and_a_missing_one(lab):
    assert run(lab, "").returncode == 78
    done = lab.run_tool("relay", "-c", lab.directory / "none.ini")
    assert done.returncode == 78 and "none.ini" in done.stderr and "No such file" in done.stderr


def test_check_passes_a_good_file(lab):
    done = run(lab, GOOD, "-t")
    assert done.returncode == 0, done.stderr


def test_effective_values_and_where_they_come_from(lab):
    done = run(lab, GOOD + "[relay]\ndrain = 5s\n", "-T", "-o", "feed a.ring=1m")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^drain\s*=\s*5s\b.*relay\.ini:\d+", done.stdout, re.M), done.stdout
    assert re.search(r"^ring\s*=\s*1m\b.*-o", done.stdout, re.M), done.stdout
    assert re.search(r"^segment\s*=\s*512k\b.*default", done.stdout, re.M), done.stdout


@pytest.mark.parametrize("option", ["feed a.rinf=1m", "feed a.ring=lots", "feed b.ring=1m", "ring", "=", "a=b"])
def test_bad_options_on_the_command_line(lab, option):
    done = run(lab, GOOD, "-t", "-o", option)
    assert done.returncode == 78 and "-o" in done.stderr, done


def test_example_is_valid_and_is_the_one_in_the_tree(lab):
    printed = lab.run_tool("relay", "--print-example")
    assert printed.returncode == 0
    assert printed.stdout == (ROOT / "relay.ini.example").read_text()
    checked = run(lab, printed.stdout, "-t")
    assert checked.returncode == 0, checked.stderr


def test_words_for_people(lab):
    assert re.match(r"relay \d+\.\d+", lab.run_tool("relay", "--version").stdout)
    assert "--print-example" in lab.run_tool("relay", "--help").stdout
    told = lab.run_tool("relay", "--explain", "on_slow")
    assert told.returncode == 0 and "disconnect" in told.stdout
    assert lab.run_tool("relay", "--explain", "on_slov").returncode != 0
    assert lab.run_tool("relay", "--nonsense").returncode not in (0, -6, -11)


@pytest.mark.parametrize("what", ["tcp", "unix", "ingest"])
def test_address_in_use(lab, what):
    with socket.socket() as taken, socket.socket(socket.AF_UNIX) as path_taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        path_taken.bind(str(lab.directory / "taken.sock"))
        path_taken.listen()
        if what == "unix":
            where = f"unix:{lab.directory}/taken.sock"
        sections = feed("a", f"listen {where}") if what == "ingest" else feed("a", raw={"listen": where})
        done = run(lab, ini_text(sections))
    assert done.returncode == 1, done
    assert where.split(":", 1)[1] in done.stderr and "Address already in use" in done.stderr


@pytest.mark.parametrize("ingest, error", [("file:/no/such/file", "No such file"),
                                           ("fifo:/no/such/fifo", "No such file"),
                                           ("listen unix:/no/such/dir/x.sock", "No such file")])
def test_paths_that_are_not_there(lab, ingest, error):
    done = run(lab, ini_text(feed("a", ingest)))
    assert done.returncode == 1, done
    assert ingest.split(":", 1)[1] in done.stderr and error in done.stderr


def test_a_socket_file_left_behind_is_replaced(lab):
    path = lab.directory / "left.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    lab.start(feed("a", f"listen unix:{path}"))

# SPDX-License-Identifier: MIT
"""The admin server: what it tells is so, what it is told is done, and who has no business there gets nothing."""

import os
import re
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from relaytest import address
from relaytest.admin import Admin, is_listening, read_all
from relaytest.daemon import CARRIERS, ROOT, ini_text
from relaytest.ini import TIGHT, feed
from relaytest.stream import KIB, MIB, script
from relaytest.surroundings import needs, program

PASS = (sys.executable, str(Path(__file__).parent / "relaytest" / "pass_sockets.py"))
COUNTERS = Path(__file__).parents[2] / "relay/table/counter.def"
ADMIN = {"listen": "tcp:127.0.0.1:0"}
RING = {"ring": "512k", "segment": "64k", "stall_timeout": "1h"}


def passing(*sockets):
    return (*PASS, *sockets, "--")


def start(lab, *feeds, admin=None, **options):
    sections = {"admin": {**ADMIN, "socket": f"unix:{lab.directory}/admin.sock", **(admin or {})}}
    for one in feeds or [feed("a", framing="line")]:
        sections.update(one)
    return lab.start(sections, **options)


def block_one(lab, relay, made):
    """A leader that reads and one that does not, until relay has noticed."""
    leader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    slow = relay.subscribe("a-framed", made, receive_buffer=4096, paused=True)
    relay.wait("a", subscribers=2)
    publisher = relay.publish("a", made.wire, piece=16 * KIB).follow(leader, 256 * KIB)
    relay.run_until_done([leader])
    relay.wait("a", subscribers_blocked=1)
    return leader, slow, publisher


# ---- what it tells


def test_the_status_says_what_the_log_says(lab):
    made = script("line", (100,) * 500, 1)
    relay = start(lab, feed("a", framing="line"), feed("b", ingest="connect tcp:127.0.0.1:1"))
    admin = Admin(relay)
    readers = relay.subscribe("a-raw", made, count=3)
    relay.wait("a", subscribers=3)
    relay.publish("a", made.wire)
    relay.run_until_done(readers)
    relay.wait("a", delivered_messages=1500)
    looks = []

    def agree():
        """Pipes that are under way between workers come back in their own time."""
        looks[:] = admin.get("/status.json"), relay.status()
        return all(value == looks[1]["feed"][one["name"]].get(name) for one in looks[0]["feeds"]
                   for name, value in one["metrics"].items()
                   if not re.search("turns|heartbeat|noted|delivered_bytes|calls", name))

    lab.loop.run(agree, what="the status to say what the log says", poll=0.01)
    status, block = looks
    assert all(set(one["metrics"]) - {"heartbeats"} <= set(block["feed"][one["name"]]) for one in status["feeds"])
    assert status["version"] == 1
    assert status["relay"]["pid"] == relay.process.pid and status["relay"]["subscribers"] == 3
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", status["relay"]["time"])
    assert (status["relay"]["draining"], status["relay"]["log_level"]) == (False, "info")
    assert [one["name"] for one in status["feeds"]] == ["a", "b"]
    a = status["feeds"][0]
    assert a["source_up"] and a["source"].startswith("listen tcp:") and a["next_seq"] == 501
    assert sum(a["metrics"][name] for name in CARRIERS) == a["metrics"]["delivered_bytes"]
    assert not status["feeds"][1]["source_up"]
    assert len(status["workers"]) == status["relay"]["workers"]
    assert sum(worker["subscribers"] for worker in status["workers"]) == 3
    for worker in status["workers"]:
        assert sum(bucket["count"] for bucket in worker["lag_us"]["buckets"]) == worker["turns"] > 0
    listeners = {one["name"]: one for one in status["listeners"]}
    assert listeners["a-raw"]["address"] == relay.address["listener a-raw"]
    assert listeners["a-raw"]["accepted"] == 3 and listeners["a-framed"]["accepted"] == 0


@needs(program, "promtool")
def test_metrics_are_what_prometheus_wants(lab):
    made = script("line", (100,) * 200, 1)
    relay = start(lab, feed("a", framing="line"), feed("b", framing="line"))
    admin = Admin(relay)
    reader = relay.subscribe("a-raw", made)
    relay.wait("a", subscribers=1)
    relay.publish("a", made.wire)
    relay.run_until_done([reader])
    answer = admin.ask("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    done = subprocess.run(["promtool", "check", "metrics"], input=answer.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stdout and not done.stderr, done
    values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert len(values) == sum(not line.startswith("#") for line in answer.text.splitlines()), "a sample twice"
    assert set(re.findall(r'^relay_admin_\w+{door="(.*?)"', answer.text, re.M)) == {"tcp", "unix"}
    status = admin.get("/status.json")
    for name, value in status["feeds"][0]["metrics"].items():
        assert any(f'relay_feed_{name}{tail}{{feed="a"}}' in values for tail in ("", "_total")), name
    assert values['relay_feed_in_bytes_total{feed="a"}'] == str(len(made.wire))
    assert values['relay_feed_up{feed="a"}'] == "1" and values['relay_feed_up{feed="b"}'] == "0"
    for label in (f'worker="{worker["index"]}"' for worker in status["workers"]):
        counted = [int(value) for name, value in values.items() if name.startswith(f"relay_loop_lag_seconds_bucket{{{label}")]
        assert counted == sorted(counted) and counted[-1] == int(values[f"relay_loop_lag_seconds_count{{{label}}}"]) > 0
    assert float(values["process_cpu_seconds_total"]) >= 0 and int(values["process_open_fds"]) > 5
    assert int(values["process_resident_memory_bytes"]) > 100_000


@pytest.mark.parametrize("file", ["grafana/relay.json", "prometheus/relay.rules.yml"])
def test_dashboard_and_alerts_ask_for_what_is_told(lab, file):
    relay = start(lab, feed("a", framing="line", history=lab.directory / "history"))
    told = set(re.findall(r"^# TYPE (\S+)", Admin(relay).ask("/metrics").text, re.M))
    asked = set(re.findall(r"\b((?:relay|process)_[a-z_]+)(?=[{ \[)])", (ROOT / "deploy" / file).read_text()))
    assert len(asked) > 20 and {name.removesuffix("_bucket") for name in asked} <= told


def counter_rows(kind):
    """Of counter.def: name and help of each counter that a listener shows."""
    rows = re.findall(rf'^{kind}_COUNTER\((\w+), +(?:(\w+), +)?"(.+)"\)$', COUNTERS.read_text(), re.M)
    assert len(rows) == COUNTERS.read_text().count(f"\n{kind}_COUNTER(") > 2
    return {name: words for name, where, words in rows if where != "ADMIN_ONLY"}


def crowd(relay, listener, counter):
    """Connections until the counter of the listener moves; they are reset then."""
    where = address.parse(relay.address[f"listener {listener}"])[1]
    made = [socket.create_connection(where) for _ in range(50)]
    relay.wait(test=lambda block: block["relay"].get(f"{counter}_{listener}", 0) > 0)
    for sock in made:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def crowd_without_descriptors(relay, listener):
    """It takes, misses, pauses and resets."""
    limits = resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (len(relay.links()) + 2, limits[1]))
    crowd(relay, listener, "accept_refused")
    resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, limits)


def test_each_counter_of_a_listener_is_shown_everywhere(lab):
    web = {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http"}
    relay = start(lab, feed("a", framing="line", raw={"accept_rate": 10}), {"listener web": web})
    admin = Admin(relay)
    socket.create_connection(address.parse(relay.address["listener web"])[1]).close()
    asking = socket.create_connection(address.parse(relay.address["listener web"])[1])
    asking.sendall(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert read_all(asking).startswith(b"HTTP/1.1 404 ")
    relay.wait(test=lambda block: block["relay"].get("http_lost_web") == 1)
    crowd_without_descriptors(relay, "a-raw")
    crowd(relay, "a-raw", "accept_paced")
    relay.wait(test=lambda block: block["relay"]["accepted_a-raw"] + block["relay"]["accept_refused_a-raw"] == 100 and
               block["feed"]["a"]["subscribers"] == 0)
    status, text, log = admin.get("/status.json"), admin.ask("/metrics").text, relay.status()["relay"]
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    listeners = {one["name"]: one for one in status["listeners"]}
    for name, words in counter_rows("LISTENER").items():
        assert log[f"{name}_a-raw"] == listeners["a-raw"][name] > 0, name
        assert values[f'relay_listener_{name}_total{{listener="a-raw"}}'] == str(listeners["a-raw"][name])
        assert f"# HELP relay_listener_{name}_total {words}\n# TYPE relay_listener_{name}_total counter\n" in text
    for name, words in counter_rows("HTTP").items():
        assert log[f"http_{name}_web"] == listeners["web"]["http"][name] > 0, name
        assert values[f'relay_http_{name}_total{{listener="web"}}'] == str(listeners["web"]["http"][name])
        assert f"# HELP relay_http_{name}_total {words}\n# TYPE relay_http_{name}_total counter\n" in text
        assert f'relay_admin_{name}_total{{door="tcp"}}' in values


def test_ready_means_that_some_feed_has_its_source(lab):
    relay = start(lab, feed("a", framing="line"), feed("b", framing="line"))
    admin = Admin(relay)
    assert admin.ask("/healthz").text == "ok\n"
    answer = admin.ask("/readyz")
    assert answer.status == 503 and "no feed has a source" in answer.json["error"]
    relay.publish("a", b"x\n")
    relay.wait("a", in_messages=1)
    assert admin.ask("/readyz").status == 200
    assert admin.ask("/readyz?feed=a").status == 200
    assert admin.ask("/readyz?feed=b").status == 503
    assert admin.ask("/readyz?feed=c").status == 404


def test_not_ready_while_draining(lab):
    made = script("u32be", (3000,) * 1000, 1)
    relay = start(lab, feed("a", framing="u32be", on_slow="skip", framed=TIGHT, **RING) | {"relay": {"drain": "1h"}})
    block_one(lab, relay, made)
    admin, control = Admin(relay), Admin(relay, "socket")
    assert admin.ask("/readyz").status == 200
    relay.signalled = True
    assert control.post("/drain").json["ok"] is True
    answer = admin.ask("/readyz")
    assert answer.status == 503 and answer.json["error"] == "draining"
    assert admin.ask("/healthz").status == 200 and admin.get("/status.json")["relay"]["draining"]
    assert control.post("/drain").status == 409 and control.post("/reload").status == 409
    relay.signal(signal.SIGTERM)
    assert relay.wait_exit() == 0


def test_slow_subscribers_are_listed_with_their_cause(lab):
    made = script("u32be", (3000,) * 1000, 1)
    relay = start(lab, feed("a", framing="u32be", on_slow="skip", framed=TIGHT, **RING), feed("b"))
    admin = Admin(relay)
    _, slow, _ = block_one(lab, relay, made)
    everybody = admin.get("/subscribers.json")
    assert everybody["total"] == 2 and len(everybody["subscribers"]) == 2
    first, second = everybody["subscribers"]
    here = "tcp:{}:{}".format(*slow.sock.getsockname())
    assert (first["id"], first["state"], first["peer"], first["cause"]) == (2, "blocked", here, "receive_window")
    assert first["lag_bytes"] > MIB and first["lag_messages"] > 300 and first["queued_bytes"] > 0
    assert first["delivered_messages"] + first["lag_messages"] == 1000
    assert (second["id"], second["state"], second["lag_bytes"]) == (1, "idle", 0) and "cause" not in second
    assert second["delivered_messages"] == 1000

    only = admin.get("/subscribers.json?slow=1&feed=a")
    assert only["total"] == 1 and only["subscribers"][0]["id"] == 2
    assert [one["id"] for one in admin.get("/subscribers.json?sort=id")["subscribers"]] == [1, 2]
    one = admin.get("/subscribers.json?sort=delivered&limit=1")
    assert one["total"] == 2 and [row["id"] for row in one["subscribers"]] == [1]
    assert admin.get("/subscribers.json?limit=0")["subscribers"] == []
    assert admin.get("/subscribers.json?feed=b")["total"] == 0
    assert admin.ask("/subscribers.json?feed=x").status == 404
    for bad in ("sort=x", "limit=-1", "limit=many"):
        assert admin.ask(f"/subscribers.json?{bad}").status == 400

    status = admin.feed("a")
    assert status["slowest"][0]["id"] == 2 and status["slowest"][0]["cause"] == "receive_window"
    buckets = {bucket["le"]: bucket["count"] for bucket in status["lag_ms"]["buckets"]}
    assert sum(buckets.values()) == 2 and buckets[0] == 1


def test_the_list_is_cut_at_the_right_place(lab):
    """More subscribers than rows, over all workers: the rows are the first ones of the whole order."""
    made = script("line", (50,) * 10, 1)
    relay = start(lab)
    readers = relay.subscribe("a-raw", made, count=150)
    relay.wait("a", subscribers=150)
    admin = Admin(relay)
    for limit in (1, 7, 100, 150, 1000):
        seen = admin.get(f"/subscribers.json?sort=id&limit={limit}")
        assert seen["total"] == 150
        assert [one["id"] for one in seen["subscribers"]] == list(range(1, min(limit, 150) + 1))
    assert len(admin.get("/subscribers.json")["subscribers"]) == 100
    assert {one["worker"] for one in seen["subscribers"]} == {worker["index"] for worker in admin.get("/status.json")["workers"]}
    relay.publish("a", made.wire)
    relay.run_until_done(readers)


def test_config_and_limits(lab):
    relay = start(lab)
    admin = Admin(relay)
    effective = admin.ask("/config")
    printed = lab.run_tool("relay", "-c", relay.ini, "-T")
    assert effective.status == 200 and effective.text == printed.stdout
    limits = admin.get("/limits.json")
    assert limits["kernel"]["release"] == os.uname().release
    assert limits["budget"]["descriptors"] == limits["rlimits"]["nofile"]["soft"]
    assert limits["budget"]["subscribers"] == admin.get("/status.json")["relay"]["max_subscribers"]
    with open("/proc/sys/fs/pipe-max-size", encoding="ascii") as file:
        assert limits["sysctls"]["fs.pipe-max-size"] == file.read().strip()
    assert limits["pipes_open"] == relay.open_pipes()


# ---- what it is told


def test_reload_tells_what_changed(lab):
    relay = start(lab)
    control = Admin(relay, "socket")
    assert control.post("/reload").json == {"ok": True, "changes": []}
    relay.write({**relay.sections, **feed("b"), "relay": {"drain": "7s"}})
    answer = control.post("/reload")
    assert answer.status == 200 and answer.json["ok"] is True
    assert sorted(answer.json["changes"])[:2] == ["feed b: added", "listener b-framed: added"]
    assert any("drain changed from '10s' to '7s'" in line for line in answer.json["changes"])
    assert [one["name"] for one in control.get("/status.json")["feeds"]] == ["a", "b"]
    relay.baseline += 3


def test_a_reload_that_fails_tells_why_and_changes_nothing(lab):
    relay = start(lab).expect(r"reload failed", r"relay\.ini:\d+: error: ")
    control = Admin(relay, "socket")
    before = control.ask("/config").text
    relay.write(ini_text(relay.sections) + "[relay]\nturn_budget = soon\nrinf = 1\n")
    answer = control.post("/reload")
    assert answer.status == 422 and answer.json["ok"] is False
    first, second = answer.json["errors"]
    assert re.search(r"relay\.ini:\d+: error: .*turn_budget", first) and re.search(r"relay\.ini:\d+: .*rinf", second)

    taken = socket.create_server(("127.0.0.1", 0))
    with taken:
        sections = {**relay.sections, **feed("b", raw={"listen": f"tcp:127.0.0.1:{taken.getsockname()[1]}"})}
        relay.write(sections)
        answer = control.post("/reload")
        assert answer.status == 422 and "Address already in use" in answer.json["errors"][0]
    assert control.ask("/config").text == before
    status = control.get("/status.json")
    assert [one["name"] for one in status["feeds"]] == ["a"] and status["relay"]["reload_failed"]
    assert "relay_config_last_reload_successful 0" in control.ask("/metrics").text
    relay.write(relay.sections)
    assert control.post("/reload").status == 200
    assert "relay_config_last_reload_successful 1" in control.ask("/metrics").text


def test_a_feed_that_could_not_be_made_anew_stays_as_it_is(lab):
    fifo = lab.directory / "in.fifo"
    os.mkfifo(fifo)
    relay = start(lab, feed("a", ingest=f"fifo:{fifo}"), feed("b")).expect(r"in\.fifo")
    fifo.unlink()
    control = Admin(relay, "socket")
    relay.write({**relay.sections, **feed("a", ingest=f"fifo:{fifo}", segment="64k")})
    answer = control.post("/reload")
    assert answer.status == 422 and "in.fifo" in answer.json["errors"][0], answer.text
    assert "relay.ini:" in answer.json["errors"][1] and f"mkfifo {fifo}" in answer.json["errors"][1], answer.text
    assert control.get("/status.json")["relay"]["reload_failed"]
    assert "segment = 64k" not in control.ask("/config").text
    os.mkfifo(fifo)
    assert control.post("/reload").status == 200
    assert "segment = 64k" in control.ask("/config").text


def test_a_reload_may_move_the_door_it_came_through(lab):
    relay = start(lab)
    control, old = Admin(relay, "socket"), relay.address["admin socket"]
    new = f"unix:{lab.directory}/other.sock"
    relay.write({**relay.sections, "admin": {"listen": "none", "socket": new}})
    answer = control.post("/reload")
    assert answer.status == 200 and len(answer.json["changes"]) == 2, answer.text
    relay.wait_log(r"listening admin=socket address=\S*other")
    assert not is_listening(old) and not os.path.exists(old[5:])
    assert control.target == new and control.get("/status.json")["version"] == 1
    assert not is_listening(relay.address["admin listen"])
    relay.baseline -= 1

    sections = {name: keys for name, keys in relay.sections.items() if name != "admin"}
    relay.write(sections)
    assert control.post("/reload").json["changes"] == ["admin: removed"]
    assert not is_listening(new)
    relay.baseline -= 1


def test_kick(lab):
    made = script("line", (50,) * 10, 1)
    relay = start(lab)
    control = Admin(relay, "socket")
    victim = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=1)
    other = relay.subscribe("a-framed", made)
    relay.wait("a", subscribers=2)
    assert control.post("/kick?feed=a&id=1").json == {"ok": True}
    lab.loop.run(lambda: victim.end == "rst", what="the reset")
    relay.wait("a", subscribers=1, closed_kicked=1)
    assert control.post("/kick?feed=a&id=1").status == 404
    assert control.post("/kick?feed=x&id=2").status == 404
    for bad in ("", "?feed=a", "?id=1", "?feed=a&id=x"):
        assert control.post(f"/kick{bad}").status == 400
    relay.publish("a", made.wire)
    relay.run_until_done([other])


def test_log_level_and_upgrade(lab):
    made = script("line", (50,) * 10, 1)
    relay = start(lab)
    control = Admin(relay, "socket")
    assert control.post("/log-level?level=debug").json == {"ok": True, "level": "debug"}
    assert control.get("/status.json")["relay"]["log_level"] == "debug"
    relay.subscribe("a-raw", made).reset()
    relay.wait_log(r"debug subscriber closed")
    assert control.post("/log-level?level=loud").status == 400 and control.post("/log-level").status == 400
    assert control.post("/log-level?level=info").status == 200
    assert control.post("/upgrade").status == 202
    relay.wait_log("resumed")


def test_drain_ends_it(lab):
    relay = start(lab)
    relay.signalled = True
    assert Admin(relay, "socket").post("/drain").json == {"ok": True, "subscribers": 0}
    assert relay.wait_exit() == 0
    assert not os.path.exists(lab.directory / "admin.sock")


# ---- who has no business there


def test_nothing_can_be_changed_over_tcp(lab):
    relay = start(lab)
    admin = Admin(relay)
    before = admin.ask("/config").text
    for path in ("/reload", "/drain", "/kick?feed=a&id=1", "/title?feed=a&title=x", "/log-level?level=debug", "/upgrade"):
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = admin.ask(path, method)
            assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD", (path, method, answer.status)
            assert "error" in answer.json
    assert admin.ask("/status.json", "POST").status == 405
    status = admin.get("/status.json")["relay"]
    assert not status["draining"] and status["log_level"] == "info" and admin.ask("/config").text == before


@pytest.mark.parametrize("host, status", [
    ("127.0.0.1", 200), ("127.0.0.1:7090", 200), ("localhost:1", 200), ("[::1]:7090", 200), ("LOCALHOST", 200),
    ("relay.example:7090", 200), ("ops.example", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403),
    ("xrelay.example", 403), ("relay.example.evil", 403), ("localhost.evil:7090", 403),
])
def test_a_name_that_is_not_its_own_is_refused(lab, host, status):
    relay = start(lab, admin={"hosts": "relay.example, ops.example"})
    answer = Admin(relay).ask("/status.json", Host=host)
    assert answer.status == status, answer.text
    assert ("feeds" in answer.json) == (status == 200)
    probed = [Admin(relay).ask(path, Host=host).status for path in ("/healthz", "/readyz?verbose")]
    assert probed == [200, 503]  # they give nothing away; there is no publisher


def test_a_web_page_cannot_command(lab):
    relay = start(lab)
    for origin in ("http://127.0.0.1:7090", "null", "https://evil.example"):
        answer = Admin(relay, "socket").ask("/drain", "POST", Origin=origin)
        assert answer.status == 403, answer.text
    assert not Admin(relay).get("/status.json")["relay"]["draining"]


def test_a_page_of_another_site_fetches_nothing(lab):
    """Not even without looking at it: its requests would use up the rate of the user's own page."""
    relay = start(lab)
    fetch = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    frame = {**link, "Sec-Fetch-Dest": "iframe"}
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    for fields, status in ((fetch, 403), (frame, 403), (link, 200), (own, 200)):
        assert Admin(relay).ask("/", **fields).status == status, fields
    assert Admin(relay).ask("/healthz", **fetch).status == 200


def test_no_answer_is_for_other_sites(lab):
    relay = start(lab)
    for path in ("/", "/status.json", "/metrics", "/healthz", "/readyz", "/config", "/limits.json", "/none"):
        headers = Admin(relay).ask(path, Origin="https://evil.example").headers
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Connection"] == "close"


def test_head_has_no_body(lab):
    relay = start(lab)
    answer = Admin(relay).ask("/config", "HEAD")
    assert answer.status == 200 and int(answer.headers["Content-Length"]) > 1000 and answer.text == ""


def test_who_is_not_in_allow_is_reset(lab):
    relay = start(lab, admin={"allow": "192.0.2.0/24"})
    for _ in range(3):
        assert read_all(Admin(relay).raw()) == b""
    relay.wait_log(r"admin refused peer=tcp:127\.0\.0\.1:\d+")
    relay.wait_log("admin refused, more of them suppressed=[12]$")
    assert Admin(relay, "socket").get("/status.json")["version"] == 1


@pytest.mark.parametrize("data, status", [
    (b"GET /status.json HTTP/1.1\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 65 + b"\r\n", 431), (b"GET /" + b"x" * 40000, 431),
    (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505), (b"GET /../etc HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
])
def test_a_bad_request_hurts_nobody(lab, data, status):
    relay = start(lab)
    got = read_all(Admin(relay).raw(data))
    assert int(got.split()[1]) in (status, 414 if status == 431 else status), got
    assert b'{"error":"' in got
    assert Admin(relay).ask("/healthz").status == 200


def test_connections_are_bounded_and_nobody_is_kept_out(lab):
    """The oldest of those that have not asked yet makes room; the unix socket has room of its own."""
    relay = start(lab)
    admin, control = Admin(relay), Admin(relay, "socket")
    silent = [admin.raw(b"GET /") for _ in range(64)]
    assert admin.ask("/healthz").status == 200
    assert b" 503 " in read_all(silent[0])
    assert control.ask("/healthz").status == 200
    assert 'relay_admin_refused_total{door="tcp"} 1\n' in control.ask("/metrics").text
    for sock in silent:
        sock.close()


def test_who_asks_too_often_is_told(lab):
    relay = start(lab)
    admin, control = Admin(relay), Admin(relay, "socket")

    def is_told():
        """Many at once: one after the other may be slow enough."""
        asked = [admin.raw(b"GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(50)]
        return b" 429 " in b"".join(read_all(one) for one in asked)

    lab.loop.run(is_told, poll=0, what="429")
    # Probes have no rate, the unix socket has none, and another address has one of its own.
    assert control.ask("/config").status == 200
    assert [admin.ask(path).status for path in ("/healthz", "/readyz?feed=a")] == [200, 503]
    assert b" 200 " in read_all(admin.raw(b"GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n", source="127.0.0.2"))
    lab.loop.run(lambda: admin.ask("/config").status == 200, poll=0.05, what="200 again")


def test_what_is_refused_takes_nothing_from_the_rate(lab):
    """Neither a path that there is not, nor a name that a page of another site has made to lead here."""
    relay = start(lab)
    admin = Admin(relay)
    for head in (b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /config HTTP/1.1\r\nHost: evil.example\r\n\r\n"):
        for _ in range(4):
            asked = [admin.raw(head) for _ in range(50)]
            assert all(read_all(one).split()[1] in (b"404", b"403") for one in asked)
    assert admin.ask("/config").status == 200


# ---- where it is


def test_passed_sockets_must_be_of_their_kind(lab):
    unix = f"unix:{lab.directory}/passed.sock"
    sections = {"admin": {"listen": "systemd:http", "socket": "systemd:admin"}, **feed("a")}
    relay = lab.start(sections, prefix=passing("http=tcp", f"admin={unix}"))
    assert Admin(relay).get("/status.json")["version"] == 1
    assert Admin(relay, "socket").post("/reload").status == 200
    assert not [line for line in relay.log if " warning " in line]
    relay = lab.start(sections, prefix=passing("http=tcp", "admin=tcp"), name="2.ini", wait=False).expect("systemd:admin")
    assert relay.wait_exit() == 1
    assert any("expected a socket at unix:" in line for line in relay.log)



def test_the_socket_is_where_the_service_manager_made_room(lab):
    where = lab.directory / "run"
    where.mkdir()
    relay = lab.start({"admin": ADMIN, **feed("a")}, env={"RUNTIME_DIRECTORY": str(where)})
    control = Admin(relay, "socket")
    assert control.target == f"unix:{where}/admin.sock" and control.get("/status.json")["version"] == 1
    mode = os.stat(where / "admin.sock").st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660


def admin_doors(relay):
    return {name for name in relay.address if name.startswith("admin")}


def test_without_the_section_there_is_the_socket_alone(lab):
    relay = lab.start(feed("a"))
    assert not admin_doors(relay)
    relay = lab.start(feed("a"), env={"RUNTIME_DIRECTORY": str(lab.directory)}, name="2.ini")
    assert admin_doors(relay) == {"admin socket"}
    assert Admin(relay, "socket").post("/reload").status == 200
    assert Admin(relay, "socket").ask("/").status == 200
    relay = lab.start({"admin": {"listen": "none", "socket": "none"}, **feed("a")},
                      env={"RUNTIME_DIRECTORY": str(lab.directory)}, name="3.ini")
    assert not admin_doors(relay)


def test_a_socket_that_nobody_asked_for_keeps_no_relay_from_starting(lab):
    env = {"RUNTIME_DIRECTORY": f"{lab.directory}/missing"}
    relay = lab.start(feed("a"), env=env)
    relay.wait_log(r"warning admin: listen unix:.+/missing/admin.sock: .*; relayctl cannot reach this relay")
    relay = lab.start({"admin": {"listen": "none"}, **feed("a")}, env=env, wait=False, name="2.ini").expect("missing")
    assert relay.wait_exit() == 1


def test_what_a_socket_unit_passes_is_taken_by_auto(lab):
    env = {"RUNTIME_DIRECTORY": str(lab.directory)}
    for name, sections in enumerate((feed("a"), {"admin": {"listen": "none"}, **feed("a")})):
        passed = f"unix:{lab.directory}/passed{name}.sock"
        relay = lab.start(sections, prefix=passing(f"admin={passed}"), env=env, name=f"{name}.ini")
        assert Admin(relay, "socket").target == passed
        assert Admin(relay, "socket").post("/reload").status == 200
        assert not (lab.directory / "admin.sock").exists()
        assert not [line for line in relay.log if " warning " in line]
    relay = lab.start({"admin": {"listen": "systemd:admin"}, **feed("a")}, prefix=passing("admin=tcp"), env=env,
                      name="tcp.ini")
    assert Admin(relay, "socket").target == f"unix:{lab.directory}/admin.sock"
    assert Admin(relay).get("/status.json")["version"] == 1


def test_an_address_that_is_taken_is_an_error_at_the_start(lab):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        relay = start(lab, admin={"listen": address}, wait=False).expect("Address already in use")
        assert relay.wait_exit() == 1
    assert any(f"admin: listen {address}" in line for line in relay.log)

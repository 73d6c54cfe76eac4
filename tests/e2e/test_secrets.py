# SPDX-License-Identifier: MIT
"""What only relay and its peer should know is in no log, no page and no error: a marker goes in everywhere, and out nowhere."""

import re
from base64 import b64encode

from relaytest.admin import Admin
from relaytest.daemon import ROOT
from relaytest.ini import feed
from relaytest.web import Answer, request, upgrade

MARK = "m4rker"
GOOD = f"{MARK}-good"
# Each at a listener of its own, since only the first refusal of a second is a line of the log.
ASKED = {
    "good": request("/a", {"Authorization": f"Bearer {GOOD}"}, "HEAD"),
    "good-websocket": request("/a", upgrade(**{"Sec-WebSocket-Protocol": f"relay, relay.bearer.{GOOD}"})),
    "good-basic": request("/a", {"Authorization": f"Basic {b64encode(f'joe:{GOOD}'.encode()).decode()}"}, "HEAD"),
    "good-query": request(f"/a?access_token={GOOD}", (), "HEAD"),
    "good-cookie": request("/a", {"Cookie": f"access_token={GOOD}"}, "HEAD"),
    "publish": request(f"/b?access_token={GOOD}", {"Content-Length": 4}, "PUT") + b"one\n",
    "publish-wrong": request(f"/b?access_token={MARK}", {"Content-Length": 4}, "PUT") + b"one\n",
    "bearer": request("/a", {"Authorization": f"Bearer {MARK}"}),
    "basic": request("/a", {"Authorization": f"Basic {MARK}"}),
    "protocol": request("/a", upgrade(**{"Sec-WebSocket-Protocol": f"relay.bearer.{MARK}"})),
    "query": request(f"/a?access_token={MARK}&token={MARK}&{MARK}"),
    "cookie": request("/none", {"Cookie": f"session={MARK}", "Proxy-Authorization": f"Basic {MARK}", "X-Api-Key": MARK}),
    "origin": request("/a", {"Origin": "https://evil.example", "Referer": f"https://x/?token={MARK}"}),
    "absolute": request(f"http://joe:{MARK}@localhost/none"),
    "host": f"GET /a HTTP/1.1\r\nHost: joe:{MARK}@localhost\r\n\r\n".encode(),
    "bad-field": f"GET /a HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer {MARK}\r\n\r\n".encode(),
    "bad-line": f"LOGIN joe {MARK}\r\n\r\n".encode(),
    "method": request("/a", {"Authorization": f"Bearer {MARK}"}, "SOURCE"),
}
PATHS = re.findall(r'^\t\{"(/[^"]*)", HTTP_GET', (ROOT / "relay/admin/admin_route.c").read_text(), re.M)


def no_marker(what, text):
    assert text and MARK not in text, f"{what}: {[line for line in text.splitlines() if MARK in line][:3]}"


def tool(lab, *command):
    done = lab.run_tool(*command)
    return done.stdout + done.stderr


def test_nothing_tells_a_secret(lab):
    tokens = lab.directory / "tokens"
    tokens.write_text(f"{GOOD}\n")
    tokens.chmod(0o600)
    listeners = {f"listener {name}": {"feed": "all", "listen": "tcp:127.0.0.1:0", "format": "http", "token_file": tokens}
                 for name in ASKED}
    for name in ("publish", "publish-wrong"):
        listeners[f"listener {name}"].update({"publish": "yes", "publish_token_file": tokens, "token_file": ""})
    sections = {"relay": {"log_level": "debug"},
                "admin": {"listen": "tcp:127.0.0.1:0", "socket": f"unix:{lab.directory}/admin.sock"},
                **feed("a", framing="line"), **feed("b", ingest="http", framing="line"), **listeners}
    relay = lab.start(sections)
    statuses = {}
    for name, data in ASKED.items():
        asked = Answer(relay, name, data)
        lab.loop.run(lambda one=asked: b"\r\n\r\n" in one.data, what=f"an answer to {name}")
        statuses[name] = int(asked.data.split()[1])
        no_marker(f"the answer to {name}", asked.data.decode("latin-1"))
    assert {statuses.pop(name) for name in ("good", "good-basic", "good-query", "good-cookie")} == {200}
    assert statuses.pop("good-websocket") == 101 and statuses.pop("publish") == 204
    assert all(400 <= status < 600 for status in statuses.values()), statuses
    relay.publish("a", f"SOURCE /a HTTP/1.0\r\nAuthorization: Basic {MARK}\r\n\r\n".encode())
    relay.wait_log("publisher (down|rejected) .*http_request")
    assert len(PATHS) > 7
    for path in PATHS:
        no_marker(path, Admin(relay, "socket").ask(path).text)
    for words in (("status",), ("subscribers",), ("show", "config"), ("show", "limits"), ("doctor",)):
        no_marker(words, tool(lab, "relayctl", "-s", lab.directory / "admin.sock", *words))
    for option in ("-t", "-T"):
        no_marker(option, tool(lab, "relay", option, "-c", relay.ini))
    relay.status()
    # What is wrong with a file of secrets, and with an address, is said without them.
    tokens.write_text(f"{GOOD}\nno token {MARK}\n")
    relay.expect("reload failed", "token_file", "upgrade failed", "bad value")
    relay.wait_log("reload failed: .*tokens:2: this is no token", relay.reload(sections))
    no_marker("-t", tool(lab, "relay", "-t", "-c", relay.ini))
    relay.write({**sections, "feed c": {"ingest": f"connect tcp:joe:{MARK}@localhost:80"},
                 "listener c": {"feed": "c", "listen": f"tcp:joe:{MARK}@localhost:80", "token_file": f"a {MARK}"}})
    for words in (("reload",), ("upgrade",)):
        no_marker(words, tool(lab, "relayctl", "-s", lab.directory / "admin.sock", *words))
    no_marker("-t", tool(lab, "relay", "-t", "-c", relay.ini))
    no_marker("the log", "\n".join(relay.log))

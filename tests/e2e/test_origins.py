# SPDX-License-Identifier: MIT
"""Pages of other origins, and names that a page makes up: CORS, and `hosts` of http listeners."""

import json
import re

import pytest

from relaytest.browser import Browser
from relaytest.ini import web
from relaytest.surroundings import chromium, needs
from relaytest.web import Answer, ask, request, upgrade


def sections(options=None, listen="tcp:127.0.0.1:0"):
    return web(listen=listen, options=options, framing="line")


def as_host(host, path="/a"):
    return f"HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@pytest.mark.parametrize("origins, origin, allowed, credentials", [
    ("https://a.example", "https://a.example", "https://a.example", True),
    ("*", "https://a.example", "*", False),
    ("*", "null", "*", False),
    ("null", "null", "null", False),
    ("https://a.example, file://", "file://", "file://", True),
    ("capacitor://localhost", "capacitor://localhost", "capacitor://localhost", True)])
def test_who_may_bring_cookies(lab, origins, origin, allowed, credentials):
    """Whom the operator named; nobody by *, and not null, which any page can be."""
    relay = lab.start(sections({"origins": origins}))
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-requested-with, a",
                 "Access-Control-Request-Private-Network": "true"}
    for method, fields in (("HEAD", {}), ("OPTIONS", preflight)):
        code, seen, _ = ask(relay, "/a", {"Origin": origin, **fields}, method)
        assert (code, seen["access-control-allow-origin"]) == (204 if fields else 200, allowed)
        assert seen.get("access-control-allow-credentials") == ("true" if credentials else None), seen
    assert seen["access-control-allow-headers"].endswith(", x-requested-with, a"), seen
    assert seen["access-control-allow-private-network"] == "true", seen
    code, seen, _ = ask(relay, "/a", {"Origin": "https://b.example"}, "OPTIONS")
    assert code == (204 if origins == "*" else 403)
    assert ("access-control-allow-credentials" in seen, "access-control-allow-private-network" in seen) == (False, False)


FETCH = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "audio"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize("host, fields, options, status", [
    ("localhost:7003", FETCH, {}, 403),
    ("127.0.0.1:7003", FETCH, {"origins": "https://a.example"}, 403),
    ("[::1]:7003", {**FETCH, "Sec-Fetch-Dest": "image"}, {}, 403),
    ("127.0.0.1", {**LINK, "Sec-Fetch-Dest": "iframe"}, {}, 403),
    ("127.0.0.1", LINK, {}, 200),
    ("127.0.0.1", FETCH, {"origins": "*"}, 200),
    ("127.0.0.1", {**FETCH, "Sec-Fetch-Site": "same-site"}, {}, 200),
    ("127.0.0.1", {**FETCH, "Origin": "https://a.example"}, {"origins": "https://a.example"}, 200),
    ("radio.example", FETCH, {"hosts": "radio.example"}, 200),
    ("127.0.0.1", {**FETCH, "X-Forwarded-For": "192.0.2.1"},
     {"trusted_proxies": "127.0.0.1", "proxy_header": "forwarded"}, 200)])
def test_a_page_of_another_site_has_nothing_fetched_from_this_machine(lab, host, fields, options, status):
    relay = lab.start(sections(options))
    asked = as_host(host).replace(b"\r\n\r\n", "".join(f"\r\n{name}: {fields[name]}" for name in fields).encode() +
                                  b"\r\n\r\n")
    assert Answer(relay, "web", asked).wait()[0] == status
    if status == 403:
        relay.wait_log(r"reason=origin status=403 path=/a \(a page of another site asks; origins = \* in \[listener web\]")
    assert relay.feed("a")["subscribers_total"] == 0


def test_a_refusal_says_what_was_asked(lab):
    relay = lab.start(sections())
    code, _, _ = Answer(relay, "web", request("/a?token=secret", {"Origin": "https://evil.example/\xff reason=none"},
                                              "HEAD")).wait()
    assert code == 403
    relay.wait_log(r"reason=origin status=403 path=/a origin=https://evil\.example/%FF%20reason%3Dnone \(pages of this")
    assert not any("secret" in line for line in relay.log)
    many = [Answer(relay, "web", request("/a", {"Origin": "https://evil.example"})) for _ in range(20)]
    assert all(one.wait()[0] == 403 for one in many)
    relay.wait_log(r" request refused listener=web, more of them suppressed=\d+$")


@pytest.mark.parametrize("hosts, listen, known, unknown", [
    ("auto", "tcp:127.0.0.1:0", ["127.0.0.1:7", "localhost", "[::1]", "10.1.2.3"], ["evil.example:7003", "relay"]),
    ("relay , b.example,\tc", "tcp:127.0.0.1:0", ["Relay:7003", "b.example", "c", "localhost"], ["evil.example"]),
    ("relay", "tcp:0.0.0.0:0", ["relay", "127.0.0.1"], ["evil.example"]),
    ("*", "tcp:127.0.0.1:0", ["evil.example"], []),
    ("auto", "tcp:0.0.0.0:0", ["evil.example"], [])])
def test_hosts(lab, hosts, listen, known, unknown):
    """A name that leads here by itself (DNS rebinding) reads nothing, whatever its page says."""
    relay = lab.start(sections({"hosts": hosts}, listen))
    relay.address["listener web"] = relay.address["listener web"].replace("0.0.0.0", "127.0.0.1")
    for host in known:
        assert Answer(relay, "web", as_host(host)).wait()[0] == 200, host
    for host in unknown:
        name = host.partition(":")[0]
        same = f"GET /a HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n".encode()
        told = f"hosts = {name} in [listener web] would let it in"
        code, _, body = Answer(relay, "web", same + b"\r\n").wait()
        assert code == 403 and told in body, body
        assert Answer(relay, "web", same + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n").wait()[0] == 403
        assert Answer(relay, "web", as_host(host, "/")).wait()[0] == 403
        if host == unknown[0]:  # there is one line a second
            relay.wait_log(rf"reason=host status=403 path=/a origin=http://\S+ \(.*{re.escape(told)}\)")
    assert Answer(relay, "web", b"HEAD /a HTTP/1.0\r\n\r\n").wait()[0] == 200
    if unknown:
        assert relay.status()["relay"]["http_refused_web_host"] == 3 * len(unknown)


def test_a_proxy_answers_for_its_names(lab):
    relay = lab.start(sections({"trusted_proxies": "127.0.0.5"}))
    through = b"PROXY TCP4 10.8.0.1 127.0.0.1 5 80\r\n" + as_host("public.example")
    assert Answer(relay, "web", through, source="127.0.0.5").wait()[0] == 200
    assert Answer(relay, "web", as_host("public.example"), source="127.0.0.1").wait()[0] == 403


def test_hosts_change_by_a_reload(lab):
    relay = lab.start(sections())
    assert Answer(relay, "web", as_host("relay")).wait()[0] == 403
    relay.wait_log("reloaded", relay.reload(sections({"hosts": "relay"})))
    assert Answer(relay, "web", as_host("relay")).wait()[0] == 200


@needs(chromium)
def test_a_page_of_another_origin(lab):
    """Chromium: EventSource and fetch with cookies and fields of their own, from the origin that is named; not from another."""
    plain = {"feed": "a", "listen": "tcp:127.0.0.1:0", "format": "http"}
    relay = lab.start({**sections(), "listener page": plain})
    page = "http://" + relay.address["listener page"].removeprefix("tcp:")
    named = sections({"origins": f"{page}, null"})
    relay.wait_log("reloaded", relay.reload({**named, "listener page": plain}))
    where = "http://" + relay.address["listener web"].removeprefix("tcp:") + "/a"
    asks = f"""(async () => {{
        const said = {{}};
        for (const withCredentials of [false, true])
            said['events ' + withCredentials] = await new Promise((done) => {{
                const source = new EventSource('{where}', {{withCredentials}});
                source.onopen = () => {{ source.close(); done('open'); }};
                source.onerror = () => {{ source.close(); done('error'); }}; }});
        for (const [name, options] of Object.entries({{plain: {{}}, cookies: {{credentials: 'include'}},
                fields: {{headers: {{'Cache-Control': 'no-cache', 'X-Requested-With': 'a', 'Content-Type': 'a/b'}}}}}}))
            said[name] = await fetch('{where}', {{...options, method: 'HEAD'}})
                .then((answer) => answer.status, () => 'error');
        return said; }})()"""
    with Browser(lab.directory) as browser:
        browser.open(f"{page}/")
        browser.wait("document.body && document.body.textContent.includes('/a')")
        assert browser.value(asks) == {"events false": "open", "events true": "open", "plain": 200, "cookies": 200,
                                       "fields": 200}
        # A frame in a sandbox has no site: its origin is null.
        browser.call("Runtime.evaluate", expression=f"""{{
            const frame = document.createElement('iframe');
            frame.sandbox = 'allow-scripts';
            frame.srcdoc = `<script>${{{json.dumps(asks)}}}.then((said) => parent.postMessage(said, '*'))</scr` + `ipt>`;
            window.onmessage = (event) => {{ heard = event.data; }};
            document.body.append(frame); }}""")
        browser.wait("heard")
        assert browser.value("heard") == {"events false": "open", "events true": "error", "plain": 200,
                                          "cookies": "error", "fields": 200}
    assert ask(relay, "/a", upgrade(Origin="https://evil.example"))[0] == 403

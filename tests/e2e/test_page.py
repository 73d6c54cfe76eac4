# SPDX-License-Identifier: MIT
"""The status page in a browser: it shows what is so, it lives, it asks nobody else, and a keyboard is enough."""

import pytest

from relaytest.admin import Admin
from relaytest.browser import Browser
from relaytest.daemon import preload
from relaytest.ini import feed
from relaytest.nats import Server
from relaytest.stream import KIB, script
from relaytest.surroundings import chromium, needs

pytestmark = needs(chromium)

TILE = "[...document.querySelectorAll('.tile')].find((one) => one.firstChild.textContent === '{}').children[1].textContent"
FEED = "document.querySelector('.feed > button[aria-controls=detail-{}]')"


@pytest.fixture
def page(lab):
    """A relay with a feed "a", whose subscriber "a-framed" blocks soon, and "b"; and a browser at its page."""
    framed = {"send_buffer": "32k", "user_timeout": "0"}
    relay = lab.start({"admin": {"listen": "tcp:127.0.0.1:0", "socket": "none"},
                       **feed("a", framing="u32be", on_slow="skip", framed=framed, ring="512k", segment="64k",
                              stall_timeout="1h"),
                       **feed("b", framing="line")})
    with Browser(lab.directory) as browser:
        browser.size(1280, 900)
        browser.open(f"http://{Admin(relay).target[4:]}/")
        browser.wait("document.querySelectorAll('.feed').length === 2")
        yield relay, browser
        where = f"http://{Admin(relay).target[4:]}"
        assert set(browser.requests) == {f"{where}/", f"{where}/status.json"}, set(browser.requests)
        assert not browser.console and not browser.errors, (browser.console, browser.errors)


def test_values_live(lab, page):
    relay, browser = page
    assert browser.value(TILE.format("Subscribers")) == "0"
    assert "no source" in browser.value(FEED.format("a") + ".textContent")
    made = script("u32be", (3000,) * 1000, 1)
    leader = relay.subscribe("a-raw", made)
    slow = relay.subscribe("a-framed", made, receive_buffer=4096, paused=True)
    browser.wait(TILE.format("Subscribers") + " === '2'")
    relay.publish("a", made.wire, piece=16 * KIB).follow(leader, 256 * KIB)
    relay.run_until_done([leader])
    relay.wait("a", subscribers_blocked=1)
    browser.wait(FEED.format("a") + ".textContent.includes('source up')")
    browser.wait(FEED.format("a") + ".textContent.includes('2 (1 blocked)')")
    browser.wait("document.querySelector('#chart-out polyline').getAttribute('points').split(' ').length > 2")
    assert browser.value(TILE.format("Blocked")) == "1"

    detail = "document.getElementById('detail-a')"
    assert browser.value(f"{detail}.hidden") is True
    browser.click("button[aria-controls=detail-a]")
    assert browser.value(f"{detail}.hidden") is False
    assert browser.value(FEED.format("a") + ".getAttribute('aria-expanded')") == "true"
    browser.wait(f"{detail}.textContent.includes('blocked: receive window')")
    here = "tcp:{}:{}".format(*slow.sock.getsockname())
    browser.wait(f"{detail}.textContent.includes('{here}')")

    slow.reset()
    browser.wait(f"{detail}.textContent.includes('Nobody is behind')")
    browser.wait(f"/peer (reset|closed)/.test({detail}.textContent)")
    browser.wait(TILE.format("Subscribers") + " === '1'")
    browser.click("button[aria-controls=detail-a]")
    assert browser.value(f"{detail}.hidden") is True


def test_a_keyboard_is_enough(page):
    relay, browser = page
    names = []
    for _ in range(12):
        browser.press("Tab")
        names.append(browser.value("document.activeElement.id || document.activeElement.getAttribute('aria-controls')"
                                   " || document.activeElement.textContent"))
        if names[-1] == "detail-b":
            break
    assert names[-5:] == ["Skip to the feeds", "pause", "theme", "detail-a", "detail-b"], names
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter", "\r")
    assert browser.value("document.getElementById('detail-b').hidden") is False
    browser.press("p", "p")
    assert browser.value("document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    before = browser.value(TILE.format("Subscribers"))
    relay.subscribe("b-raw", script("line", (10,), 1))
    relay.wait("b", subscribers=1)
    assert browser.value(TILE.format("Subscribers")) == before
    browser.press("p", "p")
    browser.wait(TILE.format("Subscribers") + " === '1'")


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_it_fits_and_has_two_colour_schemes(page, width):
    _, browser = page
    browser.size(width, 800)
    for name in ("a", "b"):
        browser.click(f"button[aria-controls=detail-{name}]")
    browser.wait("document.querySelectorAll('.detail:not([hidden]) .bars').length > 2")
    assert browser.value("document.documentElement.scrollWidth") == width
    grounds = set()
    for scheme in ("light", "dark"):
        browser.colours(scheme)
        browser.wait(f"document.documentElement.dataset.theme === '{scheme}'")
        grounds.add(browser.value("getComputedStyle(document.body).backgroundColor"))
    browser.click("#theme")
    assert browser.value("document.documentElement.dataset.theme") == "light"
    assert len(grounds) == 2


def test_it_tells_how_far_nats_is(lab):
    nats = Server(lab.loop, lab.directory)
    lab.closers.append(nats.close)
    nats.stream()
    relay = lab.start({"admin": {"listen": "tcp:127.0.0.1:0", "socket": "none"}, "nats": {"servers": nats.url},
                       **feed("a", "jetstream:PRICES"),
                       **feed("b", framing="line", forward="jetstream:PRICES", forward_subject="prices.x")})
    relay.wait("a", source_up=1)
    relay.publish("b", b"one\ntwo\n")
    relay.wait("b", forward_acked=2)
    relay.wait("a", in_messages=2)
    with Browser(lab.directory) as browser:
        browser.open(f"http://{Admin(relay).target[4:]}/")
        browser.wait("document.querySelectorAll('.feed').length === 2")
        for name, text in {"a": "0 messages of the stream have not come yet. It was read anew 0 times.",
                           "b": f"Forwarded to jetstream:PRICES by {nats.url}: 0 messages wait. 0 were there already, 0 left out."
                           }.items():
            browser.click(f"button[aria-controls=detail-{name}]")
            browser.wait(f"document.getElementById('detail-{name}').textContent.includes('NATS{text}')")
        nats.kill()
        browser.wait("document.getElementById('detail-b').textContent.includes('NATSNot forwarded to jetstream:PRICES: 0')")
        assert not browser.console and not browser.errors, (browser.console, browser.errors)


def test_it_tells_when_relay_is_silent(lab, page):
    relay, browser = page
    errors = len(browser.errors)
    relay.signalled = True
    relay.process.terminate()
    assert relay.wait_exit() == 0
    browser.wait("!document.getElementById('trouble').hidden")
    assert "does not answer" in browser.value("document.getElementById('trouble').textContent")
    # The browser itself notes the refused connection.
    assert all("ERR_CONNECTION_REFUSED" in text for text in browser.errors[errors:])
    del browser.errors[errors:]


def test_it_tells_when_the_file_is_not_in_effect(lab, page):
    relay, browser = page
    fault = "document.getElementById('config-fault')"
    assert browser.value(f"{fault}.hidden") is True
    right = relay.sections
    relay.expect(r"relay\.ini:\d+: error: ", "reload failed")
    relay.wait_log("reload failed", relay.reload({**right, "feed a": {"ingest": "<b>nonsense</b>"}}))
    browser.wait(f"!{fault}.hidden")
    told = browser.value(f"{fault}.textContent")
    assert "not in effect" in told and "relay.ini:" in told and "<b>nonsense</b>" in told, told
    relay.wait_log(r" reloaded\b", relay.reload(right))
    browser.wait(f"{fault}.hidden")


def test_nothing_from_outside_runs(page):
    """The policy holds: a style or script that is not the page's own is not taken."""
    _, browser = page
    browser.value("""document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}));
        document.body.insertAdjacentHTML('beforeend', '<b id=x onclick="window.ran = 2">x</b>');
        document.getElementById('x').click()""")
    assert browser.value("window.ran === undefined")
    assert len(browser.errors) >= 2 and all("Content Security Policy" in text for text in browser.errors)
    browser.errors.clear()


def test_how_far_a_history_reaches(lab):
    """And that it cannot be written, in the colour of a warning."""
    made = script("u32be", (1000,) * 1000, 1)
    relay = lab.start({"admin": {"listen": "tcp:127.0.0.1:0"},
                       **feed("a", framing="u32be", history=lab.directory / "history", on_slow="wait")},
                      env=preload(RELAY_REFUSE="pwrite:ENOSPC:after=100")).expect("history cannot be")
    told, sent = "document.getElementById('detail-a').textContent", 1
    publisher = relay.publish("a", made.wire[:1004])
    with Browser(lab.directory) as browser:
        browser.size(1280, 900)
        browser.open(f"http://{Admin(relay).target[4:]}/")
        # The only feed shows its details.
        session = relay.feed("a")["session"]
        browser.wait(rf"/Reaches back [^,]+, to {session}-1\. The recorder has 0 messages to write\. 0 subscribers read it\./"
                     f".test({told})")
        assert browser.value("document.querySelectorAll('#detail-a .warn-text').length") == 0
        while not any("history cannot be written" in line for line in relay.log):
            publisher.send(made.wire[1004 * sent:1004 * (sent + 1)])
            sent += 1
            relay.wait("a", in_messages=sent)
        browser.wait(f"{told}.includes('subscribers read it. It cannot be written.')")
        assert browser.value("document.querySelectorAll('#detail-a .warn-text').length") == 1
        assert not browser.console and not browser.errors, (browser.console, browser.errors)

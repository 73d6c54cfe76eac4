# SPDX-License-Identifier: MIT
"""Chromium without a window, driven over a pair of pipes (the DevTools protocol, --remote-debugging-pipe): no driver
program, no port. It gets no network but loopback.

requests, console and errors collect what the page did.
"""

import base64
import fcntl
import itertools
import json
import os
import select
import subprocess
import time

CEILING = 60
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-default-apps", "--hide-scrollbars", "--remote-debugging-pipe",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")


class Browser:
    """One page. Use as a context; close() ends the processes that it started. prefix is put before its command."""

    def __init__(self, directory, prefix=()):
        self.requests, self.console, self.errors = [], [], []
        self.ids = itertools.count(1)
        self.answers = {}
        self.buffer = b""
        to_child, self.to = os.pipe()
        self.come, from_child = os.pipe()
        home = directory / "browser"
        home.mkdir()
        # Chromium reads from 3 and writes to 4, so neither may be one of ours.
        to_child, from_child = (self.above_4(fd) for fd in (to_child, from_child))
        command = [*prefix, "bash", "-c", f'exec "$@" 3<&{to_child} 4>&{from_child}', "bash", "chromium", *FLAGS,
                   f"--user-data-dir={home}", "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=(to_child, from_child), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env={**os.environ, "HOME": str(home)})
        os.close(to_child)
        os.close(from_child)
        self.session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(one for one in targets if one["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    @staticmethod
    def above_4(fd):
        made = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(fd)
        return made

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            try:
                self.session = None
                self.call("Browser.close")
                self.process.wait(10)
            except (OSError, AssertionError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        for fd in (self.to, self.come):
            os.close(fd)

    # The protocol.

    def call(self, method, **params):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + CEILING
        while number not in self.answers:
            self.read(deadline, method)
        answer = self.answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def read(self, deadline, what):
        ready, _, _ = select.select([self.come], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"the browser does not answer to {what}"
        data = os.read(self.come, 65536)
        assert data, f"the browser ended at {what}"
        *whole, self.buffer = (self.buffer + data).split(b"\0")
        for text in whole:
            self.take(json.loads(text))

    def take(self, message):
        params = message.get("params", {})
        if "id" in message:
            self.answers[message["id"]] = message
        elif message["method"] == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif message["method"] == "Runtime.consoleAPICalled":
            self.console.append(str(params["args"]))
        elif message["method"] == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif message["method"] == "Log.entryAdded":
            self.errors.append(str(params["entry"]))

    # The page.

    def open(self, url):
        self.call("Page.navigate", url=url)

    def value(self, expression):
        """What a JavaScript expression gives; promises are waited for."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait(self, expression, what=None):
        """Until the expression is true; the browser looks at each frame that it draws."""
        self.call("Runtime.evaluate", awaitPromise=True, returnByValue=True, expression=f"""new Promise((done, fail) => {{
            const end = Date.now() + {CEILING * 500};
            const look = () => {{
                let is = false;
                try {{ is = {expression}; }} catch {{ }}
                is ? done(true) : Date.now() > end ? fail(Error("in vain")) : setTimeout(look, 20);
            }};
            look(); }})""")
        assert self.value(expression), what or expression

    def click(self, selector):
        """With the mouse, in the middle of the element, which must be the one that is there."""
        place = self.value(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{block: "center"}});
            const box = element.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
            return element.contains(document.elementFromPoint(x, y)) ? [x, y] : null; }})()""")
        assert place, f"{selector} is covered"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def press(self, key, text=""):
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text,
                  windowsVirtualKeyCode={"Tab": 9, "Enter": 13}.get(key, 0))
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)

    def colours(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

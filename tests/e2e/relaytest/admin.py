# SPDX-License-Identifier: MIT
"""Asking the admin server of a Relay: whole requests, and raw bytes."""

import http.client
import json
import socket

from . import address
from .loop import CEILING


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def json(self):
        return json.loads(self.text)


class Connection(http.client.HTTPConnection):
    """To an address as relay writes it, "tcp:127.0.0.1:7090" or "unix:/run/x"."""

    def __init__(self, target):
        super().__init__("localhost", timeout=CEILING)
        self.target = target

    def connect(self):
        self.sock = address.connect(self.target)
        self.sock.settimeout(CEILING)


class Admin:
    """door: "listen" (tcp) or "socket" (unix)."""

    def __init__(self, relay, door="listen"):
        self.relay = relay
        self.door = door

    @property
    def target(self):
        return self.relay.address[f"admin {self.door}"]

    def ask(self, path, method="GET", **headers):
        connection = Connection(self.target)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path):
        answer = self.ask(path)
        assert answer.status == 200, f"{path}: {answer.status} {answer.text}"
        return answer.json

    def post(self, path):
        return self.ask(path, "POST")

    def feed(self, name):
        return next(feed for feed in self.get("/status.json")["feeds"] if feed["name"] == name)

    def raw(self, data=b"", source=None):
        """A socket on which data has been sent, from another address of this machine where one is named."""
        sock = address.connect(self.target, source=source)
        sock.settimeout(CEILING)
        if data:
            sock.sendall(data)
        return sock


def read_all(sock):
    """Until the end, which may be a reset."""
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
    except ConnectionResetError:
        pass
    finally:
        sock.close()
    return got


def is_listening(target):
    try:
        address.connect(target).close()
    except (ConnectionError, FileNotFoundError, socket.timeout):
        return False
    return True

# SPDX-License-Identifier: MIT
"""A stand-in for the service manager: a NOTIFY_SOCKET with a store of descriptors (sd_notify(3)), which are passed to
the relay that is started next."""

import os
import socket
import sys
from pathlib import Path

from .loop import READ

PASS = (sys.executable, str(Path(__file__).parent / "pass_sockets.py"))
STORE_MAX = 3


class ServiceManager:
    """Options() are for lab.start(); what relay stores in the meantime is passed by them, and sockets always are."""

    def __init__(self, lab, **sockets):
        self.loop = lab.loop
        self.path = str(lab.directory / "notify")
        self.sockets = sockets
        self.store = {}
        self.ready = 0
        self.messages = []
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o666)
        self.sock.setblocking(False)
        self.loop.watch(self.sock, READ, self.take)
        lab.closers.append(self.close)

    def take(self, _events):
        data, fds, _, _ = socket.recv_fds(self.sock, 4096, 16)
        message = dict(line.split("=", 1) for line in data.decode().splitlines())
        self.messages.append(message)
        self.ready += message.get("READY") == "1"
        name = message.get("FDNAME")
        if "FDSTOREREMOVE" in message and name in self.store:
            os.close(self.store.pop(name))
        if "FDSTORE" in message:
            assert len(fds) == 1 and message["FDPOLL"] == "0" and name not in self.store and len(self.store) < STORE_MAX
            self.store[name] = fds.pop()
        for fd in fds:
            os.close(fd)

    def options(self, **more):
        """The store is passed and is relay's to be removed from, as the real one's."""
        passed = self.store | {name: sock.fileno() for name, sock in self.sockets.items()}
        words = [f"{name}=fd:{fd}" for name, fd in passed.items()]
        prefix = (*PASS, *words, "--") if words else ()
        env = {"NOTIFY_SOCKET": self.path} | more.pop("env", {})
        return {"env": env, "pass_fds": tuple(passed.values()), "prefix": prefix, **more}

    def keepers(self):
        """Of all relays of this service manager."""
        mark = f"NOTIFY_SOCKET={self.path}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if ((process / "comm").read_text() == "relay-keeper\n"
                        and mark in (process / "environ").read_bytes().split(b"\0")):
                    found.append(int(process.name))
            except OSError:
                pass  # it has ended
        return found

    def close(self):
        self.loop.unwatch(self.sock)
        self.sock.close()
        for fd in self.store.values():
            os.close(fd)
        for sock in self.sockets.values():
            sock.close()

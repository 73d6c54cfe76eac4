# SPDX-License-Identifier: MIT
"""A stand-in for the service manager: a NOTIFY_SOCKET with a store of descriptors (sd_notify(3)), which are passed to
the relay that is started next; and a client that connects all the time, to see whether anybody is ever refused."""

import os
import socket
import sys
import threading
from pathlib import Path

from . import address
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


class Connector(threading.Thread):
    """Connects to each address in turn, again and again, and goes away."""

    def __init__(self, *addresses):
        super().__init__(daemon=True)
        self.addresses = [address.parse(text) for text in addresses]
        self.stopped = threading.Event()
        self.connected = 0
        self.refused = []
        self.start()

    def run(self):
        while not self.stopped.wait(0.002):
            for family, where in self.addresses:
                with socket.socket(family, socket.SOCK_STREAM) as sock:
                    sock.settimeout(20)
                    # After a FIN relay would keep a raw one, who may only have half-closed.
                    address.reset_on_close(sock)
                    try:
                        sock.connect(where)
                    except ConnectionResetError:
                        pass  # relay took the connection and did not want it
                    except OSError as error:
                        self.refused.append((where, error))
                        continue
                self.connected += 1

    def stop(self):
        """How many connected; those that were refused."""
        self.stopped.set()
        self.join()
        return self.connected, self.refused

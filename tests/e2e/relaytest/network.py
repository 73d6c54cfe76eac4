# SPDX-License-Identifier: MIT
"""A network of hosts: each a namespace with one link to a switch, which can be pulled. The test's own thread can be at
the switch, too."""

import ctypes
import os
import subprocess
from contextlib import contextmanager

from .namespace import Namespace

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def set_namespace(fd):
    """Of the calling thread (setns(2)): its new sockets are there."""
    if LIBC.setns(fd, CLONE_NEWNET) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Host(Namespace):
    def __init__(self, network, address):
        super().__init__()
        self.network = network
        self.address = address
        self.link = f"to-{address.rpartition('.')[2]}"
        network.run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        network.run("ip", "link", "set", self.link, "master", "switch", "up")
        self.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def run(self, *words):
        subprocess.run(self.command(*words), check=True)

    def pull(self):
        """Nothing comes through any more, and nobody is told."""
        self.network.run("ip", "link", "set", self.link, "down")

    def plug(self):
        self.network.run("ip", "link", "set", self.link, "up")


class Network(Namespace):
    """with Network("192.0.2.254") as network: network.host("192.0.2.11").command("program", "argument")"""

    def __init__(self, address):
        super().__init__()
        self.hosts = []
        self.run("ip", "link", "add", "switch", "type", "bridge")
        self.run("ip", "address", "add", f"{address}/24", "dev", "switch")
        self.run("ip", "link", "set", "switch", "up")

    def run(self, *words):
        subprocess.run(self.command(*words), check=True)

    def host(self, address):
        self.hosts.append(Host(self, address))
        return self.hosts[-1]

    def enter(self):
        """The calling thread is at the switch from now on."""
        with open(f"/proc/{self.holder.pid}/ns/net", "rb") as file:
            set_namespace(file.fileno())

    @contextmanager
    def entered(self):
        with open("/proc/thread-self/ns/net", "rb") as before:
            self.enter()
            try:
                yield
            finally:
                set_namespace(before.fileno())

    def __exit__(self, *_):
        for host in self.hosts:
            host.__exit__()
        super().__exit__()

# SPDX-License-Identifier: MIT
"""An HTTP origin that answers as the test says: relay is its client."""

import socket

from . import address
from .loop import READ

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Connection:
    def __init__(self, origin, sock):
        self.origin = origin
        self.sock = sock
        self.request = b""
        sock.setblocking(False)
        origin.loop.watch(sock, READ, self.ready)

    def ready(self, _events):
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.request += data
        if self.request.endswith(b"\r\n\r\n") and self.origin.answers:
            answer = self.origin.answers.pop(0)
            if answer is not None:
                answer(self) if callable(answer) else self.send(answer)

    @property
    def line(self):
        return self.request.split(b"\r\n")[0].decode()

    def field(self, name):
        for line in self.request.decode().split("\r\n")[1:]:
            if line.lower().startswith(name.lower() + ": "):
                return line.split(": ", 1)[1]
        return None

    def send(self, data):
        self.sock.setblocking(True)
        self.sock.sendall(data)
        self.sock.setblocking(False)
        return self

    def end(self):
        """No more comes; relay closes then."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def close(self):
        if self.sock is not None:
            self.origin.loop.unwatch(self.sock)
            self.sock.close()
            self.sock = None

    def reset(self):
        address.reset_on_close(self.sock)
        self.close()


class Origin:
    """Listens at `where`. answers: for each request in turn bytes, a function of the connection, or None for nothing.
    connections has all that ever asked."""

    def __init__(self, lab, *answers, host="127.0.0.1"):
        self.loop = lab.loop
        self.answers = list(answers)
        self.connections = []
        self.sock = socket.create_server((host, 0))
        self.sock.setblocking(False)
        self.where = "{}:{}".format(*self.sock.getsockname()[:2])
        self.loop.watch(self.sock, READ, self.accept)
        lab.closers.append(self.close)

    def url(self, path="/stream"):
        return f"http://{self.where}{path}"

    def accept(self, _events):
        sock, _ = self.sock.accept()
        self.connections.append(Connection(self, sock))

    @property
    def asked(self):
        """Those whose request has come whole."""
        return [one for one in self.connections if b"\r\n\r\n" in one.request]

    def wait_asked(self, count=1):
        self.loop.run(lambda: len(self.asked) >= count, what=f"request {count}")
        return self.asked[count - 1]

    def close(self):
        for one in self.connections:
            one.close()
        if self.sock is not None:
            self.loop.unwatch(self.sock)
            self.sock.close()
            self.sock = None

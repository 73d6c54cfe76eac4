# SPDX-License-Identifier: MIT
"""A client that connects all the time, to see whether anybody is ever refused."""

import socket
import threading

from . import address


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

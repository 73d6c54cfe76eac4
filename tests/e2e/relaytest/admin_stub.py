# SPDX-License-Identifier: MIT
"""Stands in for relay's admin server on a unix socket: answers are set by the test, requests are kept."""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler


class Request(BaseHTTPRequestHandler):
    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def answer(self):
        path, _, query = self.path.partition("?")
        self.server.seen.append((self.command, path, query))
        status, body = self.server.answers.get((self.command, path), (404, {"error": f"no {path} here"}))
        if callable(body):
            body = body()
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer


class AdminStub(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """with AdminStub(path) as stub: stub.answers["GET", "/status.json"] = 200, {...}"""

    daemon_threads = True

    def __init__(self, path):
        self.path = str(path)
        self.answers = {}
        self.seen = []
        super().__init__(self.path, Request)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()


def subscriber(number, **changes):
    return {"id": number, "feed": "a", "format": "raw", "worker": 0, "peer": f"tcp:192.0.2.1:{4000 + number}",
            "state": "idle", "lag_bytes": 0, "lag_ms": 0, "lag_messages": 0, "delivered_messages": 7,
            "sent_bytes": 0, "connected_ms": 61000, "queued_bytes": 0, **changes}


def status(feeds=("a",), **relay):
    return {
        "version": 1,
        "relay": {"version": "0.1", "pid": 4711, "uptime_s": 3723.5, "time": "2026-11-21T12:00:00Z", "draining": False,
                  "workers": 1, "subscribers": 3, "max_subscribers": 19000, "pinned_bytes": 2500000,
                  "log_level": "info", **relay},
        "workers": [{"index": 0, "subscribers": 3, "homes": 1, "turns": 1234567,
                     "lag_us": {"p50": 1, "p99": 250, "max": 1500, "buckets": []}}],
        "feeds": [{"name": name, "session": 1, "next_seq": 1, "source_up": True, "source": "listen tcp:127.0.0.1:7000",
                   "rate_in": 1500000, "rate_out": 3000000000,
                   "metrics": {"subscribers": 3, "subscribers_blocked": 1, "gaps": 5, "ring_bytes": 8388608,
                               "refused_calls": 0, "engine_fallbacks": 0},
                   "closed": {}, "source_ends": {}, "skipped_by": {}, "closed_slow_by": {"network": 2, "limit": 3},
                   "engine": "auto", "cost_ps": {"copy": 310, "splice": 92}, "copy_below": 16384,
                   "compact_readers": 4, "slot_bytes": 18000,
                   "slowest": []} for name in feeds],
        "listeners": [{"name": "x", "feed": "a", "format": "raw", "address": "tcp:127.0.0.1:7001", "accepted": 12,
                       "accept_errors": 0, "accept_paced": 0}],
    }

# SPDX-License-Identifier: MIT
"""Pieces of relay.ini as dicts, for daemon.Relay."""

import configparser


def parsed(text):
    """A whole file."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",))
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


def feed(name, ingest="listen tcp:127.0.0.1:0", raw=None, framed=None, **options):
    """A feed with two listeners on free ports: NAME-raw and NAME-framed, with their own options."""
    return {
        f"feed {name}": {"ingest": ingest, **options},
        f"listener {name}-raw": {"feed": name, "listen": "tcp:127.0.0.1:0", **(raw or {})},
        f"listener {name}-framed": {"feed": name, "listen": "tcp:127.0.0.1:0", "format": "framed",
                                    **(framed or {})},
    }


def web(name="a", listen="tcp:127.0.0.1:0", options=None, serves=None, **more):
    """feed() with a listener for http, too, named web; `options` are its own."""
    return {**feed(name, **more),
            "listener web": {"feed": serves or name, "listen": listen, "format": "http", **(options or {})}}


# A listener behind which a stopped reader fills up after a few hundred kilobytes. To the kernel a reader that stands
# still is a network that gives no answer, and on a busy machine it may stand for long.
TIGHT = {"send_buffer": "32k", "user_timeout": "0"}

# The engines under test, with both ways of header memory.
ENGINES = {
    "splice-gift": {"engine": "splice", "headers": "gift"},
    "splice-write": {"engine": "splice", "headers": "write"},
    "compact": {"engine": "compact"},
    "copy": {"engine": "copy"},
    "auto": {"engine": "auto"},
}

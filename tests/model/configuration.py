# SPDX-License-Identifier: MIT
"""Random configurations of the same feeds and listeners: all options that change what happens to a byte or to a peer."""

from .stream import FIXED

# framing, and where publishers and framed subscribers connect. The rest is over TCP, and whatever is unix in one feed
# is TCP in another.
FEEDS = {
    "lines": ("line", "tcp", "unix"),
    "short": ("u16be", "unix", "tcp"),
    "long": ("u32be", "tcp", "unix"),
    "packets": ("relay", "tcp", "tcp"),
    "blocks": (f"fixed:{FIXED}", "unix", "tcp"),
    "bytes": ("none", "tcp", "unix"),
}
WEB = ("web", "gaps")

FEED = {
    "engine": ("auto", "auto", "splice", "compact", "copy"),
    "headers": ("gift", "gift", "write"),
    "ring": ("256k", "512k", "1m", "8m"),
    "burst": ("0", "0", "64k", "1s"),
    "coalesce": ("auto", "none", "1k", "64k"),
    "coalesce_time": ("1ms", "2ms", "20ms"),
    "heartbeat": ("0", "50ms", "1s"),
    "source_timeout": ("0", "0", "0", "3s"),
    "on_source_loss": ("hold", "hold", "hold", "close"),
    "takeover": ("reject", "replace"),
    "sniff": ("yes", "no"),
    "max_lag": ("0", "0", "0", "128k"),
    "max_lag_time": ("0", "0", "0", "500ms"),
    "stall_timeout": ("300ms", "2s", "10s"),
    "grace": ("0", "200ms", "5s"),
    "max_message": ("256k", "1m"),
    "max_subscribers": ("0", "0", "0", "30"),
}
LISTENER = {
    "burst": (None, None, None, "0", "32k", "200ms"),
    "send_buffer": ("0", "0", "16k", "64k"),
    "notsent_lowat": ("512k", "16k", "0"),
    "max_per_ip": ("0", "0", "0", "20"),
    "accept_rate": ("0", "0", "100"),
    "max_input": ("4k", "100", "0"),
    "input_rate": ("auto", "1k", "0"),
    "user_timeout": ("0", "30s"),
}
HTTP = {
    "messages": ("packet", "packet", "message"),
    "head_timeout": ("200ms", "10s"),
    "max_heads": ("4", "256"),
    "origins": ("none", "*"),
}
ON_SLOW = (None, "auto", "skip", "disconnect", "wait", "wait")
ERRORS = (
    ("feed lines", "ring", "12"),
    ("feed long", "engine", "gift"),
    ("relay", "wrokers", "2"),
    ("listener web", "format", "htpp"),
    ("listener lines-raw", "feed", "line"),
)


def choose(pick, table):
    chosen = {key: pick.choice(values) for key, values in table.items()}
    return {key: value for key, value in chosen.items() if value is not None}


def on_slow(pick, framing):
    """A gap in bytes without framing cannot be seen: skip is an error there."""
    while (chosen := pick.choice(ON_SLOW)) == "skip" and framing == "none":
        pass
    return {} if chosen is None else {"on_slow": chosen}


def random_sections(pick, directory, fixed):
    """fixed: the options of [relay] that stay for the whole run. Most segments stay, as others make a feed anew."""
    def where(kind, name):
        return "tcp:127.0.0.1:0" if kind == "tcp" else f"unix:{directory}/{name}"

    sections = {"relay": fixed | {"turn_budget": pick.choice(("1ms", "2ms")), "drain": "2s", "log_level": "debug",
                                  "max_pinned": pick.choice(("0", "0", "4m"))},
                "admin": {"listen": "tcp:127.0.0.1:0", "socket": f"unix:{directory}/admin"}}
    for feed, (framing, ingest, framed) in FEEDS.items():
        sections[f"feed {feed}"] = {"ingest": f"listen {where(ingest, feed)}", "framing": framing,
                                    "segment": "64k" if pick.random() < 0.98 else "128k",
                                    **choose(pick, FEED), **on_slow(pick, framing)}
        if framing == "line":
            # Else part of a message is one, too, and the model has to know how each publisher ended.
            sections[f"feed {feed}"]["last_line"] = "drop"
        sections[f"listener {feed}-raw"] = {"feed": feed, "listen": "tcp:127.0.0.1:0", **choose(pick, LISTENER),
                                            **on_slow(pick, framing)}
        sections[f"listener {feed}-framed"] = {"feed": feed, "listen": where(framed, f"{feed}-framed"), "format": "framed",
                                               **choose(pick, LISTENER), **on_slow(pick, framing)}
    for name in WEB:
        sections[f"listener {name}"] = {"feed": "all", "listen": "tcp:127.0.0.1:0", "format": "http",
                                        "gaps": "yes" if name == "gaps" else "no", **choose(pick, LISTENER),
                                        **choose(pick, HTTP), **on_slow(pick, "none")}
    return sections


def wrong_sections(pick, sections):
    """One error in it: nothing of it may be applied."""
    section, key, value = pick.choice(ERRORS)
    return sections | {section: sections[section] | {key: value}}


def may_miss(sections, listener, feed):
    """Whether who reads there without being told of gaps may miss something."""
    framing = sections[f"feed {feed}"]["framing"]
    if framing == "relay":
        return True  # the publisher's own gaps
    policy = sections[f"listener {listener}"].get("on_slow", sections[f"feed {feed}"].get("on_slow", "auto"))
    is_raw = sections[f"listener {listener}"].get("format", "raw") == "raw"
    return policy == "skip" or policy == "auto" and is_raw and framing != "none"

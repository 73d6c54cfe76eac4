# SPDX-License-Identifier: MIT
"""?from= for a message that is yet to come: another relay with the same sequence was a little further."""

import pytest

from relaytest.ini import web
from relaytest.stream import text_script
from relaytest.web import Answer, EventSubscriber, ask, asked, everything, request

SIZE, HAS, WANTED = 300, 10, 13
MADE = text_script((SIZE,) * 40, 5)


class Ahead:
    """A relay that has 10 messages, and the session of its feed."""

    def __init__(self, lab):
        self.lab = lab
        self.relay = lab.start({"relay": {"log_level": "debug"},
                                **web(framing="line", heartbeat="100ms", options={"burst": "64k", "gaps": "yes"})})
        self.publisher = self.relay.publish("a", MADE.wire[:MADE.start_of(HAS)])
        self.relay.wait("a", in_messages=HAS)
        self.session = ask(self.relay, "/a?from=99")[1]["relay-session"]

    def wait_waiting(self, count):
        self.lab.loop.run(lambda: sum("subscriber waits for a message to come" in line for line in self.relay.log) == count,
                          what=f"{count} to wait")

    def publish(self, first, end):
        self.publisher.send(MADE.wire[MADE.start_of(first):MADE.start_of(end)])
        self.relay.wait("a", in_messages=end)


def test_who_is_a_little_ahead_waits_for_the_message(lab):
    """Nothing comes before it: not the head of the answer, not the messages that the client has already."""
    there = Ahead(lab)
    readers = [there.relay.subscribe("web", MADE, kind=kind, start=(WANTED - 1) * SIZE,
                                     **asked(kind, options, f"from={there.session}-{WANTED}"))
               for kind, options in everything("line")]
    there.wait_waiting(len(readers))
    there.publish(HAS, WANTED - 2)
    assert not any(one.head for one in readers)
    there.publish(WANTED - 2, WANTED - 1)
    there.publish(WANTED - 1, MADE.count)
    there.relay.run_until_done(readers)
    there.relay.wait("a", gaps=0)


def test_a_message_that_does_not_come(lab):
    """Who waits for it is told what there is, after some seconds; an event stream begins with a gap."""
    there = Ahead(lab)
    events = there.relay.subscribe("web", MADE, kind=EventSubscriber,
                                   fields={"Last-Event-ID": f"{there.session}-{WANTED - 1}"})
    code, fields, body = ask(there.relay, f"/a?from={there.session}-{WANTED}")
    assert (code, fields["relay-next"]) == (416, str(HAS + 1)), body
    there.wait_waiting(2)
    there.publish(HAS, MADE.count)
    there.relay.run_until_done([events])
    assert events.gaps == [b'{"from":null,"to":1}']


@pytest.mark.parametrize("place", ["{other}-13", "{session}-65548", "13"])
def test_what_cannot_come_in_a_moment(lab, place):
    """Another session, too far ahead, or no session at all: refused at once."""
    there = Ahead(lab)
    path = f"/a?from={place.format(session=there.session, other=int(there.session) ^ 1)}"
    assert ask(there.relay, path)[0] == 416
    there.wait_waiting(0)
    waiting = Answer(there.relay, "web", request(f"/a?from={there.session}-65547"))
    there.wait_waiting(1)
    waiting.close()


def test_who_waits_comes_back_after_an_upgrade(lab):
    there = Ahead(lab)
    waiting = Answer(there.relay, "web", request(f"/a?from={there.session}-{WANTED}"))
    there.wait_waiting(1)
    there.relay.upgrade()
    code, fields, body = waiting.wait()
    assert code == 503 and "retry-after" in fields, body
    there.publish(HAS, MADE.count)
    again = Answer(there.relay, "web", request(f"/a?from={there.session}-{WANTED}"))
    lab.loop.run(lambda: MADE.wire[-SIZE:] in again.data, what="the last message")

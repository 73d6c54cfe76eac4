// SPDX-License-Identifier: MIT
/*
 * Who becomes a subscriber: the access lists first, then the limits, from the widest to the
 * narrowest.  Each refusal has a reason, which is counted by the feed (closed_REASON) and logged at
 * most once a second for each listener.
 */
#pragma once

struct place;
struct served_listener;

/* A peer has connected to `listener` (struct served_listener): joins the feed or is reset.  `fd` is
 * taken over.  For listener_init(). */
void admit_subscriber(void *listener, int fd);

/* Applies the listener's socket options; a failure is logged, and survived. */
void admit_set_sockopts(struct served_listener *listener, int fd);

/* Writes down where its address is counted, for the time after a crash; before it joins. */
void admit_note_place(const struct served_listener *listener, int fd, struct place *place);

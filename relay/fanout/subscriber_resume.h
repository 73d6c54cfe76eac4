// SPDX-License-Identifier: MIT
/*
 * Reading what a process that has died left of its subscribers in its records (feed_kept.h).
 * Nothing is believed: numbers, texts and places are checked, a socket must be the one that is
 * meant, and a TCP socket must have got as many bytes as the record says.
 */
#pragma once

#include "base/compiler.h"
#include "feed/feed_kept.h"
#include "feed/feed_state.h"

/* Is there a subscriber, whether its place is known or not? */
bool subscriber_record_is_used(const struct subscriber_record *record);

/* Describes the subscriber with the socket `fd`, which remains the caller's, as one that can go on
 * where it stood in the ring; the notes and what its input has half read are the records'.  Its
 * accounts begin anew.
 *
 * Who was being served when the process died is where TCP says: so many bytes farther on in the
 * ring as its socket has got since.  0; -ESTALE: its place is not known; -EBADMSG: the record is
 * not that of this socket, or does not hold together. */
must_check int subscriber_record_read(const struct subscriber_record *record,
				      const struct input_record *input, int fd,
				      const struct ring_state *ring,
				      struct subscriber_snapshot *ret);

/* The text is whole and says something. */
bool record_text_is_good(const char text[RECORD_NAME_BYTES]);

/* Attaches a subscriber of the process before, where it was.  Its socket, place and input are taken
 * out of *state, and given up when there is no memory. */
void subscriber_resume(struct rendition *rendition, struct subscriber_snapshot *state,
		       const struct ring_restored *restored);

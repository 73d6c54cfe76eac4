// SPDX-License-Identifier: MIT
/*
 * A small state of a relay that is right: what the tests spoil in one place at a time, and what the
 * fuzz target edits.  It is made here, of the structs as they are, so that it never gets out of
 * date.
 */
#ifndef TESTS_UNIT_HANDOVER_SAMPLE_H
#define TESTS_UNIT_HANDOVER_SAMPLE_H

#include "serve/handover.h"

enum {
	FDS = 7,        // in the sample, from FIRST_FD on
	RING_FD = 950,  // the number of a ring's record, which is not among them
	FIRST_FD = 900, // not open: nothing here may touch a descriptor
	SAMPLE_BLOCK_BYTES = 17,
};

struct sample {
	uint8_t note[NOTES_OWN_MAX + 1];
	struct handover handover;
	struct handed_socket sockets[1];
	struct handed_feed feeds[1];
	struct feed_state parts[1];
	struct rendition_state renditions[1];
	struct subscriber_snapshot subscribers[3];
	uint8_t block[SAMPLE_BLOCK_BYTES];
	struct handed_http http_listeners[1];
	struct farewell farewells[1];
	uint8_t last_words[FAREWELL_BYTES_MAX + 1];
};

// A listener, a feed with two subscribers and one that reads files, a listener of HTTP, and
// somebody who is only told something.
void sample_fill(struct sample *sample);

#endif

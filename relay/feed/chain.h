// SPDX-License-Identifier: MIT
/*
 * A chain: the pipes that one packet is put into, for a rendition or for another worker.
 *
 * What is put into it lies in order, each pipe filled as far as its slots reach.  A chain owns its
 * pipes until they are given away (count set to 0) or dropped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake/intake.h"
#include "pipe/pipe.h"
#include "pipe/pipe_set.h"

enum {
	CHAIN_MAX = 2 * INTAKE_PIPES_MAX + 2
};

struct chain {
	struct pipe pipes[CHAIN_MAX]; /* of the pipe set */
	size_t count;
};

/* Puts a header at the beginning of an empty chain: gifted or written, as the set says. */
bool chain_put_header(struct pipe_set *set, struct chain *chain, const uint8_t *header,
		      size_t length);

/* Tees the payload behind the header, if any; the payload stays where it is.  False: refused, or
 * pipes run short; the chain is to be dropped. */
bool chain_tee_payload(struct pipe_set *set, struct chain *chain, struct payload *payload);

/* Puts a trailer behind the payload, if any, in the last pipe when that has a slot left, else in
 * one more: gifted or written, as the header.  False: as above. */
bool chain_put_trailer(struct pipe_set *set, struct chain *chain, const uint8_t *trailer,
		       size_t length);

/* Gives the pipes back, and leaves an empty chain. */
void chain_drop(struct pipe_set *set, struct chain *chain);

// SPDX-License-Identifier: MIT
/*
 * A rendition: one feed in one format.  It has the encoder, the ring of encoded packets, and the
 * subscribers that read it, each on the list of its state.
 */
#pragma once

#include "base/list.h"
#include "feed/encoder.h"
#include "ring/ring.h"

struct feed;

struct rendition {
	struct list_node node; /* private: in feed->renditions */
	struct feed *feed;     /* ro */
	const struct encoder *encoder;
	struct ring ring;
	unsigned listeners; /* rw: that offer this format; without any, the rendition goes */

	/* The subscribers, by state; see subscriber.h. */
	struct list idle;    /* at the live edge                                       */
	struct list ready;   /* to be served in the pass under way                     */
	struct list blocked; /* their socket is full                                   */
};

static inline struct rendition *rendition_of(struct list_node *node)
{
	return list_entry(node, struct rendition, node);
}

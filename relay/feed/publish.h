// SPDX-License-Identifier: MIT
/*
 * Publishing: a packet goes into the ring of each format, and to the branches in other workers.
 *
 * It lies in the rings as it came: in pipes, or copied.  Where pipes run short, or the kernel
 * refuses a call, it is copied.  Each ring gets a packet whole.  When there is no memory for it, a
 * ring does not get it at all, and its subscribers are closed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/log_rate.h"
#include "fanout/fanout.h"
#include "feed/crossing_home.h"
#include "intake/sink.h"
#include "packet/encoder_icy.h"
#include "packet/framing.h"
#include "packet/packet.h"

struct rendition;

/* framing = relay: the sequence as the publisher gives it; for number.c only. */
struct source_sequence {
	bool is_followed;             /* it has one, and the feed's goes by it                */
	bool is_new;                  /* the publisher that is there has sent nothing yet     */
	uint32_t session;             /* its own; the feed's differs once that began anew     */
	uint64_t jump_from, jump_to;  /* the widest jump in it that was no usual loss         */
	struct log_rate repeats_log;  /* of messages that came again                          */
	struct log_rate restarts_log; /* of sequences that began anew                         */
};

/* Where a feed publishes, and how far it is.  One for each feed and worker. */
struct publish {
	struct fanout *fanout;                /* the feed's: its rings, pipes and counters */
	const struct framing_params *framing; /* the feed's */
	struct crossings crossings;           /* to branches; none when this is a branch */
	struct sequence sequence;             /* ro: see number.h */
	bool is_counted; /* ro: what it publishes has been counted where it came from */
	bool is_awake;   /* ro: packets come; of a home always, of a branch if it asked */
	struct source_sequence source;
	char title[ICY_TITLE_BYTES +
		   1];    /* ro: of what is published now, for formats that tell it */
	uint64_t last_ms; /* ro: monotonic, when anything was published */
};

/* Publishes a packet that has its number; the sequence goes on behind it.  It came just now, unless
 * it says when.  `payload` is NULL for news (heartbeat, gap, ...): formats that cannot say it leave
 * it out.  Afterwards pipes of the payload are empty but for what lies behind last_bytes, or given
 * away: then PIPE_NONE stands in their place. */
void publish_packet(struct publish *publish, const struct packet *numbered,
		    struct payload *payload);

/* Publishes a gap in one rendition, which lacks what others have.  It goes on at `next_seq`. */
void publish_missing(struct rendition *rendition, uint32_t session, uint64_t next_seq);

/* Gives a new rendition, whose ring is empty, the past of another one, as far as there is one that
 * can be read back.  Without memory it has none. */
void publish_take_past(const struct publish *publish, struct rendition *to);

/* Goes on where the process before was. */
void publish_resume(struct publish *publish, const struct sequence *sequence);

/* What is published from now on has this title; a longer one than ICY_TITLE_BYTES is cut. */
void publish_set_title(struct publish *publish, const char *title);

/* A publisher has come or gone, which nobody is told here. */
void publish_set_source(struct publish *publish, bool is_up);

/* To be called again and again: logs the sum of the lines that were held back. */
void publish_tick(const struct publish *publish, uint64_t now_ns);

/* A branch gets packets from now on, or no more. */
void publish_set_awake(struct publish *publish, bool is_awake);

// SPDX-License-Identifier: MIT
/*
 * What is under way in a crossing, for its two ends (crossing_home.c, crossing_branch.c) only.
 */
#pragma once

#include <stdatomic.h>

#include "feed/chain.h"
#include "intake/engine.h"
#include "packet/packet.h"
#include "pipe/pipe_set.h"

enum crossing_kind {
	CROSSING_PACKET,
	CROSSING_SEQUENCE, /* starts anew at packet.session, packet.first_seq */
	CROSSING_WAKE,     /* the answer to a branch that asked: the same, and packets follow */
	CROSSING_SLEEP,    /* the answer to a branch that needs no more: nothing follows */
	CROSSING_DRAIN,
	CROSSING_LOSS, /* something is missing before packet.first_seq */
};

/* Bytes that several branches read; freed by the last. */
struct shared_block {
	_Atomic unsigned refs;
	uint8_t bytes[];
};

struct crossing_item {
	enum crossing_kind kind;
	struct packet packet;
	bool is_source_up;
	struct shared_block *block; /* the payload, or */
	struct chain chain;         /* the payload in pipes; on the way back empty ones */
	size_t last_bytes;          /* of the last pipe */
	enum engine engine;

	/* On the way back. */
	uint64_t delivered_bytes;
	uint64_t spent_ns;
	bool refused[REFUSAL_COUNT];
};

/* Gives up one reference; NULL inside is fine. */
void crossing_block_unref(struct shared_block **block);

/* Whoever frees it has no use for its pipes, which are in nobody's pool. */
void crossing_item_free(struct crossing_item *item);

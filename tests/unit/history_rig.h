// SPDX-License-Identifier: MIT
/*
 * What the tests of histories share: a framed stream that is random but the same for the same seed,
 * a folder for it, and looking up what a reader should find.
 *
 * Every function fails the running test when something is not as it should be.
 */
#ifndef TESTS_UNIT_HISTORY_RIG_H
#define TESTS_UNIT_HISTORY_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/packet_header.h"
#include "history/history.h"
#include "history/history_writer.h"

enum {
	HISTORY_RIG_STREAM_BYTES = 8 << 20,
	HISTORY_RIG_PACKETS = 40000,
	HISTORY_RIG_SESSION = 77,
};

/* A packet of the stream. */
struct history_rig_packet {
	struct packet_header header;
	size_t offset;
	bool is_continued; /* it goes on with a message */
};

struct history_rig {
	char path[64]; /* of the folder */
	struct history_params params;
	uint64_t random;
	uint8_t *stream;
	size_t bytes;
	struct history_rig_packet *packets;
	size_t count;
	uint64_t next_seq, time_ns;
	bool is_message_open;
};

/* Setup and teardown of a cmocka test: an empty folder and an empty stream; no descriptor is
 * left. */
int history_rig_begin(void **state);
int history_rig_end(void **state);

/* Nothing is in the folder afterwards. */
void history_rig_empty(const struct history_rig *rig);

/* Adds packets of all types until the stream has so many bytes more; it ends between two
 * messages. */
void history_rig_add(struct history_rig *rig, size_t bytes);
void history_rig_add_packet(struct history_rig *rig, struct packet_header header);

/* Opens the folder, which must succeed. */
struct history *history_rig_open(struct history_rig *rig, struct history_found *ret);

/* Appends the stream from `from` to `to`, in pieces of random length.  Returns how far it has been
 * taken: a part of a header is left. */
size_t history_rig_append(struct history_rig *rig, struct history_writer *writer, size_t from,
			  size_t to);

/* All of it in a history that has been closed in good order. */
void history_rig_record(struct history_rig *rig);

/* What the reader finds now is the stream from packet `first` on, and nothing else but heartbeats
 * that files begin with.  Returns which packet comes next. */
struct history_reader;
size_t history_rig_follow(struct history_rig *rig, struct history_reader *reader, size_t first);

/* That is packet `end`, and the reader is closed. */
void history_rig_check(struct history_rig *rig, struct history_reader *reader, size_t first,
		       size_t end);

#endif

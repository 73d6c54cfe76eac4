// SPDX-License-Identifier: MIT
/*
 * A real feed for tests: a loop, a publisher, subscribers that read or do not read, and what they
 * got.
 *
 * Nothing sleeps: the rig runs the loop, turn by turn, until a condition holds, and fails the test
 * after a number of turns in which nothing moved.  Every function fails the running test when
 * something is not as it should be.  The rig moves its own bytes by read(2) and write(2) only, so
 * that faults put under recv, splice and the like are the feed's alone.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fanout/rendition.h"
#include "fanout/subscriber.h"
#include "feed/feed.h"

enum {
	FEED_RIG_READERS = 40,
	FEED_RIG_SMALL = 65536, // of a socket's buffers: blocked soon, and quick once it reads
};

// ENGINE_COUNT is auto.
#define FOR_EVERY_ENGINE(engine)                                                                   \
	for (enum engine engine = ENGINE_COPY; engine <= ENGINE_COUNT;                             \
	     engine = (enum engine)(engine + 1))

struct rig_reader {
	int fd;
	uint8_t *bytes; // malloc'ed: all that came
	size_t size, room;
	bool is_framed;
	bool is_paused; // does not read
	bool has_ended;
	int end_errno; // 0: by FIN
};

struct feed_rig {
	struct ev_loop *loop;
	struct feed *feed;
	struct rendition *raw, *framed;
	struct source source; // fd -1: none
	int publisher_fd;
	const uint8_t *left; // to be published
	size_t left_bytes;
	size_t chunk_bytes;        // written at most in a turn
	enum intake_result result; // of the last take
	int result_err;
	unsigned ready_calls;
	struct subscriber *close_on_ready; // on_ready closes it, NULL: none
	bool moved;                        // in this turn
	struct rig_reader readers[FEED_RIG_READERS];
	size_t reader_count;
	bool has_old_counts; // of a process that died: what was delivered is not known
};

// A stream as a publisher of this framing sends it, and where its messages end.
struct rig_stream {
	uint8_t *bytes; // malloc'ed
	size_t size;
	uint8_t *payload; // relay: without the headers; else the same as bytes
	size_t payload_size;
	uint64_t messages;
};

// What came in the framed format, checked packet by packet.
struct rig_wire {
	uint8_t *payload; // malloc'ed
	size_t size;
	uint64_t messages, missed;
	uint64_t first_seq, next_seq;
	unsigned heartbeats, gaps, ends, downs, ups, packets;
	uint64_t gap_from, gap_to; // of the last one
	size_t gap_at;             // payload bytes before the last gap
	size_t torn_bytes;         // behind the last whole packet
};

// Usual parameters: no timers, a ring of 8 MiB in segments of 64 KiB.
struct feed_params feed_rig_params(enum framing_kind kind, enum engine engine);

// Setup and teardown of a cmocka test: no descriptor more or less after it, SIGPIPE ignored.
int feed_rig_setup(void **state);
int feed_rig_teardown(void **state);

// Opens loop, feed, both renditions and a publisher (over TCP or a socket pair).
void feed_rig_open(struct feed_rig *rig, const struct feed_params *params, bool over_tcp);
void feed_rig_close(struct feed_rig *rig);

// The same, and the feed is in these records (NULL: in none), as a part in worker 0.
void feed_rig_open_recorded(struct feed_rig *rig, const struct feed_params *params, bool over_tcp,
			    struct feed_records *records);

// A new publisher, when the one before has ended.
void feed_rig_connect_source(struct feed_rig *rig, bool over_tcp);

// A subscriber; `buffer_bytes` of its socket, 0: as they are.  Returns the reader's number.
size_t feed_rig_join(struct feed_rig *rig, bool framed, bool over_tcp, int buffer_bytes,
		     const struct subscriber_params *params);

// The same in another format; what came is for format_rig.h to read.
size_t feed_rig_join_rendition(struct feed_rig *rig, struct rendition *rendition, bool over_tcp,
			       int buffer_bytes, const struct subscriber_params *params);

// The subscriber that joined last; for looking at it, and for closing it.
struct subscriber *feed_rig_newest(struct rendition *rendition);

// The publisher goes: what it sent is read to its end.
void feed_rig_end_source(struct feed_rig *rig);

// One turn of everything; true when something moved.
bool feed_rig_turn(struct feed_rig *rig);

// Turns until `done`.
void feed_rig_run_until(struct feed_rig *rig, bool (*done)(const struct feed_rig *rig));

// Turns until all that was published and could be delivered has been.
void feed_rig_settle(struct feed_rig *rig);

// Publishes and settles.
void feed_rig_publish(struct feed_rig *rig, const void *bytes, size_t size);

// Message lengths up to max_body (fixed: exactly fixed_bytes), about `size` bytes in all.
struct rig_stream feed_rig_make_stream(const struct framing_params *framing, size_t size,
				       size_t max_body, uint32_t seed);
void feed_rig_free_stream(struct rig_stream *stream);

// Reads the packets of a framed reader; sequence must follow sequence.  Free wire.payload.
struct rig_wire feed_rig_parse(const struct rig_reader *reader);

// The reader, raw or framed, has exactly these payload bytes, whole packets, no gap.
void feed_rig_check_payload(const struct feed_rig *rig, size_t reader, const uint8_t *bytes,
			    size_t size);

// Metrics that hold at any time: engines' bytes and notes are what was delivered, and so on.
void feed_rig_check_metrics(const struct feed_rig *rig);

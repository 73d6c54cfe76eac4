// SPDX-License-Identifier: MIT
/* A feed with publisher and subscribers in one process and one thread; see the header. */
#include "tests/unit/feed_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "base/log.h"
#include "feed/feed_kept.h"
#include "tests/unit/fd_count.h"
#include "tests/unit/tcp_pair.h"

enum {
	IDLE_TURNS_MAX = 3000, // of 1 ms at most: then a wait is in vain
	QUIET_TURNS = 20,      // in which nothing moves: somebody does not read
};

int feed_rig_setup(void **state)
{
	(void)signal(SIGPIPE, SIG_IGN);
	log_set_level(getenv("RIG_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	*state = (void *)(intptr_t)count_fds();
	return 0;
}

int feed_rig_teardown(void **state)
{
	assert_int_equal(await_fds((int)(intptr_t)*state), (int)(intptr_t)*state);
	return 0;
}

struct feed_params feed_rig_params(enum framing_kind kind, enum engine engine)
{
	return (struct feed_params){
		.name = "test",
		.framing = {.kind = kind, .fixed_bytes = 188, .max_message = 16 << 20},
		.is_auto = engine == ENGINE_COUNT,
		.engine = engine,
		.thresholds = {.copy_below = 8192, .compact_readers = 2},
		.gift_headers = true,
		.segment_bytes = 64 * 1024,
		.ring_bytes = 8 << 20,
		.fanout.turn_budget_ns = 1000000000,
	};
}

// --- sockets

static void make_pair(bool over_tcp, int *ret_fds)
{
	if (!over_tcp) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_fds), 0);
	} else {
		const struct tcp_pair pair = tcp_pair_open(0);

		ret_fds[0] = pair.accepted;
		ret_fds[1] = pair.connected;
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(fd_set_nonblock(ret_fds[i]), 0);
}

// --- life

static void on_ready(void *owner)
{
	struct feed_rig *rig = owner;
	struct subscriber *subscriber = rig->close_on_ready;

	rig->ready_calls++;
	assert_true(feed_can_take(rig->feed));
	rig->close_on_ready = NULL;
	if (subscriber)
		subscriber_close(subscriber, CLOSE_REMOVED);
}

void feed_rig_connect_source(struct feed_rig *rig, bool over_tcp)
{
	int fds[2];

	assert_int_equal(rig->source.fd, -1);
	fd_close(&rig->publisher_fd);
	make_pair(over_tcp, fds);
	rig->source = (struct source){.fd = fds[0], .is_socket = true};
	rig->publisher_fd = fds[1];
	feed_source_up(rig->feed);
}

void feed_rig_open(struct feed_rig *rig, const struct feed_params *params, bool over_tcp)
{
	feed_rig_open_recorded(rig, params, over_tcp, NULL);
}

void feed_rig_open_recorded(struct feed_rig *rig, const struct feed_params *params, bool over_tcp,
			    struct feed_records *records)
{
	const struct feed_events events = {.owner = rig, .on_ready = on_ready};

	*rig = (struct feed_rig){.source.fd = -1,
				 .publisher_fd = -1,
				 .chunk_bytes = SIZE_MAX,
				 .result = INTAKE_EMPTY};
	rig->loop = ev_loop_new(EVFLAG_AUTO);
	assert_non_null(rig->loop);
	assert_int_equal(feed_new(rig->loop, params, &events, &rig->feed), 0);
	feed_set_records(rig->feed, records, 0);
	rig->raw = feed_open_rendition(rig->feed, &encoder_raw);
	rig->framed = feed_open_rendition(rig->feed, &encoder_framed);
	assert_non_null(rig->raw);
	assert_non_null(rig->framed);
	feed_rig_connect_source(rig, over_tcp);
}

void feed_rig_close(struct feed_rig *rig)
{
	feed_free(&rig->feed, CLOSE_REMOVED);
	assert_null(rig->feed);
	for (size_t i = 0; i < rig->reader_count; i++) {
		fd_close(&rig->readers[i].fd);
		free(rig->readers[i].bytes);
	}
	fd_close(&rig->source.fd);
	fd_close(&rig->publisher_fd);
	ev_loop_destroy(rig->loop);
}

size_t feed_rig_join_rendition(struct feed_rig *rig, struct rendition *rendition, bool over_tcp,
			       int buffer_bytes, const struct subscriber_params *params)
{
	struct subscriber_params wanted =
		params ? *params : (struct subscriber_params){.on_slow = ON_SLOW_WAIT};
	struct rig_reader *reader = &rig->readers[rig->reader_count];
	int fds[2];

	assert_true(rig->reader_count < FEED_RIG_READERS);
	make_pair(over_tcp, fds);
	if (buffer_bytes) {
		assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, 4), 0);
		assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &buffer_bytes, 4), 0);
	}
	*reader = (struct rig_reader){.fd = fds[1], .is_framed = rendition == rig->framed};
	wanted.id = rig->reader_count + 1;
	assert_int_equal(subscriber_join(rendition, fds[0], &wanted), 0);
	return rig->reader_count++;
}

size_t feed_rig_join(struct feed_rig *rig, bool framed, bool over_tcp, int buffer_bytes,
		     const struct subscriber_params *params)
{
	return feed_rig_join_rendition(rig, framed ? rig->framed : rig->raw, over_tcp, buffer_bytes,
				       params);
}

struct subscriber *feed_rig_newest(struct rendition *rendition)
{
	struct list *const lists[] = {&rendition->idle, &rendition->ready, &rendition->blocked};
	struct subscriber *newest = NULL;
	struct list_node *node;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		list_for_each (lists[i], node) {
			struct subscriber *s = list_entry(node, struct subscriber, node);

			if (!newest || s->id > newest->id)
				newest = s;
		}
	}
	assert_non_null(newest);
	return newest;
}

// --- turns

static void write_some(struct feed_rig *rig)
{
	size_t want = size_min(rig->left_bytes, rig->chunk_bytes);
	ssize_t n;

	if (!want || rig->publisher_fd < 0)
		return;
	n = write(rig->publisher_fd, rig->left, want);
	if (n < 0) {
		assert_true(errno == EAGAIN || rig->source.fd < 0);
		return;
	}
	rig->left += n;
	rig->left_bytes -= (size_t)n;
	rig->moved = true;
}

static void take_some(struct feed_rig *rig)
{
	enum close_reason reason;

	if (rig->source.fd < 0 || !feed_can_take(rig->feed))
		return;
	rig->result_err = 0;
	rig->result = feed_take(rig->feed, &rig->source, &rig->result_err);
	if (rig->result == INTAKE_EMPTY)
		return;
	rig->moved = true;
	if (rig->result == INTAKE_TOOK)
		return;
	reason = rig->result == INTAKE_FAULT ? (enum close_reason)rig->result_err
		 : rig->result_err           ? close_reason_from_errno(rig->result_err)
					     : CLOSE_PEER_CLOSED;
	fd_close(&rig->source.fd);
	feed_source_down(rig->feed, reason);
}

static void read_some(struct feed_rig *rig, struct rig_reader *reader)
{
	ssize_t n = 1;

	while (!reader->has_ended && !reader->is_paused && n > 0) {
		if (reader->room - reader->size < 65536) {
			reader->room = 2 * reader->room + 131072;
			reader->bytes = realloc(reader->bytes, reader->room);
			assert_non_null(reader->bytes);
		}
		n = read(reader->fd, reader->bytes + reader->size, reader->room - reader->size);
		if (n > 0)
			reader->size += (size_t)n;
		reader->end_errno = n < 0 && errno != EAGAIN ? errno : 0;
		reader->has_ended = n == 0 || reader->end_errno;
		rig->moved |= n > 0 || reader->has_ended;
	}
}

bool feed_rig_turn(struct feed_rig *rig)
{
	rig->moved = false;
	write_some(rig);
	take_some(rig);
	ev_run(rig->loop, EVRUN_NOWAIT);
	for (size_t i = 0; i < rig->reader_count; i++)
		read_some(rig, &rig->readers[i]);
	return rig->moved || rig->feed->fanout.pass.is_running;
}

// Waits at most 1 ms for something to come.
static void wait_for_news(const struct feed_rig *rig)
{
	struct pollfd polls[FEED_RIG_READERS + 1];
	nfds_t count = 0;

	for (size_t i = 0; i < rig->reader_count; i++) {
		if (!rig->readers[i].is_paused && !rig->readers[i].has_ended)
			polls[count++] = (struct pollfd){rig->readers[i].fd, POLLIN, 0};
	}
	if (rig->source.fd >= 0 && feed_can_take(rig->feed))
		polls[count++] = (struct pollfd){rig->source.fd, POLLIN, 0};
	(void)poll(polls, count, 1);
}

void feed_rig_run_until(struct feed_rig *rig, bool (*done)(const struct feed_rig *rig))
{
	unsigned idle = 0;

	while (!done(rig)) {
		if (feed_rig_turn(rig)) {
			idle = 0;
			continue;
		}
		if (++idle > IDLE_TURNS_MAX)
			fail_msg("nothing moves: in %lu, delivered %lu, result %d, waiting %d",
				 (unsigned long)rig->feed->metrics.in_bytes,
				 (unsigned long)rig->feed->metrics.delivered_bytes, rig->result,
				 rig->feed->fanout.is_waiting);
		wait_for_news(rig);
	}
}

// All written, all taken.
static bool is_taken(const struct feed_rig *rig)
{
	int queued = 0;

	return rig->source.fd < 0 ||
	       (!rig->left_bytes && ioctl(rig->publisher_fd, SIOCOUTQ, &queued) == 0 && !queued &&
		ioctl(rig->source.fd, FIONREAD, &queued) == 0 && !queued &&
		rig->result == INTAKE_EMPTY);
}

// Somebody does not read, or bytes were lost in a reset: then quiet is all that can be waited for.
static bool may_be_stuck(const struct feed_rig *rig)
{
	for (size_t i = 0; i < rig->reader_count; i++) {
		if (rig->readers[i].is_paused || rig->readers[i].has_ended)
			return true;
	}
	return false;
}

static bool is_reading(const struct feed_rig *rig, uint64_t id)
{
	return id - 1 < rig->reader_count && !rig->readers[id - 1].is_paused &&
	       !rig->readers[id - 1].has_ended;
}

/* For somebody who reads something is on its way, or in its socket.  It comes, but the kernel may
 * let an acknowledgement wait for 40 ms, and a window for 200. */
static bool is_more_to_come(const struct feed_rig *rig)
{
	struct list_node *node, *at;

	list_for_each (&rig->feed->fanout.renditions, node) {
		const struct rendition *rendition = rendition_of(node);
		const struct list *const lists[] = {&rendition->idle, &rendition->blocked};

		for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
			list_for_each (lists[i], at) {
				const struct subscriber *s =
					list_entry(at, struct subscriber, node);
				int queued = 0;

				if (is_reading(rig, s->id) &&
				    ioctl(s->fd, SIOCOUTQ, &queued) == 0 && queued)
					return true;
			}
		}
	}
	return false;
}

// Nothing is on its way to who reads, and then nothing waits in its socket.
static bool is_all_read(const struct feed_rig *rig)
{
	int queued = is_more_to_come(rig);

	for (size_t i = 0; !queued && i < rig->reader_count; i++) {
		if (is_reading(rig, i + 1))
			ioctl(rig->readers[i].fd, FIONREAD, &queued);
	}
	return !queued;
}

// And all delivered, all read.
static bool is_settled(const struct feed_rig *rig)
{
	uint64_t received = 0;
	struct list_node *node;

	if (!is_taken(rig) || rig->feed->fanout.pass.is_running)
		return false;
	list_for_each (&rig->feed->fanout.renditions, node) {
		if (!list_is_empty(&rendition_of(node)->ready) ||
		    !list_is_empty(&rendition_of(node)->blocked))
			return false;
	}
	for (size_t i = 0; i < rig->reader_count; i++)
		received += rig->readers[i].size;
	return rig->has_old_counts ? is_all_read(rig)
				   : received >= rig->feed->metrics.delivered_bytes;
}

void feed_rig_settle(struct feed_rig *rig)
{
	unsigned idle = 0;

	(void)feed_rig_turn(rig);
	while (!is_settled(rig)) {
		if (feed_rig_turn(rig)) {
			idle = 0;
			continue;
		}
		if (idle++ == 0)
			continue; // perhaps it has settled
		if (may_be_stuck(rig) && idle > QUIET_TURNS &&
		    (is_taken(rig) || !feed_can_take(rig->feed)) && !is_more_to_come(rig))
			return;
		if (idle > IDLE_TURNS_MAX)
			fail_msg("does not settle: in %lu, delivered %lu, result %d, left %lu",
				 (unsigned long)rig->feed->metrics.in_bytes,
				 (unsigned long)rig->feed->metrics.delivered_bytes, rig->result,
				 (unsigned long)rig->left_bytes);
		wait_for_news(rig);
	}
}

void feed_rig_publish(struct feed_rig *rig, const void *bytes, size_t size)
{
	assert_int_equal(rig->left_bytes, 0);
	rig->left = bytes;
	rig->left_bytes = size;
	rig->result = INTAKE_TOOK;
	feed_rig_settle(rig);
}

static bool source_is_over(const struct feed_rig *rig)
{
	return rig->source.fd < 0;
}

void feed_rig_end_source(struct feed_rig *rig)
{
	fd_close(&rig->publisher_fd);
	feed_rig_run_until(rig, source_is_over);
	feed_rig_settle(rig);
}

// --- streams

static size_t put_prefix(enum framing_kind kind, size_t body, uint8_t *out)
{
	const bool is_long = kind == FRAMING_U32BE || kind == FRAMING_U32LE;
	const size_t size = is_long ? 4 : 2;

	for (size_t i = 0; i < size; i++) {
		bool is_little = kind == FRAMING_U16LE || kind == FRAMING_U32LE;

		out[i] = (uint8_t)(body >> 8 * (is_little ? i : size - 1 - i));
	}
	return size;
}

static size_t put_packet_header(uint64_t sequence, size_t body, uint8_t *out)
{
	const struct packet_header header = {.type = PACKET_DATA,
					     .count = 1,
					     .length = (uint32_t)body,
					     .session = 77,
					     .sequence = sequence,
					     .time = 1000 * sequence};

	packet_header_encode(&header, out);
	return PACKET_HEADER_BYTES;
}

static void put_message(struct rig_stream *stream, const struct framing_params *framing,
			size_t body, uint32_t *seed)
{
	const enum framing_kind kind = framing->kind;
	uint8_t *out = stream->bytes + stream->size;
	size_t head = 0;

	if (kind >= FRAMING_U16BE && kind <= FRAMING_U32LE)
		head = put_prefix(kind, body, out);
	else if (kind == FRAMING_RELAY)
		head = put_packet_header(stream->messages + 1, body, out);
	for (size_t i = 0; i < body; i++) {
		*seed = *seed * 1664525 + 1013904223;
		out[head + i] = (uint8_t)(*seed >> 24);
		if (kind == FRAMING_LINE && out[head + i] == '\n')
			out[head + i] = ' ';
	}
	if (kind == FRAMING_RELAY)
		memcpy(stream->payload + stream->payload_size, out + head, body);
	if (kind == FRAMING_LINE)
		out[head + body++] = '\n';
	stream->size += head + body;
	stream->payload_size += kind == FRAMING_RELAY ? body : head + body;
	stream->messages++;
}

struct rig_stream feed_rig_make_stream(const struct framing_params *framing, size_t size,
				       size_t max_body, uint32_t seed)
{
	struct rig_stream stream = {0};

	stream.bytes = malloc(size + max_body + 256);
	stream.payload =
		framing->kind == FRAMING_RELAY ? malloc(size + max_body + 256) : stream.bytes;
	assert_true(stream.bytes && stream.payload);
	while (stream.size < size) {
		size_t body = framing->fixed_bytes;

		seed = seed * 1664525 + 1013904223;
		if (framing->kind != FRAMING_FIXED)
			body = (seed >> 4) % (max_body + 1);
		put_message(&stream, framing, body, &seed);
	}
	return stream;
}

void feed_rig_free_stream(struct rig_stream *stream)
{
	if (stream->payload != stream->bytes)
		free(stream->payload);
	free(stream->bytes);
	*stream = (struct rig_stream){0};
}

// --- what came

static void parse_news(struct rig_wire *wire, const struct packet_header *header)
{
	switch ((enum packet_type)header->type) {
	case PACKET_DATA:
		break;
	case PACKET_HEARTBEAT:
		wire->heartbeats++;
		break;
	case PACKET_GAP:
		wire->gaps++;
		wire->missed += header->time - header->sequence;
		wire->gap_from = header->sequence;
		wire->gap_to = header->time;
		wire->gap_at = wire->size;
		wire->next_seq = header->time;
		break;
	case PACKET_END:
		wire->ends++;
		break;
	case PACKET_SOURCE_DOWN:
		wire->downs++;
		break;
	case PACKET_SOURCE_UP:
		wire->ups++;
		break;
	}
}

struct rig_wire feed_rig_parse(const struct rig_reader *reader)
{
	struct rig_wire wire = {.payload = malloc(reader->size + 1)};
	struct packet_header header;
	size_t at = 0;

	while (reader->size - at >= PACKET_HEADER_BYTES) {
		assert_int_equal(packet_header_decode(reader->bytes + at, &header), 0);
		if (reader->size - at - PACKET_HEADER_BYTES < header.length)
			break;
		if (!wire.first_seq)
			wire.first_seq = wire.next_seq = header.sequence;
		assert_int_equal(header.sequence, wire.next_seq);
		parse_news(&wire, &header);
		at += PACKET_HEADER_BYTES;
		if (header.type != PACKET_DATA)
			continue;
		memcpy(wire.payload + wire.size, reader->bytes + at, header.length);
		wire.size += header.length;
		wire.messages += header.count;
		wire.next_seq += header.count;
		wire.packets++;
		at += header.length;
	}
	wire.torn_bytes = reader->size - at;
	return wire;
}

void feed_rig_check_payload(const struct feed_rig *rig, size_t number, const uint8_t *bytes,
			    size_t size)
{
	const struct rig_reader *reader = &rig->readers[number];
	struct rig_wire wire;

	if (!reader->is_framed) {
		assert_int_equal(reader->size, size);
		assert_memory_equal(reader->bytes, bytes, size);
		return;
	}
	wire = feed_rig_parse(reader);
	assert_int_equal(wire.torn_bytes, 0);
	assert_int_equal(wire.gaps, 0);
	assert_int_equal(wire.size, size);
	assert_memory_equal(wire.payload, bytes, size);
	free(wire.payload);
}

void feed_rig_check_metrics(const struct feed_rig *rig)
{
	struct metrics metrics;
	uint64_t closed = 0, closed_slow = 0, with_cause = 0;

	feed_read_metrics(rig->feed, &metrics);
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		closed += rig->feed->fanout.closed[i];
		if (close_reason_row((enum close_reason)i)->is_slow)
			closed_slow += rig->feed->fanout.closed[i];
	}
	for (int i = 0; i < SLOW_CAUSE_COUNT; i++)
		with_cause += rig->feed->fanout.closed_slow_by[i];
	assert_int_equal(with_cause, closed_slow);
	assert_int_equal(metrics.subscribers + closed, metrics.subscribers_total);
	assert_int_equal(metrics.subscribers, feed_subscriber_count(rig->feed));
	assert_int_equal(metrics.spliced_bytes + metrics.compacted_bytes + metrics.copied_bytes +
				 metrics.noted_bytes,
			 metrics.delivered_bytes);
	assert_int_equal(metrics.packets_splice + metrics.packets_compact + metrics.packets_copy,
			 metrics.in_packets);
	// no counter ever goes below 0, nor does what is summed up of subscribers
	assert_true(metrics.delivered_messages <= metrics.in_messages * metrics.subscribers_total);
	assert_true(metrics.ring_pipes <= metrics.pipes_open);
	assert_true(metrics.pipes_open < 1000);
}

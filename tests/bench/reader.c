// SPDX-License-Identifier: MIT
/*
 * The parser is a state in each reader: a head under way, or a frame of which payload and tail are
 * left. A head is gathered in the reader's own buffer, since it may come in pieces.
 */
#include "reader.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BACKLOG_FULL_NS (NS_PER_S / 2)
#define PAUSE_STEP_NS   NS_PER_MS
#define PAUSE_MAX_NS    (10 * NS_PER_MS)

/* Copies what of the stamp is in these bytes, and compares the rest with the pattern. */
static bool see_payload(struct reader *reader, const uint8_t *pattern, const uint8_t *bytes,
			uint64_t count)
{
	uint8_t *stamp = (uint8_t *)&reader->stamp;
	uint64_t i = 0;

	for (; i < count && reader->payload_at + i < READER_STAMP_BYTES; i++)
		stamp[reader->payload_at + i] = bytes[i];
	return !pattern || memcmp(bytes + i, pattern + reader->payload_at + i, count - i) == 0;
}

/* Consumes a piece of the frame under way. Returns its bytes, or -EBADMSG. */
static int64_t take_body(struct reader *reader, const uint8_t *pattern, const uint8_t *bytes,
			 uint64_t count, reader_message_fn message, void *owner)
{
	struct dialect_frame *frame = &reader->frame;

	if (!frame->payload) {
		count = count < frame->tail ? count : frame->tail;
		frame->tail -= (uint32_t)count;
		return (int64_t)count;
	}
	count = count < frame->payload ? count : frame->payload;
	if (frame->is_message && !see_payload(reader, pattern, bytes, count))
		return -EBADMSG;
	reader->payload_at += count;
	frame->payload -= count;
	if (!frame->payload && frame->is_message)
		message(owner, reader);
	return (int64_t)count;
}

/* Consumes bytes of the next head. Returns how many, -EPROTO or -EBADMSG. */
static int64_t take_head(struct reader *reader, const struct dialect *dialect, const uint8_t *bytes,
			 uint64_t count)
{
	uint64_t room = DIALECT_HEAD_BYTES - reader->have;
	uint32_t had = reader->have;
	int r;

	count = count < room ? count : room;
	memcpy(reader->head + had, bytes, count);
	reader->have += (uint32_t)count;
	r = dialect_parse(dialect, reader->head, reader->have, &reader->frame);
	if (r < 0 || (r == 0 && reader->have == DIALECT_HEAD_BYTES))
		return -EPROTO;
	if (r == 0) {
		reader->frame = (struct dialect_frame){0};
		return (int64_t)count;
	}
	if (reader->frame.is_message &&
	    (reader->frame.payload != reader->size ||
	     (reader->head_bytes && reader->frame.head != reader->head_bytes)))
		return -EBADMSG;
	reader->have = 0;
	reader->payload_at = 0;
	return (int64_t)(reader->frame.head - had);
}

int reader_take(struct reader *reader, const struct dialect *dialect, const uint8_t *pattern,
		const uint8_t *bytes, uint64_t count, reader_message_fn message, void *owner)
{
	while (count) {
		int64_t n;

		if (reader->frame.payload || reader->frame.tail)
			n = take_body(reader, pattern, bytes, count, message, owner);
		else
			n = take_head(reader, dialect, bytes, count);
		if (n < 0)
			return (int)n;
		bytes += n;
		count -= (uint64_t)n;
	}
	return 0;
}

void reader_fill(uint8_t *payload, uint64_t size)
{
	/* No byte is 0, so that no length prefix can be mistaken for payload. */
	for (uint64_t i = 0; i < size; i++)
		payload[i] = i < READER_STAMP_BYTES ? 0 : (uint8_t)(1 + (i * 31 + i / 251) % 255);
}

/*
 * Opens a subscriber. A connection that finds the server's backlog full is tried again by the
 * kernel after a second (tcp(7), tcp_syn_retries); then the next ones come with longer pauses.
 */
static int open_patiently(const struct dialect *dialect, const struct sockaddr_in *address,
			  uint64_t *pause_ns, int *ret_fd)
{
	struct timespec pause = {.tv_nsec = (long)*pause_ns};
	uint64_t start_ns;

	if (*pause_ns)
		nanosleep(&pause, NULL);
	start_ns = clock_mono_ns();
	*ret_fd = dialect_open(dialect, address, false, "");
	if (clock_mono_ns() - start_ns > BACKLOG_FULL_NS && *pause_ns < PAUSE_MAX_NS)
		*pause_ns += PAUSE_STEP_NS;
	return *ret_fd < 0 ? *ret_fd : 0;
}

int reader_connect(const struct bench_params *params, uint64_t subscribers, int *fds,
		   int *ret_publisher)
{
	const struct dialect *dialect = dialect_find(params->dialect);
	uint64_t at = 0, pause_ns = 0;
	int r = 0;

	*ret_publisher = -1;
	for (uint64_t i = 0; i < subscribers; i++)
		fds[i] = -1;
	/* A server that knows no stream without a publisher turns early subscribers away. */
	if (params->ingest.sin_port) {
		*ret_publisher = dialect_open(dialect, &params->ingest, true, params->congestion);
		r = *ret_publisher < 0 ? *ret_publisher
				       : dialect_confirm(dialect, *ret_publisher, true);
		if (r < 0)
			fprintf(stderr, "relay-bench: publisher: %s\n", strerror(-r));
	}
	for (at = 0; r == 0 && at < subscribers; at++)
		r = open_patiently(dialect, &params->subscribe, &pause_ns, &fds[at]);
	for (uint64_t i = 0; r == 0 && i < subscribers; i++) {
		at = i + 1;
		r = dialect_confirm(dialect, fds[i], false);
	}
	if (r < 0 && at)
		fprintf(stderr, "relay-bench: subscriber %llu: %s\n", (unsigned long long)at,
			strerror(-r));
	return r;
}

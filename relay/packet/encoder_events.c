// SPDX-License-Identifier: MIT
/*
 * Server-sent events.  A packet is rewritten once for all, for each message needs an id and its
 * lines a field name: measured first, then written by the same code.
 *
 * Each message is one event (WHATWG HTML, 9.2); with framing = none and relay, where messages
 * cannot be told apart, each packet.  `id` is SESSION-SEQ, SEQ that of the last message that is
 * complete with it, so a client that comes back with it wants the message after SEQ.  The data are
 * the message without its end or length prefix (framing_body()).  Line ends inside make several
 * data lines; what is not UTF-8 becomes U+FFFD.
 *
 * Other events: `gap` {"from":F,"to":T} (first one missed, null if nobody knows; first one after
 * it), with the id of the message before T, and `source` up or down.  A heartbeat is a comment.
 *
 * Where packets are of several feeds, the event of a message has the name of its feed, and the data
 * of a gap and of `source` are {"feed":"NAME","from":F,"to":T} and {"feed":"NAME","source":"down"}.
 *
 * The greeting is no event: it sets `retry`, and the id of the message before the first one.  So
 * nothing is lost in silence when the connection breaks before that.  The farewell sets `retry`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "packet/encoder_chunked.h"
#include "packet/encoder.h"

enum {
	NEWS_MAX = ENCODER_HEADER_MAX - CHUNK_HEAD_MAX - 2,
	FEED_MAX = PACKET_FEED_BYTES + 16,
};

static bool is_in_chunks(const struct encoder *encoder)
{
	return format_row(encoder->format)->carrier == FORMAT_CARRIER_CHUNKED;
}

/* Text being made: only measured while `out` is NULL. */
struct text {
	uint8_t *out;
	size_t bytes;
};

static void put(struct text *text, const void *bytes, size_t count)
{
	if (text->out && count)
		memcpy(text->out + text->bytes, bytes, count);
	text->bytes += count;
}

static void put_id(struct text *text, uint32_t session, uint64_t sequence)
{
	char id[48];
	int count =
		snprintf(id, sizeof(id), "id: %u-%llu\n", session, (unsigned long long)sequence);

	put(text, id, (size_t)count);
}

/* The feed of a message names its event. */
static void put_name(struct text *text, const struct packet *packet)
{
	if (!packet->feed)
		return;
	put(text, "event: ", 7);
	put(text, packet->feed->name, strlen(packet->feed->name));
	put(text, "\n", 1);
}

static void put_data_line(struct text *text, const uint8_t *line, size_t count)
{
	put(text, "data: ", 6);
	text->bytes += utf8_replace(line, count, text->out ? text->out + text->bytes : NULL);
	put(text, "\n", 1);
}

static bool is_line_end(uint8_t byte)
{
	return byte == '\r' || byte == '\n';
}

/* An event ends a line at CR, LF or CR LF, so each piece between them is a line of its own. */
static void put_data(struct text *text, const uint8_t *bytes, size_t count)
{
	size_t from = 0;

	for (size_t at = 0; at < count; at++) {
		if (!is_line_end(bytes[at]))
			continue;
		put_data_line(text, bytes + from, at - from);
		if (bytes[at] == '\r' && at + 1 < count && bytes[at + 1] == '\n')
			at++;
		from = at + 1;
	}
	put_data_line(text, bytes + from, count - from);
}

/* The message without what delimits it. */
static void put_message(struct text *text, enum framing_kind kind, const uint8_t *bytes,
			size_t count)
{
	size_t at;
	size_t body = framing_body(kind, bytes, count, &at);

	put_data(text, bytes + at, body);
}

static void put_events(struct text *text, const struct packet *packet,
		       const struct framing_params *framing, const uint8_t *payload)
{
	bool is_one = !framing_row(framing->kind)->has_messages;
	uint64_t sequence = packet->first_seq;
	size_t at = 0;

	do {
		size_t count =
			framing_message_bytes(framing, payload + at, (size_t)packet->length - at);

		/* No id where no message is complete and none precedes: sequences begin at 1. */
		if (!is_one)
			put_id(text, packet->session, sequence++);
		else if (packet_next_seq(packet) > 0)
			put_id(text, packet->session, packet_next_seq(packet) - 1);
		put_name(text, packet);
		put_message(text, framing->kind, payload + at, count);
		put(text, "\n", 1);
		at += count;
	} while (at < packet->length);
}

static uint8_t *rewrite(const struct encoder *encoder, const struct packet *packet,
			const struct framing_params *framing, const uint8_t *payload,
			size_t *ret_bytes)
{
	uint8_t head[CHUNK_HEAD_MAX];
	struct text text = {.out = NULL};
	size_t head_bytes = 0;
	uint8_t *out;

	*ret_bytes = 0;
	put_events(&text, packet, framing, payload);
	if (is_in_chunks(encoder))
		head_bytes = chunk_head(text.bytes, head);
	out = malloc(head_bytes + text.bytes + 2);
	if (!out)
		return NULL;
	memcpy(out, head, head_bytes);
	text = (struct text){.out = out, .bytes = head_bytes};
	put_events(&text, packet, framing, payload);
	if (is_in_chunks(encoder))
		put(&text, CHUNK_END, 2);
	*ret_bytes = text.bytes;
	return out;
}

/* The feed as the first member of an object of JSON; "": there is only one. */
static const char *print_feed(const struct packet *packet, char buf[FEED_MAX])
{
	buf[0] = '\0';
	if (packet->feed)
		(void)snprintf(buf, FEED_MAX, "\"feed\":\"%s\",", packet->feed->name);
	return buf;
}

/* The id is that of the last message missed: who comes back with it does not ask for it again. */
static int write_gap(const struct packet *packet, char out[NEWS_MAX])
{
	unsigned long long to = packet_next_seq(packet);
	char from[24] = "null", feed[FEED_MAX];

	if (packet->first_seq)
		(void)snprintf(from, sizeof(from), "%llu", (unsigned long long)packet->first_seq);
	return snprintf(out, NEWS_MAX,
			"event: gap\nid: %u-%llu\ndata: {%s\"from\":%s,\"to\":%llu}\n\n",
			packet->session, to - 1, print_feed(packet, feed), from, to);
}

static int write_source(const struct packet *packet, const char *word, char out[NEWS_MAX])
{
	char feed[FEED_MAX];

	if (!packet->feed)
		return snprintf(out, NEWS_MAX, "event: source\ndata: %s\n\n", word);
	return snprintf(out, NEWS_MAX, "event: source\ndata: {%s\"source\":\"%s\"}\n\n",
			print_feed(packet, feed), word);
}

/* The event that says it; 0: there is none. */
static int write_event(const struct packet *packet, char out[NEWS_MAX])
{
	switch (packet->type) {
	case PACKET_HEARTBEAT:
		return snprintf(out, NEWS_MAX, ":\n\n");
	case PACKET_GAP: /* a hole shows in the next id */
		return packet->flags & PACKET_FLAG_HOLE ? 0 : write_gap(packet, out);
	case PACKET_SOURCE_DOWN:
		return write_source(packet, "down", out);
	case PACKET_SOURCE_UP:
		return write_source(packet, "up", out);
	case PACKET_DATA:
	case PACKET_END:
		break;
	}
	return 0;
}

/* The text, in a chunk where the format has chunks. */
static size_t wrap(const struct encoder *encoder, const char *text, size_t bytes, uint8_t *out)
{
	size_t at = 0;

	if (bytes == 0)
		return 0;
	if (is_in_chunks(encoder))
		at = chunk_head(bytes, out);
	memcpy(out + at, text, bytes);
	at += bytes;
	if (!is_in_chunks(encoder))
		return at;
	memcpy(out + at, CHUNK_END, 2);
	return at + 2;
}

static size_t write_news(const struct encoder *encoder, const struct packet *packet, uint8_t *out)
{
	char event[NEWS_MAX];

	return wrap(encoder, event, (size_t)write_event(packet, event), out);
}

static size_t write_greeting(const struct encoder *encoder, const struct packet *place,
			     uint32_t retry_ms, uint8_t *out)
{
	unsigned long long before = place->first_seq ? place->first_seq - 1 : 0;
	char words[NEWS_MAX];
	int bytes = snprintf(words, sizeof(words), "id: %u-%llu\nretry: %u\n\n", place->session,
			     before, retry_ms);

	return wrap(encoder, words, (size_t)bytes, out);
}

/* After a clean end only: then many come back, and should not do so at once. */
static size_t write_farewell(const struct encoder *encoder, enum close_reason reason,
			     const struct packet *place, uint32_t retry_ms, uint8_t *out)
{
	char words[NEWS_MAX];
	size_t bytes;

	(void)place;
	if (close_reason_row(reason)->kind != CLOSE_KIND_CLEAN)
		return 0;
	bytes = (size_t)snprintf(words, sizeof(words), "retry: %u\n\n", retry_ms);
	bytes = wrap(encoder, words, bytes, out);
	if (!is_in_chunks(encoder))
		return bytes;
	return bytes + chunk_last(reason, out + bytes);
}

const struct encoder encoder_events = {
	.format = FORMAT_EVENTS,
	.header = write_news,
	.rewrite = rewrite,
	.greeting = write_greeting,
	.farewell = write_farewell,
};

const struct encoder encoder_events_plain = {
	.format = FORMAT_EVENTS_PLAIN,
	.header = write_news,
	.rewrite = rewrite,
	.greeting = write_greeting,
	.farewell = write_farewell,
};

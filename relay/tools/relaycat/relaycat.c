// SPDX-License-Identifier: MIT
/* relaycat: a subscriber.  Bytes of a raw or framed port, or of a feed by HTTP, go to standard
 * output, and on the way are counted, measured and, if asked, verified.
 *
 * One buffer: each receive is taken apart in place and written before the next.  What may follow
 * what is known to packet_check, positions and delimiter; this file joins them and decides when to
 * end.  With --reconnect that is not when the connection does. */
#include "tools/relaycat/relaycat.h"

#include "base/clock.h"
#include "base/num.h"
#include "tools/relaycat/output.h"
#include "tools/relaycat/packet_reader.h"
#include "tools/relaycat/packet_text.h"
#include "tools/relaycat/totals.h"
#include "tools/shared/connection.h"
#include "tools/shared/positions.h"
#include "tools/shared/stop.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BUFFER_BYTES = 1 << 20,
	WAIT_MS = 500,    // longest wait; see tools/shared/stop.h
	ERROR_LINES = 10, // further errors are only counted
};

enum state {
	STATE_RUNNING,
	STATE_REACHED, // --count or --bytes
	STATE_CLOSED,  // by relay, in order
	STATE_LOST,    // the connection, and there is to be another one
	STATE_STOPPED, // by a signal, or nobody reads standard output any more
	STATE_FAILED,  // and said why
};

struct relaycat {
	const struct relaycat_options *options;
	enum state state;
	struct connection connection;
	bool draws_progress;
	bool prints_headers;
	struct http_feed_answer answer;
	bool is_answered;  // the stream has begun; without HTTP it always has
	bool from_oldest;  // the place to go on from is gone
	bool is_back;      // on a new connection, and the first header has not come
	bool skips_packet; // what is in hand had come before the connection was lost
	uint8_t *buffer;
	struct output output;
	struct packet_reader reader;
	struct packet_check check;
	struct delimiter_scan scan;
	struct positions_check positions;
	struct progress progress;
	uint64_t bytes;        // of payload
	uint64_t raw_messages; // that the scan found
	uint64_t packet_ends;  // messages that the scan found in this packet
	uint64_t errors;
	uint64_t last_byte_ns; // monotonic
	uint64_t received_ns;  // wall time of the bytes in hand
	struct latency second; // of the running second
	struct latency overall;
};

static uint64_t message_count(const struct relaycat *cat)
{
	return cat->options->framed ? cat->check.messages : cat->raw_messages;
}

/* Bytes alone do not show where messages end. */
static struct totals totals_of(const struct relaycat *cat)
{
	return (struct totals){.check = cat->options->framed ? &cat->check : NULL,
			       .knows_messages =
				       cat->options->framed || cat->scan.kind != DELIMITER_NONE,
			       .messages = message_count(cat),
			       .bytes = cat->bytes,
			       .errors = cat->errors};
}

static void say(struct relaycat *cat, const char *fmt, ...) printf_like(2, 3);
static void say(struct relaycat *cat, const char *fmt, ...)
{
	struct errmsg line;
	va_list arguments;

	va_start(arguments, fmt);
	(void)vsnprintf(line.text, sizeof line.text, fmt, arguments);
	va_end(arguments);
	progress_clear(&cat->progress);
	(void)fprintf(stderr, "relaycat: %s\n", line.text);
}

static void fail(struct relaycat *cat, const char *reason)
{
	say(cat, "%s", reason);
	cat->state = STATE_FAILED;
}

static void count_errors(struct relaycat *cat, uint64_t errors, const struct errmsg *first)
{
	if (errors > 0 && cat->errors < ERROR_LINES)
		say(cat, "error: %s", first->text);
	if (cat->errors < ERROR_LINES && cat->errors + errors >= ERROR_LINES)
		say(cat, "further errors are only counted");
	cat->errors += errors;
}

/* What follows need not continue what came. */
static void forget_place(struct relaycat *cat)
{
	positions_check_rejoin(&cat->positions);
	cat->scan = (struct delimiter_scan){.kind = cat->options->framing};
}

/* The connection ended for a reason other than what came: the end of all, or of this one only. */
static void lose(struct relaycat *cat, const struct errmsg *reason)
{
	progress_clear(&cat->progress);
	if (!cat->options->reconnects) {
		fail(cat, reason->text);
		return;
	}
	// That a connection ended of which nobody was told needs no telling.
	connection_lost(&cat->connection, cat->is_back ? NULL : reason->text);
	cat->state = STATE_LOST;
}

/* A write to standard output ended with r. */
static void check_written(struct relaycat *cat, int r)
{
	struct errmsg error;

	if (r == 0)
		return;
	if (r == -EPIPE || r == -EINTR) {
		cat->state = STATE_STOPPED;
		return;
	}
	errmsg_errno(&error, r, "cannot write to standard output");
	fail(cat, error.text);
}

/* Payload, in order.  Raw: any bytes, and --count may be reached in them. */
static void take_payload(struct relaycat *cat, const uint8_t *bytes, size_t size)
{
	const struct relaycat_options *options = cat->options;
	struct errmsg error;
	size_t used = 0;

	if (options->bytes && size >= options->bytes - cat->bytes) {
		size = (size_t)(options->bytes - cat->bytes);
		cat->state = STATE_REACHED;
	}
	while (used < size) {
		struct delimiter_piece piece;
		unsigned errors;

		used += delimiter_scan_next(&cat->scan, bytes + used, size - used, &piece);
		if (options->positions) {
			errors = positions_check_add(&cat->positions, piece.body, piece.body_bytes,
						     &error);
			count_errors(cat, errors, &error);
		}
		cat->raw_messages += piece.ends;
		cat->packet_ends += piece.ends;
		if (!options->framed && options->count && cat->raw_messages == options->count) {
			cat->state = STATE_REACHED;
			break;
		}
	}
	cat->bytes += used;
	if (used > 0)
		check_written(cat, output_add(&cat->output, bytes, used));
}

static void print_header(struct relaycat *cat, const struct packet_header *header)
{
	char text[PACKET_TEXT_BYTES];
	int r = printf("%s\n", packet_print_header(header, text));

	if (r < 0)
		check_written(cat, -errno);
}

static void report_event(struct relaycat *cat, const struct packet_header *header)
{
	char text[PACKET_TEXT_BYTES];
	const char *event = packet_print_event(header, text);

	if (event && !cat->options->quiet && !cat->prints_headers)
		say(cat, "%s", event);
}

static void say_back(struct relaycat *cat, const char *what)
{
	char away[CONNECTION_AWAY_BYTES];

	say(cat, "%s is back after %s%s%s", cat->options->address.text,
	    connection_print_away(&cat->connection, away), *what ? ": " : "", what);
}

static void take_header(struct relaycat *cat, const struct packet_header *header)
{
	struct errmsg error;

	if (cat->is_back || packet_check_goes_on(&cat->check, header)) {
		packet_check_rejoin(&cat->check, header, &error);
		if (cat->is_back)
			say_back(cat, error.text);
		else
			say(cat, "session %" PRIu32 " goes on: %s", header->session, error.text);
		cat->is_back = false;
	}
	cat->skips_packet = packet_check_is_known(&cat->check, header);
	if (packet_check_add(&cat->check, header, &error) < 0 && cat->options->verify)
		count_errors(cat, 1, &error);
	if (header->type == PACKET_GAP || header->type == PACKET_END)
		forget_place(cat);
	if (cat->prints_headers)
		print_header(cat, header);
	cat->packet_ends = 0;
	report_event(cat, header);
}

static void end_packet(struct relaycat *cat)
{
	const struct packet_header *header = &cat->reader.header;
	const struct relaycat_options *options = cat->options;
	struct errmsg error;

	if (header->type != PACKET_DATA || cat->skips_packet)
		return;
	if (options->stats) {
		// Clocks of two machines may differ by more than the way takes.
		uint64_t ns = cat->received_ns - u64_min(header->time, cat->received_ns);

		latency_add(&cat->second, ns, u64_max(header->count, 1));
		latency_add(&cat->overall, ns, u64_max(header->count, 1));
	}
	if (options->verify && options->framing != DELIMITER_NONE &&
	    cat->packet_ends != header->count) {
		errmsg_set(&error,
			   "data packet: %" PRIu64 " messages end in it, its count says %u "
			   "(sequence %" PRIu64 ")",
			   cat->packet_ends, header->count, header->sequence);
		count_errors(cat, 1, &error);
	}
	if (options->count && cat->check.messages >= options->count)
		cat->state = STATE_REACHED;
}

static void take_framed(struct relaycat *cat, const uint8_t *bytes, size_t size)
{
	while (size > 0 && cat->state == STATE_RUNNING) {
		struct packet_piece piece;
		size_t used;
		int r = packet_reader_next(&cat->reader, bytes, size, &used, &piece);

		if (r < 0) {
			cat->errors++;
			fail(cat, r == -EPROTO ? "error: no packet header where one has to be (is "
						 "this a framed port?)"
					       : "error: a packet header contradicts itself");
			return;
		}
		if (piece.is_header)
			take_header(cat, &cat->reader.header);
		if (piece.payload_bytes > 0 && !cat->skips_packet)
			take_payload(cat, piece.payload, piece.payload_bytes);
		if (piece.ends && cat->state == STATE_RUNNING)
			end_packet(cat);
		bytes += used;
		size -= used;
	}
}

/* Returns how many bytes of the buffer belong to the answer and not to the stream. */
static size_t take_answer(struct relaycat *cat, size_t size)
{
	size_t used = 0;
	int r = http_feed_take(&cat->answer, cat->buffer, size, &used);

	if (r < 0)
		fail(cat, "error: no framed stream of relay answers to this URL");
	if (r > 0) {
		cat->is_answered = true;
		cat->from_oldest = false;
	}
	return used;
}

static void take_bytes(struct relaycat *cat, size_t size)
{
	size_t used = cat->is_answered ? 0 : take_answer(cat, size);
	int r;

	if (cat->options->framed)
		take_framed(cat, cat->buffer + used, size - used);
	else
		take_payload(cat, cat->buffer, size);
	// Also after a failure: what had come before it is good.
	r = output_flush(&cat->output);
	if (r == 0 && cat->prints_headers && fflush(stdout) != 0)
		r = -errno;
	check_written(cat, r);
}

/* True, with words in `error`, where a stream may not end. */
static bool is_inside(const struct relaycat *cat, struct errmsg *error)
{
	const struct relaycat_options *options = cat->options;

	if (options->framed && !packet_reader_is_between(&cat->reader))
		errmsg_set(error, "the stream ended inside a packet");
	else if (options->verify && cat->check.is_open)
		errmsg_set(error, "the stream ended inside message %" PRIu64, cat->check.next);
	else if (!options->framed && !delimiter_scan_is_between(&cat->scan))
		errmsg_set(error, "the stream ended inside a message");
	else
		return false;
	return true;
}

/* Relay closed the connection in order: was this a place to do so? */
static void check_end(struct relaycat *cat)
{
	const struct relaycat_options *options = cat->options;
	struct errmsg error;

	cat->state = STATE_CLOSED;
	if (is_inside(cat, &error))
		count_errors(cat, 1, &error);
	else if (options->count && message_count(cat) < options->count) {
		errmsg_set(&error, "the stream ended after %" PRIu64 " of %" PRIu64 " messages",
			   message_count(cat), options->count);
		count_errors(cat, 1, &error);
	} else if (options->bytes && cat->bytes < options->bytes) {
		errmsg_set(&error, "the stream ended after %" PRIu64 " of %" PRIu64 " bytes",
			   cat->bytes, options->bytes);
		count_errors(cat, 1, &error);
	}
}

/* The connection ended, as `reason` says; where, is told with it. */
static void lose_inside(struct relaycat *cat, const struct errmsg *reason)
{
	struct errmsg inside, both;

	if (!cat->options->reconnects || !is_inside(cat, &inside)) {
		lose(cat, reason);
		return;
	}
	errmsg_set(&both, "%.200s: %s", reason->text, inside.text);
	lose(cat, &both);
}

/* By HTTP there was no stream. */
static void take_refusal(struct relaycat *cat)
{
	bool is_gone = cat->answer.status == 416 && cat->check.has_session && !cat->from_oldest;
	struct errmsg error;

	http_feed_tell_refusal(&cat->answer, cat->options->address.text, &error);
	cat->from_oldest |= is_gone;
	if (is_gone || http_feed_is_for_now(&cat->answer))
		lose(cat, &error);
	else
		fail(cat, error.text);
}

/* The peer has closed the connection. */
static void take_end(struct relaycat *cat)
{
	const struct relaycat_options *options = cat->options;
	bool is_over = options->until_ns && clock_wall_ns() >= options->until_ns;
	struct errmsg error;

	if (!cat->is_answered) {
		take_refusal(cat);
	} else if (is_over || !options->reconnects) {
		check_end(cat);
	} else {
		connection_tell_end(&cat->connection, &error);
		lose_inside(cat, &error);
	}
}

/* Waits until bytes may have come, or for as long as nothing else is due. */
static void wait_for_bytes(struct relaycat *cat, uint64_t now_ns)
{
	struct pollfd poll_fd = {.fd = cat->connection.fd, .events = POLLIN};
	uint64_t timeout_ms = cat->options->timeout_ms;
	int wait_ms = WAIT_MS;

	if (timeout_ms) {
		uint64_t idle_ms = (now_ns - cat->last_byte_ns) / NS_PER_MS;
		char text[NUM_PRINT_BYTES];
		struct errmsg error;

		if (idle_ms >= timeout_ms) {
			errmsg_set(&error, "no byte for %s",
				   num_print_duration_ms(text, sizeof text, timeout_ms));
			lose_inside(cat, &error);
			return;
		}
		wait_ms = (int)u64_min(timeout_ms - idle_ms, WAIT_MS);
	}
	if (cat->draws_progress || cat->options->stats)
		wait_ms = (int)size_min((size_t)wait_ms,
					(size_t)progress_wait_ms(&cat->progress, now_ns));
	// Whatever it returns, recv() tells.
	(void)poll(&poll_fd, 1, wait_ms);
}

static void receive(struct relaycat *cat, uint64_t now_ns)
{
	ssize_t size = read(cat->connection.fd, cat->buffer, BUFFER_BYTES);
	struct errmsg error;

	if (size > 0) {
		cat->last_byte_ns = now_ns;
		if (cat->options->stats)
			cat->received_ns = clock_wall_ns();
		take_bytes(cat, (size_t)size);
	} else if (size == 0) {
		take_end(cat);
	} else if (errno == EAGAIN || errno == EINTR) {
		wait_for_bytes(cat, now_ns);
	} else {
		errmsg_errno(&error, errno, "%s cut the connection", cat->options->address.text);
		lose_inside(cat, &error);
	}
}

static void show_second(struct relaycat *cat, uint64_t now_ns)
{
	struct progress_rates rates =
		progress_take_rates(&cat->progress, now_ns, cat->bytes, message_count(cat));
	const struct totals totals = totals_of(cat);
	char text[LATENCY_TEXT_BYTES] = "";
	char total[NUM_PRINT_BYTES], rate[NUM_PRINT_BYTES];

	if (cat->options->stats) {
		totals_print_second(&totals, &rates, &cat->second, stderr);
		latency_init(&cat->second);
		return;
	}
	if (cat->options->framed)
		(void)snprintf(text, sizeof text, "  %" PRIu64 " messages/s  gaps %" PRIu64,
			       rates.messages_per_s, cat->check.gaps);
	progress_draw(&cat->progress, "%s  total %s%s",
		      num_print_rate(rate, sizeof rate, rates.bytes_per_s),
		      progress_print_bytes(total, cat->bytes), text);
}

/* By HTTP: asks for the stream, from where the last one has ended. */
static void ask(struct relaycat *cat)
{
	const struct packet_check *check = &cat->check; // parted, if anything has come
	struct http_feed_range range = cat->options->range;
	char request[HTTP_FEED_REQUEST_BYTES];
	size_t length;

	cat->is_answered = !cat->options->is_http;
	if (cat->is_answered)
		return;
	cat->answer = (struct http_feed_answer){0};
	if (check->has_parted)
		http_feed_go_on(&range, check->parted_session, check->parted_next);
	if (cat->from_oldest)
		http_feed_go_on(&range, 0, 0);
	length = http_feed_print_request(&cat->options->url, &range, cat->options->token, request);
	// A fresh socket takes a request whole; where there is none any more, recv() says why.
	(void)send(cat->connection.fd, request, length, MSG_NOSIGNAL);
}

/* Gets another connection, on which everything begins anew but the counts. */
static void come_back(struct relaycat *cat)
{
	struct errmsg error;
	int r;

	forget_place(cat);
	packet_check_part(&cat->check, cat->reader.payload_left > 0 ? &cat->reader.header : NULL);
	cat->reader = (struct packet_reader){0};
	cat->skips_packet = false;
	r = connection_open(&cat->connection, &error);
	if (r == -EINTR) {
		cat->state = STATE_STOPPED;
	} else if (r < 0) {
		fail(cat, error.text);
	} else {
		cat->state = STATE_RUNNING;
		cat->last_byte_ns = clock_mono_ns();
		cat->is_back = cat->options->framed;
		if (!cat->is_back)
			say_back(cat, "");
		ask(cat);
	}
}

static void run(struct relaycat *cat)
{
	cat->last_byte_ns = clock_mono_ns();
	progress_init(&cat->progress, cat->last_byte_ns);
	ask(cat);
	while (cat->state == STATE_RUNNING || cat->state == STATE_LOST) {
		uint64_t now_ns = clock_mono_ns();

		if (stop_is_requested())
			cat->state = STATE_STOPPED;
		else if (cat->state == STATE_LOST)
			come_back(cat);
		else
			receive(cat, now_ns);
		if ((cat->draws_progress || cat->options->stats) &&
		    progress_is_due(&cat->progress, now_ns))
			show_second(cat, now_ns);
	}
	progress_clear(&cat->progress);
}

static void finish(struct relaycat *cat)
{
	struct totals totals;
	struct errmsg error;

	if (cat->options->positions)
		count_errors(cat, positions_check_finish(&cat->positions, &error), &error);
	if (cat->options->quiet)
		return;
	totals = totals_of(cat);
	totals_print(&totals, cat->options->stats ? &cat->overall : NULL, stderr);
	if (cat->options->positions)
		(void)fprintf(stderr, " verified=%" PRIu64, cat->positions.verified);
	if (cat->options->reconnects)
		(void)fprintf(stderr, " losses=%" PRIu64, cat->connection.losses);
	(void)fputc('\n', stderr);
}

/* Returns the exit status. */
static int subscribe(struct relaycat *cat)
{
	const struct relaycat_options *options = cat->options;
	bool to_terminal = isatty(STDOUT_FILENO);
	bool checks = options->verify || options->positions || options->stats;
	bool writes = !options->headers && !(checks && to_terminal);
	const struct connection_params params = {
		.program = "relaycat",
		.address = &options->address,
		.retry_ms = options->connect_ms,
		.reconnects = options->reconnects,
	};
	struct errmsg error;
	int r;

	cat->prints_headers = options->headers;
	cat->draws_progress = !options->quiet && !options->stats && isatty(STDERR_FILENO) &&
			      !(to_terminal && (writes || options->headers));
	output_init(&cat->output, writes ? STDOUT_FILENO : -1);
	positions_check_init(&cat->positions, options->seed);
	forget_place(cat);
	connection_init(&cat->connection, &params);
	r = connection_open(&cat->connection, &error);
	if (r == 0) {
		run(cat);
		finish(cat);
	} else if (r != -EINTR) {
		fail(cat, error.text);
	}
	connection_fini(&cat->connection);
	return cat->state == STATE_FAILED || cat->errors > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int relaycat_run(const struct relaycat_options *options)
{
	struct relaycat *cat = calloc(1, sizeof *cat);
	int status = EXIT_FAILURE;

	if (cat)
		cat->buffer = malloc(BUFFER_BYTES);
	if (cat && cat->buffer) {
		cat->options = options;
		status = subscribe(cat);
	} else {
		(void)fputs("relaycat: out of memory\n", stderr);
	}
	if (cat)
		free(cat->buffer);
	free(cat);
	return status;
}

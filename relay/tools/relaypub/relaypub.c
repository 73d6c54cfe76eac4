// SPDX-License-Identifier: MIT
/* relaypub: a publisher.  Takes messages from a source, puts the delimiter around them, and sends
 * them in batches, as many as are due and fit.
 *
 * A batch is filled, then sent whole.  With --reconnect it also keeps what the other side's kernel
 * has not acknowledged, and the source is not asked for more while there is no connection.  What
 * messages look like is left to message_source and delimiter, when to try again to connection. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/packet_header.h"
#include "tools/relaypub/batch.h"
#include "tools/relaypub/relaypub_options.h"
#include "tools/shared/connection.h"
#include "tools/shared/progress.h"
#include "tools/shared/stop.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH_BYTES = 1 << 20,
	KEPT_BYTES = 8 << 20,  // more than a socket holds unacknowledged, as Linux comes
	LINE_BYTES = 64 << 20, // the largest max_message of a feed
	WAIT_MS = 500,         // longest wait; see tools/stop.h
	ACKNOWLEDGED_MS = 5,   // between two looks at what is: no event tells of it
	LAST_WAITS = 2,        // after a stop request, for a peer that takes nothing
	MOST_CUTS = 8,         // a message over which the connection was lost so often is left out
};

struct relaypub {
	const struct relaypub_options *options;
	struct message_source source;
	struct connection connection;
	struct progress progress;
	struct errmsg error; // why it failed
	struct batch batch;
	bool draws_progress;
	bool is_lost;      // the connection, as `error` says
	bool ended;        // the source has, or --count is reached
	bool closed;       // what stands behind the last message is in the batch
	uint64_t messages; // put into batches
	uint64_t bytes;    // sent
	uint64_t acknowledged_bytes;
	uint64_t repeated_bytes; // sent once more, and not counted in `bytes`
	uint64_t left_out;       // messages
	unsigned cuts;           // connections in a row that were lost over the oldest message
	uint64_t start_ns;       // of sending, without the pauses
	uint32_t session;        // of framing relay
};

static size_t message_room(const struct relaypub_options *options)
{
	return delimiter_head_bytes(options->framing) + (size_t)options->source.size +
	       delimiter_tail_bytes(options->framing);
}

static void draw_progress(struct relaypub *pub)
{
	uint64_t now_ns = clock_mono_ns();
	struct progress_rates rates;
	char rate[NUM_PRINT_BYTES];
	char total[NUM_PRINT_BYTES];

	if (!pub->draws_progress || !progress_is_due(&pub->progress, now_ns))
		return;
	rates = progress_take_rates(&pub->progress, now_ns, pub->bytes, pub->messages);
	progress_draw(&pub->progress, "%s  %" PRIu64 " messages/s  total %s, %" PRIu64 " messages",
		      num_print_rate(rate, sizeof rate, rates.bytes_per_s), rates.messages_per_s,
		      progress_print_bytes(total, pub->bytes), pub->messages);
}

static int lose(struct relaypub *pub, int r)
{
	pub->is_lost = true;
	return r;
}

static int lose_to_peer(struct relaypub *pub)
{
	connection_tell_end(&pub->connection, &pub->error);
	return lose(pub, -EPIPE);
}

/* Waits until `fd` is readable (-1: never), relay left, or `limit_ns` are over.  Returns 1 when it
 * is readable, 0 when not, -EPIPE when relay left. */
static int wait_for_source(struct relaypub *pub, int fd, uint64_t limit_ns)
{
	struct pollfd poll_fd[] = {
		{.fd = pub->connection.fd, .events = POLLRDHUP},
		{.fd = fd, .events = POLLIN},
	};
	uint64_t ns = u64_min(limit_ns, WAIT_MS * NS_PER_MS);
	struct timespec limit = {.tv_sec = 0, .tv_nsec = (long)ns};

	// When it is interrupted, revents are as they were: none.
	if (ppoll(poll_fd, ARRAY_LEN(poll_fd), &limit, NULL) > 0 && poll_fd[0].revents)
		return lose_to_peer(pub);
	draw_progress(pub);
	return poll_fd[1].revents != 0;
}

static int wait_writable(struct relaypub *pub, int *waits)
{
	struct pollfd poll_fd = {.fd = pub->connection.fd, .events = POLLOUT};

	// An error or hang-up shows in the next send().
	if (poll(&poll_fd, 1, WAIT_MS) <= 0 && stop_is_requested() && ++*waits > LAST_WAITS) {
		errmsg_set(&pub->error, "stopped in the middle of a message: %s takes nothing",
			   pub->options->address.text);
		return -EINTR;
	}
	draw_progress(pub);
	return 0;
}

static int send_batch(struct relaypub *pub)
{
	int waits = 0;

	while (batch_unsent_bytes(&pub->batch) > 0) {
		ssize_t size = send(pub->connection.fd, batch_unsent(&pub->batch),
				    batch_unsent_bytes(&pub->batch), 0);
		int r = 0;

		if (size >= 0) {
			batch_note_sent(&pub->batch, (size_t)size);
			pub->bytes += (size_t)size;
			waits = 0;
		} else if (errno == EAGAIN) {
			r = wait_writable(pub, &waits);
		} else if (errno != EINTR) {
			r = lose(pub, -errno);
			errmsg_errno(&pub->error, r, "cannot send to %s",
				     pub->options->address.text);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* Bytes that were sent, and that the other side's kernel has not taken yet.  Where that is not
 * asked for, or cannot be told (a unix socket counts its memory: unix(7)), all are taken. */
static size_t unacknowledged_bytes(const struct relaypub *pub)
{
	int size = 0;

	if (!pub->options->reconnects || pub->options->address.is_unix ||
	    ioctl(pub->connection.fd, SIOCOUTQ, &size) < 0 || size < 0)
		return 0;
	return (size_t)size;
}

static void forget_acknowledged(struct relaypub *pub)
{
	size_t size = batch_acknowledge(&pub->batch, unacknowledged_bytes(pub));

	pub->acknowledged_bytes += size;
	if (size > 0)
		pub->cuts = 0;
}

static void put_packet_header(struct relaypub *pub, enum packet_type type, size_t size,
			      uint8_t *out)
{
	struct packet_header header = {
		.type = (uint8_t)type,
		.count = type == PACKET_DATA,
		.length = (uint32_t)size,
		.session = pub->session,
		.sequence = pub->messages + 1,
		.time = clock_wall_ns(),
	};

	packet_header_encode(&header, out);
}

/* Adds the source's next message to the batch, at `head`. */
static int add_message(struct relaypub *pub, uint8_t *head)
{
	enum delimiter framing = pub->options->framing;
	uint8_t *body = head + delimiter_head_bytes(framing);
	bool tells_time = pub->options->source.kind == MESSAGE_SOURCE_DEMO;
	size_t size;
	int r = message_source_next(&pub->source, tells_time ? clock_wall_ns() : 0, body, &size,
				    &pub->error);

	if (r < 0)
		return r;
	if (size == 0) {
		pub->ended = true;
		return 0;
	}
	if (framing == DELIMITER_RELAY)
		put_packet_header(pub, PACKET_DATA, size, head);
	else
		delimiter_put_head(framing, size, head);
	delimiter_put_tail(framing, body + size);
	batch_add(&pub->batch,
		  delimiter_head_bytes(framing) + size + delimiter_tail_bytes(framing));
	pub->messages++;
	pub->ended = pub->messages == pub->options->count;
	return 0;
}

/* Messages that may be sent by now, in all; the first is due at once. */
static uint64_t count_due(const struct relaypub *pub, uint64_t now_ns)
{
	uint64_t rate = pub->options->rate;
	uint64_t gone_ns = now_ns - pub->start_ns;

	if (rate == 0)
		return UINT64_MAX;
	return gone_ns / NS_PER_S * rate + gone_ns % NS_PER_S * rate / NS_PER_S + 1;
}

/* Nanoseconds until message number `messages`, counted from 0, is due. */
static uint64_t time_to_due(const struct relaypub *pub, uint64_t now_ns)
{
	uint64_t rate = pub->options->rate;
	uint64_t due_ns = pub->start_ns + pub->messages / rate * NS_PER_S +
			  (pub->messages % rate * NS_PER_S + rate - 1) / rate;

	return due_ns > now_ns ? due_ns - now_ns : 0;
}

/* Fills the batch with what is due; a file gives one message, since the next read may block. */
static int fill_batch(struct relaypub *pub)
{
	bool reads_files = pub->options->source.kind == MESSAGE_SOURCE_FILES;
	uint64_t due = count_due(pub, clock_mono_ns());
	size_t room = message_room(pub->options);
	int r = 0;

	while (r == 0 && !pub->ended && pub->messages < due) {
		bool fits = batch_unsent_bytes(&pub->batch) + room <= size_max(BATCH_BYTES, room);
		uint8_t *space = fits ? batch_space(&pub->batch, room) : NULL;

		if (!space)
			break;
		r = add_message(pub, space);
		if (reads_files)
			break;
	}
	return r == -EAGAIN || r == -EINTR ? 0 : r;
}

/* There is no room for the next message: a line does not end, or too much is not acknowledged. */
static int wait_for_room(struct relaypub *pub)
{
	if (pub->batch.start < pub->batch.whole)
		return wait_for_source(pub, -1, ACKNOWLEDGED_MS * NS_PER_MS);
	errmsg_set(&pub->error, "a line is longer than %d MiB, which no feed takes",
		   LINE_BYTES >> 20);
	return -EMSGSIZE;
}

/* Waits a while for what is missing for the next batch: time, or bytes in the file.  Returns 1 when
 * the batch can be filled, 0 when it is to be asked again. */
static int wait_for_batch(struct relaypub *pub)
{
	uint64_t now_ns = clock_mono_ns();
	int fd;
	int r;

	if (pub->messages >= count_due(pub, now_ns))
		return wait_for_source(pub, -1, time_to_due(pub, now_ns));
	if (!batch_space(&pub->batch, message_room(pub->options)))
		return wait_for_room(pub);
	r = message_source_open(&pub->source, &fd, &pub->error);
	if (r == -EINTR)
		return 0; // opening a fifo waits for its writer, until a stop request
	if (r < 0)
		return r;
	return fd < 0 ? 1 : wait_for_source(pub, fd, UINT64_MAX);
}

/* Sends the rest after the last message.  0 when relay's kernel has all of it. */
static int send_end(struct relaypub *pub)
{
	int r = 0;

	if (!pub->closed && pub->options->framing == DELIMITER_RELAY) {
		uint8_t *space = batch_space(&pub->batch, PACKET_HEADER_BYTES);

		if (space) {
			put_packet_header(pub, PACKET_END, 0, space);
			batch_add(&pub->batch, PACKET_HEADER_BYTES);
		}
	}
	pub->closed = true;
	batch_finish(&pub->batch);
	r = send_batch(pub);
	forget_acknowledged(pub);
	while (r >= 0 && pub->batch.start < pub->batch.end && !stop_is_requested()) {
		r = wait_for_source(pub, -1, ACKNOWLEDGED_MS * NS_PER_MS);
		forget_acknowledged(pub);
	}
	return r;
}

/* As long as the connection holds: 0 when all was sent or a stop was asked for. */
static int publish(struct relaypub *pub)
{
	int r = send_batch(pub);

	while (r >= 0 && !pub->ended && !stop_is_requested()) {
		forget_acknowledged(pub);
		r = wait_for_batch(pub);
		if (r > 0)
			r = fill_batch(pub);
		if (r == 0)
			r = send_batch(pub);
		draw_progress(pub);
	}
	if (r >= 0)
		r = send_end(pub);
	// Queued bytes still go out after close(); this says that they are the last ones.
	if (r >= 0)
		(void)shutdown(pub->connection.fd, SHUT_WR);
	progress_clear(&pub->progress);
	return r;
}

/* A message that is cut off again and again would keep all others from ever being sent. */
static void leave_out_first(struct relaypub *pub)
{
	size_t size = batch_drop_first(&pub->batch);

	pub->cuts = 0;
	if (size == 0)
		return;
	pub->left_out++;
	(void)fprintf(stderr,
		      "relaypub: left out a message of %zu bytes: the connection was lost over it "
		      "%d times (is it longer than max_message?)\n",
		      size, MOST_CUTS);
}

/* The connection is lost: gets another one.  What was not acknowledged is to be sent again. */
static int come_back(struct relaypub *pub)
{
	char away[CONNECTION_AWAY_BYTES];
	size_t repeated;
	int r;

	forget_acknowledged(pub);
	repeated = batch_rewind(&pub->batch);
	pub->bytes -= repeated;
	pub->repeated_bytes += repeated;
	pub->is_lost = false;
	connection_lost(&pub->connection, pub->error.text);
	if (repeated > 0 && ++pub->cuts >= MOST_CUTS)
		leave_out_first(pub);
	r = connection_open(&pub->connection, &pub->error);
	if (r == -EINTR && batch_unsent_bytes(&pub->batch) > 0)
		errmsg_set(&pub->error, "stopped while %s was away: %zu bytes were not sent",
			   pub->options->address.text, batch_unsent_bytes(&pub->batch));
	if (r < 0)
		return r == -EINTR && batch_unsent_bytes(&pub->batch) == 0 ? 0 : r;
	// What was not due meanwhile is not made up for.
	pub->start_ns += pub->connection.away_ns;
	(void)fprintf(stderr,
		      "relaypub: %s is back after %s; %" PRIu64 " bytes were sent, %zu of them "
		      "are sent again\n",
		      pub->options->address.text, connection_print_away(&pub->connection, away),
		      pub->bytes + repeated, repeated);
	return 0;
}

static void print_summary(const struct relaypub *pub, uint64_t start_ns)
{
	double seconds = (double)(clock_mono_ns() - start_ns) / (double)NS_PER_S;

	(void)fprintf(stderr, "messages=%" PRIu64 " bytes=%" PRIu64 " seconds=%.3f", pub->messages,
		      pub->bytes, seconds);
	if (pub->options->reconnects)
		(void)fprintf(stderr,
			      " losses=%" PRIu64 " repeated_bytes=%" PRIu64 " left_out=%" PRIu64,
			      pub->connection.losses, pub->repeated_bytes, pub->left_out);
	(void)fputc('\n', stderr);
}

/* Over one connection, or as many as it takes. */
static int publish_all(struct relaypub *pub)
{
	uint64_t start_ns = clock_mono_ns();
	int r;

	pub->start_ns = start_ns;
	progress_init(&pub->progress, start_ns);
	r = publish(pub);
	while (r < 0 && pub->is_lost && pub->options->reconnects) {
		r = come_back(pub);
		if (r == 0 && pub->connection.fd >= 0)
			r = publish(pub);
	}
	if (!pub->options->quiet)
		print_summary(pub, start_ns);
	return r;
}

/* Returns the exit status. */
static int run(struct relaypub *pub)
{
	const struct relaypub_options *options = pub->options;
	const struct connection_params params = {
		.program = "relaypub",
		.address = &options->address,
		.retry_ms = options->connect_ms,
		.reconnects = options->reconnects,
		.listens = options->listens,
		.quiet = options->quiet,
	};
	int r;

	pub->draws_progress = !options->quiet && isatty(STDERR_FILENO) &&
			      !(options->source.kind == MESSAGE_SOURCE_FILES &&
				options->source.file_count == 0 && isatty(STDIN_FILENO));
	pub->session = (uint32_t)(clock_wall_ns() / NS_PER_S);
	message_source_init(&pub->source, &options->source);
	connection_init(&pub->connection, &params);
	r = connection_open(&pub->connection, &pub->error);
	if (r == 0)
		r = publish_all(pub);
	else if (r == -EINTR)
		r = 0;
	if (r < 0)
		(void)fprintf(stderr, "relaypub: %s\n", pub->error.text);
	message_source_fini(&pub->source);
	connection_fini(&pub->connection);
	return r < 0 || pub->left_out > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What is kept until it is acknowledged, or until its line ends, comes on top of a batch. */
static int make_batch(struct relaypub *pub)
{
	const struct relaypub_options *options = pub->options;
	bool holds_lines = options->reads_lines && options->reconnects;
	size_t room = size_max(BATCH_BYTES, message_room(options));

	if (options->reconnects)
		room += KEPT_BYTES;
	if (holds_lines)
		room += LINE_BYTES;
	return batch_init(&pub->batch, holds_lines ? DELIMITER_LINE : options->framing, room);
}

int main(int argc, char **argv)
{
	struct relaypub_options options;
	struct relaypub pub = {.options = &options};
	struct errmsg error;
	int status;

	fd_hold_standard();
	if (relaypub_options_parse(argc, argv, &options, &error) < 0) {
		(void)fprintf(stderr, "relaypub: %s\n", error.text);
		return 2;
	}
	if (options.help)
		return fputs(relaypub_options_usage(), stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	stop_install();
	if (make_batch(&pub) < 0) {
		(void)fputs("relaypub: out of memory\n", stderr);
		return EXIT_FAILURE;
	}
	status = run(&pub);
	batch_fini(&pub.batch);
	return status;
}

// SPDX-License-Identifier: MIT
/* relaypub: a publisher.  Takes messages from a source, puts the delimiter around them, and sends
 * them in batches, as many as are due and fit.
 *
 * A batch is filled, then sent whole; nothing is half sent at an end that was asked for, unless the
 * peer takes nothing for a second.  What messages look like is left to message_source and
 * delimiter. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/packet_header.h"
#include "tools/relaypub/relaypub_options.h"
#include "tools/shared/progress.h"
#include "tools/shared/stop.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH_BYTES = 1 << 20,
	WAIT_MS = 500,  // longest wait; see tools/shared/stop.h
	LAST_WAITS = 2, // after a stop request, for a peer that takes nothing
	ADDRESS_BYTES = 256,
};

struct relaypub {
	const struct relaypub_options *options;
	struct message_source source;
	struct progress progress;
	struct errmsg error; // why it failed
	int fd;
	bool draws_progress;
	bool ended; // the source has, or --count is reached
	uint8_t *batch;
	size_t room; // bytes that batch has
	size_t batch_bytes;
	uint64_t messages; // put into batches
	uint64_t bytes;    // sent
	uint64_t start_ns;
	uint32_t session; // of framing relay
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

/* Relay left, as the poll(2) events or the errno of send(2) say. */
static int peer_is_gone(struct relaypub *pub)
{
	int failure = 0;
	socklen_t size = sizeof failure;

	(void)getsockopt(pub->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
	if (failure)
		errmsg_errno(&pub->error, failure, "%s cut the connection",
			     pub->options->address.text);
	else
		errmsg_set(&pub->error, "%s closed the connection", pub->options->address.text);
	return -EPIPE;
}

/* Waits until `fd` is readable (-1: never), relay left, or `limit_ns` are over.  Returns 1 when it
 * is readable, 0 when not, -EPIPE when relay left. */
static int wait_for_source(struct relaypub *pub, int fd, uint64_t limit_ns)
{
	struct pollfd poll_fd[] = {
		{.fd = pub->fd, .events = POLLRDHUP},
		{.fd = fd, .events = POLLIN},
	};
	uint64_t ns = u64_min(limit_ns, WAIT_MS * NS_PER_MS);
	struct timespec limit = {.tv_sec = 0, .tv_nsec = (long)ns};

	// When it is interrupted, revents are as they were: none.
	if (ppoll(poll_fd, ARRAY_LEN(poll_fd), &limit, NULL) > 0 && poll_fd[0].revents)
		return peer_is_gone(pub);
	draw_progress(pub);
	return poll_fd[1].revents != 0;
}

static int wait_writable(struct relaypub *pub, int *waits)
{
	struct pollfd poll_fd = {.fd = pub->fd, .events = POLLOUT};

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
	size_t sent = 0;
	int waits = 0;

	while (sent < pub->batch_bytes) {
		ssize_t size = send(pub->fd, pub->batch + sent, pub->batch_bytes - sent, 0);
		int r = 0;

		if (size >= 0) {
			sent += (size_t)size;
			pub->bytes += (size_t)size;
			waits = 0;
		} else if (errno == EAGAIN) {
			r = wait_writable(pub, &waits);
		} else if (errno != EINTR) {
			r = -errno;
			errmsg_errno(&pub->error, r, "cannot send to %s",
				     pub->options->address.text);
		}
		if (r < 0)
			return r;
	}
	pub->batch_bytes = 0;
	return 0;
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

/* Adds the source's next message to the batch. */
static int add_message(struct relaypub *pub)
{
	enum delimiter framing = pub->options->framing;
	uint8_t *head = pub->batch + pub->batch_bytes;
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
	pub->batch_bytes += delimiter_head_bytes(framing) + size + delimiter_tail_bytes(framing);
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

	while (r == 0 && !pub->ended && pub->messages < due &&
	       pub->room - pub->batch_bytes >= room) {
		r = add_message(pub);
		if (reads_files)
			break;
	}
	return r == -EAGAIN || r == -EINTR ? 0 : r;
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
	r = message_source_open(&pub->source, &fd, &pub->error);
	if (r == -EINTR)
		return 0; // opening a fifo waits for its writer, until a stop request
	if (r < 0)
		return r;
	return fd < 0 ? 1 : wait_for_source(pub, fd, UINT64_MAX);
}

/* 0 when all was sent or a stop was asked for. */
static int publish(struct relaypub *pub)
{
	int r = 0;

	pub->start_ns = clock_mono_ns();
	progress_init(&pub->progress, pub->start_ns);
	while (r >= 0 && !pub->ended && !stop_is_requested()) {
		r = wait_for_batch(pub);
		if (r > 0)
			r = fill_batch(pub);
		if (r == 0)
			r = send_batch(pub);
		draw_progress(pub);
	}
	if (r == 0 && pub->options->framing == DELIMITER_RELAY) {
		put_packet_header(pub, PACKET_END, 0, pub->batch);
		pub->batch_bytes = PACKET_HEADER_BYTES;
		r = send_batch(pub);
	}
	// Queued bytes still go out after close(); this says that they are the last ones.
	if (r == 0)
		(void)shutdown(pub->fd, SHUT_WR);
	progress_clear(&pub->progress);
	return r;
}

/* Waits for relay to connect: for `ingest = connect`. */
static int accept_relay(struct relaypub *pub)
{
	const struct relaypub_options *options = pub->options;
	int listen_fd = connect_address_listen(&options->address, &pub->error);
	char local[ADDRESS_BYTES];
	int fd;

	if (listen_fd < 0)
		return listen_fd;
	connect_address_print_local(listen_fd, local, sizeof local);
	if (!options->quiet)
		(void)fprintf(stderr, "relaypub: listening on %s\n", local);
	fd = connect_address_accept(listen_fd, &pub->error);
	fd_close(&listen_fd);
	connect_address_unlink(&options->address);
	return fd;
}

static void print_summary(const struct relaypub *pub)
{
	double seconds = (double)(clock_mono_ns() - pub->start_ns) / (double)NS_PER_S;

	(void)fprintf(stderr, "messages=%" PRIu64 " bytes=%" PRIu64 " seconds=%.3f\n",
		      pub->messages, pub->bytes, seconds);
}

/* Returns the exit status. */
static int run(struct relaypub *pub)
{
	const struct relaypub_options *options = pub->options;
	int r;

	pub->draws_progress = !options->quiet && isatty(STDERR_FILENO) &&
			      !(options->source.kind == MESSAGE_SOURCE_FILES &&
				options->source.file_count == 0 && isatty(STDIN_FILENO));
	pub->session = (uint32_t)(clock_wall_ns() / NS_PER_S);
	message_source_init(&pub->source, &options->source);
	pub->fd = options->listens ? accept_relay(pub)
				   : connect_address_open(&options->address, options->connect_ms,
							  &pub->error);
	if (pub->fd < 0) {
		r = pub->fd == -EINTR ? 0 : pub->fd;
	} else {
		r = publish(pub);
		if (!options->quiet)
			print_summary(pub);
	}
	if (r < 0)
		(void)fprintf(stderr, "relaypub: %s\n", pub->error.text);
	message_source_fini(&pub->source);
	if (pub->fd >= 0)
		fd_close(&pub->fd);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct relaypub_options options;
	struct relaypub pub = {.options = &options, .fd = -1};
	struct errmsg error;
	int status;

	if (relaypub_options_parse(argc, argv, &options, &error) < 0) {
		(void)fprintf(stderr, "relaypub: %s\n", error.text);
		return 2;
	}
	if (options.help)
		return fputs(relaypub_options_usage(), stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	stop_install();
	pub.room = size_max(BATCH_BYTES, message_room(&options));
	pub.batch = malloc(pub.room);
	if (!pub.batch) {
		(void)fputs("relaypub: out of memory\n", stderr);
		return EXIT_FAILURE;
	}
	status = run(&pub);
	free(pub.batch);
	return status;
}

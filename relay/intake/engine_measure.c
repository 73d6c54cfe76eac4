// SPDX-License-Identifier: MIT
/*
 * Measuring the thresholds: what it costs to give one reader some bytes by send, and by tee and
 * splice; and what it costs to compact them once.
 *
 * The reader is the other end of an AF_UNIX socket pair, which a sandbox allows and no firewall
 * sees.  What TCP adds is the same for all engines.  Each time is the least of some, since whatever
 * disturbs a time makes it longer.
 */
#include "intake/engine_measure.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "pipe/compact.h"
#include "pipe/pipe_io.h"

enum {
	TIMES = 24,                 /* of which the least counts */
	SIZE_MAX_BYTES = 128 << 10, /* the largest packet that is tried */
	USUAL_COPY_BELOW = 32 * 1024,
	USUAL_COMPACT_READERS = 12,
};

struct trial {
	struct pipe_set pipes;
	struct metrics metrics; /* of nobody */
	int reader_fd, writer_fd;
	uint8_t *bytes; /* what is sent, and where it is received again */
	bool has_failed;
};

/* Nanoseconds, the least of TIMES. */
struct times {
	uint64_t copy, splice, compact;
};

static void on_refused(void *owner, enum refusal refusal, bool is_first)
{
	struct trial *trial = owner;

	(void)refusal;
	(void)is_first;
	trial->has_failed = true;
}

static void on_no_pipe(void *owner, int error)
{
	(void)error;
	((struct trial *)owner)->has_failed = true;
}

static bool begin(struct trial *trial)
{
	const struct pipe_set_params params = {.segment_bytes = 512 * 1024, .max_idle = 2};
	const struct pipe_set_events events = {
		.owner = trial,
		.on_refused = on_refused,
		.on_no_pipe = on_no_pipe,
	};
	int ends[2];

	*trial = (struct trial){.reader_fd = -1, .writer_fd = -1};
	if (pipe_set_init(&trial->pipes, &params, &events, &trial->metrics) < 0)
		return false;
	pipe_set_open(&trial->pipes);
	trial->bytes = calloc(1, SIZE_MAX_BYTES);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0) {
		trial->reader_fd = ends[0];
		trial->writer_fd = ends[1];
	}
	return trial->pipes.has_pipes && trial->bytes && trial->reader_fd >= 0;
}

static void end(struct trial *trial)
{
	fd_close(&trial->reader_fd);
	fd_close(&trial->writer_fd);
	free(trial->bytes);
	pipe_set_fini(&trial->pipes);
}

/* The reader takes what there is. */
static void receive(struct trial *trial, size_t bytes)
{
	while (bytes) {
		ssize_t got = recv(trial->reader_fd, trial->bytes, bytes, MSG_DONTWAIT);

		if (got <= 0) {
			trial->has_failed = true;
			return;
		}
		bytes -= (size_t)got;
	}
}

static uint64_t time_copy(struct trial *trial, size_t bytes)
{
	uint64_t start_ns = clock_mono_ns();
	ssize_t sent = send(trial->writer_fd, trial->bytes, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	uint64_t ns = clock_mono_ns() - start_ns;

	trial->has_failed = trial->has_failed || sent != (ssize_t)bytes;
	if (!trial->has_failed)
		receive(trial, bytes);
	return ns;
}

static uint64_t time_splice(struct trial *trial, struct pipe *from, size_t bytes)
{
	struct pipe_set *pipes = &trial->pipes;
	uint64_t start_ns = clock_mono_ns(), ns;
	size_t teed = 0, sent = 0;
	int err;
	bool done = pipe_tee(from, &pipes->copy_pipe, bytes, &teed, &err) == PIPE_IO_OK &&
		    pipe_splice_out(&pipes->copy_pipe, trial->writer_fd, teed, &sent, &err) ==
			    PIPE_IO_OK &&
		    sent == bytes;

	ns = clock_mono_ns() - start_ns;
	trial->has_failed = trial->has_failed || !done;
	if (!trial->has_failed)
		receive(trial, bytes);
	return ns;
}

static void note_least(uint64_t *least, uint64_t ns)
{
	*least = *least ? u64_min(*least, ns) : ns;
}

static void measure_once(struct trial *trial, size_t bytes, struct times *times)
{
	struct pipe pipe = PIPE_NONE;
	uint64_t start_ns = clock_mono_ns();

	if (compact_bytes(&trial->pipes, trial->bytes, bytes, &pipe, 1) != 1)
		trial->has_failed = true;
	note_least(&times->compact, clock_mono_ns() - start_ns);
	if (!trial->has_failed)
		note_least(&times->splice, time_splice(trial, &pipe, bytes));
	if (!trial->has_failed)
		note_least(&times->copy, time_copy(trial, bytes));
	pipe_pool_put_drained(&trial->pipes.pool, &pipe);
}

static struct times measure(struct trial *trial, size_t bytes)
{
	struct times times = {0};

	for (int i = 0; i < TIMES && !trial->has_failed; i++)
		measure_once(trial, bytes, &times);
	return times;
}

/* The smallest size from which on splice is no dearer than copy. */
static uint64_t find_copy_below(struct trial *trial)
{
	uint64_t found = COPY_BELOW_MAX;

	for (size_t bytes = COPY_BELOW_MAX; bytes >= COPY_BELOW_MIN; bytes /= 2) {
		const struct times times = measure(trial, bytes);

		if (trial->has_failed || times.splice > times.copy)
			break;
		found = bytes;
	}
	return found;
}

/* So many readers pay for compacting by what splice saves on each. */
static uint64_t find_compact_readers(struct trial *trial)
{
	const struct times times = measure(trial, SIZE_MAX_BYTES);
	uint64_t saved = times.copy > times.splice ? times.copy - times.splice : 0;
	uint64_t readers = saved ? (times.compact + saved - 1) / saved : COMPACT_READERS_MAX;

	return u64_min(u64_max(readers, COMPACT_READERS_MIN), COMPACT_READERS_MAX);
}

bool engine_measure(struct engine_thresholds *ret)
{
	struct trial trial;
	bool is_measured = begin(&trial);

	if (is_measured) {
		ret->copy_below = find_copy_below(&trial);
		ret->compact_readers = find_compact_readers(&trial);
		is_measured = !trial.has_failed;
	}
	end(&trial);
	if (!is_measured)
		*ret = (struct engine_thresholds){USUAL_COPY_BELOW, USUAL_COMPACT_READERS};
	return is_measured;
}

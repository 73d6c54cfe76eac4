// SPDX-License-Identifier: MIT
/* The sources.  All but files are pure: the same parameters make the same messages, but for the
 * time in the demo. */
#include "tools/relaypub/message_source.h"

#include "base/clock.h"
#include "base/fd.h"
#include "tools/shared/positions.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const symbols[MESSAGE_SOURCE_SYMBOLS] = {
	"ACME", "BOLT", "CEDR", "DUNE", "EMBR", "FLUX", "GALE", "HIVE",
};

void message_source_init(struct message_source *source, const struct message_source_params *params)
{
	*source = (struct message_source){.params = *params, .fd = -1, .sequence = 1};
	for (uint32_t i = 0; i < MESSAGE_SOURCE_SYMBOLS; i++)
		source->cents[i] = 2500 + 3100 * i;
}

void message_source_fini(struct message_source *source)
{
	if (source->fd > STDIN_FILENO)
		fd_close(&source->fd);
}

static bool is_stdin(const char *name)
{
	return strcmp(name, "-") == 0;
}

/* 0 with source->fd, which is -1 after the last file; or -errno. */
static int open_next(struct message_source *source, struct errmsg *error)
{
	const struct message_source_params *params = &source->params;
	int at = source->file_at;
	int r = 0;

	if (at >= params->file_count && !(at == 0 && params->file_count == 0))
		return 0;
	source->file_at++;
	if (params->file_count == 0 || is_stdin(params->files[at])) {
		source->fd = STDIN_FILENO;
		return 0;
	}
	source->fd = open(params->files[at], O_RDONLY | O_CLOEXEC);
	if (source->fd < 0) {
		r = -errno;
		errmsg_errno(error, r, "cannot open %s", params->files[at]);
	}
	return r;
}

int message_source_open(struct message_source *source, int *ret_fd, struct errmsg *error)
{
	int r = 0;

	if (source->params.kind == MESSAGE_SOURCE_FILES && source->fd < 0)
		r = open_next(source, error);
	*ret_fd = source->fd;
	return r;
}

static int read_files(struct message_source *source, uint8_t *out, size_t *ret_size,
		      struct errmsg *error)
{
	*ret_size = 0;
	for (;;) {
		int fd;
		int r = message_source_open(source, &fd, error);
		ssize_t size;

		if (r < 0 || fd < 0)
			return r;
		size = read(fd, out, (size_t)source->params.size);
		if (size > 0) {
			*ret_size = (size_t)size;
			return 0;
		}
		if (size < 0) {
			r = -errno;
			errmsg_errno(error, r, "cannot read %s",
				     fd == STDIN_FILENO
					     ? "standard input"
					     : source->params.files[source->file_at - 1]);
			return r;
		}
		message_source_fini(source);
		source->fd = -1;
		// The next file may block; the caller asks what to wait for first.
		if (source->file_at < source->params.file_count)
			return -EAGAIN;
	}
}

/* One step of a price that nobody pays: up to five cents up or down, never below one unit. */
static int move_price(struct message_source *source, uint32_t *cents)
{
	int step;

	source->random = source->random * 6364136223846793005U + 1442695040888963407U;
	step = (int)(source->random >> 33) % 11 - 5;
	if (*cents < 105)
		step = 5;
	*cents = (uint32_t)((int)*cents + step);
	return step;
}

static size_t make_demo(struct message_source *source, uint64_t wall_ns, uint8_t *out)
{
	unsigned symbol = (unsigned)(source->sequence % MESSAGE_SOURCE_SYMBOLS);
	uint64_t ms = wall_ns / NS_PER_MS % (24 * 3600 * 1000);
	int step = move_price(source, &source->cents[symbol]);
	uint32_t cents = source->cents[symbol];
	char line[MESSAGE_SOURCE_DEMO_BYTES];
	int size = snprintf(line, sizeof line,
			    "%02u:%02u:%02u.%03uZ #%" PRIu64 " %s %" PRIu32 ".%02" PRIu32 " %+.2f",
			    (unsigned)(ms / 3600000), (unsigned)(ms / 60000 % 60),
			    (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000), source->sequence,
			    symbols[symbol], cents / 100, cents % 100, step / 100.0);

	memcpy(out, line, (size_t)size);
	return (size_t)size;
}

/* The sequence in decimal, a blank, and a letter over and over: never a line end. */
static size_t make_fill(const struct message_source *source, uint8_t *out)
{
	size_t size = (size_t)source->params.size;
	char head[24];
	int head_bytes = snprintf(head, sizeof head, "%" PRIu64 " ", source->sequence);

	memset(out, 'a' + (int)(source->sequence % 26), size);
	memcpy(out, head, size_min(size, (size_t)head_bytes));
	return size;
}

int message_source_next(struct message_source *source, uint64_t wall_ns, uint8_t *out,
			size_t *ret_size, struct errmsg *error)
{
	int r = 0;

	switch (source->params.kind) {
	case MESSAGE_SOURCE_FILES:
		r = read_files(source, out, ret_size, error);
		break;
	case MESSAGE_SOURCE_DEMO:
		*ret_size = make_demo(source, wall_ns, out);
		break;
	case MESSAGE_SOURCE_FILL:
		*ret_size = make_fill(source, out);
		break;
	case MESSAGE_SOURCE_POSITIONS:
		*ret_size = (size_t)source->params.size;
		positions_fill(source->params.seed, source->offset, out, *ret_size);
		source->offset += *ret_size;
		break;
	}
	if (r == 0)
		source->sequence++;
	return r;
}

// SPDX-License-Identifier: MIT
/* Streams of state.  Everything is read through take(), the one place that looks at the bounds. */
#include "continuity/state_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t NO_FD = UINT64_MAX;

void state_stream_write(struct state_stream *stream)
{
	*stream = (struct state_stream){.is_reading = false};
}

int state_stream_read(struct state_stream *stream, uint8_t *bytes, size_t length, const int *fds,
		      size_t fd_count)
{
	*stream = (struct state_stream){
		.is_reading = true, .bytes = bytes, .length = length, .fd_count = fd_count};
	if (fd_count == 0)
		return 0;
	stream->fds = calloc(fd_count, sizeof(*stream->fds));
	stream->is_fd_used = calloc(fd_count, sizeof(*stream->is_fd_used));
	if (!stream->fds || !stream->is_fd_used) {
		state_stream_free(stream);
		return -ENOMEM;
	}
	memcpy(stream->fds, fds, fd_count * sizeof(*fds));
	return 0;
}

void state_stream_free(struct state_stream *stream)
{
	if (!stream->is_reading)
		free(stream->bytes);
	free(stream->fds);
	free(stream->is_fd_used);
	*stream = (struct state_stream){0};
}

void state_fail(struct state_stream *stream, const char *what)
{
	if (stream->fault)
		return;
	stream->fault = what;
	stream->fault_offset = stream->is_reading ? stream->offset : stream->length;
}

void state_end(struct state_stream *stream)
{
	if (!stream->is_reading)
		return;
	if (stream->offset != stream->length)
		state_fail(stream, "bytes behind the end");
	for (size_t i = 0; i < stream->fd_count; i++) {
		if (!stream->is_fd_used[i])
			state_fail(stream, "a descriptor that nothing refers to");
	}
}

/* The next `length` bytes; NULL with a fault when there are not so many. */
static uint8_t *take(struct state_stream *stream, size_t length, const char *what)
{
	uint8_t *bytes = stream->bytes + stream->offset;

	if (stream->fault)
		return NULL;
	if (length > stream->length - stream->offset) {
		state_fail(stream, what);
		return NULL;
	}
	stream->offset += length;
	return bytes;
}

static void put(struct state_stream *stream, const void *bytes, size_t length)
{
	if (length == 0)
		return;
	if (stream->room - stream->length < length) {
		size_t room = size_max(2 * stream->room, stream->length + length + 4096);
		uint8_t *grown = realloc(stream->bytes, room);

		if (!grown) {
			state_fail(stream, "out of memory");
			return;
		}
		stream->bytes = grown;
		stream->room = room;
	}
	memcpy(stream->bytes + stream->length, bytes, length);
	stream->length += length;
}

void state_u64(struct state_stream *stream, uint64_t *value, uint64_t max, const char *what)
{
	const uint8_t *bytes;

	if (!stream->is_reading) {
		put(stream, value, sizeof(*value));
		return;
	}
	*value = 0;
	bytes = take(stream, sizeof(*value), what);
	if (!bytes)
		return;
	memcpy(value, bytes, sizeof(*value));
	if (*value <= max)
		return;
	state_fail(stream, what);
	*value = 0;
}

void state_size(struct state_stream *stream, size_t *value, uint64_t max, const char *what)
{
	uint64_t wide = *value;

	state_u64(stream, &wide, max, what);
	*value = (size_t)wide;
}

void state_unsigned(struct state_stream *stream, unsigned *value, unsigned max, const char *what)
{
	uint64_t wide = *value;

	state_u64(stream, &wide, max, what);
	*value = (unsigned)wide;
}

void state_bool(struct state_stream *stream, bool *value, const char *what)
{
	uint64_t wide = *value;

	state_u64(stream, &wide, 1, what);
	*value = wide == 1;
}

void state_text(struct state_stream *stream, char *text, size_t size, const char *what)
{
	size_t length = stream->is_reading ? 0 : strlen(text);
	const uint8_t *bytes;

	state_size(stream, &length, size - 1, what);
	if (!stream->is_reading) {
		put(stream, text, length);
		return;
	}
	memset(text, 0, size);
	bytes = take(stream, length, what);
	if (bytes && memchr(bytes, 0, length))
		state_fail(stream, what);
	else if (bytes)
		memcpy(text, bytes, length);
}

void state_bytes(struct state_stream *stream, uint8_t **bytes, size_t length, const char *what)
{
	if (stream->is_reading)
		*bytes = take(stream, length, what);
	else
		put(stream, *bytes, length);
}

bool state_array(struct state_stream *stream, void **array, size_t *count, size_t element_bytes,
		 size_t least_bytes, const char *what)
{
	state_size(stream, count, SIZE_MAX, what);
	if (!stream->is_reading)
		return *count > 0;
	*array = NULL;
	/* So a short stream can never ask for much memory. */
	if (*count > (stream->length - stream->offset) / least_bytes)
		state_fail(stream, what);
	else if (*count > 0)
		*array = calloc(*count, element_bytes);
	if (*count > 0 && !*array)
		state_fail(stream, "out of memory");
	if (stream->fault) {
		*count = 0;
		free(*array);
		*array = NULL;
	}
	return *count > 0;
}

static void put_fd(struct state_stream *stream, int fd)
{
	uint64_t number = NO_FD;

	if (fd >= 0 && stream->fd_count == stream->fd_room) {
		size_t room = size_max(64, 2 * stream->fd_room);
		int *grown = realloc(stream->fds, room * sizeof(*grown));

		if (!grown) {
			state_fail(stream, "out of memory");
			return;
		}
		stream->fds = grown;
		stream->fd_room = room;
	}
	if (fd >= 0) {
		number = stream->fd_count;
		stream->fds[stream->fd_count++] = fd;
	}
	put(stream, &number, sizeof(number));
}

static void transfer_number(struct state_stream *stream, int *fd, const char *what)
{
	uint64_t number = *fd < 0 ? NO_FD : (uint64_t)*fd;

	state_u64(stream, &number, UINT64_MAX, what);
	if (number != NO_FD && number > INT32_MAX)
		state_fail(stream, what);
	*fd = number <= INT32_MAX ? (int)number : -1;
}

void state_fd(struct state_stream *stream, int *fd, const char *what)
{
	uint64_t number = 0;

	if (stream->has_own_fds) {
		transfer_number(stream, fd, what);
		return;
	}
	if (!stream->is_reading) {
		put_fd(stream, *fd);
		return;
	}
	*fd = -1;
	state_u64(stream, &number, UINT64_MAX, what);
	if (stream->fault || number == NO_FD)
		return;
	if (number >= stream->fd_count || stream->is_fd_used[number]) {
		state_fail(stream, what);
		return;
	}
	stream->is_fd_used[number] = true;
	*fd = stream->fds[number];
}

// SPDX-License-Identifier: MIT
/* Streams of state.  Everything is read through take(), the one place that looks at the bounds. */
#include "continuity/state_stream.h"

#include <stdlib.h>
#include <string.h>

#include "continuity/kept_fds.h"

static const uint64_t NO_FD = UINT64_MAX;

void state_stream_write(struct state_stream *stream)
{
	*stream = (struct state_stream){.is_reading = false};
}

void state_stream_read(struct state_stream *stream, uint8_t *bytes, size_t length,
		       struct kept_fds *kept)
{
	*stream = (struct state_stream){
		.is_reading = true, .bytes = bytes, .length = length, .kept = kept};
}

void state_stream_free(struct state_stream *stream)
{
	if (!stream->is_reading)
		free(stream->bytes);
	free(stream->fds);
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
	if (stream->is_reading && stream->offset != stream->length)
		state_fail(stream, "bytes behind the end");
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

void state_add_fd(struct state_stream *stream, int fd)
{
	if (stream->fd_count == stream->fd_room) {
		size_t room = size_max(64, 2 * stream->fd_room);
		int *grown = realloc(stream->fds, room * sizeof(*grown));

		if (!grown) {
			state_fail(stream, "out of memory");
			return;
		}
		stream->fds = grown;
		stream->fd_room = room;
	}
	stream->fds[stream->fd_count++] = fd;
}

void state_fd(struct state_stream *stream, int *fd, const char *what)
{
	uint64_t number = *fd < 0 ? NO_FD : (uint64_t)*fd;

	if (!stream->is_reading && *fd >= 0)
		state_add_fd(stream, *fd);
	state_u64(stream, &number, UINT64_MAX, what);
	if (!stream->is_reading)
		return;
	*fd = -1;
	if (stream->fault || number == NO_FD)
		return;
	if (number > INT32_MAX)
		state_fail(stream, what);
	else if (!stream->kept)
		*fd = (int)number;
	else
		*fd = kept_fds_take(stream->kept, (int)number);
	if (*fd < 0)
		state_fail(stream, what);
}

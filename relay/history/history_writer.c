// SPDX-License-Identifier: MIT
/*
 * Bytes are written first, then the entries that speak of them, and then readers are shown both.
 *
 * What is appended at once goes to the file in one call, from the caller's memory.  Only where a
 * file ends, or a packet is left out, it is cut in two.
 */
#include "history/history_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "history_file/crc32c.h"
#include "history/history.h"
#include "history/history_folder.h"
#include "history/history_recover.h"
#include "history/history_sync.h"

#define FILE_MAX_NS (24 * 3600 * NS_PER_S)

enum {
	FILES_IN_MAX_AGE = 10, /* so that what is too old goes in time */
};

void history_writer_begin(struct history_writer *writer, struct history *history,
			  const struct history_entry *end)
{
	*writer = (struct history_writer){
		.history = history,
		.fd = -1,
		.index_fd = -1,
		.session = end->session,
		.next_seq = end->sequence,
	};
}

/* ---- writing ---- */

static int write_pending(struct history_writer *writer)
{
	uint64_t first = writer->entry_count - writer->pending_count;
	int r = history_write_at(writer->index_fd, history_index_offset(first), writer->pending,
				 writer->pending_count * HISTORY_ENTRY_BYTES);

	if (r == 0)
		writer->pending_count = 0;
	return r;
}

static void show(struct history_writer *writer)
{
	writer->shown = writer->end;
	writer->shown_entry_count = writer->end_entry_count;
	history_show(writer->history, writer->file, &writer->shown, writer->shown_entry_count);
}

/* Writes what is in hand: it ends at writer->offset.  Then readers see it, if they may. */
static int flush(struct history_writer *writer, const uint8_t *bytes, size_t count)
{
	int r;

	if (!writer->file)
		return 0;
	r = history_write_at(writer->fd, writer->written, bytes, count);
	if (r < 0)
		return r;
	writer->written += count;
	writer->total_bytes += count;
	r = write_pending(writer);
	if (r == 0 && !writer->shows_committed)
		show(writer);
	return r;
}

int history_writer_commit(struct history_writer *writer)
{
	uint8_t head[HISTORY_ENTRY_BYTES];
	int r;

	if (!writer->file || writer->end.offset == writer->shown.offset)
		return 0;
	if (fdatasync(writer->fd) < 0)
		return -errno;
	if (writer->is_new && fsync(writer->history->folder.fd) < 0)
		return -errno;
	writer->is_new = false;
	/* Only then: it says that the bytes are there. */
	history_index_encode_head(writer->end.offset, head);
	r = history_write_at(writer->index_fd, 0, head, sizeof(head));
	if (r < 0)
		return r;
	if (fdatasync(writer->index_fd) < 0)
		return -errno;
	show(writer);
	return 0;
}

/* ---- a packet ---- */

/* The packet begins at writer->offset. */
static void begin_packet(struct history_writer *writer, const struct packet_header *header)
{
	struct history_entry entry;

	if (history_rule_next(&writer->rule, header, writer->offset, &entry)) {
		entry.crc = history_index_sum(&entry, writer->crc);
		writer->crc = 0;
		history_index_encode(&entry,
				     writer->pending + writer->pending_count * HISTORY_ENTRY_BYTES);
		writer->pending_count++;
		writer->entry_count++;
	}
	writer->session = header->session;
	writer->next_seq = packet_header_next_seq(header);
	if (header->type == PACKET_DATA || header->type == PACKET_GAP)
		writer->is_message_open = header->flags & PACKET_FLAG_CONTINUED;
	if (header->type != PACKET_GAP)
		return;
	if (header->flags & PACKET_FLAG_HOLE)
		return;
	writer->gaps++;
	writer->missed += header->time - header->sequence;
}

static void end_packet(struct history_writer *writer)
{
	if (writer->is_message_open)
		return;
	writer->end =
		history_rule_end(&writer->rule, writer->session, writer->next_seq, writer->offset);
	writer->end.crc = history_index_sum(&writer->end, writer->crc);
	writer->end_entry_count = writer->entry_count;
}

/* A packet of the writer's own. */
static int put_own(struct history_writer *writer, const struct packet_header *header)
{
	uint8_t bytes[PACKET_HEADER_BYTES];

	packet_header_encode(header, bytes);
	begin_packet(writer, header);
	writer->crc = crc32c(writer->crc, bytes, sizeof(bytes));
	writer->offset += sizeof(bytes);
	end_packet(writer);
	return flush(writer, bytes, sizeof(bytes));
}

/* ---- files ---- */

static int open_files(struct history_writer *writer, uint64_t number)
{
	const struct history *history = writer->history;
	int flags = O_RDWR | O_CREAT | O_EXCL;
	uint8_t head[HISTORY_ENTRY_BYTES];
	int r = history_folder_open_file(history->folder.fd, number, HISTORY_PACKETS, flags,
					 &writer->fd);

	if (r == 0)
		r = history_folder_open_file(history->folder.fd, number, HISTORY_INDEX, flags,
					     &writer->index_fd);
	history_index_encode_head(0, head);
	return r == 0 ? history_write_at(writer->index_fd, 0, head, sizeof(head)) : r;
}

static void set_limits(struct history_writer *writer)
{
	const struct history_params limits = history_limits(writer->history);

	writer->max_bytes = limits.max_file_bytes;
	writer->max_ns = FILE_MAX_NS;
	if (limits.max_age_ms)
		writer->max_ns =
			u64_min(FILE_MAX_NS, limits.max_age_ms * NS_PER_MS / FILES_IN_MAX_AGE);
}

/* What cannot be made whole goes again. */
static int make_file(struct history_writer *writer, uint64_t now_ns)
{
	struct history *history = writer->history;
	uint64_t number = history->next_number++;
	struct history_file *file = history_new_file(number);
	int r = file ? open_files(writer, number) : -ENOMEM;

	if (r < 0) {
		if (writer->fd >= 0) /* it has been made here */
			(void)history_folder_unlink(history->folder.fd, number);
		fd_close(&writer->fd);
		fd_close(&writer->index_fd);
		history_unref_file(history, &file);
		return r;
	}
	set_limits(writer);
	history_set_open(history, writer->fd, writer->index_fd);
	writer->file = file;
	writer->begun_ns = now_ns;
	writer->offset = writer->written = 0;
	writer->rule = (struct history_rule){0};
	writer->entry_count = writer->pending_count = 0;
	writer->end_entry_count = writer->shown_entry_count = 0;
	writer->crc = 0;
	writer->is_new = true;
	writer->end = writer->shown = (struct history_entry){.is_end = true};
	return 0;
}

/* Cuts off what has no end yet; the rest is to be sealed. */
static int close_file(struct history_writer *writer)
{
	uint64_t index_bytes = history_index_offset(writer->shown_entry_count);

	if (ftruncate(writer->fd, (off_t)writer->shown.offset) < 0 ||
	    ftruncate(writer->index_fd, (off_t)index_bytes) < 0)
		return -errno;
	return history_add_unsealed(writer->history, writer->file->number, &writer->fd,
				    &writer->index_fd, writer->shown_entry_count, &writer->shown);
}

int history_writer_end(struct history_writer *writer)
{
	int r = 0;

	writer->packet_left = 0;
	writer->is_message_open = false;
	if (!writer->file)
		return 0;
	history_set_open(writer->history, -1, -1);
	if (writer->shown_entry_count) {
		r = close_file(writer);
		writer->next_seq = writer->shown.sequence;
	} else {
		r = history_folder_unlink(writer->history->folder.fd, writer->file->number);
		writer->next_seq = writer->file->first.sequence;
	}
	fd_close(&writer->fd);
	fd_close(&writer->index_fd);
	history_complete(writer->history, &writer->file);
	return r;
}

/* Must the next packet begin a file? */
static bool is_full(const struct history_writer *writer, const struct packet_header *header,
		    uint64_t now_ns)
{
	if (!writer->file || header->session != writer->session)
		return true;
	if (writer->is_message_open)
		return false;
	return writer->offset >= writer->max_bytes ||
	       (now_ns > writer->begun_ns && now_ns - writer->begun_ns >= writer->max_ns);
}

/* A heartbeat that says what comes next, unless `header` is one that says it. */
static int begin_file(struct history_writer *writer, const struct packet_header *header,
		      uint64_t sequence, uint64_t now_ns)
{
	const struct packet_header heartbeat = {
		.type = PACKET_HEARTBEAT,
		.session = header->session,
		.sequence = sequence,
		.time = header->type == PACKET_GAP ? now_ns : header->time,
	};
	int r = writer->shows_committed ? history_writer_commit(writer) : 0;

	if (r == 0)
		r = history_writer_end(writer);
	if (r == 0)
		r = make_file(writer, now_ns);
	if (r < 0)
		return r;
	writer->file->first = (struct history_entry){
		.sequence = sequence,
		.time_ns = heartbeat.time,
		.session = header->session,
	};
	return header->type == PACKET_HEARTBEAT && header->sequence == sequence
		       ? 0
		       : put_own(writer, &heartbeat);
}

static int put_gap(struct history_writer *writer, uint32_t session, uint64_t to)
{
	const struct packet_header gap = {
		.type = PACKET_GAP,
		.session = session,
		.sequence = writer->next_seq,
		.time = to,
	};

	return put_own(writer, &gap);
}

/* Everything that has to be done before the packet is taken in; bytes in hand have been flushed if
 * needs_flush() said so. */
static int prepare(struct history_writer *writer, const struct packet_header *header,
		   uint64_t now_ns)
{
	bool is_same = header->session == writer->session;
	uint64_t sequence = is_same ? writer->next_seq : header->sequence;
	int r = 0;

	if (is_full(writer, header, now_ns))
		r = begin_file(writer, header, sequence, now_ns);
	if (r == 0 && header->sequence > sequence)
		r = put_gap(writer, header->session, header->sequence);
	return r;
}

/* Is it left out?  What has been appended before is; the end of a session that may go on after a
 * restart; and a gap before a session, of which nobody knows how long it is.  -EPROTO: a part of it
 * has been appended. */
static int must_skip(const struct history_writer *writer, const struct packet_header *header)
{
	if (header->type == PACKET_END)
		return true;
	if (header->session != writer->session)
		return header->type == PACKET_GAP && !header->sequence;
	if (header->sequence >= writer->next_seq)
		return false;
	return packet_header_next_seq(header) <= writer->next_seq ? true : -EPROTO;
}

/* ---- appending ---- */

/* What is appended in one call. */
struct append {
	const uint8_t *bytes;
	size_t count;
	size_t flushed; /* of these; or left out */
	size_t taken;
	uint64_t now_ns;
};

static int flush_taken(struct history_writer *writer, struct append *append)
{
	size_t count = append->taken - append->flushed;
	int r = writer->is_skipping ? 0 : flush(writer, append->bytes + append->flushed, count);

	append->flushed = append->taken;
	return r;
}

/* A header stands at append->taken. */
static int take_header(struct history_writer *writer, struct append *append)
{
	struct packet_header header;
	int r;

	if (packet_header_decode(append->bytes + append->taken, &header) < 0)
		return -EPROTO;
	r = must_skip(writer, &header);
	if (r < 0)
		return r;
	if (r != writer->is_skipping || is_full(writer, &header, append->now_ns) ||
	    header.sequence != writer->next_seq ||
	    writer->pending_count == HISTORY_PENDING_ENTRIES - 1) {
		int error = flush_taken(writer, append);

		if (error < 0)
			return error;
	}
	writer->is_skipping = r;
	r = writer->is_skipping ? 0 : prepare(writer, &header, append->now_ns);
	if (r < 0)
		return r;
	writer->packet_left = PACKET_HEADER_BYTES + header.length;
	if (!writer->is_skipping)
		begin_packet(writer, &header);
	return 0;
}

static void take_bytes(struct history_writer *writer, struct append *append)
{
	size_t count = (size_t)u64_min(writer->packet_left, append->count - append->taken);

	if (!writer->is_skipping) {
		writer->crc = crc32c(writer->crc, append->bytes + append->taken, count);
		writer->offset += count;
	}
	append->taken += count;
	writer->packet_left -= count;
	if (!writer->packet_left && !writer->is_skipping)
		end_packet(writer);
}

ssize_t history_writer_append(struct history_writer *writer, const uint8_t *bytes, size_t count,
			      uint64_t now_ns)
{
	struct append append = {.bytes = bytes, .count = count, .now_ns = now_ns};
	int r;

	while (append.taken < count) {
		if (!writer->packet_left) {
			if (count - append.taken < PACKET_HEADER_BYTES)
				break;
			r = take_header(writer, &append);
			if (r < 0)
				return r;
		}
		take_bytes(writer, &append);
	}
	r = flush_taken(writer, &append);
	return r < 0 ? r : (ssize_t)append.taken;
}

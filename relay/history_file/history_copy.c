// SPDX-License-Identifier: MIT
/* What is wanted of a file is one stretch of it, which the kernel copies (sendfile(2)). */
#include "history_file/history_copy.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/packet_header.h"
#include "history_file/history_scan.h"
#include "history_file/history_search.h"

enum {
	PIECE_BYTES = 1 << 30,
};

void history_copy_begin(struct history_copy *copy, int fd, uint64_t since_ns, uint64_t until_ns)
{
	*copy = (struct history_copy){.fd = fd, .since_ns = since_ns, .until_ns = until_ns};
}

/* Where the last whole message ends, from that entry on.  session 0: none does. */
static int scan_end(int fd, const struct history_entry *from, uint64_t size,
		    struct history_entry *ret)
{
	struct history_rule rule = {.time_ns = from->time_ns};
	struct history_entry entry;
	struct history_scan scan;
	struct packet_header header;
	uint64_t offset;
	int r;

	*ret = (struct history_entry){.is_end = true};
	history_scan_init(&scan, fd, from->offset, size);
	while ((r = history_scan_next(&scan, &header, &offset)) > 0) {
		(void)history_rule_next(&rule, &header, offset, &entry);
		if (!scan.is_message_open)
			*ret = history_rule_end(&rule, scan.session, scan.next_seq, scan.offset);
	}
	return r;
}

/* A file that is closed for good says it; else it is found out from the newest entry on. */
static int find_end(int fd, const struct history_index *index, struct history_entry *ret)
{
	struct history_entry from = {0};
	struct stat st;
	int r;

	if (index->has_end) {
		*ret = history_index_at(index, index->count);
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (index->count)
		from = history_index_at(index, index->count - 1);
	if (from.offset > (uint64_t)st.st_size)
		return -EBADMSG;
	r = scan_end(fd, &from, (uint64_t)st.st_size, ret);
	if (r == 0 && !ret->session && from.offset)
		r = scan_end(fd, &(struct history_entry){0}, (uint64_t)st.st_size, ret);
	return r;
}

static int write_all(int fd, const uint8_t *bytes, size_t count)
{
	while (count) {
		ssize_t n = TEMP_FAILURE_RETRY(write(fd, bytes, count));

		if (n < 0)
			return -errno;
		bytes += n;
		count -= (size_t)n;
	}
	return 0;
}

/* The session of what is copied next is another one. */
static int put_end(struct history_copy *copy)
{
	const struct packet_header header = {
		.type = PACKET_END,
		.session = copy->end.session,
		.sequence = copy->end.sequence,
		.time = copy->end.time_ns,
	};
	uint8_t bytes[PACKET_HEADER_BYTES];

	packet_header_encode(&header, bytes);
	copy->bytes += sizeof(bytes);
	return write_all(copy->fd, bytes, sizeof(bytes));
}

static int put_bytes(struct history_copy *copy, int fd, uint64_t from, uint64_t to)
{
	off_t offset = (off_t)from;

	while ((uint64_t)offset < to) {
		size_t count = (size_t)u64_min(PIECE_BYTES, to - (uint64_t)offset);
		ssize_t n = TEMP_FAILURE_RETRY(sendfile(copy->fd, fd, &offset, count));

		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG; /* it has become shorter */
		copy->bytes += (uint64_t)n;
	}
	return 0;
}

static int copy_range(struct history_copy *copy, int fd, const struct history_index *index,
		      const struct history_entry *end)
{
	uint64_t from = 0, to = end->offset;
	int r = 0;

	if (copy->since_ns)
		r = history_search_time(fd, index, end->offset, copy->since_ns, &from);
	if (r == 0 && copy->until_ns)
		r = history_search_time(fd, index, end->offset, copy->until_ns + 1, &to);
	if (r < 0 || from >= to)
		return r;
	if (copy->end.session && copy->end.session != end->session)
		r = put_end(copy);
	copy->end = *end;
	return r == 0 ? put_bytes(copy, fd, from, to) : r;
}

int history_copy_add(struct history_copy *copy, int fd, int index_fd, struct errmsg *err)
{
	struct history_index index = {0};
	struct history_entry end;
	int r = index_fd < 0 ? -EBADMSG : history_index_map(&index, index_fd, UINT64_MAX);

	/* Without one, the file is read through. */
	if (r == -EBADMSG)
		r = 0;
	if (r == 0)
		r = find_end(fd, &index, &end);
	if (r == 0)
		r = copy_range(copy, fd, &index, &end);
	history_index_unmap(&index);
	if (r == -EBADMSG)
		errmsg_set(err, "it is not as it was written");
	else if (r < 0)
		errmsg_errno(err, r, "copying");
	return r;
}

// SPDX-License-Identifier: MIT
/*
 * Two things speak for what is in a file: headers that follow one another, and the CRCs of the
 * index.
 *
 * The walk makes the index anew, entry by entry.  As long as an old entry says the same of its
 * packet, it is believed, and so is its CRC: bytes that do not have it are damaged, and the file
 * is cut before them.  From the first old entry on that says something else, the old index is not
 * believed any more.
 */
#include "history/history_recover.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history_file/history_scan.h"

struct walk {
	struct history_scan scan;
	struct history_rule rule;
	uint8_t *bytes; /* the index anew: its head, and `count` entries */
	uint64_t count, room;
	struct history_entry end; /* behind the last whole message */

	struct history_index old; /* count 0: there is none */
	bool believes_old;
	bool has_wrong;     /* an old entry, or the whole index */
	uint64_t confirmed; /* how many entries from the first on the old index agrees with */
};

int history_write_at(int fd, uint64_t offset, const uint8_t *bytes, size_t count)
{
	while (count) {
		ssize_t n = TEMP_FAILURE_RETRY(pwrite(fd, bytes, count, (off_t)offset));

		if (n < 0)
			return -errno;
		bytes += n;
		offset += (uint64_t)n;
		count -= (size_t)n;
	}
	return 0;
}

static struct history_entry entry_of(const struct walk *walk, uint64_t i)
{
	const struct history_index index = {.bytes = walk->bytes};

	return history_index_at(&index, i);
}

static int begin(struct walk *walk)
{
	walk->room = 256;
	walk->bytes = malloc(history_index_offset(walk->room));
	if (!walk->bytes)
		return -ENOMEM;
	history_index_encode_head(history_index_committed(&walk->old), walk->bytes);
	return 0;
}

static int add_entry(struct walk *walk, const struct history_entry *entry)
{
	if (walk->count == walk->room) {
		uint8_t *bytes = realloc(walk->bytes, history_index_offset(2 * walk->room));

		if (!bytes)
			return -ENOMEM;
		walk->bytes = bytes;
		walk->room *= 2;
	}
	history_index_encode(entry, walk->bytes + history_index_offset(walk->count++));
	return 0;
}

static bool is_same(const struct history_entry *a, const struct history_entry *b)
{
	return a->sequence == b->sequence && a->time_ns == b->time_ns && a->offset == b->offset &&
	       a->session == b->session && a->is_end == b->is_end;
}

/* Compares with the old entry in its place.  -EBADMSG: the bytes before it are damaged. */
static int compare(struct walk *walk, const struct history_entry *entry)
{
	struct history_entry old;

	if (!walk->believes_old || walk->count >= walk->old.count + walk->old.has_end)
		return 0;
	old = history_index_at(&walk->old, walk->count);
	if (entry->is_end && !old.is_end)
		return 0; /* it has been going on */
	if (!is_same(&old, entry)) {
		walk->believes_old = false;
		walk->has_wrong = true;
		return 0;
	}
	if (old.crc != entry->crc)
		return -EBADMSG;
	walk->confirmed = walk->count + 1;
	return 0;
}

/* Sets the crc of what is to be the next entry. */
static int sum_up(const struct walk *walk, struct history_entry *entry)
{
	uint32_t crc = 0;
	int r = 0;

	if (walk->count)
		r = history_scan_crc(walk->scan.fd, entry_of(walk, walk->count - 1).offset,
				     entry->offset, &crc);
	entry->crc = history_index_sum(entry, crc);
	return r;
}

static int take_packet(struct walk *walk, const struct packet_header *header, uint64_t offset)
{
	struct history_entry entry;
	int r = 0;

	if (history_rule_next(&walk->rule, header, offset, &entry)) {
		r = sum_up(walk, &entry);
		if (r == 0)
			r = compare(walk, &entry);
		if (r == 0)
			r = add_entry(walk, &entry);
	}
	if (r == 0 && !walk->scan.is_message_open)
		walk->end = history_rule_end(&walk->rule, walk->scan.session, walk->scan.next_seq,
					     walk->scan.offset);
	return r;
}

/* Over all packets that are in order, from where the scan is; walk->end is behind the last whole
 * message.  -EBADMSG: the bytes behind the newest entry are damaged.  -ENODATA: there is no whole
 * message. */
static int walk_on(struct walk *walk)
{
	struct packet_header header;
	uint64_t offset;
	int r;

	walk->end = (struct history_entry){.is_end = true};
	while ((r = history_scan_next(&walk->scan, &header, &offset)) > 0) {
		r = take_packet(walk, &header, offset);
		if (r < 0)
			break;
	}
	if (r < 0)
		return r;
	while (walk->count && entry_of(walk, walk->count - 1).offset >= walk->end.offset)
		walk->count--;
	if (!walk->count)
		return -ENODATA;
	r = sum_up(walk, &walk->end);
	return r == 0 ? compare(walk, &walk->end) : r;
}

/* From the beginning up to `limit`. */
static int walk_to(struct walk *walk, int fd, uint64_t limit)
{
	history_scan_init(&walk->scan, fd, 0, limit);
	walk->rule = (struct history_rule){0};
	walk->count = 0;
	return walk_on(walk);
}

static bool is_behind(const struct history_entry *entry, const struct history_entry *before)
{
	return entry->offset > before->offset && entry->sequence >= before->sequence &&
	       entry->time_ns >= before->time_ns && entry->session == before->session;
}

/* Can the old entry stand behind the newest one so far? */
static bool can_follow(const struct walk *walk, const struct history_entry *entry)
{
	struct history_entry before;

	if (entry->is_end)
		return false;
	if (!walk->count)
		return entry->offset == 0 && entry->crc == history_index_sum(entry, 0);
	before = entry_of(walk, walk->count - 1);
	return is_behind(entry, &before);
}

/* From the newest old entry on, for what is before it is as it was written.  False: that entry is
 * not what it should be, or no message ends behind it. */
static bool walk_from_newest(struct walk *walk, int fd, uint64_t size)
{
	uint64_t last = walk->old.count - 1;
	struct history_entry newest;

	if (walk->old.count < 2 || walk->old.has_end)
		return false;
	while (walk->count < last) {
		struct history_entry entry = history_index_at(&walk->old, walk->count);

		if (!can_follow(walk, &entry) || add_entry(walk, &entry) < 0)
			return false;
	}
	newest = history_index_at(&walk->old, last);
	if (newest.offset >= size || !can_follow(walk, &newest))
		return false;
	history_scan_init(&walk->scan, fd, newest.offset, size);
	walk->rule = (struct history_rule){.time_ns = newest.time_ns};
	return walk_on(walk) == 0 && walk->believes_old && walk->confirmed > last;
}

/* From the beginning, up to where packets and index agree. */
static int walk_over(struct walk *walk, int fd, uint64_t size, bool trusts_tail)
{
	bool has_index = !walk->has_wrong;
	uint64_t sure;
	int r;

	if (trusts_tail && walk_from_newest(walk, fd, size))
		return 0;
	walk->believes_old = true;
	walk->has_wrong = !has_index;
	walk->confirmed = 0;
	r = walk_to(walk, fd, size);

	if (r == -EBADMSG)
		sure = walk->count - 1;
	else if (r == 0 && !trusts_tail && walk->confirmed && walk->confirmed <= walk->count)
		sure = walk->confirmed - 1;
	else
		return r;
	walk->believes_old = false; /* what is left has been compared */
	return walk_to(walk, fd, entry_of(walk, sure).offset);
}

static int write_index(const struct walk *walk, int index_fd)
{
	size_t size = history_index_offset(walk->count);
	int r = history_write_at(index_fd, 0, walk->bytes, size);

	if (r < 0)
		return r;
	return ftruncate(index_fd, (off_t)size) < 0 ? -errno : 0;
}

static int finish(struct walk *walk, int fd, int index_fd, uint64_t size,
		  struct history_recovered *ret)
{
	*ret = (struct history_recovered){
		.first = entry_of(walk, 0),
		.end = walk->end,
		.entry_count = walk->count,
		.cut_bytes = size - walk->end.offset,
		.was_rebuilt = walk->has_wrong,
	};
	if (ret->cut_bytes && ftruncate(fd, (off_t)ret->end.offset) < 0)
		return -errno;
	return write_index(walk, index_fd);
}

int history_recover(int fd, int index_fd, bool trusts_tail, struct history_recovered *ret)
{
	struct walk walk = {.believes_old = true};
	uint64_t committed, limit;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	limit = (uint64_t)st.st_size;
	*ret = (struct history_recovered){.cut_bytes = limit};
	r = history_index_map(&walk.old, index_fd, UINT64_MAX);
	if (r < 0 && r != -EBADMSG)
		return r;
	walk.has_wrong = r < 0;
	committed = history_index_committed(&walk.old);
	if (!trusts_tail && committed && committed <= limit) {
		limit = committed;
		trusts_tail = true;
	}
	r = begin(&walk);
	if (r == 0)
		r = walk_over(&walk, fd, limit, trusts_tail);
	if (r == 0)
		r = finish(&walk, fd, index_fd, (uint64_t)st.st_size, ret);
	history_index_unmap(&walk.old);
	free(walk.bytes);
	return r;
}

static int read_newest_entry(int index_fd, uint64_t count, struct history_entry *ret)
{
	struct history_index index;
	int r = history_index_map(&index, index_fd, count);

	if (r == 0)
		*ret = history_index_at(&index, count - 1);
	history_index_unmap(&index);
	return r;
}

/* Sets the crc of an entry that stands behind `before`. */
static int sum_since(int fd, const struct history_entry *before, struct history_entry *entry)
{
	uint32_t crc = 0;
	int r = history_scan_crc(fd, before->offset, entry->offset, &crc);

	entry->crc = history_index_sum(entry, crc);
	return r;
}

int history_recover_gap(int fd, int index_fd, uint64_t sequence, struct history_recovered *file)
{
	const struct packet_header gap = {
		.type = PACKET_GAP,
		.session = file->end.session,
		.sequence = file->end.sequence,
		.time = sequence,
	};
	struct history_entry newest = {0}, entry;
	struct history_rule rule;
	uint8_t bytes[PACKET_HEADER_BYTES], entry_bytes[HISTORY_ENTRY_BYTES];
	int r = read_newest_entry(index_fd, file->entry_count, &newest);

	packet_header_encode(&gap, bytes);
	if (r == 0)
		r = history_write_at(fd, file->end.offset, bytes, sizeof(bytes));
	rule = (struct history_rule){true, file->end.time_ns, newest.offset, newest.time_ns};
	if (r == 0 && history_rule_next(&rule, &gap, file->end.offset, &entry)) {
		r = sum_since(fd, &newest, &entry);
		history_index_encode(&entry, entry_bytes);
		if (r == 0)
			r = history_write_at(index_fd, history_index_offset(file->entry_count++),
					     entry_bytes, sizeof(entry_bytes));
		newest = entry;
	}
	file->end =
		history_rule_end(&rule, gap.session, sequence, file->end.offset + sizeof(bytes));
	return r == 0 ? sum_since(fd, &newest, &file->end) : r;
}

int history_seal(int fd, int index_fd, uint64_t entry_count, const struct history_entry *end)
{
	uint8_t bytes[HISTORY_ENTRY_BYTES];
	int r;

	if (fdatasync(fd) < 0)
		return -errno;
	history_index_encode(end, bytes);
	r = history_write_at(index_fd, history_index_offset(entry_count), bytes, sizeof(bytes));
	if (r < 0)
		return r;
	return fdatasync(index_fd) < 0 ? -errno : 0;
}

/* Each entry, and the end, against the one before it. */
static bool is_in_order(const struct history_index *index)
{
	struct history_entry before = history_index_at(index, 0);

	if (before.offset != 0 || before.is_end)
		return false;
	for (uint64_t i = 1; i <= index->count; i++) {
		struct history_entry entry = history_index_at(index, i);

		if (!is_behind(&entry, &before) || entry.is_end != (i == index->count))
			return false;
		before = entry;
	}
	return true;
}

/* Against the packets behind the last entry.  True where they cannot be read. */
static bool is_end_right(int fd, const struct history_index *index)
{
	struct history_entry last = history_index_at(index, index->count - 1), entry;
	struct history_entry end = history_index_at(index, index->count);
	struct history_rule rule = {.time_ns = last.time_ns};
	struct packet_header header;
	struct history_scan scan;
	uint64_t offset;
	int r;

	history_scan_init(&scan, fd, last.offset, end.offset);
	while ((r = history_scan_next(&scan, &header, &offset)) > 0)
		(void)history_rule_next(&rule, &header, offset, &entry);
	entry = history_rule_end(&rule, scan.session, scan.next_seq, scan.offset);
	return r < 0 || is_same(&entry, &end);
}

static int check_sealed(int fd, const struct history_index *index, uint64_t size,
			struct history_recovered *ret)
{
	if (!index->has_end || !index->count)
		return -EBADMSG;
	*ret = (struct history_recovered){
		.first = history_index_at(index, 0),
		.end = history_index_at(index, index->count),
		.entry_count = index->count,
	};
	return ret->end.offset == size && is_in_order(index) && is_end_right(fd, index) ? 0
											: -EBADMSG;
}

int history_check_sealed(int fd, int index_fd, struct history_recovered *ret)
{
	struct history_index index;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = history_index_map(&index, index_fd, UINT64_MAX);
	if (r < 0)
		return r;
	r = check_sealed(fd, &index, (uint64_t)st.st_size, ret);
	history_index_unmap(&index);
	return r;
}

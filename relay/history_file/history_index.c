// SPDX-License-Identifier: MIT
/* Entries as bytes, and the binary search over them. */
#include "history_file/history_index.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "history_file/crc32c.h"

#define END_BIT (UINT64_C(1) << 63)

static const uint8_t magic[4] = {'R', 'L', 'Y', 'X'};

enum {
	VERSION = 1,
};

/* An entry on disk.  All in network byte order. */
struct entry_bytes {
	uint64_t sequence, time_ns, offset;
	uint32_t session, crc;
};
_Static_assert(sizeof(struct entry_bytes) == HISTORY_ENTRY_BYTES, "as the format says");

bool history_rule_next(struct history_rule *rule, const struct packet_header *header,
		       uint64_t offset, struct history_entry *ret)
{
	/* A gap has no time of its own. */
	if (header->type != PACKET_GAP)
		rule->time_ns = u64_max(rule->time_ns, header->time);
	if (rule->has_begun && offset - rule->entry_offset < HISTORY_INDEX_BYTES &&
	    rule->time_ns - rule->entry_time_ns < HISTORY_INDEX_NS)
		return false;
	rule->has_begun = true;
	rule->entry_offset = offset;
	rule->entry_time_ns = rule->time_ns;
	*ret = (struct history_entry){
		.sequence = header->sequence,
		.time_ns = rule->time_ns,
		.offset = offset,
		.session = header->session,
	};
	return true;
}

struct history_entry history_rule_end(const struct history_rule *rule, uint32_t session,
				      uint64_t sequence, uint64_t offset)
{
	return (struct history_entry){
		.sequence = sequence,
		.time_ns = rule->time_ns,
		.offset = offset,
		.session = session,
		.is_end = true,
	};
}

static uint32_t sum_head(const uint8_t head[HISTORY_ENTRY_BYTES])
{
	return htobe32(crc32c(0, head, HISTORY_ENTRY_BYTES - sizeof(uint32_t)));
}

void history_index_encode_head(uint64_t committed, uint8_t out[HISTORY_ENTRY_BYTES])
{
	struct entry_bytes head = {.offset = htobe64(committed)};
	uint32_t sum;

	memcpy(out, &head, sizeof(head));
	memcpy(out, magic, sizeof(magic));
	out[sizeof(magic)] = VERSION;
	sum = sum_head(out);
	memcpy(out + offsetof(struct entry_bytes, crc), &sum, sizeof(sum));
}

uint64_t history_index_committed(const struct history_index *index)
{
	struct entry_bytes head;

	if (!index->bytes)
		return 0;
	memcpy(&head, index->bytes, sizeof(head));
	return head.crc == sum_head(index->bytes) ? be64toh(head.offset) : 0;
}

void history_index_encode(const struct history_entry *entry, uint8_t out[HISTORY_ENTRY_BYTES])
{
	const struct entry_bytes bytes = {
		.sequence = htobe64(entry->sequence),
		.time_ns = htobe64(entry->time_ns),
		.offset = htobe64(entry->offset | (entry->is_end ? END_BIT : 0)),
		.session = htobe32(entry->session),
		.crc = htobe32(entry->crc),
	};

	memcpy(out, &bytes, sizeof(bytes));
}

uint32_t history_index_sum(const struct history_entry *entry, uint32_t bytes_crc)
{
	uint8_t bytes[HISTORY_ENTRY_BYTES];

	history_index_encode(entry, bytes);
	return crc32c(bytes_crc, bytes, offsetof(struct entry_bytes, crc));
}

struct history_entry history_index_at(const struct history_index *index, uint64_t i)
{
	struct entry_bytes bytes;
	uint64_t offset;

	memcpy(&bytes, index->bytes + history_index_offset(i), sizeof(bytes));
	offset = be64toh(bytes.offset);
	return (struct history_entry){
		.sequence = be64toh(bytes.sequence),
		.time_ns = be64toh(bytes.time_ns),
		.offset = offset & ~END_BIT,
		.session = be32toh(bytes.session),
		.crc = be32toh(bytes.crc),
		.is_end = offset & END_BIT,
	};
}

/* Another version's is made anew as a damaged one is: all that it says, the file says as well. */
static int check_head(const struct history_index *index)
{
	bool is_ours = memcmp(index->bytes, magic, sizeof(magic)) == 0 &&
		       index->bytes[sizeof(magic)] == VERSION;

	return is_ours ? 0 : -EBADMSG;
}

int history_index_map(struct history_index *index, int fd, uint64_t count)
{
	struct stat st;
	void *bytes;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < HISTORY_ENTRY_BYTES)
		return -EBADMSG;
	*index = (struct history_index){.count = (uint64_t)st.st_size / HISTORY_ENTRY_BYTES - 1};
	if (count != UINT64_MAX && count > index->count)
		return -EBADMSG;
	index->count = u64_min(count, index->count);
	index->size = history_index_offset(index->count);
	bytes = mmap(NULL, index->size, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	index->bytes = bytes;
	/* Where the kernel does not know this (before 5.14), the pages come when they are read. */
	if (madvise(bytes, index->size, MADV_POPULATE_READ) < 0 && errno != EINVAL)
		r = errno == EFAULT ? -EIO : -errno;
	else
		r = check_head(index);
	if (r < 0) {
		history_index_unmap(index);
		return r;
	}
	index->has_end = index->count && history_index_at(index, index->count - 1).is_end;
	if (index->has_end)
		index->count--;
	return 0;
}

void history_index_unmap(struct history_index *index)
{
	if (index->bytes)
		(void)munmap((void *)(uintptr_t)index->bytes, index->size);
	*index = (struct history_index){0};
}

static uint64_t sequence_of(const struct history_entry *entry)
{
	return entry->sequence;
}

static uint64_t time_of(const struct history_entry *entry)
{
	return entry->time_ns;
}

static uint64_t find(const struct history_index *index,
		     uint64_t (*key_of)(const struct history_entry *entry), uint64_t key)
{
	uint64_t below = 0, above = index->count;

	while (above - below > 1) {
		uint64_t middle = below + (above - below) / 2;
		struct history_entry entry = history_index_at(index, middle);

		if (key_of(&entry) < key)
			below = middle;
		else
			above = middle;
	}
	return below;
}

uint64_t history_index_find_sequence(const struct history_index *index, uint64_t sequence)
{
	return find(index, sequence_of, sequence);
}

uint64_t history_index_find_time(const struct history_index *index, uint64_t time_ns)
{
	return find(index, time_of, time_ns);
}

// SPDX-License-Identifier: MIT
/* The newest entry before what is looked for, if it is what was written; and all
 * packets from there. */
#include "history_file/history_search.h"

#include <errno.h>

#include "history_file/history_scan.h"

struct search {
	uint64_t key;
	bool (*is_it)(struct search *search, const struct packet_header *header, bool is_continued);
	uint64_t time_ns; /* of the packets so far */
};

static int scan_for(struct search *search, int fd, uint64_t from, uint64_t end, uint64_t *ret)
{
	struct history_scan scan;
	struct packet_header header;
	int r;

	history_scan_init(&scan, fd, from, end);
	do {
		bool is_continued = scan.is_message_open;

		r = history_scan_next(&scan, &header, ret);
		if (r > 0 && search->is_it(search, &header, is_continued))
			return 0;
	} while (r > 0);
	*ret = end;
	return r < 0 || scan.offset == end ? r : -EBADMSG;
}

/* Is entry i what was written, and the bytes before it? */
static int check_entry(const struct history_index *index, uint64_t i, int fd,
		       const struct history_entry *entry)
{
	uint64_t from = i ? history_index_at(index, i - 1).offset : 0;
	uint32_t crc = 0;
	int r;

	if (entry->offset < from)
		return -EBADMSG;
	r = history_scan_crc(fd, from, entry->offset, &crc);
	if (r < 0)
		return r;
	return history_index_sum(entry, crc) == entry->crc ? 0 : -EBADMSG;
}

/* From entry i on. */
static int search_from(struct search *search, int fd, const struct history_index *index, uint64_t i,
		       uint64_t end, uint64_t *ret)
{
	struct history_entry from = {0};
	int r = 0;

	if (index->count) {
		from = history_index_at(index, i);
		r = from.offset <= end ? check_entry(index, i, fd, &from) : -EBADMSG;
	}
	if (r == -EBADMSG)
		from = (struct history_entry){0};
	else if (r < 0)
		return r;
	search->time_ns = from.time_ns;
	return scan_for(search, fd, from.offset, end, ret);
}

static bool holds_sequence(struct search *search, const struct packet_header *header,
			   bool is_continued)
{
	bool has_open = header->type == PACKET_DATA && header->flags & PACKET_FLAG_CONTINUED;

	(void)is_continued;
	return search->key < packet_header_next_seq(header) + has_open;
}

int history_search_sequence(int fd, const struct history_index *index, uint64_t end,
			    uint64_t sequence, uint64_t *ret)
{
	struct search search = {.key = sequence, .is_it = holds_sequence};
	uint64_t i = index->count ? history_index_find_sequence(index, sequence) : 0;

	return search_from(&search, fd, index, i, end, ret);
}

static bool has_come_by_key(struct search *search, const struct packet_header *header)
{
	if (header->type != PACKET_GAP)
		search->time_ns = u64_max(search->time_ns, header->time);
	return search->time_ns >= search->key;
}

static bool has_come_since(struct search *search, const struct packet_header *header,
			   bool is_continued)
{
	return has_come_by_key(search, header) && !is_continued;
}

static bool has_come_later(struct search *search, const struct packet_header *header,
			   bool is_continued)
{
	(void)is_continued;
	return has_come_by_key(search, header);
}

static int search_by_time(struct search search, int fd, const struct history_index *index,
			  uint64_t end, uint64_t *ret)
{
	uint64_t i = index->count ? history_index_find_time(index, search.key) : 0;

	return search_from(&search, fd, index, i, end, ret);
}

int history_search_time(int fd, const struct history_index *index, uint64_t end, uint64_t time_ns,
			uint64_t *ret)
{
	const struct search search = {.key = time_ns, .is_it = has_come_since};

	return search_by_time(search, fd, index, end, ret);
}

int history_search_later(int fd, const struct history_index *index, uint64_t end, uint64_t time_ns,
			 uint64_t *ret)
{
	const struct search search = {.key = time_ns + 1, .is_it = has_come_later};

	return search_by_time(search, fd, index, end, ret);
}

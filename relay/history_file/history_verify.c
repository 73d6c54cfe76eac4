// SPDX-License-Identifier: MIT
/*
 * The index is made anew in thought, entry by entry, and compared.  A sum speaks for the bytes
 * since the entry before, so of bytes with a wrong sum only that stretch is known.
 */
#include "history_file/history_verify.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "history_file/history_scan.h"

struct verification {
	int fd;
	uint64_t size; /* of the file */
	struct history_index index;
	struct history_scan scan;
	struct history_rule rule;
	uint64_t count;       /* entries so far */
	uint64_t entry_start; /* where the newest of these is */
	struct history_verified *ret;
	struct errmsg *err;
	bool is_told; /* what is wrong */
};

/* Between these two bytes, both counted. */
static int find_wrong(struct verification *verification, uint64_t from, uint64_t to,
		      const char *what)
{
	verification->ret->wrong_from = from;
	verification->ret->wrong_to = to;
	verification->is_told = true;
	errmsg_set(verification->err, "bytes %" PRIu64 " to %" PRIu64 ": %s", from, to, what);
	return -EBADMSG;
}

static int find_wrong_entry(struct verification *verification, const struct history_entry *entry,
			    const struct history_entry *found)
{
	verification->is_told = true;
	errmsg_set(verification->err,
		   "entry %" PRIu64 " of the index says offset %" PRIu64 ", sequence %" PRIu64
		   ", time %" PRIu64 "; expected offset %" PRIu64 ", sequence %" PRIu64
		   ", time %" PRIu64,
		   verification->count, found->offset, found->sequence, found->time_ns,
		   entry->offset, entry->sequence, entry->time_ns);
	verification->ret->wrong_from = verification->entry_start;
	verification->ret->wrong_to = entry->offset;
	return -EBADMSG;
}

/* The entry that the file calls for, against that of the index. */
static int compare(struct verification *verification, const struct history_entry *entry)
{
	struct history_entry found = history_index_at(&verification->index, verification->count);
	uint32_t crc = 0;
	int r = 0;

	if (found.sequence != entry->sequence || found.time_ns != entry->time_ns ||
	    found.offset != entry->offset || found.session != entry->session ||
	    found.is_end != entry->is_end)
		return find_wrong_entry(verification, entry, &found);
	if (verification->count)
		r = history_scan_crc(verification->fd, verification->entry_start, entry->offset,
				     &crc);
	if (r < 0)
		return r;
	if (history_index_sum(entry, crc) != found.crc)
		return find_wrong(verification, verification->entry_start,
				  entry->offset ? entry->offset - 1 : 0,
				  "they, or the entry of the index behind them, have another sum");
	verification->entry_start = entry->offset;
	verification->count++;
	return 0;
}

static int take_packet(struct verification *verification, const struct packet_header *header,
		       uint64_t offset)
{
	struct history_verified *ret = verification->ret;
	struct history_entry entry;

	ret->packets++;
	if (header->type == PACKET_DATA)
		ret->messages += header->count;
	if (header->type == PACKET_GAP) {
		ret->gaps++;
		ret->missed += header->time - header->sequence;
	}
	if (!history_rule_next(&verification->rule, header, offset, &entry))
		return 0;
	if (offset == 0)
		ret->first = entry;
	/* The index of a file that is being written is behind. */
	if (verification->count == verification->index.count && !ret->is_sealed)
		return 0;
	if (verification->count == verification->index.count)
		return find_wrong(verification, verification->entry_start, offset,
				  "the index ends before them");
	return compare(verification, &entry);
}

/* What follows the last packet in order is none. */
static int explain_rest(struct verification *verification)
{
	uint64_t offset = verification->scan.offset;
	uint64_t last = verification->size - offset < PACKET_HEADER_BYTES
				? verification->size - 1
				: offset + PACKET_HEADER_BYTES - 1;
	uint8_t bytes[PACKET_HEADER_BYTES];
	struct packet_header header;
	const char *what = "no header of a packet";

	if (verification->size - offset < PACKET_HEADER_BYTES)
		what = "a part of a header";
	else if (history_scan_read(verification->fd, offset, bytes, sizeof(bytes)) == 0 &&
		 packet_header_decode(bytes, &header) == 0)
		what = header.session != verification->scan.session ? "a packet of another session"
		       : header.sequence != verification->scan.next_seq
			       ? "a packet that does not go on in the sequence"
			       : "a packet that is longer than the file";
	/* A length that is wrong leads astray, so it may be before that as well. */
	return find_wrong(verification, verification->entry_start, last, what);
}

/* Of a file that is being written, a part of the newest packet may be there, and its entry. */
static bool ends_in_newest_packet(const struct verification *verification)
{
	const struct history_index *index = &verification->index;

	return !verification->ret->is_sealed && verification->count + 1 == index->count &&
	       history_index_at(index, verification->count).offset == verification->scan.offset;
}

static int check_end(struct verification *verification)
{
	struct history_verified *ret = verification->ret;
	struct history_entry end =
		history_rule_end(&verification->rule, verification->scan.session,
				 verification->scan.next_seq, verification->scan.offset);

	ret->end = end;
	ret->bytes = verification->scan.offset;
	ret->left_bytes = verification->size - ret->bytes;
	if (ret->is_sealed && ret->left_bytes)
		return explain_rest(verification);
	if (verification->count < verification->index.count && !ends_in_newest_packet(verification))
		return ret->left_bytes ? explain_rest(verification)
				       : find_wrong(verification, verification->entry_start,
						    verification->size,
						    "the file ends before its index does");
	return ret->is_sealed ? compare(verification, &end) : 0;
}

static int walk(struct verification *verification)
{
	struct packet_header header;
	uint64_t offset;
	int r;

	history_scan_init(&verification->scan, verification->fd, 0, verification->size);
	while ((r = history_scan_next(&verification->scan, &header, &offset)) > 0) {
		r = take_packet(verification, &header, offset);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : check_end(verification);
}

int history_verify(int fd, int index_fd, struct history_verified *ret, struct errmsg *err)
{
	struct verification verification = {.fd = fd, .ret = ret, .err = err};
	struct stat st;
	int r;

	*ret = (struct history_verified){0};
	/* The index first: bytes are written before the entries that speak of them. */
	r = history_index_map(&verification.index, index_fd, UINT64_MAX);
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == -EBADMSG)
		errmsg_set(err, "the index has no head");
	else if (r < 0)
		errmsg_errno(err, r, "%s", "it cannot be read");
	if (r == 0) {
		verification.size = (uint64_t)st.st_size;
		ret->is_sealed = verification.index.has_end;
		ret->entries = verification.index.count;
		r = walk(&verification);
		if (r < 0 && !verification.is_told)
			errmsg_errno(err, r, "byte %" PRIu64, verification.scan.offset);
	}
	history_index_unmap(&verification.index);
	return r;
}

// SPDX-License-Identifier: MIT
/*
 * The index of a history file: where what begins in it.
 *
 *   a head of 32 bytes, then entries of 32 bytes, all in network byte order:
 *
 *    0  sequence    8  time    16  offset    24  session
 *   28  CRC-32C of the file's bytes since the entry before, and of the 28 bytes before this
 *
 * An entry stands for a packet, at the offset where it begins.  There is one for the first packet,
 * and one for each packet that begins HISTORY_INDEX_BYTES or HISTORY_INDEX_NS behind the entry
 * before.  Time never goes back: where the clock did, it is taken to have stood still.  The last
 * entry of a file that has been closed for good is its end: it stands behind the last packet, has
 * the sequence that comes next, and its offset has the highest bit set.
 *
 * The head says how many bytes of the file are surely on the disk, at 16, and has at 28 the CRC-32C
 * of the 28 bytes before; 0 at 16, or another CRC: nothing is said.
 *
 * The rules depend on the file only, so an index that is lost can be made anew, and is the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/packet_header.h"

enum {
	HISTORY_INDEX_BYTES = 64 * 1024,
	HISTORY_INDEX_NS = 100 * 1000 * 1000,
	HISTORY_ENTRY_BYTES = 32,
};

struct history_entry {
	uint64_t sequence; /* of a data packet's first message; of a gap, of the first one missed */
	uint64_t time_ns;  /* wall clock */
	uint64_t offset;   /* in the file */
	uint32_t session;
	uint32_t crc; /* see history_index_sum() */
	bool is_end;
};

/* ---- which packets get an entry ---- */

/* How far an index is, over the packets of one file in their order.  All 0 at first. */
struct history_rule {
	bool has_begun;
	uint64_t time_ns;                     /* ro: of the newest packet; it never goes back */
	uint64_t entry_offset, entry_time_ns; /* private: of the newest entry */
};

/* The next packet begins at `offset`.  True: it gets an entry, which is *ret, but for its crc. */
bool history_rule_next(struct history_rule *rule, const struct packet_header *header,
		       uint64_t offset, struct history_entry *ret);

/* The end of a file of `offset` bytes, behind which `sequence` would come; without crc. */
struct history_entry history_rule_end(const struct history_rule *rule, uint32_t session,
				      uint64_t sequence, uint64_t offset);

/* ---- as it is on disk ---- */

void history_index_encode_head(uint64_t committed, uint8_t out[HISTORY_ENTRY_BYTES]);
void history_index_encode(const struct history_entry *entry, uint8_t out[HISTORY_ENTRY_BYTES]);

/* Where entry i is in the index file; also its length when it has i entries. */
static inline uint64_t history_index_offset(uint64_t i)
{
	return (i + 1) * HISTORY_ENTRY_BYTES;
}

/* The crc of an entry, from that of the file's bytes since the entry before; it is 0 in the first
 * one. */
uint32_t history_index_sum(const struct history_entry *entry, uint32_t bytes_crc);

/* ---- searching ---- */

/* An index, mapped for a short time.  Its pages are read when it is mapped, so what cannot be read
 * from the disk is an error then, and not a SIGBUS later. */
struct history_index {
	const uint8_t *bytes; /* private: mapped; NULL: empty */
	uint64_t size;        /* private: of the mapping */
	uint64_t count;       /* ro: entries, the end aside */
	bool has_end;         /* ro: entry `count` is the end */
};

/* Maps the first `count` entries of an index file, or as many as there are (UINT64_MAX).  0;
 * -EBADMSG: it has no head, another version's, or not so many entries; or -errno of fstat(2),
 * mmap(2) or madvise(2).  Something to unmap on 0 only. */
must_check int history_index_map(struct history_index *index, int fd, uint64_t count);
void history_index_unmap(struct history_index *index);

/* So many bytes of the file are surely on the disk; 0: it does not say. */
uint64_t history_index_committed(const struct history_index *index);

/* Entry i, which may be the end. */
struct history_entry history_index_at(const struct history_index *index, uint64_t i);

/* The last entry with a sequence below `sequence`, or a time below `time_ns`; 0 where there is
 * none. Not for an empty index.  Where the entries are in no order, it is any one of them. */
uint64_t history_index_find_sequence(const struct history_index *index, uint64_t sequence);
uint64_t history_index_find_time(const struct history_index *index, uint64_t time_ns);

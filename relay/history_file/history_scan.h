// SPDX-License-Identifier: MIT
/*
 * The packets of a history file, one after the other, from the offset of one of them on.  Only
 * headers are read.  Nothing that is read is believed: a packet must be whole, of the session of
 * the file, and go on in the sequence.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/packet_header.h"

struct history_scan {
	int fd;          /* private: the caller's */
	uint64_t offset; /* ro: where the next packet begins */
	uint64_t end;    /* private */
	bool has_begun;
	uint32_t session;       /* ro: of the packets so far */
	uint64_t next_seq;      /* ro: behind the packets so far */
	bool is_message_open;   /* ro: the next packet goes on with a message */
	uint64_t window_offset; /* private: bytes that have been read */
	uint64_t window_bytes;
	uint8_t window[4096];
};

/* From `offset` to `end`.  fd stays the caller's; its file offset is not used. */
void history_scan_init(struct history_scan *scan, int fd, uint64_t offset, uint64_t end);

/* The next packet: 1, and *ret_offset is where it begins.  0: there is none; what lies between
 * scan->offset and the end is no whole packet that goes on from the one before.  Or -errno of
 * pread(2); -EBADMSG where the file is shorter than it was said to be. */
must_check int history_scan_next(struct history_scan *scan, struct packet_header *ret,
				 uint64_t *ret_offset);

/* `count` bytes from there on.  0, -EBADMSG where the file ends before, or -errno of pread(2). */
must_check int history_scan_read(int fd, uint64_t offset, uint8_t *bytes, size_t count);

/* CRC-32C of the bytes from `from` to `to`.  0, -EBADMSG where the file ends before, or -errno. */
must_check int history_scan_crc(int fd, uint64_t from, uint64_t to, uint32_t *ret);

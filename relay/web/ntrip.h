// SPDX-License-Identifier: MIT
/*
 * NTRIP, by which receivers of GNSS get corrections, and bases bring them: version 1 (RTCM Paper
 * 200-2004/SC104-STD) and 2 (RTCM 10410.1).  Both look much like HTTP.
 *
 *	               a rover, version 1          version 2               a base, version 1
 *	asks           User-Agent: NTRIP ...       Ntrip-Version: 2.0      SOURCE PASSWORD /MOUNT
 *	gets           ICY 200 OK, bare bytes      200, chunks             ICY 200 OK
 *	no such mount  the source table            404                     ERROR - ...
 *	/              the source table            the source table
 *
 * A base that speaks version 2 sends POST in chunks and is answered before its first one.
 *
 * Pure.
 */
#pragma once

#include <sys/types.h>

#include "http/stream_answer.h"

/* STREAM_HTTP: it is not NTRIP. */
enum stream_dialect ntrip_dialect_of(const struct http_request *request);

/* A line of the source table, which says only what relay knows. */
struct ntrip_mount {
	const char *name;
	const char *format; /* "RTCM 3"; "" for what is not known */
};

/* The source table.  has_tokens: rovers have to bring one.  With its head, in malloc'ed memory.
 * NULL: no memory. */
char *ntrip_print_table(enum stream_dialect dialect, const struct ntrip_mount *mounts, size_t count,
			bool has_tokens, size_t *ret_bytes);

/* What a base that speaks version 1 is refused with. */
ssize_t ntrip_print_refusal(int status, const char *text, char *buf, size_t size);

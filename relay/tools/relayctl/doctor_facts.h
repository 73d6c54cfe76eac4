// SPDX-License-Identifier: MIT
/* What doctor looks at on this machine, as the calling user sees it. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* A number that cannot be read: no such setting in this kernel or namespace, or /proc is hidden. */
#define FACT_NOT_KNOWN UINT64_MAX

enum {
	FACT_TEXT_BYTES = 256,
	FACT_SEGMENT_BYTES = 1 << 20, // the largest pipe that relay wants
};

struct doctor_facts {
	/* uname(2): 6, 1, 174. Debian's package version where the text has it, which is the patch
	 * level there; the release says 6.1.0. */
	unsigned kernel_major, kernel_minor, kernel_patch;
	char kernel[FACT_TEXT_BYTES];

	uint64_t page_bytes;
	uint64_t descriptors_soft, descriptors_hard; // RLIMIT_NOFILE, getrlimit(2)
	uint64_t nr_open;                            // fs.nr_open

	uint64_t pipe_pages_soft, pipe_pages_hard; // fs.pipe-user-pages-*, pipe(7); 0: no limit
	uint64_t pipe_max_bytes;                   // fs.pipe-max-size
	bool is_exempt;                            // root: the pipe quotas do not hold for it

	uint64_t somaxconn, syn_backlog; // net.core, net.ipv4.tcp_max_syn_backlog
	uint64_t tcp_mem_pressure,
		tcp_pages_used;           // pages: net.ipv4.tcp_mem's second; /proc/net/sockstat
	uint64_t tcp_wmem_max;            // bytes: net.ipv4.tcp_wmem's third
	char congestion[FACT_TEXT_BYTES]; // net.ipv4.tcp_congestion_control; "" not known
	char congestion_available[FACT_TEXT_BYTES]; // of the kernel
	char congestion_allowed[FACT_TEXT_BYTES];   // to users

	/* Tried: 0, or what the call failed with. */
	int pipe_error, pipe_size_error, vmsplice_error, tee_error, splice_error;
	uint64_t pipe_bytes; // that a new pipe had before it was enlarged
};

/* Reads and tries all.  `proc` is where /proc is.  What cannot be read is not known. */
void doctor_facts_read(struct doctor_facts *ret, const char *proc);

/* The part that tries: makes pipes, moves a page through them, closes them. */
void doctor_facts_try(struct doctor_facts *facts);

/* The version out of uname(2)'s release and version; true when there was one. */
bool doctor_facts_parse_kernel(struct doctor_facts *facts, const char *release,
			       const char *version);

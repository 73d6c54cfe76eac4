// SPDX-License-Identifier: MIT
/* The calls that relay's data path stands on, each tried once on pipes of our own: a sandbox or a
 * quota shows only so.  Outside relay/pipe/ because it asks whether they are permitted, and moves
 * nobody's bytes. */
#include "tools/relayctl/doctor_facts.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static int try_pipe(struct doctor_facts *facts, int ends[2])
{
	int bytes;

	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) {
		ends[0] = ends[1] = -1;
		return errno;
	}
	bytes = fcntl(ends[1], F_GETPIPE_SZ);
	if (bytes > 0)
		facts->pipe_bytes = (uint64_t)bytes;
	if (fcntl(ends[1], F_SETPIPE_SZ, FACT_SEGMENT_BYTES) < 0)
		facts->pipe_size_error = errno;
	return 0;
}

/* A page of zeros: gifted into one pipe, duplicated into another, thrown away. */
static void try_page(struct doctor_facts *facts, int from[2], int to[2])
{
	size_t bytes = facts->page_bytes;
	void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec piece = {.iov_base = page, .iov_len = bytes};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (page == MAP_FAILED || null < 0) {
		facts->splice_error = errno;
	} else {
		if (vmsplice(from[1], &piece, 1, SPLICE_F_NONBLOCK | SPLICE_F_GIFT) < 0)
			facts->vmsplice_error = errno;
		// The others are to be tried in any case.
		if (facts->vmsplice_error && write(from[1], "", 1) < 0)
			facts->pipe_error = errno;
		if (tee(from[0], to[1], bytes, SPLICE_F_NONBLOCK) < 0)
			facts->tee_error = errno;
		if (splice(from[0], NULL, null, NULL, bytes, SPLICE_F_NONBLOCK) < 0)
			facts->splice_error = errno;
	}
	fd_close(&null);
	if (page != MAP_FAILED)
		(void)munmap(page, bytes);
}

void doctor_facts_try(struct doctor_facts *facts)
{
	int from[2], to[2] = {-1, -1};

	facts->pipe_error = try_pipe(facts, from);
	if (facts->pipe_error == 0)
		facts->pipe_error = try_pipe(facts, to);
	if (facts->pipe_error == 0)
		try_page(facts, from, to);
	for (int i = 0; i < 2; i++) {
		fd_close(&from[i]);
		fd_close(&to[i]);
	}
}

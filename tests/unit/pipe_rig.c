// SPDX-License-Identifier: MIT
/*
 * Pipes for tests, checked against the kernel after each step.
 *
 * Pieces are gifted, not written: write(2) would merge small pieces into one slot.
 */
#include "tests/unit/pipe_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/ioctl.h>

#include "pipe/pipe_io.h"
#include "tests/unit/fd_count.h"

uint8_t pipe_rig_pages[PIPE_RIG_PAGES * PIPE_RIG_PAGE_BYTES] __attribute__((aligned(4096)));

int pipe_rig_count_fds(void)
{
	return count_fds();
}

int pipe_rig_begin(void **state)
{
	*state = (void *)(intptr_t)pipe_rig_count_fds();
	return 0;
}

int pipe_rig_end(void **state)
{
	assert_int_equal(pipe_rig_count_fds(), (int)(intptr_t)*state);
	return 0;
}

struct pipe pipe_rig_open(unsigned slots)
{
	struct pipe p;

	assert_int_equal(pipe_open(&p, slots), 0);
	assert_int_equal(p.slots, slots);
	assert_int_equal(p.held_bytes, 0);
	return p;
}

void pipe_rig_check_held(const struct pipe *p, size_t expected)
{
	int queued;

	assert_int_equal(p->held_bytes, expected);
	assert_int_equal(ioctl(p->read_fd, FIONREAD, &queued), 0);
	assert_int_equal((size_t)queued, expected);
}

void pipe_rig_put_pieces(struct pipe *p, unsigned pieces, size_t piece_bytes)
{
	for (unsigned i = 0; i < pieces; i++) {
		size_t n = 0;
		int err = 0;

		memset(pipe_rig_pages + i * 4096, 'a' + (int)(i % 26), piece_bytes);
		assert_int_equal(pipe_gift(p, pipe_rig_pages + i * 4096, piece_bytes, &n, &err),
				 PIPE_IO_OK);
		assert_int_equal(n, piece_bytes);
	}
}

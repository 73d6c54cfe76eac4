// SPDX-License-Identifier: MIT
/*
 * libprobe.so: put under a running relay by LD_PRELOAD, it steps the wall clock, and tells what
 * malloc has given out.  Both stand in a page that is shared with a test (RELAY_PROBE is its file).
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* As tests/model/rest.py reads and writes it. */
struct page {
	_Atomic int64_t step_s;    /* that the wall clock is ahead                       */
	_Atomic uint64_t asked;    /* raised by the test                                 */
	_Atomic uint64_t answered; /* as high as that: in_use is of then                 */
	_Atomic uint64_t in_use;   /* bytes, of all threads (mallinfo2(3))               */
};

static struct page *page;

__attribute__((constructor)) static void map_page(void)
{
	const char *path = getenv("RELAY_PROBE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map = fd < 0 ? MAP_FAILED
			   : mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		_exit(127); /* a test must not pass because nothing was looked at */
	(void)close(fd);
	page = map;
}

/* relay reads the wall clock for each line of its log, and so when it is asked for its status. */
static void answer(void)
{
	uint64_t asked = atomic_load(&page->asked);
	struct mallinfo2 given;

	if (asked == atomic_load(&page->answered))
		return;
	given = mallinfo2();
	atomic_store(&page->in_use, given.uordblks + given.hblkhd);
	atomic_store(&page->answered, asked);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (page && clock == CLOCK_REALTIME) {
		ret->tv_sec += atomic_load(&page->step_s);
		answer();
	}
	return r;
}

// SPDX-License-Identifier: MIT
/*
 * liballocation.so: put under a running relay by LD_PRELOAD, it lets an allocation fail, or
 * all from one on.  A test says which in a page of memory that it shares (RELAY_ALLOCATIONS
 * is its file).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* As tests/torture/faults.py writes it. */
struct page {
	atomic_int left; /* until one fails; 0: none does */
	atomic_int lasts;
	atomic_int failed;
};

static struct page *page;

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

__attribute__((constructor)) static void map_page(void)
{
	const char *path = getenv("RELAY_ALLOCATIONS");
	void *map;
	int fd;

	if (strcmp(program_invocation_short_name, "relay") != 0)
		return; /* it starts relay, and has to live */
	fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	map = fd < 0 ? MAP_FAILED
		     : mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		_exit(127); /* a test must not pass because there was no fault */
	(void)close(fd);
	page = map;
}

/* The last one stays at 1 where all after it are to fail. */
static bool fails_now(void)
{
	int left = page ? atomic_load(&page->left) : 0;

	while (left > 0) {
		int next = left == 1 && atomic_load(&page->lasts) ? 1 : left - 1;

		if (!atomic_compare_exchange_weak(&page->left, &left, next))
			continue;
		if (left > 1)
			return false;
		atomic_fetch_add(&page->failed, 1);
		errno = ENOMEM;
		return true;
	}
	return false;
}

void *malloc(size_t bytes)
{
	return fails_now() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
	return fails_now() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
	return fails_now() ? NULL : __libc_realloc(memory, bytes);
}

void *reallocarray(void *memory, size_t count, size_t bytes)
{
	size_t all;

	if (__builtin_mul_overflow(count, bytes, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(memory, all);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
	return fails_now() ? NULL : __libc_memalign(alignment, bytes);
}

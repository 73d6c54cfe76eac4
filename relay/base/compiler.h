// SPDX-License-Identifier: MIT
/*
 * What the language leaves out: attributes, container_of, array length, min and max.  Read this
 * header first in base/: what all other folders use, and what knows none of them.
 *
 * Everything here evaluates its arguments once; min and max are functions for that reason, one per
 * type, so that no signedness is mixed up unseen.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The struct of type `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Elements of an array; a pointer instead of an array is a compile error. */
#define ARRAY_LEN(a)                                                                               \
	(sizeof(a) / sizeof((a)[0]) +                                                              \
	 0 * sizeof(struct {                                                                       \
		 _Static_assert(!__builtin_types_compatible_p(__typeof__(a), __typeof__(&(a)[0])), \
				"not an array");                                                   \
		 int unused;                                                                       \
	 }))

#define must_check        __attribute__((warn_unused_result))
#define printf_like(a, b) __attribute__((format(printf, a, b)))

static inline size_t size_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

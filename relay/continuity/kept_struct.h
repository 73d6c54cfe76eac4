// SPDX-License-Identifier: MIT
/*
 * A struct of which something outlives the process.  A .def lists those members; the struct, how
 * they are written and read, and the schema come from it.  To keep one more is one line there.
 *
 *   KEPT(kind, member, bound, what)      a member of the struct
 *   KEPT_IN(kind, member, bound, what)   one that the struct declares itself, as in a struct inside
 *
 * `what` names it in an error.  The kinds:
 *
 *   BOOL      bool
 *   U32, U64, UNSIGNED, SIZE   a number, at most `bound`
 *   U8, A32, A64               the same, in shared memory only; an A is atomic
 *   I32                        any number, in shared memory only
 *   TEXT      an array of `bound` chars, with the zero byte
 *   BYTES     an array of `bound` bytes
 *   NAME      unsigned: the index in a list that may grow; `bound` is a struct kept_names
 *   FD        int: a descriptor, or -1
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "continuity/state_stream.h"

/* A list of names that may be another one in the next process. */
struct kept_names {
	const char *(*name_at)(size_t index);
	size_t count;
};

enum kept_kind {
	KEPT_KIND_BOOL,
	KEPT_KIND_U32,
	KEPT_KIND_U64,
	KEPT_KIND_UNSIGNED,
	KEPT_KIND_SIZE,
	KEPT_KIND_U8,
	KEPT_KIND_I32,
	KEPT_KIND_A32,
	KEPT_KIND_A64,
	KEPT_KIND_TEXT,
	KEPT_KIND_BYTES,
	KEPT_KIND_NAME,
	KEPT_KIND_FD,
};

struct kept_row {
	const char *what;
	enum kept_kind kind;
	size_t offset, bytes; /* of the member in its struct */
	uint64_t most;
	const struct kept_names *names; /* NAME */
};

/* All rows of one .def. */
struct kept_table {
	const char *name;
	const struct kept_row *rows;
	size_t count;
	size_t bytes; /* of the struct */
};

/* The order of the rows is the order in the stream. */
void kept_transfer(struct state_stream *stream, const struct kept_table *table, void *object);

/* The first member of an object in memory that is out of its bounds, as its `what`; NULL: none is.
 * For what a process has left that died: any byte may be anything. */
const char *kept_fault(const struct kept_table *table, const void *object);

/* Counters by their names: one that the reader does not know is dropped, one that the writer did
 * not know stays as it is. */
void kept_transfer_counts(struct state_stream *stream, uint64_t *counts,
			  const struct kept_names *names);

/* A number for what these tables say of a stream.  Another one means that the one cannot read what
 * the other has written.  What a stream has by name does not count: the lists of names, and how
 * large a struct is. */
uint32_t kept_schema(const struct kept_table *const *tables, size_t count);

/* The same for shared memory, where sizes and places count, and the lists of names. */
uint32_t kept_layout(const struct kept_table *const *tables, size_t count);

/* Adds a list of names to such a number, for memory that has an array with one element
 * for each name. */
uint32_t kept_layout_add_names(uint32_t layout, const struct kept_names *names);

/* ---- for continuity/kept_members.def and kept_table.def, which a struct and a .c include:
 *
 *   struct cursor_state {                     #define KEPT_TABLE cursor_kept_table
 *   #define KEPT_DEF "ring/cursor_kept.def"   #define KEPT_OF    struct cursor_state
 *   #include "continuity/kept_members.def"    #define KEPT_DEF   "ring/cursor_kept.def"
 *   };                                        #include "continuity/kept_table.def"
 */

/* KEPT_IN adds nothing to a struct. */
#define KEPT_MEMBER(kind, member, bound, what) KEPT_MEMBER_##kind(member, bound)
#define KEPT_MEMBER_BOOL(member, bound)        bool member;
#define KEPT_MEMBER_U32(member, bound)         uint32_t member;
#define KEPT_MEMBER_U64(member, bound)         uint64_t member;
#define KEPT_MEMBER_UNSIGNED(member, bound)    unsigned member;
#define KEPT_MEMBER_SIZE(member, bound)        size_t member;
#define KEPT_MEMBER_U8(member, bound)          uint8_t member;
#define KEPT_MEMBER_I32(member, bound)         int32_t member;
#define KEPT_MEMBER_A32(member, bound)         _Atomic uint32_t member;
#define KEPT_MEMBER_A64(member, bound)         _Atomic uint64_t member;
#define KEPT_MEMBER_TEXT(member, bound)        char member[bound];
#define KEPT_MEMBER_BYTES(member, bound)       uint8_t member[bound];
#define KEPT_MEMBER_NAME(member, bound)        unsigned member;
#define KEPT_MEMBER_FD(member, bound)          int member;

#define KEPT_ROW(type, kind, member, bound, what)                                                  \
	{what, KEPT_KIND_##kind, offsetof(type, member), sizeof(((type *)0)->member),              \
	 KEPT_BOUND_##kind(bound)},
#define KEPT_BOUND_BOOL(bound)     1, NULL
#define KEPT_BOUND_U32(bound)      bound, NULL
#define KEPT_BOUND_U64(bound)      bound, NULL
#define KEPT_BOUND_UNSIGNED(bound) bound, NULL
#define KEPT_BOUND_SIZE(bound)     bound, NULL
#define KEPT_BOUND_U8(bound)       bound, NULL
#define KEPT_BOUND_I32(bound)      0, NULL
#define KEPT_BOUND_A32(bound)      bound, NULL
#define KEPT_BOUND_A64(bound)      bound, NULL
#define KEPT_BOUND_TEXT(bound)     bound, NULL
#define KEPT_BOUND_BYTES(bound)    bound, NULL
#define KEPT_BOUND_NAME(bound)     0, &bound
#define KEPT_BOUND_FD(bound)       0, NULL

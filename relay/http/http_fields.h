// SPDX-License-Identifier: MIT
/*
 * The fields of a request head: adding them line by line, finding them, and the lists in them.
 *
 * Names are compared without case, values are passed on as they came.  The table holds offsets in
 * the head, not copies: `head` must be where the bytes of the head are when it is asked.  What a
 * field means, and how often it may stand there, is left to others.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "http/http_text.h"

#define HTTP_FIELDS_MAX 64

struct http_field {
	/* private: in the head */
	uint16_t name_at, name_length;
	uint16_t value_at, value_length;
};

/* All zero is an empty table. */
struct http_fields {
	const char *head; /* rw: by the owner of the bytes, at most 64 KiB */
	size_t count;     /* ro */
	struct http_field list[HTTP_FIELDS_MAX];
};

/* Adds the field line at head[at], `length` bytes without its CRLF.  Returns NULL, or what is wrong
 * with it, as a static text.  There must be room for one more. */
const char *http_fields_add(struct http_fields *fields, size_t at, size_t length) must_check;

/* The value of the first field of this name, without blanks around it, perhaps empty.  False when
 * there is none; *ret has not changed then. */
bool http_fields_find(const struct http_fields *fields, const char *name, struct http_text *ret);

/* How many fields have this name. */
size_t http_fields_count(const struct http_fields *fields, const char *name);

/* Goes through the elements of a list-valued field (RFC 9110, 5.6.1), over all fields of the name
 * in their order: separated by commas outside of quoted strings, empty ones left out.
 *
 *	struct http_list list = {.fields = fields, .name = "Accept"};
 *	while (http_list_next(&list, &element))
 */
struct http_list {
	const struct http_fields *fields;
	const char *name;
	size_t next;           /* private */
	struct http_text rest; /* private */
};

/* False at the end; *ret has no blanks around it and is never empty. */
bool http_list_next(struct http_list *list, struct http_text *ret) must_check;

/* Takes what stands before the first `separator` outside of quoted strings (RFC 9110, 5.6.4) off
 * the start of *rest, with the separator; without blanks around it.  A quoted string without an end
 * reaches to the end. */
struct http_text http_list_take(struct http_text *rest, char separator);

/* Is `token` an element of the list-valued field?  Without case. */
bool http_fields_list_has(const struct http_fields *fields, const char *name, const char *token);

/* How welcome a response of this media type is to the Accept fields (RFC 9110, 12.5.1), 0 to 1000;
 * 1000 when there is none.  The range that fits most closely decides, the higher weight among
 * equals; parameters other than q are passed over, a range with a weight that is no weight counts
 * for nothing. */
unsigned http_fields_accept(const struct http_fields *fields, const char *type,
			    const char *subtype);

/* Is a body with this content coding at least as welcome as one without (RFC 9110, 12.5.3)?  Not
 * where no field Accept-Encoding names it or "*". */
bool http_fields_accept_coding(const struct http_fields *fields, const char *coding);

// SPDX-License-Identifier: MIT
/*
 * What an operator says of HTTP answers: a media type, and fields of his own.
 *
 *	audio/mpeg, text/plain; charset=utf-8
 *	Name: value | Name: value
 *
 * Pure texts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/errmsg.h"

#define MEDIA_TYPE_AUTO     "auto"
#define MEDIA_TYPE_BYTES    127
#define MEDIA_TYPE_EXPECTED "auto, or a media type such as audio/mpeg, of at most 127 bytes"

/* Of the whole list. */
#define HTTP_FIELDS_BYTES    1023
#define HTTP_FIELDS_EXPECTED "fields such as Name: value | Name: value, at most 1023 bytes of ASCII"

/* In the text that it was read from. */
struct answer_field {
	const char *name;
	size_t name_bytes;
	const char *value; /* without blanks at both ends */
	size_t value_bytes;
};

/* Is it a media type, perhaps with parameters (RFC 9110, 8.3.1), of at most MEDIA_TYPE_BYTES? */
bool media_type_is_valid(const char *text) must_check;

/* Reads the field at the start of *rest, and moves *rest behind it.  Returns 1; 0 at the end of the
 * list; -EINVAL with what is wrong in *err.  A field that relay sends by itself is wrong. */
int answer_field_parse_next(const char **rest, struct answer_field *ret,
			    struct errmsg *err) must_check;

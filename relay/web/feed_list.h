// SPDX-License-Identifier: MIT
/* The feeds of a listener, told to who asks for none. */
#pragma once

#include <stddef.h>

#include "http/stream_answer.h"

/* The whole answer, 200: the path of each feed, one a line; after HEAD only the fields.  To be
 * freed.  NULL: no memory. */
char *feed_list_print(const struct stream_answer *answer, const char *const *names, size_t count,
		      size_t *ret_bytes);

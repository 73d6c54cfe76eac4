// SPDX-License-Identifier: MIT
/*
 * What went wrong, in words for a person. The text is cut, never overrun, and says so; nothing is
 * allocated, so this works when memory has run out.
 */
#include "base/errmsg.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* To be called with what snprintf wanted to write in all. */
static void mark_cut(struct errmsg *e, int wanted)
{
	if (wanted >= (int)sizeof(e->text))
		memcpy(e->text + sizeof(e->text) - 4, "...", 4);
}

void errmsg_set(struct errmsg *e, const char *fmt, ...)
{
	int saved_errno = errno;
	va_list args;

	if (!e)
		return;
	va_start(args, fmt);
	mark_cut(e, vsnprintf(e->text, sizeof(e->text), fmt, args));
	va_end(args);
	errno = saved_errno;
}

void errmsg_errno(struct errmsg *e, int err, const char *fmt, ...)
{
	int saved_errno = errno;
	char what[sizeof(e->text)];
	const char *error;
	va_list args;

	if (!e)
		return;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	error = strerrordesc_np(abs(err));
	/* the error's text is what must not be cut off, so the rest gives way to it */
	mark_cut(e, snprintf(e->text, sizeof(e->text), "%.*s: %s", (int)sizeof(what) - 100, what,
			     error ? error : "unknown error"));
	errno = saved_errno;
}

// SPDX-License-Identifier: MIT
/* Names and texts of close reasons, and which errno means which. */
#include "table/close_reason.h"

#include <errno.h>

static const struct {
	const char *name;
	const char *text;
} reasons[] = {
#define REASON(id, name, text) {name, text},
#include "table/close_reason.def"
};

const char *close_reason_name(enum close_reason reason)
{
	return reasons[reason].name;
}

const char *close_reason_text(enum close_reason reason)
{
	return reasons[reason].text;
}

enum close_reason close_reason_from_errno(int err)
{
	switch (err) {
	case ECONNRESET:
	case EPIPE:
		return CLOSE_PEER_RESET;
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
		return CLOSE_NETWORK;
	case ENOMEM:
	case ENOBUFS:
		return CLOSE_NO_MEMORY;
	default:
		return CLOSE_IO_ERROR;
	}
}

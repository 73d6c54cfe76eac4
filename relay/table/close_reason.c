// SPDX-License-Identifier: MIT
/* The table of close reasons, made from close_reason.def, and what is looked up in it. */
#include "table/close_reason.h"

#include <errno.h>

#define USUAL    true
#define NOTED    false
#define SLOW     true
#define NOT_SLOW false

static const struct close_reason_row rows[] = {
#define REASON(id, name, kind, log, slow, websocket, text)                                         \
	{name, text, CLOSE_KIND_##kind, log, slow, websocket},
#include "table/close_reason.def"
};

const struct close_reason_row *close_reason_row(enum close_reason reason)
{
	return &rows[reason];
}

const char *close_reason_name(enum close_reason reason)
{
	return rows[reason].name;
}

const char *close_reason_text(enum close_reason reason)
{
	return rows[reason].text;
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
	case EPROTO: /* peer_socket_receive() */
		return CLOSE_DESCRIPTORS;
	default:
		return CLOSE_IO_ERROR;
	}
}

enum close_reason close_reason_from_websocket(unsigned code)
{
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		if (rows[i].kind == CLOSE_KIND_INPUT && rows[i].websocket_code == code)
			return (enum close_reason)i;
	}
	return CLOSE_BAD_FRAME;
}

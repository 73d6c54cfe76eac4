// SPDX-License-Identifier: MIT
/* An endpoint from its text, which must be right. */
#pragma once

#include "base/errmsg.h"
#include "net/endpoint.h"

static inline struct endpoint parsed(const char *text)
{
	struct endpoint endpoint = {0};
	struct errmsg err = {0};

	if (endpoint_parse(text, &endpoint, &err) < 0)
		fail_msg("%s", err.text);
	return endpoint;
}

// SPDX-License-Identifier: MIT
/*
 * What an operator can do when an address cannot be listened on.
 */
#pragma once

#include <stddef.h>

#include "net/endpoint.h"

/* What an operator can do when listening on the endpoint failed with `r` (-errno): "ss -ltnp ...".
 * "" when nothing more is to be said.  Returns buf. */
const char *listen_way_out(const struct endpoint *endpoint, int r, char *buf, size_t size);

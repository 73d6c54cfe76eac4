// SPDX-License-Identifier: MIT
/*
 * Who becomes a subscriber by HTTP: each request is answered, or its socket goes to a worker.
 *
 * A refusal has a status, a line for the client, a named reason (http_refusal.def) and a counter.
 * It is logged at most once a second for each listener.
 */
#pragma once

#include "http/http_connection.h"

/* The methods that are understood, and the functions that answer.  Their owner is the struct
 * http_listener; the rest is for it to fill in. */
extern const struct http_server_params http_admission;

// SPDX-License-Identifier: MIT
/*
 * How this relay is, for load balancers: one line, and the end of the connection, as the
 * agent-check of HAProxy has it (its configuration manual, 5.2, agent-check).
 */
#pragma once

#include <stdbool.h>

struct service;
struct served_feed;

/* Has `only` its source, or with NULL any feed?  As the workers say now. */
bool admin_has_source(struct service *service, const struct served_feed *only);

/* Sends the line, and closes fd. */
void admin_agent_answer(struct service *service, int fd);

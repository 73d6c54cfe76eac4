// SPDX-License-Identifier: MIT
/*
 * The status page: one document, put together from relay/admin/page/ which is part of the program,
 * and the policy by which a browser runs nothing but what is in it.
 */
#pragma once

#include <stddef.h>

#include "base/compiler.h"

struct admin_page {
	char *text; /* owned */
	size_t bytes;
	char policy[512]; /* Content-Security-Policy: the hashes of its style and its script */
};

/* Makes it unless it is there.  0 or -ENOMEM. */
int admin_page_init(struct admin_page *page) must_check;

void admin_page_fini(struct admin_page *page);

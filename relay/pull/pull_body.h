// SPDX-License-Identifier: MIT
/* The body of an answer as a source (intake/source.h). */
#pragma once

#include "base/compiler.h"
#include "intake/source.h"
#include "pull/pull_answer.h"

/* How the stream stands in the connection behind the head.  *ret is NULL where it is the connection
 * itself, until that ends.  0 or -ENOMEM. */
int pull_body_new(const struct pull_answer *answer, const struct endpoint_address *peer,
		  struct source_body **ret) must_check;

// SPDX-License-Identifier: MIT
/* relayctl top: relay, its feeds and the subscribers that lag most, again and again on a terminal.
 *
 * Where standard output is no terminal it is shown once.  While it runs, the terminal is in the
 * alternate screen without echo; it is put back in any case but a kill. */
#pragma once

#include "base/compiler.h"
#include "tools/relayctl/relayctl_answer.h"
#include "tools/relayctl/relayctl_view.h"

/* Ends by q, an interrupt, or the end of standard input.  An answer that fails ends it only when it
 * is shown once: a relay that starts again is picked up.  `error` is set unless RELAYCTL_DONE. */
must_check enum relayctl_exit relayctl_top(const struct relayctl_options *options,
					   const struct view *view, struct errmsg *error);

/* Copies `page` to `out` as far as it fits into columns and rows, without the last newline.  A
 * colour (ESC [ ... m) takes no place and is not cut. */
void relayctl_top_cut(FILE *out, const char *page, size_t columns, size_t rows);

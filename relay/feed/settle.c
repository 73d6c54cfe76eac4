// SPDX-License-Identifier: MIT
/* Rounds of sending, taking and giving back, until nothing is under way. */
#include "feed/settle.h"

#include "feed/crossing.h"
#include "feed/crossing_branch.h"
#include "feed/feed.h"

enum {
	ROUNDS = 3, /* a branch that is told to sleep may ask anew, and is answered once more */
};

void crossing_settle(struct feed *home)
{
	struct crossings *crossings = &home->publish.crossings;
	struct list_node *node;

	for (int round = 0; round < ROUNDS; round++) {
		crossings_tick(crossings);
		list_for_each (&crossings->list, node) {
			struct crossing *crossing = list_entry(node, struct crossing, node);

			if (!crossing->branch->params.is_combination)
				crossing_take_all(crossing);
		}
		crossings_collect(crossings);
	}
}

// SPDX-License-Identifier: MIT
/* What is under way in a crossing: freeing it. */
#include "feed/crossing_item.h"

#include <stdlib.h>

void crossing_block_unref(struct shared_block **block)
{
	if (*block && atomic_fetch_sub(&(*block)->refs, 1) == 1)
		free(*block);
	*block = NULL;
}

void crossing_item_free(struct crossing_item *item)
{
	if (!item)
		return;
	crossing_block_unref(&item->block);
	while (item->chain.count)
		pipe_close(&item->chain.pipes[--item->chain.count]);
	free(item);
}

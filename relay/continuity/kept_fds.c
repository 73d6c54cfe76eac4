// SPDX-License-Identifier: MIT
/* A search by number. */
#include "continuity/kept_fds.h"

#include "net/sockopt.h"

static int *find(const struct kept_fds *fds, int number)
{
	size_t low = 0, high = fds->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (fds->numbers[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < fds->count && fds->numbers[low] == number ? &fds->fds[low] : NULL;
}

bool kept_fds_are_in_order(const struct kept_fds *fds)
{
	for (size_t i = 1; i < fds->count; i++) {
		if (fds->numbers[i] <= fds->numbers[i - 1])
			return false;
	}
	return true;
}

int kept_fds_look(const struct kept_fds *fds, int number)
{
	const int *fd = find(fds, number);

	return fd ? *fd : -1;
}

int kept_fds_take(struct kept_fds *fds, int number)
{
	int *slot = find(fds, number);
	int fd = slot ? *slot : -1;

	if (fd < 0)
		return -1;
	*slot = -1;
	sockopt_clear_reset_on_close(fd);
	return fd;
}

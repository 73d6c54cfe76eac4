// SPDX-License-Identifier: MIT
/* How many descriptors this process has open: relay lives on them, so every test gives back what it
 * took. */
#ifndef TESTS_UNIT_FD_COUNT_H
#define TESTS_UNIT_FD_COUNT_H

#include <dirent.h>

/* Only differences between two counts mean something: the directory being read is counted, too.
 * Fails the running test when it cannot be read. */
static inline int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

#endif

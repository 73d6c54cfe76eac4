// SPDX-License-Identifier: MIT
/* How many descriptors this process has open: relay lives on them, so every test gives back what it
 * took. */
#ifndef TESTS_UNIT_FD_COUNT_H
#define TESTS_UNIT_FD_COUNT_H

#include <dirent.h>
#include <poll.h>

/* Of a directory, with . and ..  Fails the running test when it cannot be read. */
static inline int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Only differences between two counts mean something: the directory being read is counted, too. */
static inline int count_fds(void)
{
	return count_entries("/proc/self/fd");
}

/* The same count when it is `want`; some are closed by another thread (net/peer_socket.h).  What
 * has been counted last when that takes 30 s. */
static inline int await_fds(int want)
{
	int count = count_fds();

	for (int i = 0; i < 30000 && count != want; i++) {
		(void)poll(NULL, 0, 1);
		count = count_fds();
	}
	return count;
}

#endif

// SPDX-License-Identifier: MIT
/* Each error names the path. */
#include "source/ingest_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "file/open_path.h"

bool ingest_file_is_open(const struct ingest_params *params, int fd)
{
	struct stat there, here;

	return stat(params->path, &there) == 0 && fstat(fd, &here) == 0 &&
	       there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

void ingest_file_log_indirect(const struct ingest_params *params, const char *feed, int err)
{
	log_warn("no direct I/O feed=%s path=%s error=%s, reading through the page cache", feed,
		 params->path, strerror(err));
}

/* True when the file is read directly from now on. */
static bool open_direct(const struct ingest_params *params, const char *feed, uint64_t file_bytes,
			struct direct_file **ret_direct, int *ret_fd)
{
	uint64_t available = direct_file_available_memory();
	bool want = params->direct == INGEST_DIRECT_YES ||
		    (params->direct == INGEST_DIRECT_AUTO &&
		     direct_file_is_large(file_bytes, available));
	int r = want ? direct_file_start(params->path, ret_direct, ret_fd) : 0;

	if (r < 0)
		ingest_file_log_indirect(params, feed, -r);
	log_info("file open feed=%s path=%s bytes=%llu available_memory=%llu way=%s", feed,
		 params->path, (unsigned long long)file_bytes, (unsigned long long)available,
		 *ret_direct ? "direct" : "page_cache");
	return *ret_direct != NULL;
}

int ingest_file_open(const struct ingest_params *params, const char *feed,
		     struct direct_file **ret_direct, int *ret_fd, struct errmsg *err)
{
	uint64_t bytes = 0;
	int fd = -1;
	int r = open_regular("file", params->path, &fd, &bytes, err);

	if (r < 0)
		return r;
	if (open_direct(params, feed, bytes, ret_direct, ret_fd))
		fd_close(&fd);
	else
		*ret_fd = fd;
	return 0;
}

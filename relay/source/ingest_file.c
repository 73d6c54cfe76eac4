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

int ingest_file_try(const struct ingest_params *params, struct errmsg *err)
{
	bool is_fifo = params->kind == INGEST_FIFO;
	struct stat st;
	int r;

	if (!is_fifo && params->kind != INGEST_FILE)
		return 0;
	/* Who relay runs as counts, not who has started it. */
	if (stat(params->path, &st) < 0 ||
	    faccessat(AT_FDCWD, params->path, R_OK, AT_EACCESS) < 0) {
		r = -errno;
		errmsg_errno(err, -r, "%s:%s", is_fifo ? "fifo" : "file", params->path);
		return r;
	}
	if (is_fifo ? S_ISFIFO(st.st_mode) : S_ISREG(st.st_mode))
		return 0;
	errmsg_set(err, is_fifo ? "fifo:%s: not a fifo" : "file:%s: not a regular file",
		   params->path);
	return -EINVAL;
}

bool ingest_file_is_open(const struct ingest_params *params, int fd)
{
	struct stat there, here;

	return stat(params->path, &there) == 0 && fstat(fd, &here) == 0 &&
	       there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

const char *ingest_file_way_out(const struct ingest_params *params, int r, char *buf, size_t size)
{
	bool is_fifo = params->kind == INGEST_FIFO;

	buf[0] = '\0';
	if (!is_fifo && params->kind != INGEST_FILE)
		return buf;
	if (r == -ENOENT && is_fifo)
		(void)snprintf(buf, size, "mkfifo %s makes the fifo", params->path);
	else if (r == -EINVAL)
		(void)snprintf(buf, size, "%s is for %s; ls -l %s shows what it is",
			       is_fifo ? "fifo:PATH" : "file:PATH",
			       is_fifo ? "a named pipe, file:PATH for a regular file"
				       : "a regular file, fifo:PATH for a named pipe",
			       params->path);
	else if (r == -EACCES)
		(void)snprintf(buf, size, "the user that relay runs as must be able to read %s",
			       params->path);
	return buf;
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
	int r = open_regular(params->path, &fd, &bytes, err);

	if (r < 0)
		return r;
	if (open_direct(params, feed, bytes, ret_direct, ret_fd))
		fd_close(&fd);
	else
		*ret_fd = fd;
	return 0;
}

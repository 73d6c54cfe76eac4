// SPDX-License-Identifier: MIT
/* Each error names the path. */
#include "source/ingest_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

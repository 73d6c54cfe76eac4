// SPDX-License-Identifier: MIT
/* What is there is looked at behind the open, so that it is the same thing. */
#include "file/open_path.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/fd.h"

static int open_path(const char *kind, const char *path, int access, int *ret_fd,
		     struct stat *ret_stat, struct errmsg *err)
{
	int fd = open(path, access | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || fstat(fd, ret_stat) < 0) {
		int r = -errno;

		errmsg_errno(err, -r, "%s:%s", kind, path);
		fd_close(&fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int open_fifo(const char *path, int *ret_fd, struct errmsg *err)
{
	struct stat stat;
	int r = open_path("fifo", path, O_RDONLY, ret_fd, &stat, err);

	if (r < 0 || S_ISFIFO(stat.st_mode))
		return r;
	errmsg_set(err, "fifo:%s: not a fifo", path);
	fd_close(ret_fd);
	return -EINVAL;
}

int open_regular(const char *word, const char *path, int *ret_fd, uint64_t *ret_bytes,
		 struct errmsg *err)
{
	struct stat stat;
	int r = open_path(word, path, O_RDONLY, ret_fd, &stat, err);

	if (r < 0)
		return r;
	*ret_bytes = (uint64_t)stat.st_size;
	if (S_ISREG(stat.st_mode))
		return 0;
	errmsg_set(err, "%s:%s: not a regular file", word, path);
	fd_close(ret_fd);
	return -EINVAL;
}

/* Any speed, also such as has no B constant (BOTHER, ioctl_tty(2)). */
static int set_raw(int fd, const struct serial_mode *mode)
{
	static const tcflag_t sizes[] = {[5] = CS5, [6] = CS6, [7] = CS7, [8] = CS8};
	struct termios2 line;

	if (ioctl(fd, TCGETS2, &line) < 0)
		return -errno;
	line.c_iflag = IGNBRK | (mode->parity == 'N' ? 0 : INPCK | IGNPAR);
	line.c_oflag = 0;
	line.c_lflag = 0;
	line.c_cflag = CREAD | CLOCAL | BOTHER | sizes[mode->data_bits];
	if (mode->parity != 'N')
		line.c_cflag |= PARENB | (mode->parity == 'O' ? PARODD : 0);
	if (mode->stop_bits == 2)
		line.c_cflag |= CSTOPB;
	line.c_ispeed = line.c_ospeed = mode->speed;
	line.c_cc[VMIN] = 1; /* so that no bytes are no end */
	line.c_cc[VTIME] = 0;
	if (ioctl(fd, TCSETS2, &line) < 0 || ioctl(fd, TIOCEXCL) < 0)
		return -errno;
	return ioctl(fd, TCFLSH, TCIFLUSH) < 0 ? -errno : 0;
}

int open_serial(const char *path, const struct serial_mode *mode, bool is_written, int *ret_fd,
		struct errmsg *err)
{
	struct stat stat;
	int r = open_path("serial", path, is_written ? O_RDWR : O_RDONLY, ret_fd, &stat, err);

	if (r < 0)
		return r;
	r = set_raw(*ret_fd, mode);
	if (r == 0)
		return 0;
	errmsg_errno(err, -r, "serial:%s", path);
	fd_close(ret_fd);
	return r;
}

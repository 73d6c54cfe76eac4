// SPDX-License-Identifier: MIT
/* Two questions that the kernel answers one after the other: asked until nothing has moved between.
 * tcp_info is taken from <linux/tcp.h>, since that of <netinet/tcp.h> ends before the fields that
 * matter. */
#include "net/sent_count.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
	TRIES = 1000,
	STATE_CLOSE =
		7, /* TCP_CLOSE of <netinet/tcp.h>, which cannot be included beside the other */
};

static int read_acknowledged(int fd, uint64_t *ret)
{
	struct tcp_info info = {0};
	socklen_t bytes = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0 ||
	    bytes < offsetof(struct tcp_info, tcpi_bytes_received))
		return -EOPNOTSUPP;
	if (info.tcpi_state == STATE_CLOSE)
		return -ENOTCONN;
	*ret = info.tcpi_bytes_acked;
	return 0;
}

int sent_count(int fd, uint64_t *ret)
{
	uint64_t before = 0, after = 0;
	int queued = 0;
	int r = read_acknowledged(fd, &before);

	for (int i = 0; r == 0 && i < TRIES; i++) {
		if (ioctl(fd, SIOCOUTQ, &queued) < 0 || queued < 0)
			return -EOPNOTSUPP;
		r = read_acknowledged(fd, &after);
		if (r == 0 && after == before) {
			*ret = before + (uint64_t)queued;
			return 0;
		}
		before = after;
	}
	return r < 0 ? r : -EAGAIN;
}

// SPDX-License-Identifier: MIT
/*
 * Sockets of the bench: tcp(7), loopback, IPv4.
 */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int wire_parse_address(const char *text, struct sockaddr_in *ret)
{
	char host[INET_ADDRSTRLEN];
	const char *colon;
	char *end;
	unsigned long port;

	if (strncmp(text, "tcp:", 4) == 0)
		text += 4;
	colon = strrchr(text, ':');
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	port = strtoul(colon + 1, &end, 10);
	*ret = (struct sockaddr_in){.sin_family = AF_INET};
	if (end == colon + 1 || *end || port == 0 || port > UINT16_MAX ||
	    inet_pton(AF_INET, host, &ret->sin_addr) != 1 ||
	    ntohl(ret->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
		return -EINVAL;
	ret->sin_port = htons((uint16_t)port);
	return 0;
}

static int set_congestion(int fd, const char *congestion)
{
	if (!*congestion)
		return 0;
	return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion,
			  (socklen_t)strlen(congestion));
}

void wire_set_nodelay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int wire_listen(const char *congestion, struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(*ret);
	int error;

	*ret = (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd >= 0 && set_congestion(fd, congestion) == 0 &&
	    bind(fd, (struct sockaddr *)ret, length) == 0 && listen(fd, 4096) == 0 &&
	    getsockname(fd, (struct sockaddr *)ret, &length) == 0)
		return fd;
	error = errno;
	if (fd >= 0)
		close(fd);
	return -error;
}

int wire_connect(const struct sockaddr_in *address, uint64_t rcvbuf, const char *congestion)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int bytes = (int)rcvbuf;
	int error;

	if (fd >= 0 && set_congestion(fd, congestion) == 0 &&
	    (!bytes || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) == 0) &&
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
	    fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0) {
		wire_set_nodelay(fd);
		return fd;
	}
	error = errno;
	if (fd >= 0)
		close(fd);
	return -error;
}

int wire_pin(int cpu)
{
	cpu_set_t cores;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&cores);
	CPU_SET(cpu, &cores);
	return sched_setaffinity(0, sizeof(cores), &cores) < 0 ? -errno : 0;
}

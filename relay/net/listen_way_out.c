// SPDX-License-Identifier: MIT
/* One sentence for each error that has a way out. */
#include "net/listen_way_out.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

enum {
	PRIVILEGED_PORTS = 1024, /* net.ipv4.ip_unprivileged_port_start as it comes */
};

static const char *unix_way_out(const struct endpoint *endpoint, int r, char *buf, size_t size)
{
	int directory =
		(int)(strrchr(endpoint->path, '/') ? strrchr(endpoint->path, '/') - endpoint->path
						   : 0);

	if (r == -EADDRINUSE)
		(void)snprintf(buf, size,
			       "ss -lxp src %s shows who listens there; a file that is no socket "
			       "has to be removed by hand",
			       endpoint->path);
	else if (r == -ENOENT && directory)
		(void)snprintf(buf, size, "mkdir -p %.*s makes the directory", directory,
			       endpoint->path);
	else if (r == -EACCES || r == -EROFS)
		(void)snprintf(buf, size,
			       "the user that relay runs as must be able to write in %.*s; in the "
			       "unit that is RuntimeDirectory=",
			       directory ? directory : 1, directory ? endpoint->path : ".");
	else if ((r == -EPERM || r == -EINVAL) && endpoint->group[0])
		/* EINVAL: a user namespace that does not have the group (PrivateUsers=). */
		(void)snprintf(buf, size,
			       "the user that relay runs as must be in the group %s (in the unit: "
			       "SupplementaryGroups=%s, PrivateUsers=no and "
			       "SystemCallFilter=chown)",
			       endpoint->group, endpoint->group);
	return buf;
}

const char *listen_way_out(const struct endpoint *endpoint, int r, char *buf, size_t size)
{
	uint64_t port = 0;

	buf[0] = '\0';
	if (endpoint->kind == ENDPOINT_UNIX)
		return unix_way_out(endpoint, r, buf, size);
	if (endpoint->kind != ENDPOINT_TCP)
		return buf;
	if (r == -EADDRINUSE)
		(void)snprintf(buf, size, "ss -ltnp sport = :%s shows who listens there",
			       endpoint->port);
	else if (r == -EACCES && num_parse_count(endpoint->port, &port) == 0 &&
		 port < PRIVILEGED_PORTS)
		(void)snprintf(buf, size,
			       "a port below 1024 needs a socket unit and listen = systemd:NAME, "
			       "or in the unit AmbientCapabilities=CAP_NET_BIND_SERVICE, "
			       "CapabilityBoundingSet=CAP_NET_BIND_SERVICE and PrivateUsers=no, or "
			       "without a unit setcap cap_net_bind_service=+ep on the program");
	else if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT)
		(void)snprintf(buf, size,
			       "getent ahosts %s shows the addresses of the name, and ip address "
			       "those of this machine",
			       endpoint->host);
	return buf;
}

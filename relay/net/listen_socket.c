// SPDX-License-Identifier: MIT
/* Listening sockets.
 *
 * What has to be done for one address is tried plainly first.  Only when the kernel says that the
 * address is in use, or is not there, it is tried in another way: so nothing is shared or bound
 * blindly that need not be. */
#include "net/listen_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fd.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78 /* linux/in6.h, which does not go with netinet/in.h; Linux 4.15 */
#endif

enum {
	GROUP_BUFFER_BYTES = 16384,
	ASKED_AGAIN = 3, /* getsockname(2), ENOBUFS */
};

/* ---- addresses ---- */

static const struct sockaddr *sockaddr_of(const struct endpoint_address *address)
{
	return (const struct sockaddr *)&address->storage;
}

static const struct sockaddr_in6 *v6_of(const struct endpoint_address *address)
{
	return address->storage.ss_family == AF_INET6
		       ? (const struct sockaddr_in6 *)&address->storage
		       : NULL;
}

static const struct sockaddr_in *v4_of(const struct endpoint_address *address)
{
	return address->storage.ss_family == AF_INET ? (const struct sockaddr_in *)&address->storage
						     : NULL;
}

/* In network byte order. */
static in_port_t port_of(const struct endpoint_address *address)
{
	if (v6_of(address))
		return v6_of(address)->sin6_port;
	return v4_of(address) ? v4_of(address)->sin_port : 0;
}

static bool is_any(const struct endpoint_address *address)
{
	if (v6_of(address))
		return IN6_IS_ADDR_UNSPECIFIED(&v6_of(address)->sin6_addr);
	return v4_of(address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

static bool is_same(const struct endpoint_address *a, const struct endpoint_address *b)
{
	if (a->storage.ss_family != b->storage.ss_family)
		return false;
	if (v4_of(a))
		return v4_of(a)->sin_addr.s_addr == v4_of(b)->sin_addr.s_addr &&
		       port_of(a) == port_of(b);
	if (v6_of(a))
		return IN6_ARE_ADDR_EQUAL(&v6_of(a)->sin6_addr, &v6_of(b)->sin6_addr) &&
		       v6_of(a)->sin6_scope_id == v6_of(b)->sin6_scope_id &&
		       port_of(a) == port_of(b);
	return a->bytes == b->bytes && memcmp(&a->storage, &b->storage, a->bytes) == 0;
}

/* Does listening on it take what is for the IPv4 address `v4` too? */
static bool takes_v4(const struct endpoint_address *wide, bool is_ipv6_only)
{
	return is_any(wide) && (v4_of(wide) || !is_ipv6_only);
}

bool listen_addresses_clash(const struct endpoint_address *a, bool a_is_ipv6_only,
			    const struct endpoint_address *b, bool b_is_ipv6_only)
{
	if (port_of(a) != port_of(b) || port_of(a) == 0)
		return false;
	if (is_same(a, b))
		return true;
	if (a->storage.ss_family == b->storage.ss_family)
		return is_any(a) || is_any(b);
	/* One is IPv4: only a wildcard of the other one reaches it. */
	return v4_of(a) ? takes_v4(b, b_is_ipv6_only) : takes_v4(a, a_is_ipv6_only);
}

/* Of a socket.  False: it cannot be asked.  A socket whose address nobody knows is in the way of
 * the one that would listen there.  So it is asked again where the kernel was short of memory. */
static bool local_address(int fd, struct endpoint_address *ret)
{
	int r = -1;

	for (int tries = 0; tries < ASKED_AGAIN; tries++) {
		*ret = (struct endpoint_address){.bytes = sizeof(ret->storage)};
		r = getsockname(fd, (struct sockaddr *)&ret->storage, &ret->bytes);
		if (r == 0 || errno != ENOBUFS)
			break;
	}
	return r == 0;
}

static int set_number(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

bool listen_is_literal(const struct endpoint *endpoint)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;

	if (!endpoint->host[0] || getaddrinfo(endpoint->host, NULL, &hints, &found) != 0)
		return false;
	freeaddrinfo(found);
	return true;
}

static bool is_among(const struct endpoint_address *list, size_t count,
		     const struct endpoint_address *address)
{
	for (size_t i = 0; i < count; i++) {
		if (is_same(&list[i], address))
			return true;
	}
	return false;
}

ssize_t listen_addresses(const struct endpoint *endpoint, struct endpoint_address *ret, size_t max,
			 struct errmsg *err)
{
	struct addrinfo hints = {
		.ai_family = endpoint->host[0] ? AF_UNSPEC : AF_INET6,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	const char *host = endpoint->host[0] ? endpoint->host : NULL;
	struct addrinfo *found;
	size_t count = 0;
	int r = getaddrinfo(host, endpoint->port, &hints, &found);

	if (r == EAI_SYSTEM) {
		errmsg_errno(err, errno, "look-up");
		return -errno;
	}
	if (r != 0) {
		errmsg_set(err, "%s", gai_strerror(r));
		return -EADDRNOTAVAIL;
	}
	for (const struct addrinfo *ai = found; ai && count < max; ai = ai->ai_next) {
		struct endpoint_address address = {.bytes = ai->ai_addrlen};

		memcpy(&address.storage, ai->ai_addr, ai->ai_addrlen);
		if (!is_among(ret, count, &address))
			ret[count++] = address;
	}
	freeaddrinfo(found);
	return (ssize_t)count;
}

/* ---- one tcp address ---- */

/* How an address is bound. */
struct binding {
	const struct endpoint_address *address;
	bool is_ipv6_only;
	bool is_shared; /* beside own sockets */
	bool is_free;   /* the machine may not have it yet */
};

/* A socket that is bound, or -errno. */
static int open_bound(const struct binding *binding)
{
	int family = binding->address->storage.ss_family;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	/* Without REUSEADDR a restart waits a minute for the old connections' TIME_WAIT to pass. */
	r = set_number(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	/* [::] takes IPv4 too or does not, whatever the sysctl bindv6only says. */
	if (r == 0 && family == AF_INET6)
		r = set_number(fd, IPPROTO_IPV6, IPV6_V6ONLY, binding->is_ipv6_only);
	if (r == 0 && binding->is_shared)
		r = set_number(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r == 0 && binding->is_free)
		r = family == AF_INET6 ? set_number(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1)
				       : set_number(fd, IPPROTO_IP, IP_FREEBIND, 1);
	if (r == 0 && bind(fd, sockaddr_of(binding->address), binding->address->bytes) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	fd_close(&fd);
	return r;
}

int listen_try_bind(const struct endpoint_address *address, bool is_ipv6_only)
{
	const struct binding binding = {.address = address, .is_ipv6_only = is_ipv6_only};
	int fd = open_bound(&binding);

	if (fd < 0)
		return fd;
	fd_close(&fd);
	return 0;
}

static int open_listening(const struct binding *binding, int backlog)
{
	int fd = open_bound(binding);
	int r;

	if (fd < 0 || listen(fd, backlog) == 0)
		return fd;
	r = -errno;
	fd_close(&fd);
	return r;
}

int own_sockets_look(struct own_sockets *own)
{
	own->addresses = calloc(own->count + 1, sizeof(*own->addresses));
	for (size_t i = 0; own->addresses && i < own->count; i++) {
		if (!local_address(own->list[i].fd, &own->addresses[i]))
			own->addresses[i].bytes = 0;
	}
	return own->addresses ? 0 : -ENOMEM;
}

/* Where one of them listens.  False: it does not tell. */
static bool own_address(const struct own_sockets *own, size_t i, struct endpoint_address *ret)
{
	if (!own->addresses)
		return local_address(own->list[i].fd, ret);
	*ret = own->addresses[i];
	return ret->bytes > 0;
}

/* Our own sockets of this port let others in beside them, or no more.  Returns how many. */
static size_t share_port(const struct own_sockets *own, in_port_t port, bool is_shared)
{
	struct endpoint_address local;
	size_t count = 0;

	for (size_t i = 0; own && i < own->count; i++) {
		if (own_address(own, i, &local) && port_of(&local) == port &&
		    set_number(own->list[i].fd, SOL_SOCKET, SO_REUSEPORT, is_shared) == 0)
			count++;
	}
	return count;
}

/* One of our own that listens at the same address; NULL: there is none. */
static const struct listen_socket *
find_own(const struct own_sockets *own, const struct endpoint_address *address, bool is_ipv6_only)
{
	struct endpoint_address local;

	for (size_t i = 0; own && i < own->count; i++) {
		int fd = own->list[i].fd;

		if (!own_address(own, i, &local) || !is_same(&local, address))
			continue;
		if (!v6_of(address) || !is_any(address) ||
		    (sockopt_number(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1) == is_ipv6_only)
			return &own->list[i];
	}
	return NULL;
}

/* A duplicate of an own socket, or -errno. */
static int use_on(const struct listen_socket *own)
{
	int fd = fcntl(own->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

/* A listening socket, or -errno. */
static int listen_on_address(struct binding *binding, bool may_be_absent, int backlog,
			     const struct own_sockets *own)
{
	in_port_t port = port_of(binding->address);
	const struct listen_socket *same =
		port ? find_own(own, binding->address, binding->is_ipv6_only) : NULL;
	int fd;

	if (same)
		return use_on(same);
	for (;;) {
		fd = open_listening(binding, backlog);
		if (fd == -EADDRINUSE && !binding->is_shared && share_port(own, port, true) > 0)
			binding->is_shared = true;
		else if (fd == -EADDRNOTAVAIL && !binding->is_free && may_be_absent)
			binding->is_free = true;
		else
			break;
	}
	if (binding->is_shared)
		(void)share_port(own, port, false);
	if (binding->is_shared && fd >= 0)
		(void)set_number(fd, SOL_SOCKET, SO_REUSEPORT, 0);
	return fd;
}

/* ---- an endpoint ---- */

static void add_socket(struct listen_sockets *sockets, int fd)
{
	peer_socket_refuse_descriptors(fd);
	sockets->list[sockets->count++] = (struct listen_socket){.fd = fd};
}

static bool is_missing(int r)
{
	return r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT;
}

static int listen_on_any(const struct endpoint *endpoint, int backlog,
			 const struct own_sockets *own, struct listen_sockets *ret,
			 struct errmsg *why)
{
	struct endpoint_address address;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address.storage;
	struct binding binding = {.address = &address};
	ssize_t count = listen_addresses(endpoint, &address, 1, why);
	int fd;

	if (count < 0)
		return (int)count;
	fd = listen_on_address(&binding, false, backlog, own);
	if (is_missing(fd)) {
		*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port_of(&address)};
		address.bytes = sizeof(*v4);
		fd = listen_on_address(&binding, false, backlog, own);
	}
	if (fd < 0)
		return fd;
	add_socket(ret, fd);
	return 0;
}

static int listen_on_tcp(const struct endpoint *endpoint, int backlog,
			 const struct own_sockets *own, struct listen_sockets *ret,
			 struct errmsg *why)
{
	struct endpoint_address addresses[LISTEN_SOCKETS_MAX];
	bool may_be_absent = listen_is_literal(endpoint);
	ssize_t count;
	int missing = -EADDRNOTAVAIL;

	if (!endpoint->host[0])
		return listen_on_any(endpoint, backlog, own, ret, why);
	count = listen_addresses(endpoint, addresses, LISTEN_SOCKETS_MAX, why);
	if (count < 0)
		return (int)count;
	/* Each would get another port. */
	if (strcmp(endpoint->port, "0") == 0)
		count = 1;
	for (ssize_t i = 0; i < count; i++) {
		struct binding binding = {.address = &addresses[i],
					  .is_ipv6_only = endpoint->is_ipv6_only};
		int fd = listen_on_address(&binding, may_be_absent, backlog, own);

		if (fd >= 0) {
			add_socket(ret, fd);
			ret->is_absent = ret->is_absent || binding.is_free;
		} else if (is_missing(fd)) {
			missing = fd;
		} else {
			return fd;
		}
	}
	return ret->count ? 0 : missing;
}

int listen_find_group(const char *name, gid_t *ret, struct errmsg *why)
{
	char *buffer;
	struct group group, *found = NULL;
	int r;

	*ret = (gid_t)-1;
	if (!*name)
		return 0;
	buffer = malloc(GROUP_BUFFER_BYTES);
	if (!buffer)
		return -ENOMEM;
	r = -getgrnam_r(name, &group, buffer, GROUP_BUFFER_BYTES, &found);
	if (found)
		*ret = found->gr_gid;
	free(buffer);
	if (found)
		return 0;
	errmsg_set(why, "there is no group '%s'", name);
	return r ? r : -ENOENT;
}

/* bind() has given the file the mode of the descriptor less the umask: never more than wanted, not
 * for a moment.  The group comes first, since it may not have what the process's own group has. */
static int set_file_rights(const struct endpoint *endpoint, gid_t group)
{
	if (endpoint->path[0] == '@')
		return 0;
	if (group != (gid_t)-1 && chown(endpoint->path, (uid_t)-1, group) < 0)
		return -errno;
	return chmod(endpoint->path, endpoint->mode) < 0 ? -errno : 0;
}

void listen_restore_file(const struct endpoint *endpoint)
{
	gid_t group = getegid();

	if (endpoint->kind != ENDPOINT_UNIX ||
	    (endpoint->group[0] && listen_find_group(endpoint->group, &group, NULL) < 0))
		return;
	(void)set_file_rights(endpoint, group);
}

static void note_file(struct listen_socket *socket, const struct endpoint *endpoint)
{
	struct stat st;

	if (endpoint->path[0] == '@' || stat(endpoint->path, &st) < 0)
		return;
	socket->device = st.st_dev;
	socket->inode = st.st_ino;
}

bool listen_socket_has_file(const struct listen_socket *socket, const struct endpoint *endpoint)
{
	struct stat st;

	if (endpoint->kind != ENDPOINT_UNIX || endpoint->path[0] == '@')
		return true;
	if (stat(endpoint->path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	return !socket->inode || (st.st_dev == socket->device && st.st_ino == socket->inode);
}

static int listen_on_path(const struct endpoint *endpoint, int backlog, gid_t group)
{
	struct endpoint_address address;
	mode_t at_first = group == (gid_t)-1 ? endpoint->mode : endpoint->mode & 0700;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	endpoint_unlink(endpoint);
	endpoint_unix_address(endpoint, &address);
	if (fchmod(fd, at_first) < 0 || bind(fd, sockaddr_of(&address), address.bytes) < 0) {
		r = -errno;
		fd_close(&fd);
		return r;
	}
	r = set_file_rights(endpoint, group);
	if (r == 0 && listen(fd, backlog) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	fd_close(&fd);
	endpoint_unlink(endpoint);
	return r;
}

static int listen_on_unix(const struct endpoint *endpoint, int backlog,
			  const struct own_sockets *own, struct listen_sockets *ret,
			  struct errmsg *why)
{
	const struct listen_socket *same;
	struct endpoint_address address;
	gid_t group;
	int r = listen_find_group(endpoint->group, &group, why);

	if (r < 0)
		return r;
	endpoint_unix_address(endpoint, &address);
	same = find_own(own, &address, false);
	if (same && listen_socket_has_file(same, endpoint)) {
		r = set_file_rights(endpoint, group);
		if (r == 0)
			r = use_on(same);
	} else {
		r = listen_on_path(endpoint, backlog, group);
		ret->has_made_file = r >= 0;
	}
	if (r < 0)
		return r;
	add_socket(ret, r);
	note_file(&ret->list[0], endpoint);
	return 0;
}

/* ---- passed sockets ---- */

/* NULL when `fd` can be listened on, or what it is instead. */
static const char *why_not_listening(int fd)
{
	int family = sockopt_number(fd, SOL_SOCKET, SO_DOMAIN);

	if (family < 0)
		return family == -ENOTSOCK ? "what was passed is not a socket"
					   : "what was passed is not open";
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return "the socket is neither IPv4, IPv6 nor unix; expected ListenStream= in the "
		       "socket unit";
	if (sockopt_number(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		return "the socket is not a stream; expected ListenStream= in the socket unit";
	if (!sockopt_is_listening(fd))
		return "the socket does not listen; expected Accept=no in the socket unit";
	return NULL;
}

static int listen_on_passed(const struct endpoint *endpoint, int *ret_fd, struct errmsg *err)
{
	const char *wrong = why_not_listening(endpoint->passed_fd);
	char text[ENDPOINT_TEXT_BYTES];
	int fd, r;

	endpoint_print(text, sizeof(text), endpoint);
	if (wrong) {
		errmsg_set(err, "listen %s: %s", text, wrong);
		return -EINVAL;
	}
	fd = fcntl(endpoint->passed_fd, F_DUPFD_CLOEXEC, 0);
	r = fd < 0 ? -errno : fd_set_nonblock(fd);
	if (r < 0) {
		fd_close(&fd);
		errmsg_errno(err, -r, "listen %s", text);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* ---- the whole ---- */

int listen_sockets_open(const struct endpoint *endpoint, int backlog, const struct own_sockets *own,
			struct listen_sockets *ret, struct errmsg *err)
{
	struct listen_sockets sockets = {.count = 0};
	char text[ENDPOINT_TEXT_BYTES];
	struct errmsg why = {0};
	int fd = -1, r;

	if (endpoint->kind == ENDPOINT_PASSED || endpoint->passed_fd >= 0) {
		r = listen_on_passed(endpoint, &fd, err);
		if (r == 0)
			add_socket(&sockets, fd);
		*ret = sockets;
		return r;
	}
	if (endpoint->kind == ENDPOINT_UNIX)
		r = listen_on_unix(endpoint, backlog, own, &sockets, &why);
	else
		r = listen_on_tcp(endpoint, backlog, own, &sockets, &why);
	if (r < 0) {
		listen_sockets_close(&sockets);
		endpoint_print(text, sizeof(text), endpoint);
		if (why.text[0])
			errmsg_set(err, "listen %s: %s", text, why.text);
		else
			errmsg_errno(err, -r, "listen %s", text);
	}
	*ret = sockets;
	return r;
}

void listen_sockets_close(struct listen_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
		peer_socket_close(&sockets->list[i].fd);
	*sockets = (struct listen_sockets){.count = 0};
}

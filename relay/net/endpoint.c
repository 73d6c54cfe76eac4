// SPDX-License-Identifier: MIT
/* Parsing and printing of endpoints.
 *
 * A unix socket file outlives its owner, so before one is replaced or removed it is asked: a file
 * on which nothing answers belongs to nobody.  That also does the right thing when the descriptor
 * lives on in another process. */
#include "net/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cidr.h"
#include "base/errmsg.h"
#include "base/fd.h"

#define EXPECTED "expected tcp:HOST:PORT, tcp:[IPV6]:PORT, unix:PATH or systemd:NAME"

static bool is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	unsigned port = 0;

	if (digits == 0 || digits > 5 || text[digits] != '\0')
		return false;
	for (size_t i = 0; i < digits; i++)
		port = port * 10 + (unsigned)(text[i] - '0');
	return port <= 65535;
}

static bool is_ipv6(const char *text)
{
	char address[INET6_ADDRSTRLEN];
	size_t length = strcspn(text, "%"); /* a zone such as %eth0 is the kernel's business */
	struct in6_addr ignored;

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	return inet_pton(AF_INET6, address, &ignored) == 1;
}

static bool is_host_name(const char *text)
{
	return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789.-_")] == '\0';
}

/* text: what follows "tcp:".  The port is behind the last colon. */
static const char *parse_tcp(const char *text, struct endpoint *ret)
{
	const char *colon = strrchr(text, ':');
	size_t length;
	bool bracketed;

	if (!colon)
		return EXPECTED;
	if (!is_port(colon + 1))
		return "expected a port from 0 to 65535 at the end";
	snprintf(ret->port, sizeof(ret->port), "%s", colon + 1);

	length = (size_t)(colon - text);
	bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
	if (bracketed) {
		text++;
		length -= 2;
	}
	if (length >= sizeof(ret->host))
		return "the host name is too long";
	memcpy(ret->host, text, length);
	ret->host[length] = '\0';

	if (bracketed)
		return is_ipv6(ret->host) ? NULL : "expected an IPv6 address between the brackets";
	if (strchr(ret->host, ':'))
		return "an IPv6 address must stand in brackets";
	if (strcmp(ret->host, "*") == 0)
		ret->host[0] = '\0';
	return is_host_name(ret->host) ? NULL : "not a host name";
}

/* text: what follows "unix:" */
static const char *parse_unix(const char *text, struct endpoint *ret)
{
	if (text[0] == '\0' || strcmp(text, "@") == 0)
		return "expected a path after unix:";
	if (strlen(text) >= sizeof(ret->path))
		return "the path is longer than 107 bytes";
	memcpy(ret->path, text, strlen(text) + 1);
	return NULL;
}

/* text: what follows "systemd:" */
static const char *parse_passed(const char *text, struct endpoint *ret)
{
	if (text[0] == '\0')
		return "expected a name after systemd:";
	if (strlen(text) >= sizeof(ret->host))
		return "the name is longer than 255 bytes";
	memcpy(ret->host, text, strlen(text) + 1);
	return NULL;
}

int endpoint_parse(const char *text, struct endpoint *ret, struct errmsg *err)
{
	struct endpoint endpoint = {.passed_fd = -1, .mode = ENDPOINT_FILE_MODE};
	const char *wrong = EXPECTED;

	if (strncmp(text, "tcp:", 4) == 0) {
		endpoint.kind = ENDPOINT_TCP;
		wrong = parse_tcp(text + 4, &endpoint);
	} else if (strncmp(text, "unix:", 5) == 0) {
		endpoint.kind = ENDPOINT_UNIX;
		wrong = parse_unix(text + 5, &endpoint);
	} else if (strncmp(text, "systemd:", 8) == 0) {
		endpoint.kind = ENDPOINT_PASSED;
		wrong = parse_passed(text + 8, &endpoint);
	}
	if (wrong) {
		errmsg_set(err, "bad address \"%s\": %s", text, wrong);
		return -EINVAL;
	}
	*ret = endpoint;
	return 0;
}

void endpoint_print(char *buf, size_t size, const struct endpoint *endpoint)
{
	switch (endpoint->kind) {
	case ENDPOINT_TCP:
		if (strchr(endpoint->host, ':'))
			snprintf(buf, size, "tcp:[%s]:%s", endpoint->host, endpoint->port);
		else
			snprintf(buf, size, "tcp:%s:%s", endpoint->host[0] ? endpoint->host : "*",
				 endpoint->port);
		return;
	case ENDPOINT_UNIX:
		snprintf(buf, size, "unix:%s", endpoint->path);
		return;
	case ENDPOINT_PASSED:
		snprintf(buf, size, "systemd:%s", endpoint->host);
		return;
	}
}

/* The kernel's length counts the zero byte of a path, but an abstract name has none. */
static void print_unix(char *buf, size_t size, const struct sockaddr_un *addr, size_t bytes)
{
	size_t header = offsetof(struct sockaddr_un, sun_path);
	size_t length = bytes > header ? bytes - header : 0;

	if (length > 0 && addr->sun_path[0] == '\0')
		snprintf(buf, size, "unix:@%.*s", (int)(length - 1), addr->sun_path + 1);
	else
		snprintf(buf, size, "unix:%.*s", (int)length, addr->sun_path);
}

static void print_ipv6(char *buf, size_t size, const struct sockaddr_in6 *addr)
{
	char host[NI_MAXHOST] = "";

	if (IN6_IS_ADDR_V4MAPPED(&addr->sin6_addr)) {
		inet_ntop(AF_INET, &addr->sin6_addr.s6_addr[12], host, sizeof(host));
		snprintf(buf, size, "tcp:%s:%u", host, ntohs(addr->sin6_port));
		return;
	}
	/* Not inet_ntop(): a link-local address is worth nothing without its zone. */
	getnameinfo((const struct sockaddr *)addr, sizeof(*addr), host, sizeof(host), NULL, 0,
		    NI_NUMERICHOST);
	snprintf(buf, size, "tcp:[%s]:%u", host, ntohs(addr->sin6_port));
}

static void print_address(char *buf, size_t size, const struct endpoint_address *address)
{
	const struct sockaddr_storage *storage = &address->storage;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)storage;
	char host[INET_ADDRSTRLEN] = "";

	if (address->bytes > 0 && storage->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(buf, size, "tcp:%s:%u", host, ntohs(v4->sin_port));
	} else if (address->bytes > 0 && storage->ss_family == AF_INET6) {
		print_ipv6(buf, size, (const struct sockaddr_in6 *)storage);
	} else if (address->bytes > 0 && storage->ss_family == AF_UNIX) {
		print_unix(buf, size, (const struct sockaddr_un *)storage, address->bytes);
	} else {
		snprintf(buf, size, "unknown");
	}
}

void endpoint_print_address(char *buf, size_t size, const struct endpoint_address *address)
{
	print_address(buf, size, address);
	for (char *at = buf; *at; at++) {
		if (*at <= ' ' || *at > '~')
			*at = '?';
	}
}

int endpoint_address_ip(const struct endpoint_address *address, struct in6_addr *ret)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->storage;

	if (address->bytes == 0)
		return -ENOTCONN;
	if (address->storage.ss_family == AF_INET6) {
		*ret = v6->sin6_addr;
		cidr_set_zone(ret, v6->sin6_scope_id);
		return 0;
	}
	if (address->storage.ss_family != AF_INET)
		return -EAFNOSUPPORT;
	*ret = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(&ret->s6_addr[12], &v4->sin_addr, sizeof(v4->sin_addr));
	return 0;
}

void endpoint_pack_peer(const struct endpoint_address *address, struct peer_address *ret)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->storage;

	*ret = (struct peer_address){.port = 0};
	if (endpoint_address_ip(address, &ret->ip) == 0)
		ret->port =
			ntohs(address->storage.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
}

bool endpoint_unpack_peer(const struct peer_address *peer, struct endpoint_address *ret)
{
	struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)peer->port),
		.sin6_addr = peer->ip,
	};

	if (IN6_IS_ADDR_UNSPECIFIED(&peer->ip))
		return false;
	v6.sin6_scope_id = cidr_take_zone(&v6.sin6_addr);
	ret->bytes = sizeof(v6);
	memcpy(&ret->storage, &v6, sizeof(v6));
	return true;
}

void endpoint_peer(int fd, struct endpoint_address *ret)
{
	*ret = (struct endpoint_address){.bytes = sizeof(ret->storage)};
	if (getpeername(fd, (struct sockaddr *)&ret->storage, &ret->bytes) < 0)
		ret->bytes = 0;
}

void endpoint_print_local(char *buf, size_t size, int fd)
{
	struct endpoint_address address = {.bytes = sizeof(address.storage)};

	if (getsockname(fd, (struct sockaddr *)&address.storage, &address.bytes) < 0)
		address.bytes = 0;
	print_address(buf, size, &address);
}

void endpoint_unix_address(const struct endpoint *endpoint, struct endpoint_address *ret)
{
	struct sockaddr_un *addr = (struct sockaddr_un *)&ret->storage;
	size_t length = strlen(endpoint->path);
	size_t header = offsetof(struct sockaddr_un, sun_path);

	memset(ret, 0, sizeof(*ret));
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, endpoint->path, length);
	ret->bytes = (socklen_t)(header + length + 1);
	if (endpoint->path[0] == '@') {
		addr->sun_path[0] = '\0';
		ret->bytes = (socklen_t)(header + length);
	}
}

void endpoint_unlink(const struct endpoint *endpoint)
{
	struct endpoint_address address;
	struct stat st;
	int fd;

	if (endpoint->kind != ENDPOINT_UNIX || endpoint->path[0] == '@')
		return;
	/* connect() answers ECONNREFUSED for an ordinary file too, which must not be removed. */
	if (lstat(endpoint->path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	endpoint_unix_address(endpoint, &address);
	if (connect(fd, (const struct sockaddr *)&address.storage, address.bytes) < 0 &&
	    errno == ECONNREFUSED)
		unlink(endpoint->path);
	fd_close(&fd);
}

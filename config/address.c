// SPDX-License-Identifier: MIT
/*
 * The form of addresses. Numeric hosts are put into their usual form, so that [0:0::1] and [::1]
 * are seen to be the same.
 */
#include "config/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/num.h"

static int parse_port(const char *text, uint16_t *ret, struct errmsg *e)
{
	uint64_t port;

	if (num_parse_count(text, &port) < 0 || port > UINT16_MAX) {
		errmsg_set(e, "port '%.40s' is not a number from 0 to 65535", text);
		return -EINVAL;
	}
	*ret = (uint16_t)port;
	return 0;
}

/* A zone such as %eth0 stays as it is. */
static int parse_ipv6(char host[256], struct errmsg *e)
{
	char zone[64] = "";
	size_t bytes = strcspn(host, "%");
	struct in6_addr in6;

	if (strlen(host + bytes) >= sizeof(zone))
		bytes = 0;
	memcpy(zone, host + bytes, strnlen(host + bytes, sizeof(zone) - 1));
	host[bytes] = '\0';
	if (inet_pton(AF_INET6, host, &in6) != 1) {
		errmsg_set(e, "there is no IPv6 address between the brackets");
		return -EINVAL;
	}
	inet_ntop(AF_INET6, &in6, host, INET6_ADDRSTRLEN);
	memcpy(host + strlen(host), zone, strlen(zone) + 1);
	return 0;
}

static int parse_host(char host[256], struct errmsg *e)
{
	if (strcmp(host, "*") == 0)
		host[0] = '\0';
	if (strchr(host, ':')) {
		errmsg_set(e, "an IPv6 address must stand in brackets");
		return -EINVAL;
	}
	if (host[strspn(host,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")]) {
		errmsg_set(e, "'%.80s' is not a host name", host);
		return -EINVAL;
	}
	return 0;
}

/* text: what follows "tcp:". The port stands behind the last colon. */
static int parse_tcp(const char *text, struct config_address *ret, struct errmsg *e)
{
	const char *colon = strrchr(text, ':');
	size_t bytes;
	int r;

	if (!colon) {
		errmsg_set(e, "the port is missing");
		return -EINVAL;
	}
	r = parse_port(colon + 1, &ret->port, e);
	if (r < 0)
		return r;
	bytes = (size_t)(colon - text);
	if (bytes >= sizeof(ret->host)) {
		errmsg_set(e, "the host name is longer than 255 bytes");
		return -EINVAL;
	}
	if (bytes >= 2 && text[0] == '[' && text[bytes - 1] == ']') {
		memcpy(ret->host, text + 1, bytes - 2);
		return parse_ipv6(ret->host, e);
	}
	memcpy(ret->host, text, bytes);
	return parse_host(ret->host, e);
}

/* text: what follows "unix:" */
static int parse_unix(const char *text, struct config_address *ret, struct errmsg *e)
{
	if (!text[0] || strcmp(text, "@") == 0) {
		errmsg_set(e, "the path is missing");
		return -EINVAL;
	}
	if (strlen(text) >= sizeof(ret->path)) {
		errmsg_set(e, "the path is longer than 107 bytes, which unix(7) sets as the limit");
		return -EINVAL;
	}
	memcpy(ret->path, text, strlen(text));
	ret->kind = CONFIG_ADDRESS_UNIX;
	return 0;
}

/* text: what follows "systemd:". What systemd.socket(5) allows in a name, less blank and comma. */
static int parse_systemd(const char *text, struct config_address *ret, struct errmsg *e)
{
	size_t bytes = strlen(text);

	if (bytes == 0) {
		errmsg_set(e, "the name is missing; it is FileDescriptorName= of the socket unit");
		return -EINVAL;
	}
	if (bytes >= sizeof(ret->host)) {
		errmsg_set(e, "the name is longer than 255 bytes");
		return -EINVAL;
	}
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] <= ' ' || text[i] > '~' || strchr(":,", text[i])) {
			errmsg_set(e, "'%.80s' is not a name that FileDescriptorName= can have",
				   text);
			return -EINVAL;
		}
	}
	memcpy(ret->host, text, bytes);
	ret->kind = CONFIG_ADDRESS_SYSTEMD;
	return 0;
}

int config_address_parse(const char *text, struct config_address *ret, struct errmsg *e)
{
	struct config_address address = {0};
	int r;

	if (strncmp(text, "tcp:", 4) == 0) {
		r = parse_tcp(text + 4, &address, e);
	} else if (strncmp(text, "unix:", 5) == 0) {
		r = parse_unix(text + 5, &address, e);
	} else if (strncmp(text, "systemd:", 8) == 0) {
		r = parse_systemd(text + 8, &address, e);
	} else {
		if (text[0] == '/')
			errmsg_set(e, "a path is written unix:%.80s", text);
		else
			errmsg_set(e, "'%.80s' is not an address", text);
		r = -EINVAL;
	}
	if (r == 0)
		*ret = address;
	return r;
}

static bool is_ipv4(const char *host)
{
	struct in_addr ignored;

	return inet_pton(AF_INET, host, &ignored) == 1;
}

bool config_address_is_ipv4(const struct config_address *address)
{
	return address->kind == CONFIG_ADDRESS_TCP && is_ipv4(address->host);
}

/* Does listening on `wide` take every address that `narrow` may mean? */
static bool covers(const struct config_address *wide, const struct config_address *narrow)
{
	bool narrow_is_ipv4 = is_ipv4(narrow->host) || !narrow->host[0];

	if (!wide->host[0])
		return true;
	if (strcmp(wide->host, "0.0.0.0") == 0)
		return narrow_is_ipv4;
	if (strcmp(wide->host, "::") != 0)
		return false;
	return strchr(narrow->host, ':') || (narrow_is_ipv4 && !wide->is_ipv6_only);
}

bool config_address_clashes(const struct config_address *a, const struct config_address *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == CONFIG_ADDRESS_UNIX)
		return strcmp(a->path, b->path) == 0;
	if (a->kind == CONFIG_ADDRESS_SYSTEMD)
		return strcmp(a->host, b->host) == 0;
	if (a->port != b->port || a->port == 0)
		return false;
	return strcasecmp(a->host, b->host) == 0 || covers(a, b) || covers(b, a);
}

/* The part of a word before its last @, if it is an address: tcp:USER:PASSWORD@... or ://USER...@. */
static void mask_user(char *word, size_t length)
{
	char *at = memrchr(word, '@', length);
	char *scheme = memmem(word, length, "://", 3);
	char *user = scheme ? scheme + 3 : strncmp(word, "tcp:", 4) == 0 ? word + 4 : NULL;

	if (!at || !user || user >= at)
		return;
	*user++ = '*';
	memmove(user, at, strlen(at) + 1);
}

void config_address_mask_users(char *text)
{
	static const char ends[] = " \t'\",";

	for (; *text; text += strspn(text, ends)) {
		mask_user(text, strcspn(text, ends));
		text += strcspn(text, ends);
	}
}

// SPDX-License-Identifier: MIT
/*
 * The form of addresses. Numeric hosts are put into their usual form, so that [0:0::1] and [::1]
 * are seen to be the same.
 */
#include "config/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/compiler.h"
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

/* The part of a word before its last @, if it is an address: tcp:USER:PASSWORD@... or
 * ://USER...@. */
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

/* The value of access_token in its query. */
static void mask_token(char *word)
{
	static const char name[] = "access_token=";
	char *at = strcasestr(word, name);
	char *value = at ? at + sizeof(name) - 1 : word;
	size_t bytes = strcspn(value, "& \t'\",");

	if (!at || bytes == 0)
		return;
	*value++ = '*';
	memmove(value, value + bytes - 1, strlen(value + bytes - 1) + 1);
}

void config_address_mask_users(char *text)
{
	static const char ends[] = " \t'\",";

	for (; *text; text += strspn(text, ends)) {
		mask_user(text, strcspn(text, ends));
		mask_token(text);
		text += strcspn(text, ends);
	}
}

/* ---- URLs: a scheme, "://", an authority and a path ---- */

static const struct scheme {
	const char *text;
	const char *port; /* NULL: relay does not speak it */
} schemes[] = {
	{"http://", "80"},
	{"ntrip://", "2101"}, /* as IANA has it for RTCM by NTRIP */
	{"https://", NULL},
};

static const struct scheme *find_scheme(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (strncasecmp(text, schemes[i].text, strlen(schemes[i].text)) == 0)
			return &schemes[i];
	}
	return NULL;
}

bool config_is_http_url(const char *text)
{
	return find_scheme(text) != NULL;
}

/* The port may be left out; the colons of an address in brackets are none. */
static bool has_port(const char *authority, size_t bytes)
{
	const char *bracket = memrchr(authority, ']', bytes);
	const char *from = bracket ? bracket : authority;

	return memchr(from, ':', bytes - (size_t)(from - authority)) != NULL;
}

/* In a request line only what is printed, and no fragment. */
static int check_path(const char *path, struct errmsg *e)
{
	if (path[0] != '/' || !path[1]) {
		errmsg_set(e, "the path of the feed is missing; expected http://HOST[:PORT]/PATH");
		return -EINVAL;
	}
	for (const char *at = path; *at; at++) {
		if (*at > ' ' && *at < 0x7f && *at != '#')
			continue;
		errmsg_set(e, "the path has a character that a URL cannot have; expected it as "
			      "%%, with two hexadecimal digits");
		return -EINVAL;
	}
	return 0;
}

/* Where a secret would be shown.  A password may have a slash, so what stands before the last
 * @ is one. */
static int check_no_secret(const char *authority, struct errmsg *e)
{
	if (memchr(authority, '@', strcspn(authority, "?"))) {
		errmsg_set(e,
			   "who relay is does not go into the URL, which is shown; "
			   "expected them as USER:PASSWORD in a file, see ingest_token_file, and "
			   "an @ in a path as %%40");
		return -EINVAL;
	}
	if (strcasestr(authority, "access_token=")) {
		errmsg_set(e, "a token does not go into the URL, which is shown; expected it in a "
			      "file, see ingest_token_file");
		return -EINVAL;
	}
	return 0;
}

int config_http_url_parse(const char *text, struct config_http_url *ret, struct errmsg *e)
{
	const struct scheme *scheme = find_scheme(text);
	const char *authority;
	size_t bytes;
	int r;

	if (!scheme || strlen(text) >= CONFIG_URL_BYTES) {
		errmsg_set(e, "expected http://HOST[:PORT]/PATH, of at most %d bytes",
			   CONFIG_URL_BYTES - 1);
		return -EINVAL;
	}
	if (!scheme->port) {
		errmsg_set(e,
			   "relay does not speak TLS; expected http:// to a proxy on this machine "
			   "that does, such as stunnel or HAProxy (pull.md)");
		return -EINVAL;
	}
	authority = text + strlen(scheme->text);
	bytes = strcspn(authority, "/?#");
	r = check_no_secret(authority, e);
	if (r == 0)
		r = check_path(authority + bytes, e);
	if (r < 0)
		return r;
	if (has_port(authority, bytes))
		(void)snprintf(ret->address, sizeof(ret->address), "tcp:%.*s", (int)bytes,
			       authority);
	else
		(void)snprintf(ret->address, sizeof(ret->address), "tcp:%.*s:%s", (int)bytes,
			       authority, scheme->port);
	return 0;
}

// SPDX-License-Identifier: MIT
/* Names of hosts: case does not matter, and neither does a port. */
#include "http/http_host.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* An IPv6 address stands in brackets, perhaps with a zone (RFC 6874). */
static bool is_address(struct http_text name)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr ignored;
	bool is_v6 = name.length > 2 && name.at[0] == '[';
	const char *zone;

	if (is_v6) {
		name = (struct http_text){name.at + 1, name.length - 2};
		zone = memchr(name.at, '%', name.length);
		name.length = zone ? (size_t)(zone - name.at) : name.length;
	}
	if (name.length >= sizeof(text))
		return false;
	memcpy(text, name.at, name.length);
	text[name.length] = '\0';
	return inet_pton(is_v6 ? AF_INET6 : AF_INET, text, &ignored) == 1;
}

static bool is_listed(struct http_text name, const char *names)
{
	while (*names) {
		struct http_text one = {names, strcspn(names, ",")};

		names += one.length + (names[one.length] == ',');
		one = http_text_trim(one);
		if (one.length == name.length && strncasecmp(one.at, name.at, name.length) == 0)
			return true;
	}
	return false;
}

struct http_text http_host_name(struct http_text host)
{
	size_t end = host.length;

	while (end && http_is_digit(host.at[end - 1]))
		end--;
	if (end && host.at[end - 1] == ':')
		host.length = end - 1;
	return host;
}

bool http_host_is_known(struct http_text host, const char *names)
{
	struct http_text name = http_host_name(host);

	return name.length == 0 || is_address(name) ||
	       http_text_equals_any_case(name, "localhost") || is_listed(name, names);
}

bool http_host_is_loopback(struct http_text host)
{
	struct http_text name = http_host_name(host);

	return http_text_equals_any_case(name, "localhost") || http_text_equals(name, "[::1]") ||
	       (name.length > 4 && memcmp(name.at, "127.", 4) == 0 && is_address(name));
}

static bool says(const struct http_fields *fields, const char *name, const char *value)
{
	struct http_text text;

	return http_fields_find(fields, name, &text) && http_text_equals(text, value);
}

bool http_host_is_cross_site(const struct http_fields *fields)
{
	return says(fields, "Sec-Fetch-Site", "cross-site") &&
	       !(says(fields, "Sec-Fetch-Mode", "navigate") &&
		 says(fields, "Sec-Fetch-Dest", "document"));
}

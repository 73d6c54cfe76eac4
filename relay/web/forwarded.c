// SPDX-License-Identifier: MIT
/* Clients behind proxies: the list is read once, from its beginning. */
#include "web/forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

enum {
	ADDRESS_BYTES = INET6_ADDRSTRLEN + sizeof("[]:65535"),
};

/* ADDRESS, IPV4:PORT, [IPV6] or [IPV6]:PORT; the port is passed over.  False: it is something else,
 * such as unknown or a name of a proxy's own. */
static bool read_address(struct http_text text, struct endpoint_address *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->storage;
	char buf[ADDRESS_BYTES];
	char *at = buf, *end;

	if (text.length == 0 || text.length >= sizeof(buf))
		return false;
	memcpy(buf, text.at, text.length);
	buf[text.length] = '\0';
	if (*at == '[') {
		at++;
		end = strchr(at, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		*end = '\0';
	} else if ((end = strchr(at, ':')) && !strchr(end + 1, ':')) {
		*end = '\0';
	}
	*ret = (struct endpoint_address){0};
	if (inet_pton(AF_INET, at, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		ret->bytes = sizeof(*v4);
	} else if (inet_pton(AF_INET6, at, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		ret->bytes = sizeof(*v6);
	}
	return ret->bytes > 0;
}

static struct http_text unquote(struct http_text text)
{
	if (text.length >= 2 && text.at[0] == '"' && text.at[text.length - 1] == '"')
		return (struct http_text){text.at + 1, text.length - 2};
	return text;
}

/* The value of `for` among the parameters of an element of Forwarded; empty: it has none. */
static struct http_text find_for(struct http_text element)
{
	while (element.length > 0) {
		const char *end = memchr(element.at, ';', element.length);
		size_t length = end ? (size_t)(end - element.at) : element.length;
		struct http_text one = http_text_trim((struct http_text){element.at, length});

		if (one.length > 4 && strncasecmp(one.at, "for=", 4) == 0)
			return unquote((struct http_text){one.at + 4, one.length - 4});
		length += end != NULL;
		element.at += length;
		element.length -= length;
	}
	return (struct http_text){0};
}

bool forwarded_is_trusted(const struct access *trusted, const struct endpoint_address *peer)
{
	struct in6_addr address;

	return endpoint_address_ip(peer, &address) == 0 && access_is_allowed(trusted, &address);
}

/* What one of the fields says.  False: there is none, or it says nothing. */
static bool find_in_field(const struct http_fields *fields, const char *name, bool has_parameters,
			  const struct access *trusted, struct endpoint_address *ret)
{
	struct http_list list = {.fields = fields, .name = name};
	struct endpoint_address one, found = *ret;
	struct http_text element;
	bool is_known = false;

	while (http_list_next(&list, &element)) {
		if (!read_address(has_parameters ? find_for(element) : element, &one)) {
			is_known = false;
		} else if (!is_known || !forwarded_is_trusted(trusted, &one)) {
			found = one;
			is_known = true;
		}
	}
	if (is_known)
		*ret = found;
	return is_known;
}

static bool is_same(const struct endpoint_address *a, const struct endpoint_address *b)
{
	struct in6_addr own, other;

	return endpoint_address_ip(a, &own) == 0 && endpoint_address_ip(b, &other) == 0 &&
	       memcmp(&own, &other, sizeof(own)) == 0;
}

const char *forwarded_find_peer(const struct http_fields *fields, const struct access *trusted,
				struct endpoint_address *peer)
{
	struct endpoint_address by_list = *peer, by_field = *peer;
	bool has_list = find_in_field(fields, "X-Forwarded-For", false, trusted, &by_list);
	bool has_field = find_in_field(fields, "Forwarded", true, trusted, &by_field);

	if (has_list && has_field && !is_same(&by_list, &by_field))
		return "X-Forwarded-For and Forwarded name different clients";
	*peer = has_list ? by_list : by_field;
	return NULL;
}

// SPDX-License-Identifier: MIT
/* Access lists: short, and asked once for each connection, so they are looked through in order. */
#include "net/access.h"

#include <errno.h>
#include <stdlib.h>

static int parse_list(const char *text, struct access_list *ret, struct errmsg *err)
{
	struct cidr cidr, *networks;
	int r;

	while ((r = cidr_parse_next(&text, &cidr, err)) > 0) {
		networks = reallocarray(ret->networks, ret->count + 1, sizeof(*networks));
		if (!networks) {
			errmsg_set(err, "out of memory");
			return -ENOMEM;
		}
		ret->networks = networks;
		networks[ret->count++] = cidr;
	}
	return r;
}

int access_init(struct access *ret, const char *allow, const char *deny, struct errmsg *err)
{
	int r;

	*ret = (struct access){0};
	r = parse_list(allow, &ret->allow, err);
	if (r == 0)
		r = parse_list(deny, &ret->deny, err);
	if (r < 0)
		access_fini(ret);
	return r;
}

void access_fini(struct access *access)
{
	free(access->allow.networks);
	free(access->deny.networks);
	*access = (struct access){0};
}

static bool is_on(const struct access_list *list, const struct in6_addr *address)
{
	for (size_t i = 0; i < list->count; i++) {
		if (cidr_contains(&list->networks[i], address))
			return true;
	}
	return false;
}

bool access_is_open(const struct access *access)
{
	return access->allow.count == 0 && access->deny.count == 0;
}

bool access_is_allowed(const struct access *access, const struct in6_addr *address)
{
	if (is_on(&access->deny, address))
		return false;
	return access->allow.count == 0 || is_on(&access->allow, address);
}

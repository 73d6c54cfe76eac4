// SPDX-License-Identifier: MIT
/* Networks: inet_pton(3) reads the addresses, so what it takes for one is one. */
#include "base/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/num.h"

#define BLANKS    " \t"
#define IPV4_BITS 96 /* in front of an IPv4 address that stands in an IPv6 one */

static bool is_ipv4(const struct in6_addr *address)
{
	return IN6_IS_ADDR_V4MAPPED(address);
}

/* Do the first `bits` bits agree? */
static bool has_prefix(const struct in6_addr *a, const struct in6_addr *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a->s6_addr, b->s6_addr, bytes) != 0)
		return false;
	return rest == 0 || (a->s6_addr[bytes] ^ b->s6_addr[bytes]) >> (8 - rest) == 0;
}

static bool is_zero_behind(const struct in6_addr *address, unsigned bits)
{
	struct in6_addr network = {0};

	for (unsigned i = 0; i < bits; i++)
		network.s6_addr[i / 8] = (uint8_t)(network.s6_addr[i / 8] |
						   (address->s6_addr[i / 8] & 0x80 >> i % 8));
	return memcmp(&network, address, sizeof(network)) == 0;
}

/* *ret_offset: how many bits stand in front of a prefix length as it is written. */
static int parse_address(const char *text, struct in6_addr *ret, unsigned *ret_offset)
{
	struct in_addr v4;

	*ret_offset = 0;
	if (inet_pton(AF_INET6, text, ret) == 1)
		return 0;
	if (inet_pton(AF_INET, text, &v4) != 1)
		return -EINVAL;
	*ret = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(&ret->s6_addr[12], &v4, sizeof(v4));
	*ret_offset = IPV4_BITS;
	return 0;
}

/* text: one network, which is cut at its slash. */
static int parse_one(char *text, struct cidr *ret, struct errmsg *err)
{
	char *slash = strchr(text, '/');
	struct cidr cidr = {.bits = 128};
	uint64_t length;
	unsigned offset;

	if (slash)
		*slash = '\0';
	if (parse_address(text, &cidr.network, &offset) < 0) {
		errmsg_set(err, "'%s' is no address", text);
		return -EINVAL;
	}
	if (slash) {
		if (num_parse_count(slash + 1, &length) < 0 || length > 128 - offset) {
			errmsg_set(err, "'%s' is no length of a network; expected 0 to %u",
				   slash + 1, 128 - offset);
			return -EINVAL;
		}
		cidr.bits = offset + (unsigned)length;
	}
	if (!is_zero_behind(&cidr.network, cidr.bits)) {
		errmsg_set(err, "%s/%s has bits behind its length", text, slash + 1);
		return -EINVAL;
	}
	*ret = cidr;
	return 0;
}

int cidr_parse_next(const char **rest, struct cidr *ret, struct errmsg *err)
{
	const char *text = *rest + strspn(*rest, BLANKS);
	size_t length = strcspn(text, "," BLANKS);
	const char *behind = text + length + strspn(text + length, BLANKS);
	char one[64];

	if (!*text)
		return 0;
	if (length == 0 || length >= sizeof(one)) {
		errmsg_set(err, "'%.64s' is no address", text);
		return -EINVAL;
	}
	if (*behind && (*behind != ',' || !behind[1 + strspn(behind + 1, BLANKS)])) {
		errmsg_set(err, "'%.64s' does not go on after a comma", behind);
		return -EINVAL;
	}
	memcpy(one, text, length);
	one[length] = '\0';
	if (parse_one(one, ret, err) < 0)
		return -EINVAL;
	*rest = *behind ? behind + 1 : behind;
	return 1;
}

bool cidr_contains(const struct cidr *cidr, const struct in6_addr *address)
{
	bool wants_ipv4 = is_ipv4(&cidr->network) && cidr->bits >= IPV4_BITS;

	return is_ipv4(address) == wants_ipv4 && has_prefix(&cidr->network, address, cidr->bits);
}

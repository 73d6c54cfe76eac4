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
#define ZONE_AT   4  /* bytes in front of the number of a zone */

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

/* ---- zones ---- */

void cidr_set_zone(struct in6_addr *address, uint32_t interface)
{
	uint32_t number = htonl(interface);

	if (IN6_IS_ADDR_LINKLOCAL(address))
		memcpy(&address->s6_addr[ZONE_AT], &number, sizeof(number));
}

uint32_t cidr_take_zone(struct in6_addr *address)
{
	uint32_t number = 0;

	if (!IN6_IS_ADDR_LINKLOCAL(address))
		return 0;
	memcpy(&number, &address->s6_addr[ZONE_AT], sizeof(number));
	memset(&address->s6_addr[ZONE_AT], 0, sizeof(number));
	return ntohl(number);
}

/* Interfaces come and go, and get other numbers: asked by name, and only where a list has one. */
static bool is_in_zone(const struct cidr *cidr, uint32_t zone)
{
	char name[IF_NAMESIZE];

	if (!cidr->zone[0])
		return true;
	return zone && if_indextoname(zone, name) && strcmp(name, cidr->zone) == 0;
}

/* text: a network without its length, which is cut at its zone. */
static int parse_zone(char *text, struct cidr *cidr, struct errmsg *err)
{
	char *percent = strchr(text, '%');
	struct in6_addr address;

	if (!percent)
		return 0;
	*percent = '\0';
	if (inet_pton(AF_INET6, text, &address) != 1 || !IN6_IS_ADDR_LINKLOCAL(&address)) {
		errmsg_set(err, "'%s' cannot have a zone; expected an address of fe80::/10", text);
		return -EINVAL;
	}
	if (!percent[1] || strlen(percent + 1) >= sizeof(cidr->zone)) {
		errmsg_set(err, "'%s' is no zone; expected the name of an interface", percent + 1);
		return -EINVAL;
	}
	memcpy(cidr->zone, percent + 1, strlen(percent + 1) + 1);
	return 0;
}

/* ---- translated addresses ---- */

/* Addresses that are no global unicast addresses (RFC 6890, 2.2.2), but those of documents. */
static bool is_local_ipv4(const uint8_t *address)
{
	return address[0] == 0 || address[0] == 10 || address[0] == 127 ||
	       (address[0] == 100 && (address[1] & 0xc0) == 64) ||
	       (address[0] == 169 && address[1] == 254) ||
	       (address[0] == 172 && (address[1] & 0xf0) == 16) ||
	       (address[0] == 192 && address[1] == 168) || address[0] >= 224;
}

bool cidr_is_translated(const struct in6_addr *address, struct in6_addr *ret)
{
	static const struct in6_addr prefix = {.s6_addr = {0x00, 0x64, 0xff, 0x9b}};

	if (!has_prefix(&prefix, address, IPV4_BITS) || is_local_ipv4(&address->s6_addr[12]))
		return false;
	*ret = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(&ret->s6_addr[12], &address->s6_addr[12], 4);
	return true;
}

/* ---- networks ---- */

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
	if (parse_zone(text, &cidr, err) < 0)
		return -EINVAL;
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

/* Without a look at where it may have come from. */
static bool has(const struct cidr *cidr, const struct in6_addr *address)
{
	bool wants_ipv4 = is_ipv4(&cidr->network) && cidr->bits >= IPV4_BITS;

	return is_ipv4(address) == wants_ipv4 && has_prefix(&cidr->network, address, cidr->bits);
}

bool cidr_contains(const struct cidr *cidr, const struct in6_addr *address)
{
	struct in6_addr plain = *address, translated;
	uint32_t zone = cidr_take_zone(&plain);

	if (has(cidr, &plain))
		return is_in_zone(cidr, zone);
	return cidr_is_translated(&plain, &translated) && has(cidr, &translated);
}

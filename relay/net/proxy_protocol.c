// SPDX-License-Identifier: MIT
/*
 * The PROXY protocol.
 *
 * Stateless: a header is so short that it is looked at from its start each time, and one of version
 * 2 only once it is whole.
 */
#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#define V1_BYTES      107 /* with CR LF */
#define V2_HEAD_BYTES 16

static const char v1_signature[] = "PROXY ";
static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
					 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static enum proxy_parse fail(struct proxy_header *ret, const char *reason)
{
	*ret = (struct proxy_header){.reason = reason};
	return PROXY_PARSE_ERROR;
}

static void set_source(struct proxy_header *ret, const void *address, size_t bytes)
{
	memcpy(&ret->source, address, bytes);
	ret->source_bytes = (socklen_t)bytes;
}

static void set_source_ipv4(struct proxy_header *ret, struct in_addr address, in_port_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address, .sin_port = port};

	set_source(ret, &in, sizeof(in));
}

static void set_source_ipv6(struct proxy_header *ret, const struct in6_addr *address,
			    in_port_t port)
{
	struct sockaddr_in6 in = {
		.sin6_family = AF_INET6, .sin6_addr = *address, .sin6_port = port};

	set_source(ret, &in, sizeof(in));
}

/* --- version 1: PROXY TCP4 SOURCE DESTINATION SOURCE_PORT DESTINATION_PORT CR LF --- */

/* The next word, terminated.  False when there is none, it is too long, or no blank or the end
 * follows. */
static bool next_word(const char **rest, const char *end, char word[INET6_ADDRSTRLEN])
{
	size_t length = 0;

	while (*rest + length < end && (*rest)[length] != ' ')
		length++;
	if (length == 0 || length >= INET6_ADDRSTRLEN)
		return false;
	memcpy(word, *rest, length);
	word[length] = '\0';
	*rest += length;
	if (*rest < end)
		(*rest)++;
	return true;
}

/* 0 to 65535 without leading zeros. */
static bool read_port(const char *word, in_port_t *ret)
{
	uint32_t port = 0;

	if (word[0] == '0' && word[1])
		return false;
	for (; *word; word++) {
		if (*word < '0' || *word > '9')
			return false;
		port = port * 10 + (uint32_t)(*word - '0');
		if (port > 65535)
			return false;
	}
	*ret = htons((uint16_t)port);
	return true;
}

/* What stands behind "TCP4 " or "TCP6 ". */
static bool read_v1_addresses(int family, const char *at, const char *end, struct proxy_header *ret)
{
	struct in6_addr source, destination; /* or an in_addr at their start */
	char words[4][INET6_ADDRSTRLEN];
	in_port_t source_port, destination_port;
	struct in_addr ipv4;

	for (size_t i = 0; i < 4; i++) {
		/* a blank at the end of the line is one too many */
		if (!next_word(&at, end, words[i]) || (i < 3 ? at == end : end[-1] == ' '))
			return false;
	}
	if (at != end || inet_pton(family, words[0], &source) != 1 ||
	    inet_pton(family, words[1], &destination) != 1 || !read_port(words[2], &source_port) ||
	    !read_port(words[3], &destination_port))
		return false;
	if (family == AF_INET6) {
		set_source_ipv6(ret, &source, source_port);
		return true;
	}
	memcpy(&ipv4, &source, sizeof(ipv4));
	set_source_ipv4(ret, ipv4, source_port);
	return true;
}

static bool starts_with(const char *line, size_t length, const char *start)
{
	return length >= strlen(start) && memcmp(line, start, strlen(start)) == 0;
}

/* The line without its CR LF. */
static enum proxy_parse read_v1_line(const char *line, size_t length, struct proxy_header *ret)
{
	const char *end = line + length;

	ret->header_bytes = length + 2;
	if (starts_with(line, length, "PROXY TCP4 ") &&
	    read_v1_addresses(AF_INET, line + 11, end, ret))
		return PROXY_PARSE_WHOLE;
	if (starts_with(line, length, "PROXY TCP6 ") &&
	    read_v1_addresses(AF_INET6, line + 11, end, ret))
		return PROXY_PARSE_WHOLE;
	/* what else stands in the line is to be ignored */
	if (starts_with(line, length, "PROXY UNKNOWN") && (length == 13 || line[13] == ' '))
		return PROXY_PARSE_WHOLE;
	return fail(ret, "a PROXY line that cannot be read");
}

static enum proxy_parse parse_v1(const char *line, size_t count, struct proxy_header *ret)
{
	for (size_t i = 0; i < size_min(count, V1_BYTES); i++) {
		if (line[i] == '\0')
			return fail(ret, "a zero byte in a PROXY line");
		if (line[i] == '\n' && line[i - 1] != '\r')
			return fail(ret, "a PROXY line ends in LF without CR");
		if (line[i] == '\n')
			return read_v1_line(line, i - 1, ret);
		if (i > 0 && line[i - 1] == '\r')
			return fail(ret, "a CR inside of a PROXY line");
	}
	if (count >= V1_BYTES)
		return fail(ret, "a PROXY line of more than 107 bytes");
	return PROXY_PARSE_MORE;
}

/* --- version 2 --- */

enum v2_command {
	V2_LOCAL = 0,
	V2_PROXY = 1,
};

/* Family and protocol, one byte, and how long their addresses are. */
enum v2_family {
	V2_UNSPEC = 0x00,
	V2_TCP4 = 0x11,
	V2_TCP6 = 0x21,
	V2_UNIX = 0x31,
};

#define V2_TYPE_CRC32C 3
#define V2_UNIX_BYTES  108

static unsigned get_u16(const uint8_t *at)
{
	return (unsigned)(at[0] << 8 | at[1]);
}

static size_t address_bytes(unsigned family)
{
	return family == V2_TCP4 ? 12 : family == V2_TCP6 ? 36 : 2 * V2_UNIX_BYTES;
}

/* CRC-32C (Castagnoli, RFC 9260, appendix A) of the header, its own four bytes taken as 0. */
static uint32_t checksum(const uint8_t *bytes, size_t count, size_t own_at)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < count; i++) {
		crc ^= i >= own_at && i < own_at + 4 ? 0 : bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return ~crc;
}

/* The extensions (type, length, value) from `at` on fill the rest of the header exactly. */
static const char *check_extensions(const uint8_t *bytes, size_t count, size_t at)
{
	while (at < count) {
		size_t length;

		if (count - at < 3 || get_u16(bytes + at + 1) > count - at - 3)
			return "an extension that does not end in the PROXY header";
		length = get_u16(bytes + at + 1);
		if (bytes[at] == V2_TYPE_CRC32C) {
			const uint8_t *value = bytes + at + 3;
			uint32_t told;

			if (length != 4)
				return "a checksum of the PROXY header that has not four bytes";
			told = (uint32_t)get_u16(value) << 16 | get_u16(value + 2);
			if (told != checksum(bytes, count, at + 3))
				return "a checksum of the PROXY header that is wrong";
		}
		at += 3 + length;
	}
	return NULL;
}

static void read_v2_source(unsigned family, const uint8_t *at, struct proxy_header *ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct in_addr ipv4;
	struct in6_addr ipv6;
	in_port_t port;

	if (family == V2_TCP4) {
		memcpy(&ipv4, at, sizeof(ipv4));
		memcpy(&port, at + 8, sizeof(port));
		set_source_ipv4(ret, ipv4, port);
	} else if (family == V2_TCP6) {
		memcpy(&ipv6, at, sizeof(ipv6));
		memcpy(&port, at + 32, sizeof(port));
		set_source_ipv6(ret, &ipv6, port);
	} else {
		memcpy(un.sun_path, at, V2_UNIX_BYTES);
		set_source(ret, &un, sizeof(un));
	}
}

/* The first 16 bytes, as far as they are there; NULL or what is wrong with them. */
static const char *check_v2_head(const uint8_t *bytes, size_t count)
{
	unsigned command = count > 12 ? bytes[12] & 0x0f : V2_LOCAL;
	unsigned family = count > 13 ? bytes[13] : V2_UNSPEC;

	if (count > 12 && bytes[12] >> 4 != 2)
		return "a PROXY header of another version than 2";
	if (command > V2_PROXY)
		return "a PROXY header with an unknown command";
	if (command == V2_PROXY && family != V2_UNSPEC && family != V2_TCP4 && family != V2_TCP6 &&
	    family != V2_UNIX)
		return "a PROXY header for another protocol than TCP or a unix stream";
	if (count < V2_HEAD_BYTES)
		return NULL;
	if (get_u16(bytes + 14) > PROXY_HEADER_BYTES - V2_HEAD_BYTES)
		return "a PROXY header of more than 536 bytes";
	if (command == V2_PROXY && family != V2_UNSPEC &&
	    get_u16(bytes + 14) < address_bytes(family))
		return "a PROXY header that is too short for its addresses";
	return NULL;
}

static enum proxy_parse parse_v2(const uint8_t *bytes, size_t count, struct proxy_header *ret)
{
	const char *wrong = check_v2_head(bytes, count);
	size_t header_bytes;
	unsigned family;

	if (wrong)
		return fail(ret, wrong);
	if (count < V2_HEAD_BYTES)
		return PROXY_PARSE_MORE;
	header_bytes = V2_HEAD_BYTES + get_u16(bytes + 14);
	if (count < header_bytes)
		return PROXY_PARSE_MORE;
	family = bytes[13];
	ret->header_bytes = header_bytes;
	ret->is_local = (bytes[12] & 0x0f) == V2_LOCAL;
	/* the rest of these is to be skipped whatever it is */
	if (ret->is_local || family == V2_UNSPEC)
		return PROXY_PARSE_WHOLE;
	wrong = check_extensions(bytes, header_bytes, V2_HEAD_BYTES + address_bytes(family));
	if (wrong)
		return fail(ret, wrong);
	read_v2_source(family, bytes + V2_HEAD_BYTES, ret);
	return PROXY_PARSE_WHOLE;
}

enum proxy_parse proxy_protocol_parse(const uint8_t *bytes, size_t count, struct proxy_header *ret)
{
	*ret = (struct proxy_header){.source.ss_family = AF_UNSPEC};
	if (memcmp(bytes, v1_signature, size_min(count, sizeof(v1_signature) - 1)) == 0)
		return parse_v1((const char *)bytes, count, ret);
	if (memcmp(bytes, v2_signature, size_min(count, sizeof(v2_signature))) == 0)
		return parse_v2(bytes, count, ret);
	return fail(ret, "not a PROXY header");
}

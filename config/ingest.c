// SPDX-License-Identifier: MIT
/*
 * The value of `ingest`. Its form is a word, and what the word needs: a list of addresses after
 * listen and connect, a path right behind fifo: and file:, an address right behind udp:, nothing
 * after stdin and http.
 */
#include "config/ingest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#include "config/address.h"

static const struct form {
	const char *word;
	enum config_ingest_kind kind;
	bool has_addresses;
	bool has_path;
} forms[] = {
	{"listen", CONFIG_INGEST_LISTEN, true, false},
	{"connect", CONFIG_INGEST_CONNECT, true, false},
	{"fifo:", CONFIG_INGEST_FIFO, false, true},
	{"file:", CONFIG_INGEST_FILE, false, true},
	{"udp:", CONFIG_INGEST_UDP, false, true},
	{"serial:", CONFIG_INGEST_SERIAL, false, true},
	{"tail:", CONFIG_INGEST_TAIL, false, true},
	{"nats:", CONFIG_INGEST_NATS, false, true},
	{"jetstream:", CONFIG_INGEST_JETSTREAM, false, true},
	{"stdin", CONFIG_INGEST_STDIN, false, false},
	{"http", CONFIG_INGEST_HTTP, false, false},
};

/* The form that text begins with, and *ret_rest behind it; NULL when it is none of them. */
static const struct form *find_form(const char *text, const char **ret_rest)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct form *form = &forms[i];
		size_t bytes = strlen(form->word);

		if (strncmp(text, form->word, bytes) != 0)
			continue;
		if (!form->has_path && text[bytes] && !strchr(" \t", text[bytes]))
			continue;
		*ret_rest = text + bytes + strspn(text + bytes, form->has_path ? "" : " \t");
		return form;
	}
	return NULL;
}

static int add_address(struct config_ingest *ingest, const char *text, size_t bytes)
{
	char **addresses;
	char *copy = strndup(text, bytes);

	if (!copy)
		return -ENOMEM;
	addresses = reallocarray(ingest->addresses, ingest->address_count + 1, sizeof(*addresses));
	if (!addresses) {
		free(copy);
		return -ENOMEM;
	}
	addresses[ingest->address_count++] = copy;
	ingest->addresses = addresses;
	return 0;
}

static int check_address(const struct config_ingest *ingest, const char *text, struct errmsg *e)
{
	struct config_address address;
	struct config_http_url url;
	int r = 0;

	if (ingest->kind == CONFIG_INGEST_CONNECT && config_is_http_url(text)) {
		r = config_http_url_parse(text, &url, e);
		text = url.address;
	}
	if (r == 0)
		r = config_address_parse(text, &address, e);
	if (r < 0 || ingest->kind == CONFIG_INGEST_LISTEN || address.kind == CONFIG_ADDRESS_UNIX)
		return r;
	if (address.kind == CONFIG_ADDRESS_SYSTEMD) {
		errmsg_set(e, "'%.80s' can be listened on, not connected to", text);
		return -EINVAL;
	}
	if (address.port == 0 || !address.host[0]) {
		errmsg_set(e, "'%.80s' names no host and port to connect to", text);
		return -EINVAL;
	}
	return 0;
}

/* What an ingest can hold. */
static int check_room(const struct config_ingest *ingest, const char *rest, struct errmsg *e)
{
	if (ingest->address_count <= CONFIG_INGEST_ADDRESSES && strlen(rest) < CONFIG_INGEST_BYTES)
		return 0;
	errmsg_set(e, "expected at most %d addresses, of %d bytes in all", CONFIG_INGEST_ADDRESSES,
		   CONFIG_INGEST_BYTES - 1);
	return -EINVAL;
}

/* rest: "ADDRESS[, ADDRESS...]" */
static int parse_addresses(struct config_ingest *ingest, const char *rest, struct errmsg *e)
{
	for (;;) {
		size_t part = strcspn(rest, ",");
		size_t bytes = part;
		int r;

		/* a path may have a comma in it, and unix: is never one of several */
		if (strncmp(rest, "unix:", 5) == 0 && ingest->address_count == 0)
			bytes = part = strlen(rest);
		while (bytes > 0 && strchr(" \t", rest[bytes - 1]))
			bytes--;
		r = add_address(ingest, rest, bytes);
		if (r == 0)
			r = check_room(ingest, rest, e);
		if (r == 0)
			r = check_address(ingest, ingest->addresses[ingest->address_count - 1], e);
		if (r < 0)
			return r;
		if (!rest[part])
			return 0;
		rest += part + 1;
		rest += strspn(rest, " \t");
		if (ingest->kind == CONFIG_INGEST_LISTEN) {
			errmsg_set(e, "listen takes one address");
			return -EINVAL;
		}
	}
}

/* ---- udp:[SENDER@]HOST[%INTERFACE]:PORT ---- */

static bool is_number(const char *host, bool is_ipv6)
{
	struct in6_addr ignored;

	return inet_pton(is_ipv6 ? AF_INET6 : AF_INET, host, &ignored) == 1;
}

static bool is_group(const char *host, bool is_ipv6)
{
	struct in6_addr address = {0};
	struct in_addr ipv4 = {0};

	if (is_ipv6)
		return inet_pton(AF_INET6, host, &address) == 1 && IN6_IS_ADDR_MULTICAST(&address);
	return inet_pton(AF_INET, host, &ipv4) == 1 && IN_MULTICAST(ntohl(ipv4.s_addr));
}

static int check_udp(const char *host, const char *port, const char *interface, const char *sender,
		     bool is_ipv6, struct errmsg *e)
{
	uint64_t number;

	if (*host && !is_number(host, is_ipv6))
		errmsg_set(e, "'%.80s' is no address in numbers", host);
	else if (num_parse_count(port, &number) < 0 || number == 0 || number > 65535)
		errmsg_set(e, "'%.80s' is no port from 1 to 65535", port);
	else if (strlen(interface) >= IF_NAMESIZE)
		errmsg_set(e, "'%.80s' is no name of an interface", interface);
	else if (*interface && !is_ipv6 && !is_group(host, is_ipv6))
		errmsg_set(e, "an interface is for multicast groups and IPv6");
	else if (*sender && !is_group(host, is_ipv6))
		errmsg_set(e, "a sender is for multicast groups only; publisher_allow is for all");
	else if (*sender && !is_number(sender, is_ipv6))
		errmsg_set(e, "'%.80s' is no sender's address of the group's family", sender);
	else
		return 0;
	return -EINVAL;
}

/* Cuts `text` at the last `mark`.  Returns what stands behind it, "" if there is none. */
static char *cut(char *text, char mark)
{
	char *at = strrchr(text, mark);

	if (!at)
		return text + strlen(text);
	*at = '\0';
	return at + 1;
}

static int parse_udp(struct config_ingest *ingest, const char *rest, struct errmsg *e)
{
	char text[256], *host = text, *port, *interface;
	const char *sender = "";
	bool is_ipv6;
	int r;

	if (strlen(rest) >= sizeof(text))
		return -EINVAL;
	memcpy(text, rest, strlen(rest) + 1);
	port = cut(text, ':');
	if (strrchr(text, '@')) {
		host = cut(text, '@');
		sender = text;
	}
	is_ipv6 = *host == '[' && host[strlen(host) - 1] == ']';
	if (is_ipv6)
		cut(++host, ']');
	interface = cut(host, '%');
	if (strcmp(host, "*") == 0)
		*host = '\0';
	r = check_udp(host, port, interface, sender, is_ipv6, e);
	for (size_t i = 0; r == 0 && i < 4; i++) {
		const char *const parts[] = {[CONFIG_UDP_HOST] = host,
					     [CONFIG_UDP_PORT] = port,
					     [CONFIG_UDP_INTERFACE] = interface,
					     [CONFIG_UDP_SENDER] = sender};

		r = add_address(ingest, parts[i], strlen(parts[i]));
	}
	return r;
}

/* ---- nats:SUBJECT, jetstream:STREAM ---- */

/* As the servers have it: a stream is one word, a subject may be several, between dots. */
static int parse_nats(struct config_ingest *ingest, const char *rest, struct errmsg *e)
{
	bool is_stream = ingest->kind == CONFIG_INGEST_JETSTREAM;
	size_t wrong = strcspn(rest, is_stream ? CONFIG_NATS_NOT_IN_STREAM : " \t");

	if (rest[wrong]) {
		errmsg_set(e, "'%.80s' is no %s: it has a '%c' in it", rest,
			   is_stream ? "name of a stream" : "subject", rest[wrong]);
		return -EINVAL;
	}
	if (strlen(rest) > CONFIG_NATS_NAME_BYTES) {
		errmsg_set(e, "'%.80s' is longer than %d bytes", rest, CONFIG_NATS_NAME_BYTES);
		return -EINVAL;
	}
	return add_address(ingest, rest, strlen(rest));
}

static int parse_rest(struct config_ingest *ingest, const struct form *form, const char *rest,
		      struct errmsg *e)
{
	if (form->has_addresses && *rest)
		return parse_addresses(ingest, rest, e);
	if (form->kind == CONFIG_INGEST_UDP && *rest)
		return parse_udp(ingest, rest, e);
	if ((form->kind == CONFIG_INGEST_NATS || form->kind == CONFIG_INGEST_JETSTREAM) && *rest)
		return parse_nats(ingest, rest, e);
	if (form->has_path && *rest)
		return add_address(ingest, rest, strlen(rest));
	if (!form->has_addresses && !form->has_path && !*rest)
		return 0;
	errmsg_set(e,
		   form->has_path || form->has_addresses ? "nothing behind '%s'"
							 : "text behind '%s'",
		   form->word);
	return -EINVAL;
}

int config_ingest_parse(const char *text, struct config_ingest *ret, struct errmsg *e)
{
	struct config_ingest ingest = {0};
	const char *rest = NULL;
	const struct form *form = find_form(text, &rest);
	int r = -ENOMEM;

	if (!form)
		return -EINVAL;
	ingest.kind = form->kind;
	ingest.text = strdup(text);
	if (ingest.text)
		r = parse_rest(&ingest, form, rest, e);
	if (r < 0)
		config_ingest_free(&ingest);
	else
		*ret = ingest;
	return r;
}

bool config_ingest_has_url(const struct config_ingest *ingest)
{
	bool has_url = false;

	for (size_t i = 0; ingest->kind == CONFIG_INGEST_CONNECT && i < ingest->address_count; i++)
		has_url = has_url || config_is_http_url(ingest->addresses[i]);
	return has_url;
}

bool config_ingest_has_caster(const struct config_ingest *ingest)
{
	bool has_caster = false;

	for (size_t i = 0; ingest->kind == CONFIG_INGEST_CONNECT && i < ingest->address_count; i++)
		has_caster = has_caster || strncasecmp(ingest->addresses[i], "ntrip://", 8) == 0;
	return has_caster;
}

void config_ingest_free(struct config_ingest *ingest)
{
	for (size_t i = 0; i < ingest->address_count; i++)
		free(ingest->addresses[i]);
	free(ingest->addresses);
	free(ingest->text);
	*ingest = (struct config_ingest){0};
}

int config_serial_mode_parse(const char *text, struct config_serial_mode *ret)
{
	size_t digits = strcspn(text, " ");
	char number[8] = "";
	const char *form;
	uint64_t speed;

	if (digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	form = text + digits + strspn(text + digits, " ");
	if (num_parse_count(number, &speed) < 0 || strlen(form) != 3 || !strchr("NEO", form[1]))
		return -EINVAL;
	if (speed < 50 || speed > 4000000 || form[0] < '5' || form[0] > '8' || form[2] < '1' ||
	    form[2] > '2')
		return -ERANGE;
	*ret = (struct config_serial_mode){
		.speed = (uint32_t)speed,
		.data_bits = (unsigned)(form[0] - '0'),
		.parity = form[1],
		.stop_bits = (unsigned)(form[2] - '0'),
	};
	return 0;
}

void config_serial_mode_print(char *buf, size_t size, const struct config_serial_mode *mode)
{
	snprintf(buf, size, "%u %u%c%u", mode->speed, mode->data_bits, mode->parity,
		 mode->stop_bits);
}

/* ---- a position: decimal numbers between commas ---- */

enum {
	DEGREE_DIGITS = 7, /* behind the point; what follows is passed over */
	DEGREE_UNITS = 10000000,
	ALTITUDE_DIGITS = 2,
	ALTITUDE_UNITS = 100,
	ALTITUDE_MAX = 20000, /* metres */
};

/* Reads one, in units of 10^-digits, and the blanks around it; *text stands behind it then. */
static int parse_decimal(const char **text, int digits, int64_t max, int32_t *ret)
{
	const char *at = *text + strspn(*text, " \t");
	bool is_negative = *at == '-';
	int64_t value = 0;
	int left = digits;

	at += *at == '-' || *at == '+';
	if (*at < '0' || *at > '9')
		return -EINVAL;
	for (; *at >= '0' && *at <= '9' && value <= max; at++)
		value = value * 10 + (*at - '0');
	if (*at == '.')
		at++;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (left > 0 && left-- && value <= max)
			value = value * 10 + (*at - '0');
	}
	for (; left > 0 && value <= max; left--)
		value *= 10;
	if (value > max)
		return -ERANGE;
	*ret = (int32_t)(is_negative ? -value : value);
	*text = at + strspn(at, " \t");
	return 0;
}

static int parse_next(const char **text, int digits, int64_t max, int32_t *ret)
{
	if (**text != ',')
		return -EINVAL;
	*text += 1;
	return parse_decimal(text, digits, max, ret);
}

int config_position_parse(const char *text, struct config_position *ret)
{
	struct config_position position = {.is_known = strcmp(text, "none") != 0};
	int r;

	if (!position.is_known) {
		*ret = position;
		return 0;
	}
	r = parse_decimal(&text, DEGREE_DIGITS, INT64_C(90) * DEGREE_UNITS, &position.latitude_e7);
	if (r == 0)
		r = parse_next(&text, DEGREE_DIGITS, INT64_C(180) * DEGREE_UNITS,
			       &position.longitude_e7);
	if (r == 0 && *text)
		r = parse_next(&text, ALTITUDE_DIGITS, ALTITUDE_MAX * ALTITUDE_UNITS,
			       &position.altitude_cm);
	if (r == 0 && *text)
		r = -EINVAL;
	if (r == 0)
		*ret = position;
	return r;
}

static const char *sign_of(int32_t value)
{
	return value < 0 ? "-" : "";
}

void config_position_print(char *buf, size_t size, const struct config_position *position)
{
	long latitude = labs(position->latitude_e7), longitude = labs(position->longitude_e7);
	long altitude = labs(position->altitude_cm);

	if (!position->is_known)
		snprintf(buf, size, "none");
	else
		snprintf(buf, size, "%s%ld.%07ld, %s%ld.%07ld, %s%ld.%02ld",
			 sign_of(position->latitude_e7), latitude / DEGREE_UNITS,
			 latitude % DEGREE_UNITS, sign_of(position->longitude_e7),
			 longitude / DEGREE_UNITS, longitude % DEGREE_UNITS,
			 sign_of(position->altitude_cm), altitude / ALTITUDE_UNITS,
			 altitude % ALTITUDE_UNITS);
}

/* ---- framing: a word, fixed:N, or relay: and one of these ---- */

#define FIXED_BYTES_MAX (UINT64_C(64) << 20)

static int parse_fixed(const char *text, struct config_framing_choice *ret)
{
	uint64_t bytes;

	if (num_parse_bytes(text, &bytes) < 0)
		return -EINVAL;
	if (bytes == 0 || bytes > FIXED_BYTES_MAX)
		return -ERANGE;
	ret->kind = FRAMING_FIXED;
	ret->fixed_bytes = (uint32_t)bytes;
	return 0;
}

static int parse_kind(const char *text, struct config_framing_choice *ret)
{
	if (strncmp(text, "fixed:", 6) == 0)
		return parse_fixed(text + 6, ret);
	for (unsigned kind = 0; kind < FRAMING_COUNT; kind++) {
		if (strcmp(text, framing_row((enum framing_kind)kind)->word) != 0)
			continue;
		ret->kind = (enum framing_kind)kind;
		ret->fixed_bytes = kind == FRAMING_TS ? TS_PACKET_BYTES : 0;
		return 0;
	}
	return -EINVAL;
}

int config_framing_parse(const char *text, struct config_framing_choice *ret)
{
	struct config_framing_choice framing = {.is_relayed = strncmp(text, "relay:", 6) == 0};
	int r = parse_kind(text + (framing.is_relayed ? 6 : 0), &framing);

	if (r == 0 && framing.is_relayed && !framing_row(framing.kind)->has_messages)
		r = -EINVAL;
	if (r == 0)
		*ret = framing;
	return r;
}

void config_framing_print(char *buf, size_t size, const struct config_framing_choice *framing)
{
	const char *relay = framing->is_relayed ? "relay:" : "";

	if (framing->kind == FRAMING_FIXED)
		snprintf(buf, size, "%sfixed:%u", relay, framing->fixed_bytes);
	else
		snprintf(buf, size, "%s%s", relay, framing_row(framing->kind)->word);
}

// SPDX-License-Identifier: MIT
/*
 * The form of addresses: tcp:HOST:PORT, tcp:[V6]:PORT, tcp:*:PORT, unix:PATH, and systemd:NAME for
 * a socket that the service manager passes under this name.
 *
 * Only the form is known here, and when two of them cannot both be listened on. Looking names up,
 * and binding, is left to net/endpoint, which reads the same form.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"

#define CONFIG_ADDRESS_EXPECTED "tcp:HOST:PORT, tcp:[IPV6]:PORT, unix:PATH or systemd:NAME"

enum config_address_kind {
	CONFIG_ADDRESS_TCP,
	CONFIG_ADDRESS_UNIX,
	CONFIG_ADDRESS_SYSTEMD,
};

struct config_address {
	enum config_address_kind kind;
	char host[256]; /* tcp: without brackets, numbers in their usual form; "" is any address;
			   systemd: the name */
	uint16_t port;
	bool is_ipv6_only; /* rw: tcp, of [::], which takes IPv4 too unless this is set */
	char path[108];    /* unix */
};

/* Returns 0 or -EINVAL, with what is wrong in *e. */
int config_address_parse(const char *text, struct config_address *ret, struct errmsg *e) must_check;

/* Is the host an IPv4 address, written in numbers? */
bool config_address_is_ipv4(const struct config_address *address);

/* Is it certain that only one of the two can be listened on? Names are not looked up, and port 0
 * never clashes. */
bool config_address_clashes(const struct config_address *a, const struct config_address *b);

/* Puts a * in the place of users, passwords and tokens in the addresses of a text.  relay takes
 * none, but who writes one should not find it in the log.  The text does not grow. */
void config_address_mask_users(char *text);

/* ---- the URL of a stream that relay asks for: http://HOST[:PORT]/PATH[?QUERY], or ntrip:// for a
 * caster of GNSS corrections.  No user, password or token is in one: they would be seen in logs
 * and pages. ---- */

enum {
	CONFIG_URL_BYTES = 1024, /* of a whole URL, with its zero byte */
};

struct config_http_url {
	char address[CONFIG_URL_BYTES]; /* tcp:HOST:PORT, also where the URL has no port */
};

/* Does it begin as a URL?  Also as one that relay cannot ask for. */
bool config_is_http_url(const char *text);

/* 0, or -EINVAL with what is wrong in *e. */
int config_http_url_parse(const char *text, struct config_http_url *ret,
			  struct errmsg *e) must_check;

// SPDX-License-Identifier: MIT
/*
 * By which names a server may be asked (the Host field, RFC 9110, 7.2).
 *
 * A web page can make a name of its own lead to any address (DNS rebinding).  Its requests then
 * look like those of relay's own pages, but for this name.  It can also have a picture or a sound
 * fetched from any address, without an Origin; what the browser then says of itself are the fields
 * Sec-Fetch-* (Fetch Metadata).  Pure texts.
 */
#pragma once

#include "base/compiler.h"
#include "http/http_fields.h"
#include "http/http_text.h"

/* The host without its port. */
struct http_text http_host_name(struct http_text host);

/* host: HOST or HOST:PORT.  True for an address, localhost, and what is in `names`, separated by
 * commas without blanks; and for none at all, for HTTP/1.0 may have none, and browsers always send
 * one. */
bool http_host_is_known(struct http_text host, const char *names) must_check;

/* True for this machine as its own programs call it: 127.0.0.0/8, [::1], localhost. */
bool http_host_is_loopback(struct http_text host) must_check;

/* Does a browser ask on behalf of a page of another site, and not because its user follows a link?
 * Programs and old browsers do not say. */
bool http_host_is_cross_site(const struct http_fields *fields) must_check;

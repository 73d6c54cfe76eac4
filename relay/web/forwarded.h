// SPDX-License-Identifier: MIT
/*
 * Who sent a request, as proxies tell it in its fields.
 *
 *	X-Forwarded-For: CLIENT, PROXY, PROXY
 *	Forwarded: for=CLIENT;proto=https, for="[2001:db8::7]:4711"      (RFC 7239)
 *
 * Each proxy adds at the end who sent the request to it.  A client can write what it likes before
 * that.  So the last address that is not one of a trusted proxy is the client's.
 *
 * Pure.
 */
#pragma once

#include "base/compiler.h"
#include "http/http_fields.h"
#include "net/access.h"
#include "net/endpoint.h"

/* Is the peer of the connection one of the proxies? */
bool forwarded_is_trusted(const struct access *trusted, const struct endpoint_address *peer);

/* *peer: of the connection, a trusted proxy.  Becomes what the fields say; without them, or where
 * they do not say it by an address, it is the last proxy that is known.  Returns NULL, or what is
 * wrong, as a static text: then *peer has not changed.  Two fields that say different things are
 * wrong, for a proxy may write the one and pass on the other. */
const char *forwarded_find_peer(const struct http_fields *fields, const struct access *trusted,
				struct endpoint_address *peer) must_check;

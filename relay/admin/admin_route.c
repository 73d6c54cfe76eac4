// SPDX-License-Identifier: MIT
/*
 * The table of what can be asked, and the guards that stand before it.
 *
 * A page of another site may send requests here from an operator's browser.  It can never read an
 * answer, since no answer allows it to (no CORS); a name that it has made to lead here (DNS
 * rebinding) is refused by the Host field; and commands are taken only from a unix socket, which a
 * browser does not reach, and never with an Origin field.
 */
#include "admin/admin_route.h"

#include <arpa/inet.h>
#include <string.h>

#include "admin/admin_act.h"
#include "admin/admin_answer.h"
#include "admin/admin_limits.h"
#include "admin/admin_metrics.h"
#include "admin/admin_status.h"
#include "base/clock.h"

struct route {
	const char *path;
	enum http_method method;
	void (*answer)(const struct admin_request *request);
};

static void get_page(const struct admin_request *request)
{
	const struct admin_page *page = &request->admin->page;

	admin_answer_page(request, page->policy, page->text, page->bytes);
}

static const struct route routes[] = {
	{"/", HTTP_GET, get_page},
	{"/status.json", HTTP_GET, admin_get_status},
	{"/subscribers.json", HTTP_GET, admin_get_subscribers},
	{"/metrics", HTTP_GET, admin_get_metrics},
	{"/healthz", HTTP_GET, admin_get_healthz},
	{"/readyz", HTTP_GET, admin_get_readyz},
	{"/config", HTTP_GET, admin_get_config},
	{"/limits.json", HTTP_GET, admin_get_limits},
	{"/reload", HTTP_POST, admin_post_reload},
	{"/drain", HTTP_POST, admin_post_drain},
	{"/kick", HTTP_POST, admin_post_kick},
	{"/log-level", HTTP_POST, admin_post_log_level},
	{"/upgrade", HTTP_POST, admin_post_upgrade},
};

/* ---- guards ---- */

static bool is_number_address(struct http_text host)
{
	char text[INET6_ADDRSTRLEN + 2];
	struct in6_addr ignored;
	size_t skip = host.length > 2 && host.at[0] == '[' ? 1 : 0;

	if (host.length >= sizeof(text))
		return false;
	memcpy(text, host.at, host.length);
	text[host.length - skip] = '\0';
	return inet_pton(skip ? AF_INET6 : AF_INET, text + skip, &ignored) == 1;
}

static bool is_listed(struct http_text host, const char *names)
{
	while (names && *names) {
		size_t bytes = strcspn(names, ",");

		if (bytes == host.length && strncasecmp(names, host.at, bytes) == 0)
			return true;
		names += bytes + (names[bytes] == ',');
	}
	return false;
}

/* host: with or without a port; HTTP/1.0 may have none, which no browser speaks. */
static bool is_own_host(const struct admin *admin, struct http_text host)
{
	size_t end = host.length;

	while (end && http_is_digit(host.at[end - 1]))
		end--;
	if (end && host.at[end - 1] == ':')
		host.length = end - 1;
	return host.length == 0 || is_number_address(host) ||
	       http_text_equals_any_case(host, "localhost") || is_listed(host, admin->hosts);
}

/* ---- the way to an answer ---- */

static const struct route *find_route(const char *path, enum http_method method, bool *ret_exists)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (strcmp(routes[i].path, path) != 0)
			continue;
		*ret_exists = true;
		if (routes[i].method == (method == HTTP_HEAD ? HTTP_GET : method))
			return &routes[i];
	}
	return NULL;
}

static void answer(const struct admin_request *request)
{
	const struct route *route = NULL;
	bool exists = false;
	char path[64];

	if (http_target_path(&request->http->target, path, sizeof(path)) >= 0)
		route = find_route(path, request->http->method, &exists);
	if (route)
		route->answer(request);
	else if (exists && request->door == ADMIN_TCP)
		admin_answer_error(request, 405, "commands are taken on the unix socket only");
	else if (exists)
		admin_answer_error(request, 405, "not with this method");
	else
		admin_answer_error(request, 404, "there is nothing of this name");
}

static bool is_over_rate(struct admin *admin)
{
	uint64_t now_ns = clock_mono_ns();

	if (!token_bucket_try_take(&admin->rate, now_ns, 1))
		return true;
	return false;
}

void admin_route_tcp(void *owner, struct http_connection *connection,
		     const struct http_request *request, const uint8_t *body, size_t body_bytes)
{
	struct admin_request here = {owner, connection, request, ADMIN_TCP};

	(void)body;
	(void)body_bytes;
	if (is_over_rate(here.admin))
		admin_answer_error(&here, 429, "too many requests; once a second is enough");
	else if (!is_own_host(here.admin, request->host))
		admin_answer_error(&here, 403,
				   "this name is not known; expected an address, localhost, or one "
				   "of hosts in [admin]");
	else
		answer(&here);
}

void admin_route_unix(void *owner, struct http_connection *connection,
		      const struct http_request *request, const uint8_t *body, size_t body_bytes)
{
	struct admin_request here = {owner, connection, request, ADMIN_UNIX};

	(void)body;
	(void)body_bytes;
	if (http_fields_count(&request->fields, "Origin"))
		admin_answer_error(&here, 403, "a web page has no business here");
	else
		answer(&here);
}

void admin_route_error(void *owner, struct http_connection *connection, int status,
		       const char *reason)
{
	struct admin *admin = owner;
	/* Which door it was matters for Allow only, and a method that the unix socket has is never
	 * an error there. */
	struct admin_request here = {admin, connection, NULL, ADMIN_TCP};

	admin_answer_error(&here, status, "%s", reason);
}

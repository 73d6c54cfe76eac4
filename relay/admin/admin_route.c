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

#include <string.h>

#include "admin/admin_act.h"
#include "admin/admin_answer.h"
#include "admin/admin_limits.h"
#include "admin/admin_metrics.h"
#include "admin/admin_status.h"
#include "base/clock.h"
#include "http/http_host.h"

struct route {
	const char *path;
	enum http_method method;
	void (*answer)(const struct admin_request *request);
	/* A probe: it gives nothing away, asks by names of its own, and has no rate. */
	bool for_any_host;
};

static void get_page(const struct admin_request *request)
{
	const struct admin_page *page = &request->admin->page;

	admin_answer_page(request, page->policy, page->text, page->bytes);
}

static const struct route routes[] = {
	{"/", HTTP_GET, get_page, false},
	{"/status.json", HTTP_GET, admin_get_status, false},
	{"/subscribers.json", HTTP_GET, admin_get_subscribers, false},
	{"/metrics", HTTP_GET, admin_get_metrics, false},
	{"/healthz", HTTP_GET, admin_get_healthz, true},
	{"/readyz", HTTP_GET, admin_get_readyz, true},
	{"/config", HTTP_GET, admin_get_config, false},
	{"/limits.json", HTTP_GET, admin_get_limits, false},
	{"/reload", HTTP_POST, admin_post_reload, false},
	{"/drain", HTTP_POST, admin_post_drain, false},
	{"/drain-slowly", HTTP_POST, admin_post_drain_slowly, false},
	{"/drain-cancel", HTTP_POST, admin_post_drain_cancel, false},
	{"/kick", HTTP_POST, admin_post_kick, false},
	{"/title", HTTP_POST, admin_post_title, false},
	{"/log-level", HTTP_POST, admin_post_log_level, false},
	{"/upgrade", HTTP_POST, admin_post_upgrade, false},
	{"/upgrade.json", HTTP_GET, admin_get_upgrade, false},
};

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

static bool is_for_host(const struct admin_request *request, const struct route *route)
{
	const char *names = request->admin->hosts;

	return request->door == ADMIN_UNIX || (route && route->for_any_host) ||
	       http_host_is_known(request->http->host, names ? names : "");
}

/* Probes are free: they cost nothing, and a load balancer must not be told nonsense. */
static bool is_over_rate(const struct admin_request *request, const struct route *route)
{
	struct in6_addr address;

	return request->door == ADMIN_TCP && !route->for_any_host &&
	       endpoint_address_ip(http_connection_peer(request->connection), &address) == 0 &&
	       !peer_rate_try_take(&request->admin->rate, &address, clock_mono_ns());
}

static void answer(const struct admin_request *request)
{
	const struct route *route = NULL;
	bool exists = false;
	char path[64];

	if (http_target_path(&request->http->target, path, sizeof(path)) >= 0)
		route = find_route(path, request->http->method, &exists);
	if (!is_for_host(request, route))
		admin_answer_error(request, 403,
				   "this name is not known; expected an address, localhost, or one "
				   "of hosts in [admin]");
	else if (route && !route->for_any_host && http_host_is_cross_site(&request->http->fields))
		admin_answer_error(request, 403, "a page of another site has no business here");
	else if (route && is_over_rate(request, route))
		admin_answer_error(request, 429, "too many requests; once a second is enough");
	else if (route)
		route->answer(request);
	else if (exists && request->door == ADMIN_TCP)
		admin_answer_error(request, 405, "commands are taken on the unix socket only");
	else if (exists)
		admin_answer_error(request, 405, "not with this method");
	else
		admin_answer_error(request, 404, "there is nothing of this name");
}

void admin_route_tcp(void *owner, struct http_connection *connection,
		     const struct http_request *request, const uint8_t *body, size_t body_bytes)
{
	struct admin_request here = {owner, connection, request, ADMIN_TCP};

	(void)body;
	(void)body_bytes;
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

// SPDX-License-Identifier: MIT
/* The doors of the admin server, and who may come in; what is answered is admin_route.c's. */
#include "admin/admin_door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_agent.h"
#include "admin/admin_route.h"
#include "base/clock.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"
#include "serve/params.h"
#include "serve/service.h"
#include "source/listener_log.h"

enum {
	DEADLINE_MS = 10000,
	CONNECTIONS_MAX = 64, /* at each door */
	REQUESTS_PER_S = 100, /* of an address at ADMIN_TCP; a page asks once a second */
};

static const char *const door_names[ADMIN_DOORS] = {
	[ADMIN_TCP] = "listen",
	[ADMIN_UNIX] = "socket",
	[ADMIN_AGENT] = "agent",
};

void admin_init(struct admin *admin, struct service *service, const struct admin_actions *actions,
		void *owner)
{
	struct http_server_params params = {
		.methods = HTTP_GET | HTTP_HEAD,
		.deadline_ms = DEADLINE_MS,
		.max_connections = CONNECTIONS_MAX,
		.on_request = admin_route_tcp,
		.on_error = admin_route_error,
		.owner = admin,
	};

	*admin = (struct admin){.service = service, .actions = actions, .owner = owner};
	peer_rate_init(&admin->rate, REQUESTS_PER_S);
	http_server_init(&admin->servers[ADMIN_TCP], service->loop, &params);
	params.methods |= HTTP_POST;
	params.on_request = admin_route_unix;
	http_server_init(&admin->servers[ADMIN_UNIX], service->loop, &params);
}

/* ---- doors ---- */

static bool may_come_in(struct admin *admin, const struct endpoint_address *peer)
{
	char text[ENDPOINT_TEXT_BYTES];
	struct in6_addr address;
	uint64_t suppressed;

	if (endpoint_address_ip(peer, &address) == 0 && access_is_allowed(&admin->access, &address))
		return true;
	if (log_allow(&admin->denied_log, clock_mono_ns(), &suppressed)) {
		endpoint_print_address(text, sizeof(text), peer);
		log_warn("admin refused peer=%s, not in allow suppressed=%llu", text,
			 (unsigned long long)suppressed);
	}
	return false;
}

void admin_tick(struct admin *admin)
{
	uint64_t now_ns = clock_mono_ns(), suppressed;

	if (log_sum_is_due(&admin->denied_log, now_ns, &suppressed))
		log_warn("admin refused, more of them suppressed=%llu",
			 (unsigned long long)suppressed);
	for (int kind = 0; kind < ADMIN_DOORS; kind++) {
		if (admin->doors[kind])
			listener_log_sums(&admin->doors[kind]->listener, now_ns);
	}
}

static void on_accept(void *owner, int fd, const struct endpoint_address *peer)
{
	struct admin_door *door = owner;

	if (door->kind != ADMIN_UNIX && !may_come_in(door->admin, peer)) {
		sockopt_set_reset_on_close(fd);
		peer_socket_close(&fd);
		return;
	}
	if (door->kind == ADMIN_AGENT) {
		admin_agent_answer(door->admin->service, fd);
		return;
	}
	http_server_adopt(&door->admin->servers[door->kind], fd, peer);
}

static const struct listener_events listener_events = {
	.on_accept = on_accept,
	.on_error = listener_log_error,
	.on_paced = listener_log_paced,
};

static void free_door(struct admin_door **door)
{
	if (!*door)
		return;
	listener_close(&(*door)->listener);
	free((*door)->address);
	free(*door);
	*door = NULL;
}

/* What systemd passes under a name is known only now; commands are not to be had over tcp. */
static int check_kind(const struct admin_door *door, struct errmsg *err)
{
	const char *scheme = door->kind == ADMIN_UNIX ? "unix:" : "tcp:";

	if (strncmp(listener_address(&door->listener), scheme, strlen(scheme)) == 0)
		return 0;
	errmsg_set(err, "%s = %s is %s; expected a socket at %s...", door_names[door->kind],
		   door->address, listener_address(&door->listener), scheme);
	return -EINVAL;
}

static int open_door(struct admin *admin, enum admin_door_kind kind, const char *address,
		     const struct endpoint *endpoint, const struct own_sockets *own,
		     struct admin_door **ret, struct errmsg *err)
{
	struct admin_door *door = calloc(1, sizeof(*door));
	struct listen_sockets sockets = {.count = 0};
	struct errmsg why = {0};
	int r = -ENOMEM;

	if (!door) {
		errmsg_set(err, "admin: out of memory");
		return r;
	}
	door->admin = admin;
	door->kind = kind;
	listener_init(&door->listener, admin->service->loop, &listener_events, door);
	door->address = strdup(address);
	if (door->address)
		r = listen_sockets_open(endpoint, SOMAXCONN, own, &sockets, &why);
	if (r == 0) {
		listener_open(&door->listener, endpoint, &sockets);
		r = check_kind(door, &why);
	}
	if (r < 0) {
		errmsg_set(err, "admin: %s", r == -ENOMEM ? "out of memory" : why.text);
		free_door(&door);
		return r;
	}
	listener_log_open("admin", door_names[kind], &door->listener);
	*ret = door;
	return 0;
}

/* Where `auto` is: at the socket that relay-admin.socket passes, or in the runtime directory.
 * systemd.exec(5), RuntimeDirectory=: $RUNTIME_DIRECTORY has one directory, or several behind one
 * another. */
static void auto_address(const struct admin *admin, const struct config *config, char *buf,
			 size_t size)
{
	const char *directory = getenv("RUNTIME_DIRECTORY");

	if (passed_fds_is_for_auto(&admin->service->passed, config))
		snprintf(buf, size, "systemd:" PASSED_FDS_ADMIN);
	else if (directory && directory[0] == '/')
		snprintf(buf, size, "unix:%.*s/admin.sock", (int)strcspn(directory, ":"),
			 directory);
}

/* Writes where the door is to be into `buf`, "" for nowhere.  Without [admin] there is the socket
 * alone, so that relayctl works under a service manager whatever the file says. */
static void wanted_address(const struct admin *admin, const struct config *config,
			   enum admin_door_kind kind, char *buf, size_t size)
{
	const char *const texts[ADMIN_DOORS] = {
		[ADMIN_TCP] = config->admin.listen,
		[ADMIN_UNIX] = config->admin.socket,
		[ADMIN_AGENT] = config->admin.agent,
	};
	const char *text = texts[kind];

	buf[0] = '\0';
	if ((kind != ADMIN_UNIX && !config_has_admin(config)) || strcmp(text, "none") == 0)
		return;
	if (strcmp(text, "auto") == 0)
		auto_address(admin, config, buf, size);
	else
		snprintf(buf, size, "%s", text);
}

static int open_wanted(struct admin *admin, const struct config *config, enum admin_door_kind kind,
		       const struct own_sockets *own, struct admin_door **ret,
		       struct endpoint *endpoint, struct errmsg *err)
{
	char address[CONFIG_LINE_BYTES];
	struct errmsg why;
	int r;

	wanted_address(admin, config, kind, address, sizeof(address));
	if (!address[0])
		return 0;
	r = admin_page_init(&admin->page);
	if (r < 0)
		return r;
	r = params_of_admin_address(config, address, &admin->service->passed, endpoint, &why);
	if (r < 0) {
		errmsg_set(err, "admin: %s", why.text);
		return r;
	}
	if (admin->doors[kind] && listener_is_at(&admin->doors[kind]->listener, endpoint))
		return 0;
	return open_door(admin, kind, address, endpoint, own, ret, err);
}

int admin_open_new(struct admin *admin, const struct config *config, const struct own_sockets *own,
		   struct admin_change *ret, struct errmsg *err)
{
	struct endpoint endpoint = {.passed_fd = -1};
	struct errmsg why = {0};
	int r = 0;

	/* Behind one that fails the other is opened too, for who can do without the first. */
	for (int kind = 0; kind < ADMIN_DOORS; kind++) {
		int result = open_wanted(admin, config, (enum admin_door_kind)kind, own,
					 &ret->made[kind], &endpoint, &why);

		if (result == 0 || r < 0)
			continue;
		r = result;
		ret->failed = (enum admin_door_kind)kind;
		ret->endpoint = endpoint;
		*err = why;
	}
	/* A door that nobody asked for is not worth a relay that does not start. */
	if (r < 0 && r != -ENOMEM && !config_has_admin(config)) {
		log_warn("%s; relayctl cannot reach this relay", err->text);
		r = 0;
	}
	if (r < 0 && r == -ENOMEM)
		errmsg_set(err, "admin: out of memory");
	return r;
}

void admin_undo(struct admin_change *change)
{
	for (int kind = 0; kind < ADMIN_DOORS; kind++)
		free_door(&change->made[kind]);
}

static void take_guards(struct admin *admin, const struct config_admin *from)
{
	char *hosts = strdup(from->hosts);
	struct access access;
	struct errmsg err;

	if (!hosts || access_init(&access, from->allow, "", &err) < 0) {
		log_error("out of memory, who may come in to the admin server has not changed");
		free(hosts);
		return;
	}
	access_fini(&admin->access);
	free(admin->hosts);
	admin->access = access;
	admin->hosts = hosts;
}

void admin_apply(struct admin *admin, const struct config *config, struct admin_change *change)
{
	char address[CONFIG_LINE_BYTES];

	take_guards(admin, &config->admin);
	for (int kind = 0; kind < ADMIN_DOORS; kind++) {
		wanted_address(admin, config, kind, address, sizeof(address));
		if (address[0] && !change->made[kind])
			continue;
		free_door(&admin->doors[kind]);
		admin->doors[kind] = change->made[kind];
		change->made[kind] = NULL;
	}
}

void admin_fini(struct admin *admin)
{
	for (int kind = 0; kind < ADMIN_DOORS; kind++)
		free_door(&admin->doors[kind]);
	for (int kind = 0; kind < ADMIN_SERVERS; kind++)
		http_server_fini(&admin->servers[kind]);
	access_fini(&admin->access);
	free(admin->hosts);
	admin->hosts = NULL;
	admin_page_fini(&admin->page);
}

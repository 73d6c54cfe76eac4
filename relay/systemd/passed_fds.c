// SPDX-License-Identifier: MIT
/* sd_listen_fds_with_names(3) and a search by name.  Two sockets of one name are refused, because a
 * listener has one socket: which of them was meant cannot be known. */
#include "systemd/passed_fds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "base/fd.h"
#include "base/log.h"

void passed_fds_collect(struct passed_fds *passed)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);

	*passed = (struct passed_fds){0};
	if (count == 0)
		return;
	if (count > 0)
		passed->list = calloc((size_t)count, sizeof(*passed->list));
	if (!passed->list) {
		log_error("descriptors from the service manager cannot be taken error=%s",
			  strerror(count < 0 ? -count : ENOMEM));
		for (int i = 0; i < count; i++)
			free(names[i]);
		free(names);
		return;
	}
	for (int i = 0; i < count; i++)
		passed->list[i] = (struct passed_fd){names[i], SD_LISTEN_FDS_START + i};
	passed->count = (size_t)count;
	free(names);
}

int passed_fds_take(struct passed_fds *passed, const char *name)
{
	for (size_t i = 0; i < passed->count; i++) {
		int fd = passed->list[i].fd;

		if (strcmp(passed->list[i].name, name) != 0)
			continue;
		free(passed->list[i].name);
		passed->list[i] = passed->list[--passed->count];
		return fd;
	}
	return -1;
}

int passed_fds_add(struct passed_fds *passed, const char *name, int fd)
{
	struct passed_fd *grown;

	for (size_t i = 0; i < passed->count; i++) {
		if (strcmp(passed->list[i].name, name) != 0)
			continue;
		fd_close(&fd);
		return 0;
	}
	grown = realloc(passed->list, (passed->count + 1) * sizeof(*grown));
	if (grown) {
		passed->list = grown;
		grown[passed->count] = (struct passed_fd){strdup(name), fd};
	}
	if (!grown || !grown[passed->count].name) {
		fd_close(&fd);
		return -ENOMEM;
	}
	passed->count++;
	return 0;
}

/* "publisher (tcp:127.0.0.1:7000), web (tcp:[::]:80)", as far as it fits. */
static void print_all(const struct passed_fds *passed, char *buf, size_t size)
{
	char address[ENDPOINT_TEXT_BYTES];
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < passed->count && used < size; i++) {
		int n;

		endpoint_print_local(address, sizeof(address), passed->list[i].fd);
		n = snprintf(buf + used, size - used, "%s%s (%s)", i ? ", " : "",
			     passed->list[i].name, address);
		used += n > 0 ? (size_t)n : 0;
	}
}

int passed_fds_resolve(const struct passed_fds *passed, struct endpoint *endpoint,
		       struct errmsg *err)
{
	char all[512];
	size_t found = 0;

	if (endpoint->kind != ENDPOINT_PASSED)
		return 0;
	for (size_t i = 0; i < passed->count; i++) {
		if (strcmp(passed->list[i].name, endpoint->host) != 0)
			continue;
		endpoint->passed_fd = passed->list[i].fd;
		found++;
	}
	if (found == 1)
		return 0;
	endpoint->passed_fd = -1;
	print_all(passed, all, sizeof(all));
	if (found == 0) {
		errmsg_set(err,
			   "listen systemd:%s: no socket of this name was passed; expected one of "
			   "a socket unit with FileDescriptorName=%s; passed: %s",
			   endpoint->host, endpoint->host, passed->count ? all : "nothing");
		return -ENOENT;
	}
	errmsg_set(err,
		   "listen systemd:%s: %zu sockets of this name were passed; expected a name of "
		   "its own (FileDescriptorName=) for each; passed: %s",
		   endpoint->host, found, all);
	return -ENOTUNIQ;
}

/* Is text, an address of the configuration, "systemd:NAME"? */
static bool names(const char *text, const char *name)
{
	return strncmp(text, "systemd:", 8) == 0 && strcmp(text + 8, name) == 0;
}

static bool is_named(const char *name, const struct config *config)
{
	if (config_has_admin(config) &&
	    (names(config->admin.listen, name) || names(config->admin.socket, name) ||
	     names(config->admin.agent, name)))
		return true;
	for (size_t i = 0; i < config->feed_count; i++) {
		const struct config_ingest *ingest = &config->feeds[i].ingest;

		if (ingest->kind == CONFIG_INGEST_LISTEN && names(ingest->addresses[0], name))
			return true;
	}
	for (size_t i = 0; i < config->listener_count; i++) {
		if (names(config->listeners[i].listen, name))
			return true;
	}
	return false;
}

bool passed_fds_is_for_auto(const struct passed_fds *passed, const struct config *config)
{
	if (strcmp(config->admin.socket, "auto") != 0 || is_named(PASSED_FDS_ADMIN, config))
		return false;
	for (size_t i = 0; i < passed->count; i++) {
		if (strcmp(passed->list[i].name, PASSED_FDS_ADMIN) == 0)
			return true;
	}
	return false;
}

static bool is_used(const struct passed_fds *passed, size_t i, const struct config *config)
{
	return is_named(passed->list[i].name, config) ||
	       (strcmp(passed->list[i].name, PASSED_FDS_ADMIN) == 0 &&
		passed_fds_is_for_auto(passed, config));
}

void passed_fds_warn_unused(const struct passed_fds *passed, const struct config *config)
{
	char address[ENDPOINT_TEXT_BYTES];

	for (size_t i = 0; i < passed->count; i++) {
		if (is_used(passed, i, config))
			continue;
		endpoint_print_local(address, sizeof(address), passed->list[i].fd);
		log_warn("passed socket not used name=%s address=%s, nothing in the configuration "
			 "listens on systemd:%s",
			 passed->list[i].name, address, passed->list[i].name);
	}
}

void passed_fds_close(struct passed_fds *passed)
{
	for (size_t i = 0; i < passed->count; i++) {
		fd_close(&passed->list[i].fd);
		free(passed->list[i].name);
	}
	free(passed->list);
	*passed = (struct passed_fds){0};
}

// SPDX-License-Identifier: MIT
/* Looking has no effect on who is looked at: a connection would start a relay that waits behind its
 * socket unit. */
#include "tools/relayctl/relayctl_socket.h"

#include "base/fd.h"
#include "tools/relayctl/relayctl_text.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	UNIT_BYTES = 256, // systemd.unit(5): the longest name
};

static int set_path(struct relayctl_socket *socket, const char *directory, size_t length,
		    const char *instance, struct errmsg *error)
{
	int n = snprintf(socket->path, sizeof socket->path, "%.*s%s%s/admin.sock", (int)length,
			 directory, *instance ? "/" : "", instance);

	if (n >= 0 && (size_t)n < sizeof socket->path)
		return 0;
	errmsg_set(error, "the path of the admin socket is too long");
	return -ENAMETOOLONG;
}

static int set_path_of_unit(struct relayctl_socket *socket, const char *run_directory,
			    const char *unit, struct errmsg *error)
{
	static const char suffix[] = ".service", template[] = "relay@";
	size_t length = strlen(unit);
	char name[UNIT_BYTES];

	if (length > sizeof suffix - 1 && strcmp(unit + length - (sizeof suffix - 1), suffix) == 0)
		length -= sizeof suffix - 1;
	if (length >= sizeof name)
		length = 0;
	memcpy(name, unit, length);
	name[length] = '\0';
	if (strcmp(name, "relay") == 0)
		return set_path(socket, run_directory, strlen(run_directory), "", error);
	unit = strncmp(name, template, sizeof template - 1) == 0 ? name + sizeof template - 1
								 : name;
	if (*unit == '\0' || *unit == '.' || strchr(unit, '/')) {
		errmsg_set(error, "--unit: expected relay, relay@NAME or NAME");
		return -EINVAL;
	}
	return set_path(socket, run_directory, strlen(run_directory), unit, error);
}

/* Does a process listen there?  unix(7), connect: to a socket of another type EPROTOTYPE, to one
 * that nobody has open ECONNREFUSED. */
static bool is_served(const struct relayctl_socket *at)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = -1;

	memcpy(address.sun_path, at->path, sizeof address.sun_path);
	if (fd >= 0)
		r = connect(fd, (const struct sockaddr *)&address, sizeof address);
	r = r < 0 ? errno : 0;
	fd_close(&fd);
	return r == EPROTOTYPE || r == EACCES;
}

struct search {
	struct relayctl_socket found;
	size_t count;
	char names[192];
};

static void try_one(struct search *search, const char *run_directory, const char *instance)
{
	size_t used = strlen(search->names);
	struct relayctl_socket at;
	struct errmsg ignored;
	char safe[UNIT_BYTES];

	if (set_path(&at, run_directory, strlen(run_directory), instance, &ignored) < 0 ||
	    !is_served(&at))
		return;
	search->found = at;
	search->count++;
	(void)snprintf(search->names + used, sizeof search->names - used, "%srelay%s%s",
		       used ? ", " : "", *instance ? "@" : "",
		       text_escape(safe, sizeof safe, instance));
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int look_around(struct relayctl_socket *socket, const char *run_directory,
		       struct errmsg *error)
{
	struct search search = {.count = 0};
	struct dirent **entries = NULL;
	int count = scandir(run_directory, &entries, is_visible, alphasort);

	try_one(&search, run_directory, "");
	for (int i = 0; i < count; i++) {
		try_one(&search, run_directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (search.count > 1) {
		errmsg_set(error, "%zu relays run here, say which with --unit: %s", search.count,
			   search.names);
		return -ENOTUNIQ;
	}
	socket->is_missing = search.count == 0;
	if (socket->is_missing)
		return set_path(socket, run_directory, strlen(run_directory), "", error);
	*socket = search.found;
	return 0;
}

int relayctl_socket_find(const char *run_directory, const char *unit,
			 struct relayctl_socket *ret_socket, struct errmsg *error)
{
	const char *own = getenv("RUNTIME_DIRECTORY");

	*ret_socket = (struct relayctl_socket){.path = ""};
	if (unit)
		return set_path_of_unit(ret_socket, run_directory, unit, error);
	// systemd.exec(5): several directories stand behind one another; relay takes the first too.
	if (own && own[0] == '/')
		return set_path(ret_socket, own, strcspn(own, ":"), "", error);
	return look_around(ret_socket, run_directory, error);
}

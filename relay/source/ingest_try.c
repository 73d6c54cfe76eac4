// SPDX-License-Identifier: MIT
/* Each error names the path or the address as the configuration has it. */
#include "source/ingest_try.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/listen_way_out.h"

/* What is opened by its path. */
static const struct path_kind {
	const char *word;
	mode_t type;
	const char *not_so;  /* it is something else */
	const char *remedy;  /* so the word is for ... */
	const char *group;   /* that may usually read it; NULL: none */
	bool may_come_later; /* relay tries again every second */
} path_kinds[] = {
	[INGEST_FIFO] =
		{"fifo", S_IFIFO, "not a fifo",
		 "a named pipe, file:PATH for a regular file, serial:PATH for a serial device",
		 NULL, false},
	[INGEST_FILE] =
		{"file", S_IFREG, "not a regular file",
		 "a regular file, fifo:PATH for a named pipe, serial:PATH for a serial device",
		 NULL, false},
	[INGEST_SERIAL] = {"serial", S_IFCHR, "not a serial device",
			   "a device such as /dev/ttyUSB0, fifo:PATH for a named pipe", "dialout",
			   true},
	[INGEST_TAIL] = {"tail", S_IFREG, "not a regular file",
			 "a regular file, fifo:PATH for a named pipe", "adm", true},
};

/* NULL: it has no path. */
static const struct path_kind *find_path_kind(const struct ingest_params *params)
{
	size_t kind = (size_t)params->kind;

	return kind < ARRAY_LEN(path_kinds) && path_kinds[kind].word ? &path_kinds[kind] : NULL;
}

/* How many bytes of the path are its folder. */
static int folder_bytes(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (int)(slash - path) : 0;
}

static bool has_folder(const char *path)
{
	char folder[sizeof(((struct ingest_params *)0)->path)];
	struct stat there;

	(void)snprintf(folder, sizeof(folder), "%.*s/", folder_bytes(path), path);
	return folder_bytes(path) == 0 || (stat(folder, &there) == 0 && S_ISDIR(there.st_mode));
}

/* Who relay runs as counts, not who has started it. */
static int try_path(const struct ingest_params *params, const struct path_kind *kind,
		    struct errmsg *err)
{
	int access = R_OK | (params->send_file[0] ? W_OK : 0);
	struct stat there;
	int r = 0;

	if (stat(params->path, &there) < 0) {
		r = -errno;
	} else if ((there.st_mode & S_IFMT) != kind->type) {
		errmsg_set(err, "%s:%s: %s", kind->word, params->path, kind->not_so);
		return -EINVAL;
	} else if (faccessat(AT_FDCWD, params->path, access, AT_EACCESS) < 0) {
		r = -errno;
	}
	if (r < 0)
		errmsg_errno(err, -r, "%s:%s", kind->word, params->path);
	/* No device is made in a folder by hand. */
	if (r == -ENOENT && kind->may_come_later &&
	    (params->kind == INGEST_SERIAL || has_folder(params->path)))
		return 1;
	return r;
}

bool ingest_may_come_later(const struct ingest_params *params)
{
	const struct path_kind *kind = find_path_kind(params);

	return kind && kind->may_come_later;
}

int ingest_try(const struct ingest_params *params, struct errmsg *err)
{
	const struct path_kind *kind = find_path_kind(params);
	int fd = -1;
	int r;

	if (kind)
		return try_path(params, kind, err);
	if (params->kind != INGEST_UDP)
		return 0;
	r = udp_socket_open(&params->udp, &fd, err);
	fd_close(&fd);
	return r;
}

/* ---- ways out ---- */

static void path_way_out(const struct ingest_params *params, const struct path_kind *kind, int r,
			 char *buf, size_t size)
{
	const char *path = params->path;

	if (r == 1 && params->kind == INGEST_SERIAL)
		(void)snprintf(
			buf, size,
			"relay takes it up when it is there; ls -l /dev/serial/by-path shows "
			"the devices of this machine");
	else if (r == 1)
		(void)snprintf(buf, size, "relay takes it up when it is there");
	else if (r == -ENOENT && params->kind == INGEST_FIFO)
		(void)snprintf(buf, size, "mkfifo %s makes the fifo", path);
	else if (r == -ENOENT && params->kind == INGEST_TAIL)
		(void)snprintf(buf, size, "mkdir -p %.*s makes the folder", folder_bytes(path),
			       path);
	else if (r == -EINVAL)
		(void)snprintf(buf, size, "%s:PATH is for %s; ls -l %s shows what it is",
			       kind->word, kind->remedy, path);
	else if (r == -EACCES && kind->group)
		(void)snprintf(buf, size,
			       "the user that relay runs as must be able to %s %s (in the unit: "
			       "SupplementaryGroups=%s, if ls -l shows that group)",
			       params->send_file[0] ? "read and write" : "read", path, kind->group);
	else if (r == -EACCES)
		(void)snprintf(buf, size, "the user that relay runs as must be able to read %s",
			       path);
}

static void udp_way_out(const struct udp_params *params, int r, char *buf, size_t size)
{
	struct endpoint endpoint = {.kind = ENDPOINT_TCP};

	(void)snprintf(endpoint.host, sizeof(endpoint.host), "%s", params->host);
	(void)snprintf(endpoint.port, sizeof(endpoint.port), "%u", params->port);
	if (r == -EADDRINUSE)
		(void)snprintf(buf, size, "ss -lunp sport = :%u shows who has it", params->port);
	else if (r == -ENODEV && params->interface[0])
		(void)snprintf(buf, size, "ip link shows the interfaces of this machine");
	else if (r == -ENODEV)
		(void)snprintf(buf, size,
			       "no route leads to the group; udp:%s%%INTERFACE:%u names where it "
			       "is joined, and ip link shows the interfaces",
			       params->host, params->port);
	else
		(void)listen_way_out(&endpoint, r, buf, size);
}

const char *ingest_way_out(const struct ingest_params *params, int r, char *buf, size_t size)
{
	const struct path_kind *kind = find_path_kind(params);

	buf[0] = '\0';
	if (kind)
		path_way_out(params, kind, r, buf, size);
	else if (params->kind == INGEST_UDP)
		udp_way_out(&params->udp, r, buf, size);
	return buf;
}

// SPDX-License-Identifier: MIT
/* Names are looked at before anything is made, so what is refused stays as it was. */
#include "history/history_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "history/history.h"

#define OWNER_NAME     "history"
#define NEW_OWNER_NAME "history.new" /* until it is on the disk */
#define BOOT_ID_PATH   "/proc/sys/kernel/random/boot_id"

enum {
	PATH_BYTES = 4096,
	BOOT_ID_BYTES = 64,
	FOLDER_MODE = 0750,
	FILE_MODE = 0640,
};

/* What was in the folder. */
struct folder_names {
	uint64_t *numbers; /* of the files with packets; owned */
	size_t count, room;
	bool has_owner;
	bool has_files;    /* of relay's, but the owner's */
	char foreign[256]; /* one that is not relay's; "": there is none */
};

int history_folder_open_file(int folder, uint64_t number, enum history_kind kind, int flags,
			     int *ret_fd)
{
	char name[HISTORY_NAME_BYTES];

	*ret_fd = openat(folder, history_name_print(name, number, kind), flags | O_CLOEXEC,
			 FILE_MODE);
	return *ret_fd < 0 ? -errno : 0;
}

static int unlink_file(int folder, uint64_t number, enum history_kind kind)
{
	char name[HISTORY_NAME_BYTES];

	if (unlinkat(folder, history_name_print(name, number, kind), 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int history_folder_unlink(int folder, uint64_t number)
{
	int r = unlink_file(folder, number, HISTORY_INDEX);

	return r == 0 ? unlink_file(folder, number, HISTORY_PACKETS) : r;
}

/* ---- what is there ---- */

static int add_number(struct folder_names *names, uint64_t number)
{
	if (names->count == names->room) {
		size_t room = names->room ? 2 * names->room : 64;
		uint64_t *numbers = reallocarray(names->numbers, room, sizeof(*numbers));

		if (!numbers)
			return -ENOMEM;
		names->numbers = numbers;
		names->room = room;
	}
	names->numbers[names->count++] = number;
	return 0;
}

static int take_name(struct folder_names *names, const char *name)
{
	uint64_t number;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0)
		return 0;
	if (strcmp(name, OWNER_NAME) == 0) {
		names->has_owner = true;
	} else if (strcmp(name, NEW_OWNER_NAME) == 0 ||
		   history_name_parse(name, HISTORY_INDEX, &number)) {
		names->has_files = true;
	} else if (history_name_parse(name, HISTORY_PACKETS, &number)) {
		names->has_files = true;
		return add_number(names, number);
	} else {
		(void)snprintf(names->foreign, sizeof(names->foreign), "%s", name);
	}
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	const uint64_t *first = a, *second = b;

	return *first < *second ? -1 : *first > *second;
}

/* *ret is empty on an error. */
static int read_names(int folder, struct folder_names *ret)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int r = dir ? 0 : -errno;

	*ret = (struct folder_names){0};
	if (!dir) {
		fd_close(&fd);
		return r;
	}
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		r = take_name(ret, entry->d_name);
	if (r == 0)
		r = -errno;
	(void)closedir(dir);
	if (r < 0) {
		free(ret->numbers);
		*ret = (struct folder_names){0};
		return r;
	}
	if (ret->count)
		qsort(ret->numbers, ret->count, sizeof(*ret->numbers), compare_numbers);
	return 0;
}

/* ---- whose it is ---- */

static int read_text(int folder, const char *name, char *text, size_t size)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : TEMP_FAILURE_RETRY(read(fd, text, size - 1));
	int r = n < 0 ? -errno : 0;

	fd_close(&fd);
	text[n < 0 ? 0 : n] = '\0';
	return r;
}

/* The words that say whose it is. */
static void print_owner(char *buf, const struct history_params *params)
{
	(void)snprintf(buf, HISTORY_OWNER_BYTES, "relay history 1\nfeed %s\nframing %s\n",
		       params->feed, params->framing);
}

/* The line of `text` that begins with `key`, without it; "": there is none. */
static void find_line(const char *text, const char *key, char *ret, size_t size)
{
	const char *line = text;

	*ret = '\0';
	while (line && strncmp(line, key, strlen(key)) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (line)
		(void)snprintf(ret, size, "%.*s", (int)strcspn(line + strlen(key), "\n"),
			       line + strlen(key));
}

static int check_line(const struct history_params *params, const char *text, const char *key,
		      const char *expected, int error, struct errmsg *err)
{
	char found[256];

	find_line(text, key, found, sizeof(found));
	if (strcmp(found, expected) == 0)
		return 0;
	errmsg_set(err, "history %s: %s/" OWNER_NAME " says \"%s%s\"; expected \"%s%s\"",
		   params->path, params->path, key, found, key, expected);
	return error;
}

static int check_owner(int folder, const struct history_params *params,
		       char text[HISTORY_OWNER_BYTES], struct errmsg *err)
{
	int r = read_text(folder, OWNER_NAME, text, HISTORY_OWNER_BYTES);

	if (r < 0) {
		errmsg_errno(err, r, "history %s: " OWNER_NAME, params->path);
		return r;
	}
	r = check_line(params, text, "relay history ", "1", -EPROTONOSUPPORT, err);
	if (r == 0)
		r = check_line(params, text, "feed ", params->feed, -EPERM, err);
	if (r == 0)
		r = check_line(params, text, "framing ", params->framing, -EPERM, err);
	return r;
}

static int check(int folder, const struct history_params *params, struct folder_names *names,
		 char text[HISTORY_OWNER_BYTES], struct errmsg *err)
{
	int r = read_names(folder, names);

	*text = '\0';
	if (r < 0) {
		errmsg_errno(err, r, "history %s", params->path);
		return r;
	}
	if (*names->foreign || (names->has_files && !names->has_owner)) {
		errmsg_set(err,
			   "history %s: %s%s; expected a folder of its own, empty or made by relay",
			   params->path, *names->foreign ? "it has " : "files without " OWNER_NAME,
			   names->foreign);
		return -EEXIST;
	}
	return names->has_owner ? check_owner(folder, params, text, err) : 0;
}

/* Renamed into place when it is on the disk, so it is never there in part. */
static int write_owner(int folder, const char *text)
{
	int fd =
		openat(folder, NEW_OWNER_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
	size_t size = strlen(text);
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && TEMP_FAILURE_RETRY(write(fd, text, size)) != (ssize_t)size)
		r = errno ? -errno : -ENOSPC;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	fd_close(&fd);
	if (r == 0 && renameat(folder, NEW_OWNER_NAME, folder, OWNER_NAME) < 0)
		r = -errno;
	return r == 0 && fsync(folder) < 0 ? -errno : r;
}

/* "next SESSION SEQUENCE"; 0 where there is no such line. */
static struct sequence parse_next(const char *text)
{
	char line[64];
	uint64_t session, next_seq;
	char *blank;

	find_line(text, "next ", line, sizeof(line));
	blank = strchr(line, ' ');
	if (!blank)
		return (struct sequence){0};
	*blank = '\0';
	if (num_parse_count(line, &session) < 0 || session > UINT32_MAX ||
	    num_parse_count(blank + 1, &next_seq) < 0)
		return (struct sequence){0};
	return (struct sequence){.session = (uint32_t)session, .next_seq = next_seq};
}

/* What is said of who gives nothing out that is not on the disk. */
static const char on_disk_first[] = "sync packet\n";

/* Says that it is used since this start of the machine, and forgets what would come next. */
static int claim(struct history_folder *folder, const struct history_params *params,
		 const char *found)
{
	char boot_id[BOOT_ID_BYTES] = "", line[BOOT_ID_BYTES], old[BOOT_ID_BYTES];
	size_t used;

	if (read_text(AT_FDCWD, BOOT_ID_PATH, line, sizeof(line)) == 0)
		find_line(line, "", boot_id, sizeof(boot_id));
	find_line(found, "boot ", old, sizeof(old));
	folder->is_same_boot = *old && strcmp(old, boot_id) == 0;
	folder->next = parse_next(found);
	find_line(found, "sync ", line, sizeof(line));
	folder->is_on_disk_first = strcmp(line, "packet") == 0;
	print_owner(folder->owner, params);
	used = strlen(folder->owner);
	(void)snprintf(folder->owner + used, sizeof(folder->owner) - used, "boot %s\n%s", boot_id,
		       params->is_on_disk_first && folder->is_on_disk_first ? on_disk_first : "");
	return strcmp(folder->owner, found) == 0 ? 0 : write_owner(folder->fd, folder->owner);
}

int history_folder_set_on_disk_first(struct history_folder *folder)
{
	size_t used = strlen(folder->owner);
	int r;

	if (strstr(folder->owner, on_disk_first))
		return 0;
	(void)snprintf(folder->owner + used, sizeof(folder->owner) - used, "%s", on_disk_first);
	r = write_owner(folder->fd, folder->owner);
	if (r < 0)
		folder->owner[used] = '\0';
	return r;
}

int history_folder_set_next(const struct history_folder *folder, const struct sequence *next)
{
	char text[HISTORY_OWNER_BYTES + 64];

	(void)snprintf(text, sizeof(text), "%snext %u %llu\n", folder->owner, next->session,
		       (unsigned long long)next->next_seq);
	return write_owner(folder->fd, text);
}

/* ---- opening ---- */

static int open_folder(const char *path, int *ret)
{
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

int history_folder_lock(const struct history_folder *folder)
{
	if (flock(folder->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

void history_folder_unlock(const struct history_folder *folder)
{
	(void)flock(folder->fd, LOCK_UN);
}

static int lock(const struct history_folder *folder, const struct history_params *params,
		struct errmsg *err)
{
	int r = history_folder_lock(folder);

	if (r == -EBUSY)
		errmsg_set(err,
			   "history %s: another relay has it open, or this one still waits for its "
			   "disk",
			   params->path);
	else if (r < 0)
		errmsg_errno(err, -r, "history %s: lock", params->path);
	return r;
}

static int identify(struct history_folder *folder)
{
	struct stat status;

	if (fstat(folder->fd, &status) < 0)
		return -errno;
	folder->device = status.st_dev;
	folder->inode = status.st_ino;
	return 0;
}

int history_folder_open(struct history_folder *folder, const struct history_params *params,
			struct errmsg *err)
{
	struct folder_names names = {0};
	char text[HISTORY_OWNER_BYTES];
	int r = 0;

	*folder = (struct history_folder){.fd = -1};
	if (mkdir(params->path, FOLDER_MODE) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0)
		r = open_folder(params->path, &folder->fd);
	if (r == 0)
		r = identify(folder);
	if (r < 0) {
		errmsg_errno(err, r, "history %s", params->path);
		return r;
	}
	r = lock(folder, params, err);
	if (r == 0)
		r = check(folder->fd, params, &names, text, err);
	folder->numbers = names.numbers;
	folder->count = names.count;
	if (r == 0) {
		r = claim(folder, params, text);
		if (r < 0)
			errmsg_errno(err, r, "history %s: " OWNER_NAME, params->path);
	}
	if (r < 0)
		history_folder_close(folder);
	return r;
}

void history_folder_close(struct history_folder *folder)
{
	free(folder->numbers);
	fd_close(&folder->fd);
	*folder = (struct history_folder){.fd = -1};
}

/* The folder that a folder is in.  0 or -ENAMETOOLONG. */
static int print_parent(char *buf, size_t size, const char *path)
{
	char *slash;

	if (snprintf(buf, size, "%s", path) >= (int)size)
		return -ENAMETOOLONG;
	slash = strrchr(buf, '/');
	if (slash)
		slash[slash == buf] = '\0';
	else
		(void)snprintf(buf, size, ".");
	return 0;
}

/* Nothing is there: can it be made? */
static int check_parent(const char *path)
{
	char parent[PATH_BYTES];
	int r = print_parent(parent, sizeof(parent), path);

	if (r == 0 && access(parent, W_OK | X_OK) < 0)
		r = -errno;
	return r;
}

static uint64_t bytes_in(DIR *dir)
{
	uint64_t bytes = 0;
	struct dirent *entry;
	struct stat status;

	while ((entry = readdir(dir))) {
		if (fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(status.st_mode))
			bytes += (uint64_t)status.st_size;
	}
	return bytes;
}

bool history_folder_room(const char *path, uint64_t *ret_bytes)
{
	char parent[PATH_BYTES];
	struct statvfs space;
	DIR *dir = opendir(path);

	*ret_bytes = 0;
	if (dir) {
		*ret_bytes = bytes_in(dir);
		(void)closedir(dir);
	} else if (print_parent(parent, sizeof(parent), path) == 0) {
		path = parent;
	}
	if (statvfs(path, &space) < 0)
		return false;
	*ret_bytes += (uint64_t)space.f_bavail * space.f_frsize;
	return true;
}

int history_folder_check(const struct history_params *params, struct errmsg *err)
{
	struct folder_names names = {0};
	char text[HISTORY_OWNER_BYTES];
	int fd;
	int r = open_folder(params->path, &fd);

	if (r == -ENOENT)
		r = check_parent(params->path);
	else if (r == 0 && faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		r = -errno;
	if (r < 0)
		errmsg_errno(err, r, "history %s", params->path);
	else if (fd >= 0)
		r = check(fd, params, &names, text, err);
	free(names.numbers);
	fd_close(&fd);
	return r;
}

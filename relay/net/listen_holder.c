// SPDX-License-Identifier: MIT
/* The tables of sockets have an inode for each; the descriptors of processes are links to them. */
#include "net/listen_holder.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"
#include "net/listen_socket.h"

/* Of include/net/tcp_states.h; a UDP socket that is not connected is closed. */
#define STATE_CLOSE  "07"
#define STATE_LISTEN "0A"

enum {
	INODES_MAX = 16,
	LINE_BYTES = 512,
	FIELDS_MAX = 12,
};

/* Of sockets that stand in the way. */
struct inodes {
	uint64_t list[INODES_MAX];
	size_t count;
};

static void add_inode(struct inodes *inodes, const char *text)
{
	uint64_t inode;

	if (inodes->count < INODES_MAX && num_parse_count(text, &inode) == 0 && inode)
		inodes->list[inodes->count++] = inode;
}

/* Cuts a line at its blanks; the last field is what is left.  Returns how many there are. */
static size_t split(char *line, char *ret[FIELDS_MAX])
{
	size_t count = 0;

	line[strcspn(line, "\n")] = '\0';
	while (count < FIELDS_MAX) {
		line += strspn(line, " ");
		if (!*line)
			break;
		ret[count++] = line;
		line += strcspn(line, " ");
		if (*line)
			*line++ = '\0';
	}
	return count;
}

static uint32_t hex(const char *digits, size_t count)
{
	static const char all[] = "0123456789ABCDEF";
	uint32_t value = 0;

	for (size_t i = 0; i < count && digits[i]; i++) {
		const char *at = strchr(all, digits[i]);

		value = value << 4 | (at ? (uint32_t)(at - all) : 0);
	}
	return value;
}

/* text: "0100007F:1B58" or that of IPv6, in words as they lie in memory.  False: it is neither. */
static bool parse_address(const char *text, struct endpoint_address *ret)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->storage;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->storage;
	size_t digits = strcspn(text, ":");
	uint32_t words[4];

	*ret = (struct endpoint_address){.bytes = 0};
	if (text[digits] != ':' || (digits != 8 && digits != 32))
		return false;
	for (size_t i = 0; i < digits / 8; i++)
		words[i] = hex(text + 8 * i, 8);
	if (digits == 8) {
		*v4 = (struct sockaddr_in){.sin_family = AF_INET,
					   .sin_port = htons((uint16_t)hex(text + 9, 4)),
					   .sin_addr.s_addr = words[0]};
		ret->bytes = sizeof(*v4);
		return true;
	}
	*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
				    .sin6_port = htons((uint16_t)hex(text + 33, 4))};
	memcpy(&v6->sin6_addr, words, sizeof(words));
	ret->bytes = sizeof(*v6);
	return true;
}

/* "  0: 0100007F:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 ..." */
static void find_ip(const char *table, const char *state, const struct endpoint_address *address,
		    struct inodes *ret)
{
	FILE *file = fopen(table, "re");
	char line[LINE_BYTES], *fields[FIELDS_MAX];
	struct endpoint_address there;

	while (file && fgets(line, sizeof(line), file)) {
		if (split(line, fields) >= 10 && strcmp(fields[3], state) == 0 &&
		    parse_address(fields[1], &there) &&
		    listen_addresses_clash(address, false, &there, false))
			add_inode(ret, fields[9]);
	}
	if (file)
		(void)fclose(file);
}

/* "ffff...: 00000002 00000000 00010000 0001 01 12345 /run/x": the flag is that of listening. */
static void find_unix(const struct endpoint_address *address, struct inodes *ret)
{
	const struct sockaddr_un *addr = (const struct sockaddr_un *)&address->storage;
	FILE *file = fopen("/proc/net/unix", "re");
	char line[LINE_BYTES], *fields[FIELDS_MAX];

	while (file && fgets(line, sizeof(line), file)) {
		if (split(line, fields) >= 8 && strcmp(fields[3], "00010000") == 0 &&
		    strcmp(fields[7], addr->sun_path) == 0)
			add_inode(ret, fields[6]);
	}
	if (file)
		(void)fclose(file);
}

/* Has the process a descriptor of this socket? */
static bool has_socket(const char *pid, uint64_t inode)
{
	char path[64], name[64], link[64];
	const struct dirent *entry;
	bool found = false;
	DIR *fds;

	(void)snprintf(name, sizeof(name), "socket:[%llu]", (unsigned long long)inode);
	(void)snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	fds = opendir(path);
	while (fds && !found && (entry = readdir(fds))) {
		ssize_t bytes = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);

		if (bytes < 0)
			continue;
		link[bytes] = '\0';
		found = strcmp(link, name) == 0;
	}
	if (fds)
		(void)closedir(fds);
	return found;
}

static enum listen_holder find_process(uint64_t inode, listen_is_ours_fn is_ours, const void *data,
				       pid_t *ret_pid)
{
	enum listen_holder holder = LISTEN_HOLDER_UNKNOWN;
	const struct dirent *entry;
	DIR *processes = opendir("/proc");
	uint64_t pid;

	while (processes && holder != LISTEN_HOLDER_OURS && (entry = readdir(processes))) {
		if (num_parse_count(entry->d_name, &pid) < 0 || !has_socket(entry->d_name, inode))
			continue;
		*ret_pid = (pid_t)pid;
		holder = is_ours((pid_t)pid, data) ? LISTEN_HOLDER_OURS : LISTEN_HOLDER_OTHER;
	}
	if (processes)
		(void)closedir(processes);
	return holder;
}

enum listen_holder listen_find_holder(const struct endpoint_address *address, int type,
				      listen_is_ours_fn is_ours, const void *data, pid_t *ret_pid)
{
	enum listen_holder all = LISTEN_HOLDER_OURS;
	struct inodes inodes = {.count = 0};

	if (address->storage.ss_family == AF_UNIX) {
		find_unix(address, &inodes);
	} else if (type == SOCK_DGRAM) {
		find_ip("/proc/net/udp", STATE_CLOSE, address, &inodes);
		find_ip("/proc/net/udp6", STATE_CLOSE, address, &inodes);
	} else {
		find_ip("/proc/net/tcp", STATE_LISTEN, address, &inodes);
		find_ip("/proc/net/tcp6", STATE_LISTEN, address, &inodes);
	}
	for (size_t i = 0; i < inodes.count; i++) {
		enum listen_holder one = find_process(inodes.list[i], is_ours, data, ret_pid);

		if (one == LISTEN_HOLDER_OTHER)
			return one;
		if (one == LISTEN_HOLDER_UNKNOWN)
			all = one;
	}
	return inodes.count ? all : LISTEN_HOLDER_UNKNOWN;
}

// SPDX-License-Identifier: MIT
/* Room is reserved for the longest datagrams there are, and memory is used for as much as comes. */
#include "source/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"

/* ---- the socket; groups are joined by the calls that know both families (RFC 3678, 5.1) ---- */

enum {
	RECEIVE_BUFFER = 8 << 20, /* the kernel gives net.core.rmem_max at most */
};

static struct sockaddr_in *as_ipv4(struct endpoint_address *address)
{
	return (struct sockaddr_in *)&address->storage;
}

static struct sockaddr_in6 *as_ipv6(struct endpoint_address *address)
{
	return (struct sockaddr_in6 *)&address->storage;
}

/* "" is any address, of both families. */
static int read_address(const char *host, uint16_t port, unsigned interface,
			struct endpoint_address *ret)
{
	in_port_t number = htons(port);

	*ret = (struct endpoint_address){.bytes = sizeof(struct sockaddr_in)};
	if (inet_pton(AF_INET, host, &as_ipv4(ret)->sin_addr) == 1) {
		as_ipv4(ret)->sin_family = AF_INET;
		as_ipv4(ret)->sin_port = number;
		return 0;
	}
	if (*host && inet_pton(AF_INET6, host, &as_ipv6(ret)->sin6_addr) != 1)
		return -EINVAL;
	as_ipv6(ret)->sin6_family = AF_INET6;
	as_ipv6(ret)->sin6_port = number;
	as_ipv6(ret)->sin6_scope_id = interface;
	ret->bytes = sizeof(struct sockaddr_in6);
	return 0;
}

static bool is_group(struct endpoint_address *address)
{
	if (address->storage.ss_family == AF_INET)
		return IN_MULTICAST(ntohl(as_ipv4(address)->sin_addr.s_addr));
	return IN6_IS_ADDR_MULTICAST(&as_ipv6(address)->sin6_addr);
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int join(int fd, const struct udp_params *params, const struct endpoint_address *group)
{
	unsigned interface = params->interface[0] ? if_nametoindex(params->interface) : 0;
	int level = group->storage.ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	struct group_source_req of_one = {.gsr_interface = interface, .gsr_group = group->storage};
	struct group_req of_all = {.gr_interface = interface, .gr_group = group->storage};
	struct endpoint_address sender;
	int r;

	if (!params->sender[0])
		return setsockopt(fd, level, MCAST_JOIN_GROUP, &of_all, sizeof(of_all)) < 0 ? -errno
											    : 0;
	r = read_address(params->sender, 0, 0, &sender);
	if (r < 0)
		return r;
	of_one.gsr_source = sender.storage;
	r = setsockopt(fd, level, MCAST_JOIN_SOURCE_GROUP, &of_one, sizeof(of_one));
	return r < 0 ? -errno : 0;
}

/* Else a socket also gets what other sockets of this machine have joined. */
static int take_own_groups_only(int fd, int family)
{
	return family == AF_INET ? set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0)
				 : set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
}

static int bind_and_join(int fd, const struct udp_params *params, struct endpoint_address *address)
{
	int family = address->storage.ss_family;
	int r = set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);

	(void)set(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	if (r == 0 && !params->host[0])
		r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (r == 0 && is_group(address))
		r = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (r == 0 && is_group(address))
		r = take_own_groups_only(fd, family);
	if (r == 0 && bind(fd, (const struct sockaddr *)&address->storage, address->bytes) < 0)
		r = -errno;
	return r == 0 && is_group(address) ? join(fd, params, address) : r;
}

int udp_socket_address(const struct udp_params *params, struct endpoint_address *ret)
{
	unsigned interface = params->interface[0] ? if_nametoindex(params->interface) : 0;

	if (params->interface[0] && !interface)
		return -ENODEV;
	return read_address(params->host, params->port, interface, ret);
}

int udp_socket_open(const struct udp_params *params, int *ret_fd, struct errmsg *err)
{
	struct endpoint_address address;
	int fd = -1;
	int r = udp_socket_address(params, &address);

	if (r == 0) {
		fd = socket(address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			    0);
		r = fd < 0 ? -errno : bind_and_join(fd, params, &address);
	}
	if (r < 0) {
		errmsg_errno(err, -r, "udp:%s%s%s%s%s:%u", params->sender,
			     params->sender[0] ? "@" : "", params->host,
			     params->interface[0] ? "%" : "", params->interface, params->port);
		fd_close(&fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

uint32_t udp_socket_dropped(int fd)
{
	uint32_t numbers[SK_MEMINFO_VARS] = {0};
	socklen_t bytes = sizeof(numbers);

	(void)getsockopt(fd, SOL_SOCKET, SO_MEMINFO, numbers, &bytes);
	return numbers[SK_MEMINFO_DROPS];
}

/* ---- datagrams ---- */

enum {
	AT_ONCE = 17, /* the rest of one may come from the process before, in front of 16 */
	LONGEST = 64 * 1024,
	CONTROL_BYTES = CMSG_SPACE(sizeof(uint32_t)),
};

struct datagram {
	uint8_t bytes[LONGEST];
	struct endpoint_address sender;
	_Alignas(struct cmsghdr) char control[CONTROL_BYTES];
	struct iovec room;
};

struct datagrams {
	struct mmsghdr heads[AT_ONCE];
	unsigned count; /* received */
	unsigned next;  /* to be taken */
	uint32_t dropped;
	uint8_t *packed;
	struct datagram list[AT_ONCE];
};

int datagrams_new(uint32_t dropped, struct datagrams **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->dropped = dropped;
	return 0;
}

void datagrams_free(struct datagrams **datagrams)
{
	if (*datagrams)
		free((*datagrams)->packed);
	free(*datagrams);
	*datagrams = NULL;
}

bool datagrams_wait(const struct datagrams *datagrams)
{
	return datagrams->next < datagrams->count;
}

const struct endpoint_address *datagrams_sender(const struct datagrams *datagrams)
{
	return &datagrams->list[datagrams->next - 1].sender;
}

uint32_t datagrams_dropped(const struct datagrams *datagrams)
{
	return datagrams->dropped;
}

static void make_room(struct datagrams *datagrams)
{
	for (size_t i = 0; i < AT_ONCE; i++) {
		struct datagram *one = &datagrams->list[i];

		one->room = (struct iovec){.iov_base = one->bytes, .iov_len = LONGEST};
		datagrams->heads[i].msg_hdr = (struct msghdr){
			.msg_name = &one->sender.storage,
			.msg_namelen = sizeof(one->sender.storage),
			.msg_iov = &one->room,
			.msg_iovlen = 1,
			.msg_control = one->control,
			.msg_controllen = CONTROL_BYTES,
		};
	}
}

static int receive(struct datagrams *datagrams, int fd)
{
	int count;

	make_room(datagrams);
	datagrams->next = datagrams->count = 0;
	count = (int)TEMP_FAILURE_RETRY(
		recvmmsg(fd, datagrams->heads, AT_ONCE - 1, MSG_DONTWAIT, NULL));
	if (count < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	for (int i = 0; i < count; i++)
		datagrams->list[i].sender.bytes = datagrams->heads[i].msg_hdr.msg_namelen;
	datagrams->count = (unsigned)count;
	return count;
}

/* A sum that wraps; the kernel leaves it out while it is 0. */
static uint32_t lost_before(struct datagrams *datagrams, struct msghdr *head)
{
	uint32_t dropped = datagrams->dropped, lost;

	for (struct cmsghdr *one = CMSG_FIRSTHDR(head); one; one = CMSG_NXTHDR(head, one)) {
		if (one->cmsg_level == SOL_SOCKET && one->cmsg_type == SO_RXQ_OVFL)
			memcpy(&dropped, CMSG_DATA(one), sizeof(dropped));
	}
	lost = dropped - datagrams->dropped;
	datagrams->dropped = dropped;
	return lost;
}

/* One that was unpacked has been asked for before. */
static bool is_allowed(const struct access *access, const struct endpoint_address *sender)
{
	struct in6_addr address;

	return access_is_open(access) || !sender->bytes ||
	       (endpoint_address_ip(sender, &address) == 0 && access_is_allowed(access, &address));
}

int datagrams_next(struct datagrams *datagrams, int fd, const struct access *access,
		   uint64_t max_bytes, struct given_bytes *ret, struct datagrams_news *ret_news)
{
	*ret_news = (struct datagrams_news){0};
	if (!datagrams_wait(datagrams)) {
		int r = receive(datagrams, fd);

		if (r <= 0)
			return r;
	}
	while (datagrams_wait(datagrams)) {
		struct datagram *one = &datagrams->list[datagrams->next];
		struct mmsghdr *head = &datagrams->heads[datagrams->next++];

		ret_news->lost += lost_before(datagrams, &head->msg_hdr);
		if (!is_allowed(access, &one->sender)) {
			ret_news->denied++;
		} else if (head->msg_len > max_bytes) {
			ret_news->too_long++;
		} else if (head->msg_len > 0) {
			*ret = (struct given_bytes){.bytes = one->bytes, .count = head->msg_len};
			return 1;
		}
	}
	return 0;
}

/* ---- from one process to the next: the length of each, and its bytes ---- */

static size_t pack(uint8_t *at, const uint8_t *bytes, uint32_t count)
{
	memcpy(at, &count, sizeof(count));
	memcpy(at + sizeof(count), bytes, count);
	return sizeof(count) + count;
}

size_t datagrams_pack(struct datagrams *datagrams, const struct access *access,
		      const struct given_bytes *rest, uint8_t **ret)
{
	size_t bytes = 0;

	free(datagrams->packed);
	*ret = datagrams->packed = NULL;
	if (!rest->count && !datagrams_wait(datagrams))
		return 0;
	*ret = datagrams->packed = malloc(DATAGRAMS_PACKED_MAX);
	if (!*ret)
		return 0;
	if (rest->count)
		bytes += pack(*ret, rest->bytes, (uint32_t)rest->count);
	for (unsigned i = datagrams->next; i < datagrams->count; i++) {
		if (is_allowed(access, &datagrams->list[i].sender))
			bytes += pack(*ret + bytes, datagrams->list[i].bytes,
				      datagrams->heads[i].msg_len);
	}
	return bytes;
}

void datagrams_unpack(struct datagrams *datagrams, const uint8_t *bytes, size_t count)
{
	uint32_t length;

	while (count >= sizeof(length) && datagrams->count < AT_ONCE) {
		struct mmsghdr *head = &datagrams->heads[datagrams->count];

		memcpy(&length, bytes, sizeof(length));
		bytes += sizeof(length);
		count -= sizeof(length);
		if (length > size_min(count, LONGEST))
			return;
		memcpy(datagrams->list[datagrams->count++].bytes, bytes, length);
		*head = (struct mmsghdr){.msg_len = length};
		bytes += length;
		count -= length;
	}
}

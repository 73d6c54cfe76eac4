// SPDX-License-Identifier: MIT
/* The two ends of a TCP connection over loopback. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct tcp_pair {
	int accepted, connected;
};

/* Both block, and are the caller's.  receive_bytes: SO_RCVBUF of the one that connects, set before
 * it does; 0: as it is.  Fails the running test when that does not work. */
static inline struct tcp_pair tcp_pair_open(int receive_bytes)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct tcp_pair pair = {.connected = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	assert_true(listener >= 0 && pair.connected >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	if (receive_bytes)
		assert_int_equal(setsockopt(pair.connected, SOL_SOCKET, SO_RCVBUF, &receive_bytes,
					    sizeof(receive_bytes)),
				 0);
	assert_int_equal(connect(pair.connected, (struct sockaddr *)&address, length), 0);
	pair.accepted = accept(listener, NULL, NULL);
	assert_true(pair.accepted >= 0);
	(void)close(listener);
	return pair;
}

// SPDX-License-Identifier: MIT
/*
 * How many bytes have been written to a TCP socket, as the kernel counts them: those that the peer
 * has acknowledged and those that wait in the socket (tcp_info.tcpi_bytes_acked, Linux 4.1;
 * SIOCOUTQ, tcp(7)).  Both are kept for a socket whose process has died.  Other counts (of the
 * handshake, of FIN) are in it too, so that only differences say something.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

/* 0; -EOPNOTSUPP where it is not TCP; -EAGAIN when acknowledgements come in too fast to be counted;
 * -ENOTCONN when the connection has ended, and nothing is counted any more. */
must_check int sent_count(int fd, uint64_t *ret);

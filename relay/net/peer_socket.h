// SPDX-License-Identifier: MIT
/*
 * Sockets of peers, and the descriptors that a peer may send over one.
 *
 * Over a unix socket a peer can send descriptors beside bytes (SCM_RIGHTS, unix(7)).  relay wants
 * none.  Descriptors that nobody takes are closed by the kernel, in the thread that receives the
 * bytes or closes the socket.  Closing can last as long as the sender likes: the descriptor may be
 * a TCP socket with SO_LINGER and unsent bytes, or a file on a file system that hangs.
 *
 * So relay refuses them: SO_PASSRIGHTS (Linux 6.16) is switched off where relay listens, and who is
 * accepted there inherits that.  Who sends descriptors all the same gets EPERM.  Some sockets are
 * without this: all on an older kernel, and who connected before relay could switch it off.  There
 * relay takes the descriptors and closes them in a thread of their own.  Such a socket is closed in
 * that way, too, unless its queue is empty, because that may hold more of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"

/* Switches SO_PASSRIGHTS off: of a socket that listens or is to connect.  Does nothing to a socket
 * that is not unix, or where the kernel cannot do it. */
void peer_socket_refuse_descriptors(int fd);

/* A unix socket on which descriptors can come.  False for all else. */
bool peer_socket_may_have_descriptors(int fd);

/* As recv(2), but it is not interrupted.  Not for MSG_PEEK, which takes no descriptors off the
 * queue.  With descriptors among the bytes it fails with EPROTO: such a peer is to be closed. */
must_check ssize_t peer_socket_receive(int fd, void *bytes, size_t count, int flags);

/* Reads what has come, up to 256 KiB of it, before the socket is closed: closing with bytes unread
 * sends RST, which may overtake the last words. */
void peer_socket_discard(int fd);

/* The same, and FIN behind what was sent. */
void peer_socket_finish(int fd);

/* As fd_close(), for a socket that is connected or listens.  The connection ends, also where there
 * are duplicates.  A unix socket may be closed a little later. */
void peer_socket_close(int *fd);

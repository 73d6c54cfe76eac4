// SPDX-License-Identifier: MIT
/*
 * The bare loops. One epoll set with three kinds of fd: the two listening sockets and the
 * publisher; subscribers are never watched, they are written to.
 */
#include "floor.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COPY_PIECE_BYTES     (UINT64_C(256) << 10)
#define SPLICE_SEGMENT_BYTES (UINT64_C(1) << 20)
#define PAIR_PIECE_BYTES     (UINT64_C(512) << 10)
#define PIPE_BYTES           (1 << 20)

struct bare_loop {
	const struct bench_params *params;
	int epoll_fd;
	int ingest_listener;
	int subscriber_listener;
	int publisher;
	int *subscribers;
	size_t subscriber_count;
	size_t piece_bytes;
	char *piece;
	int segment_pipe[2];
	int copy_pipe[2];
	int null_fd;
	int pair[2]; /* sockets */
};

static void watch(struct bare_loop *loop, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Waits until fd takes bytes again. False when there is no more point in it. */
static bool wait_writable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return errno == EAGAIN && poll(&poll_fd, 1, 10000) == 1 && !(poll_fd.revents & POLLERR);
}

static void drop_subscriber(struct bare_loop *loop, size_t index)
{
	close(loop->subscribers[index]);
	loop->subscribers[index] = loop->subscribers[--loop->subscriber_count];
}

/* One piece from the publisher to all. False at its end. */
static bool pass_copy(struct bare_loop *loop)
{
	ssize_t got = recv(loop->publisher, loop->piece, loop->piece_bytes, MSG_DONTWAIT);

	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	for (size_t i = 0; i < loop->subscriber_count; i++) {
		size_t sent = 0;

		while (sent < (size_t)got) {
			ssize_t n = send(loop->subscribers[i], loop->piece + sent,
					 (size_t)got - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

			if (n > 0)
				sent += (size_t)n;
			else if (!wait_writable(loop->subscribers[i])) {
				drop_subscriber(loop, i--);
				break;
			}
		}
	}
	return true;
}

static void discard(const struct bare_loop *loop, int pipe_fd, size_t bytes)
{
	while (bytes) {
		ssize_t n = splice(pipe_fd, NULL, loop->null_fd, NULL, bytes, SPLICE_F_NONBLOCK);

		if (n <= 0)
			return;
		bytes -= (size_t)n;
	}
}

/* The segment of `bytes` in the segment pipe to all. False where it cannot be duplicated. */
static bool fan_out(struct bare_loop *loop, size_t bytes)
{
	for (size_t i = 0; i < loop->subscriber_count; i++) {
		size_t left = bytes;

		if (tee(loop->segment_pipe[0], loop->copy_pipe[1], left, SPLICE_F_NONBLOCK) !=
		    (ssize_t)bytes)
			return false;
		while (left) {
			ssize_t n = splice(loop->copy_pipe[0], NULL, loop->subscribers[i], NULL,
					   left, SPLICE_F_NONBLOCK);

			if (n > 0)
				left -= (size_t)n;
			else if (!wait_writable(loop->subscribers[i])) {
				discard(loop, loop->copy_pipe[0], left);
				drop_subscriber(loop, i--);
				break;
			}
		}
	}
	discard(loop, loop->segment_pipe[0], bytes);
	return true;
}

/* One segment from the publisher to all. False at its end. */
static bool pass_splice(struct bare_loop *loop)
{
	ssize_t got = splice(loop->publisher, NULL, loop->segment_pipe[1], NULL, loop->piece_bytes,
			     SPLICE_F_NONBLOCK);

	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	return fan_out(loop, (size_t)got);
}

/* The same, of a piece that is copied once. */
static bool pass_pair(struct bare_loop *loop)
{
	ssize_t got = recv(loop->publisher, loop->piece, loop->piece_bytes, MSG_DONTWAIT);
	size_t sent = 0, moved = 0;

	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	while (moved < (size_t)got) {
		ssize_t n =
			send(loop->pair[0], loop->piece + sent, (size_t)got - sent, MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		n = splice(loop->pair[1], NULL, loop->segment_pipe[1], NULL, sent - moved,
			   SPLICE_F_NONBLOCK);
		if (n <= 0)
			return false;
		moved += (size_t)n;
	}
	return fan_out(loop, (size_t)got);
}

static void accept_one(struct bare_loop *loop, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	wire_set_nodelay(fd);
	if (listener == loop->ingest_listener) {
		loop->publisher = fd;
		watch(loop, fd);
	} else if (loop->subscriber_count < loop->params->subscribers) {
		loop->subscribers[loop->subscriber_count++] = fd;
	} else {
		close(fd);
	}
}

static bool open_pipes(struct bare_loop *loop)
{
	loop->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (loop->null_fd < 0 || pipe2(loop->segment_pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
	    pipe2(loop->copy_pipe, O_NONBLOCK | O_CLOEXEC) < 0)
		return false;
	return fcntl(loop->segment_pipe[0], F_SETPIPE_SZ, PIPE_BYTES) == PIPE_BYTES &&
	       fcntl(loop->copy_pipe[0], F_SETPIPE_SZ, PIPE_BYTES) == PIPE_BYTES;
}

/* Sets *ret_pass to what takes one piece to all. */
static bool prepare_engine(struct bare_loop *loop, bool (**ret_pass)(struct bare_loop *))
{
	enum bench_floor floor = loop->params->floor;
	uint64_t piece_bytes = SPLICE_SEGMENT_BYTES;

	*ret_pass = pass_splice;
	if (floor == BENCH_FLOOR_COPY) {
		*ret_pass = pass_copy;
		piece_bytes = COPY_PIECE_BYTES;
	} else if (floor == BENCH_FLOOR_PAIR) {
		*ret_pass = pass_pair;
		piece_bytes = PAIR_PIECE_BYTES;
	}
	loop->piece_bytes = loop->params->segment ? loop->params->segment : piece_bytes;
	if (floor != BENCH_FLOOR_SPLICE && !(loop->piece = malloc(loop->piece_bytes)))
		return false;
	if (floor == BENCH_FLOOR_PAIR &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, loop->pair) < 0)
		return false;
	return floor == BENCH_FLOOR_COPY || open_pipes(loop);
}

static int serve(struct bare_loop *loop)
{
	bool (*pass)(struct bare_loop *);
	struct epoll_event events[16];

	if (!prepare_engine(loop, &pass)) {
		perror("relay-bench: bare loop");
		return 1;
	}
	for (;;) {
		int count = epoll_wait(loop->epoll_fd, events, 16, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd != loop->publisher)
				accept_one(loop, fd);
			else if (!pass(loop))
				return 0;
		}
	}
}

int floor_start(struct bench_params *params)
{
	struct bare_loop loop = {.params = params, .publisher = -1};
	pid_t parent = getpid(), pid;

	loop.ingest_listener = wire_listen(params->congestion, &params->ingest);
	loop.subscriber_listener = wire_listen(params->congestion, &params->subscribe);
	loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop.subscribers = calloc(params->subscribers, sizeof(*loop.subscribers));
	if (loop.ingest_listener < 0 || loop.subscriber_listener < 0 || loop.epoll_fd < 0 ||
	    !loop.subscribers)
		return errno ? -errno : -ENOMEM;
	watch(&loop, loop.ingest_listener);
	watch(&loop, loop.subscriber_listener);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		if (getppid() == parent && wire_pin(params->server_cpu) == 0)
			_exit(serve(&loop));
		_exit(1);
	}
	params->server_pid = pid;
	close(loop.ingest_listener);
	close(loop.subscriber_listener);
	close(loop.epoll_fd);
	free(loop.subscribers);
	return 0;
}

void floor_stop(const struct bench_params *params)
{
	kill(params->server_pid, SIGKILL);
	waitpid(params->server_pid, NULL, 0);
}

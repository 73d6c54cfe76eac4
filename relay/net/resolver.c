// SPDX-License-Identifier: MIT
/* One detached thread per look-up.
 *
 * Thread and loop share a struct resolver_lookup, which each of them references once; the thread
 * rings the loop's bell only while the request is wanted, under the lock that resolver_cancel()
 * takes, so a cancelled resolver and its loop may be freed while getaddrinfo() still waits for a
 * name server. */
#include "net/resolver.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

struct resolver_lookup {
	pthread_mutex_t lock;
	struct resolver *wanted_by; /* NULL: cancelled */
	unsigned references;
	struct resolver_answer answer; /* the thread's until it rings */
	struct endpoint endpoint;
};

void resolver_answer_free(struct resolver_answer *answer)
{
	free(answer->addresses);
	*answer = (struct resolver_answer){0};
}

/* Gives up one reference; called with the lock held, which is released. */
static void unlock_and_release(struct resolver_lookup *lookup)
{
	bool was_last = --lookup->references == 0;

	pthread_mutex_unlock(&lookup->lock);
	if (was_last) {
		resolver_answer_free(&lookup->answer);
		pthread_mutex_destroy(&lookup->lock);
		free(lookup);
	}
}

/* Exchanges the addresses of [from, to) at random (Fisher and Yates). */
static void shuffle(struct endpoint_address *addresses, size_t from, size_t to)
{
	for (; to - from > 1; from++) {
		size_t other = from + arc4random_uniform((uint32_t)(to - from));
		struct endpoint_address kept = addresses[from];

		addresses[from] = addresses[other];
		addresses[other] = kept;
	}
}

static void shuffle_families(struct resolver_answer *answer)
{
	size_t from = 0;

	for (size_t i = 1; i <= answer->count; i++) {
		if (i < answer->count && answer->addresses[i].storage.ss_family ==
						 answer->addresses[from].storage.ss_family)
			continue;
		shuffle(answer->addresses, from, i);
		from = i;
	}
}

static void take_addresses(const struct addrinfo *found, struct resolver_answer *ret)
{
	size_t count = 0;

	for (const struct addrinfo *ai = found; ai; ai = ai->ai_next)
		count++;
	ret->addresses = calloc(count, sizeof(*ret->addresses));
	if (!ret->addresses) {
		ret->error = "out of memory";
		return;
	}
	for (const struct addrinfo *ai = found; ai; ai = ai->ai_next) {
		struct endpoint_address *address = &ret->addresses[ret->count++];

		memcpy(&address->storage, ai->ai_addr, ai->ai_addrlen);
		address->bytes = ai->ai_addrlen;
	}
	shuffle_families(ret);
}

/* flags: AI_NUMERICHOST for an answer without a name server.  Returns what getaddrinfo() does. */
static int look_up_tcp(const struct endpoint *endpoint, int flags, struct resolver_answer *ret)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	};
	const char *host = endpoint->host[0] ? endpoint->host : NULL; /* NULL: this machine */
	struct addrinfo *found;
	int r = getaddrinfo(host, endpoint->port, &hints, &found);

	*ret = (struct resolver_answer){0};
	if (r != 0) {
		ret->error = gai_strerror(r);
		return r;
	}
	take_addresses(found, ret);
	freeaddrinfo(found);
	return 0;
}

/* True when the answer (good or bad) is known without asking anybody. */
static bool answer_at_once(const struct endpoint *endpoint, struct resolver_answer *ret)
{
	if (endpoint->kind == ENDPOINT_UNIX) {
		*ret = (struct resolver_answer){.addresses = calloc(1, sizeof(*ret->addresses))};
		if (ret->addresses)
			endpoint_unix_address(endpoint, &ret->addresses[ret->count++]);
		else
			ret->error = "out of memory";
		return true;
	}
	return look_up_tcp(endpoint, AI_NUMERICHOST, ret) != EAI_NONAME;
}

static void *look_up(void *arg)
{
	struct resolver_lookup *lookup = arg;

	look_up_tcp(&lookup->endpoint, 0, &lookup->answer);
	pthread_mutex_lock(&lookup->lock);
	if (lookup->wanted_by)
		ev_async_send(lookup->wanted_by->loop, &lookup->wanted_by->answered);
	unlock_and_release(lookup);
	return NULL;
}

static void on_answered(struct ev_loop *loop, struct ev_async *watcher, int revents)
{
	struct resolver *resolver = container_of(watcher, struct resolver, answered);
	struct resolver_answer answer;

	(void)loop;
	(void)revents;
	pthread_mutex_lock(&resolver->lookup->lock);
	answer = resolver->lookup->answer;
	resolver->lookup->answer = (struct resolver_answer){0};
	pthread_mutex_unlock(&resolver->lookup->lock);
	resolver_cancel(resolver);
	resolver->on_answer(resolver->owner, &answer);
	resolver_answer_free(&answer);
}

void resolver_init(struct resolver *resolver, struct ev_loop *loop, resolver_answer_fn on_answer,
		   void *owner)
{
	*resolver = (struct resolver){.loop = loop, .on_answer = on_answer, .owner = owner};
	ev_async_init(&resolver->answered, on_answered);
}

int resolver_start(struct resolver *resolver, const struct endpoint *endpoint)
{
	struct resolver_lookup *lookup;
	pthread_t thread;
	int r;

	resolver_cancel(resolver);
	lookup = calloc(1, sizeof(*lookup));
	if (!lookup)
		return -ENOMEM;
	pthread_mutex_init(&lookup->lock, NULL);
	lookup->wanted_by = resolver;
	lookup->endpoint = *endpoint;
	lookup->references = 1;

	resolver->lookup = lookup;
	ev_async_start(resolver->loop, &resolver->answered);
	if (answer_at_once(endpoint, &lookup->answer)) {
		ev_async_send(resolver->loop, &resolver->answered);
		return 0;
	}
	lookup->references = 2;
	r = thread_start(look_up, lookup, &thread);
	if (r < 0) {
		lookup->references = 1;
		resolver_cancel(resolver);
		return r;
	}
	pthread_detach(thread);
	return 0;
}

void resolver_cancel(struct resolver *resolver)
{
	struct resolver_lookup *lookup = resolver->lookup;

	if (!lookup)
		return;
	ev_async_stop(resolver->loop, &resolver->answered);
	resolver->lookup = NULL;
	pthread_mutex_lock(&lookup->lock);
	lookup->wanted_by = NULL;
	unlock_and_release(lookup);
}

// SPDX-License-Identifier: MIT
/* A list of sequences, without order. */
#include "nats/stream_tail.h"

#include "base/compiler.h"

static bool is_in_list(const struct stream_tail *tail, uint64_t sequence)
{
	for (size_t i = 0; i < tail->count; i++) {
		if (tail->list[i] == sequence)
			return true;
	}
	return false;
}

bool stream_tail_add(struct stream_tail *tail, const struct forward_id *id, size_t bytes)
{
	size_t rounds;

	if (!tail->count)
		*tail = (struct stream_tail){
			.session = id->session,
			.newest = id->sequence,
			.lowest = id->sequence,
		};
	if (id->session != tail->session || tail->count == STREAM_TAIL_MAX)
		return false;
	if (!is_in_list(tail, id->sequence))
		tail->list[tail->count++] = id->sequence;
	tail->newest = u64_max(tail->newest, id->sequence);
	tail->lowest = u64_min(tail->lowest, id->sequence);
	tail->most_bytes = size_max(tail->most_bytes, bytes);
	tail->bytes += bytes;
	/* Where none is missing, nothing stands behind later ones. */
	rounds = tail->newest - tail->lowest + 1 == tail->count ? 1 : 2;
	return tail->count < rounds * UNACKED_MAX &&
	       tail->bytes - tail->most_bytes < rounds * UNACKED_BYTES;
}

void stream_tail_end(struct stream_tail *tail)
{
	uint64_t first = tail->lowest;

	if (!tail->count)
		return;
	if (tail->newest - first >= UNACKED_MAX)
		first = tail->newest - UNACKED_MAX + 1;
	tail->floor = is_in_list(tail, first) ? first : first - 1;
	while (tail->floor < tail->newest && is_in_list(tail, tail->floor + 1))
		tail->floor++;
}

bool stream_tail_has(const struct stream_tail *tail, const struct forward_id *id)
{
	if (id->session != tail->session || id->sequence > tail->newest)
		return false;
	return id->sequence <= tail->floor || is_in_list(tail, id->sequence);
}

uint64_t stream_tail_count(const struct stream_tail *tail, uint32_t session, uint64_t from,
			   uint64_t to)
{
	uint64_t count = 0;

	for (size_t i = 0; session == tail->session && i < tail->count; i++) {
		uint64_t sequence = tail->list[i];

		count += sequence > tail->floor && sequence >= from && sequence < to;
	}
	return count;
}

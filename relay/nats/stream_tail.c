// SPDX-License-Identifier: MIT
/* A list of sequences, without order; and the one header field of a message that counts. */
#include "nats/stream_tail.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define ID_FIELD "\r\nNats-Msg-Id:"

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

/* ---- a message of the stream ---- */

/* What so much base64 stands for. */
static size_t plain_bytes(const char *text, size_t length)
{
	size_t padding = 0;

	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	return length / 4 * 3 - padding;
}

/* Is it base64, or left out? */
static bool may_be_base64(const json_t *value)
{
	return !value || (json_is_string(value) && json_string_length(value) % 4 == 0);
}

/* In header fields that end with zero. */
static bool find_id(char *fields, const char *subject, struct forward_id *ret)
{
	char *value = strstr(fields, ID_FIELD);

	if (!value)
		return false;
	value += strlen(ID_FIELD);
	value += strspn(value, " ");
	value[strcspn(value, "\r")] = '\0';
	return forward_id_parse(value, subject, ret);
}

static int read_id(const json_t *value, const char *subject, struct stored_message *ret)
{
	const char *base64 = json_string_value(value);
	size_t length = json_string_length(value);
	char *fields = malloc(length + 1); /* more than it takes */
	bool is_base64;

	if (!fields)
		return -ENOMEM;
	is_base64 = EVP_DecodeBlock((uint8_t *)fields, (const uint8_t *)base64, (int)length) >= 0;
	if (is_base64) {
		fields[plain_bytes(base64, length)] = '\0';
		ret->has_id = find_id(fields, subject, &ret->id);
	}
	free(fields);
	return is_base64 ? 0 : -EBADMSG;
}

int stored_message_read(const json_t *message, const char *subject, struct stored_message *ret)
{
	const json_t *fields = json_object_get(message, "hdrs");
	const json_t *data = json_object_get(message, "data");
	const char *its_subject = json_string_value(json_object_get(message, "subject"));
	json_int_t sequence = json_integer_value(json_object_get(message, "seq"));

	if (!its_subject || sequence <= 0 || !may_be_base64(fields) || !may_be_base64(data))
		return -EBADMSG;
	*ret = (struct stored_message){.sequence = (uint64_t)sequence};
	if (data)
		ret->bytes = plain_bytes(json_string_value(data), json_string_length(data));
	if (!fields || strcmp(its_subject, subject) != 0)
		return 0;
	return read_id(fields, subject, ret);
}

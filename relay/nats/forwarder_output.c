// SPDX-License-Identifier: MIT
/* What the thread sends to the stream, and what the stream says to it. */
#include "nats/forwarder_parts.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/num.h"

enum {
	OVERTAKEN_MAX = 3, /* then a message is published, whatever else has come */
};

/* What a message has beside its bytes, as the servers count it. */
static size_t header_bytes(const struct forwarder *forwarder, const char *id)
{
	static const char around[] = "NATS/1.0\r\nNats-Msg-Id: \r\nNats-Expected-Stream: \r\n\r\n";
	static const char expected[] = "Nats-Expected-Last-Sequence: 18446744073709551615\r\n";
	size_t bytes = strlen(around) + strlen(id) + strlen(forwarder->params.backbone.stream);

	return forwarder->target.is_ours_alone ? bytes + strlen(expected) : bytes;
}

static bool is_too_long(const struct forwarder *forwarder, const struct forward_id *id,
			size_t count)
{
	char text[FORWARD_ID_BYTES];

	forward_id_print(id, forwarder->params.backbone.subject, text);
	return count + header_bytes(forwarder, text) > forwarder->target.max_bytes;
}

static void note_too_long(struct forwarder *forwarder, const struct forward_id *id, size_t count)
{
	uint64_t suppressed;

	forwarder->counts.too_long++;
	if (log_allow(&forwarder->too_long_log, clock_mono_ns(), &suppressed))
		log_warn("forward leaves out a message feed=%s session=%u sequence=%llu bytes=%zu: "
			 "it is longer than max_payload of the server or the stream's "
			 "max_msg_size, which leave %zu bytes with the header fields; expected "
			 "shorter ones from the publisher suppressed=%llu",
			 forwarder->feed_name, id->session, (unsigned long long)id->sequence, count,
			 forwarder->target.max_bytes, (unsigned long long)suppressed);
}

/* Where nobody else publishes to the stream, a message has to come right behind those that relay
 * knows of: those that the stream had when relay looked, and those that are on their way before it.
 * So one that was lost on the way is not overtaken by those behind it, and one that comes late,
 * from whomever, is not taken behind newer ones or for a second time.  Ids alone hold only within
 * the duplicate window.  The stream looks for the id first, so what it has is still acknowledged.
 *
 * If relay knew of too few, by 10 say, the stream would refuse ten messages and take the eleventh.
 * So after a look one message goes alone, until its acknowledgement has told where it stands.
 *
 * If the stream is further, something has come into it that relay does not know of: of a process
 * before, of another connection, or of the other origin of a pair.  Then relay looks again.  The
 * other origin may publish all the time, so after some tries a message goes without, and the next
 * one when its acknowledgement has told where it stands.
 *
 * Nats-Expected-Last-Msg-Id would say the same in fewer words.  But each replica of the stream
 * compares that with the id of its own newest message, and one that was away does not learn that id
 * when it fetches what it missed (processCatchupMsg() of nats-server 2.9.10).  It then refuses all
 * that comes, for good, and is the stream as soon as it becomes its leader. */
static natsStatus expect_sequence(natsMsg *message, struct forwarder *forwarder,
				  struct unacked_message *unacked)
{
	char sequence[21];

	if (!forwarder->target.is_ours_alone)
		return NATS_OK;
	unacked->expected_seq = forwarder->target.last_seq;
	if (!stream_tail_has(&forwarder->tail, &unacked->id))
		forwarder->target.last_seq++;
	if (forwarder->overtaken >= OVERTAKEN_MAX)
		return NATS_OK;
	(void)snprintf(sequence, sizeof(sequence), "%llu",
		       (unsigned long long)unacked->expected_seq);
	return natsMsgHeader_Set(message, "Nats-Expected-Last-Sequence", sequence);
}

static natsStatus set_fields(natsMsg *message, const char *id, const char *stream)
{
	natsStatus status = natsMsgHeader_Set(message, "Nats-Msg-Id", id);

	if (status == NATS_OK)
		status = natsMsgHeader_Set(message, "Nats-Expected-Stream", stream);
	return status;
}

/* Once or again.  0 or -errno with a message. */
static int publish(struct forwarder *forwarder, struct nats_connection *connection,
		   const struct nats_answers *acks, uint64_t number, struct errmsg *err)
{
	struct unacked_message *unacked = unacked_find(&forwarder->unacked, number);
	const struct backbone_params *params = &forwarder->params.backbone;
	char id[FORWARD_ID_BYTES], reply[NATS_ANSWER_BYTES];
	natsMsg *message = NULL;
	natsStatus status;

	forward_id_print(&unacked->id, params->subject, id);
	nats_answers_subject(acks, number, reply);
	status = natsMsg_Create(&message, params->subject, reply, (const char *)unacked->bytes,
				(int)unacked->count);
	if (status == NATS_OK)
		status = set_fields(message, id, params->stream);
	if (status == NATS_OK)
		status = expect_sequence(message, forwarder, unacked);
	if (status == NATS_OK)
		status = natsConnection_PublishMsg(connection->connection, message);
	natsMsg_Destroy(message);
	unacked->sent_ms = clock_mono_ns() / NS_PER_MS;
	forwarder->sent_until = number + 1;
	forwarder->counts.sent += status == NATS_OK;
	if (status == NATS_OK)
		return 0;
	errmsg_set(err, "stream %s: cannot publish: %s", params->stream,
		   natsStatus_GetText(status));
	return -EIO;
}

/* Nothing is on its way before it; or the stream takes it in its place.  One that goes without the
 * sequence it expects is the only one on its way. */
static bool may_publish(const struct forwarder *forwarder, uint64_t number, bool is_there)
{
	bool is_known = !forwarder->target.is_ours_alone || forwarder->is_aligned || is_there;

	return (is_known && forwarder->overtaken < OVERTAKEN_MAX) ||
	       number == forwarder->unacked.first;
}

bool forwarder_has_room(const struct forwarder *forwarder)
{
	const struct unacked *unacked = &forwarder->unacked;

	return !unacked_is_full(unacked) && forwarder->sent_until == unacked->next &&
	       may_publish(forwarder, unacked->next, false);
}

/* Bytes of the message at the beginning of the hand.  The last one of a packet is all that is
 * left. */
static size_t message_bytes(const struct forwarder *forwarder)
{
	const struct packet_in_hand *hand = &forwarder->hand;

	if (hand->sequence + 1 >= hand->next_seq)
		return hand->count;
	return framing_message_bytes(&forwarder->framing, hand->bytes, hand->count);
}

int forwarder_publish_hand(struct forwarder *forwarder, struct nats_connection *connection,
			   const struct nats_answers *acks, struct errmsg *err)
{
	struct packet_in_hand *hand = &forwarder->hand;
	struct forward_id *position = &forwarder->position;
	int r = 0;

	while (r == 0 && hand->count && forwarder_has_room(forwarder)) {
		const struct forward_id id = {position->session, hand->sequence};
		const uint8_t *bytes = hand->bytes;
		size_t count = message_bytes(forwarder);
		bool is_new = id.sequence >= position->sequence &&
			      !stream_tail_has(&forwarder->tail, &id);
		bool is_long = is_new && is_too_long(forwarder, &id, count);

		if (is_new && !is_long && unacked_add(&forwarder->unacked, &id, bytes, count) < 0) {
			errmsg_errno(err, ENOMEM, "message");
			return -ENOMEM;
		}
		hand->bytes += count;
		hand->count -= count;
		hand->sequence = hand->count ? hand->sequence + 1 : hand->next_seq;
		position->sequence = u64_max(position->sequence, hand->sequence);
		if (is_long)
			note_too_long(forwarder, &id, count);
		else if (is_new)
			r = publish(forwarder, connection, acks, forwarder->unacked.next - 1, err);
	}
	return r;
}

int forwarder_publish_again(struct forwarder *forwarder, struct nats_connection *connection,
			    const struct nats_answers *acks, struct errmsg *err)
{
	struct unacked *unacked = &forwarder->unacked;
	int r = 0;

	forwarder->sent_until = u64_max(forwarder->sent_until, unacked->first);
	while (r == 0 && forwarder->sent_until < unacked->next) {
		uint64_t number = forwarder->sent_until;
		const struct unacked_message *message = unacked_find(unacked, number);
		bool is_there = message && stream_tail_has(&forwarder->tail, &message->id);

		if (message && !may_publish(forwarder, number, is_there))
			break;
		forwarder->sent_until++;
		if (!message)
			continue;
		if (forwarder->is_late && is_there) {
			forwarder->counts.acked++;
			(void)unacked_settle(unacked, number);
		} else if (is_too_long(forwarder, &message->id, message->count)) {
			note_too_long(forwarder, &message->id, message->count);
			(void)unacked_settle(unacked, number);
		} else {
			r = publish(forwarder, connection, acks, number, err);
		}
	}
	return r;
}

/* ---- what the stream says ---- */

/* "wrong last sequence: NUMBER" of a server says how far the stream is.  False: something was lost
 * on the way, so it is less far than relay knew. */
static bool is_overtaken(const struct unacked_message *message, const char *text)
{
	const char *colon = text ? strstr(text, ": ") : NULL;
	uint64_t last_seq;

	return !message || !colon || num_parse_count(colon + 2, &last_seq) < 0 ||
	       last_seq > message->expected_seq;
}

static int take_refusal(struct forwarder *forwarder, uint64_t number, const json_t *error,
			struct errmsg *err)
{
	const struct unacked_message *message = unacked_find(&forwarder->unacked, number);
	const char *text = json_string_value(json_object_get(error, "description"));
	json_int_t code = json_integer_value(json_object_get(error, "err_code"));

	if (code == JSStreamMessageExceedsMaximumErr && message) {
		note_too_long(forwarder, &message->id, message->count);
		(void)unacked_settle(&forwarder->unacked, number);
		return 0;
	}
	if (code == JSStreamWrongLastSequenceErr && is_overtaken(message, text)) {
		forwarder->overtaken++;
		errmsg_set(err,
			   "stream %s has got messages since relay looked at it; relay looks again",
			   forwarder->params.backbone.stream);
		return -EAGAIN;
	}
	if (code == JSStreamWrongLastSequenceErr) {
		errmsg_set(err,
			   "stream %s lacks a message that was published before; relay begins "
			   "again with that",
			   forwarder->params.backbone.stream);
		return -EAGAIN;
	}
	errmsg_set(err, "stream %s takes no message: %.200s", forwarder->params.backbone.stream,
		   text ? text : "it does not say why");
	return -EIO;
}

/* It stands there in the stream.  0: the server does not know yet, for the same message of another
 * origin is still on its way. */
static void align(struct forwarder *forwarder, uint64_t number, uint64_t sequence)
{
	const struct unacked_message *message = unacked_find(&forwarder->unacked, number);
	bool is_last = forwarder->sent_until == number + 1;

	if (!sequence)
		return;
	if (!stream_tail_has(&forwarder->tail, &message->id))
		forwarder->is_aligned = sequence == message->expected_seq + 1 || is_last;
	forwarder->target.last_seq = u64_max(forwarder->target.last_seq, sequence);
}

static int take_ack(struct forwarder *forwarder, natsMsg *message, uint64_t number,
		    struct errmsg *err)
{
	json_t *ack = json_loadb(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message),
				 0, NULL);
	const json_t *error = json_object_get(ack, "error");
	int r = 0;

	if (error) {
		r = take_refusal(forwarder, number, error, err);
	} else if (json_is_object(ack) && unacked_find(&forwarder->unacked, number)) {
		align(forwarder, number, (uint64_t)json_integer_value(json_object_get(ack, "seq")));
		(void)unacked_settle(&forwarder->unacked, number);
		forwarder->overtaken = 0;
		forwarder->counts.acked++;
		forwarder->counts.duplicates += json_is_true(json_object_get(ack, "duplicate"));
		forwarder->heard_ms = clock_mono_ns() / NS_PER_MS;
	}
	json_decref(ack);
	return r;
}

int forwarder_take_acks(struct forwarder *forwarder, const struct nats_answers *acks,
			uint32_t wait_ms, struct errmsg *err)
{
	const struct backbone_params *params = &forwarder->params.backbone;
	natsMsg *message;
	uint64_t number;
	int r = 0;

	while (r == 0) {
		natsStatus status = nats_answers_next(acks, wait_ms, &message, &number);

		if (status == NATS_TIMEOUT)
			return 0;
		if (status == NATS_NO_RESPONDERS) {
			errmsg_set(err, "stream %s does not answer: no server takes %s just now",
				   params->stream, params->subject);
			return -EAGAIN;
		}
		if (status != NATS_OK) {
			errmsg_set(err, "the connection is lost");
			return -EIO;
		}
		wait_ms = 0;
		r = take_ack(forwarder, message, number, err);
		natsMsg_Destroy(message);
	}
	return r;
}

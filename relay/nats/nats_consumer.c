// SPDX-License-Identifier: MIT
/*
 * Push consumers without acknowledgement, as the documentation of JetStream has ordered consumers.
 * The library has such of its own; this one shows each heartbeat, which the library's hides.
 */
#include "nats/nats_consumer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "nats/nats_stream.h"

enum {
	KEPT_S = 30, /* by the server, when nobody listens any more */
	STATUS_CONTROL = 100,
	DELETE_WAIT_MS = 500,
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

/* ---- opening ---- */

static int subscribe(struct nats_consumer *consumer, const char *subject, struct errmsg *err)
{
	natsStatus status = natsConnection_SubscribeSync(&consumer->subscription,
							 consumer->connection->connection, subject);

	if (status == NATS_OK)
		status = natsSubscription_SetPendingLimits(consumer->subscription, INT_MAX,
							   CONSUMER_PENDING_BYTES);
	if (status == NATS_OK)
		return 0;
	errmsg_set(err, "cannot subscribe to %s: %s", subject, natsStatus_GetText(status));
	return -EIO;
}

static int add_to_stream(struct nats_consumer *consumer, const struct backbone_params *params,
			 const char *inbox, uint64_t from_seq, uint64_t from_ns, struct errmsg *err)
{
	jsConsumerConfig config;
	jsConsumerInfo *info = NULL;
	jsOptions options;
	jsErrCode code = 0;
	natsStatus status;

	(void)jsOptions_Init(&options);
	options.Wait = NATS_WAIT_MS;
	(void)jsConsumerConfig_Init(&config);
	config.DeliverSubject = inbox;
	config.DeliverPolicy = from_seq ? js_DeliverByStartSequence : js_DeliverByStartTime;
	config.OptStartSeq = from_seq;
	config.OptStartTime = from_seq ? 0 : (int64_t)from_ns;
	config.AckPolicy = js_AckNone;
	config.MaxDeliver = 1;
	config.FilterSubject = *params->subject ? params->subject : NULL;
	config.FlowControl = true;
	config.Heartbeat = (int64_t)(CONSUMER_HEARTBEAT_MS * NS_PER_MS);
	config.InactiveThreshold = (int64_t)(KEPT_S * NS_PER_S);
	config.Replicas = 1;
	config.MemoryStorage = true;
	status = js_AddConsumer(&info, consumer->connection->stream_api, params->stream, &config,
				&options, &code);
	if (status != NATS_OK)
		return nats_stream_error(consumer->connection, params, status, code, err);
	(void)snprintf(consumer->name, sizeof(consumer->name), "%s", info->Name);
	consumer->pending = info->NumPending;
	jsConsumerInfo_Destroy(info);
	return 0;
}

int nats_consumer_open(struct nats_consumer *ret, struct nats_connection *connection,
		       const struct backbone_params *params, uint64_t from_seq, uint64_t from_ns,
		       struct errmsg *err)
{
	natsInbox *inbox = NULL;
	int r;

	*ret = (struct nats_consumer){.connection = connection, .heard_ms = now_ms()};
	if (!*params->stream)
		return subscribe(ret, params->subject, err);
	(void)snprintf(ret->stream, sizeof(ret->stream), "%s", params->stream);
	if (natsInbox_Create(&inbox) != NATS_OK) {
		errmsg_errno(err, ENOMEM, "stream %s", params->stream);
		return -ENOMEM;
	}
	r = subscribe(ret, inbox, err);
	if (r == 0)
		r = add_to_stream(ret, params, inbox, from_seq, from_ns, err);
	natsInbox_Destroy(inbox);
	if (r < 0)
		nats_consumer_close(ret);
	return r;
}

void nats_consumer_close(struct nats_consumer *consumer)
{
	jsOptions options;

	if (*consumer->name && !*nats_connection_why_lost(consumer->connection)) {
		(void)jsOptions_Init(&options);
		options.Wait = DELETE_WAIT_MS;
		(void)js_DeleteConsumer(consumer->connection->stream_api, consumer->stream,
					consumer->name, &options, NULL);
	}
	nats_connection_unsubscribe(consumer->connection, &consumer->subscription);
	*consumer = (struct nats_consumer){0};
}

/* ---- messages ---- */

static bool answer(struct nats_consumer *consumer, const char *subject)
{
	return natsConnection_Publish(consumer->connection->connection, subject, NULL, 0) ==
	       NATS_OK;
}

/* A number in a header field.  False: there is none. */
static bool find_number(natsMsg *message, const char *field, uint64_t *ret)
{
	const char *text = NULL;

	return natsMsgHeader_Get(message, field, &text) == NATS_OK && text &&
	       num_parse_count(text, ret) == 0;
}

/* A heartbeat or a question of flow control.  "": all is well; else why the consumer is lost. */
static const char *take_control(struct nats_consumer *consumer, natsMsg *message)
{
	const char *reply = natsMsg_GetReply(message);
	const char *stalled = NULL;
	uint64_t delivered;

	if (reply && *reply && !answer(consumer, reply))
		return "flow control cannot be answered";
	if (natsMsgHeader_Get(message, "Nats-Consumer-Stalled", &stalled) == NATS_OK && stalled &&
	    !answer(consumer, stalled))
		return "flow control cannot be answered";
	if (find_number(message, "Nats-Last-Consumer", &delivered) &&
	    delivered != consumer->delivered)
		return "messages are missing";
	return "";
}

/* False: the message is none of a stream. */
static bool read_numbers(natsMsg *message, struct nats_message *ret, uint64_t *ret_delivered)
{
	jsMsgMetaData *about = NULL;

	if (natsMsg_GetMetaData(&about, message) != NATS_OK)
		return false;
	ret->sequence = about->Sequence.Stream;
	ret->time_ns = (uint64_t)about->Timestamp;
	ret->pending = about->NumPending;
	*ret_delivered = about->Sequence.Consumer;
	jsMsgMetaData_Destroy(about);
	return true;
}

/* The library dropped what was beyond its bound. */
static uint64_t take_dropped(struct nats_consumer *consumer)
{
	int64_t dropped = consumer->dropped;

	(void)natsSubscription_GetDropped(consumer->subscription, &dropped);
	if (dropped <= consumer->dropped)
		return 0;
	dropped -= consumer->dropped;
	consumer->dropped += dropped;
	return (uint64_t)dropped;
}

static enum nats_arrival lose(const char *text, natsMsg *message, const char **why)
{
	natsMsg_Destroy(message);
	*why = text;
	return NATS_ARRIVAL_LOST;
}

static enum nats_arrival take_message(struct nats_consumer *consumer, natsMsg *message,
				      struct nats_message *ret, const char **why)
{
	uint64_t delivered = 0;

	*ret = (struct nats_message){
		.message = message,
		.bytes = (const uint8_t *)natsMsg_GetData(message),
		.count = (size_t)natsMsg_GetDataLength(message),
	};
	if (!*consumer->stream) {
		ret->missed = take_dropped(consumer);
		return NATS_ARRIVAL_MESSAGE;
	}
	if (!read_numbers(message, ret, &delivered))
		return lose("a message without a place in the stream has come", message, why);
	if (delivered != consumer->delivered + 1)
		return lose("messages are missing", message, why);
	consumer->delivered = delivered;
	return NATS_ARRIVAL_MESSAGE;
}

/* True: it is from the server, to the consumer itself. */
static bool is_control(const struct nats_consumer *consumer, natsMsg *message)
{
	uint64_t status;

	return *consumer->stream && natsMsg_GetDataLength(message) == 0 &&
	       find_number(message, "Status", &status) && status == STATUS_CONTROL;
}

enum nats_arrival nats_consumer_next(struct nats_consumer *consumer, uint32_t wait_ms,
				     struct nats_message *ret, const char **why)
{
	for (;;) {
		natsMsg *message = NULL;
		natsStatus status =
			natsSubscription_NextMsg(&message, consumer->subscription, wait_ms);

		if (status == NATS_TIMEOUT)
			break;
		if (status == NATS_SLOW_CONSUMER)
			continue;
		if (status != NATS_OK)
			return lose("the subscription has ended", NULL, why);
		consumer->heard_ms = now_ms();
		if (!is_control(consumer, message))
			return take_message(consumer, message, ret, why);
		*why = take_control(consumer, message);
		natsMsg_Destroy(message);
		if (**why)
			return NATS_ARRIVAL_LOST;
	}
	if (*consumer->stream && now_ms() - consumer->heard_ms >= CONSUMER_SILENT_MS)
		return lose("the server has sent neither message nor heartbeat", NULL, why);
	return NATS_ARRIVAL_NONE;
}

// SPDX-License-Identifier: MIT
/* The stream as its leader tells it. */
#include "nats/nats_stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ADVICE_PERMISSIONS                                                                         \
	"the user needs to publish to $JS.API.STREAM.INFO.%s, $JS.API.STREAM.MSG.GET.%s, "         \
	"$JS.API.CONSUMER.CREATE.%s and $JS.FC.%s.>, and to subscribe to _INBOX.>"

static jsOptions wait_options(void)
{
	jsOptions options;

	(void)jsOptions_Init(&options);
	options.Wait = NATS_WAIT_MS;
	return options;
}

/* Of a refusal nothing comes back but a line on the connection. */
static bool tell_refusal(struct nats_connection *connection, const char *stream, struct errmsg *err)
{
	struct errmsg refusal;

	if (!nats_connection_take_refusal(connection, &refusal))
		return false;
	errmsg_set(err, "stream %s: %.150s; " ADVICE_PERMISSIONS, stream, refusal.text, stream,
		   stream, stream, stream);
	return true;
}

int nats_stream_error(struct nats_connection *connection, const struct backbone_params *params,
		      natsStatus status, jsErrCode code, struct errmsg *err)
{
	const char *stream = params->stream;
	natsStatus ignored;
	const char *text = nats_GetLastError(&ignored);

	if (tell_refusal(connection, stream, err))
		return -EACCES;
	if (code == JSStreamNotFoundErr) {
		errmsg_set(err,
			   "there is no stream %s; `nats stream ls` lists those that are there, "
			   "`nats stream add %s` makes it",
			   stream, stream);
		return -ENOENT;
	}
	if (code == JSNotEnabledErr || code == JSNotEnabledForAccountErr ||
	    status == NATS_NO_RESPONDERS) {
		errmsg_set(err, "JetStream is not there; expected jetstream { ... } in the "
				"configuration of the server, and for the account of the user");
		return -ENOENT;
	}
	if (code == JSConsumerFilterNotSubsetErr) {
		errmsg_set(err, "stream %s has no subject %s; `nats stream info %s` lists its own",
			   stream, params->subject, stream);
		return -ENOENT;
	}
	errmsg_set(err, "stream %s: %s", stream, text && *text ? text : natsStatus_GetText(status));
	return status == NATS_TIMEOUT ? -ETIMEDOUT : -EIO;
}

static int check_retention(const jsStreamInfo *info, const char *stream, struct errmsg *err)
{
	if (info->Config->Retention == js_LimitsPolicy)
		return 0;
	errmsg_set(
		err,
		"stream %s removes messages as they are read (retention = %s), so relay would take "
		"them from others; expected retention = limits, or a mirror of it with that",
		stream, info->Config->Retention == js_InterestPolicy ? "interest" : "workqueue");
	return -EINVAL;
}

/* 0 also where there is none. */
static int find_match(struct nats_connection *connection, const struct backbone_params *params,
		      uint64_t *ret, struct errmsg *err)
{
	jsOptions options = wait_options();
	natsMsg *message = NULL;
	jsErrCode code = 0;
	natsStatus status = js_GetLastMsg(&message, connection->stream_api, params->stream,
					  params->subject, &options, &code);

	*ret = 0;
	if (status == NATS_OK)
		*ret = natsMsg_GetSequence(message);
	natsMsg_Destroy(message);
	if (status == NATS_OK || code == JSNoMessageFoundErr || status == NATS_NOT_FOUND)
		return 0;
	return nats_stream_error(connection, params, status, code, err);
}

int nats_stream_look(struct nats_connection *connection, const struct backbone_params *params,
		     struct stream_seen *ret, struct errmsg *err)
{
	jsOptions options = wait_options();
	struct stream_seen seen;
	jsStreamInfo *info = NULL;
	jsErrCode code = 0;
	natsStatus status =
		js_GetStreamInfo(&info, connection->stream_api, params->stream, &options, &code);
	int r;

	if (status != NATS_OK)
		return nats_stream_error(connection, params, status, code, err);
	seen = (struct stream_seen){
		.created_ns = (uint64_t)info->Created,
		.last_seq = info->State.LastSeq,
		.match_seq = info->State.LastSeq,
	};
	r = check_retention(info, params->stream, err);
	jsStreamInfo_Destroy(info);
	if (r == 0 && *params->subject) {
		if (seen.created_ns == ret->created_ns && seen.last_seq == ret->last_seq)
			seen.match_seq = ret->match_seq;
		else
			r = find_match(connection, params, &seen.match_seq, err);
	}
	if (r == 0)
		*ret = seen;
	return r;
}

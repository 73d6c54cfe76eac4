// SPDX-License-Identifier: MIT
/* The stream as its leader tells it. */
#include "nats/nats_stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"

enum {
	TAIL_ASKED_MAX = 8192, /* messages: others stand between those of a subject */
};

#define ADVICE_TO_PUBLISH                                                                          \
	"the user needs to publish to %s, $JS.API.STREAM.INFO.%s and "                             \
	"$JS.API.STREAM.MSG.GET.%s, and to subscribe to _INBOX.>"
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
bool nats_stream_take_refusal(struct nats_connection *connection,
			      const struct backbone_params *params, struct errmsg *err)
{
	const char *stream = params->stream;
	struct errmsg refusal;

	if (!nats_connection_take_refusal(connection, &refusal))
		return false;
	if (params->is_published_to)
		errmsg_set(err, "stream %s: %.150s; " ADVICE_TO_PUBLISH, stream, refusal.text,
			   params->subject, stream, stream);
	else
		errmsg_set(err, "stream %s: %.150s; " ADVICE_PERMISSIONS, stream, refusal.text,
			   stream, stream, stream, stream);
	return true;
}

int nats_stream_error(struct nats_connection *connection, const struct backbone_params *params,
		      natsStatus status, jsErrCode code, struct errmsg *err)
{
	const char *stream = params->stream;
	natsStatus ignored;
	const char *text = nats_GetLastError(&ignored);

	if (nats_stream_take_refusal(connection, params, err))
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

/* While the replicas of a stream have no leader, each of them answers, with what it has itself.  That may be less than
 * the stream has. */
static bool has_leader(const jsStreamInfo *info)
{
	return !info->Cluster || (info->Cluster->Leader && *info->Cluster->Leader);
}

static int ask_for_info(struct nats_connection *connection, const struct backbone_params *params,
			jsStreamInfo **ret, struct errmsg *err)
{
	jsOptions options = wait_options();
	jsErrCode code = 0;
	natsStatus status =
		js_GetStreamInfo(ret, connection->stream_api, params->stream, &options, &code);

	if (status != NATS_OK)
		return nats_stream_error(connection, params, status, code, err);
	if (has_leader(*ret))
		return 0;
	jsStreamInfo_Destroy(*ret);
	*ret = NULL;
	errmsg_set(err, "stream %s has no leader: waiting for the servers to elect one",
		   params->stream);
	return -EAGAIN;
}

/* The newest message of the subject.  0 and NULL: there is none. */
static int find_last(struct nats_connection *connection, const struct backbone_params *params,
		     natsMsg **ret, struct errmsg *err)
{
	jsOptions options = wait_options();
	jsErrCode code = 0;
	natsStatus status;

	*ret = NULL;
	status = js_GetLastMsg(ret, connection->stream_api, params->stream, params->subject,
			       &options, &code);
	if (status == NATS_OK || code == JSNoMessageFoundErr || status == NATS_NOT_FOUND)
		return 0;
	return nats_stream_error(connection, params, status, code, err);
}

/* 0 and NULL: there is none of this number. */
static int get(struct nats_connection *connection, const struct backbone_params *params,
	       uint64_t sequence, natsMsg **ret, struct errmsg *err)
{
	jsOptions options = wait_options();
	jsErrCode code = 0;
	natsStatus status;

	*ret = NULL;
	status = js_GetMsg(ret, connection->stream_api, params->stream, sequence, &options, &code);
	if (status == NATS_OK || code == JSNoMessageFoundErr || status == NATS_NOT_FOUND)
		return 0;
	return nats_stream_error(connection, params, status, code, err);
}

/* ---- to be read ---- */

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
	natsMsg *message;
	int r = find_last(connection, params, &message, err);

	*ret = message ? natsMsg_GetSequence(message) : 0;
	natsMsg_Destroy(message);
	return r;
}

int nats_stream_look(struct nats_connection *connection, const struct backbone_params *params,
		     struct stream_seen *ret, struct errmsg *err)
{
	struct stream_seen seen;
	jsStreamInfo *info = NULL;
	int r = ask_for_info(connection, params, &info, err);

	if (r < 0)
		return r;
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

int nats_stream_find_time(struct nats_connection *connection, const struct backbone_params *params,
			  uint64_t sequence, uint64_t *ret_ns, struct errmsg *err)
{
	natsMsg *message;
	int r = get(connection, params, sequence, &message, err);

	*ret_ns = message ? (uint64_t)natsMsg_GetTime(message) : 0;
	natsMsg_Destroy(message);
	return r;
}

/* ---- to be published to ---- */

static int check_target(const jsStreamInfo *info, const struct backbone_params *params,
			struct errmsg *err)
{
	const jsStreamConfig *config = info->Config;
	bool has_subject = false;

	for (int i = 0; i < config->SubjectsLen && !has_subject; i++)
		has_subject = forward_subject_matches(config->Subjects[i], params->subject);
	if (!has_subject)
		errmsg_set(err,
			   "stream %s has no subject %s; `nats stream info %s` lists its own, "
			   "`nats stream edit %s --subjects` adds one",
			   params->stream, params->subject, params->stream, params->stream);
	else if (config->NoAck)
		errmsg_set(err,
			   "stream %s acknowledges nothing (no_ack), so nobody knows what it has; "
			   "expected a stream without that",
			   params->stream);
	return has_subject && !config->NoAck ? 0 : -EINVAL;
}

static bool is_alone(const jsStreamConfig *config, const char *subject)
{
	return config->SubjectsLen == 1 && strcmp(config->Subjects[0], subject) == 0 &&
	       config->SourcesLen == 0;
}

int nats_stream_look_at_target(struct nats_connection *connection,
			       const struct backbone_params *params, struct stream_target *ret,
			       struct errmsg *err)
{
	jsStreamInfo *info = NULL;
	int64_t max_bytes = natsConnection_GetMaxPayload(connection->connection);
	int r = ask_for_info(connection, params, &info, err);

	if (r < 0)
		return r;
	r = check_target(info, params, err);
	if (info->Config->MaxMsgSize > 0 && info->Config->MaxMsgSize < max_bytes)
		max_bytes = info->Config->MaxMsgSize;
	*ret = (struct stream_target){
		.max_bytes = max_bytes > 0 ? (size_t)max_bytes : SIZE_MAX,
		.window_ms = (uint64_t)info->Config->Duplicates / NS_PER_MS,
		.first_seq = info->State.FirstSeq,
		.last_seq = info->State.LastSeq,
		.is_ours_alone = is_alone(info->Config, params->subject),
	};
	jsStreamInfo_Destroy(info);
	return r;
}

/* ---- what it has of a subject ---- */

/* True: the one before it counts, too.  One that is gone was deleted: whether it belongs to the subject nobody knows, and
 * it is not to come back. */
static bool add_to_tail(struct stream_tail *tail, const struct backbone_params *params,
			natsMsg *message)
{
	const char *text = NULL;
	struct forward_id id;

	if (!message)
		return false;
	if (strcmp(natsMsg_GetSubject(message), params->subject) != 0 ||
	    natsMsgHeader_Get(message, "Nats-Msg-Id", &text) != NATS_OK ||
	    !forward_id_parse(text, params->subject, &id))
		return true;
	return stream_tail_add(tail, &id, (size_t)natsMsg_GetDataLength(message));
}

int nats_stream_find_tail(struct nats_connection *connection, const struct backbone_params *params,
			  struct stream_target *target, bool is_whole, struct stream_tail *ret,
			  struct errmsg *err)
{
	natsMsg *message;
	int r = find_last(connection, params, &message, err);
	uint64_t sequence = message ? natsMsg_GetSequence(message) : 0;
	bool is_wanted = true;

	*ret = (struct stream_tail){0};
	target->last_seq = u64_max(target->last_seq, sequence);
	for (int asked = 0; r == 0 && sequence && is_wanted; asked++) {
		is_wanted = add_to_tail(ret, params, message) && is_whole &&
			    sequence > target->first_seq && asked < TAIL_ASKED_MAX;
		natsMsg_Destroy(message);
		message = NULL;
		if (is_wanted)
			r = get(connection, params, --sequence, &message, err);
	}
	natsMsg_Destroy(message);
	stream_tail_end(ret);
	return r;
}

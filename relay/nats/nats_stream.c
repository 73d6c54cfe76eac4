// SPDX-License-Identifier: MIT
/* The stream as its leader tells it. */
#include "nats/nats_stream.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "nats/forward_id.h"

enum {
	ASKED_MAX = 8192, /* messages: others stand between those of a subject */
	AT_ONCE_MAX = 64, /* questions */
	/* Messages.  In base64 they are less than the 64 MiB that the server lets wait
	 * for a client. */
	AT_ONCE_BYTES = 32 << 20,
	NEWEST = 0, /* the number of the question for the newest message of the subject */
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

/* text: what is said where there is nothing better; NULL: what the status says. */
static int explain(struct nats_connection *connection, const struct backbone_params *params,
		   natsStatus status, jsErrCode code, const char *text, struct errmsg *err)
{
	const char *stream = params->stream;

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

int nats_stream_error(struct nats_connection *connection, const struct backbone_params *params,
		      natsStatus status, jsErrCode code, struct errmsg *err)
{
	natsStatus ignored;

	return explain(connection, params, status, code, nats_GetLastError(&ignored), err);
}

/* While the replicas of a stream have no leader, each of them answers, with what it has itself.
 * That may be less than the stream has. */
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
		     const char *subject, natsMsg **ret, struct errmsg *err)
{
	jsOptions options = wait_options();
	jsErrCode code = 0;
	natsStatus status;

	*ret = NULL;
	status = js_GetLastMsg(ret, connection->stream_api, params->stream, subject, &options,
			       &code);
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

/* Only the leader knows which one of a subject is the newest, or whether the newest of all has been
 * deleted.  A user who reads the whole stream and may not ask for that goes on without. */
static int ask_for_newest(struct nats_connection *connection, const struct backbone_params *params,
			  struct stream_seen *seen, struct errmsg *err)
{
	const char *subject = *params->subject ? params->subject : ">";
	natsMsg *message;
	int r = find_last(connection, params, subject, &message, err);

	seen->match_seq = message ? natsMsg_GetSequence(message) : 0;
	natsMsg_Destroy(message);
	if (r != -EACCES || *params->subject)
		return r;
	seen->match_seq = seen->last_seq;
	return 0;
}

static bool has_changed(const struct stream_seen *a, const struct stream_seen *b)
{
	return a->created_ns != b->created_ns || a->last_seq != b->last_seq ||
	       a->messages != b->messages;
}

int nats_stream_look(struct nats_connection *connection, const struct backbone_params *params,
		     struct stream_seen *ret, struct errmsg *err)
{
	struct stream_seen seen;
	jsStreamInfo *info = NULL;
	bool is_whole;
	int r = ask_for_info(connection, params, &info, err);

	if (r < 0)
		return r;
	seen = (struct stream_seen){
		.created_ns = (uint64_t)info->Created,
		.last_seq = info->State.LastSeq,
		.match_seq = info->State.Msgs ? info->State.LastSeq : 0,
		.messages = info->State.Msgs,
	};
	is_whole = !*params->subject && !info->State.NumDeleted;
	r = check_retention(info, params->stream, err);
	jsStreamInfo_Destroy(info);
	if (r == 0 && seen.messages && !is_whole) {
		seen.match_seq = ret->match_seq;
		if (has_changed(&seen, ret))
			r = ask_for_newest(connection, params, &seen, err);
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

/* Questions that are on their way at once.  Each batch is twice as large as the one before: of
 * short messages a tail has many, of long ones few. */
struct batch {
	struct nats_connection *connection;
	const struct backbone_params *params;
	struct nats_answers answers;
	uint64_t first; /* the number of the first question */
	size_t count;
	bool is_answered[AT_ONCE_MAX];
	struct stored_message found[AT_ONCE_MAX];
};

static int ask(struct batch *batch, uint64_t number, struct errmsg *err)
{
	const struct backbone_params *params = batch->params;
	char subject[sizeof(params->stream) + 32], reply[NATS_ANSWER_BYTES];
	json_t *question = number == NEWEST ? json_pack("{s:s}", "last_by_subj", params->subject)
					    : json_pack("{s:I}", "seq", (json_int_t)number);
	char *text = json_dumps(question, JSON_COMPACT);
	natsStatus status = NATS_NO_MEMORY;

	(void)snprintf(subject, sizeof(subject), "$JS.API.STREAM.MSG.GET.%s", params->stream);
	nats_answers_subject(&batch->answers, number, reply);
	if (text)
		status = natsConnection_PublishRequest(batch->connection->connection, subject,
						       reply, text, (int)strlen(text));
	free(text);
	json_decref(question);
	if (status == NATS_OK)
		return 0;
	return explain(batch->connection, params, status, 0, NULL, err);
}

static int read_answer(const struct batch *batch, const json_t *answer, struct stored_message *ret,
		       struct errmsg *err)
{
	const json_t *error = json_object_get(answer, "error");
	json_int_t code = json_integer_value(json_object_get(error, "err_code"));
	int r;

	if (code == JSNoMessageFoundErr)
		return 0;
	if (error)
		return explain(batch->connection, batch->params, NATS_ERR, (jsErrCode)code,
			       json_string_value(json_object_get(error, "description")), err);
	r = stored_message_read(json_object_get(answer, "message"), batch->params->subject, ret);
	if (r < 0)
		errmsg_errno(err, r, "stream %s: a message of it", batch->params->stream);
	return r;
}

/* One more, at most, is answered: while the leader changes, the one before may answer, too. */
static int take_answer(struct batch *batch, natsMsg *message, uint64_t number, size_t *missing,
		       struct errmsg *err)
{
	uint64_t index = number - batch->first;
	json_t *answer;
	int r;

	if (number < batch->first || index >= batch->count || batch->is_answered[index])
		return 0;
	answer = json_loadb(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message), 0,
			    NULL);
	r = read_answer(batch, answer, &batch->found[index], err);
	json_decref(answer);
	batch->is_answered[index] = true;
	(*missing)--;
	return r;
}

/* Asks for `count` messages from `first` on, and has all answers then; they come in any order. */
static int ask_all(struct batch *batch, uint64_t first, size_t count, struct errmsg *err)
{
	size_t missing = count;
	int r = 0;

	batch->first = first;
	batch->count = count;
	memset(batch->is_answered, 0, sizeof(batch->is_answered));
	memset(batch->found, 0, sizeof(batch->found));
	for (size_t i = 0; r == 0 && i < count; i++)
		r = ask(batch, first + i, err);
	while (r == 0 && missing) {
		natsMsg *message = NULL;
		uint64_t number;
		natsStatus status =
			nats_answers_next(&batch->answers, NATS_WAIT_MS, &message, &number);

		if (status != NATS_OK)
			return explain(batch->connection, batch->params, status, 0, NULL, err);
		r = take_answer(batch, message, number, &missing, err);
		natsMsg_Destroy(message);
	}
	return r;
}

/* True: the one before it counts, too.  One that is gone was deleted: whether it belongs to the
 * subject nobody knows, and it is not to come back. */
static bool add(struct stream_tail *tail, const struct stored_message *message)
{
	if (!message->sequence)
		return false;
	return !message->has_id || stream_tail_add(tail, &message->id, message->bytes);
}

static bool add_backwards(struct stream_tail *tail, const struct batch *batch)
{
	for (size_t i = batch->count; i > 0; i--) {
		if (!add(tail, &batch->found[i - 1]))
			return false;
	}
	return true;
}

/* From before `newest` backwards. */
static int find_others(struct batch *batch, const struct stream_target *target, uint64_t newest,
		       struct stream_tail *tail, struct errmsg *err)
{
	size_t most = size_max(1, size_min(AT_ONCE_MAX, AT_ONCE_BYTES / target->max_bytes));
	uint64_t end = u64_max(target->first_seq, 1), oldest = newest;
	bool is_wanted = true;
	int r = 0;

	if (newest > ASKED_MAX)
		end = u64_max(end, newest - ASKED_MAX);
	for (size_t at_once = 1; r == 0 && is_wanted && oldest > end; at_once *= 2) {
		size_t count;

		at_once = size_min(at_once, most);
		count = (size_t)u64_min(at_once, oldest - end);
		oldest -= count;
		r = ask_all(batch, oldest, count, err);
		is_wanted = r == 0 && add_backwards(tail, batch);
	}
	return r;
}

int nats_stream_find_tail(struct nats_connection *connection, const struct backbone_params *params,
			  struct stream_target *target, bool is_whole, struct stream_tail *ret,
			  struct errmsg *err)
{
	struct batch batch = {.connection = connection, .params = params};
	const struct stored_message *newest = &batch.found[0];
	int r = nats_answers_open(&batch.answers, connection, err);

	*ret = (struct stream_tail){0};
	if (r == 0)
		r = ask_all(&batch, NEWEST, 1, err);
	target->last_seq = u64_max(target->last_seq, newest->sequence);
	if (r == 0 && add(ret, newest) && is_whole)
		r = find_others(&batch, target, newest->sequence, ret, err);
	nats_answers_close(&batch.answers);
	stream_tail_end(ret);
	return r;
}

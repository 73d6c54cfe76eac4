// SPDX-License-Identifier: MIT
/* The options of the library, and what its threads tell. */
#include "nats/nats_connection.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/secret_file.h"

enum {
	SERVERS_MAX = 32,
	SECRET_BYTES = 4096,
	PING_EVERY_MS = 5000,
	PINGS_MAX = 2, /* without an answer: the connection is lost */
};

/* The library may call back when the connection has been closed already, so these outlive it: the
 * last of two owners frees them. */
struct nats_events {
	_Atomic unsigned owners; /* the connection's, and the library's until it has told the end */
	_Atomic bool is_lost;
	_Atomic bool is_leaving; /* the server shuts down */
	pthread_mutex_t lock;
	char refusal[256];
};

static void release(struct nats_events *events)
{
	if (atomic_fetch_sub(&events->owners, 1) != 1)
		return;
	(void)pthread_mutex_destroy(&events->lock);
	free(events);
}

static struct nats_events *new_events(void)
{
	struct nats_events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	atomic_init(&events->owners, 2);
	(void)pthread_mutex_init(&events->lock, NULL);
	return events;
}

/* ---- what the library's threads tell ---- */

static void on_lost(natsConnection *connection, void *closure)
{
	struct nats_events *events = closure;

	(void)connection;
	atomic_store(&events->is_lost, true);
}

static void on_leaving(natsConnection *connection, void *closure)
{
	struct nats_events *events = closure;

	(void)connection;
	atomic_store(&events->is_leaving, true);
}

/* The last that it tells of a connection. */
static void on_closed(natsConnection *connection, void *closure)
{
	on_lost(connection, closure);
	release(closure);
}

static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
		     void *closure)
{
	struct nats_events *events = closure;
	const char *text = NULL;

	(void)subscription;
	if (status != NATS_NOT_PERMITTED)
		return;
	(void)natsConnection_GetLastError(connection, &text);
	(void)pthread_mutex_lock(&events->lock);
	(void)snprintf(events->refusal, sizeof(events->refusal), "%s", text ? text : "");
	(void)pthread_mutex_unlock(&events->lock);
}

const char *nats_connection_why_lost(const struct nats_connection *connection)
{
	if (atomic_load(&connection->events->is_lost))
		return "the connection is lost";
	return atomic_load(&connection->events->is_leaving) ? "the server shuts down" : "";
}

bool nats_connection_take_refusal(struct nats_connection *connection, struct errmsg *ret)
{
	struct nats_events *events = connection->events;

	(void)pthread_mutex_lock(&events->lock);
	errmsg_set(ret, "%s", events->refusal);
	events->refusal[0] = '\0';
	(void)pthread_mutex_unlock(&events->lock);
	return ret->text[0];
}

/* ---- options ---- */

/* The first line of the file.  "" where `name` is empty. */
static int read_secret(const char *name, char ret[SECRET_BYTES], struct errmsg *err)
{
	struct secret_file secret;
	int r;

	ret[0] = '\0';
	if (!*name)
		return 0;
	r = secret_file_open(name, &secret, err);
	if (r < 0)
		return r;
	if (!fgets(ret, SECRET_BYTES, secret.file))
		ret[0] = '\0';
	(void)fclose(secret.file);
	ret[strcspn(ret, "\r\n")] = '\0';
	if (*ret)
		return 0;
	errmsg_set(err, "%s has nothing in its first line; expected the secret", secret.path);
	return -EINVAL;
}

/* The library does not say which file it could not read. */
static natsStatus set_credentials(natsOptions *options, const char *name, int *ret,
				  struct errmsg *err)
{
	struct secret_file secret;

	*ret = secret_file_open(name, &secret, err);
	if (*ret < 0)
		return NATS_OK;
	(void)fclose(secret.file);
	return natsOptions_SetUserCredentialsFromFiles(options, secret.path, NULL);
}

/* NATS_OK with *ret < 0: *err is set. */
static natsStatus set_secrets(natsOptions *options, const struct backbone_params *params, int *ret,
			      struct errmsg *err)
{
	char secret[SECRET_BYTES];
	natsStatus status = NATS_OK;

	if (*params->credentials_file)
		return set_credentials(options, params->credentials_file, ret, err);
	if (*params->token_file) {
		*ret = read_secret(params->token_file, secret, err);
		if (*ret == 0)
			status = natsOptions_SetToken(options, secret);
	} else if (*params->user) {
		*ret = read_secret(params->password_file, secret, err);
		if (*ret == 0)
			status = natsOptions_SetUserInfo(options, params->user, secret);
	}
	explicit_bzero(secret, sizeof(secret));
	return status;
}

static natsStatus set_servers(natsOptions *options, const struct backbone_params *params)
{
	char text[sizeof(params->servers)];
	const char *servers[SERVERS_MAX];
	bool is_secure = false;
	char *rest = text, *server;
	natsStatus status;
	int count = 0;

	memcpy(text, params->servers, sizeof(text));
	while (count < SERVERS_MAX && (server = strsep(&rest, ", \t"))) {
		if (!*server)
			continue;
		is_secure = is_secure || strncmp(server, "tls://", 6) == 0;
		servers[count++] = server;
	}
	status = natsOptions_SetServers(options, servers, count);
	if (status == NATS_OK && is_secure)
		status = natsOptions_SetSecure(options, true);
	if (status == NATS_OK && *params->ca_file)
		status = natsOptions_LoadCATrustedCertificates(options, params->ca_file);
	return status;
}

static natsStatus set_events(natsOptions *options, struct nats_events *events)
{
	natsStatus status = natsOptions_SetDisconnectedCB(options, on_lost, events);

	if (status == NATS_OK)
		status = natsOptions_SetClosedCB(options, on_closed, events);
	if (status == NATS_OK)
		status = natsOptions_SetLameDuckModeCB(options, on_leaving, events);
	if (status == NATS_OK)
		status = natsOptions_SetErrorHandler(options, on_error, events);
	return status;
}

static natsStatus set_ways(natsOptions *options, const char *name)
{
	natsStatus status = natsOptions_SetName(options, name);

	if (status == NATS_OK)
		status = natsOptions_SetAllowReconnect(options, false);
	if (status == NATS_OK)
		status = natsOptions_SetTimeout(options, NATS_WAIT_MS);
	if (status == NATS_OK)
		status = natsOptions_SetPingInterval(options, PING_EVERY_MS);
	if (status == NATS_OK)
		status = natsOptions_SetMaxPingsOut(options, PINGS_MAX);
	if (status == NATS_OK)
		status = natsOptions_SetSendAsap(options, true);
	return status;
}

/* ---- what is wrong ---- */

static const char *way_out(natsStatus status)
{
	switch ((int)status) {
	case NATS_NO_SERVER:
	case NATS_TIMEOUT:
	case NATS_IO_ERROR:
		return "; no server of [nats] servers answers, relay tries again";
	case NATS_CONNECTION_AUTH_FAILED:
	case NATS_NOT_PERMITTED:
		return "; the servers do not take the user, see credentials_file, user, "
		       "password_file and token_file in [nats]";
	case NATS_SECURE_CONNECTION_WANTED:
		return "; the server speaks no TLS, expected nats:// in [nats] servers";
	case NATS_SSL_ERROR:
		return "; the certificate is not taken, see ca_file in [nats]";
	}
	return "";
}

static int connect_error(natsStatus status, struct errmsg *err)
{
	natsStatus ignored;
	const char *text = nats_GetLastError(&ignored);

	errmsg_set(err, "cannot connect: %s%s", text && *text ? text : natsStatus_GetText(status),
		   way_out(status));
	return status == NATS_NO_MEMORY ? -ENOMEM : -ECONNREFUSED;
}

static int make_options(const struct backbone_params *params, natsOptions **ret, struct errmsg *err)
{
	natsStatus status = natsOptions_Create(ret);
	int r = 0;

	if (status == NATS_OK)
		status = set_servers(*ret, params);
	if (status == NATS_OK)
		status = set_secrets(*ret, params, &r, err);
	return status == NATS_OK ? r : connect_error(status, err);
}

int nats_connection_check(const struct backbone_params *params, struct errmsg *err)
{
	natsOptions *options = NULL;
	int r = make_options(params, &options, err);

	natsOptions_Destroy(options);
	return r;
}

/* ---- life ---- */

static natsStatus make_connection(struct nats_connection *connection, natsOptions *options,
				  const char *name)
{
	natsStatus status = set_ways(options, name);

	if (status == NATS_OK)
		status = set_events(options, connection->events);
	if (status == NATS_OK)
		status = natsConnection_Connect(&connection->connection, options);
	if (status != NATS_OK)
		return status;
	status = natsConnection_GetConnectedUrl(connection->connection, connection->server,
						sizeof(connection->server));
	if (status != NATS_OK)
		connection->server[0] = '\0';
	return natsConnection_JetStream(&connection->stream_api, connection->connection, NULL);
}

int nats_connection_open(struct nats_connection *ret, const struct backbone_params *params,
			 const char *name, struct errmsg *err)
{
	natsOptions *options = NULL;
	natsStatus status;
	int r;

	*ret = (struct nats_connection){.events = new_events()};
	if (!ret->events) {
		errmsg_errno(err, ENOMEM, "cannot connect");
		return -ENOMEM;
	}
	r = make_options(params, &options, err);
	if (r == 0) {
		status = make_connection(ret, options, name);
		if (status != NATS_OK)
			r = connect_error(status, err);
	}
	natsOptions_Destroy(options);
	if (r < 0)
		nats_connection_close(ret);
	return r;
}

void nats_connection_close(struct nats_connection *connection)
{
	if (!connection->events)
		return;
	if (!connection->connection)
		release(connection->events); /* the library has none to tell the end of */
	jsCtx_Destroy(connection->stream_api);
	natsConnection_Destroy(connection->connection);
	release(connection->events);
	*connection = (struct nats_connection){0};
}

void nats_connection_unsubscribe(struct nats_connection *connection,
				 natsSubscription **subscription)
{
	if (!*subscription)
		return;
	(void)natsSubscription_Unsubscribe(*subscription);
	if (*nats_connection_why_lost(connection) ||
	    natsConnection_FlushTimeout(connection->connection, NATS_WAIT_MS) != NATS_OK)
		natsConnection_Close(connection->connection);
	natsSubscription_Destroy(*subscription);
	*subscription = NULL;
}

/* ---- answers: a subscription to all subjects below an inbox ---- */

int nats_answers_open(struct nats_answers *ret, struct nats_connection *connection,
		      struct errmsg *err)
{
	char subject[NATS_ANSWER_BYTES];
	natsStatus status;

	*ret = (struct nats_answers){.connection = connection};
	status = natsInbox_Create(&ret->inbox);
	if (status == NATS_OK) {
		(void)snprintf(subject, sizeof(subject), "%s.*", ret->inbox);
		status = natsConnection_SubscribeSync(&ret->subscription, connection->connection,
						      subject);
	}
	if (status == NATS_OK)
		return 0;
	errmsg_set(err, "cannot subscribe: %s", natsStatus_GetText(status));
	return -EIO;
}

void nats_answers_close(struct nats_answers *answers)
{
	nats_connection_unsubscribe(answers->connection, &answers->subscription);
	natsInbox_Destroy(answers->inbox);
}

void nats_answers_subject(const struct nats_answers *answers, uint64_t number,
			  char ret[NATS_ANSWER_BYTES])
{
	(void)snprintf(ret, NATS_ANSWER_BYTES, "%s.%llu", answers->inbox,
		       (unsigned long long)number);
}

natsStatus nats_answers_next(const struct nats_answers *answers, uint32_t wait_ms, natsMsg **ret,
			     uint64_t *ret_number)
{
	for (;;) {
		natsStatus status = natsSubscription_NextMsg(ret, answers->subscription, wait_ms);
		const char *dot;

		if (status != NATS_OK)
			return status;
		dot = strrchr(natsMsg_GetSubject(*ret), '.');
		if (dot && num_parse_count(dot + 1, ret_number) == 0)
			return NATS_OK;
		natsMsg_Destroy(*ret);
	}
}

// SPDX-License-Identifier: MIT
/* The configuration in the words of the floors below. */
#include "serve/params.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/num.h"
#include "config/answer_field.h"
#include "config/address.h"
#include "config/ingest.h"
#include "intake/engine_measure.h"
#include "nats/nats_ingest.h"
#include "systemd/passed_fds.h"

/* A parent may be silent for so long, unless source_timeout says otherwise. */
#define PARENT_TIMEOUT_MS 10000u

/* How often indexes are brought to the disk where packets are at once. */
#define INDEX_SYNC_MS 1000u

static enum engine engine_of(enum config_engine engine)
{
	switch (engine) {
	case CONFIG_ENGINE_SPLICE:
		return ENGINE_SPLICE;
	case CONFIG_ENGINE_COMPACT:
		return ENGINE_COMPACT;
	case CONFIG_ENGINE_AUTO:
	case CONFIG_ENGINE_COPY:
		break;
	}
	return ENGINE_COPY;
}

/* Measured when the first feed needs them: some milliseconds, once in the life of the process. */
static void measure(struct engine_thresholds *measured)
{
	bool is_measured = engine_measure(measured);

	log_info("engine thresholds copy_below=%llu compact_readers=%llu%s",
		 (unsigned long long)measured->copy_below,
		 (unsigned long long)measured->compact_readers,
		 is_measured ? "" : " (usual ones: they cannot be measured here)");
}

static struct engine_thresholds thresholds_of(const struct config_feed *from,
					      struct engine_thresholds *measured)
{
	bool is_needed = from->engine == CONFIG_ENGINE_AUTO &&
			 (from->copy_below == CONFIG_AUTO || from->compact_readers == CONFIG_AUTO);

	if (is_needed && !measured->copy_below)
		measure(measured);
	return (struct engine_thresholds){
		.copy_below =
			from->copy_below == CONFIG_AUTO ? measured->copy_below : from->copy_below,
		.compact_readers = from->compact_readers == CONFIG_AUTO ? measured->compact_readers
									: from->compact_readers,
	};
}

void params_of_feed(const struct config *config, const struct config_feed *from,
		    struct engine_thresholds *measured, struct feed_params *ret)
{
	*ret = (struct feed_params){
		.framing =
			{
				.kind = config_reads_relay(&from->framing) ? FRAMING_RELAY
									   : from->framing.kind,
				.inside = from->framing.is_relayed ? from->framing.kind
								   : FRAMING_NONE,
				.fixed_bytes = from->framing.fixed_bytes,
				.max_message = from->max_message,
				.ends_with_source = !from->framing.is_relayed &&
						    framing_row(from->framing.kind)->end_bytes &&
						    from->last_line == CONFIG_LAST_LINE_PUBLISH,
			},
		.is_auto = from->engine == CONFIG_ENGINE_AUTO,
		.engine = engine_of(from->engine),
		.thresholds = thresholds_of(from, measured),
		.gift_headers = from->headers == CONFIG_HEADERS_GIFT,
		.segment_bytes = from->segment,
		.ring_bytes = from->ring,
		.fanout =
			{
				.heartbeat_ms = from->heartbeat,
				.max_lag_bytes = from->max_lag,
				.max_lag_ms = from->max_lag_time,
				.stall_timeout_ms = from->stall_timeout,
				.grace_ms = from->grace,
				.turn_budget_ns = config->relay.turn_budget * NS_PER_MS,
			},
		.close_on_source_loss = from->on_source_loss == CONFIG_ON_SOURCE_LOSS_CLOSE,
	};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", from->section.name);
}

void params_of_recorder(const struct config_feed *from, struct recorder_params *ret)
{
	static const char *const framings[] = {
#define FRAMING(id, word, ...) [FRAMING_##id] = word,
#include "table/framing.def"
	};
	bool is_relay = config_reads_relay(&from->framing);
	bool is_on_disk_first = from->history_sync == CONFIG_SYNC_PACKET;
	const char *framing = framings[is_relay ? FRAMING_RELAY : from->framing.kind];

	*ret = (struct recorder_params){
		.history =
			{
				.path = from->history,
				.feed = from->section.name,
				.max_bytes = from->history_size,
				.max_age_ms = from->history_age,
				.max_file_bytes = from->history_file,
				.is_on_disk_first = is_on_disk_first,
			},
		.on_lag = is_on_disk_first || from->on_history_lag == CONFIG_ON_HISTORY_LAG_WAIT
				  ? ON_SLOW_WAIT
				  : ON_SLOW_SKIP,
		.sync_ms = is_on_disk_first ? INDEX_SYNC_MS : from->history_sync,
	};
	if (from->framing.kind == FRAMING_FIXED && !is_relay)
		(void)snprintf(ret->history.framing, sizeof(ret->history.framing), "%s:%u", framing,
			       from->framing.fixed_bytes);
	else
		(void)snprintf(ret->history.framing, sizeof(ret->history.framing), "%s", framing);
}

void params_of_sequence(const struct config_feed *from, struct history_found *found)
{
	/* Whatever subscribers got last, a stream still has its messages, under the same
	 * numbers. */
	if (from->ingest.kind == CONFIG_INGEST_JETSTREAM && !found->next.session)
		found->next = (struct sequence){.session = found->end.session,
						.next_seq = found->end.sequence};
}

static enum ingest_kind ingest_kind(enum config_ingest_kind kind)
{
	switch (kind) {
	case CONFIG_INGEST_LISTEN:
		return INGEST_LISTEN;
	case CONFIG_INGEST_CONNECT:
		return INGEST_CONNECT;
	case CONFIG_INGEST_FIFO:
		return INGEST_FIFO;
	case CONFIG_INGEST_STDIN:
		return INGEST_STDIN;
	case CONFIG_INGEST_FILE:
		return INGEST_FILE;
	case CONFIG_INGEST_HTTP:
		return INGEST_HTTP;
	case CONFIG_INGEST_UDP:
		return INGEST_UDP;
	case CONFIG_INGEST_SERIAL:
		return INGEST_SERIAL;
	case CONFIG_INGEST_TAIL:
		return INGEST_TAIL;
	case CONFIG_INGEST_NATS:
	case CONFIG_INGEST_JETSTREAM:
		return INGEST_BACKBONE;
	}
	return INGEST_STDIN;
}

static enum ingest_direct ingest_direct(enum config_direct direct)
{
	switch (direct) {
	case CONFIG_DIRECT_AUTO:
		return INGEST_DIRECT_AUTO;
	case CONFIG_DIRECT_YES:
		return INGEST_DIRECT_YES;
	case CONFIG_DIRECT_NO:
		return INGEST_DIRECT_NO;
	}
	return INGEST_DIRECT_NO;
}

/* mode, group: of a socket file. */
static int address_of(const struct config *config, const char *text, uint64_t mode,
		      const char *group, const struct passed_fds *passed, struct endpoint *ret,
		      struct errmsg *err)
{
	int r = endpoint_parse(text, ret, err);

	if (r == 0)
		r = passed_fds_resolve(passed, ret, err);
	if (r < 0)
		return r;
	ret->is_ipv6_only = config_is_ipv6_only(config, text);
	ret->mode = (mode_t)mode;
	(void)snprintf(ret->group, sizeof(ret->group), "%s", group);
	return 0;
}

int params_of_feed_address(const struct config *config, const struct config_feed *from,
			   const struct passed_fds *passed, struct endpoint *ret,
			   struct errmsg *err)
{
	return address_of(config, from->ingest.addresses[0], from->socket_mode, from->socket_group,
			  passed, ret, err);
}

int params_of_listener_address(const struct config *config, const struct config_listener *from,
			       const struct passed_fds *passed, struct endpoint *ret,
			       struct errmsg *err)
{
	return address_of(config, from->listen, from->socket_mode, from->socket_group, passed, ret,
			  err);
}

int params_of_admin_address(const struct config *config, const char *text,
			    const struct passed_fds *passed, struct endpoint *ret,
			    struct errmsg *err)
{
	return address_of(config, text, config->admin.socket_mode, config->admin.socket_group,
			  passed, ret, err);
}

static void udp_params_of(const struct config_ingest *from, struct udp_params *ret)
{
	char *const *parts = from->addresses;
	uint64_t port;

	(void)snprintf(ret->host, sizeof(ret->host), "%s", parts[CONFIG_UDP_HOST]);
	if (num_parse_count(parts[CONFIG_UDP_PORT], &port) == 0)
		ret->port = (uint16_t)port;
	(void)snprintf(ret->interface, sizeof(ret->interface), "%s", parts[CONFIG_UDP_INTERFACE]);
	(void)snprintf(ret->sender, sizeof(ret->sender), "%s", parts[CONFIG_UDP_SENDER]);
}

static void copy(char *to, size_t size, const char *text)
{
	(void)snprintf(to, size, "%s", text);
}

/* The same for what is read and for what is published to. */
static void servers_of(const struct config_nats *nats, struct backbone_params *ret)
{
	copy(ret->servers, sizeof(ret->servers), nats->servers);
	copy(ret->credentials_file, sizeof(ret->credentials_file), nats->credentials_file);
	copy(ret->user, sizeof(ret->user), nats->user);
	copy(ret->password_file, sizeof(ret->password_file), nats->password_file);
	copy(ret->token_file, sizeof(ret->token_file), nats->token_file);
	copy(ret->ca_file, sizeof(ret->ca_file), nats->ca_file);
}

static enum on_slow on_slow_of_forwarder(enum config_on_slow on_slow)
{
	switch (on_slow) {
	case CONFIG_ON_SLOW_WAIT:
		return ON_SLOW_WAIT;
	case CONFIG_ON_SLOW_REPLAY:
		return ON_SLOW_REPLAY;
	case CONFIG_ON_SLOW_AUTO:
	case CONFIG_ON_SLOW_SKIP:
	case CONFIG_ON_SLOW_DISCONNECT:
		break;
	}
	return ON_SLOW_SKIP;
}

void params_of_forwarder(const struct config *config, const struct config_feed *from,
			 struct forwarder_params *ret)
{
	const char *stream = config_forward_stream(from);

	memset(ret, 0, sizeof(*ret)); /* so that two can be compared */
	ret->on_slow = on_slow_of_forwarder(from->on_slow);
	ret->backbone.is_published_to = true;
	servers_of(&config->nats, &ret->backbone);
	copy(ret->backbone.stream, sizeof(ret->backbone.stream), stream ? stream : "");
	copy(ret->backbone.subject, sizeof(ret->backbone.subject), from->forward_subject);
}

static void backbone_params_of(const struct config *config, const struct config_feed *from,
			       struct backbone_params *ret)
{
	const char *name = from->ingest.addresses[0];
	bool is_stream = from->ingest.kind == CONFIG_INGEST_JETSTREAM;

	ret->way = &nats_ingest_way;
	servers_of(&config->nats, ret);
	copy(ret->stream, sizeof(ret->stream), is_stream ? name : "");
	copy(ret->subject, sizeof(ret->subject), is_stream ? from->subject : name);
	ret->session = from->session;
	ret->backfill_ms = from->backfill;
}

_Static_assert((int)CONFIG_INGEST_ADDRESSES == CONNECTOR_MAX_ENDPOINTS &&
		       sizeof((struct ingest_params *)0)->path >= CONFIG_INGEST_BYTES,
	       "an ingest has room for what the configuration takes");

/* The URL of each address, where it is one.  Has room: config/ takes no longer list. */
static void add_url(const char *text, size_t *at, struct ingest_params *params)
{
	bool is_url = config_is_http_url(text);

	params->has_urls = params->has_urls || is_url;
	*at += (size_t)snprintf(params->path + *at, sizeof(params->path) - *at, "%s",
				is_url ? text : "") +
	       1;
}

static int connect_params_of(const struct config_feed *from, struct ingest_params *ret,
			     struct errmsg *err)
{
	const struct config_ingest *ingest = &from->ingest;
	struct config_http_url url;
	size_t at = 0;

	ret->is_framed = config_reads_relay(&from->framing);
	(void)snprintf(ret->token_file, sizeof(ret->token_file), "%s", from->ingest_token_file);
	ret->position = (struct gga_position){
		.is_known = from->ntrip_gga.is_known,
		.latitude_e7 = from->ntrip_gga.latitude_e7,
		.longitude_e7 = from->ntrip_gga.longitude_e7,
		.altitude_cm = from->ntrip_gga.altitude_cm,
	};
	ret->endpoint_count = size_min(ingest->address_count, CONNECTOR_MAX_ENDPOINTS);
	for (size_t i = 0; i < ret->endpoint_count; i++) {
		const char *text = ingest->addresses[i];
		int r = 0;

		add_url(text, &at, ret);
		if (config_is_http_url(text)) {
			r = config_http_url_parse(text, &url, err);
			text = url.address;
		}
		if (r == 0)
			r = endpoint_parse(text, &ret->endpoints[i], err);
		if (r < 0)
			return r;
	}
	/* Another relay sends heartbeats.  One that hangs accepts connections all the same. */
	if (ret->has_urls && ret->is_framed &&
	    !config_is_set(&from->section, CONFIG_FEED_source_timeout))
		ret->source_timeout_ms = PARENT_TIMEOUT_MS;
	return 0;
}

int params_of_ingest(const struct config *config, const struct config_feed *from,
		     struct ingest_params *ret, struct errmsg *err)
{
	const struct config_ingest *ingest = &from->ingest;

	*ret = (struct ingest_params){
		.kind = ingest_kind(ingest->kind),
		.sniff = from->sniff,
		.copies_pages = from->publisher_pages == CONFIG_PAGES_COPY,
		.takeover = from->takeover == CONFIG_TAKEOVER_REPLACE,
		.source_timeout_ms = from->source_timeout,
		.rate_bytes = from->rate,
		.direct = ingest_direct(from->direct),
		.start_subscribers = from->start_subscribers,
		.retry_max_ms = (uint32_t)from->retry_max,
	};
	/* Another relay has cut the packets of its feed. */
	if (!config_reads_relay(&from->framing))
		ret->gathering = (struct gathering_params){
			.is_auto = from->coalesce == CONFIG_AUTO,
			.bytes = from->coalesce == CONFIG_AUTO ? 0 : from->coalesce,
			.time_ms = (uint32_t)from->coalesce_time,
		};
	ret->serial = (struct serial_mode){
		.speed = from->serial_mode.speed,
		.data_bits = from->serial_mode.data_bits,
		.parity = from->serial_mode.parity,
		.stop_bits = from->serial_mode.stop_bits,
	};
	(void)snprintf(ret->send_file, sizeof(ret->send_file), "%s", from->send_file);
	/* The pages of a file that grows may be written again when it is rotated.  A
	 * terminal gives none. */
	if (ret->kind == INGEST_TAIL || ret->kind == INGEST_SERIAL)
		ret->copies_pages = true;
	if (ret->kind == INGEST_FIFO || ret->kind == INGEST_FILE || ret->kind == INGEST_SERIAL ||
	    ret->kind == INGEST_TAIL) {
		(void)snprintf(ret->path, sizeof(ret->path), "%s", ingest->addresses[0]);
		return 0;
	}
	if (ret->kind == INGEST_UDP) {
		udp_params_of(ingest, &ret->udp);
		return 0;
	}
	if (ret->kind == INGEST_BACKBONE) {
		backbone_params_of(config, from, &ret->backbone);
		return 0;
	}
	return connect_params_of(from, ret, err);
}

void params_of_subscriber(const struct config_listener *from, const struct config_feed *feed,
			  struct subscriber_params *ret)
{
	const struct config_burst burst = config_burst_of(from, feed);
	const enum config_on_slow on_slow = config_on_slow_of(from, feed);

	*ret = (struct subscriber_params){
		.on_slow = ON_SLOW_SKIP,
		.burst_bytes = burst.bytes,
		.burst_ms = burst.ms,
		.burst_key_frame = burst.from_key_frame,
		.input_rate = from->input_rate == CONFIG_AUTO ? u64_max(from->max_input, 1)
							      : from->input_rate,
		.max_input_bytes = (uint32_t)u64_min(from->max_input, UINT32_MAX),
	};
	if (on_slow == CONFIG_ON_SLOW_DISCONNECT)
		ret->on_slow = ON_SLOW_DISCONNECT;
	else if (on_slow == CONFIG_ON_SLOW_WAIT)
		ret->on_slow = ON_SLOW_WAIT;
	else if (on_slow == CONFIG_ON_SLOW_REPLAY)
		ret->on_slow = ON_SLOW_REPLAY;
}

static const char *content_type_of(const struct config_framing_choice *framing)
{
	if (framing_row(framing->kind)->is_text)
		return "text/plain; charset=utf-8";
	if (framing->fixed_bytes == TS_PACKET_BYTES)
		return "video/mp2t";
	return "application/octet-stream";
}

/* Has room: config/ takes no longer lists.  Of a field, the colon becomes the first zero byte. */
static void add_field(const struct answer_field *field, char **at)
{
	memcpy(*at, field->name, field->name_bytes);
	*at += field->name_bytes + 1;
	memcpy(*at, field->value, field->value_bytes);
	*at += field->value_bytes + 1;
}

_Static_assert((int)STREAM_TYPE_BYTES >= (int)MEDIA_TYPE_BYTES &&
		       (int)STREAM_FIELDS_BYTES >= (int)HTTP_FIELDS_BYTES,
	       "an answer has room for what the configuration takes");

void params_of_stream(const struct config_listener *from, const struct config_feed *feed,
		      struct stream_fields *ret)
{
	const char *type = config_content_type_of(from, feed);
	const char *fields = config_http_fields_of(from, feed);
	char *at = ret->fields;
	struct answer_field field;
	struct errmsg ignored;

	*ret = (struct stream_fields){0};
	if (strcmp(type, MEDIA_TYPE_AUTO) == 0)
		type = content_type_of(&feed->framing);
	(void)snprintf(ret->content_type, sizeof(ret->content_type), "%s", type);
	while (answer_field_parse_next(&fields, &field, &ignored) > 0)
		add_field(&field, &at);
}

void params_of_sockets(const struct config_listener *from, struct sockopt_params *ret)
{
	*ret = (struct sockopt_params){
		.send_buffer = from->send_buffer,
		.notsent_lowat = from->notsent_lowat,
		.user_timeout_ms = from->user_timeout,
		.keepalive_ms = from->keepalive,
	};
	(void)snprintf(ret->congestion, sizeof(ret->congestion), "%s", from->congestion);
}

int params_of_publishers(const struct config_feed *from, struct access *ret, struct errmsg *err)
{
	return access_init(ret, from->publisher_allow, from->publisher_deny, err);
}

int params_of_subscribers(const struct config_listener *from, struct access *ret,
			  struct errmsg *err)
{
	return access_init(ret, from->allow, from->deny, err);
}

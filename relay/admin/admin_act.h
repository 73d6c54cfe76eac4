// SPDX-License-Identifier: MIT
/* Commands: what can be done to a running relay, through the unix socket only.  Each is done when
 * it is answered, but an upgrade. */
#pragma once

#include "admin/admin_answer.h"

/* 200 {"ok":true,"changes":[...]}; 422 {"ok":false,"errors":[...]}, as struct admin_actions has
 * them; 409 while draining. */
void admin_post_reload(const struct admin_request *request);

/* As SIGTERM; 409 while draining, so that asking twice is no order to end at once. */
void admin_post_drain(const struct admin_request *request);

/* ?spread=DURATION: lets subscribers go one after the other, and drains then.  Asked
 * again, it begins anew.  Paths of their own: a relay that does not know them drains
 * nobody.  409 while draining. */
void admin_post_drain_slowly(const struct admin_request *request);

/* Takes that back; 409 where there is nothing to take back. */
void admin_post_drain_cancel(const struct admin_request *request);

/* ?feed=F&id=N: closes that subscriber, by reset (reason kicked). */
void admin_post_kick(const struct admin_request *request);

/* ?feed=F&title=TEXT: what players of this feed are told that they hear; an empty text takes it
 * away.  409 where no http listener serves the feed as audio that can have titles. */
void admin_post_title(const struct admin_request *request);

/* ?level=error|warn|info|debug, until the next reload. */
void admin_post_log_level(const struct admin_request *request);

/* 202 {"ok":true,"process":N} when it has begun; 409 while draining, or when one is under way; 500
 * when it cannot begin. */
void admin_post_upgrade(const struct admin_request *request);

/* How it ends: 200 {"process":N,"under_way":...,"error":"...","errors":[...]}.  When `process` is
 * another than it was, the new program has taken over.  When it is the same and none is under way,
 * the upgrade has failed, and the two last say why. */
void admin_get_upgrade(const struct admin_request *request);

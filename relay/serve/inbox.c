// SPDX-License-Identifier: MIT
/* Inboxes: a mailbox, and an ev_async that is sent when it is no longer empty. */
#include "serve/inbox.h"

#include "base/compiler.h"

void inbox_run(struct inbox *inbox)
{
	struct mail *mail = mailbox_take(&inbox->mailbox);

	while (mail) {
		struct task *task = container_of(mail, struct task, mail);

		mail = mail->next; /* the task may free itself */
		task->run(task);
	}
}

static void on_arrived(struct ev_loop *loop, ev_async *watcher, int events)
{
	(void)loop;
	(void)events;
	inbox_run(container_of(watcher, struct inbox, arrived));
}

void inbox_open(struct inbox *inbox, struct ev_loop *loop)
{
	*inbox = (struct inbox){.loop = loop};
	ev_async_init(&inbox->arrived, on_arrived);
	ev_async_start(loop, &inbox->arrived);
}

void inbox_close(struct inbox *inbox)
{
	inbox_run(inbox);
	ev_async_stop(inbox->loop, &inbox->arrived);
}

void inbox_post(struct inbox *inbox, struct task *task)
{
	if (mailbox_post(&inbox->mailbox, &task->mail))
		ev_async_send(inbox->loop, &inbox->arrived);
}

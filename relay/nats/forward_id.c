// SPDX-License-Identifier: MIT
/* Ids of messages, printed and read. */
#include "nats/forward_id.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

void forward_id_print(const struct forward_id *id, const char *subject, char ret[FORWARD_ID_BYTES])
{
	(void)snprintf(ret, FORWARD_ID_BYTES, "%s:%u-%llu", subject, id->session,
		       (unsigned long long)id->sequence);
}

bool forward_id_parse(const char *text, const char *subject, struct forward_id *ret)
{
	size_t bytes = strlen(subject);
	char session_text[11] = "";
	const char *numbers, *dash;
	uint64_t session, sequence;

	if (strncmp(text, subject, bytes) != 0 || text[bytes] != ':')
		return false;
	numbers = text + bytes + 1;
	dash = strchr(numbers, '-');
	if (!dash || dash == numbers || (size_t)(dash - numbers) >= sizeof(session_text))
		return false;
	memcpy(session_text, numbers, (size_t)(dash - numbers));
	if (num_parse_count(session_text, &session) < 0 || session > UINT32_MAX ||
	    num_parse_count(dash + 1, &sequence) < 0)
		return false;
	*ret = (struct forward_id){.session = (uint32_t)session, .sequence = sequence};
	return true;
}

bool forward_subject_matches(const char *pattern, const char *subject)
{
	for (;;) {
		size_t wanted = strcspn(pattern, ".");
		size_t word = strcspn(subject, ".");
		bool is_any = wanted == 1 && *pattern == '*';

		if (wanted == 1 && *pattern == '>')
			return word > 0;
		if (!is_any && (wanted != word || strncmp(pattern, subject, word) != 0))
			return false;
		if (!pattern[wanted] || !subject[word])
			return pattern[wanted] == subject[word];
		pattern += wanted + 1;
		subject += word + 1;
	}
}

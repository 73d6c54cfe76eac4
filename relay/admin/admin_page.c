// SPDX-License-Identifier: MIT
/*
 * The files of relay/admin/page/ are taken into the program by the assembler (.incbin), with paths
 * from the top of the tree, where make compiles.  page.html says by two comments where style and
 * script go.
 */
#include "admin/admin_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#define EMBED(name, path)                                                                          \
	extern const char page_##name[], page_##name##_end[];                                      \
	__asm__(".pushsection .rodata\n"                                                           \
		"page_" #name ":\n"                                                                \
		".incbin \"relay/admin/page/" path "\"\n"                                          \
		"page_" #name "_end:\n"                                                            \
		".byte 0\n"                                                                        \
		".popsection\n")

EMBED(html, "page.html");
EMBED(style, "style.css");
EMBED(script, "script.js");

static const char style_mark[] = "<!-- style -->";
static const char script_mark[] = "<!-- script -->";

/* "'sha256-...'": what W3C CSP 3 (2.3.1) wants for an element in the document. */
static int print_hash(char *buf, size_t size, const char *text, size_t bytes)
{
	unsigned char digest[EVP_MAX_MD_SIZE], base64[48]; /* of 32 bytes */
	unsigned digest_bytes = 0;

	if (EVP_Digest(text, bytes, digest, &digest_bytes, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	(void)EVP_EncodeBlock(base64, digest, (int)digest_bytes);
	snprintf(buf, size, "'sha256-%s'", (const char *)base64);
	return 0;
}

static void print(FILE *to, const char *from, const char *end)
{
	(void)fwrite(from, 1, (size_t)(end - from), to);
}

static void put_together(FILE *to)
{
	const char *style = strstr(page_html, style_mark);
	const char *script = strstr(page_html, script_mark);

	print(to, page_html, style);
	(void)fputs("<style>", to);
	print(to, page_style, page_style_end);
	(void)fputs("</style>", to);
	print(to, style + strlen(style_mark), script);
	(void)fputs("<script>", to);
	print(to, page_script, page_script_end);
	(void)fputs("</script>", to);
	print(to, script + strlen(script_mark), page_html_end);
}

int admin_page_init(struct admin_page *page)
{
	char style[64], script[64];
	FILE *to;

	if (page->text)
		return 0;
	if (print_hash(style, sizeof(style), page_style, (size_t)(page_style_end - page_style)) <
		    0 ||
	    print_hash(script, sizeof(script), page_script,
		       (size_t)(page_script_end - page_script)) < 0)
		return -ENOMEM;
	snprintf(page->policy, sizeof(page->policy),
		 "default-src 'none'; style-src %s; script-src %s; connect-src 'self'; img-src "
		 "data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		 style, script);
	to = open_memstream(&page->text, &page->bytes);
	if (!to)
		return -ENOMEM;
	put_together(to);
	if (fclose(to) == 0)
		return 0;
	admin_page_fini(page);
	return -ENOMEM;
}

void admin_page_fini(struct admin_page *page)
{
	free(page->text);
	*page = (struct admin_page){.bytes = 0};
}

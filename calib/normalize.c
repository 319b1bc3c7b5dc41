/*
 * NFC in parts. utf8proc takes memory of several times its input and sorts combining marks in
 * quadratic time, so it only gets the stretches that are not ASCII, with the character before each
 * (marks may compose with it), cut every few kilobytes before a letter: a letter never composes
 * with what stands before it, but for the vowels and tails of Hangul.
 */
#include "calib/normalize.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define PART_BYTES     2048 /* cut from here on before a letter, */
#define MAX_PART_BYTES 4096 /* from here on before anything */

struct text {
	char *bytes;
	size_t len, cap;
};

static bool append(struct text *text, const void *bytes, size_t len)
{
	if (!len)
		return true;
	if (len > text->cap - text->len) {
		const size_t cap = (text->cap + len) * 2;
		char *bigger = realloc(text->bytes, cap);

		if (!bigger)
			return false;
		text->bytes = bigger;
		text->cap = cap;
	}
	memcpy(text->bytes + text->len, bytes, len);
	text->len += len;
	return true;
}

static bool can_start_part(utf8proc_int32_t code)
{
	const utf8proc_category_t category = utf8proc_category(code);

	return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO &&
	       (code < 0x1160 || code > 0x11ff);
}

/* Length of the part that begins at `text`, whose first byte is of any character. */
static size_t part_length(const char *text, size_t len)
{
	const uint8_t *bytes = (const uint8_t *)text;
	size_t at = 1;

	while (at < len && bytes[at] >= 0x80) {
		utf8proc_int32_t code;
		const utf8proc_ssize_t n =
			utf8proc_iterate(bytes + at, (utf8proc_ssize_t)(len - at), &code);

		if (n <= 0) { /* the rest of the first character */
			at++;
			continue;
		}
		if (at >= MAX_PART_BYTES || (at >= PART_BYTES && can_start_part(code)))
			break;
		at += (size_t)n;
	}
	return at;
}

static bool append_part(struct text *out, const char *text, size_t len)
{
	utf8proc_uint8_t *nfc = NULL;
	const utf8proc_ssize_t n =
		utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &nfc,
			     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	/* only memory can be missing: the text is well-formed */
	const bool ok = n >= 0 && append(out, nfc, (size_t)n);

	free(nfc);
	return ok;
}

static size_t ascii_length(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len && !((uint8_t)text[at] & 0x80))
		at++;
	return at;
}

enum qc_status qc_normalize_nfc(const char *text, size_t len, char **out, size_t *out_len,
				struct qc_err *err)
{
	struct text nfc = {0};
	size_t at = 0;

	*out = NULL;
	if (ascii_length(text, len) == len)
		return QC_OK;
	while (at < len) {
		size_t n = ascii_length(text + at, len - at);
		const bool last = n == len - at;

		n -= n && !last; /* the last one may take marks */
		if (!append(&nfc, text + at, n))
			goto no_memory;
		at += n;
		if (at == len)
			break;
		n = part_length(text + at, len - at);
		if (!append_part(&nfc, text + at, n))
			goto no_memory;
		at += n;
	}
	*out = nfc.bytes;
	*out_len = nfc.len;
	return QC_OK;
no_memory:
	free(nfc.bytes);
	return qc_no_memory(err);
}

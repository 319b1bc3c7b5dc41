/* Errors are made here: formatted, cleaned for a terminal, cut to size. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Longer than err->text, so that what vsnprintf cuts lies behind where we cut. */
struct draft {
	char text[1024];
};

/* Whatever a terminal could take for a command becomes '?': control characters (C0, DEL, and C1 in
 * its two-byte form) and every byte that is not UTF-8. */
static void draft_clean(struct draft *draft)
{
	char *at = draft->text;
	size_t left = strlen(at);

	while (left) {
		size_t n = qc_utf8_length(at, left);
		uint8_t b = (uint8_t)at[0];

		if (n == 0 || b < 0x20 || b == 0x7f)
			*at = '?', n = 1;
		else if (b == 0xc2 && (uint8_t)at[1] < 0xa0)
			at[0] = at[1] = '?';
		at += n;
		left -= n;
	}
}

/* Cut a clean text to at most `max` bytes, "..." included. */
static void text_cut(char *text, size_t max)
{
	size_t n = max - 3;

	if (strlen(text) <= max)
		return;
	while (n && ((uint8_t)text[n] & 0xc0) == 0x80)
		n--;
	memcpy(text + n, "...", 4);
}

static void draft_print(struct draft *draft, const char *format, va_list args)
{
	if (vsnprintf(draft->text, sizeof(draft->text), format, args) < 0)
		memcpy(draft->text, "...", 4);
	draft_clean(draft);
}

/* "draft: cause", where a long draft gives way to the cause but keeps half of the room. */
static void draft_join(struct draft *draft, const char *cause)
{
	size_t max = sizeof(((struct qc_err *)0)->text) - 1;
	size_t tail = strlen(cause) + 2;
	size_t n;

	text_cut(draft->text, tail < max / 2 ? max - tail : max / 2);
	n = strlen(draft->text);
	snprintf(draft->text + n, sizeof(draft->text) - n, ": %s", cause);
	draft_clean(draft);
}

/* The arguments may have pointed into err->text: only now is it written. */
static enum qc_status draft_store(struct draft *draft, struct qc_err *err, enum qc_status status)
{
	text_cut(draft->text, sizeof(err->text) - 1);
	memcpy(err->text, draft->text, strlen(draft->text) + 1);
	err->status = status;
	return status;
}

enum qc_status qc_fail(struct qc_err *err, enum qc_status status, const char *format, ...)
{
	struct draft draft;
	va_list args;

	va_start(args, format);
	draft_print(&draft, format, args);
	va_end(args);
	return draft_store(&draft, err, status);
}

enum qc_status qc_fail_errno(struct qc_err *err, int error, const char *format, ...)
{
	struct draft draft;
	va_list args;

	va_start(args, format);
	draft_print(&draft, format, args);
	va_end(args);
	/* strerror_r has two incompatible forms; strerror shares a buffer for unknown numbers only
	 */
	draft_join(&draft, strerror(error));
	return draft_store(&draft, err, QC_IO);
}

enum qc_status qc_fail_in(struct qc_err *err, const char *format, ...)
{
	struct draft draft;
	va_list args;

	va_start(args, format);
	draft_print(&draft, format, args);
	va_end(args);
	draft_join(&draft, err->text);
	return draft_store(&draft, err, err->status);
}

enum qc_status qc_no_memory(struct qc_err *err)
{
	return qc_fail(err, QC_NO_MEMORY, "out of memory");
}

int qc_exit_code(enum qc_status status)
{
	switch (status) {
	case QC_OK:
		return 0;
	case QC_USAGE:
		return 2;
	case QC_DIFFERENT:
		return 3;
	case QC_REFUSED:
		return 4;
	case QC_INTERRUPTED:
		return 130;
	case QC_NO_MEMORY:
	case QC_IO:
	case QC_BAD_INPUT:
	case QC_UNSUPPORTED:
		break;
	}
	return 1;
}

/*
 * Errors: a status to branch on and one line of text to show.
 *
 * A fallible function returns `enum qc_status` and takes `struct qc_err *err` last (never NULL,
 * untouched on success). The text is written once, where the cause is known; callers add where they
 * were with qc_fail_in(). Nothing below convert/cmd_*.c prints or exits.
 */
#ifndef QC_BASE_ERROR_H
#define QC_BASE_ERROR_H

#include "base/attr.h"

enum qc_status {
	QC_OK = 0,
	QC_NO_MEMORY, /* malloc failed */
	QC_IO,	      /* a system call failed, a disk is full, an input changed while it was read */
	QC_BAD_INPUT, /* the bytes of a file, or values in it, break its format */
	QC_UNSUPPORTED, /* well formed, but not something we can do */
	QC_USAGE,	/* the caller's options make no sense */
	QC_DIFFERENT,	/* a verification found a difference */
	QC_REFUSED,	/* going on would lose data: existing output, drops under --strict */
	QC_INTERRUPTED, /* SIGINT, SIGTERM or SIGHUP */
};

/* Fixed size: reporting that memory ran out needs no memory. */
struct qc_err {
	enum qc_status status;
	char text[640];
};

/* Set `err` to `status` and a printf-style text (no newline, lower case, no full stop); return
 * `status`. Control characters in the result (names come from files) are replaced by '?'. */
QC_MUST_CHECK QC_PRINTF(3, 4) enum qc_status
	qc_fail(struct qc_err *err, enum qc_status status, const char *format, ...);

/* Like qc_fail(QC_IO), with ": " and the text of the errno value `error` appended. */
QC_MUST_CHECK QC_PRINTF(3, 4) enum qc_status
	qc_fail_errno(struct qc_err *err, int error, const char *format, ...);

/* Put a printf-style prefix and ": " before the text already in `err`; return its status. */
QC_MUST_CHECK QC_PRINTF(2, 3) enum qc_status
	qc_fail_in(struct qc_err *err, const char *format, ...);

/* QC_NO_MEMORY with a standard text. */
QC_MUST_CHECK
enum qc_status qc_no_memory(struct qc_err *err);

/* The process exit code that stands for `status`: 0 done, 1 failed, 2 usage, 3 different, 4
 * refused, 130. */
int qc_exit_code(enum qc_status status);

#endif

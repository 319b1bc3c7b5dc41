/* Unicode normalization, through utf8proc. */
#ifndef QC_CALIB_NORMALIZE_H
#define QC_CALIB_NORMALIZE_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

/* Well-formed UTF-8 in normalization form C: *out (malloc) of *out_len bytes; *out stays NULL when
 * the text is pure ASCII, which does not change. A sequence of more than a thousand combining marks
 * is normalized in parts. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_normalize_nfc(const char *text, size_t len, char **out, size_t *out_len,
				struct qc_err *err);

#endif

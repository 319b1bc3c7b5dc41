/* Text to measure and calibrate with. */
#ifndef QC_CALIB_TEXT_FILE_H
#define QC_CALIB_TEXT_FILE_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

/* The whole file at `path`, unpacked when it is gzip data: malloc, NUL behind `*len` bytes, for the
 * caller to free. QC_IO; QC_BAD_INPUT: empty, a NUL in it (no text), more than 1 GiB, damaged gzip
 * data; QC_NO_MEMORY. Bytes that are no UTF-8 are let through: tokenizers know what to do. */
QC_MUST_CHECK
enum qc_status qc_text_read(const char *path, char **text, size_t *len, struct qc_err *err);

#endif

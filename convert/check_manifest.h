/* The part of a verification that is about the manifest. */
#ifndef QC_CONVERT_CHECK_MANIFEST_H
#define QC_CONVERT_CHECK_MANIFEST_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/check.h"
#include "convert/qconv.h"

/* Hold `path` against the manifest beside it, when there is one: report->hashes and
 * first_difference. It comes before the file's structure: a changed byte is a difference, whatever
 * it breaks. QC_IO, QC_BAD_INPUT (no manifest of ours), QC_INTERRUPTED, QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_check_manifest(struct qc_check_report *report, const char *path,
				 const struct qconv_options *options, struct qc_err *err);

#endif

/* A planned conversion, carried out: what qconv_convert() does once the plan stands. */
#ifndef QC_CONVERT_CONVERT_H
#define QC_CONVERT_CONVERT_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "convert/qconv.h"

/* Write `plan` to `output` as the output's contract says, with its manifest: beside a file, in a
 * directory (so that it appears with it at once). Sizes in the plan may still change by a few
 * bytes. `summary` may be NULL. */
QC_MUST_CHECK
enum qc_status qc_convert_plan(struct qc_plan *plan, const char *output,
			       const struct qconv_options *options, struct qconv_summary *summary,
			       struct qc_err *err);

/* The format that an output name asks for; QC_USAGE, listing what can be written, when none does.
 */
QC_MUST_CHECK
enum qc_status qc_convert_target(const char *output, const struct qc_format **format,
				 struct qc_err *err);

/* What the public functions return for `s`: its code, and in `error` (NULL is allowed) its text. */
int qc_public_result(const struct qc_err *err, enum qc_status s, struct qconv_error *error);

#endif

/* The output as a set of files beside each other; the part of convert/output.h that is about sets.
 */
#ifndef QC_CONVERT_OUTPUT_SET_H
#define QC_CONVERT_OUTPUT_SET_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/output.h"

/* qc_output_precheck() of a set. */
QC_MUST_CHECK
enum qc_status qc_output_set_precheck(const char *path, const struct qc_model *model,
				      const struct qc_out *out, bool force, struct qc_err *err);

/* Open a writer for every file. */
QC_MUST_CHECK
enum qc_status qc_output_set_create(struct qc_output *output, const struct qc_model *model,
				    const struct qc_out *out, struct qc_err *err);

/*
 * Give all files their names. What is there under them is put aside first
 * (".NAME.qconv-PID.old"), the set's first file before the others; then the new files come, the
 * first one last. So whoever opens the first file finds the old set, the new one, or none. When
 * anything fails the old files come back; when the process is killed in between they are still
 * there under the hidden names.
 */
QC_MUST_CHECK
enum qc_status qc_output_set_commit(struct qc_output *output, struct qc_err *err);

#endif

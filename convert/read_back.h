/* Reading back what was written, before it gets its final name. */
#ifndef QC_CONVERT_READ_BACK_H
#define QC_CONVERT_READ_BACK_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/jobs.h"
#include "convert/output.h"
#include "convert/plan.h"

/* Sync the output's files and read all of them: headers, copies and the zeros between tensors must
 * be the planned ones, every piece must have the digest that its bytes had in memory. Sets
 * results->files and ->file: of a single file its digest; of a directory that of the lines
 * "DIGEST  NAME\n" of its files in order, which is what `xxhsum -H2 FILES | xxhsum -H2` prints.
 * QC_IO naming what differs; QC_INTERRUPTED. */
QC_MUST_CHECK
enum qc_status qc_read_back(struct qc_output *output, const struct qc_plan *plan,
			    const struct qconv_options *options, struct qc_job_results *results,
			    struct qc_err *err);

#endif

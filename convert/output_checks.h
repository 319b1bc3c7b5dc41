/* What must hold of an output's name before anything is written; the first half of the writer. */
#ifndef QC_CONVERT_OUTPUT_CHECKS_H
#define QC_CONVERT_OUTPUT_CHECKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/model.h"

/* All of qc_writer_precheck()'s checks. On success *dir_fd is the open folder that `path` lies in,
 * on failure -1. */
QC_MUST_CHECK
enum qc_status qc_output_open_folder(const char *path, const struct qc_model *model,
				     uint64_t total_bytes, bool force, int *dir_fd,
				     struct qc_err *err);

/* QC_REFUSED when the output at `path` is the file `input`, by whatever name, or the directory that
 * it lies in and would go with. `input` may be NULL. */
QC_MUST_CHECK
enum qc_status qc_output_is_not(const char *path, const char *input, struct qc_err *err);

#endif

/* What the files of the importance matrix share: imatrix.c, imatrix_read.c, imatrix_dat.c,
 * imatrix_write.c. */
#ifndef QC_CALIB_IMATRIX_PARTS_H
#define QC_CALIB_IMATRIX_PARTS_H

#include "base/file.h"
#include "calib/imatrix.h"

#define QC_IMATRIX_SUMS	       ".in_sum2"
#define QC_IMATRIX_COUNTS      ".counts"
#define QC_IMATRIX_AMAX	       ".in_amax"
#define QC_IMATRIX_DATASETS    "imatrix.datasets"
#define QC_IMATRIX_CHUNK_COUNT "imatrix.chunk_count"
#define QC_IMATRIX_CHUNK_SIZE  "imatrix.chunk_size"

/* QC_BAD_INPUT naming the entry when one of the n values is negative, NaN or infinite. */
QC_MUST_CHECK
enum qc_status qc_imatrix_check(const struct qc_imatrix_entry *entry, const char *what,
				const float *values, uint64_t n, struct qc_err *err);

/* imatrix_dat.c: the legacy form. */
QC_MUST_CHECK
enum qc_status qc_imatrix_read_dat(struct qc_imatrix *im, const struct qc_file *file,
				   struct qc_err *err);

#endif

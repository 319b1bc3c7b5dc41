/*
 * Sources of quantized rows that calibration made: the rows themselves, as blocks in a temporary
 * file, and an overlay that gives them in place of another source's as far as they are there.
 */
#ifndef QC_CONVERT_TUNED_H
#define QC_CONVERT_TUNED_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "calib/rows.h"
#include "formats/source.h"

/* Rows of blocks of `type` at `offset` of the file. Values are what decodes, times the factor of
 * their slice. */
struct qc_tuned {
	struct qc_source base;
	const struct qc_spill *file;
	uint64_t offset, row_bytes;
	const float *factors; /* one for each slice; NULL: 1 */
	uint64_t slice;	      /* rows of one */
};

/* rows x cols (whole blocks); everything is borrowed. NULL: memory is out. */
struct qc_tuned *qc_tuned_make(struct qc_arena *arena, const struct qc_spill *file, uint64_t offset,
			       const struct qc_qtype *type, uint64_t rows, uint64_t cols);

/* Floats of `inner`, but rows that are done come from `tuned`, which has the same shape; with
 * `searches` all rows are what `search` makes of inner's in tuned's type. What it gives may change
 * between two reads. */
struct qc_overlay {
	struct qc_source base;
	const struct qc_source *inner;
	const struct qc_tuned *tuned;
	bool *done; /* each row */
	uint64_t n_done;
	qc_quantize_fn *search;
	bool searches;
};
struct qc_overlay *qc_overlay_make(struct qc_arena *arena, const struct qc_source *inner);

/* Write n rows: `first`, first + step, ... They are done then. QC_IO. */
QC_MUST_CHECK
enum qc_status qc_tuned_write(struct qc_overlay *overlay, uint64_t first, uint64_t step, uint64_t n,
			      const void *blocks, struct qc_err *err);

#endif

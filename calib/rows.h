/*
 * Rows of floats that all windows have: in memory, or in a temporary file that has no name.
 *
 * Callers ask for a range of rows and get a place: their own where the rows are in memory, else
 * the buffer that they brought, filled from the file.
 */
#ifndef QC_CALIB_ROWS_H
#define QC_CALIB_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

/* A temporary file. Zeroed is closed. */
struct qc_spill {
	bool is_open;
	int fd;
	uint64_t size;
};

/* A file of `bytes` bytes in `dir`, NULL: $TMPDIR, without that /var/tmp (/tmp is often memory).
 * It has no name, so that nothing is left of it however the program ends. The room is reserved:
 * QC_IO when there is not so much. */
QC_MUST_CHECK
enum qc_status qc_spill_open(struct qc_spill *spill, const char *dir, uint64_t bytes,
			     struct qc_err *err);
void qc_spill_close(struct qc_spill *spill);

/* Zeroed is empty. */
struct qc_rows {
	uint64_t n, cols;
	float *data;		      /* [n, cols], malloc; NULL: in the file */
	const struct qc_spill *spill; /* borrowed */
	uint64_t offset;	      /* in the file */
};

/* Room for n rows, not initialised: in memory, or with `spill` at *offset of it, which moves on.
 * QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_rows_make(struct qc_rows *rows, uint64_t n, uint64_t cols,
			    const struct qc_spill *spill, uint64_t *offset, struct qc_err *err);
void qc_rows_clear(struct qc_rows *rows);

/* Where rows from `first` on are to be written: their place in memory, or `buffer`. */
float *qc_rows_place(const struct qc_rows *rows, uint64_t first, float *buffer);

/* *at = rows [first, first + n): their place in memory, or `buffer` (n * cols floats) with what
 * the file has. QC_IO. */
QC_MUST_CHECK
enum qc_status qc_rows_read(const struct qc_rows *rows, uint64_t first, uint64_t n, float *buffer,
			    float **at, struct qc_err *err);

/* Rows [first, first + n) are what stands at `at`, which came from one of the above. QC_IO. */
QC_MUST_CHECK
enum qc_status qc_rows_write(const struct qc_rows *rows, uint64_t first, uint64_t n,
			     const float *at, struct qc_err *err);

#endif

/* What calib/gptq.c, gptq_points.c and descend.c share. */
#ifndef QC_CALIB_GPTQ_PARTS_H
#define QC_CALIB_GPTQ_PARTS_H

#include "calib/gptq.h"

enum {
	/* Rows that go through together: enough for matrix products at full speed. */
	QC_GPTQ_ROWS = 128,
	/* Columns that are worked on together: what their errors do to all others is one matrix
	 * product. A multiple of every type's block. */
	QC_GPTQ_PANEL = 256,
};

/* gptq.c: panel[rows, QC_GPTQ_PANEL] = target[rows, n] from column `first` on with the errors
 * e[rows, n] before it fed back. */
void qc_gptq_begin_panel(const struct qc_curvature *curvature, const float *target, size_t rows,
			 size_t first, const float *e, float *panel);

/* gptq_points.c: qc_gptq() for types with points. */
QC_MUST_CHECK
enum qc_status qc_gptq_points(const struct qc_curvature *curvature,
			      const struct qc_gptq_options *options, const float *target,
			      size_t rows, uint8_t *blocks, struct qc_err *err);

/* descend.c: lower the errors of rows whose levels are numbers[rows, n] in `blocks`; e[rows, n] =
 * target - decoded is used up. `work`: QC_DESCEND_WORK(rows, n) floats. */
#define QC_DESCEND_WORK(rows, n) ((rows) * ((n) / 4 + QC_GPTQ_PANEL))
void qc_descend_rows(const struct qc_curvature *curvature, const struct qc_gptq_options *options,
		     size_t rows, uint8_t *blocks, uint8_t *numbers, float *e, float *work);

/* descend.c: g[rows, QC_GPTQ_PANEL] = e H, of the columns of a panel. */
void qc_gptq_gradient(const struct qc_curvature *curvature, size_t rows, size_t panel,
		      size_t columns, const float *e, float *g);

#endif

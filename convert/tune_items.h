/* What convert/tune_plan.c (the whole) and convert/tune_solve.c (one matrix) share. */
#ifndef QC_CONVERT_TUNE_ITEMS_H
#define QC_CONVERT_TUNE_ITEMS_H

#include "base/strmap.h"
#include "calib/eval.h"
#include "calib/tune.h"
#include "convert/tune_plan.h"
#include "convert/tuned.h"

/* Weights that are solved at a time: rows do not depend on each other. */
enum { QC_TUNE_AT_A_TIME = 1 << 25 };

/* A step that takes part. */
struct qc_tune_item {
	struct qc_step *step;
	const struct qc_grid *grid;
	struct qc_overlay
		*overlay; /* in the quantized model; NULL: the engine has no such weight */
	struct qc_tuned *tuned;
	float *factors; /* of its matrices; NULL: 1 */
	float rounded;	/* what its packing said of the scales; 0: nothing */
	size_t n_kept;	/* matrices that are better calibrated */
};

struct qc_tuning {
	struct qc_plan *plan;
	const struct qconv_options *options;
	struct qc_arena arena;
	struct qc_spill file; /* all items' rows */
	struct qc_tune_item *items;
	size_t n_items;
	struct qc_strmap by_name; /* canonical name -> item */
	struct qc_model models[2];
	struct qc_forward *forwards[2]; /* original, quantized */
	struct qc_windows windows;	/* the held-out ones at the end */
	size_t n_held;
};

/* tune_solve.c: quantize a matrix of an item, and by data-free search; what has the smaller error
 * on the held-out windows becomes the item's rows. */
QC_MUST_CHECK
enum qc_status qc_tune_matrix(struct qc_tuning *t, struct qc_tune_item *item,
			      const struct qc_tune_job *job, struct qc_err *err);

#endif

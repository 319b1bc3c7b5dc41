/* What convert/tune_plan.c (the whole), tune_items.c (who takes part) and tune_solve.c (one matrix)
 * share. */
#ifndef QC_CONVERT_TUNE_ITEMS_H
#define QC_CONVERT_TUNE_ITEMS_H

#include "base/strmap.h"
#include "calib/eval.h"
#include "calib/fisher.h"
#include "calib/tune.h"
#include "convert/tune_bias.h"
#include "convert/tune_plan.h"
#include "convert/tuned.h"

/* Weights that are solved at a time: rows do not depend on each other. */
enum { QC_TUNE_AT_A_TIME = 1 << 25 };

/* A step that takes part. */
struct qc_tune_item {
	struct qc_step *step;
	const struct qc_grid *grid;
	const struct qc_source *rows; /* of its matrices, one after the other: [out, in] each */
	bool turned;		      /* the step has them as [in, out] */
	struct qc_overlay
		*overlay; /* in the quantized model; NULL: the engine has no such weight */
	struct qc_tuned *tuned;
	float *factors; /* of its matrices; NULL: 1 */
	float rounded;	/* what its packing said of the scales; 0: nothing */
	size_t n_kept;	/* matrices that are better calibrated */
};

/* What one weight of the engine is of a step: rows first, first + step, ... */
struct qc_tune_part {
	struct qc_tune_item *item;
	uint64_t first, step;
	const struct qc_source *rows;
	bool single; /* one expert's */
};

struct qc_tuning {
	struct qc_plan *plan;
	const struct qconv_options *options;
	struct qc_arena arena;
	struct qc_spill file; /* all items' rows */
	struct qc_tune_item *items;
	size_t n_items;
	struct qc_strmap by_name; /* canonical name -> item */
	struct qc_tune_part *parts;
	size_t n_parts;
	struct qc_strmap by_weight; /* of the engine -> part */
	struct qc_model models[2];
	struct qc_forward *forwards[2]; /* original, quantized */
	struct qc_windows windows;	/* the held-out ones at the end */
	size_t n_held;
	struct qc_tune_biases *biases; /* of the quantized model; NULL */
	struct qc_fisher fisher;       /* of the original; empty: not asked for */
};

/* tune_items.c: the plan's steps that take part, and room for their rows. */
QC_MUST_CHECK
enum qc_status qc_tune_find_items(struct qc_tuning *t, struct qc_err *err);

/* tune_items.c: what matrix `index` of a weight is part of; NULL: it is not calibrated. */
const struct qc_tune_part *qc_tune_part_of(const struct qc_tuning *t, const char *name,
					   uint64_t index);

/* tune_items.c: the model, in the target's layout, reads calibrated rows as they come. */
QC_MUST_CHECK
enum qc_status qc_tune_put_overlays(struct qc_tuning *t, struct qc_model *model,
				    struct qc_err *err);

/* tune_items.c: the step takes what was made. */
QC_MUST_CHECK
enum qc_status qc_tune_finish(struct qc_tuning *t, struct qc_tune_item *item, struct qc_err *err);

/* tune_solve.c: quantize a matrix of a step, and by data-free search; what has the smaller error on
 * the held-out windows becomes its rows. */
QC_MUST_CHECK
enum qc_status qc_tune_matrix(struct qc_tuning *t, const struct qc_tune_part *part,
			      const struct qc_tune_job *job, struct qc_err *err);

/* convert/tune_plan.c. The plan's input once more as t->models[i], as its output has it, and a
 * forward pass of it as t->forwards[i], within calibration.share. Errors of reading and of the
 * engine. */
QC_MUST_CHECK
enum qc_status qc_tune_open_model(struct qc_tuning *t, int i, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_tune_open_forward(struct qc_tuning *t, int i, struct qc_err *err);

#endif

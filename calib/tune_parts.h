/* What calib/tune.c, tune_joint.c, tune_shared.c and tune_experts.c share. */
#ifndef QC_CALIB_TUNE_PARTS_H
#define QC_CALIB_TUNE_PARTS_H

#include "calib/forward_parts.h"
#include "calib/tune.h"

/* The input of one matrix, caught on its way. */
struct qc_catch {
	const struct qc_weight *weight;
	const float *x;
	size_t rows;
};

/* Matrices whose output joins the stream; ended by QC_SLOTS. */
struct qc_joint {
	enum qc_slot slots[4]; /* the matrix, the norm behind it, a factor of the stream */
};

struct qc_tuning_state {
	struct qc_forward *a, *b; /* original, quantized */
	const struct qc_tune_options *options;
	struct qc_moments learn, held;
	size_t n_shared;   /* windows, the first of all, that are learnt from in both models */
	size_t first_held; /* row */
	uint32_t block;
};

/* tune.c: room for the moments of an input of n channels, `out` of qc_moments_init(); gone with
 * qc_tune_end(). */
QC_MUST_CHECK
enum qc_status qc_tune_begin(struct qc_tuning_state *t, size_t n, size_t out, struct qc_err *err);
void qc_tune_end(struct qc_tuning_state *t);

/* tune.c: run a half on the windows from `first` on until the input of `weight`, which is *c then;
 * the states stay as they are. */
QC_MUST_CHECK
enum qc_status qc_tune_catch(const struct qc_half *half, size_t first, struct qc_catch *c,
			     const struct qc_weight *weight, struct qc_err *err);

/* tune_shared.c: all windows in the order in which the quantized model has them: those that both
 * models learn from, those that only it does, those held out. The original has no second ones. */
void qc_tune_order(const struct qc_tuning_state *t, const uint32_t *ids, size_t n_windows,
		   size_t length, uint32_t *ordered);

/* tune_shared.c: those of the chunk of windows from `first` on that the original has. */
struct qc_shared_windows {
	size_t first; /* their number there */
	size_t at, n; /* windows [at, at + n) of the chunk */
};
struct qc_shared_windows qc_tune_shared_of(const struct qc_tuning_state *t, size_t first);

/* tune_shared.c: before the chunk of windows from `first` on is added to the moments of what goes
 * into `weight`: where the original has no more of those to learn from, settle them. w: as
 * qc_moments_settle(). */
QC_MUST_CHECK
enum qc_status qc_tune_settle(struct qc_tuning_state *t, size_t first,
			      const struct qc_weight *weight, const float *w, struct qc_err *err);

/* What goes with the rows of such windows in a chunk. */
struct qc_originals {
	size_t at;	     /* row of the chunk */
	float *y;	     /* inputs of the original; overwritten; NULL: none */
	const float *wanted; /* in moments with T: what the outputs should be */
};

/* tune_shared.c: add rows to the moments, to those of the held-out windows from row t->first_held
 * on. `row`: the number of the first among all windows' rows. */
void qc_tune_add(struct qc_tuning_state *t, size_t row, const float *x, size_t rows,
		 const struct qc_originals *originals);

/* tune_joint.c: quantize the matrix that ends a half, and end it for all windows of both models. */
QC_MUST_CHECK
enum qc_status qc_tune_joint(struct qc_tuning_state *t, const struct qc_half *a,
			     const struct qc_half *b, const struct qc_joint *joint,
			     struct qc_err *err);

/* tune.c: the damping for the tokens learnt from so far. */
float qc_tune_damp(const struct qc_tuning_state *t);

/* tune.c: those of `slots` (ended by QC_SLOTS) that the block has and that are wanted. */
size_t qc_tune_wanted(struct qc_tuning_state *t, const enum qc_slot *slots,
		      const struct qc_weight *wanted[4]);

/* tune.c: solve matrix `index` of these weights, whose input the moments are of. */
QC_MUST_CHECK
enum qc_status qc_tune_solve(struct qc_tuning_state *t, const struct qc_weight *const *weights,
			     size_t n, uint64_t index, struct qc_err *err);

/* tune_experts.c: the experts of the block, and what both models' make of their inputs. */
QC_MUST_CHECK
enum qc_status qc_tune_experts(struct qc_tuning_state *t, struct qc_err *err);

#endif

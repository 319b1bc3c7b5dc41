/* --imatrix: weights of importance on their way from the file into the encoders. */
#ifndef QC_CONVERT_IMPORTANCE_H
#define QC_CONVERT_IMPORTANCE_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "convert/qconv.h"

/* QC_BAD_INPUT: the imatrix is another model's: no entry is of a tensor of this one, or one is of a
 * block or of a block's weight that it has not. */
QC_MUST_CHECK
enum qc_status qc_importance_check(const struct qc_imatrix *im, const struct qc_model *model,
				   struct qc_err *err);

/* QC_BAD_INPUT: an entry has another width, or number of experts, than its tensor. */
QC_MUST_CHECK
enum qc_status qc_importance_fit(struct qc_imatrix *im, const struct qc_model *model,
				 struct qc_err *err);

/* Read options->imatrix, if there is one, into the plan, which has a model in its final layout.
 * QC_BAD_INPUT: broken, or another model's. */
QC_MUST_CHECK
enum qc_status qc_importance_read(struct qc_plan *plan, const struct qconv_options *options,
				  struct qc_err *err);

/* The entry of a model's tensor: its own, or that of all its experts; NULL when there is none. */
struct qc_imatrix_entry *qc_importance_find(const struct qc_imatrix *im,
					    const struct qc_tensor *tensor);

/* Give every step that weights can help the weights of its tensor; all steps are planned. Sums in
 * plan->imatrix become weights. QC_BAD_INPUT: an entry has another width than its tensor;
 * QC_UNSUPPORTED: a tensor that must have weights has none. */
QC_MUST_CHECK
enum qc_status qc_importance_attach(struct qc_plan *plan, struct qc_err *err);

/* Divide the weights by the squares of plan->scales, as the inputs are divided by the scales. */
void qc_importance_scale(struct qc_plan *plan);

/* What llama-quantize writes about it into a GGUF: quantize.imatrix.*. */
QC_MUST_CHECK
enum qc_status qc_importance_keys(const struct qc_plan *plan, struct qc_meta *meta,
				  struct qc_err *err);

/* The cols weights that apply to a row of a step whose columns are inputs; NULL: none. */
const float *qc_importance_row(const struct qc_step *step, uint64_t row);

/* The weights of n elements from element `first` of the step's rows on, one by one; `dst` or NULL.
 */
const float *qc_importance_run(const struct qc_step *step, uint64_t first, uint64_t n, float *dst);

#endif

/* --act nvfp4: scales of quantized activations, from the ranges that a calibration has seen. */
#ifndef QC_CONVERT_INPUT_SCALES_H
#define QC_CONVERT_INPUT_SCALES_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "convert/qconv.h"

/*
 * Give every weight whose activations have a range in plan->imatrix an input_scale, in place of
 * what the source had: amax / (6 * 448), as ModelOpt does. Weights with one input (q, k and v; gate
 * and up) get the largest of theirs; an expert that no token chose gets the largest of the other
 * experts'. Nothing without options->act. QC_USAGE: another kind than nvfp4, another --q, no
 * imatrix; QC_BAD_INPUT: an imatrix without ranges.
 */
QC_MUST_CHECK
enum qc_status qc_input_scales_set(struct qc_plan *plan, const struct qconv_options *options,
				   struct qc_err *err);

/* All steps are planned: every weight that is packed as NVFP4 has got one. QC_BAD_INPUT names one
 * that has not. */
QC_MUST_CHECK
enum qc_status qc_input_scales_check(const struct qc_plan *plan,
				     const struct qconv_options *options, struct qc_err *err);

#endif

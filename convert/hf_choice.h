/*
 * What each tensor becomes in an output that is safetensors.
 *
 * A plain type is for all tensors, a packing for the weights of linear layers: two dimensions (or
 * all experts of a layer in three), but no embedding, output head, router, norm, convolution, and
 * nothing of a vision or audio tower. Modules that could be packed and are not are listed in
 * plan->skipped, because the loaders must be told.
 */
#ifndef QC_CONVERT_HF_CHOICE_H
#define QC_CONVERT_HF_CHOICE_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "convert/recipe.h"

/* Choose for every tensor of plan->model; choices has one entry for each. Sets the plan's packing,
 * method, search and skipped. --tensor rules (plain types only) come first, then --skip; both
 * match the stored names. QC_USAGE: unknown name, layout or method, an option that does not belong
 * to the packing, a bad regular expression. */
QC_MUST_CHECK
enum qc_status qc_hf_choose(struct qc_plan *plan, const struct qconv_options *options,
			    struct qc_choice *choices, struct qc_err *err);

#endif

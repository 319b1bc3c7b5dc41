/* Experts that are one tensor, as one tensor each. */
#ifndef QC_FORMATS_EXPERTS_SPLIT_H
#define QC_FORMATS_EXPERTS_SPLIT_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/model.h"

/*
 * In a model in Hugging Face's layout: what the architecture's table has both in one tensor and in
 * one an expert becomes the latter, for layouts whose loaders know no others (ModelOpt's
 * moe_utils.py and llm-compressor do the same).
 *
 *   P.gate_up_proj [experts, 2 ffn, in]   P.E.gate_proj.weight, P.E.up_proj.weight [ffn, in]
 *   P.down_proj    [experts, in, ffn]     P.E.down_proj.weight [in, ffn]
 *
 * Those that are stored [experts, in, out] stay.
 */
QC_MUST_CHECK
enum qc_status qc_experts_split(struct qc_model *model, struct qc_err *err);

/* Whether the model has experts in one tensor each. */
bool qc_experts_are_single(const struct qc_model *model);

#endif

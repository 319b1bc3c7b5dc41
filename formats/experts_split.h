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
 * Architectures whose experts are [experts, in, out] while they are floats, gpt-oss, are left alone
 * unless `turned`. Then gate and up, row by row in one, come apart (llm-compressor pull request
 * 3100), and the biases with them:
 *
 *   P.gate_up_proj_bias [experts, 2 ffn]  P.E.gate_proj.bias, P.E.up_proj.bias [ffn]
 *   P.down_proj_bias    [experts, in]     P.E.down_proj.bias [in]
 */
QC_MUST_CHECK
enum qc_status qc_experts_split(struct qc_model *model, bool turned, struct qc_err *err);

/* The way back, where experts are turned: those in one tensor each, which no loader of such a model
 * knows when they are not compressed-tensors', become one again. */
QC_MUST_CHECK
enum qc_status qc_experts_join(struct qc_model *model, struct qc_err *err);

/* Whether experts of this architecture are [experts, in, out] while they are floats. */
bool qc_experts_are_turned(const struct qc_model *model);

/* Whether the model has experts in one tensor each. */
bool qc_experts_are_single(const struct qc_model *model);

#endif

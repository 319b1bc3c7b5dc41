/* Whether what loaders run as one is packed as one. */
#ifndef QC_CONVERT_HF_FUSED_H
#define QC_CONVERT_HF_FUSED_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "convert/recipe.h"

/* choices[i] is of the model's tensor i. QC_USAGE names two tensors of a fused layer, or of a
 * block's experts, one of which is packed and one is not: vLLM refuses such files ("Found a
 * different quantization schemes ..."), TensorRT-LLM asserts or reads the wrong kind. bitsandbytes
 * files are read by layer: they may have any. */
QC_MUST_CHECK
enum qc_status qc_hf_check_fused(const struct qc_plan *plan, const struct qc_choice *choices,
				 struct qc_err *err);

#endif

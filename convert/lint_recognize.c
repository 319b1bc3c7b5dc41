/* Lint: how a way of storing weights is recognised, by a module's tensors and their types. */
#include <string.h>

#include "convert/lint_rules.h"
#include "quant/types.h"

static bool is(const struct qc_tensor *tensor, const struct qc_qtype *type)
{
	return tensor && tensor->source->type == type;
}

static bool is_f8(const struct qc_tensor *tensor)
{
	return is(tensor, &qc_f8_e4m3) || is(tensor, &qc_f8_e5m2);
}

static bool is_e8m0(const struct qc_tensor *tensor)
{
	return is(tensor, &qc_u8) || is(tensor, &qc_f8_e8m0);
}

/* AWQ's GEMM form packs along the outputs, so that a row of codes is an eighth as wide as one of
 * scales. */
static const struct lint_scheme *scheme_of_ints(const struct lint *lint,
						const struct lint_module *module)
{
	const struct qc_tensor *codes = lint_part(lint, module, PART_QWEIGHT);
	const struct qc_tensor *scales = lint_part(lint, module, PART_SCALES);
	const struct qc_tensor *zeros = lint_part(lint, module, PART_QZEROS);
	const bool awq = codes && scales && codes->n_dims && scales->n_dims &&
			 codes->dims[0] == scales->dims[0] / 8 && !module->part[PART_G_IDX];
	const bool gemv = codes && scales && zeros && codes->n_dims == 2 && scales->n_dims == 2 &&
			  zeros->n_dims == 2 && codes->dims[1] == scales->dims[1] &&
			  codes->dims[1] == zeros->dims[1] && !module->part[PART_G_IDX];

	return awq ? &lint_awq : gemv ? &lint_awq_gemv : &lint_gptq;
}

static const struct lint_scheme *scheme_of_packed(const struct qc_tensor *codes,
						  const struct qc_tensor *scale, bool has_global)
{
	if (has_global || is(scale, &qc_f8_e4m3))
		return &lint_nvfp4_ct;
	return is(codes, &qc_u8) ? &lint_mxfp4_ct : &lint_ct_packed;
}

static bool has_bnb4_part(const struct lint_module *module)
{
	return module->part[PART_STATE_NF4] || module->part[PART_STATE_FP4] ||
	       module->part[PART_ABSMAX] || module->part[PART_QUANT_MAP] ||
	       module->part[PART_NESTED_ABSMAX] || module->part[PART_NESTED_QUANT_MAP];
}

/* P.weight and scales that hang off P. */
static const struct lint_scheme *scheme_of_weight(const struct lint *lint,
						  const struct lint_module *module)
{
	const struct qc_tensor *weight = lint_part(lint, module, PART_WEIGHT);
	const struct qc_tensor *scale = lint_part(lint, module, PART_WEIGHT_SCALE);

	if (is(weight, &qc_u8) && is(scale, &qc_f8_e4m3))
		return &lint_nvfp4_modelopt;
	if (is(weight, &qc_u8) && is_e8m0(scale))
		return &lint_mxfp4_modelopt;
	if (is(weight, &qc_i8) && is_e8m0(lint_part(lint, module, PART_SCALE)))
		return &lint_mxfp4_modelopt;
	if (is(weight, &qc_i8) && scale)
		return &lint_ct_int8;
	if (is_f8(weight) || module->part[PART_WEIGHT_SCALE_INV])
		return &lint_fp8;
	return scale && weight ? &lint_fp8 : NULL;
}

/* Integers of 4 bits that ModelOpt packs along the outputs: known, and without rules here. */
static bool is_modelopt_int4(const struct lint *lint)
{
	return lint->config.algo &&
	       (!strcmp(lint->config.algo, "W4A16_AWQ") || !strcmp(lint->config.algo, "W4A8_AWQ"));
}

const struct lint_scheme *lint_scheme_of(const struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *packed = lint_part(lint, module, PART_WEIGHT_PACKED);

	if (has_bnb4_part(module))
		return &lint_bnb4;
	if (module->part[PART_SCB])
		return &lint_bnb8;
	if (module->part[PART_QWEIGHT] || module->part[PART_QZEROS])
		return scheme_of_ints(lint, module);
	if (packed || module->part[PART_WEIGHT_GLOBAL_SCALE])
		return scheme_of_packed(packed, lint_part(lint, module, PART_WEIGHT_SCALE),
					module->part[PART_WEIGHT_GLOBAL_SCALE]);
	if (module->part[PART_BLOCKS] || (module->part[PART_BLOCK_SCALES] &&
					  is_e8m0(lint_part(lint, module, PART_BLOCK_SCALES))))
		return &lint_mxfp4_gpt_oss;
	if (is_modelopt_int4(lint))
		return NULL;
	if (module->part[PART_WEIGHT_SCALE_2])
		return module->part[PART_WEIGHT] || !module->part[PART_BARE] ? &lint_nvfp4_modelopt
									     : &lint_nvfp4_experts;
	return scheme_of_weight(lint, module);
}

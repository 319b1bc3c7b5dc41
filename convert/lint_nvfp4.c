/*
 * Lint: NVFP4. Each weight has one f32 factor beside its block scales, and loaders that run q, k
 * and v (gate and up) as one matrix keep only one factor for all of it: TensorRT-LLM insists that
 * they are equal, vLLM takes the largest (of compressed-tensors' divisors too) without rescaling
 * anything.
 */
#include <math.h>
#include <string.h>

#include "convert/lint_rules.h"
#include "quant/types.h"

static bool is_nvfp4(const struct lint *lint, const struct lint_module *module)
{
	(void)lint;
	return module->scheme && module->scheme->global != LINT_PARTS;
}

static bool is_modelopt(const struct lint *lint, const struct lint_module *module)
{
	return is_nvfp4(lint, module) && module->scheme->algos;
}

/* `part` of all members must be the same number. Those that lack it are another rule's. */
static enum qc_status check_shared(struct lint *lint, const struct lint_group *group,
				   const struct lint_module *first, enum lint_part part)
{
	const struct qc_tensor *one = lint_part(lint, first, part);
	enum qc_status s = QC_OK;
	float want, have;
	bool has = false;

	if (one && qc_tensor_elems(one) == 1)
		s = lint_first(lint, one, &has, &want);
	for (size_t i = 1; !s && has && i < group->n; i++) {
		const struct qc_tensor *other = lint_part(lint, group->members[i], part);
		bool also = false;

		if (!other || qc_tensor_elems(other) != 1 ||
		    group->members[i]->scheme != first->scheme)
			continue;
		s = lint_first(lint, other, &also, &have);
		if (!s && also && !(have == want) && !(isnan(have) && isnan(want)))
			return lint_report(lint, QC_LINT_ERROR, other->stored_name,
					   lint_text(lint, "%.9g, while '%.200s' is %.9g",
						     (double)have, one->stored_name, (double)want),
					   lint_text(lint, "one value for %s", group->what));
	}
	return s;
}

static enum qc_status check_shared_global(struct lint *lint, const struct lint_group *group)
{
	const struct lint_module *first = group->members[0];

	return check_shared(lint, group, first, first->scheme->global);
}

static enum qc_status check_shared_input(struct lint *lint, const struct lint_group *group)
{
	const struct lint_module *first = group->members[0];

	return check_shared(lint, group, first, first->scheme->input);
}

/* A factor is the largest weight / 2688, its reciprocal as a divisor: above (below) 1 only for
 * weights in the thousands, or when it is the one in place of the other. */
static enum qc_status check_direction(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *factor = lint_part(lint, module, module->scheme->global);
	enum qc_status s = QC_OK;
	bool has = false;
	float value;

	if (factor)
		s = lint_first(lint, factor, &has, &value);
	if (s || !has || !isfinite(value) || !(value > 0))
		return s;
	if (module->scheme->divides ? value < 1 : value > 1)
		return lint_report(lint, QC_LINT_WARNING, factor->stored_name,
				   lint_text(lint, "%.9g: the largest weight would be %.4g",
					     (double)value,
					     module->scheme->divides ? 2688 / (double)value
								     : 2688 * (double)value),
				   module->scheme->divides
					   ? "a divisor, 2688 / largest magnitude (well above 1)"
					   : "a factor, largest magnitude / 2688 (well below 1)");
	return QC_OK;
}

static enum qc_status check_factor_type(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *factor = lint_part(lint, module, module->scheme->global);

	if (!factor || (factor->source->type != &qc_bf16 && factor->source->type != &qc_f16))
		return QC_OK;
	return lint_report(lint, QC_LINT_WARNING, factor->stored_name,
			   lint_shape_text(lint, factor), "f32");
}

static enum qc_status check_input_value(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *input = lint_part(lint, module, module->scheme->input);
	enum qc_status s = QC_OK;
	bool has = false;
	float value;

	if (input)
		s = lint_first(lint, input, &has, &value);
	if (s || !has || value != 1)
		return s;
	return lint_report(lint, QC_LINT_WARNING, input->stored_name, "1, as if invented",
			   "largest activation / 2688 by calibration, or none at all (W4A16)");
}

/* What multiplies the inputs must be folded into the layer before. */
static enum qc_status check_pre_scale(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *pre = lint_part(lint, module, PART_PRE_QUANT_SCALE);

	if (!pre || (lint->config.algo && !strcmp(lint->config.algo, "NVFP4_AWQ")))
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, pre->stored_name,
			   lint_text(lint, "quant_algo %s",
				     lint->config.algo ? lint->config.algo : "is not given"),
			   "NVFP4_AWQ, or no pre_quant_scale");
}

static enum qc_status check_rows(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *codes = lint_part(lint, module, module->scheme->codes);
	const uint32_t axis = module->scheme->transposed;

	if (!codes || codes->n_dims <= axis || codes->dims[axis] % 32 == 0 || codes->dims[axis] % 8)
		return QC_OK;
	return lint_report(
		lint, QC_LINT_WARNING, codes->stored_name,
		lint_text(lint, "%llu inputs", (unsigned long long)codes->dims[axis] * 2),
		"a multiple of 64");
}

const struct lint_rule lint_rules_nvfp4[] = {
	{
		.name = "shared-global-scale",
		.loader = "TensorRT-LLM stops; vLLM and SGLang take the largest for all and answer "
			  "nonsense",
		.check_group = check_shared_global,
		.applies = is_nvfp4,
	},
	{
		.name = "shared-input-scale",
		.loader = "TensorRT-LLM stops; vLLM and SGLang take the largest for all and lose "
			  "accuracy",
		.check_group = check_shared_input,
		.applies = is_nvfp4,
	},
	{
		.name = "global-scale-direction",
		.loader = "every loader, if it is the reciprocal: ModelOpt's multiplies, "
			  "compressed-tensors' divides",
		.check_module = check_direction,
		.applies = is_nvfp4,
	},
	{
		.name = "global-scale-type",
		.loader = "TensorRT-LLM and vLLM compare and keep it as f32",
		.check_module = check_factor_type,
		.applies = is_nvfp4,
	},
	{
		.name = "input-scale-value",
		.loader = "vLLM, SGLang and TensorRT-LLM round small activations to zero with it",
		.check_module = check_input_value,
		.applies = is_nvfp4,
	},
	{
		.name = "pre-quant-scale",
		.loader = "vLLM and SGLang do not apply it and answer nonsense",
		.check_module = check_pre_scale,
		.applies = is_modelopt,
	},
	{
		.name = "gguf-rows",
		.loader = "llama.cpp's converter drops the end of every row: GGUF blocks have 64",
		.check_module = check_rows,
		.applies = is_nvfp4,
	},
	{0},
};

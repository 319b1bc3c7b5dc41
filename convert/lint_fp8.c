/*
 * Lint: FP8. A weight has one scale, one a row, or one a block; which of them loaders expect is
 * said by the configuration alone, and a tensor of another shape is broadcast or cut by some of
 * them.
 */
#include <string.h>

#include "base/checked.h"
#include "convert/lint_rules.h"
#include "quant/types.h"

enum { MX_GROUP = 32 };

static const struct qc_tensor *find_scale(const struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *scale = lint_part(lint, module, PART_WEIGHT_SCALE_INV);

	if (!scale)
		scale = lint_part(lint, module, PART_WEIGHT_SCALE);
	return scale ? scale : lint_part(lint, module, PART_SCALE);
}

/* [rows, columns] of the blocks that config.json says; false when it says nothing. */
static bool config_block(const struct lint *lint, uint64_t block[2])
{
	const struct qc_json *json = &lint->config.json;
	qc_json_value size = qc_json_get(json, lint->config.quant, "weight_block_size");
	qc_json_value first = qc_json_first(json, size);

	return qc_json_type_of(json, size) == QC_JSON_ARRAY && qc_json_count(json, size) == 2 &&
	       qc_json_u64(json, first, &block[0]) &&
	       qc_json_u64(json, qc_json_next(json, first), &block[1]) && block[0] && block[1];
}

/* Dimensions without those of 1 between others ([out/b, 1, in/b, 1]). */
static uint32_t squeeze(const struct qc_tensor *scale, uint64_t dims[4])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < scale->n_dims && n < 4; i++)
		if (scale->dims[i] != 1)
			dims[n++] = scale->dims[i];
	return n;
}

static bool is_mx(const struct qc_tensor *weight, const struct qc_tensor *scale)
{
	return (scale->source->type == &qc_u8 || scale->source->type == &qc_f8_e8m0) &&
	       scale->n_dims == weight->n_dims &&
	       scale->dims[0] == qc_divide_up(weight->dims[0], MX_GROUP);
}

/* Scales of a [out, in] weight that are neither one nor one a row. */
static enum qc_status check_blocks(struct lint *lint, const struct qc_tensor *weight,
				   const struct qc_tensor *scale)
{
	const uint64_t in = weight->dims[0], out = weight->dims[1];
	uint64_t block[2], dims[2];
	uint64_t have[4];
	const uint32_t n = squeeze(scale, have);

	if (is_mx(weight, scale))
		return QC_OK;
	if (config_block(lint, block)) {
		dims[0] = qc_divide_up(in, block[1]);
		dims[1] = qc_divide_up(out, block[0]);
		return lint_expect_shape(lint, scale, 2, dims);
	}
	if (n == 2 && have[0] <= in && have[1] <= out && lint_config_method_is(lint, "fp8") &&
	    lint->config.quant)
		return lint_report(lint, QC_LINT_ERROR, scale->stored_name,
				   lint_shape_text(lint, scale),
				   "weight_block_size in quantization_config, or one scale");
	if (n > 2 || !n || (n == 2 && (have[0] > in || have[1] > out)) ||
	    (n == 1 && have[0] > in && have[0] > out))
		return lint_report(
			lint, QC_LINT_ERROR, scale->stored_name, lint_shape_text(lint, scale),
			lint_text(lint, "one scale, one for each of %llu rows, or blocks",
				  (unsigned long long)out));
	return QC_OK;
}

enum qc_status lint_fp8_shapes(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *weight = lint_part(lint, module, PART_WEIGHT);
	const struct qc_tensor *scale = find_scale(lint, module);
	uint64_t n, block[2];

	if (!scale)
		return lint_report(lint, lint->config.quant ? QC_LINT_ERROR : QC_LINT_WARNING,
				   weight->stored_name, "no scale",
				   lint_text(lint, "'%.300s.weight_scale' or '.weight_scale_inv'",
					     module->name));
	n = qc_tensor_elems(scale);
	if (weight->n_dims != 2)
		return QC_OK;
	if (lint->config.quant && module->part[PART_WEIGHT_SCALE_INV] && config_block(lint, block))
		return check_blocks(lint, weight, scale);
	return n == 1 || n == weight->dims[1] ? QC_OK : check_blocks(lint, weight, scale);
}

static bool is_fp8(const struct lint *lint, const struct lint_module *module)
{
	(void)lint;
	return module->scheme == &lint_fp8;
}

/* transformers' fp8 with static activations reads an input_scale from every layer. */
static enum qc_status check_static_inputs(struct lint *lint, const struct lint_module *module)
{
	const struct qc_json *json = &lint->config.json;
	qc_json_value scheme = qc_json_get(json, lint->config.quant, "activation_scheme");

	if (!qc_json_equals(json, scheme, "static") || module->part[PART_INPUT_SCALE])
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module), "no input_scale",
			   "one, as activation_scheme is static");
}

const struct lint_rule lint_rules_fp8[] = {
	{
		.name = "static-activations",
		.loader = "vLLM and SGLang leave it uninitialised and answer nonsense",
		.check_module = check_static_inputs,
		.applies = is_fp8,
	},
	{0},
};

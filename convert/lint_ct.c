/*
 * Lint: compressed-tensors' quantization_config. "config_groups" says of sets of layers how many
 * bits, what type and how large groups are; loaders allocate by it.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "convert/lint_rules.h"
#include "quant/types.h"

static bool is_ct(const struct lint *lint, const struct lint_module *module)
{
	return module->scheme && module->scheme->formats &&
	       (lint_config_method_is(lint, "compressed-tensors") ||
		lint_config_method_is(lint, "compressed_tensors"));
}

/* The format of all, or in a mixed file of any group; *said: what there is instead. */
static bool has_format(const struct lint *lint, const struct lint_scheme *scheme, const char **said)
{
	const struct lint_config *c = &lint->config;
	qc_json_value format = qc_json_get(&c->json, c->quant, "format");
	qc_json_value groups = qc_json_get(&c->json, c->quant, "config_groups");
	const bool mixed = !format || qc_json_equals(&c->json, format, "mixed-precision");

	*said = mixed ? "of no group" : "another";
	for (const char *const *f = scheme->formats; *f; f++) {
		if (qc_json_equals(&c->json, format, *f))
			return true;
		for (qc_json_value g = mixed ? qc_json_first(&c->json, groups) : 0; g;
		     g = qc_json_next(&c->json, g))
			if (qc_json_equals(&c->json, qc_json_get(&c->json, g, "format"), *f))
				return true;
	}
	return false;
}

static enum qc_status check_format(struct lint *lint)
{
	const struct lint_scheme *last = NULL;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < lint->n_modules; i++) {
		const struct lint_module *module = &lint->modules[i];
		const char *said;

		if (!is_ct(lint, module) || module->scheme == last)
			continue;
		last = module->scheme;
		if (!has_format(lint, last, &said))
			return lint_report(lint, QC_LINT_ERROR,
					   "config.json: quantization_config.format", said,
					   lint_text(lint, "\"%s\", as '%.200s' is %s",
						     last->formats[0], module->name, last->name));
	}
	return s;
}

/* What a weight's tensors tell: inputs, and groups of them with a scale each. */
struct measure {
	uint64_t inputs, groups;
	uint64_t words; /* of a packed row; 0: not packed in words */
};

static enum qc_status measure(struct lint *lint, const struct lint_module *module,
			      struct measure *m)
{
	const struct qc_tensor *codes = lint_part(lint, module, module->scheme->codes);
	const struct qc_tensor *scale = lint_part(lint, module, PART_WEIGHT_SCALE);
	struct qc_extent extent;
	uint8_t bytes[16];
	uint32_t width;
	enum qc_status s;

	*m = (struct measure){.inputs = codes->n_dims ? codes->dims[0] : 1, .groups = 1};
	if (scale && scale->n_dims > 1)
		m->groups = scale->dims[0];
	if (codes->source->type == &qc_u8)
		m->inputs *= 2;
	if (module->scheme != &lint_ct_packed)
		return QC_OK;
	m->words = m->inputs;
	m->inputs = 0;
	codes = lint_part(lint, module, PART_WEIGHT_SHAPE);
	width = codes->source->type->block_bytes;
	if (qc_tensor_elems(codes) != 2 ||
	    !qc_source_extent(codes->source, 0, codes->source->rows, &extent))
		return QC_OK;
	s = qc_file_read(extent.file, extent.offset, bytes, 2 * (size_t)width, lint->err);
	if (!s)
		m->inputs = width == 8 ? qc_le64(bytes + 8) : qc_le32(bytes + 4);
	return s;
}

/* Whether a group's "weights" can describe such a weight. */
static bool fits(const struct lint *lint, qc_json_value weights, const struct lint_scheme *scheme,
		 const struct measure *m)
{
	const struct qc_json *json = &lint->config.json;
	const bool is_float = scheme != &lint_ct_packed && scheme != &lint_ct_int8;
	uint64_t bits, size;

	if (!qc_json_u64(json, qc_json_get(json, weights, "num_bits"), &bits) || !bits ||
	    bits > 16 || (scheme->num_bits && bits != scheme->num_bits))
		return false;
	if (!qc_json_equals(json, qc_json_get(json, weights, "type"), is_float ? "float" : "int"))
		return false;
	if (m->words && m->inputs < 1u << 31 && m->words != qc_divide_up(m->inputs * bits, 32) &&
	    m->words != qc_divide_up(m->inputs, 32 / bits))
		return false;
	if (scheme->num_bits == 8 && is_float)
		return true; /* blocks of both axes: lint_fp8.c */
	if (!qc_json_u64(json, qc_json_get(json, weights, "group_size"), &size) || !size)
		return m->groups == 1;
	return qc_divide_up(m->inputs, size) == m->groups;
}

static enum qc_status check_groups(struct lint *lint, const struct lint_module *module)
{
	const struct lint_config *c = &lint->config;
	qc_json_value groups = qc_json_get(&c->json, c->quant, "config_groups");
	struct measure m;
	enum qc_status s;

	if (!module->complete)
		return QC_OK;
	s = measure(lint, module, &m);
	if (s)
		return s;
	for (qc_json_value g = qc_json_first(&c->json, groups); g; g = qc_json_next(&c->json, g))
		if (fits(lint, qc_json_get(&c->json, g, "weights"), module->scheme, &m))
			return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
			   lint_text(lint, "%s, %llu inputs in %llu groups", module->scheme->name,
				     (unsigned long long)m.inputs, (unsigned long long)m.groups),
			   "num_bits, type and group_size of a group in "
			   "quantization_config.config_groups");
}

/* input_activations that need a stored scale: neither null nor wholly dynamic. */
static bool wants_input(const struct lint *lint, qc_json_value group)
{
	const struct qc_json *json = &lint->config.json;
	qc_json_value input = qc_json_get(json, group, "input_activations");
	bool dynamic = false;

	if (qc_json_type_of(json, input) != QC_JSON_OBJECT)
		return false;
	return !qc_json_bool(json, qc_json_get(json, input, "dynamic"), &dynamic) || !dynamic;
}

static enum qc_status check_activations(struct lint *lint)
{
	const struct lint_config *c = &lint->config;
	qc_json_value groups = qc_json_get(&c->json, c->quant, "config_groups");
	const struct lint_module *with = NULL, *without = NULL;
	bool wanted = false;

	for (qc_json_value g = qc_json_first(&c->json, groups); g; g = qc_json_next(&c->json, g))
		wanted |= wants_input(lint, g);
	for (size_t i = 0; i < lint->n_modules; i++) {
		const struct lint_module *module = &lint->modules[i];

		if (module->scheme != &lint_nvfp4_ct || !is_ct(lint, module))
			continue;
		if (module->part[PART_INPUT_GLOBAL_SCALE])
			with = with ? with : module;
		else
			without = without ? without : module;
	}
	if (wanted && !with && without)
		return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, without),
				   "no input_global_scale, while input_activations are not null",
				   "null (W4A16), or a scale for every weight");
	if (!wanted && with)
		return lint_report(lint, QC_LINT_WARNING, lint_module_subject(lint, with),
				   "input_global_scale, while input_activations are null",
				   "input_activations, or no such tensor");
	return QC_OK;
}

/* The number behind ".experts." in a name that has one. */
static bool is_single_expert(const char *name)
{
	const char *at = strstr(name, ".experts.");

	return at && at[9] >= '0' && at[9] <= '9';
}

/* Their loaders know experts in one tensor only, whatever llm-compressor makes of them. */
static enum qc_status check_experts(struct lint *lint)
{
	const struct qc_json *json = &lint->config.json;

	if (!qc_json_equals(json, lint_config_get(lint, "model_type"), "gpt_oss"))
		return QC_OK;
	for (size_t i = 0; i < lint->n_modules; i++)
		if (is_ct(lint, &lint->modules[i]) && is_single_expert(lint->modules[i].name))
			return lint_report(lint, QC_LINT_WARNING,
					   lint_module_subject(lint, &lint->modules[i]),
					   "experts one by one, as llm-compressor names them",
					   "experts in one tensor (gate_up_proj_blocks, ...)");
	return QC_OK;
}

const struct lint_rule lint_rules_ct[] = {
	{
		.name = "ct-format",
		.loader = "vLLM and transformers choose another decompressor and fail",
		.check = check_format,
	},
	{
		.name = "ct-config-groups",
		.loader = "vLLM and transformers make tensors of another shape for it and fail",
		.check_module = check_groups,
		.applies = is_ct,
	},
	{
		.name = "ct-activations",
		.loader = "vLLM quantizes activations with an uninitialised scale and answers "
			  "nonsense, or fails on a tensor that it does not know",
		.check = check_activations,
	},
	{
		.name = "ct-gpt-oss-experts",
		.loader = "vLLM's gpt_oss.py (of September 2026) skips them in silence, "
			  "transformers has "
			  "no such modules: experts stay uninitialised",
		.check = check_experts,
	},
	{0},
};

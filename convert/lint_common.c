/* Lint: rules that hold for every way of storing weights, driven by the schemes' tables. */
#include <stdio.h>
#include <string.h>

#include "convert/lint_rules.h"
#include "quant/types.h"

static const char *types_text(struct lint *lint, const struct lint_need *need)
{
	char text[96] = "";
	size_t at = 0;

	for (size_t i = 0; need->types && need->types[i] && at < sizeof(text) - 24; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? " or " : "",
				       need->types[i]->name);
	return lint_text(lint, "%s", text);
}

static enum qc_status check_need(struct lint *lint, const struct lint_module *module,
				 const struct lint_need *need)
{
	const struct qc_tensor *tensor = lint_part(lint, module, need->part);

	if (!tensor && need->optional)
		return QC_OK;
	if (!tensor)
		return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
				   lint_text(lint, "no '%.300s%s'", module->name,
					     lint_part_suffix(need->part)),
				   lint_text(lint, "all parts of %s", module->scheme->name));
	for (size_t i = 0; need->types && need->types[i]; i++)
		if (tensor->source->type == need->types[i])
			return QC_OK;
	return need->types ? lint_report(lint, QC_LINT_ERROR, tensor->stored_name,
					 lint_shape_text(lint, tensor), types_text(lint, need))
			   : QC_OK;
}

static enum qc_status check_companions(struct lint *lint, const struct lint_module *module)
{
	const struct lint_need *need = module->scheme->needs;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && need[i].part != LINT_PARTS; i++)
		s = check_need(lint, module, &need[i]);
	return s;
}

static enum qc_status check_shapes(struct lint *lint, const struct lint_module *module)
{
	return module->complete && module->scheme->check_shapes
		       ? module->scheme->check_shapes(lint, module)
		       : QC_OK;
}

/* A scale of two dimensions is said to stand in a row and a group. */
static const char *place_text(struct lint *lint, const struct qc_tensor *tensor, uint64_t index)
{
	const uint64_t width = tensor->n_dims > 1 ? tensor->dims[0] : 0;

	if (qc_tensor_elems(tensor) == 1)
		return "";
	if (!width)
		return lint_text(lint, ", the first at %llu", (unsigned long long)index);
	return lint_text(lint, ", the first in row %llu, group %llu",
			 (unsigned long long)(index / width), (unsigned long long)(index % width));
}

static enum qc_status report_counts(struct lint *lint, const struct qc_tensor *tensor,
				    enum qc_severity severity, const char *what, uint64_t times,
				    const struct lint_counts *c, bool is_first)
{
	const char *place = is_first ? place_text(lint, tensor, c->first) : "";

	return lint_report(lint, severity, tensor->stored_name,
			   c->n == 1 ? lint_text(lint, "the scale is %s", what)
			   : place   ? lint_text(lint, "%llu of %llu scales are %s%s",
						 (unsigned long long)times, (unsigned long long)c->n,
						 what, place)
				     : NULL,
			   "positive numbers");
}

static enum qc_status check_values(struct lint *lint, const struct qc_tensor *tensor,
				   const struct lint_scale *scale)
{
	struct lint_counts c;
	enum qc_status s = lint_scan(lint, tensor, scale->as, &c);
	const bool nan_first = c.first < c.n && c.first_value != c.first_value;
	const bool zero_first = c.first < c.n && c.first_value == 0;

	if (!s && c.nan)
		s = report_counts(lint, tensor, QC_LINT_ERROR, "NaN", c.nan, &c, nan_first);
	if (!s && c.infinite)
		s = report_counts(lint, tensor, QC_LINT_ERROR, "infinite", c.infinite, &c,
				  !nan_first && !zero_first);
	if (!s && c.negative && !scale->may_be_negative)
		s = report_counts(lint, tensor, QC_LINT_ERROR, "negative", c.negative, &c,
				  !nan_first && !zero_first && !c.infinite);
	if (!s && c.zero && scale->zero != ZERO_FINE)
		s = report_counts(lint, tensor,
				  scale->zero == ZERO_FAILS ? QC_LINT_ERROR : QC_LINT_WARNING,
				  "zero", c.zero, &c, zero_first);
	return s;
}

/* One-byte scales of other formats (E8M0 in u8) are read as the scheme says, or as their type. */
static const struct qc_qtype *scale_type(const struct qc_tensor *tensor,
					 const struct lint_scale *scale)
{
	return !scale->as && tensor->source->type == &qc_u8 ? &qc_f8_e8m0 : scale->as;
}

static enum qc_status check_scales(struct lint *lint, const struct lint_module *module)
{
	const struct lint_scale *scale = module->scheme->scales;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && scale && scale[i].part != LINT_PARTS; i++) {
		const struct qc_tensor *tensor = lint_part(lint, module, scale[i].part);
		struct lint_scale as = scale[i];

		if (!tensor)
			continue;
		as.as = scale_type(tensor, &scale[i]);
		/* a type of another width is reported as such */
		if (!as.as || as.as->block_bytes == tensor->source->type->block_bytes)
			s = check_values(lint, tensor, &as);
	}
	return s;
}

static enum qc_status check_fused_scheme(struct lint *lint, const struct lint_group *group)
{
	const struct lint_module *first = group->members[0];

	for (size_t i = 1; i < group->n; i++) {
		const struct lint_module *other = group->members[i];

		if (other->scheme == first->scheme)
			continue;
		return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, other),
				   lint_text(lint, "%s, while '%.200s' is %s",
					     other->scheme ? other->scheme->name : "not quantized",
					     first->name,
					     first->scheme ? first->scheme->name : "not quantized"),
				   lint_text(lint, "%s stored in one way", group->what));
	}
	return QC_OK;
}

static bool any_module(const struct lint *lint, const struct lint_module *module)
{
	(void)module;
	return lint->n_quantized > 0;
}

/* How many modules of one scheme have a scale for their input; the first that has none. */
struct input_count {
	const struct lint_scheme *scheme;
	size_t n, with;
	const struct lint_module *without;
};
enum { MAX_SCHEMES = 16 };

static struct input_count *count_of(struct input_count *counts, const struct lint_scheme *scheme)
{
	size_t i = 0;

	while (i + 1 < MAX_SCHEMES && counts[i].scheme && counts[i].scheme != scheme)
		i++;
	counts[i].scheme = scheme;
	return &counts[i];
}

static enum qc_status check_inputs(struct lint *lint)
{
	struct input_count counts[MAX_SCHEMES] = {0};
	enum qc_status s = QC_OK;

	for (size_t i = 0; i < lint->n_modules; i++) {
		const struct lint_module *module = &lint->modules[i];
		struct input_count *count;

		if (!module->scheme || module->scheme->input == LINT_PARTS)
			continue;
		count = count_of(counts, module->scheme);
		count->n++;
		if (module->part[module->scheme->input])
			count->with++;
		else if (!count->without)
			count->without = module;
	}
	for (size_t i = 0; !s && i < MAX_SCHEMES && counts[i].scheme; i++)
		if (counts[i].with && counts[i].with < counts[i].n)
			s = lint_report(
				lint, QC_LINT_ERROR, lint_module_subject(lint, counts[i].without),
				lint_text(lint, "no '%s'; %zu of %zu weights of %s have none",
					  lint_part_suffix(counts[i].scheme->input),
					  counts[i].n - counts[i].with, counts[i].n,
					  counts[i].scheme->name),
				"one for every weight, or for none");
	return s;
}

const struct lint_rule lint_rules_common[] = {
	{.name = "companions", .check_module = check_companions},
	{.name = "shapes", .check_module = check_shapes},
	{
		.name = "scale-values",
		.loader = "every loader multiplies with it: weights that are NaN, infinite, of the "
			  "wrong sign or zero",
		.check_module = check_scales,
	},
	{
		.name = "fused-scheme",
		.loader = "vLLM, SGLang and TensorRT-LLM run them as one matrix and refuse",
		.check_group = check_fused_scheme,
		.applies = any_module,
	},
	{
		.name = "input-scale-all-or-none",
		.loader =
			"vLLM and SGLang leave what is missing uninitialised and answer nonsense; "
			"TensorRT-LLM stops",
		.check = check_inputs,
	},
	{0},
};

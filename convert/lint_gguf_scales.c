/*
 * Lint: the scales that GGUF keeps beside NVFP4 weights as tensors of their own. llama.cpp looks
 * for them by name, beside certain weights only, and multiplies with what it finds.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "convert/lint_rules.h"
#include "quant/types.h"

/* Weights for which llama.cpp looks for a ".scale" beside them: parts of what follows "blk.N.". */
static bool may_have_scale(const char *name)
{
	static const char *const stems[] = {
		"attn_q",
		"attn_k",
		"attn_v",
		"attn_qkv",
		"attn_output",
		"ffn_gate",
		"ffn_up",
		"ffn_down",
		"ffn_gate_exps",
		"ffn_up_exps",
		"ffn_down_exps",
		"ffn_gate_up_exps",
		"ffn_gate_shexp",
		"ffn_up_shexp",
		"ffn_down_shexp",
		"ssm_in",
		"ssm_out",
		"ssm_alpha",
		"ssm_beta",
		"nextn.eh_proj",
		"nextn.shared_head_head",
		NULL,
	};
	const char *at = lint_gguf_block(name) < 0 ? NULL : strchr(name + 4, '.') + 1;
	const char *end = strrchr(name, '.');

	if (!at)
		return !strncmp(name, "output.", 7);
	for (const char *const *stem = stems; *stem; stem++)
		if ((size_t)(end - at) == strlen(*stem) && !strncmp(at, *stem, strlen(*stem)))
			return true;
	return false;
}

/* The weight that "X.scale" or "X.input_scale" belongs to; NULL. */
static const struct qc_tensor *weight_of(const struct lint *lint, const char *name, size_t stem,
					 const struct qc_strmap *names)
{
	char key[128];
	const uint64_t *index;
	int n = snprintf(key, sizeof(key), "%.*s.weight", (int)stem, name);

	if (n <= 0 || (size_t)n >= sizeof(key))
		return NULL;
	index = qc_strmap_find(names, key, (size_t)n);
	return index ? &lint->model.tensors[*index] : NULL;
}

static enum qc_status check_sidecar(struct lint *lint, const struct qc_tensor *scale,
				    const struct qc_tensor *weight)
{
	const uint64_t n = qc_tensor_elems(scale),
		       experts = weight->n_dims > 2 ? weight->dims[2] : 1;
	struct lint_counts c;
	enum qc_status s;

	if (!may_have_scale(scale->stored_name))
		return lint_report(lint, QC_LINT_ERROR, scale->stored_name,
				   "a scale for a weight that is not looked up with one",
				   "a weight of another type");
	if (scale->source->type != &qc_f32 || (n != 1 && n != experts))
		return lint_report(
			lint, QC_LINT_ERROR, scale->stored_name, lint_shape_text(lint, scale),
			lint_text(lint, "f32, %llu of them", (unsigned long long)experts));
	s = lint_scan(lint, scale, NULL, &c);
	if (s || !(c.zero || c.negative || c.nan || c.infinite))
		return s;
	return lint_report(lint, QC_LINT_ERROR, scale->stored_name,
			   lint_text(lint, "%g at %llu of %llu", (double)c.first_value,
				     (unsigned long long)c.first, (unsigned long long)c.n),
			   "positive numbers");
}

static enum qc_status check_scale(struct lint *lint, const struct qc_tensor *t,
				  const struct qc_strmap *names)
{
	const char *name = t->stored_name;
	const char *suffix = qc_text_ends(name, ".input_scale") ? ".input_scale"
			     : qc_text_ends(name, ".scale")	? ".scale"
								: NULL;
	const struct qc_tensor *weight;
	size_t stem;

	if (!suffix || t->row) /* some architectures have scales of their own */
		return QC_OK;
	if (qc_text_ends(name, ".weight.scale") || qc_text_ends(name, ".weight.input_scale"))
		return lint_report(lint, QC_LINT_ERROR, name, "a name that llama.cpp does not know",
				   "the weight's with .scale in place of .weight");
	stem = strlen(name) - strlen(suffix);
	weight = weight_of(lint, name, stem, names);
	if (weight)
		return check_sidecar(lint, t, weight);
	if (lint->model.arch)
		return lint_report(lint, QC_LINT_ERROR, name, "a scale without a weight",
				   lint_text(lint, "'%.*s.weight'", (int)stem, name));
	return QC_OK;
}

static enum qc_status check_scales(struct lint *lint)
{
	struct qc_strmap names = {0};
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < lint->model.n_tensors; i++) {
		const char *name = lint->model.tensors[i].stored_name;
		bool was_there;

		s = qc_strmap_add(&names, name, strlen(name), i, &was_there, lint->err);
	}
	for (size_t i = 0; !s && lint_is_gguf_model(lint) && i < lint->model.n_tensors; i++)
		s = check_scale(lint, &lint->model.tensors[i], &names);
	qc_strmap_clear(&names);
	return s;
}

enum { NVFP4_BYTES = 36, NVFP4_SCALES = 4, SAMPLE_BLOCKS = 4096 };

/* Weights without a factor fit E4M3's range badly: the scales of a real model then are subnormal.
 * Said of the first such tensor, from its first blocks. */
static enum qc_status check_nvfp4(struct lint *lint)
{
	const struct qc_tensor *t = NULL;
	uint64_t n, poor = 0;
	struct qc_extent extent;
	enum qc_status s;

	for (size_t i = 0; i < lint->model.n_tensors; i++) {
		if (qc_text_ends(lint->model.tensors[i].stored_name, ".scale"))
			return QC_OK; /* whoever wrote it knows */
		if (!t && lint->model.tensors[i].source->type == &qc_nvfp4)
			t = &lint->model.tensors[i];
	}
	if (!t || !t->source->rows || !qc_source_extent(t->source, 0, t->source->rows, &extent))
		return QC_OK;
	n = extent.bytes / NVFP4_BYTES;
	n = n < SAMPLE_BLOCKS ? n : SAMPLE_BLOCKS;
	s = qc_file_read(extent.file, extent.offset, lint->buffer, (size_t)n * NVFP4_BYTES,
			 lint->err);
	if (s)
		return s;
	for (uint64_t i = 0; i < n; i++)
		for (int k = 0; k < NVFP4_SCALES; k++)
			poor += (lint->buffer[i * NVFP4_BYTES + (uint64_t)k] & 0x7f) < 8;
	if (poor * 2 < n * NVFP4_SCALES || !n)
		return QC_OK;
	return lint_report(lint, QC_LINT_WARNING, t->stored_name,
			   lint_text(lint,
				     "no .scale tensors, and %llu of %llu scales are subnormal "
				     "or zero",
				     (unsigned long long)poor,
				     (unsigned long long)(n * NVFP4_SCALES)),
			   "a .scale beside every NVFP4 weight");
}

const struct lint_rule lint_rules_gguf_scales[] = {
	{
		.name = "gguf-scales",
		.loader =
			"llama.cpp refuses the file (tensors left over), or multiplies with it and "
			"answers nonsense",
		.check = check_scales,
	},
	{
		.name = "gguf-nvfp4-range",
		.loader = "llama.cpp answers badly: such scales have few or no significant bits",
		.check = check_nvfp4,
	},
	{0},
};

/*
 * Lint: GGUF, by what llama.cpp's loader takes for granted. It makes the tensors that the metadata
 * describes, compares shapes, and refuses a file that has any other tensor.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "convert/lint_rules.h"
#include "formats/arch/arch.h"
#include "quant/types.h"

static bool text_is(const struct lint *lint, const char *key, const char *want)
{
	const char *text;
	size_t len;

	return qc_meta_string(&lint->model.meta, key, &text, &len) && len == strlen(want) &&
	       !memcmp(text, want, len);
}

bool lint_is_gguf_model(const struct lint *lint)
{
	if (text_is(lint, "general.architecture", "unknown"))
		return false;
	return !qc_meta_find(&lint->model.meta, "general.type") ||
	       text_is(lint, "general.type", "model");
}

/* "{architecture}.{key}" in buf; an empty text when the file does not say its architecture. */
static const char *arch_key(const struct lint *lint, const char *key, char buf[256])
{
	const char *arch;
	size_t len;
	int n = 0;

	if (qc_meta_string(&lint->model.meta, "general.architecture", &arch, &len) && len < 128)
		n = snprintf(buf, 256, "%.*s.%s", (int)len, arch, key);
	if (n <= 0 || n >= 256)
		buf[0] = 0;
	return buf;
}

static bool arch_u32(const struct lint *lint, const char *key, uint32_t *out)
{
	char buf[256];

	return qc_meta_u32(&lint->model.meta, arch_key(lint, key, buf), out);
}

static enum qc_status missing_key(struct lint *lint, const char *key, enum qc_severity severity)
{
	return lint_report(lint, severity, key, "no such key", "a value");
}

static enum qc_status check_keys(struct lint *lint)
{
	static const char *const keys[] = {"context_length", "embedding_length", "block_count",
					   NULL};
	static const char *const eps[] = {"attention.layer_norm_rms_epsilon",
					  "attention.layer_norm_epsilon",
					  "attention.group_norm_epsilon", NULL};
	char buf[256];
	bool has_eps = false;
	enum qc_status s = QC_OK;

	if (text_is(lint, "general.architecture", "unknown"))
		return lint_report(lint, QC_LINT_WARNING, "general.architecture",
				   "\"unknown\", a plain bag of tensors", "the name of one");
	if (!lint_is_gguf_model(lint))
		return QC_OK;
	if (!arch_key(lint, "x", buf)[0])
		return missing_key(lint, "general.architecture", QC_LINT_ERROR);
	for (const char *const *key = keys; !s && *key; key++)
		if (!qc_meta_find(&lint->model.meta, arch_key(lint, *key, buf)))
			s = missing_key(lint, buf, QC_LINT_ERROR);
	for (const char *const *key = eps; *key; key++)
		has_eps |= qc_meta_find(&lint->model.meta, arch_key(lint, *key, buf)) != NULL;
	if (!s && !has_eps)
		s = missing_key(lint, arch_key(lint, eps[0], buf),
				lint->model.arch ? QC_LINT_ERROR : QC_LINT_WARNING);
	return s;
}

static bool is_quantized(const struct qc_tensor *tensor)
{
	return tensor->source->type->block_elems > 1;
}

static enum qc_status check_version(struct lint *lint)
{
	const char *key = "general.quantization_version";
	bool quantized = false;
	uint32_t version;

	for (size_t i = 0; i < lint->model.n_tensors; i++)
		quantized |= is_quantized(&lint->model.tensors[i]);
	if (!quantized)
		return QC_OK;
	if (!qc_meta_u32(&lint->model.meta, key, &version))
		return missing_key(lint, key, QC_LINT_WARNING);
	return version == 2 ? QC_OK
			    : lint_report(lint, QC_LINT_WARNING, key,
					  lint_text(lint, "%u", version), "2");
}

static enum qc_status check_file_type(struct lint *lint)
{
	if (!lint_is_gguf_model(lint) || qc_meta_find(&lint->model.meta, "general.file_type"))
		return QC_OK;
	return missing_key(lint, "general.file_type", QC_LINT_WARNING);
}

/* N of "blk.N."; -1. */
long lint_gguf_block(const char *name)
{
	size_t digits;
	long n = 0;

	if (strncmp(name, "blk.", 4) != 0)
		return -1;
	digits = strspn(name + 4, "0123456789");
	if (!digits || digits > 6 || name[4 + digits] != '.')
		return -1;
	for (size_t i = 0; i < digits; i++)
		n = 10 * n + (name[4 + i] - '0');
	return n;
}

static enum qc_status check_blocks(struct lint *lint)
{
	uint32_t n;
	bool *found;
	enum qc_status s = QC_OK;

	if (!lint_is_gguf_model(lint) || !arch_u32(lint, "block_count", &n) || n > 4096)
		return QC_OK;
	found = calloc((size_t)n + 1, sizeof(*found));
	if (!found)
		return qc_no_memory(lint->err);
	for (size_t i = 0; !s && i < lint->model.n_tensors; i++) {
		const char *name = lint->model.tensors[i].stored_name;
		const long block = lint_gguf_block(name);

		if (block >= 0 && block < (long)n)
			found[block] = true;
		else if (block >= 0)
			s = lint_report(lint, QC_LINT_ERROR, name, "a block too many",
					lint_text(lint, "%u blocks, as block_count says", n));
	}
	for (uint32_t i = 0; !s && i < n; i++)
		if (!found[i])
			s = lint_report(lint, QC_LINT_ERROR, lint_text(lint, "blk.%u", i),
					"no tensors",
					lint_text(lint, "%u blocks, as block_count says", n));
	free(found);
	return s;
}

/* What the metadata makes of a tensor's shape; 0 dimensions when it cannot be said. */
static uint32_t wanted_shape(const struct lint *lint, const struct qc_tensor *tensor,
			     uint64_t dims[8])
{
	const struct qc_arch_tensor *row = tensor->row;
	const uint32_t rank = row ? (uint32_t)strlen(row->shape) : 0;
	const bool same = row && (row->op == QC_ROWS_SAME || row->op == QC_ROWS_ADD_ONE ||
				  row->op == QC_ROWS_PERMUTE_Q || row->op == QC_ROWS_PERMUTE_K);

	if (!same || !*row->gguf || strstr(row->hf, "{e}") || strchr(row->shape, 'N') || rank > 8 ||
	    strcmp(lint_leaf(row->gguf), lint_leaf(tensor->name)) != 0)
		return 0;
	for (uint32_t i = 0; i < rank; i++) {
		dims[i] = qc_arch_shape_letter(&lint->model, row->shape[rank - 1 - i],
					       tensor->layer > 0 ? (uint32_t)tensor->layer : 0);
		if (!dims[i])
			return 0;
	}
	return rank;
}

static enum qc_status check_shapes(struct lint *lint)
{
	enum qc_status s = QC_OK;
	uint64_t dims[8];

	for (size_t i = 0; !s && lint->model.arch && i < lint->model.n_tensors; i++) {
		const uint32_t rank = wanted_shape(lint, &lint->model.tensors[i], dims);

		if (rank)
			s = lint_expect_shape(lint, &lint->model.tensors[i], rank, dims);
	}
	return s;
}

static enum qc_status check_rope(struct lint *lint)
{
	uint32_t rope, head, width, heads;
	char buf[256];

	if (!lint->model.arch || strcmp(lint->model.arch->name, "llama") != 0 ||
	    !arch_u32(lint, "rope.dimension_count", &rope))
		return QC_OK;
	if (!arch_u32(lint, "attention.key_length", &head)) {
		if (!arch_u32(lint, "embedding_length", &width) ||
		    !arch_u32(lint, "attention.head_count", &heads) || !heads)
			return QC_OK;
		head = width / heads;
	}
	if (rope == head)
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, arch_key(lint, "rope.dimension_count", buf),
			   lint_text(lint, "%u", rope),
			   lint_text(lint, "%u, the size of an attention head", head));
}

static enum qc_status check_experts(struct lint *lint)
{
	uint32_t n = 0, used = 0;
	char buf[256];
	enum qc_status s = QC_OK;

	if (!lint_is_gguf_model(lint) || !arch_u32(lint, "expert_count", &n) || !n)
		return QC_OK;
	(void)arch_u32(lint, "expert_used_count", &used);
	if (!used || used > n)
		s = lint_report(lint, QC_LINT_ERROR, arch_key(lint, "expert_used_count", buf),
				lint_text(lint, "%u", used), lint_text(lint, "1 to %u", n));
	for (size_t i = 0; !s && i < lint->model.n_tensors; i++) {
		const struct qc_tensor *t = &lint->model.tensors[i];

		if (qc_text_ends(t->stored_name, "_exps.weight") &&
		    (t->n_dims > 2 ? t->dims[2] : 1) != n)
			s = lint_report(
				lint, QC_LINT_ERROR, t->stored_name,
				lint_text(lint, "%llu experts",
					  (unsigned long long)(t->n_dims > 2 ? t->dims[2] : 1)),
				lint_text(lint, "%u, as expert_count says", n));
	}
	return s;
}

static enum qc_status check_vectors(struct lint *lint)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && lint_is_gguf_model(lint) && i < lint->model.n_tensors; i++) {
		const struct qc_tensor *t = &lint->model.tensors[i];

		if (t->n_dims <= 1 && t->source->type != &qc_f32 && !t->source->type->is_integer)
			s = lint_report(lint, QC_LINT_WARNING, t->stored_name,
					lint_shape_text(lint, t), "f32");
	}
	return s;
}

const struct lint_rule lint_rules_gguf[] = {
	{
		.name = "gguf-keys",
		.loader = "llama.cpp refuses the file",
		.check = check_keys,
	},
	{
		.name = "gguf-quantization-version",
		.loader = "llama.cpp's tools cannot tell which form the blocks have",
		.check = check_version,
	},
	{
		.name = "gguf-file-type",
		.loader = "llama.cpp guesses what to call the file",
		.check = check_file_type,
	},
	{
		.name = "gguf-blocks",
		.loader = "llama.cpp refuses the file: tensors are missing or left over",
		.check = check_blocks,
	},
	{
		.name = "gguf-shapes",
		.loader = "llama.cpp refuses the file: wrong shape",
		.check = check_shapes,
	},
	{
		.name = "gguf-rope",
		.loader = "llama.cpp stops on an assertion",
		.check = check_rope,
	},
	{
		.name = "gguf-experts",
		.loader = "llama.cpp refuses the file",
		.check = check_experts,
	},
	{
		.name = "gguf-vectors",
		.loader = "llama.cpp adds and multiplies vectors in f32; some backends stop",
		.check = check_vectors,
	},
	{0},
};

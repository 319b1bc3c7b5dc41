/*
 * Tensor names: from Hugging Face's to the canonical (GGUF) ones by the architecture's table, with
 * the checks that make a wrong or incomplete checkpoint fail before anything is written.
 *
 * Multimodal checkpoints put "language_model." in one place or another; it is cut out wherever it
 * stands, as llama.cpp's converter does: model.language_model.layers.0.x,
 * language_model.model.layers.0.x and model.layers.0.x are one name.
 */
#include "base/text.h"
#include "formats/arch/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strmap.h"

#define TEXT_PREFIX "language_model."

/* Tensors that are computed by whoever needs them. */
static const struct qc_arch_drop computed[] = {
	{".rotary_emb.inv_freq", "rotary frequencies: computed from the configuration"},
	{".attention.masked_bias", "attention mask: not a weight"},
	{".attention.bias", "attention mask: not a weight"},
	{NULL, NULL},
};

/* Companions that a quantized weight is stored with, by the end of their names. */
static const struct {
	const char *suffix, *encoding;
} companions[] = {
	{".qweight", "GPTQ or AWQ"},
	{".qzeros", "GPTQ or AWQ"},
	{".scales", "GPTQ or AWQ"},
	{".g_idx", "GPTQ"},
	{".weight_packed", "compressed-tensors"},
	{".weight_shape", "compressed-tensors"},
	{".weight_zero_point", "compressed-tensors"},
	{".weight_global_scale", "compressed-tensors"},
	{".weight_scale_inv", "FP8"},
	{".weight_scale_2", "ModelOpt"},
	{".weight_scale", "FP8, ModelOpt or compressed-tensors"},
	{".input_scale", "FP8 or ModelOpt"},
	{"_blocks", "MXFP4"},
	{"_scales", "MXFP4"},
};

/* `name` without every "language_model.", in the arena when something had to be cut. */
static const char *without_prefix(struct qc_arena *arena, const char *name)
{
	const size_t cut = strlen(TEXT_PREFIX);
	char *copy, *at;

	if (!strstr(name, TEXT_PREFIX))
		return name;
	copy = qc_arena_copy(arena, name, strlen(name));
	for (char *from = at = copy; from && *from;) {
		if (!strncmp(from, TEXT_PREFIX, cut))
			from += cut;
		else
			*at++ = *from++;
	}
	if (at)
		*at = 0;
	return copy;
}

/* Why the tensor does not belong into the output; NULL when it does. */
static const char *drop_reason(const struct qc_arch *arch, const char *name)
{
	const char *bare = strncmp(name, "model.", 6) ? name : name + 6;

	for (const struct qc_arch_drop *d = arch->drops; d && d->prefix; d++)
		if (!strncmp(bare, d->prefix, strlen(d->prefix)))
			return d->reason;
	for (const struct qc_arch_drop *d = computed; d->prefix; d++)
		if (qc_text_ends(name, d->prefix))
			return d->reason;
	return NULL;
}

/* The state of one naming. */
struct naming {
	struct qc_model *model;
	const struct qc_arch *arch;
	uint32_t n_rows, n_layers, n_experts;
	uint32_t *found; /* tensors of n_rows x n_layers; rows that are no block's use column 0 */
	struct qc_strmap names;
	bool tied;
};

/* Whether the tensor has the shape of its row, its last two dimensions exchanged when `turned`. */
static bool has_shape(const struct naming *naming, const struct qc_tensor *tensor, bool turned)
{
	const char *shape = tensor->row->shape;
	const size_t rank = strlen(shape);

	if (tensor->n_dims != rank || (turned && rank < 2))
		return false;
	for (size_t i = 0; i < rank; i++) {
		const size_t dim = turned && i < 2 ? 1 - i : i;

		if (tensor->dims[dim] !=
		    qc_arch_shape_letter(naming->model, shape[rank - 1 - i],
					 tensor->layer > 0 ? (uint32_t)tensor->layer : 0))
			return false;
	}
	return true;
}

/* Also tells which way round the tensor is. */
static enum qc_status check_shape(const struct naming *naming, struct qc_tensor *tensor,
				  struct qc_err *err)
{
	const char *shape = tensor->row->shape;
	const size_t rank = strlen(shape);
	const bool may_turn = tensor->row->op == QC_ROWS_TRANSPOSE;
	const bool plain = may_turn ? tensor->encoding && has_shape(naming, tensor, false)
				    : has_shape(naming, tensor, false);
	char wanted[96] = "", have[96];
	size_t at = 0;

	tensor->transposed = may_turn && !plain;
	if (plain || (may_turn && has_shape(naming, tensor, true)))
		return QC_OK;
	for (size_t i = 0; i < rank; i++) {
		const size_t letter = may_turn && i + 2 >= rank ? 2 * rank - 3 - i : i;

		at += (size_t)snprintf(wanted + at, sizeof(wanted) - at, "%s%llu", i ? "x" : "",
				       (unsigned long long)qc_arch_shape_letter(
					       naming->model, shape[letter],
					       tensor->layer > 0 ? (uint32_t)tensor->layer : 0));
	}
	qc_tensor_shape_text(tensor, have, sizeof(have));
	return qc_fail(err, QC_BAD_INPUT, "tensor '%.160s' is %s, config.json makes it %s",
		       tensor->stored_name, have, wanted);
}

/* The row that a Hugging Face name matches; NULL. */
static const struct qc_arch_tensor *find_row(const struct qc_arch *arch, const char *name,
					     size_t len, struct qc_tensor *tensor)
{
	for (const struct qc_arch_tensor *row = arch->tensors; row->hf; row++)
		if (qc_arch_match(row->hf, name, len, &tensor->layer, &tensor->expert))
			return row;
	return NULL;
}

static enum qc_status unknown_tensor(const struct naming *naming, const char *name,
				     struct qc_err *err)
{
	for (size_t i = 0; i < sizeof(companions) / sizeof(companions[0]); i++)
		if (qc_text_ends(name, companions[i].suffix))
			return qc_fail(err, QC_UNSUPPORTED,
				       "tensor '%.160s' belongs to a quantized weight (%s): this "
				       "encoding cannot "
				       "be read yet",
				       name, companions[i].encoding);
	return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s': architecture %s has no such tensor",
		       name, naming->arch->name);
}

/* The row is of this model: block and expert are below their numbers. */
static enum qc_status check_numbers(const struct naming *naming, const struct qc_tensor *tensor,
				    const struct qc_arch_tensor *row, struct qc_err *err)
{
	if (tensor->layer >= (int32_t)naming->n_layers)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.160s' is of block %d, config.json has blocks 0 to %u",
			       tensor->stored_name, tensor->layer, naming->n_layers - 1);
	if (strstr(row->hf, "{e}") && (uint32_t)tensor->expert >= naming->n_experts)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.160s' is of expert %d, config.json has %u experts",
			       tensor->stored_name, tensor->expert, naming->n_experts);
	return QC_OK;
}

/* Name one tensor. *keep: whether it stays in the list. */
static enum qc_status name_one(struct naming *naming, struct qc_tensor *tensor, bool *keep,
			       struct qc_err *err)
{
	struct qc_model *model = naming->model;
	const char *name = without_prefix(&model->arena, tensor->stored_name);
	const size_t len = name ? strlen(name) : 0;
	const char *reason = name ? drop_reason(naming->arch, name) : NULL;
	const struct qc_arch_tensor *row;
	bool was_there;
	enum qc_status s;

	if (!name)
		return qc_no_memory(err);
	if (naming->tied && !strcmp(name, "lm_head.weight"))
		reason = "output head: tied to the token embedding, which stands in for it";
	*keep = !reason;
	if (reason)
		return qc_model_add_drop(model, tensor->stored_name, qc_tensor_stored_bytes(tensor),
					 reason, err);
	row = find_row(naming->arch, name, len, tensor);
	if (!row)
		return unknown_tensor(naming, tensor->stored_name, err);
	s = check_numbers(naming, tensor, row, err);
	if (s)
		return s;
	if (!tensor->source->type->is_float && !tensor->encoding)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.160s' is stored as %s, a quantized weight: this encoding "
			       "cannot be read "
			       "yet",
			       tensor->stored_name, tensor->source->type->name);
	tensor->row = row;
	s = check_shape(naming, tensor, err);
	if (s)
		return s;
	tensor->name = strstr(row->hf, "{e}")
			       ? qc_arch_expert_name(&model->arena, row->gguf, tensor->layer,
						     tensor->expert)
			       : qc_arch_block_name(&model->arena, row->gguf, tensor->layer);
	if (!tensor->name)
		return qc_no_memory(err);
	s = qc_strmap_add(&naming->names, tensor->name, strlen(tensor->name), 0, &was_there, err);
	if (!s && was_there)
		s = qc_fail(err, QC_BAD_INPUT, "tensor '%.160s': a second one for '%s'",
			    tensor->stored_name, tensor->name);
	naming->found[(size_t)(row - naming->arch->tensors) * naming->n_layers +
		      (tensor->layer > 0 ? (size_t)tensor->layer : 0)]++;
	return s;
}

bool qc_row_optional(const struct qc_model *model, uint32_t layer)
{
	(void)model;
	(void)layer;
	return false;
}

static uint32_t n_found(const struct naming *naming, uint32_t row, uint32_t layer)
{
	return naming->found[(size_t)row * naming->n_layers + layer];
}

/* Tensors that a row must have to be complete. */
static uint32_t n_wanted(const struct naming *naming, uint32_t row)
{
	return strstr(naming->arch->tensors[row].hf, "{e}") ? naming->n_experts : 1;
}

/* Another row gives the same tensor. */
static bool has_same(const struct naming *naming, uint32_t row, uint32_t layer)
{
	const struct qc_arch_tensor *rows = naming->arch->tensors;

	for (uint32_t r = 0; r < naming->n_rows; r++)
		if (r != row && n_found(naming, r, layer) && !strcmp(rows[r].gguf, rows[row].gguf))
			return true;
	return false;
}

/* Others give the same tensor, or all parts of it. */
static bool has_other_name(const struct naming *naming, uint32_t row, uint32_t layer)
{
	const struct qc_arch_tensor *rows = naming->arch->tensors;
	uint32_t part = row + 1;

	if (has_same(naming, row, layer))
		return true;
	while (part < naming->n_rows && !*rows[part].hf && has_same(naming, part, layer))
		part++;
	return part > row + 1 && (part == naming->n_rows || *rows[part].hf);
}

static bool is_missing(const struct naming *naming, uint32_t row, uint32_t layer)
{
	const struct qc_arch_tensor *r = &naming->arch->tensors[row];
	const uint32_t found = n_found(naming, row, layer);

	if (!*r->hf || (layer && !strstr(r->hf, "{i}")))
		return false;
	if (found)
		return found < n_wanted(naming, row);
	return (!r->needed || r->needed(naming->model, layer)) &&
	       !has_other_name(naming, row, layer);
}

/* Every row that is needed, in every block; of those with experts all or none. */
static enum qc_status check_missing(const struct naming *naming, struct qc_err *err)
{
	const struct qc_arch_tensor *first = NULL;
	uint32_t first_layer = 0, found = 0, wanted = 0;
	const char *hole;
	size_t n = 0;

	for (uint32_t layer = 0; layer < naming->n_layers; layer++)
		for (uint32_t r = 0; r < naming->n_rows; r++) {
			if (!is_missing(naming, r, layer) || n++)
				continue;
			first = &naming->arch->tensors[r];
			first_layer = layer;
			found = n_found(naming, r, layer);
			wanted = n_wanted(naming, r);
		}
	if (!n)
		return QC_OK;
	hole = strstr(first->hf, "{i}");
	if (found)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.*s%u%s': %u of %u experts are there",
			       (int)(hole - first->hf), first->hf, first_layer, hole + 3, found,
			       wanted);
	if (!hole)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%s' is missing (%zu missing in all)",
			       first->hf, n);
	return qc_fail(err, QC_BAD_INPUT, "tensor '%.*s%u%s' is missing (%zu missing in all)",
		       (int)(hole - first->hf), first->hf, first_layer, hole + 3, n);
}

static enum qc_status name_all(struct naming *naming, struct qc_err *err)
{
	struct qc_model *model = naming->model;
	size_t kept = 0;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		struct qc_tensor tensor = model->tensors[i];
		bool keep = true;

		s = name_one(naming, &tensor, &keep, err);
		if (keep)
			model->tensors[kept++] = tensor;
	}
	if (s)
		return s;
	model->n_tensors = kept;
	s = check_missing(naming, err);
	if (!s && naming->arch->check_tensors)
		s = naming->arch->check_tensors(model, err);
	return s ? s : qc_arch_size_label(model, err);
}

enum qc_status qc_arch_name_tensors(struct qc_model *model, struct qc_err *err)
{
	struct naming naming = {.model = model, .arch = model->arch};
	enum qc_status s;

	if (!model->arch || model->layout != QC_LAYOUT_HF)
		return QC_OK;
	naming.n_layers = qc_arch_u32(model, "{a}.block_count", 0);
	naming.tied = model->arch->tied;
	(void)!qc_json_bool(&model->config, qc_config_get(model, "tie_word_embeddings"),
			    &naming.tied);
	while (model->arch->tensors[naming.n_rows].hf)
		naming.n_rows++;
	naming.n_experts = qc_arch_u32(model, "{a}.expert_count", 0);
	naming.found = calloc((size_t)naming.n_rows * naming.n_layers, sizeof(*naming.found));
	if (!naming.found)
		return qc_no_memory(err);
	s = name_all(&naming, err);
	free(naming.found);
	qc_strmap_clear(&naming.names);
	return s;
}

enum qc_status qc_arch_from_meta(struct qc_model *model, struct qc_err *err)
{
	const char *name = NULL;
	size_t len = 0;

	if (!qc_meta_string(&model->meta, "general.architecture", &name, &len))
		model->arch_note = "the file names no architecture: a plain bag of tensors";
	else
		model->arch = qc_arch_by_gguf_name(name, len);
	if (!model->arch && name)
		model->arch_note = qc_arena_printf(
			&model->arena, "architecture '%.*s' is not known: a plain bag of tensors",
			len > 64 ? 64 : (int)len, name);
	if (!model->arch && !model->arch_note)
		return qc_no_memory(err);
	for (size_t i = 0; i < model->n_tensors; i++) {
		struct qc_tensor *tensor = &model->tensors[i];
		const struct qc_arch_tensor *row = model->arch ? model->arch->tensors : NULL;
		const char *number = tensor->name + 4;
		size_t digits = strncmp(tensor->name, "blk.", 4) ? 0 : strspn(number, "0123456789");

		tensor->layer = digits && digits < 8 && number[digits] == '.'
					? (int32_t)strtol(number, NULL, 10)
					: -1;
		while (row && row->hf &&
		       !qc_arch_match(row->gguf, tensor->name, strlen(tensor->name), &(int32_t){0},
				      &(int32_t){0}))
			row++;
		tensor->row = row && row->hf ? row : NULL;
	}
	return QC_OK;
}

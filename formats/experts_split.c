#include "formats/experts_split.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "formats/arch/arch.h"

#define MAX_PARTS 2

/* The tensors that one becomes, by the ends of names. */
static const struct family {
	const char *fused, *parts[MAX_PARTS + 1];
} families[] = {
	{".experts.gate_up_proj", {"gate_proj.weight", "up_proj.weight", NULL}},
	{".experts.down_proj", {"down_proj.weight", NULL}},
	{".experts.gate_up_proj_bias", {"gate_proj.bias", "up_proj.bias", NULL}},
	{".experts.down_proj_bias", {"down_proj.bias", NULL}},
};

/* One of the parts of a tensor. */
struct part {
	const char *name;
	const struct qc_arch_tensor *row;
	const struct qc_source *source; /* a weight's: of all experts, rows by expert */
	uint64_t first; /* of an expert: where in its rows or columns the part begins */
	uint64_t step;	/* and which of them are of it */
	uint64_t n;
};

/* The row of "...experts.{e}.PART". */
static const struct qc_arch_tensor *find_row(const struct qc_model *model, const char *part)
{
	for (const struct qc_arch_tensor *row = model->arch->tensors; row->hf; row++) {
		const char *expert = strstr(row->hf, ".experts.{e}.");

		if (expert && !strcmp(expert + strlen(".experts.{e}."), part))
			return row;
	}
	return NULL;
}

/* Gate and up alternate in such a tensor. */
static bool is_interleaved(const struct qc_tensor *tensor)
{
	const struct qc_arch_tensor *next = tensor->row + 1;

	return next->hf && !*next->hf;
}

/* A weight as products want it: [experts, out, in]. */
static bool is_plain(const struct qc_tensor *tensor)
{
	return tensor->n_dims == 3 && !tensor->transposed;
}

/* The part's rows of all experts; they are a run of an expert's rows then. */
static enum qc_status take_rows(struct qc_arena *arena, const struct qc_tensor *tensor,
				struct part *part, struct qc_err *err)
{
	part->source = tensor->source;
	if (tensor->transposed)
		part->source = qc_source_transpose(arena, tensor->source, tensor->dims[1],
						   part->first, part->step);
	else if (part->step > 1)
		part->source = qc_source_every_row(arena, tensor->source, part->first, part->step);
	if (part->step > 1)
		part->first = 0;
	return part->source ? QC_OK : qc_no_memory(err);
}

static enum qc_status factor_of(struct qc_arena *arena, const struct qc_source **factor,
				uint64_t expert, struct qc_err *err)
{
	if (!*factor || (*factor)->rows == 1)
		return QC_OK;
	*factor = qc_source_slice(arena, *factor, expert, 1);
	return *factor ? QC_OK : qc_no_memory(err);
}

/* A part of one expert's bias, in its own precision. */
static const struct qc_source *bias_of(struct qc_arena *arena, const struct qc_tensor *tensor,
				       const struct part *part, uint64_t expert)
{
	const struct qc_source *bias = tensor->source;
	const struct qc_qtype *type = bias->type;

	if (bias->cols == 1) { /* of a stack of vectors, an element a row */
		if (part->step > 1)
			bias = qc_source_every_row(arena, bias, part->first, part->step);
		return bias ? qc_source_slice(arena, bias, expert * part->n, part->n) : NULL;
	}
	bias = qc_source_slice(arena, bias, expert, 1);
	if (!bias || part->step == 1)
		return bias;
	bias = qc_source_every_column(arena, bias, part->first, part->step);
	return bias && type->block_bytes == 2 ? qc_source_narrow(arena, bias, type) : bias;
}

/* One part of one expert. */
static enum qc_status add_part(struct qc_model *model, const struct qc_tensor *tensor,
			       const struct part *part, uint64_t expert, struct qc_err *err)
{
	struct qc_arena *arena = &model->arena;
	const char *dot = strrchr(tensor->stored_name, '.');
	const bool is_bias = tensor->n_dims == 2;
	struct qc_tensor one = *tensor;
	uint64_t *dims = qc_arena_array(arena, 2, sizeof(*dims));
	uint64_t rows = part->source->rows / tensor->dims[tensor->n_dims - 1];
	enum qc_status s;

	one.stored_name =
		qc_arena_printf(arena, "%.*s.%llu.%s", (int)(dot - tensor->stored_name),
				tensor->stored_name, (unsigned long long)expert, part->name);
	one.name = qc_arch_expert_name(arena, part->row->gguf, tensor->layer, (int32_t)expert);
	one.source = is_bias ? bias_of(arena, tensor, part, expert)
			     : qc_source_slice(arena, part->source, expert * rows + part->first,
					       part->n);
	if (!dims || !one.stored_name || !one.name || !one.source)
		return qc_no_memory(err);
	dims[0] = is_bias ? part->n : one.source->cols;
	dims[1] = part->n;
	one.dims = dims;
	one.n_dims = is_bias ? 1 : 2;
	one.row = part->row;
	one.expert = (int32_t)expert;
	one.transposed = false;
	s = factor_of(arena, &one.scale, expert, err);
	if (!s)
		s = factor_of(arena, &one.input_scale, expert, err);
	return s ? s : qc_model_add_tensor(model, &one, err);
}

static enum qc_status split_one(struct qc_model *model, const struct qc_tensor *tensor,
				const struct family *family, struct qc_err *err)
{
	const uint64_t experts = tensor->dims[tensor->n_dims - 1];
	const uint64_t out = tensor->dims[is_plain(tensor)];
	struct part parts[MAX_PARTS];
	enum qc_status s = QC_OK;
	uint64_t n = 0;

	while (family->parts[n])
		n++;
	for (uint64_t i = 0; !s && i < n; i++) {
		const bool mixed = is_interleaved(tensor);

		parts[i] = (struct part){.name = family->parts[i],
					 .row = find_row(model, family->parts[i]),
					 .source = tensor->source,
					 .first = mixed ? i : i * (out / n),
					 .step = mixed ? n : 1,
					 .n = out / n};
		if (tensor->n_dims == 3)
			s = take_rows(&model->arena, tensor, &parts[i], err);
	}
	for (uint64_t e = 0; e < experts; e++)
		for (uint64_t i = 0; !s && i < n; i++)
			s = add_part(model, tensor, &parts[i], e, err);
	return s;
}

/* What it becomes; NULL: it stays. */
static const struct family *family_of(const struct qc_model *model, const struct qc_tensor *tensor)
{
	if (!tensor->row || tensor->n_dims < 2 || tensor->n_dims > 3)
		return NULL;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		const struct family *f = &families[i];
		const bool two = f->parts[1] != NULL, is_bias = qc_text_ends(f->fused, "_bias");
		const uint64_t out = tensor->dims[is_plain(tensor)];

		if (!qc_text_ends(tensor->stored_name, f->fused) ||
		    is_bias != (tensor->n_dims == 2) || !find_row(model, f->parts[0]) ||
		    (two && !find_row(model, f->parts[1])) ||
		    (two && (out % 2 || !(is_interleaved(tensor) || is_plain(tensor)))))
			continue;
		return f;
	}
	return NULL;
}

bool qc_experts_are_turned(const struct qc_model *model)
{
	for (const struct qc_arch_tensor *row = model->arch->tensors; row->hf; row++)
		if (row->op == QC_ROWS_TRANSPOSE)
			return true;
	return false;
}

enum qc_status qc_experts_split(struct qc_model *model, bool turned, struct qc_err *err)
{
	struct qc_tensor *old = model->tensors;
	const size_t n = model->n_tensors;
	enum qc_status s = QC_OK;

	if (!model->arch || model->layout != QC_LAYOUT_HF ||
	    (qc_experts_are_turned(model) && !turned))
		return QC_OK;
	model->tensors = NULL;
	model->n_tensors = model->cap_tensors = 0;
	for (size_t i = 0; !s && i < n; i++) {
		const struct family *family = family_of(model, &old[i]);

		s = family ? split_one(model, &old[i], family, err)
			   : qc_model_add_tensor(model, &old[i], err);
	}
	free(old);
	return s;
}

bool qc_experts_are_single(const struct qc_model *model)
{
	for (size_t i = 0; i < model->n_tensors; i++)
		if (model->tensors[i].row && strstr(model->tensors[i].row->hf, "{e}"))
			return true;
	return false;
}

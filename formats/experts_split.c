#include "formats/experts_split.h"

#include <stdlib.h>
#include <string.h>

#include "formats/arch/arch.h"

/* The tensors that one becomes, by the ends of names. */
static const struct {
	const char *fused, *parts[3];
} families[] = {
	{".experts.gate_up_proj", {"gate_proj", "up_proj", NULL}},
	{".experts.down_proj", {"down_proj", NULL}},
};

static bool ends_with(const char *text, const char *end)
{
	const size_t len = strlen(text), n = strlen(end);

	return len > n && !strcmp(text + len - n, end);
}

/* The row of "...experts.{e}.PART.weight". */
static const struct qc_arch_tensor *find_row(const struct qc_model *model, const char *part)
{
	for (const struct qc_arch_tensor *row = model->arch->tensors; row->hf; row++) {
		const char *expert = strstr(row->hf, ".experts.{e}.");
		const size_t n = strlen(part);

		expert = expert ? expert + strlen(".experts.{e}.") : NULL;
		if (expert && !strncmp(expert, part, n) && !strcmp(expert + n, ".weight"))
			return row;
	}
	return NULL;
}

static enum qc_status factor_of(struct qc_arena *arena, const struct qc_source **factor,
				uint64_t expert, struct qc_err *err)
{
	if (!*factor || (*factor)->rows == 1)
		return QC_OK;
	*factor = qc_source_slice(arena, *factor, expert, 1);
	return *factor ? QC_OK : qc_no_memory(err);
}

/* Part `index` of `n` of one expert: a run of its rows. */
static enum qc_status add_part(struct qc_model *model, const struct qc_tensor *tensor,
			       uint64_t expert, const struct qc_arch_tensor *row, const char *part,
			       uint64_t index, uint64_t n, struct qc_err *err)
{
	struct qc_arena *arena = &model->arena;
	const uint64_t rows = tensor->dims[1] / n;
	const char *dot = strrchr(tensor->stored_name, '.');
	struct qc_tensor one = *tensor;
	uint64_t *dims = qc_arena_array(arena, 2, sizeof(*dims));
	enum qc_status s;

	one.stored_name =
		qc_arena_printf(arena, "%.*s.%llu.%s.weight", (int)(dot - tensor->stored_name),
				tensor->stored_name, (unsigned long long)expert, part);
	one.name = qc_arch_expert_name(arena, row->gguf, tensor->layer, (int32_t)expert);
	one.source = qc_source_slice(arena, tensor->source, expert * tensor->dims[1] + index * rows,
				     rows);
	if (!dims || !one.stored_name || !one.name || !one.source)
		return qc_no_memory(err);
	dims[0] = tensor->dims[0];
	dims[1] = rows;
	one.dims = dims;
	one.n_dims = 2;
	one.row = row;
	one.expert = (int32_t)expert;
	s = factor_of(arena, &one.scale, expert, err);
	if (!s)
		s = factor_of(arena, &one.input_scale, expert, err);
	return s ? s : qc_model_add_tensor(model, &one, err);
}

static enum qc_status split_one(struct qc_model *model, const struct qc_tensor *tensor,
				const char *const *parts, struct qc_err *err)
{
	enum qc_status s = QC_OK;
	uint64_t n = 0;

	while (parts[n])
		n++;
	for (uint64_t e = 0; e < tensor->dims[2]; e++)
		for (uint64_t i = 0; !s && i < n; i++)
			s = add_part(model, tensor, e, find_row(model, parts[i]), parts[i], i, n,
				     err);
	return s;
}

/* The tensors that it becomes; NULL: it stays. */
static const char *const *parts_of(const struct qc_model *model, const struct qc_tensor *tensor)
{
	if (tensor->n_dims != 3 || tensor->transposed || !tensor->row ||
	    tensor->row->op != QC_ROWS_SAME)
		return NULL;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		const char *const *parts = families[i].parts;

		if (!ends_with(tensor->stored_name, families[i].fused) ||
		    !find_row(model, parts[0]) || (parts[1] && !find_row(model, parts[1])) ||
		    (parts[1] && tensor->dims[1] % 2))
			continue;
		return parts;
	}
	return NULL;
}

enum qc_status qc_experts_split(struct qc_model *model, struct qc_err *err)
{
	struct qc_tensor *old = model->tensors;
	const size_t n = model->n_tensors;
	enum qc_status s = QC_OK;

	if (!model->arch || model->layout != QC_LAYOUT_HF)
		return QC_OK;
	model->tensors = NULL;
	model->n_tensors = model->cap_tensors = 0;
	for (size_t i = 0; !s && i < n; i++) {
		const char *const *parts = parts_of(model, &old[i]);

		s = parts ? split_one(model, &old[i], parts, err)
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

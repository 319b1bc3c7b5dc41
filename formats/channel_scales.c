#include "formats/channel_scales.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/arch/arch.h"
#include "formats/rowops_scale.h"

void qc_channel_scales_clear(struct qc_channel_scales *scales)
{
	qc_strmap_clear(&scales->by_name);
	free(scales->list);
	qc_arena_clear(&scales->arena);
	memset(scales, 0, sizeof(*scales));
}

enum qc_status qc_channel_scales_at(struct qc_channel_scales *scales, const char *name,
				    struct qc_channel_scale **entry, struct qc_err *err)
{
	const size_t len = strlen(name);
	const uint64_t *found = qc_strmap_find(&scales->by_name, name, len);
	struct qc_channel_scale *list;
	bool was_there;
	char *own;

	if (found) {
		*entry = &scales->list[*found];
		return QC_OK;
	}
	if (scales->n == scales->cap) {
		list = realloc(scales->list, (2 * scales->cap + 16) * sizeof(*list));
		if (!list)
			return qc_no_memory(err);
		scales->list = list;
		scales->cap = 2 * scales->cap + 16;
	}
	own = qc_arena_copy(&scales->arena, name, len);
	if (!own)
		return qc_no_memory(err);
	if (qc_strmap_add(&scales->by_name, own, len, scales->n, &was_there, err))
		return err->status;
	*entry = &scales->list[scales->n++];
	**entry = (struct qc_channel_scale){.name = own};
	return QC_OK;
}

/* The entry of a name; NULL. */
static const struct qc_channel_scale *find_entry(const struct qc_channel_scales *scales,
						 const char *name)
{
	const uint64_t *found = qc_strmap_find(&scales->by_name, name, strlen(name));

	return found ? &scales->list[*found] : NULL;
}

/* The scales of one tensor, which may be a part of what the entry is of, or the whole. */
struct view {
	const struct qc_channel_scale *entry;
	const float *in, *out;
	uint64_t in_sets, n_out;
};

/* Gate and up projection are one matrix on one side and two on the other. */
static const struct {
	const char *whole, *first, *second;
} halves = {"ffn_gate_up_exps", "ffn_gate_exps", "ffn_up_exps"};

/* `name` with `from` in it replaced by `to`; false when it has none. */
static bool renamed(const char *name, const char *from, const char *to, char *buf, size_t size)
{
	const char *at = strstr(name, from);

	if (!at)
		return false;
	snprintf(buf, size, "%.*s%s%s", (int)(at - name), name, to, at + strlen(from));
	return true;
}

/* The tensor's name in GGUF, where all experts are one; of a stored whole that of the whole. */
static void stacked_name(const struct qc_tensor *tensor, char *buf, size_t size)
{
	struct qc_arena arena = {0};
	const char *name = tensor->row && tensor->layer >= 0 && tensor->expert >= 0
				   ? qc_arch_block_name(&arena, tensor->row->gguf, tensor->layer)
				   : NULL;

	snprintf(buf, size, "%s", name ? name : tensor->name);
	qc_arena_clear(&arena);
}

static bool find_view(const struct qc_channel_scales *scales, const struct qc_tensor *tensor,
		      struct view *view)
{
	char name[256], other[256];
	uint64_t half = 0, n_halves = 1, n;

	stacked_name(tensor, name, sizeof(name));
	view->entry = find_entry(scales, name);
	if (!view->entry && renamed(name, halves.whole, halves.first, other, sizeof(other))) {
		view->entry = find_entry(scales, other);
	} else if (!view->entry &&
		   (renamed(name, halves.first, halves.whole, other, sizeof(other)) ||
		    renamed(name, halves.second, halves.whole, other, sizeof(other)))) {
		view->entry = find_entry(scales, other);
		n_halves = 2;
		half = strstr(name, halves.second) != NULL;
	}
	if (!view->entry)
		return false;
	view->in = view->entry->in;
	view->in_sets = view->entry->in_sets;
	view->out = view->entry->out;
	view->n_out = view->entry->n_out;
	if (!strcmp(name, tensor->name)) /* not one expert's */
		return true;
	if (view->in_sets > 1)
		view->in += (uint64_t)tensor->expert * view->entry->n_in;
	view->in_sets = 1;
	n = tensor->dims[tensor->transposed ? 0 : tensor->n_dims - 1];
	if (view->out)
		view->out += ((uint64_t)tensor->expert * n_halves + half) * n;
	view->n_out = n;
	return true;
}

static bool is_norm_less_one(const struct qc_model *model, const struct qc_tensor *tensor)
{
	return model->layout == QC_LAYOUT_HF && tensor->row && tensor->row->op == QC_ROWS_ADD_ONE;
}

/* A norm's weights, less one where the layout has them so. */
static enum qc_status replace(struct qc_model *model, const struct qc_tensor *tensor,
			      const struct view *view, struct qc_factors *f, struct qc_err *err)
{
	const uint64_t n = view->n_out;
	float *values = qc_arena_array(&model->arena, n, sizeof(*values));

	if (!values)
		return qc_no_memory(err);
	for (uint64_t i = 0; i < n; i++)
		values[i] = view->entry->instead[i] - (is_norm_less_one(model, tensor) ? 1.f : 0.f);
	f->instead = values;
	return QC_OK;
}

/* How the scales lie over the rows and columns of the tensor's source; false when they do not. */
static bool lay_over(const struct qc_tensor *tensor, const struct view *view, struct qc_factors *f)
{
	const struct qc_source *source = tensor->source;
	const uint64_t n_in = view->entry->n_in, sets = view->in_sets;
	const uint64_t matrices = tensor->n_dims > 2 ? tensor->dims[2] : 1;
	const uint64_t height = matrices ? source->rows / matrices : 0; /* rows of one */

	if (!height || source->rows % matrices || (view->in && sets != 1 && sets != matrices))
		return false;
	if (view->in ? tensor->n_dims < 2 : !view->out) /* a bias has no inputs */
		return false;
	if (view->in && !tensor->transposed) {
		f->by_col = view->in;
		f->n_sets = sets;
		f->rows_per_set = height;
	} else if (view->in) {
		f->by_row = view->in;
		f->n_by_row = sets * n_in;
	}
	if (view->in && n_in != (tensor->transposed ? height : source->cols))
		return false;
	if (!view->out)
		return true;
	if (view->n_out == source->rows && !tensor->transposed) {
		f->by_row = view->out;
		f->n_by_row = view->n_out;
	} else if (view->n_out == matrices * source->cols && tensor->transposed) {
		f->by_col = view->out;
		f->n_sets = matrices;
		f->rows_per_set = height;
	} else if (view->n_out == source->rows * source->cols && !view->in) { /* biases */
		f->by_col = view->out;
		f->n_sets = source->rows;
		f->rows_per_set = 1;
	} else {
		return false;
	}
	return true;
}

static enum qc_status apply_one(struct qc_model *model, struct qc_tensor *tensor,
				const struct view *view, struct qc_err *err)
{
	const bool norm = view->entry->instead;
	struct qc_factors f = {0};
	enum qc_status s = QC_OK;

	if (norm ? view->n_out != tensor->source->rows * tensor->source->cols
		 : !lay_over(tensor, view, &f))
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.160s': its shape has no place for scales of channels",
			       tensor->stored_name);
	if (norm)
		s = replace(model, tensor, view, &f, err);
	if (s)
		return s;
	tensor->source = qc_source_scaled(&model->arena, tensor->source, &f);
	tensor->scale = NULL; /* the rows include it */
	return tensor->source ? QC_OK : qc_no_memory(err);
}

enum qc_status qc_channel_scales_apply(const struct qc_channel_scales *scales,
				       struct qc_model *model, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		struct view view;

		if (find_view(scales, &model->tensors[i], &view))
			s = apply_one(model, &model->tensors[i], &view, err);
	}
	return s;
}

bool qc_channel_scales_touch(const struct qc_channel_scales *scales, const struct qc_tensor *tensor)
{
	struct view view;

	return find_view(scales, tensor, &view);
}

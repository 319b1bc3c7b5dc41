/*
 * An adapter as a GGUF file, which llama.cpp applies while it computes:
 *
 *   NAME.lora_a   A, [r, in]     scale = adapter.lora.alpha / r, times what the user says
 *   NAME.lora_b   B, [out, r]    rows in the order that the architecture's rows have in GGUF
 *   token_embd.weight.lora_a     A of an embedding, transposed: [vocabulary, r]
 *
 * There is one alpha for the whole file and no rank-stabilised scaling; where a pair's own scale is
 * another one, its B carries the factor.
 */
#include "formats/lora.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/arch/arch.h"
#include "formats/lora_source.h"
#include "quant/types.h"

struct only {
	struct qc_model *model;
	struct qc_lora_adapter adapter;
	struct qc_lora_names names;
	double scale;
	double alpha;		 /* the file's; set by the first pair */
	struct qc_tensor *pairs; /* two for each module */
	size_t n_pairs;
};

/* What has no place in such a file. */
static enum qc_status check_module(const struct only *o, const struct qc_lora_module *module,
				   struct qc_err *err)
{
	static const struct {
		enum qc_lora_part part;
		const char *what;
	} others[] = {
		{QC_LORA_WHOLE, "a whole tensor"},
		{QC_LORA_BIAS, "a bias"},
		{QC_LORA_MAGNITUDE, "a magnitude (DoRA)"},
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (module->parts[others[i].part])
			return qc_fail(err, QC_UNSUPPORTED,
				       "tensor '%.200s' is %s, which a GGUF adapter cannot hold: "
				       "merge the adapter instead, without --lora-only",
				       module->parts[others[i].part]->stored_name, others[i].what);
	if (o->adapter.config.use_dora)
		return qc_fail(err, QC_UNSUPPORTED, "a GGUF adapter cannot say use_dora");
	return QC_OK;
}

/* Row operations that one factor can take over: those that move or leave out whole rows. */
static enum qc_status check_base(const struct qc_tensor *base, const struct qc_lora_target *target,
				 struct qc_err *err)
{
	const struct qc_arch_tensor *row = base->row;
	const enum qc_row_op op = row ? row->op : QC_ROWS_SAME;
	const bool is_split = row && row[1].hf && !*row[1].hf;
	const bool is_stacked = row && strstr(row->hf, "{e}");
	const bool moves_rows = op == QC_ROWS_SAME || op == QC_ROWS_PERMUTE_Q ||
				op == QC_ROWS_PERMUTE_K || op == QC_ROWS_VOCAB;
	const bool is_embedding = !strcmp(base->name, "token_embd.weight");

	if (base->n_dims != 2 || !moves_rows || is_split || is_stacked)
		return qc_fail(err, QC_UNSUPPORTED,
			       "'%.160s' changes its form in GGUF: an adapter of it can only be "
			       "merged",
			       base->stored_name);
	if (target->transposed != is_embedding)
		return qc_fail(err, QC_UNSUPPORTED,
			       "'%.160s': a GGUF adapter has no such orientation",
			       base->stored_name);
	return QC_OK;
}

/* alpha / r of the file times the factor is the pair's scale. */
static enum qc_status pair_factor(struct only *o, const struct qc_lora_target *target,
				  double *factor, struct qc_err *err)
{
	const double wanted = target->scaling * o->scale * (double)target->rank;

	if (!o->n_pairs)
		o->alpha = (double)(float)wanted;
	if (o->alpha == 0 || !(fabs(o->alpha) <= 1e30))
		return qc_fail(err, QC_UNSUPPORTED, "an alpha of %g cannot be written", o->alpha);
	*factor = wanted / o->alpha;
	if (fabs(*factor - 1) < 1e-6) /* the same alpha, divided and multiplied */
		*factor = 1;
	return QC_OK;
}

static enum qc_status add_half(struct only *o, const struct qc_tensor *base, const char *suffix,
			       const struct qc_source *source, bool follows_rows,
			       struct qc_err *err)
{
	struct qc_arena *arena = &o->model->arena;
	struct qc_tensor *half = &o->pairs[o->n_pairs];
	uint64_t *dims = qc_arena_array(arena, 2, sizeof(*dims));

	*half = *base;
	half->name = qc_arena_printf(arena, "%s%s", base->name, suffix);
	if (!half->name || !dims || !source)
		return qc_no_memory(err);
	dims[0] = source->cols;
	dims[1] = source->rows;
	half->dims = dims;
	half->source = source;
	half->row = follows_rows ? base->row : NULL;
	half->file = 0;
	half->encoding = NULL;
	half->scale = half->input_scale = NULL;
	o->n_pairs++;
	return QC_OK;
}

static enum qc_status add_pair(struct only *o, const struct qc_lora_module *module,
			       struct qc_err *err)
{
	struct qc_arena *arena = &o->model->arena;
	const struct qc_tensor *base;
	const struct qc_source *a, *b;
	struct qc_lora_target target;
	double factor = 1;
	enum qc_status s = check_module(o, module, err);

	if (!s)
		s = qc_lora_find_target(&target, o->model, &o->names, &o->adapter, module, err);
	if (s || target.drop)
		return s ? s : qc_lora_drop_module(o->model, module, target.drop, err);
	base = &o->model->tensors[target.tensor];
	s = check_base(base, &target, err);
	if (!s)
		s = pair_factor(o, &target, &factor, err);
	if (s)
		return s;
	a = target.transposed ? qc_lora_source_transpose(arena, target.a) : target.a->source;
	b = factor == 1 ? target.b->source
			: qc_lora_source_scale(arena, target.b->source, &qc_f32, (float)factor);
	s = add_half(o, base, ".lora_a", a, target.transposed, err);
	return s ? s : add_half(o, base, ".lora_b", b, !target.transposed, err);
}

static enum qc_status check_ends(struct only *o, struct qc_err *err)
{
	const size_t tied = qc_lora_tied_embedding(o->model);
	bool head = false, embedding = false;
	enum qc_status s;

	if (tied == SIZE_MAX)
		return QC_OK;
	s = qc_lora_touches_ends(&o->adapter, o->model, tied, &head, &embedding, err);
	if (!s && (head || embedding))
		s = qc_fail(err, QC_UNSUPPORTED,
			    "it adapts the %s, and in this model embedding and output head are one "
			    "tensor: llama.cpp cannot apply that, merge it instead",
			    head ? "output head" : "token embedding");
	return s;
}

static enum qc_status collect(struct only *o, struct qc_err *err)
{
	const size_t drops_before = o->model->n_drops;
	enum qc_status s;

	if (!o->model->arch)
		return qc_fail(err, QC_UNSUPPORTED,
			       "'%s': a GGUF adapter needs a base model of a known architecture",
			       o->model->path);
	o->pairs = calloc(2 * o->adapter.n_modules + 1, sizeof(*o->pairs));
	if (!o->pairs)
		return qc_no_memory(err);
	s = check_ends(o, err);
	if (!s)
		s = qc_lora_names_init(&o->names, o->model, err);
	for (size_t i = 0; !s && i < o->adapter.n_modules; i++)
		s = add_pair(o, &o->adapter.modules[i], err);
	if (!s && !o->n_pairs)
		s = qc_fail(err, QC_UNSUPPORTED, "nothing of it belongs to the text model");
	if (s)
		return s;
	/* what the base model drops is not the adapter's affair */
	o->model->n_drops -= drops_before;
	if (o->model->n_drops)
		memmove(o->model->drops, o->model->drops + drops_before,
			o->model->n_drops * sizeof(*o->model->drops));
	return QC_OK;
}

/* The pairs instead of the base's tensors, in GGUF's layout; the adapter's file alone. */
static enum qc_status take_over(struct only *o, struct qc_err *err)
{
	struct qc_model *model = o->model;
	size_t kept = 0;
	enum qc_status s;

	free(model->tensors);
	model->tensors = o->pairs;
	model->n_tensors = o->n_pairs;
	model->cap_tensors = 2 * o->adapter.n_modules + 1;
	o->pairs = NULL;
	s = qc_model_set_layout(model, QC_LAYOUT_GGUF, err);
	if (s)
		return s;
	for (size_t i = 0; i < model->n_tensors; i++)
		if (!model->tensors[i].generated) {
			model->tensors[kept] = model->tensors[i];
			model->tensors[kept++].row = NULL;
		}
	model->n_tensors = kept;
	for (; model->n_files > 1; model->n_files--) {
		qc_file_close(model->files[0]);
		free(model->files[0]);
		memmove(model->files, model->files + 1,
			(model->n_files - 1) * sizeof(*model->files));
	}
	model->tokenizer_note = NULL;
	return QC_OK;
}

static enum qc_status set_meta(struct only *o, struct qc_err *err)
{
	struct qc_meta *meta = &o->model->meta;
	const char *arch = o->model->arch->name;
	enum qc_status s;

	qc_meta_clear(meta);
	meta->arena = &o->model->arena;
	s = qc_meta_set_string(meta, "general.architecture", arch, strlen(arch), err);
	if (!s)
		s = qc_meta_set_string(meta, "general.type", "adapter", 7, err);
	if (!s)
		s = qc_meta_set_string(meta, "adapter.type", "lora", 4, err);
	return s ? s : qc_meta_set_f32(meta, "adapter.lora.alpha", (float)o->alpha, err);
}

enum qc_status qc_model_only_lora(struct qc_model *model, const char *dir, double scale,
				  struct qc_err *err)
{
	struct only o = {.model = model, .scale = scale};
	enum qc_status s = qc_lora_open(&o.adapter, model, dir, err);

	if (!s && (s = collect(&o, err)))
		s = qc_fail_in(err, "adapter '%s'", dir);
	if (!s)
		s = take_over(&o, err);
	if (!s)
		s = set_meta(&o, err);
	free(o.pairs);
	qc_lora_names_clear(&o.names);
	qc_lora_close(&o.adapter);
	return s;
}

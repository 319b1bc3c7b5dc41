#include "convert/importance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "convert/gguf_options.h"
#include "convert/step.h"
#include "formats/arch/arch.h"

/* as llama-quantize has room for */
enum { MAX_KEY_TEXT = 127 };

/* Weights that stand under one name in a Hugging Face checkpoint and under several in GGUF: they
 * have one input, so either entry will do. */
static const struct {
	const char *whole, *part;
} parts[] = {
	{".ffn_gate_up_exps.", ".ffn_gate_exps."},
	{".ffn_gate_up_exps.", ".ffn_up_exps."},
};
enum { N_PARTS = sizeof(parts) / sizeof(*parts) };

/* The name of the experts' tensor that the tensor, one expert's matrix, is a part of; false when it
 * is none. */
static bool stacked_name(const struct qc_tensor *tensor, char *buf, size_t size)
{
	char number[32];

	snprintf(number, sizeof(number), ".%d.weight", tensor->expert);
	return tensor->expert >= 0 && qc_text_replace(tensor->name, number, ".weight", buf, size);
}

struct qc_imatrix_entry *qc_importance_find(const struct qc_imatrix *im,
					    const struct qc_tensor *tensor)
{
	struct qc_imatrix_entry *entry = qc_imatrix_find(im, tensor->name);
	char stacked[256], name[256];

	if (entry)
		return entry;
	if (!stacked_name(tensor, stacked, sizeof(stacked)))
		snprintf(stacked, sizeof(stacked), "%s", tensor->name);
	entry = qc_imatrix_find(im, stacked);
	for (size_t i = 0; !entry && i < N_PARTS; i++)
		if (qc_text_replace(stacked, parts[i].whole, parts[i].part, name, sizeof(name)))
			entry = qc_imatrix_find(im, name);
	return entry;
}

/* Block `n` of a name "blk.n.rest". */
static bool block_number(const char *name, unsigned *n)
{
	return sscanf(name, "blk.%u.", n) == 1;
}

/* An imatrix of another model shows by blocks that this one has not. */
static enum qc_status check_blocks(const struct qc_imatrix *im, const struct qc_model *model,
				   struct qc_err *err)
{
	unsigned n_blocks = 0, n;

	for (size_t i = 0; i < model->n_tensors; i++)
		if (block_number(model->tensors[i].name, &n) && n >= n_blocks)
			n_blocks = n + 1;
	for (size_t i = 0; n_blocks && i < im->n_entries; i++)
		if (block_number(im->entries[i].name, &n) && n >= n_blocks)
			return qc_fail(
				err, QC_BAD_INPUT,
				"the imatrix of another model: it has '%s', '%s' has blocks 0 "
				"to %u",
				im->entries[i].name, model->path, n_blocks - 1);
	return QC_OK;
}

static void mark(bool *known, const struct qc_imatrix *im, const char *name)
{
	const struct qc_imatrix_entry *entry = qc_imatrix_find(im, name);

	if (entry)
		known[entry - im->entries] = true;
}

/* The entries that are of the tensor, under all names that it may have in an imatrix. */
static void mark_entries(bool *known, const struct qc_imatrix *im, const struct qc_tensor *tensor)
{
	char stacked[256], name[256];

	mark(known, im, tensor->name);
	if (!stacked_name(tensor, stacked, sizeof(stacked)))
		snprintf(stacked, sizeof(stacked), "%s", tensor->name);
	mark(known, im, stacked);
	for (size_t i = 0; i < N_PARTS; i++) {
		if (qc_text_replace(stacked, parts[i].whole, parts[i].part, name, sizeof(name)))
			mark(known, im, name);
		if (qc_text_replace(stacked, parts[i].part, parts[i].whole, name, sizeof(name)))
			mark(known, im, name);
	}
}

/* Weights of a block that this model has not: other architectures have other names. What else
 * llama-imatrix may have seen (adapters, the head, reshaped weights) is passed over. */
static enum qc_status check_known(const struct qc_imatrix *im, const struct qc_model *model,
				  struct qc_err *err)
{
	bool *known = calloc(im->n_entries + 1, sizeof(*known));
	enum qc_status s = QC_OK;
	unsigned block;

	if (!known)
		return qc_no_memory(err);
	for (size_t i = 0; i < model->n_tensors; i++)
		mark_entries(known, im, &model->tensors[i]);
	for (size_t i = 0; !s && i < im->n_entries; i++)
		if (!known[i] && block_number(im->entries[i].name, &block) &&
		    qc_text_ends(im->entries[i].name, ".weight"))
			s = qc_fail(err, QC_BAD_INPUT,
				    "the imatrix of another model: it has '%s', which '%s' has not",
				    im->entries[i].name, model->path);
	free(known);
	return s;
}

static enum qc_status check_names(const struct qc_imatrix *im, const struct qc_model *model,
				  struct qc_err *err)
{
	const char *first = NULL;

	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];

		if (qc_importance_find(im, tensor))
			return QC_OK;
		if (!first && tensor->n_dims >= 2 && tensor->layer >= 0)
			first = tensor->name;
	}
	return qc_fail(err, QC_BAD_INPUT,
		       "the imatrix of another model: none of its %zu entries ('%s', ...) is a "
		       "tensor of '%s' ('%s', ...)",
		       im->n_entries, im->entries[0].name, model->path,
		       first		  ? first
		       : model->n_tensors ? model->tensors[0].name
					  : "");
}

enum qc_status qc_importance_check(const struct qc_imatrix *im, const struct qc_model *model,
				   struct qc_err *err)
{
	enum qc_status s = check_blocks(im, model, err);

	if (!s)
		s = check_names(im, model, err);
	return s ? s : check_known(im, model, err);
}

enum qc_status qc_importance_read(struct qc_plan *plan, const struct qconv_options *options,
				  struct qc_err *err)
{
	enum qc_status s;

	if (!options->imatrix)
		return QC_OK;
	s = qc_imatrix_read(&plan->imatrix, options->imatrix, err);
	if (s)
		return s;
	plan->imatrix_path = options->imatrix;
	s = qc_imatrix_choose(&plan->imatrix, options, err);
	if (!s)
		s = qc_importance_check(&plan->imatrix, plan->model, err);
	return s ? qc_fail_in(err, "'%s'", options->imatrix) : QC_OK;
}

void qc_importance_scale(struct qc_plan *plan)
{
	for (size_t i = 0; i < plan->scales->n; i++) {
		const struct qc_channel_scale *scale = &plan->scales->list[i];
		struct qc_imatrix_entry *entry = qc_imatrix_find(&plan->imatrix, scale->name);
		const uint64_t n = scale->in_sets * scale->n_in;

		for (uint64_t j = 0; scale->in && entry && j < entry->n * entry->cols; j++)
			entry->sums[j] /= scale->in[j % n] * scale->in[j % n];
	}
}

/* Whether the encoder does something with weights. */
static bool can_be_weighted(const struct qc_step *step)
{
	if (step->copy || step->tensor->n_dims < 2)
		return false;
	return step->search || (!step->packing && step->to->uses_imatrix);
}

/* Sums become weights, once. */
static void make_weights(struct qc_plan *plan, struct qc_imatrix_entry *entry)
{
	for (uint64_t i = 0; i < entry->n; i++) {
		qc_imatrix_weights(entry, i, entry->sums + i * entry->cols, &plan->imatrix_gaps);
		entry->counts[i] = 1;
	}
}

/* Inputs of the tensor's matrices, how many of these it has, and which the first is among those of
 * its entry. */
struct shape {
	uint64_t in, n, first, all;
};

static struct shape shape_of(const struct qc_tensor *tensor, const struct qc_imatrix_entry *entry)
{
	char name[256];
	struct shape shape = {.in = tensor->dims[tensor->transposed ? 1 : 0], .n = 1};

	for (uint32_t d = 2; d < tensor->n_dims; d++)
		shape.n *= tensor->dims[d];
	shape.all = shape.n;
	if (strcmp(entry->name, tensor->name) && stacked_name(tensor, name, sizeof(name))) {
		shape.first = (uint64_t)tensor->expert;
		shape.all = entry->n == 1 && shape.in ? entry->cols / shape.in : entry->n;
	}
	return shape;
}

enum qc_status qc_importance_fit(struct qc_imatrix *im, const struct qc_model *model,
				 struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];
		struct qc_imatrix_entry *entry = qc_importance_find(im, tensor);
		struct shape shape;

		if (!entry || tensor->n_dims < 2 || tensor->layer < 0)
			continue;
		shape = shape_of(tensor, entry);
		s = qc_imatrix_fit(im, entry, shape.in, shape.all, err);
		if (s)
			s = qc_fail_in(err, "tensor '%s'", tensor->name);
	}
	return s;
}

/* llama-quantize lets these be of another width, too. */
static bool may_be_odd(const struct qc_tensor *tensor)
{
	return !strcmp(tensor->name, "token_embd.weight") ||
	       !strcmp(tensor->name, "per_layer_token_embd.weight");
}

static enum qc_status attach(struct qc_plan *plan, struct qc_step *step, bool *made,
			     struct qc_err *err)
{
	struct qc_imatrix *im = &plan->imatrix;
	struct qc_imatrix_entry *entry = qc_importance_find(im, step->tensor);
	struct shape shape;

	if (!entry)
		return QC_OK;
	shape = shape_of(step->tensor, entry);
	/* rows that are read in pieces, as their elements are no whole bytes */
	if (!step->tensor->transposed && step->cols != shape.in)
		return QC_OK;
	if (qc_imatrix_fit(im, entry, shape.in, shape.all, err))
		return may_be_odd(step->tensor) ? QC_OK
						: qc_fail_in(err, "'%s': tensor '%s'",
							     plan->imatrix_path, step->name);
	if (shape.first >= entry->n)
		return qc_fail(
			err, QC_BAD_INPUT,
			"'%s': imatrix entry '%s' has %llu experts, tensor '%s' is of expert "
			"%llu",
			plan->imatrix_path, entry->name, (unsigned long long)entry->n, step->name,
			(unsigned long long)shape.first);
	if (!made[entry - im->entries])
		make_weights(plan, entry);
	made[entry - im->entries] = true;
	step->importance = entry->sums + shape.first * entry->cols;
	step->importance_rows = shape.n ? step->rows / shape.n : 0;
	plan->n_weighted++;
	return QC_OK;
}

static enum qc_status check_starved(const struct qc_plan *plan, const struct qc_step *step,
				    struct qc_err *err)
{
	if (step->copy || step->importance ||
	    !(step->starved || (step->to && !step->packing && step->to->needs_imatrix)))
		return QC_OK;
	return qc_fail(
		err, QC_UNSUPPORTED,
		"tensor '%s': %s needs weights of importance, and %s%s%s has none for it: give "
		"it another type (--tensor 'NAME=TYPE')",
		step->name, step->to_name, plan->imatrix_path ? "'" : "",
		plan->imatrix_path ? plan->imatrix_path : "no imatrix",
		plan->imatrix_path ? "'" : "");
}

enum qc_status qc_importance_attach(struct qc_plan *plan, struct qc_err *err)
{
	bool *made = calloc(plan->imatrix.n_entries + 1, sizeof(*made));
	enum qc_status s = made ? QC_OK : qc_no_memory(err);

	for (size_t i = 0; !s && i < plan->n_steps; i++) {
		struct qc_step *step = &plan->steps[i];

		if (plan->imatrix.n_entries && can_be_weighted(step)) {
			plan->n_weightable++;
			s = attach(plan, step, made, err);
		}
		if (!s)
			s = check_starved(plan, step, err);
	}
	free(made);
	return s;
}

static size_t shortened(const char *text)
{
	const size_t len = strlen(text);

	return len < MAX_KEY_TEXT ? len : MAX_KEY_TEXT;
}

enum qc_status qc_importance_keys(const struct qc_plan *plan, struct qc_meta *meta,
				  struct qc_err *err)
{
	const struct qc_imatrix *im = &plan->imatrix;
	enum qc_status s;

	if (!plan->imatrix_path)
		return QC_OK;
	s = plan->learnt ? QC_OK
			 : qc_meta_set_string(meta, "quantize.imatrix.file", plan->imatrix_path,
					      shortened(plan->imatrix_path), err);
	if (!s && im->n_datasets)
		s = qc_meta_set_string(meta, "quantize.imatrix.dataset", im->datasets[0],
				       shortened(im->datasets[0]), err);
	if (!s)
		s = qc_meta_set_u32(meta, "quantize.imatrix.entries_count", (uint32_t)im->n_entries,
				    err);
	if (!s && im->n_chunks)
		s = qc_meta_set_u32(meta, "quantize.imatrix.chunks_count", im->n_chunks, err);
	return s;
}

const float *qc_importance_row(const struct qc_step *step, uint64_t row)
{
	return step->importance && step->importance_rows
		       ? step->importance + row / step->importance_rows * step->cols
		       : NULL;
}

const float *qc_importance_run(const struct qc_step *step, uint64_t first, uint64_t n, float *dst)
{
	if (!step->importance || step->tensor->transposed)
		return NULL;
	for (uint64_t i = 0; i < n;) {
		const uint64_t row = (first + i) / step->cols, col = (first + i) % step->cols;
		const uint64_t left = step->cols - col, run = left < n - i ? left : n - i;

		memcpy(dst + i, qc_importance_row(step, row) + col, run * sizeof(*dst));
		i += run;
	}
	return dst;
}

/*
 * What the error of one matrix does to the predictions: a few windows of text through the model as
 * it is, and again with that matrix quantized.
 *
 * A probe is one pass through the model. Where a pass for every matrix would take too long,
 * matrices of one kind in neighbouring blocks share one: how many passes there are depends on the
 * size of the model and of the windows alone, so that the answer is the same everywhere.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/forward.h"
#include "calib/stats.h"
#include "calib/tune.h"
#include "calib/windows.h"
#include "convert/adapters.h"
#include "convert/budget.h"

enum { WINDOWS = 16, LENGTH = 256 };
/* Multiplications that all probes together may take, about: an hour of a small machine. */
#define MULTIPLICATIONS 2e14

/* A source whose rows come out as the quant type would leave them. */
struct rounded {
	struct qc_source source;
	const struct qc_source *inner;
	const struct qc_budget_matrix *matrix;
	qc_quantize_fn *quantize;
	qc_dequantize_fn *dequantize;
	const struct qc_qtype *type;
	bool on;
};

/* Matrices that are probed together. */
struct group {
	size_t *members; /* into budget->matrices */
	size_t n;
};

struct probe {
	struct qc_budget *budget;
	struct qc_model reference, model;
	struct qc_forward *reference_forward;
	struct qc_windows windows;
	struct rounded *rounded; /* of every matrix */
	struct qc_stats stats;	 /* of the reference's inputs, where there is no imatrix */
};

static enum qc_status rounded_read(const struct qc_source *source, uint64_t row, uint64_t n,
				   float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct rounded *r = (const struct rounded *)source;
	const struct qc_budget_matrix *m = r->matrix;
	const size_t before = scratch->used, cols = (size_t)source->cols;
	const uint64_t per_matrix = m->importance ? m->importance_rows : source->rows;
	enum qc_status s = qc_source_read_f32(r->inner, row, n, dst, scratch, err);
	uint8_t *blocks;

	if (s || !r->on)
		return s;
	blocks = qc_scratch_take(scratch, (size_t)n * cols * sizeof(float));
	for (uint64_t end; n; row = end) {
		const float *h = m->importance ? m->importance + row / per_matrix * cols : NULL;
		uint64_t part;

		end = (row / per_matrix + 1) * per_matrix;
		end = end < row + n ? end : row + n;
		part = end - row;
		r->quantize(dst, blocks, (size_t)part, cols, h);
		r->dequantize(blocks, dst, (size_t)part * cols / r->type->block_elems);
		dst += part * cols;
		n -= part;
	}
	qc_scratch_give(scratch, before);
	return QC_OK;
}

static size_t rounded_scratch(const struct qc_source *source, uint64_t n)
{
	const struct rounded *r = (const struct rounded *)source;

	return qc_source_scratch(r->inner, n) +
	       qc_scratch_need((size_t)(n * source->cols * sizeof(float)));
}

static const struct qc_source_ops rounded_ops = {
	.name = "rounded",
	.read_f32 = rounded_read,
	.scratch_bytes = rounded_scratch,
};

/* Put a rounding in front of every matrix of probe->model. */
static enum qc_status wrap(struct probe *p, struct qc_err *err)
{
	struct qc_budget *budget = p->budget;
	const enum qc_isa isa = budget->plan->isa;

	p->rounded = calloc(budget->n + 1, sizeof(*p->rounded));
	if (!p->rounded)
		return qc_no_memory(err);
	for (size_t i = 0; i < budget->n; i++) {
		const struct qc_budget_matrix *m = &budget->matrices[i];
		const struct qc_tensor *found = qc_model_find(&p->model, m->tensor->name);
		struct qc_tensor *tensor =
			found ? &p->model.tensors[found - p->model.tensors] : NULL;
		struct rounded *r = &p->rounded[i];

		if (!tensor)
			return qc_fail(err, QC_IO, "tensor '%s' is gone: '%s' has changed",
				       m->tensor->name, p->model.path);
		*r = (struct rounded){.source = *tensor->source,
				      .inner = tensor->source,
				      .matrix = m,
				      .type = m->types[m->probe]};
		r->source.ops = &rounded_ops;
		r->quantize = budget->plan->search ? qc_fast_search(r->type, isa)
						   : qc_fast_quantize(r->type, isa);
		r->dequantize = qc_fast_dequantize(r->type, isa);
		tensor->source = &r->source;
	}
	return QC_OK;
}

static enum qc_status open_model(const struct probe *p, struct qc_model *model, struct qc_err *err)
{
	const struct qc_plan *plan = p->budget->plan;
	enum qc_status s =
		qc_adapters_open(model, plan->model->path, plan->target, p->budget->options, err);

	return s ? s : qc_model_set_layout(model, QC_LAYOUT_GGUF, err);
}

/* The model as it is: its states stay in p->reference_forward. */
static enum qc_status run_reference(struct probe *p, struct qc_err *err)
{
	const struct qconv_options *options = p->budget->options;
	const bool collect = !p->budget->plan->imatrix.n_entries;
	const struct qc_forward_options forward = {.threads = options->threads,
						   .stop = options->stop,
						   .input = collect ? qc_stats_input : NULL,
						   .user = &p->stats};
	const struct qc_windows *w = &p->windows;
	enum qc_status s = qc_forward_open(&p->reference_forward, &p->reference, &forward, err);

	if (!s)
		s = qc_forward_windows(p->reference_forward, w->ids, w->n, w->length, err);
	if (!s && collect)
		s = qc_stats_imatrix(&p->stats, &p->budget->plan->imatrix, err);
	return s;
}

/* The divergence that a group causes, shared out as sensitivities of its members. */
static enum qc_status probe_group(struct probe *p, const struct group *group, struct qc_err *err)
{
	struct qc_budget *budget = p->budget;
	const struct qc_forward_options options = {.threads = budget->options->threads,
						   .stop = budget->options->stop};
	const struct qc_windows *w = &p->windows;
	struct qc_forward *forward = NULL;
	double kld = 0, errors = 0;
	enum qc_status s;

	for (size_t i = 0; i < group->n; i++)
		p->rounded[group->members[i]].on = true;
	/* a new one each time: a forward pass may keep decoded weights */
	s = qc_forward_open(&forward, &p->model, &options, err);
	if (!s)
		s = qc_forward_windows(forward, w->ids, w->n, w->length, err);
	if (!s)
		s = qc_tune_divergence(p->reference_forward, 0, forward, 0, w->n * w->length, &kld,
				       err);
	if (!s && !isfinite(kld))
		s = qc_fail(err, QC_BAD_INPUT, "'%s': NaN or infinite logits", p->model.path);
	qc_forward_close(forward);
	for (size_t i = 0; i < group->n; i++) {
		const struct qc_budget_matrix *m = &budget->matrices[group->members[i]];

		p->rounded[group->members[i]].on = false;
		errors += m->errors[m->probe];
	}
	/* a matrix whose error vanishes tells nothing: any type is as good */
	for (size_t i = 0; !s && i < group->n; i++)
		budget->matrices[group->members[i]].sensitivity =
			errors > 0 && kld > 0 ? kld / errors : 0;
	return s;
}

/* "ffn_down" of "blk.3.ffn_down.weight"; names outside of blocks are kinds of their own. */
static const char *kind_of(const struct qc_tensor *tensor)
{
	const char *name = tensor->name;

	if (strncmp(name, "blk.", 4))
		return name;
	name += 4;
	name += strspn(name, "0123456789");
	return name;
}

/* Blocks that share a probe: as few as the multiplications allow. */
static size_t blocks_together(const struct probe *p)
{
	const struct qc_budget *budget = p->budget;
	double weights = 0, pass, probes;
	size_t together;

	for (size_t i = 0; i < budget->n; i++)
		weights += (double)budget->matrices[i].weights;
	pass = weights * (double)(p->windows.n * p->windows.length);
	probes = pass > 0 ? MULTIPLICATIONS / pass : 1;
	together = (size_t)ceil((double)budget->n / (probes < 1 ? 1 : probes));
	return together ? together : 1;
}

static bool same_group(const struct qc_tensor *a, const struct qc_tensor *b, size_t together)
{
	return !strcmp(kind_of(a), kind_of(b)) &&
	       a->layer / (int64_t)together == b->layer / (int64_t)together;
}

static enum qc_status probe_all(struct probe *p, struct qc_err *err)
{
	struct qc_budget *budget = p->budget;
	const size_t together = blocks_together(p);
	bool *done = calloc(budget->n + 1, sizeof(*done));
	struct group group = {calloc(budget->n + 1, sizeof(*group.members)), 0};
	enum qc_status s = done && group.members ? QC_OK : qc_no_memory(err);

	for (size_t i = 0; !s && i < budget->n; i++) {
		if (done[i])
			continue;
		group.n = 0;
		for (size_t j = i; j < budget->n; j++) {
			if (done[j] || !same_group(budget->matrices[i].tensor,
						   budget->matrices[j].tensor, together))
				continue;
			group.members[group.n++] = j;
			done[j] = true;
		}
		s = probe_group(p, &group, err);
	}
	free(done);
	free(group.members);
	return s;
}

enum qc_status qc_budget_probe(struct qc_budget *budget, struct qc_err *err)
{
	static const struct qc_window_options windows = {
		.length = LENGTH,
		.most = WINDOWS,
		.spread = true,
		.full = true,
	};
	struct probe p = {.budget = budget, .stats = {.threads = budget->options->threads}};
	enum qc_status s = open_model(&p, &p.reference, err);

	if (!s)
		s = open_model(&p, &p.model, err);
	if (!s)
		s = qc_windows_of_text(&p.windows, &p.reference, budget->options->calib, &windows,
				       err);
	if (!s)
		s = run_reference(&p, err);
	if (!s)
		s = qc_budget_weigh(budget, err);
	if (!s)
		s = qc_budget_errors(budget, err);
	if (!s)
		s = wrap(&p, err);
	if (!s)
		s = probe_all(&p, err);
	qc_forward_close(p.reference_forward);
	qc_windows_clear(&p.windows);
	qc_stats_clear(&p.stats);
	qc_model_close(&p.model);
	qc_model_close(&p.reference);
	free(p.rounded);
	return s;
}

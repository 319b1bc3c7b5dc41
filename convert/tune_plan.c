#include "convert/tune_plan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "calib/text_file.h"
#include "calib/tokenize.h"
#include "convert/adapters.h"
#include "convert/plan_layout.h"
#include "convert/step.h"
#include "convert/target_gguf.h"
#include "convert/tune_items.h"
#include "quant/types.h"

enum { DEFAULT_LENGTH = 512, DEFAULT_WINDOWS = 256, SHORTEST = 16, HELD_OUT = 8 };
#define DAMP 0.05f /* of the mean second moment: best on held-out text among .002 to .3 */

bool qc_tune_asked(const struct qconv_options *options)
{
	return options->calib && (!options->method || !strcasecmp(options->method, "gptq"));
}

void qc_tuning_free(struct qc_tuning *t)
{
	if (!t)
		return;
	for (int i = 0; i < 2; i++) {
		qc_forward_close(t->forwards[i]);
		qc_model_close(&t->models[i]);
	}
	qc_windows_clear(&t->windows);
	qc_strmap_clear(&t->by_name);
	qc_spill_close(&t->file);
	qc_arena_clear(&t->arena);
	free(t->items);
	free(t);
}

/* The grid of what a step becomes; NULL when it takes no part. */
static const struct qc_grid *step_grid(const struct qc_step *step)
{
	const struct qc_packing *packing = step->packing;
	const struct qc_grid *grid;

	if (step->copy || step->tensor->n_dims < 2 ||
	    (step->tensor->layer < 0 && strcmp(step->tensor->name, "output.weight")))
		return NULL;
	/* experts that are one tensor are calibrated where each one's rows lie together */
	if (step->tensor->n_dims > 2 && packing &&
	    packing != qc_gguf_packing(step->tensor, &qc_nvfp4, true))
		return NULL;
	grid = !packing ? qc_grid_of(step->to) : packing->grid ? packing->grid(step) : NULL;
	return grid && step->cols % grid->type->block_elems == 0 ? grid : NULL;
}

/* What the values of each matrix of a step are multiplied by. */
static enum qc_status find_factors(struct qc_tuning *t, struct qc_tune_item *item,
				   struct qc_err *err)
{
	const struct qc_step *step = item->step;
	const uint64_t n = step->tensor->n_dims > 2 ? step->tensor->dims[2] : 1;

	if (!step->packing || !step->packing->factor)
		return QC_OK;
	item->factors = qc_arena_array(&t->arena, n, sizeof(*item->factors));
	if (!item->factors)
		return qc_no_memory(err);
	for (uint64_t i = 0; i < n; i++)
		item->factors[i] = step->packing->factor(step, i);
	item->tuned->factors = item->factors;
	item->tuned->slice = step->rows / n;
	return QC_OK;
}

static enum qc_status find_items(struct qc_tuning *t, struct qc_err *err)
{
	struct qc_plan *plan = t->plan;
	uint64_t bytes = 0;

	t->items = calloc(plan->n_steps + 1, sizeof(*t->items));
	if (!t->items)
		return qc_no_memory(err);
	for (size_t i = 0; i < plan->n_steps; i++) {
		struct qc_step *step = &plan->steps[i];
		const struct qc_grid *grid = step_grid(step);
		struct qc_tune_item *item = &t->items[t->n_items];
		bool was_there;

		if (!grid)
			continue;
		*item = (struct qc_tune_item){.step = step, .grid = grid};
		item->tuned = qc_tuned_make(&t->arena, &t->file, bytes, grid->type, step->rows,
					    step->cols);
		if (!item->tuned)
			return qc_no_memory(err);
		if (qc_strmap_add(&t->by_name, step->tensor->name, strlen(step->tensor->name),
				  t->n_items, &was_there, err) ||
		    find_factors(t, item, err))
			return err->status;
		if (was_there) /* one of several tensors that are experts of one name */
			continue;
		bytes += step->rows * item->tuned->row_bytes;
		t->n_items++;
	}
	return qc_spill_open(&t->file, NULL, bytes, err);
}

static struct qc_tune_item *item_of(const struct qc_tuning *t, const char *name)
{
	const uint64_t *index = qc_strmap_find(&t->by_name, name, strlen(name));

	return index ? &t->items[*index] : NULL;
}

static enum qc_status put_overlays(struct qc_tuning *t, struct qc_model *model, struct qc_err *err)
{
	for (size_t i = 0; i < model->n_tensors; i++) {
		struct qc_tensor *tensor = &model->tensors[i];
		struct qc_tune_item *item = item_of(t, tensor->name);

		if (!item)
			continue;
		item->overlay = qc_overlay_make(&model->arena, tensor->source);
		if (!item->overlay)
			return qc_no_memory(err);
		item->overlay->tuned = item->tuned;
		item->overlay->search = qc_fast_search(item->grid->type, t->plan->isa);
		tensor->source = &item->overlay->base;
	}
	return QC_OK;
}

static enum qc_status open_forward(struct qc_tuning *t, int i, struct qc_err *err)
{
	const struct qc_forward_options options = {
		.threads = t->options->threads,
		.stop = t->options->stop,
		/* the two models share it */
		.mem_limit = t->options->mem_limit / 2,
	};

	qc_forward_close(t->forwards[i]);
	t->forwards[i] = NULL;
	return qc_forward_open(&t->forwards[i], &t->models[i], &options, err);
}

static enum qc_status open_model(struct qc_tuning *t, int i, struct qc_err *err)
{
	const struct qc_plan *plan = t->plan;
	struct qc_model *model = &t->models[i];
	enum qc_status s = qc_model_open(model, plan->model->path, err);

	if (!s)
		s = qc_adapters_apply(model, plan->target, t->options, err);
	if (!s && plan->target->layout_kind == QC_LAYOUT_HF && model->layout == QC_LAYOUT_GGUF)
		return qc_fail(err, QC_UNSUPPORTED,
			       "--calib: a directory made from a GGUF, '%s', cannot be calibrated: "
			       "take the checkpoint it was made from, or --method search",
			       model->path);
	/* what is quantized are the tensors as the output has them */
	if (!s && plan->target->layout_kind == QC_LAYOUT_GGUF)
		s = qc_model_set_layout(model, QC_LAYOUT_GGUF, err);
	if (!s && i == 1)
		s = put_overlays(t, model, err);
	return s ? s : open_forward(t, i, err);
}

/* Windows spread evenly over the text, every eighth of them held out: those stand at the end. */
static enum qc_status choose_windows(struct qc_tuning *t, struct qc_windows *all, size_t wanted,
				     struct qc_err *err)
{
	const size_t n = wanted && wanted < all->n ? wanted : all->n, length = all->length;
	struct qc_windows *w = &t->windows;
	size_t learnt = 0, held = 0;

	t->n_held = n / HELD_OUT;
	if (!t->n_held)
		return qc_fail(
			err, QC_BAD_INPUT,
			"the text has %zu windows of %zu tokens, at least %d are needed: give "
			"more text or a smaller --calib-ctx",
			all->n, length, HELD_OUT);
	*w = (struct qc_windows){.n = n, .length = length};
	w->ids = malloc(n * length * sizeof(*w->ids));
	if (!w->ids)
		return qc_no_memory(err);
	for (size_t i = 0; i < n; i++) {
		const bool is_held = i % HELD_OUT == HELD_OUT / 2 && held < t->n_held;
		const size_t to = is_held ? n - t->n_held + held++ : learnt++;

		memcpy(w->ids + to * length, all->ids + i * all->n / n * length,
		       length * sizeof(*w->ids));
	}
	return QC_OK;
}

/* Tokens in a window: what was asked for, or the usual length; less for a short text. */
static size_t window_length(const struct qc_tuning *t, size_t n_tokens)
{
	size_t length = DEFAULT_LENGTH;

	if (t->options->calib_ctx)
		return t->options->calib_ctx;
	while (length > SHORTEST && n_tokens / length < 2 * HELD_OUT)
		length /= 2;
	return length;
}

static enum qc_status read_text(struct qc_tuning *t, struct qc_err *err)
{
	struct qc_tokenizer *tok = NULL;
	struct qc_windows all = {0};
	struct qc_bos bos = {0};
	struct qc_ids ids = {0};
	char *text = NULL;
	size_t len = 0;
	enum qc_status s = qc_text_read(t->options->calib, &text, &len, err);

	if (!s)
		s = qc_tokenizer_open(&tok, &t->models[0], err);
	if (!s) {
		bos.has = qc_tokenizer_adds_bos(tok) && qc_tokenizer_bos(tok, &bos.id);
		s = qc_tokenizer_encode(tok, text, len, 0, &ids, err);
	}
	if (!s)
		s = qc_windows_full(&all, ids.ids, ids.n, bos, window_length(t, ids.n), 0, err);
	if (!s)
		s = choose_windows(t, &all,
				   t->options->calib_windows ? t->options->calib_windows
							     : DEFAULT_WINDOWS,
				   err);
	qc_windows_clear(&all);
	qc_ids_clear(&ids);
	qc_tokenizer_close(tok);
	free(text);
	return s;
}

static bool wants(void *user, const struct qc_weight *weight)
{
	return item_of(user, weight->tensor->name);
}

static enum qc_status solve(void *user, const struct qc_tune_job *job, struct qc_err *err)
{
	struct qc_tuning *t = user;

	return qc_tune_matrix(t, item_of(t, job->weight->tensor->name), job, err);
}

static void show(void *user, uint32_t block, uint32_t n_blocks)
{
	const struct qc_tuning *t = user;
	const struct qconv_progress progress = {
		.phase = "calibrate",
		.bytes_done = block,
		.bytes_total = n_blocks,
	};

	if (t->options->progress)
		t->options->progress(&progress, t->options->user);
}

/* The jobs move what was made. */
static enum qc_status finish_item(struct qc_tuning *t, struct qc_tune_item *item,
				  struct qc_err *err)
{
	struct qc_step *step = item->step;

	step->source = &item->tuned->base;
	step->from = item->grid->type;
	step->copy = step->raw = true;
	step->search = step->exact = false;
	step->lattice = NULL;
	qc_step_cut(step);
	qc_step_keep_sizes(t->plan, step);
	return item->rounded != 0 ? step->packing->rounded(t->plan, step, item->rounded, err)
				  : QC_OK;
}

/* The whole on the held-out windows, calibrated and as data-free search would have it. */
static enum qc_status compare(struct qc_tuning *t, struct qc_err *err)
{
	const struct qc_windows *w = &t->windows;
	const size_t first = (w->n - t->n_held) * w->length, rows = t->n_held * w->length;
	struct qc_calibration *c = &t->plan->calibration;
	enum qc_status s = qc_tune_divergence(t->forwards[0], first, t->forwards[1], first, rows,
					      &c->kld, err);

	for (size_t i = 0; i < t->n_items; i++)
		if (t->items[i].overlay && t->items[i].overlay->n_done)
			t->items[i].overlay->searches = true;
	/* anew: it keeps a decoded head */
	if (!s)
		s = open_forward(t, 1, err);
	if (!s)
		s = qc_forward_windows(t->forwards[1], w->ids + first, t->n_held, w->length, err);
	return s ? s
		 : qc_tune_divergence(t->forwards[0], first, t->forwards[1], 0, rows,
				      &c->searched_kld, err);
}

static enum qc_status conclude(struct qc_tuning *t, struct qc_err *err)
{
	struct qc_calibration *c = &t->plan->calibration;
	bool rounded = false;
	enum qc_status s = QC_OK;

	c->done = true;
	c->n_windows = t->windows.n;
	c->n_held = t->n_held;
	c->length = t->windows.length;
	c->kept = c->kld < c->searched_kld;
	for (size_t i = 0; !s && i < t->n_items; i++) {
		struct qc_tune_item *item = &t->items[i];

		if (!item->overlay || item->overlay->n_done < item->step->rows)
			continue;
		c->n_tensors++;
		c->n_better += item->n_kept > 0;
		if (c->kept && item->n_kept) {
			s = finish_item(t, item, err);
			rounded = rounded || item->rounded != 0;
		}
	}
	if (!c->kept)
		t->plan->method = "search";
	/* texts that hold numbers may have another length now */
	return s || !rounded ? s : qc_plan_lay_out(t->plan, err);
}

static enum qc_status tune(struct qc_tuning *t, struct qc_err *err)
{
	const struct qc_tune_options options = {
		.damp = DAMP,
		.wants = wants,
		.solve = solve,
		.progress = show,
		.user = t,
	};
	enum qc_status s = find_items(t, err);

	if (s || !t->n_items)
		return s;
	for (int i = 0; !s && i < 2; i++)
		s = open_model(t, i, err);
	if (!s)
		s = read_text(t, err);
	if (!s)
		s = qc_tune(t->forwards[0], t->forwards[1], t->windows.ids, t->windows.n,
			    t->windows.length, t->n_held, &options, err);
	if (!s)
		s = compare(t, err);
	return s ? s : conclude(t, err);
}

enum qc_status qc_tune_plan(struct qc_plan *plan, const struct qconv_options *options,
			    struct qc_tuning **tuning, struct qc_err *err)
{
	struct qc_tuning *t;
	enum qc_status s;

	*tuning = NULL;
	if (!qc_tune_asked(options))
		return QC_OK;
	t = calloc(1, sizeof(*t));
	if (!t)
		return qc_no_memory(err);
	t->plan = plan;
	t->options = options;
	s = tune(t, err);
	if (s) {
		qc_tuning_free(t);
		return s;
	}
	/* only the rows are needed from now on */
	for (int i = 0; i < 2; i++) {
		qc_forward_close(t->forwards[i]);
		t->forwards[i] = NULL;
		qc_model_close(&t->models[i]);
	}
	*tuning = t;
	return QC_OK;
}

/* The moments of the widest input, twice and with what the solver makes of them, and its rows. */
static uint64_t solver_bytes(const struct qc_graph *g)
{
	enum { SQUARES = 8, ROW_FORMS = 3 };
	uint64_t most = 0;

	for (uint32_t i = 0; i < g->n_blocks; i++)
		for (int slot = 0; slot < QC_SLOTS; slot++) {
			const struct qc_weight *w = &g->blocks[i].slots[slot];
			const uint64_t rows = w->in * w->out < QC_TUNE_AT_A_TIME
						      ? w->in * w->out
						      : QC_TUNE_AT_A_TIME;
			const uint64_t n = SQUARES * w->in * w->in + ROW_FORMS * rows;

			if (w->tensor && w->out > 1 && n > most)
				most = n;
		}
	return most * sizeof(float);
}

enum qc_status qc_tune_memory(const struct qc_plan *plan, const struct qconv_options *options,
			      uint64_t *bytes, struct qc_err *err)
{
	struct qc_tuning t = {.options = options};
	struct qc_plan only = *plan; /* nothing is planned, no overlay is made */
	struct qc_forward_plan forward;
	enum qc_status s;

	*bytes = 0;
	if (!qc_tune_asked(options) || strcmp(plan->method, "gptq"))
		return QC_OK;
	t.plan = &only;
	s = open_model(&t, 0, err);
	if (!s) {
		qc_forward_plan(t.forwards[0],
				options->calib_windows ? options->calib_windows : DEFAULT_WINDOWS,
				options->calib_ctx ? options->calib_ctx : DEFAULT_LENGTH, &forward);
		*bytes = 2 * forward.peak + solver_bytes(qc_forward_graph(t.forwards[0]));
	}
	qc_forward_close(t.forwards[0]);
	qc_model_close(&t.models[0]);
	return s;
}

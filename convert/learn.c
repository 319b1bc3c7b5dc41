#include "convert/learn.h"

#include <string.h>

#include "base/text.h"
#include "calib/collect.h"
#include "convert/adapters.h"
#include "convert/budget.h"
#include "convert/tune_plan.h"

enum {
	MOST_WINDOWS = 256,
	MOST_HELD = 8192, /* tokens: enough to judge by */
};

bool qc_learn_asked(const struct qconv_options *options)
{
	return options->calib && !options->imatrix && !qc_budget_asked(options) &&
	       (options->act || !qc_tune_asked(options));
}

size_t qc_learn_most(const struct qconv_options *options)
{
	return options->calib_windows ? options->calib_windows : MOST_WINDOWS;
}

/* Of how many windows one is held out. */
static size_t one_in_so_many(const struct qc_windows *windows)
{
	const size_t most = MOST_HELD / windows->length, least = 2 * QC_LEARN_HELD_OUT;
	const size_t n = most > least ? most : least;

	return windows->n > n * QC_LEARN_HELD_OUT ? (windows->n + n - 1) / n : QC_LEARN_HELD_OUT;
}

enum qc_status qc_learn_windows(struct qc_windows *windows, size_t *n_held,
				const struct qc_model *model, const struct qconv_options *options,
				struct qc_err *err)
{
	const struct qc_window_options cut = {
		.length = options->calib_ctx ? options->calib_ctx : QC_WINDOW_LENGTH,
		.fewest = options->calib_ctx ? 0 : 2 * QC_LEARN_HELD_OUT,
		.most = qc_learn_most(options),
		.spread = true,
		.full = true,
	};
	size_t one_in;
	enum qc_status s = qc_windows_of_text(windows, model, options->calib, &cut, err);

	if (s || !n_held)
		return s;
	one_in = one_in_so_many(windows);
	*n_held = windows->n / one_in;
	if (!*n_held)
		return qc_fail(
			err, QC_BAD_INPUT,
			"the text has %zu windows of %zu tokens, at least %d are needed: give "
			"more text or a smaller --calib-ctx",
			windows->n, windows->length, QC_LEARN_HELD_OUT);
	return qc_windows_hold_out(windows, one_in, err);
}

/* The model once more, as the engine has it, with the text. */
struct learner {
	const struct qc_plan *plan;
	const struct qconv_options *options;
	struct qc_model model;
	struct qc_forward *forward;
	struct qc_windows windows;
	struct qc_stats stats;
	struct qc_learning cost;
	size_t group_first, group; /* windows that are under way */
};

static void close_learner(struct learner *l)
{
	qc_windows_clear(&l->windows);
	qc_forward_close(l->forward);
	qc_stats_clear(&l->stats);
	qc_model_close(&l->model);
}

static void after_block(void *user, uint32_t done, uint32_t n)
{
	const struct learner *l = user;
	const struct qconv_progress progress = {
		.phase = "calibrate",
		.bytes_done = l->group_first * n + l->group * done,
		.bytes_total = (uint64_t)l->windows.n * n,
	};

	if (l->options->progress)
		l->options->progress(&progress, l->options->user);
}

static void enter_group(void *user, size_t done, size_t group)
{
	struct learner *l = user;

	l->group_first = done;
	l->group = group;
}

static enum qc_status open_forward(struct learner *l, uint64_t memory, struct qc_err *err)
{
	const struct qc_forward_options options = {
		.threads = l->options->threads,
		.stop = l->options->stop,
		.mem_limit = memory,
		.progress = after_block,
		.progress_user = l,
		.input = qc_stats_input,
		.user = &l->stats,
	};

	qc_forward_close(l->forward);
	l->forward = NULL;
	return qc_forward_open(&l->forward, &l->model, &options, err);
}

/* As many windows together as the memory allows; where none was named, what is usual beside the
 * sums. */
static enum qc_status fit(struct learner *l, struct qc_err *err)
{
	const uint64_t limit = l->options->mem_limit;
	const size_t most = l->windows.n < QC_COLLECT_MOST ? l->windows.n : QC_COLLECT_MOST;
	struct qc_collect_plan plan;
	uint64_t memory;
	enum qc_status s;

	l->cost.sums = qc_stats_bytes(qc_forward_graph(l->forward));
	memory = limit ? limit : QC_COLLECT_MEMORY + l->cost.sums;
	s = open_forward(l, memory > l->cost.sums ? memory - l->cost.sums : 1, err);
	if (s)
		return s;
	l->group = qc_collect_group(l->forward, most, l->windows.length, memory);
	qc_collect_plan(l->forward, l->group, l->windows.length, &plan);
	l->cost.peak = plan.peak;
	l->cost.n_windows = l->windows.n;
	l->cost.length = l->windows.length;
	if (limit && plan.peak > limit)
		return qc_fail(err, QC_UNSUPPORTED,
			       "--mem-limit: %llu bytes of memory are needed for one window of the "
			       "text, %llu are allowed; a smaller --calib-ctx needs less",
			       (unsigned long long)plan.peak, (unsigned long long)limit);
	return QC_OK;
}

static enum qc_status open_learner(struct learner *l, const struct qc_plan *plan,
				   const struct qconv_options *options, struct qc_err *err)
{
	size_t n_held = 0;
	enum qc_status s;

	*l = (struct learner){
		.plan = plan, .options = options, .stats = {.threads = options->threads}};
	s = qc_adapters_open(&l->model, plan->model->path, plan->target, options, err);
	if (!s)
		s = qc_model_set_layout(&l->model, QC_LAYOUT_GGUF, err);
	if (!s)
		s = open_forward(l, 0, err);
	/* what judges a calibration must not be learnt from */
	if (!s)
		s = qc_learn_windows(&l->windows, qc_tune_asked(options) ? &n_held : NULL,
				     &l->model, options, err);
	l->windows.n -= n_held;
	return s ? s : fit(l, err);
}

static enum qc_status name_text(const struct learner *l, struct qc_imatrix *im, struct qc_err *err)
{
	const char *name = qc_text_base_name(l->options->calib);

	im->n_chunks = (uint32_t)l->windows.n;
	im->chunk_size = (uint32_t)l->windows.length;
	return qc_imatrix_add_dataset(im, name, strlen(name), err);
}

/* As if every channel had seen something. */
static void fill(struct qc_imatrix *im)
{
	for (size_t i = 0; i < im->n_entries; i++) {
		struct qc_imatrix_entry *e = &im->entries[i];

		for (uint64_t k = 0; k < e->n * e->cols; k++)
			e->sums[k] = 1;
		for (uint64_t k = 0; k < e->n; k++)
			e->counts[k] = e->amax[k] = 1;
	}
}

enum qc_status qc_learn_expect(struct qc_plan *plan, const struct qconv_options *options,
			       struct qc_err *err)
{
	struct learner l;
	enum qc_status s;

	if (plan->imatrix.n_entries)
		return QC_OK;
	s = open_learner(&l, plan, options, err);
	if (!s)
		s = qc_stats_expect(&l.stats, qc_forward_graph(l.forward), err);
	if (!s)
		s = qc_stats_imatrix(&l.stats, &plan->imatrix, err);
	if (!s)
		s = name_text(&l, &plan->imatrix, err);
	if (!s)
		fill(&plan->imatrix);
	plan->learnt = true;
	plan->learning = l.cost;
	plan->imatrix_path = options->calib;
	close_learner(&l);
	return s;
}

enum qc_status qc_learn(const struct qc_plan *plan, const struct qconv_options *options,
			struct qc_imatrix *im, struct qc_err *err)
{
	struct learner l;
	enum qc_status s = open_learner(&l, plan, options, err);
	const struct qc_collect_options collect = {
		.group = l.group, .progress = enter_group, .user = &l};

	if (!s)
		s = qc_collect(l.forward, &l.stats, &l.windows, &collect, err);
	if (!s)
		s = qc_stats_imatrix(&l.stats, im, err);
	if (!s)
		s = name_text(&l, im, err);
	if (!s)
		s = qc_model_unchanged(&l.model, err);
	close_learner(&l);
	return s;
}

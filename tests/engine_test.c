/* The forward pass: golden losses, threads, windows, what it cannot compute. */
#include <math.h>

#include "calib/eval.h"
#include "tests/engine_goldens.h"
#include "tests/st_files.h"

static void every_model_predicts_as_its_golden_says(void)
{
	for (int i = 0; i < N_GOLDENS; i++) {
		const struct golden *g = &goldens[i];
		struct qc_windows windows = load_windows(g->windows);
		double per_window[WINDOWS];
		const struct qc_eval_options options = {.per_window = per_window};
		struct qc_err err = {0};
		struct qc_eval eval;
		struct engine e;

		open_engine(&e, g->path, 0, QC_YARN_BY_MODEL);
		NEED(!qc_eval_windows(e.forward, &windows, &options, &eval, &err), "%s", err.text);
		for (int w = 0; w < WINDOWS; w++)
			CHECK(fabs(per_window[w] - g->nll[w]) < 2e-6,
			      "%s: window %d: loss %.9f, golden %.9f", g->path, w, per_window[w],
			      g->nll[w]);
		CHECK(eval.tokens == WINDOWS * (LENGTH - 1), "%zu tokens", eval.tokens);
		CHECK(fabs(log(eval.ppl.value) - eval.nll.value) < 1e-12 && eval.ppl.error > 0,
		      "perplexity %g +- %g of loss %g", eval.ppl.value, eval.ppl.error,
		      eval.nll.value);
		close_engine(&e);
		qc_windows_clear(&windows);
	}
}

/* All logits of the first `n` windows (malloc). */
static float *all_logits(const struct engine *e, const struct qc_windows *windows, size_t n)
{
	const size_t rows = n * LENGTH, vocab = qc_forward_graph(e->forward)->vocab;
	float *logits = malloc(rows * vocab * sizeof(*logits));
	struct qc_err err = {0};

	NEED(logits, "no memory");
	NEED(!qc_forward_windows(e->forward, windows->ids, n, LENGTH, &err), "%s", err.text);
	NEED(!qc_forward_logits(e->forward, 0, rows, logits, &err), "%s", err.text);
	return logits;
}

static double largest_difference(const float *a, const float *b, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)a[i] - b[i]) <= most))
			most = fabs((double)a[i] - b[i]);
	return most;
}

static void logits_do_not_depend_on_the_number_of_threads(void)
{
	for (int i = 0; i < N_GOLDENS; i++) {
		struct qc_windows windows = load_windows(goldens[i].windows);
		struct engine one, three;
		float *a, *b;
		size_t bytes;

		open_engine(&one, goldens[i].path, 1, QC_YARN_BY_MODEL);
		open_engine(&three, goldens[i].path, 3, QC_YARN_BY_MODEL);
		bytes = (size_t)LENGTH * qc_forward_graph(one.forward)->vocab * sizeof(float);
		a = all_logits(&one, &windows, 1);
		b = all_logits(&three, &windows, 1);
		CHECK(!memcmp(a, b, bytes), "%s: one thread and three differ", goldens[i].path);
		free(a);
		free(b);
		close_engine(&one);
		close_engine(&three);
		qc_windows_clear(&windows);
	}
}

/* A golden's windows and its second one again at the end: more than go through a block at a time.
 */
static struct qc_windows windows_of_two_chunks(const struct engine *e, const char *path)
{
	struct qc_windows windows = load_windows(path);
	struct qc_forward_plan plan;

	windows.ids = realloc(windows.ids, (WINDOWS + 1) * LENGTH * sizeof(*windows.ids));
	NEED(windows.ids, "no memory");
	memcpy(windows.ids + (size_t)WINDOWS * LENGTH, windows.ids + LENGTH,
	       LENGTH * sizeof(*windows.ids));
	windows.n++;
	qc_forward_plan(e->forward, windows.n, LENGTH, &plan);
	CHECK(plan.rows < windows.n * LENGTH, "%llu rows go at a time: add windows",
	      (unsigned long long)plan.rows);
	return windows;
}

static void windows_do_not_see_each_other(void)
{
	for (int i = 0; i < N_GOLDENS; i++) {
		struct qc_windows windows, last;
		struct engine e;
		float *together, *alone;
		size_t n;
		double difference;

		open_engine(&e, goldens[i].path, 0, QC_YARN_BY_MODEL);
		n = (size_t)LENGTH * qc_forward_graph(e.forward)->vocab;
		windows = last = windows_of_two_chunks(&e, goldens[i].windows);
		together = all_logits(&e, &windows, windows.n);
		last.ids += (windows.n - 1) * LENGTH;
		alone = all_logits(&e, &last, 1);
		difference = largest_difference(together + (windows.n - 1) * n, alone, n);
		CHECK(difference < 1e-4, "%s: %g", goldens[i].path, difference);
		difference = largest_difference(together + n, alone, n);
		CHECK(difference < 1e-4, "%s, in the first chunk: %g", goldens[i].path, difference);
		CHECK(largest_difference(together, alone, n) > 1, "%s: two windows are alike",
		      goldens[i].path);
		free(together);
		free(alone);
		close_engine(&e);
		qc_windows_clear(&windows);
	}
}

/* Row order, norms, experts and frequencies come out the same from either layout. */
static void a_gguf_at_full_precision_computes_the_very_same(void)
{
	for (int i = 0; i < N_GOLDENS; i++) {
		struct qc_windows windows = load_windows(goldens[i].windows);
		const bool folded = strstr(goldens[i].path, "nf4");
		struct engine original, gguf;
		float *a, *b;
		size_t n;

		open_engine(&original, goldens[i].path, 0, QC_YARN_EXACT);
		open_engine(&gguf, convert(goldens[i].path, "same.gguf", folded ? "f32" : NULL), 0,
			    QC_YARN_EXACT);
		a = all_logits(&original, &windows, 1);
		b = all_logits(&gguf, &windows, 1);
		n = (size_t)LENGTH * qc_forward_graph(gguf.forward)->vocab;
		CHECK(qc_forward_graph(original.forward)->vocab * (size_t)LENGTH == n &&
			      !memcmp(a, b, n * sizeof(float)),
		      "%s: its GGUF differs by %g", goldens[i].path, largest_difference(a, b, n));
		free(a);
		free(b);
		close_engine(&original);
		close_engine(&gguf);
		unlink(st_path("same.gguf"));
		qc_windows_clear(&windows);
	}
}

/* Only a config.json can say that YaRN's range is not rounded. */
static void yarn_is_rounded_for_a_gguf_alone(void)
{
	struct qc_windows windows = load_windows(goldens[4].windows);
	struct engine exact, rounded, gguf;
	float *a, *b, *c;
	size_t n;

	open_engine(&exact, goldens[4].path, 0, QC_YARN_BY_MODEL);
	open_engine(&rounded, goldens[4].path, 0, QC_YARN_ROUNDED);
	open_engine(&gguf, convert(goldens[4].path, "yarn.gguf", NULL), 0, QC_YARN_BY_MODEL);
	n = (size_t)LENGTH * qc_forward_graph(gguf.forward)->vocab;
	a = all_logits(&exact, &windows, 1);
	b = all_logits(&rounded, &windows, 1);
	c = all_logits(&gguf, &windows, 1);
	CHECK(!memcmp(b, c, n * sizeof(float)), "the GGUF is not rounded: %g",
	      largest_difference(b, c, n));
	CHECK(largest_difference(a, b, n) > 0.1, "rounding changes nothing: %g",
	      largest_difference(a, b, n));
	free(a);
	free(b);
	free(c);
	close_engine(&exact);
	close_engine(&rounded);
	close_engine(&gguf);
	unlink(st_path("yarn.gguf"));
	qc_windows_clear(&windows);
}

static void what_cannot_be_computed_is_refused(void)
{
	const uint32_t ids[] = {1, 1024};
	struct qc_windows windows = load_windows(goldens[0].windows);
	const struct qc_eval_options options = {0};
	struct qc_comparison c;
	struct qc_err err = {0};
	struct engine llama, gpt_oss;
	float one;

	open_engine(&llama, goldens[0].path, 0, QC_YARN_BY_MODEL);
	open_engine(&gpt_oss, goldens[4].path, 0, QC_YARN_BY_MODEL);
	CHECK(qc_forward_windows(llama.forward, ids, 1, 2, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "token 1024"),
	      "'%s'", err.text);
	CHECK(qc_forward_windows(llama.forward, ids, 0, 2, &err) == QC_USAGE, "'%s'", err.text);
	CHECK(qc_forward_windows(llama.forward, ids, SIZE_MAX / 2, 4, &err) == QC_USAGE, "'%s'",
	      err.text);
	CHECK(qc_forward_logits(llama.forward, 0, 1, &one, &err) == QC_USAGE, "'%s'", err.text);
	CHECK(qc_eval_against(llama.forward, gpt_oss.forward, &windows, &options, &c, &err) ==
			      QC_USAGE &&
		      strstr(err.text, "vocabulary"),
	      "'%s'", err.text);
	close_engine(&llama);
	close_engine(&gpt_oss);
	qc_windows_clear(&windows);
}

struct watched {
	size_t calls, q_rows, expert_rows;
};

static enum qc_status count_input(void *user, const struct qc_weight *weight, uint64_t index,
				  const float *x, size_t rows, struct qc_err *err)
{
	struct watched *w = user;
	bool finite = true;

	(void)err;
	(void)index;
	for (size_t i = 0; i < rows * weight->in; i++)
		finite &= isfinite(x[i]) != 0;
	CHECK(finite, "%s sees NaN or infinity", weight->tensor->name);
	if (strstr(weight->tensor->name, "blk.1.attn_q.")) {
		w->calls++;
		w->q_rows += rows;
	}
	if (strstr(weight->tensor->name, "blk.1.ffn_down_exps."))
		w->expert_rows += rows;
	return QC_OK;
}

static void inputs_of_every_product_can_be_watched(void)
{
	struct watched w = {0};
	const struct qc_forward_options options = {.input = count_input, .user = &w};
	struct qc_windows windows;
	struct engine e = {0};
	struct qc_err err = {0};

	NEED(!qc_model_open(&e.model, goldens[4].path, &err), "%s", err.text);
	NEED(!qc_forward_open(&e.forward, &e.model, &options, &err), "%s", err.text);
	windows = windows_of_two_chunks(&e, goldens[4].windows);
	NEED(!qc_forward_windows(e.forward, windows.ids, windows.n, LENGTH, &err), "%s", err.text);
	CHECK(w.calls == 2, "%zu chunks", w.calls);
	CHECK(w.q_rows == windows.n * LENGTH, "attn_q saw %zu rows", w.q_rows);
	CHECK(w.expert_rows == 2 * windows.n * LENGTH,
	      "two of the experts of each row saw %zu rows", w.expert_rows);
	close_engine(&e);
	qc_windows_clear(&windows);
}

static void memory_grows_with_the_windows(void)
{
	for (int i = 0; i < N_GOLDENS; i++) {
		struct engine e;
		uint64_t one, many;

		open_engine(&e, goldens[i].path, 1, QC_YARN_BY_MODEL);
		one = qc_forward_bytes(e.forward, 1, LENGTH);
		many = qc_forward_bytes(e.forward, 1000, LENGTH);
		CHECK(one > 1 << 20 && one < many && many < (uint64_t)1 << 34,
		      "%s: %llu bytes for one window, %llu for 1000", goldens[i].path,
		      (unsigned long long)one, (unsigned long long)many);
		CHECK(qc_forward_bytes(e.forward, SIZE_MAX, LENGTH) == UINT64_MAX, "overflow");
		close_engine(&e);
	}
}

int main(void)
{
	st_begin();
	every_model_predicts_as_its_golden_says();
	logits_do_not_depend_on_the_number_of_threads();
	windows_do_not_see_each_other();
	a_gguf_at_full_precision_computes_the_very_same();
	yarn_is_rounded_for_a_gguf_alone();
	what_cannot_be_computed_is_refused();
	inputs_of_every_product_can_be_watched();
	memory_grows_with_the_windows();
	st_end();
	return test_end();
}

/*
 * The forward pass of whole models: losses against those that the models' makers computed in f32
 * (see tests/data/goldens), independence of threads and batches, of what file the weights are in,
 * and the statistics made of it.
 */
#include "calib/eval.h"

#include <math.h>

#include "base/bytes.h"
#include "convert/qconv.h"
#include "tests/st_files.h"

#define GEMMA3	    "samples/tiny-gemma3"
#define MODEL(name) "tests/data/models/" name

enum { WINDOWS = 8, LENGTH = 256 };

/* The loss of each window as an independent f32 implementation computed it. */
static const struct golden {
	const char *path, *windows;
	double nll[WINDOWS];
} goldens[] = {
	{MODEL("tiny-llama"),
	 "tests/data/goldens/tiny-llama.windows.i32",
	 {3.090041723, 3.327056824, 3.335366050, 2.952004490, 3.306531084, 2.681804460, 3.193587520,
	  2.721374397}},
	{GEMMA3,
	 "tests/data/goldens/tiny-gemma3.windows.i32",
	 {2.704308234, 2.975994928, 2.977934556, 2.581245197, 2.694005280, 2.788545266, 2.589660961,
	  2.723195840}},
	{MODEL("tiny-gemma3-bnb-nf4"),
	 "tests/data/goldens/tiny-gemma3.windows.i32",
	 {2.705620244, 2.979902531, 2.974283878, 2.586935356, 2.702674955, 2.790474022, 2.597385650,
	  2.735830058}},
	{MODEL("tiny-gemma4"),
	 "tests/data/goldens/tiny-gemma4.windows.i32",
	 {2.888425060, 3.376181359, 3.386544341, 2.862700740, 2.996913256, 3.005978996, 2.980844670,
	  2.932111208}},
	{MODEL("tiny-gpt-oss"),
	 "tests/data/goldens/tiny-gpt-oss.windows.i32",
	 {3.338428712, 3.884286760, 3.797347213, 3.425837796, 3.460680921, 3.591270242, 3.152064311,
	  3.458436136}},
	{MODEL("tiny-gpt-oss-bf16"),
	 "tests/data/goldens/tiny-gpt-oss-bf16.windows.i32",
	 {3.336845421, 3.875880938, 3.787926432, 3.412385036, 3.454506683, 3.596033926, 3.158497391,
	  3.458439622}},
};
enum { N_GOLDENS = sizeof(goldens) / sizeof(goldens[0]) };

/* A model with its forward pass. */
struct engine {
	struct qc_model model;
	struct qc_forward *forward;
};

static void open_engine(struct engine *e, const char *path, int threads, enum qc_yarn_range yarn)
{
	const struct qc_forward_options options = {.threads = threads, .yarn = yarn};
	struct qc_err err = {0};

	memset(e, 0, sizeof(*e));
	NEED(!qc_model_open(&e->model, path, &err), "%s", err.text);
	NEED(!qc_forward_open(&e->forward, &e->model, &options, &err), "%s", err.text);
}

static void close_engine(struct engine *e)
{
	qc_forward_close(e->forward);
	qc_model_close(&e->model);
}

static struct qc_windows load_windows(const char *path)
{
	struct qc_windows windows = {.n = WINDOWS, .length = LENGTH};
	size_t size;
	char *data = test_load(path, &size);

	NEED(size == WINDOWS * LENGTH * 4, "%s: %zu bytes", path, size);
	windows.ids = malloc(size);
	NEED(windows.ids, "no memory");
	for (size_t i = 0; i < size / 4; i++)
		windows.ids[i] = qc_le32((const uint8_t *)data + 4 * i);
	free(data);
	return windows;
}

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

static void windows_do_not_see_each_other(void)
{
	for (int i = 0; i < N_GOLDENS; i++) {
		struct qc_windows windows = load_windows(goldens[i].windows), last = windows;
		struct engine e;
		float *together, *alone;
		size_t n;
		double difference;

		open_engine(&e, goldens[i].path, 0, QC_YARN_BY_MODEL);
		n = (size_t)LENGTH * qc_forward_graph(e.forward)->vocab;
		/* more windows than go through a block at a time */
		together = all_logits(&e, &windows, 6);
		last.ids += 5 * LENGTH;
		alone = all_logits(&e, &last, 1);
		difference = largest_difference(together + 5 * n, alone, n);
		CHECK(difference < 1e-4, "%s: %g", goldens[i].path, difference);
		CHECK(largest_difference(together, alone, n) > 1, "%s: two windows are alike",
		      goldens[i].path);
		free(together);
		free(alone);
		close_engine(&e);
		qc_windows_clear(&windows);
	}
}

static const char *convert(const char *input, const char *name, const char *quant)
{
	const struct qconv_options options = {
		.quant = quant, .pure = quant != NULL, .no_manifest = true, .force = true};
	struct qconv_error error = {0};

	NEED(!qconv_convert(input, st_path(name), &options, NULL, &error), "%s: %s", input,
	     error.text);
	return st_path(name);
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

/* On the first `n` windows, `batch` at a time. */
static struct qc_comparison compare(const char *path, const struct golden *reference, size_t n,
				    size_t batch)
{
	struct qc_windows windows = load_windows(reference->windows);
	const struct qc_eval_options options = {.batch = batch};
	struct qc_comparison c = {0};
	struct qc_err err = {0};
	struct engine a, b;

	windows.n = n;
	open_engine(&a, path, 0, QC_YARN_EXACT);
	open_engine(&b, reference->path, 0, QC_YARN_EXACT);
	NEED(!qc_eval_against(a.forward, b.forward, &windows, &options, &c, &err), "%s", err.text);
	close_engine(&a);
	close_engine(&b);
	qc_windows_clear(&windows);
	return c;
}

static void quantizing_costs_what_its_bits_let_expect(void)
{
	static const struct {
		const char *type;
		double least, most; /* mean KLD */
	} rows[] = {{"q8_0", 1e-7, 2e-4}, {"q4_0", 2e-4, 3e-2}};

	for (int i = 0; i < N_GOLDENS; i++) {
		for (int t = 0; t < 2; t++) {
			const struct qc_comparison c =
				compare(convert(goldens[i].path, "quantized.gguf", rows[t].type),
					&goldens[i], 3, 2);

			CHECK(c.kld.value > rows[t].least && c.kld.value < rows[t].most,
			      "%s %s: mean KLD %g", goldens[i].path, rows[t].type, c.kld.value);
			CHECK(c.kld_at[0] >= c.kld_at[5] && c.kld_at[5] >= c.kld_at[10] &&
				      c.kld_at[10] > -1e-12 && c.kld_at[0] >= c.kld.value,
			      "%s %s: KLD from %g to %g, median %g", goldens[i].path, rows[t].type,
			      c.kld_at[10], c.kld_at[0], c.kld_at[5]);
			CHECK(c.same_top.value > 0.8 && c.correlation > 0.99 &&
				      fabs(c.log_ratio.value) < 0.05,
			      "%s %s: same top %g, correlation %g, ln ratio %g", goldens[i].path,
			      rows[t].type, c.same_top.value, c.correlation, c.log_ratio.value);
		}
		unlink(st_path("quantized.gguf"));
	}
}

static void a_model_does_not_differ_from_itself(void)
{
	const struct qc_comparison c = compare(GEMMA3, &goldens[1], 2, 0);

	CHECK(fabs(c.kld.value) < 1e-12 && c.kld_at[0] < 1e-12, "KLD %g, at most %g", c.kld.value,
	      c.kld_at[0]);
	CHECK(c.same_top.value == 1 && c.same_top.error == 0, "same top %g", c.same_top.value);
	CHECK(c.ratio.value == 1 && c.ratio.error < 1e-6 && c.dp_rms.value == 0,
	      "ratio %g +- %g, RMS dp %g", c.ratio.value, c.ratio.error, c.dp_rms.value);
	CHECK(fabs(c.correlation - 1) < 1e-9, "correlation %g", c.correlation);
}

/* Differences that are known: NF4 against what it was made of, from the goldens' losses. */
static void a_comparison_has_both_models_losses(void)
{
	const struct qc_comparison c = compare(goldens[2].path, &goldens[1], WINDOWS, 3);
	double a = 0, b = 0;

	for (int w = 0; w < WINDOWS; w++) {
		a += goldens[2].nll[w] / WINDOWS;
		b += goldens[1].nll[w] / WINDOWS;
	}
	CHECK(fabs(c.model.nll.value - a) < 2e-6 && fabs(c.reference.nll.value - b) < 2e-6,
	      "losses %.9f and %.9f, goldens %.9f and %.9f", c.model.nll.value,
	      c.reference.nll.value, a, b);
	CHECK(fabs(c.log_ratio.value - (a - b)) < 2e-6 &&
		      fabs(c.difference.value - (exp(a) - exp(b))) < 1e-4,
	      "ln ratio %g, difference %g", c.log_ratio.value, c.difference.value);
	CHECK(c.log_ratio.error > 0 && c.log_ratio.error < c.model.nll.error,
	      "the error %g of the ratio is not below %g of the loss", c.log_ratio.error,
	      c.model.nll.error);
}

static void texts_are_cut_as_either_method_says(void)
{
	static const uint32_t text[] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
	static const uint32_t full[] = {2, 10, 11, 12, 2, 13, 14, 15, 2, 16, 17, 18};
	static const uint32_t halves[] = {2, 11, 12, 13, 2, 15, 16, 17};
	const struct qc_bos bos = {true, 2}, none = {false, 0};
	struct qc_windows w = {0};
	struct qc_err err = {0};

	NEED(!qc_windows_full(&w, text, 10, bos, 4, 0, &err), "%s", err.text);
	CHECK(w.n == 3 && w.first == 0 && !memcmp(w.ids, full, sizeof(full)), "%zu windows", w.n);
	qc_windows_clear(&w);
	NEED(!qc_windows_full(&w, text, 10, none, 4, 0, &err), "%s", err.text);
	CHECK(w.n == 2 && !memcmp(w.ids, text, 8 * sizeof(*text)), "%zu windows", w.n);
	qc_windows_clear(&w);
	NEED(!qc_windows_halves(&w, text, 10, bos, 4, 0, &err), "%s", err.text);
	CHECK(w.n == 2 && w.first == 2 && !memcmp(w.ids, halves, sizeof(halves)),
	      "%zu windows from %zu", w.n, w.first);
	qc_windows_clear(&w);
	NEED(!qc_windows_full(&w, text, 10, bos, 4, 1, &err), "%s", err.text);
	CHECK(w.n == 1, "%zu windows, 1 was asked for", w.n);
	qc_windows_clear(&w);
	CHECK(qc_windows_halves(&w, text, 10, bos, 11, 0, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "10 tokens"),
	      "'%s'", err.text);
	CHECK(qc_windows_full(&w, text, 10, bos, 1, 0, &err) == QC_USAGE, "'%s'", err.text);
	qc_windows_clear(&w);
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

static enum qc_status count_input(void *user, const struct qc_weight *weight, uint64_t index,
				  const float *x, size_t rows, struct qc_err *err)
{
	size_t *counts = user;

	(void)err;
	(void)index;
	CHECK(x[rows * weight->in - 1] == x[rows * weight->in - 1], "%s sees NaN",
	      weight->tensor->name);
	if (strstr(weight->tensor->name, "blk.1.attn_q."))
		counts[0] += rows;
	if (strstr(weight->tensor->name, "blk.1.ffn_down_exps."))
		counts[1] += rows;
	return QC_OK;
}

static void inputs_of_every_product_can_be_watched(void)
{
	struct qc_windows windows = load_windows(goldens[4].windows);
	size_t counts[2] = {0, 0};
	const struct qc_forward_options options = {.input = count_input, .user = counts};
	struct qc_model model = {0};
	struct qc_forward *forward;
	struct qc_err err = {0};

	NEED(!qc_model_open(&model, goldens[4].path, &err), "%s", err.text);
	NEED(!qc_forward_open(&forward, &model, &options, &err), "%s", err.text);
	NEED(!qc_forward_windows(forward, windows.ids, 5, LENGTH, &err), "%s", err.text);
	CHECK(counts[0] == 5 * LENGTH, "attn_q saw %zu rows", counts[0]);
	CHECK(counts[1] == 2 * 5 * LENGTH, "two of the experts of each row saw %zu rows",
	      counts[1]);
	qc_forward_close(forward);
	qc_model_close(&model);
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
	quantizing_costs_what_its_bits_let_expect();
	a_model_does_not_differ_from_itself();
	a_comparison_has_both_models_losses();
	texts_are_cut_as_either_method_says();
	what_cannot_be_computed_is_refused();
	inputs_of_every_product_can_be_watched();
	memory_grows_with_the_windows();
	st_end();
	return test_end();
}

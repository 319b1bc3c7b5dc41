/* Perplexity and divergence: texts cut into windows, models compared. */
#include <math.h>

#include "calib/eval.h"
#include "tests/engine_goldens.h"
#include "tests/st_files.h"

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

static void windows_are_spread_over_a_text(void)
{
	const char *text = "samples/generated-heldout.txt";
	const struct qc_window_options all = {.length = 64, .full = true};
	const struct qc_window_options some = {
		.length = 64, .most = 5, .full = true, .spread = true};
	const struct qc_window_options first = {.length = 64, .most = 5, .full = true};
	const struct qc_window_options shorter = {
		.length = 1 << 18, .fewest = 100, .full = true, .spread = true, .most = 2};
	struct qc_windows a, b;
	struct qc_model model;
	struct qc_err err = {0};

	NEED(!qc_model_open(&model, GEMMA3, &err), "%s", err.text);
	NEED(!qc_windows_of_text(&a, &model, text, &all, &err), "%s", err.text);
	NEED(!qc_windows_of_text(&b, &model, text, &some, &err), "%s", err.text);
	CHECK(b.n == 5 && b.length == 64, "%zu windows of %zu", b.n, b.length);
	for (size_t i = 0; i < b.n; i++)
		CHECK(!memcmp(b.ids + i * 64, a.ids + i * a.n / 5 * 64, 64 * sizeof(*a.ids)),
		      "window %zu is not window %zu of %zu", i, i * a.n / 5, a.n);
	qc_windows_clear(&b);
	NEED(!qc_windows_of_text(&b, &model, text, &first, &err), "%s", err.text);
	CHECK(b.n == 5 && !memcmp(b.ids, a.ids, 5 * 64 * sizeof(*a.ids)), "%zu windows", b.n);
	qc_windows_clear(&b);
	/* half as long until there are a hundred: 64 tokens give as many, twice as many do not */
	NEED(!qc_windows_of_text(&b, &model, text, &shorter, &err), "%s", err.text);
	CHECK(b.n == 2 && a.n * 63 / b.length >= 100 && a.n * 64 / (2 * b.length) < 100,
	      "%zu windows of %zu, %zu of 64", b.n, b.length, a.n);
	qc_windows_clear(&b);
	qc_windows_clear(&a);
	qc_model_close(&model);
}

static void every_eighth_window_is_held_out(void)
{
	struct qc_windows w = {.n = 20, .length = 2, .ids = malloc(40 * sizeof(*w.ids))};
	struct qc_err err = {0};

	NEED(w.ids, "no memory");
	for (uint32_t i = 0; i < 40; i++)
		w.ids[i] = i;
	NEED(!qc_windows_hold_out(&w, 8, &err), "%s", err.text);
	for (uint32_t i = 0; i < 20; i++) {
		const uint32_t from = i == 18 ? 4 : i == 19 ? 12 : i + (i >= 4) + (i >= 11);

		CHECK(w.ids[2 * i] == 2 * from && w.ids[2 * i + 1] == 2 * from + 1,
		      "window %u begins with %u, window %u was expected", i, w.ids[2 * i], from);
	}
	qc_windows_clear(&w);
}

int main(void)
{
	st_begin();
	quantizing_costs_what_its_bits_let_expect();
	a_model_does_not_differ_from_itself();
	a_comparison_has_both_models_losses();
	texts_are_cut_as_either_method_says();
	windows_are_spread_over_a_text();
	every_eighth_window_is_held_out();
	st_end();
	return test_end();
}

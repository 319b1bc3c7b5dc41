/* Importance matrices from a calibration: sums, states, threads. */
#include <math.h>

#include "tests/imatrix_collect.h"
#include "tests/st_files.h"

/* Relative; small sums to the largest of the matrix. */
static double largest_difference(const struct qc_imatrix_entry *a, const struct qc_imatrix_entry *b)
{
	double most = 0;

	for (uint64_t m = 0; m < a->n; m++) {
		double top = 0;

		for (uint64_t c = 0; c < a->cols; c++)
			top = fmax(top, b->sums[m * a->cols + c]);
		for (uint64_t c = 0; c < a->cols; c++) {
			const double x = a->sums[m * a->cols + c], y = b->sums[m * a->cols + c];
			const double difference = fabs(x - y) / (y > 1e-3 * top ? y : top);

			most = difference <= most ? most : difference;
		}
	}
	return most;
}

static void calibration_finds_the_golden_sums(void)
{
	for (int i = 0; i < N_GOLDENS; i++) {
		const struct golden *g = &goldens[i];
		struct qc_imatrix im = {0}, want = {0};
		struct qc_err err = {0};

		NEED(!qc_imatrix_read(&want, g->imatrix, &err), "%s", err.text);
		CHECK(want.n_entries == g->n, "%s: %zu entries", g->imatrix, want.n_entries);
		CHECK(want.n_chunks == WINDOWS && want.chunk_size == LENGTH, "%s: %u chunks of %u",
		      g->imatrix, want.n_chunks, want.chunk_size);
		CHECK(want.n_datasets == 1 && !strcmp(want.datasets[0], "generated-heldout.txt"),
		      "%s: %zu datasets", g->imatrix, want.n_datasets);
		collect(g, WINDOWS, 0, 0, &im);
		CHECK(im.n_entries == g->n, "%s: %zu entries, %zu are golden", g->model,
		      im.n_entries, g->n);
		for (size_t k = 0; k < want.n_entries; k++) {
			const struct qc_imatrix_entry *w = &want.entries[k];
			const struct qc_imatrix_entry *e = qc_imatrix_find(&im, w->name);

			NEED(e, "%s: no '%s'", g->model, w->name);
			NEED(e->cols == w->cols && e->n == w->n, "%s: %s: %llu x %llu", g->model,
			     w->name, (unsigned long long)e->n, (unsigned long long)e->cols);
			CHECK(!memcmp(e->counts, w->counts, e->n * sizeof(float)),
			      "%s: %s: counts differ, %g and %g", g->model, w->name,
			      (double)e->counts[0], (double)w->counts[0]);
			CHECK(largest_difference(e, w) < 1e-4, "%s: %s: %g", g->model, w->name,
			      largest_difference(e, w));
			for (uint64_t m = 0; m < e->n; m++)
				CHECK(e->amax[m] > 0 && isfinite(e->amax[m]), "%s: %s: %g",
				      g->model, w->name, (double)e->amax[m]);
		}
		qc_imatrix_clear(&im);
		qc_imatrix_clear(&want);
	}
}

static void threads_and_memory_do_not_change_a_byte(void)
{
	for (int i = 0; i < N_GOLDENS; i++) {
		struct qc_imatrix one = {0}, three = {0}, little = {0};
		size_t sizes[3];
		uint8_t *a, *b, *c;

		collect(&goldens[i], 3, 1, 0, &one);
		collect(&goldens[i], 3, 3, 0, &three);
		collect(&goldens[i], 3, 2, 1 << 20, &little);
		a = bytes_of(&one, QC_IMATRIX_GGUF, &sizes[0]);
		b = bytes_of(&three, QC_IMATRIX_GGUF, &sizes[1]);
		c = bytes_of(&little, QC_IMATRIX_GGUF, &sizes[2]);
		CHECK(sizes[0] == sizes[1] && !memcmp(a, b, sizes[0]), "%s: threads differ",
		      goldens[i].model);
		CHECK(sizes[0] == sizes[2] && !memcmp(a, c, sizes[0]), "%s: memory differs",
		      goldens[i].model);
		free(a);
		free(b);
		free(c);
		qc_imatrix_clear(&one);
		qc_imatrix_clear(&three);
		qc_imatrix_clear(&little);
	}
}

static void a_state_comes_back_as_it_was(void)
{
	struct qc_stats stats = {0}, back = {0};
	const struct qc_tensor tensors[] = {{.name = "blk.0.a.weight", .layer = 0},
					    {.name = "blk.0.b.weight", .layer = 0}};
	const struct qc_weight weights[] = {{.tensor = &tensors[0], .in = 3, .out = 1, .count = 1},
					    {.tensor = &tensors[1], .in = 2, .out = 1, .count = 4}};
	const float x[] = {1, -2, 3, 0.1f, 1e-20f, -7};
	struct qc_stats_state state = {"0123456789abcdef0123456789abcdef", 7, 3}, found;
	struct qc_err err = {0};
	const char *path;
	uint8_t *bytes;
	size_t size;

	NEED(!qc_stats_input(&stats, &weights[0], 0, x, 2, &err), "%s", err.text);
	NEED(!qc_stats_input(&stats, &weights[1], 2, x, 3, &err), "%s", err.text);
	NEED(!qc_stats_save(&stats, &state, &bytes, &size, &err), "%s", err.text);
	path = st_write("im.state", bytes, size);
	NEED(!qc_stats_load(&back, &found, path, &err), "%s", err.text);
	CHECK(!strcmp(state.identity, found.identity) && found.n_windows == 7 && found.group == 3,
	      "%s, %u, %u", found.identity, found.n_windows, found.group);
	CHECK(back.n == 2, "%zu weights", back.n);
	for (size_t i = 0; i < 2; i++) {
		const struct qc_stat *s = &stats.list[i], *b = qc_stats_find(&back, s->name);

		NEED(b && b->cols == s->cols && b->n == s->n, "%s", s->name);
		CHECK(!memcmp(b->sums, s->sums, s->n * s->cols * sizeof(double)) &&
			      !memcmp(b->counts, s->counts, s->n * sizeof(double)) &&
			      !memcmp(b->amax, s->amax, s->n * sizeof(double)),
		      "%s differs", s->name);
	}
	CHECK(stats.list[1].counts[2] == 3 && stats.list[1].amax[2] == 7 &&
		      stats.list[1].sums[5] == 4 + (double)0.1f * 0.1f + 49,
	      "%g", stats.list[1].sums[5]);
	for (size_t cut = 0; cut < size; cut += 7) {
		struct qc_stats broken = {0};

		CHECK(qc_stats_load(&broken, &found, st_write("cut", bytes, cut), &err) ==
			      QC_BAD_INPUT,
		      "%zu of %zu bytes are a state", cut, size);
		qc_stats_clear(&broken);
	}
	free(bytes);
	qc_stats_clear(&stats);
	qc_stats_clear(&back);
}

static void activations_that_are_no_numbers_are_named(void)
{
	const struct qc_tensor tensor = {.name = "blk.3.ffn_down_exps.weight", .layer = 3};
	const struct qc_weight weight = {.tensor = &tensor, .in = 3, .out = 1, .count = 2};
	const float bad[] = {NAN, INFINITY, -INFINITY};

	for (int i = 0; i < 3; i++) {
		struct qc_stats stats = {0};
		float x[6] = {1, 2, 3, 4, 5, 6};
		struct qc_err err = {0};

		x[4] = bad[i];
		CHECK(qc_stats_input(&stats, &weight, 1, x, 2, &err) == QC_BAD_INPUT &&
			      strstr(err.text, "block 3") &&
			      strstr(err.text, "'blk.3.ffn_down_exps.weight'") &&
			      strstr(err.text, "matrix 1, channel 1"),
		      "%g: %s", (double)bad[i], err.text);
		qc_stats_clear(&stats);
	}
}

int main(void)
{
	st_begin();
	calibration_finds_the_golden_sums();
	threads_and_memory_do_not_change_a_byte();
	a_state_comes_back_as_it_was();
	activations_that_are_no_numbers_are_named();
	st_end();
	return test_end();
}

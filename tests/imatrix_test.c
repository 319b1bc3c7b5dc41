/*
 * Importance matrices: what calibration finds in the tiny models; both forms read, written and
 * refused; merging; states of calibrations.
 *
 * The golden sums were made by this engine, whose sums over another text are within 1e-4 of those
 * of an independent implementation in torch; the files were written by an independent writer.
 */
#include <math.h>

#include "base/bytes.h"
#include "calib/collect.h"
#include "tests/st_files.h"

#define GOLDEN(name) "tests/data/goldens/" name

enum { WINDOWS = 8, LENGTH = 256 };

static const struct golden {
	const char *model, *windows, *imatrix;
	size_t n;
} goldens[] = {
	{"tests/data/models/tiny-llama", GOLDEN("tiny-llama.windows.i32"),
	 GOLDEN("tiny-llama.imatrix.gguf"), 29},
	{"samples/tiny-gemma3", GOLDEN("tiny-gemma3.windows.i32"),
	 GOLDEN("tiny-gemma3.imatrix.gguf"), 43},
	{"tests/data/models/tiny-gemma4", GOLDEN("tiny-gemma4.windows.i32"),
	 GOLDEN("tiny-gemma4.imatrix.gguf"), 50},
	{"tests/data/models/tiny-gpt-oss-bf16", GOLDEN("tiny-gpt-oss-bf16.windows.i32"),
	 GOLDEN("tiny-gpt-oss-bf16.imatrix.gguf"), 33},
};
enum { N_GOLDENS = sizeof(goldens) / sizeof(goldens[0]) };

static void load_windows(const char *path, struct qc_windows *windows)
{
	size_t size;
	char *data = test_load(path, &size);

	NEED(size == WINDOWS * LENGTH * 4, "%s: %zu bytes", path, size);
	*windows = (struct qc_windows){.n = WINDOWS, .length = LENGTH, .ids = malloc(size)};
	NEED(windows->ids, "no memory");
	for (size_t i = 0; i < size / 4; i++)
		windows->ids[i] = qc_le32((const uint8_t *)data + 4 * i);
	free(data);
}

/* The imatrix of a golden's model and windows. */
static void collect(const struct golden *g, size_t group, int threads, uint64_t mem_limit,
		    struct qc_imatrix *im)
{
	struct qc_stats stats = {.threads = threads};
	struct qc_forward_options options = {.threads = threads,
					     .mem_limit = mem_limit,
					     .input = qc_stats_input,
					     .user = &stats};
	const struct qc_collect_options how = {.group = group, .head = true};
	struct qc_forward *forward;
	struct qc_model model = {0};
	struct qc_windows windows;
	struct qc_err err = {0};

	load_windows(g->windows, &windows);
	NEED(!qc_model_open(&model, g->model, &err), "%s", err.text);
	NEED(!qc_forward_open(&forward, &model, &options, &err), "%s", err.text);
	NEED(!qc_collect(forward, &stats, &windows, &how, &err), "%s", err.text);
	CHECK(qc_stats_bytes(qc_forward_graph(forward)) >= stats.n * sizeof(double),
	      "%zu weights in %llu bytes", stats.n,
	      (unsigned long long)qc_stats_bytes(qc_forward_graph(forward)));
	NEED(!qc_stats_imatrix(&stats, im, &err), "%s", err.text);
	im->n_chunks = WINDOWS;
	im->chunk_size = LENGTH;
	qc_stats_clear(&stats);
	qc_forward_close(forward);
	qc_model_close(&model);
	qc_windows_clear(&windows);
}

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

/* The bytes of an imatrix, for comparing. */
static uint8_t *bytes_of(const struct qc_imatrix *im, enum qc_imatrix_form form, size_t *size)
{
	struct qc_err err = {0};
	uint8_t *bytes;

	NEED(!qc_imatrix_bytes(im, form, &bytes, size, &err), "%s", err.text);
	return bytes;
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

static const char *write_bytes(const char *name, const void *bytes, size_t size)
{
	const char *path = st_path(name);
	FILE *f = fopen(path, "wb");

	NEED(f && fwrite(bytes, 1, size, f) == size && !fclose(f), "cannot write %s", path);
	return path;
}

static void the_gguf_form_comes_back_as_it_was(void)
{
	struct qc_imatrix im = {0}, back = {0};
	struct qc_err err = {0};
	uint8_t *bytes, *again;
	size_t size, size_again;

	collect(&goldens[3], WINDOWS, 0, 0, &im);
	NEED(!qc_imatrix_add_dataset(&im, "a text", 6, &err), "%s", err.text);
	NEED(!qc_imatrix_add_dataset(&im, "a text", 6, &err), "%s", err.text);
	bytes = bytes_of(&im, QC_IMATRIX_GGUF, &size);
	NEED(!qc_imatrix_read(&back, write_bytes("im.gguf", bytes, size), &err), "%s", err.text);
	again = bytes_of(&back, QC_IMATRIX_GGUF, &size_again);
	CHECK(size == size_again && !memcmp(bytes, again, size), "%zu bytes and %zu differ", size,
	      size_again);
	CHECK(back.n_datasets == 1, "%zu datasets", back.n_datasets);
	for (size_t i = 0; i < im.n_entries; i++) {
		const struct qc_imatrix_entry *e = &im.entries[i];
		const struct qc_imatrix_entry *b = qc_imatrix_find(&back, e->name);

		CHECK(b && b->amax && !memcmp(b->amax, e->amax, e->n * sizeof(float)), "%s: maxima",
		      e->name);
	}
	free(bytes);
	free(again);
	qc_imatrix_clear(&im);
	qc_imatrix_clear(&back);
}

/* The legacy form has means times chunks in one row, and knows neither experts nor tokens. */
static void the_legacy_form_has_the_same_weights(void)
{
	struct qc_imatrix im = {0}, back = {0};
	struct qc_err err = {0};
	uint8_t *bytes;
	size_t size;

	collect(&goldens[3], WINDOWS, 0, 0, &im);
	bytes = bytes_of(&im, QC_IMATRIX_DAT, &size);
	NEED(!qc_imatrix_read(&back, write_bytes("im.dat", bytes, size), &err), "%s", err.text);
	CHECK(back.n_entries == im.n_entries && back.n_chunks == WINDOWS && !back.chunk_size,
	      "%zu entries, %u chunks of %u", back.n_entries, back.n_chunks, back.chunk_size);
	for (size_t i = 0; i < im.n_entries; i++) {
		const struct qc_imatrix_entry *e = &im.entries[i];
		struct qc_imatrix_entry *b = qc_imatrix_find(&back, e->name);
		float x[1024], y[1024];

		NEED(b && e->cols <= 1024, "%s", e->name);
		CHECK(e->n == 1 || qc_imatrix_fit(&back, b, e->cols + 1, e->n, &err), "%s fits",
		      e->name);
		NEED(!qc_imatrix_fit(&back, b, e->cols, e->n, &err), "%s", err.text);
		for (uint64_t m = 0; m < e->n; m++) {
			qc_imatrix_weights(e, m, x, NULL);
			qc_imatrix_weights(b, m, y, NULL);
			for (uint64_t c = 0; c < e->cols; c++)
				CHECK(fabsf(x[c] - y[c]) <= 3e-7f * x[c], "%s: %g, %g", e->name,
				      (double)x[c], (double)y[c]);
		}
	}
	free(bytes);
	qc_imatrix_clear(&im);
	qc_imatrix_clear(&back);
}

static void llama_imatrix_files_are_read(void)
{
	struct qc_imatrix im = {0};
	struct qc_imatrix_entry *e;
	struct qc_err err = {0};
	float weights[256];

	NEED(!qc_imatrix_read(&im, GOLDEN("tiny-gemma3.llama-imatrix.dat"), &err), "%s", err.text);
	CHECK(im.n_entries == 42 && im.n_chunks == 8 && im.n_datasets == 1, "%zu, %u, %zu",
	      im.n_entries, im.n_chunks, im.n_datasets);
	e = qc_imatrix_find(&im, "blk.0.attn_q.weight");
	NEED(e && !qc_imatrix_fit(&im, e, 256, 1, &err), "no attn_q");
	CHECK(e->counts[0] == 8, "%g calls", (double)e->counts[0]);
	qc_imatrix_weights(e, 0, weights, NULL);
	CHECK(weights[0] == e->sums[0] / 8, "%g", (double)weights[0]);
	CHECK(qc_imatrix_fit(&im, e, 128, 1, &err) == QC_BAD_INPUT && strstr(err.text, "1 x 256") &&
		      strstr(err.text, "1 x 128"),
	      "%s", err.text);
	qc_imatrix_clear(&im);
}

#define CORPUS(name) "tests/fuzz/corpus/imatrix/" name

static void broken_files_are_refused(void)
{
	static const struct {
		const char *path, *words;
	} files[] = {
		{CORPUS("no-counts.gguf"), "'a.weight' has no counts"},
		{CORPUS("no-sums.gguf"), "has no 'a.weight.in_sum2'"},
		{CORPUS("count-mismatch.gguf"), "has 1 values"},
		{CORPUS("nan.gguf"), "sum 0 of 1 is nan"},
		{CORPUS("no-keys.gguf"), "'imatrix.datasets' is missing"},
		{CORPUS("small-count.gguf"), "'a.weight': count"},
		{CORPUS("twice.dat"), "'a' is there twice"},
		{CORPUS("negative.dat"), "value 1 of 4 is -2"},
		{CORPUS("ok.state"), "'qconv calibration'"},
		{"samples/generated-heldout.txt", "neither a GGUF file nor of the legacy form"},
		{"samples/tiny-gemma3/model.safetensors", "no imatrix"},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		struct qc_imatrix im = {0};
		struct qc_err err = {0};

		CHECK(qc_imatrix_read(&im, files[i].path, &err) == QC_BAD_INPUT &&
			      strstr(err.text, files[i].words) && strstr(err.text, files[i].path),
		      "%s: %s", files[i].path, err.text);
		CHECK(!im.entries && !im.n_entries, "%s: something is left", files[i].path);
	}
}

/* Old files of the legacy form end behind their entries: only there a cut one is whole. */
static void cut_files_are_refused(void)
{
	static const struct {
		const char *path;
		size_t whole; /* bytes behind such an end */
	} files[] = {{CORPUS("ok.gguf"), 0}, {CORPUS("ok.dat"), 12}};

	for (size_t i = 0; i < 2; i++) {
		size_t size;
		char *bytes = test_load(files[i].path, &size);

		for (size_t cut = 0; cut <= size; cut++) {
			const bool good =
				cut == size || (files[i].whole && cut == size - files[i].whole);
			struct qc_imatrix im = {0};
			struct qc_err err = {0};
			/* the padding at the end of a GGUF may be missing */
			enum qc_status s =
				qc_imatrix_read(&im, write_bytes("cut", bytes, cut), &err);

			CHECK(good ? !s : s == QC_BAD_INPUT || (!i && cut + 32 > size),
			      "%s: %zu of %zu bytes: %d, %s", files[i].path, cut, size, (int)s,
			      err.text);
			qc_imatrix_clear(&im);
		}
		free(bytes);
	}
}

static void no_weight_is_ever_zero(void)
{
	struct qc_imatrix im = {0};
	struct qc_imatrix_entry *e;
	struct qc_imatrix_gaps gaps = {0};
	struct qc_err err = {0};
	float w[4];

	NEED(!qc_imatrix_add(&im, "x", 4, 3, false, &e, &err), "%s", err.text);
	memcpy(e->sums, (float[]){8, 0, 2, 1e-45f, 5, 6, 7, 8, 0, 0, 0, 0}, 12 * sizeof(float));
	memcpy(e->counts, (float[]){4, 0, 3}, 3 * sizeof(float));
	qc_imatrix_weights(e, 0, w, &gaps); /* 1e-45 / 4 is 0 */
	CHECK(w[0] == 2 && w[1] == 0.5f && w[2] == 0.5f && w[3] == 0.5f, "%g %g %g %g",
	      (double)w[0], (double)w[1], (double)w[2], (double)w[3]);
	CHECK(gaps.channels == 2 && gaps.matrices == 0, "%llu, %llu",
	      (unsigned long long)gaps.channels, (unsigned long long)gaps.matrices);
	qc_imatrix_weights(e, 1, w, &gaps); /* no tokens */
	CHECK(w[0] == 1 && w[3] == 1, "%g %g", (double)w[0], (double)w[3]);
	qc_imatrix_weights(e, 2, w, &gaps);
	CHECK(w[0] == 1 && w[3] == 1, "%g %g", (double)w[0], (double)w[3]);
	CHECK(gaps.channels == 6 && gaps.matrices == 1, "%llu, %llu",
	      (unsigned long long)gaps.channels, (unsigned long long)gaps.matrices);
	CHECK(qc_imatrix_add(&im, "x", 4, 1, false, &e, &err) == QC_BAD_INPUT, "twice");
	qc_imatrix_clear(&im);
}

/* Half of the windows and the other half are all of them; what only one has stays. */
static void matrices_are_merged(void)
{
	struct qc_imatrix a = {0}, b = {0}, legacy = {0};
	struct qc_imatrix_entry *e, *other, *third;
	struct qc_err err = {0};

	a.chunk_size = b.chunk_size = 100;
	a.n_chunks = 2;
	b.n_chunks = legacy.n_chunks = 3;
	NEED(!qc_imatrix_add(&a, "x", 2, 2, true, &e, &err), "%s", err.text);
	memcpy(e->sums, (float[]){1, 2, 3, 4}, 4 * sizeof(float));
	memcpy(e->counts, (float[]){10, 20}, 2 * sizeof(float));
	memcpy(e->amax, (float[]){5, 6}, 2 * sizeof(float));
	NEED(!qc_imatrix_add(&b, "x", 2, 2, true, &other, &err), "%s", err.text);
	memcpy(other->sums, (float[]){10, 20, 30, 40}, 4 * sizeof(float));
	memcpy(other->counts, (float[]){1, 2}, 2 * sizeof(float));
	memcpy(other->amax, (float[]){7, 1}, 2 * sizeof(float));
	NEED(!qc_imatrix_add(&b, "y", 1, 1, false, &other, &err), "%s", err.text);
	other->sums[0] = 9;
	NEED(!qc_imatrix_merge(&a, &b, 512, &err), "%s", err.text);
	e = qc_imatrix_find(&a, "x");
	CHECK(e->sums[0] == 11 && e->sums[3] == 44 && e->counts[0] == 11 && e->counts[1] == 22,
	      "%g %g %g", (double)e->sums[0], (double)e->sums[3], (double)e->counts[0]);
	CHECK(e->amax && e->amax[0] == 7 && e->amax[1] == 6, "maxima");
	CHECK(qc_imatrix_find(&a, "y")->sums[0] == 9 && a.n_chunks == 5, "%u chunks", a.n_chunks);

	/* one row of all experts, counted in chunks */
	NEED(!qc_imatrix_add(&legacy, "x", 4, 1, false, &third, &err), "%s", err.text);
	memcpy(third->sums, (float[]){1, 1, 1, 1}, 4 * sizeof(float));
	third->counts[0] = 2;
	NEED(!qc_imatrix_merge(&a, &legacy, 100, &err), "%s", err.text);
	e = qc_imatrix_find(&a, "x");
	CHECK(e->sums[0] == 111 && e->counts[1] == 222 && !e->amax, "%g %g", (double)e->sums[0],
	      (double)e->counts[1]);
	legacy.entries[0].cols = 5;
	legacy.entries[0].n = 1;
	CHECK(qc_imatrix_merge(&a, &legacy, 100, &err) == QC_BAD_INPUT && strstr(err.text, "'x'"),
	      "%s", err.text);
	qc_imatrix_clear(&a);
	qc_imatrix_clear(&b);
	qc_imatrix_clear(&legacy);
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
	path = write_bytes("im.state", bytes, size);
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

		CHECK(qc_stats_load(&broken, &found, write_bytes("cut", bytes, cut), &err) ==
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
	the_gguf_form_comes_back_as_it_was();
	the_legacy_form_has_the_same_weights();
	llama_imatrix_files_are_read();
	broken_files_are_refused();
	cut_files_are_refused();
	no_weight_is_ever_zero();
	matrices_are_merged();
	a_state_comes_back_as_it_was();
	activations_that_are_no_numbers_are_named();
	st_end();
	return test_end();
}

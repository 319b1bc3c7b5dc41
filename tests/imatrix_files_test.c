/* Importance matrices as files: both forms, damaged ones, several put together. */
#include <math.h>

#include "tests/imatrix_collect.h"
#include "tests/st_files.h"

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
	NEED(!qc_imatrix_read(&back, st_write("im.gguf", bytes, size), &err), "%s", err.text);
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
	NEED(!qc_imatrix_read(&back, st_write("im.dat", bytes, size), &err), "%s", err.text);
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
			enum qc_status s = qc_imatrix_read(&im, st_write("cut", bytes, cut), &err);

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

int main(void)
{
	st_begin();
	the_gguf_form_comes_back_as_it_was();
	the_legacy_form_has_the_same_weights();
	llama_imatrix_files_are_read();
	broken_files_are_refused();
	cut_files_are_refused();
	no_weight_is_ever_zero();
	matrices_are_merged();
	st_end();
	return test_end();
}

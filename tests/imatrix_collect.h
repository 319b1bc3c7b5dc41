/* An importance matrix of a small model, for tests. */
#ifndef QC_TESTS_IMATRIX_COLLECT_H
#define QC_TESTS_IMATRIX_COLLECT_H

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

static inline void load_windows(const char *path, struct qc_windows *windows)
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
static inline void collect(const struct golden *g, size_t group, int threads, uint64_t mem_limit,
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

/* The bytes of an imatrix, for comparing. */
static inline uint8_t *bytes_of(const struct qc_imatrix *im, enum qc_imatrix_form form,
				size_t *size)
{
	struct qc_err err = {0};
	uint8_t *bytes;

	NEED(!qc_imatrix_bytes(im, form, &bytes, size, &err), "%s", err.text);
	return bytes;
}

#endif

/* Models with the losses that they have, and a forward pass on each, for tests. */
#ifndef QC_TESTS_ENGINE_GOLDENS_H
#define QC_TESTS_ENGINE_GOLDENS_H

#include "calib/forward.h"
#include "calib/windows.h"
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

static inline void open_engine(struct engine *e, const char *path, int threads,
			       enum qc_yarn_range yarn)
{
	const struct qc_forward_options options = {.threads = threads, .yarn = yarn};
	struct qc_err err = {0};

	memset(e, 0, sizeof(*e));
	NEED(!qc_model_open(&e->model, path, &err), "%s", err.text);
	NEED(!qc_forward_open(&e->forward, &e->model, &options, &err), "%s", err.text);
}

static inline void close_engine(struct engine *e)
{
	qc_forward_close(e->forward);
	qc_model_close(&e->model);
}

static inline struct qc_windows load_windows(const char *path)
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

static inline const char *convert(const char *input, const char *name, const char *quant)
{
	const struct qconv_options options = {
		.quant = quant, .pure = quant != NULL, .no_manifest = true, .force = true};
	struct qconv_error error = {0};

	NEED(!qconv_convert(input, st_path(name), &options, NULL, &error), "%s: %s", input,
	     error.text);
	return st_path(name);
}

#endif

/* What tests of calibrated conversion share: texts, and how far a file is from its model. */
#ifndef QC_TESTS_TUNED_MODEL_H
#define QC_TESTS_TUNED_MODEL_H

#include "calib/eval.h"
#include "convert/qconv.h"
#include "tests/test.h"

#define LEARN "samples/generated-train.txt"
#define HELD  "samples/generated-heldout.txt"

struct subject {
	struct qc_model model;
	struct qc_forward *forward;
};

static inline void open_subject(struct subject *s, const char *path)
{
	const struct qc_forward_options options = {.threads = 2};
	struct qc_err err;

	*s = (struct subject){0};
	NEED(!qc_model_open(&s->model, path, &err), "%s", err.text);
	NEED(!qc_forward_open(&s->forward, &s->model, &options, &err), "%s", err.text);
}

static inline void close_subject(struct subject *s)
{
	qc_forward_close(s->forward);
	qc_model_close(&s->model);
}

/* Mean divergence from the model as it is, on the held-out text. */
static inline double divergence(const char *model, const char *path)
{
	const struct qc_window_options cut = {.length = 128, .most = 12, .full = true};
	const struct qc_eval_options options = {0};
	struct subject a, b;
	struct qc_windows windows;
	struct qc_comparison c;
	struct qc_err err;

	open_subject(&a, model);
	open_subject(&b, path);
	NEED(!qc_windows_of_text(&windows, &a.model, HELD, &cut, &err), "%s", err.text);
	NEED(!qc_eval_against(b.forward, a.forward, &windows, &options, &c, &err), "%s", err.text);
	qc_windows_clear(&windows);
	close_subject(&a);
	close_subject(&b);
	return c.kld.value;
}

static inline void convert(const char *model, const char *out, struct qconv_options options,
			   struct qconv_summary *summary)
{
	struct qconv_error error;

	NEED(!qconv_convert(model, out, &options, summary, &error), "%s", error.text);
}

/* What both are made with: every matrix, and the embedding left as it is. */
static inline struct qconv_options tuned_options(const char *quant, uint64_t windows,
						 uint64_t length)
{
	static const char *const embedding_rule[] = {"token_embd=bf16"};

	return (struct qconv_options){
		.quant = quant,
		.calib = LEARN,
		.calib_windows = windows,
		.calib_ctx = length,
		.pure = true,
		.tensor_rules = embedding_rule,
		.n_tensor_rules = 1,
		.force = true,
		.no_manifest = true,
		.threads = 2,
	};
}

static inline void threads_make_no_difference(const char *model, const char *out,
					      struct qconv_options options)
{
	struct qconv_summary one, three;

	options.threads = 1;
	convert(model, out, options, &one);
	options.threads = 3;
	convert(model, out, options, &three);
	CHECK(!strcmp(one.xxh3_128, three.xxh3_128), "%s with 1 thread, %s with 3", one.xxh3_128,
	      three.xxh3_128);
}

#endif

/* Calibrated conversion from end to end: tiny models and the sample text. */
#include "calib/eval.h"
#include "calib/text_file.h"
#include "calib/tokenize.h"
#include "convert/qconv.h"
#include "tests/test.h"

#include <unistd.h>

#define MODEL  "samples/tiny-gemma3"
#define GEMMA4 "tests/data/models/tiny-gemma4" /* every kind of stage, but for experts */
#define LEARN  "samples/generated-train.txt"
#define HELD   "samples/generated-heldout.txt"

static const char *const embedding_rule[] = {"token_embd=bf16"};

static struct qconv_options options_of(const char *quant, const char *method, const char *calib)
{
	return (struct qconv_options){
		.quant = quant,
		.method = method,
		.calib = calib,
		.calib_windows = 32,
		.calib_ctx = 128,
		.pure = true,
		.tensor_rules = embedding_rule,
		.n_tensor_rules = 1,
		.force = true,
		.no_manifest = true,
		.threads = 2,
	};
}

struct subject {
	struct qc_model model;
	struct qc_forward *forward;
};

static void open_subject(struct subject *s, const char *path)
{
	const struct qc_forward_options options = {.threads = 2};
	struct qc_err err;

	*s = (struct subject){0};
	NEED(!qc_model_open(&s->model, path, &err), "%s", err.text);
	NEED(!qc_forward_open(&s->forward, &s->model, &options, &err), "%s", err.text);
}

static void close_subject(struct subject *s)
{
	qc_forward_close(s->forward);
	qc_model_close(&s->model);
}

/* Mean divergence from the model as it is, on the held-out text. */
static double divergence(const char *model, const char *path)
{
	const struct qc_eval_options options = {0};
	struct subject a, b;
	struct qc_tokenizer *tok;
	struct qc_windows windows;
	struct qc_comparison c;
	struct qc_ids ids = {0};
	struct qc_bos bos = {.has = true};
	struct qc_err err;
	size_t size;
	char *text = test_load(HELD, &size);

	open_subject(&a, model);
	open_subject(&b, path);
	NEED(!qc_tokenizer_open(&tok, &a.model, &err), "%s", err.text);
	NEED(qc_tokenizer_bos(tok, &bos.id), "no BOS");
	NEED(!qc_tokenizer_encode(tok, text, size, 0, &ids, &err), "%s", err.text);
	NEED(!qc_windows_full(&windows, ids.ids, ids.n, bos, 128, 12, &err), "%s", err.text);
	NEED(!qc_eval_against(b.forward, a.forward, &windows, &options, &c, &err), "%s", err.text);
	qc_windows_clear(&windows);
	qc_ids_clear(&ids);
	qc_tokenizer_close(tok);
	close_subject(&a);
	close_subject(&b);
	free(text);
	return c.kld.value;
}

static void convert(const char *model, const char *out, struct qconv_options options,
		    struct qconv_summary *summary)
{
	struct qconv_error error;

	NEED(!qconv_convert(model, out, &options, summary, &error), "%s", error.text);
}

static void a_calibrated_file_is_much_nearer(const char *model, const char *quant, const char *out)
{
	double search, gptq;

	convert(model, out, options_of(quant, "search", NULL), NULL);
	search = divergence(model, out);
	convert(model, out, options_of(quant, NULL, LEARN), NULL);
	gptq = divergence(model, out);
	printf("%s, %s: search %.6f, gptq %.6f: %.2f\n", model, quant, search, gptq, gptq / search);
	CHECK(gptq < 0.7 * search, "%s, %s: divergence %g, %g by search", model, quant, gptq,
	      search);
}

static void threads_make_no_difference(const char *out)
{
	struct qconv_summary one, three;
	struct qconv_options options = options_of("q4_0", "gptq", LEARN);

	options.calib_windows = 8;
	options.calib_ctx = 64;
	options.threads = 1;
	convert(MODEL, out, options, &one);
	options.threads = 3;
	convert(MODEL, out, options, &three);
	CHECK(!strcmp(one.xxh3_128, three.xxh3_128), "%s with 1 thread, %s with 3", one.xxh3_128,
	      three.xxh3_128);
}

int main(void)
{
	char dir[] = "/tmp/qconv-tune-XXXXXX", path[64];

	NEED(mkdtemp(dir), "no temporary folder");
	snprintf(path, sizeof(path), "%s/out.gguf", dir);
	a_calibrated_file_is_much_nearer(MODEL, "q4_0", path);
	a_calibrated_file_is_much_nearer(MODEL, "nvfp4", path);
	a_calibrated_file_is_much_nearer(GEMMA4, "q4_0", path);
	threads_make_no_difference(path);
	unlink(path);
	rmdir(dir);
	return test_end();
}

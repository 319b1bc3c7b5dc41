/* Calibrated conversion from end to end: tiny models and the sample text. */
#include "tests/tuned_model.h"

#include <unistd.h>

#define MODEL  "samples/tiny-gemma3"
#define GEMMA4 "tests/data/models/tiny-gemma4" /* every kind of stage, but for experts */
#define LLAMA  "tests/data/models/tiny-llama"

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

static void a_calibrated_file_is_much_nearer(const char *model, const char *quant, size_t windows,
					     const char *out)
{
	struct qconv_options options = options_of(quant, NULL, LEARN);
	double search, gptq;

	convert(model, out, options_of(quant, "search", NULL), NULL);
	search = divergence(model, out);
	options.calib_windows = windows;
	convert(model, out, options, NULL);
	gptq = divergence(model, out);
	printf("%s, %s: search %.6f, gptq %.6f: %.2f\n", model, quant, search, gptq, gptq / search);
	CHECK(gptq < 0.7 * search, "%s, %s: divergence %g, %g by search", model, quant, gptq,
	      search);
}

/* With 8 windows; with so many that the original model goes through a part of them. */
static void threads_make_no_difference(const char *model, size_t windows, const char *out)
{
	struct qconv_summary one, three;
	struct qconv_options options = options_of("q4_0", "gptq", LEARN);

	options.calib_windows = windows;
	options.calib_ctx = 64;
	options.threads = 1;
	convert(model, out, options, &one);
	options.threads = 3;
	convert(model, out, options, &three);
	CHECK(!strcmp(one.xxh3_128, three.xxh3_128), "%s with 1 thread, %s with 3", one.xxh3_128,
	      three.xxh3_128);
}

int main(void)
{
	char dir[] = "/tmp/qconv-tune-XXXXXX", path[64];

	NEED(mkdtemp(dir), "no temporary folder");
	snprintf(path, sizeof(path), "%s/out.gguf", dir);
	a_calibrated_file_is_much_nearer(MODEL, "q4_0", 32, path);
	a_calibrated_file_is_much_nearer(MODEL, "nvfp4", 32, path);
	a_calibrated_file_is_much_nearer(GEMMA4, "q4_0", 32, path);
	threads_make_no_difference(MODEL, 8, path);
	threads_make_no_difference(LLAMA, 240, path);
	unlink(path);
	rmdir(dir);
	return test_end();
}

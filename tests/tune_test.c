/* Calibrated conversion from end to end: tiny models and the sample text. */
#include "tests/tuned_model.h"

#include <unistd.h>

#define MODEL  "samples/tiny-gemma3"
#define GEMMA4 "tests/data/models/tiny-gemma4" /* every kind of stage, but for experts */
#define LLAMA  "tests/data/models/tiny-llama"

static void a_calibrated_file_is_much_nearer(const char *model, const char *quant, size_t windows,
					     const char *out)
{
	const struct qconv_options options = tuned_options(quant, windows, 128);
	struct qconv_options plain = options;
	double search, gptq;

	plain.method = "search";
	plain.calib = NULL;
	convert(model, out, plain, NULL);
	search = divergence(model, out);
	convert(model, out, options, NULL);
	gptq = divergence(model, out);
	printf("%s, %s: search %.6f, gptq %.6f: %.2f\n", model, quant, search, gptq, gptq / search);
	CHECK(gptq < 0.7 * search, "%s, %s: divergence %g, %g by search", model, quant, gptq,
	      search);
}

int main(void)
{
	char dir[] = "/tmp/qconv-tune-XXXXXX", path[64];

	NEED(mkdtemp(dir), "no temporary folder");
	snprintf(path, sizeof(path), "%s/out.gguf", dir);
	a_calibrated_file_is_much_nearer(MODEL, "q4_0", 32, path);
	a_calibrated_file_is_much_nearer(MODEL, "nvfp4", 32, path);
	a_calibrated_file_is_much_nearer(GEMMA4, "q4_0", 32, path);
	threads_make_no_difference(MODEL, path, tuned_options("q4_0", 8, 64));
	/* so many that the original model goes through a part of them */
	threads_make_no_difference(LLAMA, path, tuned_options("q4_0", 240, 64));
	unlink(path);
	rmdir(dir);
	return test_end();
}

/* Calibration with the gradients of the predictions, from end to end. */
#include "tests/tuned_model.h"

#include <unistd.h>

#define MODEL "samples/tiny-gemma3"

static struct qconv_options options_of(uint64_t windows, uint64_t length, bool gradients)
{
	static const char *const rule[] = {"token_embd=bf16"};

	return (struct qconv_options){
		.quant = "q4_0",
		.calib = LEARN,
		.calib_windows = windows,
		.calib_ctx = length,
		.calib_gradients = gradients,
		.pure = true,
		.tensor_rules = rule,
		.n_tensor_rules = 1,
		.force = true,
		.no_manifest = true,
		.threads = 2,
	};
}

static void a_file_is_nearer_with_gradients(const char *out)
{
	double without, with;

	convert(MODEL, out, options_of(24, 128, false), NULL);
	without = divergence(MODEL, out);
	convert(MODEL, out, options_of(24, 128, true), NULL);
	with = divergence(MODEL, out);
	printf("%.6f, with gradients %.6f: %.2f\n", without, with, with / without);
	CHECK(with < 0.93 * without, "divergence %g, %g without gradients", with, without);
}

static void threads_make_no_difference(const char *out)
{
	struct qconv_summary one, three;
	struct qconv_options options = options_of(8, 64, true);

	options.threads = 1;
	convert(MODEL, out, options, &one);
	options.threads = 3;
	convert(MODEL, out, options, &three);
	CHECK(!strcmp(one.xxh3_128, three.xxh3_128), "%s with 1 thread, %s with 3", one.xxh3_128,
	      three.xxh3_128);
}

int main(void)
{
	char dir[] = "/tmp/qconv-gradients-XXXXXX", path[64];

	NEED(mkdtemp(dir), "no temporary folder");
	snprintf(path, sizeof(path), "%s/out.gguf", dir);
	a_file_is_nearer_with_gradients(path);
	threads_make_no_difference(path);
	unlink(path);
	rmdir(dir);
	return test_end();
}

/* Calibration with the gradients of the predictions, from end to end. */
#include "tests/tuned_model.h"

#include <unistd.h>

#define MODEL "samples/tiny-gemma3"

static struct qconv_options with_gradients(struct qconv_options options)
{
	options.calib_gradients = true;
	return options;
}

static void a_file_is_nearer_with_gradients(const char *out)
{
	const struct qconv_options options = tuned_options("q4_0", 24, 128);
	double without, with;

	convert(MODEL, out, options, NULL);
	without = divergence(MODEL, out);
	convert(MODEL, out, with_gradients(options), NULL);
	with = divergence(MODEL, out);
	printf("%.6f, with gradients %.6f: %.2f\n", without, with, with / without);
	CHECK(with < 0.93 * without, "divergence %g, %g without gradients", with, without);
}

int main(void)
{
	char dir[] = "/tmp/qconv-gradients-XXXXXX", path[64];

	NEED(mkdtemp(dir), "no temporary folder");
	snprintf(path, sizeof(path), "%s/out.gguf", dir);
	a_file_is_nearer_with_gradients(path);
	threads_make_no_difference(MODEL, path, with_gradients(tuned_options("q4_0", 8, 64)));
	unlink(path);
	rmdir(dir);
	return test_end();
}

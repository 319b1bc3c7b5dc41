/* Calibrated conversion of experts whose layout the engine does not share: fused, interleaved,
 * transposed, or one tensor each. */
#include "tests/tuned_model.h"

#include <unistd.h>

#define BF16  "tests/data/models/tiny-gpt-oss-bf16"
#define MXFP4 "tests/data/models/tiny-gpt-oss"

static const struct {
	const char *model, *quant, *layout;
	double below; /* of search */
} cases[] = {
	{BF16, "nvfp4", "modelopt", 0.7},	    /* [experts, in, out] */
	{BF16, "mxfp4", "gpt-oss", 0.7},	    /* [experts, out, in], gate and up in turn */
	{BF16, "mxfp4", "compressed-tensors", 0.7}, /* one by one */
	{MXFP4, "nvfp4", "modelopt", 0.7},	    /* experts are moved */
};

static struct qconv_options options_of(size_t i, const char *method, const char *calib)
{
	return (struct qconv_options){
		.quant = cases[i].quant,
		.layout = cases[i].layout,
		.method = method,
		.calib = calib,
		.calib_windows = 24,
		.calib_ctx = 128,
		.force = true,
		.no_manifest = true,
		.threads = 2,
	};
}

static void a_calibrated_file_is_much_nearer(size_t i, const char *dir)
{
	char plain[96], calibrated[96];
	struct qconv_summary summary;
	double search, gptq;

	snprintf(plain, sizeof(plain), "%s/search-%zu", dir, i);
	snprintf(calibrated, sizeof(calibrated), "%s/gptq-%zu", dir, i);
	convert(cases[i].model, plain, options_of(i, "search", NULL), NULL);
	convert(cases[i].model, calibrated, options_of(i, NULL, LEARN), &summary);
	search = divergence(cases[i].model, plain);
	gptq = divergence(cases[i].model, calibrated);
	printf("%s, %s of %s: search %.6f, gptq %.6f: %.2f\n", cases[i].model, cases[i].quant,
	       cases[i].layout, search, gptq, gptq / search);
	CHECK(gptq < cases[i].below * search, "%s, %s of %s: divergence %g, %g by search",
	      cases[i].model, cases[i].quant, cases[i].layout, gptq, search);
}

int main(void)
{
	char dir[] = "/tmp/qconv-tune-XXXXXX", command[96];

	NEED(mkdtemp(dir), "no temporary folder");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		a_calibrated_file_is_much_nearer(i, dir);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	NEED(!system(command), "%s", dir);
	return test_end();
}

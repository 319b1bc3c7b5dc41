/*
 * FP4 files in the real client: interop_fp4 QCONV LIBDIR WORKDIR MODEL_DIR GOLDENS
 *
 * For one tiny model: every FP4 recipe of qconv, with and without exceptions, is loaded by libllama
 * and gives the loss that it gives for the same file decoded to f32 by qconv: so whatever scales
 * stand beside the weights are multiplied where they must be. As it computes with activations of 8
 * bits, these are not equal.
 */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/llama_client.h"
#include "tests/test.h"

enum { WINDOWS = 8, WINDOW = 256 };

struct setup {
	const char *qconv, *workdir, *model_dir;
	struct llama_client client;
	int32_t *windows;
};

static void convert(const struct setup *s, const char *from, const char *to, const char *options)
{
	char command[4096];

	snprintf(command, sizeof(command), "'%s' '%s' '%s' %s --force --quiet", s->qconv, from, to,
		 options);
	NEED(system(command) == 0, "%s failed", command);
}

static double loss(struct setup *s, const char *path)
{
	struct llama_model *model = llama_client_load(&s->client, path);
	double nll;

	CHECK(model, "libllama does not load %s: %s", path, s->client.log);
	if (!model)
		return NAN;
	nll = llama_client_nll(&s->client, model, s->windows, WINDOWS, WINDOW);
	s->client.model_free(model);
	return nll;
}

static void every_recipe_computes_what_it_decodes_to(struct setup *s)
{
	static const char *const options[] = {
		"--q mxfp4", "--q mxfp4 --method reference", "--q mxfp4 --pure", "--q mxfp4_moe",
		"--q nvfp4", "--q nvfp4 --method reference", "--q nvfp4 --pure",
	};
	char fp4[1024], f32[1024];

	snprintf(fp4, sizeof(fp4), "%s/fp4.gguf", s->workdir);
	snprintf(f32, sizeof(f32), "%s/f32.gguf", s->workdir);
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		double own, decoded;

		convert(s, s->model_dir, fp4, options[i]);
		convert(s, fp4, f32, "--q f32");
		own = loss(s, fp4);
		decoded = loss(s, f32);
		printf("%-30s loss %.6f, decoded %.6f, difference %+.6f\n", options[i], own,
		       decoded, own - decoded);
		CHECK(fabs(own - decoded) <= 2e-2, "%s: loss %g, decoded %g", options[i], own,
		      decoded);
	}
}

int main(int argc, char **argv)
{
	struct setup s = {0};
	char why[512], path[1024];
	size_t size;

	NEED(argc == 6, "usage: interop_fp4 QCONV LIBDIR WORKDIR MODEL_DIR GOLDENS");
	s.qconv = argv[1];
	s.workdir = argv[3];
	s.model_dir = argv[4];
	NEED(llama_client_open(&s.client, argv[2], why, sizeof(why)), "%s", why);
	snprintf(path, sizeof(path), "%s.windows.i32", argv[5]);
	s.windows = (int32_t *)(void *)test_load(path, &size);
	NEED(size == sizeof(int32_t) * WINDOWS * WINDOW, "%s has %zu bytes", path, size);
	every_recipe_computes_what_it_decodes_to(&s);
	free(s.windows);
	return test_end();
}

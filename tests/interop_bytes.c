/*
 * Every recipe's bytes beside the real client's: interop_bytes LIBDIR WORKDIR MODEL.gguf...
 *
 * libllama quantizes the file and so do we, with --method reference: all recipes of llama-quantize,
 * pure and not, with and without an imatrix; every tensor has the same type, bytes and place, and
 * without an imatrix, whose name the program llama-quantize notes, so has the whole file. All
 * combinations on small made-up models; on the files given with INTEROP_ALL=1, else one in four,
 * another for each file, without the recipes that take libllama seconds.
 */
#include <time.h>
#include <unistd.h>

#include "convert/qconv.h"
#include "convert/recipes.h"
#include "tests/gguf_same.h"
#include "tests/gguf_shape.h"
#include "tests/imatrix_build.h"
#include "tests/llama_client.h"

enum { MODES = 4, PURE = 1, IMATRIX = 2 };

static struct {
	struct llama_client client;
	const char *workdir;
	char ours[1024], theirs[1024], imatrix_path[1024];
	struct llama_model_imatrix_data *imatrix;
	size_t n_equal, n_refused, n_no_fallback;
	bool all;
} test;

static const struct shape shapes[] = {
	{"plain", "llama", 8, 4, 2, 0, false, 256, 8,
	 "attn_norm attn_q attn_k attn_v attn_output ffn_gate ffn_down"},
	{"shared", "llama", 8, 4, 1, 0, true, 512, 4, "attn_k attn_v attn_output ffn_down"},
	{"fallbacks", "llama", 8, 4, 4, 0, false, 320, 8, "attn_q attn_v ffn_down"},
	{"experts", "llama", 8, 4, 2, 4, false, 256, 4,
	 "attn_v attn_output ffn_gate_inp ffn_up_exps ffn_down_exps"},
};

/* llama-quantize has no such name, or other rules on purpose (nvfp4: tensor scales). */
static bool is_ours(const char *recipe)
{
	return !strcmp(recipe, "mxfp4") || !strcmp(recipe, "nvfp4");
}

static bool run_theirs(const char *path, const struct qc_recipe *recipe, int mode)
{
	struct llama_model_quantize_params params = test.client.quantize_default_params();

	params.ftype = (int32_t)recipe->file_type;
	params.pure = (mode & PURE) != 0;
	params.nthread = 2;
	params.imatrix = mode & IMATRIX ? test.imatrix : NULL;
	test.client.log[0] = 0;
	return test.client.quantize(path, test.theirs, &params) == 0;
}

static bool is_slow(const struct qc_recipe *recipe)
{
	return !strncmp(recipe->name, "iq1", 3) || !strncmp(recipe->name, "iq2", 3) ||
	       !strncmp(recipe->name, "iq3", 3);
}

/* libllama ends the program where an embedding or a head must have weights and has none. */
static bool would_abort(const struct qc_recipe *recipe, int mode)
{
	const struct qc_qtype *type = qc_qtype_find(recipe->type);

	return !(mode & IMATRIX) && type->needs_imatrix;
}

static void try_recipe(const char *path, const struct qc_recipe *recipe, int mode)
{
	struct qconv_options options = {.quant = recipe->name,
					.method = "reference",
					.pure = (mode & PURE) != 0,
					.imatrix = mode & IMATRIX ? test.imatrix_path : NULL,
					.force = true,
					.no_manifest = true,
					.threads = 2};
	struct qconv_error error = {0};
	char label[128];
	unsigned long before = test_failed;
	struct timespec start, middle, end;
	bool ran;

	snprintf(label, sizeof(label), "%s --q %s%s%s", strrchr(path, '/') + 1, recipe->name,
		 mode & PURE ? " --pure" : "", mode & IMATRIX ? " --imatrix" : "");
	clock_gettime(CLOCK_MONOTONIC, &start);
	ran = !would_abort(recipe, mode) && run_theirs(path, recipe, mode);
	clock_gettime(CLOCK_MONOTONIC, &middle);
	if (qconv_convert(path, test.ours, &options, NULL, &error)) {
		CHECK(!ran && strstr(error.text, "needs weights of importance"), "%s: %s", label,
		      error.text);
		test.n_refused++;
	} else if (!ran) {
		CHECK(strstr(test.client.log, "no tensor type fallback"), "%s: libllama fails: %s",
		      label, test.client.log);
		test.n_no_fallback++;
	} else {
		clock_gettime(CLOCK_MONOTONIC, &end);
		same_tensors(test.ours, test.theirs);
		if (!(mode & IMATRIX)) /* with one, the program llama-quantize adds its name */
			same_files(test.ours, test.theirs);
		test.n_equal++;
		if (test_failed > before || getenv("INTEROP_TIMES"))
			printf("%s: %s, libllama %.2f s, ours %.2f s\n", label,
			       test_failed > before ? "DIFFERS" : "equal",
			       (double)(middle.tv_sec - start.tv_sec) +
				       1e-9 * (double)(middle.tv_nsec - start.tv_nsec),
			       (double)(end.tv_sec - middle.tv_sec) +
				       1e-9 * (double)(end.tv_nsec - middle.tv_nsec));
	}
	unlink(test.ours);
	unlink(test.theirs);
}

static void try_file(const char *path, bool all, size_t number)
{
	struct qc_model model = {0};
	struct qc_arena arena = {0};
	struct qc_err err = {0};
	size_t i = number;

	NEED(!qc_model_open(&model, path, &err), "%s: %s", path, err.text);
	test.imatrix = imatrix_make(&model, &arena);
	imatrix_save(test.imatrix, test.imatrix_path);
	qc_model_close(&model);
	for (const struct qc_recipe *r = qc_recipes; r->name; r++, i++)
		for (int mode = 0; !is_ours(r->name) && mode < MODES; mode++)
			if (all || (!is_slow(r) && (i + (size_t)mode) % MODES == 0))
				try_recipe(path, r, mode);
	qc_arena_clear(&arena);
	unlink(test.imatrix_path);
}

/* Blocks left out, with the imatrix of all of them. */
static void try_pruned(const char *path)
{
	static const int32_t blocks[] = {1, 4, -1};
	struct llama_model_quantize_params params = test.client.quantize_default_params();
	struct qconv_options options = {.quant = "iq3_xs",
					.method = "reference",
					.imatrix = test.imatrix_path,
					.prune_layers = "1,4",
					.force = true,
					.no_manifest = true};
	struct qconv_error error = {0};
	struct qc_model model = {0};
	struct qc_arena arena = {0};
	struct qc_err err = {0};
	uint32_t n = 0;

	NEED(!qc_model_open(&model, path, &err), "%s: %s", path, err.text);
	test.imatrix = imatrix_make(&model, &arena);
	imatrix_save(test.imatrix, test.imatrix_path);
	qc_model_close(&model);
	params.ftype = 22; /* IQ3_XS */
	params.imatrix = test.imatrix;
	params.prune_layers = blocks;
	CHECK(!test.client.quantize(path, test.theirs, &params), "libllama fails: %s",
	      test.client.log);
	CHECK(!qconv_convert(path, test.ours, &options, NULL, &error), "%s", error.text);
	same_tensors(test.ours, test.theirs);
	NEED(!qc_model_open(&model, test.ours, &err), "%s", err.text);
	CHECK(qc_meta_u32(&model.meta, "llama.block_count", &n) && n == 6, "%u blocks", n);
	qc_model_close(&model);
	qc_arena_clear(&arena);
	unlink(test.imatrix_path);
	unlink(test.ours);
	unlink(test.theirs);
}

int main(int argc, char **argv)
{
	char why[512], path[1024];

	NEED(argc >= 4, "usage: interop_bytes LIBDIR WORKDIR MODEL.gguf...");
	NEED(llama_client_open(&test.client, argv[1], why, sizeof(why)), "%s", why);
	test.workdir = argv[2];
	test.all = getenv("INTEROP_ALL") != NULL;
	snprintf(test.ours, sizeof(test.ours), "%s/ours.gguf", test.workdir);
	snprintf(test.theirs, sizeof(test.theirs), "%s/theirs.gguf", test.workdir);
	snprintf(test.imatrix_path, sizeof(test.imatrix_path), "%s/made.imatrix.dat", test.workdir);
	for (int i = 3; i < argc; i++)
		try_file(argv[i], test.all, (size_t)i);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		snprintf(path, sizeof(path), "%s/%s.gguf", test.workdir, shapes[i].name);
		shape_write(&shapes[i], path, true);
		try_file(path, true, i);
		if (!i)
			try_pruned(path);
		unlink(path);
	}
	printf("%zu files compared, %zu refused without an imatrix, %zu that libllama has no "
	       "fallback for\n",
	       test.n_equal, test.n_refused, test.n_no_fallback);
	return test_end();
}

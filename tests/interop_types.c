/*
 * Every recipe's tensor types beside the real client's: interop_types LIBDIR WORKDIR
 * [MODEL.gguf...]
 *
 * libllama's quantizer runs dry, which prints the type of every tensor; ours plans. Both for all
 * recipes, pure and not, with and without an imatrix, with the options for head and embedding, on
 * the files given and on models without data that have what the mixtures ask about: 80 layers, 8
 * experts, shared heads, fused matrices, rows that are not whole blocks.
 */
#include <unistd.h>

#include "convert/plan.h"
#include "convert/recipes.h"
#include "tests/gguf_shape.h"
#include "tests/imatrix_build.h"
#include "tests/llama_client.h"

enum { Q3_K = 11, Q5_0 = 6, TYPE_UNSET = -1 };

/* Ours alone: llama-quantize has no such name, or other rules on purpose (nvfp4: tensor scales). */
static bool is_ours(const char *recipe)
{
	return !strcmp(recipe, "mxfp4") || !strcmp(recipe, "nvfp4");
}

struct variant {
	bool pure, imatrix, leave_output;
	int32_t output, embedding; /* ggml's numbers */
	const char *output_name, *embedding_name;
};

static const struct variant variants[] = {
	{.output = TYPE_UNSET, .embedding = TYPE_UNSET},
	{.output = Q5_0, .output_name = "q5_0", .embedding = TYPE_UNSET},
	{.output = TYPE_UNSET, .embedding = Q5_0, .embedding_name = "Q5_0"},
	{.output = Q3_K, .output_name = "q3_k", .embedding = Q5_0, .embedding_name = "q5_0"},
	{.output = TYPE_UNSET, .embedding = TYPE_UNSET, .leave_output = true},
};

static struct {
	struct llama_client client;
	const char *workdir;
	char imatrix_path[1024];
	struct llama_model_imatrix_data *imatrix;
	size_t n_plans, n_refused, n_no_fallback;
} test;

/* The type in a line "[ 1/ 80] NAME - [shape], type = bf16, size = 1 MiB -> 1 MiB (q4_K)". */
static void type_of_line(const char *line, const char *end, char *type, size_t size)
{
	const char *at = strstr(line, "type = ") + strlen("type = "), *open = end;

	at += strspn(at, " ");
	while (open > at && *open != '(')
		open--;
	at = open > at ? open + 1 : at;
	snprintf(type, size, "%.*s", (int)strcspn(at, ",) "), at);
}

/* *cursor: where to look first, as both sides have much the same order. */
static bool their_type(const char **cursor, const char *name, char *type, size_t size)
{
	size_t len = strlen(name);
	const char *line = *cursor, *end;
	bool again = false;

	for (;; line = end + 1) {
		const char *at;

		end = strchr(line, '\n');
		if (!end && again)
			return false;
		if (!end) {
			again = true;
			end = test.client.transcript - 1;
			continue;
		}
		if (*line != '[')
			continue;
		at = strstr(line, "] ") + 2;
		if (strncmp(at, name, len) || at[len] != ' ')
			continue;
		type_of_line(line, end, type, size);
		*cursor = end + 1;
		return true;
	}
}

static bool run_theirs(const char *path, uint32_t ftype, const struct variant *v)
{
	struct llama_model_quantize_params params = test.client.quantize_default_params();

	params.ftype = (int32_t)ftype;
	params.pure = v->pure;
	params.dry_run = true;
	params.quantize_output_tensor = !v->leave_output;
	params.imatrix = v->imatrix ? test.imatrix : NULL;
	if (v->output != TYPE_UNSET)
		params.output_tensor_type = v->output;
	if (v->embedding != TYPE_UNSET)
		params.token_embedding_type = v->embedding;
	*test.client.transcript = *test.client.log = 0;
	test.client.transcript_used = 0;
	return test.client.quantize(path, "/dev/null", &params) == 0;
}

/* libllama does not look whether rows are whole blocks of a type that an option names. */
static bool is_misfit(const struct qc_step *step, const char *type)
{
	const struct qc_qtype *asked = qc_qtype_find(type);

	return step->fallback && asked && step->tensor->dims[0] % asked->block_elems;
}

static void compare(const char *label, const struct qc_plan *plan)
{
	const char *cursor = test.client.transcript;

	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct qc_step *step = &plan->steps[i];
		char type[32];

		NEED(their_type(&cursor, step->name, type, sizeof(type)),
		     "%s: libllama has no '%s'", label, step->name);
		CHECK(!strcmp(type, step->to->name) || is_misfit(step, type),
		      "%s: '%s' is %s (%s), %s in libllama", label, step->name, step->to->name,
		      step->why, type);
	}
}

/* What libllama throws for has F16 with us. */
static bool has_fallback_to_f16(const struct qc_plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++)
		if (plan->steps[i].fallback && !strcmp(plan->steps[i].to->name, "f16"))
			return true;
	return false;
}

/* Its last words. */
static bool asks_for_imatrix(void)
{
	size_t used = test.client.transcript_used, tail = used < 600 ? used : 600;

	return strstr(test.client.transcript + used - tail, "will require an imatrix") != NULL;
}

static void try_recipe(const char *path, const struct qc_recipe *recipe, const struct variant *v)
{
	struct qconv_options options = {.quant = recipe->name,
					.pure = v->pure,
					.imatrix = v->imatrix ? test.imatrix_path : NULL,
					.output_type = v->output_name,
					.embedding_type = v->embedding_name,
					.leave_output = v->leave_output};
	struct qc_model model = {0};
	struct qc_plan plan = {0};
	struct qc_err err = {0};
	enum qc_status s;
	char label[256];
	bool ran;

	snprintf(label, sizeof(label), "%s --q %s%s%s output %s, embedding %s%s",
		 strrchr(path, '/') + 1, recipe->name, v->pure ? " --pure" : "",
		 v->imatrix ? " --imatrix" : "", v->output_name ? v->output_name : "-",
		 v->embedding_name ? v->embedding_name : "-", v->leave_output ? ", left" : "");
	ran = run_theirs(path, recipe->file_type, v);
	NEED(!qc_model_open(&model, path, &err), "%s: %s", path, err.text);
	s = qc_plan_build(&plan, &model, &qc_format_gguf, &options, &err);
	test.n_plans++;
	if (s == QC_UNSUPPORTED && strstr(err.text, "needs weights of importance")) {
		test.n_refused++;
		CHECK(!v->imatrix && (!ran || asks_for_imatrix() ||
				      qc_qtype_find(recipe->type)->needs_imatrix),
		      "%s: only we refuse: %s", label, err.text);
	} else if (s) {
		FAIL_AT("%s: %s", label, err.text);
	} else if (!ran) {
		test.n_no_fallback++;
		CHECK(strstr(test.client.log, "no tensor type fallback") &&
			      has_fallback_to_f16(&plan),
		      "%s: libllama fails: %s", label, test.client.log);
	} else {
		CHECK(v->imatrix || !asks_for_imatrix(), "%s: only libllama asks for an imatrix",
		      label);
		compare(label, &plan);
	}
	qc_plan_clear(&plan);
	qc_model_close(&model);
}

static void try_all(const char *path)
{
	struct qc_model model = {0};
	struct qc_arena arena = {0};
	struct qc_err err = {0};
	size_t before = test.n_plans;

	NEED(!qc_model_open(&model, path, &err), "%s: %s", path, err.text);
	test.imatrix = imatrix_make(&model, &arena);
	imatrix_save(test.imatrix, test.imatrix_path);
	qc_model_close(&model);
	for (const struct qc_recipe *r = qc_recipes; r->name; r++) {
		for (size_t i = 0; !is_ours(r->name) && i < sizeof(variants) / sizeof(*variants);
		     i++) {
			/* all modes without options, half of them with each */
			for (int mode = i % 2; mode < 4; mode += i ? 2 : 1) {
				struct variant v = variants[i];

				v.pure = (mode ^ (int)i) & 1;
				v.imatrix = (mode & 2) != 0;
				try_recipe(path, r, &v);
			}
		}
	}
	qc_arena_clear(&arena);
	printf("%s: %zu plans\n", strrchr(path, '/') + 1, test.n_plans - before);
}

#define DENSE "attn_norm attn_q attn_k attn_v attn_output ffn_norm ffn_gate ffn_up ffn_down"
#define SOME  "attn_norm attn_k attn_v attn_output ffn_down"
#define MIXTURE                                                                                    \
	"attn_norm attn_q attn_k attn_v attn_output ffn_norm ffn_gate_inp ffn_gate_exps "          \
	"ffn_up_exps ffn_down_exps"
#define FUSED "attn_norm attn_qkv attn_output ffn_up ffn_down"

static const struct shape shapes[] = {
	{"llama-70b", "llama", 80, 64, 8, 0, false, 256, 2, SOME},
	{"llama-70b-gqa-2", "llama", 80, 64, 32, 0, false, 256, 2, SOME},
	{"llama-65b", "llama", 80, 64, 64, 0, false, 256, 2, SOME},
	{"qwen2-72b", "qwen2", 80, 64, 8, 0, false, 256, 2, SOME},
	{"llama-9", "llama", 9, 8, 8, 0, false, 512, 2, DENSE},
	{"llama-33-tied", "llama", 33, 8, 2, 0, true, 256, 2, DENSE},
	{"llama-96", "llama", 17, 8, 8, 0, false, 96, 2, DENSE},
	{"llama-320-tied", "llama", 17, 8, 4, 0, true, 320, 2, DENSE},
	{"mixtral", "llama", 32, 32, 8, 8, false, 256, 2, MIXTURE},
	{"mixtral-gqa-1", "llama", 16, 32, 32, 8, false, 256, 2, MIXTURE},
	{"four-experts", "llama", 16, 8, 8, 4, false, 256, 2, MIXTURE},
	{"two-experts", "llama", 16, 8, 8, 2, false, 256, 2, MIXTURE},
	{"falcon", "falcon", 32, 71, 1, 0, false, 256, 2, FUSED},
	{"falcon-gqa-1", "falcon", 60, 8, 8, 0, false, 256, 2, FUSED},
	{"phi3", "phi3", 40, 40, 10, 0, false, 256, 2, FUSED},
};

int main(int argc, char **argv)
{
	char why[512], path[1024];

	NEED(argc >= 3, "usage: interop_types LIBDIR WORKDIR [MODEL.gguf...]");
	NEED(llama_client_open(&test.client, argv[1], why, sizeof(why)), "%s", why);
	test.workdir = argv[2];
	test.client.transcript_size = 1 << 20;
	test.client.transcript = calloc(1, test.client.transcript_size);
	NEED(test.client.transcript, "no memory");
	snprintf(test.imatrix_path, sizeof(test.imatrix_path), "%s/types.imatrix.dat",
		 test.workdir);
	for (int i = 3; i < argc; i++)
		try_all(argv[i]);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		snprintf(path, sizeof(path), "%s/%s.gguf", test.workdir, shapes[i].name);
		shape_write(&shapes[i], path, false);
		try_all(path);
		unlink(path);
	}
	unlink(test.imatrix_path);
	free(test.client.transcript);
	printf("%zu plans: %zu without an imatrix refused, %zu that libllama has no fallback for\n",
	       test.n_plans, test.n_refused, test.n_no_fallback);
	return test_end();
}

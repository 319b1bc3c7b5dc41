/*
 * qconv's files in the real client: interop QCONV LIBDIR WORKDIR MODEL_DIR SOURCE_TYPE GOLDENS
 *
 * For one tiny model: every recipe of qconv is converted from the Hugging Face directory, loaded by
 * libllama, and held against (a) the golden token ids, (b) for f32, f16 and bf16 the golden loss,
 * (c) for the others the bytes that llama_model_quantize makes of our own SOURCE_TYPE GGUF.
 */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/bytes.h"
#include "formats/model.h"
#include "tests/gguf_same.h"
#include "tests/llama_client.h"

struct setup {
	const char *qconv, *workdir, *model_dir, *source_type;
	struct llama_client client;
	struct qc_json goldens; /* tokenizer cases, nll */
	int32_t *windows;	/* 8 x 256 ids */
};

enum { WINDOWS = 8, WINDOW = 256, PLAIN = 1 };

/* Every recipe; its LLAMA_FTYPE number; PLAIN: a float type, whose loss is the golden one. */
static const struct {
	const char *name;
	int ftype, flags;
} recipes[] = {
	{"f32", 0, PLAIN}, {"f16", 1, PLAIN},	 {"bf16", 32, PLAIN}, {"q8_0", 7, 0},
	{"q4_0", 2, 0},	   {"q4_1", 3, 0},	 {"q5_0", 8, 0},      {"q5_1", 9, 0},
	{"q4_k_s", 14, 0}, {"q4_k_m", 15, 0},	 {"q5_k_s", 16, 0},   {"q5_k_m", 17, 0},
	{"q6_k", 18, 0},   {"mxfp4_moe", 38, 0},
};

/* `input` to `recipe`, NULL: at the precision it has. */
static void convert(const struct setup *s, const char *input, const char *recipe, bool pure,
		    char *path, size_t size)
{
	char command[4096];

	snprintf(path, size, "%s/%s%s.gguf", s->workdir, pure ? "pure-" : "",
		 recipe ? recipe : "kept");
	snprintf(command, sizeof(command),
		 "'%s' '%s' '%s' %s %s %s --method reference --force --quiet", s->qconv, input,
		 path, recipe ? "--q" : "", recipe ? recipe : "", pure ? "--pure" : "");
	NEED(system(command) == 0, "%s failed", command);
}

static void tokenizes_the_golden_strings(struct setup *s, struct llama_model *model,
					 const char *path)
{
	const struct llama_vocab *vocab = s->client.model_vocab(model);
	const struct qc_json *json = &s->goldens;
	qc_json_value cases = qc_json_path(json, QC_JSON_ROOT, "tokenizer.cases");
	struct qc_arena arena = {0};

	NEED(qc_json_count(json, cases), "no tokenizer cases");
	for (qc_json_value c = qc_json_first(json, cases); c; c = qc_json_next(json, c)) {
		qc_json_value ids = qc_json_get(json, c, "ids");
		size_t len;
		char *text = qc_json_string(json, qc_json_get(json, c, "text"), &arena, &len);
		int32_t got[4096],
			n = s->client.tokenize(vocab, text, (int32_t)len, got, 4096, false, true),
			i = 0;

		CHECK(n == (int32_t)qc_json_count(json, ids),
		      "%s: '%s' gives %d tokens, %u expected", path, text, n,
		      qc_json_count(json, ids));
		for (qc_json_value id = qc_json_first(json, ids); id && i < n;
		     id = qc_json_next(json, id), i++) {
			uint64_t want = UINT64_MAX;

			CHECK(qc_json_u64(json, id, &want) && want == (uint64_t)got[i],
			      "%s: '%s' token %d: %d, %llu expected", path, text, i, got[i],
			      (unsigned long long)want);
		}
	}
	qc_arena_clear(&arena);
}

static double loss(struct setup *s, const char *path)
{
	struct llama_model *model = llama_client_load(&s->client, path);
	double nll;

	CHECK(model, "libllama does not load %s: %s", path, s->client.log);
	if (!model)
		return NAN;
	tokenizes_the_golden_strings(s, model, path);
	nll = llama_client_nll(&s->client, model, s->windows, WINDOWS, WINDOW);
	s->client.model_free(model);
	return nll;
}

/* Without a recipe every matrix stays as it is, quantized ones too. */
static void keeps_what_is_stored(struct setup *s, double golden)
{
	char ours[1024];
	double nll;

	convert(s, s->model_dir, NULL, false, ours, sizeof(ours));
	nll = loss(s, ours);
	printf("%-9s loss %.6f, golden %.6f, difference %+.6f\n", "(kept)", nll, golden,
	       nll - golden);
	CHECK(fabs(nll - golden) <= 2e-3, "%s: loss %g, golden %g", ours, nll, golden);
	unlink(ours);
}

/* The source under a name that no recipe writes to. */
static void rename_source(const struct setup *s, char *path, size_t size)
{
	char from[1024];

	snprintf(from, sizeof(from), "%s", path);
	snprintf(path, size, "%s/source.gguf", s->workdir);
	NEED(!rename(from, path), "cannot rename %s", from);
}

static void every_recipe_holds(struct setup *s)
{
	char source[1024], ours[1024], theirs[1024];
	double golden = NAN;

	NEED(qc_json_f64(&s->goldens, qc_json_path(&s->goldens, QC_JSON_ROOT, "nll.value"),
			 &golden),
	     "no golden loss");
	keeps_what_is_stored(s, golden);
	convert(s, s->model_dir, s->source_type, false, source, sizeof(source));
	rename_source(s, source, sizeof(source));
	for (size_t i = 0; i < sizeof(recipes) / sizeof(*recipes); i++) {
		double nll;

		convert(s, s->model_dir, recipes[i].name, false, ours, sizeof(ours));
		nll = loss(s, ours);
		printf("%-9s loss %.6f, golden %.6f, difference %+.6f\n", recipes[i].name, nll,
		       golden, nll - golden);
		CHECK(fabs(nll - golden) <= (recipes[i].flags & PLAIN ? 2e-3 : 0.1),
		      "%s: loss %g, golden %g", ours, nll, golden);
		snprintf(theirs, sizeof(theirs), "%s/llama-%s.gguf", s->workdir, recipes[i].name);
		CHECK(llama_client_quantize(&s->client, source, theirs, recipes[i].ftype, false, 2),
		      "llama_model_quantize to %s fails: %s", recipes[i].name, s->client.log);
		if (recipes[i].flags &
		    PLAIN) /* the converter's types differ from the quantizer's */
			convert(s, source, recipes[i].name, false, ours, sizeof(ours));
		same_tensors(ours, theirs);
		unlink(theirs);
		if (recipes[i].flags & PLAIN)
			continue;
		convert(s, s->model_dir, recipes[i].name, true, ours, sizeof(ours));
		CHECK(llama_client_quantize(&s->client, source, theirs, recipes[i].ftype, true, 2),
		      "llama_model_quantize --pure to %s fails: %s", recipes[i].name,
		      s->client.log);
		same_tensors(ours, theirs);
		unlink(theirs);
	}
}

int main(int argc, char **argv)
{
	struct setup s = {0};
	struct qc_err err = {0};
	char why[512], path[1024], *text;
	size_t size;

	NEED(argc == 7, "usage: interop QCONV LIBDIR WORKDIR MODEL_DIR SOURCE_TYPE GOLDENS");
	s.qconv = argv[1];
	s.workdir = argv[3];
	s.model_dir = argv[4];
	s.source_type = argv[5];
	NEED(llama_client_open(&s.client, argv[2], why, sizeof(why)), "%s", why);
	snprintf(path, sizeof(path), "%s.json", argv[6]);
	text = test_load(path, &size);
	NEED(!qc_json_parse(&s.goldens, text, size, 0, &err), "%s: %s", path, err.text);
	snprintf(path, sizeof(path), "%s.windows.i32", argv[6]);
	s.windows = (int32_t *)(void *)test_load(path, &size);
	NEED(size == sizeof(int32_t) * WINDOWS * WINDOW, "%s has %zu bytes", path, size);
	every_recipe_holds(&s);
	qc_json_clear(&s.goldens);
	free(s.windows);
	free(text);
	return test_end();
}

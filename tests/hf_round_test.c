/* GGUF to a Hugging Face directory and back, with files: the same GGUF, the checkpoint's own bytes,
 * codes moved and not rounded. */
#include "convert/check.h"
#include "formats/gguf.h"
#include "tests/arch_model.h"
#include "tests/convert_run.h"
#include "tests/st_files.h"

#define GEMMA3	"samples/tiny-gemma3"
#define LLAMA	"tests/data/models/tiny-llama"
#define GEMMA4	"tests/data/models/tiny-gemma4"
#define GPT_OSS "tests/data/models/tiny-gpt-oss"

static struct qc_err err;

static bool same_kv(const struct qc_kv *a, const struct qc_kv *b)
{
	return a && b && a->type == b->type && a->elem == b->elem && a->n == b->n &&
	       a->bytes == b->bytes && !memcmp(a->data, b->data, a->bytes);
}

static void same_tensor(const struct qc_tensor *a, const struct qc_tensor *b, const char *what)
{
	uint8_t *x, *y;
	size_t n, m;

	CHECK(a->n_dims == b->n_dims && !memcmp(a->dims, b->dims, a->n_dims * sizeof(*a->dims)) &&
		      a->source->type == b->source->type,
	      "%s: '%s' is %s, it was %s", what, a->name, b->source->type->name,
	      a->source->type->name);
	x = am_read_raw(a, &n);
	y = am_read_raw(b, &m);
	CHECK(n == m && !memcmp(x, y, n), "%s: '%s' has other bytes", what, a->name);
	free(x);
	free(y);
}

/* Every key with its type and value, every tensor with its bytes, in any order. */
static void same_gguf(const char *first, const char *second, const char *what)
{
	struct qc_model a, b;

	NEED(!qc_gguf_open_stored(&a, first, &err) && !qc_gguf_open_stored(&b, second, &err), "%s",
	     err.text);
	CHECK(a.meta.n == b.meta.n && a.n_tensors == b.n_tensors,
	      "%s: %zu keys and %zu tensors became %zu and %zu", what, a.meta.n, a.n_tensors,
	      b.meta.n, b.n_tensors);
	for (size_t i = 0; i < a.meta.n; i++)
		CHECK(same_kv(&a.meta.kvs[i], qc_meta_find(&b.meta, a.meta.kvs[i].key)),
		      "%s: %s is another one", what, a.meta.kvs[i].key);
	for (size_t i = 0; i < a.n_tensors; i++) {
		const struct qc_tensor *other = qc_model_find(&b, a.tensors[i].name);

		CHECK(other, "%s: there is no '%s'", what, a.tensors[i].name);
		if (other)
			same_tensor(&a.tensors[i], other, what);
	}
	qc_model_close(&a);
	qc_model_close(&b);
}

static void the_directory_gives_the_same_gguf(void)
{
	static const char *const models[] = {GEMMA3, LLAMA, GEMMA4, GPT_OSS};
	/* what is made of the checkpoint, and what the directory holds it as */
	static const struct {
		const char *quant, *in_dir;
		bool pure;
		const char *not_of; /* a model whose other tensors are not of in_dir's type */
	} types[] = {
		{"f32", NULL, false, NULL},	{"f16", NULL, false, NULL},
		{"bf16", NULL, false, NULL},	{"f32", "f32", false, NULL},
		{"bf16", "bf16", false, LLAMA}, {"q8_0", "f32", true, GEMMA4},
		{"q4_0", "f32", true, GEMMA4},	{"q5_0", "f32", true, GEMMA4},
	};

	for (size_t m = 0; m < 4; m++)
		for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
			struct qconv_options gguf = {.quant = types[t].quant,
						     .pure = types[t].pure,
						     .method = "reference",
						     .no_manifest = true};
			struct qconv_options dir = {.quant = types[t].in_dir};
			struct outcome said;
			char what[160];

			if (types[t].not_of && !strcmp(types[t].not_of, models[m]))
				continue;
			snprintf(what, sizeof(what), "%s, %s", models[m], types[t].quant);
			st_begin();
			converted(models[m], st_path("a.gguf"), &gguf);
			said = converted(st_path("a.gguf"), st_path("dir"), &dir);
			CHECK(!said.n_unsaid, "%s: %zu keys do not come back", what, said.n_unsaid);
			converted(st_path("dir"), st_path("b.gguf"), &gguf);
			same_gguf(st_path("a.gguf"), st_path("b.gguf"), what);
			st_end();
		}
}

static bool is_same_name(const char *stored, const char *name)
{
	const char *cut = strstr(stored, "language_model.");

	if (!cut)
		return !strcmp(stored, name);
	return !strncmp(stored, name, (size_t)(cut - stored)) &&
	       !strcmp(cut + strlen("language_model."), name + (cut - stored));
}

/* Not only values: types and bytes of every stored tensor, those of a packed weight too. */
static void same_checkpoint(const char *path, const char *original)
{
	struct qc_model a, b;
	const struct qc_format *hf = qc_format_find("hf");
	size_t found = 0;

	NEED(!qc_model_open_as(&a, hf, original, &err) && !qc_model_open_as(&b, hf, path, &err),
	     "%s", err.text);
	CHECK(a.n_tensors == b.n_tensors, "%s has %zu tensors, %s %zu", original, a.n_tensors, path,
	      b.n_tensors);
	for (size_t i = 0; i < a.n_tensors; i++)
		for (size_t k = 0; k < b.n_tensors; k++) {
			if (!is_same_name(a.tensors[i].stored_name, b.tensors[k].stored_name))
				continue;
			found++;
			same_tensor(&a.tensors[i], &b.tensors[k], original);
		}
	CHECK(found == a.n_tensors, "%s: %zu of %zu tensors are in %s", original, found,
	      a.n_tensors, path);
	qc_model_close(&a);
	qc_model_close(&b);
}

static void the_directory_has_the_checkpoints_tensors(void)
{
	static const struct {
		const char *path, *quant, *layout;
	} models[] = {{GEMMA3, NULL, NULL},
		      {LLAMA, NULL, NULL},
		      {GEMMA4, NULL, NULL},
		      {"tests/data/models/tiny-gpt-oss-bf16", NULL, NULL},
		      {GPT_OSS, "mxfp4", "gpt-oss"}};

	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		static const struct qconv_options as_it_is;
		struct qconv_options back = {.quant = models[i].quant, .layout = models[i].layout};
		struct outcome said;

		st_begin();
		converted(models[i].path, st_path("a.gguf"), &as_it_is);
		said = converted(st_path("a.gguf"), st_path("dir"), &back);
		CHECK(said.n && said.n_exact == said.n, "%s: %zu of %zu are said to be exact",
		      models[i].path, said.n_exact, said.n);
		same_checkpoint(st_path("dir"), models[i].path);
		st_end();
	}
}

/* All tensors of a file are those of what it was made from, without any difference. */
static void is_exact(const char *path, const char *against)
{
	static const struct qconv_options options;
	struct qc_check_report report = {0};
	enum qc_status s = qc_check(&report, path, against, &options, &err);

	CHECK(!s && report.n_errors && report.n_exact == report.n_errors,
	      "%s against %s: %zu of %zu are exact, '%s'", path, against, report.n_exact,
	      report.n_errors, s ? err.text : "");
	qc_check_report_clear(&report);
}

/* A checkpoint packed so goes into a GGUF and comes back as the same file. */
static void codes_are_moved_there_and_back(void)
{
	static const struct {
		const char *path, *quant, *layout;
	} cases[] = {
		{LLAMA, "nvfp4", "modelopt"},  {LLAMA, "nvfp4", "compressed-tensors"},
		{LLAMA, "mxfp4", "modelopt"},  {LLAMA, "mxfp4", "compressed-tensors"},
		{GEMMA3, "mxfp4", "modelopt"}, {GEMMA3, "mxfp4", "compressed-tensors"},
		{GPT_OSS, "mxfp4", "gpt-oss"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const struct qconv_options as_it_is;
		struct qconv_options pack = {.quant = cases[i].quant, .layout = cases[i].layout};
		struct outcome said;

		st_begin();
		converted(cases[i].path, st_path("a"), &pack);
		converted(st_path("a"), st_path("a.gguf"), &as_it_is);
		said = converted(st_path("a.gguf"), st_path("b"), &pack);
		CHECK(said.n && said.n_exact == said.n, "%s, %s %s: %zu of %zu are exact",
		      cases[i].path, cases[i].quant, cases[i].layout, said.n_exact, said.n);
		st_same_files(st_path("a/model.safetensors"), st_path("b/model.safetensors"));
		is_exact(st_path("b"), st_path("a.gguf"));
		converted(st_path("b"), st_path("b.gguf"), &as_it_is);
		same_gguf(st_path("a.gguf"), st_path("b.gguf"), cases[i].layout);
		st_end();
	}
}

/* MXFP4 of a GGUF goes into every layout that has it, and from each back. */
static void gguf_mxfp4_goes_into_every_layout(void)
{
	static const char *const layouts[] = {"compressed-tensors", "modelopt"};
	static const struct qconv_options as_it_is;
	struct qconv_options gguf = {.quant = "mxfp4"};

	for (size_t i = 0; i < 2; i++) {
		struct qconv_options pack = {.quant = "mxfp4", .layout = layouts[i]};

		st_begin();
		converted(LLAMA, st_path("a.gguf"), &gguf);
		converted(st_path("a.gguf"), st_path("dir"), &pack);
		converted(st_path("dir"), st_path("b.gguf"), &as_it_is);
		for (int block = 0; block < 4; block++) {
			struct qc_model a, b;
			char name[64];

			NEED(!qc_gguf_open_stored(&a, st_path("a.gguf"), &err) &&
				     !qc_gguf_open_stored(&b, st_path("b.gguf"), &err),
			     "%s", err.text);
			snprintf(name, sizeof(name), "blk.%d.attn_q.weight", block);
			same_tensor(qc_model_find(&a, name), qc_model_find(&b, name), layouts[i]);
			qc_model_close(&a);
			qc_model_close(&b);
		}
		st_end();
	}
}

static void experts_with_8_bits_beside_them_stay_what_they_are(void)
{
	struct qconv_options gguf = {.quant = "mxfp4_moe"};
	struct qconv_options pack = {.quant = "mxfp4", .layout = "gpt-oss"};
	struct qc_model a, b;
	size_t n = 0;

	st_begin();
	converted(GPT_OSS, st_path("a.gguf"), &gguf);
	converted(st_path("a.gguf"), st_path("dir"), &pack);
	NEED(!qc_model_open(&a, GPT_OSS, &err) && !qc_model_open(&b, st_path("dir"), &err), "%s",
	     err.text);
	for (size_t i = 0; i < a.n_tensors; i++)
		for (size_t k = 0; k < b.n_tensors; k++)
			if (!strcmp(a.tensors[i].name, b.tensors[k].name) &&
			    !strcmp(a.tensors[i].source->type->name, "mxfp4")) {
				n++;
				same_tensor(&a.tensors[i], &b.tensors[k], "mxfp4_moe");
			}
	CHECK(n == 8, "%zu tensors of experts", n);
	qc_model_close(&a);
	qc_model_close(&b);
	st_end();
}

static void a_set_of_files_is_one_checkpoint(void)
{
	static const struct qconv_options as_it_is;
	struct qconv_options split = {.split_tensors = 10, .no_manifest = true};

	st_begin();
	converted(LLAMA, st_path("a.gguf"), &as_it_is);
	converted(LLAMA, st_path("s.gguf"), &split);
	converted(st_path("s-00001-of-00004.gguf"), st_path("dir"), &as_it_is);
	converted(st_path("dir"), st_path("b.gguf"), &as_it_is);
	same_gguf(st_path("a.gguf"), st_path("b.gguf"), "a set");
	st_end();
}

/* An architecture that is not known: the tensors as they are called. */
static void an_unknown_architecture_is_a_bag(void)
{
	static const struct qconv_options as_it_is;
	struct qconv_options bf16 = {.quant = "bf16"}, q4 = {.quant = "q4_0"};
	struct qc_model model;
	size_t size;
	char *data, *at;

	st_begin();
	converted(LLAMA, st_path("a.gguf"), &q4);
	data = test_load(st_path("a.gguf"), &size);
	while ((at = memmem(data, size, "llama", 5)))
		memcpy(at, "zzama", 5);
	st_write("z.gguf", data, size);
	free(data);
	converted(st_path("z.gguf"), st_path("z.safetensors"), &bf16);
	NEED(!qc_model_open(&model, st_path("z.safetensors"), &err), "%s", err.text);
	CHECK(model.n_tensors == 39 && qc_model_find(&model, "blk.0.attn_q.weight"), "%zu tensors",
	      model.n_tensors);
	qc_model_close(&model);
	/* a known one has Hugging Face's names there, too */
	converted(st_path("a.gguf"), st_path("a.safetensors"), &bf16);
	NEED(!qc_model_open(&model, st_path("a.safetensors"), &err), "%s", err.text);
	CHECK(qc_model_find(&model, "model.layers.0.self_attn.q_proj.weight"), "other names");
	qc_model_close(&model);
	converted(LLAMA, st_path("b.gguf"), &as_it_is);
	converted(st_path("b.gguf"), st_path("b.safetensors"), &as_it_is);
	is_exact(st_path("b.safetensors"), st_path("b.gguf"));
	st_end();
}

/* The steps of this pre-tokenizer are known to nobody. */
static void a_tokenizer_that_cannot_be_written_is_named(void)
{
	static const struct qconv_options as_it_is;
	struct outcome said;
	struct qc_model model;
	size_t size;
	char *data, *at;

	st_begin();
	converted("tests/data/models/tiny-gpt-oss-bf16", st_path("a.gguf"), &as_it_is);
	data = test_load(st_path("a.gguf"), &size);
	at = memmem(data, size, "gpt-4o", 6);
	NEED(at, "no tokenizer.ggml.pre");
	memcpy(at, "gpx-4o", 6);
	st_write("z.gguf", data, size);
	free(data);
	said = converted(st_path("z.gguf"), st_path("dir"), &as_it_is);
	CHECK(said.n_unsaid > 5, "%zu keys do not come back", said.n_unsaid);
	CHECK(access(st_path("dir/tokenizer.json"), F_OK), "there is a tokenizer.json");
	CHECK(!access(st_path("dir/config.json"), F_OK), "there is no config.json");
	NEED(!qc_model_open(&model, st_path("dir"), &err), "%s", err.text);
	CHECK(model.arch && !qc_meta_find(&model.meta, "tokenizer.ggml.tokens"), "a tokenizer");
	qc_model_close(&model);
	st_end();
}

int main(void)
{
	the_directory_gives_the_same_gguf();
	the_directory_has_the_checkpoints_tensors();
	codes_are_moved_there_and_back();
	gguf_mxfp4_goes_into_every_layout();
	experts_with_8_bits_beside_them_stay_what_they_are();
	a_set_of_files_is_one_checkpoint();
	an_unknown_architecture_is_a_bag();
	a_tokenizer_that_cannot_be_written_is_named();
	return test_end();
}

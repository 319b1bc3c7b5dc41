/* generation_config.json's advice on sampling as general.sampling.*, and back. */
#include "formats/hf_sampling.h"
#include "tests/st_files.h"

/* A model whose directory has that generation_config.json (NULL: none). */
static enum qc_status read_text(struct qc_model *model, const char *text, struct qc_err *err)
{
	*model = (struct qc_model){.dir = st_dir};
	model->meta.arena = &model->arena;
	unlink(st_path("generation_config.json"));
	if (text)
		st_text("generation_config.json", text);
	return qc_hf_read_sampling(model, err);
}

static void has(const struct qc_model *model, const char *key, enum qc_kv_type type, uint32_t bits)
{
	const struct qc_kv *kv = qc_meta_find(&model->meta, key);

	CHECK(kv && kv->type == type && kv->elem == type && kv->n == 1 && kv->bytes == 4 &&
		      qc_le32(kv->data) == bits,
	      "%s: type %d, %zu bytes, expected type %d and 0x%x", key, kv ? (int)kv->type : -1,
	      kv ? kv->bytes : 0, type, bits);
}

/* The types are those of llama.cpp's writer: i32 and f32. */
static void every_member_becomes_its_key(void)
{
	static const char text[] =
		"{\"bos_token_id\": 2, \"do_sample\": true, \"temperature\": 1.0, \"top_k\": 64, "
		"\"top_p\": 0.95, \"min_p\": 0, \"penalty_last_n\": -1, \"penalty_repeat\": 1.5, "
		"\"xtc_probability\": 0.25, \"xtc_threshold\": 0.125, \"mirostat\": 2, "
		"\"mirostat_tau\": 5, \"mirostat_eta\": 0.5, \"sequence\": \"kt\"}";
	struct qc_model model;
	struct qc_err err = {0};
	const char *sequence;
	size_t len;

	NEED(!read_text(&model, text, &err), "%s", err.text);
	CHECK(model.meta.n == 12, "%zu keys", model.meta.n);
	has(&model, "general.sampling.temp", QC_KV_F32, 0x3f800000);
	has(&model, "general.sampling.top_k", QC_KV_I32, 64);
	has(&model, "general.sampling.top_p", QC_KV_F32, 0x3f733333);
	has(&model, "general.sampling.min_p", QC_KV_F32, 0);
	has(&model, "general.sampling.penalty_last_n", QC_KV_I32, UINT32_MAX);
	has(&model, "general.sampling.penalty_repeat", QC_KV_F32, 0x3fc00000);
	has(&model, "general.sampling.xtc_probability", QC_KV_F32, 0x3e800000);
	has(&model, "general.sampling.xtc_threshold", QC_KV_F32, 0x3e000000);
	has(&model, "general.sampling.mirostat", QC_KV_I32, 2);
	has(&model, "general.sampling.mirostat_tau", QC_KV_F32, 0x40a00000);
	has(&model, "general.sampling.mirostat_eta", QC_KV_F32, 0x3f000000);
	CHECK(qc_meta_string(&model.meta, "general.sampling.sequence", &sequence, &len) &&
		      len == 2 && !memcmp(sequence, "kt", 2),
	      "sequence");
	qc_model_close(&model);
}

static void what_is_no_number_is_passed_over(void)
{
	static const char *const texts[] = {
		NULL,
		"{}",
		"[]",
		"{\"top_k\": null, \"top_p\": \"0.9\", \"temperature\": [1], \"sequence\": 7}",
		"{\"top_k\": 1.5, \"top_p\": NaN, \"temperature\": 1e39, \"min_p\": -Infinity}",
		"{\"top_k\": 2147483648, \"penalty_last_n\": -2147483649, \"mirostat\": true}",
	};
	struct qc_model model;
	struct qc_err err = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CHECK(!read_text(&model, texts[i], &err), "'%s': %s", texts[i], err.text);
		CHECK(!model.meta.n, "'%s': %zu keys", texts[i], model.meta.n);
		qc_model_close(&model);
	}
	CHECK(read_text(&model, "{\"top_k\": 64", &err) == QC_BAD_INPUT &&
		      strstr(err.text, "generation_config.json"),
	      "broken: %s", err.text);
	qc_model_close(&model);
}

/* What is put is what is read, byte for byte. */
static void the_way_back_gives_the_same_keys(void)
{
	struct qc_model model, again;
	struct qc_err err = {0};
	char *text = NULL;
	size_t size;
	struct qc_json_out out = {.file = open_memstream(&text, &size)};

	NEED(out.file && !read_text(&model,
				    "{\"temperature\": 0.6, \"top_k\": 20, \"penalty_last_n\": -1, "
				    "\"top_p\": 0.95, \"sequence\": \"k\\\"t\"}",
				    &err),
	     "%s", err.text);
	qc_json_out_begin(&out, NULL, '{');
	qc_hf_put_sampling(&model, &out);
	qc_json_out_end(&out, '}');
	NEED(!fclose(out.file) && !read_text(&again, text, &err), "'%s': %s", text, err.text);
	CHECK(strstr(text, "\"do_sample\": true"), "'%s'", text);
	CHECK(again.meta.n == 5 && again.meta.n == model.meta.n, "%zu keys of %zu", again.meta.n,
	      model.meta.n);
	for (size_t i = 0; i < model.meta.n; i++) {
		const struct qc_kv *a = &model.meta.kvs[i], *b = qc_meta_find(&again.meta, a->key);

		CHECK(b && a->type == b->type && a->bytes == b->bytes &&
			      !memcmp(a->data, b->data, a->bytes),
		      "%s differs", a->key);
	}
	free(text);
	qc_model_close(&model);
	qc_model_close(&again);
}

int main(void)
{
	st_begin();
	every_member_becomes_its_key();
	what_is_no_number_is_passed_over();
	the_way_back_gives_the_same_keys();
	st_end();
	return test_end();
}

/* Architectures: what llama.cpp made of the same models. */
#include "base/bytes.h"
#include "tests/arch_model.h"
#include "tests/sha256.h"
#include "tests/test.h"

static struct qc_err err;

#define GOLDEN "tests/data/golden/gguf-meta/tiny-llama.f16.json"
#define LLAMA  "tests/data/models/tiny-llama"
#define GEMMA  "samples/tiny-gemma3"

/* One golden key: {"key", "type", "value"}. */
static void check_golden_key(const struct qc_json *json, qc_json_value golden,
			     const struct qc_model *model)
{
	struct qc_arena arena = {0};
	const qc_json_value value = qc_json_get(json, golden, "value");
	const char *key = qc_json_string(json, qc_json_get(json, golden, "key"), &arena, NULL);
	const char *type = qc_json_string(json, qc_json_get(json, golden, "type"), &arena, NULL),
		   *text;
	const struct qc_kv *kv = qc_meta_find(&model->meta, key);
	size_t len;
	double number;
	uint64_t whole;
	bool flag;
	char hex[65];

	/* these two say what was made of the model, so the plan sets them */
	if (strcmp(key, "general.file_type") && strcmp(key, "general.quantization_version")) {
		NEED(kv, "%s is missing", key);
		CHECK(!strcmp(qc_kv_type_name(kv->type), type), "%s is of type %s, not %s", key,
		      qc_kv_type_name(kv->type), type);
		if (kv->type == QC_KV_U32) {
			CHECK(qc_json_u64(json, value, &whole) && qc_le32(kv->data) == whole,
			      "%s is %u", key, qc_le32(kv->data));
		} else if (kv->type == QC_KV_F32) {
			CHECK(qc_json_f64(json, value, &number) &&
				      qc_bits_f32(qc_le32(kv->data)) == (float)number,
			      "%s is %g", key, qc_bits_f32(qc_le32(kv->data)));
		} else if (kv->type == QC_KV_BOOL) {
			CHECK(qc_json_bool(json, value, &flag) && kv->data[0] == flag, "%s is %u",
			      key, kv->data[0]);
		} else if (kv->type == QC_KV_STRING) {
			text = qc_json_string(json, value, &arena, &len);
			CHECK(kv->bytes == len && !memcmp(kv->data, text, len), "%s is '%.*s'", key,
			      (int)kv->bytes, (const char *)kv->data);
		} else {
			text = qc_json_string(json, qc_json_get(json, value, "sha256_of_payload"),
					      &arena, NULL);
			sha256_of(kv->data, kv->bytes, hex);
			CHECK(!strcmp(hex, text), "%s: payload %s, not %s", key, hex, text);
			text = qc_json_string(json, qc_json_get(json, value, "of"), &arena, NULL);
			CHECK(!strcmp(qc_kv_type_name(kv->elem), text),
			      "%s: elements of %s, not %s", key, qc_kv_type_name(kv->elem), text);
		}
	}
	qc_arena_clear(&arena);
}

/* Read a tensor as `type` (f16 raw or f32 values) and digest it. */
static void digest_tensor(const struct qc_tensor *tensor, bool f32, char hex[65])
{
	const struct qc_source *source = tensor->source;
	const uint64_t step = 64;
	struct qc_scratch scratch = {.size = qc_source_scratch(source, step)};
	uint8_t *rows = malloc(step * source->cols * 8);
	struct sha256 sha;

	scratch.base = aligned_alloc(64, (scratch.size + 127) / 64 * 64);
	NEED(rows && scratch.base, "no memory");
	sha256_init(&sha);
	for (uint64_t row = 0; row < source->rows; row += step) {
		const uint64_t n = source->rows - row < step ? source->rows - row : step;
		const size_t elems = (size_t)(n * source->cols);
		float *values = (float *)(void *)rows;

		if (!f32) {
			NEED(!qc_source_read_raw(source, row, n, rows, &scratch, &err), "%s",
			     err.text);
		} else {
			NEED(!qc_source_read_f32(source, row, n, values, &scratch, &err), "%s",
			     err.text);
			for (size_t i = 0; i < elems; i++)
				qc_put_le32(rows + 4 * i, qc_f32_bits(values[i]));
		}
		sha256_add(&sha, rows, elems * (f32 ? 4 : 2));
	}
	sha256_hex(&sha, hex);
	free(rows);
	free(scratch.base);
}

static void tiny_llama_becomes_what_llama_cpp_made_of_it(void)
{
	struct qc_json json = {0};
	struct qc_model model;
	struct qc_arena arena = {0};
	size_t size, n = 0;
	char *text = test_load(GOLDEN, &size), hex[65];

	NEED(!qc_json_parse(&json, text, size, 0, &err), "%s", err.text);
	NEED(!qc_model_open(&model, LLAMA, &err), "%s", err.text);
	CHECK(model.layout == QC_LAYOUT_HF && !model.n_drops, "layout %d, %zu drops", model.layout,
	      model.n_drops);
	NEED(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
	CHECK(model.layout == QC_LAYOUT_GGUF, "layout %d", model.layout);
	for (qc_json_value v = qc_json_first(&json, qc_json_get(&json, QC_JSON_ROOT, "kv")); v;
	     v = qc_json_next(&json, v))
		check_golden_key(&json, v, &model);
	for (qc_json_value v = qc_json_first(&json, qc_json_get(&json, QC_JSON_ROOT, "tensors")); v;
	     v = qc_json_next(&json, v), n++) {
		const char *name =
			qc_json_string(&json, qc_json_get(&json, v, "name"), &arena, NULL);
		const qc_json_value sha = qc_json_get(&json, v, "sha256"),
				    ne = qc_json_get(&json, v, "ne");
		const struct qc_tensor *tensor = qc_model_find(&model, name);
		qc_json_value dim = qc_json_first(&json, ne);

		NEED(tensor, "no tensor '%s'", name);
		CHECK(tensor->n_dims == qc_json_count(&json, ne), "%s has %u dimensions", name,
		      tensor->n_dims);
		for (uint32_t i = 0; i < tensor->n_dims; i++, dim = qc_json_next(&json, dim)) {
			uint64_t want = 0;

			CHECK(qc_json_u64(&json, dim, &want) && want == tensor->dims[i],
			      "%s: %llu, not %llu", name, (unsigned long long)tensor->dims[i],
			      (unsigned long long)want);
		}
		digest_tensor(tensor, qc_json_equals(&json, qc_json_get(&json, v, "type"), "f32"),
			      hex);
		CHECK(qc_json_equals(&json, sha, hex), "%s has the digest %s", name, hex);
	}
	CHECK(n == model.n_tensors, "%zu golden tensors, %zu of ours", n, model.n_tensors);
	qc_arena_clear(&arena);
	qc_model_close(&model);
	qc_json_clear(&json);
	free(text);
}

static float first_value(const struct qc_model *model, const char *name)
{
	const struct qc_tensor *tensor = qc_model_find(model, name);
	_Alignas(64) uint8_t room[8192];
	struct qc_scratch scratch = {.base = room, .size = sizeof(room)};
	float row[1024];

	NEED(tensor && tensor->source->cols <= 1024 &&
		     qc_source_scratch(tensor->source, 1) <= sizeof(room),
	     "cannot read '%s'", name);
	NEED(!qc_source_read_f32(tensor->source, 0, 1, row, &scratch, &err), "%s", err.text);
	return row[0];
}

static void gemma_norms_get_one_added_and_matrices_do_not(void)
{
	static const char *const names[] = {"output_norm.weight",
					    "blk.0.attn_norm.weight",
					    "blk.1.attn_q_norm.weight",
					    "blk.2.attn_k_norm.weight",
					    "blk.3.post_attention_norm.weight",
					    "blk.4.ffn_norm.weight",
					    "blk.5.post_ffw_norm.weight"};
	struct qc_model model, stored;

	NEED(!qc_model_open(&model, GEMMA, &err) && !qc_model_open(&stored, GEMMA, &err), "%s",
	     err.text);
	NEED(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
	CHECK(model.n_tensors == 2 + 6 * 13, "%zu tensors", model.n_tensors);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		CHECK(first_value(&model, names[i]) == first_value(&stored, names[i]) + 1,
		      "%s: %g and %g", names[i], first_value(&model, names[i]),
		      first_value(&stored, names[i]));
	CHECK(first_value(&model, "blk.0.attn_q.weight") ==
		      first_value(&stored, "blk.0.attn_q.weight"),
	      "attn_q changed");
	am_check_string(&model, "general.name", "Tiny Gemma3");
	am_check_string(&model, "general.size_label", "5.0M");
	am_check_u32(&model, "gemma3.attention.sliding_window", 64);
	am_check_f32(&model, "gemma3.rope.freq_base_swa", 1e4f);
	am_check_absent(&model, "gemma3.vocab_size");
	qc_model_close(&model);
	qc_model_close(&stored);
}

#define LLAMA_31_8B                                                                                \
	"{\"architectures\": [\"LlamaForCausalLM\"], \"attention_bias\": false, "                  \
	"\"bos_token_id\": 128000,"                                                                \
	"\"eos_token_id\": [128001, 128008, 128009], \"hidden_act\": \"silu\", \"hidden_size\": "  \
	"4096,"                                                                                    \
	"\"intermediate_size\": 14336, \"max_position_embeddings\": 131072, \"model_type\": "      \
	"\"llama\","                                                                               \
	"\"num_attention_heads\": 32, \"num_hidden_layers\": 32, \"num_key_value_heads\": 8,"      \
	"\"rms_norm_eps\": 1e-05, \"rope_scaling\": {\"factor\": 8.0, \"low_freq_factor\": 1.0,"   \
	"\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 8192,"                   \
	"\"rope_type\": \"llama3\"}, \"rope_theta\": 500000.0, \"tie_word_embeddings\": false,"    \
	"\"vocab_size\": 128256}"

static void llama_31_8b_has_its_keys_and_rope_factors(void)
{
	struct qc_model model;
	char hex[65];

	NEED(!am_config(&model, LLAMA_31_8B, &err), "%s", err.text);
	am_check_u32(&model, "llama.block_count", 32);
	am_check_u32(&model, "llama.context_length", 131072);
	am_check_u32(&model, "llama.attention.head_count_kv", 8);
	am_check_f32(&model, "llama.rope.freq_base", 500000);
	am_check_f32(&model, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	am_check_u32(&model, "llama.vocab_size", 128256);
	am_check_u32(&model, "llama.rope.dimension_count", 128);
	am_check_absent(&model, "llama.attention.key_length");
	am_check_absent(&model, "llama.rope.scaling.type");
	am_check_absent(&model, "llama.rope.freq_base_swa");
	NEED(!model.arch->generate(&model, &err), "%s", err.text);
	NEED(model.n_tensors == 1 && model.tensors[0].generated, "%zu tensors", model.n_tensors);
	CHECK(!strcmp(model.tensors[0].name, "rope_freqs.weight") && model.tensors[0].dims[0] == 64,
	      "'%s' of %llu", model.tensors[0].name, (unsigned long long)model.tensors[0].dims[0]);
	digest_tensor(&model.tensors[0], true, hex);
	CHECK(!strcmp(hex, "80fd5efb2f729381785b293a091a268cfeceb0079167f6ece9b07070e662b222"),
	      "rope factors have the digest %s", hex);
	qc_model_close(&model);
}

static void llama_2_has_no_rope_factors(void)
{
	struct qc_model model;

	NEED(!am_config(
		     &model,
		     "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 4096,"
		     "\"intermediate_size\": 11008, \"max_position_embeddings\": 4096,"
		     "\"num_attention_heads\": 32, \"num_hidden_layers\": 32, \"pad_token_id\": -1,"
		     "\"rms_norm_eps\": 1e-05, \"rope_scaling\": null, \"vocab_size\": 32000}",
		     &err),
	     "%s", err.text);
	am_check_u32(&model, "llama.attention.head_count_kv", 32);
	am_check_f32(&model, "llama.rope.freq_base", 10000);
	NEED(!model.arch->generate(&model, &err), "%s", err.text);
	CHECK(!model.n_tensors, "%zu tensors", model.n_tensors);
	qc_model_close(&model);
}

int main(void)
{
	tiny_llama_becomes_what_llama_cpp_made_of_it();
	gemma_norms_get_one_added_and_matrices_do_not();
	llama_31_8b_has_its_keys_and_rope_factors();
	llama_2_has_no_rope_factors();
	return test_end();
}

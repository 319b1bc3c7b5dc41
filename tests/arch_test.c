/* Architectures: config.json to metadata, tensor names both ways, row operations, refusals. */
#include "formats/arch/arch.h"

#include <math.h>
#include <time.h>

#include "base/bytes.h"
#include "formats/format.h"
#include "tests/sha256.h"
#include "tests/test.h"

#define GOLDEN "tests/data/golden/gguf-meta/tiny-llama.f16.json"
#define LLAMA  "tests/data/models/tiny-llama"
#define GEMMA  "samples/tiny-gemma3"

static struct qc_err err;

/* A model as a reader leaves it before the tensors, from the text of a config.json. */
static enum qc_status from_config(struct qc_model *model, const char *text)
{
	*model = (struct qc_model){.path = "m", .dir = "."};
	model->meta.arena = &model->arena;
	return qc_arch_from_config(model, strdup(text), strlen(text), &err);
}

static void add(struct qc_model *model, const char *name, uint64_t rows, uint64_t cols)
{
	struct qc_tensor tensor = {.n_dims = cols ? 2 : 1, .layer = -1};
	uint64_t *dims = qc_arena_array(&model->arena, 2, sizeof(*dims));
	float *values = qc_arena_array(&model->arena, rows * (cols ? cols : 1), sizeof(*values));

	NEED(dims && values, "no memory");
	dims[0] = cols ? cols : rows;
	dims[1] = rows;
	tensor.dims = dims;
	tensor.name = tensor.stored_name = qc_arena_copy(&model->arena, name, strlen(name));
	for (uint64_t i = 0; i < rows * (cols ? cols : 1); i++)
		values[i] = (float)i;
	tensor.source = qc_source_values(&model->arena, values, rows, cols ? cols : 1);
	NEED(tensor.source && !qc_model_add_tensor(model, &tensor, &err), "no memory");
}

static void check_u32(const struct qc_model *model, const char *key, uint32_t want)
{
	uint32_t have = 0;

	CHECK(qc_meta_u32(&model->meta, key, &have) && have == want, "%s is %u, not %u", key, have,
	      want);
	CHECK(qc_meta_find(&model->meta, key) && qc_meta_find(&model->meta, key)->type == QC_KV_U32,
	      "%s is not of type u32", key);
}

static void check_f32(const struct qc_model *model, const char *key, float want)
{
	float have = 0;

	CHECK(qc_meta_f32(&model->meta, key, &have) && have == want, "%s is %g, not %g", key, have,
	      want);
}

static void check_string(const struct qc_model *model, const char *key, const char *want)
{
	const char *have = "(absent)";
	size_t len = 8;

	(void)!qc_meta_string(&model->meta, key, &have, &len);
	CHECK(len == strlen(want) && !memcmp(have, want, len), "%s is '%.*s', not '%s'", key,
	      (int)len, have, want);
}

static void check_absent(const struct qc_model *model, const char *key)
{
	CHECK(!qc_meta_find(&model->meta, key), "%s is there", key);
}

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
	check_string(&model, "general.name", "Tiny Gemma3");
	check_string(&model, "general.size_label", "5.0M");
	check_u32(&model, "gemma3.attention.sliding_window", 64);
	check_f32(&model, "gemma3.rope.freq_base_swa", 1e4f);
	check_absent(&model, "gemma3.vocab_size");
	qc_model_close(&model);
	qc_model_close(&stored);
}

/* The published 4B's text_config says little; the rest is what transformers fills in. */
static void sparse_gemma_4b_gets_every_default(void)
{
	struct qc_model model;

	NEED(!from_config(
		     &model,
		     "{\"architectures\": [\"Gemma3ForConditionalGeneration\"], "
		     "\"boi_token_index\": 255999,"
		     "\"eoi_token_index\": 256000, \"eos_token_id\": [1, 106], "
		     "\"image_token_index\": 262144,"
		     "\"initializer_range\": 0.02, \"mm_tokens_per_image\": 256, \"model_type\": "
		     "\"gemma3\","
		     "\"text_config\": {\"hidden_size\": 2560, \"intermediate_size\": 10240,"
		     "\"model_type\": \"gemma3_text\", \"num_hidden_layers\": 34,"
		     "\"rope_scaling\": {\"factor\": 8.0, \"rope_type\": \"linear\"}, "
		     "\"sliding_window\": 1024},"
		     "\"torch_dtype\": \"bfloat16\", \"vision_config\": {\"hidden_size\": 1152,"
		     "\"num_attention_heads\": 16, \"num_hidden_layers\": 27}}"),
	     "%s", err.text);
	check_string(&model, "general.architecture", "gemma3");
	check_u32(&model, "gemma3.block_count", 34);
	check_u32(&model, "gemma3.context_length", 131072);
	check_u32(&model, "gemma3.embedding_length", 2560);
	check_u32(&model, "gemma3.feed_forward_length", 10240);
	check_u32(&model, "gemma3.attention.head_count", 8);
	check_u32(&model, "gemma3.attention.head_count_kv", 4);
	check_string(&model, "gemma3.rope.scaling.type", "linear");
	check_f32(&model, "gemma3.rope.scaling.factor", 8);
	check_f32(&model, "gemma3.rope.freq_base", 1e6f);
	check_f32(&model, "gemma3.rope.freq_base_swa", 1e4f);
	check_f32(&model, "gemma3.attention.layer_norm_rms_epsilon", 1e-6f);
	check_u32(&model, "gemma3.attention.key_length", 256);
	check_u32(&model, "gemma3.attention.value_length", 256);
	check_u32(&model, "gemma3.attention.sliding_window", 1024);
	check_absent(&model, "gemma3.final_logit_softcapping");
	CHECK(qc_arch_vocab_size(&model) == 262208, "vocabulary of %u", qc_arch_vocab_size(&model));
	qc_model_close(&model);
}

static void gemma_rope_parameters_in_their_newer_form(void)
{
	struct qc_model model;

	NEED(!from_config(
		     &model,
		     "{\"architectures\": [\"Gemma3ForCausalLM\"], \"rope_parameters\": {"
		     "\"full_attention\": {\"rope_type\": \"linear\", \"factor\": 4, "
		     "\"rope_theta\": 2e6},"
		     "\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 3e4}}}"),
	     "%s", err.text);
	check_f32(&model, "gemma3.rope.freq_base", 2e6f);
	check_f32(&model, "gemma3.rope.freq_base_swa", 3e4f);
	check_f32(&model, "gemma3.rope.scaling.factor", 4);
	qc_model_close(&model);
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

	NEED(!from_config(&model, LLAMA_31_8B), "%s", err.text);
	check_u32(&model, "llama.block_count", 32);
	check_u32(&model, "llama.context_length", 131072);
	check_u32(&model, "llama.attention.head_count_kv", 8);
	check_f32(&model, "llama.rope.freq_base", 500000);
	check_f32(&model, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	check_u32(&model, "llama.vocab_size", 128256);
	check_u32(&model, "llama.rope.dimension_count", 128);
	check_absent(&model, "llama.attention.key_length");
	check_absent(&model, "llama.rope.scaling.type");
	check_absent(&model, "llama.rope.freq_base_swa");
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

	NEED(!from_config(
		     &model,
		     "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 4096,"
		     "\"intermediate_size\": 11008, \"max_position_embeddings\": 4096,"
		     "\"num_attention_heads\": 32, \"num_hidden_layers\": 32, \"pad_token_id\": -1,"
		     "\"rms_norm_eps\": 1e-05, \"rope_scaling\": null, \"vocab_size\": 32000}"),
	     "%s", err.text);
	check_u32(&model, "llama.attention.head_count_kv", 32);
	check_f32(&model, "llama.rope.freq_base", 10000);
	NEED(!model.arch->generate(&model, &err), "%s", err.text);
	CHECK(!model.n_tensors, "%zu tensors", model.n_tensors);
	qc_model_close(&model);
}

static void yarn_and_longrope_keep_their_parameters(void)
{
	struct qc_model model;

	NEED(!from_config(&model, "{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": "
				  "\"yarn\", \"factor\": 16,"
				  "\"original_max_position_embeddings\": 4096, \"beta_fast\": 32, "
				  "\"beta_slow\": 1,"
				  "\"attention_factor\": 0.5}}"),
	     "%s", err.text);
	check_string(&model, "llama.rope.scaling.type", "yarn");
	check_f32(&model, "llama.rope.scaling.factor", 16);
	check_u32(&model, "llama.rope.scaling.original_context_length", 4096);
	check_f32(&model, "llama.rope.scaling.yarn_beta_fast", 32);
	check_f32(&model, "llama.rope.scaling.yarn_beta_slow", 1);
	check_f32(&model, "llama.rope.scaling.yarn_attn_factor", 0.5f);
	qc_model_close(&model);
	NEED(!from_config(
		     &model,
		     "{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"longrope\"}}"),
	     "%s", err.text);
	check_string(&model, "llama.rope.scaling.type", "longrope");
	qc_model_close(&model);
}

static void wrong_configurations_are_refused_with_the_reason(void)
{
	static const struct {
		const char *config, *reason;
	} cases[] = {
		{"[]", "object is needed"},
		{"{\"architectures\": []}", "class name"},
		{"{\"architectures\": [7]}", "class name"},
		{"{\"architectures\": \"LlamaForCausalLM\"}", "array"},
		{"{\"model_type\": 7}", "'model_type' is 7"},
		{"{\"model_type\": \"llama\", \"num_attention_heads\": 0}",
		 "'num_attention_heads' is 0"},
		{"{\"model_type\": \"llama\", \"hidden_size\": -64}", "'hidden_size' is -64"},
		{"{\"model_type\": \"llama\", \"hidden_size\": 64.5}", "an integer is needed"},
		{"{\"model_type\": \"llama\", \"hidden_size\": 1000000000000000000}",
		 "allowed is 1 to 1048576"},
		{"{\"model_type\": \"llama\", \"hidden_size\": \"64\"}", "a number is needed"},
		{"{\"model_type\": \"llama\", \"hidden_size\": 63}", "not a multiple"},
		{"{\"model_type\": \"llama\", \"num_key_value_heads\": 5}", "not a multiple"},
		{"{\"model_type\": \"llama\", \"head_dim\": 63}", "in pairs"},
		{"{\"model_type\": \"llama\", \"rms_norm_eps\": -1}", "'rms_norm_eps' is -1"},
		{"{\"model_type\": \"llama\", \"rms_norm_eps\": NaN}", "'rms_norm_eps' is NaN"},
		{"{\"model_type\": \"llama\", \"rope_theta\": 0}", "'rope_theta' is 0"},
		{"{\"model_type\": \"llama\", \"vocab_size\": 0}", "'vocab_size' is 0"},
		{"{\"model_type\": \"llama\", \"vocab_size\": 99999999}",
		 "'vocab_size' is 99999999"},
		{"{\"model_type\": \"llama\", \"eos_token_id\": 32000}", "vocab_size is 32000"},
		{"{\"model_type\": \"llama\", \"eos_token_id\": [1, \"x\"]}", "a token id"},
		{"{\"model_type\": \"llama\", \"hidden_act\": \"gelu\"}", "silu"},
		{"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"weird\"}}", "weird"},
		{"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": "
		 "2}}",
		 "original_max"},
		{"{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\", "
		 "\"factor\": 0}}",
		 "factor"},
		{"{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\", "
		 "\"low_freq_factor\": 4}}",
		 "high_freq_factor"},
		{"{\"quantization_config\": {\"quant_method\": \"nope\"}}", "nope"},
		{"{\"quantization_config\": 4}", "object"},
		{"{\"quantization_config\": {\"load_in_4bit\": true, \"load_in_8bit\": true}}",
		 "both"},
		{"{\"model_type\": \"gemma3\", \"query_pre_attn_scalar\": 100}",
		 "query_pre_attn_scalar"},
		{"{\"model_type\": \"gemma3\", \"attn_logit_softcapping\": 50}", "softcapping"},
		{"{\"model_type\": \"gemma3\", \"sliding_window_pattern\": 4}", "pattern"},
		{"{\"model_type\": \"gemma3\", \"layer_types\": [\"full_attention\"]}",
		 "layer_types[0]"},
		{"{\"model_type\": \"gemma3\", \"use_bidirectional_attention\": true}", "causal"},
		{"{\"model_type\": \"gemma3\", \"hidden_activation\": \"silu\"}",
		 "gelu_pytorch_tanh"},
		{"{\"model_type\": \"llama\", \"text_config\": {\"num_hidden_layers\": 5000}}",
		 "num_hidden_layers"},
	};
	struct qc_model model;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err = (struct qc_err){0};
		CHECK(from_config(&model, cases[i].config) && strstr(err.text, cases[i].reason),
		      "%s: '%s'", cases[i].config, err.text);
		qc_model_close(&model);
	}
}

static void unusual_configurations_are_accepted(void)
{
	static const char *const cases[] = {
		"{\"model_type\": \"llama\", \"hidden_size\": 64.0, \"num_attention_heads\": 4}",
		"{\"model_type\": \"llama\", \"pad_token_id\": 32000, \"eos_token_id\": null}",
		"{\"model_type\": \"llama\", \"quantization_config\": null}",
		"{\"model_type\": \"llama\", \"quantization_config\": {\"quant_method\": "
		"\"bitsandbytes\"}}",
		"{\"model_type\": \"llama\", \"head_dim\": null, \"initializer_range\": Infinity}",
		"{\"model_type\": \"gemma3_text\", \"sliding_window_pattern\": 1}",
		"{\"model_type\": \"gemma3\", \"num_hidden_layers\": 62, \"hidden_size\": 5376, "
		"\"head_dim\": 128,"
		"\"num_attention_heads\": 32, \"num_key_value_heads\": 16, "
		"\"query_pre_attn_scalar\": 168}",
	};
	struct qc_model model;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK(!from_config(&model, cases[i]) && model.arch, "%s: %s", cases[i], err.text);
		qc_model_close(&model);
	}
}

static void unknown_architectures_are_plain_bags(void)
{
	static const char *const cases[] = {
		"{}",
		"{\"architectures\": [\"GPT2LMHeadModel\"], \"hidden_size\": -5}",
		"{\"architectures\": [\"LlamaForTokenClassification\"]}",
		"{\"model_type\": \"bert\"}",
	};
	struct qc_model model;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK(!from_config(&model, cases[i]), "%s: %s", cases[i], err.text);
		CHECK(!model.arch && model.layout == QC_LAYOUT_PLAIN && model.arch_note,
		      "%s is known", cases[i]);
		add(&model, "any.name", 4, 4);
		CHECK(!qc_arch_name_tensors(&model, &err) &&
			      !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
		      "%s: %s", cases[i], err.text);
		CHECK(model.n_tensors == 1 && !strcmp(model.tensors[0].name, "any.name"),
		      "%s changed it", cases[i]);
		qc_model_close(&model);
	}
}

/* Verdicts of tests/data/badfiles for configurations and plain JSON. */
static void bad_files_get_their_verdicts(void)
{
	char *list = test_load("tests/data/badfiles/manifest.tsv", NULL), *save = NULL;
	int n = 0;

	for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char file[128], format[32], expect[16], path[192];
		struct qc_model model = {.path = "m", .dir = "."};
		size_t size;
		char *text;
		enum qc_status s;

		if (sscanf(line, "%127s %31s %15s", file, format, expect) != 3 ||
		    strcmp(format, "config"))
			continue;
		snprintf(path, sizeof(path), "tests/data/badfiles/%s", file);
		text = test_load(path, &size);
		model.meta.arena = &model.arena;
		s = qc_arch_from_config(&model, text, size, &err);
		CHECK(!s == !strcmp(expect, "accept"), "%s: %d '%s', not %s", file, s,
		      s ? err.text : "", expect);
		qc_model_close(&model);
		n++;
	}
	CHECK(n >= 40, "only %d cases", n);
	free(list);
}

#define SMALL                                                                                      \
	"{\"architectures\": [\"%s\"], \"hidden_size\": 8, \"intermediate_size\": 6, "             \
	"\"num_hidden_layers\": 2,"                                                                \
	"\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 4, "                \
	"\"vocab_size\": 5%s}"

/* A model with every tensor of its architecture, `prefix` put at the front of names or for their
 * "model.". */
static void small_model(struct qc_model *model, const char *class, const char *more,
			const char *prefix)
{
	char config[512];

	snprintf(config, sizeof(config), SMALL, class, more);
	NEED(!from_config(model, config), "%s", err.text);
	for (const struct qc_arch_tensor *row = model->arch->tensors; row->hf; row++)
		for (int layer = 0; layer < (strstr(row->hf, "{i}") ? 2 : 1); layer++) {
			const char *hole = strstr(row->hf, "{i}");
			uint64_t dims[2] = {0, 0};
			char name[160];

			if (row->needed)
				continue;
			for (size_t i = 0; row->shape[i]; i++)
				dims[i] = strchr("DQ", row->shape[i]) ? 8
					  : row->shape[i] == 'N'      ? 5
					  : row->shape[i] == 'F'      ? 6
								      : 4;
			if (hole)
				snprintf(name, sizeof(name), "%s%.*s%d%s", prefix,
					 (int)(hole - row->hf - 6), row->hf + 6, layer, hole + 3);
			else
				snprintf(name, sizeof(name), "%s%s", prefix, row->hf + 6);
			add(model, name, dims[0], dims[1]);
		}
}

static void every_prefix_in_circulation_is_understood(void)
{
	static const char *const prefixes[] = {"model.", "language_model.model.",
					       "model.language_model."};
	struct qc_model model;

	for (size_t i = 0; i < 3; i++) {
		small_model(&model, "Gemma3ForConditionalGeneration", "", prefixes[i]);
		add(&model, "vision_tower.vision_model.embeddings.patch_embedding.bias", 4, 0);
		add(&model, "model.vision_tower.vision_model.post_layernorm.bias", 4, 0);
		add(&model, "model.multi_modal_projector.mm_input_projection_weight", 4, 4);
		add(&model, "language_model.lm_head.weight", 5, 8);
		NEED(!qc_arch_name_tensors(&model, &err), "%s: %s", prefixes[i], err.text);
		CHECK(model.n_tensors == 2 + 2 * 13, "%s: %zu tensors", prefixes[i],
		      model.n_tensors);
		NEED(model.n_drops == 4, "%s: %zu drops", prefixes[i], model.n_drops);
		CHECK(strstr(model.drops[0].reason, "vision") && model.drops[0].bytes == 16,
		      "'%s' %llu", model.drops[0].reason, (unsigned long long)model.drops[0].bytes);
		CHECK(strstr(model.drops[3].reason, "tied"), "'%s'", model.drops[3].reason);
		CHECK(qc_model_find(&model, "blk.1.attn_q_norm.weight")->layer == 1, "wrong block");
		qc_model_close(&model);
	}
}

static void a_head_is_kept_unless_it_is_tied(void)
{
	struct qc_model model;

	small_model(&model, "LlamaForCausalLM", "", "model.");
	add(&model, "lm_head.weight", 5, 8);
	add(&model, "model.layers.1.self_attn.rotary_emb.inv_freq", 4, 0);
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	CHECK(qc_model_find(&model, "output.weight") && model.n_drops == 1, "%zu drops",
	      model.n_drops);
	qc_model_close(&model);
	small_model(&model, "LlamaForCausalLM", ", \"tie_word_embeddings\": true", "model.");
	add(&model, "lm_head.weight", 5, 8);
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	CHECK(!qc_model_find(&model, "output.weight") && model.n_drops == 1, "%zu drops",
	      model.n_drops);
	qc_model_close(&model);
}

static void wrong_tensors_are_refused_by_name(void)
{
	static const struct {
		const char *name;
		uint64_t rows, cols;
		const char *reason;
	} cases[] = {
		{"model.layers.0.mlp.gate.weight", 2, 2, "has no such tensor"},
		{"model.layers.00.mlp.gate_proj.bias", 6, 0, "has no such tensor"},
		{"model.layers.2.input_layernorm.weight", 8, 0, "is of block 2"},
		{"model.layers.99999999999.input_layernorm.weight", 8, 0, "has no such tensor"},
		{"model.layers.1.self_attn.q_proj.bias", 4, 0, "is 4, config.json makes it 8"},
		{"lm_head.weight", 4, 8, "is 4x8, config.json makes it 5x8"},
		{"model.language_model.norm.weight", 8, 0, "a second one for 'output_norm.weight'"},
		{"model.layers.0.mlp.up_proj.qweight", 8, 8, "GPTQ"},
	};
	struct qc_model model;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		small_model(&model, "LlamaForCausalLM", "", "model.");
		add(&model, cases[i].name, cases[i].rows, cases[i].cols);
		err = (struct qc_err){0};
		CHECK(qc_arch_name_tensors(&model, &err) && strstr(err.text, cases[i].reason) &&
			      strstr(err.text, cases[i].name),
		      "%s: '%s'", cases[i].name, err.text);
		qc_model_close(&model);
	}
	small_model(&model, "LlamaForCausalLM", "", "model.");
	model.n_tensors -= 3;
	CHECK(qc_arch_name_tensors(&model, &err) &&
		      strstr(err.text, "'model.layers.0.mlp.down_proj.weight' is missing") &&
		      strstr(err.text, "3 missing"),
	      "'%s'", err.text);
	qc_model_close(&model);
}

static void permutation_and_truncation_follow_the_metadata(void)
{
	struct qc_model model;
	struct qc_kv_builder tokens = {0};
	const struct qc_tensor *q;
	_Alignas(64) uint8_t room[4096];
	struct qc_scratch scratch = {.base = room, .size = sizeof(room)};
	float rows[64];

	small_model(&model, "LlamaForCausalLM", "", "model.");
	for (int i = 0; i < 3; i++)
		NEED(!qc_kv_push_string(&tokens, "t", 1, &err), "no memory");
	NEED(!qc_meta_set(&model.meta, "tokenizer.ggml.tokens", QC_KV_ARRAY, QC_KV_STRING, 3,
			  tokens.data, tokens.bytes, &err),
	     "no memory");
	NEED(!qc_arch_name_tensors(&model, &err) &&
		     !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
	     "%s", err.text);
	q = qc_model_find(&model, "blk.0.attn_q.weight");
	NEED(!qc_source_read_f32(q->source, 0, 8, rows, &scratch, &err), "%s", err.text);
	/* two heads of four rows: 0 2 1 3, 4 6 5 7; a row begins with 8 times its number */
	CHECK(rows[8] == 16 && rows[16] == 8 && rows[32] == 32 && rows[40] == 48, "%g %g %g %g",
	      rows[8], rows[16], rows[32], rows[40]);
	CHECK(qc_model_find(&model, "token_embd.weight")->dims[1] == 3, "embedding of %llu rows",
	      (unsigned long long)qc_model_find(&model, "token_embd.weight")->dims[1]);
	/* and back: the rows in their order, of the embedding those that are left */
	NEED(!qc_model_set_layout(&model, QC_LAYOUT_HF, &err), "%s", err.text);
	q = qc_model_find(&model, "blk.0.attn_q.weight");
	scratch.used = 0;
	NEED(qc_source_scratch(q->source, 8) <= scratch.size &&
		     !qc_source_read_f32(q->source, 0, 8, rows, &scratch, &err),
	     "%s", err.text);
	CHECK(rows[8] == 8 && rows[16] == 16 && rows[32] == 32 && rows[40] == 40, "%g %g %g %g",
	      rows[8], rows[16], rows[32], rows[40]);
	CHECK(qc_model_find(&model, "token_embd.weight")->dims[1] == 3, "embedding of %llu rows",
	      (unsigned long long)qc_model_find(&model, "token_embd.weight")->dims[1]);
	qc_model_close(&model);
	free(tokens.data);
}

static void generated_tensors_come_first(void)
{
	struct qc_model model;

	small_model(&model, "LlamaForCausalLM", ", \"rope_scaling\": {\"rope_type\": \"llama3\"}",
		    "model.");
	NEED(!qc_arch_name_tensors(&model, &err) &&
		     !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
	     "%s", err.text);
	CHECK(!strcmp(model.tensors[0].name, "rope_freqs.weight") &&
		      !strcmp(model.tensors[1].name, "token_embd.weight"),
	      "first come '%s' and '%s'", model.tensors[0].name, model.tensors[1].name);
	CHECK(model.n_tensors == 2 + 2 * 9 + 1, "%zu tensors", model.n_tensors);
	qc_model_close(&model);
}

/* No Hugging Face name twice; a GGUF name again only for another spelling, which may be missing. */
static void check_unique(const struct qc_arch_tensor *row)
{
	for (const struct qc_arch_tensor *other = row + 1; other->hf; other++) {
		CHECK(!*row->hf || strcmp(row->hf, other->hf), "%s is there twice", row->hf);
		CHECK(strcmp(row->gguf, other->gguf) || !*other->hf ||
			      other->needed == qc_row_optional,
		      "%s and %s both must be there", row->gguf, other->hf);
	}
}

/* Every row of every table: a known shape letter for each dimension, numbers on both sides; parts
 * belong to a row above. */
static void tables_are_well_formed(void)
{
	for (const struct qc_arch *const *a = qc_archs; *a; a++) {
		CHECK(qc_arch_by_gguf_name((*a)->name, strlen((*a)->name)) == *a, "%s is not found",
		      (*a)->name);
		CHECK(*(*a)->tensors->hf, "%s begins with a part", (*a)->name);
		for (const struct qc_arch_tensor *row = (*a)->tensors; row->hf; row++) {
			CHECK(row->shape[0] &&
				      strspn(row->shape, "ADEFGHKLNPQSX") == strlen(row->shape),
			      "%s: shape %s", row->gguf, row->shape);
			CHECK(!*row->hf || !strstr(row->hf, "{i}") == !strstr(row->gguf, "{i}"),
			      "%s and %s", row->hf, row->gguf);
			CHECK(*row->hf ? row->op < QC_ROWS_EVEN : row->op >= QC_ROWS_EVEN,
			      "%s: operation %d", row->gguf, row->op);
			CHECK(!strstr(row->hf, "{e}") || strstr(row->gguf, "_exps."), "%s and %s",
			      row->hf, row->gguf);
			check_unique(row);
		}
		for (const struct qc_arch_key *row = (*a)->keys; row->key; row++)
			CHECK(row->min <= row->max && (row->absent || (row->fallback >= row->min &&
								       row->fallback <= row->max)),
			      "%s: default %g, range %g to %g", row->key, row->fallback, row->min,
			      row->max);
	}
}

static void gguf_names_find_their_rows(void)
{
	struct qc_model model = {.layout = QC_LAYOUT_GGUF};
	static const char *const names[] = {"token_embd.weight", "blk.3.attn_q.weight",
					    "blk.3.unknown.weight", "rope_freqs.weight"};

	model.meta.arena = &model.arena;
	NEED(!qc_meta_set_string(&model.meta, "general.architecture", "llama", 5, &err),
	     "no memory");
	for (size_t i = 0; i < 4; i++)
		add(&model, names[i], 4, 4);
	NEED(!qc_arch_from_meta(&model, &err), "%s", err.text);
	CHECK(model.arch && !strcmp(model.arch->name, "llama"), "no architecture");
	CHECK(model.tensors[0].row && model.tensors[0].layer == -1, "token_embd: block %d",
	      model.tensors[0].layer);
	CHECK(model.tensors[1].row && model.tensors[1].row->op == QC_ROWS_PERMUTE_Q &&
		      model.tensors[1].layer == 3,
	      "attn_q: block %d", model.tensors[1].layer);
	CHECK(!model.tensors[2].row && model.tensors[2].layer == 3, "unknown: block %d",
	      model.tensors[2].layer);
	CHECK(!model.tensors[3].row, "rope_freqs has a row");
	CHECK(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
	NEED(!qc_meta_set_string(&model.meta, "general.architecture", "other", 5, &err),
	     "no memory");
	model.arch = NULL;
	CHECK(!qc_arch_from_meta(&model, &err) && !model.arch && strstr(model.arch_note, "'other'"),
	      "%s", model.arch_note);
	qc_model_close(&model);
}

static void names_become_titles(void)
{
	static const char *const cases[][2] = {
		{"meta-llama/Llama-2-7b-hf", "Llama 2 7b Hf"},
		{"org/gemma-3-4b-it", "Gemma 3 4b It"},
		{"tiny-llama-v1.5", "Tiny Llama v1.5"},
		{"--odd--name", "Odd Name"},
		{"vicuna-v1.x", "Vicuna V1.X"},
	};
	struct qc_model model;
	char config[160];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(config, sizeof(config),
			 "{\"model_type\": \"llama\", \"_name_or_path\": \"%s\"}", cases[i][0]);
		NEED(!from_config(&model, config), "%s", err.text);
		check_string(&model, "general.name", cases[i][1]);
		qc_model_close(&model);
	}
}

static void sizes_get_two_digits(void)
{
	static const struct {
		uint64_t rows;
		const char *label;
	} cases[] = {{3, "0.03K"}, {999, "10K"}, {850, "8.5K"}, {123456, "1.2M"}, {1234567, "12M"}};
	struct qc_model model;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		NEED(!from_config(&model, "{\"model_type\": \"llama\"}"), "%s", err.text);
		add(&model, "x", cases[i].rows, 10);
		NEED(!qc_arch_size_label(&model, &err), "%s", err.text);
		check_string(&model, "general.size_label", cases[i].label);
		qc_model_close(&model);
	}
}

static void a_hundred_thousand_tensors_are_named_in_linear_time(void)
{
	struct qc_model model;
	const clock_t start = clock();
	char name[96];

	small_model(&model, "Gemma3ForConditionalGeneration", "", "model.");
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "vision_tower.language_model.encoder.layers.%d.weight",
			 i);
		add(&model, name, 1, 0);
	}
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	CHECK(model.n_drops == 100000, "%zu drops", model.n_drops);
	qc_model_close(&model);
	CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 5, "took %g s",
	      (double)(clock() - start) / CLOCKS_PER_SEC);
}

int main(void)
{
	tiny_llama_becomes_what_llama_cpp_made_of_it();
	gemma_norms_get_one_added_and_matrices_do_not();
	sparse_gemma_4b_gets_every_default();
	gemma_rope_parameters_in_their_newer_form();
	llama_31_8b_has_its_keys_and_rope_factors();
	llama_2_has_no_rope_factors();
	yarn_and_longrope_keep_their_parameters();
	wrong_configurations_are_refused_with_the_reason();
	unusual_configurations_are_accepted();
	unknown_architectures_are_plain_bags();
	bad_files_get_their_verdicts();
	every_prefix_in_circulation_is_understood();
	a_head_is_kept_unless_it_is_tied();
	wrong_tensors_are_refused_by_name();
	permutation_and_truncation_follow_the_metadata();
	generated_tensors_come_first();
	tables_are_well_formed();
	gguf_names_find_their_rows();
	names_become_titles();
	sizes_get_two_digits();
	a_hundred_thousand_tensors_are_named_in_linear_time();
	return test_end();
}

/* Lint of FP8 and plain models, of indexes and shards, and of what cannot be read: for every rule a
 * good model and a bad one. */
#include "tests/lint_cases.h"
#include "tests/lint_nvfp4.h"

static void fp8_dir(void)
{
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	for (size_t i = 0; i < LINT_LAYERS; i++) {
		const char *p = lint_layers[i].name;
		const bool o = strstr(p, "o_proj") != NULL;
		const float value = o && wrong("negative")   ? -1
				    : o && wrong("infinite") ? (float)INFINITY
							     : 0.5f;

		lint_u8(&b, text("%s.weight", p), "F8_E4M3",
			text("[%u,%u]", lint_layers[i].out, lint_layers[i].in), 0x38);
		if (!(o && wrong("no scale")))
			lint_f32(&b, text("%s.weight_scale_inv", p),
				 o && wrong("short") ? "[1,2]"
				 : o && wrong("long")
					 ? "[4,64]"
					 : text("[%u,%u]", (lint_layers[i].out + 31) / 32,
						(lint_layers[i].in + 31) / 32),
				 value);
	}
	st_save(&b, "model.safetensors");
	lint_config_file(text("\"quantization_config\": {\"quant_method\": \"fp8\"%s, "
			      "\"activation_scheme\": \"%s\"}",
			      wrong("no block size") ? "" : ", \"weight_block_size\": [32, 32]",
			      wrong("static") ? "static" : "dynamic"));
}

static void fp8_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"no scale", "shapes", QC_LINT_ERROR, "o_proj.weight", "no scale"},
		{"short", "shapes", QC_LINT_ERROR, "o_proj.weight_scale_inv", "2x2"},
		{"long", "shapes", QC_LINT_ERROR, "o_proj.weight_scale_inv", "2x2"},
		{"no block size", "shapes", QC_LINT_ERROR, "q_proj.weight_scale_inv",
		 "weight_block_size"},
		{"negative", "scale-values", QC_LINT_ERROR, "o_proj.weight_scale_inv", "negative"},
		{"infinite", "scale-values", QC_LINT_ERROR, "o_proj.weight_scale_inv", "infinite"},
		{"static", "static-activations", QC_LINT_ERROR, "q_proj.weight", "static"},
		{0},
	};

	lint_each(fp8_dir, cases, NULL);
}

static void plain_dir(void)
{
	struct st_build b = {0};

	if (!wrong("no format"))
		lint_begin_file(&b);
	lint_rest(&b);
	for (size_t i = 0; i < LINT_LAYERS; i++)
		lint_bf16(&b, text("%s.weight", lint_layers[i].name),
			  text("[%u,%u]", lint_layers[i].out, lint_layers[i].in), 1);
	if (wrong("layer too many"))
		lint_bf16(&b, "model.layers.1.input_layernorm.weight", "[64]", 1);
	st_save(&b, "model.safetensors");
	lint_config_file(wrong("unused") ? "\"quantization_config\": {\"quant_method\": \"gptq\"}"
					 : "");
	if (wrong("config is a list"))
		st_text("config.json", "[]");
	if (wrong("no config"))
		unlink(st_path("config.json"));
}

static void plain_models_are_examined(void)
{
	static const struct lint_case cases[] = {
		{"no format", "safetensors-format", QC_LINT_WARNING, "model.safetensors", "pt"},
		{"vocabulary", "embedding-shape", QC_LINT_ERROR, "embed_tokens", "vocab_size, 16"},
		{"hidden size", "embedding-shape", QC_LINT_ERROR, "embed_tokens",
		 "hidden_size, 65"},
		{"no head", "output-head", QC_LINT_ERROR, "lm_head", "tie_word_embeddings"},
		{"tied head", "output-head", QC_LINT_WARNING, "lm_head", "tie_word_embeddings"},
		{"layer missing", "layer-count", QC_LINT_ERROR, "layers.1", "1 layers"},
		{"layer too many", "layer-count", QC_LINT_WARNING, "layers.1", "not used"},
		{"no tokenizer", "tokenizer-file", QC_LINT_WARNING, "tokenizer", ""},
		{"unused", "quant-unused", QC_LINT_ERROR, "quantization_config", "gptq"},
		{"config is a list", "config-readable", QC_LINT_ERROR, "config.json",
		 "JSON object"},
		{"no config", "config-readable", QC_LINT_WARNING, "config.json", "no such file"},
		{0},
	};

	lint_each(plain_dir, cases, "readable");
}

static void shards_dir(void)
{
	const char *second = "model-00002-of-00002.safetensors";
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	st_save(&b, "model-00001-of-00002.safetensors");
	lint_begin_file(&b);
	lint_bf16(&b, "model.layers.0.self_attn.q_proj.weight", "[64,64]", 1);
	if (wrong("twice"))
		lint_bf16(&b, "model.norm.weight", "[64]", 1);
	if (wrong("not listed"))
		lint_bf16(&b, "extra", "[64]", 1);
	st_save(&b, second);
	lint_config_file("");
	if (wrong("both")) {
		lint_begin_file(&b);
		lint_rest(&b);
		st_save(&b, "model.safetensors");
	}
	if (wrong("no index"))
		return;
	st_text("model.safetensors.index.json",
		text("{%s%s%s\"weight_map\": {\"model.embed_tokens.weight\": \"%s\", "
		     "\"lm_head.weight\": \"%s\", \"model.norm.weight\": \"%s\", "
		     "\"model.layers.0.input_layernorm.weight\": \"%s\"%s, "
		     "\"model.layers.0.self_attn.q_proj.weight\": \"%s\"}}",
		     wrong("no metadata") ? "" : "\"metadata\": {",
		     wrong("no metadata") || wrong("no total") ? ""
		     : wrong("total")			       ? "\"total_size\": 12"
							       : "\"total_size\": 12544",
		     wrong("no metadata") ? "" : "}, ", "model-00001-of-00002.safetensors",
		     wrong("elsewhere") ? second : "model-00001-of-00002.safetensors",
		     "model-00001-of-00002.safetensors", "model-00001-of-00002.safetensors",
		     wrong("not there") ? text(", \"missing\": \"%s\"", second) : "", second));
}

static void indexes_are_examined(void)
{
	static const struct lint_case cases[] = {
		{"twice", "index-tensors", QC_LINT_ERROR, "model.norm.weight", "again"},
		{"not listed", "index-tensors", QC_LINT_ERROR, "extra", "not in the index"},
		{"not there", "index-tensors", QC_LINT_ERROR, "missing", "in no file"},
		{"elsewhere", "index-tensors", QC_LINT_ERROR, "lm_head.weight", "00002-of-00002"},
		{"total", "index-metadata", QC_LINT_WARNING, "total_size", "12544"},
		{"no total", "index-metadata", QC_LINT_WARNING, "total_size", "12544"},
		{"no metadata", "index-metadata", QC_LINT_ERROR, "metadata", "transformers"},
		{"no index", "index-presence", QC_LINT_ERROR, "index.json", "2 shards"},
		{"both", "index-presence", QC_LINT_WARNING, "model.safetensors", "index"},
		{0},
	};

	lint_each(shards_dir, cases, NULL);
}

/* What no rule covers: the reader's own words. */
static void what_cannot_be_read_is_a_finding(void)
{
	static const struct lint_case missing = {"", "readable", QC_LINT_ERROR, "qconv-test",
						 "model.norm.weight"};
	static const struct lint_case unknown = {"", "readable", QC_LINT_WARNING, "qconv-test",
						 "svdquant_lora_a"};
	struct st_build b = {0};

	lint_empty_dir();
	lint_begin_file(&b);
	lint_bf16(&b, "model.embed_tokens.weight", "[16,64]", 1);
	st_save(&b, "model.safetensors");
	st_text("config.json",
		"{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], "
		"\"vocab_size\": 16, \"hidden_size\": 64, \"num_attention_heads\": 2, "
		"\"num_hidden_layers\": 1, \"intermediate_size\": 64}");
	lint_finds(st_dir, &missing, NULL);
	lint_empty_dir();
	lint_begin_file(&b);
	lint_rest(&b);
	add_nvfp4(&b, "model.layers.0.mlp.x_proj", 8, 64);
	lint_f32(&b, "model.layers.0.mlp.x_proj.svdquant_lora_a", "[8]", 1);
	st_save(&b, "model.safetensors");
	lint_config_file("\"quantization_config\": {\"quant_method\": \"modelopt\", "
			 "\"quant_algo\": \"NVFP4\", \"ignore\": [\"lm_head\"]}");
	lint_finds(st_dir, &unknown, NULL);
}

/* Nothing is wrong with what the project ships. */
static void the_projects_own_models_are_good(void)
{
	static const char *const models[] = {
		"samples/tiny-gemma3",
		"tests/data/models/tiny-gemma3-bnb-nf4",
		"tests/data/models/tiny-gemma4",
		"tests/data/models/tiny-gpt-oss",
		"tests/data/models/tiny-gpt-oss-bf16",
		"tests/data/models/tiny-llama",
	};

	for (size_t i = 0; i < sizeof(models) / sizeof(*models); i++)
		lint_is_clean(models[i]);
}

/* A container that cannot be read is an error, not a finding. */
static void a_broken_container_is_an_error(void)
{
	struct qconv_options options = {0};
	struct qc_findings findings;
	struct qc_err err = {0};
	enum qc_status s;

	lint_empty_dir();
	s = qc_lint(&findings, st_text("m.safetensors", "no such thing"), &options, &err);
	CHECK(s == QC_BAD_INPUT, "status %d: %s", s, err.text);
	qc_findings_clear(&findings);
	s = qc_lint(&findings, st_path("absent.gguf"), &options, &err);
	CHECK(s == QC_IO, "status %d: %s", s, err.text);
	qc_findings_clear(&findings);
}

int main(void)
{
	st_begin();
	fp8_is_examined();
	plain_models_are_examined();
	indexes_are_examined();
	what_cannot_be_read_is_a_finding();
	the_projects_own_models_are_good();
	a_broken_container_is_an_error();
	every_rule_has_a_case(lint_rules_files);
	every_rule_has_a_case(lint_rules_fp8);
	every_rule_but("expert-count", lint_rules_plain);
	rule_has_a_case("quant-unused");
	st_end();
	return test_end();
}

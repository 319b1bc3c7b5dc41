/* Architectures: config.json to metadata, refusals. */
#include "formats/arch/arch.h"

#include "tests/arch_model.h"
#include "tests/test.h"

static struct qc_err err;

/* The published 4B's text_config says little; the rest is what transformers fills in. */
static void sparse_gemma_4b_gets_every_default(void)
{
	static const struct am_key keys[] = {
		{"block_count", QC_KV_U32, 34, NULL},
		{"context_length", QC_KV_U32, 131072, NULL},
		{"embedding_length", QC_KV_U32, 2560, NULL},
		{"feed_forward_length", QC_KV_U32, 10240, NULL},
		{"attention.head_count", QC_KV_U32, 8, NULL},
		{"attention.head_count_kv", QC_KV_U32, 4, NULL},
		{"rope.scaling.type", QC_KV_STRING, 0, "linear"},
		{"rope.scaling.factor", QC_KV_F32, 8, NULL},
		{"rope.freq_base", QC_KV_F32, 1e6, NULL},
		{"rope.freq_base_swa", QC_KV_F32, 1e4, NULL},
		{"attention.layer_norm_rms_epsilon", QC_KV_F32, 1e-6, NULL},
		{"attention.key_length", QC_KV_U32, 256, NULL},
		{"attention.value_length", QC_KV_U32, 256, NULL},
		{"attention.sliding_window", QC_KV_U32, 1024, NULL},
		{0},
	};
	struct qc_model model;

	NEED(!am_config(
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
		     "\"num_attention_heads\": 16, \"num_hidden_layers\": 27}}",
		     &err),
	     "%s", err.text);
	am_check_keys(&model, "gemma3", keys);
	am_check_absent(&model, "gemma3.final_logit_softcapping");
	CHECK(qc_arch_vocab_size(&model) == 262208, "vocabulary of %u", qc_arch_vocab_size(&model));
	qc_model_close(&model);
}

static void gemma_rope_parameters_in_their_newer_form(void)
{
	struct qc_model model;

	NEED(!am_config(
		     &model,
		     "{\"architectures\": [\"Gemma3ForCausalLM\"], \"rope_parameters\": {"
		     "\"full_attention\": {\"rope_type\": \"linear\", \"factor\": 4, "
		     "\"rope_theta\": 2e6},"
		     "\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 3e4}}}",
		     &err),
	     "%s", err.text);
	am_check_f32(&model, "gemma3.rope.freq_base", 2e6f);
	am_check_f32(&model, "gemma3.rope.freq_base_swa", 3e4f);
	am_check_f32(&model, "gemma3.rope.scaling.factor", 4);
	qc_model_close(&model);
}

static void yarn_and_longrope_keep_their_parameters(void)
{
	struct qc_model model;

	NEED(!am_config(&model,
			"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": "
			"\"yarn\", \"factor\": 16,"
			"\"original_max_position_embeddings\": 4096, \"beta_fast\": 32, "
			"\"beta_slow\": 1,"
			"\"attention_factor\": 0.5}}",
			&err),
	     "%s", err.text);
	am_check_string(&model, "llama.rope.scaling.type", "yarn");
	am_check_f32(&model, "llama.rope.scaling.factor", 16);
	am_check_u32(&model, "llama.rope.scaling.original_context_length", 4096);
	am_check_f32(&model, "llama.rope.scaling.yarn_beta_fast", 32);
	am_check_f32(&model, "llama.rope.scaling.yarn_beta_slow", 1);
	am_check_f32(&model, "llama.rope.scaling.yarn_attn_factor", 0.5f);
	qc_model_close(&model);
	NEED(!am_config(&model,
			"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"longrope\"}}",
			&err),
	     "%s", err.text);
	am_check_string(&model, "llama.rope.scaling.type", "longrope");
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
		CHECK(am_config(&model, cases[i].config, &err) && strstr(err.text, cases[i].reason),
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
		CHECK(!am_config(&model, cases[i], &err) && model.arch, "%s: %s", cases[i],
		      err.text);
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
		CHECK(!am_config(&model, cases[i], &err), "%s: %s", cases[i], err.text);
		CHECK(!model.arch && model.layout == QC_LAYOUT_PLAIN && model.arch_note,
		      "%s is known", cases[i]);
		am_add_counted(&model, "any.name", 4, 4);
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
		NEED(!am_config(&model, config, &err), "%s", err.text);
		am_check_string(&model, "general.name", cases[i][1]);
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
		NEED(!am_config(&model, "{\"model_type\": \"llama\"}", &err), "%s", err.text);
		am_add_counted(&model, "x", cases[i].rows, 10);
		NEED(!qc_arch_size_label(&model, &err), "%s", err.text);
		am_check_string(&model, "general.size_label", cases[i].label);
		qc_model_close(&model);
	}
}

int main(void)
{
	sparse_gemma_4b_gets_every_default();
	gemma_rope_parameters_in_their_newer_form();
	yarn_and_longrope_keep_their_parameters();
	wrong_configurations_are_refused_with_the_reason();
	unusual_configurations_are_accepted();
	unknown_architectures_are_plain_bags();
	bad_files_get_their_verdicts();
	names_become_titles();
	sizes_get_two_digits();
	return test_end();
}

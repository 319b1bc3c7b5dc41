/* Lint of 4-bit layouts, ModelOpt, compressed-tensors and gpt-oss: for every rule a good model and
 * a bad one. */
#include "tests/lint_cases.h"
#include "tests/lint_nvfp4.h"

static void modelopt_dir(void)
{
	const char *algo = wrong("other algo")		? "FP8"
			   : wrong("no algo")		? ""
			   : wrong("weight-only algo")	? "W4A16_NVFP4"
			   : wrong("algo of no loader") ? "NVFP4_SVD"
							: "NVFP4";
	const char *ignore = wrong("k excluded")
				     ? "\"lm_head\", \"model.layers.0.self_attn.k_proj\""
			     : wrong("all excluded")	  ? "\"lm_head\", \"model.layers.0*\""
			     : wrong("part excluded")	  ? "\"lm_head\", \"down_\""
			     : wrong("head not excluded") ? "\"model.embed_tokens\""
							  : "\"lm_head*\"";
	const char *keys = wrong("no group size") ? "\"kv_cache_quant_algo\": \"FP8\""
			   : wrong("groups of 32")
				   ? "\"kv_cache_quant_algo\": null, \"group_size\": 32"
				   : "\"kv_cache_quant_algo\": \"FP8\", \"group_size\": 16";
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	for (size_t i = 0; i < LINT_LAYERS; i++)
		add_nvfp4(&b, lint_layers[i].name, lint_layers[i].out, lint_layers[i].in);
	st_save(&b, "model.safetensors");
	lint_config_file(
		wrong("no quantization_config") ? ""
		: wrong("bitsandbytes")
			? "\"quantization_config\": {\"quant_method\": \"bitsandbytes\"}"
			: text("\"quantization_config\": {\"quant_method\": \"modelopt\", %s%s%s"
			       "\"kv_cache_scheme\": {\"type\": \"float\", \"num_bits\": 8}, "
			       "\"ignore\": [%s]}",
			       *algo ? "\"quant_algo\": \"" : "", algo, *algo ? "\", " : "",
			       ignore));
	if (wrong("no quantization_config"))
		return;
	st_text("hf_quant_config.json",
		wrong("hf config is a list")
			? "[]"
			: text("{\"producer\": {\"name\": \"modelopt\"}, \"quantization\": "
			       "{\"quant_algo\": \"%s\", %s, \"exclude_modules\": [%s]}}",
			       wrong("two algos") ? "W4A16_NVFP4"
			       : *algo		  ? algo
						  : "NVFP4",
			       keys, ignore));
}

static void modelopt_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"no block scale", "companions", QC_LINT_ERROR, "k_proj.weight",
		 "k_proj.weight_scale'"},
		{"no global scale", "companions", QC_LINT_ERROR, "k_proj.weight", ""},
		{"scale type", "companions", QC_LINT_ERROR, "k_proj.weight_scale", "f8_e4m3"},
		{"scale shape", "shapes", QC_LINT_ERROR, "k_proj.weight_scale", "32x5"},
		{"rows of 40", "shapes", QC_LINT_ERROR, "down_proj.weight", "40 inputs"},
		{"two global scales", "shapes", QC_LINT_ERROR, "k_proj.weight_scale_2",
		 "one number"},
		{"negative scale", "scale-values", QC_LINT_ERROR, "k_proj.weight_scale",
		 "128 of 128 scales are negative, the first in row 0, group 0"},
		{"nan scale", "scale-values", QC_LINT_ERROR, "k_proj.weight_scale", "NaN"},
		{"zero scale", "scale-values", QC_LINT_WARNING, "k_proj.weight_scale", "zero"},
		{"zero global scale", "scale-values", QC_LINT_ERROR, "k_proj.weight_scale_2",
		 "the scale is zero"},
		{"other global scale", "shared-global-scale", QC_LINT_ERROR,
		 "k_proj.weight_scale_2", "q_proj, k_proj and v_proj"},
		{"other input scale", "shared-input-scale", QC_LINT_ERROR, "k_proj.input_scale",
		 "0.25, while"},
		{"no input scale", "input-scale-all-or-none", QC_LINT_ERROR, "k_proj.weight",
		 "1 of 7"},
		{"divisor", "global-scale-direction", QC_LINT_WARNING, "q_proj.weight_scale_2",
		 "1000"},
		{"half global", "global-scale-type", QC_LINT_WARNING, "k_proj.weight_scale_2",
		 "bf16"},
		{"input scale 1", "input-scale-value", QC_LINT_WARNING, "q_proj.input_scale",
		 "W4A16"},
		{"pre-scale", "pre-quant-scale", QC_LINT_ERROR, "k_proj.pre_quant_scale",
		 "NVFP4_AWQ"},
		{"rows of 48", "gguf-rows", QC_LINT_WARNING, "down_proj.weight", "48 inputs"},
		{"k plain", "fused-scheme", QC_LINT_ERROR, "k_proj.weight", "not quantized"},
		{"k plain", "plain-but-not-excluded", QC_LINT_ERROR, "k_proj.weight", "ignore"},
		{"head not excluded", "plain-but-not-excluded", QC_LINT_ERROR, "lm_head.weight",
		 ""},
		{"k excluded", "excluded-but-quantized", QC_LINT_ERROR, "k_proj.weight", ""},
		{"all excluded", "excluded-but-quantized", QC_LINT_ERROR, "up_proj.weight",
		 "layers.0*"},
		{"part excluded", "excluded-but-quantized", QC_LINT_ERROR, "down_proj.weight",
		 "down_"},
		{"no quantization_config", "quant-method", QC_LINT_ERROR, "down_proj.weight",
		 "no quantization_config"},
		{"bitsandbytes", "quant-method", QC_LINT_ERROR, "down_proj.weight", "bitsandbytes"},
		{"other algo", "modelopt-algo", QC_LINT_ERROR, "quant_algo", "FP8"},
		{"no algo", "modelopt-algo", QC_LINT_ERROR, "config.json", "missing"},
		{"algo of no loader", "modelopt-algo", QC_LINT_WARNING, "quant_algo",
		 "that vLLM loads"},
		{"two algos", "modelopt-agreement", QC_LINT_ERROR, "hf_quant_config.json",
		 "W4A16_NVFP4"},
		{"no group size", "modelopt-keys", QC_LINT_WARNING, "quantization.group_size",
		 "missing"},
		{"groups of 32", "modelopt-group-size", QC_LINT_ERROR, "group_size", "16, as"},
		{"no activations", "modelopt-activations", QC_LINT_ERROR, "quant_algo",
		 "W4A16_NVFP4"},
		{"weight-only algo", "modelopt-activations", QC_LINT_WARNING, "quant_algo",
		 "input_scale"},
		{"no cache scales", "kv-cache-scales", QC_LINT_WARNING, "kv_cache_scheme",
		 "no k_scale"},
		{"hf config is a list", "config-readable", QC_LINT_ERROR, "hf_quant_config.json",
		 "ModelOpt"},
		{0},
	};

	/* an incomplete or unlike fusion is several rules' concern */
	lint_each(modelopt_dir, cases,
		  "fused-scheme,plain-but-not-excluded,modelopt-agreement,shared-global-scale,"
		  "modelopt-algo");
}

/* hf_quant_config.json alone: vLLM then insists on its keys. */
static void hf_quant_dir(void)
{
	modelopt_dir();
	lint_config_file("");
}

static void hf_quant_config_alone_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"no group size", "modelopt-keys", QC_LINT_ERROR, "quantization.group_size",
		 "missing"},
		{"k excluded", "excluded-but-quantized", QC_LINT_ERROR, "k_proj.weight",
		 "hf_quant_config.json"},
		{"no activations", "modelopt-activations", QC_LINT_ERROR, "hf_quant_config.json",
		 "W4A16_NVFP4"},
		{0},
	};

	lint_each(hf_quant_dir, cases, NULL);
}

/* Experts: names of either kind. */
static void experts_dir(void)
{
	const unsigned n = wrong("expert missing") ? 3 : 4;
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	for (unsigned e = 0; e < n; e++)
		for (int w = 1; w <= 3; w += 2) {
			const char *p =
				text("model.layers.0.block_sparse_moe.experts.%u.w%d", e, w);

			lint_u8(&b, text("%s.weight", p), "U8", "[8,32]", 0x21);
			lint_u8(&b, text("%s.weight_scale", p), "F8_E4M3", "[8,4]", 0x38);
			lint_f32(&b, text("%s.weight_scale_2", p), "[]",
				 e == 2 && w == 3 && wrong("unlike expert")
					 ? 0.5f
					 : 0.001f * (float)(e + 1));
		}
	st_save(&b, "model.safetensors");
	lint_config_file(text("\"num_local_experts\": 4, \"num_experts_per_tok\": %d, "
			      "\"quantization_config\": {\"quant_method\": \"modelopt\", "
			      "\"quant_algo\": \"W4A16_NVFP4\", \"ignore\": [\"lm_head\"]}",
			      wrong("too many used") ? 5 : 2));
}

static void experts_are_examined(void)
{
	static const struct lint_case cases[] = {
		{"unlike expert", "shared-global-scale", QC_LINT_ERROR, "experts.2.w3",
		 "w1 and w3"},
		{"expert missing", "expert-count", QC_LINT_ERROR, "config.json", "1 missing"},
		{"too many used", "expert-count", QC_LINT_ERROR, "num_experts_per_tok", "1 to 4"},
		{0},
	};

	lint_each(experts_dir, cases, NULL);
}

static void ct_dir(void)
{
	const char *ignore = wrong("head by regex") || !lint_wrong ? "\"re:.*lm_head\""
			     : wrong("k by regex") ? "\"lm_head\", \"re:model.layers.*k_proj$\""
						   : "\"lm_head\"";
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	for (size_t i = 0; i < LINT_LAYERS; i++) {
		const char *p = lint_layers[i].name;
		const bool k = strstr(p, "k_proj") != NULL;

		lint_u8(&b, text("%s.weight_packed", p), "U8",
			text("[%u,%u]", lint_layers[i].out, lint_layers[i].in / 2), 0x21);
		lint_u8(&b, text("%s.weight_scale", p), "F8_E4M3",
			text("[%u,%u]", lint_layers[i].out, lint_layers[i].in / 16), 0x7e);
		lint_f32(&b, text("%s.weight_global_scale", p), "[1]",
			 k && wrong("other divisor") ? 512
			 : wrong("factor")	     ? 0.01f
						     : 1024);
		if (!wrong("no inputs"))
			lint_f32(&b, text("%s.input_global_scale", p), "[1]", 100);
	}
	st_save(&b, "model.safetensors");
	lint_config_file(text(
		"\"quantization_config\": {\"quant_method\": \"compressed-tensors\", \"format\": "
		"\"%s\", \"ignore\": [%s], \"config_groups\": {\"group_0\": {\"targets\": "
		"[\"Linear\"], \"weights\": {\"num_bits\": %d, \"type\": \"float\", "
		"\"group_size\": "
		"%d}, \"input_activations\": %s}}}",
		wrong("format") ? "pack-quantized" : "nvfp4-pack-quantized", ignore,
		wrong("8 bits") ? 8 : 4, wrong("groups of 32") ? 32 : 16,
		wrong("weight-only") ? "null" : "{\"num_bits\": 4, \"dynamic\": \"local\"}"));
}

static void compressed_tensors_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"other divisor", "shared-global-scale", QC_LINT_ERROR,
		 "k_proj.weight_global_scale", "512"},
		{"factor", "global-scale-direction", QC_LINT_WARNING, "weight_global_scale",
		 "divisor"},
		{"format", "ct-format", QC_LINT_ERROR, "format", "nvfp4-pack-quantized"},
		{"8 bits", "ct-config-groups", QC_LINT_ERROR, "q_proj.weight_packed", "4 groups"},
		{"groups of 32", "ct-config-groups", QC_LINT_ERROR, "down_proj.weight_packed",
		 "8 groups"},
		{"no inputs", "ct-activations", QC_LINT_ERROR, "down_proj", "input_global_scale"},
		{"weight-only", "ct-activations", QC_LINT_WARNING, "down_proj", "null"},
		{"k by regex", "excluded-but-quantized", QC_LINT_ERROR, "k_proj",
		 "regular expression"},
		{0},
	};

	lint_each(ct_dir, cases, NULL);
}

/* Two experts as llm-compressor makes them. */
static void ct_experts_dir(void)
{
	static const char *const parts[] = {"gate_proj", "up_proj", "down_proj"};
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	for (int e = 0; e < 2; e++)
		for (size_t i = 0; i < 3; i++) {
			const char *p = text("model.layers.0.mlp.experts.%d.%s", e, parts[i]);

			lint_u8(&b, text("%s.weight_packed", p), "U8", "[64,32]", 0x21);
			lint_u8(&b, text("%s.weight_scale", p), "U8", "[64,2]", 120);
			lint_bf16(&b, text("%s.bias", p), "[64]", 1);
		}
	st_save(&b, "model.safetensors");
	lint_config_file(text(
		"\"text_config\": {\"model_type\": \"%s\"}, \"quantization_config\": "
		"{\"quant_method\": \"compressed-tensors\", \"format\": \"mxfp4-pack-quantized\", "
		"\"ignore\": [\"lm_head\"], \"config_groups\": {\"group_0\": {\"targets\": "
		"[\"Linear\"], \"weights\": {\"num_bits\": 4, \"type\": \"float\", "
		"\"group_size\": 32}}}}",
		wrong("of gpt-oss") ? "gpt_oss" : "tiny"));
}

static void experts_of_compressed_tensors_are_examined(void)
{
	static const struct lint_case cases[] = {
		{"of gpt-oss", "ct-gpt-oss-experts", QC_LINT_WARNING, "experts.0.down_proj",
		 "one tensor"},
		{0},
	};

	lint_each(ct_experts_dir, cases, NULL);
}

static void gpt_oss_dir(void)
{
	const char *p = "model.layers.0.mlp.experts.gate_up_proj";
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	lint_bf16(&b, "model.layers.0.self_attn.q_proj.weight", "[64,64]", 1);
	if (!wrong("no blocks"))
		lint_u8(&b, text("%s_blocks", p), "U8",
			wrong("unpacked") ? "[2,8,2,32]" : "[2,8,2,16]", 0x21);
	if (!wrong("no scales"))
		lint_u8(&b, text("%s_scales", p), "U8", wrong("short") ? "[2,8,1]" : "[2,8,2]",
			wrong("nan") ? 255 : 120);
	lint_bf16(&b, text("%s_bias", p), "[2,8]", 1);
	st_save(&b, "model.safetensors");
	lint_config_file(text("\"quantization_config\": {\"quant_method\": \"mxfp4\", "
			      "\"modules_to_not_convert\": [\"model.layers.*.self_attn\", "
			      "\"lm_head\"%s]}",
			      wrong("excluded") ? ", \"model.layers.*.mlp.experts*\"" : ""));
}

static void gpt_oss_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"no blocks", "companions", QC_LINT_ERROR, "gate_up_proj", "_blocks"},
		{"no scales", "companions", QC_LINT_ERROR, "gate_up_proj_blocks", "_scales"},
		{"unpacked", "shapes", QC_LINT_ERROR, "gate_up_proj_blocks", "16]"},
		{"short", "shapes", QC_LINT_ERROR, "gate_up_proj_scales", "2x8x2"},
		{"nan", "scale-values", QC_LINT_ERROR, "gate_up_proj_scales", "NaN"},
		{"excluded", "excluded-but-quantized", QC_LINT_ERROR, "gate_up_proj_blocks",
		 "experts*"},
		{0},
	};

	lint_each(gpt_oss_dir, cases, NULL);
}

int main(void)
{
	st_begin();
	modelopt_is_examined();
	hf_quant_config_alone_is_examined();
	experts_are_examined();
	compressed_tensors_is_examined();
	experts_of_compressed_tensors_are_examined();
	gpt_oss_is_examined();
	every_rule_but("quant-unused", lint_rules_config);
	every_rule_has_a_case(lint_rules_modelopt);
	every_rule_has_a_case(lint_rules_ct);
	every_rule_has_a_case(lint_rules_exclude);
	every_rule_has_a_case(lint_rules_common);
	every_rule_has_a_case(lint_rules_nvfp4);
	rule_has_a_case("expert-count");
	st_end();
	return test_end();
}

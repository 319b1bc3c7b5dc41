/* Gemma 4's text models: metadata of every size, tensors of both name layouts, what may be missing.
 */
#include "tests/arch_model.h"

#include <math.h>

#define TINY "tests/data/models/tiny-gemma4"

static struct qc_err err;

#define ROPE                                                                                       \
	"\"rope_parameters\": {\"full_attention\": {\"partial_rotary_factor\": 0.25, "             \
	"\"rope_theta\": 1000000.0, \"rope_type\": \"proportional\"}, \"sliding_attention\": "     \
	"{\"rope_theta\": 10000.0, \"rope_type\": \"default\"}}"

/* A configuration of `class` with the text fields given. */
#define CONFIG(class, fields)                                                                      \
	"{\"architectures\": [\"" class "\"], \"text_config\": {" ROPE ", " fields "}}"

#define E2B                                                                                        \
	"\"hidden_size\": 1536, \"intermediate_size\": 6144, \"num_hidden_layers\": 35, "          \
	"\"num_attention_heads\": 8, \"num_key_value_heads\": 1, \"head_dim\": 256, "              \
	"\"global_head_dim\": 512, \"num_global_key_value_heads\": null, \"sliding_window\": "     \
	"512, "                                                                                    \
	"\"num_kv_shared_layers\": 20, \"use_double_wide_mlp\": true, "                            \
	"\"hidden_size_per_layer_input\": 256, \"final_logit_softcapping\": 30.0, "                \
	"\"max_position_embeddings\": 131072, \"vocab_size\": 262144, \"layer_types\": [%s]"

#define A4B                                                                                        \
	"\"hidden_size\": 2816, \"intermediate_size\": 2112, \"num_hidden_layers\": 30, "          \
	"\"num_attention_heads\": 16, \"num_key_value_heads\": 8, \"head_dim\": 256, "             \
	"\"global_head_dim\": 512, \"num_global_key_value_heads\": 2, \"attention_k_eq_v\": "      \
	"true, "                                                                                   \
	"\"sliding_window\": 1024, \"num_kv_shared_layers\": 0, \"hidden_size_per_layer_input\": " \
	"0, \"enable_moe_block\": true, \"num_experts\": 128, \"top_k_experts\": 8, "              \
	"\"moe_intermediate_size\": 704, \"use_bidirectional_attention\": \"vision\", "            \
	"\"final_logit_softcapping\": 30.0, \"max_position_embeddings\": 262144"

#define UNIFIED                                                                                    \
	"\"hidden_size\": 3840, \"intermediate_size\": 15360, \"num_hidden_layers\": 48, "         \
	"\"num_attention_heads\": 16, \"num_key_value_heads\": 8, \"head_dim\": 256, "             \
	"\"global_head_dim\": 512, \"num_global_key_value_heads\": 1, \"attention_k_eq_v\": "      \
	"true, "                                                                                   \
	"\"sliding_window\": 1024, \"hidden_size_per_layer_input\": null"

/* Six blocks s s f s s f of which the last three share keys and values. */
#define SMALL(more)                                                                                \
	"\"hidden_size\": 8, \"intermediate_size\": 6, \"num_hidden_layers\": 6, "                 \
	"\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 4, "                \
	"\"global_head_dim\": 8, \"hidden_size_per_layer_input\": 3, \"vocab_size\": 5, "          \
	"\"use_double_wide_mlp\": true, \"num_kv_shared_layers\": 3, \"layer_types\": "            \
	"[\"sliding_attention\", \"sliding_attention\", \"full_attention\", "                      \
	"\"sliding_attention\", \"sliding_attention\", \"full_attention\"]" more

static void open_e2b(struct qc_model *model)
{
	char types[1024] = "", config[4096];

	for (int i = 0; i < 35; i++)
		sprintf(types + strlen(types), "%s\"%s_attention\"", i ? "," : "",
			i % 5 == 4 ? "full" : "sliding");
	snprintf(config, sizeof(config), CONFIG("Gemma4ForConditionalGeneration", E2B), types);
	NEED(!am_config(model, config, &err), "%s", err.text);
}

static void e2b_has_the_metadata_that_llama_cpp_needs(void)
{
	struct qc_model model;

	open_e2b(&model);
	am_check_string(&model, "general.architecture", "gemma4");
	am_check_u32(&model, "gemma4.block_count", 35);
	am_check_u32(&model, "gemma4.context_length", 131072);
	am_check_u32(&model, "gemma4.embedding_length", 1536);
	am_check_array(&model, "gemma4.feed_forward_length", QC_KV_I32,
		       "6144 6144 6144 6144 6144 6144 6144 6144 6144 6144 6144 6144 6144 6144 6144 "
		       "12288 12288 12288 12288 12288 12288 12288 12288 12288 12288 12288 12288 "
		       "12288 12288 12288 12288 12288 12288 12288 12288");
	am_check_u32(&model, "gemma4.attention.head_count", 8);
	am_check_u32(&model, "gemma4.attention.head_count_kv", 1);
	am_check_f32(&model, "gemma4.rope.freq_base", 1e6f);
	am_check_f32(&model, "gemma4.rope.freq_base_swa", 1e4f);
	am_check_f32(&model, "gemma4.attention.layer_norm_rms_epsilon", 1e-6f);
	am_check_u32(&model, "gemma4.attention.key_length", 512);
	am_check_u32(&model, "gemma4.attention.value_length", 512);
	am_check_u32(&model, "gemma4.attention.key_length_swa", 256);
	am_check_u32(&model, "gemma4.attention.value_length_swa", 256);
	am_check_f32(&model, "gemma4.final_logit_softcapping", 30);
	am_check_u32(&model, "gemma4.attention.sliding_window", 512);
	am_check_u32(&model, "gemma4.attention.shared_kv_layers", 20);
	am_check_u32(&model, "gemma4.embedding_length_per_layer_input", 256);
	am_check_array(&model, "gemma4.attention.sliding_window_pattern", QC_KV_BOOL,
		       "1 1 1 1 0 1 1 1 1 0 1 1 1 1 0 1 1 1 1 0 1 1 1 1 0 1 1 1 1 0 1 1 1 1 0");
	am_check_u32(&model, "gemma4.rope.dimension_count", 512);
	am_check_u32(&model, "gemma4.rope.dimension_count_swa", 256);
	am_check_absent(&model, "gemma4.rope.scaling.type");
	am_check_absent(&model, "gemma4.expert_count");
	qc_model_close(&model);
}

static void e2b_has_tensors_of_two_widths_and_head_sizes(void)
{
	struct qc_model model;
	float *factors;

	open_e2b(&model);
	am_fill(&model, "model.language_model.", false, NULL);
	NEED(!qc_arch_name_tensors(&model, &err) &&
		     !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
	     "%s", err.text);
	am_check_tensor(&model, "token_embd.weight", "1536 262144");
	am_check_tensor(&model, "per_layer_token_embd.weight", "8960 262144");
	am_check_tensor(&model, "per_layer_model_proj.weight", "1536 8960");
	am_check_tensor(&model, "per_layer_proj_norm.weight", "256");
	am_check_tensor(&model, "blk.0.attn_q.weight", "1536 2048");
	am_check_tensor(&model, "blk.4.attn_q.weight", "1536 4096");
	am_check_tensor(&model, "blk.4.attn_k.weight", "1536 512");
	am_check_tensor(&model, "blk.4.attn_q_norm.weight", "512");
	am_check_tensor(&model, "blk.14.ffn_down.weight", "6144 1536");
	am_check_tensor(&model, "blk.15.ffn_down.weight", "12288 1536");
	am_check_tensor(&model, "blk.34.inp_gate.weight", "1536 256");
	am_check_tensor(&model, "blk.34.proj.weight", "256 1536");
	am_check_tensor(&model, "blk.34.post_norm.weight", "1536");
	CHECK(!qc_model_find(&model, "blk.15.attn_k.weight"), "a k that nobody needs");
	/* half a head: 64 pairs rotate, 192 stand still */
	CHECK(!strcmp(model.tensors[0].name, "rope_freqs.weight") && model.tensors[0].generated,
	      "first comes %s", model.tensors[0].name);
	factors = am_read(am_check_tensor(&model, "rope_freqs.weight", "256"));
	CHECK(factors[0] == 1 && factors[63] == 1 && factors[64] == 1e30f && factors[255] == 1e30f,
	      "%g %g %g %g", (double)factors[0], (double)factors[63], (double)factors[64],
	      (double)factors[255]);
	free(factors);
	qc_model_close(&model);
}

static void the_26b_has_experts_however_they_are_stored(void)
{
	for (int one_by_one = 0; one_by_one < 2; one_by_one++) {
		struct qc_model model;

		NEED(!am_config(&model, CONFIG("Gemma4ForConditionalGeneration", A4B), &err), "%s",
		     err.text);
		am_check_array(&model, "gemma4.attention.head_count_kv", QC_KV_I32,
			       "8 8 8 8 8 2 8 8 8 8 8 2 8 8 8 8 8 2 8 8 8 8 8 2 8 8 8 8 8 2");
		am_check_u32(&model, "gemma4.feed_forward_length", 2112);
		am_check_u32(&model, "gemma4.expert_count", 128);
		am_check_u32(&model, "gemma4.expert_used_count", 8);
		am_check_u32(&model, "gemma4.expert_feed_forward_length", 704);
		am_check_u32(&model, "gemma4.attention.shared_kv_layers", 0);
		am_check_u32(&model, "gemma4.embedding_length_per_layer_input", 0);
		am_fill(&model, "model.language_model.", one_by_one, NULL);
		if (!one_by_one) /* optional rows are not filled: this one is needed */
			for (uint32_t i = 0; i < 30; i++) {
				const uint64_t dims[3] = {2816, 1408, 128};
				char name[96];

				snprintf(name, sizeof(name),
					 "model.language_model.layers.%u.experts.gate_up_proj", i);
				am_add(&model, name, 3, dims, NULL);
			}
		NEED(!qc_arch_name_tensors(&model, &err) &&
			     !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
		     "%s", err.text);
		am_check_tensor(&model, "blk.5.attn_q.weight", "2816 8192");
		am_check_tensor(&model, "blk.5.attn_k.weight", "2816 1024");
		am_check_tensor(&model, "blk.4.attn_v.weight", "2816 2048");
		CHECK(!qc_model_find(&model, "blk.5.attn_v.weight"), "a v where k serves");
		am_check_tensor(&model, "blk.0.ffn_gate_inp.weight", "2816 128");
		am_check_tensor(&model, "blk.0.ffn_gate_inp.scale", "2816");
		am_check_tensor(&model, "blk.0.ffn_down_exps.scale", "128");
		am_check_tensor(&model, "blk.0.ffn_down_exps.weight", "704 2816 128");
		am_check_tensor(&model, "blk.0.pre_ffw_norm_2.weight", "2816");
		am_check_tensor(&model, "blk.0.post_ffw_norm_1.weight", "2816");
		am_check_tensor(&model, "blk.0.post_ffw_norm_2.weight", "2816");
		if (one_by_one) {
			am_check_tensor(&model, "blk.0.ffn_gate_exps.weight", "2816 704 128");
			am_check_tensor(&model, "blk.0.ffn_up_exps.weight", "2816 704 128");
		} else {
			am_check_tensor(&model, "blk.0.ffn_gate_up_exps.weight", "2816 1408 128");
		}
		CHECK(!qc_model_find(&model, "per_layer_token_embd.weight"), "second embedding");
		qc_model_close(&model);
	}
}

/* 667 tensors, as in the file that llama.cpp's converter makes: 3, 40 x 14, 8 x 13. */
static void the_12b_has_667_tensors(void)
{
	struct qc_model model;

	NEED(!am_config(&model, CONFIG("Gemma4UnifiedForConditionalGeneration", UNIFIED), &err),
	     "%s", err.text);
	am_check_u32(&model, "gemma4.embedding_length_per_layer_input", 0);
	am_fill(&model, "model.language_model.", false, NULL);
	for (uint32_t i = 0; i < 48; i++) { /* layer_scalar may be missing, so it is not filled */
		const uint64_t one = 1;
		char name[96];

		snprintf(name, sizeof(name), "model.language_model.layers.%u.layer_scalar", i);
		am_add(&model, name, 1, &one, NULL);
	}
	am_add(&model, "model.vision_embedder.patch_dense.weight", 2, (uint64_t[]){4, 4}, NULL);
	am_add(&model, "model.embed_audio.embedding_projection.weight", 2, (uint64_t[]){4, 4},
	       NULL);
	NEED(!qc_arch_name_tensors(&model, &err) &&
		     !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
	     "%s", err.text);
	CHECK(model.n_tensors == 667 && model.n_drops == 2, "%zu tensors, %zu drops",
	      model.n_tensors, model.n_drops);
	am_check_tensor(&model, "blk.3.layer_output_scale.weight", "1");
	am_check_tensor(&model, "blk.47.attn_k.weight", "3840 512");
	qc_model_close(&model);
}

static void every_prefix_in_circulation_is_understood(void)
{
	static const char *const prefixes[] = {"model.", "model.language_model.",
					       "language_model.model."};

	for (size_t i = 0; i < 3; i++) {
		struct qc_model model;

		NEED(!am_config(&model, CONFIG("Gemma4ForCausalLM", SMALL("")), &err), "%s",
		     err.text);
		am_fill(&model, prefixes[i], false, NULL);
		NEED(!qc_arch_name_tensors(&model, &err), "%s: %s", prefixes[i], err.text);
		CHECK(qc_model_find(&model, "per_layer_model_proj.weight"), "%s", prefixes[i]);
		qc_model_close(&model);
	}
}

/* Blocks that share keys and values have their own k and v in some files: they stay. A block that
 * computes them must have them. */
static void unused_k_and_v_may_be_there(void)
{
	static const char *const parts[] = {"k_proj", "v_proj", "k_norm"};
	struct qc_model model;
	size_t n;

	NEED(!am_config(&model, CONFIG("Gemma4ForCausalLM", SMALL("")), &err), "%s", err.text);
	am_fill(&model, "model.", false, NULL);
	n = model.n_tensors;
	for (uint32_t layer = 3; layer < 6; layer++)
		for (size_t i = 0; i < 3; i++) {
			const uint64_t head = layer == 5 ? 8 : 4, dims[2] = {8, head};
			char name[96];

			snprintf(name, sizeof(name), "model.layers.%u.self_attn.%s.weight", layer,
				 parts[i]);
			am_add(&model, name, i == 2 ? 1 : 2, i == 2 ? &head : dims, NULL);
		}
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	CHECK(model.n_tensors == n + 9 && !model.n_drops, "%zu tensors of %zu", model.n_tensors,
	      n + 9);
	qc_model_close(&model);
	NEED(!am_config(&model, CONFIG("Gemma4ForCausalLM", SMALL("")), &err), "%s", err.text);
	am_fill(&model, "model.", false, NULL);
	NEED(am_remove(&model, "layers.2.self_attn.v_proj") == 1, "not one");
	CHECK(qc_arch_name_tensors(&model, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "'model.layers.2.self_attn.v_proj.weight' is missing"),
	      "'%s'", err.text);
	qc_model_close(&model);
}

#define EXPERTS SMALL(", \"num_experts\": 2, \"top_k_experts\": 1, \"moe_intermediate_size\": 3")

static void experts_need_gate_and_up(void)
{
	struct qc_model model;

	NEED(!am_config(&model, CONFIG("Gemma4ForCausalLM", EXPERTS), &err), "%s", err.text);
	am_fill(&model, "model.", true, NULL);
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	qc_model_close(&model);
	NEED(!am_config(&model, CONFIG("Gemma4ForCausalLM", EXPERTS), &err), "%s", err.text);
	am_fill(&model, "model.", true, NULL);
	NEED(am_remove(&model, "layers.1.experts.0.up_proj") == 1, "not one");
	CHECK(qc_arch_name_tensors(&model, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "up_proj.weight': 1 of 2 experts are there"),
	      "'%s'", err.text);
	qc_model_close(&model);
	NEED(!am_config(&model, CONFIG("Gemma4ForCausalLM", EXPERTS), &err), "%s", err.text);
	am_fill(&model, "model.", false, NULL);
	CHECK(qc_arch_name_tensors(&model, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "block 0: its experts need either"),
	      "'%s'", err.text);
	qc_model_close(&model);
	/* switched off, they need not be there */
	NEED(!am_config(&model,
			CONFIG("Gemma4ForCausalLM", SMALL(", \"num_experts\": 2, "
							  "\"top_k_experts\": 1, "
							  "\"moe_intermediate_size\": 3, "
							  "\"enable_moe_block\": false")),
			&err),
	     "%s", err.text);
	am_fill(&model, "model.", false, NULL);
	CHECK(!qc_arch_name_tensors(&model, &err), "'%s'", err.text);
	qc_model_close(&model);
}

static void absent_fields_take_transformers_defaults(void)
{
	struct qc_model model;

	NEED(!am_config(&model, "{\"model_type\": \"gemma4_text\"}", &err), "%s", err.text);
	am_check_u32(&model, "gemma4.block_count", 30);
	am_check_u32(&model, "gemma4.embedding_length_per_layer_input", 256);
	am_check_u32(&model, "gemma4.attention.key_length", 512);
	am_check_u32(&model, "gemma4.attention.head_count_kv", 4);
	am_check_array(&model, "gemma4.attention.sliding_window_pattern", QC_KV_BOOL,
		       "1 1 1 1 1 0 1 1 1 1 1 0 1 1 1 1 1 0 1 1 1 1 1 0 1 1 1 1 1 0");
	am_check_absent(&model, "gemma4.final_logit_softcapping");
	qc_model_close(&model);
	/* the last block has full attention whatever the pattern says; newest files keep its sizes
	 * per block */
	NEED(!am_config(&model,
			"{\"model_type\": \"gemma4_text\", \"num_hidden_layers\": 8, "
			"\"per_layer_config\": {\"5\": {\"head_dim\": 128, "
			"\"num_key_value_heads\": 2}}}",
			&err),
	     "%s", err.text);
	am_check_array(&model, "gemma4.attention.sliding_window_pattern", QC_KV_BOOL,
		       "1 1 1 1 1 0 1 0");
	am_check_array(&model, "gemma4.attention.head_count_kv", QC_KV_I32, "4 4 4 4 4 2 4 2");
	am_check_u32(&model, "gemma4.attention.key_length", 128);
	qc_model_close(&model);
}

static void what_gguf_cannot_say_is_refused(void)
{
	static const struct {
		const char *config, *reason;
	} cases[] = {
		{CONFIG("Gemma4ForCausalLM", "\"use_bidirectional_attention\": \"all\""),
		 "use_bidirectional_attention"},
		{CONFIG("Gemma4ForCausalLM", "\"hidden_activation\": \"relu\""),
		 "hidden_activation"},
		{CONFIG("Gemma4ForCausalLM", "\"attn_logit_softcapping\": 50"),
		 "attn_logit_softcapping"},
		{CONFIG("Gemma4ForCausalLM", "\"layer_types\": [\"full_attention\"]"),
		 "1 entries, 30 are needed"},
		{CONFIG("Gemma4ForCausalLM",
			"\"num_hidden_layers\": 1, \"layer_types\": [\"linear_attention\"]"),
		 "layer_types[0]"},
		{CONFIG("Gemma4ForCausalLM", "\"num_kv_shared_layers\": 31"),
		 "num_kv_shared_layers is 31"},
		{CONFIG("Gemma4ForCausalLM", "\"num_kv_shared_layers\": 7"),
		 "the last blocks with keys and values of their own (23 of 30)"},
		{CONFIG("Gemma4ForCausalLM", "\"num_kv_shared_layers\": 30"), "(0 of 30)"},
		{CONFIG("Gemma4ForCausalLM", "\"num_global_key_value_heads\": 3"),
		 "num_global_key_value_heads 3"},
		{CONFIG("Gemma4ForCausalLM", "\"num_experts\": 4"), "top_k_experts is 0"},
		{CONFIG("Gemma4ForCausalLM", "\"num_experts\": 4, \"top_k_experts\": 2"),
		 "moe_intermediate_size"},
		{CONFIG("Gemma4ForCausalLM", "\"global_head_dim\": 7"), "whole pairs"},
		{"{\"model_type\": \"gemma4_text\", \"rope_parameters\": {\"full_attention\": "
		 "{\"rope_type\": \"default\"}}}",
		 "rope_parameters.full_attention.rope_type"},
		{"{\"model_type\": \"llama\", \"rope_parameters\": {\"rope_type\": "
		 "\"proportional\"}}",
		 "rope type \"proportional\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qc_model model;
		enum qc_status s = am_config(&model, cases[i].config, &err);

		CHECK(s && strstr(err.text, cases[i].reason), "%s: '%s'", cases[i].config,
		      s ? err.text : "");
		qc_model_close(&model);
	}
}

static uint32_t token_type(const struct qc_model *model, uint32_t id)
{
	return qc_le32(qc_meta_find(&model->meta, "tokenizer.ggml.token_type")->data + 4 * id);
}

static void the_tokenizer_keeps_its_merges(void)
{
	const struct qc_kv *scores, *merges;
	struct qc_model model;
	const char *text;
	size_t at = 0, len;

	NEED(!qc_model_open(&model, TINY, &err), "%s", err.text);
	am_check_string(&model, "tokenizer.ggml.model", "gemma4");
	am_check_absent(&model, "tokenizer.ggml.pre");
	am_check_u32(&model, "tokenizer.ggml.bos_token_id", 2);
	am_check_u32(&model, "tokenizer.ggml.eos_token_id", 1);
	am_check_u32(&model, "tokenizer.ggml.unknown_token_id", 3);
	am_check_u32(&model, "tokenizer.ggml.padding_token_id", 0);
	CHECK(qc_meta_find(&model.meta, "tokenizer.ggml.add_bos_token")->data[0] &&
		      !qc_meta_find(&model.meta, "tokenizer.ggml.add_space_prefix")->data[0],
	      "flags");
	scores = qc_meta_find(&model.meta, "tokenizer.ggml.scores");
	NEED(scores && scores->n == 1024, "no scores");
	for (uint32_t i = 0; i < 1024; i++)
		CHECK(qc_bits_f32(qc_le32(scores->data + 4 * i)) == -1000, "score of %u", i);
	merges = qc_meta_find(&model.meta, "tokenizer.ggml.merges");
	NEED(merges && merges->n == 917 && qc_kv_next_string(merges, &at, &text, &len), "merges");
	CHECK(len == 3 && !memcmp(text, "\n \n", 3), "the first merge is '%.*s'", (int)len, text);
	/* <pad>, <mask> (not special), <|turn>, <|channel>, <|tool_call>, "\n", two U+2581, a byte
	 */
	CHECK(token_type(&model, 0) == 3 && token_type(&model, 4) == 4 &&
		      token_type(&model, 5) == 3 && token_type(&model, 7) == 4 &&
		      token_type(&model, 16) == 4 && token_type(&model, 19) == 4 &&
		      token_type(&model, 22) == 1 && token_type(&model, 25) == 6,
	      "types %u %u %u %u %u %u %u %u", token_type(&model, 0), token_type(&model, 4),
	      token_type(&model, 5), token_type(&model, 7), token_type(&model, 16),
	      token_type(&model, 19), token_type(&model, 22), token_type(&model, 25));
	qc_model_close(&model);
}

static void the_tiny_model_is_complete(void)
{
	struct qc_model model;

	NEED(!qc_model_open(&model, TINY, &err), "%s", err.text);
	NEED(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
	CHECK(model.n_tensors == 108 && !model.n_drops, "%zu tensors, %zu drops", model.n_tensors,
	      model.n_drops);
	am_check_array(&model, "gemma4.feed_forward_length", QC_KV_I32, "256 256 256 512 512 512");
	am_check_tensor(&model, "blk.2.attn_q.weight", "256 512");
	am_check_tensor(&model, "blk.3.attn_k.weight", "256 64");
	am_check_tensor(&model, "rope_freqs.weight", "64");
	qc_model_close(&model);
}

int main(void)
{
	e2b_has_the_metadata_that_llama_cpp_needs();
	e2b_has_tensors_of_two_widths_and_head_sizes();
	the_26b_has_experts_however_they_are_stored();
	the_12b_has_667_tensors();
	every_prefix_in_circulation_is_understood();
	unused_k_and_v_may_be_there();
	experts_need_gate_and_up();
	absent_fields_take_transformers_defaults();
	what_gguf_cannot_say_is_refused();
	the_tokenizer_keeps_its_merges();
	the_tiny_model_is_complete();
	return test_end();
}

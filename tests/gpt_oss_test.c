/* gpt-oss: metadata, tensors in all the ways they are stored, refusals. */
#include "tests/arch_model.h"

#include <math.h>

#include "quant/types.h"

#define MXFP4 "tests/data/models/tiny-gpt-oss"
#define BF16  "tests/data/models/tiny-gpt-oss-bf16"

static struct qc_err err;

/* OpenAI's 20b, as its config.json has it. */
static const char big[] =
	"{\"architectures\": [\"GptOssForCausalLM\"], \"attention_bias\": true, \"eos_token_id\": "
	"200002, \"experts_per_token\": 4, \"head_dim\": 64, \"hidden_act\": \"silu\", "
	"\"hidden_size\": 2880, \"initial_context_length\": 4096, \"intermediate_size\": 2880, "
	"\"max_position_embeddings\": 131072, \"model_type\": \"gpt_oss\", "
	"\"num_attention_heads\": "
	"64, \"num_experts_per_tok\": 4, \"num_hidden_layers\": 24, \"num_key_value_heads\": 8, "
	"\"num_local_experts\": 32, \"pad_token_id\": 199999, \"rms_norm_eps\": 1e-05, "
	"\"rope_scaling\": {\"beta_fast\": 32.0, \"beta_slow\": 1.0, \"factor\": 32.0, "
	"\"original_max_position_embeddings\": 4096, \"rope_type\": \"yarn\", \"truncate\": "
	"false}, "
	"\"rope_theta\": 150000, \"sliding_window\": 128, \"swiglu_limit\": 7.0, "
	"\"tie_word_embeddings\": false, \"vocab_size\": 201088}";

/* D 4, X 3, 2 experts, 2 heads of 2, 1 of them kv. */
#define SMALL(more)                                                                                \
	"{\"architectures\": [\"GptOssForCausalLM\"], \"hidden_size\": 4, \"intermediate_size\": " \
	"3, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "    \
	"\"head_dim\": 2, \"vocab_size\": 5, \"num_local_experts\": 2, \"num_experts_per_tok\": "  \
	"1" more "}"

static void the_20b_has_the_metadata_that_llama_cpp_needs(void)
{
	static const struct am_key keys[] = {
		{"block_count", QC_KV_U32, 24, NULL},
		{"context_length", QC_KV_U32, 131072, NULL},
		{"embedding_length", QC_KV_U32, 2880, NULL},
		{"feed_forward_length", QC_KV_U32, 2880, NULL},
		{"attention.head_count", QC_KV_U32, 64, NULL},
		{"attention.head_count_kv", QC_KV_U32, 8, NULL},
		{"rope.scaling.type", QC_KV_STRING, 0, "yarn"},
		{"rope.scaling.factor", QC_KV_F32, 32, NULL},
		{"rope.scaling.original_context_length", QC_KV_U32, 4096, NULL},
		{"rope.scaling.yarn_beta_fast", QC_KV_F32, 32, NULL},
		{"rope.scaling.yarn_beta_slow", QC_KV_F32, 1, NULL},
		{"rope.freq_base", QC_KV_F32, 150000, NULL},
		{"attention.layer_norm_rms_epsilon", QC_KV_F32, 1e-5, NULL},
		{"expert_count", QC_KV_U32, 32, NULL},
		{"expert_used_count", QC_KV_U32, 4, NULL},
		{"attention.key_length", QC_KV_U32, 64, NULL},
		{"attention.value_length", QC_KV_U32, 64, NULL},
		{"attention.sliding_window", QC_KV_U32, 128, NULL},
		{"expert_feed_forward_length", QC_KV_U32, 2880, NULL},
		{0},
	};
	struct qc_model model;

	NEED(!am_config(&model, big, &err), "%s", err.text);
	am_check_keys(&model, "gpt-oss", keys);
	am_check_absent(&model, "gpt-oss.rope.freq_base_swa");
	qc_model_close(&model);
}

static void defaults_are_those_of_the_120b(void)
{
	struct qc_model model;

	NEED(!am_config(&model, "{\"model_type\": \"gpt_oss\"}", &err), "%s", err.text);
	am_check_u32(&model, "gpt-oss.block_count", 36);
	am_check_u32(&model, "gpt-oss.expert_count", 128);
	am_check_u32(&model, "gpt-oss.expert_used_count", 4);
	am_check_f32(&model, "gpt-oss.rope.freq_base", 150000);
	CHECK(qc_arch_vocab_size(&model) == 201088, "vocabulary of %u", qc_arch_vocab_size(&model));
	qc_model_close(&model);
}

static void the_20b_has_459_tensors_however_its_experts_are_stored(void)
{
	for (int one_by_one = 0; one_by_one < 2; one_by_one++) {
		struct qc_model model;

		NEED(!am_config(&model, big, &err), "%s", err.text);
		am_fill(&model, "model.", one_by_one, NULL);
		NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
		am_check_string(&model, "general.size_label", "32x2.4B");
		NEED(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
		CHECK(model.n_tensors == 459, "%zu tensors", model.n_tensors);
		am_check_tensor(&model, "token_embd.weight", "2880 201088");
		am_check_tensor(&model, "output.weight", "2880 201088");
		am_check_tensor(&model, "blk.23.attn_q.weight", "2880 4096");
		am_check_tensor(&model, "blk.23.attn_k.bias", "512");
		am_check_tensor(&model, "blk.23.attn_sinks.weight", "64");
		am_check_tensor(&model, "blk.0.ffn_gate_inp.weight", "2880 32");
		am_check_tensor(&model, "blk.0.ffn_gate_inp.bias", "32");
		am_check_tensor(&model, "blk.0.post_attention_norm.weight", "2880");
		am_check_tensor(&model, "blk.7.ffn_gate_exps.weight", "2880 2880 32");
		am_check_tensor(&model, "blk.7.ffn_up_exps.weight", "2880 2880 32");
		am_check_tensor(&model, "blk.7.ffn_down_exps.weight", "2880 2880 32");
		am_check_tensor(&model, "blk.7.ffn_gate_exps.bias", "2880 32");
		am_check_tensor(&model, "blk.7.ffn_up_exps.bias", "2880 32");
		am_check_tensor(&model, "blk.7.ffn_down_exps.bias", "2880 32");
		qc_model_close(&model);
	}
}

/* A number for output row (of gate and up in turn) `out` and input `in` of an expert's matrix. */
static float code(uint64_t expert, uint64_t out, uint64_t in)
{
	return (float)(expert * 10000 + out * 100 + in);
}

static void expert_values(const char *name, float *values, uint32_t n_dims, const uint64_t *dims)
{
	const char *number = strstr(name, "projs.");
	const uint64_t only = number ? strtoull(number + 6, NULL, 10) : 0;
	const bool vector = n_dims == (number ? 1 : 2);
	/* [experts, in, out] in one, [out, in] one by one */
	const uint64_t n_in = vector ? 1 : number ? dims[0] : dims[1];
	const uint64_t n_out = vector || !number ? dims[0] : dims[1];
	const uint64_t n = number ? 1 : dims[n_dims - 1];

	if (!strstr(name, "_proj"))
		return;
	for (uint64_t e = 0; e < n; e++)
		for (uint64_t out = 0; out < n_out; out++)
			for (uint64_t in = 0; in < n_in; in++) {
				const uint64_t at =
					number ? out * n_in + in : (e * n_in + in) * n_out + out;

				if (!strstr(name, ".experts."))
					continue;
				values[at] = code(number ? only : e, out, in);
			}
}

/* Values of `name`: rows first, first + step, ... of every expert. */
static void check_rows(const struct qc_model *model, const char *name, uint64_t first,
		       uint64_t step)
{
	const struct qc_tensor *tensor = qc_model_find(model, name);
	const bool bias = strstr(name, ".bias");
	float *values;

	NEED(tensor && tensor->n_dims == (bias ? 2 : 3), "%s", name);
	values = am_read(tensor);
	for (uint64_t e = 0, at = 0; e < 2; e++)
		for (uint64_t row = 0; row < tensor->dims[bias ? 0 : 1]; row++)
			for (uint64_t in = 0; in < (bias ? 1 : tensor->dims[0]); in++, at++)
				CHECK(values[at] == code(e, first + row * step, in),
				      "%s: expert %d, row %d, column %d is %g", name, (int)e,
				      (int)row, (int)in, (double)values[at]);
	free(values);
}

static void gate_and_up_are_taken_apart_row_by_row(void)
{
	for (int one_by_one = 0; one_by_one < 2; one_by_one++) {
		struct qc_model model;

		NEED(!am_config(&model, SMALL(""), &err), "%s", err.text);
		am_fill(&model, "model.", one_by_one, expert_values);
		NEED(!qc_arch_name_tensors(&model, &err) &&
			     !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
		     "%s", err.text);
		am_check_tensor(&model, "blk.1.ffn_gate_exps.weight", "4 3 2");
		am_check_tensor(&model, "blk.1.ffn_down_exps.weight", "3 4 2");
		check_rows(&model, "blk.1.ffn_gate_exps.weight", 0, 2);
		check_rows(&model, "blk.1.ffn_up_exps.weight", 1, 2);
		check_rows(&model, "blk.1.ffn_down_exps.weight", 0, 1);
		check_rows(&model, "blk.1.ffn_gate_exps.bias", 0, 2);
		check_rows(&model, "blk.1.ffn_up_exps.bias", 1, 2);
		check_rows(&model, "blk.1.ffn_down_exps.bias", 0, 1);
		qc_model_close(&model);
	}
}

/* Before it is brought to GGUF, a model has one tensor for each that is stored. */
static void stored_tensors_keep_names_of_their_own(void)
{
	struct qc_model model;

	NEED(!am_config(&model, SMALL(""), &err), "%s", err.text);
	am_fill(&model, "model.", false, NULL);
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	CHECK(am_check_tensor(&model, "blk.0.ffn_gate_up_exps.weight", "6 4 2")->transposed,
	      "not the other way round");
	qc_model_close(&model);
	NEED(!am_config(&model, SMALL(""), &err), "%s", err.text);
	am_fill(&model, "model.", true, NULL);
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	CHECK(am_check_tensor(&model, "blk.0.ffn_down_exps.1.weight", "3 4")->expert == 1,
	      "not of expert 1");
	qc_model_close(&model);
}

/* NVFP4's factors go with their experts. */
static void factors_are_stacked_and_shared(void)
{
	static const float factors[2] = {0.5f, 0.25f};
	struct qc_model model;

	NEED(!am_config(&model, SMALL(""), &err), "%s", err.text);
	am_fill(&model, "model.", true, expert_values);
	for (size_t i = 0; i < model.n_tensors; i++) {
		struct qc_tensor *t = &model.tensors[i];
		const char *number = strstr(t->stored_name, "gate_up_projs.");

		if (number && strstr(t->stored_name, ".weight"))
			t->scale = qc_source_values(&model.arena, &factors[number[14] - '0'], 1, 1);
	}
	NEED(!qc_arch_name_tensors(&model, &err) &&
		     !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
	     "%s", err.text);
	for (int up = 0; up < 2; up++) {
		const struct qc_tensor *t = qc_model_find(
			&model, up ? "blk.0.ffn_up_exps.weight" : "blk.0.ffn_gate_exps.weight");
		struct qc_scratch scratch = {0};
		float have[2];

		NEED(t && t->scale && t->scale->rows == 2, "no two factors");
		NEED(!qc_source_read_f32(t->scale, 0, 2, have, &scratch, &err), "%s", err.text);
		CHECK(have[0] == 0.5f && have[1] == 0.25f, "%g %g", (double)have[0],
		      (double)have[1]);
	}
	CHECK(!qc_model_find(&model, "blk.0.ffn_down_exps.weight")->scale, "a factor from nowhere");
	qc_model_close(&model);
}

static void what_is_missing_or_too_much_is_named(void)
{
	static const struct {
		bool one_by_one;
		const char *remove, *reason;
	} cases[] = {
		{false, "layers.1.mlp.experts.gate_up_proj_bias", "gate_up_proj_bias' is missing"},
		{false, "lm_head", "'lm_head.weight' is missing"},
		{false, "layers.0.self_attn.sinks", "'model.layers.0.self_attn.sinks' is missing"},
		{true, "layers.1.mlp.experts.down_projs.1.weight",
		 "'model.layers.1.mlp.experts.down_projs.{e}.weight': 1 of 2 experts are there"},
	};
	const uint64_t dims[2] = {4, 6};
	struct qc_model model;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		NEED(!am_config(&model, SMALL(""), &err), "%s", err.text);
		am_fill(&model, "model.", cases[i].one_by_one, NULL);
		NEED(am_remove(&model, cases[i].remove) == 1, "%s: not one", cases[i].remove);
		CHECK(qc_arch_name_tensors(&model, &err) == QC_BAD_INPUT &&
			      strstr(err.text, cases[i].reason),
		      "%s: '%s'", cases[i].remove, err.text);
		qc_model_close(&model);
	}
	NEED(!am_config(&model, SMALL(""), &err), "%s", err.text);
	am_fill(&model, "model.", true, NULL);
	am_add(&model, "model.layers.0.mlp.experts.gate_up_projs.2.weight", 2, dims, NULL);
	CHECK(qc_arch_name_tensors(&model, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "is of expert 2, config.json has 2 experts"),
	      "'%s'", err.text);
	qc_model_close(&model);
	/* both forms at once */
	NEED(!am_config(&model, SMALL(""), &err), "%s", err.text);
	am_fill(&model, "model.", false, NULL);
	am_add(&model, "model.layers.0.mlp.experts.gate_up_projs.0.weight", 2, dims, NULL);
	CHECK(qc_arch_name_tensors(&model, &err) == QC_BAD_INPUT, "'%s'", err.text);
	qc_model_close(&model);
}

/* A plain matrix must be [experts, in, out]; a quantized one has rows of inputs. */
static void orientation_is_checked(void)
{
	const uint64_t plain[3] = {6, 4, 2}, quantized[3] = {4, 6, 2};
	const char *name = "model.layers.0.mlp.experts.gate_up_proj";
	struct qc_model model;

	for (int encoded = 0; encoded < 2; encoded++)
		for (int turned = 0; turned < 2; turned++) {
			enum qc_status s;

			NEED(!am_config(&model, SMALL(""), &err), "%s", err.text);
			am_fill(&model, "model.", false, NULL);
			for (size_t i = 0; i < model.n_tensors; i++)
				if (!strcmp(model.tensors[i].stored_name, name)) {
					model.tensors[i].dims = turned ? plain : quantized;
					model.tensors[i].encoding = encoded ? "test" : NULL;
				}
			s = qc_arch_name_tensors(&model, &err);
			CHECK(!s == (encoded || turned), "%s", err.text);
			CHECK(!s || strstr(err.text, "config.json makes it 2x4x6"), "'%s'",
			      err.text);
			if (!s)
				CHECK(qc_model_find(&model, "blk.0.ffn_gate_up_exps.weight")
						      ->transposed == turned,
				      "encoded %d: turned %d", encoded, turned);
			qc_model_close(&model);
		}
}

static void what_gguf_cannot_say_is_refused(void)
{
	static const struct {
		const char *config, *reason;
	} cases[] = {
		{SMALL(", \"swiglu_limit\": 5"), "swiglu_limit is 5"},
		{SMALL(", \"hidden_act\": \"gelu\""), "hidden_act"},
		{SMALL(", \"layer_types\": [\"full_attention\", \"full_attention\"]"),
		 "layer_types[0]"},
		{"{\"model_type\": \"gpt_oss\", \"num_local_experts\": 2, "
		 "\"experts_per_token\": 3}",
		 "num_experts_per_tok is 3, but there are 2 experts"},
		{"{\"model_type\": \"gpt_oss\", \"num_experts_per_tok\": 0}",
		 "num_experts_per_tok"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qc_model model;
		enum qc_status s = am_config(&model, cases[i].config, &err);

		CHECK(s && strstr(err.text, cases[i].reason), "%s: '%s'", cases[i].config,
		      s ? err.text : "");
		qc_model_close(&model);
	}
}

/* Gate, up and down of both checkpoints: the codes of one are moved, the other's matrices turned;
 * MXFP4 was made from bf16, so the numbers are near each other. */
static void both_checkpoints_hold_the_same_experts(void)
{
	static const char *const names[] = {"blk.2.ffn_gate_exps.weight",
					    "blk.2.ffn_up_exps.weight",
					    "blk.2.ffn_down_exps.weight"};
	struct qc_model fp4, bf16;

	NEED(!qc_model_open(&fp4, MXFP4, &err), "%s", err.text);
	NEED(!qc_model_open(&bf16, BF16, &err), "%s", err.text);
	CHECK(qc_model_find(&bf16, "blk.2.ffn_down_exps.weight")->transposed &&
		      !qc_model_find(&fp4, "blk.2.ffn_down_exps.weight")->transposed,
	      "orientation");
	NEED(!qc_model_set_layout(&fp4, QC_LAYOUT_GGUF, &err), "%s", err.text);
	NEED(!qc_model_set_layout(&bf16, QC_LAYOUT_GGUF, &err), "%s", err.text);
	CHECK(fp4.n_tensors == 3 + 4 * 19 && bf16.n_tensors == fp4.n_tensors, "%zu, %zu tensors",
	      fp4.n_tensors, bf16.n_tensors);
	CHECK(!fp4.n_drops && !bf16.n_drops, "%zu, %zu drops", fp4.n_drops, bf16.n_drops);
	for (size_t i = 0; i < 3; i++) {
		const struct qc_tensor *a = am_check_tensor(&fp4, names[i], "256 256 4");
		const struct qc_tensor *b = am_check_tensor(&bf16, names[i], "256 256 4");
		float *x = am_read(a), *y = am_read(b);
		double error = 0, power = 0;

		CHECK(a->source->type == &qc_mxfp4 && a->source->ops->read_raw, "%s: %s", names[i],
		      a->source->type->name);
		CHECK(b->source->type == &qc_bf16 && b->source->ops->read_raw, "%s: %s", names[i],
		      b->source->type->name);
		for (size_t k = 0; k < 4 * 256 * 256; k++) {
			error += (double)(x[k] - y[k]) * (double)(x[k] - y[k]);
			power += (double)y[k] * (double)y[k];
		}
		/* a wrong order would give about 2 */
		CHECK(error < 0.02 * power, "%s: relative error %g", names[i], error / power);
		free(x);
		free(y);
	}
	qc_model_close(&fp4);
	qc_model_close(&bf16);
}

/* Raw rows of gate and up are rows 0, 2, ... and 1, 3, ... of the stored tensor's. */
static void mxfp4_codes_are_moved_not_made_anew(void)
{
	struct qc_model stored, model;
	size_t whole_size, sizes[2];
	uint8_t *whole, *parts[2];
	const size_t row = 256 / 32 * 17;

	NEED(!qc_model_open(&stored, MXFP4, &err), "%s", err.text);
	NEED(!qc_model_open(&model, MXFP4, &err), "%s", err.text);
	NEED(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
	whole = am_read_raw(qc_model_find(&stored, "blk.1.ffn_gate_up_exps.weight"), &whole_size);
	parts[0] = am_read_raw(qc_model_find(&model, "blk.1.ffn_gate_exps.weight"), &sizes[0]);
	parts[1] = am_read_raw(qc_model_find(&model, "blk.1.ffn_up_exps.weight"), &sizes[1]);
	CHECK(whole_size == 4 * 512 * row && sizes[0] + sizes[1] == whole_size, "%zu bytes",
	      whole_size);
	for (size_t r = 0; r < 4 * 512; r++)
		CHECK(!memcmp(whole + r * row, parts[r % 2] + r / 2 * row, row), "row %zu", r);
	free(whole);
	free(parts[0]);
	free(parts[1]);
	qc_model_close(&stored);
	qc_model_close(&model);
}

static void the_tokenizer_is_that_of_gpt_4o(void)
{
	struct qc_model model;
	const struct qc_kv *types;

	NEED(!qc_model_open(&model, MXFP4, &err), "%s", err.text);
	am_check_string(&model, "tokenizer.ggml.model", "gpt2");
	am_check_string(&model, "tokenizer.ggml.pre", "gpt-4o");
	am_check_u32(&model, "tokenizer.ggml.bos_token_id", 1024);
	am_check_u32(&model, "tokenizer.ggml.eos_token_id", 1028);
	am_check_u32(&model, "tokenizer.ggml.padding_token_id", 1025);
	am_check_absent(&model, "tokenizer.ggml.scores");
	am_check_absent(&model, "tokenizer.ggml.add_bos_token");
	am_check_absent(&model, "tokenizer.ggml.add_space_prefix");
	CHECK(qc_meta_find(&model.meta, "tokenizer.ggml.tokens")->n == 1088, "tokens");
	CHECK(qc_meta_find(&model.meta, "tokenizer.ggml.merges")->n == 768, "merges");
	types = qc_meta_find(&model.meta, "tokenizer.ggml.token_type");
	CHECK(qc_le32(types->data + 4 * 1023) == 1 && qc_le32(types->data + 4 * 1044) == 3 &&
		      qc_le32(types->data + 4 * 1045) == 5,
	      "types %u %u %u", qc_le32(types->data + 4 * 1023), qc_le32(types->data + 4 * 1044),
	      qc_le32(types->data + 4 * 1045));
	CHECK(qc_meta_find(&model.meta, "tokenizer.chat_template"), "no chat template");
	qc_model_close(&model);
}

int main(void)
{
	the_20b_has_the_metadata_that_llama_cpp_needs();
	defaults_are_those_of_the_120b();
	the_20b_has_459_tensors_however_its_experts_are_stored();
	gate_and_up_are_taken_apart_row_by_row();
	stored_tensors_keep_names_of_their_own();
	factors_are_stacked_and_shared();
	what_is_missing_or_too_much_is_named();
	orientation_is_checked();
	what_gguf_cannot_say_is_refused();
	both_checkpoints_hold_the_same_experts();
	mxfp4_codes_are_moved_not_made_anew();
	the_tokenizer_is_that_of_gpt_4o();
	return test_end();
}

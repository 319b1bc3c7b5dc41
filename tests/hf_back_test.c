/* From GGUF's layout back to Hugging Face's, in memory: for every architecture and shape of it the
 * configuration that is written gives the metadata and tensors that it was made of. */
#include "formats/hf_back.h"

#include "base/json_out.h"
#include "formats/experts_split.h"
#include "formats/layout_back.h"
#include "tests/arch_model.h"

static struct qc_err err;

#define LLAMA(more)                                                                                \
	"{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 8, \"intermediate_size\": "  \
	"12, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "   \
	"\"vocab_size\": 5, \"rms_norm_eps\": 1e-05" more "}"

#define GEMMA3(more)                                                                               \
	"{\"architectures\": [\"Gemma3ForCausalLM\"], \"hidden_size\": 8, \"intermediate_size\": " \
	"12, \"num_hidden_layers\": 7, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "   \
	"\"head_dim\": 6, \"query_pre_attn_scalar\": 6, \"vocab_size\": 5, \"sliding_window\": "   \
	"16" more "}"

#define GPT_OSS(more)                                                                              \
	"{\"architectures\": [\"GptOssForCausalLM\"], \"hidden_size\": 8, \"intermediate_size\": " \
	"4, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "    \
	"\"head_dim\": 6, \"vocab_size\": 5, \"num_local_experts\": 3, \"num_experts_per_tok\": "  \
	"2, \"sliding_window\": 16" more "}"

#define YARN                                                                                       \
	", \"rope_scaling\": {\"beta_fast\": 32.0, \"beta_slow\": 1.0, \"factor\": 32.0, "         \
	"\"original_max_position_embeddings\": 4096, \"rope_type\": \"yarn\", \"truncate\": "      \
	"false}"

#define LLAMA3(factor, low, high, context)                                                         \
	", \"head_dim\": 64, \"rope_theta\": 500000.0, \"rope_scaling\": {\"factor\": " factor     \
	", \"low_freq_factor\": " low ", \"high_freq_factor\": " high                              \
	", \"original_max_position_embeddings\": " context ", \"rope_type\": \"llama3\"}"

#define GEMMA4(more)                                                                               \
	"{\"architectures\": [\"Gemma4ForCausalLM\"], \"hidden_size\": 8, \"intermediate_size\": " \
	"6, \"num_hidden_layers\": 6, \"num_attention_heads\": 2, \"head_dim\": 4, "               \
	"\"global_head_dim\": 8, \"vocab_size\": 5, \"layer_types\": [\"sliding_attention\", "     \
	"\"sliding_attention\", \"full_attention\", \"sliding_attention\", "                       \
	"\"sliding_attention\", \"full_attention\"]" more "}"

#define E2B                                                                                        \
	", \"num_key_value_heads\": 1, \"hidden_size_per_layer_input\": 3, "                       \
	"\"use_double_wide_mlp\": true, \"num_kv_shared_layers\": 3, "                             \
	"\"final_logit_softcapping\": 30.0"
#define A4B                                                                                        \
	", \"num_key_value_heads\": 2, \"num_global_key_value_heads\": 1, \"attention_k_eq_v\": "  \
	"true, \"hidden_size_per_layer_input\": 0, \"enable_moe_block\": true, \"num_experts\": "  \
	"3, \"top_k_experts\": 2, \"moe_intermediate_size\": 4"
#define PARTIAL                                                                                    \
	", \"num_key_value_heads\": 1, \"hidden_size_per_layer_input\": null, "                    \
	"\"rope_parameters\": {\"full_attention\": {\"partial_rotary_factor\": 0.5, "              \
	"\"rope_theta\": 3000000.0, \"rope_type\": \"proportional\"}, \"sliding_attention\": "     \
	"{\"rope_theta\": 20000.0, \"rope_type\": \"default\"}}"

static const struct {
	const char *config;
	bool one_by_one; /* experts in one tensor each */
} cases[] = {
	{LLAMA(""), false},
	{LLAMA(", \"head_dim\": 10, \"rope_theta\": 12345.678, \"max_position_embeddings\": 77"),
	 false},
	{LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}"), false},
	{LLAMA(YARN), false},
	{LLAMA(LLAMA3("8.0", "1.0", "4.0", "8192")), false},
	{LLAMA(LLAMA3("32.0", "1.0", "4.0", "8192")), false},
	{LLAMA(LLAMA3("16.0", "1.0", "4.0", "65536")), false},
	{LLAMA(", \"tie_word_embeddings\": true"), false},
	{GEMMA3(""), false},
	{GEMMA3(", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8.0}"), false},
	{GEMMA3(", \"sliding_window_pattern\": 1"), false},
	{GEMMA3(", \"final_logit_softcapping\": 30.0"), false},
	{GPT_OSS(YARN), false},
	{GPT_OSS(YARN), true},
	{GEMMA4(E2B), false},
	{GEMMA4(A4B), false},
	{GEMMA4(A4B), true},
	{GEMMA4(PARTIAL), false},
};
#define N_CASES (sizeof(cases) / sizeof(cases[0]))

/* Numbers that tell their place, exact in bf16 and with one added: n / 64 of 0 .. 63. */
static void place_values(const char *name, float *values, uint32_t n_dims, const uint64_t *dims)
{
	uint64_t n = 1, seed = strlen(name);

	for (uint32_t i = 0; i < n_dims; i++)
		n *= dims[i];
	for (uint64_t i = 0; i < n; i++)
		values[i] = (float)((i * 7 + seed * 13) % 64) / 64;
}

/* All tensors of the checkpoint. */
static void fill(struct qc_model *model, size_t number, am_values_fn *values)
{
	const char *config = cases[number].config;
	const bool fused = strstr(config, "moe_intermediate_size") && !cases[number].one_by_one;
	char name[96];

	am_fill(model, "model.", cases[number].one_by_one, values);
	if (!strstr(config, "tie_word_embeddings") && !strcmp(model->arch->name, "llama"))
		am_add(model, "lm_head.weight", 2, (const uint64_t[]){8, 5}, values);
	for (int i = 0; fused && i < 6; i++) {
		snprintf(name, sizeof(name), "model.layers.%d.experts.gate_up_proj", i);
		am_add(model, name, 3, (const uint64_t[]){8, 8, 3}, values);
	}
}

/* A GGUF as its reader leaves it: made of a checkpoint of this configuration. */
static void make_gguf(struct qc_model *model, size_t number, am_values_fn *values)
{
	const char *config = cases[number].config;

	NEED(!am_config(model, config, &err), "%s: %s", config, err.text);
	fill(model, number, values);
	NEED(!qc_arch_name_tensors(model, &err), "%s: %s", config, err.text);
	NEED(!qc_model_set_layout(model, QC_LAYOUT_GGUF, &err), "%s: %s", config, err.text);
	NEED(!qc_arch_from_meta(model, &err), "%s", err.text);
	for (size_t i = 0; i < model->n_tensors; i++) {
		model->tensors[i].encoding = NULL;
		model->tensors[i].transposed = false;
		model->tensors[i].generated = false;
	}
}

static void the_configuration_says_every_key(void)
{
	for (size_t i = 0; i < N_CASES; i++) {
		struct qc_model model;
		enum qc_status s;

		make_gguf(&model, i, place_values);
		s = qc_model_set_layout(&model, QC_LAYOUT_HF, &err);
		CHECK(!s, "case %zu: %s", i, err.text);
		CHECK(model.layout == QC_LAYOUT_HF, "case %zu: layout %d", i, (int)model.layout);
		for (const struct qc_unsaid *u = model.unsaid; u; u = u->next)
			CHECK(false, "case %zu: %s: %s", i, u->key, u->why);
		qc_model_close(&model);
	}
}

/* What the checkpoint had under this name, compared with what is there now. */
static void same_values(struct qc_model *was, const struct qc_tensor *is)
{
	for (size_t i = 0; i < was->n_tensors; i++) {
		struct qc_tensor tensor = was->tensors[i];
		float *a, *b;
		uint64_t n = qc_tensor_elems(&tensor);
		bool turned = is->n_dims == 3 && is->dims[0] != tensor.dims[0];

		if (strcmp(tensor.stored_name, is->stored_name) != 0)
			continue;
		NEED(n == qc_tensor_elems(is), "%s: %llu values", is->name, (unsigned long long)n);
		if (!turned && is->row->op == QC_ROWS_TRANSPOSE) /* square experts */
			turned = true;
		if (turned)
			tensor.source = qc_source_transpose(&was->arena, tensor.source,
							    tensor.dims[1], 0, 1);
		a = am_read(&tensor);
		b = am_read(is);
		for (uint64_t k = 0; k < n; k++)
			if (a[k] != b[k]) {
				FAIL_AT("%s [%llu]: %g became %g", is->stored_name,
					(unsigned long long)k, (double)a[k], (double)b[k]);
				break;
			}
		CHECK(true, "counted");
		free(a);
		free(b);
		return;
	}
	FAIL_AT("'%s' was not in the checkpoint", is->stored_name);
}

static void tensors_have_their_names_and_values_again(void)
{
	for (size_t i = 0; i < N_CASES; i++) {
		const char *config = cases[i].config;
		struct qc_model model, was;
		bool same_names;

		make_gguf(&model, i, place_values);
		NEED(!am_config(&was, config, &err), "%s", err.text);
		fill(&was, i, place_values);
		NEED(!qc_model_set_layout(&model, QC_LAYOUT_HF, &err), "case %zu: %s", i, err.text);
		/* gpt-oss has its experts in one tensor, whatever they were made of */
		same_names = !cases[i].one_by_one || strcmp(model.arch->name, "gpt-oss") != 0;
		CHECK(!same_names || model.n_tensors == was.n_tensors,
		      "case %zu: %zu tensors, not %zu", i, model.n_tensors, was.n_tensors);
		for (size_t k = 0; same_names && k < model.n_tensors; k++)
			same_values(&was, &model.tensors[k]);
		qc_model_close(&model);
		qc_model_close(&was);
	}
}

/* gate_up_proj [3, 2 * 4, 8] and down_proj [3, 8, 4], both of place_values(). */
static void experts_in_one_tensor_become_one_each(void)
{
	static const struct {
		const char *part, *fused;
		uint64_t first, rows, cols; /* in the expert's rows */
	} parts[] = {{"gate_proj", "gate_up_proj", 0, 4, 8},
		     {"up_proj", "gate_up_proj", 4, 4, 8},
		     {"down_proj", "down_proj", 0, 8, 4}};
	struct qc_model model;
	float *fused[2][6];

	NEED(!am_config(&model, cases[15].config, &err), "%s", err.text);
	fill(&model, 15, place_values);
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	for (size_t i = 0; i < model.n_tensors; i++) {
		const struct qc_tensor *t = &model.tensors[i];

		if (strstr(t->stored_name, "experts."))
			fused[strstr(t->stored_name, "gate_up") != NULL][t->layer] = am_read(t);
	}
	CHECK(!qc_experts_are_single(&model), "experts one by one before");
	NEED(!qc_experts_split(&model, false, &err), "%s", err.text);
	CHECK(qc_experts_are_single(&model), "no experts one by one");
	for (size_t p = 0; p < 3; p++)
		for (int layer = 0; layer < 6; layer++)
			for (uint64_t e = 0; e < 3; e++) {
				const bool is_up = p < 2;
				const float *all = fused[is_up][layer] +
						   (e * 8 + parts[p].first) * parts[p].cols;
				const struct qc_tensor *tensor = NULL;
				char name[96];
				float *values;

				snprintf(name, sizeof(name), "model.layers.%d.experts.%d.%s.weight",
					 layer, (int)e, parts[p].part);
				for (size_t i = 0; i < model.n_tensors; i++)
					if (!strcmp(model.tensors[i].stored_name, name))
						tensor = &model.tensors[i];
				NEED(tensor, "no '%s'", name);
				values = am_read(tensor);
				CHECK(tensor->n_dims == 2 && tensor->dims[0] == parts[p].cols &&
					      tensor->dims[1] == parts[p].rows &&
					      !memcmp(values, all,
						      parts[p].rows * parts[p].cols * 4),
				      "%s: other rows", name);
				free(values);
			}
	for (int layer = 0; layer < 6; layer++) {
		free(fused[0][layer]);
		free(fused[1][layer]);
	}
	/* and it is a checkpoint of the other kind */
	NEED(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
	am_check_tensor(&model, "blk.5.ffn_up_exps.weight", "8 4 3");
	am_check_tensor(&model, "blk.5.ffn_down_exps.weight", "4 8 3");
	qc_model_close(&model);
}

static void experts_stored_the_other_way_round_stay(void)
{
	struct qc_model model;
	size_t n;

	NEED(!am_config(&model, cases[12].config, &err), "%s", err.text);
	fill(&model, 12, NULL);
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	n = model.n_tensors;
	NEED(!qc_experts_split(&model, false, &err), "%s", err.text);
	CHECK(model.n_tensors == n && !qc_experts_are_single(&model), "%zu tensors, not %zu",
	      model.n_tensors, n);
	qc_model_close(&model);
}

static void refuses(struct qc_model *model, const char *what)
{
	struct qc_err why = {0};
	enum qc_status s = qc_model_set_layout(model, QC_LAYOUT_HF, &why);

	CHECK(s && strstr(why.text, what), "'%s' is not in %d '%s'", what, (int)s, why.text);
	qc_model_close(model);
}

static void what_no_checkpoint_has_is_refused(void)
{
	static const float odd[] = {1, 1, 3, 5};
	static const uint64_t four[] = {4};
	struct qc_model model;
	struct qc_tensor *tensor;

	make_gguf(&model, 0, place_values);
	tensor = am_add(&model, "blk.0.ssm_a", 1, (const uint64_t[]){4}, place_values);
	tensor->row = NULL;
	refuses(&model, "'blk.0.ssm_a'");

	make_gguf(&model, 0, place_values);
	NEED(am_remove(&model, "layers.1.mlp.up_proj") == 1, "no such tensor");
	refuses(&model, "'model.layers.1.mlp.up_proj.weight' is missing");

	make_gguf(&model, 12, place_values); /* one half of gate_up_proj */
	for (size_t i = 0; i < model.n_tensors; i++)
		if (!strcmp(model.tensors[i].name, "blk.1.ffn_up_exps.weight"))
			model.tensors[i] = model.tensors[--model.n_tensors];
	refuses(&model, "'blk.1.ffn_gate_exps.weight' is there without");

	make_gguf(&model, 4, place_values); /* rope_freqs that no parameters give */
	for (size_t i = 0; i < model.n_tensors; i++)
		if (!strcmp(model.tensors[i].name, "rope_freqs.weight"))
			model.tensors[i].source = qc_source_values(&model.arena, odd, 4, 1);
	for (size_t i = 0; i < model.n_tensors; i++)
		if (!strcmp(model.tensors[i].name, "rope_freqs.weight"))
			model.tensors[i].dims = four;
	refuses(&model, "rope_freqs.weight");

	make_gguf(&model, 0, place_values);
	NEED(!qc_meta_set_u32(&model.meta, "llama.block_count", 4000000000u, &err), "no memory");
	refuses(&model, "4000000000 blocks");

	make_gguf(&model, 0, place_values);
	NEED(!qc_meta_set_u32(&model.meta, "llama.attention.head_count", 3, &err), "no memory");
	refuses(&model, "are not 3 heads of whole pairs");

	make_gguf(&model, 16, place_values); /* experts one by one, but another number */
	NEED(!qc_meta_set_u32(&model.meta, "gemma4.expert_count", 7, &err), "no memory");
	refuses(&model, "is not one of 7 experts");
}

static const char *why_unsaid(const struct qc_model *model, const char *key)
{
	for (const struct qc_unsaid *u = model->unsaid; u; u = u->next)
		if (!strcmp(u->key, key))
			return u->why;
	return "(nothing)";
}

static void keys_that_do_not_come_back_are_named(void)
{
	struct qc_meta *meta;
	struct qc_model model;
	const char *why;

	make_gguf(&model, 0, place_values);
	meta = &model.meta;
	NEED(!qc_meta_set_string(meta, "general.author", "me", 2, &err) &&
		     !qc_meta_set_string(meta, "general.name", "lower/x", 7, &err) &&
		     !qc_meta_set_u32(meta, "general.file_type", 7, &err),
	     "no memory");
	qc_meta_remove(meta, "llama.vocab_size");
	NEED(!qc_model_set_layout(&model, QC_LAYOUT_HF, &err), "%s", err.text);
	why = why_unsaid(&model, "general.author");
	CHECK(strstr(why, "would not bring it back"), "author: %s", why);
	why = why_unsaid(&model, "general.name");
	CHECK(strstr(why, "would give 'X'"), "name: %s", why);
	why = why_unsaid(&model, "llama.vocab_size");
	CHECK(strstr(why, "would give 5"), "vocab_size: %s", why);
	why = why_unsaid(&model, "general.file_type");
	CHECK(!strcmp(why, "(nothing)"), "file_type: %s", why);
	qc_model_close(&model);
}

/* GGUF's f32 rule: a norm of a bf16 checkpoint is bf16 again, unless it is no bf16 numbers. */
static void small_tensors_are_of_the_checkpoints_type_again(void)
{
	const struct qc_qtype *bf16 = qc_qtype_find("bf16");
	struct qc_model model;
	float *fine;

	make_gguf(&model, 0, place_values);
	fine = qc_arena_array(&model.arena, 8, sizeof(*fine));
	NEED(fine, "no memory");
	for (int i = 0; i < 8; i++)
		fine[i] = 1 + 0x1p-20f;
	for (size_t i = 0; i < model.n_tensors; i++) {
		struct qc_tensor *tensor = &model.tensors[i];

		if (tensor->n_dims == 2) /* stands for a matrix that is stored so */
			tensor->source = qc_source_narrow(&model.arena, tensor->source, bf16);
		else if (!strcmp(tensor->name, "blk.1.ffn_norm.weight"))
			tensor->source = qc_source_values(&model.arena, fine, 8, 1);
	}
	NEED(!qc_model_set_layout(&model, QC_LAYOUT_HF, &err), "%s", err.text);
	for (size_t i = 0; i < model.n_tensors; i++) {
		const struct qc_tensor *tensor = &model.tensors[i];
		const bool is_fine = !strcmp(tensor->name, "blk.1.ffn_norm.weight");

		CHECK((tensor->source->type == bf16) == !is_fine, "%s is %s", tensor->name,
		      tensor->source->type->name);
	}
	qc_model_close(&model);
}

static void floats_are_printed_with_the_fewest_digits(void)
{
	static const struct {
		float value;
		const char *text;
	} rows[] = {{1e6f, "1000000.0"},     {1e-6f, "1e-06"},
		    {0.1f, "0.1"},	     {0, "0.0"},
		    {-2.5f, "-2.5"},	     {16777216, "16777216.0"},
		    {1e20f, "1e+20"},	     {3.4028235e38f, "3.4028235e+38"},
		    {1.0f / 3, "0.33333334"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[32];

		qc_json_float_text(rows[i].value, text);
		CHECK(!strcmp(text, rows[i].text) && strtof(text, NULL) == rows[i].value,
		      "%.9g is '%s', not '%s'", (double)rows[i].value, text, rows[i].text);
	}
}

int main(void)
{
	the_configuration_says_every_key();
	tensors_have_their_names_and_values_again();
	experts_in_one_tensor_become_one_each();
	experts_stored_the_other_way_round_stay();
	what_no_checkpoint_has_is_refused();
	keys_that_do_not_come_back_are_named();
	small_tensors_are_of_the_checkpoints_type_again();
	floats_are_printed_with_the_fewest_digits();
	return test_end();
}

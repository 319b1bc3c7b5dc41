/* Recipes: the type of every tensor, as llama-quantize has it. */
#include <strings.h>

#include "convert/recipe.h"
#include "tests/recipe_model.h"

/* `blocks` is a string of digits and letters: a for 10, b for 11. */
static bool listed(const char *blocks, int block)
{
	return strchr(blocks, block < 10 ? '0' + block : 'a' + block - 10) != NULL;
}

static void mixtures_give_the_types_of_llama_quantize(void)
{
	static const struct {
		const char *recipe, *normal, *head, *embd;
		const char *v_more, *v_blocks, *down_more, *down_blocks;
		uint32_t file_type;
	} rows[] = {
		{"f32", "f32", "f32", "f32", "f32", "", "f32", "", 0},
		{"f16", "f16", "f16", "f16", "f16", "", "f16", "", 1},
		{"bf16", "bf16", "bf16", "bf16", "bf16", "", "bf16", "", 32},
		{"q8_0", "q8_0", "q8_0", "q8_0", "q8_0", "", "q8_0", "", 7},
		{"q4_0", "q4_0", "q6_K", "q4_0", "q4_0", "", "q4_0", "", 2},
		{"q4_1", "q4_1", "q6_K", "q4_1", "q4_1", "", "q4_1", "", 3},
		{"q5_0", "q5_0", "q6_K", "q5_0", "q5_0", "", "q5_0", "", 8},
		{"q5_1", "q5_1", "q6_K", "q5_1", "q5_1", "", "q5_1", "", 9},
		{"q4_k_s", "q4_K", "q6_K", "q4_K", "q5_K", "0123", "q5_K", "0", 14},
		{"q4_k_m", "q4_K", "q6_K", "q4_K", "q6_K", "0369ab", "q6_K", "0369ab", 15},
		{"Q4_K", "q4_K", "q6_K", "q4_K", "q6_K", "0369ab", "q6_K", "0369ab", 15},
		{"q5_k_s", "q5_K", "q6_K", "q5_K", "q5_K", "", "q5_K", "", 16},
		{"q5_k_m", "q5_K", "q6_K", "q5_K", "q6_K", "0369ab", "q6_K", "0369ab", 17},
		{"q5_k", "q5_K", "q6_K", "q5_K", "q6_K", "0369ab", "q6_K", "0369ab", 17},
		{"Q6_K", "q6_K", "q6_K", "q6_K", "q6_K", "", "q6_K", "", 18},
		{"mxfp4", "mxfp4", "q6_K", "mxfp4", "mxfp4", "", "mxfp4", "", 38},
		{"MXFP4_MOE", "q8_0", "q8_0", "q8_0", "q8_0", "", "q8_0", "", 38},
		{"nvfp4", "nvfp4", "q6_K", "q6_K", "nvfp4", "", "nvfp4", "", 39},
	};
	struct fake f;
	char name[64];

	make_llama(&f, "hf", 12);
	for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
		struct qconv_options options = {.quant = rows[r].recipe};

		CHECK(!fake_choose(&f, &options), "%s: %s", rows[r].recipe, f.err.text);
		CHECK(f.file_type == rows[r].file_type, "%s: file type %u", rows[r].recipe,
		      f.file_type);
		becomes(&f, rows[r].recipe, "output.weight", rows[r].head);
		becomes(&f, rows[r].recipe, "token_embd.weight", rows[r].embd);
		becomes(&f, rows[r].recipe, "output_norm.weight", "f32");
		for (int b = 0; b < 12; b++) {
			bool v = listed(rows[r].v_blocks, b), down = listed(rows[r].down_blocks, b);

			snprintf(name, sizeof(name), "blk.%d.attn_v.weight", b);
			becomes(&f, rows[r].recipe, name, v ? rows[r].v_more : rows[r].normal);
			snprintf(name, sizeof(name), "blk.%d.ffn_down.weight", b);
			becomes(&f, rows[r].recipe, name,
				down ? rows[r].down_more : rows[r].normal);
			snprintf(name, sizeof(name), "blk.%d.ffn_up.weight", b);
			becomes(&f, rows[r].recipe, name, rows[r].normal);
			snprintf(name, sizeof(name), "blk.%d.attn_k.weight", b);
			becomes(&f, rows[r].recipe, name, rows[r].normal);
			snprintf(name, sizeof(name), "blk.%d.ffn_norm.weight", b);
			becomes(&f, rows[r].recipe, name, "f32");
		}
	}
	fake_clear(&f);
}

static void every_listed_recipe_can_be_asked_for(void)
{
	const char *name, *about;
	struct fake f;

	make_llama(&f, "hf", 2);
	for (unsigned i = 0; (name = qc_recipe_name(i, &about)); i++) {
		struct qconv_options options = {.quant = name, .imatrix = "some.imatrix"};

		CHECK(about && *about, "%s says nothing about itself", name);
		CHECK(!fake_choose(&f, &options), "%s: %s", name, f.err.text);
	}
	fake_clear(&f);
}

static void a_tied_embedding_is_the_head(void)
{
	struct qconv_options options = {.quant = "q4_0"};
	struct fake f;

	fake_init(&f, "gemma3", "hf");
	fake_add(&f, "token_embd.weight", "bf16", 512, 1000);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "q4_0", "token_embd.weight", "q6_K");
	options.quant = "q8_0";
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "q8_0", "token_embd.weight", "q8_0");
	fake_clear(&f);
}

static void pure_gives_every_matrix_the_type(void)
{
	struct qconv_options options = {.quant = "q4_k_m", .pure = true};
	struct fake f;

	make_llama(&f, "hf", 12);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	for (size_t i = 0; i < f.model.n_tensors; i++)
		becomes(&f, "pure", f.model.tensors[i].name,
			f.model.tensors[i].n_dims == 2 ? "q4_K" : "f32");
	fake_clear(&f);
}

static void rows_that_are_not_whole_blocks_fall_back(void)
{
	static const struct {
		const char *recipe;
		uint64_t cols;
		const char *type;
	} rows[] = {
		{"q4_k_s", 640, "q5_0"}, {"q5_k_s", 640, "q5_1"}, {"q6_k", 640, "q8_0"},
		{"q4_k_s", 100, "f16"},	 {"q4_0", 100, "f16"},	  {"q8_0", 100, "f16"},
		{"q4_0", 640, "q4_0"},	 {"bf16", 100, "bf16"},	  {"mxfp4", 100, "f16"},
		{"nvfp4", 96, "q5_0"},	 {"nvfp4", 100, "f16"},	  {"nvfp4", 640, "nvfp4"},
	};
	struct fake f;

	for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
		struct qconv_options options = {.quant = rows[r].recipe};
		const struct qc_choice *c;
		bool fell = strncasecmp(rows[r].recipe, rows[r].type, 4) != 0;

		fake_init(&f, "llama", "hf");
		fake_add(&f, "output.weight", "bf16", 256, 8);
		fake_add(&f, "blk.0.ffn_up.weight", "bf16", rows[r].cols, 8);
		CHECK(!fake_choose(&f, &options), "%s: %s", rows[r].recipe, f.err.text);
		becomes(&f, rows[r].recipe, "blk.0.ffn_up.weight", rows[r].type);
		c = choice_of(&f, "blk.0.ffn_up.weight");
		CHECK(c->fallback == fell, "%s of %llu columns: fallback %d", rows[r].recipe,
		      (unsigned long long)rows[r].cols, c->fallback);
		CHECK(!fell || strstr(c->why, "fallback"), "%s: '%s'", rows[r].recipe, c->why);
		fake_clear(&f);
	}
}

/* The head's rule is another: Q8_0 at once, by the default type's blocks. */
static void a_head_that_does_not_fit_is_q8_0(void)
{
	struct qconv_options options = {.quant = "q4_k_m"};
	struct fake f;

	fake_init(&f, "gemma3", "hf");
	fake_add(&f, "token_embd.weight", "bf16", 640, 1000);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "q4_k_m", "token_embd.weight", "q8_0");
	options.quant =
		"q4_0"; /* 640 are whole blocks of 32: q6_K, which does not fit, so its fallback */
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "q4_0", "token_embd.weight", "q8_0");
	CHECK(choice_of(&f, "token_embd.weight")->fallback, "no fallback");
	fake_clear(&f);
}

static void eight_experts_keep_small_matrices_large(void)
{
	static const char *const parts[] = {
		"attn_q",	"attn_k",	 "attn_v",	"attn_output",
		"ffn_gate_inp", "ffn_down_exps", "ffn_up_exps", NULL};
	struct qconv_options options = {.quant = "q4_k_m"};
	struct fake f;

	fake_init(&f, "llama", "hf");
	fake_number(&f, "llama.block_count", 8);
	fake_number(&f, "llama.expert_count", 8);
	fake_add(&f, "output.weight", "bf16", 512, 1000);
	fake_blocks(&f, 8, 512, parts);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "experts", "blk.1.attn_v.weight", "q8_0");
	becomes(&f, "experts", "blk.1.attn_k.weight", "q8_0");
	becomes(&f, "experts", "blk.1.attn_q.weight", "q4_K");
	becomes(&f, "experts", "blk.1.attn_output.weight", "q5_K");
	becomes(&f, "experts", "blk.1.ffn_gate_inp.weight", "f32");
	becomes(&f, "experts", "blk.0.ffn_down_exps.weight", "q6_K");
	becomes(&f, "experts", "blk.1.ffn_down_exps.weight", "q4_K");
	becomes(&f, "experts", "blk.3.ffn_down_exps.weight", "q6_K");
	fake_clear(&f);
}

static void fake_add_experts(struct fake *f, const char *name)
{
	uint64_t *dims = qc_arena_alloc(&f->model.arena, 3 * sizeof(*dims));

	fake_add(f, name, "bf16", 256, 64);
	NEED(dims, "no memory");
	dims[0] = 256;
	dims[1] = 16;
	dims[2] = 4;
	f->model.tensors[f->model.n_tensors - 1].n_dims = 3;
	f->model.tensors[f->model.n_tensors - 1].dims = dims;
}

/* In llama-quantize's MXFP4_MOE whatever has a third dimension is experts, but in one family. */
static void mxfp4_moe_makes_experts_mxfp4_and_the_rest_q8_0(void)
{
	static const char *const archs[] = {"llama", "bailingmoe3"};
	struct qconv_options options = {.quant = "mxfp4_moe"};
	struct fake f;

	for (size_t i = 0; i < 2; i++) {
		fake_init(&f, archs[i], "gguf");
		fake_add(&f, "output.weight", "bf16", 256, 8);
		fake_add(&f, "token_embd.weight", "bf16", 256, 8);
		fake_add(&f, "blk.0.attn_q.weight", "bf16", 256, 8);
		fake_add_experts(&f, "blk.0.ffn_down_exps.weight");
		fake_add_experts(&f, "blk.0.attn_k_b.weight");
		CHECK(!fake_choose(&f, &options), "%s", f.err.text);
		becomes(&f, archs[i], "output.weight", "q8_0");
		becomes(&f, archs[i], "token_embd.weight", "q8_0");
		becomes(&f, archs[i], "blk.0.attn_q.weight", "q8_0");
		becomes(&f, archs[i], "blk.0.ffn_down_exps.weight", "mxfp4");
		becomes(&f, archs[i], "blk.0.attn_k_b.weight", i ? "q8_0" : "mxfp4");
		fake_clear(&f);
	}
}

/* A GGUF with a scale that the loader does not know does not load; one that it does not multiply
 * computes nonsense. */
static void nvfp4_has_a_tensor_scale_only_where_llama_cpp_multiplies_it(void)
{
	static const struct {
		const char *arch, *name, *type;
		bool scaled;
	} rows[] = {
		{"llama", "blk.0.attn_q.weight", "nvfp4", true},
		{"llama", "blk.0.ffn_down.weight", "nvfp4", true},
		{"llama", "blk.0.ffn_down_exps.weight", "nvfp4", true},
		{"llama", "blk.0.attn_q_a.weight", "nvfp4", false},
		{"llama", "token_embd.weight", "q6_K", false},
		{"llama", "output.weight", "q6_K", false},
		{"gemma3", "blk.0.attn_output.weight", "nvfp4", true},
		{"gemma3", "blk.0.ffn_up.weight", "nvfp4", false},
		{"gemma4", "blk.0.ffn_up.weight", "nvfp4", true},
		{"gemma4", "blk.0.ffn_down_exps.weight", "nvfp4", false},
		{"gemma4", "blk.0.inp_gate.weight", "nvfp4", false},
		{"gpt-oss", "blk.0.attn_v.weight", "nvfp4", true},
		{"gpt-oss", "blk.0.ffn_gate_exps.weight", "nvfp4", false},
		{"phi3", "blk.0.attn_output.weight", "nvfp4", false},
		{NULL, "model.layers.0.mlp.up_proj.weight", "nvfp4", true},
	};
	struct qconv_options options = {.quant = "nvfp4"};
	struct fake f;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		fake_init(&f, rows[i].arch, "gguf");
		fake_add(&f, "output.weight", "bf16", 256, 8);
		if (strcmp(rows[i].name, "output.weight") != 0)
			fake_add(&f, rows[i].name, "bf16", 256, 8);
		CHECK(!fake_choose(&f, &options), "%s", f.err.text);
		becomes(&f, rows[i].arch ? rows[i].arch : "a bag", rows[i].name, rows[i].type);
		CHECK(!choice_of(&f, rows[i].name)->packing == !rows[i].scaled,
		      "%s: a scale is%s expected", rows[i].name, rows[i].scaled ? "" : " not");
		fake_clear(&f);
	}
	fake_init(&f, "llama", "gguf");
	fake_add(&f, "blk.0.ffn_up.weight", "bf16", 256, 8);
	fake_add(&f, "blk.0.ffn_up.bias", "f32", 8, 0);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	CHECK(!choice_of(&f, "blk.0.ffn_up.weight")->packing, "a scale beside a bias");
	fake_clear(&f);
}

static void a_70b_has_a_larger_attn_v(void)
{
	struct qconv_options options = {.quant = "q4_k_m"};
	struct fake f;

	make_llama(&f, "gguf", 80);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "70B", "blk.0.attn_v.weight", "q6_K");
	becomes(&f, "70B", "blk.11.attn_v.weight", "q5_K");
	becomes(&f, "70B", "blk.11.attn_q.weight", "q4_K");
	fake_number(&f, "llama.attention.head_count_kv", 16); /* the 65B has as many */
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "65B", "blk.11.attn_v.weight", "q4_K");
	fake_clear(&f);
}

/* Quantizing needs names and shapes, not an architecture that we know. */
static void an_architecture_that_we_do_not_know_has_its_rules(void)
{
	struct qconv_options options = {.quant = "q4_k_m"};
	struct fake f;

	fake_init(&f, "falcon", "gguf");
	CHECK(!f.model.arch, "falcon is known now: choose another name here");
	fake_number(&f, "falcon.block_count", 32);
	fake_add(&f, "output.weight", "f16", 512, 1000);
	fake_blocks(&f, 32, 512, dense);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "falcon", "output.weight", "q8_0");
	becomes(&f, "falcon", "blk.1.ffn_down.weight", "q6_K");
	becomes(&f, "falcon", "blk.2.ffn_down.weight", "q5_K");
	becomes(&f, "falcon", "blk.5.ffn_down.weight", "q4_K");
	becomes(&f, "falcon", "blk.0.attn_norm.weight", "bf16"); /* from GGUF: as it is */
	fake_clear(&f);
}

static void the_rules_hold_for_a_hundred_thousand_tensors(void)
{
	struct fake f;

	choose_with_rule(&f, 11000, "q4_k_m", "attn_q=q8_0"); /* 99,003 tensors */
	becomes(&f, "large", "blk.10999.attn_v.weight", "q6_K");
	becomes(&f, "large", "blk.5000.attn_q.weight", "q8_0");
	fake_clear(&f);
}

int main(void)
{
	mixtures_give_the_types_of_llama_quantize();
	every_listed_recipe_can_be_asked_for();
	a_tied_embedding_is_the_head();
	pure_gives_every_matrix_the_type();
	rows_that_are_not_whole_blocks_fall_back();
	a_head_that_does_not_fit_is_q8_0();
	eight_experts_keep_small_matrices_large();
	mxfp4_moe_makes_experts_mxfp4_and_the_rest_q8_0();
	nvfp4_has_a_tensor_scale_only_where_llama_cpp_multiplies_it();
	a_70b_has_a_larger_attn_v();
	an_architecture_that_we_do_not_know_has_its_rules();
	the_rules_hold_for_a_hundred_thousand_tensors();
	return test_end();
}

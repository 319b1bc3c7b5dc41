/* Rules of one's own beside a recipe, and models without one. */
#include <strings.h>

#include "tests/recipe_model.h"
#include "tests/st_files.h"

static void without_a_recipe_types_stay(void)
{
	struct qconv_options options = {0};
	struct fake f;

	fake_init(&f, "llama", "hf");
	fake_add(&f, "blk.0.ffn_up.weight", "bf16", 256, 8);
	fake_add(&f, "blk.0.ffn_down.weight", "f16", 256, 4);
	fake_add(&f, "blk.0.attn_q.weight", "f8_e4m3", 256, 4);
	fake_add(&f, "blk.0.attn_k.weight", "f64", 256, 4);
	fake_add(&f, "blk.0.attn_norm.weight", "bf16", 256, 0);
	fake_add(&f, "blk.0.attn_q.bias", "bf16", 256, 2);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	CHECK(f.file_type == 32, "file type %u", f.file_type);
	becomes(&f, "none", "blk.0.ffn_up.weight", "bf16");
	becomes(&f, "none", "blk.0.ffn_down.weight", "f16");
	becomes(&f, "none", "blk.0.attn_q.weight", "bf16");
	becomes(&f, "none", "blk.0.attn_k.weight", "f32");
	becomes(&f, "none", "blk.0.attn_norm.weight", "f32");
	becomes(&f, "none", "blk.0.attn_q.bias", "f32");
	fake_clear(&f);
}

static void a_bag_keeps_what_is_no_weight(void)
{
	struct qconv_options options = {.quant = "q8_0"};
	struct fake f;

	fake_init(&f, NULL, "safetensors");
	fake_add(&f, "layers.0.proj.weight", "bf16", 256, 8);
	fake_add(&f, "layers.0.table", "bf16", 256, 8);
	fake_add(&f, "layers.0.ln.weight", "bf16", 256, 0);
	fake_add(&f, "ids", "i32", 256, 8);
	fake_add(&f, "mask.weight", "u8", 256, 8);
	fake_add(&f, "empty.weight", "bf16", 256, 0);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "bag", "layers.0.proj.weight", "q8_0");
	becomes(&f, "bag", "layers.0.table", "bf16");
	becomes(&f, "bag", "layers.0.ln.weight", "bf16");
	becomes(&f, "bag", "ids", "i32");
	CHECK(!choice_of(&f, "mask.weight")->type, "GGUF has no u8");
	CHECK(strstr(choice_of(&f, "mask.weight")->why, "u8"), "'%s'",
	      choice_of(&f, "mask.weight")->why);
	options.tensor_rules = (const char *const[]){"table=q4_0"};
	options.n_tensor_rules = 1;
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "bag", "layers.0.table", "q4_0");
	fake_clear(&f);
}

static void the_first_matching_rule_wins(void)
{
	static const char *const rules[] = {"blk\\.[0-3]\\.ffn_down=q8_0", "ffn_(up|down) = Q5_K",
					    "attn=f16", "^output\\.weight$=bf16"};
	struct qconv_options options = {
		.quant = "q4_0", .tensor_rules = rules, .n_tensor_rules = 4};
	struct fake f;

	make_llama(&f, "hf", 12);
	options.recipe_file = NULL;
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "rules", "blk.3.ffn_down.weight", "q8_0");
	becomes(&f, "rules", "blk.4.ffn_down.weight", "q5_K");
	becomes(&f, "rules", "blk.4.ffn_up.weight", "q5_K");
	becomes(&f, "rules", "blk.4.ffn_gate.weight", "q4_0");
	becomes(&f, "rules", "blk.4.attn_q.weight", "f16");
	becomes(&f, "rules", "blk.4.attn_norm.weight",
		"f32"); /* never quantized: no rule asks for it */
	becomes(&f, "rules", "output.weight", "bf16");
	CHECK(strstr(choice_of(&f, "blk.3.ffn_down.weight")->why, "ffn_down"), "'%s'",
	      choice_of(&f, "blk.3.ffn_down.weight")->why);
	options.quant = NULL; /* rules hold without a recipe, too */
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "rules", "blk.3.ffn_down.weight", "q8_0");
	becomes(&f, "rules", "blk.4.ffn_gate.weight", "bf16");
	fake_clear(&f);
}

/* Counters: a value projection that a rule decides about is not counted by the mixture. */
static void rules_take_tensors_out_of_the_count(void)
{
	struct fake f;

	choose_with_rule(&f, 12, "q4_k_s", "blk\\.0\\.attn_v=q8_0");
	becomes(&f, "count", "blk.0.attn_v.weight", "q8_0");
	becomes(&f, "count", "blk.4.attn_v.weight", "q5_K");
	becomes(&f, "count", "blk.5.attn_v.weight", "q4_K");
	fake_clear(&f);
}

static void a_recipe_file_has_comments_and_comes_after_the_options(void)
{
	static const char *const rules[] = {"attn_q=f16"};
	struct qconv_options options = {
		.quant = "q4_0", .tensor_rules = rules, .n_tensor_rules = 1};
	struct fake f;

	st_begin();
	options.recipe_file =
		st_text("recipe", "# all of it\n\nattn_q = q8_0\r\n  attn_(k|v)=q5_1 # both\n"
				  "ffn_up#=q4_1\nffn_down = q4_1");
	make_llama(&f, "hf", 2);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "file", "blk.0.attn_q.weight", "f16");
	becomes(&f, "file", "blk.0.attn_k.weight", "q5_1");
	becomes(&f, "file", "blk.0.ffn_down.weight", "q4_1");
	becomes(&f, "file", "blk.0.ffn_up.weight", "q4_0"); /* its rule asks for "ffn_up#" */
	options.recipe_file = st_text("recipe", "attn_q = q8_0\nattn_k = q9_9\n");
	CHECK(fake_choose(&f, &options) == QC_USAGE && strstr(f.err.text, "recipe:2") &&
		      strstr(f.err.text, "q9_9"),
	      "'%s'", f.err.text);
	fake_clear(&f);
	st_end();
}

static void nonsense_is_refused_with_what_would_work(void)
{
	static const struct {
		const char *quant, *method, *rule, *says;
	} rows[] = {
		{"q4_k_x", NULL, NULL, "q4_k_m"},	{"", NULL, NULL, "q4_k_m"},
		{"i32", NULL, NULL, "neither"},		{"q4_0", "best", NULL, "reference"},
		{"q4_0", NULL, "attn_q", "REGEX=TYPE"}, {"q4_0", NULL, "=q8_0", "REGEX=TYPE"},
		{"q4_0", NULL, "a=", "REGEX=TYPE"},	{"q4_0", NULL, "a=q4_k_m", "not a type"},
		{"q4_0", NULL, "(a=q8_0", "rule"},	{"q4_0", NULL, "blk\\.\\d+=q8_0", "[0-9]"},
	};
	struct fake f;

	make_llama(&f, "hf", 2);
	for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
		struct qconv_options options = {.quant = rows[r].quant,
						.method = rows[r].method,
						.tensor_rules = &rows[r].rule,
						.n_tensor_rules = rows[r].rule != NULL};
		enum qc_status s = fake_choose(&f, &options);

		CHECK(s == QC_USAGE && strstr(f.err.text, rows[r].says), "row %zu: status %d, '%s'",
		      r, s, f.err.text);
	}
	fake_clear(&f);
}

static void types_that_cannot_be_made_are_refused(void)
{
	struct qconv_options options = {.quant = "q4_0"};
	const char *rule = "attn_q=i32";
	struct fake f;

	make_llama(&f, "hf", 2);
	options.tensor_rules = &rule;
	options.n_tensor_rules = 1;
	CHECK(fake_choose(&f, &options) == QC_UNSUPPORTED && strstr(f.err.text, "attn_q"), "'%s'",
	      f.err.text);
	fake_clear(&f);
}

int main(void)
{
	without_a_recipe_types_stay();
	a_bag_keeps_what_is_no_weight();
	the_first_matching_rule_wins();
	rules_take_tensors_out_of_the_count();
	a_recipe_file_has_comments_and_comes_after_the_options();
	nonsense_is_refused_with_what_would_work();
	types_that_cannot_be_made_are_refused();
	return test_end();
}

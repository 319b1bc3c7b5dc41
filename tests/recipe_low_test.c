/* The recipes of three bits and fewer, what an imatrix changes, and the options for the two ends of
 * a model. */
#include "tests/recipe_model.h"

#define IMATRIX "some.imatrix" /* recipes only ask whether there is one */

static void choose(struct fake *f, const char *recipe, const char *imatrix)
{
	struct qconv_options options = {.quant = recipe, .imatrix = imatrix};

	CHECK(!fake_choose(f, &options), "%s: %s", recipe, f->err.text);
}

/* A llama of 16 blocks whose heads share keys and values by four. */
static void low_mixtures_give_the_types_of_llama_quantize(void)
{
	static const struct {
		const char *recipe;
		uint32_t file_type;
		const char *head, *embd, *v, *k, *q, *out, *down_first, *down, *up;
	} rows[] = {
		{"q3_k_l", 13, "q6_K", "q3_K", "q5_K", "q3_K", "q3_K", "q5_K", "q5_K", "q5_K",
		 "q3_K"},
		{"q3_k_m", 12, "q6_K", "q3_K", "q5_K", "q3_K", "q3_K", "q4_K", "q5_K", "q4_K",
		 "q3_K"},
		{"Q3_K", 12, "q6_K", "q3_K", "q5_K", "q3_K", "q3_K", "q4_K", "q5_K", "q4_K",
		 "q3_K"},
		{"q3_k_s", 11, "q6_K", "q3_K", "q3_K", "q3_K", "q3_K", "q3_K", "q3_K", "q3_K",
		 "q3_K"},
		{"q2_k", 10, "q6_K", "q2_K", "q4_K", "q2_K", "q2_K", "q3_K", "q3_K", "q3_K",
		 "q2_K"},
		{"q2_k_s", 21, "q6_K", "q2_K", "q4_K", "q2_K", "q2_K", "q2_K", "q4_K", "q2_K",
		 "q2_K"},
		{"iq4_nl", 25, "q6_K", "iq4_nl", "q5_K", "iq4_nl", "iq4_nl", "iq4_nl", "iq4_nl",
		 "iq4_nl", "iq4_nl"},
		{"iq4_xs", 30, "q6_K", "iq4_xs", "q5_K", "iq4_xs", "iq4_xs", "iq4_xs", "iq4_xs",
		 "iq4_xs", "iq4_xs"},
		{"iq3_m", 27, "q6_K", "iq3_s", "q4_K", "iq3_s", "iq3_s", "q4_K", "q4_K", "iq3_s",
		 "iq3_s"},
		{"iq3_s", 26, "q6_K", "iq3_s", "q4_K", "iq3_s", "iq3_s", "iq3_s", "iq3_s", "iq3_s",
		 "iq3_s"},
		{"iq3_xs", 22, "q6_K", "iq3_s", "q4_K", "iq3_xxs", "iq3_xxs", "iq3_s", "iq3_s",
		 "iq3_s", "iq3_s"},
		{"iq3_xxs", 23, "q5_K", "iq3_s", "q4_K", "iq2_s", "iq2_s", "iq3_s", "iq3_xxs",
		 "iq3_xxs", "iq3_xxs"},
		{"iq2_m", 29, "q5_K", "iq3_s", "q4_K", "iq2_s", "iq2_s", "iq3_s", "iq3_s", "iq2_s",
		 "iq2_s"},
		{"iq2_s", 28, "q5_K", "iq3_s", "q4_K", "iq2_xs", "iq2_xs", "iq3_s", "iq3_s",
		 "iq2_xs", "iq2_xs"},
		{"iq2_xs", 20, "q5_K", "q2_K", "q4_K", "iq2_xs", "iq2_xs", "iq2_xs", "q2_K",
		 "iq2_xs", "iq2_xs"},
		{"iq2_xxs", 19, "q5_K", "q2_K", "q4_K", "iq2_xxs", "iq2_xxs", "iq2_xxs", "q2_K",
		 "iq2_xxs", "iq2_xxs"},
		{"iq1_m", 31, "q5_K", "q2_K", "q4_K", "iq1_m", "iq1_m", "iq2_xxs", "q2_K", "iq1_m",
		 "iq1_m"},
		{"iq1_s", 24, "q5_K", "q2_K", "q4_K", "iq1_s", "iq1_s", "iq2_xxs", "q2_K", "iq1_s",
		 "iq1_s"},
		{"tq1_0", 36, "q6_K", "q4_K", "tq1_0", "tq1_0", "tq1_0", "tq1_0", "tq1_0", "tq1_0",
		 "tq1_0"},
		{"tq2_0", 37, "q6_K", "q4_K", "tq2_0", "tq2_0", "tq2_0", "tq2_0", "tq2_0", "tq2_0",
		 "tq2_0"},
		{"q2_0", 41, "q6_K", "q4_K", "q2_0", "q2_0", "q2_0", "q2_0", "q2_0", "q2_0",
		 "q2_0"},
		{"q1_0", 40, "q6_K", "q1_0", "q1_0", "q1_0", "q1_0", "q1_0", "q1_0", "q1_0",
		 "q1_0"},
	};
	struct fake f;

	make_llama(&f, "hf", 16);
	for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
		const char *recipe = rows[r].recipe;

		choose(&f, recipe, IMATRIX);
		CHECK(f.file_type == rows[r].file_type, "%s: file type %u", recipe, f.file_type);
		becomes(&f, recipe, "output.weight", rows[r].head);
		becomes(&f, recipe, "token_embd.weight", rows[r].embd);
		becomes(&f, recipe, "output_norm.weight", "f32");
		becomes(&f, recipe, "blk.1.attn_v.weight", rows[r].v);
		becomes(&f, recipe, "blk.0.attn_k.weight", rows[r].k);
		becomes(&f, recipe, "blk.15.attn_q.weight", rows[r].q);
		becomes(&f, recipe, "blk.7.attn_output.weight", rows[r].out);
		becomes(&f, recipe, "blk.0.ffn_down.weight", rows[r].down_first);
		becomes(&f, recipe, "blk.2.ffn_down.weight", rows[r].down);
		becomes(&f, recipe, "blk.15.ffn_up.weight", rows[r].up);
		CHECK(choice_of(&f, "blk.2.ffn_up.weight")->why, "%s: no reason", recipe);
	}
	choose(&f, "q3_k_m", IMATRIX);
	becomes(&f, "the first two", "blk.2.attn_v.weight", "q4_K");
	choose(&f, "iq3_xs", IMATRIX);
	becomes(&f, "the middle", "blk.2.ffn_up.weight", "iq3_xxs");
	becomes(&f, "the middle", "blk.13.ffn_gate.weight", "iq3_xxs");
	becomes(&f, "the middle", "blk.14.ffn_gate.weight", "iq3_s");
	fake_clear(&f);
}

static void an_imatrix_changes_types(void)
{
	struct fake f;

	make_llama(&f, "hf", 16);
	choose(&f, "q4_0", NULL);
	becomes(&f, "without", "blk.1.ffn_down.weight", "q4_0");
	choose(&f, "q4_0", IMATRIX);
	becomes(&f, "with", "blk.1.ffn_down.weight", "q4_1");
	becomes(&f, "with", "blk.2.ffn_down.weight", "q4_0");
	choose(&f, "q5_0", IMATRIX);
	becomes(&f, "with", "blk.1.ffn_down.weight", "q5_1");
	choose(&f, "iq4_xs", NULL);
	becomes(&f, "without", "blk.1.ffn_down.weight", "q5_K");
	choose(&f, "iq4_xs", IMATRIX);
	becomes(&f, "with", "blk.1.ffn_down.weight", "iq4_xs");
	fake_clear(&f);
}

/* The refusal says what to do. */
static void what_needs_an_imatrix_is_refused_without(void)
{
	static const char *const needy[] = {"iq1_s", "iq1_m",	"iq2_xxs", "iq2_xs", "iq2_s",
					    "iq2_m", "iq3_xxs", "iq3_xs",  "q2_k_s"};
	static const char *const others[] = {"q2_k", "q3_k_s", "iq3_s", "iq3_m", "tq1_0", "q1_0"};
	const char *rule = "ffn_up=iq3_xxs", *embd = "token_embd=iq3_xxs";
	struct qconv_options options = {.quant = "q4_0", .n_tensor_rules = 1};
	struct fake f;

	make_llama(&f, "hf", 16);
	for (size_t i = 0; i < sizeof(needy) / sizeof(*needy); i++) {
		options = (struct qconv_options){.quant = needy[i]};
		f.model.path = "a/model";
		CHECK(fake_choose(&f, &options) == QC_UNSUPPORTED &&
			      strstr(f.err.text, "tensor 'blk.0.") &&
			      strstr(f.err.text, "qconv calibrate a/model") &&
			      strstr(f.err.text, "--imatrix"),
		      "%s: '%s'", needy[i], f.err.text);
		choose(&f, needy[i], IMATRIX);
		CHECK(choice_of(&f, "blk.4.attn_q.weight")->starved, "%s: not marked", needy[i]);
		CHECK(!choice_of(&f, "output.weight")->starved, "%s: the head", needy[i]);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		choose(&f, others[i], NULL);
		CHECK(!choice_of(&f, "blk.4.attn_q.weight")->starved, "%s: marked", others[i]);
	}
	options =
		(struct qconv_options){.quant = "q4_0", .tensor_rules = &rule, .n_tensor_rules = 1};
	CHECK(fake_choose(&f, &options) == QC_UNSUPPORTED && strstr(f.err.text, "ffn_up"), "'%s'",
	      f.err.text);
	/* what is multiplied with an embedding is in no imatrix */
	options.tensor_rules = &embd;
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "a rule", "token_embd.weight", "iq3_xxs");
	fake_clear(&f);
}

/* A matrix that is of the type already is not made. */
static void what_is_moved_needs_no_imatrix(void)
{
	struct qconv_options options = {0};
	struct fake f;

	fake_init(&f, "llama", "gguf");
	fake_add(&f, "output.weight", "q5_K", 256, 8);
	fake_add(&f, "blk.0.attn_q.weight", "iq2_xs", 256, 8);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "kept", "blk.0.attn_q.weight", "iq2_xs");
	CHECK(!choice_of(&f, "blk.0.attn_q.weight")->starved, "a copy is marked");
	choose(&f, "iq2_xs", NULL);
	fake_clear(&f);
}

static void low_types_that_do_not_fit_fall_back(void)
{
	static const struct {
		const char *recipe, *type;
	} rows[] = {{"iq1_s", "iq4_nl"},  {"iq1_m", "iq4_nl"},	{"iq2_xxs", "iq4_nl"},
		    {"iq2_xs", "iq4_nl"}, {"iq2_m", "iq4_nl"},	{"iq3_xxs", "iq4_nl"},
		    {"iq3_s", "iq4_nl"},  {"iq4_xs", "iq4_nl"}, {"q2_0", "q4_0"},
		    {"q2_k", "q4_0"},	  {"q3_k_s", "q4_0"},	{"tq1_0", "q4_0"},
		    {"tq2_0", "q4_0"},	  {"q1_0", "f16"}};
	struct fake f;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		fake_init(&f, "llama", "hf");
		fake_add(&f, "output.weight", "bf16", 256, 8);
		fake_add(&f, "blk.0.ffn_up.weight", "bf16", 96, 8);
		/* without an imatrix: the replacement needs none */
		choose(&f, rows[i].recipe, NULL);
		becomes(&f, rows[i].recipe, "blk.0.ffn_up.weight", rows[i].type);
		fake_clear(&f);
	}
}

static void the_ends_have_their_options(void)
{
	const char *rule = "weight=q8_0";
	struct qconv_options options = {.quant = "q4_k_m",
					.output_type = "Q5_K",
					.embedding_type = "q3_k",
					.tensor_rules = &rule};
	struct fake f;

	make_llama(&f, "hf", 2);
	fake_add(&f, "per_layer_token_embd.weight", "bf16", 512, 16);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "ends", "output.weight", "q5_K");
	becomes(&f, "ends", "token_embd.weight", "q3_K");
	becomes(&f, "ends", "per_layer_token_embd.weight", "q3_K");
	becomes(&f, "ends", "blk.0.attn_q.weight", "q4_K");
	options.pure = true;
	options.n_tensor_rules = 1; /* which the ends come before */
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "ends", "output.weight", "q5_K");
	becomes(&f, "ends", "token_embd.weight", "q3_K");
	becomes(&f, "ends", "blk.0.attn_q.weight", "q8_0");
	options = (struct qconv_options){.quant = "q4_0", .leave_output = true};
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "left", "output.weight", "bf16");
	becomes(&f, "left", "token_embd.weight", "q4_0");
	options.output_type = "q8_0";
	CHECK(fake_choose(&f, &options) == QC_USAGE && strstr(f.err.text, "contradict"), "'%s'",
	      f.err.text);
	options = (struct qconv_options){.quant = "q4_0", .embedding_type = "q4_k_m"};
	CHECK(fake_choose(&f, &options) == QC_USAGE &&
		      strstr(f.err.text, "--token-embedding-type: 'q4_k_m'"),
	      "'%s'", f.err.text);
	fake_clear(&f);
}

/* As in llama-quantize: the type of the head is a tied embedding's, unless that has its own option,
 * and not with --pure. */
static void a_tied_embedding_takes_the_heads_type(void)
{
	struct qconv_options options = {.quant = "q4_0", .output_type = "q8_0"};
	struct fake f;

	fake_init(&f, "gemma3", "hf");
	fake_add(&f, "token_embd.weight", "bf16", 512, 1000);
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "tied", "token_embd.weight", "q8_0");
	options.pure = true;
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "tied, pure", "token_embd.weight", "q4_0");
	options.embedding_type = "q5_1";
	CHECK(!fake_choose(&f, &options), "%s", f.err.text);
	becomes(&f, "tied, its own", "token_embd.weight", "q5_1");
	fake_clear(&f);
}

int main(void)
{
	low_mixtures_give_the_types_of_llama_quantize();
	an_imatrix_changes_types();
	what_needs_an_imatrix_is_refused_without();
	what_is_moved_needs_no_imatrix();
	low_types_that_do_not_fit_fall_back();
	the_ends_have_their_options();
	a_tied_embedding_takes_the_heads_type();
	return test_end();
}

/* PEFT adapters of fused experts and of tied output heads; the adapter as a GGUF. */
#include "quant/types.h"
#include "tests/lora_build.h"

/*
 * Experts.
 */

enum { EXPERTS = 3, WIDE = 10, HIDDEN = 7 };

/* dW[e][o][i] = sum over r of B[o][r, e] A[e][r][i]: B is viewed as [out, rank, experts]. */
static double expert_product(const float *a, const float *b, size_t in, size_t e, size_t o,
			     size_t i)
{
	double sum = 0;

	for (size_t k = 0; k < RANK; k++)
		sum += (double)b[(o * RANK + k) * EXPERTS + e] * (double)a[(e * RANK + k) * in + i];
	return sum;
}

/* gate_up [experts, out, in] (or turned) and down are adapted, the wrappers around each other. */
static void check_experts(bool turned)
{
	struct st_build b = {0};
	struct qc_model model;
	const struct qc_tensor *up;
	struct qc_arena arena = {0};
	struct qc_tensor other = {0};
	const size_t r = turned ? HIDDEN : WIDE, c = turned ? WIDE : HIDDEN;
	float *w = numbers(1, EXPERTS * r * c), *av = numbers(2, EXPERTS * RANK * HIDDEN),
	      *bv = numbers(3, WIDE * RANK * EXPERTS), *got, *exchanged;
	const char *base;

	add(&b, "model.layers.0.mlp.experts.gate_up_proj", 1, EXPERTS, r, c);
	add(&b, "model.layers.0.mlp.experts.down_proj", 4, EXPERTS, turned ? 5 : HIDDEN,
	    turned ? HIDDEN : 5);
	base = st_save(&b, "base.safetensors");
	add(&b, PEFT "model.layers.0.mlp.experts.lora_A.weight", 2, 0, EXPERTS * RANK, HIDDEN);
	add(&b, PEFT "model.layers.0.mlp.experts.lora_B.weight", 3, 0, WIDE, RANK * EXPERTS);
	add(&b, PEFT "model.layers.0.mlp.experts.base_layer.lora_A.weight", 5, 0, EXPERTS * RANK,
	    5);
	add(&b, PEFT "model.layers.0.mlp.experts.base_layer.lora_B.weight", 6, 0, HIDDEN,
	    RANK * EXPERTS);
	save_adapter(&b, "\"r\": 32, \"rank_pattern\": {\"experts.gate_up_proj\": 4, "
			 "\"^model.layers.0.mlp.experts.down_proj\": 4}, \"target_parameters\": "
			 "[\"mlp.experts.down_proj\", \"mlp.experts.gate_up_proj\"]");
	open_merged(&model, base, st_dir, 1);
	up = st_tensor(&model, "model.layers.0.mlp.experts.gate_up_proj");
	got = rows_in_any_pieces(up);
	for (size_t n = 0; n < EXPERTS * r * c; n++) {
		const size_t e = n / (r * c), row = n / c % r, col = n % c;

		check_near("gate_up_proj", n, got[n],
			   (double)w[n] + 2 * expert_product(av, bv, HIDDEN, e, turned ? col : row,
							     turned ? row : col));
	}
	CHECK(!st_tensor(&model, "model.layers.0.mlp.experts.down_proj")->source->ops->read_raw,
	      "down_proj is not merged");
	/* the two interleaved halves of the outputs, as rows */
	for (uint64_t half = 0; turned && half < 2; half++) {
		other.stored_name = other.name = "turned";
		other.source = qc_source_transpose(&arena, up->source, HIDDEN, half, 2);
		NEED(other.source, "no memory");
		exchanged = rows_in_any_pieces(&other);
		for (size_t n = 0; n < EXPERTS * WIDE / 2 * HIDDEN; n++) {
			const size_t e = n / (WIDE / 2 * HIDDEN),
				     o = n / HIDDEN % (WIDE / 2) * 2 + half;

			check_near("turned", n, exchanged[n],
				   got[(e * HIDDEN + n % HIDDEN) * WIDE + o]);
		}
		free(exchanged);
	}
	qc_arena_clear(&arena);
	qc_model_close(&model);
	free(w);
	free(av);
	free(bv);
	free(got);
}

static void fused_experts_are_merged_either_way_round(void)
{
	check_experts(false);
	check_experts(true);
}

enum { GPT_EXPERTS = 4, GPT_WIDTH = 256 };

/* One tensor of experts in GGUF's layout against the same without the adapter: row o is the output
 * first + step * o. */
static void check_gguf_experts(const struct qc_model *merged, const struct qc_model *plain,
			       const char *name, const float *a, const float *b, size_t first,
			       size_t step)
{
	const struct qc_tensor *t = qc_model_find(merged, name), *old = qc_model_find(plain, name);
	float *got, *w;
	size_t bad = 0;

	NEED(t && old, "no '%s'", name);
	CHECK(t->source->type == &qc_bf16, "%s is %s", name, t->source->type->name);
	got = rows_in_any_pieces(t);
	w = st_rows(old, 0, old->source->rows);
	for (size_t n = 0; n < GPT_EXPERTS * GPT_WIDTH * GPT_WIDTH; n++) {
		const size_t e = n / (GPT_WIDTH * GPT_WIDTH), i = n % GPT_WIDTH;
		const size_t o = first + n / GPT_WIDTH % GPT_WIDTH * step;
		double delta = 0;

		for (size_t k = 0; k < RANK; k++)
			delta += (double)b[(o * RANK + k) * GPT_EXPERTS + e] *
				 (double)a[(e * RANK + k) * GPT_WIDTH + i];
		bad += !(fabs((double)got[n] - (double)w[n] - 2 * delta) <= 1e-5);
	}
	CHECK(!bad, "%s: %s: %zu elements are wrong", merged->path, name, bad);
	free(got);
	free(w);
}

/* Plain experts are stored [in, out], MXFP4 ones [out, in]; down_proj is square. */
static void gpt_oss_experts_are_merged_in_both_forms(void)
{
	static const char *const bases[] = {"tests/data/models/tiny-gpt-oss-bf16",
					    "tests/data/models/tiny-gpt-oss"};
	float *a = numbers(2, GPT_EXPERTS * RANK * GPT_WIDTH);
	float *b = numbers(3, 2 * GPT_WIDTH * RANK * GPT_EXPERTS);
	struct qc_model merged, plain;
	struct qc_err err = {0};

	for (size_t i = 0; i < 2; i++) {
		struct st_build s = {0};

		add(&s, PEFT "model.layers.1.mlp.experts.lora_A.weight", 2, 0, GPT_EXPERTS * RANK,
		    GPT_WIDTH);
		add(&s, PEFT "model.layers.1.mlp.experts.lora_B.weight", 3, 0, 2 * GPT_WIDTH,
		    RANK * GPT_EXPERTS);
		add(&s, PEFT "model.layers.1.mlp.experts.base_layer.lora_A.weight", 2, 0,
		    GPT_EXPERTS * RANK, GPT_WIDTH);
		add(&s, PEFT "model.layers.1.mlp.experts.base_layer.lora_B.weight", 3, 0, GPT_WIDTH,
		    RANK * GPT_EXPERTS);
		save_adapter(&s, "\"r\": 4, \"target_parameters\": [\"mlp.experts.gate_up_proj\", "
				 "\"mlp.experts.down_proj\"]");
		open_merged(&merged, bases[i], st_dir, 1);
		NEED(!qc_model_open(&plain, bases[i], &err), "%s", err.text);
		NEED(!qc_model_set_layout(&merged, QC_LAYOUT_GGUF, &err), "%s", err.text);
		NEED(!qc_model_set_layout(&plain, QC_LAYOUT_GGUF, &err), "%s", err.text);
		check_gguf_experts(&merged, &plain, "blk.1.ffn_gate_exps.weight", a, b, 0, 2);
		check_gguf_experts(&merged, &plain, "blk.1.ffn_up_exps.weight", a, b, 1, 2);
		check_gguf_experts(&merged, &plain, "blk.1.ffn_down_exps.weight", a, b, 0, 1);
		qc_model_close(&merged);
		qc_model_close(&plain);
	}
	free(a);
	free(b);
}

/*
 * A tied output head.
 */

enum { VOCABULARY = 1024, EMBEDDING = 256 };

static void check_ends(const char *what, const char *fields, struct st_build *b, bool untied,
		       bool head_changed, bool embedding_changed)
{
	struct qc_model model, plain;
	struct qc_err err = {0};
	const struct qc_tensor *head;
	float *old, *new, *out;

	save_adapter(b, fields);
	open_merged(&model, GEMMA, st_dir, 1);
	NEED(!qc_model_open(&plain, GEMMA, &err), "%s", err.text);
	old = st_rows(qc_model_find(&plain, "token_embd.weight"), 0, VOCABULARY);
	new = st_rows(qc_model_find(&model, "token_embd.weight"), 0, VOCABULARY);
	head = qc_model_find(&model, "output.weight");
	CHECK(!memcmp(old, new, sizeof(float) * VOCABULARY * EMBEDDING) == !embedding_changed,
	      "%s: the embedding is%s changed", what, embedding_changed ? " not" : "");
	CHECK(!head == !untied && model.untied == untied, "%s: %s", what,
	      head ? "there is a head" : "there is no head");
	if (head) {
		out = st_rows(head, 0, VOCABULARY);
		CHECK(!memcmp(old, out, sizeof(float) * VOCABULARY * EMBEDDING) == !head_changed,
		      "%s: the head is%s changed", what, head_changed ? " not" : "");
		CHECK(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s: %s", what, err.text);
		free(out);
	}
	free(old);
	free(new);
	qc_model_close(&model);
	qc_model_close(&plain);
}

static void a_tied_head_is_untied_when_the_two_differ(void)
{
	struct st_build b = {0};

	add_pair(&b, PEFT "lm_head", VOCABULARY, EMBEDDING, RANK);
	check_ends("head", "\"r\": 4", &b, true, true, false);
	add(&b, PEFT "model.embed_tokens.lora_embedding_A", 2, 0, RANK, VOCABULARY);
	add(&b, PEFT "model.embed_tokens.lora_embedding_B", 3, 0, EMBEDDING, RANK);
	check_ends("embedding", "\"r\": 4", &b, true, false, true);
	add(&b, PEFT "model.embed_tokens.weight", 2, 0, VOCABULARY, EMBEDDING);
	check_ends("whole embedding, tied", "\"r\": 4, \"ensure_weight_tying\": true", &b, false,
		   false, true);
	add(&b, PEFT "model.embed_tokens.weight", 2, 0, VOCABULARY, EMBEDDING);
	add(&b, PEFT "lm_head.weight", 3, 0, VOCABULARY, EMBEDDING);
	check_ends("both", "\"r\": 4", &b, true, true, true);
}

static void an_adapter_of_what_is_dropped_is_dropped(void)
{
	struct st_build b = {0};
	struct qc_model model;
	struct qc_err err = {0};

	add_pair(&b, PEFT "model.vision_tower.fc", OUT, IN, RANK);
	save_adapter(&b, "\"r\": 4");
	NEED(!qc_model_open(&model, GEMMA, &err), "%s", err.text);
	NEED(!qc_model_add_drop(&model, "vision_tower.fc.weight", 1, "no text", &err), "%s",
	     err.text);
	CHECK(!qc_model_apply_lora(&model, st_dir, 1, &err), "%s", err.text);
	CHECK(model.n_drops == 3 && strstr(model.drops[2].reason, "no text"), "%zu drops",
	      model.n_drops);
	qc_model_close(&model);
}

/*
 * The adapter as a GGUF.
 */

/* Rows of a head in the order that GGUF's llama has: 0, h, 1, h + 1, ... */
static size_t interleaved(size_t row, size_t head)
{
	return row / head * head + row % head / 2 + row % 2 * (head / 2);
}

static void a_gguf_adapter_has_the_rows_of_the_architecture(void)
{
	static const char base[] = "tests/data/models/tiny-llama";
	struct st_build b = {0};
	struct qc_model model;
	struct qc_err err = {0};
	float *bv = numbers(3, 256 * RANK), *av = numbers(2, RANK * 256), *got, alpha = 0;
	const struct qc_tensor *t;

	add_pair(&b, PEFT "model.layers.2.self_attn.q_proj", 256, 256, RANK);
	add_pair(&b, PEFT "model.layers.1.mlp.up_proj", 768, 256, 2 * RANK);
	save_adapter(&b, "\"r\": 4, \"lora_alpha\": 3, \"rank_pattern\": {\"up_proj\": 8}, "
			 "\"use_rslora\": true");
	NEED(!qc_model_open(&model, base, &err), "%s", err.text);
	NEED(!qc_model_only_lora(&model, st_dir, 1, &err), "%s", err.text);
	CHECK(model.n_tensors == 4 && model.n_files == 1 && model.layout == QC_LAYOUT_GGUF,
	      "%zu tensors, %zu files", model.n_tensors, model.n_files);
	CHECK(qc_meta_f32(&model.meta, "adapter.lora.alpha", &alpha), "no alpha");
	t = qc_model_find(&model, "blk.2.attn_q.weight.lora_a");
	NEED(t && t->dims[0] == 256 && t->dims[1] == RANK, "no lora_a");
	got = st_rows(t, 0, RANK);
	CHECK(!memcmp(got, av, sizeof(float) * RANK * 256), "lora_a is not A");
	free(got);
	t = qc_model_find(&model, "blk.2.attn_q.weight.lora_b");
	NEED(t && t->dims[0] == RANK && t->dims[1] == 256, "no lora_b");
	got = rows_in_any_pieces(t);
	for (size_t i = 0; i < 256 * RANK; i++) /* alpha / 4 times a factor is 3 / sqrt(4) */
		check_near("lora_b", i, (double)(alpha / RANK) * (double)got[i],
			   3 / sqrt(4) * (double)bv[interleaved(i / RANK, 64) * RANK + i % RANK]);
	free(got);
	free(bv);
	bv = numbers(3, 768 * 2 * RANK);
	t = qc_model_find(&model, "blk.1.ffn_up.weight.lora_b");
	NEED(t, "no lora_b");
	got = rows_in_any_pieces(t);
	for (size_t i = 0; i < 768 * 2 * RANK; i++)
		check_near("lora_b", i, (double)(alpha / (2 * RANK)) * (double)got[i],
			   3 / sqrt(8) * (double)bv[i]);
	qc_model_close(&model);
	free(got);
	free(av);
	free(bv);
}

static void what_a_gguf_adapter_cannot_say_is_refused(void)
{
	static const struct {
		const char *base, *name, *part;
		size_t r, c;
	} cases[] = {
		{"tests/data/models/tiny-llama", "model.norm.weight", "is a whole tensor", 256, 0},
		{"tests/data/models/tiny-llama", "model.layers.0.mlp.up_proj.lora_magnitude_vector",
		 "is a magnitude (DoRA)", 768, 0},
		{GEMMA, "lm_head.lora_A.weight", "it adapts the output head", RANK, 256},
		{GEMMA, "model.embed_tokens.lora_embedding_A", "it adapts the token embedding",
		 RANK, 1024},
	};
	struct qc_model model;
	struct qc_err err = {0};
	char name[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct st_build b = {0};

		add_pair(&b, PEFT "model.layers.0.mlp.up_proj", 768, 256, RANK);
		snprintf(name, sizeof(name), PEFT "%s", cases[i].name);
		add(&b, name, 5, 0, cases[i].r, cases[i].c);
		save_adapter(&b, "\"r\": 4");
		NEED(!qc_model_open(&model, cases[i].base, &err), "%s", err.text);
		CHECK(qc_model_only_lora(&model, st_dir, 1, &err) &&
			      strstr(err.text, cases[i].part),
		      "'%s' expected, not '%s'", cases[i].part, err.text);
		qc_model_close(&model);
	}
}

int main(void)
{
	st_begin();
	fused_experts_are_merged_either_way_round();
	gpt_oss_experts_are_merged_in_both_forms();
	a_tied_head_is_untied_when_the_two_differ();
	an_adapter_of_what_is_dropped_is_dropped();
	a_gguf_adapter_has_the_rows_of_the_architecture();
	what_a_gguf_adapter_cannot_say_is_refused();
	st_end();
	return test_end();
}

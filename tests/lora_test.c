/* PEFT adapters merged into matrices, embeddings, biases and whole tensors: each computed again in
 * double the straightforward way. */
#include "base/text.h"
#include "quant/half.h"
#include "quant/types.h"
#include "tests/lora_build.h"

#define GEMMA_LORA "tests/data/models/tiny-gemma3-lora"

/*
 * The trained adapter.
 */

/* The base model's name of what an adapter's tensor belongs to, and of its partner. */
static void names_of(const char *a_name, char *base, char *b_name)
{
	const char *path = a_name + strlen(PEFT), *end = strstr(path, ".lora_A.weight");

	NEED(end, "'%s' is no A", a_name);
	sprintf(base, "%.*s.weight", (int)(end - path), path);
	sprintf(b_name, PEFT "%.*s.lora_B.weight", (int)(end - path), path);
}

static void one_matrix_is_merged_within_a_bf16_step(const struct qc_model *merged,
						    const struct qc_model *plain,
						    const struct qc_model *adapter,
						    const struct qc_tensor *a)
{
	char base_name[256], b_name[256];
	const struct qc_tensor *b, *tensor, *old;
	float *av, *bv, *wv, *got;
	size_t worse = 0, other = 0, rows, cols;

	names_of(a->stored_name, base_name, b_name);
	b = st_tensor(adapter, b_name);
	tensor = st_tensor(merged, base_name);
	old = st_tensor(plain, base_name);
	rows = (size_t)old->source->rows;
	cols = (size_t)old->source->cols;
	CHECK(tensor->source->type == &qc_bf16 && !tensor->source->ops->read_raw,
	      "%s is %s and has raw rows", base_name, tensor->source->type->name);
	av = st_rows(a, 0, a->source->rows);
	bv = st_rows(b, 0, b->source->rows);
	wv = st_rows(old, 0, rows);
	got = rows_in_any_pieces(tensor);
	for (size_t i = 0; i < rows * cols; i++) {
		double size;
		const double delta = product_and_size(av, cols, bv, 16, i / cols, i % cols, &size);
		const double wanted = (double)wv[i] + 2 * delta;
		const uint16_t rounded = qc_f32_to_bf16(got[i]);
		/* where the terms cancel out, what f32 sums lose is more than a step */
		const double lost = 20 * 0x1p-24 * (fabs((double)wv[i]) + 2 * size);
		int exponent;

		frexp(wanted, &exponent);
		worse += !(fabs((double)qc_bf16_to_f32(rounded) - wanted) <=
			   ldexp(1, exponent - 8) + lost);
		other += rounded != qc_f32_to_bf16((float)wanted);
	}
	CHECK(other * 500 < rows * cols, "%s: %zu of %zu elements are rounded to another bf16",
	      base_name, other, rows * cols);
	CHECK(!worse, "%s: %zu of %zu elements are more than a bf16 step off", base_name, worse,
	      rows * cols);
	free(av);
	free(bv);
	free(wv);
	free(got);
}

static void a_trained_adapter_is_merged_within_a_bf16_step(void)
{
	struct qc_model merged, plain, adapter;
	struct qc_err err = {0};
	size_t n = 0, untouched = 0;

	open_merged(&merged, GEMMA, GEMMA_LORA, 1);
	NEED(!qc_model_open(&plain, GEMMA, &err), "%s", err.text);
	NEED(!qc_model_open(&adapter, GEMMA_LORA "/adapter_model.safetensors", &err), "%s",
	     err.text);
	for (size_t i = 0; i < adapter.n_tensors; i++)
		if (qc_text_ends(adapter.tensors[i].stored_name, ".lora_A.weight")) {
			one_matrix_is_merged_within_a_bf16_step(&merged, &plain, &adapter,
								&adapter.tensors[i]);
			n++;
		}
	for (size_t i = 0; i < merged.n_tensors; i++)
		untouched += merged.tensors[i].source->ops->read_raw != NULL;
	CHECK(n == 42 && untouched == merged.n_tensors - n, "%zu merged, %zu of %zu untouched", n,
	      untouched, merged.n_tensors);
	CHECK(merged.n_files == plain.n_files + 1, "the adapter's file is not one of the model's");
	CHECK(merged.adapters && !strcmp(merged.adapters->what, "42 matrices of rank 16"), "'%s'",
	      merged.adapters ? merged.adapters->what : "no record");
	qc_model_close(&merged);
	qc_model_close(&plain);
	qc_model_close(&adapter);
}

static void a_quantized_base_is_merged_with_too(void)
{
	static const char base[] = "tests/data/models/tiny-gemma3-bnb-nf4";
	static const char name[] = "model.layers.3.mlp.down_proj.weight";
	struct qc_model merged, plain, adapter;
	struct qc_err err = {0};
	float *a, *b, *w, *got;

	open_merged(&merged, base, GEMMA_LORA, 0.5);
	NEED(!qc_model_open(&plain, base, &err), "%s", err.text);
	NEED(!qc_model_open(&adapter, GEMMA_LORA "/adapter_model.safetensors", &err), "%s",
	     err.text);
	w = st_rows(st_tensor(&plain, name), 0, 256);
	got = st_rows(st_tensor(&merged, name), 0, 256);
	a = st_rows(st_tensor(&adapter, PEFT "model.layers.3.mlp.down_proj.lora_A.weight"), 0, 16);
	b = st_rows(st_tensor(&adapter, PEFT "model.layers.3.mlp.down_proj.lora_B.weight"), 0, 256);
	for (size_t i = 0; i < 256 * 768; i++)
		check_near(name, i, got[i],
			   (double)w[i] + product(a, 768, b, 16, i / 768, i % 768));
	CHECK(st_tensor(&merged, name)->source->type->is_float, "merged values are called %s",
	      st_tensor(&merged, name)->source->type->name);
	free(a);
	free(b);
	free(w);
	free(got);
	qc_model_close(&merged);
	qc_model_close(&plain);
	qc_model_close(&adapter);
}

/*
 * Small models without an architecture, and adapters of them.
 */

/* Merge what lies in the folder; the one matrix is W + scaling * B A. */
static void check_scaling(const char *fields, size_t rank, double scale, double scaling)
{
	static const char name[] = "model.layers.0.self_attn.q_proj.weight";
	const char *base = base_of_one_matrix(name);
	struct st_build b = {0};
	struct qc_model model;
	float *w = numbers(1, OUT * IN), *av = numbers(2, rank * IN), *bv = numbers(3, OUT * rank);
	float *got;

	add_pair(&b, PEFT "model.layers.0.self_attn.q_proj", OUT, IN, rank);
	save_adapter(&b, fields);
	open_merged(&model, base, st_dir, scale);
	got = rows_in_any_pieces(st_tensor(&model, name));
	for (size_t i = 0; i < OUT * IN; i++)
		check_near(fields, i, got[i],
			   (double)w[i] + scaling * product(av, IN, bv, rank, i / IN, i % IN));
	qc_model_close(&model);
	free(w);
	free(av);
	free(bv);
	free(got);
}

static void the_scale_is_alpha_over_r(void)
{
	check_scaling("\"r\": 4, \"lora_alpha\": 6", 4, 1, 1.5);
	check_scaling("\"r\": 4, \"lora_alpha\": 6", 4, -0.25, -0.375);
	check_scaling("\"r\": 8", 8, 1, 1);
	check_scaling("\"r\": 4, \"lora_alpha\": 6, \"use_rslora\": true", 4, 1, 3);
	check_scaling("\"r\": 3, \"lora_alpha\": 6.5, \"use_rslora\": true", 3, 1, 6.5 / sqrt(3));
	check_scaling("\"r\": 64, \"lora_alpha\": 16, \"rank_pattern\": {\"q_proj\": 5}", 5, 1,
		      3.2);
	check_scaling("\"r\": 4, \"lora_alpha\": 6, \"alpha_pattern\": {\"k_proj\": 1, "
		      "\"layers.0.self_attn.q_proj\": 12, \"q_proj\": 2}",
		      4, 1, 3);
}

static void patterns_mean_what_peft_takes_them_for(void)
{
	static const char path[] = "model.layers.11.self_attn.q_proj";
	static const struct {
		const char *key;
		bool matches;
	} cases[] = {
		{"q_proj", true},
		{"proj", false}, /* ends of the path begin after a dot */
		{"self_attn.q_proj", true},
		{"model.layers.11.self_attn.q_proj", true},
		{"^model.layers.11.self_attn.q_proj", true},
		{"^model\\\\.layers\\\\.11\\\\.self_attn\\\\.q_proj$", true},
		{"^self_attn.q_proj", false},
		{"layers.1.self_attn.q_proj", false},
		{".*", true},
		{".*q_proj", true},
		{"layers\\\\.\\\\d+\\\\.self_attn\\\\.(q|v)_proj", true},
		{"layers\\\\.\\\\d{3}\\\\.self_attn\\\\.(q|v)_proj", false},
		{"layers.(?:[0-9]|1[0-1]).self_attn.[qk]_proj", true},
		{"layers.[02-9].*", false},
		{"[\\\\w.]+", true},
		{"q_proj|k_proj", true},
		{"k_proj|o_proj", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qc_lora_config config;
		struct qc_err err = {0};
		char text[512];
		double alpha;

		snprintf(text, sizeof(text),
			 "{\"peft_type\": \"LORA\", \"lora_alpha\": 1, \"alpha_pattern\": {\"x\": "
			 "3, "
			 "\"%s\": 2, \"(.*)q_proj\": 1}}",
			 cases[i].key);
		NEED(!qc_lora_config_parse(&config, text, strlen(text), &err), "%s: %s", text,
		     err.text);
		alpha = qc_lora_config_alpha(&config, path);
		CHECK(alpha == (cases[i].matches ? 2 : 1), "'%s' gives alpha %g", cases[i].key,
		      alpha);
		CHECK(qc_lora_config_alpha(&config, "..") == 1 || cases[i].matches,
		      "'%s' matches two dots", cases[i].key);
		qc_lora_config_clear(&config);
	}
}

static void other_spellings_of_names_are_the_same_tensor(void)
{
	static const struct {
		const char *base, *module;
	} cases[] = {
		{"model.layers.0.mlp.up_proj.weight", PEFT "model.layers.0.mlp.up_proj"},
		{"model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj"},
		{"model.layers.0.mlp.up_proj.weight", PEFT "layers.0.mlp.up_proj"},
		{"language_model.model.layers.0.mlp.up_proj.weight",
		 PEFT "model.language_model.layers.0.mlp.up_proj"},
		{"model.language_model.layers.0.mlp.up_proj.weight",
		 PEFT "model.layers.0.mlp.up_proj"},
		{"model.layers.0.mlp.up_proj.weight",
		 PEFT "language_model.model.layers.0.mlp.up_proj"},
		{"language_model.lm_head.weight", PEFT "lm_head"},
	};
	struct qc_model model;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *base = base_of_one_matrix(cases[i].base);
		struct st_build b = {0};

		add_pair(&b, cases[i].module, OUT, IN, RANK);
		save_adapter(&b, "\"r\": 4");
		open_merged(&model, base, st_dir, 1);
		CHECK(!model.tensors[0].source->ops->read_raw, "%s is not merged into %s",
		      cases[i].module, cases[i].base);
		qc_model_close(&model);
	}
}

static void conv1d_weights_are_stored_the_other_way_round(void)
{
	const char *base = base_of_one_matrix("h.0.attn.c_attn.weight"); /* [in, out] */
	struct st_build b = {0};
	struct qc_model model;
	float *w = numbers(1, OUT * IN), *av = numbers(2, RANK * OUT), *bv = numbers(3, IN * RANK);
	float *got;

	add_pair(&b, PEFT "h.0.attn.c_attn", IN, OUT, RANK);
	save_adapter(&b, "\"r\": 4, \"fan_in_fan_out\": true");
	open_merged(&model, base, st_dir, 1);
	got = rows_in_any_pieces(&model.tensors[0]);
	for (size_t i = 0; i < OUT * IN; i++)
		check_near("c_attn", i, got[i],
			   (double)w[i] + 2 * product(av, OUT, bv, RANK, i % IN, i / IN));
	qc_model_close(&model);
	free(w);
	free(av);
	free(bv);
	free(got);
}

static void dora_gives_each_row_its_magnitude(void)
{
	static const char name[] = "layers.0.mlp.up_proj.weight";
	const char *base = base_of_one_matrix(name);
	struct st_build b = {0};
	struct qc_model model;
	float *w = numbers(1, OUT * IN), *av = numbers(2, RANK * IN), *bv = numbers(3, OUT * RANK);
	float *m = numbers(4, OUT), *got;

	add_pair(&b, PEFT "layers.0.mlp.up_proj", OUT, IN, RANK);
	add(&b, PEFT "layers.0.mlp.up_proj.lora_magnitude_vector", 4, 0, OUT, 0);
	save_adapter(&b, "\"r\": 4, \"use_dora\": true");
	open_merged(&model, base, st_dir, 1);
	got = rows_in_any_pieces(&model.tensors[0]);
	for (size_t row = 0; row < OUT; row++) {
		double v[IN], norm = 0;

		for (size_t c = 0; c < IN; c++) {
			v[c] = (double)w[row * IN + c] + 2 * product(av, IN, bv, RANK, row, c);
			norm += v[c] * v[c];
		}
		for (size_t c = 0; c < IN; c++)
			check_near(name, row * IN + c, got[row * IN + c],
				   (double)m[row] / sqrt(norm) * v[c]);
	}
	CHECK(strstr(model.adapters->what, "with DoRA"), "'%s'", model.adapters->what);
	qc_model_close(&model);
	free(w);
	free(av);
	free(bv);
	free(m);
	free(got);
}

static void embeddings_are_the_other_way_round_too(void)
{
	enum { TOKENS = 53, WIDTH = 6 };
	struct st_build b = {0};
	struct qc_model model;
	float *w = numbers(1, TOKENS * WIDTH), *av = numbers(2, RANK * TOKENS),
	      *bv = numbers(3, WIDTH * RANK), *got;
	const char *base;

	add(&b, "model.embed_tokens.weight", 1, 0, TOKENS, WIDTH);
	base = st_save(&b, "base.safetensors");
	add(&b, PEFT "model.embed_tokens.lora_embedding_A", 2, 0, RANK, TOKENS);
	add(&b, PEFT "model.embed_tokens.lora_embedding_B", 3, 0, WIDTH, RANK);
	/* PEFT saves what the embedding was before, too: it is the base here */
	add(&b, PEFT "model.embed_tokens.base_layer.weight", 1, 0, TOKENS, WIDTH);
	save_adapter(&b, "\"r\": 4");
	open_merged(&model, base, st_dir, 1);
	got = rows_in_any_pieces(&model.tensors[0]);
	for (size_t i = 0; i < TOKENS * WIDTH; i++)
		check_near("embed_tokens", i, got[i],
			   (double)w[i] + 2 * product(av, TOKENS, bv, RANK, i % WIDTH, i / WIDTH));
	qc_model_close(&model);
	free(w);
	free(av);
	free(bv);
	free(got);
}

static void whole_tensors_and_biases_find_their_places(void)
{
	struct st_build b = {0};
	struct qc_model model;
	float *head = numbers(7, OUT * IN), *bias = numbers(8, OUT), *more = numbers(9, OUT), *got;
	const char *base;

	add(&b, "lm_head.weight", 1, 0, OUT, IN);
	add(&b, "model.norm.weight", 5, 0, IN, 0);
	add(&b, "model.layers.0.fc.weight", 1, 0, OUT, IN);
	add(&b, "model.layers.0.fc.bias", 8, 0, OUT, 0);
	base = st_save(&b, "base.safetensors");
	add(&b, PEFT "lm_head.modules_to_save.weight", 7, 0, OUT, IN);
	add(&b, PEFT "model.norm.weight", 6, 0, IN, 0);
	add_pair(&b, PEFT "model.layers.0.fc", OUT, IN, RANK);
	add(&b, PEFT "model.layers.0.fc.lora_B.bias", 9, 0, OUT, 0);
	save_adapter(&b, "\"r\": 4, \"lora_bias\": true, \"modules_to_save\": [\"lm_head\"]");
	open_merged(&model, base, st_dir, 1);
	got = rows_in_any_pieces(st_tensor(&model, "lm_head.weight"));
	CHECK(!memcmp(got, head, sizeof(float) * OUT * IN), "lm_head is not the saved one");
	free(got);
	got = rows_in_any_pieces(st_tensor(&model, "model.layers.0.fc.bias"));
	for (size_t i = 0; i < OUT; i++)
		check_near("fc.bias", i, got[i], (double)bias[i] + 2 * (double)more[i]);
	CHECK(!strcmp(model.adapters->what, "1 matrix of rank 4, 1 bias, 2 tensors replaced"),
	      "'%s'", model.adapters->what);
	qc_model_close(&model);
	free(head);
	free(bias);
	free(more);
	free(got);
}

static void adapters_add_up_in_their_order(void)
{
	const char *base = base_of_one_matrix("fc.weight");
	struct st_build b = {0};
	struct qc_model model;
	struct qc_err err = {0};
	float *w = numbers(1, OUT * IN), *av = numbers(2, RANK * IN), *bv = numbers(3, OUT * RANK);
	float *got;

	add_pair(&b, PEFT "fc", OUT, IN, RANK);
	save_adapter(&b, "\"r\": 4");
	open_merged(&model, base, st_dir, 1);
	CHECK(!qc_model_apply_lora(&model, st_dir, 0.5, &err), "%s", err.text);
	got = rows_in_any_pieces(&model.tensors[0]);
	for (size_t i = 0; i < OUT * IN; i++)
		check_near("fc", i, got[i],
			   (double)w[i] + 3 * product(av, IN, bv, RANK, i / IN, i % IN));
	CHECK(model.adapters->next && model.adapters->next->scale == 0.5,
	      "the second is not on record");
	qc_model_close(&model);
	free(w);
	free(av);
	free(bv);
	free(got);
}

int main(void)
{
	st_begin();
	a_trained_adapter_is_merged_within_a_bf16_step();
	a_quantized_base_is_merged_with_too();
	the_scale_is_alpha_over_r();
	patterns_mean_what_peft_takes_them_for();
	other_spellings_of_names_are_the_same_tensor();
	conv1d_weights_are_stored_the_other_way_round();
	dora_gives_each_row_its_magnitude();
	embeddings_are_the_other_way_round_too();
	whole_tensors_and_biases_find_their_places();
	adapters_add_up_in_their_order();
	st_end();
	return test_end();
}

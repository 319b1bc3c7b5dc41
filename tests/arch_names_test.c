/* Architectures: the names of tensors both ways, row operations, the tables themselves. */
#include "formats/arch/arch.h"

#include <time.h>

#include "tests/arch_model.h"
#include "tests/test.h"

static struct qc_err err;

#define SMALL                                                                                      \
	"{\"architectures\": [\"%s\"], \"hidden_size\": 8, \"intermediate_size\": 6, "             \
	"\"num_hidden_layers\": 2,"                                                                \
	"\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 4, "                \
	"\"vocab_size\": 5%s}"

/* A model with every tensor of its architecture, `prefix` put at the front of names or for their
 * "model.". */
static void small_model(struct qc_model *model, const char *class, const char *more,
			const char *prefix)
{
	char config[512];

	snprintf(config, sizeof(config), SMALL, class, more);
	NEED(!am_config(model, config, &err), "%s", err.text);
	am_fill(model, prefix, false, am_count_up);
}

static void every_prefix_in_circulation_is_understood(void)
{
	static const char *const prefixes[] = {"model.", "language_model.model.",
					       "model.language_model."};
	struct qc_model model;

	for (size_t i = 0; i < 3; i++) {
		small_model(&model, "Gemma3ForConditionalGeneration", "", prefixes[i]);
		am_add_counted(&model, "vision_tower.vision_model.embeddings.patch_embedding.bias",
			       4, 0);
		am_add_counted(&model, "model.vision_tower.vision_model.post_layernorm.bias", 4, 0);
		am_add_counted(&model, "model.multi_modal_projector.mm_input_projection_weight", 4,
			       4);
		am_add_counted(&model, "language_model.lm_head.weight", 5, 8);
		NEED(!qc_arch_name_tensors(&model, &err), "%s: %s", prefixes[i], err.text);
		CHECK(model.n_tensors == 2 + 2 * 13, "%s: %zu tensors", prefixes[i],
		      model.n_tensors);
		NEED(model.n_drops == 4, "%s: %zu drops", prefixes[i], model.n_drops);
		CHECK(strstr(model.drops[0].reason, "vision") && model.drops[0].bytes == 16,
		      "'%s' %llu", model.drops[0].reason, (unsigned long long)model.drops[0].bytes);
		CHECK(strstr(model.drops[3].reason, "tied"), "'%s'", model.drops[3].reason);
		CHECK(qc_model_find(&model, "blk.1.attn_q_norm.weight")->layer == 1, "wrong block");
		qc_model_close(&model);
	}
}

static void a_head_is_kept_unless_it_is_tied(void)
{
	struct qc_model model;

	small_model(&model, "LlamaForCausalLM", "", "model.");
	am_add_counted(&model, "lm_head.weight", 5, 8);
	am_add_counted(&model, "model.layers.1.self_attn.rotary_emb.inv_freq", 4, 0);
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	CHECK(qc_model_find(&model, "output.weight") && model.n_drops == 1, "%zu drops",
	      model.n_drops);
	qc_model_close(&model);
	small_model(&model, "LlamaForCausalLM", ", \"tie_word_embeddings\": true", "model.");
	am_add_counted(&model, "lm_head.weight", 5, 8);
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	CHECK(!qc_model_find(&model, "output.weight") && model.n_drops == 1, "%zu drops",
	      model.n_drops);
	qc_model_close(&model);
}

static void wrong_tensors_are_refused_by_name(void)
{
	static const struct {
		const char *name;
		uint64_t rows, cols;
		const char *reason;
	} cases[] = {
		{"model.layers.0.mlp.gate.weight", 2, 2, "has no such tensor"},
		{"model.layers.00.mlp.gate_proj.bias", 6, 0, "has no such tensor"},
		{"model.layers.2.input_layernorm.weight", 8, 0, "is of block 2"},
		{"model.layers.99999999999.input_layernorm.weight", 8, 0, "has no such tensor"},
		{"model.layers.1.self_attn.q_proj.bias", 4, 0, "is 4, config.json makes it 8"},
		{"lm_head.weight", 4, 8, "is 4x8, config.json makes it 5x8"},
		{"model.language_model.norm.weight", 8, 0, "a second one for 'output_norm.weight'"},
		{"model.layers.0.mlp.up_proj.qweight", 8, 8, "GPTQ"},
	};
	struct qc_model model;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		small_model(&model, "LlamaForCausalLM", "", "model.");
		am_add_counted(&model, cases[i].name, cases[i].rows, cases[i].cols);
		err = (struct qc_err){0};
		CHECK(qc_arch_name_tensors(&model, &err) && strstr(err.text, cases[i].reason) &&
			      strstr(err.text, cases[i].name),
		      "%s: '%s'", cases[i].name, err.text);
		qc_model_close(&model);
	}
	small_model(&model, "LlamaForCausalLM", "", "model.");
	model.n_tensors -= 3;
	CHECK(qc_arch_name_tensors(&model, &err) &&
		      strstr(err.text, "'model.layers.0.mlp.down_proj.weight' is missing") &&
		      strstr(err.text, "3 missing"),
	      "'%s'", err.text);
	qc_model_close(&model);
}

static void permutation_and_truncation_follow_the_metadata(void)
{
	struct qc_model model;
	struct qc_kv_builder tokens = {0};
	const struct qc_tensor *q;
	_Alignas(64) uint8_t room[4096];
	struct qc_scratch scratch = {.base = room, .size = sizeof(room)};
	float rows[64];

	small_model(&model, "LlamaForCausalLM", "", "model.");
	for (int i = 0; i < 3; i++)
		NEED(!qc_kv_push_string(&tokens, "t", 1, &err), "no memory");
	NEED(!qc_meta_set(&model.meta, "tokenizer.ggml.tokens", QC_KV_ARRAY, QC_KV_STRING, 3,
			  tokens.data, tokens.bytes, &err),
	     "no memory");
	NEED(!qc_arch_name_tensors(&model, &err) &&
		     !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
	     "%s", err.text);
	q = qc_model_find(&model, "blk.0.attn_q.weight");
	NEED(!qc_source_read_f32(q->source, 0, 8, rows, &scratch, &err), "%s", err.text);
	/* two heads of four rows: 0 2 1 3, 4 6 5 7; a row begins with 8 times its number */
	CHECK(rows[8] == 16 && rows[16] == 8 && rows[32] == 32 && rows[40] == 48, "%g %g %g %g",
	      rows[8], rows[16], rows[32], rows[40]);
	CHECK(qc_model_find(&model, "token_embd.weight")->dims[1] == 3, "embedding of %llu rows",
	      (unsigned long long)qc_model_find(&model, "token_embd.weight")->dims[1]);
	/* and back: the rows in their order, of the embedding those that are left */
	NEED(!qc_model_set_layout(&model, QC_LAYOUT_HF, &err), "%s", err.text);
	q = qc_model_find(&model, "blk.0.attn_q.weight");
	scratch.used = 0;
	NEED(qc_source_scratch(q->source, 8) <= scratch.size &&
		     !qc_source_read_f32(q->source, 0, 8, rows, &scratch, &err),
	     "%s", err.text);
	CHECK(rows[8] == 8 && rows[16] == 16 && rows[32] == 32 && rows[40] == 40, "%g %g %g %g",
	      rows[8], rows[16], rows[32], rows[40]);
	CHECK(qc_model_find(&model, "token_embd.weight")->dims[1] == 3, "embedding of %llu rows",
	      (unsigned long long)qc_model_find(&model, "token_embd.weight")->dims[1]);
	qc_model_close(&model);
	free(tokens.data);
}

static void generated_tensors_come_first(void)
{
	struct qc_model model;

	small_model(&model, "LlamaForCausalLM", ", \"rope_scaling\": {\"rope_type\": \"llama3\"}",
		    "model.");
	NEED(!qc_arch_name_tensors(&model, &err) &&
		     !qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err),
	     "%s", err.text);
	CHECK(!strcmp(model.tensors[0].name, "rope_freqs.weight") &&
		      !strcmp(model.tensors[1].name, "token_embd.weight"),
	      "first come '%s' and '%s'", model.tensors[0].name, model.tensors[1].name);
	CHECK(model.n_tensors == 2 + 2 * 9 + 1, "%zu tensors", model.n_tensors);
	qc_model_close(&model);
}

/* No Hugging Face name twice; a GGUF name again only for another spelling, which may be missing. */
static void check_unique(const struct qc_arch_tensor *row)
{
	for (const struct qc_arch_tensor *other = row + 1; other->hf; other++) {
		CHECK(!*row->hf || strcmp(row->hf, other->hf), "%s is there twice", row->hf);
		CHECK(strcmp(row->gguf, other->gguf) || !*other->hf ||
			      other->needed == qc_row_optional,
		      "%s and %s both must be there", row->gguf, other->hf);
	}
}

/* Every row of every table: a known shape letter for each dimension, numbers on both sides; parts
 * belong to a row above. */
static void tables_are_well_formed(void)
{
	for (const struct qc_arch *const *a = qc_archs; *a; a++) {
		CHECK(qc_arch_by_gguf_name((*a)->name, strlen((*a)->name)) == *a, "%s is not found",
		      (*a)->name);
		CHECK(*(*a)->tensors->hf, "%s begins with a part", (*a)->name);
		for (const struct qc_arch_tensor *row = (*a)->tensors; row->hf; row++) {
			CHECK(row->shape[0] &&
				      strspn(row->shape, "ADEFGHKLNPQSX") == strlen(row->shape),
			      "%s: shape %s", row->gguf, row->shape);
			CHECK(!*row->hf || !strstr(row->hf, "{i}") == !strstr(row->gguf, "{i}"),
			      "%s and %s", row->hf, row->gguf);
			CHECK(*row->hf ? row->op < QC_ROWS_EVEN : row->op >= QC_ROWS_EVEN,
			      "%s: operation %d", row->gguf, row->op);
			CHECK(!strstr(row->hf, "{e}") || strstr(row->gguf, "_exps."), "%s and %s",
			      row->hf, row->gguf);
			check_unique(row);
		}
		for (const struct qc_arch_key *row = (*a)->keys; row->hparam; row++)
			CHECK(row->hparam->min <= row->hparam->max &&
				      !(row->fallback < row->hparam->min ||
					row->fallback > row->hparam->max),
			      "%s: default %g, range %g to %g", row->hparam->key, row->fallback,
			      row->hparam->min, row->hparam->max);
	}
}

static void gguf_names_find_their_rows(void)
{
	struct qc_model model = {.layout = QC_LAYOUT_GGUF};
	static const char *const names[] = {"token_embd.weight", "blk.3.attn_q.weight",
					    "blk.3.unknown.weight", "rope_freqs.weight"};

	model.meta.arena = &model.arena;
	NEED(!qc_meta_set_string(&model.meta, "general.architecture", "llama", 5, &err),
	     "no memory");
	for (size_t i = 0; i < 4; i++)
		am_add_counted(&model, names[i], 4, 4);
	NEED(!qc_arch_from_meta(&model, &err), "%s", err.text);
	CHECK(model.arch && !strcmp(model.arch->name, "llama"), "no architecture");
	CHECK(model.tensors[0].row && model.tensors[0].layer == -1, "token_embd: block %d",
	      model.tensors[0].layer);
	CHECK(model.tensors[1].row && model.tensors[1].row->op == QC_ROWS_PERMUTE_Q &&
		      model.tensors[1].layer == 3,
	      "attn_q: block %d", model.tensors[1].layer);
	CHECK(!model.tensors[2].row && model.tensors[2].layer == 3, "unknown: block %d",
	      model.tensors[2].layer);
	CHECK(!model.tensors[3].row, "rope_freqs has a row");
	CHECK(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
	NEED(!qc_meta_set_string(&model.meta, "general.architecture", "other", 5, &err),
	     "no memory");
	model.arch = NULL;
	CHECK(!qc_arch_from_meta(&model, &err) && !model.arch && strstr(model.arch_note, "'other'"),
	      "%s", model.arch_note);
	qc_model_close(&model);
}

static void a_hundred_thousand_tensors_are_named_in_linear_time(void)
{
	struct qc_model model;
	const clock_t start = clock();
	char name[96];

	small_model(&model, "Gemma3ForConditionalGeneration", "", "model.");
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "vision_tower.language_model.encoder.layers.%d.weight",
			 i);
		am_add_counted(&model, name, 1, 0);
	}
	NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
	CHECK(model.n_drops == 100000, "%zu drops", model.n_drops);
	qc_model_close(&model);
	CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 5, "took %g s",
	      (double)(clock() - start) / CLOCKS_PER_SEC);
}

int main(void)
{
	every_prefix_in_circulation_is_understood();
	a_head_is_kept_unless_it_is_tied();
	wrong_tensors_are_refused_by_name();
	permutation_and_truncation_follow_the_metadata();
	generated_tensors_come_first();
	tables_are_well_formed();
	gguf_names_find_their_rows();
	a_hundred_thousand_tensors_are_named_in_linear_time();
	return test_end();
}

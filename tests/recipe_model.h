/* Models without files for tests of recipes: names, shapes and types are all that these see. */
#ifndef QC_TESTS_RECIPE_MODEL_H
#define QC_TESTS_RECIPE_MODEL_H

#include <stdio.h>
#include <string.h>

#include "convert/recipe.h"
#include "formats/arch/arch.h"
#include "tests/test.h"

struct fake {
	struct qc_model model;
	struct qc_file file;
	struct qc_choice *choices;
	struct qc_arena arena;
	uint32_t file_type;
	struct qc_err err;
};

static inline void fake_init(struct fake *f, const char *arch, const char *format)
{
	memset(f, 0, sizeof(*f));
	f->model.meta.arena = &f->model.arena;
	f->model.format = qc_format_find(format);
	f->model.layout = QC_LAYOUT_GGUF;
	NEED(f->model.format, "no format %s", format);
	if (arch) {
		f->model.arch = qc_arch_by_gguf_name(arch, strlen(arch));
		NEED(!qc_meta_set_string(&f->model.meta, "general.architecture", arch, strlen(arch),
					 &f->err),
		     "no memory");
	}
}

static inline void fake_number(struct fake *f, const char *key, uint32_t value)
{
	NEED(!qc_meta_set_u32(&f->model.meta, key, value, &f->err), "no memory");
}

static inline void fake_add(struct fake *f, const char *name, const char *type, uint64_t cols,
			    uint64_t rows)
{
	struct qc_tensor t = {.layer = -1, .n_dims = rows ? 2 : 1};
	uint64_t *dims = qc_arena_alloc(&f->model.arena, 2 * sizeof(*dims));
	const struct qc_qtype *qtype = qc_qtype_find(type);

	NEED(dims && qtype, "no type %s", type);
	dims[0] = cols;
	dims[1] = rows;
	t.dims = dims;
	t.name = t.stored_name = qc_arena_copy(&f->model.arena, name, strlen(name));
	t.source = rows ? qc_source_file(&f->model.arena, &f->file, 0, qtype, rows, cols, false)
			: qc_source_file(&f->model.arena, &f->file, 0, qtype,
					 cols / qtype->block_elems, qtype->block_elems, false);
	NEED(t.name && t.source && !qc_model_add_tensor(&f->model, &t, &f->err), "no memory");
}

/* Blocks in falling order, so that whoever counts in file order counts wrong. */
static inline void fake_blocks(struct fake *f, int n, uint64_t width, const char *const *names)
{
	char name[96];

	for (int i = n - 1; i >= 0; i--) {
		for (const char *const *part = names; *part; part++) {
			snprintf(name, sizeof(name), "blk.%d.%s.weight", i, *part);
			fake_add(f, name, "bf16", width, strstr(*part, "_norm") ? 0 : width);
		}
	}
}

static const char *const dense[] = {"attn_norm", "attn_q",   "attn_k", "attn_v",   "attn_output",
				    "ffn_norm",	 "ffn_gate", "ffn_up", "ffn_down", NULL};

static inline enum qc_status fake_choose(struct fake *f, const struct qconv_options *options)
{
	free(f->choices);
	f->choices = calloc(f->model.n_tensors + 1, sizeof(*f->choices));
	NEED(f->choices, "no memory");
	return qc_recipe_choose(&f->model, qc_format_find("gguf"), options, &f->arena, f->choices,
				&f->file_type, &f->err);
}

static inline void fake_clear(struct fake *f)
{
	free(f->choices);
	qc_arena_clear(&f->arena);
	qc_model_close(&f->model);
}

static inline const struct qc_choice *choice_of(const struct fake *f, const char *name)
{
	static const struct qc_choice none;
	const struct qc_tensor *t = qc_model_find(&f->model, name);

	CHECK(t, "no tensor '%s'", name);
	return t ? &f->choices[t - f->model.tensors] : &none;
}

static inline void becomes(const struct fake *f, const char *recipe, const char *name,
			   const char *type)
{
	const struct qc_choice *c = choice_of(f, name);

	CHECK(c->type && !strcmp(c->type->name, type), "%s: %s became %s (%s), not %s", recipe,
	      name, c->type ? c->type->name : "nothing", c->why ? c->why : "", type);
	CHECK(c->why && *c->why, "%s: %s has no reason", recipe, name);
}

/* A llama with 12 blocks, its own head, 16 heads of which 4 are key/value heads. */
static inline void make_llama(struct fake *f, const char *format, int blocks)
{
	fake_init(f, "llama", format);
	fake_number(f, "llama.block_count", (uint32_t)blocks);
	fake_number(f, "llama.attention.head_count", 16);
	fake_number(f, "llama.attention.head_count_kv", 4);
	fake_add(f, "output.weight", "bf16", 512, 1000);
	fake_add(f, "token_embd.weight", "bf16", 512, 1000);
	fake_add(f, "output_norm.weight", "bf16", 512, 0);
	fake_blocks(f, blocks, 512, dense);
}

/* The types that a llama of that many blocks gets from a recipe and one rule beside it. */
static inline void choose_with_rule(struct fake *f, int blocks, const char *recipe,
				    const char *rule)
{
	const struct qconv_options options = {
		.quant = recipe, .tensor_rules = &rule, .n_tensor_rules = 1};

	make_llama(f, "hf", blocks);
	CHECK(!fake_choose(f, &options), "%s", f->err.text);
}

#endif

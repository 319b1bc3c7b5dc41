/*
 * The recipe tables: llama-quantize's tensor-type policy as data, read by recipe.c: recipes.c
 * (names and defaults), recipe_rules.c (exceptions), recipe_names.c (tensor names),
 * recipe_scales.c.
 *
 * Adding a recipe of llama-quantize is: one row in qc_recipes[], its exceptions as rows in
 * qc_recipe_rules[] (first match wins) and, where they ask something new about a tensor, one
 * condition function. Nothing else knows a recipe by name.
 */
#ifndef QC_CONVERT_RECIPES_H
#define QC_CONVERT_RECIPES_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/qtype.h"

/* What a tensor is for, by its name. Bits, so that a rule can take several. */
enum qc_category {
	QC_CAT_OTHER = 1 << 0,
	QC_CAT_HEAD = 1 << 1, /* output.weight; the token embedding when there is none (tied) */
	QC_CAT_TOKEN_EMBD = 1 << 2, /* untied */
	QC_CAT_QKV = 1 << 3,
	QC_CAT_KV_B = 1 << 4,
	QC_CAT_V = 1 << 5,
	QC_CAT_K = 1 << 6,
	QC_CAT_Q = 1 << 7,
	QC_CAT_ATTN_OUT = 1 << 8,
	QC_CAT_FFN_UP = 1 << 9,
	QC_CAT_FFN_GATE = 1 << 10,
	QC_CAT_FFN_DOWN = 1 << 11,
	QC_CAT_V_LIKE = QC_CAT_QKV | QC_CAT_KV_B | QC_CAT_V, /* the most sensitive of attention */
	QC_CAT_ANY = (1 << 12) - 1,
};

/* What conditions may ask: the model, and where in it the tensor stands. */
struct qc_recipe_site {
	/* of the model */
	const char *arch; /* general.architecture, "" without one */
	int64_t n_layers, n_experts, n_heads, n_heads_kv, n_v_like;
	bool has_ffn_bias; /* some dense feed-forward matrix has a bias */
	bool imatrix;	   /* an imatrix is given, whatever it holds */
	/* of the tensor */
	const char *name;
	enum qc_category category;
	uint64_t cols, slices; /* dims[0]; dims[2] */
	int64_t i_v_like;      /* V-like tensors before this one in llama-quantize's order */
	int64_t i_ffn;	       /* FFN matrices: tensors of the category before this one */
	int64_t layer;	       /* FFN matrices: i_ffn, with experts the block number */
	const struct qc_qtype *normal; /* the recipe's default type */
};

/* One thing that --q takes. */
struct qc_recipe {
	const char *name;   /* lower case */
	const char *type;   /* default type; "" keeps the source's (no row has it, "no --q" is made
			       from it) */
	uint32_t file_type; /* general.file_type, llama.h's llama_ftype */
	const char *alias;  /* another name for it; NULL */
	const char *about;
};

/* An exception from a recipe's default type. */
struct qc_recipe_rule {
	const char *recipes; /* names with spaces between; "*" = every recipe with a quantized
				default type */
	unsigned categories;
	bool (*when)(const struct qc_recipe_site *site); /* NULL: always */
	const char *type;				 /* "" = the default type */
	const char *why;				 /* NULL: as if there were no rule */
};

/* Tensors that are never quantized, by a part of their name. */
struct qc_recipe_keep {
	const char *part;
	const char *why;
};

/* Names to categories: exact when `whole`, else contained; first match wins. */
struct qc_recipe_category {
	const char *text;
	bool whole;
	enum qc_category category;
	const char *label; /* for messages */
};

/* What a quantized type becomes when a row is not whole blocks of it. */
struct qc_recipe_fallback {
	const char *type, *instead;
};

/* A type that must have weights of importance, but for embedding and head. */
struct qc_recipe_starved {
	const char *type;
	const char *recipe; /* only there; NULL: everywhere */
};

/* Kinds of matrices that have a tensor scale beside them in llama.cpp, as bits. */
enum qc_scaled {
	QC_SCALED_ATTN = 1 << 0,
	QC_SCALED_FFN = 1 << 1, /* not where one of them has a bias */
	QC_SCALED_EXPERTS = 1 << 2,
};

/* The kind by the end of the name. */
struct qc_recipe_scaled {
	const char *end;
	enum qc_scaled kind;
};

/* The kinds that are multiplied by it in one general.architecture. */
struct qc_recipe_scaled_arch {
	const char *arch;
	unsigned kinds;
};

/* All tables end with a row of zeros. */
extern const struct qc_recipe qc_recipes[];
extern const struct qc_recipe_rule qc_recipe_rules[];
extern const struct qc_recipe_keep qc_recipe_keeps[];
extern const struct qc_recipe_keep
	qc_recipe_f32[]; /* what llama.cpp's converter writes as F32: name endings */
extern const struct qc_recipe_category qc_recipe_categories[];
extern const struct qc_recipe_fallback qc_recipe_fallbacks[];
extern const struct qc_recipe_starved qc_recipe_starved[];
extern const struct qc_recipe_scaled qc_recipe_scaled[];
extern const struct qc_recipe_scaled_arch qc_recipe_scaled_archs[];

/* Whether llama.cpp multiplies the site's matrix by a tensor `.scale` beside it. Anything may have
 * one in a model without an architecture. */
bool qc_recipe_takes_scale(const struct qc_recipe_site *site);

#endif

/*
 * Recipes: which type each tensor gets.
 *
 * A named recipe is llama-quantize's of that name: a default type and the exceptions that its
 * mixture makes, as data (convert/recipes.c). User rules ("REGEX=TYPE", first match wins) come
 * before it. The decision is made for the whole model at once, in llama-quantize's visiting order,
 * because its mixtures count tensors as they go.
 */
#ifndef QC_CONVERT_RECIPE_H
#define QC_CONVERT_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/packing.h"
#include "convert/qconv.h"
#include "formats/format.h"
#include "formats/model.h"
#include "quant/qtype.h"

/* What one tensor becomes. */
struct qc_choice {
	const struct qc_qtype
		*type;	 /* NULL: the target cannot hold it, it is dropped; `why` says so */
	const char *why; /* lives in the arena given: "q4_k_m: ffn_down, 1 of 3", "1-D stays f32",
			  * "fallback: 100 columns   are not whole blocks of 256", "rule
			  * 'attn_v=q8_0'" */
	const struct qc_packing *packing; /* the type is its; NULL */
	bool fallback;			  /* the rule's or recipe's type does not fit the shape */
	bool starved; /* useless without weights of importance: the imatrix must have them */
};

/*
 * User rules are POSIX extended regular expressions (regcomp; llama-quantize takes ECMAScript ones:
 * write [0-9] for \d and plain groups), searched anywhere in the canonical name, case-sensitive.
 * They apply to the tensors that llama-quantize may quantize: matrices whose name ends in "weight",
 * except norms, routers and the like; in a bag of tensors to everything with two dimensions or
 * more. Where rows are not whole blocks, llama-quantize's replacement is taken, or F16 where it has
 * none.
 *
 * Without a recipe every tensor keeps its type; from Hugging Face norms, 1-D tensors and whatever
 * else llama.cpp's converter writes as F32 become F32. Integers are always kept. A float type that
 * the target cannot hold (f8_e4m3, ...) becomes bf16, which holds all of its values.
 *
 * Choose for every tensor of `model` (already in the target's layout). choices has model->n_tensors
 * entries. *file_type gets GGUF's general.file_type number for the result. QC_USAGE: unknown
 * recipe, type or method, bad regex (all known names are listed in the text); QC_UNSUPPORTED: a
 * type that the target cannot hold or that needs an imatrix.
 */
QC_MUST_CHECK
enum qc_status qc_recipe_choose(const struct qc_model *model, const struct qc_format *target,
				const struct qconv_options *options, struct qc_arena *arena,
				struct qc_choice *choices, uint32_t *file_type, struct qc_err *err);

/* Names that --q takes, in the order to list them; NULL when i is past the end. *about is one line
 * for help. */
const char *qc_recipe_name(unsigned i, const char **about);

#endif

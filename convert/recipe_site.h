/* What recipe rules ask about a model and a tensor in it: gathered once, then kept while the
 * tensors are visited. */
#ifndef QC_CONVERT_RECIPE_SITE_H
#define QC_CONVERT_RECIPE_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "convert/recipes.h"
#include "formats/model.h"

struct qc_survey {
	struct qc_recipe_site site;
	int64_t i_ffn[3]; /* ffn_down, ffn_gate, ffn_up matrices so far */
	bool tied;	  /* there is no output.weight: the token embedding is the head */
};

/* The facts of the whole model. `normal` is the recipe's default type (NULL without a recipe).
 * QC_NO_MEMORY only. */
QC_MUST_CHECK
enum qc_status qc_survey_model(struct qc_survey *survey, const struct qc_model *model,
			       const struct qc_qtype *normal, struct qc_arena *arena,
			       struct qc_err *err);

/* Go to a matrix that a recipe decides about (at least one dimension): survey->site is its. Then
 * leave it: counters move on. Tensors that rules of the user decide about, or that are never
 * quantized, are not entered: llama-quantize does not count them either. */
void qc_survey_enter(struct qc_survey *survey, const struct qc_tensor *tensor);
void qc_survey_leave(struct qc_survey *survey);

/* What a tensor of this name is for, as if nothing were tied. */
enum qc_category qc_recipe_category(const char *name);

struct qc_visit {
	const char *name;
	size_t index; /* into model->tensors */
};

/* llama-quantize's order of tensors, which its counters depend on and in which it writes them:
 * names outside blocks first, then by block number and name. Negative, 0 or positive as strcmp. */
int qc_visit_order(const char *a, const char *b);

/* The model's tensors in that order (malloc); NULL when memory is out. */
struct qc_visit *qc_visiting_order(const struct qc_model *model);

#endif

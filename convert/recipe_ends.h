/* What llama-quantize's options for the two ends of a model ask for: the token embedding and the
 * head. They come before every rule and recipe. */
#ifndef QC_CONVERT_RECIPE_ENDS_H
#define QC_CONVERT_RECIPE_ENDS_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"
#include "convert/recipes.h"
#include "quant/qtype.h"

struct qc_recipe_ends {
	const struct qc_qtype *embedding, *head; /* NULL: not asked for */
	bool leave_head;			 /* output.weight stays as it is */
};

/* QC_USAGE: not a type, or both a type for the head and leaving it. */
QC_MUST_CHECK
enum qc_status qc_recipe_ends_load(struct qc_recipe_ends *ends, const struct qconv_options *options,
				   struct qc_err *err);

/* The type asked for by the name's category (tied or not), with the option as the reason in *why;
 * NULL, and *why left alone, when there is none. */
const struct qc_qtype *qc_recipe_ends_match(const struct qc_recipe_ends *ends,
					    enum qc_category category, const char **why);

#endif

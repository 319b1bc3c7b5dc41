#include "convert/recipe_keep.h"

#include <stdbool.h>
#include <string.h>

#include "base/text.h"
#include "convert/recipes.h"

uint32_t qc_recipe_dims(const struct qc_tensor *tensor)
{
	uint32_t n = tensor->n_dims;

	while (n > 1 && tensor->dims[n - 1] == 1)
		n--;
	return n;
}

const char *qc_recipe_why_kept(const struct qc_tensor *tensor)
{
	if (qc_recipe_dims(tensor) < 2)
		return "one dimension";
	if (!qc_text_ends(tensor->name, "weight"))
		return "name does not end in 'weight'";
	for (const struct qc_recipe_keep *row = qc_recipe_keeps; row->part; row++)
		if (strstr(tensor->name, row->part))
			return row->why;
	return NULL;
}

const char *qc_recipe_why_f32(const struct qc_tensor *tensor)
{
	if (tensor->n_dims < 2)
		return "one dimension";
	if (!qc_text_ends(tensor->name, ".weight"))
		return "name does not end in '.weight'";
	for (const struct qc_recipe_keep *row = qc_recipe_f32; row->part; row++)
		if (qc_text_ends(tensor->name, row->part))
			return row->why;
	return NULL;
}

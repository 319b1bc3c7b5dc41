#include "convert/recipe_ends.h"

static enum qc_status find_type(const char *option, const char *name, const struct qc_qtype **type,
				struct qc_err *err)
{
	if (!name)
		return QC_OK;
	*type = qc_qtype_find(name);
	if (!*type || !(*type)->quantize)
		return qc_fail(err, QC_USAGE,
			       "%s: '%s' is not a type that can be made ('qconv types' lists them)",
			       option, name);
	return QC_OK;
}

enum qc_status qc_recipe_ends_load(struct qc_recipe_ends *ends, const struct qconv_options *options,
				   struct qc_err *err)
{
	ends->leave_head = options->leave_output;
	if (options->leave_output && options->output_type)
		return qc_fail(err, QC_USAGE,
			       "--output-type and --leave-output-tensor contradict each other");
	if (find_type("--output-type", options->output_type, &ends->head, err))
		return err->status;
	return find_type("--token-embedding-type", options->embedding_type, &ends->embedding, err);
}

const struct qc_qtype *qc_recipe_ends_match(const struct qc_recipe_ends *ends,
					    enum qc_category category, const char **why)
{
	if (category == QC_CAT_TOKEN_EMBD && ends->embedding) {
		*why = "--token-embedding-type";
		return ends->embedding;
	}
	if (category == QC_CAT_HEAD && ends->head) {
		*why = "--output-type";
		return ends->head;
	}
	return NULL;
}

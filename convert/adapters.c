#include "convert/adapters.h"

#include "formats/lora.h"

static enum qc_status check_options(const struct qc_format *target,
				    const struct qconv_options *options, struct qc_err *err)
{
	if (!options->lora_only)
		return QC_OK;
	if (options->n_loras != 1)
		return qc_fail(err, QC_USAGE, "--lora-only takes one --lora, not %zu",
			       options->n_loras);
	if (target->layout_kind != QC_LAYOUT_GGUF)
		return qc_fail(err, QC_USAGE,
			       "--lora-only writes an adapter for llama.cpp: the output must be a "
			       ".gguf");
	return QC_OK;
}

static enum qc_status apply(struct qc_model *model, const struct qc_format *target,
			    const struct qconv_options *options, struct qc_err *err)
{
	enum qc_status s = check_options(target, options, err);

	for (size_t i = 0; !s && i < options->n_loras; i++) {
		const char *dir;
		double scale;

		s = qc_lora_parse_spec(options->loras[i], &model->arena, &dir, &scale, err);
		if (!s)
			s = options->lora_only ? qc_model_only_lora(model, dir, scale, err)
					       : qc_model_apply_lora(model, dir, scale, err);
	}
	return s;
}

enum qc_status qc_adapters_open(struct qc_model *model, const char *path,
				const struct qc_format *target, const struct qconv_options *options,
				struct qc_err *err)
{
	enum qc_status s = qc_model_open(model, path, err);

	return s ? s : apply(model, target, options, err);
}

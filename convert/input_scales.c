#include "convert/input_scales.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "convert/importance.h"
#include "quant/nvfp4_pack.h"
#include "quant/types.h"

/* Weights that see the same input, by parts of their names: kernels that fuse them have one scale.
 */
static const char *const siblings[][3] = {
	{".attn_q.", ".attn_k.", ".attn_v."},
	{".ffn_gate.", ".ffn_up."},
	{".ffn_gate_exps.", ".ffn_up_exps."},
};

static float amax_of(const struct qc_imatrix_entry *entry, uint64_t index)
{
	float most = 0;

	if (!entry || !entry->amax)
		return 0;
	if (entry->n == 1)
		return entry->amax[0];
	if (index < entry->n && entry->amax[index] > 0)
		return entry->amax[index];
	for (uint64_t i = 0; i < entry->n; i++)
		most = entry->amax[i] > most ? entry->amax[i] : most;
	return most;
}

/* The largest of what the weight of this name and its siblings have seen; 0: nobody knows. Some
 * have no entry of their own: keys of blocks that use those of another block. */
static float shared_amax(const struct qc_imatrix *im, const char *name, uint64_t index)
{
	float most = amax_of(qc_imatrix_find(im, name), index);

	for (size_t k = 0; k < sizeof(siblings) / sizeof(*siblings); k++)
		for (size_t from = 0; from < 3 && siblings[k][from]; from++)
			for (size_t to = 0; to < 3 && siblings[k][to]; to++) {
				char other[256];
				float amax = 0;

				if (qc_text_replace(name, siblings[k][from], siblings[k][to], other,
						    sizeof(other)))
					amax = amax_of(qc_imatrix_find(im, other), index);
				most = amax > most ? amax : most;
			}
	return most;
}

static enum qc_status set_scale(struct qc_plan *plan, struct qc_tensor *tensor, struct qc_err *err)
{
	const struct qc_imatrix_entry *entry = qc_importance_find(&plan->imatrix, tensor);
	const char *name = entry ? entry->name : tensor->name;
	const uint64_t first = tensor->expert >= 0 ? (uint64_t)tensor->expert : 0;
	uint64_t n = 1;
	float *scales;

	tensor->input_scale = NULL;
	for (uint32_t d = 2; d < tensor->n_dims; d++)
		n *= tensor->dims[d];
	if (!(shared_amax(&plan->imatrix, name, first) > 0))
		return entry && entry->amax
			       ? qc_fail(err, QC_BAD_INPUT,
					 "'%s': the activations of '%s' are all 0 in it",
					 plan->imatrix_path, tensor->name)
			       : QC_OK;
	scales = qc_arena_array(&plan->arena, n, sizeof(*scales));
	if (!scales)
		return qc_no_memory(err);
	for (uint64_t i = 0; i < n; i++)
		scales[i] = shared_amax(&plan->imatrix, name, first + i) / (6 * QC_NVFP4_RANGE);
	tensor->input_scale = qc_source_values(&plan->arena, scales, n, 1);
	return tensor->input_scale ? QC_OK : qc_no_memory(err);
}

enum qc_status qc_input_scales_set(struct qc_plan *plan, const struct qconv_options *options,
				   struct qc_err *err)
{
	struct qc_model *model = plan->model;
	enum qc_status s = QC_OK;
	bool any = false;

	if (!options->act)
		return QC_OK;
	if (strcasecmp(options->act, "nvfp4") || !options->quant ||
	    strcasecmp(options->quant, "nvfp4"))
		return qc_fail(err, QC_USAGE,
			       "--act '%s' with --q %s: only --act nvfp4 with --q nvfp4 is written",
			       options->act, options->quant ? options->quant : "nothing");
	if (!plan->imatrix_path)
		return qc_fail(err, QC_USAGE,
			       "--act needs the ranges of activations: --calib TEXT, or --imatrix "
			       "FILE from 'qconv calibrate'");
	for (size_t i = 0; i < plan->imatrix.n_entries; i++)
		any = any || plan->imatrix.entries[i].amax;
	if (!any)
		return qc_fail(
			err, QC_BAD_INPUT,
			"'%s' has no ranges of activations; what 'qconv calibrate' writes has",
			plan->imatrix_path);
	for (size_t i = 0; !s && i < model->n_tensors; i++)
		s = set_scale(plan, &model->tensors[i], err);
	return s;
}

enum qc_status qc_input_scales_check(const struct qc_plan *plan,
				     const struct qconv_options *options, struct qc_err *err)
{
	for (size_t i = 0; options->act && i < plan->n_steps; i++) {
		const struct qc_step *step = &plan->steps[i];

		if (step->packing && step->packing->type == &qc_nvfp4 && !step->tensor->input_scale)
			return qc_fail(err, QC_BAD_INPUT,
				       "'%s' has no range of activations for tensor '%s'",
				       plan->imatrix_path, step->name);
	}
	return QC_OK;
}

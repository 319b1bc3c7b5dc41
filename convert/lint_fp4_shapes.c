/*
 * Lint: shapes of NVFP4 and MXFP4, two codes a byte along the inputs.
 *
 *   matrix               codes [out, in/2]          scales [out, in/group]
 *   ModelOpt's experts   codes [E, in/2, out]       scales [E, in/group, out]
 *   gpt-oss              codes [E, out, in/32, 16]  scales [E, out, in/32]
 */
#include <string.h>

#include "convert/lint_rules.h"

enum { MAX_RANK = 4 };

static const struct qc_tensor *block_scales(const struct lint *lint,
					    const struct lint_module *module)
{
	const struct qc_tensor *scales = lint_part(lint, module, PART_WEIGHT_SCALE);

	return scales ? scales : lint_part(lint, module, PART_SCALE);
}

/* The codes are rows of whole groups, the scales one for each. */
static enum qc_status check_blocks(struct lint *lint, const struct lint_module *module,
				   const struct qc_tensor *codes, const struct qc_tensor *scales)
{
	const uint32_t axis = module->scheme->transposed, group = module->scheme->group;
	const uint32_t least = module->scheme->transposed ? 3 : 2;
	uint64_t dims[MAX_RANK];

	if (codes->n_dims < least || codes->n_dims > 3)
		return lint_report(lint, QC_LINT_ERROR, codes->stored_name,
				   lint_shape_text(lint, codes),
				   module->scheme->transposed ? "[experts, inputs / 2, outputs]"
							      : "[outputs, inputs / 2]");
	if (codes->dims[axis] % (group / 2))
		return lint_report(
			lint, QC_LINT_ERROR, codes->stored_name,
			lint_text(lint, "%llu inputs", (unsigned long long)codes->dims[axis] * 2),
			lint_text(lint, "whole groups of %u", group));
	memcpy(dims, codes->dims, codes->n_dims * sizeof(*dims));
	dims[axis] /= group / 2;
	return lint_expect_shape(lint, scales, codes->n_dims, dims);
}

/* A factor for the tensor, or one for each expert. */
static enum qc_status check_factor(struct lint *lint, const struct qc_tensor *codes,
				   const struct qc_tensor *factor)
{
	const uint64_t n = factor ? qc_tensor_elems(factor) : 1;

	if (n == 1 || (codes->n_dims == 3 && n == codes->dims[2]))
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, factor->stored_name, lint_shape_text(lint, factor),
			   "one number");
}

enum qc_status lint_nvfp4_shapes(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *codes = lint_part(lint, module, module->scheme->codes);
	enum qc_status s =
		check_blocks(lint, module, codes, lint_part(lint, module, PART_WEIGHT_SCALE));

	if (!s)
		s = check_factor(lint, codes, lint_part(lint, module, module->scheme->global));
	if (!s)
		s = check_factor(lint, codes, lint_part(lint, module, module->scheme->input));
	return s;
}

static enum qc_status gpt_oss_shapes(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *blocks = lint_part(lint, module, PART_BLOCKS);

	if (blocks->n_dims < 3 || blocks->n_dims > 4 || blocks->dims[0] != 16)
		return lint_report(lint, QC_LINT_ERROR, blocks->stored_name,
				   lint_shape_text(lint, blocks),
				   "[experts, outputs, inputs / 32, 16]");
	return lint_expect_shape(lint, lint_part(lint, module, PART_BLOCK_SCALES),
				 blocks->n_dims - 1, blocks->dims + 1);
}

enum qc_status lint_mxfp4_shapes(struct lint *lint, const struct lint_module *module)
{
	if (module->scheme->codes == PART_BLOCKS)
		return gpt_oss_shapes(lint, module);
	return check_blocks(lint, module, lint_part(lint, module, module->scheme->codes),
			    block_scales(lint, module));
}

/*
 * AWQ in its GEMV form (AutoAWQ's version "gemv"): packed along the input axis, in natural order.
 *
 *   P.qweight  I32 [out, in / 8]        eight codes a word, the first in the lowest bits
 *   P.qzeros   I32 [out, width]         the zero points of a row's groups likewise
 *   P.scales   F16 [out, 8 * width]     of a row's groups
 *
 *   w[o][i] = scales[o][g] * (code[o][i] - zero[o][g])        g = i / group
 *
 * The width is in / group / 8, rounded up, and for groups of 64 and 32 to a multiple of 2 and 4:
 * what is beyond the groups means nothing. So the length of groups is what config.json says, or the
 * first of 128, 64 and 32 that gives this width.
 */
#include "base/checked.h"
#include "formats/arch/arch.h"
#include "formats/fold.h"
#include "formats/int_groups.h"
#include "quant/types.h"

#define PER_WORD 8

static enum qc_status load_nibbles(const struct qc_part *part, uint64_t width, uint64_t row,
				   uint64_t n, uint64_t per_row, uint8_t *codes,
				   struct qc_scratch *scratch, struct qc_err *err)
{
	const uint64_t words = (per_row + PER_WORD - 1) / PER_WORD;
	const struct qc_window w = {width, row, n, 0, words};
	const size_t before = scratch->used;
	uint8_t *packed = qc_scratch_take(scratch, n * words * 4);
	enum qc_status status = qc_part_read(part, &w, packed, scratch, err);

	for (uint64_t r = 0; !status && r < n; r++)
		qc_unpack_codes(packed + r * words * 4, 4, per_row, codes + r * per_row);
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status gemv_load_codes(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				      uint8_t *codes, struct qc_scratch *scratch,
				      struct qc_err *err)
{
	return load_nibbles(&s->codes, s->base.cols / PER_WORD, row, n, s->base.cols, codes,
			    scratch, err);
}

static enum qc_status gemv_load_zeros(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				      int16_t *zeros, struct qc_scratch *scratch,
				      struct qc_err *err)
{
	const size_t before = scratch->used;
	uint8_t *codes = qc_scratch_take(scratch, n * s->n_groups);
	enum qc_status status = load_nibbles(&s->zeros, s->scale_width / PER_WORD, row, n,
					     s->n_groups, codes, scratch, err);

	for (uint64_t i = 0; !status && i < n * s->n_groups; i++)
		zeros[i] = codes[i];
	qc_scratch_give(scratch, before);
	return status;
}

static size_t gemv_load_scratch(const struct qc_int_groups *s, uint64_t n)
{
	const uint64_t longer = s->base.cols > s->n_groups ? s->base.cols : s->n_groups;

	return qc_scratch_need(n * (longer / PER_WORD + 1) * 4) + qc_scratch_need(n * s->n_groups);
}

static const struct qc_qtype *const i32_type[] = {&qc_i32, NULL};
static const struct qc_qtype *const f16_type[] = {&qc_f16, NULL};

/* As many rows in both; GPTQ's scales have outputs as columns. */
static bool is_gemv(const struct qc_tensor *qweight, const struct qc_tensor *scales)
{
	return scales && qweight->n_dims == 2 && scales->n_dims == 2 &&
	       qweight->source->type == &qc_i32 && scales->dims[1] == qweight->dims[1] &&
	       scales->dims[0] % PER_WORD == 0;
}

/* AutoAWQ's calculate_zeros_width(). */
static uint64_t width_of(uint64_t cols, uint64_t group)
{
	const uint64_t multiple = group >= 128 ? 1 : group == 64 ? 2 : 4;

	return qc_divide_up(qc_divide_up(cols / group, PER_WORD), multiple) * multiple;
}

static bool find_group(const struct qc_model *model, uint64_t cols, uint64_t width, uint64_t *group)
{
	static const uint64_t usual[] = {128, 64, 32};
	uint64_t said;

	if (qc_json_u64(&model->config, qc_config_get(model, "quantization_config.group_size"),
			&said)) {
		*group = said;
		return said >= 32 && cols % said == 0 && width_of(cols, said) == width;
	}
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		*group = usual[i];
		if (cols % *group == 0 && width_of(cols, *group) == width)
			return true;
	}
	return false;
}

static enum qc_status gemv_open(struct qc_fold *fold, const char *base, struct qc_int_groups *s,
				const struct qc_tensor *qweight, struct qc_tensor **qzeros,
				struct qc_tensor **scales, struct qc_err *err)
{
	const uint64_t zero_dims[2] = {(*scales)->dims[0] / PER_WORD, qweight->dims[1]};
	enum qc_status status = qc_part_check_not_empty(qweight, err);

	if (!status)
		status = qc_part_check_not_empty(*scales, err);
	if (!status)
		status = qc_fold_need(fold, base, ".scales", f16_type, -1, NULL, scales, err);
	if (!status)
		status = qc_fold_need(fold, base, ".qzeros", i32_type, 2, zero_dims, qzeros, err);
	if (status)
		return status;
	s->base.rows = qweight->dims[1];
	s->base.cols = qweight->dims[0] * PER_WORD; /* as many bytes are in the file, and more */
	s->base.row_group = 1;
	s->scale_width = (*scales)->dims[0];
	if (!find_group(fold->model, s->base.cols, zero_dims[0], &s->group))
		return qc_fail(err, QC_BAD_INPUT,
			       "quantized weight '%.160s': '%.160s' has %llu words a row, which is "
			       "not what groups of a known length make of the %llu inputs of "
			       "'%.160s' (quantization_config.group_size)",
			       base, (*qzeros)->stored_name, (unsigned long long)zero_dims[0],
			       (unsigned long long)s->base.cols, qweight->stored_name);
	s->n_groups = s->base.cols / s->group;
	status = qc_part_init(&s->codes, fold, qweight, &qc_i32, err);
	if (!status)
		status = qc_part_init(&s->zeros, fold, *qzeros, &qc_i32, err);
	return status ? status : qc_part_init(&s->scales, fold, *scales, &qc_f16, err);
}

static enum qc_status gemv_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
				const char *base, bool *taken, struct qc_err *err)
{
	struct qc_tensor *qweight = qc_fold_find(fold, base, ".qweight");
	struct qc_tensor *scales = qc_fold_find(fold, base, ".scales"), *qzeros;
	struct qc_int_groups *groups;
	struct qc_int_survey survey;
	const char *text;
	enum qc_status s;

	(void)trigger;
	if (qc_fold_find(fold, base, ".g_idx") || !is_gemv(qweight, scales))
		return QC_OK;
	*taken = true;
	groups = qc_arena_alloc(&fold->model->arena, sizeof(*groups));
	if (!groups)
		return qc_no_memory(err);
	groups->bits = 4;
	groups->load_codes = gemv_load_codes;
	groups->load_zeros = gemv_load_zeros;
	groups->load_scratch = gemv_load_scratch;
	groups->scale_order = QC_SCALES_BY_ROW;
	s = gemv_open(fold, base, groups, qweight, &qzeros, &scales, err);
	if (!s)
		s = qc_int_groups_finish(groups, &survey, err);
	if (s)
		return s;
	text = qc_arena_printf(&fold->model->arena, "awq gemv int4, %llu groups a row",
			       (unsigned long long)groups->n_groups);
	return qc_int_groups_replace(fold, groups, base, qweight,
				     (struct qc_tensor *[]){qzeros, scales}, 2, text, err);
}

static const char *const triggers[] = {".qweight", NULL};

const struct qc_encoding qc_encoding_awq_gemv = {
	.name = "awq gemv",
	.triggers = triggers,
	.fold = gemv_fold,
};

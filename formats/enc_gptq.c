/*
 * GPTQ: integers of 2, 4 or 8 bits in groups, packed along the input axis.
 *
 *   P.qweight  I32 [in * bits / 32, out]   the codes of one column, the first in the lowest bits
 *   P.qzeros   I32 [n_groups, out * bits / 32]
 *   P.scales   F16 [n_groups, out]
 *   P.g_idx    I32 [in]                    the group of each input; may be absent
 *
 *   w[o][i] = scales[g][o] * (code[i][o] - zero[g][o])        g = g_idx[i], or i / group
 *
 * The first version of the format (config.json's checkpoint_format "gptq" or none) stores zero - 1,
 * the second ("gptq_v2") zero: nothing in the tensors tells. In the first one, a zero of 0 became
 * 2^bits - 1, and means 0 again here; asymmetric files that have such are told so in the plan, as
 * some readers take it for 2^bits and some writers let it spill into its neighbours.
 */
#include <string.h>

#include "base/checked.h"
#include "formats/arch/arch.h"
#include "formats/fold.h"
#include "formats/int_groups.h"
#include "quant/types.h"

struct gptq_weight {
	struct qc_int_groups groups;
	bool minus_one; /* the zeros are stored as zero - 1 */
};

static uint64_t packed_rows(const struct qc_int_groups *s)
{
	return s->base.cols * s->bits / 32;
}

/* A window of whole words, 8 word rows by 1 column at a time so that a cache line of codes is
 * written once. */
static enum qc_status gptq_load_codes(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				      uint8_t *codes, struct qc_scratch *scratch,
				      struct qc_err *err)
{
	const uint64_t words = packed_rows(s), per_word = 32 / s->bits;
	const struct qc_window w = {s->base.rows, 0, words, row, n};
	const size_t before = scratch->used;
	uint8_t *tile = qc_scratch_take(scratch, words * n * 4);
	enum qc_status status = qc_part_read(&s->codes, &w, tile, scratch, err);

	for (uint64_t first = 0; !status && first < words; first += 8) {
		const uint64_t end = words - first < 8 ? words : first + 8;

		for (uint64_t r = 0; r < n; r++)
			for (uint64_t word = first; word < end; word++)
				qc_unpack_codes(tile + (word * n + r) * 4, s->bits, per_word,
						codes + r * s->base.cols + word * per_word);
	}
	qc_scratch_give(scratch, before);
	return status;
}

/* The words of a packed row that rows [row, row + n) are in. */
static struct qc_window zero_window(const struct qc_int_groups *s, uint64_t row, uint64_t n)
{
	const uint64_t per_word = 32 / s->bits, first = row / per_word;
	const uint64_t end = (row + n + per_word - 1) / per_word;

	return (struct qc_window){s->base.rows / per_word, 0, s->n_groups, first, end - first};
}

static enum qc_status gptq_load_zeros(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				      int16_t *zeros, struct qc_scratch *scratch,
				      struct qc_err *err)
{
	const struct qc_window w = zero_window(s, row, n);
	const uint64_t skipped = row % (32 / s->bits);
	const int add = ((const struct gptq_weight *)s)->minus_one, mask = (1 << s->bits) - 1;
	const size_t before = scratch->used;
	uint8_t *tile = qc_scratch_take(scratch, w.rows * w.cols * 4);
	enum qc_status status = qc_part_read(&s->zeros, &w, tile, scratch, err);

	for (uint64_t g = 0; !status && g < s->n_groups; g++)
		for (uint64_t r = 0; r < n; r++) {
			const uint8_t code =
				qc_unpack_code(tile + g * w.cols * 4, s->bits, skipped + r);

			zeros[r * s->n_groups + g] = (int16_t)((code + add) & mask);
		}
	qc_scratch_give(scratch, before);
	return status;
}

static size_t gptq_load_scratch(const struct qc_int_groups *s, uint64_t n)
{
	const size_t codes = qc_scratch_need(packed_rows(s) * n * 4);
	const size_t zeros = qc_scratch_need(s->n_groups * (n * s->bits / 32 + 2) * 4);

	return codes > zeros ? codes : zeros;
}

struct parts {
	struct qc_tensor *qweight, *qzeros, *scales, *g_idx;
};

static const struct qc_qtype *const i32_type[] = {&qc_i32, NULL};
static const struct qc_qtype *const float_types[] = {&qc_f16, &qc_bf16, &qc_f32, NULL};

/* Bits and shape from the shapes: `out` has a column of codes and a scale each, and shares words of
 * zero points. */
static enum qc_status gptq_measure(struct qc_fold *fold, const char *base, struct parts *parts,
				   struct qc_int_groups *s, struct qc_err *err)
{
	const uint64_t out = parts->qweight->dims[0], packed = parts->qweight->dims[1];
	uint64_t zero_dims[2] = {parts->qzeros->dims[0], 0}, scale_dims[2] = {out, 0}, bits;
	enum qc_status status = QC_OK;

	if (parts->scales->dims[0] != out)
		return qc_fail(err, QC_BAD_INPUT,
			       "quantized weight '%.160s': '%.160s' has %llu columns, '%.160s' "
			       "%llu: neither GPTQ's shapes nor AWQ's",
			       base, parts->scales->stored_name,
			       (unsigned long long)parts->scales->dims[0],
			       parts->qweight->stored_name, (unsigned long long)out);
	for (bits = 8; bits > 1 && (zero_dims[0] > UINT64_MAX / 32 || out > UINT64_MAX / 8 ||
				    out * bits != zero_dims[0] * 32);)
		bits--;
	if (bits != 2 && bits != 4 && bits != 8)
		return qc_fail(err, bits > 1 ? QC_UNSUPPORTED : QC_BAD_INPUT,
			       "quantized weight '%.160s': '%.160s' has %llu columns for %llu of "
			       "'%.160s', as for no weight of 2, 4 or 8 bits",
			       base, parts->qzeros->stored_name, (unsigned long long)zero_dims[0],
			       (unsigned long long)out, parts->qweight->stored_name);
	s->bits = (unsigned)bits;
	s->n_groups = zero_dims[1] = scale_dims[1] = parts->scales->dims[1];
	s->base.rows = out;
	if (!qc_mul(packed, 32 / bits, &s->base.cols))
		status = qc_fail(err, QC_BAD_INPUT, "tensor '%.160s' is too large",
				 parts->qweight->stored_name);
	if (!status)
		status = qc_fold_need(fold, base, ".scales", float_types, 2, scale_dims,
				      &parts->scales, err);
	if (!status)
		status = qc_fold_need(fold, base, ".qzeros", i32_type, 2, zero_dims, &parts->qzeros,
				      err);
	return status;
}

/* Groups are runs of columns, or what g_idx says. */
static enum qc_status gptq_order(struct qc_fold *fold, const char *base, struct parts *parts,
				 struct qc_int_groups *s, struct qc_err *err)
{
	const uint64_t dims[1] = {s->base.cols};
	const bool even = qc_group_size(s->base.cols, s->n_groups, &s->group);
	bool regular = true;
	enum qc_status status = QC_OK;

	parts->g_idx = qc_fold_find(fold, base, ".g_idx");
	if (parts->g_idx) {
		status = qc_fold_need(fold, base, ".g_idx", i32_type, 1, dims, &parts->g_idx, err);
		if (!status)
			status = qc_int_groups_read_order(parts->g_idx, s->base.cols, s->n_groups,
							  &regular, &s->group, err);
	}
	if (status)
		return status;
	if (!regular)
		return qc_part_init(&s->g_idx, fold, parts->g_idx, &qc_i32, err);
	if ((even || parts->g_idx) && s->group &&
	    s->n_groups == s->base.cols / s->group + (s->base.cols % s->group != 0))
		return QC_OK;
	return qc_fail(err, QC_BAD_INPUT,
		       "quantized weight '%.160s': '%.160s' has %llu groups for %llu inputs", base,
		       parts->scales->stored_name, (unsigned long long)s->n_groups,
		       (unsigned long long)s->base.cols);
}

/* Everything that the parts have to do with each other. */
static enum qc_status gptq_open(struct qc_fold *fold, const char *base, struct parts *parts,
				struct qc_int_groups *s, struct qc_err *err)
{
	enum qc_status status;

	status = qc_fold_need(fold, base, ".qweight", i32_type, -1, NULL, &parts->qweight, err);
	if (!status)
		status = qc_fold_need(fold, base, ".qzeros", i32_type, -1, NULL, &parts->qzeros,
				      err);
	if (!status)
		status = qc_fold_need(fold, base, ".scales", float_types, -1, NULL, &parts->scales,
				      err);
	if (!status && (parts->qweight->n_dims != 2 || parts->qzeros->n_dims != 2 ||
			parts->scales->n_dims != 2))
		status = qc_fail(err, QC_BAD_INPUT,
				 "quantized weight '%.160s': '%.160s', its qzeros and its scales "
				 "must have two dimensions",
				 base, parts->qweight->stored_name);
	if (!status)
		status = qc_part_check_not_empty(parts->qweight, err);
	if (!status)
		status = qc_part_check_not_empty(parts->scales, err);
	if (!status)
		status = gptq_measure(fold, base, parts, s, err);
	if (!status)
		status = gptq_order(fold, base, parts, s, err);
	if (!status)
		status = qc_part_init(&s->codes, fold, parts->qweight, &qc_i32, err);
	if (!status)
		status = qc_part_init(&s->zeros, fold, parts->qzeros, &qc_i32, err);
	if (!status)
		status = qc_part_init(&s->scales, fold, parts->scales, parts->scales->source->type,
				      err);
	return status;
}

/* For the plan. */
static const char *gptq_text(struct qc_fold *fold, const struct gptq_weight *w,
			     const struct qc_int_survey *survey)
{
	const struct qc_int_groups *s = &w->groups;
	const uint64_t odd = w->minus_one && !survey->symmetric ? survey->n_zeros_at_0 : 0;
	const char *order = s->g_idx.bytes ? ", act order" : "";

	if (!odd)
		return qc_arena_printf(&fold->model->arena, "gptq%s int%u, %llu groups a row%s",
				       w->minus_one ? "" : " v2", s->bits,
				       (unsigned long long)s->n_groups, order);
	return qc_arena_printf(&fold->model->arena,
			       "gptq int%u, %llu groups a row%s; %llu zero points stored as %d, "
			       "read as 0",
			       s->bits, (unsigned long long)s->n_groups, order,
			       (unsigned long long)odd, (1 << s->bits) - 1);
}

static enum qc_status gptq_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
				const char *base, bool *taken, struct qc_err *err)
{
	const struct qc_model *model = fold->model;
	struct gptq_weight *w = qc_arena_alloc(&fold->model->arena, sizeof(*w));
	struct qc_int_survey survey;
	struct parts parts;
	enum qc_status s;

	(void)trigger;
	*taken = true;
	if (!w)
		return qc_no_memory(err);
	w->minus_one = !qc_json_equals(
		&model->config, qc_config_get(model, "quantization_config.checkpoint_format"),
		"gptq_v2");
	w->groups.load_codes = gptq_load_codes;
	w->groups.load_zeros = gptq_load_zeros;
	w->groups.load_scratch = gptq_load_scratch;
	w->groups.scale_order = QC_SCALES_BY_GROUP;
	s = gptq_open(fold, base, &parts, &w->groups, err);
	if (!s)
		s = qc_int_groups_finish(&w->groups, &survey, err);
	if (s)
		return s;
	w->groups.base.row_group = qc_transposed_row_group(w->groups.base.cols);
	return qc_int_groups_replace(
		fold, &w->groups, base, parts.qweight,
		(struct qc_tensor *[]){parts.qzeros, parts.scales, parts.g_idx}, 3,
		gptq_text(fold, w, &survey), err);
}

static const char *const triggers[] = {".qweight", NULL};
static const char *const leftovers[] = {".qzeros", ".g_idx", NULL};

const struct qc_encoding qc_encoding_gptq = {
	.name = "gptq",
	.triggers = triggers,
	.fold = gptq_fold,
	.leftovers = leftovers,
};

/*
 * compressed-tensors' integers in groups.
 *
 *   pack-quantized   P.weight_packed      I32 [out, in * bits / 32 rounded up], along the row, the
 *                                         first code in the lowest bits
 *                    P.weight_shape       [2]: out, in
 *                    P.weight_zero_point  I32 [out * bits / 32 rounded up, n_groups], packed down
 *                                         the column; absent when symmetric
 *                    P.weight_g_idx       I32 [in], the group of each input; may be absent
 *   int-quantized    P.weight             I8 [out, in]
 *                    P.weight_zero_point  I8 as the scales; absent when symmetric
 *   both             P.weight_scale       [out, n_groups], [out] or one for all
 *
 *   w[o][i] = scale[o][g] * (code[o][i] - zero[o][g])
 *
 * Packed codes and zeros are offset by 2^(bits - 1), so that they are positive; the I8 ones get the
 * same offset here. A word holds whole codes, as bits is 4 or 8 (or 2).
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "formats/fold.h"
#include "formats/int_groups.h"
#include "quant/types.h"

/* Bytes of a row of codes. */
static uint64_t row_bytes(const struct qc_int_groups *s)
{
	return qc_divide_up(s->base.cols, 32 / s->bits) * 4;
}

static enum qc_status packed_load_codes(const struct qc_int_groups *s, uint64_t row, uint64_t n,
					uint8_t *codes, struct qc_scratch *scratch,
					struct qc_err *err)
{
	const uint64_t bytes = row_bytes(s);
	const struct qc_window w = {bytes / 4, row, n, 0, bytes / 4};
	const size_t before = scratch->used;
	uint8_t *tile = qc_scratch_take(scratch, bytes * n);
	enum qc_status status = qc_part_read(&s->codes, &w, tile, scratch, err);

	for (uint64_t r = 0; !status && r < n; r++)
		qc_unpack_codes(tile + r * bytes, s->bits, s->base.cols, codes + r * s->base.cols);
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status packed_load_zeros(const struct qc_int_groups *s, uint64_t row, uint64_t n,
					int16_t *zeros, struct qc_scratch *scratch,
					struct qc_err *err)
{
	const uint64_t per_word = 32 / s->bits, first = row / per_word;
	const uint64_t rows = qc_divide_up(row + n, per_word) - first;
	const struct qc_window w = {s->n_groups, first, rows, 0, s->n_groups};
	const size_t before = scratch->used;
	uint8_t *tile = qc_scratch_take(scratch, rows * s->n_groups * 4);
	enum qc_status status = qc_part_read(&s->zeros, &w, tile, scratch, err);

	for (uint64_t r = 0; !status && r < n; r++) {
		const uint64_t word = (row + r) / per_word - first;

		for (uint64_t g = 0; g < s->n_groups; g++)
			*zeros++ = qc_unpack_code(tile + (word * s->n_groups + g) * 4, s->bits,
						  (row + r) % per_word);
	}
	qc_scratch_give(scratch, before);
	return status;
}

static size_t packed_load_scratch(const struct qc_int_groups *s, uint64_t n)
{
	const size_t codes = qc_scratch_need(row_bytes(s) * n);
	const size_t zeros = qc_scratch_need((n * s->bits / 32 + 2) * s->n_groups * 4);

	return codes > zeros ? codes : zeros;
}

static enum qc_status i8_load_codes(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				    uint8_t *codes, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_window w = {s->base.cols, row, n, 0, s->base.cols};
	enum qc_status status = qc_part_read(&s->codes, &w, codes, scratch, err);

	for (uint64_t i = 0; !status && i < n * s->base.cols; i++)
		codes[i] ^= 0x80;
	return status;
}

static enum qc_status i8_load_zeros(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				    int16_t *zeros, struct qc_scratch *scratch, struct qc_err *err)
{
	const bool one = s->scale_order == QC_SCALES_ONE;
	const struct qc_window w = {s->n_groups, one ? 0 : row, one ? 1 : n, 0, s->n_groups};
	const size_t before = scratch->used;
	uint8_t *tile = qc_scratch_take(scratch, (n + 1) * s->n_groups);
	enum qc_status status = qc_part_read(&s->zeros, &w, tile, scratch, err);

	for (uint64_t i = 0; !status && i < n * s->n_groups; i++)
		zeros[i] = tile[one ? 0 : i] ^ 0x80;
	qc_scratch_give(scratch, before);
	return status;
}

static size_t i8_load_scratch(const struct qc_int_groups *s, uint64_t n)
{
	return qc_scratch_need((n + 1) * s->n_groups);
}

static const struct qc_qtype *const i32_type[] = {&qc_i32, NULL};
static const struct qc_qtype *const i8_type[] = {&qc_i8, NULL};
static const struct qc_qtype *const shape_types[] = {&qc_i64, &qc_i32, NULL};
static const struct qc_qtype *const float_types[] = {&qc_bf16, &qc_f16, &qc_f32, NULL};

/* weight_shape against weight_packed; fills rows, cols and bits. */
static enum qc_status measure_packed(struct qc_fold *fold, const char *base,
				     const struct qc_tensor *packed, struct qc_tensor **shape,
				     struct qc_int_groups *s, struct qc_err *err)
{
	static const uint64_t two[1] = {2};
	uint64_t out = 0, in = 0;
	unsigned found = 0;
	size_t size;
	uint8_t *bytes;
	enum qc_status status =
		qc_fold_need(fold, base, ".weight_shape", shape_types, 1, two, shape, err);

	if (!status)
		status = qc_fold_load_bytes(*shape, 16, &bytes, &size, err);
	if (status)
		return status;
	out = size == 16 ? qc_le64(bytes) : qc_le32(bytes);
	in = size == 16 ? qc_le64(bytes + 8) : qc_le32(bytes + 4);
	free(bytes);
	for (unsigned bits = 2; bits <= 8; bits *= 2)
		if (in && qc_divide_up(in, 32 / bits) == packed->dims[0]) {
			s->bits = bits;
			found++;
		}
	if (out != packed->dims[1] || !found)
		return qc_fail(err, found ? QC_BAD_INPUT : QC_UNSUPPORTED,
			       "quantized weight '%.160s': '%.160s' says %llux%llu, '%.160s' has "
			       "%llu rows of %llu words, as for no such weight of 2, 4 or 8 bits",
			       base, (*shape)->stored_name, (unsigned long long)out,
			       (unsigned long long)in, packed->stored_name,
			       (unsigned long long)packed->dims[1],
			       (unsigned long long)packed->dims[0]);
	if (found > 1)
		return qc_fail(err, QC_UNSUPPORTED,
			       "quantized weight '%.160s': rows of %llu are too short to tell how "
			       "many bits the codes of '%.160s' have",
			       base, (unsigned long long)in, packed->stored_name);
	s->base.rows = out;
	s->base.cols = in;
	return QC_OK;
}

/* weight_scale: [out, n_groups], [out], or one; then the groups. */
static enum qc_status measure_scales(const char *base, const struct qc_tensor *codes,
				     const struct qc_tensor *scales, struct qc_int_groups *s,
				     struct qc_err *err)
{
	const uint32_t n = scales->n_dims;
	char shape[96];
	bool good;

	s->n_groups = n == 2 ? scales->dims[0] : 1;
	s->scale_order = QC_SCALES_BY_ROW;
	if (qc_tensor_elems(scales) == 1 && s->base.rows > 1)
		s->scale_order = QC_SCALES_ONE;
	good = qc_group_size(s->base.cols, s->n_groups, &s->group);
	if (s->scale_order == QC_SCALES_BY_ROW && s->base.rows > 1)
		good = good && (n == 1 || n == 2) && scales->dims[n - 1] == s->base.rows;
	else
		good = good && n <= 2 && (n == 0 || scales->dims[n - 1] == 1);
	if (good)
		return QC_OK;
	qc_tensor_shape_text(scales, shape, sizeof(shape));
	return qc_fail(
		err, QC_BAD_INPUT,
		"quantized weight '%.160s': its tensor '%.160s' is %s, a scale for each of "
		"the %llu rows of '%.160s', for groups of their %llu columns, or one for all "
		"is needed",
		base, scales->stored_name, shape, (unsigned long long)s->base.rows,
		codes->stored_name, (unsigned long long)s->base.cols);
}

struct parts {
	struct qc_tensor *codes, *scales, *zeros, *shape, *g_idx; /* the last three may be NULL */
};

/* Zero points, when there are any. */
static enum qc_status open_zeros(struct qc_fold *fold, const char *base, struct parts *parts,
				 struct qc_int_groups *s, struct qc_err *err)
{
	const bool packed = parts->shape != NULL;
	const uint64_t dims[2] = {s->n_groups, qc_divide_up(s->base.rows, 32 / s->bits)};
	enum qc_status status;

	parts->zeros = qc_fold_find(fold, base, ".weight_zero_point");
	if (!parts->zeros)
		return QC_OK;
	s->load_zeros = packed ? packed_load_zeros : i8_load_zeros;
	if (packed)
		status = qc_fold_need(fold, base, ".weight_zero_point", i32_type, 2, dims,
				      &parts->zeros, err);
	else
		status = qc_fold_need(fold, base, ".weight_zero_point", i8_type,
				      (int)parts->scales->n_dims, parts->scales->dims,
				      &parts->zeros, err);
	return status ? status
		      : qc_part_init(&s->zeros, fold, parts->zeros, parts->zeros->source->type,
				     err);
}

static enum qc_status open_order(struct qc_fold *fold, const char *base, struct parts *parts,
				 struct qc_int_groups *s, struct qc_err *err)
{
	const uint64_t dims[1] = {s->base.cols};
	bool regular;
	enum qc_status status;

	parts->g_idx = qc_fold_find(fold, base, ".weight_g_idx");
	if (!parts->g_idx)
		return QC_OK;
	status = qc_fold_need(fold, base, ".weight_g_idx", i32_type, 1, dims, &parts->g_idx, err);
	if (!status)
		status = qc_int_groups_read_order(parts->g_idx, s->base.cols, s->n_groups, &regular,
						  &s->group, err);
	if (!status && !regular)
		status = qc_part_init(&s->g_idx, fold, parts->g_idx, &qc_i32, err);
	return status;
}

static enum qc_status ct_open(struct qc_fold *fold, const char *base, struct parts *parts,
			      struct qc_int_groups *s, struct qc_err *err)
{
	const struct qc_tensor *codes = parts->codes;
	const bool packed = codes->source->type == &qc_i32;
	enum qc_status status = QC_OK;

	if (codes->n_dims != 2)
		return qc_fail(err, QC_BAD_INPUT,
			       "quantized weight '%.160s': '%.160s' has %u dimensions, two are "
			       "needed",
			       base, codes->stored_name, codes->n_dims);
	status = qc_part_check_not_empty(codes, err);
	s->bits = 8;
	s->base.cols = codes->dims[0];
	s->base.rows = codes->dims[1];
	if (!status && packed)
		status = measure_packed(fold, base, codes, &parts->shape, s, err);
	if (!status)
		status = qc_fold_need(fold, base, ".weight_scale", float_types, -1, NULL,
				      &parts->scales, err);
	if (!status)
		status = measure_scales(base, codes, parts->scales, s, err);
	if (!status)
		status = open_zeros(fold, base, parts, s, err);
	if (!status)
		status = open_order(fold, base, parts, s, err);
	if (!status)
		status = qc_part_init(&s->codes, fold, codes, codes->source->type, err);
	if (!status)
		status = qc_part_init(&s->scales, fold, parts->scales, parts->scales->source->type,
				      err);
	return status;
}

static enum qc_status drop_activations(struct qc_fold *fold, const char *base, struct qc_err *err)
{
	static const char *const suffixes[] = {".input_scale", ".input_zero_point", ".output_scale",
					       ".output_zero_point"};
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		s = qc_fold_drop(fold, base, suffixes[i], "scale of quantized activations", err);
	return s;
}

static enum qc_status fold_codes(struct qc_fold *fold, const char *base, struct parts *parts,
				 struct qc_err *err)
{
	struct qc_arena *arena = &fold->model->arena;
	struct qc_int_groups *groups = qc_arena_alloc(arena, sizeof(*groups));
	const char *text;
	const bool packed = parts->codes->source->type == &qc_i32;
	struct qc_int_survey survey;
	enum qc_status s;

	if (!groups)
		return qc_no_memory(err);
	groups->load_codes = packed ? packed_load_codes : i8_load_codes;
	groups->load_scratch = packed ? packed_load_scratch : i8_load_scratch;
	s = qc_fold_refuse(fold, base, ".pre_quant_scale", "scales its input, which is not folded",
			   err);
	if (!s)
		s = ct_open(fold, base, parts, groups, err);
	if (!s)
		s = qc_int_groups_finish(groups, &survey, err);
	if (!s)
		s = drop_activations(fold, base, err);
	if (s)
		return s;
	groups->base.row_group = 1;
	text = qc_arena_printf(arena, "compressed-tensors int%u, %llu groups a row%s", groups->bits,
			       (unsigned long long)groups->n_groups,
			       groups->g_idx.bytes ? ", act order" : "");
	return qc_int_groups_replace(
		fold, groups, base, parts->codes,
		(struct qc_tensor *[]){parts->scales, parts->zeros, parts->shape, parts->g_idx}, 4,
		text, err);
}

static enum qc_status ct_int_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
				  const char *base, bool *taken, struct qc_err *err)
{
	struct parts parts = {0};
	enum qc_status s;

	if (!strcmp(trigger->stored_name + strlen(base), ".weight_packed")) {
		*taken = true; /* the last encoding that has this name */
		s = qc_fold_need(fold, base, ".weight_packed", i32_type, -1, NULL, &parts.codes,
				 err);
		return s ? s : fold_codes(fold, base, &parts, err);
	}
	parts.codes = qc_fold_find(fold, base, ".weight");
	if (!parts.codes || parts.codes->source->type != &qc_i8)
		return QC_OK;
	*taken = true;
	return fold_codes(fold, base, &parts, err);
}

static const char *const triggers[] = {".weight_packed", ".weight_scale", NULL};
static const char *const leftovers[] = {".weight_shape", ".weight_zero_point", ".weight_g_idx",
					NULL};

const struct qc_encoding qc_encoding_ct_int = {
	.name = "compressed-tensors integer",
	.triggers = triggers,
	.fold = ct_int_fold,
	.leftovers = leftovers,
};

#include "formats/int_groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "quant/fast.h"
#include "quant/half.h"
#include "quant/types.h"

#define BLOCK	 32
#define MAX_COLS (1u << 26) /* of a weight whose columns are in some order of their own */

void qc_unpack_codes(const uint8_t *packed, unsigned bits, uint64_t n, uint8_t *codes)
{
	const unsigned mask = (1u << bits) - 1, per_byte = 8 / bits;

	if (bits == 8) {
		memcpy(codes, packed, n);
		return;
	}
	for (; bits == 4 && n >= 2; n -= 2, packed++) {
		*codes++ = *packed & 15;
		*codes++ = *packed >> 4;
	}
	for (uint64_t i = 0; i < n; i++)
		codes[i] = (uint8_t)(packed[i / per_byte] >> i % per_byte * bits & mask);
}

static const struct qc_int_groups *groups_of(const struct qc_source *source)
{
	return (const struct qc_int_groups *)source;
}

static enum qc_status bad_scale(const struct qc_int_groups *s, uint64_t row, size_t index,
				float value, struct qc_err *err)
{
	return qc_fail(err, QC_BAD_INPUT,
		       "'%.160s': the scale of row %llu, group %llu of '%.160s' is %s",
		       s->scales.name, (unsigned long long)(row + index / s->n_groups),
		       (unsigned long long)(index % s->n_groups), s->codes.name,
		       isnan(value) ? "nan" : "infinite");
}

/* n * n_groups scales, row after row. */
static enum qc_status load_scales(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				  float *scales, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_window by_row = {s->scale_width ? s->scale_width : s->n_groups, row, n, 0,
					 s->n_groups};
	const struct qc_window by_group = {s->base.rows, 0, s->n_groups, row, n};
	const struct qc_window one = {1, 0, 1, 0, 1};
	const size_t before = scratch->used, count = n * s->n_groups;
	enum qc_status status = QC_OK;
	float *tile;
	size_t bad;

	switch (s->scale_order) {
	case QC_SCALES_BY_ROW:
		status = qc_part_read_f32(&s->scales, &by_row, scales, scratch, err);
		break;
	case QC_SCALES_BY_GROUP:
		tile = qc_scratch_take(scratch, count * sizeof(*tile));
		status = qc_part_read_f32(&s->scales, &by_group, tile, scratch, err);
		if (!status)
			qc_transpose_f32(tile, s->n_groups, n, scales);
		break;
	case QC_SCALES_ONE:
		status = n ? qc_part_read_f32(&s->scales, &one, scales, scratch, err) : QC_OK;
		for (size_t i = 1; !status && i < count; i++)
			scales[i] = scales[0];
		break;
	}
	qc_scratch_give(scratch, before);
	if (status)
		return status;
	bad = qc_first_nonfinite(scales, count);
	return bad < count ? bad_scale(s, row, bad, scales[bad], err) : QC_OK;
}

static size_t load_scales_scratch(const struct qc_int_groups *s, uint64_t n)
{
	const size_t count = n * s->n_groups;

	return qc_scratch_need(count * sizeof(float)) +
	       qc_part_scratch(&s->scales, count ? count : 1);
}

/* The middle code everywhere, or what the encoding unpacks. */
static enum qc_status load_zeros(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				 int16_t *zeros, struct qc_scratch *scratch, struct qc_err *err)
{
	if (s->load_zeros)
		return s->load_zeros(s, row, n, zeros, scratch, err);
	for (size_t i = 0; i < n * s->n_groups; i++)
		zeros[i] = (int16_t)(1 << (s->bits - 1));
	return QC_OK;
}

/* The group of every column, as it was checked when the model was opened. */
static enum qc_status load_order(const struct qc_int_groups *s, uint32_t *order,
				 struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_window all = {s->base.cols, 0, 1, 0, s->base.cols};
	enum qc_status status = qc_part_read(&s->g_idx, &all, order, scratch, err);

	for (uint64_t c = 0; !status && c < s->base.cols; c++) {
		order[c] = qc_le32(&order[c]);
		if (order[c] >= s->n_groups)
			return qc_fail(err, QC_IO, "'%.160s' changed while it was read",
				       s->g_idx.name);
	}
	return status;
}

/* One row whose groups are runs of columns. */
static void decode_runs(const struct qc_int_groups *s, const uint8_t *codes, const float *scales,
			const int16_t *zeros, float *x)
{
	for (uint64_t g = 0, c = 0; g < s->n_groups; g++) {
		const uint64_t end = s->group < s->base.cols - c ? c + s->group : s->base.cols;
		const float scale = scales[g];
		const int zero = zeros[g];

		for (; c < end; c++)
			x[c] = scale * (float)(codes[c] - zero);
	}
}

static void decode_ordered(const struct qc_int_groups *s, const uint8_t *codes, const float *scales,
			   const int16_t *zeros, const uint32_t *order, float *x)
{
	for (uint64_t c = 0; c < s->base.cols; c++)
		x[c] = scales[order[c]] * (float)(codes[c] - zeros[order[c]]);
}

static enum qc_status groups_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				      float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_int_groups *s = groups_of(source);
	const size_t before = scratch->used, count = n * s->n_groups;
	uint8_t *codes = qc_scratch_take(scratch, n * source->cols);
	float *scales = qc_scratch_take(scratch, count * sizeof(*scales));
	int16_t *zeros = qc_scratch_take(scratch, count * sizeof(*zeros));
	uint32_t *order = NULL;
	enum qc_status status = s->load_codes(s, row, n, codes, scratch, err);

	if (!status)
		status = load_scales(s, row, n, scales, scratch, err);
	if (!status)
		status = load_zeros(s, row, n, zeros, scratch, err);
	if (!status && s->g_idx.bytes) {
		order = qc_scratch_take(scratch, source->cols * sizeof(*order));
		status = load_order(s, order, scratch, err);
	}
	for (uint64_t r = 0; !status && r < n; r++, dst += source->cols) {
		const uint8_t *row_codes = codes + r * source->cols;
		const size_t at = r * s->n_groups;

		if (order)
			decode_ordered(s, row_codes, scales + at, zeros + at, order, dst);
		else
			decode_runs(s, row_codes, scales + at, zeros + at, dst);
	}
	qc_scratch_give(scratch, before);
	return status;
}

/* A block of 32 codes as q4_0 or q8_0 stores them, behind its scale. */
static uint8_t *put_block(const uint8_t *codes, unsigned bits, float scale, uint8_t *out)
{
	qc_put_le16(out, qc_f32_to_f16(scale));
	out += 2;
	if (bits == 8) {
		for (int j = 0; j < BLOCK; j++)
			*out++ = codes[j] ^ 0x80; /* code - 128 */
		return out;
	}
	for (int j = 0; j < BLOCK / 2; j++)
		*out++ = (uint8_t)(codes[j] | codes[j + BLOCK / 2] << 4);
	return out;
}

static enum qc_status groups_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				      void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_int_groups *s = groups_of(source);
	const size_t before = scratch->used;
	uint8_t *codes = qc_scratch_take(scratch, n * source->cols), *out = dst;
	float *scales = qc_scratch_take(scratch, n * s->n_groups * sizeof(*scales));
	enum qc_status status = s->load_codes(s, row, n, codes, scratch, err);

	if (!status)
		status = load_scales(s, row, n, scales, scratch, err);
	for (uint64_t r = 0; !status && r < n; r++)
		for (uint64_t c = 0; c < source->cols; c += BLOCK)
			out = put_block(codes + r * source->cols + c, s->bits,
					scales[r * s->n_groups + c / s->group], out);
	qc_scratch_give(scratch, before);
	return status;
}

static size_t max(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t groups_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct qc_int_groups *s = groups_of(source);
	const size_t count = n * s->n_groups;
	const size_t order = s->g_idx.bytes ? qc_scratch_need(source->cols * sizeof(uint32_t)) : 0;

	return qc_scratch_need(n * source->cols) + qc_scratch_need(count * sizeof(float)) +
	       qc_scratch_need(count * sizeof(int16_t)) +
	       max(order, max(s->load_scratch(s, n), load_scales_scratch(s, n)));
}

static const struct qc_source_ops groups_ops = {
	.name = "integer groups",
	.read_f32 = groups_read_f32,
	.read_raw = groups_read_raw,
	.scratch_bytes = groups_scratch_bytes,
};

static const struct qc_source_ops groups_f32_ops = {
	.name = "integer groups",
	.read_f32 = groups_read_f32,
	.scratch_bytes = groups_scratch_bytes,
};

static void survey_zeros(const int16_t *zeros, size_t n, int middle, struct qc_int_survey *survey)
{
	for (size_t i = 0; i < n; i++) {
		survey->symmetric &= zeros[i] == middle;
		survey->n_zeros_at_0 += zeros[i] == 0;
	}
}

/* Rows [row, row + n): `values` has room for n * n_groups floats. */
static enum qc_status survey_rows(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				  bool scales, void *values, struct qc_scratch *scratch,
				  struct qc_int_survey *survey, struct qc_err *err)
{
	const float *scale = values;
	enum qc_status status = QC_OK;

	if (s->load_zeros) {
		status = load_zeros(s, row, n, values, scratch, err);
		if (!status)
			survey_zeros(values, n * s->n_groups, 1 << (s->bits - 1), survey);
	}
	if (status || !scales || !survey->symmetric || !survey->f16_scales)
		return status;
	status = load_scales(s, row, n, values, scratch, err);
	for (size_t i = 0; !status && i < n * s->n_groups; i++)
		survey->f16_scales &= qc_f16_to_f32(qc_f32_to_f16(scale[i])) == scale[i];
	return status;
}

/* Scales decide only where codes could be moved, and f16 ones need no look. */
static enum qc_status survey_all(const struct qc_int_groups *s, bool scales,
				 struct qc_int_survey *survey, struct qc_err *err)
{
	uint64_t step = (1u << 18) / s->n_groups, n;
	struct qc_scratch scratch = {0};
	enum qc_status status = QC_OK;
	float *values;

	*survey = (struct qc_int_survey){.symmetric = true, .f16_scales = true};
	scales = scales && s->scales.type != &qc_f16;
	if (!s->load_zeros && !scales)
		return QC_OK;
	step = step < 8 ? 8 : step & ~(uint64_t)7;
	if (step > s->base.rows)
		step = s->base.rows;
	scratch.size = max(s->load_scratch(s, step), load_scales_scratch(s, step));
	scratch.base = aligned_alloc(64, qc_scratch_need(scratch.size + 1));
	values = malloc(step * s->n_groups * sizeof(*values));
	if (!scratch.base || !values)
		status = qc_no_memory(err);
	for (uint64_t row = 0; !status && row < s->base.rows; row += n) {
		n = s->base.rows - row < step ? s->base.rows - row : step;
		status = survey_rows(s, row, n, scales, values, &scratch, survey, err);
	}
	free(scratch.base);
	free(values);
	return status;
}

enum qc_status qc_int_groups_finish(struct qc_int_groups *s, struct qc_int_survey *survey,
				    struct qc_err *err)
{
	const bool blocks = (s->bits == 4 || s->bits == 8) && s->base.cols % BLOCK == 0 &&
			    (s->n_groups == 1 || s->group % BLOCK == 0) && !s->g_idx.bytes;
	enum qc_status status = survey_all(s, blocks, survey, err);

	if (status)
		return status;
	s->base.ops = &groups_f32_ops;
	s->base.type = s->scales.type;
	if (blocks && survey->symmetric && survey->f16_scales) {
		s->base.ops = &groups_ops;
		s->base.type = s->bits == 4 ? &qc_q4_0 : &qc_q8_0;
	}
	return QC_OK;
}

enum qc_status qc_int_groups_replace(struct qc_fold *fold, const struct qc_int_groups *groups,
				     const char *base, struct qc_tensor *codes,
				     struct qc_tensor *const *others, size_t n_others,
				     const char *text, struct qc_err *err)
{
	const uint64_t dims[2] = {groups->base.cols, groups->base.rows};
	const char *name = qc_fold_name(fold, base, ".weight");

	if (!name)
		return qc_no_memory(err);
	for (size_t i = 0; i < n_others; i++)
		if (others[i])
			qc_fold_consume(fold, others[i]);
	return qc_fold_replace(fold, codes, name, 2, dims, &groups->base, text, err);
}

/* The regular order is that of column 0's run: 0 0 0 1 1 1 2 2 ... */
static enum qc_status check_order(const char *name, const uint8_t *g_idx, uint64_t cols,
				  uint64_t n_groups, bool *regular, uint64_t *group,
				  struct qc_err *err)
{
	uint64_t run = 0;

	while (run < cols && qc_le32(g_idx + run * 4) == 0)
		run++;
	*regular = run > 0;
	for (uint64_t c = 0; c < cols; c++) {
		const uint32_t g = qc_le32(g_idx + c * 4);

		if (g >= n_groups)
			return qc_fail(err, QC_BAD_INPUT,
				       "tensor '%.160s': column %llu is in group %d, the scales "
				       "have %llu",
				       name, (unsigned long long)c, (int)(int32_t)g,
				       (unsigned long long)n_groups);
		*regular = *regular && g == c / run;
	}
	if (*regular)
		*group = run;
	return QC_OK;
}

enum qc_status qc_int_groups_read_order(const struct qc_tensor *g_idx, uint64_t cols,
					uint64_t n_groups, bool *regular, uint64_t *group,
					struct qc_err *err)
{
	uint8_t *bytes;
	uint64_t none = 0;
	size_t size;
	enum qc_status s;

	s = qc_fold_load_bytes(g_idx, 4ull * MAX_COLS, &bytes, &size, err);
	if (s)
		return s;
	while (none < cols && qc_le32(bytes + none * 4) == UINT32_MAX)
		none++;
	*regular = true;
	if (none < cols)
		s = check_order(g_idx->stored_name, bytes, cols, n_groups, regular, group, err);
	free(bytes);
	return s;
}

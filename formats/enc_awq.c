/*
 * AWQ in its GEMM form: 4-bit integers in groups, packed along the output axis, eight outputs to a
 * word in an order of their own.
 *
 *   P.qweight  I32 [in, out / 8]         nibble   0 1 2 3 4 5 6 7
 *   P.qzeros   I32 [n_groups, out / 8]   output   0 2 4 6 1 3 5 7  of the word's eight
 *   P.scales   F16 [n_groups, out]
 *
 *   w[o][i] = scales[g][o] * (code[i][o] - zero[g][o])        g = i / group
 */
#include "formats/fold.h"
#include "formats/int_groups.h"
#include "quant/types.h"

#define PER_WORD 8

/* The words that rows [row, row + n) of the weight are in; `height`: inputs or groups. */
static struct qc_window awq_window(const struct qc_int_groups *s, uint64_t height, uint64_t row,
				   uint64_t n)
{
	const uint64_t first = row / PER_WORD, end = (row + n + PER_WORD - 1) / PER_WORD;

	return (struct qc_window){s->base.rows / PER_WORD, 0, height, first, end - first};
}

/* Unpack row `row` of the weight from a tile read through `w`: heights [from, to). */
static void awq_unpack(const uint8_t *tile, const struct qc_window *w, uint64_t row, uint64_t from,
		       uint64_t to, uint8_t *codes)
{
	static const uint8_t nibble_of[PER_WORD] = {0, 4, 1, 5, 2, 6, 3, 7};
	const unsigned nibble = nibble_of[row % PER_WORD], shift = nibble % 2 * 4;
	const uint8_t *byte = tile + (row / PER_WORD - w->col) * 4 + nibble / 2;

	for (uint64_t i = from; i < to; i++)
		codes[i] = byte[i * w->cols * 4] >> shift & 15;
}

/* 64 inputs at a time: a cache line of codes is written once, and the tile's lines are met again
 * soon. */
static enum qc_status awq_load_codes(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				     uint8_t *codes, struct qc_scratch *scratch, struct qc_err *err)
{
	const uint64_t cols = s->base.cols;
	const struct qc_window w = awq_window(s, cols, row, n);
	const size_t before = scratch->used;
	uint8_t *tile = qc_scratch_take(scratch, w.rows * w.cols * 4);
	enum qc_status status = qc_part_read(&s->codes, &w, tile, scratch, err);

	for (uint64_t from = 0; !status && from < cols; from += 64)
		for (uint64_t r = 0; r < n; r++)
			awq_unpack(tile, &w, row + r, from, cols - from < 64 ? cols : from + 64,
				   codes + r * cols);
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status awq_load_zeros(const struct qc_int_groups *s, uint64_t row, uint64_t n,
				     int16_t *zeros, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_window w = awq_window(s, s->n_groups, row, n);
	const size_t before = scratch->used;
	uint8_t *tile = qc_scratch_take(scratch, w.rows * w.cols * 4);
	uint8_t *codes = qc_scratch_take(scratch, s->n_groups);
	enum qc_status status = qc_part_read(&s->zeros, &w, tile, scratch, err);

	for (uint64_t r = 0; !status && r < n; r++) {
		awq_unpack(tile, &w, row + r, 0, s->n_groups, codes);
		for (uint64_t g = 0; g < s->n_groups; g++)
			zeros[r * s->n_groups + g] = codes[g];
	}
	qc_scratch_give(scratch, before);
	return status;
}

static size_t awq_load_scratch(const struct qc_int_groups *s, uint64_t n)
{
	const uint64_t words = n / PER_WORD + 2;
	const size_t codes = qc_scratch_need(s->base.cols * words * 4);
	const size_t zeros =
		qc_scratch_need(s->n_groups * words * 4) + qc_scratch_need(s->n_groups);

	return codes > zeros ? codes : zeros;
}

static const struct qc_qtype *const i32_type[] = {&qc_i32, NULL};
static const struct qc_qtype *const float_types[] = {&qc_f16, &qc_bf16, &qc_f32, NULL};

/* Eight columns of scales to one of words: AWQ's; GPTQ has as many. */
static bool is_awq(const struct qc_tensor *qweight, const struct qc_tensor *scales)
{
	return scales && qweight->n_dims == 2 && scales->n_dims == 2 &&
	       qweight->source->type == &qc_i32 && scales->dims[0] / PER_WORD == qweight->dims[0] &&
	       scales->dims[0] % PER_WORD == 0;
}

static enum qc_status awq_open(struct qc_fold *fold, const char *base,
			       const struct qc_tensor *qweight, struct qc_tensor **qzeros,
			       struct qc_tensor **scales, struct qc_int_groups *s,
			       struct qc_err *err)
{
	const uint64_t cols = qweight->dims[1], n_groups = (*scales)->dims[1];
	const uint64_t zero_dims[2] = {qweight->dims[0], n_groups};
	enum qc_status status = qc_part_check_not_empty(qweight, err);

	if (!status)
		status = qc_part_check_not_empty(*scales, err);
	if (!status)
		status = qc_fold_need(fold, base, ".scales", float_types, -1, NULL, scales, err);
	if (!status)
		status = qc_fold_need(fold, base, ".qzeros", i32_type, 2, zero_dims, qzeros, err);
	if (!status && !qc_group_size(cols, n_groups, &s->group))
		status = qc_fail(err, QC_BAD_INPUT,
				 "quantized weight '%.160s': '%.160s' has %llu groups for %llu "
				 "inputs of '%.160s'",
				 base, (*scales)->stored_name, (unsigned long long)n_groups,
				 (unsigned long long)cols, qweight->stored_name);
	if (!status)
		status = qc_part_init(&s->codes, fold, qweight, &qc_i32, err);
	if (!status)
		status = qc_part_init(&s->zeros, fold, *qzeros, &qc_i32, err);
	if (!status)
		status = qc_part_init(&s->scales, fold, *scales, (*scales)->source->type, err);
	if (status)
		return status;
	s->base.rows = (*scales)->dims[0];
	s->base.cols = cols;
	s->base.row_group = qc_transposed_row_group(cols);
	s->n_groups = n_groups;
	return QC_OK;
}

static enum qc_status awq_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
			       const char *base, bool *taken, struct qc_err *err)
{
	struct qc_tensor *qweight = qc_fold_find(fold, base, ".qweight"), *qzeros;
	struct qc_tensor *scales = qc_fold_find(fold, base, ".scales");
	const char *text;
	struct qc_int_groups *groups;
	struct qc_int_survey survey;
	enum qc_status s;

	(void)trigger;
	if (!is_awq(qweight, scales))
		return QC_OK;
	*taken = true;
	groups = qc_arena_alloc(&fold->model->arena, sizeof(*groups));
	if (!groups)
		return qc_no_memory(err);
	groups->bits = 4;
	groups->load_codes = awq_load_codes;
	groups->load_zeros = awq_load_zeros;
	groups->load_scratch = awq_load_scratch;
	groups->scale_order = QC_SCALES_BY_GROUP;
	s = awq_open(fold, base, qweight, &qzeros, &scales, groups, err);
	if (!s)
		s = qc_int_groups_finish(groups, &survey, err);
	if (s)
		return s;
	text = qc_arena_printf(&fold->model->arena, "awq int4, %llu groups a row",
			       (unsigned long long)groups->n_groups);
	return qc_int_groups_replace(fold, groups, base, qweight,
				     (struct qc_tensor *[]){qzeros, scales}, 2, text, err);
}

static const char *const triggers[] = {".qweight", NULL};
static const char *const leftovers[] = {".qzeros", NULL};

const struct qc_encoding qc_encoding_awq = {
	.name = "awq",
	.triggers = triggers,
	.fold = awq_fold,
	.leftovers = leftovers,
};

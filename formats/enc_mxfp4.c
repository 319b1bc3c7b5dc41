/*
 * MXFP4: E2M1 codes in groups of 32 along the row, each group with a shared power of two.
 *
 *   codes    [out, in/2]   e[0]|e[1]<<4  e[2]|e[3]<<4 ...      w = e2m1(code) * 2^(scale - 127)
 *   scales   [out, in/32]  E8M0
 *
 * The same bytes under four sets of names:
 *   gpt-oss              X_blocks U8 [E, out, in/32, 16] and X_scales U8 [E, out, in/32] are X
 *                        (in OpenAI's own files X.blocks and X.scales)
 *   compressed-tensors   P.weight_packed U8 and P.weight_scale U8 are P.weight
 *   ModelOpt             P.weight U8 and P.weight_scale U8
 *   DeepSeek             P.weight I8 and P.scale F8_E8M0
 *
 * Raw rows are ggml's mxfp4 blocks: the scale, then the codes with the nibbles laid out anew.
 */
#include "formats/fold.h"

#include <string.h>

#include "base/checked.h"
#include "formats/parts.h"
#include "quant/f8.h"
#include "quant/types.h"

#define GROUP 32

struct mxfp4_source {
	struct qc_source base;
	struct qc_part codes, scales;
};

/* What is read of `n` rows. */
struct mxfp4_rows {
	uint8_t *codes, *scales;
};

static enum qc_status bad_scale(const struct mxfp4_source *s, uint64_t row, size_t index,
				struct qc_err *err)
{
	const uint64_t per_row = s->base.cols / GROUP;

	return qc_fail(err, QC_BAD_INPUT,
		       "'%.160s': the scale of row %llu, columns %llu to %llu of '%.160s' is nan",
		       s->scales.name, (unsigned long long)(row + index / per_row),
		       (unsigned long long)(index % per_row * GROUP),
		       (unsigned long long)(index % per_row * GROUP + GROUP - 1), s->codes.name);
}

/* Codes and scales of the rows; the caller gives the scratch back. */
static enum qc_status load(const struct mxfp4_source *s, uint64_t row, uint64_t n,
			   struct mxfp4_rows *rows, struct qc_scratch *scratch, struct qc_err *err)
{
	const uint64_t half = s->base.cols / 2, groups = s->base.cols / GROUP;
	const struct qc_window codes = {half, row, n, 0, half};
	const struct qc_window scales = {groups, row, n, 0, groups};
	const uint8_t *nan;
	enum qc_status status;

	rows->codes = qc_scratch_take(scratch, n * half);
	rows->scales = qc_scratch_take(scratch, n * groups);
	status = qc_part_read(&s->codes, &codes, rows->codes, scratch, err);
	if (!status)
		status = qc_part_read(&s->scales, &scales, rows->scales, scratch, err);
	if (status)
		return status;
	nan = memchr(rows->scales, 255, n * groups);
	return nan ? bad_scale(s, row, (size_t)(nan - rows->scales), err) : QC_OK;
}

static enum qc_status mxfp4_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				     void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct mxfp4_source *s = (const struct mxfp4_source *)source;
	const size_t before = scratch->used, blocks = n * (source->cols / GROUP);
	struct mxfp4_rows rows;
	enum qc_status status = load(s, row, n, &rows, scratch, err);
	uint8_t *out = dst;

	for (size_t i = 0; !status && i < blocks; i++, out += 1 + GROUP / 2) {
		out[0] = rows.scales[i];
		qc_nibbles_to_halves(rows.codes + i * (GROUP / 2), out + 1, GROUP / 4);
	}
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status mxfp4_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				     float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct mxfp4_source *s = (const struct mxfp4_source *)source;
	const size_t before = scratch->used, blocks = n * (source->cols / GROUP);
	struct mxfp4_rows rows;
	enum qc_status status = load(s, row, n, &rows, scratch, err);
	float values[16];

	for (uint8_t code = 0; code < 16; code++)
		values[code] = qc_e2m1_to_f32(code);
	for (size_t i = 0; !status && i < blocks; i++) {
		const float scale = qc_e8m0_to_f32(rows.scales[i]);
		const uint8_t *codes = rows.codes + i * (GROUP / 2);

		for (int j = 0; j < GROUP / 2; j++) {
			*dst++ = values[codes[j] & 15] * scale;
			*dst++ = values[codes[j] >> 4] * scale;
		}
	}
	qc_scratch_give(scratch, before);
	return status;
}

static size_t mxfp4_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	return qc_scratch_need(n * (source->cols / 2)) +
	       qc_scratch_need(n * (source->cols / GROUP));
}

static const struct qc_source_ops mxfp4_ops = {
	.name = "mxfp4",
	.read_f32 = mxfp4_read_f32,
	.read_raw = mxfp4_read_raw,
	.scratch_bytes = mxfp4_scratch_bytes,
};

/* `codes` becomes the weight `name` of `dims`; `scales` goes. */
static enum qc_status replace(struct qc_fold *fold, struct qc_tensor *codes,
			      const struct qc_tensor *scales, const char *name, uint32_t n_dims,
			      const uint64_t *dims, const char *encoding, struct qc_err *err)
{
	struct mxfp4_source *s = qc_arena_alloc(&fold->model->arena, sizeof(*s));
	enum qc_status status;

	if (!s)
		return qc_no_memory(err);
	s->base = (struct qc_source){
		.ops = &mxfp4_ops, .rows = 1, .cols = dims[0], .type = &qc_mxfp4, .row_group = 1};
	for (uint32_t i = 1; i < n_dims; i++)
		s->base.rows *= dims[i];
	status = qc_part_init(&s->codes, fold, codes, &qc_u8, err);
	if (!status)
		status = qc_part_init(&s->scales, fold, scales, &qc_u8, err);
	if (status)
		return status;
	qc_fold_consume(fold, scales);
	return qc_fold_replace(fold, codes, name, n_dims, dims, &s->base, encoding, err);
}

static const struct qc_qtype *const scale_types[] = {&qc_u8, &qc_f8_e8m0, NULL};

/* [E, out, in/32, 16] and [E, out, in/32], or without E. */
static enum qc_status fold_blocks(struct qc_fold *fold, const char *base, const char *suffix,
				  const char *scale_suffix, bool *taken, struct qc_err *err)
{
	struct qc_tensor *blocks = qc_fold_find(fold, base, suffix), *scales;
	const bool looks_right = blocks->source->type == &qc_u8 &&
				 (blocks->n_dims == 3 || blocks->n_dims == 4) &&
				 blocks->dims[0] == GROUP / 2;
	uint64_t dims[3];
	char shape[96];
	enum qc_status s;

	if (!looks_right && !qc_fold_find(fold, base, scale_suffix))
		return QC_OK; /* some other tensor with such a name */
	*taken = true;
	qc_tensor_shape_text(blocks, shape, sizeof(shape));
	if (!looks_right)
		return qc_fail(err, QC_BAD_INPUT,
			       "quantized weight '%.160s': its tensor '%.160s' is %s %s, u8 with "
			       "rows of groups of 16 bytes is needed",
			       base, blocks->stored_name, blocks->source->type->name, shape);
	s = qc_part_check_not_empty(blocks, err);
	if (!s)
		s = qc_fold_need(fold, base, scale_suffix, scale_types, (int)blocks->n_dims - 1,
				 blocks->dims + 1, &scales, err);
	if (s)
		return s;
	memcpy(dims, blocks->dims + 1, (blocks->n_dims - 1) * sizeof(*dims));
	if (!qc_mul(dims[0], GROUP, &dims[0]))
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.160s': %s is too large",
			       blocks->stored_name, shape);
	return replace(fold, blocks, scales, base, blocks->n_dims - 1, dims, "mxfp4, gpt-oss", err);
}

/* [out, in/2] and [out, in/32], possibly with more dimensions in front. */
static enum qc_status fold_matrix(struct qc_fold *fold, const char *base, struct qc_tensor *codes,
				  const char *scale_suffix, const char *encoding,
				  struct qc_err *err)
{
	const char *name = qc_fold_name(fold, base, ".weight");
	struct qc_tensor *scales;
	uint64_t dims[4];
	char shape[96];
	enum qc_status s;

	if (!name)
		return qc_no_memory(err);
	qc_tensor_shape_text(codes, shape, sizeof(shape));
	if (codes->n_dims < 2 || codes->n_dims > 4 || codes->dims[0] % (GROUP / 2))
		return qc_fail(
			err, QC_BAD_INPUT,
			"quantized weight '%.160s': its tensor '%.160s' is %s, rows of whole "
			"groups of %d bytes are needed",
			base, codes->stored_name, shape, GROUP / 2);
	s = qc_part_check_not_empty(codes, err);
	if (s)
		return s;
	memcpy(dims, codes->dims, codes->n_dims * sizeof(*dims));
	dims[0] /= GROUP / 2;
	s = qc_fold_need(fold, base, scale_suffix, scale_types, (int)codes->n_dims, dims, &scales,
			 err);
	if (s)
		return s;
	if (!qc_mul(dims[0], GROUP, &dims[0]))
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.160s': %s is too large",
			       codes->stored_name, shape);
	return replace(fold, codes, scales, name, codes->n_dims, dims, encoding, err);
}

static enum qc_status fold_packed(struct qc_fold *fold, const char *base, bool *taken,
				  struct qc_err *err)
{
	struct qc_tensor *codes = qc_fold_find(fold, base, ".weight_packed");
	const struct qc_tensor *scales = qc_fold_find(fold, base, ".weight_scale");

	if (codes->source->type != &qc_u8 || qc_fold_find(fold, base, ".weight_global_scale") ||
	    (scales && scales->source->type == &qc_f8_e4m3))
		return QC_OK;
	*taken = true;
	return fold_matrix(fold, base, codes, ".weight_scale", "mxfp4, compressed-tensors", err);
}

static enum qc_status fold_weight(struct qc_fold *fold, const struct qc_tensor *trigger,
				  const char *base, bool deepseek, bool *taken, struct qc_err *err)
{
	struct qc_tensor *codes = qc_fold_find(fold, base, ".weight");

	if (!codes || codes->source->type != (deepseek ? &qc_i8 : &qc_u8) ||
	    trigger->source->type != (deepseek ? &qc_f8_e8m0 : &qc_u8))
		return QC_OK;
	*taken = true;
	return fold_matrix(fold, base, codes, deepseek ? ".scale" : ".weight_scale",
			   deepseek ? "mxfp4, DeepSeek" : "mxfp4, ModelOpt", err);
}

static enum qc_status mxfp4_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
				 const char *base, bool *taken, struct qc_err *err)
{
	const char *suffix = trigger->stored_name + strlen(base);

	if (!strcmp(suffix, "_blocks"))
		return fold_blocks(fold, base, "_blocks", "_scales", taken, err);
	if (!strcmp(suffix, ".blocks"))
		return fold_blocks(fold, base, ".blocks", ".scales", taken, err);
	if (!strcmp(suffix, ".weight_packed"))
		return fold_packed(fold, base, taken, err);
	return fold_weight(fold, trigger, base, !strcmp(suffix, ".scale"), taken, err);
}

static const char *const triggers[] = {
	"_blocks", ".blocks", ".weight_packed", ".weight_scale", ".scale", NULL,
};

static const char *const leftovers[] = {"_proj_scales", NULL};

const struct qc_encoding qc_encoding_mxfp4 = {
	.name = "mxfp4",
	.triggers = triggers,
	.fold = mxfp4_fold,
	.leftovers = leftovers,
};

/*
 * FP8: a weight of one-byte floats and scales for all of it, for its rows, for blocks of it, or for
 * groups of 32 along its rows.
 *
 *   P.weight       F8_E4M3 or F8_E5M2 [out, in]       w = weight * scale of its block
 *
 *   P.weight_scale_inv    [out/128, in/128] (DeepSeek, transformers; multiplies despite its name)
 *   P.weight_scale        [], [1], [out], [out, 1], [out/b, in/b], [out/b, 1, in/b, 1]
 *                         (ModelOpt, compressed-tensors, fbgemm), U8 = E8M0 [out, in/32] (mxfp8)
 *   P.scale               F8_E8M0 (DeepSeek)
 *   P.qscale_weight       [] (Mistral)
 *   X_scale, X_scale_inv, X_weight_scale     beside a bare X of three dimensions: experts
 *
 * Block sizes follow from the shapes: the power of two that gives as many blocks, the last one
 * partial. With "weight_scale_semantics": "inverse" in config.json's quantization_config
 * (GPTQModel) weight_scale_inv is a true reciprocal and divides: nothing in the tensors tells.
 */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/arch/arch.h"
#include "formats/fold.h"
#include "formats/parts.h"
#include "quant/fast.h"
#include "quant/types.h"

struct fp8_source {
	struct qc_source base;
	struct qc_part codes, scales;
	const struct qc_qtype *format;	 /* of the codes */
	uint64_t matrix_rows;		 /* `out` */
	uint64_t block_rows, block_cols; /* that share a scale */
	uint64_t scale_rows, scale_cols; /* scales of a matrix */
	bool per_matrix;		 /* every matrix (expert) has its own */
	bool divide;
};

/* The row of scales that a row of the weight has. */
static uint64_t scale_row(const struct fp8_source *s, uint64_t row)
{
	const uint64_t matrix = s->per_matrix ? row / s->matrix_rows : 0;

	return matrix * s->scale_rows + row % s->matrix_rows / s->block_rows;
}

/* NaN: 0x7f and 0xff in E4M3, more (and infinities) in E5M2. Eight E4M3 bytes at a time: adding 1
 * to the seven bits of a byte carries into the eighth for 0x7f alone. */
static size_t first_bad_code(const struct fp8_source *s, const uint8_t *codes, size_t n)
{
	size_t i = 0;

	if (s->format == &qc_f8_e4m3)
		for (; n - i >= 8; i += 8)
			if (((qc_le64(codes + i) & 0x7f7f7f7f7f7f7f7f) + 0x0101010101010101) &
			    0x8080808080808080)
				break;
	return i + s->format->check(codes + i, n - i);
}

static enum qc_status load_codes(const struct fp8_source *s, uint64_t row, uint64_t n,
				 uint8_t *codes, struct qc_scratch *scratch, struct qc_err *err)
{
	const uint64_t cols = s->base.cols;
	const struct qc_window w = {cols, row, n, 0, cols};
	enum qc_status status = qc_part_read(&s->codes, &w, codes, scratch, err);
	size_t bad;

	if (status)
		return status;
	bad = first_bad_code(s, codes, n * cols);
	if (bad < n * cols)
		return qc_fail(
			err, QC_BAD_INPUT,
			"row %llu, column %llu of '%.160s' is no finite number (byte 0x%02x)",
			(unsigned long long)(row + bad / cols), (unsigned long long)(bad % cols),
			s->codes.name, codes[bad]);
	return QC_OK;
}

/* The rows of scales from `first` on. */
static enum qc_status load_scales(const struct fp8_source *s, uint64_t first, uint64_t n,
				  float *scales, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_window w = {s->scale_cols, first, n, 0, s->scale_cols};
	enum qc_status status = qc_part_read_f32(&s->scales, &w, scales, scratch, err);
	size_t count = n * s->scale_cols, bad;

	if (status)
		return status;
	bad = qc_first_nonfinite(scales, count);
	for (size_t i = 0; s->divide && i < bad; i++)
		if (scales[i] == 0)
			bad = i;
	if (bad < count)
		return qc_fail(err, QC_BAD_INPUT,
			       "row %llu, column %llu of '%.160s', the scales of '%.160s', is %g",
			       (unsigned long long)(first + bad / s->scale_cols),
			       (unsigned long long)(bad % s->scale_cols), s->scales.name,
			       s->codes.name, (double)scales[bad]);
	return QC_OK;
}

static void decode_row(const struct fp8_source *s, const uint8_t *codes, const float *scales,
		       const float values[256], float *x)
{
	const uint64_t cols = s->base.cols;

	for (uint64_t block = 0, c = 0; c < cols; block++) {
		const uint64_t end = s->block_cols < cols - c ? c + s->block_cols : cols;
		const float scale = scales[block];

		if (s->divide)
			for (; c < end; c++)
				x[c] = values[codes[c]] / scale;
		for (; c < end; c++)
			x[c] = values[codes[c]] * scale;
	}
}

static enum qc_status fp8_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				   float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct fp8_source *s = (const struct fp8_source *)source;
	const size_t before = scratch->used;
	uint8_t *codes = qc_scratch_take(scratch, n * source->cols), all[256];
	float *scales = qc_scratch_take(scratch, n * s->scale_cols * sizeof(*scales)), values[256];
	const uint64_t first = scale_row(s, row);
	enum qc_status status = load_codes(s, row, n, codes, scratch, err);

	if (!status && n)
		status = load_scales(s, first, scale_row(s, row + n - 1) - first + 1, scales,
				     scratch, err);
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	s->format->dequantize(all, values, 256);
	for (uint64_t r = 0; !status && r < n; r++)
		decode_row(s, codes + r * source->cols,
			   scales + (scale_row(s, row + r) - first) * s->scale_cols, values,
			   dst + r * source->cols);
	qc_scratch_give(scratch, before);
	return status;
}

static size_t fp8_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct fp8_source *s = (const struct fp8_source *)source;
	const uint64_t scales = n * s->scale_cols;

	return qc_scratch_need(n * source->cols) + qc_scratch_need(scales * sizeof(float)) +
	       qc_part_scratch(&s->scales, scales);
}

static const struct qc_source_ops fp8_ops = {
	.name = "fp8",
	.read_f32 = fp8_read_f32,
	.scratch_bytes = fp8_scratch_bytes,
};

static enum qc_status bad_scales(const char *base, const struct qc_tensor *weight,
				 const struct qc_tensor *scales, struct qc_err *err)
{
	char have[96], shape[96];

	qc_tensor_shape_text(scales, have, sizeof(have));
	qc_tensor_shape_text(weight, shape, sizeof(shape));
	return qc_fail(err, QC_BAD_INPUT,
		       "quantized weight '%.160s': its tensor '%.160s' is %s %s; scales for all, "
		       "the rows or blocks of '%.160s' (%s) are needed, of type f32, bf16, f16, "
		       "f8_e8m0 or u8",
		       base, scales->stored_name, scales->source->type->name, have,
		       weight->stored_name, shape);
}

/* Which values share a scale, from the shapes; false when that cannot be. */
static bool measure_scales(struct fp8_source *s, const struct qc_tensor *weight,
			   const struct qc_tensor *scales)
{
	const uint64_t matrices = weight->n_dims == 3 ? weight->dims[2] : 1;
	const uint64_t n = qc_tensor_elems(scales), *dims = scales->dims;

	s->scale_rows = s->scale_cols = 1;
	s->per_matrix = n > 1 && weight->n_dims == 3;
	if (n > 1 && scales->n_dims == weight->n_dims) {
		s->scale_cols = dims[0];
		s->scale_rows = dims[1];
		if (s->per_matrix && dims[2] != matrices)
			return false;
	} else if (n > 1 && s->per_matrix && scales->n_dims == 2) { /* [E, out] */
		s->scale_rows = dims[0];
		if (dims[1] != matrices)
			return false;
	} else if (n > 1 && s->per_matrix) { /* [E] */
		if (scales->n_dims != 1 || dims[0] != matrices)
			return false;
	} else if (n > 1 && scales->n_dims == 4 && dims[0] == 1 && dims[2] == 1) {
		s->scale_cols = dims[1];
		s->scale_rows = dims[3];
	} else if (n > 1) { /* [out] */
		s->scale_rows = dims[0];
		if (scales->n_dims != 1 || dims[0] != weight->dims[1])
			return false;
	}
	return n && qc_group_size(weight->dims[0], s->scale_cols, &s->block_cols) &&
	       qc_group_size(weight->dims[1], s->scale_rows, &s->block_rows);
}

/* How the scales' bytes are read; NULL: they are no numbers that could be scales. */
static const struct qc_qtype *scale_type(const struct qc_tensor *scales)
{
	static const struct qc_qtype *const types[] = {&qc_f32, &qc_bf16, &qc_f16, &qc_f8_e8m0};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (scales->source->type == types[i])
			return types[i];
	return scales->source->type == &qc_u8 ? &qc_f8_e8m0 : NULL;
}

static bool is_fp8(const struct qc_tensor *tensor)
{
	return tensor->source->type == &qc_f8_e4m3 || tensor->source->type == &qc_f8_e5m2;
}

static const char *fp8_text(struct qc_fold *fold, const struct fp8_source *s)
{
	struct qc_arena *arena = &fold->model->arena;
	const char *divide = s->divide ? ", true reciprocals" : "";

	if (s->scale_cols == 1 && s->scale_rows == 1)
		return qc_arena_printf(arena, "%s, one scale%s", s->format->name, divide);
	if (s->scale_cols == 1 && s->block_rows == 1)
		return qc_arena_printf(arena, "%s, a scale per row%s", s->format->name, divide);
	return qc_arena_printf(arena, "%s, %llux%llu blocks%s", s->format->name,
			       (unsigned long long)s->block_rows, (unsigned long long)s->block_cols,
			       divide);
}

static enum qc_status make_source(struct qc_fold *fold, const char *base,
				  const struct qc_tensor *weight, const struct qc_tensor *scales,
				  bool divide, struct fp8_source **out, struct qc_err *err)
{
	struct fp8_source *s = qc_arena_alloc(&fold->model->arena, sizeof(*s));
	enum qc_status status;

	if (!s)
		return qc_no_memory(err);
	if (weight->n_dims != 2 && weight->n_dims != 3)
		return qc_fail(err, QC_BAD_INPUT,
			       "quantized weight '%.160s': '%.160s' has %u dimensions, two or "
			       "three are needed beside '%.160s'",
			       base, weight->stored_name, weight->n_dims, scales->stored_name);
	status = qc_part_check_not_empty(weight, err);
	if (status)
		return status;
	if (!scale_type(scales) || !measure_scales(s, weight, scales))
		return bad_scales(base, weight, scales, err);
	s->format = weight->source->type;
	s->divide = divide;
	s->matrix_rows = weight->dims[1];
	s->base = (struct qc_source){.ops = &fp8_ops,
				     .rows = 1,
				     .cols = weight->dims[0],
				     .type = &qc_bf16,
				     .row_group = 1};
	for (uint32_t i = 1; i < weight->n_dims; i++)
		s->base.rows *= weight->dims[i];
	status = qc_part_init(&s->codes, fold, weight, weight->source->type, err);
	if (!status)
		status = qc_part_init(&s->scales, fold, scales, scale_type(scales), err);
	*out = s;
	return status;
}

/* Scales of what is multiplied with the weight, which hang off `module`. */
static enum qc_status drop_activations(struct qc_fold *fold, const char *module, struct qc_err *err)
{
	static const char *const suffixes[] = {".input_scale",	  ".activation_scale",
					       ".input_scale_ub", ".qscale_act",
					       "_input_scale",	  "_activation_scale"};
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		s = qc_fold_drop(fold, module, suffixes[i], "scale of quantized activations", err);
	return s;
}

/* `name`: of the weight; `module`: without its ".weight". */
static enum qc_status fold_weight(struct qc_fold *fold, const char *name, const char *module,
				  const struct qc_tensor *scales, bool divide, struct qc_err *err)
{
	struct qc_tensor *weight = qc_fold_find(fold, name, "");
	struct fp8_source *source = NULL;
	uint64_t dims[3];
	enum qc_status s;

	s = qc_fold_refuse(fold, module, ".pre_quant_scale",
			   "scales its input, which is not folded", err);
	if (!s)
		s = make_source(fold, module, weight, scales, divide, &source, err);
	if (!s)
		s = drop_activations(fold, module, err);
	if (s)
		return s;
	memcpy(dims, weight->dims, weight->n_dims * sizeof(*dims));
	qc_fold_consume(fold, scales);
	return qc_fold_replace(fold, weight, name, weight->n_dims, dims, &source->base,
			       fp8_text(fold, source), err);
}

/* Names that nothing but a quantized weight has. */
static bool is_definite(const char *suffix, const char *base)
{
	const size_t n = strlen(base);

	return !strcmp(suffix, ".qscale_weight") ||
	       (n >= 7 &&
		!strcmp(base + n - 7, ".weight")); /* P.weight_scale, P.weight_scale_inv */
}

static enum qc_status fp8_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
			       const char *base, bool *taken, struct qc_err *err)
{
	const struct qc_model *model = fold->model;
	const char *suffix = trigger->stored_name + strlen(base);
	const bool pointed = *suffix == '.';
	const char *name = qc_fold_name(fold, base, pointed ? ".weight" : "");
	const struct qc_tensor *weight;
	char *module;
	bool divide;
	size_t n;

	if (!name)
		return qc_no_memory(err);
	weight = qc_fold_find(fold, name, "");
	if (!weight || weight->encoding)
		return QC_OK;
	if (!is_fp8(weight)) {
		if (!is_definite(suffix, base))
			return QC_OK;
		return qc_fail(err, QC_BAD_INPUT,
			       "quantized weight '%.160s' is %s beside '%.160s' of %s, which goes "
			       "with no encoding that is known",
			       name, weight->source->type->name, trigger->stored_name,
			       trigger->source->type->name);
	}
	*taken = true;
	divide = !strcmp(suffix, "_scale_inv") &&
		 qc_json_equals(&model->config,
				qc_config_get(model, "quantization_config.weight_scale_semantics"),
				"inverse");
	n = strlen(name);
	if (n >= 7 && !strcmp(name + n - 7, ".weight"))
		n -= 7;
	module = qc_arena_copy(&fold->model->arena, name, n);
	return module ? fold_weight(fold, name, module, trigger, divide, err) : qc_no_memory(err);
}

/* "_weight_scale" before "_scale": both end X_weight_scale. */
static const char *const triggers[] = {
	"_scale_inv", "_weight_scale", "_scale", ".scale", ".qscale_weight", NULL,
};

static const char *const leftovers[] = {
	".weight_scale",
	".weight_scale_inv",
	".qscale_weight",
	NULL,
};

const struct qc_encoding qc_encoding_fp8 = {
	.name = "fp8",
	.triggers = triggers,
	.fold = fp8_fold,
	.leftovers = leftovers,
};

/*
 * NVFP4: E2M1 codes in groups of 16 along the row, each group with an E4M3 scale, each weight with
 * an f32 factor.
 *
 *   codes    [out, in/2]   e[0]|e[1]<<4  e[2]|e[3]<<4 ...
 *   scales   [out, in/16]  E4M3, none negative
 *
 *   ModelOpt             P.weight, P.weight_scale, P.weight_scale_2, P.input_scale
 *                        w = e2m1(code) * (scale * weight_scale_2)
 *   ModelOpt, experts    X, X_weight_scale, X_weight_scale_2, X_input_scale: one tensor for all
 *                        experts, packed along axis 1: [E, in/2, out], scales [E, in/16, out]
 *   compressed-tensors   P.weight_packed, P.weight_scale, P.weight_global_scale,
 *                        P.input_global_scale: reciprocals, they divide
 *                        w = e2m1(code) * (scale / weight_global_scale)
 *
 * Raw rows are ggml's nvfp4 blocks of 64 (rows of other lengths exist as floats only), without the
 * factor, which is the tensor's `scale`:
 *
 *   byte    0               4             12            20            28            36
 *           | 4 scales      | e[0]|e[8]<<4 ... e[7]|e[15]<<4 |  the next 16 | ...   |
 */
#include "formats/fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "formats/parts.h"
#include "quant/f8.h"
#include "quant/nvfp4.h"
#include "quant/nvfp4_pack.h"
#include "quant/types.h"

#define GROUP	   16
#define MAX_EXPERT 65536

struct nvfp4_source {
	struct qc_source base;
	struct qc_part codes, scales;
	bool transposed;      /* packed along axis 1 */
	bool divide;	      /* factors divide the scales */
	bool plus_zero;	      /* ModelOpt decodes code 8 so; compressed-tensors to -0 */
	uint64_t matrix_rows; /* `out` */
	const float *factors; /* one, or one per matrix; as stored */
	uint64_t n_factors;
};

/* What is read of `n` rows. */
struct nvfp4_rows {
	uint8_t *codes, *scales;
};

/* Rows of bytes, `width` to a row of the weight. */
static enum qc_status load_part(const struct nvfp4_source *s, const struct qc_part *part,
				uint64_t width, uint64_t row, uint64_t n, uint8_t *dst,
				struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_window plain = {width, row, n, 0, width};
	const size_t before = scratch->used;
	enum qc_status status = QC_OK;
	uint8_t *tile;

	if (!s->transposed)
		return qc_part_read(part, &plain, dst, scratch, err);
	tile = qc_scratch_take(scratch, n * width);
	for (uint64_t done = 0; !status && done < n;) {
		const uint64_t matrix = (row + done) / s->matrix_rows,
			       first = (row + done) % s->matrix_rows;
		const uint64_t left = s->matrix_rows - first, m = n - done < left ? n - done : left;
		const struct qc_window w = {s->matrix_rows, matrix * width, width, first, m};

		status = qc_part_read(part, &w, tile, scratch, err);
		if (!status)
			qc_transpose_bytes(tile, width, m, dst + done * width);
		done += m;
	}
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status check_scales(const struct nvfp4_source *s, uint64_t row, uint64_t n,
				   const uint8_t *scales, struct qc_err *err)
{
	const uint64_t groups = s->base.cols / GROUP;

	for (uint64_t i = 0; i < n * groups; i++)
		if ((scales[i] & 127) == 127 || scales[i] > 128)
			return qc_fail(err, QC_BAD_INPUT,
				       "'%.160s': the scale of row %llu, columns %llu to %llu of "
				       "'%.160s' is %s (byte 0x%02x)",
				       s->scales.name, (unsigned long long)(row + i / groups),
				       (unsigned long long)(i % groups * GROUP),
				       (unsigned long long)(i % groups * GROUP + GROUP - 1),
				       s->codes.name, (scales[i] & 127) == 127 ? "nan" : "negative",
				       scales[i]);
	return QC_OK;
}

/* Codes and scales of the rows; the caller gives the scratch back. */
static enum qc_status load(const struct nvfp4_source *s, uint64_t row, uint64_t n,
			   struct nvfp4_rows *rows, struct qc_scratch *scratch, struct qc_err *err)
{
	const uint64_t half = s->base.cols / 2, groups = s->base.cols / GROUP;
	enum qc_status status;

	rows->codes = qc_scratch_take(scratch, n * half);
	rows->scales = qc_scratch_take(scratch, n * groups);
	status = load_part(s, &s->codes, half, row, n, rows->codes, scratch, err);
	if (!status)
		status = load_part(s, &s->scales, groups, row, n, rows->scales, scratch, err);
	return status ? status : check_scales(s, row, n, rows->scales, err);
}

static enum qc_status nvfp4_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				     void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct nvfp4_source *s = (const struct nvfp4_source *)source;
	const size_t before = scratch->used, groups = n * (source->cols / GROUP);
	struct nvfp4_rows rows;
	enum qc_status status = load(s, row, n, &rows, scratch, err);
	uint8_t *out = dst;

	for (size_t i = 0; !status && i < groups; i += 4, out += 36)
		qc_nvfp4_from_pairs(rows.codes + i * (GROUP / 2), rows.scales + i, out);
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status nvfp4_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				     float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct nvfp4_source *s = (const struct nvfp4_source *)source;
	const size_t before = scratch->used, groups = source->cols / GROUP;
	struct nvfp4_rows rows;
	enum qc_status status = load(s, row, n, &rows, scratch, err);
	float values[16];

	for (uint8_t code = 0; code < 16; code++)
		values[code] = qc_e2m1_to_f32(code);
	if (s->plus_zero)
		values[8] = 0;
	for (size_t i = 0; !status && i < n * groups; i++) {
		const uint64_t matrix = (row + i / groups) / s->matrix_rows;
		const float factor = s->factors[s->n_factors == 1 ? 0 : matrix];
		const float scale = qc_e4m3_to_f32(rows.scales[i]);
		const float product = s->divide ? scale / factor : scale * factor;
		const uint8_t *codes = rows.codes + i * (GROUP / 2);

		for (int j = 0; j < GROUP / 2; j++) {
			*dst++ = values[codes[j] & 15] * product;
			*dst++ = values[codes[j] >> 4] * product;
		}
	}
	qc_scratch_give(scratch, before);
	return status;
}

static size_t nvfp4_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct nvfp4_source *s = (const struct nvfp4_source *)source;
	const size_t codes = qc_scratch_need(n * (source->cols / 2));

	return codes + qc_scratch_need(n * (source->cols / GROUP)) + (s->transposed ? codes : 0);
}

static const struct qc_source_ops nvfp4_ops = {
	.name = "nvfp4",
	.read_f32 = nvfp4_read_f32,
	.read_raw = nvfp4_read_raw,
	.scratch_bytes = nvfp4_scratch_bytes,
};

static const struct qc_source_ops nvfp4_f32_ops = {
	.name = "nvfp4",
	.read_f32 = nvfp4_read_f32,
	.scratch_bytes = nvfp4_scratch_bytes,
};

/* One form in which NVFP4 is stored: ends of names after `base`, and what differs. */
struct form {
	const char *codes, *scales, *factor, *input; /* names of the parts */
	const char *weight;			     /* name of the weight */
	bool divide, transposed;
	const char *encoding;
};

static const struct form modelopt = {
	.codes = ".weight",
	.scales = ".weight_scale",
	.factor = ".weight_scale_2",
	.input = ".input_scale",
	.weight = ".weight",
	.encoding = "nvfp4, ModelOpt",
};

static const struct form modelopt_experts = {
	.codes = "",
	.scales = "_weight_scale",
	.factor = "_weight_scale_2",
	.input = "_input_scale",
	.weight = "",
	.transposed = true,
	.encoding = "nvfp4, ModelOpt, all experts",
};

static const struct form compressed_tensors = {
	.codes = ".weight_packed",
	.scales = ".weight_scale",
	.factor = ".weight_global_scale",
	.input = ".input_global_scale",
	.weight = ".weight",
	.divide = true,
	.encoding = "nvfp4, compressed-tensors",
};

/* The f32 factors in `tensor`: one, or one for each of `matrices`. In the arena. */
static enum qc_status load_factors(struct qc_fold *fold, const char *base,
				   const struct qc_tensor *tensor, uint64_t matrices, bool divide,
				   const float **out, uint64_t *n, struct qc_err *err)
{
	float *loaded = NULL, *factors;
	enum qc_status s;

	*n = qc_tensor_elems(tensor);
	if (*n != 1 && (*n != matrices || *n > MAX_EXPERT))
		return qc_fail(err, QC_BAD_INPUT,
			       "quantized weight '%.160s': its tensor '%.160s' has %llu values, 1 "
			       "or one for each of %llu matrices is needed",
			       base, tensor->stored_name, (unsigned long long)*n,
			       (unsigned long long)matrices);
	s = qc_fold_load_f32(tensor, MAX_EXPERT, &loaded, err);
	if (s)
		return qc_fail_in(err, "quantized weight '%.160s'", base);
	factors = qc_arena_array(&fold->model->arena, *n, sizeof(*factors));
	for (uint64_t i = 0; factors && i < *n; i++) {
		factors[i] = loaded[i];
		if (loaded[i] < 0 || (divide && (loaded[i] == 0 || !isfinite(1 / loaded[i])))) {
			s = qc_fail(err, QC_BAD_INPUT,
				    "quantized weight '%.160s': '%.160s' is %g, %s is needed", base,
				    tensor->stored_name, (double)loaded[i],
				    divide ? "a positive number" : "no negative number");
			break;
		}
	}
	free(loaded);
	*out = factors;
	return s ? s : factors ? QC_OK : qc_no_memory(err);
}

/* The factors that multiply, as a source of n rows; NULL when memory is out. */
static const struct qc_source *factor_source(struct qc_fold *fold, const float *factors, uint64_t n,
					     bool divide)
{
	struct qc_arena *arena = &fold->model->arena;
	float *values = qc_arena_array(arena, n, sizeof(*values));

	for (uint64_t i = 0; values && i < n; i++)
		values[i] = divide ? qc_nvfp4_multiplier(factors[i]) : factors[i];
	return values ? qc_source_values(arena, values, n, 1) : NULL;
}

static const struct qc_qtype *const u8_type[] = {&qc_u8, NULL};
static const struct qc_qtype *const e4m3_type[] = {&qc_f8_e4m3, NULL};
static const struct qc_qtype *const float_types[] = {&qc_f32, &qc_bf16, &qc_f16, NULL};

/* The codes' shape is right; `in` and `out` lie where the form has them. */
static enum qc_status check_codes(const struct form *form, const char *base,
				  const struct qc_tensor *codes, struct qc_err *err)
{
	const uint32_t packed = form->transposed;
	char shape[96];

	if (codes->n_dims >= (form->transposed ? 3 : 2) && codes->n_dims <= 3 &&
	    codes->dims[packed] % (GROUP / 2) == 0)
		return qc_part_check_not_empty(codes, err);
	qc_tensor_shape_text(codes, shape, sizeof(shape));
	return qc_fail(err, QC_BAD_INPUT,
		       "quantized weight '%.160s': its tensor '%.160s' is %s, %s of whole groups "
		       "of %d bytes are needed",
		       base, codes->stored_name, shape,
		       form->transposed ? "three dimensions and columns" : "rows", GROUP / 2);
}

/* Make the source, its parts checked. dims[]: of the weight. */
static enum qc_status make_source(struct qc_fold *fold, const struct form *form, const char *base,
				  const struct qc_tensor *codes, const struct qc_tensor *scales,
				  const struct qc_tensor *factor, uint64_t dims[3],
				  struct nvfp4_source **out, struct qc_err *err)
{
	struct nvfp4_source *s = qc_arena_alloc(&fold->model->arena, sizeof(*s));
	const uint64_t matrices = codes->n_dims == 3 ? codes->dims[2] : 1;
	enum qc_status status;
	bool raw;

	if (!s)
		return qc_no_memory(err);
	dims[0] = codes->dims[form->transposed];
	dims[1] = codes->dims[!form->transposed];
	dims[2] = matrices;
	if (!qc_mul(dims[0], 2, &dims[0]))
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.160s' is too large",
			       codes->stored_name);
	raw = dims[0] % 64 == 0;
	s->base = (struct qc_source){.ops = raw ? &nvfp4_ops : &nvfp4_f32_ops,
				     .rows = dims[1] * dims[2],
				     .cols = dims[0],
				     .type = raw ? &qc_nvfp4 : &qc_bf16,
				     .row_group = 1};
	if (form->transposed)
		s->base.row_group = qc_transposed_row_group(dims[0]);
	s->transposed = form->transposed;
	s->divide = form->divide;
	s->plus_zero = !form->divide;
	s->matrix_rows = dims[1];
	status = qc_part_init(&s->codes, fold, codes, &qc_u8, err);
	if (!status)
		status = qc_part_init(&s->scales, fold, scales, &qc_u8, err);
	if (!status)
		status = load_factors(fold, base, factor, matrices, form->divide, &s->factors,
				      &s->n_factors, err);
	*out = s;
	return status;
}

/* input_scale, when there is one. */
static enum qc_status fold_input(struct qc_fold *fold, const struct form *form, const char *base,
				 struct qc_tensor *weight, uint64_t matrices, struct qc_err *err)
{
	struct qc_tensor *input = qc_fold_find(fold, base, form->input);
	const float *factors;
	enum qc_status s;
	uint64_t n;

	if (!input)
		return QC_OK;
	s = qc_fold_need(fold, base, form->input, float_types, -1, NULL, &input, err);
	if (!s)
		s = load_factors(fold, base, input, matrices, form->divide, &factors, &n, err);
	if (s)
		return s;
	weight->input_scale = factor_source(fold, factors, n, form->divide);
	qc_fold_consume(fold, input);
	return weight->input_scale ? QC_OK : qc_no_memory(err);
}

static enum qc_status fold_form(struct qc_fold *fold, const struct form *form, const char *base,
				struct qc_err *err)
{
	const char *name = qc_fold_name(fold, base, form->weight);
	struct qc_tensor *codes, *scales, *factor;
	struct nvfp4_source *source = NULL;
	uint64_t dims[3];
	enum qc_status s;

	if (!name)
		return qc_no_memory(err);
	s = qc_fold_refuse(fold, base, ".pre_quant_scale", "scales its input, which is not folded",
			   err);
	if (!s)
		s = qc_fold_refuse(fold, base, ".svdquant_lora_a",
				   "adds to it, which is not folded", err);
	if (!s)
		s = qc_fold_need(fold, base, form->codes, u8_type, -1, NULL, &codes, err);
	if (!s)
		s = check_codes(form, base, codes, err);
	if (s)
		return s;
	memcpy(dims, codes->dims, codes->n_dims * sizeof(*dims));
	dims[form->transposed] /= GROUP / 2;
	s = qc_fold_need(fold, base, form->scales, e4m3_type, (int)codes->n_dims, dims, &scales,
			 err);
	if (!s)
		s = qc_fold_need(fold, base, form->factor, float_types, -1, NULL, &factor, err);
	if (!s)
		s = make_source(fold, form, base, codes, scales, factor, dims, &source, err);
	if (s)
		return s;
	qc_fold_consume(fold, scales);
	qc_fold_consume(fold, factor);
	s = qc_fold_replace(fold, codes, name, codes->n_dims, dims, &source->base, form->encoding,
			    err);
	if (s)
		return s;
	codes->scale = factor_source(fold, source->factors, source->n_factors, form->divide);
	return codes->scale ? fold_input(fold, form, base, codes, dims[2], err) : qc_no_memory(err);
}

static bool is_type(const struct qc_tensor *tensor, const struct qc_qtype *type)
{
	return tensor && tensor->source->type == type;
}

static enum qc_status nvfp4_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
				 const char *base, bool *taken, struct qc_err *err)
{
	const char *suffix = trigger->stored_name + strlen(base);
	const struct form *form = &modelopt;

	if (!strcmp(suffix, ".weight_packed")) {
		form = &compressed_tensors;
		*taken = is_type(trigger, &qc_u8) &&
			 (qc_fold_find(fold, base, ".weight_global_scale") ||
			  is_type(qc_fold_find(fold, base, ".weight_scale"), &qc_f8_e4m3));
	} else if (!strcmp(suffix, ".weight_scale")) {
		*taken = is_type(trigger, &qc_f8_e4m3) &&
			 is_type(qc_fold_find(fold, base, ".weight"), &qc_u8);
	} else if (!strcmp(suffix, ".weight_scale_2")) {
		*taken = true;
	} else {
		form = &modelopt_experts;
		*taken = true;
	}
	return *taken ? fold_form(fold, form, base, err) : QC_OK;
}

static const char *const triggers[] = {
	".weight_packed", ".weight_scale", ".weight_scale_2", "_weight_scale_2", NULL,
};

static const char *const leftovers[] = {".weight_global_scale", NULL};

const struct qc_encoding qc_encoding_nvfp4 = {
	.name = "nvfp4",
	.triggers = triggers,
	.fold = nvfp4_fold,
	.leftovers = leftovers,
};

/*
 * NVFP4 experts that are one tensor, as ModelOpt exports them. X, whose bf16 form is stored
 * [experts, in, out] (gpt-oss, Llama 4), becomes
 *
 *   X                 u8 [experts, in/2, out]     two E2M1 codes a byte: of rows 2i and 2i + 1
 *   X_weight_scale    E4M3 [experts, in/16, out]
 *   X_weight_scale_2  f32 []                      multiplies; one for all experts
 *   X_input_scale     f32 []                      of the activations, where their range is known:
 *                                                 the largest of all experts'
 *
 * Groups run along `in`, down the columns of what is stored, so a unit is 16 of its rows. A group
 * whose values are E2M1 numbers times a power of two, as all of an MXFP4 source are, is kept
 * exactly: the tensor scale then is a power of two as well.
 */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/pack_pieces.h"
#include "convert/step.h"
#include "formats/arch/arch.h"
#include "quant/e2m1.h"
#include "quant/e4m3.h"
#include "quant/grid_types.h"
#include "quant/nvfp4_pack.h"
#include "quant/types.h"

#define GROUP	QC_NVFP4_GROUP
#define COLUMNS 64 /* that are turned and encoded at a time */

enum { CODES, SCALES, FACTOR };

struct experts {
	float amax, scale;
	bool calibrated;    /* values are those of blocks */
	bool lattice;	    /* the source's values are E2M1 numbers times powers of two */
	uint64_t n_rounded; /* groups that could not be kept, counted by the jobs */
};

static const char *experts_unfit(struct qc_model *model, const struct qc_tensor *tensor)
{
	bool turned = tensor->row && tensor->row->op == QC_ROWS_TRANSPOSE;
	const char *why;

	if (!tensor->transposed && !turned)
		return "experts in one tensor are packed where they are stored [experts, in, out]";
	if (tensor->dims[tensor->transposed] % GROUP == 0)
		return NULL;
	why = qc_arena_printf(&model->arena, "%llu inputs are not whole groups of %d",
			      (unsigned long long)tensor->dims[tensor->transposed], GROUP);
	return why ? why : "inputs are not whole groups";
}

/* The largest of the input scales of all experts; 0 without them. */
static enum qc_status read_input(const struct qc_source *source, float *most, struct qc_err *err)
{
	uint8_t room[256] __attribute__((aligned(64)));
	enum qc_status s = QC_OK;

	*most = 0;
	for (uint64_t i = 0; source && source->cols == 1 && !s && i < source->rows; i++) {
		struct qc_scratch scratch = {.base = room, .size = sizeof(room)};
		float scale = 0;

		if (qc_source_scratch(source, 1) > sizeof(room))
			return QC_OK;
		s = qc_source_read_f32(source, i, 1, &scale, &scratch, err);
		*most = scale > *most ? scale : *most;
	}
	return s;
}

static enum qc_status add_input(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	uint8_t bytes[4];
	float scale;
	enum qc_status s = read_input(step->tensor->input_scale, &scale, err);

	if (s || !(scale > 0))
		return s;
	qc_put_le32(bytes, qc_f32_bits(scale));
	return qc_pack_add_constant(plan, step, step->name, "_input_scale", &qc_f32, 0, NULL, bytes,
				    err);
}

static enum qc_status experts_plan(struct qc_plan *plan, struct qc_step *step,
				   const struct qconv_options *options, struct qc_err *err)
{
	struct experts *state = qc_arena_alloc(&plan->arena, sizeof(*state));
	enum qc_status s = state ? QC_OK : qc_no_memory(err);

	(void)options;
	if (!s && !step->tensor->transposed)
		s = qc_step_turn(plan, step, err);
	if (!s)
		s = qc_pack_begin(plan, step, err);
	if (!s) {
		const uint64_t out = step->tensor->dims[0], in = step->tensor->dims[1];
		const uint64_t codes[3] = {out, in / 2, step->tensor->dims[2]};
		const uint64_t scales[3] = {out, in / GROUP, step->tensor->dims[2]};

		state->lattice = step->from == &qc_mxfp4;
		if (state->lattice)
			step->why =
				"nvfp4; mxfp4 codes moved, exact where E4M3 has their exponents";
		step->packed = state;
		step->unit_elems = out * GROUP;
		step->n_units = step->rows / GROUP;
		step->measured_bytes = sizeof(float);
		s = qc_pack_add(plan, step, step->name, "", &qc_u8, 3, codes, out * GROUP / 2, err);
		if (!s)
			s = qc_pack_add(plan, step, step->name, "_weight_scale", &qc_f8_e4m3, 3,
					scales, out, err);
		if (!s)
			s = qc_pack_add_constant(plan, step, step->name, "_weight_scale_2", &qc_f32,
						 0, NULL, NULL, err);
		if (!s)
			s = add_input(plan, step, err);
	}
	return s;
}

static void experts_take(const struct qc_step *step, const uint8_t *measured, uint64_t n_units)
{
	struct experts *state = step->packed;

	for (uint64_t i = 0; i < n_units; i++) {
		float amax;

		memcpy(&amax, measured + i * sizeof(amax), sizeof(amax));
		state->amax = amax > state->amax ? amax : state->amax;
	}
}

/* 2^exponent of the largest value: a group of such values has a scale of at most twice that. */
static float power_of(float x)
{
	return qc_bits_f32(qc_f32_bits(x) & 0x7f800000);
}

static enum qc_status experts_settle(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	struct experts *state = step->packed;
	uint8_t bytes[4];

	state->scale = qc_nvfp4_modelopt.tensor_scale(state->amax, QC_NVFP4_RANGE, false);
	/* 256 is the largest power of two among the group scales */
	if (state->lattice && power_of(state->amax) * 0x1p-7f > 0)
		state->scale = power_of(state->amax) * 0x1p-7f;
	else
		state->lattice = false;
	qc_put_le32(bytes, qc_f32_bits(state->scale));
	return qc_pack_set_constant(plan, &step->pieces[FACTOR], bytes, sizeof(bytes), err);
}

/* The code of x when it is one times `unit`, a power of two; -1 otherwise. */
static int exact_code(float x, float unit)
{
	float magnitude = fabsf(x) / unit;
	uint8_t code = qc_e2m1_even(magnitude);

	return qc_e2m1_to_f32(code) == magnitude ? code | qc_e2m1_sign(x) : -1;
}

/* A group's codes and scale without any rounding; false when there are none. */
static bool encode_exactly(const float *x, float tensor_scale, uint8_t *codes, uint8_t *scale)
{
	float amax = qc_largest(x, GROUP), unit = power_of(amax) / 4;

	for (int turn = 0; amax > 0 && turn < 4; turn++, unit *= 2) { /* amax is 6, 4, 3, 2 ... */
		uint8_t each[GROUP];
		int i = 0, code = 0;

		*scale = qc_f32_to_e4m3_saturated(unit / tensor_scale);
		if (qc_e4m3_to_f32(*scale) * tensor_scale != unit)
			continue;
		for (; i < GROUP && code >= 0; i++) {
			code = exact_code(x[i], unit);
			each[i] = (uint8_t)(code & 15);
		}
		if (code < 0)
			continue;
		qc_e2m1_pack(each, GROUP, codes);
		return true;
	}
	return false;
}

/* The same of values that are E2M1 numbers times a group scale, but for their last bits. */
static bool encode_block(const float *x, float tensor_scale, uint8_t *codes, uint8_t *scale)
{
	static const float levels[] = {6, 4, 3, 2, 1.5f, 1, 0.5f}; /* that the largest may have */
	const float amax = qc_largest(x, GROUP);

	for (size_t turn = 0; amax > 0 && turn < sizeof(levels) / sizeof(*levels); turn++) {
		uint8_t each[GROUP];
		float unit;
		int i = 0;

		*scale = qc_f32_to_e4m3_saturated(amax / levels[turn] / tensor_scale);
		unit = qc_e4m3_to_f32(*scale) * tensor_scale;
		for (bool good = unit > 0; good && i < GROUP; i += good) {
			const float magnitude = fabsf(x[i]);

			each[i] = qc_e2m1_even(magnitude / unit);
			good = fabsf(qc_e2m1_to_f32(each[i]) * unit - magnitude) <=
			       1e-5f * magnitude;
			each[i] |= qc_e2m1_sign(x[i]);
		}
		if (i < GROUP)
			continue;
		qc_e2m1_pack(each, GROUP, codes);
		return true;
	}
	return false;
}

/* `n` columns of 16 rows, turned: a group each. */
static void encode_columns(const struct qc_pack_range *range, const float *x, const float *weight,
			   size_t n, uint8_t *codes, uint8_t *scales)
{
	struct experts *state = range->step->packed;
	uint64_t n_rounded = 0;

	if (range->step->search)
		qc_nvfp4_search(&qc_nvfp4_modelopt, x, n * GROUP, weight, state->scale, false,
				codes, scales, range->isa);
	else
		qc_nvfp4_encode(&qc_nvfp4_modelopt, x, n * GROUP, state->scale, false, false,
				scales, codes, range->isa);
	for (size_t i = 0; state->lattice && i < n; i++) {
		uint8_t exact[GROUP / 2], scale;

		if (encode_exactly(x + i * GROUP, state->scale, exact, &scale)) {
			memcpy(codes + i * (GROUP / 2), exact, sizeof(exact));
			scales[i] = scale;
		} else {
			n_rounded += qc_largest(x + i * GROUP, GROUP) > 0;
		}
	}
	for (size_t i = 0; state->calibrated && i < n; i++) {
		uint8_t block[GROUP / 2], scale;

		if (!encode_block(x + i * GROUP, state->scale, block, &scale))
			continue;
		memcpy(codes + i * (GROUP / 2), block, sizeof(block));
		scales[i] = scale;
	}
#pragma omp atomic
	state->n_rounded += n_rounded;
}

static void encode_unit(const struct qc_pack_range *range, uint64_t unit)
{
	const size_t out = (size_t)range->step->cols;
	const float *x = range->x + unit * range->step->unit_elems;
	uint8_t *codes = range->out[CODES] + unit * out * (GROUP / 2);
	uint8_t *scales = range->out[SCALES] + unit * out;
	/* rows are inputs: 16 of them are a unit, and all matrices' follow one another */
	const float *inputs = range->step->importance
				      ? range->step->importance + (range->unit + unit) * GROUP
				      : NULL;
	float weight[COLUMNS * GROUP];

	for (size_t i = 0; inputs && i < COLUMNS * GROUP; i++)
		weight[i] = inputs[i % GROUP];
	for (size_t col = 0; col < out; col += COLUMNS) {
		size_t n = out - col < COLUMNS ? out - col : COLUMNS;
		float turned[COLUMNS * GROUP];
		uint8_t packed[COLUMNS * GROUP / 2];

		for (size_t row = 0; row < GROUP; row++)
			for (size_t i = 0; i < n; i++)
				turned[i * GROUP + row] = x[row * out + col + i];
		encode_columns(range, turned, inputs ? weight : NULL, n, packed, scales + col);
		for (size_t row = 0; row < GROUP / 2; row++)
			for (size_t i = 0; i < n; i++)
				codes[row * out + col + i] = packed[i * (GROUP / 2) + row];
	}
}

static enum qc_status experts_conclude(struct qc_plan *plan, struct qc_step *step,
				       struct qc_err *err)
{
	const struct experts *state = step->packed;

	if (!state->lattice)
		return QC_OK;
	step->exact = !state->n_rounded;
	if (step->exact)
		return QC_OK;
	step->finding = qc_arena_printf(&plan->arena,
					"%llu of %llu groups of mxfp4 codes rounded: E4M3 has not "
					"their exponents",
					(unsigned long long)state->n_rounded,
					(unsigned long long)(step->rows * step->cols / GROUP));
	return step->finding ? QC_OK : qc_no_memory(err);
}

static void experts_encode(const struct qc_pack_range *range)
{
	for (uint64_t unit = 0; unit < range->n_units; unit++)
		encode_unit(range, unit);
}

/* What is moved without rounding is not calibrated. */
static const struct qc_grid *experts_grid(const struct qc_step *step)
{
	return ((const struct experts *)step->packed)->lattice ? NULL : &qc_grid_nvfp4;
}

static float experts_factor(const struct qc_step *step, uint64_t matrix)
{
	(void)matrix;
	return ((const struct experts *)step->packed)->scale;
}

static void experts_keep(const struct qc_step *step)
{
	((struct experts *)step->packed)->calibrated = true;
}

const struct qc_packing qc_pack_nvfp4_experts = {
	.name = "nvfp4",
	.layout = "modelopt",
	.type = &qc_nvfp4,
	.unfit = experts_unfit,
	.plan = experts_plan,
	.measure = qc_pack_measure_largest,
	.take = experts_take,
	.settle = experts_settle,
	.encode = experts_encode,
	.grid = experts_grid,
	.factor = experts_factor,
	.keep = experts_keep,
	.conclude = experts_conclude,
};

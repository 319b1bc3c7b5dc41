/*
 * NVFP4 as ModelOpt and compressed-tensors export it. A weight P.weight [out, in] becomes
 *
 *   ModelOpt              P.weight         u8 [out, in/2]      two E2M1 codes a byte
 *                         P.weight_scale   E4M3 [out, in/16]
 *                         P.weight_scale_2 f32 []              multiplies
 *   compressed-tensors    P.weight_packed, P.weight_scale, P.weight_global_scale f32 [1]: divides
 *
 * Loaders fuse layers that have one input (q, k and v; gate and up) and take one tensor scale for
 * all of them: TensorRT-LLM asserts that they are equal, vLLM takes the largest and is silently
 * wrong. So these share one, made from the largest magnitude in any of them, which must be known
 * before the first group is encoded.
 *
 * A source that is NVFP4 already is moved, codes and scales, when those layers share a scale in it
 * too; input scales then come with it where every weight has one (W4A4), else none are written
 * (W4A16: activations stay 16 bits). A source that is MXFP4 is moved too: its exponents become
 * group scales, under a tensor scale that is a power of two (quant/mxfp4_to_nvfp4.h).
 */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/fused_layers.h"
#include "convert/nvfp4_config.h"
#include "convert/pack_pieces.h"
#include "convert/step.h"
#include "quant/grid_types.h"
#include "quant/mxfp4_pack.h"
#include "quant/mxfp4_to_nvfp4.h"
#include "quant/blocks.h"
#include "quant/nvfp4.h"
#include "quant/nvfp4_pack.h"
#include "quant/types.h"

#define GROUP QC_NVFP4_GROUP

/* Where the pieces stand. */
enum { CODES, SCALES, FACTOR, INPUT = QC_NVFP4_INPUT };

/* Weights that share a tensor scale. */
struct group {
	float amax;
	bool has_factor, mixed; /* all of them have been quantized with `factor` so far */
	float factor;		/* multiplies */
	bool values;		/* not all of them are MXFP4 */
	bool has_exponent;	/* where they are: not all is zero */
	uint8_t largest;	/* exponent code */
};

/* All weights of the plan. */
struct all {
	size_t n, n_input;
};

/* Of one step. */
struct nvfp4 {
	const struct qc_nvfp4_producer *producer;
	struct group *group;
	struct all *all;
	bool divide, bf16;
	bool from_mxfp4;    /* codes and exponents are moved */
	uint8_t smallest;   /* exponent code */
	uint64_t n_rounded; /* mxfp4 blocks, counted by the jobs */
	float factor;	    /* of the source: multiplies */
	float input;	    /* likewise; 0: there is none */
	float stored;	    /* what the pieces say */
};

static struct group *find_group(struct qc_plan *plan, const char *module)
{
	size_t prefix;
	const struct qc_fused_layer *fused = qc_fused_layer_find(module, &prefix);
	const char *key =
		fused ? qc_arena_printf(&plan->arena, "%.*s/%s", (int)prefix, module, fused->group)
		      : module;

	return key ? qc_plan_group(plan, key, sizeof(struct group)) : NULL;
}

/* The one value of a scale of the source; 0 when there is none, or more than one. */
static enum qc_status read_scale(const struct qc_source *source, float *value, struct qc_err *err)
{
	uint8_t room[256] __attribute__((aligned(64)));
	struct qc_scratch scratch = {.base = room, .size = sizeof(room)};

	*value = 0;
	if (!source || source->rows != 1 || source->cols != 1 ||
	    qc_source_scratch(source, 1) > sizeof(room))
		return QC_OK;
	return qc_source_read_f32(source, 0, 1, value, &scratch, err);
}

/* What the target stores for a scale that multiplies. */
static float stored_scale(float scale, bool divide)
{
	return divide ? qc_nvfp4_divisor(scale) : scale;
}

static enum qc_status add_pieces(struct qc_plan *plan, struct qc_step *step, const char *module,
				 struct qc_err *err)
{
	const struct nvfp4 *state = step->packed;
	const uint64_t codes[2] = {step->cols / 2, step->rows};
	const uint64_t scales[2] = {step->cols / GROUP, step->rows}, one = 1;
	const uint32_t factor_dims = state->divide ? 1 : 0;
	enum qc_status s;

	s = qc_pack_add(plan, step, module, state->divide ? ".weight_packed" : ".weight", &qc_u8, 2,
			codes, codes[0], err);
	if (!s)
		s = qc_pack_add(plan, step, module, ".weight_scale", &qc_f8_e4m3, 2, scales,
				scales[0], err);
	if (!s)
		s = qc_pack_add_constant(plan, step, module,
					 state->divide ? ".weight_global_scale" : ".weight_scale_2",
					 &qc_f32, factor_dims, &one, NULL, err);
	if (!s)
		s = qc_pack_add_constant(plan, step, module,
					 state->divide ? ".input_global_scale" : ".input_scale",
					 &qc_f32, factor_dims, &one, NULL, err);
	return s;
}

static enum qc_status nvfp4_plan(struct qc_plan *plan, struct qc_step *step,
				 const struct qc_nvfp4_producer *producer, struct qc_err *err)
{
	struct nvfp4 *state = qc_arena_alloc(&plan->arena, sizeof(*state));
	char *module = qc_pack_module(plan, step);
	struct group *group = module ? find_group(plan, module) : NULL;
	struct all *all = qc_plan_group(plan, "nvfp4: all", sizeof(*all));
	enum qc_status s;

	if (!state || !group || !all)
		return qc_no_memory(err);
	s = qc_pack_begin(plan, step, err);
	if (!s)
		s = read_scale(step->tensor->scale, &state->factor, err);
	if (!s)
		s = read_scale(step->tensor->input_scale, &state->input, err);
	if (s)
		return s;
	if (step->from == &qc_nvfp4 && !step->tensor->scale)
		state->factor = 1; /* a GGUF has no tensor scale where it is 1 */
	state->producer = producer;
	state->group = group;
	state->all = all;
	state->divide = producer == &qc_nvfp4_compressed_tensors;
	state->bf16 = step->from == &qc_bf16;
	step->packed = state;
	step->measured_bytes = sizeof(float);
	step->copy = step->from == &qc_nvfp4 && step->source->ops->read_raw && state->factor > 0;
	group->mixed = group->mixed || !step->copy ||
		       (group->has_factor && group->factor != state->factor);
	/* two of its blocks are one of ours */
	state->from_mxfp4 = step->from == &qc_mxfp4 && step->source->ops->read_raw &&
			    !step->tensor->scale && step->cols % qc_nvfp4.block_elems == 0;
	state->smallest = QC_MX_NO_EXPONENT;
	group->values = group->values || !state->from_mxfp4;
	group->has_factor = true;
	group->factor = state->factor;
	all->n++;
	all->n_input += state->input > 0;
	return add_pieces(plan, step, module, err);
}

static enum qc_status modelopt_plan(struct qc_plan *plan, struct qc_step *step,
				    const struct qconv_options *options, struct qc_err *err)
{
	(void)options;
	return nvfp4_plan(plan, step, &qc_nvfp4_modelopt, err);
}

static enum qc_status compressed_plan(struct qc_plan *plan, struct qc_step *step,
				      const struct qconv_options *options, struct qc_err *err)
{
	(void)options;
	return nvfp4_plan(plan, step, &qc_nvfp4_compressed_tensors, err);
}

static enum qc_status set_float(struct qc_plan *plan, struct qc_piece *piece, float value,
				struct qc_err *err)
{
	uint8_t bytes[4];

	qc_put_le32(bytes, qc_f32_bits(value));
	return qc_pack_set_constant(plan, piece, bytes, sizeof(bytes), err);
}

/* All steps are known: which are copied, and whether inputs have scales. */
static enum qc_status nvfp4_agree(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	struct nvfp4 *state = step->packed;
	enum qc_status s = QC_OK;

	if (step->copy && state->group->mixed)
		step->why = "nvfp4, encoded anew: loaders take one tensor scale for what is fused "
			    "(q, k and v; gate and up)";
	step->copy = step->copy && !state->group->mixed;
	state->from_mxfp4 = state->from_mxfp4 && !state->group->values;
	if (state->from_mxfp4) {
		step->measured_bytes = step->cols / QC_MXFP4_GROUP;
		step->why = "nvfp4; mxfp4 codes moved, exact where E4M3 has their exponents";
	}
	step->exact = step->copy;
	if (step->copy) {
		state->stored = stored_scale(state->factor, state->divide);
		s = set_float(plan, &step->pieces[FACTOR], state->stored, err);
		/* else the last bit of the tensor scale is another one */
		step->exact = !state->divide || qc_nvfp4_multiplier(state->stored) == state->factor;
	}
	if (state->all->n_input < state->all->n)
		step->n_pieces = INPUT;
	else if (!s)
		s = set_float(plan, &step->pieces[INPUT], stored_scale(state->input, state->divide),
			      err);
	return s;
}

static const char *nvfp4_unfit(struct qc_model *model, const struct qc_tensor *tensor)
{
	return qc_pack_unfit_matrix(model, tensor, GROUP);
}

static void nvfp4_measure(const struct qc_pack_range *range, uint8_t *measured)
{
	const struct nvfp4 *state = range->step->packed;

	if (state->from_mxfp4)
		qc_mxfp4_exponents(range->raw, (size_t)(range->n_elems / QC_MXFP4_GROUP), measured);
	else
		qc_pack_measure_largest(range, measured);
}

static void nvfp4_take(const struct qc_step *step, const uint8_t *measured, uint64_t n_units)
{
	struct nvfp4 *state = step->packed;
	struct group *group = state->group;

	for (uint64_t i = 0; state->from_mxfp4 && i < n_units * step->measured_bytes; i++) {
		const uint8_t exponent = measured[i];

		if (exponent == QC_MX_NO_EXPONENT)
			continue;
		group->has_exponent = true;
		group->largest = exponent > group->largest ? exponent : group->largest;
		state->smallest = exponent < state->smallest ? exponent : state->smallest;
	}
	if (state->from_mxfp4)
		return;
	for (uint64_t i = 0; i < n_units; i++) {
		float amax;

		memcpy(&amax, measured + i * sizeof(amax), sizeof(amax));
		group->amax = amax > group->amax ? amax : group->amax;
	}
}

/* The exponent code that becomes the largest group scale: so large that the tensor scale has a
 * reciprocal. Zeros have a tensor scale of 1. */
static uint8_t largest_of(const struct group *group)
{
	if (!group->has_exponent)
		return QC_MX_UNSCALED;
	return group->largest < 10 ? 10 : group->largest;
}

static enum qc_status settle_mxfp4(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	struct nvfp4 *state = step->packed;
	const uint8_t largest = largest_of(state->group);
	const float scale = qc_mxfp4_tensor_scale(largest); /* a power of two */

	step->exact =
		state->smallest == QC_MX_NO_EXPONENT || state->smallest + QC_MX_KEPT > largest;
	state->stored = state->divide ? 1 / scale : scale;
	return set_float(plan, &step->pieces[FACTOR], state->stored, err);
}

static enum qc_status nvfp4_settle(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	struct nvfp4 *state = step->packed;

	if (state->from_mxfp4)
		return settle_mxfp4(plan, step, err);
	state->stored =
		state->producer->tensor_scale(state->group->amax, QC_NVFP4_RANGE, state->bf16);
	return set_float(plan, &step->pieces[FACTOR], state->stored, err);
}

/* mxfp4 blocks, two at a time. */
static void encode_mxfp4(const struct qc_pack_range *range)
{
	struct nvfp4 *state = range->step->packed;
	const uint8_t largest = largest_of(state->group), *raw = range->raw;
	const uint64_t n_blocks = range->n_elems / qc_nvfp4.block_elems;
	uint64_t n_rounded = 0;

	for (uint64_t i = 0; i < n_blocks; i++, raw += 2 * qc_mxfp4.block_bytes) {
		uint8_t block[sizeof(struct qc_block_nvfp4)], exponents[2];

		qc_mxfp4_exponents(raw, 2, exponents);
		for (int k = 0; k < 2; k++)
			n_rounded += exponents[k] + QC_MX_KEPT <= largest;
		qc_nvfp4_from_mxfp4(raw, 1, largest, block);
		qc_nvfp4_to_pairs(block, range->out[CODES] + i * qc_nvfp4.block_elems / 2,
				  range->out[SCALES] + i * (qc_nvfp4.block_elems / GROUP));
	}
#pragma omp atomic
	state->n_rounded += n_rounded;
}

static enum qc_status nvfp4_conclude(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	const struct nvfp4 *state = step->packed;

	if (!state->n_rounded)
		return QC_OK;
	step->finding = qc_arena_printf(
		&plan->arena, "%llu of %llu mxfp4 blocks rounded: E4M3 has not their exponents",
		(unsigned long long)state->n_rounded,
		(unsigned long long)(step->rows * step->cols / QC_MXFP4_GROUP));
	return step->finding ? QC_OK : qc_no_memory(err);
}

static void nvfp4_encode(const struct qc_pack_range *range)
{
	const struct nvfp4 *state = range->step->packed;
	size_t n = (size_t)range->n_elems;

	if (state->from_mxfp4) {
		encode_mxfp4(range);
		return;
	}
	if (range->step->search)
		qc_nvfp4_search(state->producer, range->x, n, range->weight, state->stored,
				state->bf16, range->out[CODES], range->out[SCALES], range->isa);
	else
		qc_nvfp4_encode(state->producer, range->x, n, state->stored, state->bf16, false,
				range->out[SCALES], range->out[CODES], range->isa);
}

static void nvfp4_repack(const struct qc_pack_range *range)
{
	const uint64_t n_blocks = range->n_elems / qc_nvfp4.block_elems;

	for (uint64_t i = 0; i < n_blocks; i++)
		qc_nvfp4_to_pairs(range->raw + i * qc_nvfp4.block_bytes,
				  range->out[CODES] + i * qc_nvfp4.block_elems / 2,
				  range->out[SCALES] + i * (qc_nvfp4.block_elems / GROUP));
}

static const struct qc_grid *nvfp4_grid(const struct qc_step *step)
{
	return ((const struct nvfp4 *)step->packed)->from_mxfp4 ? NULL : &qc_grid_nvfp4;
}

static float nvfp4_factor(const struct qc_step *step, uint64_t matrix)
{
	const struct nvfp4 *state = step->packed;

	(void)matrix;
	return state->divide ? qc_nvfp4_multiplier(state->stored) : state->stored;
}

extern const struct qc_packing qc_pack_nvfp4_experts;

const struct qc_packing qc_pack_nvfp4_modelopt = {
	.name = "nvfp4",
	.layout = "modelopt",
	.fused_alike = true,
	.experts = &qc_pack_nvfp4_experts,
	.type = &qc_nvfp4,
	.splits_experts = true,
	.about = "4.5 bits, an E4M3 scale per 16; as ModelOpt exports it",
	.unfit = nvfp4_unfit,
	.plan = modelopt_plan,
	.agree = nvfp4_agree,
	.measure = nvfp4_measure,
	.take = nvfp4_take,
	.settle = nvfp4_settle,
	.encode = nvfp4_encode,
	.grid = nvfp4_grid,
	.factor = nvfp4_factor,
	.repack = nvfp4_repack,
	.conclude = nvfp4_conclude,
	.config = qc_nvfp4_modelopt_config,
	.extra_name = "hf_quant_config.json",
	.extra = qc_nvfp4_modelopt_extra,
};

const struct qc_packing qc_pack_nvfp4_compressed = {
	.name = "nvfp4",
	.layout = "compressed-tensors",
	.fused_alike = true,
	.type = &qc_nvfp4,
	.splits_experts = true,
	.splits_turned = true,
	.about = "the same, as compressed-tensors stores it",
	.unfit = nvfp4_unfit,
	.plan = compressed_plan,
	.agree = nvfp4_agree,
	.measure = nvfp4_measure,
	.take = nvfp4_take,
	.settle = nvfp4_settle,
	.encode = nvfp4_encode,
	.grid = nvfp4_grid,
	.factor = nvfp4_factor,
	.repack = nvfp4_repack,
	.conclude = nvfp4_conclude,
	.config = qc_nvfp4_compressed_config,
	.loaders = qc_pack_single_experts_note,
};

/*
 * NVFP4 in GGUF. blk.N.X.weight [slices, rows, cols] becomes
 *
 *   blk.N.X.weight        nvfp4, without the tensor scale
 *   blk.N.X.scale         f32 {1}, or {slices} for experts: multiplies; absent where all are 1
 *   blk.N.X.input_scale   the same of the activations, where the source knows it
 *
 * A source that is NVFP4 already is moved. Of one that is MXFP4 the codes are moved and its powers
 * of two become group scales: exact unless the exponents of a slice span more than E4M3 can hold,
 * when the smallest blocks are rounded. Anything else is encoded with ModelOpt's tensor scale,
 * largest / 2688, of each slice.
 *
 * Without a tensor scale, where llama.cpp would not multiply it, MXFP4 is moved as well, as if the
 * scale were 1; anything else then is no packing but plain rows of nvfp4.
 */
#include "convert/target_gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/encode.h"
#include "convert/importance.h"
#include "convert/pack_pieces.h"
#include "quant/grid_types.h"
#include "quant/mxfp4_to_nvfp4.h"
#include "quant/mxfp4_pack.h"
#include "quant/nvfp4.h"
#include "quant/nvfp4_pack.h"
#include "quant/types.h"

/* What is known of the slices, in the order in which take() hears of them. */
struct slices {
	uint64_t n, rows;     /* rows of one */
	uint64_t row;	      /* taken so far */
	float *amax;	      /* of values */
	uint8_t *largest;     /* of exponents; QC_MX_NO_EXPONENT in a slice of zeros */
	uint64_t counts[256]; /* of exponents, in the slice that is being taken */
	uint64_t n_blocks, n_rounded;
};

struct nvfp4 {
	struct slices slices;
	bool from_mxfp4;
	struct qc_piece *scale; /* NULL: there is none, it counts as 1 */
};

/* The n factors of a source that has them, or one for all; NULL where all are 1 or there is none.
 */
static enum qc_status read_factors(struct qc_plan *plan, const struct qc_source *source, uint64_t n,
				   float **out, struct qc_err *err)
{
	float *factors = qc_arena_array(&plan->arena, n, sizeof(*factors));
	struct qc_scratch scratch = {0};
	bool ones = true;
	enum qc_status s;

	*out = NULL;
	if (!source)
		return QC_OK;
	if (source->cols != 1 || (source->rows != 1 && source->rows != n))
		return qc_fail(err, QC_UNSUPPORTED, "%llu tensor scales, 1 or %llu are needed",
			       (unsigned long long)(source->rows * source->cols),
			       (unsigned long long)n);
	scratch.size = qc_source_scratch(source, source->rows);
	scratch.base = qc_aligned_buffer(scratch.size);
	s = factors && scratch.base
		    ? qc_source_read_f32(source, 0, source->rows, factors, &scratch, err)
		    : qc_no_memory(err);
	free(scratch.base);
	if (s)
		return s;
	for (uint64_t i = source->rows; i < n; i++)
		factors[i] = factors[0];
	for (uint64_t i = 0; i < n; i++)
		ones = ones && factors[i] == 1;
	*out = ones ? NULL : factors;
	return QC_OK;
}

static enum qc_status set_factors(struct qc_plan *plan, struct qc_piece *piece,
				  const float *factors, uint64_t n, struct qc_err *err)
{
	uint8_t *bytes = qc_arena_array(&plan->arena, n, sizeof(*factors));

	if (!bytes)
		return qc_no_memory(err);
	for (uint64_t i = 0; i < n; i++)
		qc_put_le32(bytes + i * sizeof(*factors), qc_f32_bits(factors[i]));
	piece->constant = bytes;
	return QC_OK;
}

/* A tensor of n factors beside the weight; NULL: they are set later. */
static enum qc_status add_factors(struct qc_plan *plan, struct qc_step *step, const char *suffix,
				  const float *factors, uint64_t n, struct qc_err *err)
{
	struct qc_piece *piece = &step->pieces[step->n_pieces];
	const char *module = qc_pack_module(plan, step);
	enum qc_status s = module ? qc_pack_add(plan, step, module, suffix, &qc_f32, 1, &n, 0, err)
				  : qc_no_memory(err);

	if (!s && factors)
		s = set_factors(plan, piece, factors, n, err);
	return s;
}

static enum qc_status slices_init(struct qc_plan *plan, struct nvfp4 *state,
				  const struct qc_step *step, struct qc_err *err)
{
	const struct qc_tensor *tensor = step->tensor;
	struct slices *slices = &state->slices;

	slices->n = tensor->n_dims > 2 ? tensor->dims[2] : 1;
	slices->rows = step->rows / slices->n;
	slices->amax = qc_arena_array(&plan->arena, slices->n, sizeof(*slices->amax));
	slices->largest = qc_arena_array(&plan->arena, slices->n, sizeof(*slices->largest));
	if (!slices->amax || !slices->largest)
		return qc_no_memory(err);
	memset(slices->largest, state->scale ? QC_MX_NO_EXPONENT : QC_MX_UNSCALED, slices->n);
	return QC_OK;
}

/* How the values get into blocks, and what must be measured for it. */
static void choose_way(struct qc_plan *plan, struct qc_step *step, struct nvfp4 *state)
{
	bool has_raw = step->source->ops->read_raw;

	step->copy = step->from == &qc_nvfp4 && has_raw;
	step->exact = step->copy;
	state->from_mxfp4 = step->from == &qc_mxfp4 && has_raw;
	if (step->copy)
		return;
	step->measured_bytes = state->from_mxfp4 ? step->cols / QC_MXFP4_GROUP : sizeof(float);
	if (state->from_mxfp4) {
		const char *why = qc_arena_printf(
			&plan->arena, "%s; mxfp4 codes moved, exact where E4M3 has their exponents",
			step->why);

		step->why = why ? why : step->why;
	}
}

/* What both kinds have; the pieces' first. */
static enum qc_status begin(struct qc_plan *plan, struct qc_step *step, struct nvfp4 *state,
			    struct qc_err *err)
{
	const struct qc_tensor *tensor = step->tensor;
	enum qc_status s = slices_init(plan, state, step, err);

	step->packed = state;
	if (!s)
		choose_way(plan, step, state);
	return s ? s
		 : qc_pack_add(plan, step, step->name, "", &qc_nvfp4, tensor->n_dims, tensor->dims,
			       step->cols / qc_nvfp4.block_elems * qc_nvfp4.block_bytes, err);
}

static enum qc_status scaled_plan(struct qc_plan *plan, struct qc_step *step,
				  const struct qconv_options *options, struct qc_err *err)
{
	struct nvfp4 *state = qc_arena_alloc(&plan->arena, sizeof(*state));
	const struct qc_tensor *tensor = step->tensor;
	float *scale = NULL, *input = NULL;
	enum qc_status s = state ? qc_pack_begin(plan, step, err) : qc_no_memory(err);

	(void)options;
	if (s)
		return s;
	state->scale = &step->pieces[1];
	s = begin(plan, step, state, err);
	if (!s)
		s = read_factors(plan, tensor->scale, state->slices.n, &scale, err);
	if (!s)
		s = read_factors(plan, tensor->input_scale, state->slices.n, &input, err);
	if (s)
		return qc_fail_in(err, "tensor '%s'", step->name);
	if (!step->copy || scale)
		s = add_factors(plan, step, ".scale", scale, state->slices.n, err);
	if (!s && input)
		s = add_factors(plan, step, ".input_scale", input, state->slices.n, err);
	return s;
}

static enum qc_status bare_plan(struct qc_plan *plan, struct qc_step *step,
				const struct qconv_options *options, struct qc_err *err)
{
	struct nvfp4 *state = qc_arena_alloc(&plan->arena, sizeof(*state));
	enum qc_status s = state ? qc_pack_begin(plan, step, err) : qc_no_memory(err);

	(void)options;
	return s ? s : begin(plan, step, state, err);
}

static void nvfp4_measure(const struct qc_pack_range *range, uint8_t *measured)
{
	const struct nvfp4 *state = range->step->packed;

	if (state->from_mxfp4)
		qc_mxfp4_exponents(range->raw, (size_t)(range->n_elems / QC_MXFP4_GROUP), measured);
	else
		qc_pack_measure_largest(range, measured);
}

/* All rows of a slice are known: which of its blocks cannot be kept. */
static void finish_exponents(struct slices *slices, uint64_t slice)
{
	int largest = slices->largest[slice];

	if (largest == QC_MX_NO_EXPONENT) {
		do
			largest--;
		while (largest > 0 && !slices->counts[largest]);
		slices->largest[slice] = (uint8_t)largest;
	}
	for (int e = 0; e < 255; e++) {
		slices->n_blocks += slices->counts[e];
		if (e > largest || e + QC_MX_KEPT <= largest)
			slices->n_rounded += slices->counts[e];
	}
	slices->n_blocks += slices->counts[QC_MX_NO_EXPONENT];
	memset(slices->counts, 0, sizeof(slices->counts));
}

static void nvfp4_take(const struct qc_step *step, const uint8_t *measured, uint64_t n_units)
{
	struct nvfp4 *state = step->packed;
	struct slices *slices = &state->slices;

	for (uint64_t i = 0; i < n_units; i++, measured += step->measured_bytes) {
		uint64_t slice = slices->row++ / slices->rows;
		float amax;

		if (!state->from_mxfp4) {
			memcpy(&amax, measured, sizeof(amax));
			slices->amax[slice] =
				amax > slices->amax[slice] ? amax : slices->amax[slice];
			continue;
		}
		for (size_t b = 0; b < step->measured_bytes; b++)
			slices->counts[measured[b]]++;
		if (slices->row % slices->rows == 0)
			finish_exponents(slices, slice);
	}
}

/* All exponents are known. */
static enum qc_status say_exactness(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	const struct slices *slices = &((struct nvfp4 *)step->packed)->slices;

	step->exact = !slices->n_rounded;
	if (step->exact)
		return QC_OK;
	step->finding = qc_arena_printf(&plan->arena,
					"%llu of %llu mxfp4 blocks rounded: E4M3 has not their "
					"exponents",
					(unsigned long long)slices->n_rounded,
					(unsigned long long)slices->n_blocks);
	return step->finding ? QC_OK : qc_no_memory(err);
}

static float scale_of(const struct nvfp4 *state, uint64_t slice)
{
	const struct slices *slices = &state->slices;

	if (!state->from_mxfp4)
		return qc_nvfp4_modelopt.tensor_scale(slices->amax[slice], QC_NVFP4_RANGE, false);
	return qc_mxfp4_tensor_scale(slices->largest[slice]);
}

static enum qc_status nvfp4_settle(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	struct nvfp4 *state = step->packed;
	struct slices *slices = &state->slices;

	for (uint64_t i = 0; i < slices->n; i++)
		slices->amax[i] = scale_of(state, i);
	if (state->scale && set_factors(plan, state->scale, slices->amax, slices->n, err))
		return err->status;
	return state->from_mxfp4 ? say_exactness(plan, step, err) : QC_OK;
}

/* Rows of one slice. */
static void encode_rows(const struct qc_pack_range *range, uint64_t first, uint64_t n,
			uint64_t slice)
{
	const struct qc_step *step = range->step;
	const struct nvfp4 *state = step->packed;
	const size_t cols = (size_t)step->cols, blocks = cols / qc_nvfp4.block_elems;
	const float *x = range->x + first * cols, scale = state->slices.amax[slice];
	uint8_t *dst = range->out[0] + first * step->pieces->unit_bytes;
	const size_t mx_row = cols / qc_mxfp4.block_elems * qc_mxfp4.block_bytes;

	if (state->from_mxfp4)
		qc_nvfp4_from_mxfp4(range->raw + first * mx_row, (size_t)n * blocks,
				    state->slices.largest[slice], dst);
	else if (step->search)
		qc_nvfp4_search_scaled(x, dst, (size_t)n, cols,
				       qc_importance_row(step, range->unit + first), scale,
				       range->isa);
	else
		qc_nvfp4_encode_scaled(x, dst, (size_t)n, cols, scale, range->isa);
}

static void nvfp4_encode(const struct qc_pack_range *range)
{
	const struct slices *slices = &((const struct nvfp4 *)range->step->packed)->slices;

	for (uint64_t done = 0; done < range->n_units;) {
		uint64_t slice = (range->unit + done) / slices->rows;
		uint64_t end = (slice + 1) * slices->rows - range->unit;
		uint64_t n = (end < range->n_units ? end : range->n_units) - done;

		encode_rows(range, done, n, slice);
		done += n;
	}
}

static void nvfp4_repack(const struct qc_pack_range *range)
{
	memcpy(range->out[0], range->raw,
	       range->n_elems / qc_nvfp4.block_elems * qc_nvfp4.block_bytes);
}

/* Codes that are moved from MXFP4 are the best there are. */
static const struct qc_grid *nvfp4_grid(const struct qc_step *step)
{
	return ((const struct nvfp4 *)step->packed)->from_mxfp4 ? NULL : &qc_grid_nvfp4;
}

static float nvfp4_factor(const struct qc_step *step, uint64_t matrix)
{
	return ((const struct nvfp4 *)step->packed)->slices.amax[matrix];
}

static const struct qc_packing scaled_nvfp4 = {
	.name = "nvfp4",
	.type = &qc_nvfp4,
	.plan = scaled_plan,
	.measure = nvfp4_measure,
	.take = nvfp4_take,
	.settle = nvfp4_settle,
	.encode = nvfp4_encode,
	.repack = nvfp4_repack,
	.grid = nvfp4_grid,
	.factor = nvfp4_factor,
};

static const struct qc_packing bare_nvfp4 = {
	.name = "nvfp4",
	.type = &qc_nvfp4,
	.plan = bare_plan,
	.measure = nvfp4_measure,
	.take = nvfp4_take,
	.settle = nvfp4_settle,
	.encode = nvfp4_encode,
};

const struct qc_packing *qc_gguf_packing(const struct qc_tensor *tensor,
					 const struct qc_qtype *type, bool scaled)
{
	if (type != &qc_nvfp4)
		return NULL;
	if (scaled)
		return &scaled_nvfp4;
	return tensor->source->type == &qc_mxfp4 && tensor->source->ops->read_raw ? &bare_nvfp4
										  : NULL;
}

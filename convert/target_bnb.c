/*
 * bitsandbytes 4-bit, as transformers saves it. A weight P.weight of n elements becomes
 *
 *   P.weight                u8 [(n + 1) / 2, 1]   codes, the even element in the high nibble
 *   P.weight.absmax         f32 [blocks], or u8 [blocks] under double quantization
 *   P.weight.quant_map      f32 [16]
 *   P.weight.nested_absmax, nested_quant_map      f32 [blocks / 256], f32 [256]
 *   P.weight.quant_state.bitsandbytes__nf4        u8: JSON, see formats/bnb_state.c
 *
 * Blocks run across the ends of rows, so a unit is a run of elements: one block, or the 256 blocks
 * that share a nested_absmax. Double quantization needs the mean of all absmax first: it is the
 * nested_offset, whose text decides the length of the JSON.
 *
 * A source that is of the same kind and block size already is moved: codes as they are, absmax as
 * it is stored, or decoded where double quantization is not wanted. One that is to get double
 * quantization is encoded: the reference then finds the same absmax and nf4 codes, as the largest
 * of a block has the code of -1 or 1.
 */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/pack_pieces.h"
#include "convert/python_float.h"
#include "convert/step.h"
#include "formats/bnb_parts.h"
#include "quant/bnb.h"
#include "quant/bnb_block.h"
#include "quant/types.h"

#define DEFAULT_BLOCK 64

/* Where the pieces stand. */
enum { CODES, ABSMAX, MAP, STATE, NESTED_ABSMAX = STATE, NESTED_MAP, NESTED_STATE };

/* Of one step. */
struct bnb {
	const struct qc_bnb4_kind *kind;
	uint32_t block;
	bool nested;
	uint64_t n_blocks;
	float offset;
	struct qc_bnb_mean mean;
	uint64_t n_taken;
};

/* The text of quant_state as the piece's bytes. */
static enum qc_status set_state(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	const struct bnb *bnb = step->packed;
	const struct qc_tensor *tensor = step->tensor;
	char text[512], offset[40];
	int at;

	at = snprintf(text, sizeof(text),
		      "{\"quant_type\": \"%s\", \"blocksize\": %u, \"dtype\": \"%s\", \"shape\": [",
		      bnb->kind->name, bnb->block, qc_pack_dtype(step));
	for (uint32_t d = tensor->n_dims; d > 0; d--)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%llu%s",
			       (unsigned long long)tensor->dims[d - 1], d > 1 ? ", " : "]");
	if (bnb->nested) {
		qc_python_float(offset, sizeof(offset), (double)bnb->offset);
		at += snprintf(text + at, sizeof(text) - (size_t)at,
			       ", \"nested_blocksize\": %d, \"nested_dtype\": \"float32\", "
			       "\"nested_offset\": %s",
			       QC_BNB_NESTED, offset);
	}
	at += snprintf(text + at, sizeof(text) - (size_t)at, "}");
	return qc_pack_set_constant(plan, &step->pieces[bnb->nested ? NESTED_STATE : STATE], text,
				    (uint64_t)at, err);
}

static enum qc_status add_map(struct qc_plan *plan, struct qc_step *step, const char *suffix,
			      const float *map, uint64_t n, struct qc_err *err)
{
	uint8_t bytes[256 * 4];

	for (uint64_t i = 0; i < n; i++)
		qc_put_le32(bytes + 4 * i, qc_f32_bits(map[i]));
	return qc_pack_add_constant(plan, step, step->name, suffix, &qc_f32, 1, &n, bytes, err);
}

static enum qc_status add_pieces(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	const struct bnb *bnb = step->packed;
	const bool nf4 = bnb->kind == &qc_bnb_nf4;
	const uint64_t n = step->rows * step->cols, unit = step->unit_elems;
	const uint64_t codes[2] = {1, (n + 1) / 2}, one = 1;
	enum qc_status s;

	s = qc_pack_add(plan, step, step->name, "", &qc_u8, 2, codes, unit / 2, err);
	if (!s)
		s = qc_pack_add(plan, step, step->name, ".absmax", bnb->nested ? &qc_u8 : &qc_f32,
				1, &bnb->n_blocks, bnb->nested ? QC_BNB_NESTED : sizeof(float),
				err);
	if (!s)
		s = add_map(plan, step, ".quant_map", bnb->kind->map, 16, err);
	if (!s && bnb->nested) {
		const uint64_t groups = step->n_units;

		s = qc_pack_add(plan, step, step->name, ".nested_absmax", &qc_f32, 1, &groups,
				sizeof(float), err);
		if (!s)
			s = add_map(plan, step, ".nested_quant_map", qc_bnb_dynamic_map, 256, err);
	}
	if (!s)
		s = qc_pack_add_constant(plan, step, step->name,
					 nf4 ? ".quant_state.bitsandbytes__nf4"
					     : ".quant_state.bitsandbytes__fp4",
					 &qc_u8, 1, &one, NULL, err);
	return s ? s : set_state(plan, step, err);
}

static bool same_values(const float *a, const float *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!(a[i] == b[i]))
			return false;
	return true;
}

/* What is stored has the step's kind, blocks and double quantization (or none is wanted). */
static bool can_move(const struct qc_bnb_parts *parts, const struct bnb *bnb)
{
	if (parts->block != bnb->block || !same_values(parts->map, bnb->kind->map, 16))
		return false;
	return !bnb->nested || (parts->nested_block == QC_BNB_NESTED &&
				same_values(parts->nested_map, qc_bnb_dynamic_map, 256));
}

static uint32_t wanted_block(const struct qconv_options *options)
{
	return (uint32_t)(options->blocksize ? options->blocksize : DEFAULT_BLOCK);
}

static bool bnb_stored_so(const struct qc_source *source, const struct qc_bnb4_kind *kind,
			  const struct qconv_options *options)
{
	const struct bnb bnb = {
		.kind = kind, .block = wanted_block(options), .nested = options->double_quant};
	struct qc_bnb_parts parts;

	return qc_bnb_parts_of(source, &parts) && can_move(&parts, &bnb);
}

static bool nf4_stored_so(const struct qc_source *source, const struct qconv_options *options)
{
	return bnb_stored_so(source, &qc_bnb_nf4, options);
}

static bool fp4_stored_so(const struct qc_source *source, const struct qconv_options *options)
{
	return bnb_stored_so(source, &qc_bnb_fp4, options);
}

static enum qc_status bnb_plan(struct qc_plan *plan, struct qc_step *step,
			       const struct qc_bnb4_kind *kind, const struct qconv_options *options,
			       struct qc_err *err)
{
	struct bnb *bnb = qc_arena_alloc(&plan->arena, sizeof(*bnb));
	struct qc_bnb_parts parts;
	uint64_t n = step->rows * step->cols;
	uint32_t block = wanted_block(options);
	enum qc_status s = bnb ? qc_pack_begin(plan, step, err) : qc_no_memory(err);

	if (s)
		return s;
	if (block < 32 || block > 4096 || block & (block - 1))
		return qc_fail(err, QC_USAGE,
			       "--blocksize %d: bitsandbytes has powers of two from 32 to 4096",
			       options->blocksize);
	*bnb = (struct bnb){.kind = kind,
			    .block = block,
			    .nested = options->double_quant,
			    .n_blocks = (n + block - 1) / block,
			    .offset = 0.14746697f}; /* as long as most are, until it is known */
	step->packed = bnb;
	step->unit_elems = bnb->nested ? bnb->block * (uint64_t)QC_BNB_NESTED : bnb->block;
	step->n_units = (n + step->unit_elems - 1) / step->unit_elems;
	step->measured_bytes = bnb->nested ? QC_BNB_NESTED * sizeof(float) : 0;
	if (bnb->nested)
		qc_bnb_mean_init(&bnb->mean, (size_t)bnb->n_blocks);
	step->copy = qc_bnb_parts_of(step->source, &parts) && can_move(&parts, bnb);
	if (step->copy)
		bnb->offset = parts.nested_offset;
	return add_pieces(plan, step, err);
}

static enum qc_status nf4_plan(struct qc_plan *plan, struct qc_step *step,
			       const struct qconv_options *options, struct qc_err *err)
{
	return bnb_plan(plan, step, &qc_bnb_nf4, options, err);
}

static enum qc_status fp4_plan(struct qc_plan *plan, struct qc_step *step,
			       const struct qconv_options *options, struct qc_err *err)
{
	return bnb_plan(plan, step, &qc_bnb_fp4, options, err);
}

static const char *bnb_unfit(struct qc_model *model, const struct qc_tensor *tensor)
{
	(void)model;
	return tensor->n_dims == 2 ? NULL : "bitsandbytes packs linear layers only";
}

/* The absmax of every block, as the encoder will find them: a short block of zeros has 1e-38. */
static void bnb_measure(const struct qc_pack_range *range, uint8_t *measured)
{
	const struct bnb *bnb = range->step->packed;

	for (uint64_t at = 0; at < range->n_elems; at += bnb->block, measured += sizeof(float)) {
		uint64_t left = range->n_elems - at, n = left < bnb->block ? left : bnb->block;
		float absmax = qc_largest(range->x + at, (size_t)n);

		if (n < bnb->block && !(absmax > 1e-38f))
			absmax = 1e-38f;
		memcpy(measured, &absmax, sizeof(absmax));
	}
}

static void bnb_take(const struct qc_step *step, const uint8_t *measured, uint64_t n_units)
{
	struct bnb *bnb = step->packed;
	uint64_t left = bnb->n_blocks - bnb->n_taken, n = n_units * QC_BNB_NESTED;

	n = n < left ? n : left;
	for (uint64_t at = 0; at < n; at += QC_BNB_NESTED) {
		float absmax[QC_BNB_NESTED];
		uint64_t here = n - at < QC_BNB_NESTED ? n - at : QC_BNB_NESTED;

		memcpy(absmax, measured + at * sizeof(float), (size_t)here * sizeof(float));
		qc_bnb_mean_add(&bnb->mean, absmax, (size_t)here);
	}
	bnb->n_taken += n;
}

static enum qc_status bnb_settle(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	struct bnb *bnb = step->packed;

	bnb->offset = qc_bnb_mean_value(&bnb->mean);
	return set_state(plan, step, err);
}

/* One group of up to 256 blocks under double quantization. */
static void encode_nested(const struct qc_pack_range *range, const float *x, const float *weight,
			  size_t n, uint8_t *packed, uint8_t *codes, uint8_t *nested_bytes)
{
	const struct qc_step *step = range->step;
	const struct bnb *bnb = step->packed;
	float absmax[QC_BNB_NESTED], nested = 0;
	size_t n_blocks = (n + bnb->block - 1) / bnb->block;

	qc_bnb4_encode_for(range->isa)(bnb->kind, x, n, bnb->block, packed, absmax);
	qc_bnb8_encode_python(absmax, n_blocks, bnb->offset, codes, &nested);
	if (step->search)
		qc_bnb4_search_nested_for(range->isa)(bnb->kind, x, n, bnb->block, weight,
						      bnb->offset, &nested, packed, codes);
	qc_put_le32(nested_bytes, qc_f32_bits(nested));
}

/* The same of up to 256 blocks that keep their absmax. */
static void encode_plain(const struct qc_pack_range *range, const float *x, const float *weight,
			 size_t n, uint8_t *packed, uint8_t *absmax_bytes)
{
	const struct qc_step *step = range->step;
	const struct bnb *bnb = step->packed;
	float absmax[QC_BNB_NESTED];
	size_t n_blocks = (n + bnb->block - 1) / bnb->block;

	if (step->search)
		qc_bnb4_search_for(range->isa)(bnb->kind, x, n, bnb->block, weight, packed, absmax);
	else
		qc_bnb4_encode_for(range->isa)(bnb->kind, x, n, bnb->block, packed, absmax);
	for (size_t i = 0; i < n_blocks; i++)
		qc_put_le32(absmax_bytes + 4 * i, qc_f32_bits(absmax[i]));
}

static void bnb_encode(const struct qc_pack_range *range)
{
	const struct bnb *bnb = range->step->packed;
	const uint64_t group = bnb->block * (uint64_t)QC_BNB_NESTED;

	for (uint64_t at = 0, g = 0; at < range->n_elems; at += group, g++) {
		uint64_t left = range->n_elems - at;
		size_t n = (size_t)(left < group ? left : group);
		uint8_t *packed = range->out[CODES] + at / 2;
		const float *weight = range->weight ? range->weight + at : NULL;

		if (bnb->nested)
			encode_nested(range, range->x + at, weight, n, packed,
				      range->out[ABSMAX] + g * QC_BNB_NESTED,
				      range->out[NESTED_ABSMAX] + g * sizeof(float));
		else
			encode_plain(range, range->x + at, weight, n, packed,
				     range->out[ABSMAX] + g * QC_BNB_NESTED * sizeof(float));
	}
}

/* Floats as they are stored, in place; the first is block `block`'s, the next
 * that of the block `stride` later. */
static enum qc_status store_floats(const struct qc_step *step, uint8_t *bytes, uint64_t n,
				   uint64_t block, uint64_t stride, struct qc_err *err)
{
	const struct bnb *bnb = step->packed;

	for (uint64_t i = 0; i < n; i++, bytes += sizeof(float)) {
		const uint64_t element = (block + i * stride) * bnb->block;
		float value;

		memcpy(&value, bytes, sizeof(value));
		/* no absmax that is made of it is infinite then */
		if (!isfinite(fabsf(value) + fabsf(bnb->offset)))
			return qc_fail(err, QC_BAD_INPUT,
				       "row %llu, column %llu: the scale of the block is not a "
				       "finite number",
				       (unsigned long long)(element / step->cols),
				       (unsigned long long)(element % step->cols));
		qc_put_le32(bytes, qc_f32_bits(value));
	}
	return QC_OK;
}

static enum qc_status bnb_move(const struct qc_pack_range *range, struct qc_scratch *scratch,
			       struct qc_err *err)
{
	const struct qc_step *step = range->step;
	const struct bnb *bnb = step->packed;
	const uint64_t element = range->unit * step->unit_elems, block = element / bnb->block;
	const uint64_t n_blocks = (range->n_elems + bnb->block - 1) / bnb->block;
	/* pieces begin on cache lines (qc_step_buffer()) */
	uint8_t *floats = range->out[bnb->nested ? NESTED_ABSMAX : ABSMAX];
	enum qc_status s = qc_bnb_parts_codes(step->source, element, range->n_elems,
					      range->out[CODES], scratch, err);

	if (!s && bnb->nested)
		s = qc_bnb_parts_nested(step->source, block, n_blocks, range->out[ABSMAX],
					(float *)(void *)floats, scratch, err);
	else if (!s)
		s = qc_bnb_parts_absmax(step->source, block, n_blocks, (float *)(void *)floats,
					scratch, err);
	if (s)
		return s;
	return bnb->nested ? store_floats(step, floats, range->n_units, block, QC_BNB_NESTED, err)
			   : store_floats(step, floats, n_blocks, block, 1, err);
}

/* Calibrated blocks into pieces; they are of 64 elements, and rows of whole blocks. */
static void bnb_repack(const struct qc_pack_range *range)
{
	const struct qc_step *step = range->step;
	const struct bnb *bnb = step->packed;
	const uint64_t first = range->unit * step->unit_elems;
	const struct qc_block_bnb4 *block = (const struct qc_block_bnb4 *)range->raw +
					    (first - first / step->cols * step->cols) / bnb->block;
	const uint64_t n = (range->n_elems + bnb->block - 1) / bnb->block;

	for (uint64_t i = 0; i < n; i++, block++) {
		memcpy(range->out[CODES] + i * sizeof(block->q), block->q, sizeof(block->q));
		if (!bnb->nested) {
			memcpy(range->out[ABSMAX] + i * sizeof(float), block->absmax,
			       sizeof(float));
			continue;
		}
		range->out[ABSMAX][i] = block->code;
		if (i % QC_BNB_NESTED == 0)
			memcpy(range->out[NESTED_ABSMAX] + i / QC_BNB_NESTED * sizeof(float),
			       block->nested, sizeof(float));
	}
}

static const struct qc_grid *bnb_grid(const struct qc_step *step)
{
	const struct bnb *bnb = step->packed;

	if (bnb->block != qc_nf4_block.block_elems)
		return NULL;
	return bnb->kind == &qc_bnb_nf4 ? &qc_grid_nf4 : &qc_grid_fp4;
}

static float bnb_round(const struct qc_step *step, uint8_t *blocks, size_t n_blocks)
{
	const struct bnb *bnb = step->packed;

	return bnb->nested ? qc_bnb4_nest((struct qc_block_bnb4 *)blocks, n_blocks) : 0;
}

static enum qc_status bnb_rounded(struct qc_plan *plan, struct qc_step *step, float value,
				  struct qc_err *err)
{
	struct bnb *bnb = step->packed;

	bnb->offset = value;
	return bnb->nested ? set_state(plan, step, err) : QC_OK;
}

/* The members as transformers' BitsAndBytesConfig saves them. */
static void bnb_config(FILE *out, const struct qc_plan *plan)
{
	const struct qc_step *first = qc_pack_first(plan);
	const struct bnb *bnb = first ? first->packed : NULL;

	fprintf(out,
		"{\n    \"_load_in_4bit\": true,\n    \"_load_in_8bit\": false,\n"
		"    \"bnb_4bit_compute_dtype\": \"%s\",\n"
		"    \"bnb_4bit_quant_storage\": \"uint8\",\n"
		"    \"bnb_4bit_quant_type\": \"%s\",\n"
		"    \"bnb_4bit_use_double_quant\": %s,\n"
		"    \"llm_int8_enable_fp32_cpu_offload\": false,\n"
		"    \"llm_int8_has_fp16_weight\": false,\n"
		"    \"llm_int8_skip_modules\": ",
		first ? qc_pack_dtype(first) : "bfloat16", plan->packing->name,
		bnb && bnb->nested ? "true" : "false");
	if (qc_pack_skips_more(plan))
		qc_pack_put_skipped(out, plan, 4);
	else
		fputs("null", out); /* the head alone is what transformers skips by itself */
	fputs(",\n    \"llm_int8_threshold\": 6.0,\n    \"load_in_4bit\": true,\n"
	      "    \"load_in_8bit\": false,\n    \"quant_method\": \"bitsandbytes\"\n  }",
	      out);
}

const struct qc_packing qc_pack_nf4 = {
	.name = "nf4",
	.has_blocksize = true,
	.about = "bitsandbytes NormalFloat, one scale per 64 weights",
	.unfit = bnb_unfit,
	.stored_so = nf4_stored_so,
	.plan = nf4_plan,
	.measure = bnb_measure,
	.take = bnb_take,
	.settle = bnb_settle,
	.encode = bnb_encode,
	.move = bnb_move,
	.repack = bnb_repack,
	.grid = bnb_grid,
	.round = bnb_round,
	.rounded = bnb_rounded,
	.config = bnb_config,
};

const struct qc_packing qc_pack_fp4 = {
	.name = "fp4",
	.has_blocksize = true,
	.about = "bitsandbytes 4-bit float, one scale per 64 weights",
	.unfit = bnb_unfit,
	.stored_so = fp4_stored_so,
	.plan = fp4_plan,
	.measure = bnb_measure,
	.take = bnb_take,
	.settle = bnb_settle,
	.encode = bnb_encode,
	.move = bnb_move,
	.repack = bnb_repack,
	.grid = bnb_grid,
	.round = bnb_round,
	.rounded = bnb_rounded,
	.config = bnb_config,
};

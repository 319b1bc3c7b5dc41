/*
 * bitsandbytes 4-bit (nf4, fp4), as transformers saves it. A weight W of `elems` elements is
 *
 *   W                                 codes, two a byte, the earlier element in the high nibble
 *   W.absmax                          one f32 per block, or with double quantization one u8
 *   W.quant_map                       f32[16]: what a code stands for
 *   W.quant_state.bitsandbytes__nf4   JSON text (formats/bnb_state.h); or __fp4
 *   W.nested_absmax                   f32 per group of blocks   (double quantization only)
 *   W.nested_quant_map                f32[256]                  (double quantization only)
 *
 * Blocks run over the whole matrix, across the ends of rows. The codes may be stored as any element
 * type (quant_storage): their bytes are what counts.
 *
 * Rows decode to the f32 product code * absmax, not rounded to the type that the weight had: what
 * is quantized again is one rounding better for it, and converting to that type rounds once, which
 * is exactly what bitsandbytes' dequantization returns.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "formats/bnb_parts.h"
#include "formats/bnb_state.h"
#include "formats/fold.h"
#include "quant/bnb_decode.h"
#include "quant/types.h"

#define N_CODES	       16
#define N_ABSMAX_CODES 256

static const char *const triggers[] = {
	".quant_state.bitsandbytes__nf4",
	".quant_state.bitsandbytes__fp4",
	NULL,
};
static const char *const leftovers[] = {
	".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", NULL,
};

static const struct qc_qtype *const only_f32[] = {&qc_f32, NULL};
static const struct qc_qtype *const only_u8[] = {&qc_u8, NULL};

/* A model's weights share their tables as far as they are equal. */
struct bnb4_source {
	struct qc_source base;
	const struct qc_source *codes;	       /* bytes */
	const struct qc_source *absmax;	       /* f32 values, or codes: bytes */
	const struct qc_source *nested_absmax; /* NULL: absmax is f32 */
	const float *map, *nested_map;
	float nested_offset;
	uint32_t block, nested_block;
	qc_bnb4_pairs_fn *pairs;
};

/* What a range of elements needs of each stored tensor. */
struct extent {
	uint64_t byte, n_bytes;
	uint64_t block, n_blocks;
	uint64_t group, n_groups;
};

static struct extent extent_of(const struct bnb4_source *s, uint64_t first, uint64_t n)
{
	struct extent e = {.byte = first / 2, .block = first / s->block};

	e.n_bytes = (first + n + 1) / 2 - e.byte;
	e.n_blocks = (first + n - 1) / s->block + 1 - e.block;
	if (s->nested_absmax) {
		e.group = e.block / s->nested_block;
		e.n_groups = (e.block + e.n_blocks - 1) / s->nested_block + 1 - e.group;
	}
	return e;
}

/* The range's 8-bit codes of absmax, and nested_absmax of their groups. */
static enum qc_status read_nested(const struct bnb4_source *s, const struct extent *e,
				  uint8_t *codes, float *nested, struct qc_scratch *scratch,
				  struct qc_err *err)
{
	if (qc_source_read_raw(s->absmax, e->block, e->n_blocks, codes, scratch, err))
		return err->status;
	return qc_source_read_f32(s->nested_absmax, e->group, e->n_groups, nested, scratch, err);
}

/* The range's absmax as floats. */
static enum qc_status read_absmax(const struct bnb4_source *s, const struct extent *e, float *dst,
				  struct qc_scratch *scratch, struct qc_err *err)
{
	size_t before = scratch->used;
	enum qc_status status;
	uint8_t *codes;
	float *nested;

	if (!s->nested_absmax)
		return qc_source_read_f32(s->absmax, e->block, e->n_blocks, dst, scratch, err);
	codes = qc_scratch_take(scratch, e->n_blocks);
	nested = qc_scratch_take(scratch, e->n_groups * sizeof(float));
	status = read_nested(s, e, codes, nested, scratch, err);
	if (!status)
		qc_bnb_decode_absmax(codes, nested, e->block, e->n_blocks, s->nested_block,
				     s->nested_map, s->nested_offset, dst);
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status bnb4_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				    float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct bnb4_source *s = (const struct bnb4_source *)source;
	uint64_t first = row * source->cols, count = n * source->cols;
	size_t before = scratch->used;
	enum qc_status status;
	struct extent e;
	uint8_t *codes;
	float *absmax;

	if (!count)
		return QC_OK;
	e = extent_of(s, first, count);
	codes = qc_scratch_take(scratch, e.n_bytes);
	absmax = qc_scratch_take(scratch, e.n_blocks * sizeof(float));
	status = qc_source_read_raw(s->codes, e.byte, e.n_bytes, codes, scratch, err);
	if (!status)
		status = read_absmax(s, &e, absmax, scratch, err);
	if (!status)
		qc_bnb4_decode(codes, absmax, first, count, s->block, s->map, s->pairs, dst);
	qc_scratch_give(scratch, before);
	return status;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* A range that begins inside a byte, a block and a group touches one more of each. */
static size_t bnb4_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct bnb4_source *s = (const struct bnb4_source *)source;
	uint64_t count = n * source->cols, n_bytes = count / 2 + 1, n_blocks = count / s->block + 2;
	size_t own = qc_scratch_need(n_bytes) + qc_scratch_need(n_blocks * sizeof(float));
	size_t below = larger(qc_source_scratch(s->codes, n_bytes),
			      qc_source_scratch(s->absmax, n_blocks));

	if (s->nested_absmax) {
		uint64_t n_groups = n_blocks / s->nested_block + 2;

		own += qc_scratch_need(n_blocks) + qc_scratch_need(n_groups * sizeof(float));
		below = larger(below, qc_source_scratch(s->nested_absmax, n_groups));
	}
	return own + below;
}

static const struct qc_source_ops bnb4_ops = {
	.name = "bitsandbytes 4-bit",
	.read_f32 = bnb4_read_f32,
	.scratch_bytes = bnb4_scratch_bytes,
};

static const struct bnb4_source *whole(const struct qc_source *source)
{
	return source->ops == &bnb4_ops ? (const struct bnb4_source *)source : NULL;
}

bool qc_bnb_parts_of(const struct qc_source *source, struct qc_bnb_parts *parts)
{
	const struct bnb4_source *s = whole(source);

	if (!s)
		return false;
	*parts = (struct qc_bnb_parts){.block = s->block,
				       .map = s->map,
				       .nested_block = s->nested_absmax ? s->nested_block : 0,
				       .nested_map = s->nested_map,
				       .nested_offset = s->nested_offset};
	return true;
}

enum qc_status qc_bnb_parts_codes(const struct qc_source *source, uint64_t first, uint64_t n,
				  uint8_t *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return qc_source_read_raw(whole(source)->codes, first / 2, (n + 1) / 2, dst, scratch, err);
}

/* Blocks [first, first + n). */
static struct extent extent_of_blocks(const struct bnb4_source *s, uint64_t first, uint64_t n)
{
	return extent_of(s, first * s->block, n * s->block);
}

enum qc_status qc_bnb_parts_absmax(const struct qc_source *source, uint64_t first, uint64_t n,
				   float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct bnb4_source *s = whole(source);
	const struct extent e = extent_of_blocks(s, first, n);

	return read_absmax(s, &e, dst, scratch, err);
}

enum qc_status qc_bnb_parts_nested(const struct qc_source *source, uint64_t first, uint64_t n,
				   uint8_t *codes, float *nested, struct qc_scratch *scratch,
				   struct qc_err *err)
{
	const struct bnb4_source *s = whole(source);
	const struct extent e = extent_of_blocks(s, first, n);

	return read_nested(s, &e, codes, nested, scratch, err);
}

static enum qc_status load_state(const struct qc_tensor *trigger, struct qc_bnb_state *state,
				 struct qc_err *err)
{
	uint8_t *text;
	size_t size;
	enum qc_status s;

	if (trigger->source->type != &qc_u8 || trigger->n_dims != 1)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.160s' is %s of rank %u, JSON text in u8 of rank 1 is "
			       "needed",
			       trigger->stored_name, trigger->source->type->name, trigger->n_dims);
	s = qc_fold_load_bytes(trigger, QC_BNB_STATE_MAX_BYTES, &text, &size, err);
	if (s)
		return s;
	s = qc_bnb_state_parse(state, (const char *)text, size, err);
	free(text);
	if (s)
		return qc_fail_in(err, "tensor '%.160s'", trigger->stored_name);
	if (strcmp(trigger->stored_name + strlen(trigger->stored_name) - 3, state->quant_type))
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.160s': its text says quant_type '%s'",
			       trigger->stored_name, state->quant_type);
	return QC_OK;
}

/* The bytes of the codes, whatever the type they are stored as. */
static enum qc_status take_codes(struct qc_fold *fold, const char *base,
				 const struct qc_bnb_state *state, struct qc_tensor **weight,
				 struct bnb4_source *s, struct qc_err *err)
{
	const struct qc_qtype *type;
	uint64_t bytes = 0;
	enum qc_status status = qc_fold_need(fold, base, "", NULL, -1, NULL, weight, err);
	const struct qc_tensor *w = *weight;
	char shape[96];

	if (status)
		return status;
	if (w->encoding)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.160s' has more than one quant_state",
			       base);
	type = w->source->type;
	qc_tensor_shape_text(w, shape, sizeof(shape));
	if (type->block_elems != 1 ||
	    !qc_align_up(state->elems / 2 + state->elems % 2, type->block_bytes, &bytes) ||
	    bytes != qc_tensor_stored_bytes(w))
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.160s' is %s %s; its quant_state says %llu elements, "
			       "whose codes are %llu bytes",
			       base, type->name, shape, (unsigned long long)state->elems,
			       (unsigned long long)bytes);
	if (w->n_dims == 2 && w->dims[1] == 1 && w->dims[0] > 1)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.160s' is %s: codes in a row mean a transposed weight, "
			       "which cannot be read; save the model again with transformers",
			       base, shape);
	s->codes = qc_source_bytes(&fold->model->arena, w->source);
	return s->codes ? QC_OK : qc_no_memory(err);
}

/* A table of n floats from a companion, in the arena unless it equals `last`, which stays. */
static enum qc_status take_map(struct qc_fold *fold, const char *base, const char *suffix,
			       uint64_t n, const float *last, const float **map, struct qc_err *err)
{
	struct qc_tensor *companion;
	enum qc_status s = qc_fold_need(fold, base, suffix, only_f32, 1, &n, &companion, err);
	float *values, *copy;

	if (!s)
		s = qc_fold_load_f32(companion, n, &values, err);
	if (s)
		return s;
	qc_fold_consume(fold, companion);
	/* bitsandbytes' kernels have fp4's code 8 as -0.0, its stored table as 0 */
	if (n == N_CODES && values[0] == 0 && values[8] == 0)
		values[8] = -0.0f;
	if (last && !memcmp(last, values, n * sizeof(float))) {
		*map = last;
	} else {
		*map = copy = qc_arena_array(&fold->model->arena, n, sizeof(float));
		if (copy)
			memcpy(copy, values, n * sizeof(float));
		else
			s = qc_no_memory(err);
	}
	free(values);
	return s;
}

static enum qc_status take_nested(struct qc_fold *fold, const char *base,
				  const struct qc_bnb_state *state, uint64_t n_blocks,
				  const struct bnb4_source *last, struct bnb4_source *s,
				  struct qc_err *err)
{
	static const char *const nested[] = {".nested_absmax", ".nested_quant_map"};
	uint64_t n_groups;
	struct qc_tensor *companion;
	enum qc_status status;

	if (!state->nested) {
		for (size_t i = 0; i < 2; i++)
			if (qc_fold_find(fold, base, nested[i]))
				return qc_fail(
					err, QC_BAD_INPUT,
					"tensor '%.160s%s' is there, but the quant_state has "
					"no nested_blocksize",
					base, nested[i]);
		return QC_OK;
	}
	n_groups = (n_blocks - 1) / state->nested_blocksize + 1;
	status = qc_fold_need(fold, base, nested[0], only_f32, 1, &n_groups, &companion, err);
	if (status)
		return status;
	qc_fold_consume(fold, companion);
	s->nested_absmax = companion->source;
	s->nested_block = state->nested_blocksize;
	s->nested_offset = state->nested_offset;
	return take_map(fold, base, nested[1], N_ABSMAX_CODES, last ? last->nested_map : NULL,
			&s->nested_map, err);
}

/* All companions but the codes. */
static enum qc_status take_companions(struct qc_fold *fold, const char *base,
				      const struct qc_bnb_state *state, struct bnb4_source *s,
				      struct qc_err *err)
{
	const struct bnb4_source *last = fold->last && fold->last->ops == &bnb4_ops
						 ? (const struct bnb4_source *)fold->last
						 : NULL;
	uint64_t n_blocks = (state->elems - 1) / state->blocksize + 1;
	struct qc_tensor *absmax;
	enum qc_status status;

	status = qc_fold_need(fold, base, ".absmax", state->nested ? only_u8 : only_f32, 1,
			      &n_blocks, &absmax, err);
	if (status)
		return status;
	qc_fold_consume(fold, absmax);
	s->absmax = absmax->source;
	s->block = state->blocksize;
	status = take_map(fold, base, ".quant_map", N_CODES, last ? last->map : NULL, &s->map, err);
	return status ? status : take_nested(fold, base, state, n_blocks, last, s, err);
}

static const char *encoding_text(const struct qc_bnb_state *state)
{
	if (!strcmp(state->quant_type, "nf4"))
		return state->nested ? "bitsandbytes nf4, double quant" : "bitsandbytes nf4";
	return state->nested ? "bitsandbytes fp4, double quant" : "bitsandbytes fp4";
}

static enum qc_status bnb4_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
				const char *base, bool *taken, struct qc_err *err)
{
	struct bnb4_source *s = qc_arena_alloc(&fold->model->arena, sizeof(*s));
	struct qc_bnb_state state;
	struct qc_tensor *weight;
	enum qc_status status;
	enum qc_isa isa;

	*taken = true;
	if (!s)
		return qc_no_memory(err);
	status = load_state(trigger, &state, err);
	if (!status)
		status = take_codes(fold, base, &state, &weight, s, err);
	if (!status)
		status = take_companions(fold, base, &state, s, err);
	if (status)
		return status;
	qc_fold_consume(fold, trigger);
	(void)qc_isa_detect(&isa); /* a wrong QCONV_CPU is refused by who plans */
	s->pairs = qc_bnb4_pairs_for(isa);
	s->base = (struct qc_source){.ops = &bnb4_ops, .type = state.dtype, .row_group = 1};
	qc_source_shape(state.dtype, state.n_dims, state.dims, &s->base.rows, &s->base.cols);
	return qc_fold_replace(fold, weight, base, state.n_dims, state.dims, &s->base,
			       encoding_text(&state), err);
}

const struct qc_encoding qc_encoding_bnb4 = {
	.name = "bitsandbytes 4-bit",
	.triggers = triggers,
	.fold = bnb4_fold,
	.leftovers = leftovers,
};

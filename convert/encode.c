#include "convert/encode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/importance.h"
#include "convert/step.h"

void *qc_aligned_buffer(size_t size)
{
	return size > SIZE_MAX - 64 ? NULL : aligned_alloc(64, (size + 64) & ~(size_t)63);
}

enum qc_status qc_encoder_init(struct qc_encoder *encoder, const struct qc_plan *plan,
			       struct qc_err *err)
{
	memset(encoder, 0, sizeof(*encoder));
	encoder->isa = plan->isa;
	encoder->f32 = qc_aligned_buffer(plan->range_f32_bytes);
	encoder->scratch.base = qc_aligned_buffer(plan->range_scratch_bytes);
	encoder->scratch.size = plan->range_scratch_bytes;
	if (plan->n_weighted)
		encoder->weight = qc_aligned_buffer(plan->range_f32_bytes);
	if (encoder->f32 && encoder->scratch.base && (encoder->weight || !plan->n_weighted))
		return QC_OK;
	qc_encoder_clear(encoder);
	return qc_no_memory(err);
}

void qc_encoder_clear(struct qc_encoder *encoder)
{
	free(encoder->f32);
	free(encoder->weight);
	free(encoder->scratch.base);
	memset(encoder, 0, sizeof(*encoder));
}

/* Where in a tensor a chunk of rows lies, and how to say so. */
struct place {
	const struct qc_step *step;
	uint64_t row; /* first of the chunk */
	uint64_t n;
};

static size_t chunk_elems(const struct place *at)
{
	return (size_t)(at->n * at->step->cols);
}

static size_t chunk_blocks(const struct place *at, const struct qc_qtype *type)
{
	return chunk_elems(at) / type->block_elems;
}

/* "tensor 'blk.0.attn_q.weight' (stored as '...')" in front of what went wrong. */
static enum qc_status in_tensor(const struct qc_step *step, struct qc_err *err)
{
	if (strcmp(step->name, step->tensor->stored_name))
		return qc_fail_in(err, "tensor '%s' (in the source '%s')", step->name,
				  step->tensor->stored_name);
	return qc_fail_in(err, "tensor '%s'", step->name);
}

static const char *value_text(float value, char *buf, size_t size)
{
	if (isnan(value))
		return "nan";
	if (isinf(value))
		return value < 0 ? "-inf" : "inf";
	snprintf(buf, size, "%.9g", (double)value);
	return buf;
}

/* `what` follows the value: "nan", " does not fit f16". */
static enum qc_status fail_value(const struct place *at, size_t index, float value,
				 enum qc_status status, const char *what, struct qc_err *err)
{
	const struct qc_step *step = at->step;
	uint64_t element = at->row * step->cols + index;
	uint64_t cols = step->tensor->n_dims ? step->tensor->dims[0] : 1;
	char number[32];
	const char *text = value_text(value, number, sizeof(number));

	if (step->tensor->n_dims < 2)
		(void)!qc_fail(err, status, "element %llu is %s%s", (unsigned long long)element,
			       text, what);
	else
		(void)!qc_fail(err, status, "row %llu, column %llu is %s%s",
			       (unsigned long long)(element / cols),
			       (unsigned long long)(element % cols), text, what);
	return in_tensor(step, err);
}

static enum qc_status fail_block(const struct place *at, size_t block, const struct qc_qtype *type,
				 enum qc_status status, const char *what, struct qc_err *err)
{
	const struct qc_step *step = at->step;
	uint64_t element = at->row * step->cols + (uint64_t)block * type->block_elems;
	uint64_t cols = step->tensor->n_dims ? step->tensor->dims[0] : 1;

	(void)!qc_fail(err, status, "row %llu, columns %llu to %llu: %s",
		       (unsigned long long)(element / cols), (unsigned long long)(element % cols),
		       (unsigned long long)(element % cols + type->block_elems - 1), what);
	return in_tensor(step, err);
}

static bool is_quantized_checked(const struct qc_qtype *type)
{
	return !type->is_float && type->check;
}

/* The chunk's values in encoder->f32. `raw` points to its source blocks, NULL when the source has
 * none. */
static enum qc_status load_chunk(struct qc_encoder *encoder, const struct place *at,
				 const uint8_t *raw, struct qc_err *err)
{
	const struct qc_source *source = at->step->source;

	if (raw) {
		const size_t n = chunk_blocks(at, source->type);
		/* scales that are no numbers may decode to some */
		size_t bad = is_quantized_checked(source->type) ? source->type->check(raw, n) : n;

		if (bad < n)
			return fail_block(at, bad, source->type, QC_BAD_INPUT,
					  "the block's scale is not a finite number", err);
		qc_fast_dequantize(source->type, encoder->isa)(raw, encoder->f32, n);
		return QC_OK;
	}
	if (qc_source_read_f32(source, at->row, at->n, encoder->f32, &encoder->scratch, err))
		return in_tensor(at->step, err);
	return QC_OK;
}

/* What the type could not hold, seen in the encoded bytes. encoder->f32 is overwritten. */
static enum qc_status check_encoded(struct qc_encoder *encoder, const struct place *at,
				    const uint8_t *raw, const uint8_t *out, struct qc_err *err)
{
	const struct qc_qtype *to = at->step->to;
	size_t n = chunk_blocks(at, to), bad = n;

	if (to->is_float) { /* faster than check(), and nearly always finds nothing */
		qc_fast_dequantize(to, encoder->isa)(out, encoder->f32, n);
		bad = qc_first_nonfinite(encoder->f32, n);
	} else if (to->check) {
		bad = to->check(out, n);
	}
	if (bad == n)
		return QC_OK;
	if (!to->is_float)
		return fail_block(
			at, bad, to, QC_UNSUPPORTED,
			"values so large that the block's scale overflows; keep this tensor in "
			"bf16 or f32 (--tensor 'NAME=f32')",
			err);
	if (load_chunk(encoder, at, raw, err))
		return err->status;
	return fail_value(at, bad, encoder->f32[bad], QC_UNSUPPORTED,
			  ", more than the type holds; keep this tensor in bf16 or f32 (--tensor "
			  "'NAME=f32')",
			  err);
}

/* The order in which chunks are counted makes no difference. */
static void move_onto_lattice(const struct place *at, const float *x, uint8_t *out)
{
	const struct qc_step *step = at->step;
	struct qc_lattice_count found =
		qc_lattice_move(step->to, step->from, x, chunk_blocks(at, step->to), out);

#pragma omp atomic
	step->lattice->rounded += found.rounded;
#pragma omp atomic
	step->lattice->equal += found.equal;
}

/* Rows of one matrix at a time, which have the same weights. */
static void quantize_weighted(const struct place *at, qc_quantize_fn *quantize, const float *x,
			      uint8_t *out)
{
	const struct qc_step *step = at->step;
	const size_t cols = (size_t)step->cols;

	for (uint64_t done = 0, n; done < at->n; done += n) {
		const uint64_t row = at->row + done;

		n = step->importance_rows - row % step->importance_rows;
		n = n < at->n - done ? n : at->n - done;
		quantize(x + done * cols, out + done * step->pieces->unit_bytes, (size_t)n, cols,
			 qc_importance_row(step, row));
	}
}

static enum qc_status encode_chunk(struct qc_encoder *encoder, const struct place *at,
				   const uint8_t *raw, uint8_t *out, struct qc_err *err)
{
	const struct qc_step *step = at->step;
	const struct qc_qtype *to = step->to;
	qc_quantize_fn *quantize = step->search ? qc_fast_search(to, encoder->isa)
						: qc_fast_quantize(to, encoder->isa);
	size_t n = chunk_elems(at), bad;

	if (load_chunk(encoder, at, raw, err))
		return err->status;
	bad = qc_first_nonfinite(encoder->f32, n);
	if (bad < n)
		return fail_value(at, bad, encoder->f32[bad], QC_BAD_INPUT, "", err);
	/* without blocks rows mean nothing: one long row is faster than many rows of one column */
	if (step->importance)
		quantize_weighted(at, quantize, encoder->f32, out);
	else if (to->block_elems == 1)
		quantize(encoder->f32, out, 1, n, NULL);
	else
		quantize(encoder->f32, out, (size_t)at->n, (size_t)step->cols, NULL);
	if (step->lattice)
		move_onto_lattice(at, encoder->f32, out);
	return check_encoded(encoder, at, raw, out, err);
}

/* Blocks that are moved as they are must still be such as a model may have. */
static enum qc_status check_copied(struct qc_encoder *encoder, const struct place *at,
				   const uint8_t *raw, struct qc_err *err)
{
	const struct qc_qtype *type = at->step->from;
	size_t n = chunk_blocks(at, type), bad;

	if (!type->check)
		return QC_OK;
	if (type->is_float) {
		qc_fast_dequantize(type, encoder->isa)(raw, encoder->f32, n);
		if (qc_first_nonfinite(encoder->f32, n) == n)
			return QC_OK;
	}
	bad = type->check(raw, n); /* decides: a large f64 is no f32, but is finite */
	if (bad == n)
		return QC_OK;
	if (type->is_float)
		return fail_value(at, bad, encoder->f32[bad], QC_BAD_INPUT, "", err);
	return fail_block(at, bad, type, QC_BAD_INPUT, "the block's scale is not a finite number",
			  err);
}

/* Rows into the only piece. */
static enum qc_status encode_rows(struct qc_encoder *encoder, const struct qc_step *step,
				  uint64_t row, uint64_t n, uint8_t *raw, uint8_t *out,
				  struct qc_err *err)
{
	const struct qc_source *source = step->source;
	size_t raw_row = step->cols / step->from->block_elems * step->from->block_bytes;
	size_t out_row = (size_t)step->pieces->unit_bytes;
	enum qc_status s = QC_OK;

	raw = step->copy ? out : step->raw ? raw : NULL;
	if (raw && qc_source_read_raw(source, row, n, raw, &encoder->scratch, err))
		return in_tensor(step, err);
	for (uint64_t done = 0; !s && done < n; done += step->chunk_units) {
		uint64_t left = n - done;
		struct place at = {step, row + done,
				   left < step->chunk_units ? left : step->chunk_units};
		const uint8_t *blocks = raw ? raw + done * raw_row : NULL;

		s = step->copy ? check_copied(encoder, &at, blocks, err)
			       : encode_chunk(encoder, &at, blocks, out + done * out_row, err);
	}
	return s;
}

/* Blocks into pieces, nothing decoded; without raw rows the packing reads the source. */
static enum qc_status repack(struct qc_encoder *encoder, const struct qc_step *step, uint64_t unit,
			     uint64_t n, uint8_t *raw, uint8_t *out, struct qc_err *err)
{
	struct qc_row_range rows = qc_step_rows(step, unit, n);
	struct place at = {step, rows.first, rows.n};
	uint8_t *pieces[QC_MAX_PIECES];
	struct qc_pack_range range = {.step = step,
				      .raw = step->raw ? raw : NULL,
				      .unit = unit,
				      .n_units = n,
				      .n_elems = qc_step_elems(step, unit, n),
				      .isa = encoder->isa,
				      .out = pieces};

	for (size_t i = 0; i < step->n_pieces; i++)
		pieces[i] = out + qc_step_buffer(step, i, n);
	if (!step->raw)
		return step->packing->move(&range, &encoder->scratch, err) ? in_tensor(step, err)
									   : QC_OK;
	if (qc_source_read_raw(step->source, rows.first, rows.n, raw, &encoder->scratch, err))
		return in_tensor(step, err);
	if (check_copied(encoder, &at, raw, err))
		return err->status;
	step->packing->repack(&range);
	return QC_OK;
}

/* What the chunks of a range have in common. */
struct packed_range {
	const struct qc_step *step;
	uint64_t unit, n;
	struct qc_row_range rows;
	const uint8_t *raw; /* of all rows; NULL */
	uint8_t *out;
	bool measure;
};

/* The chunk's values, all finite, in encoder->f32; chunk->x: the first of them. */
static enum qc_status load_packed_chunk(struct qc_encoder *encoder,
					const struct packed_range *range,
					struct qc_pack_range *chunk, struct qc_err *err)
{
	const struct qc_step *step = range->step;
	struct qc_row_range rows = qc_step_rows(step, chunk->unit, chunk->n_units);
	struct place at = {step, rows.first, rows.n};
	size_t raw_row = step->cols / step->from->block_elems * step->from->block_bytes, bad;

	if (range->raw)
		chunk->raw = range->raw + (rows.first - range->rows.first) * raw_row;
	if (load_chunk(encoder, &at, chunk->raw, err))
		return err->status;
	bad = qc_first_nonfinite(encoder->f32, chunk_elems(&at));
	if (bad < chunk_elems(&at))
		return fail_value(&at, bad, encoder->f32[bad], QC_BAD_INPUT, "", err);
	chunk->x = encoder->f32 + (chunk->unit * step->unit_elems - rows.first * step->cols);
	chunk->weight = qc_importance_run(step, chunk->unit * step->unit_elems, chunk->n_elems,
					  encoder->weight);
	return QC_OK;
}

static enum qc_status pack_chunk(struct qc_encoder *encoder, const struct packed_range *range,
				 uint64_t done, uint64_t n, struct qc_err *err)
{
	const struct qc_step *step = range->step;
	uint8_t *pieces[QC_MAX_PIECES];
	struct qc_pack_range chunk = {.step = step,
				      .unit = range->unit + done,
				      .n_units = n,
				      .n_elems = qc_step_elems(step, range->unit + done, n),
				      .isa = encoder->isa,
				      .out = pieces};

	if (load_packed_chunk(encoder, range, &chunk, err))
		return err->status;
	if (range->measure) {
		step->packing->measure(&chunk, range->out + done * step->measured_bytes);
		return QC_OK;
	}
	for (size_t i = 0; i < step->n_pieces; i++)
		pieces[i] = range->out + qc_step_buffer(step, i, range->n) +
			    done * step->pieces[i].unit_bytes;
	step->packing->encode(&chunk);
	return QC_OK;
}

static enum qc_status pack(struct qc_encoder *encoder, const struct qc_step *step, uint64_t unit,
			   uint64_t n, uint8_t *raw, uint8_t *out, bool measure, struct qc_err *err)
{
	struct packed_range range = {
		step, unit, n, qc_step_rows(step, unit, n), step->raw ? raw : NULL, out, measure};
	enum qc_status s = QC_OK;

	if (range.raw && qc_source_read_raw(step->source, range.rows.first, range.rows.n, raw,
					    &encoder->scratch, err))
		return in_tensor(step, err);
	for (uint64_t done = 0; !s && done < n; done += step->chunk_units) {
		uint64_t left = n - done;

		s = pack_chunk(encoder, &range, done,
			       left < step->chunk_units ? left : step->chunk_units, err);
	}
	return s;
}

enum qc_status qc_encode_units(struct qc_encoder *encoder, const struct qc_step *step,
			       uint64_t unit, uint64_t n, uint8_t *raw, uint8_t *out,
			       struct qc_err *err)
{
	if (!step->packing)
		return encode_rows(encoder, step, unit, n, raw, out, err);
	return step->copy ? repack(encoder, step, unit, n, raw, out, err)
			  : pack(encoder, step, unit, n, raw, out, false, err);
}

enum qc_status qc_measure_units(struct qc_encoder *encoder, const struct qc_step *step,
				uint64_t unit, uint64_t n, uint8_t *raw, uint8_t *out,
				struct qc_err *err)
{
	return pack(encoder, step, unit, n, raw, out, true, err);
}

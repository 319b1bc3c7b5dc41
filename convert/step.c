#include "convert/step.h"

#include <string.h>

#include "base/checked.h"

/* A range is about a megabyte of floats: large enough that reading, writing and the queue cost
 * nothing beside it, small enough that all threads' ranges together are a few MiB. A chunk's floats
 * stay in the first or second level cache between the passes over them. */
#define RANGE_ELEMS	(256u << 10)
#define MAX_GROUP_ELEMS (1u << 20)
#define CHUNK_ELEMS	(8u << 10)

static uint64_t at_least_one(uint64_t n)
{
	return n ? n : 1;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Units that are whole rows, or rows that are whole units. */
static void cut_rows(struct qc_step *step)
{
	uint64_t cols = at_least_one(step->cols), unit = at_least_one(step->unit_elems);
	uint64_t group = at_least_one(step->source->row_group * cols / unit);

	step->range_units = at_least_one(RANGE_ELEMS / unit);
	if (group > 1 && group <= MAX_GROUP_ELEMS / unit)
		step->range_units = group * at_least_one(step->range_units / group);
	step->chunk_units = at_least_one(CHUNK_ELEMS / unit);
	/* a source without raw rows is read as floats, so in its own groups */
	if (step->source->row_group > 1 && !step->raw)
		step->chunk_units = step->range_units;
}

/* Units that end inside rows: chunks end where units and rows do, so that no row is read twice,
 * unless those are too far apart. */
static void cut_flat(struct qc_step *step)
{
	uint64_t unit = step->unit_elems, together = step->cols / qc_gcd(unit, step->cols);

	if (together > MAX_GROUP_ELEMS / unit) {
		step->chunk_units = step->range_units = at_least_one(RANGE_ELEMS / unit);
		return;
	}
	step->chunk_units = together * at_least_one(CHUNK_ELEMS / (together * unit));
	step->range_units =
		step->chunk_units * at_least_one(RANGE_ELEMS / (step->chunk_units * unit));
}

void qc_step_cut(struct qc_step *step)
{
	if (step->cols && step->unit_elems % step->cols)
		cut_flat(step);
	else
		cut_rows(step);
	step->range_units = min(step->range_units, at_least_one(step->n_units));
	step->chunk_units = min(step->chunk_units, step->range_units);
	step->n_ranges =
		step->bytes ? (step->n_units + step->range_units - 1) / step->range_units : 0;
}

/* Rows that any `n` units take at most. */
static uint64_t most_rows(const struct qc_step *step, uint64_t n)
{
	uint64_t cols = at_least_one(step->cols), elems = n * step->unit_elems;
	uint64_t rows = (elems + cols - 1) / cols;

	if (step->unit_elems % cols && elems % cols)
		rows++; /* they may begin inside a row and end inside another */
	return min(rows, step->rows);
}

static void keep_max(size_t *max, uint64_t value)
{
	if (value > *max)
		*max = (size_t)value;
}

void qc_step_keep_sizes(struct qc_plan *plan, const struct qc_step *step)
{
	uint64_t range_rows = most_rows(step, step->range_units);
	uint64_t chunk_rows = most_rows(step, step->chunk_units), raw_bytes = 0;

	if (!step->n_ranges)
		return;
	keep_max(&plan->range_out_bytes, qc_step_buffer(step, step->n_pieces, step->range_units));
	keep_max(&plan->range_out_bytes, step->range_units * step->measured_bytes);
	keep_max(
		&plan->range_scratch_bytes,
		qc_source_scratch(step->source, step->raw || step->copy ? range_rows : chunk_rows));
	/* a copy is decoded too, to find what must not be in a model */
	keep_max(&plan->range_f32_bytes, chunk_rows * step->cols * sizeof(float));
	if (step->raw && (!step->copy || step->packing) &&
	    qc_qtype_bytes(step->from, range_rows * step->cols, &raw_bytes))
		keep_max(&plan->range_raw_bytes, raw_bytes);
}

uint64_t qc_step_elems(const struct qc_step *step, uint64_t unit, uint64_t n_units)
{
	uint64_t all = step->rows * step->cols, begin = unit * step->unit_elems;

	return unit + n_units >= step->n_units ? all - min(begin, all) : n_units * step->unit_elems;
}

struct qc_row_range qc_step_rows(const struct qc_step *step, uint64_t unit, uint64_t n_units)
{
	uint64_t cols = at_least_one(step->cols), begin = unit * step->unit_elems;
	uint64_t end = begin + qc_step_elems(step, unit, n_units);
	struct qc_row_range rows = {.first = begin / cols};

	rows.n = (end + cols - 1) / cols - rows.first;
	return rows;
}

uint64_t qc_piece_range(const struct qc_piece *piece, uint64_t unit, uint64_t n_units,
			uint64_t *begin)
{
	uint64_t bytes = n_units * piece->unit_bytes;

	*begin = min(unit * piece->unit_bytes, piece->bytes);
	return min(bytes, piece->bytes - *begin);
}

size_t qc_step_buffer(const struct qc_step *step, size_t piece, uint64_t n_units)
{
	size_t at = 0;

	/* whole cache lines, so that kernels find every piece aligned */
	for (size_t i = 0; i < piece; i++)
		at += (size_t)(step->pieces[i].unit_bytes * n_units + 63) & ~(size_t)63;
	return at;
}

enum qc_status qc_tensor_turn(struct qc_tensor *tensor, struct qc_arena *arena, struct qc_err *err)
{
	uint64_t *dims = qc_arena_array(arena, (uint64_t)tensor->n_dims + 2, sizeof(*dims));

	if (!dims)
		return qc_no_memory(err);
	memcpy(dims, tensor->dims, tensor->n_dims * sizeof(*dims));
	dims[0] = tensor->dims[1];
	dims[1] = tensor->dims[0];
	tensor->source = qc_source_transpose(arena, tensor->source, dims[0], 0, 1);
	tensor->dims = dims;
	tensor->transposed = !tensor->transposed;
	return tensor->source ? QC_OK : qc_no_memory(err);
}

enum qc_status qc_step_turn(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	struct qc_tensor *turned = qc_arena_alloc(&plan->arena, sizeof(*turned));
	enum qc_status s;

	if (!turned)
		return qc_no_memory(err);
	*turned = *step->tensor;
	s = qc_tensor_turn(turned, &plan->arena, err);
	step->tensor = turned;
	step->source = turned->source;
	if (!s) {
		step->rows = step->source->rows;
		step->cols = step->source->cols;
	}
	return s;
}

/* A step's arithmetic: how it is cut into ranges, and which rows, elements and bytes belong to
 * some of its units. */
#ifndef QC_CONVERT_STEP_H
#define QC_CONVERT_STEP_H

#include "convert/plan.h"

/* Set range_units, chunk_units and n_ranges of a step whose source, units and pieces are set. */
void qc_step_cut(struct qc_step *step);

/* Matrices the other way round: [.., in, out] becomes [.., out, in] or the reverse. `tensor` gets
 * another source and other dimensions, in the arena. */
QC_MUST_CHECK
enum qc_status qc_tensor_turn(struct qc_tensor *tensor, struct qc_arena *arena, struct qc_err *err);

/* The same of what a step, not cut yet, reads. */
QC_MUST_CHECK
enum qc_status qc_step_turn(struct qc_plan *plan, struct qc_step *step, struct qc_err *err);

/* Enlarge what the plan says that one range needs at most. */
void qc_step_keep_sizes(struct qc_plan *plan, const struct qc_step *step);

/* The rows that hold some units of a step. */
struct qc_row_range {
	uint64_t first, n;
};
struct qc_row_range qc_step_rows(const struct qc_step *step, uint64_t unit, uint64_t n_units);

/* Elements of these units: n_units * unit_elems, fewer at the end. */
uint64_t qc_step_elems(const struct qc_step *step, uint64_t unit, uint64_t n_units);

/* Bytes of a piece that these units make; *begin: where in the piece they begin. */
uint64_t qc_piece_range(const struct qc_piece *piece, uint64_t unit, uint64_t n_units,
			uint64_t *begin);

/* Where in a range's output buffer the bytes of a piece begin, for n_units units; for piece number
 * step->n_pieces the size of the buffer. */
size_t qc_step_buffer(const struct qc_step *step, size_t piece, uint64_t n_units);

#endif

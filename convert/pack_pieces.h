/* For packings: making pieces and the texts of configurations. */
#ifndef QC_CONVERT_PACK_PIECES_H
#define QC_CONVERT_PACK_PIECES_H

#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"

/* Begin the step's pieces: none yet, units are rows. */
QC_MUST_CHECK
enum qc_status qc_pack_begin(struct qc_plan *plan, struct qc_step *step, struct qc_err *err);

/* One more piece, called base + suffix, of shape dims[0..n_dims) (GGUF order, copied) and a plain
 * type, every unit of the step making unit_bytes of it. */
QC_MUST_CHECK
enum qc_status qc_pack_add(struct qc_plan *plan, struct qc_step *step, const char *base,
			   const char *suffix, const struct qc_qtype *type, uint32_t n_dims,
			   const uint64_t *dims, uint64_t unit_bytes, struct qc_err *err);

/* The same, of known bytes (copied); NULL: they come later, in step->pieces[...].constant. */
QC_MUST_CHECK
enum qc_status qc_pack_add_constant(struct qc_plan *plan, struct qc_step *step, const char *base,
				    const char *suffix, const struct qc_qtype *type,
				    uint32_t n_dims, const uint64_t *dims, const void *bytes,
				    struct qc_err *err);

/* Set a constant's bytes and, for a one-dimensional piece of bytes, its length. */
QC_MUST_CHECK
enum qc_status qc_pack_set_constant(struct qc_plan *plan, struct qc_piece *piece, const void *bytes,
				    uint64_t size, struct qc_err *err);

/* The weight's name without ".weight", in the plan's arena; NULL when memory is out. */
QC_MUST_CHECK
char *qc_pack_module(struct qc_plan *plan, const struct qc_step *step);

/* PyTorch's name of the floats that a weight was stored in: "bfloat16", "float16", "float32". */
const char *qc_pack_dtype(const struct qc_step *step);

/* The reason why rows are no whole groups, in the model's arena; NULL when they are. */
const char *qc_pack_unfit_rows(struct qc_model *model, const struct qc_tensor *tensor,
			       uint32_t group);

/* The same of one matrix; experts in one tensor are none. */
const char *qc_pack_unfit_matrix(struct qc_model *model, const struct qc_tensor *tensor,
				 uint32_t group);

/* ["lm_head", ...]: the plan's skipped modules as a JSON array, one a line, the closing bracket
 * `indent` spaces in; the output head first even where it is tied and so not stored. */
void qc_pack_put_skipped(FILE *out, const struct qc_plan *plan, int indent);

/* Whether a module other than the output head is skipped. */
bool qc_pack_skips_more(const struct qc_plan *plan);

/* What is known of the loaders of experts one by one, where experts are turned (gpt-oss); NULL when
 * the plan has none. */
const char *qc_pack_single_experts_note(const struct qc_plan *plan);

/* The largest |x[i]|, 0 of none; finite values. */
float qc_largest(const float *x, size_t n);

/* A packing's measure(), of whole units: the largest magnitude of each, a float. */
void qc_pack_measure_largest(const struct qc_pack_range *range, uint8_t *measured);

/* The first packed step; NULL when there is none. */
const struct qc_step *qc_pack_first(const struct qc_plan *plan);

#endif

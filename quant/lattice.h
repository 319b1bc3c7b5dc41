/*
 * Values that lie on a lattice: those of a model that was trained for q4_0 (quantization-aware
 * training) and then rounded to 16 bits.
 *
 * A block of x lies on one when f16 d and codes -8 .. 7 exist with round(d * code) = x for all of
 * its values, round() being that of the type they are stored in. Least squares finds codes and
 * nearly d, but the rounding draws it away; here d is one that gives all values back.
 */
#ifndef QC_QUANT_LATTICE_H
#define QC_QUANT_LATTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/qtype.h"

/* How many blocks there were. */
struct qc_lattice_count {
	uint64_t rounded; /* on a lattice */
	uint64_t equal;	  /* of these, without any rounding */
};

/* Whether blocks of `to` made of values stored as `from` can be moved onto a lattice: q4_0, from
 * bf16 or f16. */
bool qc_lattice_possible(const struct qc_qtype *to, const struct qc_qtype *from);

/* Replace those of n_blocks blocks of `to`, made of x, that can be moved onto a lattice and are on
 * none; count those that are on one in the end. */
struct qc_lattice_count qc_lattice_move(const struct qc_qtype *to, const struct qc_qtype *from,
					const float *x, size_t n_blocks, void *blocks);

#endif

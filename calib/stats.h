/*
 * What goes into a model's matrix products, summed up: squares by input channel, tokens and the
 * largest magnitude by matrix. In f64 and in the order of rows, so that a calibration that was
 * interrupted and goes on ends with the same sums.
 */
#ifndef QC_CALIB_STATS_H
#define QC_CALIB_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/strmap.h"
#include "calib/forward.h"
#include "calib/imatrix.h"

struct qc_stat {
	const char *name; /* of the weight */
	uint64_t cols, n; /* n matrices: experts; 1 */
	double *sums;	  /* [n, cols] */
	double *counts;	  /* [n] tokens */
	double *amax;	  /* [n] */
};

/* Zeroed is empty, but for threads. */
struct qc_stats {
	int threads; /* 0: one per processor */
	struct qc_arena arena;
	struct qc_stat *list;
	size_t n, cap;
	struct qc_strmap index; /* name -> place in `list` */
};

void qc_stats_clear(struct qc_stats *stats);

/* Add `rows` rows of what goes into matrix `index` of a weight: qc_forward_options.input, `user`
 * being the stats. QC_BAD_INPUT names block, weight and channel where a value is NaN or infinite;
 * the stats are then of no use any more. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_stats_input(void *user, const struct qc_weight *weight, uint64_t index,
			      const float *x, size_t rows, struct qc_err *err);

/* By the name of the weight; NULL. */
const struct qc_stat *qc_stats_find(const struct qc_stats *stats, const char *name);

/* A stat of zeros for every matrix product of a graph that has none. Errors as qc_stats_input(). */
QC_MUST_CHECK
enum qc_status qc_stats_expect(struct qc_stats *stats, const struct qc_graph *graph,
			       struct qc_err *err);

/* The bytes that the stats of all of a graph's weights will take. */
uint64_t qc_stats_bytes(const struct qc_graph *graph);

/* The stats as an importance matrix (empty before) without datasets and chunks. QC_UNSUPPORTED: a
 * sum is too large for f32. */
QC_MUST_CHECK
enum qc_status qc_stats_imatrix(const struct qc_stats *stats, struct qc_imatrix *im,
				struct qc_err *err);

/* Add another importance matrix. One whose counts are chunks (legacy) is taken to have had
 * chunk_size tokens in each. `im` is given the shapes that are known. QC_BAD_INPUT: an entry has
 * another shape. */
QC_MUST_CHECK
enum qc_status qc_imatrix_merge(struct qc_imatrix *to, struct qc_imatrix *im, uint32_t chunk_size,
				struct qc_err *err);

/*
 * What is kept of a calibration that may be interrupted (stats_state.c).
 */
struct qc_stats_state {
	char identity[33];  /* of model, text and options: a hash in hexadecimal */
	uint32_t n_windows; /* that the stats have */
	uint32_t group;	    /* windows that went through the model together, and must again */
};

/* The bytes of a file (malloc), and back; reading adds to empty stats. QC_BAD_INPUT: not such a
 * file, or damaged. */
QC_MUST_CHECK
enum qc_status qc_stats_save(const struct qc_stats *stats, const struct qc_stats_state *state,
			     uint8_t **bytes, size_t *size, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_stats_load(struct qc_stats *stats, struct qc_stats_state *state, const char *path,
			     struct qc_err *err);

#endif

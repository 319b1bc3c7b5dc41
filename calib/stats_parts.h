/* What stats.c and stats_state.c share. */
#ifndef QC_CALIB_STATS_PARTS_H
#define QC_CALIB_STATS_PARTS_H

#include "calib/stats.h"

/* A further weight, all zero. The name is copied; *out is valid until the next. */
QC_MUST_CHECK
enum qc_status qc_stats_add(struct qc_stats *stats, const char *name, uint64_t cols, uint64_t n,
			    struct qc_stat **out, struct qc_err *err);

#endif

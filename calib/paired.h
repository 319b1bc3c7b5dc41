/* Whether one of two divergences that were measured on the same windows is below the other. */
#ifndef QC_CALIB_PAIRED_H
#define QC_CALIB_PAIRED_H

#include <stdbool.h>
#include <stddef.h>

/* a and b: of every token of n windows. True when the mean of a - b is below zero by more than its
 * standard error, that of the windows' means: windows do not depend on each other, tokens of one
 * do. Of a single window the mean alone decides. NaN is never below. */
bool qc_paired_below(const double *a, const double *b, size_t n, size_t length);

#endif

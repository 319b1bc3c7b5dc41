/* The searches of q8_0, q4_0, q4_1, q5_0 and q5_1. */
#ifndef QC_QUANT_LANES_SEARCH_TYPES_H
#define QC_QUANT_LANES_SEARCH_TYPES_H

#include "quant/lanes/search_lines.h"
#include "quant/lanes/search_run.h"
#include "quant/lanes/search_scales.h"

#ifdef LANES_INLINE

static void q8_0_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	search_run(&qc_q8_0, search_q8_0, x, dst, rows, cols, weight);
}

static void q4_0_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	search_run(&qc_q4_0, search_q4_0, x, dst, rows, cols, weight);
}

static void q4_1_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	search_run(&qc_q4_1, search_q4_1, x, dst, rows, cols, weight);
}

static void q5_0_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	search_run(&qc_q5_0, search_q5_0, x, dst, rows, cols, weight);
}

static void q5_1_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	search_run(&qc_q5_1, search_q5_1, x, dst, rows, cols, weight);
}

#endif
#endif

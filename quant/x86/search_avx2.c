/* The searches with AVX2: see search_run.h, search_scales.h and search_lines.h. */
#include "quant/variants.h"

#include "quant/x86/search_lines.h"
#include "quant/x86/search_run.h"
#include "quant/x86/search_scales.h"

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

const struct qc_search_variant qc_search_variants_avx2[] = {
	{&qc_q8_0, QC_ISA_AVX2, q8_0_search}, {&qc_q4_0, QC_ISA_AVX2, q4_0_search},
	{&qc_q4_1, QC_ISA_AVX2, q4_1_search}, {&qc_q5_0, QC_ISA_AVX2, q5_0_search},
	{&qc_q5_1, QC_ISA_AVX2, q5_1_search}, {.type = NULL},
};

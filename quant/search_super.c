/* The searches of types with large blocks, one block at a time: the definition. */
#include "quant/lanes/lanes_one.h" /* before what would take the vectors that CFLAGS allow */

#include "quant/search.h"
#include "quant/super_grid_types.h"
#include "quant/super_types.h"

void qc_search_q2_K(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	q2_K_search(x, dst, rows, cols, weight);
}

void qc_search_q3_K(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	q3_K_search(x, dst, rows, cols, weight);
}

void qc_search_q4_K(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	q4_K_search(x, dst, rows, cols, weight);
}

void qc_search_q5_K(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	q5_K_search(x, dst, rows, cols, weight);
}

void qc_search_q6_K(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	q6_K_search(x, dst, rows, cols, weight);
}

void qc_search_iq4_xs(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	iq4_xs_search(x, dst, rows, cols, weight);
}

void qc_search_iq4_nl(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	iq4_nl_search(x, dst, rows, cols, weight);
}

void qc_search_iq2_xxs(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	iq2_xxs_search(x, dst, rows, cols, weight);
}

void qc_search_iq2_xs(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	iq2_xs_search(x, dst, rows, cols, weight);
}

void qc_search_iq2_s(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	iq2_s_search(x, dst, rows, cols, weight);
}

void qc_search_iq3_xxs(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	iq3_xxs_search(x, dst, rows, cols, weight);
}

void qc_search_iq3_s(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	iq3_s_search(x, dst, rows, cols, weight);
}

void qc_search_tq1_0(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	tq1_0_search(x, dst, rows, cols, weight);
}

void qc_search_tq2_0(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	tq2_0_search(x, dst, rows, cols, weight);
}

void qc_search_q2_0(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	q2_0_search(x, dst, rows, cols, weight);
}

void qc_search_iq1_s(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	iq1_s_search(x, dst, rows, cols, weight);
}

void qc_search_iq1_m(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	iq1_m_search(x, dst, rows, cols, weight);
}

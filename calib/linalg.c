/* Matrix products through OpenBLAS. */
#include "calib/linalg.h"

#include <cblas.h>

/* Large enough that packing a tile costs little beside multiplying it, small enough that two
 * threads have work at the sizes of small models. */
enum { TILE = 256 };

void qc_linalg_start(void)
{
	openblas_set_num_threads(1);
}

void qc_gemm_nt(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
		const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, alpha, a,
		    (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void qc_gemm_nn(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
		const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, alpha, a,
		    (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void qc_matmul(size_t rows, size_t in, size_t out, const float *x, const float *w, float *y,
	       size_t ldy, int threads)
{
	const size_t down = (rows + TILE - 1) / TILE, across = (out + TILE - 1) / TILE;

#pragma omp parallel for schedule(dynamic) num_threads(threads) if (down * across > 1)
	for (size_t tile = 0; tile < down * across; tile++) {
		/* tiles of one weight block one after the other: it stays in the cache */
		const size_t row = tile % down * TILE, col = tile / down * TILE;
		const size_t m = rows - row < TILE ? rows - row : TILE;
		const size_t n = out - col < TILE ? out - col : TILE;

		qc_gemm_nt(m, n, in, 1, x + row * in, in, w + col * in, in, 0, y + row * ldy + col,
			   ldy);
	}
}

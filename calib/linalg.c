/* Matrix products through OpenBLAS. */
#include "calib/linalg.h"

#include <cblas.h>

/* LAPACK's Cholesky factorization, which OpenBLAS has too; its C header is another package. */
void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info);

/* Large enough that packing a tile costs little beside multiplying it (256 rows take 7 %
 * longer), small enough that threads have work at the sizes of small models. */
enum { TILE = 256, TILE_ROWS = 512 };

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
	const size_t down = (rows + TILE_ROWS - 1) / TILE_ROWS;
	const size_t across = (out + TILE - 1) / TILE;

#pragma omp parallel for schedule(dynamic) num_threads(threads) if (down * across > 1)
	for (size_t tile = 0; tile < down * across; tile++) {
		/* tiles of one weight block one after the other: it stays in the cache */
		const size_t row = tile % down * TILE_ROWS, col = tile / down * TILE;
		const size_t m = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
		const size_t n = out - col < TILE ? out - col : TILE;

		qc_gemm_nt(m, n, in, 1, x + row * in, in, w + col * in, in, 0, y + row * ldy + col,
			   ldy);
	}
}

void qc_subtract_rows(size_t n, size_t k, const float *x, const float *a, size_t lda, float *y)
{
	cblas_sgemv(CblasRowMajor, CblasTrans, (int)k, (int)n, -1, a, (int)lda, x, 1, 1, y, 1);
}

void qc_add_cross_products(size_t rows, size_t m, size_t n, const float *x, const float *y,
			   float *h, int threads)
{
	const size_t down = (m + TILE - 1) / TILE, across = (n + TILE - 1) / TILE;

#pragma omp parallel for schedule(dynamic) num_threads(threads) if (down * across > 1)
	for (size_t tile = 0; tile < down * across; tile++) {
		const size_t i = tile / across * TILE, j = tile % across * TILE;

		cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans,
			    (int)(m - i < TILE ? m - i : TILE), (int)(n - j < TILE ? n - j : TILE),
			    (int)rows, 1, x + i, (int)m, y + j, (int)n, 1, h + i * n + j, (int)n);
	}
}

void qc_add_products(size_t rows, size_t n, const float *x, const float *y, float *h, int threads)
{
	qc_add_cross_products(rows, n, n, x, y, h, threads);
}

/* Both the rows and the columns in reverse order. */
static void reverse(size_t n, float *h)
{
	for (size_t i = 0, j = n * n; i + 1 < j; i++) {
		const float x = h[i];

		h[i] = h[--j];
		h[j] = x;
	}
}

bool qc_cholesky_upper(size_t n, float *h)
{
	const int size = (int)n;
	int info = 0;

	/* h reversed = L L', so h = R R' with R = L reversed. LAPACK's columns are our rows: its
	 * upper triangle is our lower one. */
	reverse(n, h);
	spotrf_("U", &size, h, &size, &info);
	if (info)
		return false;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			h[i * n + j] = 0;
	reverse(n, h);
	return true;
}

void qc_solve_rows(size_t rows, size_t n, const float *r, float *b)
{
	/* b R'^-1, then R^-1 */
	cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit, (int)rows,
		    (int)n, 1, r, (int)n, b, (int)n);
	cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, (int)rows,
		    (int)n, 1, r, (int)n, b, (int)n);
}

/* Matrix products in f32. The one place that knows the BLAS behind them (OpenBLAS through CBLAS).
 */
#ifndef QC_CALIB_LINALG_H
#define QC_CALIB_LINALG_H

#include <stdbool.h>
#include <stddef.h>

/* Make every BLAS call run on the thread that makes it: the threads are ours (OpenMP), and sums
 * then do not depend on their number. Process-wide; calling it again does nothing more. */
void qc_linalg_start(void);

/* End the threads that OpenBLAS starts when it is loaded and that spin for 26 ms or more: of no use
 * to us, and more than a small conversion takes. For the start of a program; BLAS can be used
 * afterwards. */
void qc_linalg_end_threads(void);

/* c[m, n] = alpha a[m, k] b[n, k]' + beta c. Matrices are row-major; ld* is the distance between
 * two rows. Sizes below 2^31. */
void qc_gemm_nt(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
		const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* c[m, n] = alpha a[m, k] b[k, n] + beta c. */
void qc_gemm_nn(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
		const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* y[rows, out] = x[rows, in] w[out, in]', x and w without gaps, in tiles on `threads` threads. The
 * tiles do not depend on the number of threads, so neither does the result. */
void qc_matmul(size_t rows, size_t in, size_t out, const float *x, const float *w, float *y,
	       size_t ldy, int threads);

/* y[n] -= x[k] a[k, n], rows of a at a distance of lda. */
void qc_subtract_rows(size_t n, size_t k, const float *x, const float *a, size_t lda, float *y);

/* The upper triangle of h[n, n] += x' x of x[rows, n], in tiles on `threads` threads: the sum of
 * each element does not depend on their number. What is below the diagonal stays. */
void qc_add_squares(size_t rows, size_t n, const float *x, float *h, int threads);

/* h[m, n] += x' y of x[rows, m] and y[rows, n], likewise. */
void qc_add_cross_products(size_t rows, size_t m, size_t n, const float *x, const float *y,
			   float *h, int threads);

/* h[n, n], symmetric: the upper triangle R, diagonal included, with h = R R' replaces it and the
 * rest is 0. False when h is not positive definite. */
bool qc_cholesky_upper(size_t n, float *h);

/* h[n, n], symmetric: u with h = u diagonal u', upper triangular with 1 on the diagonal, replaces
 * it; below u is 0. False when h is not positive definite. */
bool qc_factor(size_t n, float *h, float *diagonal);

/* b[rows, n] = b (u diagonal u')^-1 with these. */
void qc_solve_rows(size_t rows, size_t n, const float *u, const float *diagonal, float *b);

#endif

/* Matrix products through OpenBLAS. */
#include "calib/linalg.h"

#include <cblas.h>
#include <string.h>

/* LAPACK's Cholesky factorization, which OpenBLAS has too; its C header is another package. */
void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info);

/* Packing the operands of a tile takes 10 % of the product at 512 x 256, 5 % at 1024 x 1024; the
 * threads need some tiles each. How many threads there are must not matter: where in a tile an
 * element stands can change its last bit. */
enum { LEAST_TILE = 256, LARGEST_TILE = 1024, ENOUGH_TILES = 8 };

/* So few rows are multiplied one by one: a product of matrices would copy all of the weights. */
enum { FEW_ROWS = 4 };

struct tiles {
	size_t rows, cols;   /* of one */
	size_t down, across; /* how many */
};

/* The largest tiles of c[m, n] that are enough. */
static struct tiles cut_tiles(size_t m, size_t n)
{
	struct tiles t = {LARGEST_TILE, LARGEST_TILE, 0, 0};

	for (;;) {
		t.down = (m + t.rows - 1) / t.rows;
		t.across = (n + t.cols - 1) / t.cols;
		if (t.down * t.across >= ENOUGH_TILES || t.rows + t.cols == 2 * LEAST_TILE)
			return t;
		if (t.cols >= t.rows)
			t.cols /= 2;
		else
			t.rows /= 2;
	}
}

void qc_linalg_start(void)
{
	openblas_set_num_threads(1);
}

/* What OpenBLAS itself does before a fork; builds of it without threads have it not, or empty. */
int blas_thread_shutdown_(void) __attribute__((weak));

void qc_linalg_end_threads(void)
{
	if (blas_thread_shutdown_)
		blas_thread_shutdown_();
}

/* For one row without packing; what stood in c, NaN perhaps, is not multiplied by 0. */
void qc_gemm_nt(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
		const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	if (m == 1) {
		if (beta == 0)
			memset(c, 0, n * sizeof(*c));
		cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)n, (int)k, alpha, b, (int)ldb, a, 1,
			    beta == 0 ? 1 : beta, c, 1);
		return;
	}
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, alpha, a,
		    (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void qc_gemm_nn(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
		const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	if (m == 1) {
		if (beta == 0)
			memset(c, 0, n * sizeof(*c));
		cblas_sgemv(CblasRowMajor, CblasTrans, (int)k, (int)n, alpha, b, (int)ldb, a, 1,
			    beta == 0 ? 1 : beta, c, 1);
		return;
	}
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, alpha, a,
		    (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

/* y[rows, n] = x[rows, in] w[n, in]' for a tile's columns, row by row. */
static void multiply_rows(size_t rows, size_t in, size_t n, const float *x, const float *w,
			  float *y, size_t ldy)
{
	for (size_t r = 0; r < rows; r++)
		qc_gemm_nt(1, n, in, 1, x + r * in, in, w, in, 0, y + r * ldy, ldy);
}

void qc_matmul(size_t rows, size_t in, size_t out, const float *x, const float *w, float *y,
	       size_t ldy, int threads)
{
	const struct tiles t = cut_tiles(rows, out);

#pragma omp parallel for schedule(dynamic) num_threads(threads) if (t.down * t.across > 1)
	for (size_t tile = 0; tile < t.down * t.across; tile++) {
		/* tiles of one weight block one after the other: it stays in the cache */
		const size_t row = tile % t.down * t.rows, col = tile / t.down * t.cols;
		const size_t m = rows - row < t.rows ? rows - row : t.rows;
		const size_t n = out - col < t.cols ? out - col : t.cols;

		if (m <= FEW_ROWS)
			multiply_rows(m, in, n, x + row * in, w + col * in, y + row * ldy + col,
				      ldy);
		else
			qc_gemm_nt(m, n, in, 1, x + row * in, in, w + col * in, in, 0,
				   y + row * ldy + col, ldy);
	}
}

void qc_subtract_rows(size_t n, size_t k, const float *x, const float *a, size_t lda, float *y)
{
	cblas_sgemv(CblasRowMajor, CblasTrans, (int)k, (int)n, -1, a, (int)lda, x, 1, 1, y, 1);
}

/* h[m, n] += x' y for a tile's rows and columns. */
static void add_tile(size_t rows, size_t m, size_t n, const float *x, const float *y, float *h,
		     const struct tiles *t, size_t i, size_t j)
{
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans,
		    (int)(m - i < t->rows ? m - i : t->rows),
		    (int)(n - j < t->cols ? n - j : t->cols), (int)rows, 1, x + i, (int)m, y + j,
		    (int)n, 1, h + i * n + j, (int)n);
}

void qc_add_cross_products(size_t rows, size_t m, size_t n, const float *x, const float *y,
			   float *h, int threads)
{
	const struct tiles t = cut_tiles(m, n);

#pragma omp parallel for schedule(dynamic) num_threads(threads) if (t.down * t.across > 1)
	for (size_t tile = 0; tile < t.down * t.across; tile++)
		add_tile(rows, m, n, x, y, h, &t, tile / t.across * t.rows,
			 tile % t.across * t.cols);
}

/* Square tiles, of which those on and above the diagonal are enough. */
static struct tiles cut_triangle(size_t n)
{
	size_t side = LARGEST_TILE, across = (n + side - 1) / side;

	while (across * (across + 1) / 2 < ENOUGH_TILES && side > LEAST_TILE) {
		side /= 2;
		across = (n + side - 1) / side;
	}
	return (struct tiles){side, side, across, across};
}

void qc_add_squares(size_t rows, size_t n, const float *x, float *h, int threads)
{
	const struct tiles t = cut_triangle(n);

	/* the tiles of the diagonal, which take half as long, come last */
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (t.across > 1)
	for (size_t k = 0; k < t.across * t.across; k++) {
		const size_t away = t.across - 1 - k / t.across, first = k % t.across;
		const size_t i = first * t.rows, j = i + away * t.rows;

		if (first + away >= t.across)
			continue;
		if (away)
			add_tile(rows, n, n, x, x, h, &t, i, j);
		else
			cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans,
				    (int)(n - i < t.rows ? n - i : t.rows), (int)rows, 1, x + i,
				    (int)n, 1, h + i * n + i, (int)n);
	}
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

bool qc_factor(size_t n, float *h, float *diagonal)
{
	if (!qc_cholesky_upper(n, h))
		return false;
	for (size_t k = 0; k < n; k++)
		diagonal[k] = h[k * n + k];
	for (size_t i = 0; i < n; i++)
		for (size_t k = i; k < n; k++)
			h[i * n + k] /= diagonal[k];
	for (size_t k = 0; k < n; k++)
		diagonal[k] *= diagonal[k];
	return true;
}

void qc_solve_rows(size_t rows, size_t n, const float *u, const float *diagonal, float *b)
{
	/* b u'^-1, then diagonal^-1, then u^-1 */
	cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasUnit, (int)rows, (int)n,
		    1, u, (int)n, b, (int)n);
	for (size_t r = 0; r < rows; r++)
		for (size_t k = 0; k < n; k++)
			b[r * n + k] /= diagonal[k];
	cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasUnit, (int)rows,
		    (int)n, 1, u, (int)n, b, (int)n);
}

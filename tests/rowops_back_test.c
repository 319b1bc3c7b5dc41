/* Row operations of the way back from GGUF: whatever range is read, and whichever way round, the
 * same numbers come out; blocks of a file can be turned. */
#include "formats/source.h"

#include "quant/types.h"
#include "tests/source_rows.h"
#include "tests/st_files.h"

static struct qc_arena arena;

/* rows x cols blocks of a type in a file of this name, made of numbers that begin at `first`. */
static const struct qc_source *blocks(struct qc_file *file, const char *name,
				      const struct qc_qtype *type, uint64_t rows, uint64_t cols,
				      int first)
{
	const size_t n = rows * cols, bytes = n / type->block_elems * type->block_bytes;
	float *values = malloc(n * sizeof(*values));
	uint8_t *data = malloc(bytes);
	const struct qc_source *s;
	struct qc_err err;

	NEED(values && data, "no memory");
	for (size_t i = 0; i < n; i++)
		values[i] = (float)((first + (int)i * 7) % 15) - 7;
	type->quantize(values, data, rows, cols, NULL);
	NEED(!qc_file_open(file, st_write(name, data, bytes), &err), "%s", err.text);
	free(values);
	free(data);
	s = qc_source_file(&arena, file, 0, type, rows, cols, false);
	NEED(s, "no memory");
	return s;
}

static const struct qc_qtype *const types[] = {&qc_f32, &qc_bf16, &qc_q8_0, &qc_mxfp4};
#define N_TYPES (sizeof(types) / sizeof(types[0]))

enum { ROWS = 6, COLS = 96 };

static void check_zip(const struct qc_source *a, const struct qc_source *b, bool columns)
{
	const struct qc_source *s =
		columns ? qc_source_zip_columns(&arena, a, b) : qc_source_zip_rows(&arena, a, b);
	static float x[2][ROWS * COLS], out[2 * ROWS * COLS];

	NEED(s, "no memory");
	CHECK(s->rows == (columns ? ROWS : 2 * ROWS) && s->cols == (columns ? 2 * COLS : COLS),
	      "%d x %d", (int)s->rows, (int)s->cols);
	read_rows(a, 0, ROWS, x[0], false);
	read_rows(b, 0, ROWS, x[1], false);
	read_rows(s, 0, s->rows, out, false);
	for (size_t r = 0; r < ROWS; r++)
		for (size_t c = 0; c < COLS; c++)
			for (size_t k = 0; k < 2; k++) {
				const float y = columns ? out[r * 2 * COLS + 2 * c + k]
							: out[(2 * r + k) * COLS + c];

				CHECK(y == x[k][r * COLS + c], "row %zu, column %zu, %zu: %g", r, c,
				      k, (double)y);
			}
	ranges_agree(s, s->ops->name, false);
	if (s->ops->read_raw)
		ranges_agree(s, s->ops->name, true);
	CHECK(!!s->ops->read_raw == (a->type == b->type && (!columns || a->type->is_float)),
	      "%s of %s and %s: raw rows", s->ops->name, a->type->name, b->type->name);
}

static void two_sources_are_zipped(void)
{
	for (size_t i = 0; i < N_TYPES; i++)
		for (size_t k = 0; k < N_TYPES; k++) {
			struct qc_file files[2] = {0};
			const struct qc_source *a = blocks(&files[0], "a", types[i], ROWS, COLS, 0);
			const struct qc_source *b = blocks(&files[1], "b", types[k], ROWS, COLS, 5);

			check_zip(a, b, false);
			check_zip(a, b, true);
			qc_file_close(&files[0]);
			qc_file_close(&files[1]);
		}
}

/* Matrices of `height` rows: what is read turned is what turning all rows gives. */
static void check_turned(const struct qc_source *in, uint64_t height, uint64_t first, uint64_t step)
{
	const struct qc_source *s = qc_source_transpose(&arena, in, height, first, step);
	const uint64_t out_rows = in->cols / step;
	float *x = malloc(in->rows * in->cols * sizeof(*x));
	float *y = malloc(in->rows * in->cols * sizeof(*y));

	NEED(s && x && y, "no memory");
	read_rows(in, 0, in->rows, x, false);
	read_rows(s, 0, s->rows, y, false);
	for (uint64_t r = 0; r < s->rows; r++)
		for (uint64_t c = 0; c < height; c++) {
			const uint64_t row = r / out_rows * height + c;
			const float want = x[row * in->cols + first + r % out_rows * step];

			CHECK(y[r * height + c] == want, "%s, row %d, column %d: %g, not %g",
			      in->type->name, (int)r, (int)c, (double)y[r * height + c],
			      (double)want);
		}
	ranges_agree(s, "turned", false);
	if (s->ops->read_raw)
		ranges_agree(s, "turned", true);
	free(x);
	free(y);
}

static void blocks_of_a_file_are_turned(void)
{
	for (size_t i = 0; i < N_TYPES; i++) {
		struct qc_file files[2] = {0};
		const struct qc_source *a = blocks(&files[0], "a", types[i], ROWS, COLS, 0);
		const struct qc_source *b = blocks(&files[1], "b", types[i], ROWS, COLS, 5);
		const struct qc_source *zipped = qc_source_zip_rows(&arena, a, b);

		NEED(zipped, "no memory");
		check_turned(a, 3, 0, 1);
		check_turned(a, 6, 1, 3);
		check_turned(zipped, 6, 0, 1);
		check_turned(zipped, 4, 1, 2);
		qc_file_close(&files[0]);
		qc_file_close(&files[1]);
	}
}

static void narrow_rows_are_the_same_numbers(void)
{
	const struct qc_qtype *const narrow[] = {&qc_bf16, &qc_f16};

	for (size_t i = 0; i < 2; i++) {
		struct qc_file file = {0};
		const struct qc_source *in = blocks(&file, "a", &qc_f32, ROWS, COLS, 0);
		const struct qc_source *s = qc_source_narrow(&arena, in, narrow[i]);
		static float x[ROWS * COLS], y[ROWS * COLS];
		uint8_t raw[ROWS * COLS * 2];

		NEED(s, "no memory");
		CHECK(s->type == narrow[i] && s->ops->read_raw, "%s", s->type->name);
		read_rows(in, 0, ROWS, x, false);
		read_rows(s, 0, ROWS, raw, true);
		narrow[i]->dequantize(raw, y, ROWS * COLS);
		CHECK(!memcmp(x, y, sizeof(x)), "%s: other numbers", s->type->name);
		ranges_agree(s, "narrow", false);
		ranges_agree(s, "narrow", true);
		qc_file_close(&file);
	}
}

int main(void)
{
	st_begin();
	two_sources_are_zipped();
	blocks_of_a_file_are_turned();
	narrow_rows_are_the_same_numbers();
	qc_arena_clear(&arena);
	st_end();
	return test_end();
}

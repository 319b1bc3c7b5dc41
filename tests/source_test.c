/* Sources: whatever range of rows is read, and however the chain is built, the same numbers come
 * out. */
#include "formats/source.h"

#include "quant/qtype.h"
#include "quant/types.h"
#include "tests/source_rows.h"
#include "tests/st_files.h"

#define ROWS 24
#define COLS 5

static struct qc_arena arena;

static const struct qc_source *numbers(void)
{
	float *values = qc_arena_array(&arena, ROWS * COLS, sizeof(*values));

	NEED(values, "no memory");
	for (int i = 0; i < ROWS * COLS; i++)
		values[i] = (float)i;
	return qc_source_values(&arena, values, ROWS, COLS);
}

static void permuting_interleaves_the_halves_of_each_head(void)
{
	static const int expect[6] = {0, 3, 1, 4, 2, 5};
	const struct qc_source *s = qc_source_permute_heads(&arena, numbers(), 6, false);
	float out[ROWS * COLS];

	NEED(s, "no memory");
	CHECK(s->row_group == 6, "row group %d", (int)s->row_group);
	read_rows(s, 0, ROWS, out, false);
	for (int r = 0; r < ROWS; r++)
		for (int c = 0; c < COLS; c++) {
			float want = (float)((r / 6 * 6 + expect[r % 6]) * COLS + c);

			CHECK(out[r * COLS + c] == want, "row %d, column %d: %g, not %g", r, c,
			      (double)out[r * COLS + c], (double)want);
		}
}

static void permuting_back_gives_the_rows_as_they_were(void)
{
	static const uint64_t groups[] = {2, 4, 6, 8, 12, 24};
	const struct qc_source *in = numbers();
	float want[ROWS * COLS], out[ROWS * COLS];

	read_rows(in, 0, ROWS, want, false);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (int inverse = 0; inverse < 2; inverse++) {
			const struct qc_source *there =
				qc_source_permute_heads(&arena, in, groups[i], inverse);
			const struct qc_source *back =
				there ? qc_source_permute_heads(&arena, there, groups[i], !inverse)
				      : NULL;

			NEED(back, "no memory");
			read_rows(back, 0, ROWS, out, false);
			CHECK(!memcmp(out, want, sizeof(out)),
			      "groups of %d: not the rows as they were", (int)groups[i]);
			ranges_agree(there, inverse ? "inverse permute" : "permute", false);
			ranges_agree(there, inverse ? "inverse permute" : "permute", true);
			ranges_agree(back, "permute twice", false);
		}
}

static void slices_and_sums_follow_their_source(void)
{
	const struct qc_source *in = numbers();
	const struct qc_source *slice = qc_source_slice(&arena, in, 5, 12);
	const struct qc_source *sum = slice ? qc_source_add(&arena, slice, 1.0f) : NULL;
	const struct qc_source *mixed = sum ? qc_source_permute_heads(&arena, sum, 4, true) : NULL;
	const struct qc_source *part = mixed ? qc_source_slice(&arena, mixed, 1, 10) : NULL;
	float out[12 * COLS];

	NEED(part, "no memory");
	CHECK(slice->rows == 12 && slice->cols == COLS && slice->ops->read_raw, "slice: %d rows",
	      (int)slice->rows);
	read_rows(slice, 0, 12, out, false);
	CHECK(out[0] == 25 && out[12 * COLS - 1] == 84, "slice: %g to %g", (double)out[0],
	      (double)out[12 * COLS - 1]);
	read_rows(sum, 0, 12, out, false);
	CHECK(out[0] == 26 && out[12 * COLS - 1] == 85, "sum: %g to %g", (double)out[0],
	      (double)out[12 * COLS - 1]);
	/* a sum exists as floats only, and so does what stands on it */
	CHECK(!sum->ops->read_raw && !mixed->ops->read_raw && !part->ops->read_raw,
	      "raw rows of a sum");
	CHECK(sum->type == &qc_f32, "a sum is kept as %s", sum->type->name);
	ranges_agree(slice, "slice", false);
	ranges_agree(slice, "slice", true);
	ranges_agree(sum, "sum", false);
	ranges_agree(mixed, "permuted sum", false);
	ranges_agree(part, "slice of a permuted sum", false);
}

static void computed_values_have_little_endian_rows(void)
{
	static const float values[2] = {1.0f, -2.0f};
	const struct qc_source *s = qc_source_values(&arena, values, 2, 1);
	uint8_t raw[8];

	NEED(s, "no memory");
	read_rows(s, 0, 2, raw, true);
	CHECK(!memcmp(raw, "\0\0\x80\x3f\0\0\0\xc0", 8), "%02x %02x %02x %02x ...", raw[0], raw[1],
	      raw[2], raw[3]);
}

/* Every type, from a file at an odd offset, little- and big-endian. */
static void files_give_the_same_rows_in_either_byte_order(void)
{
	enum { BLOCKS = 2 };
	struct qc_err err = {0};

	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		size_t bytes = ROWS * BLOCKS * (*t)->block_bytes;
		uint64_t cols = BLOCKS * (*t)->block_elems;
		uint8_t *data = malloc(3 + bytes), *raw = malloc(bytes);
		float *x = malloc(ROWS * cols * sizeof(*x)), *y = malloc(ROWS * cols * sizeof(*y));
		struct qc_file little = {0}, big = {0};

		NEED(data && raw && x && y, "no memory");
		for (size_t i = 0; i < 3 + bytes; i++)
			data[i] = (uint8_t)(i * 167 + (i >> 8) * 13);
		NEED(!qc_file_open(&little, st_write("little", data, 3 + bytes), &err), "%s",
		     err.text);
		memcpy(raw, data + 3, bytes);
		qc_qtype_swap(*t, data + 3, ROWS * BLOCKS);
		NEED(!qc_file_open(&big, st_write("big", data, 3 + bytes), &err), "%s", err.text);
		const struct qc_source *a =
			qc_source_file(&arena, &little, 3, *t, ROWS, cols, false);
		const struct qc_source *b = qc_source_file(&arena, &big, 3, *t, ROWS, cols, true);
		NEED(a && b, "no memory");
		read_rows(a, 0, ROWS, data, true);
		CHECK(!memcmp(data, raw, bytes), "%s: raw rows are not the file's bytes",
		      (*t)->name);
		read_rows(b, 0, ROWS, data, true);
		CHECK(!memcmp(data, raw, bytes),
		      "%s: raw rows of a big-endian file are not swapped", (*t)->name);
		if ((*t)->dequantize) {
			(*t)->dequantize(raw, x, ROWS * BLOCKS);
			read_rows(a, 0, ROWS, y, false);
			CHECK(!memcmp(x, y, ROWS * cols * sizeof(*x)), "%s: other floats",
			      (*t)->name);
			read_rows(b, 0, ROWS, y, false);
			CHECK(!memcmp(x, y, ROWS * cols * sizeof(*x)),
			      "%s: other floats, big-endian", (*t)->name);
			ranges_agree(b, (*t)->name, false);
		}
		ranges_agree(b, (*t)->name, true);
		qc_file_close(&little);
		qc_file_close(&big);
		free(data);
		free(raw);
		free(x);
		free(y);
	}
}

/* ROWS x COLS numbers in a file, as bf16 (all of them are exact). */
static const struct qc_source *numbers_in_file(struct qc_file *file, const struct qc_qtype *type)
{
	float values[ROWS * COLS];
	uint8_t *bytes = malloc(ROWS * COLS * type->block_bytes);
	struct qc_err err;
	const struct qc_source *s;

	NEED(bytes, "no memory");
	for (int i = 0; i < ROWS * COLS; i++)
		values[i] = (float)i;
	type->quantize(values, bytes, 1, ROWS * COLS, NULL);
	NEED(!qc_file_open(file, st_write("numbers", bytes, ROWS * COLS * type->block_bytes), &err),
	     "%s", err.text);
	free(bytes);
	s = qc_source_file(&arena, file, 0, type, ROWS, COLS, false);
	NEED(s, "no memory");
	return s;
}

static void every_nth_row_is_taken(void)
{
	const struct qc_source *in = numbers();

	for (uint64_t step = 1; step <= 4; step++)
		for (uint64_t first = 0; first < step; first++) {
			const struct qc_source *s = qc_source_every_row(&arena, in, first, step);
			float out[ROWS * COLS];

			NEED(s, "no memory");
			CHECK(s->rows == ROWS / step && s->cols == COLS, "%d rows", (int)s->rows);
			read_rows(s, 0, s->rows, out, false);
			for (uint64_t i = 0; i < s->rows * COLS; i++)
				CHECK(out[i] ==
					      (float)((i / COLS * step + first) * COLS + i % COLS),
				      "step %d, from %d: element %d is %g", (int)step, (int)first,
				      (int)i, (double)out[i]);
			ranges_agree(s, "every row", false);
			ranges_agree(s, "every row", true);
		}
	/* of what exists as floats only, floats only */
	in = qc_source_add(&arena, in, 1);
	NEED(in, "no memory");
	in = qc_source_every_row(&arena, in, 1, 2);
	CHECK(in && !in->ops->read_raw, "raw rows of a sum");
	ranges_agree(in, "every row of a sum", false);
}

static void every_nth_column_is_taken(void)
{
	const struct qc_source *in = qc_source_transpose(&arena, numbers(), ROWS, 0, 1);

	NEED(in && in->rows == COLS && in->cols == ROWS, "no transpose");
	for (uint64_t step = 1; step <= 3; step++)
		for (uint64_t first = 0; first < step; first++) {
			const struct qc_source *s = qc_source_every_column(&arena, in, first, step);
			float out[ROWS * COLS];

			NEED(s, "no memory");
			CHECK(s->rows == COLS && s->cols == ROWS / step, "%d columns",
			      (int)s->cols);
			read_rows(s, 0, COLS, out, false);
			for (uint64_t r = 0; r < COLS; r++)
				for (uint64_t c = 0; c < s->cols; c++)
					CHECK(out[r * s->cols + c] ==
						      (float)((c * step + first) * COLS + r),
					      "step %d: row %d, column %d is %g", (int)step, (int)r,
					      (int)c, (double)out[r * s->cols + c]);
			ranges_agree(s, "every column", false);
		}
}

/* Matrices of `height` rows turned, all of their columns or every `step`-th. */
static void check_transpose(const struct qc_source *in, uint64_t height, uint64_t first,
			    uint64_t step)
{
	const struct qc_source *s = qc_source_transpose(&arena, in, height, first, step);
	const uint64_t out_rows = COLS / step;
	float out[ROWS * COLS];

	NEED(s, "no memory");
	CHECK(s->rows == ROWS / height * out_rows && s->cols == height, "%d x %d", (int)s->rows,
	      (int)s->cols);
	CHECK(s->row_group >= 8, "row group %d", (int)s->row_group);
	read_rows(s, 0, s->rows, out, false);
	for (uint64_t r = 0; r < s->rows; r++)
		for (uint64_t c = 0; c < height; c++) {
			const uint64_t row = r / out_rows * height + c;
			const float want = (float)(row * COLS + first + r % out_rows * step);

			CHECK(out[r * height + c] == want,
			      "height %d, row %d, column %d: %g not %g", (int)height, (int)r,
			      (int)c, (double)out[r * height + c], (double)want);
		}
	ranges_agree(s, "transpose", false);
	if (s->ops->read_raw)
		ranges_agree(s, "transpose", true);
}

static void matrices_are_turned_from_a_file_and_from_rows(void)
{
	static const uint64_t heights[] = {1, 2, 6, 12, 24};
	const struct qc_qtype *const types[] = {&qc_f32, &qc_bf16, &qc_f64};

	for (size_t h = 0; h < sizeof(heights) / sizeof(heights[0]); h++) {
		check_transpose(numbers(), heights[h], 0, 1);
		check_transpose(numbers(), heights[h], 3, 5);
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
			struct qc_file file = {0};
			const struct qc_source *in = numbers_in_file(&file, types[i]);

			check_transpose(in, heights[h], 0, 1);
			check_transpose(in, heights[h], 2, 5);
			qc_file_close(&file);
		}
	}
}

/* Raw elements of a file are moved as they are; turned twice, they lie as before. */
static void turning_twice_gives_the_bytes_as_they_were(void)
{
	struct qc_file file = {0};
	const struct qc_source *in = numbers_in_file(&file, &qc_bf16);
	const struct qc_source *s = qc_source_transpose(&arena, in, 6, 0, 1);
	uint8_t want[ROWS * COLS * 2], turned[ROWS * COLS * 2], back[ROWS * COLS * 2];
	struct qc_file file2 = {0};
	struct qc_err err;

	NEED(s && s->ops->read_raw && s->type == &qc_bf16, "no raw rows");
	read_rows(in, 0, ROWS, want, true);
	read_rows(s, 0, s->rows, turned, true);
	CHECK(memcmp(want, turned, sizeof(want)), "nothing has moved");
	NEED(!qc_file_open(&file2, st_write("turned", turned, sizeof(turned)), &err), "%s",
	     err.text);
	s = qc_source_file(&arena, &file2, 0, &qc_bf16, ROWS / 6 * COLS, 6, false);
	s = s ? qc_source_transpose(&arena, s, COLS, 0, 1) : NULL;
	NEED(s, "no memory");
	read_rows(s, 0, ROWS, back, true);
	CHECK(!memcmp(want, back, sizeof(want)), "not the bytes as they were");
	qc_file_close(&file);
	qc_file_close(&file2);
}

static void stacked_sources_follow_each_other(void)
{
	const struct qc_source *in = numbers(), *sum = qc_source_add(&arena, in, 0), *s;
	const struct qc_source **list = qc_arena_array(&arena, 3, sizeof(*list));
	float want[ROWS * COLS], out[ROWS * COLS];

	NEED(list && sum, "no memory");
	for (uint64_t i = 0; i < 3; i++) { /* thirds in the order 2 0 1 */
		list[i] = qc_source_slice(&arena, in, (i + 2) % 3 * ROWS / 3, ROWS / 3);
		NEED(list[i], "no memory");
	}
	s = qc_source_stack(&arena, list, 3);
	NEED(s && s->rows == ROWS && s->ops->read_raw, "no raw stack");
	read_rows(in, 0, ROWS, want, false);
	read_rows(s, 0, ROWS, out, false);
	CHECK(!memcmp(out, want + ROWS / 3 * 2 * COLS, sizeof(out) / 3) &&
		      !memcmp(out + ROWS / 3 * COLS, want, sizeof(out) / 3 * 2),
	      "not in order");
	ranges_agree(s, "stack", false);
	ranges_agree(s, "stack", true);
	list[1] = qc_source_slice(&arena, sum, 0, ROWS / 3);
	s = list[1] ? qc_source_stack(&arena, list, 3) : NULL;
	CHECK(s && !s->ops->read_raw, "raw rows of a sum");
	ranges_agree(s, "stack with a sum", false);
}

static void a_type_without_numbers_is_an_error_not_a_crash(void)
{
	static const struct qc_qtype opaque = {
		.name = "opaque", .block_elems = 1, .block_bytes = 1};
	struct qc_file file = {0};
	struct qc_err err = {0};
	struct qc_scratch scratch = {0};
	float x;

	NEED(!qc_file_open(&file, st_write("opaque", "x", 1), &err), "%s", err.text);
	const struct qc_source *s = qc_source_file(&arena, &file, 0, &opaque, 1, 1, false);
	NEED(s, "no memory");
	CHECK(qc_source_read_f32(s, 0, 1, &x, &scratch, &err) == QC_UNSUPPORTED, "status %d",
	      err.status);
	qc_file_close(&file);
}

static void scratch_is_aligned_and_stacks(void)
{
	uint8_t *base = aligned_alloc(64, 256);
	struct qc_scratch scratch = {.base = base, .size = 256};
	uint8_t *a, *b;

	NEED(base, "no memory");
	a = qc_scratch_take(&scratch, 1);
	b = qc_scratch_take(&scratch, 65);
	CHECK(a == base && b == base + 64, "at %td and %td", a - base, b - base);
	CHECK(scratch.used == 192 && qc_scratch_need(1) + qc_scratch_need(65) == 192, "%zu used",
	      scratch.used);
	qc_scratch_give(&scratch, 64);
	CHECK(qc_scratch_take(&scratch, 0) == base + 64 && scratch.used == 64, "%zu used",
	      scratch.used);
	free(base);
}

int main(void)
{
	st_begin();
	permuting_interleaves_the_halves_of_each_head();
	permuting_back_gives_the_rows_as_they_were();
	slices_and_sums_follow_their_source();
	computed_values_have_little_endian_rows();
	files_give_the_same_rows_in_either_byte_order();
	every_nth_row_is_taken();
	every_nth_column_is_taken();
	matrices_are_turned_from_a_file_and_from_rows();
	turning_twice_gives_the_bytes_as_they_were();
	stacked_sources_follow_each_other();
	a_type_without_numbers_is_an_error_not_a_crash();
	scratch_is_aligned_and_stacks();
	qc_arena_clear(&arena);
	st_end();
	return test_end();
}

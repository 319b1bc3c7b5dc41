/* Rows of a source, and whether ranges of them agree, for tests. */
#ifndef QC_TESTS_SOURCE_ROWS_H
#define QC_TESTS_SOURCE_ROWS_H

#include "formats/source.h"
#include "tests/test.h"

/* Read rows [row, row + n) with exactly the scratch that the source asks for. */
static inline void read_rows(const struct qc_source *s, uint64_t row, uint64_t n, void *dst,
			     bool raw)
{
	size_t size = qc_source_scratch(s, n);
	struct qc_scratch scratch = {.base = aligned_alloc(64, size + 64), .size = size};
	struct qc_err err = {0};
	enum qc_status status;

	NEED(scratch.base, "no memory");
	status = raw ? qc_source_read_raw(s, row, n, dst, &scratch, &err)
		     : qc_source_read_f32(s, row, n, dst, &scratch, &err);
	CHECK(!status, "%s: %s", s->ops->name, err.text);
	CHECK(!scratch.used, "%s: %zu bytes of scratch not given back", s->ops->name, scratch.used);
	free(scratch.base);
}

static inline size_t row_bytes(const struct qc_source *s, bool raw)
{
	return raw ? s->cols / s->type->block_elems * s->type->block_bytes
		   : s->cols * sizeof(float);
}

/* Any range of rows gives the bytes that reading all at once gives at its place. */
static inline void ranges_agree(const struct qc_source *s, const char *what, bool raw)
{
	size_t bytes = row_bytes(s, raw);
	uint8_t *all = malloc(s->rows * bytes + 1), *part = malloc(s->rows * bytes + 1);

	NEED(all && part, "no memory");
	read_rows(s, 0, s->rows, all, raw);
	for (uint64_t row = 0; row <= s->rows; row++)
		for (uint64_t n = 0; n <= s->rows - row; n++) {
			read_rows(s, row, n, part, raw);
			CHECK(!memcmp(part, all + row * bytes, n * bytes),
			      "%s: rows %d to %d differ (%s)", what, (int)row, (int)(row + n),
			      raw ? "raw" : "f32");
		}
	free(all);
	free(part);
}

#endif

/*
 * Where a tensor's rows come from.
 *
 * A source is a view: rows x cols elements that can be read a range of rows at a time, as f32 or,
 * where the bytes of the file are themselves rows of some quant type, raw. Nothing is materialised.
 * Sources form a chain: a file extent at the bottom; above it row operations (permute, slice, add
 * one, ...), encodings that fold several stored tensors into one, adapters. A node is a struct that
 * begins with `struct qc_source`.
 *
 * A 1-D tensor of n plain elements is n rows of 1 column (of block_elems columns for a blocked
 * type), so that a range of rows is always small.
 */
#ifndef QC_FORMATS_SOURCE_H
#define QC_FORMATS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/file.h"
#include "quant/qtype.h"

/* A bump allocator over memory that the caller sized with qc_source_scratch(); nodes take and give
 * back in stack order. */
struct qc_scratch {
	uint8_t *base; /* 64-byte aligned */
	size_t size, used;
};

/* 64-byte aligned room for `size` bytes. Never fails: the size was computed from the same formulas
 * (asserted). */
void *qc_scratch_take(struct qc_scratch *scratch, size_t size);
void qc_scratch_give(struct qc_scratch *scratch, size_t used_before);
/* What a take of `size` bytes uses up at most. */
size_t qc_scratch_need(size_t size);

struct qc_source;

/* A run of bytes of one file. */
struct qc_extent {
	const struct qc_file *file;
	uint64_t offset, bytes;
	bool in_order; /* the raw rows are these very bytes, nothing reordered, swapped or computed
			*/
};

struct qc_source_ops {
	const char *name; /* for the plan: "file", "permute", ... */
	/* rows [row, row + n) as floats, n * cols of them */
	enum qc_status (*read_f32)(const struct qc_source *source, uint64_t row, uint64_t n,
				   float *dst, struct qc_scratch *scratch, struct qc_err *err);
	/* the same rows as blocks of source->type, little-endian; NULL when they exist only as f32
	 */
	enum qc_status (*read_raw)(const struct qc_source *source, uint64_t row, uint64_t n,
				   void *dst, struct qc_scratch *scratch, struct qc_err *err);
	/* where rows [row, row + n) lie, false when not in one run; NULL: never */
	bool (*extent)(const struct qc_source *source, uint64_t row, uint64_t n,
		       struct qc_extent *extent);
	/* scratch bytes that reading any `n` rows takes at most (either way), nodes below included
	 */
	size_t (*scratch_bytes)(const struct qc_source *source, uint64_t n);
	/* what qc_source_transpose() makes of this source, where there is a better way than to read
	 * it by rows; NULL: there is none */
	const struct qc_source *(*transpose)(struct qc_arena *arena, const struct qc_source *source,
					     uint64_t height, uint64_t first, uint64_t step);
};

struct qc_source {
	const struct qc_source_ops *ops;
	uint64_t rows, cols;
	/* Element type. With read_raw: the type of the raw rows. Without: the type that holds the
	 * values best (what "keep the source's precision" means), f32 if nothing better is known.
	 */
	const struct qc_qtype *type;
	/* Rows must be read in multiples of this (from a multiple of it) for good speed; 1 = any.
	 * Permutations set it. */
	uint64_t row_group;
};

/* Checked entry points (the range must lie inside; an assertion, as plans guarantee it). */
QC_MUST_CHECK
enum qc_status qc_source_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				  float *dst, struct qc_scratch *scratch, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_source_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				  void *dst, struct qc_scratch *scratch, struct qc_err *err);
size_t qc_source_scratch(const struct qc_source *source, uint64_t n);

/* Where the rows lie in a file, for reading files from front to back; false when that cannot be
 * said. */
bool qc_source_extent(const struct qc_source *source, uint64_t row, uint64_t n,
		      struct qc_extent *extent);

/*
 * Constructors. Nodes live in `arena`; each returns NULL only when memory is out, and borrows what
 * it is given.
 */

/* `rows` x `cols` blocks of `type`, contiguous at `offset` of `file` (the range has been checked);
 * `big_endian`: words are swapped on reading. */
QC_MUST_CHECK
const struct qc_source *qc_source_file(struct qc_arena *arena, const struct qc_file *file,
				       uint64_t offset, const struct qc_qtype *type, uint64_t rows,
				       uint64_t cols, bool big_endian);

/* Whether a source was made by qc_source_file of a little-endian file. */
bool qc_source_is_file(const struct qc_source *source);

/* The stored bytes of `file`, a source made by qc_source_file, as rows of one u8: to read them from
 * any byte on, whatever the element type says. */
QC_MUST_CHECK
const struct qc_source *qc_source_bytes(struct qc_arena *arena, const struct qc_source *file);

/* The rows x cols in which the tensor of `dims` (dims[0] contiguous; their product has been
 * checked) is read: 2-D and more: cols = dims[0]; 1-D: one block a row. A tensor whose dims[0] is
 * no whole number of blocks (possible for 4- and 6-bit elements) is read one block a row too, a
 * scalar is 1 x 1, one without elements is 0 rows. */
void qc_source_shape(const struct qc_qtype *type, uint32_t n_dims, const uint64_t *dims,
		     uint64_t *rows, uint64_t *cols);

/* Values computed by us (rope factors): rows x cols floats that live as long as the arena. */
QC_MUST_CHECK
const struct qc_source *qc_source_values(struct qc_arena *arena, const float *values, uint64_t rows,
					 uint64_t cols);

/* Output row r of each group of `group` rows (one attention head of a q/k projection) is inner row
 * perm(r): from the halves order of Hugging Face (i, i + group/2) to the interleaved order of
 * GGUF's llama (2i, 2i + 1). group must be even and divide rows. `inverse` goes the other way. */
QC_MUST_CHECK
const struct qc_source *qc_source_permute_heads(struct qc_arena *arena,
						const struct qc_source *inner, uint64_t group,
						bool inverse);

/* inner + 1 in f32 (the RMS norms of Gemma 1-3); f32 only. */
QC_MUST_CHECK
const struct qc_source *qc_source_add(struct qc_arena *arena, const struct qc_source *inner,
				      float addend);

/* Rows [first, first + rows) of inner. */
QC_MUST_CHECK
const struct qc_source *qc_source_slice(struct qc_arena *arena, const struct qc_source *inner,
					uint64_t first, uint64_t rows);

/*
 * Experts (rowops_experts.c).
 */

/* Rows first, first + step, ... of inner; first < step, and step divides inner->rows. */
QC_MUST_CHECK
const struct qc_source *qc_source_every_row(struct qc_arena *arena, const struct qc_source *inner,
					    uint64_t first, uint64_t step);

/* Columns first, first + step, ... of every row; f32 only. step divides inner->cols. */
QC_MUST_CHECK
const struct qc_source *qc_source_every_column(struct qc_arena *arena,
					       const struct qc_source *inner, uint64_t first,
					       uint64_t step);

/* inner is matrices of `height` rows one after the other (height divides inner->rows): their
 * columns first, first + step, ... as rows of `height` elements. Raw rows when inner is a file
 * extent of a plain type (anything else that is no file is read whole for every range: slow). */
QC_MUST_CHECK
const struct qc_source *qc_source_transpose(struct qc_arena *arena, const struct qc_source *inner,
					    uint64_t height, uint64_t first, uint64_t step);

/* n >= 1 sources of one shape (rows >= 1) one after the other; the array lives as long as the
 * arena. Raw rows when all have them, of one type. */
QC_MUST_CHECK
const struct qc_source *qc_source_stack(struct qc_arena *arena,
					const struct qc_source *const *inner, uint64_t n);

/*
 * From GGUF back to Hugging Face (rowops_back.c).
 */

/* Two sources of one shape: row 2 r of the result is row r of a, row 2 r + 1 that of b. Raw rows
 * when both have them, of one type. */
QC_MUST_CHECK
const struct qc_source *qc_source_zip_rows(struct qc_arena *arena, const struct qc_source *a,
					   const struct qc_source *b);

/* The same with columns. Raw rows when both have them, of one plain type. */
QC_MUST_CHECK
const struct qc_source *qc_source_zip_columns(struct qc_arena *arena, const struct qc_source *a,
					      const struct qc_source *b);

/* The rows of inner as `type`, f16 or bf16, which its values are known to be of. */
QC_MUST_CHECK
const struct qc_source *qc_source_narrow(struct qc_arena *arena, const struct qc_source *inner,
					 const struct qc_qtype *type);

#endif

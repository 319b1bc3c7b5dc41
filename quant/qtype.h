/*
 * Quant types: numbers to bytes and back. One type per file; f32, f16 and i8 are types like the
 * rest.
 *
 * Types are pointers, not enum values: nobody can switch on them, so behaviour has one home. Wire
 * numbers (GGUF ids, safetensors names) belong to formats/.
 */
#ifndef QC_QUANT_QTYPE_H
#define QC_QUANT_QTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of multi-byte little-endian words inside a block, for byte-swapping big-endian files. */
struct qc_words {
	uint16_t offset; /* of the first word in the block */
	uint8_t bytes;	 /* 2, 4 or 8; 0 ends the list */
	uint16_t count;
};

/* Quantize `rows` consecutive rows of `cols` floats each (cols % block_elems == 0; finite; rows or
 * cols may be 0) into rows * cols / block_elems consecutive blocks at dst. `weight` holds cols
 * importance weights (>= 0, finite) that apply to every row, or is NULL. Kernels cannot fail.
 * Blocks never cross rows. */
typedef void qc_quantize_fn(const float *x, void *dst, size_t rows, size_t cols,
			    const float *weight);

/* The inverse for `n_blocks` consecutive blocks; any bytes are legal input. */
typedef void qc_dequantize_fn(const void *src, float *x, size_t n_blocks);

/* Index of the first block that must not be in a model file (a scale that is NaN or infinite, ...),
 * or n_blocks. */
typedef size_t qc_check_fn(const void *src, size_t n_blocks);

struct qc_qtype {
	const char *name;     /* the field's name, lower case but for K: "q4_0", "q4_K", "bf16" */
	uint32_t block_elems; /* elements in a block; 1 for plain types */
	uint32_t block_bytes; /* bytes of a block on disk; sub-byte plain types (f4) use larger
				 blocks */
	bool needs_imatrix;   /* quantize() must be given weights */
	bool uses_imatrix;    /* weights change the result */
	bool is_float; /* a plain float type (f64 f32 f16 bf16): values are rounded, not grouped */
	bool is_integer; /* i8 ... u64, bool: copied, never quantized */
	/* NULL when this build can only copy the type (integers, types not written yet). */
	qc_quantize_fn *quantize;
	/* The same format with a lower squared error, sum of weight * (x - decoded)^2, weight 1
	 * without `weight`: on no block larger than that of quantize() with the same arguments.
	 * NULL: quantize() is the best there is. */
	qc_quantize_fn *search;
	qc_dequantize_fn *dequantize;
	qc_check_fn *check; /* NULL: every byte pattern is fine */
	struct qc_words words[3];
};

/* All types, NULL-terminated (quant/registry.c). */
extern const struct qc_qtype *const qc_qtypes[];

/* By name, ASCII case-insensitive; NULL when there is none. */
const struct qc_qtype *qc_qtype_find(const char *name);

/* Bytes of `elems` elements, a multiple of block_elems; false on overflow or a partial block. */
bool qc_qtype_bytes(const struct qc_qtype *type, uint64_t elems, uint64_t *bytes);

/* Swap the byte order of the multi-byte words of `n_blocks` blocks in place. */
void qc_qtype_swap(const struct qc_qtype *type, void *blocks, size_t n_blocks);

#endif

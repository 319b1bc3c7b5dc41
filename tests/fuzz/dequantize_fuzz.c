/*
 * Every dequantizer on any bytes: the first byte chooses the type, the rest are its blocks. Nothing
 * is read or written outside them, every variant of this CPU decodes what the scalar definition
 * does, and what check() lets pass is finite.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quant/fast.h"
#include "quant/qtype.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_BLOCKS = 64 };

static void need(int condition)
{
	if (!condition)
		abort();
}

static void *exactly(size_t size)
{
	void *p = malloc(size ? size : 1);

	need(p != NULL);
	return p;
}

static const struct qc_qtype *choose_type(unsigned number)
{
	size_t n = 0;

	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++)
		n += (*t)->dequantize != NULL;
	number %= n;
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++)
		if ((*t)->dequantize && number-- == 0)
			return *t;
	return NULL;
}

/* The same numbers; which NaN does not matter. */
static void same_values(const float *a, const float *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		need(isnan(a[i]) ? isnan(b[i]) : !memcmp(&a[i], &b[i], sizeof(a[i])));
}

static void try_variants(const struct qc_qtype *type, const uint8_t *blocks, size_t n,
			 const float *x)
{
	const size_t elems = n * type->block_elems;
	const struct qc_variant *variant;
	enum qc_isa isa;

	(void)qc_isa_detect(&isa);
	for (size_t i = 0; (variant = qc_variant_at(i)); i++) {
		float *y;

		if (variant->type != type || variant->isa > isa || !variant->dequantize)
			continue;
		y = exactly(elems * sizeof(*y));
		variant->dequantize(blocks, y, n);
		same_values(x, y, elems);
		free(y);
	}
}

static void check_blocks(const struct qc_qtype *type, const uint8_t *blocks, size_t n,
			 const float *x)
{
	size_t bad = type->check ? type->check(blocks, n) : n;

	need(bad <= n);
	if (type->block_bytes / type->block_elems > 4) /* an f64 may be more than an f32 */
		return;
	for (size_t i = 0; i < bad * type->block_elems; i++)
		need(type->check == NULL || isfinite(x[i]));
}

static void swap_twice(const struct qc_qtype *type, const uint8_t *blocks, size_t n)
{
	const size_t bytes = n * type->block_bytes;
	uint8_t *copy = exactly(bytes);

	if (bytes)
		memcpy(copy, blocks, bytes);
	qc_qtype_swap(type, copy, n);
	qc_qtype_swap(type, copy, n);
	need(!bytes || !memcmp(copy, blocks, bytes));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct qc_qtype *type;
	uint8_t *blocks;
	float *x;
	size_t n;

	if (!size)
		return 0;
	type = choose_type(data[0]);
	n = (size - 1) / type->block_bytes;
	n = n < MAX_BLOCKS ? n : MAX_BLOCKS;
	blocks = exactly(n * type->block_bytes);
	x = exactly(n * type->block_elems * sizeof(*x));
	if (n)
		memcpy(blocks, data + 1, n * type->block_bytes);
	type->dequantize(blocks, x, n);
	try_variants(type, blocks, n, x);
	check_blocks(type, blocks, n, x);
	swap_twice(type, blocks, n);
	free(x);
	free(blocks);
	return 0;
}

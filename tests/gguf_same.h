/* Compares two GGUF files tensor by tensor. */
#ifndef QC_TESTS_GGUF_SAME_H
#define QC_TESTS_GGUF_SAME_H

#include <stdlib.h>
#include <string.h>

#include "formats/model.h"
#include "tests/test.h"

/* Of iq1_m the client's binary has other bytes in a block of several hundred, where two cuts of a
 * group have nearly the same merit; ggml's sources, compiled here at -O2 and at -O3, have ours. */
static inline size_t blocks_that_may_differ(const struct qc_qtype *type, size_t n)
{
	return strcmp(type->name, "iq1_m") ? 0 : 1 + n / 100;
}

static inline void same_blocks(const char *path, const struct qc_tensor *tensor,
			       const uint8_t *ours, const uint8_t *theirs, uint64_t bytes)
{
	const struct qc_qtype *type = tensor->source->type;
	size_t n = (size_t)(bytes / type->block_bytes), differ = 0, first = n;

	for (size_t i = 0; i < n; i++) {
		size_t at = i * type->block_bytes;

		if (memcmp(ours + at, theirs + at, type->block_bytes)) {
			first = differ++ ? first : i;
		}
	}
	CHECK(differ <= blocks_that_may_differ(type, n),
	      "%s: %s (%s): %zu of %zu blocks differ from libllama's, first %zu", path,
	      tensor->name, type->name, differ, n, first);
}

/* Both files are the same to the last byte: metadata, order, padding. */
static inline void same_files(const char *ours, const char *theirs)
{
	size_t n, m, at = 0;
	char *x = test_load(ours, &n), *y = test_load(theirs, &m);

	while (at < n && at < m && x[at] == y[at])
		at++;
	CHECK(at == n && n == m, "%s: %zu bytes, %s: %zu; the first difference is at %zu", ours, n,
	      theirs, m, at);
	free(x);
	free(y);
}

/* Both files hold the same tensors, types and bytes in the same order. */
static inline void same_tensors(const char *ours, const char *theirs)
{
	struct qc_model a = {0}, b = {0};
	struct qc_err err = {0};
	struct qc_scratch scratch = {.size = 64 << 20};

	NEED(!qc_model_open(&a, ours, &err), "%s: %s", ours, err.text);
	NEED(!qc_model_open(&b, theirs, &err), "%s: %s", theirs, err.text);
	CHECK(a.n_tensors == b.n_tensors, "%s has %zu tensors, %s has %zu", ours, a.n_tensors,
	      theirs, b.n_tensors);
	scratch.base = aligned_alloc(64, scratch.size);
	NEED(scratch.base, "no memory");
	for (size_t i = 0; i < a.n_tensors; i++) {
		const struct qc_tensor *t = &a.tensors[i], *u = qc_model_find(&b, t->name);
		uint64_t bytes = qc_tensor_stored_bytes(t);
		uint8_t *x, *y;

		CHECK(i < b.n_tensors && !strcmp(b.tensors[i].name, t->name),
		      "%s: tensor %zu is %s, another one in %s", ours, i, t->name, theirs);
		CHECK(u && u->source->type == t->source->type, "%s: %s is %s, %s there", ours,
		      t->name, t->source->type->name, u ? u->source->type->name : "absent");
		if (!u || u->source->type != t->source->type || qc_tensor_stored_bytes(u) != bytes)
			continue;
		x = malloc(bytes);
		y = malloc(bytes);
		NEED(x && y, "no memory");
		NEED(!qc_source_read_raw(t->source, 0, t->source->rows, x, &scratch, &err) &&
			     !qc_source_read_raw(u->source, 0, u->source->rows, y, &scratch, &err),
		     "%s", err.text);
		same_blocks(ours, t, x, y, bytes);
		free(x);
		free(y);
	}
	free(scratch.base);
	qc_model_close(&a);
	qc_model_close(&b);
}

#endif

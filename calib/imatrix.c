/* Importance matrices in memory. */
#include "calib/imatrix_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

void qc_imatrix_clear(struct qc_imatrix *im)
{
	free(im->entries);
	free(im->datasets);
	qc_strmap_clear(&im->index);
	qc_arena_clear(&im->arena);
	memset(im, 0, sizeof(*im));
}

struct qc_imatrix_entry *qc_imatrix_find(const struct qc_imatrix *im, const char *name)
{
	const uint64_t *index = qc_strmap_find(&im->index, name, strlen(name));

	return index ? &im->entries[*index] : NULL;
}

static enum qc_status grow(struct qc_imatrix *im, struct qc_err *err)
{
	const size_t cap = im->cap_entries ? 2 * im->cap_entries : 64;
	struct qc_imatrix_entry *more;

	if (im->n_entries < im->cap_entries)
		return QC_OK;
	more = reallocarray(im->entries, cap, sizeof(*more));
	if (!more)
		return qc_no_memory(err);
	im->entries = more;
	im->cap_entries = cap;
	return QC_OK;
}

enum qc_status qc_imatrix_add(struct qc_imatrix *im, const char *name, uint64_t cols, uint64_t n,
			      bool amax, struct qc_imatrix_entry **entry, struct qc_err *err)
{
	struct qc_imatrix_entry e = {.cols = cols, .n = n};
	bool was_there;
	uint64_t values;

	if (!qc_mul(cols, n, &values))
		return qc_fail(err, QC_BAD_INPUT, "imatrix entry '%s': %llu x %llu values", name,
			       (unsigned long long)n, (unsigned long long)cols);
	if (grow(im, err))
		return err->status;
	e.name = qc_arena_copy(&im->arena, name, strlen(name));
	e.sums = qc_arena_array(&im->arena, values, sizeof(*e.sums));
	e.counts = qc_arena_array(&im->arena, n, sizeof(*e.counts));
	e.amax = amax ? qc_arena_array(&im->arena, n, sizeof(*e.amax)) : NULL;
	if (!e.name || !e.sums || !e.counts || (amax && !e.amax))
		return qc_no_memory(err);
	if (qc_strmap_add(&im->index, e.name, strlen(e.name), im->n_entries, &was_there, err))
		return err->status;
	if (was_there)
		return qc_fail(err, QC_BAD_INPUT, "imatrix entry '%s' is there twice", name);
	im->entries[im->n_entries] = e;
	*entry = &im->entries[im->n_entries++];
	return QC_OK;
}

enum qc_status qc_imatrix_add_dataset(struct qc_imatrix *im, const char *name, size_t len,
				      struct qc_err *err)
{
	const char **more;
	char *own;

	for (size_t i = 0; i < im->n_datasets; i++)
		if (strlen(im->datasets[i]) == len && !memcmp(im->datasets[i], name, len))
			return QC_OK;
	more = reallocarray(im->datasets, im->n_datasets + 1, sizeof(*more));
	if (!more)
		return qc_no_memory(err);
	im->datasets = more;
	own = qc_arena_copy(&im->arena, name, len);
	if (!own)
		return qc_no_memory(err);
	im->datasets[im->n_datasets++] = own;
	return QC_OK;
}

/* One row of values becomes n rows, with as many counts as the one has. */
static enum qc_status unfold(struct qc_imatrix *im, struct qc_imatrix_entry *entry, uint64_t cols,
			     uint64_t n, struct qc_err *err)
{
	float *counts = qc_arena_array(&im->arena, n, sizeof(*counts));

	if (!counts)
		return qc_no_memory(err);
	for (uint64_t i = 0; i < n; i++)
		counts[i] = entry->counts[0];
	entry->counts = counts;
	entry->cols = cols;
	entry->n = n;
	return QC_OK;
}

enum qc_status qc_imatrix_fit(struct qc_imatrix *im, struct qc_imatrix_entry *entry, uint64_t cols,
			      uint64_t n, struct qc_err *err)
{
	uint64_t values;

	if (entry->cols == cols && entry->n == n)
		return QC_OK;
	if (entry->n == 1 && qc_mul(cols, n, &values) && values == entry->cols)
		return unfold(im, entry, cols, n, err);
	return qc_fail(
		err, QC_BAD_INPUT,
		"imatrix entry '%s' has %llu x %llu values, the tensor needs %llu x %llu: is "
		"it the imatrix of another model?",
		entry->name, (unsigned long long)entry->n, (unsigned long long)entry->cols,
		(unsigned long long)n, (unsigned long long)cols);
}

/* Sums are in f32 in the file, and so is the quotient in llama-quantize. */
void qc_imatrix_weights(const struct qc_imatrix_entry *entry, uint64_t index, float *weights,
			struct qc_imatrix_gaps *gaps)
{
	const float *sums = entry->sums + index * entry->cols, count = entry->counts[index];
	uint64_t empty = 0;
	float least = 0;

	for (uint64_t i = 0; i < entry->cols; i++) {
		weights[i] = count > 0 ? sums[i] / count : 1;
		if (!(weights[i] > 0))
			empty++;
		else if (!(least > 0) || weights[i] < least)
			least = weights[i];
	}
	if (gaps) {
		gaps->channels += empty;
		gaps->matrices += !(count > 0);
	}
	for (uint64_t i = 0; empty && i < entry->cols; i++)
		if (!(weights[i] > 0))
			weights[i] = least > 0 ? least : 1;
}

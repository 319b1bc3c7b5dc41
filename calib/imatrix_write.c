/* Both forms of the importance matrix as bytes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "calib/arrays.h"
#include "calib/imatrix_parts.h"

/* Entries in the order of their names, as llama.cpp has them. */
static int by_name(const void *a, const void *b)
{
	const struct qc_imatrix_entry *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static const struct qc_imatrix_entry **sorted(const struct qc_imatrix *im)
{
	const struct qc_imatrix_entry **list = calloc(im->n_entries + 1, sizeof(*list));

	for (size_t i = 0; list && i < im->n_entries; i++)
		list[i] = &im->entries[i];
	if (list)
		qsort(list, im->n_entries, sizeof(*list), by_name);
	return list;
}

static enum qc_status put_keys(const struct qc_imatrix *im, struct qc_arrays *arrays,
			       struct qc_err *err)
{
	struct qc_meta *meta = &arrays->meta;
	struct qc_kv_builder names = {0};
	enum qc_status s = qc_meta_set_string(meta, "general.type", "imatrix", 7, err);

	for (size_t i = 0; !s && i < im->n_datasets; i++)
		s = qc_kv_push_string(&names, im->datasets[i], strlen(im->datasets[i]), err);
	if (!s)
		s = qc_meta_set(meta, QC_IMATRIX_DATASETS, QC_KV_ARRAY, QC_KV_STRING, names.n,
				names.data, names.bytes, err);
	free(names.data);
	if (!s)
		s = qc_meta_set_u32(meta, QC_IMATRIX_CHUNK_COUNT, im->n_chunks, err);
	if (!s)
		s = qc_meta_set_u32(meta, QC_IMATRIX_CHUNK_SIZE, im->chunk_size, err);
	return s;
}

static enum qc_status gguf_bytes(const struct qc_imatrix *im,
				 const struct qc_imatrix_entry *const *list, uint8_t **bytes,
				 size_t *size, struct qc_err *err)
{
	struct qc_arrays arrays = {0};
	enum qc_status s;

	qc_arrays_init(&arrays);
	s = put_keys(im, &arrays, err);
	for (size_t i = 0; !s && i < im->n_entries; i++) {
		const struct qc_imatrix_entry *e = list[i];

		s = qc_arrays_add(&arrays, e->name, QC_IMATRIX_SUMS, e->sums, e->cols, e->n, err);
		if (!s)
			s = qc_arrays_add(&arrays, e->name, QC_IMATRIX_COUNTS, e->counts, 1, e->n,
					  err);
		if (!s && e->amax)
			s = qc_arrays_add(&arrays, e->name, QC_IMATRIX_AMAX, e->amax, 1, e->n, err);
	}
	if (!s)
		s = qc_arrays_bytes(&arrays, bytes, size, err);
	qc_arrays_clear(&arrays);
	return s;
}

/* A growing file. */
struct dat {
	uint8_t *data;
	size_t size, cap;
};

static uint8_t *dat_room(struct dat *dat, size_t size)
{
	uint8_t *at;

	if (dat->cap - dat->size < size) {
		const size_t cap = 2 * dat->cap + size + 4096;
		uint8_t *more = realloc(dat->data, cap);

		if (!more)
			return NULL;
		dat->data = more;
		dat->cap = cap;
	}
	at = dat->data + dat->size;
	dat->size += size;
	return at;
}

static enum qc_status put_number(struct dat *dat, double value, struct qc_err *err)
{
	uint8_t *at = dat_room(dat, 4);

	if (!at)
		return qc_no_memory(err);
	if (!(value <= INT32_MAX))
		return qc_fail(err, QC_UNSUPPORTED,
			       "the legacy form counts to %d, %.0f is needed: choose a .gguf",
			       INT32_MAX, value);
	qc_put_le32(at, (uint32_t)value);
	return QC_OK;
}

static enum qc_status put_name(struct dat *dat, const char *name, struct qc_err *err)
{
	const size_t len = strlen(name);
	enum qc_status s = put_number(dat, (double)len, err);
	uint8_t *at = s ? NULL : dat_room(dat, len);

	if (!s && !at)
		return qc_no_memory(err);
	if (at)
		memcpy(at, name, len);
	return s;
}

/* Means times n_calls, the chunks of the matrix that had most tokens; 1 for those without. */
static enum qc_status put_entry(struct dat *dat, const struct qc_imatrix_entry *e, float chunk,
				struct qc_err *err)
{
	float most = 0, n_calls;
	enum qc_status s = put_name(dat, e->name, err);
	uint8_t *at;

	for (uint64_t i = 0; i < e->n; i++)
		most = e->counts[i] > most ? e->counts[i] : most;
	n_calls = most > 0 ? ceilf(most / chunk) : 1;
	if (!s)
		s = put_number(dat, n_calls, err);
	if (!s)
		s = put_number(dat, (double)e->n * (double)e->cols, err);
	if (s)
		return s;
	at = dat_room(dat, e->n * e->cols * sizeof(float));
	if (!at)
		return qc_no_memory(err);
	for (uint64_t i = 0; i < e->n * e->cols; i++, at += sizeof(float)) {
		const float count = e->counts[i / e->cols];

		qc_put_le32(at, qc_f32_bits(count > 0 ? e->sums[i] / count * n_calls : n_calls));
	}
	return QC_OK;
}

static enum qc_status dat_bytes(const struct qc_imatrix *im,
				const struct qc_imatrix_entry *const *list, uint8_t **bytes,
				size_t *size, struct qc_err *err)
{
	struct dat dat = {0};
	enum qc_status s = put_number(&dat, (double)im->n_entries, err);

	for (size_t i = 0; !s && i < im->n_entries; i++)
		s = put_entry(&dat, list[i], im->chunk_size ? (float)im->chunk_size : 1, err);
	if (!s)
		s = put_number(&dat, im->n_chunks, err);
	if (!s)
		s = put_name(&dat, im->n_datasets ? im->datasets[0] : "", err);
	if (s)
		free(dat.data);
	*bytes = s ? NULL : dat.data;
	*size = dat.size;
	return s;
}

enum qc_status qc_imatrix_bytes(const struct qc_imatrix *im, enum qc_imatrix_form form,
				uint8_t **bytes, size_t *size, struct qc_err *err)
{
	const struct qc_imatrix_entry **list = sorted(im);
	enum qc_status s;

	if (!list)
		return qc_no_memory(err);
	s = form == QC_IMATRIX_GGUF ? gguf_bytes(im, list, bytes, size, err)
				    : dat_bytes(im, list, bytes, size, err);
	free(list);
	return s;
}

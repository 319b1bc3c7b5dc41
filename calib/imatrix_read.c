/* llama.cpp's imatrix GGUF, and which of the two forms a file has. */
#include <math.h>
#include <string.h>

#include "calib/arrays.h"
#include "calib/imatrix_parts.h"
#include "formats/gguf.h"
#include "formats/model.h"
#include "quant/types.h"

#define MOST_MEAN 1e30

enum qc_status qc_imatrix_check(const struct qc_imatrix_entry *entry, const char *what,
				const float *values, uint64_t n, struct qc_err *err)
{
	for (uint64_t i = 0; i < n; i++)
		if (!isfinite(values[i]) || values[i] < 0)
			return qc_fail(err, QC_BAD_INPUT,
				       "imatrix entry '%s': %s %llu of %llu is %g; a finite number "
				       "that is not negative is needed",
				       entry->name, what, (unsigned long long)i,
				       (unsigned long long)n, (double)values[i]);
	return QC_OK;
}

/* Means of squares that can be computed with: no activations are beyond 1e15. */
static enum qc_status check_means(const struct qc_imatrix *im, struct qc_err *err)
{
	for (size_t k = 0; k < im->n_entries; k++) {
		const struct qc_imatrix_entry *e = &im->entries[k];

		for (uint64_t m = 0; m < e->n; m++)
			if (e->counts[m] > 0 && e->counts[m] < 1)
				return qc_fail(err, QC_BAD_INPUT,
					       "imatrix entry '%s': count %llu is %g", e->name,
					       (unsigned long long)m, (double)e->counts[m]);
		for (uint64_t i = 0; i < e->n * e->cols; i++)
			if (e->counts[i / e->cols] > 0 &&
			    !(e->sums[i] / e->counts[i / e->cols] <= MOST_MEAN))
				return qc_fail(
					err, QC_BAD_INPUT,
					"imatrix entry '%s': the mean of squares %llu is %g, "
					"%g is the most possible",
					e->name, (unsigned long long)i,
					(double)(e->sums[i] / e->counts[i / e->cols]), MOST_MEAN);
	}
	return QC_OK;
}

/* Whether the tensor is NAME with this suffix; then NAME. */
static bool entry_name(const struct qc_tensor *tensor, const char *suffix, char *name, size_t size)
{
	const size_t len = strlen(tensor->stored_name), end = strlen(suffix);

	if (len <= end || len - end >= size || strcmp(tensor->stored_name + len - end, suffix))
		return false;
	memcpy(name, tensor->stored_name, len - end);
	name[len - end] = 0;
	return true;
}

static enum qc_status need_f32(const struct qc_tensor *tensor, struct qc_err *err)
{
	if (tensor->source->type == &qc_f32)
		return QC_OK;
	return qc_fail(err, QC_BAD_INPUT, "imatrix tensor '%s' is %s, f32 is needed",
		       tensor->stored_name, tensor->source->type->name);
}

static enum qc_status read_sums(struct qc_imatrix *im, const struct qc_tensor *tensor,
				const char *name, struct qc_err *err)
{
	const uint64_t cols = tensor->n_dims ? tensor->dims[0] : 1;
	struct qc_imatrix_entry *entry;
	enum qc_status s = need_f32(tensor, err);

	if (!s && !qc_tensor_elems(tensor))
		s = qc_fail(err, QC_BAD_INPUT, "imatrix tensor '%s' has no values",
			    tensor->stored_name);
	if (!s)
		s = qc_imatrix_add(im, name, cols, qc_tensor_elems(tensor) / (cols ? cols : 1),
				   false, &entry, err);
	if (!s)
		s = qc_array_read(tensor, entry->sums, err);
	if (!s)
		s = qc_imatrix_check(entry, "sum", entry->sums, qc_tensor_elems(tensor), err);
	return s;
}

/* One value a matrix: counts, or the largest magnitudes. */
static enum qc_status read_per_matrix(struct qc_imatrix *im, const struct qc_tensor *tensor,
				      const char *name, bool counts, struct qc_err *err)
{
	struct qc_imatrix_entry *entry = qc_imatrix_find(im, name);
	enum qc_status s = need_f32(tensor, err);
	float *values;

	if (s)
		return s;
	if (!entry)
		return qc_fail(err, QC_BAD_INPUT, "imatrix tensor '%s' has no '%s.in_sum2'",
			       tensor->stored_name, name);
	if (qc_tensor_elems(tensor) != entry->n)
		return qc_fail(err, QC_BAD_INPUT,
			       "imatrix tensor '%s' has %llu values, '%s.in_sum2' is of %llu "
			       "matrices",
			       tensor->stored_name, (unsigned long long)qc_tensor_elems(tensor),
			       name, (unsigned long long)entry->n);
	values = qc_arena_array(&im->arena, entry->n, sizeof(*values));
	if (!values)
		return qc_no_memory(err);
	s = qc_array_read(tensor, values, err);
	if (!s)
		s = qc_imatrix_check(entry, counts ? "count" : "maximum", values, entry->n, err);
	*(counts ? &entry->counts : &entry->amax) = values;
	return s;
}

/* All tensors with a suffix. */
static enum qc_status read_tensors(struct qc_imatrix *im, const struct qc_model *model,
				   const char *suffix, size_t *n, struct qc_err *err)
{
	char name[QC_GGUF_MAX_NAME + 1];
	enum qc_status s = QC_OK;

	*n = 0;
	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];

		if (!entry_name(tensor, suffix, name, sizeof(name)))
			continue;
		++*n;
		s = !strcmp(suffix, QC_IMATRIX_SUMS)
			    ? read_sums(im, tensor, name, err)
			    : read_per_matrix(im, tensor, name, !strcmp(suffix, QC_IMATRIX_COUNTS),
					      err);
	}
	return s;
}

static enum qc_status need_counts(const struct qc_imatrix *im, const struct qc_model *model,
				  struct qc_err *err)
{
	struct qc_strmap names = {0};
	enum qc_status s = QC_OK;
	char name[QC_GGUF_MAX_NAME + 1];
	bool was_there;

	for (size_t i = 0; !s && i < model->n_tensors; i++)
		if (entry_name(&model->tensors[i], QC_IMATRIX_COUNTS, name, sizeof(name)))
			s = qc_strmap_add(&names, qc_imatrix_find(im, name)->name, strlen(name), i,
					  &was_there, err);
	for (size_t i = 0; !s && i < im->n_entries; i++)
		if (!qc_strmap_find(&names, im->entries[i].name, strlen(im->entries[i].name)))
			s = qc_fail(err, QC_BAD_INPUT, "imatrix entry '%s' has no counts",
				    im->entries[i].name);
	qc_strmap_clear(&names);
	return s;
}

static enum qc_status missing(const char *key, struct qc_err *err)
{
	return qc_fail(err, QC_BAD_INPUT, "the key '%s' is missing or of another type", key);
}

static enum qc_status read_keys(struct qc_imatrix *im, const struct qc_meta *meta,
				struct qc_err *err)
{
	const struct qc_kv *datasets = qc_meta_find(meta, QC_IMATRIX_DATASETS);
	const char *text = "";
	size_t len = 0, at = 0;
	enum qc_status s = QC_OK;

	if (!qc_meta_string(meta, "general.type", &text, &len) || len != strlen("imatrix") ||
	    memcmp(text, "imatrix", len))
		return qc_fail(err, QC_BAD_INPUT,
			       "a GGUF file, but no imatrix: its general.type is '%.*s', "
			       "'imatrix' is needed ('qconv calibrate' makes one)",
			       (int)(len < 64 ? len : 64), text);
	if (!datasets || datasets->type != QC_KV_ARRAY || datasets->elem != QC_KV_STRING)
		return missing(QC_IMATRIX_DATASETS, err);
	if (!qc_meta_u32(meta, QC_IMATRIX_CHUNK_COUNT, &im->n_chunks))
		return missing(QC_IMATRIX_CHUNK_COUNT, err);
	if (!qc_meta_u32(meta, QC_IMATRIX_CHUNK_SIZE, &im->chunk_size))
		return missing(QC_IMATRIX_CHUNK_SIZE, err);
	while (!s && qc_kv_next_string(datasets, &at, &text, &len))
		s = qc_imatrix_add_dataset(im, text, len, err);
	return s;
}

static enum qc_status read_gguf(struct qc_imatrix *im, const char *path, struct qc_err *err)
{
	struct qc_model model = {0};
	size_t n_sums = 0, n_counts = 0, n_amax = 0;
	enum qc_status s = qc_gguf_open_stored(&model, path, err);

	if (s) /* names the file itself */
		return s;
	s = read_keys(im, &model.meta, err);
	if (!s)
		s = read_tensors(im, &model, QC_IMATRIX_SUMS, &n_sums, err);
	if (!s)
		s = read_tensors(im, &model, QC_IMATRIX_COUNTS, &n_counts, err);
	if (!s && n_counts != n_sums)
		s = need_counts(im, &model, err);
	if (!s)
		s = read_tensors(im, &model, QC_IMATRIX_AMAX, &n_amax, err);
	if (!s && !n_sums)
		s = qc_fail(err, QC_BAD_INPUT, "the imatrix has no entries");
	if (!s)
		s = check_means(im, err);
	if (!s)
		s = qc_model_unchanged(&model, err);
	qc_model_close(&model);
	return s && s != QC_IO && s != QC_NO_MEMORY ? qc_fail_in(err, "'%s'", path) : s;
}

static enum qc_status read_dat(struct qc_imatrix *im, const struct qc_file *file,
			       struct qc_err *err)
{
	enum qc_status s = qc_imatrix_read_dat(im, file, err);

	if (!s)
		s = check_means(im, err);
	if (!s)
		s = qc_file_unchanged(file, err);
	return s && s != QC_IO && s != QC_NO_MEMORY ? qc_fail_in(err, "'%s'", file->path) : s;
}

enum qc_status qc_imatrix_read(struct qc_imatrix *im, const char *path, struct qc_err *err)
{
	struct qc_file file = {0};
	uint8_t magic[4] = {0};
	enum qc_status s = qc_file_open(&file, path, err);

	memset(im, 0, sizeof(*im));
	if (!s)
		s = qc_file_read(&file, 0, magic, file.size < 4 ? (size_t)file.size : 4, err);
	if (!s)
		s = memcmp(magic, "GGUF", 4) ? read_dat(im, &file, err) : read_gguf(im, path, err);
	qc_file_close(&file);
	if (s)
		qc_imatrix_clear(im);
	return s;
}

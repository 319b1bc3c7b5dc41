#include "convert/source_hash.h"

#include <stdlib.h>
#include <string.h>

enum qc_status qc_source_hash_init(struct qc_source_hash *hash, const struct qc_model *model,
				   struct qc_err *err)
{
	bool ok;

	memset(hash, 0, sizeof(*hash));
	hash->files = calloc(model->n_files + 1, sizeof(*hash->files));
	hash->buffer = malloc(QC_SOURCE_HASH_BYTES);
	ok = hash->files && hash->buffer;
	hash->model = model;
	for (size_t i = 0; ok && i < model->n_files; i++) {
		hash->files[i].hasher = qc_hasher_new();
		ok = hash->files[i].hasher != NULL;
	}
	if (ok)
		return QC_OK;
	qc_source_hash_clear(hash);
	return qc_no_memory(err);
}

void qc_source_hash_clear(struct qc_source_hash *hash)
{
	for (size_t i = 0; hash->files && i < hash->model->n_files; i++)
		qc_hasher_free(hash->files[i].hasher);
	free(hash->files);
	free(hash->buffer);
	memset(hash, 0, sizeof(*hash));
}

static enum qc_status read_until(struct qc_source_hash *hash, size_t file, uint64_t end,
				 struct qc_err *err)
{
	struct qc_source_file_hash *f = &hash->files[file];

	while (f->done < end) {
		uint64_t left = end - f->done;
		size_t n = left < QC_SOURCE_HASH_BYTES ? (size_t)left : QC_SOURCE_HASH_BYTES;
		enum qc_status s =
			qc_file_read(hash->model->files[file], f->done, hash->buffer, n, err);

		if (s)
			return s;
		qc_hasher_add(f->hasher, hash->buffer, n);
		f->done += n;
	}
	return QC_OK;
}

enum qc_status qc_source_hash_add(struct qc_source_hash *hash, const struct qc_extent *extent,
				  const uint8_t *bytes, struct qc_err *err)
{
	uint64_t end = extent->offset + extent->bytes, known;
	struct qc_source_file_hash *f;
	enum qc_status s;
	size_t file = 0;

	if (!hash->model)
		return QC_OK;
	while (file < hash->model->n_files && hash->model->files[file] != extent->file)
		file++;
	if (file == hash->model->n_files || end <= hash->files[file].done)
		return QC_OK; /* not a file of the model (an adapter), or seen already */
	f = &hash->files[file];
	s = read_until(hash, file, extent->offset, err);
	if (s)
		return s;
	known = f->done - extent->offset;
	qc_hasher_add(f->hasher, bytes + known, (size_t)(extent->bytes - known));
	f->done = end;
	return QC_OK;
}

enum qc_status qc_source_hash_finish(struct qc_source_hash *hash, struct qc_digest128 *digests,
				     struct qc_err *err)
{
	for (size_t i = 0; i < hash->model->n_files; i++) {
		enum qc_status s = read_until(hash, i, hash->model->files[i]->size, err);

		if (s)
			return s;
		digests[i] = qc_hasher_digest(hash->files[i].hasher);
	}
	return QC_OK;
}

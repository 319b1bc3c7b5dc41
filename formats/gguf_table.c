/*
 * GGUF's tensor table. Every tensor must lie wholly inside the file, directly behind the one before
 * it (padded), as ggml's own reader demands: so no two share bytes and no byte of the file is
 * hidden.
 */
#include "formats/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "formats/ggml_types.h"

/* A row of the tensor table. */
struct info {
	char *name; /* in the model's arena */
	uint32_t n_dims;
	uint64_t *dims; /* in the model's arena */
	const struct qc_qtype *type;
	uint64_t rows, cols;
	uint64_t offset, bytes;
};

/* The tensor table of one file. */
struct table {
	struct info *infos;
	size_t n, cap;
	uint64_t data_bytes; /* of all tensors, each padded but for the last */
};

static enum qc_status read_name(struct qc_reader *reader, struct qc_arena *arena, char **name,
				struct qc_err *err)
{
	char text[QC_GGUF_MAX_NAME + 1];
	uint64_t len;
	enum qc_status s = qc_read_u64(reader, &len, "a tensor name", err);

	if (s)
		return s;
	if (!len || len > QC_GGUF_MAX_NAME)
		return qc_fail(err, QC_BAD_INPUT,
			       "a tensor name has %llu bytes, 1 to %d are allowed",
			       (unsigned long long)len, QC_GGUF_MAX_NAME);
	s = qc_read_bytes(reader, text, len, "a tensor name", err);
	if (s)
		return s;
	text[len] = 0;
	if (memchr(text, 0, len) || !qc_utf8_valid(text, len))
		return qc_fail(err, QC_BAD_INPUT, "tensor name '%s' %s", text,
			       memchr(text, 0, len) ? "has a NUL byte in it" : "is not UTF-8");
	*name = qc_arena_copy(arena, text, len);
	return *name ? QC_OK : qc_no_memory(err);
}

/* Rows, columns and bytes from dims and type. The dimensions other than zero must multiply to less
 * than 2^63 even when one is zero: later code multiplies some of them. */
static enum qc_status info_measure(struct info *info, struct qc_err *err)
{
	const struct qc_qtype *type = info->type;
	uint64_t first = info->n_dims ? info->dims[0] : 1, elems = 1, product = 0;
	bool ok = true;

	for (uint32_t i = 0; ok && i < info->n_dims; i++) {
		if (info->dims[i])
			ok = qc_mul(elems, info->dims[i], &elems) && elems <= INT64_MAX;
	}
	ok = ok && qc_mul(elems, type->block_bytes, &product);
	if (!ok)
		return qc_fail(err, QC_BAD_INPUT, "the dimensions are too large");
	if (first % type->block_elems)
		return qc_fail(err, QC_BAD_INPUT,
			       "rows of %llu values do not divide into %s's blocks of %u",
			       (unsigned long long)first, type->name, type->block_elems);
	qc_source_shape(type, info->n_dims, info->dims, &info->rows, &info->cols);
	/* no overflow: at most `product` */
	info->bytes = info->rows * (info->cols / type->block_elems) * type->block_bytes;
	return QC_OK;
}

static enum qc_status info_read_shape(struct info *info, struct qc_reader *reader,
				      struct qc_arena *arena, struct qc_err *err)
{
	uint32_t id;
	const char *known;
	enum qc_status s =
		qc_read_u32(reader, &info->n_dims, "a tensor's number of dimensions", err);

	if (s)
		return s;
	if (info->n_dims > QC_GGUF_MAX_DIMS)
		return qc_fail(err, QC_BAD_INPUT, "%u dimensions, at most %d are allowed",
			       info->n_dims, QC_GGUF_MAX_DIMS);
	info->dims = qc_arena_array(arena, info->n_dims, sizeof(info->dims[0]));
	if (!info->dims)
		return qc_no_memory(err);
	for (uint32_t i = 0; !s && i < info->n_dims; i++)
		s = qc_read_u64(reader, &info->dims[i], "a tensor's dimension", err);
	if (!s)
		s = qc_read_u32(reader, &id, "a tensor's type", err);
	if (!s)
		s = qc_read_u64(reader, &info->offset, "a tensor's offset", err);
	if (s)
		return s;
	info->type = qc_ggml_type(id);
	known = qc_ggml_foreign_type(id);
	if (!info->type && known)
		return qc_fail(err, QC_UNSUPPORTED, "type %u is not supported (%s)", id, known);
	if (!info->type)
		return qc_fail(err, QC_BAD_INPUT, "type %u is unknown", id);
	return info_measure(info, err);
}

/* The tensor must start where the padded one before it ends; then move that end. */
static enum qc_status info_place(const struct info *info, uint64_t alignment, uint64_t *end,
				 struct qc_err *err)
{
	uint64_t start;

	if (!qc_align_up(*end, alignment, &start))
		return qc_fail(err, QC_BAD_INPUT,
			       "the tensors' sizes add up to more than 2^64 bytes");
	if (info->offset % alignment)
		return qc_fail(err, QC_BAD_INPUT,
			       "offset %llu is not a multiple of the alignment, %llu",
			       (unsigned long long)info->offset, (unsigned long long)alignment);
	if (info->offset != start)
		return qc_fail(err, QC_BAD_INPUT, "offset %llu %s, it must be %llu",
			       (unsigned long long)info->offset,
			       info->offset < start ? "lies inside the tensors before it"
						    : "leaves a hole before it",
			       (unsigned long long)start);
	if (!qc_add(start, info->bytes, end))
		return qc_fail(err, QC_BAD_INPUT,
			       "the tensors' sizes add up to more than 2^64 bytes");
	return QC_OK;
}

static struct info *table_add(struct table *table)
{
	if (table->n == table->cap) {
		size_t cap = table->cap ? 2 * table->cap : 64;
		struct info *infos = realloc(table->infos, cap * sizeof(*infos));

		if (!infos)
			return NULL;
		table->infos = infos;
		table->cap = cap;
	}
	table->infos[table->n] = (struct info){0};
	return &table->infos[table->n++];
}

/* Read the tensor table. `names` maps the names of all files of the set. */
static enum qc_status table_read(struct table *table, struct qc_gguf *gguf, struct qc_arena *arena,
				 struct qc_strmap *names, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (uint64_t i = 0; !s && i < gguf->n_tensors; i++) {
		struct info *info = table_add(table);
		bool was_there = false;

		if (!info)
			return qc_no_memory(err);
		if (read_name(&gguf->reader, arena, &info->name, err))
			return qc_fail_in(err, "tensor %llu of %llu", (unsigned long long)i + 1,
					  (unsigned long long)gguf->n_tensors);
		s = qc_strmap_add(names, info->name, strlen(info->name), i, &was_there, err);
		if (!s && was_there)
			s = qc_fail(err, QC_BAD_INPUT, "there are two tensors of this name");
		if (!s)
			s = info_read_shape(info, &gguf->reader, arena, err);
		if (!s)
			s = info_place(info, gguf->alignment, &table->data_bytes, err);
		if (s)
			s = qc_fail_in(err, "tensor '%s'", info->name);
	}
	return s;
}

/* The end of the last tensor must be in the file; its padding may be missing (real files lack it).
 */
static enum qc_status table_fits(const struct table *table, const struct qc_gguf *gguf,
				 uint64_t *data_start, struct qc_err *err)
{
	uint64_t size = gguf->reader.end, end;

	if (!qc_align_up(gguf->reader.pos, gguf->alignment, data_start) ||
	    !qc_add(*data_start, table->data_bytes, &end))
		return qc_fail(err, QC_BAD_INPUT,
			       "the tensors' sizes add up to more than 2^64 bytes");
	if (!table->data_bytes || end <= size)
		return QC_OK;
	for (size_t i = 0; i < table->n; i++) {
		const struct info *info = &table->infos[i];

		/* no overflow: all of it is at most `end` */
		if (info->bytes && *data_start + info->offset + info->bytes > size)
			return qc_fail(err, QC_BAD_INPUT,
				       "truncated: the file has %llu bytes, its tensors need %llu: "
				       "%llu are missing, "
				       "from tensor '%s' on (an incomplete download?)",
				       (unsigned long long)size, (unsigned long long)end,
				       (unsigned long long)(end - size), info->name);
	}
	return QC_OK;
}

static enum qc_status table_add_to_model(const struct table *table, struct qc_model *model,
					 uint32_t file, uint64_t data_start, bool big_endian,
					 struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < table->n; i++) {
		const struct info *info = &table->infos[i];
		struct qc_tensor tensor = {
			.name = info->name,
			.stored_name = info->name,
			.n_dims = info->n_dims,
			.dims = info->dims,
			.layer = -1,
			.file = file,
		};

		tensor.source =
			qc_source_file(&model->arena, model->files[file], data_start + info->offset,
				       info->type, info->rows, info->cols, big_endian);
		s = tensor.source ? qc_model_add_tensor(model, &tensor, err) : qc_no_memory(err);
	}
	return s;
}

enum qc_status qc_gguf_read_tensors(struct qc_gguf *gguf, struct qc_model *model, uint32_t file,
				    struct qc_strmap *names, struct qc_err *err)
{
	struct table table = {0};
	uint64_t data_start = 0;
	enum qc_status s = table_read(&table, gguf, &model->arena, names, err);

	if (!s)
		s = table_fits(&table, gguf, &data_start, err);
	if (!s)
		s = table_add_to_model(&table, model, file, data_start, gguf->big_endian, err);
	free(table.infos);
	return s;
}

/*
 * GGUF, the writer's plan: where every tensor will lie, and all bytes before the first one. The
 * file is version 3, little-endian, keys and tensors in the order given, laid out as formats/gguf.h
 * shows.
 */
#include "formats/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/strmap.h"
#include "base/utf8.h"
#include "formats/ggml_types.h"

bool qc_gguf_can_hold(const struct qc_qtype *type)
{
	uint32_t id;

	return qc_ggml_id(type, &id);
}

static enum qc_status too_large(struct qc_err *err)
{
	return qc_fail(err, QC_UNSUPPORTED, "the output would be larger than 2^63 bytes");
}

/* Dimensions to write: ggml drops trailing ones and keeps at least one; a scalar becomes one row of
 * one. */
static uint32_t written_dims(const struct qc_out_tensor *tensor)
{
	uint32_t n = tensor->n_dims;

	while (n > 1 && tensor->dims[n - 1] == 1)
		n--;
	return n ? n : 1;
}

/* Whether GGUF can hold the tensor at all. */
static enum qc_status tensor_check(const struct qc_out_tensor *tensor, struct qc_err *err)
{
	size_t len = strlen(tensor->name);
	uint32_t n_dims = written_dims(tensor), id;
	uint64_t elems = 1, bytes;
	bool empty = false;

	if (!len || len > QC_GGUF_MAX_NAME)
		return qc_fail(err, QC_UNSUPPORTED, "the name has %zu bytes, GGUF allows 1 to %d",
			       len, QC_GGUF_MAX_NAME);
	if (!qc_utf8_valid(tensor->name, len))
		return qc_fail(err, QC_UNSUPPORTED, "the name is not UTF-8");
	if (n_dims > QC_GGUF_MAX_DIMS)
		return qc_fail(err, QC_UNSUPPORTED, "%u dimensions, GGUF allows at most %d", n_dims,
			       QC_GGUF_MAX_DIMS);
	if (!qc_ggml_id(tensor->type, &id))
		return qc_fail(err, QC_UNSUPPORTED, "GGUF has no type %s", tensor->type->name);
	for (uint32_t i = 0; i < tensor->n_dims; i++) {
		empty = empty || !tensor->dims[i];
		if (tensor->dims[i] &&
		    (!qc_mul(elems, tensor->dims[i], &elems) || elems > INT64_MAX))
			return qc_fail(err, QC_UNSUPPORTED, "the dimensions are too large");
	}
	if ((tensor->n_dims ? tensor->dims[0] : 1) % tensor->type->block_elems)
		return qc_fail(err, QC_UNSUPPORTED,
			       "rows of %llu values do not divide into %s's blocks of %u",
			       (unsigned long long)(tensor->n_dims ? tensor->dims[0] : 1),
			       tensor->type->name, tensor->type->block_elems);
	if (!qc_qtype_bytes(tensor->type, empty ? 0 : elems, &bytes) || bytes != tensor->bytes)
		return qc_fail(err, QC_UNSUPPORTED,
			       "%llu bytes planned do not fit the dimensions and type %s",
			       (unsigned long long)tensor->bytes, tensor->type->name);
	return QC_OK;
}

/* Check every tensor, give it its offset inside the data section, and sum up. */
static enum qc_status place_tensors(struct qc_out_tensor *tensors, size_t n, uint64_t alignment,
				    uint64_t *info_bytes, uint64_t *data_bytes, struct qc_err *err)
{
	struct qc_strmap names = {0};
	enum qc_status s = QC_OK;

	*info_bytes = *data_bytes = 0;
	for (size_t i = 0; !s && i < n; i++) {
		struct qc_out_tensor *tensor = &tensors[i];
		size_t len = strlen(tensor->name);
		bool was_there = false;

		s = tensor_check(tensor, err);
		if (!s)
			s = qc_strmap_add(&names, tensor->name, len, i, &was_there, err);
		if (!s && was_there)
			s = qc_fail(err, QC_UNSUPPORTED, "there are two tensors of this name");
		tensor->file = 0;
		tensor->offset = *data_bytes;
		if (!s &&
		    (!qc_add(*data_bytes, tensor->bytes, data_bytes) ||
		     !qc_align_up(*data_bytes, alignment, data_bytes) || *data_bytes > INT64_MAX))
			s = too_large(err);
		if (s)
			s = qc_fail_in(err, "tensor '%s'", tensor->name);
		else /* len <= 63: no overflow */
			*info_bytes += 8 + len + 4 + 8 * (uint64_t)written_dims(tensor) + 4 + 8;
	}
	qc_strmap_clear(&names);
	return s;
}

/* Bytes of one metadata entry. */
static bool kv_size(const struct qc_kv *kv, uint64_t *bytes)
{
	uint64_t fixed = 8 + 4 + (kv->type == QC_KV_ARRAY ? 12 : kv->type == QC_KV_STRING ? 8 : 0);

	return qc_add(fixed, strlen(kv->key), bytes) && qc_add(*bytes, kv->bytes, bytes);
}

enum qc_status qc_gguf_meta_bytes(const struct qc_meta *meta, uint64_t *bytes, struct qc_err *err)
{
	*bytes = 0;
	for (size_t i = 0; i < meta->n; i++) {
		const struct qc_kv *kv = &meta->kvs[i];
		size_t len = strlen(kv->key);
		uint64_t each;

		if (!len || len > QC_GGUF_MAX_KEY || !qc_utf8_valid(kv->key, len))
			return qc_fail(err, QC_UNSUPPORTED,
				       "metadata key '%.64s': a key must be UTF-8 of 1 to %d bytes",
				       kv->key, QC_GGUF_MAX_KEY);
		if (!kv_size(kv, &each) || !qc_add(*bytes, each, bytes) || *bytes > INT64_MAX)
			return too_large(err);
	}
	return QC_OK;
}

static uint8_t *put_u32(uint8_t *p, uint32_t value)
{
	qc_put_le32(p, value);
	return p + 4;
}

static uint8_t *put_u64(uint8_t *p, uint64_t value)
{
	qc_put_le64(p, value);
	return p + 8;
}

static uint8_t *put_bytes(uint8_t *p, const void *data, size_t size)
{
	if (size)
		memcpy(p, data, size);
	return p + size;
}

static uint8_t *put_string(uint8_t *p, const char *text)
{
	size_t len = strlen(text);

	return put_bytes(put_u64(p, len), text, len);
}

static uint8_t *put_kv(uint8_t *p, const struct qc_kv *kv)
{
	p = put_u32(put_string(p, kv->key), kv->type);
	if (kv->type == QC_KV_ARRAY)
		p = put_u64(put_u32(p, kv->elem), kv->n);
	else if (kv->type == QC_KV_STRING)
		p = put_u64(p, kv->bytes);
	return put_bytes(p, kv->data, kv->bytes);
}

static uint8_t *put_tensor(uint8_t *p, const struct qc_out_tensor *tensor)
{
	uint32_t n_dims = written_dims(tensor), id = 0;

	(void)qc_ggml_id(tensor->type, &id); /* checked */
	p = put_u32(put_string(p, tensor->name), n_dims);
	for (uint32_t i = 0; i < n_dims; i++)
		p = put_u64(p, i < tensor->n_dims ? tensor->dims[i] : 1);
	return put_u64(put_u32(p, id), tensor->offset);
}

/* Fill the header while the tensors' offsets still count from the data section, as they are
 * written. */
static void put_header(uint8_t *p, const struct qc_out_tensor *tensors, size_t n,
		       const struct qc_meta *meta)
{
	p = put_u32(put_bytes(p, "GGUF", 4), QC_GGUF_VERSION);
	p = put_u64(put_u64(p, n), meta->n);
	for (size_t i = 0; i < meta->n; i++)
		p = put_kv(p, &meta->kvs[i]);
	for (size_t i = 0; i < n; i++)
		p = put_tensor(p, &tensors[i]);
}

enum qc_status qc_gguf_layout(struct qc_out_tensor *tensors, size_t n, const struct qc_meta *meta,
			      struct qc_out_file *out, struct qc_err *err)
{
	uint64_t alignment, meta_bytes, info_bytes = 0, data_bytes = 0, header, total;
	enum qc_status s = qc_gguf_alignment(meta, &alignment, err);

	if (!s)
		s = qc_gguf_meta_bytes(meta, &meta_bytes, err);
	if (!s)
		s = place_tensors(tensors, n, alignment, &info_bytes, &data_bytes, err);
	if (s)
		return s;
	if (!qc_add(QC_GGUF_HEAD_BYTES, meta_bytes, &header) ||
	    !qc_add(header, info_bytes, &header) || !qc_align_up(header, alignment, &header) ||
	    !qc_add(header, data_bytes, &total) || total > INT64_MAX)
		return too_large(err);
	out->header = calloc(1, header);
	if (!out->header)
		return qc_no_memory(err);
	put_header(out->header, tensors, n, meta);
	for (size_t i = 0; i < n; i++)
		tensors[i].offset += header;
	out->header_bytes = header;
	out->total_bytes = total;
	return QC_OK;
}

enum qc_status qc_gguf_layout_out(struct qc_out_tensor *tensors, size_t n,
				  const struct qc_layout_wish *wish, struct qc_out *out,
				  struct qc_err *err)
{
	struct qc_out_file *file;
	enum qc_status s;

	if (wish->split.max_bytes || wish->split.max_tensors)
		return qc_gguf_layout_set(tensors, n, wish, out, err);
	file = qc_out_add(out);
	s = file ? qc_gguf_layout(tensors, n, wish->meta, file, err) : qc_no_memory(err);
	if (!s)
		out->total_bytes = file->total_bytes;
	return s;
}

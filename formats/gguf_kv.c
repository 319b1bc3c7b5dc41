/* GGUF's metadata section. Payloads are kept as they lie in a little-endian file (formats/meta.h);
 * those of a big-endian file are swapped word by word. */
#include "formats/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/utf8.h"

/* A buffer that is used again for every key. It grows only after a length was checked against the
 * bytes left. */
struct buffer {
	uint8_t *data;
	size_t size, cap;
};

static enum qc_status buffer_reserve(struct buffer *buffer, uint64_t more, struct qc_err *err)
{
	uint64_t need;
	uint8_t *data;

	if (!qc_add(buffer->size, more, &need) || need > SIZE_MAX / 2)
		return qc_no_memory(err);
	if (need <= buffer->cap)
		return QC_OK;
	if (need < 2 * (uint64_t)buffer->cap)
		need = 2 * (uint64_t)buffer->cap;
	if (need < 4096)
		need = 4096;
	data = realloc(buffer->data, need);
	if (!data)
		return qc_no_memory(err);
	buffer->data = data;
	buffer->cap = need;
	return QC_OK;
}

/* Append `size` bytes of the file, which the caller has checked to be there. */
static enum qc_status buffer_read(struct buffer *buffer, struct qc_reader *reader, uint64_t size,
				  const char *what, struct qc_err *err)
{
	enum qc_status s = buffer_reserve(buffer, size, err);

	if (!s)
		s = qc_read_bytes(reader, buffer->data + buffer->size, size, what, err);
	if (!s)
		buffer->size += size;
	return s;
}

/* Read a string's length and check it. */
static enum qc_status kv_string_length(struct qc_reader *reader, uint64_t *len, const char *what,
				       struct qc_err *err)
{
	enum qc_status s = qc_read_u64(reader, len, what, err);

	if (s)
		return s;
	if (*len > qc_reader_left(reader))
		return qc_fail(err, QC_BAD_INPUT, "%s claims %llu bytes, %llu are left in the file",
			       what, (unsigned long long)*len,
			       (unsigned long long)qc_reader_left(reader));
	if (*len > QC_GGUF_MAX_STRING)
		return qc_fail(err, QC_UNSUPPORTED, "%s has %llu bytes, at most %u are supported",
			       what, (unsigned long long)*len, QC_GGUF_MAX_STRING);
	return QC_OK;
}

/* The key, NUL-terminated, in `key`. */
static enum qc_status kv_read_key(struct qc_reader *reader, struct buffer *key, struct qc_err *err)
{
	uint64_t len;
	enum qc_status s = kv_string_length(reader, &len, "a key", err);

	key->size = 0;
	if (!s && !len)
		s = qc_fail(err, QC_BAD_INPUT, "a metadata key is empty");
	if (!s && len > QC_GGUF_MAX_KEY)
		s = qc_fail(err, QC_BAD_INPUT,
			    "a metadata key has %llu bytes, at most %d are allowed",
			    (unsigned long long)len, QC_GGUF_MAX_KEY);
	if (!s)
		s = buffer_reserve(key, len + 1, err);
	if (!s)
		s = buffer_read(key, reader, len, "a key", err);
	if (s)
		return s;
	key->data[len] = 0;
	if (memchr(key->data, 0, len))
		return qc_fail(err, QC_BAD_INPUT, "metadata key '%.64s' has a NUL byte in it",
			       (char *)key->data);
	if (!qc_utf8_valid(key->data, len))
		return qc_fail(err, QC_BAD_INPUT, "a metadata key is not UTF-8");
	return QC_OK;
}

static void swap_words(uint8_t *data, uint64_t n, size_t bytes)
{
	for (uint64_t i = 0; i < n; i++, data += bytes) {
		for (size_t a = 0, b = bytes - 1; a < b; a++, b--) {
			uint8_t byte = data[a];

			data[a] = data[b];
			data[b] = byte;
		}
	}
}

/* `n` values of a type with a fixed size. */
static enum qc_status kv_read_values(struct qc_reader *reader, enum qc_kv_type type, uint64_t n,
				     struct buffer *payload, struct qc_err *err)
{
	size_t each = qc_kv_type_bytes(type);
	uint64_t bytes;
	enum qc_status s;

	if (!qc_mul(n, each, &bytes) || bytes > qc_reader_left(reader))
		return qc_fail(err, QC_BAD_INPUT,
			       "%llu values of type %s claimed, %llu bytes are left in the file",
			       (unsigned long long)n, qc_kv_type_name(type),
			       (unsigned long long)qc_reader_left(reader));
	if (bytes > QC_GGUF_MAX_ARRAY_BYTES)
		return qc_fail(err, QC_UNSUPPORTED,
			       "an array of %llu bytes, at most %u are supported",
			       (unsigned long long)bytes, QC_GGUF_MAX_ARRAY_BYTES);
	s = buffer_read(payload, reader, bytes, "a value", err);
	if (s)
		return s;
	if (reader->big_endian)
		swap_words(payload->data, n, each);
	for (uint64_t i = 0; type == QC_KV_BOOL && i < n; i++)
		if (payload->data[i] > 1)
			return qc_fail(err, QC_BAD_INPUT,
				       "a bool has the value %u, only 0 and 1 are allowed",
				       payload->data[i]);
	return QC_OK;
}

/* `n` strings, each with its length before it. */
static enum qc_status kv_read_strings(struct qc_reader *reader, uint64_t n, struct buffer *payload,
				      struct qc_err *err)
{
	enum qc_status s = QC_OK;

	if (n > qc_reader_left(reader) / 8)
		return qc_fail(err, QC_BAD_INPUT,
			       "%llu strings claimed, %llu bytes are left in the file",
			       (unsigned long long)n, (unsigned long long)qc_reader_left(reader));
	for (uint64_t i = 0; !s && i < n; i++) {
		uint64_t len;

		s = kv_string_length(reader, &len, "a string in an array", err);
		if (!s && payload->size + len + 8 > QC_GGUF_MAX_ARRAY_BYTES)
			s = qc_fail(err, QC_UNSUPPORTED,
				    "an array of strings is longer than the supported %u bytes",
				    QC_GGUF_MAX_ARRAY_BYTES);
		if (!s)
			s = buffer_reserve(payload, len + 8, err);
		if (s)
			break;
		qc_put_le64(payload->data + payload->size, len);
		payload->size += 8;
		s = buffer_read(payload, reader, len, "a string in an array", err);
	}
	return s;
}

static enum qc_status kv_bad_type(const char *what, uint32_t type, struct qc_err *err)
{
	if (type == QC_KV_ARRAY)
		return qc_fail(err, QC_UNSUPPORTED, "arrays of arrays are not supported");
	return qc_fail(err, QC_BAD_INPUT, "%s type %u is unknown, GGUF has 0 to %d", what, type,
		       QC_KV_TYPES - 1);
}

/* The value of `key`: its type and payload, into `meta`. */
static enum qc_status kv_read_value(struct qc_reader *reader, struct qc_meta *meta, const char *key,
				    struct buffer *payload, struct qc_err *err)
{
	uint32_t type, elem;
	uint64_t n = 1;
	enum qc_status s = qc_read_u32(reader, &type, "a value type", err);

	if (s)
		return s;
	if (type >= QC_KV_TYPES)
		return kv_bad_type("value", type, err);
	payload->size = 0;
	elem = type;
	if (type == QC_KV_ARRAY) {
		s = qc_read_u32(reader, &elem, "an array's element type", err);
		if (!s)
			s = qc_read_u64(reader, &n, "an array's length", err);
		if (s)
			return s;
		if (elem >= QC_KV_TYPES || elem == QC_KV_ARRAY)
			return kv_bad_type("element", elem, err);
	}
	if (elem != QC_KV_STRING) {
		s = kv_read_values(reader, (enum qc_kv_type)elem, n, payload, err);
	} else if (type == QC_KV_ARRAY) {
		s = kv_read_strings(reader, n, payload, err);
	} else {
		uint64_t len;

		s = kv_string_length(reader, &len, "a string", err);
		if (!s)
			s = buffer_read(payload, reader, len, "a string", err);
	}
	if (s)
		return s;
	return qc_meta_set(meta, key, (enum qc_kv_type)type, (enum qc_kv_type)elem, n,
			   payload->data, payload->size, err);
}

enum qc_status qc_gguf_alignment(const struct qc_meta *meta, uint64_t *alignment,
				 struct qc_err *err)
{
	const struct qc_kv *kv = qc_meta_find(meta, QC_GGUF_ALIGNMENT_KEY);
	uint32_t value;

	*alignment = QC_GGUF_DEFAULT_ALIGNMENT;
	if (!kv)
		return QC_OK;
	if (kv->type != QC_KV_U32)
		return qc_fail(err, QC_BAD_INPUT, "%s has type %s, it must be u32",
			       QC_GGUF_ALIGNMENT_KEY, qc_kv_type_name(kv->type));
	value = qc_le32(kv->data);
	if (!value || value & (value - 1) || value > QC_GGUF_MAX_ALIGNMENT)
		return qc_fail(err, QC_BAD_INPUT, "%s is %u, it must be a power of two up to %u",
			       QC_GGUF_ALIGNMENT_KEY, value, QC_GGUF_MAX_ALIGNMENT);
	*alignment = value;
	return QC_OK;
}

enum qc_status qc_gguf_read_kvs(struct qc_gguf *gguf, struct qc_meta *meta, struct qc_err *err)
{
	struct buffer key = {0}, payload = {0};
	enum qc_status s = buffer_reserve(&payload, 1, err); /* never NULL, even for empty values */

	for (uint64_t i = 0; !s && i < gguf->n_kvs; i++) {
		s = kv_read_key(&gguf->reader, &key, err);
		if (s) {
			s = qc_fail_in(err, "metadata entry %llu of %llu",
				       (unsigned long long)i + 1, (unsigned long long)gguf->n_kvs);
			break;
		}
		if (qc_meta_find(meta, (const char *)key.data))
			s = qc_fail(err, QC_BAD_INPUT, "metadata key '%.64s' is there twice",
				    (char *)key.data);
		else if (kv_read_value(&gguf->reader, meta, (const char *)key.data, &payload, err))
			s = qc_fail_in(err, "metadata key '%.64s'", (char *)key.data);
	}
	free(key.data);
	free(payload.data);
	if (!s)
		s = qc_gguf_alignment(meta, &gguf->alignment, err);
	return s;
}

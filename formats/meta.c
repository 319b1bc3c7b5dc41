/* The metadata list: an array in order, with a hash map from key to place. */
#include "formats/meta.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

struct kv_type {
	const char *name;
	size_t bytes;
};

static const struct kv_type kv_types[QC_KV_TYPES] = {
	[QC_KV_U8] = {"u8", 1},	      [QC_KV_I8] = {"i8", 1},	  [QC_KV_U16] = {"u16", 2},
	[QC_KV_I16] = {"i16", 2},     [QC_KV_U32] = {"u32", 4},	  [QC_KV_I32] = {"i32", 4},
	[QC_KV_F32] = {"f32", 4},     [QC_KV_BOOL] = {"bool", 1}, [QC_KV_STRING] = {"string", 0},
	[QC_KV_ARRAY] = {"array", 0}, [QC_KV_U64] = {"u64", 8},	  [QC_KV_I64] = {"i64", 8},
	[QC_KV_F64] = {"f64", 8},
};

const char *qc_kv_type_name(uint32_t type)
{
	return type < QC_KV_TYPES ? kv_types[type].name : NULL;
}

size_t qc_kv_type_bytes(enum qc_kv_type type)
{
	return (uint32_t)type < QC_KV_TYPES ? kv_types[type].bytes : 0;
}

void qc_meta_clear(struct qc_meta *meta)
{
	free(meta->kvs);
	qc_strmap_clear(&meta->index);
	*meta = (struct qc_meta){.arena = meta->arena};
}

/* The key's place in the list, or n when it is not there. */
static size_t meta_place(const struct qc_meta *meta, const char *key)
{
	const uint64_t *place = qc_strmap_find(&meta->index, key, strlen(key));

	return place && *place ? (size_t)*place - 1 : meta->n;
}

const struct qc_kv *qc_meta_find(const struct qc_meta *meta, const char *key)
{
	size_t place = meta_place(meta, key);

	return place < meta->n ? &meta->kvs[place] : NULL;
}

static bool meta_grow(struct qc_meta *meta)
{
	size_t cap = meta->cap ? meta->cap * 2 : 64;
	struct qc_kv *kvs;

	if (meta->n < meta->cap)
		return true;
	kvs = reallocarray(meta->kvs, cap, sizeof(*kvs));
	if (!kvs)
		return false;
	meta->kvs = kvs;
	meta->cap = cap;
	return true;
}

/* Put `kv`, whose key is not in the list, at its end. */
static enum qc_status meta_append(struct qc_meta *meta, struct qc_kv kv, struct qc_err *err)
{
	size_t len = strlen(kv.key);
	bool was_there;
	enum qc_status s;

	kv.key = qc_arena_copy(meta->arena, kv.key, len);
	if (!kv.key || !meta_grow(meta))
		return qc_no_memory(err);
	s = qc_strmap_add(&meta->index, kv.key, len, meta->n + 1, &was_there, err);
	if (s)
		return s;
	if (was_there) /* and was removed since */
		*qc_strmap_find(&meta->index, kv.key, len) = meta->n + 1;
	meta->kvs[meta->n++] = kv;
	return QC_OK;
}

enum qc_status qc_meta_set(struct qc_meta *meta, const char *key, enum qc_kv_type type,
			   enum qc_kv_type elem, uint64_t n, const void *data, size_t bytes,
			   struct qc_err *err)
{
	size_t place = meta_place(meta, key);
	struct qc_kv kv = {.key = key, .type = type, .elem = elem, .n = n, .bytes = bytes};

	kv.data = (const uint8_t *)qc_arena_copy(meta->arena, data, bytes);
	if (!kv.data)
		return qc_no_memory(err);
	if (place == meta->n)
		return meta_append(meta, kv, err);
	kv.key = meta->kvs[place].key;
	meta->kvs[place] = kv;
	return QC_OK;
}

enum qc_status qc_meta_set_u32(struct qc_meta *meta, const char *key, uint32_t value,
			       struct qc_err *err)
{
	uint8_t data[4];

	qc_put_le32(data, value);
	return qc_meta_set(meta, key, QC_KV_U32, QC_KV_U32, 1, data, sizeof(data), err);
}

enum qc_status qc_meta_set_f32(struct qc_meta *meta, const char *key, float value,
			       struct qc_err *err)
{
	uint8_t data[4];

	qc_put_le32(data, qc_f32_bits(value));
	return qc_meta_set(meta, key, QC_KV_F32, QC_KV_F32, 1, data, sizeof(data), err);
}

enum qc_status qc_meta_set_bool(struct qc_meta *meta, const char *key, bool value,
				struct qc_err *err)
{
	uint8_t data[1] = {value};

	return qc_meta_set(meta, key, QC_KV_BOOL, QC_KV_BOOL, 1, data, sizeof(data), err);
}

enum qc_status qc_meta_set_string(struct qc_meta *meta, const char *key, const char *text,
				  size_t len, struct qc_err *err)
{
	return qc_meta_set(meta, key, QC_KV_STRING, QC_KV_STRING, 1, text, len, err);
}

void qc_meta_remove(struct qc_meta *meta, const char *key)
{
	size_t place = meta_place(meta, key);

	if (place == meta->n)
		return;
	*qc_strmap_find(&meta->index, key, strlen(key)) = 0;
	meta->n--;
	memmove(&meta->kvs[place], &meta->kvs[place + 1], (meta->n - place) * sizeof(*meta->kvs));
	for (; place < meta->n; place++)
		*qc_strmap_find(&meta->index, meta->kvs[place].key, strlen(meta->kvs[place].key)) =
			place + 1;
}

/* An integer of any type; false for other types. */
static bool kv_integer(const struct qc_kv *kv, uint64_t *magnitude, bool *is_negative)
{
	uint64_t bits = 0;
	unsigned width;
	bool is_signed;

	switch (kv->type) {
	case QC_KV_U8:
	case QC_KV_U16:
	case QC_KV_U32:
	case QC_KV_U64:
		is_signed = false;
		break;
	case QC_KV_I8:
	case QC_KV_I16:
	case QC_KV_I32:
	case QC_KV_I64:
		is_signed = true;
		break;
	default:
		return false;
	}
	width = (unsigned)kv->bytes * 8;
	for (size_t i = kv->bytes; i-- > 0;)
		bits = bits << 8 | kv->data[i];
	*is_negative = is_signed && bits >> (width - 1);
	*magnitude = *is_negative ? (UINT64_MAX >> (64 - width)) - bits + 1 : bits;
	return true;
}

bool qc_meta_u32(const struct qc_meta *meta, const char *key, uint32_t *out)
{
	const struct qc_kv *kv = qc_meta_find(meta, key);
	uint64_t magnitude;
	bool is_negative;

	if (!kv || !kv_integer(kv, &magnitude, &is_negative) || is_negative ||
	    magnitude > UINT32_MAX)
		return false;
	*out = (uint32_t)magnitude;
	return true;
}

bool qc_meta_f32(const struct qc_meta *meta, const char *key, float *out)
{
	const struct qc_kv *kv = qc_meta_find(meta, key);

	if (!kv || kv->type != QC_KV_F32)
		return false;
	*out = qc_bits_f32(qc_le32(kv->data));
	return true;
}

bool qc_meta_bool(const struct qc_meta *meta, const char *key, bool *out)
{
	const struct qc_kv *kv = qc_meta_find(meta, key);

	if (!kv || kv->type != QC_KV_BOOL)
		return false;
	*out = kv->data[0];
	return true;
}

bool qc_meta_string(const struct qc_meta *meta, const char *key, const char **text, size_t *len)
{
	const struct qc_kv *kv = qc_meta_find(meta, key);

	if (!kv || kv->type != QC_KV_STRING)
		return false;
	*text = (const char *)kv->data;
	*len = kv->bytes;
	return true;
}

enum qc_status qc_meta_assign(struct qc_meta *meta, const struct qc_meta *from, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < from->n; i++) {
		const struct qc_kv *kv = &from->kvs[i];

		s = qc_meta_set(meta, kv->key, kv->type, kv->elem, kv->n, kv->data, kv->bytes, err);
	}
	for (size_t i = s ? 0 : meta->n; i-- > 0;)
		if (!qc_meta_find(from, meta->kvs[i].key))
			qc_meta_remove(meta, meta->kvs[i].key);
	return s;
}

bool qc_kv_same(const struct qc_kv *a, const struct qc_kv *b)
{
	return a->type == b->type && a->elem == b->elem && a->n == b->n && a->bytes == b->bytes &&
	       (!a->bytes || !memcmp(a->data, b->data, a->bytes));
}

bool qc_kv_next_string(const struct qc_kv *kv, size_t *at, const char **text, size_t *len)
{
	size_t left = *at < kv->bytes ? kv->bytes - *at : 0;
	uint64_t n;

	if (left < 8)
		return false;
	n = qc_le64(kv->data + *at);
	if (n > left - 8)
		return false;
	*text = (const char *)kv->data + *at + 8;
	*len = (size_t)n;
	*at += 8 + (size_t)n;
	return true;
}

/* Room for `bytes` more. */
static bool builder_grow(struct qc_kv_builder *build, size_t bytes)
{
	size_t need, cap = build->cap ? build->cap : 256;
	uint8_t *data;

	if (__builtin_add_overflow(build->bytes, bytes, &need) || need > SIZE_MAX / 2)
		return false;
	if (build->data && need <= build->cap)
		return true;
	while (cap < need)
		cap *= 2;
	data = realloc(build->data, cap);
	if (!data)
		return false;
	build->data = data;
	build->cap = cap;
	return true;
}

enum qc_status qc_kv_push(struct qc_kv_builder *build, const void *data, size_t bytes,
			  struct qc_err *err)
{
	if (!builder_grow(build, bytes))
		return qc_no_memory(err);
	if (bytes)
		memcpy(build->data + build->bytes, data, bytes);
	build->bytes += bytes;
	build->n++;
	return QC_OK;
}

enum qc_status qc_kv_push_string(struct qc_kv_builder *build, const char *text, size_t len,
				 struct qc_err *err)
{
	if (len > SIZE_MAX - 8 || !builder_grow(build, 8 + len))
		return qc_no_memory(err);
	qc_put_le64(build->data + build->bytes, len);
	if (len)
		memcpy(build->data + build->bytes + 8, text, len);
	build->bytes += 8 + len;
	build->n++;
	return QC_OK;
}

/*
 * Typed metadata, in GGUF's own terms: an ordered list of keys with one of GGUF's value types.
 *
 * It is the one form in which a model's hyper-parameters and tokenizer are kept, whatever they were
 * read from. Array payloads are kept as they lie in a little-endian GGUF file (strings: u64 length
 * and bytes, one after the other), so that reading and writing copy bytes and a 262,144-token
 * vocabulary costs what it costs on disk.
 */
#ifndef QC_FORMATS_META_H
#define QC_FORMATS_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/strmap.h"

/* The numbers are GGUF's. */
enum qc_kv_type {
	QC_KV_U8 = 0,
	QC_KV_I8 = 1,
	QC_KV_U16 = 2,
	QC_KV_I16 = 3,
	QC_KV_U32 = 4,
	QC_KV_I32 = 5,
	QC_KV_F32 = 6,
	QC_KV_BOOL = 7,
	QC_KV_STRING = 8,
	QC_KV_ARRAY = 9,
	QC_KV_U64 = 10,
	QC_KV_I64 = 11,
	QC_KV_F64 = 12,
};
#define QC_KV_TYPES 13

/* "u32", "string", ...; NULL for a number that is no type. */
const char *qc_kv_type_name(uint32_t type);
/* Payload bytes of one value: 1, 2, 4 or 8; 0 for strings and arrays. */
size_t qc_kv_type_bytes(enum qc_kv_type type);

struct qc_kv {
	const char *key;      /* NUL-terminated, no NUL inside */
	enum qc_kv_type type; /* QC_KV_ARRAY: `elem` is the element type (never QC_KV_ARRAY) */
	enum qc_kv_type elem; /* == type for a scalar or string */
	uint64_t n;	      /* elements of an array; 1 otherwise */
	const uint8_t *data;  /* little-endian payload: scalar bytes; a string's bytes without its
				 length; an array's elements */
	size_t bytes;	      /* size of data */
};

/* Whether both have one type and value; keys do not count. */
bool qc_kv_same(const struct qc_kv *a, const struct qc_kv *b);

/* A zeroed struct with `arena` set is an empty list. */
struct qc_meta {
	struct qc_arena *arena; /* where keys and payloads live */
	struct qc_kv *kvs;
	size_t n, cap;
	struct qc_strmap index; /* key -> position + 1; 0 after a removal */
};

void qc_meta_clear(struct qc_meta *meta);

/* NULL when absent; valid until the next set or remove. */
const struct qc_kv *qc_meta_find(const struct qc_meta *meta, const char *key);

/* Set a key: an existing one keeps its place and takes the new value, a new one goes to the end.
 * `key` and data are copied. Only QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_meta_set(struct qc_meta *meta, const char *key, enum qc_kv_type type,
			   enum qc_kv_type elem, uint64_t n, const void *data, size_t bytes,
			   struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_meta_set_u32(struct qc_meta *meta, const char *key, uint32_t value,
			       struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_meta_set_f32(struct qc_meta *meta, const char *key, float value,
			       struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_meta_set_bool(struct qc_meta *meta, const char *key, bool value,
				struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_meta_set_string(struct qc_meta *meta, const char *key, const char *text,
				  size_t len, struct qc_err *err);

/* Remove a key; nothing when it is absent. */
void qc_meta_remove(struct qc_meta *meta, const char *key);

/* Give `meta` the keys of `from` and no others; payloads are copied into its arena. */
QC_MUST_CHECK
enum qc_status qc_meta_assign(struct qc_meta *meta, const struct qc_meta *from, struct qc_err *err);

/* Typed reads: false when the key is absent or of another kind (u32 takes any integer type whose
 * value fits). */
bool qc_meta_u32(const struct qc_meta *meta, const char *key, uint32_t *out);
bool qc_meta_f32(const struct qc_meta *meta, const char *key, float *out);
bool qc_meta_bool(const struct qc_meta *meta, const char *key, bool *out);
bool qc_meta_string(const struct qc_meta *meta, const char *key, const char **text, size_t *len);

/* Walk an array of strings: *at starts at 0 (an offset into kv->data); false after the last one.
 * The array has been checked when it was read. */
bool qc_kv_next_string(const struct qc_kv *kv, size_t *at, const char **text, size_t *len);

/* Builds the payload of an array, one element a push (malloc; clear with free(build->data)). A
 * zeroed struct is empty. */
struct qc_kv_builder {
	uint8_t *data;
	size_t bytes, cap;
	uint64_t n;
};
QC_MUST_CHECK
enum qc_status qc_kv_push(struct qc_kv_builder *build, const void *data, size_t bytes,
			  struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_kv_push_string(struct qc_kv_builder *build, const char *text, size_t len,
				 struct qc_err *err);

#endif

/*
 * The JSON header of a .safetensors file.
 *
 *	{ "__metadata__": { string: string, ... },
 *	  NAME: { "dtype": "BF16", "shape": [rows, cols], "data_offsets": [begin, end] }, ... }
 *
 * begin and end count from the first byte behind the JSON; the ranges of all tensors cover the data
 *exactly. Fields besides these three are ignored. Source of the rules: safetensors/src/tensor.rs of
 *the reference implementation.
 */
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "quant/types.h"

/* The reference's closed list, in its order. */
static const struct dtype {
	const char *name;
	uint32_t bits;
	const struct qc_qtype *type;
} dtypes[] = {
	{"BOOL", 8, &qc_bool},
	{"F4", 4, &qc_f4},
	{"F6_E2M3", 6, &qc_f6_e2m3},
	{"F6_E3M2", 6, &qc_f6_e3m2},
	{"U8", 8, &qc_u8},
	{"I8", 8, &qc_i8},
	{"F8_E5M2", 8, &qc_f8_e5m2},
	{"F8_E4M3", 8, &qc_f8_e4m3},
	{"F8_E8M0", 8, &qc_f8_e8m0},
	{"F8_E4M3FNUZ", 8, &qc_f8_e4m3fnuz},
	{"F8_E5M2FNUZ", 8, &qc_f8_e5m2fnuz},
	{"I16", 16, &qc_i16},
	{"U16", 16, &qc_u16},
	{"F16", 16, &qc_f16},
	{"BF16", 16, &qc_bf16},
	{"I32", 32, &qc_i32},
	{"U32", 32, &qc_u32},
	{"F32", 32, &qc_f32},
	{"C64", 64, &qc_c64},
	{"F64", 64, &qc_f64},
	{"I64", 64, &qc_i64},
	{"U64", 64, &qc_u64},
};
#define N_DTYPES (sizeof(dtypes) / sizeof(dtypes[0]))

const char *qc_safetensors_dtype(unsigned i, const struct qc_qtype **type)
{
	if (i >= N_DTYPES)
		return NULL;
	*type = dtypes[i].type;
	return dtypes[i].name;
}

/* Digits only: 1e3, 1.0 and -0 are integers to JSON's accessors, but not to the reference reader.
 */
static bool plain_u64(const struct qc_json *json, qc_json_value value, uint64_t *out)
{
	const char *text;
	size_t len;

	if (qc_json_type_of(json, value) != QC_JSON_NUMBER)
		return false;
	text = qc_json_raw(json, value, &len);
	for (size_t i = 0; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return qc_json_u64(json, value, out);
}

static enum qc_status entry_dtype(const struct qc_json *json, qc_json_value entry, const char *name,
				  const struct dtype **dtype, struct qc_err *err)
{
	qc_json_value value = qc_json_get(json, entry, "dtype");
	const char *raw;
	size_t len;

	if (!value)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.120s': no dtype", name);
	for (size_t i = 0; i < N_DTYPES; i++)
		if (qc_json_equals(json, value, dtypes[i].name)) {
			*dtype = &dtypes[i];
			return QC_OK;
		}
	raw = qc_json_raw(json, value, &len);
	return qc_fail(err, QC_BAD_INPUT,
		       "tensor '%.120s': dtype %.*s is none of safetensors' (F32, BF16, U8, ...)",
		       name, len < 40 ? (int)len : 40, raw);
}

/* The shape, reversed, and its product. */
static enum qc_status entry_shape(const struct qc_json *json, qc_json_value object,
				  struct qc_safetensors_entry *entry, uint64_t *elems,
				  struct qc_arena *arena, struct qc_err *err)
{
	qc_json_value shape = qc_json_get(json, object, "shape");
	uint32_t n, at = 0;
	uint64_t *dims;

	if (!shape)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.120s': no shape", entry->name);
	if (qc_json_type_of(json, shape) != QC_JSON_ARRAY)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.120s': shape is %s, not a list",
			       entry->name, qc_json_type_name(qc_json_type_of(json, shape)));
	n = qc_json_count(json, shape);
	dims = qc_arena_array(arena, n, sizeof(*dims));
	if (!dims)
		return qc_no_memory(err);
	*elems = 1;
	for (qc_json_value v = qc_json_first(json, shape); v; v = qc_json_next(json, v), at++) {
		uint64_t *dim = &dims[n - 1 - at];

		if (!plain_u64(json, v, dim))
			return qc_fail(err, QC_BAD_INPUT,
				       "tensor '%.120s': dimension %u of the shape is not a whole "
				       "number below 2^64",
				       entry->name, at);
		/* in the file's order: the reference refuses an overflow even when a zero follows
		 */
		if (!qc_mul(*elems, *dim, elems))
			return qc_fail(err, QC_BAD_INPUT,
				       "tensor '%.120s': the shape has 2^64 elements or more",
				       entry->name);
	}
	entry->n_dims = n;
	entry->dims = dims;
	return QC_OK;
}

static enum qc_status entry_offsets(const struct qc_json *json, qc_json_value object,
				    struct qc_safetensors_entry *entry, struct qc_err *err)
{
	qc_json_value pair = qc_json_get(json, object, "data_offsets");
	qc_json_value begin = qc_json_first(json, pair), end = qc_json_next(json, begin);

	if (!pair)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.120s': no data_offsets", entry->name);
	if (qc_json_type_of(json, pair) != QC_JSON_ARRAY || qc_json_count(json, pair) != 2 ||
	    !plain_u64(json, begin, &entry->begin) || !plain_u64(json, end, &entry->end))
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.120s': data_offsets are not two whole numbers below 2^64",
			       entry->name);
	if (entry->end < entry->begin)
		return qc_fail(
			err, QC_BAD_INPUT,
			"tensor '%.120s': data_offsets end at %llu, before they begin at %llu",
			entry->name, (unsigned long long)entry->end,
			(unsigned long long)entry->begin);
	return QC_OK;
}

static enum qc_status parse_entry(const struct qc_json *json, qc_json_value object,
				  struct qc_safetensors_entry *entry, struct qc_arena *arena,
				  struct qc_err *err)
{
	const struct dtype *dtype = NULL;
	uint64_t elems = 0, bits;
	enum qc_status s;
	size_t len;

	entry->name = qc_json_key(json, object, arena, &len);
	if (!entry->name)
		return qc_no_memory(err);
	if (memchr(entry->name, 0, len))
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.120s...': a NUL byte in its name",
			       entry->name);
	if (qc_json_type_of(json, object) != QC_JSON_OBJECT)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.120s': its entry is %s, not an object",
			       entry->name, qc_json_type_name(qc_json_type_of(json, object)));
	s = entry_dtype(json, object, entry->name, &dtype, err);
	if (!s)
		s = entry_shape(json, object, entry, &elems, arena, err);
	if (!s)
		s = entry_offsets(json, object, entry, err);
	if (s)
		return s;
	entry->type = dtype->type;
	if (!qc_mul(elems, dtype->bits, &bits))
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.120s': the shape has 2^64 bits or more", entry->name);
	if (bits % 8)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.120s': %llu elements of %s are not whole bytes",
			       entry->name, (unsigned long long)elems, dtype->name);
	if (entry->end - entry->begin != bits / 8)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.120s': %llu elements of %s are %llu bytes, but "
			       "data_offsets hold %llu",
			       entry->name, (unsigned long long)elems, dtype->name,
			       (unsigned long long)(bits / 8),
			       (unsigned long long)(entry->end - entry->begin));
	return QC_OK;
}

static enum qc_status check_metadata(const struct qc_json *json, qc_json_value metadata,
				     struct qc_err *err)
{
	enum qc_json_type type = qc_json_type_of(json, metadata);

	if (type == QC_JSON_NULL)
		return QC_OK;
	if (type != QC_JSON_OBJECT)
		return qc_fail(err, QC_BAD_INPUT, "__metadata__ is %s, not an object",
			       qc_json_type_name(type));
	for (qc_json_value v = qc_json_first(json, metadata); v; v = qc_json_next(json, v))
		if (qc_json_type_of(json, v) != QC_JSON_STRING)
			return qc_fail(err, QC_BAD_INPUT,
				       "a value in __metadata__ is %s, not a string",
				       qc_json_type_name(qc_json_type_of(json, v)));
	return QC_OK;
}

static int by_offset(const void *a, const void *b)
{
	const struct qc_safetensors_entry *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* llama.cpp's converter takes a file's tensors in this order, so that ours have the same offsets as
 * its. */
static int by_name(const void *a, const void *b)
{
	const struct qc_safetensors_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* The ranges, sorted by offset, must follow one another from the first to the last byte of data. */
static enum qc_status check_coverage(const struct qc_safetensors_header *header,
				     size_t header_bytes, uint64_t data_bytes, struct qc_err *err)
{
	uint64_t at = 0;

	for (size_t i = 0; i < header->n; i++) {
		const struct qc_safetensors_entry *e = &header->entries[i];

		if (e->begin != at)
			return qc_fail(err, QC_BAD_INPUT,
				       "tensor '%.120s' begins at byte %llu of the data, but the "
				       "tensor before it ends at %llu: %s",
				       e->name, (unsigned long long)e->begin,
				       (unsigned long long)at,
				       e->begin > at ? "a hole" : "they overlap");
		at = e->end;
	}
	if (at > data_bytes)
		return qc_fail(err, QC_BAD_INPUT,
			       "the file has %llu bytes, the header promises %llu more: the "
			       "download is incomplete",
			       (unsigned long long)(8 + header_bytes + data_bytes),
			       (unsigned long long)(at - data_bytes));
	if (at < data_bytes)
		return qc_fail(err, QC_BAD_INPUT,
			       "%llu bytes behind the last tensor belong to none",
			       (unsigned long long)(data_bytes - at));
	return QC_OK;
}

static enum qc_status parse_entries(struct qc_safetensors_header *header,
				    const struct qc_json *json, struct qc_arena *arena,
				    struct qc_err *err)
{
	if (qc_json_type_of(json, QC_JSON_ROOT) != QC_JSON_OBJECT)
		return qc_fail(err, QC_BAD_INPUT, "the header is %s, not an object",
			       qc_json_type_name(qc_json_type_of(json, QC_JSON_ROOT)));
	header->entries =
		qc_arena_array(arena, qc_json_count(json, QC_JSON_ROOT), sizeof(*header->entries));
	if (!header->entries)
		return qc_no_memory(err);
	for (qc_json_value v = qc_json_first(json, QC_JSON_ROOT); v; v = qc_json_next(json, v)) {
		enum qc_status s;

		if (qc_json_key_equals(json, v, "__metadata__"))
			s = check_metadata(json, v, err);
		else
			s = parse_entry(json, v, &header->entries[header->n++], arena, err);
		if (s)
			return s;
	}
	return QC_OK;
}

enum qc_status qc_safetensors_parse(struct qc_safetensors_header *header, const char *text,
				    size_t size, uint64_t data_bytes, struct qc_arena *arena,
				    struct qc_err *err)
{
	struct qc_json json = {0};
	enum qc_status s = qc_json_parse(&json, text, size, 0, err);

	*header = (struct qc_safetensors_header){0};
	if (s)
		return qc_fail_in(err, "in the header");
	s = parse_entries(header, &json, arena, err);
	qc_json_clear(&json);
	if (s)
		return s;
	qsort(header->entries, header->n, sizeof(*header->entries), by_offset);
	s = check_coverage(header, size, data_bytes, err);
	qsort(header->entries, header->n, sizeof(*header->entries), by_name);
	return s;
}

/*
 * JSON, read strictly and kept exactly.
 *
 * Our own reader because a checkpoint's JSON is one of the formats we must read exactly: a general
 * library stores numbers as doubles (64-bit offsets and ids lose bits), keeps duplicate keys,
 * accepts broken text, and spends over 100 bytes a node (a 33 MB tokenizer.json has two million).
 * This one is iterative (no recursion: depth cannot exhaust the stack), linear, 16 bytes a node,
 * keeps numbers as text until asked, and refuses duplicate keys after unescaping, invalid UTF-8,
 * lone surrogates, control characters, trailing bytes and a byte order mark (RFC 8259).
 */
#ifndef QC_BASE_JSON_H
#define QC_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"

#define QC_JSON_MAX_DEPTH 128
#define QC_JSON_MAX_BYTES (256u << 20)

enum qc_json_type {
	QC_JSON_ABSENT = 0, /* what a look-up of a missing member gives */
	QC_JSON_NULL,
	QC_JSON_FALSE,
	QC_JSON_TRUE,
	QC_JSON_NUMBER,
	QC_JSON_STRING,
	QC_JSON_ARRAY,
	QC_JSON_OBJECT,
};

struct qc_json_node;

/* A parsed document. A zeroed struct is an empty one. */
struct qc_json {
	const char *text; /* borrowed: must outlive the document */
	size_t size;
	struct qc_json_node *nodes;
	uint32_t n_nodes;
};

/* A value in a document: an index, 0 for an absent one. Every accessor takes the absent value. */
typedef uint32_t qc_json_value;
#define QC_JSON_ROOT ((qc_json_value)1)

/* Flags. NaN, Infinity and -Infinity are not JSON, but Python writes them into config.json. Arrays
 * of more than QC_JSON_LONG children can be left as text: they are checked and counted, but get no
 * nodes, and qc_json_first() gives none; qc_json_left() reads them. (Half a million merges of a
 * tokenizer are a million and a half nodes.) */
enum { QC_JSON_ALLOW_NAN = 1, QC_JSON_LEAVE_LONG = 2 };
#define QC_JSON_LONG 65536

/* Parse `size` bytes. Errors are QC_BAD_INPUT (with line and column) or QC_NO_MEMORY; `text` must
 * stay alive. */
QC_MUST_CHECK
enum qc_status qc_json_parse(struct qc_json *json, const char *text, size_t size, int flags,
			     struct qc_err *err);
void qc_json_clear(struct qc_json *json);

enum qc_json_type qc_json_type_of(const struct qc_json *json, qc_json_value value);
const char *qc_json_type_name(enum qc_json_type type); /* "a string", "an object", ... */

/* Children of an array or object in order: for (v = first(j, a); v; v = next(j, v)). O(1) each. */
qc_json_value qc_json_first(const struct qc_json *json, qc_json_value parent);
qc_json_value qc_json_next(const struct qc_json *json, qc_json_value value);
/* How many children; O(1). */
uint32_t qc_json_count(const struct qc_json *json, qc_json_value parent);

/* An object's member by its decoded name; linear in the object's size (do not loop over a
 * vocabulary with it). A path form "a.b.c" walks nested objects. */
qc_json_value qc_json_get(const struct qc_json *json, qc_json_value object, const char *name);
qc_json_value qc_json_path(const struct qc_json *json, qc_json_value object, const char *path);

/* The text of a string value, decoded, NUL-terminated, in `arena` (borrowed from the text is not
 * possible because of escapes). NULL when memory is out; also when the value is no string, which
 * callers check first. `*len` (may be NULL) gets its length: "\u0000" is a legal character. The key
 * form gives the name of an object's member `value`. */
QC_MUST_CHECK
char *qc_json_string(const struct qc_json *json, qc_json_value value, struct qc_arena *arena,
		     size_t *len);
QC_MUST_CHECK
char *qc_json_key(const struct qc_json *json, qc_json_value value, struct qc_arena *arena,
		  size_t *len);

/* Whether a string value (or a member's key) decodes to exactly `text`; false for other types. No
 * allocation. */
bool qc_json_equals(const struct qc_json *json, qc_json_value value, const char *text);
bool qc_json_key_equals(const struct qc_json *json, qc_json_value value, const char *text);

/* Exact numbers: true and *out set when the value is a number that is exactly such an integer (64.0
 * and 1e3 are integers, 64.5 and 2^64 are not); doubles are correctly rounded, and a number beyond
 * their range is none. What QC_JSON_ALLOW_NAN let in is a number, with a double only. */
bool qc_json_u64(const struct qc_json *json, qc_json_value value, uint64_t *out);
bool qc_json_i64(const struct qc_json *json, qc_json_value value, int64_t *out);
bool qc_json_f64(const struct qc_json *json, qc_json_value value, double *out);
bool qc_json_bool(const struct qc_json *json, qc_json_value value, bool *out);

/* The bytes of the value as they stand in the text (for copying a sub-document unchanged); NULL and
 * 0 for the absent value. Linear in their number. */
const char *qc_json_raw(const struct qc_json *json, qc_json_value value, size_t *len);

/* Walk the text of an array's children, whether it was left as text or not: *at is 0 at first, and
 * each call gives one child; false after the last one, and for what is no array. A child is parsed
 * with qc_json_parse(). */
bool qc_json_left(const struct qc_json *json, qc_json_value array, size_t *at, const char **text,
		  size_t *len);

/* Write `len` bytes as a JSON string with its quotes. Bytes that are not UTF-8 become \ufffd,
 * control characters (DEL and C1 too) escapes. The caller checks ferror(). */
void qc_json_print_string(FILE *out, const char *text, size_t len);

#endif

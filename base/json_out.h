/* JSON as text, member by member, two spaces an indent, as transformers writes its files. Nothing
 * fails before the end: the caller checks ferror() of the stream. */
#ifndef QC_BASE_JSON_OUT_H
#define QC_BASE_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define QC_JSON_OUT_DEPTH 16

struct qc_json_out {
	FILE *file;
	unsigned depth;
	bool some[QC_JSON_OUT_DEPTH]; /* the object or array of each depth has a member already */
};

/* Every value takes the `key` of its member, NULL in an array and at the root. `bracket` is '{' or
 * '['; the end takes the one that fits, and writes a line end after the root's. */
void qc_json_out_begin(struct qc_json_out *out, const char *key, char bracket);
void qc_json_out_end(struct qc_json_out *out, char bracket);

/* As it stands: a number, true, a whole value. */
void qc_json_out_raw(struct qc_json_out *out, const char *key, const char *text);
void qc_json_out_u64(struct qc_json_out *out, const char *key, uint64_t value);
void qc_json_out_bool(struct qc_json_out *out, const char *key, bool value);
void qc_json_out_text(struct qc_json_out *out, const char *key, const char *text);
void qc_json_out_string(struct qc_json_out *out, const char *key, const char *text, size_t len);

/* A member whose key may hold any text. */
void qc_json_out_keyed_u64(struct qc_json_out *out, const char *key, size_t len, uint64_t value);

/* ["a", "b"] on one line. */
void qc_json_out_pair(struct qc_json_out *out, const char *const text[2], const size_t len[2]);

/* The fewest digits that give back just this float, with a point or an exponent in it; null for
 * what is no number of JSON. */
void qc_json_float_text(float value, char buf[32]);

#endif

/* Changing a few members of a JSON text, every other byte of it left alone. */
#ifndef QC_BASE_JSON_EDIT_H
#define QC_BASE_JSON_EDIT_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/json.h"

/* The changes, collected over one document, then applied at once. Zero-initialise; give json, whose
 * text they are of. Members of the same object are to be given in the order of their keys. */
struct qc_json_edit {
	const struct qc_json *json;
	struct qc_json_splice *splices;
	size_t n, cap;
};

/* Give `object` (of the document) the member `key` (plain ASCII, as it stands between quotes) with
 * the JSON text `value`: in place of the one it has, else as a new line before the first member
 * whose key is larger, indented like the first one. */
QC_MUST_CHECK
enum qc_status qc_json_edit_set(struct qc_json_edit *edit, qc_json_value object, const char *key,
				const char *value, struct qc_err *err);

/* Take the member away, and the line that it stands on; at most one of an object. Nothing when
 * there is none. */
QC_MUST_CHECK
enum qc_status qc_json_edit_remove(struct qc_json_edit *edit, qc_json_value object, const char *key,
				   struct qc_err *err);

/* The edited text (malloc), NUL-terminated behind its *size bytes. */
QC_MUST_CHECK
enum qc_status qc_json_edit_apply(const struct qc_json_edit *edit, char **text, size_t *size,
				  struct qc_err *err);

void qc_json_edit_clear(struct qc_json_edit *edit);

#endif

/* JSON for tests of its parser. */
#ifndef QC_TESTS_JSON_TEXTS_H
#define QC_TESTS_JSON_TEXTS_H

#include "base/json.h"
#include "tests/test.h"

/* An exact copy, so that a sanitizer sees one byte too far. */
static inline enum qc_status parse_copy(struct qc_json *json, char **copy, const char *text,
					size_t size, int flags, struct qc_err *err)
{
	*copy = malloc(size ? size : 1);
	NEED(*copy, "no memory");
	memcpy(*copy, text, size);
	return qc_json_parse(json, *copy, size, flags, err);
}

static inline void refuse(const char *text, size_t size, int flags, const char *says)
{
	struct qc_json json = {0};
	struct qc_err err = {0};
	char *copy;
	enum qc_status s = parse_copy(&json, &copy, text, size, flags, &err);

	CHECK(s == QC_BAD_INPUT, "'%.60s': status %d %s", text, s, err.text);
	CHECK(strstr(err.text, says), "'%.60s': '%s' without '%s'", text, err.text, says);
	CHECK(!json.nodes, "a refused document has nodes");
	qc_json_clear(&json);
	free(copy);
}

#endif

/* Tokens that are found in the text as they are spelled, before anything else is done to it. */
#ifndef QC_CALIB_SPECIAL_H
#define QC_CALIB_SPECIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

/* A special token that is longer is refused: it bounds the work at one place of the text. */
#define QC_MAX_SPECIAL_BYTES 1024

struct qc_special_node {
	uint32_t child, sibling; /* 0: none; node 0 is no node */
	uint32_t id;		 /* the token that ends here; QC_NO_TOKEN */
	uint8_t byte;
	bool always; /* found whether or not control tokens are asked for */
};

/* A trie; zeroed is empty. */
struct qc_specials {
	struct qc_special_node *nodes;
	size_t n, cap;
	uint32_t roots[256]; /* by first byte */
	bool has_control, has_always;
};

/* Add a token's spelling; of equal ones the later wins. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_specials_add(struct qc_specials *specials, const char *text, size_t len,
			       uint32_t id, bool always, struct qc_err *err);

/* Where the first one begins, `len` when there is none; *n and *id are its length and token. */
size_t qc_specials_find(const struct qc_specials *specials, const char *text, size_t len,
			bool control, size_t *n, uint32_t *id);

void qc_specials_clear(struct qc_specials *specials);

/* Names that have a meaning of their own. QC_ALWAYS_FOUND: libllama takes them for user-defined
 * tokens whatever the file says, so that their spelling is always found (OpenAI's harmony format);
 * QC_ENDS_TEXT: after these a model says nothing more. */
enum qc_special_role {
	QC_ALWAYS_FOUND,
	QC_ENDS_TEXT,
};
bool qc_special_has_role(enum qc_special_role role, const char *text, size_t len);

#endif

/* Cutting text into words by the regular expressions of a pre-tokenizer, through PCRE2. */
#ifndef QC_CALIB_PRETOKENIZE_H
#define QC_CALIB_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"

/* What else a name in tokenizer.ggml.pre says. */
struct qc_pre_traits {
	bool ignore_merges; /* a word that is a token stays whole, whatever the merges make of it */
	bool add_bos;	    /* unless tokenizer.ggml.add_bos_token tells otherwise */
	bool nfc;	    /* text is normalized first */
};

struct qc_pretokenizer;

/* Compile the expressions of the pre-tokenizer called `name`. QC_UNSUPPORTED when it is not known;
 * QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_pretokenizer_open(struct qc_pretokenizer **out, const char *name, size_t len,
				    struct qc_err *err);
void qc_pretokenizer_close(struct qc_pretokenizer *pre); /* NULL is allowed */

const struct qc_pre_traits *qc_pretokenizer_traits(const struct qc_pretokenizer *pre);

/* The names, NULL behind the last; several mean the same. */
const char *qc_pretokenizer_name(size_t i);

/* Room for matching; one for each thread. */
struct qc_pre_matcher;
QC_MUST_CHECK
enum qc_status qc_pre_matcher_open(struct qc_pre_matcher **out, const struct qc_pretokenizer *pre,
				   struct qc_err *err);
void qc_pre_matcher_close(struct qc_pre_matcher *matcher); /* NULL is allowed */

/* Takes the words from left to right; none is empty and together they are the text. */
typedef enum qc_status qc_word_fn(void *context, const char *word, size_t len, struct qc_err *err);

/* Cut `text`, which is well-formed UTF-8, and stop at the first failure. */
QC_MUST_CHECK
enum qc_status qc_pretokenize(const struct qc_pretokenizer *pre, struct qc_pre_matcher *matcher,
			      const char *text, size_t len, qc_word_fn *word, void *context,
			      struct qc_err *err);

#endif

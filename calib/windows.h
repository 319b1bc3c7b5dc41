/*
 * Texts cut into windows, all of one length, each run on its own from position 0. Two ways:
 *
 *   full      [BOS] + length - 1 tokens of the text, one stretch after the other; every prediction
 *             inside of a window is scored. Without a BOS: length tokens.
 *   halves    as llama-perplexity does: the text, with its BOS, cut every `length` tokens, the
 *             first token of each window replaced by BOS; positions length/2 .. length - 2 are
 *             scored.
 */
#ifndef QC_CALIB_WINDOWS_H
#define QC_CALIB_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/model.h"

struct qc_windows {
	uint32_t *ids; /* [n, length]; malloc */
	size_t n, length;
	size_t first; /* position of the first prediction that is scored */
};

/* What is usual, and the longest that is taken. */
enum { QC_WINDOW_LENGTH = 512, QC_WINDOW_LONGEST = 1 << 20 };

void qc_windows_clear(struct qc_windows *windows);

/* Which token goes before each window. */
struct qc_bos {
	bool has;
	uint32_t id;
};

/* Cut `n` tokens of a text into at most `most` windows (0: all). The tokens are without BOS for
 * `full`; for `halves` with BOS in front where the model wants one. QC_BAD_INPUT when not even one
 * window is full; QC_USAGE for a length below 2 (full) or 4 (halves). */
QC_MUST_CHECK
enum qc_status qc_windows_full(struct qc_windows *windows, const uint32_t *tokens, size_t n,
			       struct qc_bos bos, size_t length, size_t most, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_windows_halves(struct qc_windows *windows, const uint32_t *tokens, size_t n,
				 struct qc_bos bos, size_t length, size_t most, struct qc_err *err);

struct qc_window_options {
	size_t length; /* of a window, in tokens */
	size_t fewest; /* full: a text that gives fewer windows is cut into shorter ones, half as
			  long as often as it takes, but no shorter than 16; 0: it is not */
	size_t most;   /* windows; 0: all */
	bool spread;   /* these are taken evenly from the whole text, not from its beginning */
	bool full;     /* halves without it */
};

/* Cut the text in the file at `path` (calib/text_file.h), with the model's own tokenizer. Errors of
 * reading, of qc_tokenizer_open() and of the two above; QC_BAD_INPUT names the first byte that is
 * not UTF-8. */
QC_MUST_CHECK
enum qc_status qc_windows_of_text(struct qc_windows *windows, const struct qc_model *model,
				  const char *path, const struct qc_window_options *options,
				  struct qc_err *err);

/* Whether the tokens of the windows are spelled alike in the vocabularies of both models: QC_USAGE,
 * naming the first that is not. A model without a vocabulary is not looked at. */
QC_MUST_CHECK
enum qc_status qc_windows_check(const struct qc_windows *windows, const struct qc_model *model,
				const struct qc_model *other, struct qc_err *err);

/* Move every `one_in`-th window to the end, for somebody who must not learn from it: the last
 * n / one_in of them. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_windows_hold_out(struct qc_windows *windows, size_t one_in, struct qc_err *err);

#endif

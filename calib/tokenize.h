/*
 * Text to token ids and back, with the model's own tokenizer.
 *
 * Its one source is the model's metadata, tokenizer.ggml.*: a GGUF, a tokenizer.model and a
 * tokenizer.json all arrive as these arrays. Three kinds are known (tokenizer.ggml.model): "llama",
 * SentencePiece's merging by score with byte fallback; "gpt2", byte-level BPE behind a
 * pre-tokenizer (tokenizer.ggml.pre); "gemma4", BPE over characters with byte fallback.
 *
 * Ids are those of the Hugging Face tokenizer and of libllama, which differ from each other only in
 * this:
 * - letters that have a case outside ASCII, in "gpt-4o" and "tekken": libllama's expression is an
 *   approximation; ours is the tokenizer's own.
 * - a literal U+2581 twice or more in a row, where runs of spaces are user-defined tokens: as
 *   libllama.
 * - NFC, which Qwen's tokenizers apply ("qwen2", "qwen35"): applied here, not by libllama.
 * - special tokens that overlap in the text: the leftmost wins, then the longest; libllama takes
 * the longest wherever it is.
 * - newlines, with "gemma4", more than the longest token of newlines has: that token first, then
 *   the rest.
 * Metadata does not tell which tokens strip the white space beside them, so none do.
 *
 * Bytes that are not well-formed UTF-8 are never an error: each is a piece of its own and becomes
 * its byte token; the text on both sides is tokenized on its own (byte-level BPE) or around it.
 */
#ifndef QC_CALIB_TOKENIZER_H
#define QC_CALIB_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/meta.h"
#include "formats/model.h"

struct qc_tokenizer;

/* A growing list of ids (malloc); zeroed is empty. */
struct qc_ids {
	uint32_t *ids;
	size_t n, cap;
};
void qc_ids_clear(struct qc_ids *ids);

/* For encoding; values add up. */
enum {
	/* BOS before and EOS behind the text where the model's flags ask for them. */
	QC_ENCODE_ADD_SPECIAL = 1,
	/* The spelling of a control token ("<eos>") in the text is that token; else it is text.
	 * User-defined tokens are found in either case. */
	QC_ENCODE_PARSE_SPECIAL = 2,
};

/* For decoding; values add up. */
enum {
	/* Control and unknown tokens are written as they are spelled; else they are left out. */
	QC_DECODE_SPECIAL = 1,
	/* The ids go on from earlier ones: the space that encoding puts before a text is not
	 * taken off. */
	QC_DECODE_CONTINUED = 2,
};

/* Build the tokenizer of `model`, which must outlive it. QC_UNSUPPORTED: there is none, or its kind
 * or pre-tokenizer is not known; QC_BAD_INPUT: the arrays contradict each other; both name the key.
 * QC_NO_MEMORY. The result does not change any more: threads may share it. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_open(struct qc_tokenizer **out, const struct qc_model *model,
				 struct qc_err *err);

/* The same from metadata alone, which must outlive it. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_open_meta(struct qc_tokenizer **out, const struct qc_meta *meta,
				      struct qc_err *err);

/* NULL is allowed. */
void qc_tokenizer_close(struct qc_tokenizer *tok);

/* Append the ids of `len` bytes of `text` (any bytes). Give a text whole: cut in the middle of a
 * word its ids are others. Time is that of n log n at most; memory is that of the ids and about 100
 * bytes a byte of the longest word. On failure `ids` holds what was there before. QC_NO_MEMORY;
 * QC_UNSUPPORTED for a single word of 1 GiB or more. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_encode(const struct qc_tokenizer *tok, const char *text, size_t len,
				   unsigned flags, struct qc_ids *ids, struct qc_err *err);

/* The bytes of `n` ids: malloc, NUL behind `*len` bytes, for the caller to free. For text without
 * U+2581 and special tokens this is the inverse of encoding (kinds with NFC: of the normalized
 * text). QC_BAD_INPUT for an id that is no token; QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_decode(const struct qc_tokenizer *tok, const uint32_t *ids, size_t n,
				   unsigned flags, char **text, size_t *len, struct qc_err *err);

uint32_t qc_tokenizer_size(const struct qc_tokenizer *tok);

/* The model's ids of BOS and EOS; false when it has none. */
bool qc_tokenizer_bos(const struct qc_tokenizer *tok, uint32_t *id);
bool qc_tokenizer_eos(const struct qc_tokenizer *tok, uint32_t *id);

/* Whether QC_ENCODE_ADD_SPECIAL puts a BOS before the text, an EOS behind it. */
bool qc_tokenizer_adds_bos(const struct qc_tokenizer *tok);
bool qc_tokenizer_adds_eos(const struct qc_tokenizer *tok);

/* Whether a model that says `id` has come to an end: EOS, end of turn, end of message, and tokens
 * whose spelling is known for it, as libllama has them. */
bool qc_tokenizer_is_end(const struct qc_tokenizer *tok, uint32_t id);

#endif

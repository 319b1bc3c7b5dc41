/* What the files of the tokenizer share: its tables, a run over one text, and the kinds. */
#ifndef QC_CALIB_TOKENIZER_PARTS_H
#define QC_CALIB_TOKENIZER_PARTS_H

#include "base/arena.h"
#include "base/strmap.h"
#include "calib/cuts.h"
#include "calib/merge.h"
#include "calib/pairs.h"
#include "calib/pretokenize.h"
#include "calib/special.h"
#include "calib/tokenize.h"
#include "calib/word_cache.h"
#include "formats/tokenizer.h"

struct qc_encoding_run;

struct qc_vocab_token {
	const char *text; /* as the vocabulary has it */
	uint32_t len;
	uint8_t type; /* enum qc_token_type; unknown numbers count as normal */
	bool ends_text;
};

/* A way in which text becomes tokens. */
struct qc_tokenizer_kind {
	const char *model;	/* tokenizer.ggml.model */
	uint32_t bos, eos, unk; /* where the metadata names none; QC_NO_TOKEN: none */
	bool add_bos, always_add_bos, space_prefix;
	bool marks; /* U+2581 stands for a space in normal tokens; else GPT-2's alphabet for bytes
		     */
	/* Build the tables that encoding needs; the vocabulary has been read. */
	enum qc_status (*prepare)(struct qc_tokenizer *tok, const struct qc_meta *meta,
				  struct qc_err *err);
	/* Append the ids of text between special tokens; `prefix`: a space is to be put before. */
	enum qc_status (*encode)(struct qc_encoding_run *run, const char *text, size_t len,
				 bool prefix);
};

extern const struct qc_tokenizer_kind qc_tokenizer_spm;	   /* spm.c */
extern const struct qc_tokenizer_kind qc_tokenizer_bpe;	   /* bpe.c */
extern const struct qc_tokenizer_kind qc_tokenizer_gemma4; /* gemma4_bpe.c */

#define QC_MAX_NEWLINE_RUN 64

struct qc_tokenizer {
	const struct qc_tokenizer_kind *kind;
	struct qc_arena arena;
	struct qc_vocab_token *tokens;
	uint32_t n_tokens;
	struct qc_specials specials;
	struct qc_strmap ids; /* text, as it is looked up while encoding, -> id */
	size_t longest;	      /* length of the longest key of ids */
	uint32_t bytes[256];  /* token of each byte; QC_NO_TOKEN */
	uint32_t bos, eos, unk;
	bool add_bos, add_eos, space_prefix;
	uint32_t *ranks;	     /* spm: of every token, lowest first */
	struct qc_pairs merges;	     /* bpe, gemma4 */
	struct qc_cuts cuts;	     /* spm, gemma4 */
	struct qc_pretokenizer *pre; /* bpe */
	/* gemma4: the token of 1, 2, ... newlines; QC_NO_TOKEN */
	uint32_t newlines[QC_MAX_NEWLINE_RUN + 1];
};

/* One text being encoded. */
struct qc_encoding_run {
	const struct qc_tokenizer *tok;
	struct qc_ids *out;
	struct qc_merger merger;
	struct qc_word_cache cache;
	struct qc_pre_matcher *matcher;
	struct qc_arena texts; /* normalized text, which the cache may point to */
	char *word;	       /* a word with its spaces as U+2581 */
	size_t word_cap;
	struct qc_err *err;
};

/* vocabulary.c: tokens, types and special tokens from the metadata. QC_UNSUPPORTED,
 * QC_BAD_INPUT. */
QC_MUST_CHECK
enum qc_status qc_vocabulary_read(struct qc_tokenizer *tok, const struct qc_meta *meta,
				  struct qc_err *err);

/* vocabulary.c: fill tok->ids with the texts of all tokens that text can become by merging (of
 * equal texts the later token), tok->longest and, for kinds with byte fallback, tok->bytes. */
QC_MUST_CHECK
enum qc_status qc_vocabulary_index(struct qc_tokenizer *tok, struct qc_err *err);

/* vocabulary.c: put an id for a text; a later one replaces an earlier one. */
QC_MUST_CHECK
enum qc_status qc_vocabulary_put(struct qc_tokenizer *tok, const char *text, size_t len,
				 uint32_t id, struct qc_err *err);

/* vocabulary.c: the value of a "<0xHH>" text. */
uint8_t qc_vocabulary_byte(const char *text);

/* merges.c: tokenizer.ggml.merges into tok->merges, over the texts in tok->ids; merges of which a
 * part or the result is no token (a vocabulary may have been cut) are left out. `joined` is called
 * with the text of every result when it is not NULL. QC_BAD_INPUT, QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_merges_read(struct qc_tokenizer *tok, const struct qc_meta *meta,
			      void (*joined)(struct qc_tokenizer *tok, const char *text,
					     size_t len),
			      struct qc_err *err);

/* merges.c: the rule that merges pairs of ids by tok->merges. */
struct qc_merge_rule qc_merges_rule(const struct qc_tokenizer *tok);

/* encoding_run.c: append an id; a byte by its token (the unknown token, or nothing, when there is
 * none). */
QC_MUST_CHECK
enum qc_status qc_run_put(struct qc_encoding_run *run, uint32_t id);
QC_MUST_CHECK
enum qc_status qc_run_put_bytes(struct qc_encoding_run *run, const char *bytes, size_t len);

/* encoding_run.c: append the ids of a word: those remembered, or what `encode` appends for it. */
QC_MUST_CHECK
enum qc_status qc_run_word(struct qc_encoding_run *run, const char *text, size_t len,
			   enum qc_status (*encode)(struct qc_encoding_run *run, const char *text,
						    size_t len));

/* encoding_run.c: merge the symbols in run->merger by `rule` and append what is left of them. */
QC_MUST_CHECK
enum qc_status qc_run_merge(struct qc_encoding_run *run, const char *word,
			    const struct qc_merge_rule *rule);

/* characters.c: for kinds whose symbols are characters. Cut text by tok->cuts and give each word to
 * `encode` by way of qc_run_word(); the first one has a space put before it when `prefix`. */
QC_MUST_CHECK
enum qc_status qc_characters_encode(struct qc_encoding_run *run, const char *text, size_t len,
				    bool prefix,
				    enum qc_status (*encode)(struct qc_encoding_run *run,
							     const char *text, size_t len));

/* characters.c: copy a word into run->word with spaces as U+2581 and start run->merger with its
 * characters, each with the id of its own token. */
QC_MUST_CHECK
enum qc_status qc_characters_start(struct qc_encoding_run *run, const char *text, size_t len);

#endif

/* Tokenizer files of a Hugging Face directory, as tokenizer.ggml.* metadata. */
#ifndef QC_FORMATS_TOKENIZER_H
#define QC_FORMATS_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/json.h"
#include "formats/model.h"

/* GGUF's token types (the same numbers as SentencePiece's). */
enum qc_token_type {
	QC_TOKEN_NORMAL = 1,
	QC_TOKEN_UNKNOWN = 2,
	QC_TOKEN_CONTROL = 3,
	QC_TOKEN_USER_DEFINED = 4,
	QC_TOKEN_UNUSED = 5,
	QC_TOKEN_BYTE = 6,
};

struct qc_token {
	const char *text; /* may hold any byte; NULL: no such id yet */
	size_t len;
	float score;
	enum qc_token_type type;
};

/* How text becomes tokens, told by a file's structure. */
enum qc_vocab_kind {
	QC_VOCAB_SPM = 0, /* SentencePiece's merging by score, or the BPE with byte fallback that it
			     is exported as */
	QC_VOCAB_BYTE_LEVEL, /* BPE over GPT-2's alphabet of 256 byte symbols */
	QC_VOCAB_CHARACTERS, /* BPE over characters with neither */
};

/* A vocabulary while it is being put together; arrays live in `arena`. */
struct qc_vocab {
	struct qc_arena *arena;
	struct qc_token *tokens;
	uint32_t n_tokens;
	enum qc_vocab_kind kind;
	bool no_space_prefix; /* text does not get a space put before it */
	bool unigram; /* scores are log-probabilities of a unigram model, not an order of merges */
	/* Set by the caller: a BPE with byte_fallback keeps its merges and its added tokens as they
	 * stand, and the merges alone decide (tokenizer.ggml.model "gemma4"). */
	bool own_merges;
	struct qc_kv_builder merges; /* "a b" strings, for own_merges and QC_VOCAB_BYTE_LEVEL */
};

#define QC_MAX_TOKENS (1u << 24)

/* What added tokens have for a score. */
#define QC_ADDED_SCORE -1000.0f

/* Whether a token's text is that of a byte: "<0x0A>". */
bool qc_token_is_byte(const char *text, size_t len);

/* vocab.c: whether a control token of Gemma 4 is one that is shown (user-defined in GGUF). */
bool qc_token_is_visible(const char *text, size_t len);

/* How a tokenizer.json makes tokens. */
enum qc_vocab_kind qc_tokenizer_json_kind(const struct qc_json *json);

/* Put `text` at `id`, as llama.cpp's converter does with added tokens: CONTROL when `special` or
 * when the text looks so ("<|...|>", "<unused...>", ...), else USER_DEFINED with U+2581 turned into
 * spaces; score -1000. With own_merges the text stays as it is, and its looks do not count. An id
 * past the end is left out. QC_NO_MEMORY only. */
QC_MUST_CHECK
enum qc_status qc_vocab_add_token(struct qc_vocab *vocab, uint64_t id, const char *text, size_t len,
				  bool special, struct qc_err *err);

/* vocab.c: what becomes of the user-defined pieces of a tokenizer.model. Where an
 * added_tokens_decoder types the tokens that matter they are normal ones (`keep` false), as
 * llama.cpp's converter has it; where the tokenizer.model stands alone it would lose them, so they
 * stay what they are, U+2581 turned into spaces. QC_NO_MEMORY only. */
QC_MUST_CHECK
enum qc_status qc_vocab_settle_user_defined(struct qc_vocab *vocab, bool keep, struct qc_err *err);

/* sentencepiece.c: pieces of a tokenizer.model (a protobuf), as it types and scores
 * them. QC_BAD_INPUT, QC_NO_MEMORY. vocab->n_tokens is set to the number of pieces. `bytes`
 * must outlive the vocabulary. */
QC_MUST_CHECK
enum qc_status qc_sentencepiece_parse(struct qc_vocab *vocab, const void *bytes, size_t size,
				      struct qc_err *err);

/* tokenizer_json.c: the vocabulary of a tokenizer.json whose model is BPE, its kind told by its
 * structure. For QC_VOCAB_SPM tokens, scores and types equal those that qc_sentencepiece_parse()
 * reads from the tokenizer.model which it was exported from, with added tokens put on top; other
 * kinds get texts only. Ids that the file leaves out have a NULL text. QC_BAD_INPUT; QC_UNSUPPORTED
 * for other models than BPE, saying which it is. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_json_parse(struct qc_vocab *vocab, const struct qc_json *json,
				       struct qc_err *err);

/* tokenizer_bpe.c: the name that llama.cpp has for the pre-tokenizer of a byte-level BPE (a
 * literal), told by its structure. QC_UNSUPPORTED when none is known to be the same. */
QC_MUST_CHECK
enum qc_status qc_bpe_pre(const struct qc_json *json, const char **pre, struct qc_err *err);

/* tokenizer_bpe.c, the way back: whether a pre-tokenizer's steps are known by its name; these, as
 * the member pre_tokenizer; whether a piece that is a token stays whole; whether text is normalized
 * to NFC first. */
struct qc_json_out;
bool qc_bpe_knows_pre(const char *pre);
void qc_bpe_put_pre(const char *pre, struct qc_json_out *out);
bool qc_bpe_ignores_merges(const char *pre);
bool qc_bpe_composes(const char *pre);

/* tokenizer_bpe.c: append the merge of two texts to vocab->merges. QC_NO_MEMORY only. */
QC_MUST_CHECK
enum qc_status qc_bpe_push_merge(struct qc_vocab *vocab, const char *const part[2],
				 const size_t len[2], struct qc_err *err);

/* tokenizer_suppress.c: generation_config.json's suppress_tokens as
 * tokenizer.ggml.suppress_tokens, when there are any. QC_BAD_INPUT, QC_IO. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_suppress(struct qc_model *model, struct qc_err *err);

/* Read whatever tokenizer files model->dir has and set tokenizer.* in model->meta, padded to the
 * model's vocabulary size. No tokenizer at all is no error: tokenizer_note says so. QC_BAD_INPUT,
 * QC_UNSUPPORTED (naming the file), QC_IO. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_load(struct qc_model *model, struct qc_err *err);

/*
 * For the files that share this work.
 */

/* What lies beside the tensors; a zeroed struct has nothing. */
struct qc_tokenizer_files {
	struct qc_json tokenizer; /* tokenizer.json */
	struct qc_json config;	  /* tokenizer_config.json */
	struct qc_json added;	  /* added_tokens.json */
	struct qc_json template;  /* chat_template.json */
	char *texts[4];		  /* the bytes behind them */
	char *pieces;		  /* tokenizer.model */
	size_t pieces_size;
	char *jinja; /* chat_template.jinja */
	size_t jinja_size;
};

/* tokenizer.c: the id that a member of added_tokens_decoder has for its name ("32000"); false when
 * that is no number. */
bool qc_tokenizer_key_id(const struct qc_json *json, qc_json_value member, uint64_t *id);

/* tokenizer_special.c: tokenizer.ggml.*_token_id and add_*_token, for ids below `vocab`'s size. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_special(struct qc_model *model, const struct qc_tokenizer_files *files,
				    const struct qc_vocab *vocab, struct qc_err *err);

/* tokenizer_special.c: tokenizer.chat_template and its named companions. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_template(struct qc_model *model, const struct qc_tokenizer_files *files,
				     struct qc_err *err);

#endif

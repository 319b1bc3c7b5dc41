/* A GGUF's tokenizer as the files of a Hugging Face directory: the way back of formats/tokenizer.h.
 */
#ifndef QC_FORMATS_TOKENIZER_WRITE_H
#define QC_FORMATS_TOKENIZER_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/json_out.h"
#include "base/strmap.h"
#include "formats/model.h"
#include "formats/tokenizer.h"

#define QC_NO_TOKEN UINT32_MAX

/* The vocabulary of tokenizer.ggml.*, with what the writers must know. Texts are borrowed from the
 * metadata; those of an SPM vocabulary have U+2581 where user-defined tokens have spaces. */
struct qc_vocab_back {
	const struct qc_model *model;
	struct qc_arena arena;
	struct qc_token *tokens;
	uint32_t n;	      /* without the padding at the end */
	struct qc_strmap ids; /* text -> id */
	enum qc_vocab_kind kind;
	bool own_merges;
	const struct qc_kv *merges; /* NULL for an SPM vocabulary with scores */
	const char *pre;	    /* of a byte-level vocabulary */
	bool space_prefix, add_bos, add_eos;
	bool has_decoder; /* some added tokens have the score of those in added_tokens_decoder */
	uint32_t bos, eos, unknown, pad;
};

/* A token that files list among the added ones. */
bool qc_vocab_back_is_added(const struct qc_vocab_back *vocab, uint32_t id);

/* Whether it is a special one of them. */
bool qc_vocab_back_is_special(const struct qc_vocab_back *vocab, uint32_t id);

/* Write the tokenizer's files into model->sides: tokenizer.json, tokenizer_config.json,
 * chat_template.jinja, and tokenizer.model where the vocabulary is SentencePiece's. Nothing when
 * the GGUF has no tokenizer. QC_UNSUPPORTED says what cannot be written. */
QC_MUST_CHECK
enum qc_status qc_tokenizer_write(struct qc_model *model, struct qc_err *err);

/*
 * For the files that share this work.
 */

/* tokenizer_write_json.c: the whole file. The caller checks ferror(). */
QC_MUST_CHECK
enum qc_status qc_tokenizer_write_json(const struct qc_vocab_back *vocab, FILE *out,
				       struct qc_err *err);

/* merges_back.c: the merges of an SPM vocabulary as pairs, by the scores of what they make, largest
 * first; all pairs of tokens that make a token. */
QC_MUST_CHECK
enum qc_status qc_merges_from_scores(const struct qc_vocab_back *vocab, struct qc_json_out *out,
				     struct qc_err *err);

/* sentencepiece_write.c: tokenizer.model. The caller checks ferror(). */
void qc_sentencepiece_write(const struct qc_vocab_back *vocab, FILE *out);

/* model.c's like: add a file to model->sides (text copied into the model's arena). */
QC_MUST_CHECK
enum qc_status qc_model_add_side(struct qc_model *model, const char *name, const char *text,
				 size_t size, struct qc_err *err);

#endif

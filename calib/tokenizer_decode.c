/*
 * Ids to bytes: the inverse of encoding.
 *
 * A normal token is its text with U+2581 as spaces, or the bytes that its characters stand for
 * (bpe); a byte token its byte; a user-defined token its text as it stands; control and unknown
 * tokens are nothing unless they are asked for. Where encoding puts a space before a text, at the
 * start and behind special tokens, one is taken off again.
 */
#include <stdlib.h>
#include <string.h>

#include "calib/byte_alphabet.h"
#include "calib/tokenizer_parts.h"

struct decoding {
	const struct qc_tokenizer *tok;
	char *text;
	size_t len, cap;
};

/* Room for `n` bytes and a NUL. */
static char *need_room(struct decoding *d, size_t n)
{
	if (n >= d->cap - d->len) {
		const size_t cap = (d->cap + n + 64) * 2;
		char *bigger = realloc(d->text, cap);

		if (!bigger)
			return NULL;
		d->text = bigger;
		d->cap = cap;
	}
	return d->text + d->len;
}

static size_t put_with_spaces(char *out, const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len;) {
		const bool mark = len - i >= 3 && !memcmp(text + i, QC_SPACE_MARK, 3);

		out[n++] = mark ? ' ' : text[i];
		i += mark ? 3 : 1;
	}
	return n;
}

/* Append one token's text, without its first space when `strip`. */
static bool put_token(struct decoding *d, const struct qc_vocab_token *token, bool show, bool strip)
{
	char *out = need_room(d, token->len);
	size_t n = token->len;

	if (!out)
		return false;
	if (token->type == QC_TOKEN_BYTE) {
		out[0] = (char)qc_vocabulary_byte(token->text);
		n = 1;
	} else if (token->type == QC_TOKEN_CONTROL || token->type == QC_TOKEN_UNKNOWN) {
		n = show ? n : 0;
		memcpy(out, token->text, n);
	} else if (token->type == QC_TOKEN_USER_DEFINED) {
		memcpy(out, token->text, n);
	} else if (d->tok->kind->marks) {
		n = put_with_spaces(out, token->text, n);
	} else if (!qc_bytes_of_characters(token->text, token->len, out, &n)) {
		n = token->len; /* a word that merges cannot make */
		memcpy(out, token->text, n);
	}
	if (strip && n && out[0] == ' ')
		memmove(out, out + 1, --n);
	d->len += n;
	return true;
}

enum qc_status qc_tokenizer_decode(const struct qc_tokenizer *tok, const uint32_t *ids, size_t n,
				   unsigned flags, char **text, size_t *len, struct qc_err *err)
{
	struct decoding d = {.tok = tok};
	const bool prefix = tok->space_prefix && tok->kind->marks;
	bool at_start = !(flags & QC_DECODE_CONTINUED);
	enum qc_status s = need_room(&d, 1) ? QC_OK : qc_no_memory(err);

	for (size_t i = 0; !s && i < n; i++) {
		const struct qc_vocab_token *token;
		bool special;

		if (ids[i] >= tok->n_tokens) {
			s = qc_fail(err, QC_BAD_INPUT, "id %u at %zu: the vocabulary has %u tokens",
				    ids[i], i, tok->n_tokens);
			break;
		}
		token = &tok->tokens[ids[i]];
		special = token->type == QC_TOKEN_CONTROL || token->type == QC_TOKEN_UNKNOWN ||
			  token->type == QC_TOKEN_USER_DEFINED;
		if (!put_token(&d, token, flags & QC_DECODE_SPECIAL,
			       prefix && at_start && !special))
			s = qc_no_memory(err);
		at_start = special;
	}
	if (s) {
		free(d.text);
		return s;
	}
	d.text[d.len] = 0;
	*text = d.text;
	*len = d.len;
	return QC_OK;
}

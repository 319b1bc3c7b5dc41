/* A vocabulary's tokens one by one: how they are typed when they are put over those of the
 * tokenizer's own file. */
#include "formats/tokenizer.h"

#include <ctype.h>
#include <string.h>

static bool starts_with(const char *text, size_t len, const char *start)
{
	return len >= strlen(start) && !memcmp(text, start, strlen(start));
}

static bool ends_with(const char *text, size_t len, const char *end)
{
	return len >= strlen(end) && !memcmp(text + len - strlen(end), end, strlen(end));
}

bool qc_token_is_byte(const char *text, size_t len)
{
	return len == 6 && !memcmp(text, "<0x", 3) && isxdigit((uint8_t)text[3]) &&
	       isxdigit((uint8_t)text[4]) && text[5] == '>';
}

/* Control tokens that some files mark as ordinary ones. */
static bool looks_special(const char *text, size_t len)
{
	static const char *const words[] = {"<pad>", "<mask>", "<2mass>", "[@BOS@]", NULL};
	static const char *const frames[][2] = {
		{"<|", "|>"}, {"<\uff5c", "\uff5c>"}, {"<unused", ">"}};

	for (const char *const *word = words; *word; word++)
		if (strlen(*word) == len && !memcmp(*word, text, len))
			return true;
	for (size_t i = 0; i < 3; i++)
		if (starts_with(text, len, frames[i][0]) && ends_with(text, len, frames[i][1]))
			return true;
	return false;
}

/* Control tokens of Gemma 4 that are shown all the same, so that a reader of the answer can find
 * its parts: llama.cpp's converter makes them user-defined. */
bool qc_token_is_visible(const char *text, size_t len)
{
	static const char *const words[] = {
		"<|channel>",	    "<channel|>",	"<|tool_call>", "<tool_call|>",
		"<|tool_response>", "<tool_response|>", "<|\"|>",	NULL,
	};
	const char *const *word = words;

	while (*word && (strlen(*word) != len || memcmp(*word, text, len)))
		word++;
	return *word;
}

/* Whether there is a U+2581. Spaces are such in a vocabulary of merges, and a user-defined token is
 * shown as it stands: one with a mark has to be made by merging. */
static bool has_mark(const char *text, size_t len)
{
	for (size_t i = 0; i + 3 <= len; i++)
		if (!memcmp(text + i, "\u2581", 3))
			return true;
	return false;
}

/* U+2581 stands for a space inside a vocabulary; added tokens are matched in the text itself. */
static char *with_spaces(struct qc_arena *arena, const char *text, size_t *len)
{
	char *copy = qc_arena_copy(arena, text, *len);
	size_t n = 0;

	for (size_t i = 0; copy && i < *len;) {
		const bool mark = *len - i >= 3 && !memcmp(text + i, "\u2581", 3);

		copy[n++] = mark ? ' ' : text[i];
		i += mark ? 3 : 1;
	}
	*len = n;
	return copy;
}

enum qc_status qc_vocab_add_token(struct qc_vocab *vocab, uint64_t id, const char *text, size_t len,
				  bool special, struct qc_err *err)
{
	struct qc_token token = {
		.text = text, .len = len, .score = QC_ADDED_SCORE, .type = QC_TOKEN_CONTROL};

	if (id >= vocab->n_tokens)
		return QC_OK;
	if (vocab->own_merges) {
		if (qc_token_is_visible(text, len))
			token.type = QC_TOKEN_USER_DEFINED;
		else if (!special)
			token.type = has_mark(text, len) ? QC_TOKEN_NORMAL : QC_TOKEN_USER_DEFINED;
	} else if (!special && !looks_special(text, len)) {
		token.type = QC_TOKEN_USER_DEFINED;
		token.text = with_spaces(vocab->arena, text, &token.len);
		if (!token.text)
			return qc_no_memory(err);
	}
	vocab->tokens[id] = token;
	return QC_OK;
}

enum qc_status qc_vocab_settle_user_defined(struct qc_vocab *vocab, bool keep, struct qc_err *err)
{
	for (uint32_t id = 0; id < vocab->n_tokens; id++) {
		struct qc_token *token = &vocab->tokens[id];

		if (token->type != QC_TOKEN_USER_DEFINED)
			continue;
		if (!keep) {
			token->type = QC_TOKEN_NORMAL;
			continue;
		}
		token->text = with_spaces(vocab->arena, token->text, &token->len);
		if (!token->text)
			return qc_no_memory(err);
	}
	return QC_OK;
}

/* What decides the ids, on vocabularies of a few tokens; and vocabularies that are refused. */
#include <math.h>

#include "base/bytes.h"
#include "calib/tokenize.h"
#include "formats/tokenizer.h"
#include "tests/test.h"

static struct qc_err err;

static void encode(const struct qc_tokenizer *tok, const char *text, size_t len, unsigned flags,
		   struct qc_ids *ids)
{
	ids->n = 0;
	NEED(!qc_tokenizer_encode(tok, text, len, flags, ids, &err), "%s", err.text);
}

/* Metadata as a file would bring it. */

struct vocab {
	struct qc_arena arena;
	struct qc_meta meta;
	struct qc_kv_builder tokens, merges, types, scores;
};

static void vocab_open(struct vocab *v, const char *model)
{
	*v = (struct vocab){0};
	v->meta.arena = &v->arena;
	NEED(!qc_meta_set_string(&v->meta, "tokenizer.ggml.model", model, strlen(model), &err),
	     "%s", err.text);
}

static void vocab_token(struct vocab *v, const char *text, enum qc_token_type type, float score)
{
	uint8_t word[4];

	NEED(!qc_kv_push_string(&v->tokens, text, strlen(text), &err), "%s", err.text);
	qc_put_le32(word, (uint32_t)type);
	NEED(!qc_kv_push(&v->types, word, 4, &err), "%s", err.text);
	qc_put_le32(word, qc_f32_bits(score));
	NEED(!qc_kv_push(&v->scores, word, 4, &err), "%s", err.text);
}

static void vocab_set(struct vocab *v, const char *key, enum qc_kv_type elem,
		      const struct qc_kv_builder *list)
{
	NEED(!qc_meta_set(&v->meta, key, QC_KV_ARRAY, elem, list->n, list->data, list->bytes, &err),
	     "%s", err.text);
}

static void vocab_finish(struct vocab *v)
{
	vocab_set(v, "tokenizer.ggml.tokens", QC_KV_STRING, &v->tokens);
	vocab_set(v, "tokenizer.ggml.token_type", QC_KV_I32, &v->types);
	vocab_set(v, "tokenizer.ggml.scores", QC_KV_F32, &v->scores);
	if (v->merges.n)
		vocab_set(v, "tokenizer.ggml.merges", QC_KV_STRING, &v->merges);
}

static void vocab_close(struct vocab *v)
{
	qc_meta_clear(&v->meta);
	qc_arena_clear(&v->arena);
	free(v->tokens.data);
	free(v->types.data);
	free(v->scores.data);
	free(v->merges.data);
}

static void vocab_merge(struct vocab *v, const char *text)
{
	NEED(!qc_kv_push_string(&v->merges, text, strlen(text), &err), "%s", err.text);
}

/* The ids of `text` are `want`, which UINT32_MAX ends. */
static void check_small(const struct vocab *v, const char *text, unsigned flags,
			const uint32_t *want)
{
	struct qc_tokenizer *tok;
	struct qc_ids ids = {0};
	size_t n = 0;

	while (want[n] != UINT32_MAX)
		n++;
	NEED(!qc_tokenizer_open_meta(&tok, &v->meta, &err), "%s", err.text);
	encode(tok, text, strlen(text), flags, &ids);
	CHECK(ids.n == n, "'%s' gives %zu ids, not %zu", text, ids.n, n);
	for (size_t i = 0; i < n && i < ids.n; i++)
		CHECK(ids.ids[i] == want[i], "'%s' id %zu is %u, not %u", text, i, ids.ids[i],
		      want[i]);
	qc_ids_clear(&ids);
	qc_tokenizer_close(tok);
}

#define IDS(...)                                                                                   \
	(const uint32_t[])                                                                         \
	{                                                                                          \
		__VA_ARGS__, UINT32_MAX                                                            \
	}

static void the_highest_score_merges_first_and_the_leftmost_of_equals(void)
{
	struct vocab v;

	vocab_open(&v, "llama");
	vocab_token(&v, "<unk>", QC_TOKEN_UNKNOWN, 0);
	vocab_token(&v, "<s>", QC_TOKEN_CONTROL, 0);
	vocab_token(&v, "a", QC_TOKEN_NORMAL, -10);
	vocab_token(&v, "b", QC_TOKEN_NORMAL, -11);
	vocab_token(&v, "ab", QC_TOKEN_NORMAL, -2);
	vocab_token(&v, "ba", QC_TOKEN_NORMAL, -1);
	vocab_token(&v, "aa", QC_TOKEN_NORMAL, -2);
	vocab_token(&v, "<", QC_TOKEN_NORMAL, -12);
	vocab_token(&v, "s", QC_TOKEN_NORMAL, -12);
	vocab_token(&v, ">", QC_TOKEN_NORMAL, -12);
	vocab_token(&v, "s>", QC_TOKEN_NORMAL, -3);
	vocab_token(&v, "\u2581", QC_TOKEN_NORMAL, -12);
	vocab_token(&v, "<0x63>", QC_TOKEN_BYTE, 0);
	vocab_finish(&v);
	NEED(!qc_meta_set_bool(&v.meta, "tokenizer.ggml.add_space_prefix", false, &err), "%s",
	     err.text);
	check_small(&v, "aba", 0, IDS(2, 5)); /* ba before ab */
	check_small(&v, "aab", 0, IDS(6, 3)); /* aa and ab are equal: the left one */
	check_small(&v, "aaa", 0, IDS(6, 2));
	check_small(&v, "c", 0, IDS(12));
	check_small(&v, "d", 0, IDS(0));       /* no byte token: unknown */
	check_small(&v, "<s>", 0, IDS(7, 10)); /* never the control token, though '<' + 's>' is */
	check_small(&v, "<s>", QC_ENCODE_PARSE_SPECIAL, IDS(1));
	check_small(&v, "a", QC_ENCODE_ADD_SPECIAL, IDS(1, 2));
	NEED(!qc_meta_set_bool(&v.meta, "tokenizer.ggml.add_space_prefix", true, &err), "%s",
	     err.text);
	check_small(&v, "a<s>a", QC_ENCODE_PARSE_SPECIAL, IDS(11, 2, 1, 11, 2));
	vocab_close(&v);
}

static void gemma4_newlines_are_the_longest_tokens_there_are(void)
{
	struct vocab v;

	vocab_open(&v, "gemma4");
	vocab_token(&v, "<bos>", QC_TOKEN_CONTROL, 0);
	vocab_token(&v, "\n", QC_TOKEN_NORMAL, 0);
	vocab_token(&v, "\n\n", QC_TOKEN_NORMAL, 0);
	vocab_token(&v, "\n\n\n", QC_TOKEN_NORMAL, 0);
	vocab_token(&v, "a", QC_TOKEN_NORMAL, 0);
	vocab_token(&v, "\u2581", QC_TOKEN_NORMAL, 0);
	vocab_token(&v, "\u2581a", QC_TOKEN_NORMAL, 0);
	vocab_token(&v, "a\u2581a", QC_TOKEN_NORMAL, 0);
	vocab_token(&v, "<0x63>", QC_TOKEN_BYTE, 0);
	vocab_merge(&v, "\n \n");
	vocab_merge(&v, "\u2581 a");
	vocab_merge(&v, "a \u2581a"); /* joins over the start of a word */
	vocab_merge(&v, "a b");	      /* no token: left out */
	vocab_finish(&v);
	NEED(!qc_meta_set_u32(&v.meta, "tokenizer.ggml.bos_token_id", 0, &err), "%s", err.text);
	check_small(&v, "\n\n\n\n\n", 0, IDS(3, 2));
	check_small(&v, "a\n\na", 0, IDS(4, 2, 4));
	check_small(&v, "a a", 0, IDS(7));
	check_small(&v, " a a a", 0, IDS(6, 6, 6));
	check_small(&v, "c", QC_ENCODE_ADD_SPECIAL, IDS(0, 8));
	vocab_close(&v);
}

static void a_word_that_is_a_token_stays_whole_for_llama_3(void)
{
	for (int i = 0; i < 2; i++) {
		const char *pre = i ? "llama-bpe" : "dbrx";
		struct vocab v;

		vocab_open(&v, "gpt2");
		vocab_token(&v, "a", QC_TOKEN_NORMAL, 0);
		vocab_token(&v, "b", QC_TOKEN_NORMAL, 0);
		vocab_token(&v, "c", QC_TOKEN_NORMAL, 0);
		vocab_token(&v, "bc", QC_TOKEN_NORMAL, 0);
		vocab_token(&v, "abc", QC_TOKEN_NORMAL, 0); /* no merge makes it */
		vocab_token(&v, "\u0120", QC_TOKEN_NORMAL, 0);
		vocab_token(&v, "\u0120\u00c3\u00a9", QC_TOKEN_NORMAL, 0);
		vocab_merge(&v, "b c");
		vocab_finish(&v);
		NEED(!qc_meta_set_string(&v.meta, "tokenizer.ggml.pre", pre, strlen(pre), &err) &&
			     !qc_meta_set_u32(&v.meta, "tokenizer.ggml.bos_token_id", 0, &err),
		     "%s", err.text);
		check_small(&v, "abc", 0, i ? IDS(4) : IDS(0, 3));
		check_small(&v, "abcb", 0, IDS(0, 3, 1));
		/* bytes without a token are left out where there is no unknown token */
		check_small(&v, " \u00e9", 0, i ? IDS(6) : IDS(5));
		/* adds a BOS unless told otherwise */
		check_small(&v, "b", QC_ENCODE_ADD_SPECIAL, i ? IDS(0, 1) : IDS(1));
		vocab_close(&v);
	}
}

static void the_longest_special_token_at_a_place_wins(void)
{
	struct vocab v;

	vocab_open(&v, "llama");
	vocab_token(&v, "<a>", QC_TOKEN_CONTROL, 0);
	vocab_token(&v, "<a><b>", QC_TOKEN_CONTROL, 0);
	vocab_token(&v, "<a><c>", QC_TOKEN_USER_DEFINED, 0);
	vocab_token(&v, "<", QC_TOKEN_NORMAL, 0);
	vocab_token(&v, "<unk>", QC_TOKEN_UNKNOWN, 0);
	vocab_finish(&v);
	NEED(!qc_meta_set_u32(&v.meta, "tokenizer.ggml.unknown_token_id", 4, &err) &&
		     !qc_meta_set_bool(&v.meta, "tokenizer.ggml.add_space_prefix", false, &err),
	     "%s", err.text);
	check_small(&v, "<a><a><b><a><c><<unk>", QC_ENCODE_PARSE_SPECIAL, IDS(0, 1, 2, 3, 4));
	check_small(&v, "<<a><c>", 0, IDS(3, 2)); /* user-defined ones always */
	vocab_close(&v);
}

static void bad_vocabularies_are_refused_with_the_reason(void)
{
	static const struct {
		const char *key;
		enum qc_kv_type type, elem;
		uint64_t n;
		const char *reason;
	} cases[] = {
		{"tokenizer.ggml.tokens", QC_KV_ARRAY, QC_KV_U8, 4, "array of strings"},
		{"tokenizer.ggml.scores", QC_KV_ARRAY, QC_KV_I8, 4, "tokenizer.ggml.scores"},
		{"tokenizer.ggml.scores", QC_KV_ARRAY, QC_KV_F32, 1, "tokenizer.ggml.scores"},
		{"tokenizer.ggml.token_type", QC_KV_ARRAY, QC_KV_I32, 1, "token_type"},
		{"tokenizer.ggml.bos_token_id", QC_KV_U32, QC_KV_U32, 1, "has 2 tokens"},
		{"tokenizer.ggml.bos_token_id", QC_KV_F32, QC_KV_F32, 1, "not a token id"},
		{"tokenizer.ggml.add_bos_token", QC_KV_U32, QC_KV_U32, 1, "not a bool"},
		{"tokenizer.ggml.model", QC_KV_STRING, QC_KV_STRING, 1, "are supported"},
	};
	static const uint8_t payload[8] = {9, 9, 0, 0, 0, 0, 0, 0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qc_tokenizer *tok;
		struct vocab v;

		vocab_open(&v, "llama");
		vocab_token(&v, "a", QC_TOKEN_NORMAL, 0);
		vocab_token(&v, "b", QC_TOKEN_NORMAL, 0);
		vocab_finish(&v);
		NEED(!qc_tokenizer_open_meta(&tok, &v.meta, &err), "%s", err.text);
		qc_tokenizer_close(tok);
		NEED(!qc_meta_set(&v.meta, cases[i].key, cases[i].type, cases[i].elem, cases[i].n,
				  payload, 4, &err),
		     "%s", err.text);
		CHECK(qc_tokenizer_open_meta(&tok, &v.meta, &err) &&
			      strstr(err.text, cases[i].reason),
		      "%s: '%s' does not say '%s'", cases[i].key, err.text, cases[i].reason);
		vocab_close(&v);
	}
}

static void what_is_missing_or_contradicts_itself_is_named(void)
{
	struct qc_tokenizer *tok;
	struct vocab v;

	vocab_open(&v, "llama");
	CHECK(qc_tokenizer_open_meta(&tok, &v.meta, &err) == QC_UNSUPPORTED &&
		      strstr(err.text, "tokenizer.ggml.tokens is missing"),
	      "'%s'", err.text);
	vocab_token(&v, "a", QC_TOKEN_BYTE, 0);
	vocab_finish(&v);
	CHECK(qc_tokenizer_open_meta(&tok, &v.meta, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "token 0 'a' is of type byte"),
	      "'%s'", err.text);
	vocab_close(&v);

	vocab_open(&v, "llama");
	vocab_token(&v, "a", QC_TOKEN_NORMAL, NAN);
	vocab_finish(&v);
	CHECK(qc_tokenizer_open_meta(&tok, &v.meta, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "score of token 0"),
	      "'%s'", err.text);
	vocab_close(&v);

	vocab_open(&v, "gemma4");
	vocab_token(&v, "a", QC_TOKEN_NORMAL, 0);
	vocab_finish(&v);
	CHECK(qc_tokenizer_open_meta(&tok, &v.meta, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "tokenizer.ggml.merges is missing"),
	      "'%s'", err.text);
	vocab_merge(&v, "a a");
	vocab_finish(&v);
	CHECK(qc_tokenizer_open_meta(&tok, &v.meta, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "bos_token_id is missing"),
	      "'%s'", err.text);
	vocab_close(&v);

	vocab_open(&v, "gpt2");
	vocab_token(&v, "a", QC_TOKEN_NORMAL, 0);
	vocab_finish(&v);
	NEED(!qc_meta_set_string(&v.meta, "tokenizer.ggml.pre", "klingon", 7, &err), "%s",
	     err.text);
	CHECK(qc_tokenizer_open_meta(&tok, &v.meta, &err) == QC_UNSUPPORTED &&
		      strstr(err.text, "'klingon'"),
	      "'%s'", err.text);
	vocab_close(&v);
}

int main(void)
{
	the_highest_score_merges_first_and_the_leftmost_of_equals();
	gemma4_newlines_are_the_longest_tokens_there_are();
	a_word_that_is_a_token_stays_whole_for_llama_3();
	the_longest_special_token_at_a_place_wins();
	bad_vocabularies_are_refused_with_the_reason();
	what_is_missing_or_contradicts_itself_is_named();
	return test_end();
}

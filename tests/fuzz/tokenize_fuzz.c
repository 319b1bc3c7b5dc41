/* Any bytes as text, for a small fixed vocabulary of each kind: encoding never fails, and decoding
 * gives the text back. The first byte chooses the kind and the flags. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "calib/tokenize.h"
#include "formats/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Normal tokens by kind, in order of score; the merges are those that make them of two others. */
static const char *const characters[] = {
	"\u2581",   "a",
	"b",	    "e",
	"s",	    "t",
	"<",	    ">",
	"\u00e9",   "\u6f22",
	"\n\n",	    "\u2581\u2581",
	"\u2581a",  "ab",
	"st",	    "es",
	"est",	    "\u2581\u2581\u2581\u2581",
	"b\u2581a", "\u6f22\u6f22",
	"aa",	    "aaaa",
	"aaaaaaaa", "tes",
	"test",	    "\u2581test",
	NULL,
};
static const char *const byte_words[] = {
	"\u0120",
	"a",
	"b",
	"e",
	"s",
	"t",
	"1",
	"'",
	"\u00c3",
	"\u00a9",
	"\u00ff",
	"\u010a",
	"\u0120a",
	"ab",
	"st",
	"es",
	"est",
	"\u00c3\u00a9",
	"\u0120\u0120",
	"\u010a\u010a",
	"aa",
	"aaaa",
	"aaaaaaaa",
	"'s",
	"tes",
	"test",
	"\u0120test",
	NULL,
};
static const char *const merges[] = {
	"\u2581 \u2581",
	"a a",
	"aa aa",
	"aaaa aaaa",
	"a b",
	"s t",
	"e s",
	"es t",
	"t es",
	"tes t",
	"\u2581 a",
	"b \u2581a",
	"\u2581\u2581 \u2581\u2581",
	"\u6f22 \u6f22",
	"\u2581 test",
	"\u0120 a",
	"\u00c3 \u00a9",
	"\u0120 \u0120",
	"\u010a \u010a",
	"' s",
	"\u0120 test",
	NULL,
};

static void need(enum qc_status s)
{
	if (s)
		abort();
}

static void push(struct qc_kv_builder *texts, struct qc_kv_builder *types,
		 struct qc_kv_builder *scores, const char *text, enum qc_token_type type)
{
	uint8_t word[4];
	struct qc_err err;

	need(qc_kv_push_string(texts, text, strlen(text), &err));
	qc_put_le32(word, type);
	need(qc_kv_push(types, word, 4, &err));
	qc_put_le32(word, qc_f32_bits((float)texts->n));
	need(qc_kv_push(scores, word, 4, &err));
}

static struct qc_tokenizer *build(struct qc_meta *meta, const char *model, const char *pre)
{
	struct qc_kv_builder texts = {0}, types = {0}, scores = {0}, list = {0};
	const char *const *words = pre ? byte_words : characters;
	struct qc_tokenizer *tok;
	struct qc_err err;

	push(&texts, &types, &scores, "<unk>", QC_TOKEN_UNKNOWN);
	push(&texts, &types, &scores, "<s>", QC_TOKEN_CONTROL);
	push(&texts, &types, &scores, "<s><t>", QC_TOKEN_USER_DEFINED);
	for (int byte = 0; byte < 256 && !pre; byte++) {
		char text[8] = "<0x00>";

		text[3] = "0123456789ABCDEF"[byte / 16];
		text[4] = "0123456789ABCDEF"[byte % 16];
		push(&texts, &types, &scores, text, QC_TOKEN_BYTE);
	}
	for (const char *const *word = words; *word; word++)
		push(&texts, &types, &scores, *word, QC_TOKEN_NORMAL);
	for (const char *const *merge = merges; *merge; merge++)
		need(qc_kv_push_string(&list, *merge, strlen(*merge), &err));
	need(qc_meta_set_string(meta, "tokenizer.ggml.model", model, strlen(model), &err));
	if (pre)
		need(qc_meta_set_string(meta, "tokenizer.ggml.pre", pre, strlen(pre), &err));
	need(qc_meta_set(meta, "tokenizer.ggml.tokens", QC_KV_ARRAY, QC_KV_STRING, texts.n,
			 texts.data, texts.bytes, &err));
	need(qc_meta_set(meta, "tokenizer.ggml.token_type", QC_KV_ARRAY, QC_KV_I32, types.n,
			 types.data, types.bytes, &err));
	need(qc_meta_set(meta, "tokenizer.ggml.scores", QC_KV_ARRAY, QC_KV_F32, scores.n,
			 scores.data, scores.bytes, &err));
	need(qc_meta_set(meta, "tokenizer.ggml.merges", QC_KV_ARRAY, QC_KV_STRING, list.n,
			 list.data, list.bytes, &err));
	need(qc_meta_set_u32(meta, "tokenizer.ggml.bos_token_id", 1, &err));
	need(qc_tokenizer_open_meta(&tok, meta, &err));
	free(texts.data);
	free(types.data);
	free(scores.data);
	free(list.data);
	return tok;
}

#define N_KINDS 6
static struct {
	const char *model, *pre;
	struct qc_arena arena;
	struct qc_meta meta;
	struct qc_tokenizer *tok;
} kinds[N_KINDS] = {
	{.model = "llama"},
	{.model = "gemma4"},
	{.model = "gpt2", .pre = "llama-bpe"},
	{.model = "gpt2", .pre = "qwen35"},
	{.model = "gpt2", .pre = "gpt-4o"},
	{.model = "gpt2", .pre = "deepseek-v3"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t kind = size ? data[0] / 4 % N_KINDS : 0;
	const unsigned flags = size ? data[0] % 4 : 0;
	struct qc_ids ids = {0};
	struct qc_err err;
	char *text;
	size_t len;

	if (!size)
		return 0;
	data++;
	size--;
	if (!kinds[kind].tok) {
		kinds[kind].meta.arena = &kinds[kind].arena;
		kinds[kind].tok = build(&kinds[kind].meta, kinds[kind].model, kinds[kind].pre);
	}
	need(qc_tokenizer_encode(kinds[kind].tok, (const char *)data, size, flags, &ids, &err));
	need(qc_tokenizer_decode(kinds[kind].tok, ids.ids, ids.n, 0, &text, &len, &err));
	/* kinds with byte fallback lose nothing but marks for spaces, and control tokens */
	if (kind < 2 && !(flags & QC_ENCODE_PARSE_SPECIAL) && !memmem(data, size, "\u2581", 3) &&
	    !memmem(data, size, "<s><t>", 6) && (len != size || memcmp(text, data, len) != 0))
		abort();
	free(text);
	qc_ids_clear(&ids);
	return 0;
}

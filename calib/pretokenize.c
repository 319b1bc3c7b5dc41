/*
 * Pre-tokenizers by name, with the regular expressions of the tokenizer.json that each stands for.
 *
 * A pre-tokenizer has one to four steps. Each cuts what the one before it left: every match is a
 * piece, and so is whatever lies between matches. An expression sees one piece at a time: its end
 * is the end of the text.
 *
 * \s is written out: what the tokenizers' regular expressions take for white space is Unicode's
 * White_Space, which PCRE2's \s is not quite (U+0085, U+180E).
 *
 * Letters, marks and numbers are those of the Unicode version that PCRE2 was built with; characters
 * that are younger than it count as neither.
 *
 * All expressions take time in proportion to what they match: no group is repeated, and a repeated
 * class is given back at most once before the next alternative takes the same stretch.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "calib/pretokenize.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define WHITE                                                                                      \
	"\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"   \
	"\\x{3000}"
#define SPACE	 "[" WHITE "]"
#define SPACES	 SPACE "+(?![^" WHITE "])|" SPACE "+"
#define NEWLINES SPACE "*[\\r\\n]+"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BEFORE	     "[^\\r\\n\\p{L}\\p{N}]?"
#define UPPER	     "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER	     "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define OTHERS	     " ?[^" WHITE "\\p{L}\\p{N}]+"
#define TAIL	     "|" NEWLINES "|" SPACES

#define GPT2   "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" OTHERS "|" SPACES
#define LLAMA3 CONTRACTIONS "|" BEFORE "\\p{L}+|\\p{N}{1,3}|" OTHERS "[\\r\\n]*" TAIL
#define QWEN2  CONTRACTIONS "|" BEFORE "\\p{L}+|\\p{N}|" OTHERS "[\\r\\n]*" TAIL
#define QWEN35                                                                                     \
	CONTRACTIONS "|" BEFORE "[\\p{L}\\p{M}]+|\\p{N}| ?[^" WHITE                                \
		     "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" TAIL
#define GPT4O                                                                                      \
	BEFORE UPPER "*" LOWER "+" CONTRACTIONS "?|" BEFORE UPPER "+" LOWER "*" CONTRACTIONS       \
		     "?|\\p{N}{1,3}|" OTHERS "[\\r\\n/]*" TAIL
#define TEKKEN                                                                                     \
	BEFORE UPPER "*" LOWER "+|" BEFORE UPPER "+" LOWER "*|\\p{N}|" OTHERS "[\\r\\n/]*" TAIL
#define DEEPSEEK3                                                                                  \
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"                                    \
	"|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" TAIL
#define KANA_AND_HAN "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define PUNCTUATION  "[\\p{P}\\$\\+<=>\\^~\\|]+"
#define DIGIT	     "\\p{N}"

#define MAX_STEPS 4

static const struct {
	const char *name;
	const char *steps[MAX_STEPS];
	struct qc_pre_traits traits;
} known[] = {
	{"llama-bpe", {LLAMA3}, {.ignore_merges = true, .add_bos = true}},
	{"llama3", {LLAMA3}, {.ignore_merges = true, .add_bos = true}},
	{"llama-v3", {LLAMA3}, {.ignore_merges = true, .add_bos = true}},
	{"falcon3", {LLAMA3}, {.ignore_merges = true, .add_bos = true}},
	{"lfm2", {LLAMA3}, {.ignore_merges = true, .add_bos = true}},
	{"dbrx", {LLAMA3}, {0}},
	{"smaug-bpe", {LLAMA3}, {0}},
	{"glm4", {LLAMA3}, {0}},
	{"chatglm-bpe", {LLAMA3}, {0}},
	{"qwen2", {QWEN2}, {.nfc = true}},
	{"deepseek-r1-qwen", {QWEN2}, {0}},
	{"megrez", {QWEN2}, {0}},
	{"hunyuan", {QWEN2}, {0}},
	{"stablelm2", {QWEN2}, {0}},
	{"grok-2", {QWEN2}, {0}},
	{"qwen35", {QWEN35}, {.nfc = true}},
	{"gpt-4o", {GPT4O}, {0}},
	{"llama4", {GPT4O}, {0}},
	{"minimax-m2", {GPT4O}, {0}},
	{"tekken", {TEKKEN}, {.ignore_merges = true, .add_bos = true}},
	{"gpt-2", {GPT2}, {0}},
	{"phi-2", {GPT2}, {0}},
	{"olmo", {GPT2}, {0}},
	{"mpt", {GPT2}, {0}},
	{"exaone4", {GPT2}, {0}},
	{"smollm", {DIGIT, GPT2}, {0}},
	{"starcoder", {DIGIT, GPT2}, {0}},
	{"refact", {DIGIT, GPT2}, {0}},
	{"command-r", {DIGIT, GPT2}, {0}},
	{"codeshell", {DIGIT, GPT2}, {0}},
	{"exaone", {DIGIT, GPT2}, {0}},
	{"deepseek-v3", {"\\p{N}{1,3}", KANA_AND_HAN, DEEPSEEK3}, {0}},
	{"hunyuan-dense", {"\\p{N}{1,3}", KANA_AND_HAN, DEEPSEEK3}, {0}},
	/* libllama's, for files from before there were names */
	{"default", {PUNCTUATION, GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, {0}},
};
#define N_KNOWN (sizeof(known) / sizeof(known[0]))

struct qc_pretokenizer {
	const struct qc_pre_traits *traits;
	pcre2_code *steps[MAX_STEPS];
	size_t n_steps;
};

struct qc_pre_matcher {
	pcre2_match_context *context;
	pcre2_match_data *spans[MAX_STEPS];
};

struct cutting {
	const struct qc_pretokenizer *pre;
	struct qc_pre_matcher *matcher;
	qc_word_fn *word;
	void *context;
	struct qc_err *err;
};

const char *qc_pretokenizer_name(size_t i)
{
	return i < N_KNOWN ? known[i].name : NULL;
}

const struct qc_pre_traits *qc_pretokenizer_traits(const struct qc_pretokenizer *pre)
{
	return pre->traits;
}

/* What PCRE2 says of an expression or a match; all of them are ours, so only memory is expected. */
static enum qc_status fail(int error, struct qc_err *err)
{
	PCRE2_UCHAR text[120] = "";

	if (error == PCRE2_ERROR_NOMEMORY)
		return qc_no_memory(err);
	pcre2_get_error_message(error, text, sizeof(text));
	return qc_fail(err, QC_UNSUPPORTED, "the regular expression library (PCRE2): %s",
		       (const char *)text);
}

enum qc_status qc_pretokenizer_open(struct qc_pretokenizer **out, const char *name, size_t len,
				    struct qc_err *err)
{
	struct qc_pretokenizer *pre;
	size_t i = 0;

	while (i < N_KNOWN && (strlen(known[i].name) != len || memcmp(known[i].name, name, len)))
		i++;
	if (i == N_KNOWN)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tokenizer.ggml.pre is '%.*s', a pre-tokenizer that this version "
			       "does not know",
			       len > 60 ? 60 : (int)len, name);
	pre = calloc(1, sizeof(*pre));
	if (!pre)
		return qc_no_memory(err);
	pre->traits = &known[i].traits;
	while (pre->n_steps < MAX_STEPS && known[i].steps[pre->n_steps]) {
		int error;
		PCRE2_SIZE at;
		pcre2_code *code = pcre2_compile((PCRE2_SPTR)known[i].steps[pre->n_steps],
						 PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
						 &error, &at, NULL);

		if (!code) {
			qc_pretokenizer_close(pre);
			return fail(error, err);
		}
		/* where there is no JIT compiler, matching works without */
		(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
		pre->steps[pre->n_steps++] = code;
	}
	*out = pre;
	return QC_OK;
}

void qc_pretokenizer_close(struct qc_pretokenizer *pre)
{
	for (size_t i = 0; pre && i < pre->n_steps; i++)
		pcre2_code_free(pre->steps[i]);
	free(pre);
}

enum qc_status qc_pre_matcher_open(struct qc_pre_matcher **out, const struct qc_pretokenizer *pre,
				   struct qc_err *err)
{
	struct qc_pre_matcher *matcher = calloc(1, sizeof(*matcher));

	if (!matcher)
		return qc_no_memory(err);
	matcher->context = pcre2_match_context_create(NULL);
	if (!matcher->context)
		goto no_memory;
	/* the limits are against expressions that are not ours */
	pcre2_set_match_limit(matcher->context, UINT32_MAX);
	for (size_t i = 0; i < pre->n_steps; i++) {
		matcher->spans[i] = pcre2_match_data_create(1, NULL);
		if (!matcher->spans[i])
			goto no_memory;
	}
	*out = matcher;
	return QC_OK;
no_memory:
	qc_pre_matcher_close(matcher);
	return qc_no_memory(err);
}

void qc_pre_matcher_close(struct qc_pre_matcher *matcher)
{
	if (!matcher)
		return;
	for (size_t i = 0; i < MAX_STEPS; i++)
		pcre2_match_data_free(matcher->spans[i]);
	pcre2_match_context_free(matcher->context);
	free(matcher);
}

static enum qc_status cut(const struct cutting *c, size_t step, const char *text, size_t len)
{
	const PCRE2_SIZE *span;
	size_t at = 0;

	if (step == c->pre->n_steps || step == MAX_STEPS)
		return c->word(c->context, text, len, c->err);
	span = pcre2_get_ovector_pointer(c->matcher->spans[step]);
	while (at < len) {
		const int n = pcre2_match(c->pre->steps[step], (PCRE2_SPTR)text, len, at,
					  PCRE2_NO_UTF_CHECK, c->matcher->spans[step],
					  c->matcher->context);
		size_t from = len, to = len;
		enum qc_status s;

		if (n < 0 && n != PCRE2_ERROR_NOMATCH)
			return fail(n, c->err);
		if (n >= 0 && span[1] > span[0]) {
			from = span[0];
			to = span[1];
		}
		s = from > at ? cut(c, step + 1, text + at, from - at) : QC_OK;
		if (!s && to > from)
			s = cut(c, step + 1, text + from, to - from);
		if (s)
			return s;
		at = to;
	}
	return QC_OK;
}

enum qc_status qc_pretokenize(const struct qc_pretokenizer *pre, struct qc_pre_matcher *matcher,
			      const char *text, size_t len, qc_word_fn *word, void *context,
			      struct qc_err *err)
{
	const struct cutting c = {
		.pre = pre, .matcher = matcher, .word = word, .context = context, .err = err};

	return cut(&c, 0, text, len);
}

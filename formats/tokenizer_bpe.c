/*
 * Byte-level BPE: what tokenizer.ggml.model "gpt2" needs beside the vocabulary.
 *
 * A pre-tokenizer cuts text into pieces before any merging. GGUF does not hold it, only the name of
 * one that llama.cpp has built in (tokenizer.ggml.pre). llama.cpp's converter finds the name by
 * tokenizing a text with transformers and hashing the ids; here it is told by structure: the steps
 * of tokenizer.json's pre_tokenizer, its regular expressions above all.
 */
#include "formats/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_out.h"

/* Steps that are no regular expression. */
#define STEP_BYTES  "bytes"  /* ByteLevel, use_regex false: to the alphabet of 256 symbols only */
#define STEP_GPT2   "gpt2"   /* ByteLevel with the expression of GPT-2, which it has built in */
#define STEP_DIGITS "digits" /* Digits, individual_digits true */

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL	     "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER	     "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER	     "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define BEFORE	     "[^\\r\\n\\p{L}\\p{N}]?"

#define REGEX_LLAMA3                                                                               \
	CONTRACTIONS "|" BEFORE "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL
#define REGEX_QWEN2 CONTRACTIONS "|" BEFORE "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL
#define REGEX_QWEN35                                                                               \
	CONTRACTIONS "|" BEFORE "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" TAIL
#define REGEX_GPT4O                                                                                \
	BEFORE UPPER "*" LOWER "+" CONTRACTIONS "?|" BEFORE UPPER "+" LOWER "*" CONTRACTIONS       \
		     "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL
#define REGEX_TEKKEN                                                                               \
	BEFORE UPPER "*" LOWER "+|" BEFORE UPPER "+" LOWER                                         \
		     "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL
#define REGEX_GPT2                                                                                 \
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

#define MAX_STEPS 2

enum merging { MERGES_ALWAYS = 0, WHOLE_FIRST, ANY_MERGING };

/* The pre-tokenizers that llama.cpp has, by their steps. Several of its names mean the same; the
 * one of the family that made it known is given. */
static const struct {
	const char *pre;
	const char *steps[MAX_STEPS];
	enum merging merging; /* WHOLE_FIRST: ignore_merges, a piece that is a token stays whole */
} known[] = {
	{"llama-bpe", {REGEX_LLAMA3, STEP_BYTES}, WHOLE_FIRST},
	{"dbrx", {REGEX_LLAMA3, STEP_BYTES}, MERGES_ALWAYS},
	{"gpt-4o", {REGEX_GPT4O, STEP_BYTES}, ANY_MERGING},
	{"qwen2", {REGEX_QWEN2, STEP_BYTES}, ANY_MERGING},
	{"qwen35", {REGEX_QWEN35, STEP_BYTES}, ANY_MERGING},
	{"tekken", {REGEX_TEKKEN, STEP_BYTES}, ANY_MERGING},
	{"gpt-2", {STEP_GPT2, NULL}, ANY_MERGING},
	{"gpt-2", {REGEX_GPT2, STEP_BYTES}, ANY_MERGING},
	{"smollm", {STEP_DIGITS, STEP_GPT2}, ANY_MERGING},
};

static bool is_step(const struct qc_json *json, qc_json_value step, const char *type)
{
	return qc_json_equals(json, qc_json_get(json, step, "type"), type);
}

/* A Split keeps every match as a piece. All expressions here match everything, so that what is done
 * to the text between matches does not matter. */
static bool keeps_matches(const struct qc_json *json, qc_json_value step)
{
	const qc_json_value behavior = qc_json_get(json, step, "behavior");
	bool invert = false;

	(void)!qc_json_bool(json, qc_json_get(json, step, "invert"), &invert);
	return qc_json_equals(json, behavior, "Isolated") ||
	       (qc_json_equals(json, behavior, "Removed") && invert);
}

/* Whether one step of the pre-tokenizer is `wanted`. */
static bool step_is(const struct qc_json *json, qc_json_value step, const char *wanted)
{
	bool flag = true;

	if (is_step(json, step, "Split"))
		return keeps_matches(json, step) &&
		       qc_json_equals(json, qc_json_path(json, step, "pattern.Regex"), wanted);
	if (is_step(json, step, "ByteLevel")) {
		(void)!qc_json_bool(json, qc_json_get(json, step, "use_regex"), &flag);
		return !strcmp(wanted, flag ? STEP_GPT2 : STEP_BYTES);
	}
	if (!is_step(json, step, "Digits") || strcmp(wanted, STEP_DIGITS))
		return false;
	return qc_json_bool(json, qc_json_get(json, step, "individual_digits"), &flag) && flag;
}

/* The first step, and whether there are others behind it. */
static qc_json_value first_step(const struct qc_json *json, bool *is_list)
{
	const qc_json_value pre = qc_json_get(json, QC_JSON_ROOT, "pre_tokenizer");

	*is_list = is_step(json, pre, "Sequence");
	return *is_list ? qc_json_first(json, qc_json_get(json, pre, "pretokenizers")) : pre;
}

static bool has_steps(const struct qc_json *json, const char *const steps[MAX_STEPS])
{
	bool is_list;
	qc_json_value step = first_step(json, &is_list);

	for (int i = 0; i < MAX_STEPS && steps[i]; i++) {
		if (!step || !step_is(json, step, steps[i]))
			return false;
		step = is_list ? qc_json_next(json, step) : 0;
	}
	return !step;
}

/* What the pre-tokenizer is, for a message: the first expression or the type of the first step. */
static enum qc_status unknown_pre(const struct qc_json *json, struct qc_err *err)
{
	bool is_list;
	const qc_json_value step = first_step(json, &is_list);
	qc_json_value what = qc_json_path(json, step, "pattern.Regex");
	size_t len = 0;
	const char *raw;

	what = what ? what : qc_json_get(json, step, "type");
	raw = qc_json_raw(json, what, &len);
	if (!what) {
		raw = "none";
		len = strlen(raw);
	}
	return qc_fail(err, QC_UNSUPPORTED,
		       "its pre-tokenizer (%.*s%s) is none of those that llama.cpp has and this "
		       "version knows",
		       len > 120 ? 120 : (int)len, raw, len > 120 ? "..." : "");
}

enum qc_status qc_bpe_pre(const struct qc_json *json, const char **pre, struct qc_err *err)
{
	bool whole_first = false;

	(void)!qc_json_bool(json, qc_json_path(json, QC_JSON_ROOT, "model.ignore_merges"),
			    &whole_first);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].merging != ANY_MERGING &&
		    (known[i].merging == WHOLE_FIRST) != whole_first)
			continue;
		if (has_steps(json, known[i].steps)) {
			*pre = known[i].pre;
			return QC_OK;
		}
	}
	return unknown_pre(json, err);
}

/* Append a part, its spaces as U+0120, the byte alphabet's space: what llama.cpp's converter does,
 * since the two parts are told apart by a space. */
static char *put_part(char *out, const char *part, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (part[i] == ' ') {
			memcpy(out, "\u0120", 2);
			out += 2;
		} else {
			*out++ = part[i];
		}
	}
	return out;
}

enum qc_status qc_bpe_push_merge(struct qc_vocab *vocab, const char *const part[2],
				 const size_t len[2], struct qc_err *err)
{
	char small[256], *text = small, *end;
	const size_t most = 2 * (len[0] + len[1]) + 1;
	enum qc_status s;

	if (most > sizeof(small))
		text = malloc(most);
	if (!text)
		return qc_no_memory(err);
	end = put_part(text, part[0], len[0]);
	*end++ = ' ';
	end = put_part(end, part[1], len[1]);
	s = qc_kv_push_string(&vocab->merges, text, (size_t)(end - text), err);
	if (text != small)
		free(text);
	return s;
}

static int find_pre(const char *pre)
{
	for (int i = 0; i < (int)(sizeof(known) / sizeof(known[0])); i++)
		if (!strcmp(known[i].pre, pre))
			return i;
	return -1;
}

bool qc_bpe_knows_pre(const char *pre)
{
	return find_pre(pre) >= 0;
}

bool qc_bpe_ignores_merges(const char *pre)
{
	const int i = find_pre(pre);

	/* tekken's files say it too, and it makes no difference to their vocabulary */
	return i >= 0 && (known[i].merging == WHOLE_FIRST || !strcmp(pre, "tekken"));
}

bool qc_bpe_composes(const char *pre)
{
	return !strcmp(pre, "qwen2") || !strcmp(pre, "qwen35");
}

static void put_step(const char *step, struct qc_json_out *out)
{
	qc_json_out_begin(out, NULL, '{');
	if (!strcmp(step, STEP_BYTES) || !strcmp(step, STEP_GPT2)) {
		qc_json_out_text(out, "type", "ByteLevel");
		qc_json_out_bool(out, "add_prefix_space", false);
		qc_json_out_bool(out, "trim_offsets", true);
		qc_json_out_bool(out, "use_regex", !strcmp(step, STEP_GPT2));
	} else if (!strcmp(step, STEP_DIGITS)) {
		qc_json_out_text(out, "type", "Digits");
		qc_json_out_bool(out, "individual_digits", true);
	} else {
		qc_json_out_text(out, "type", "Split");
		qc_json_out_begin(out, "pattern", '{');
		qc_json_out_text(out, "Regex", step);
		qc_json_out_end(out, '}');
		qc_json_out_text(out, "behavior", "Isolated");
		qc_json_out_bool(out, "invert", false);
	}
	qc_json_out_end(out, '}');
}

void qc_bpe_put_pre(const char *pre, struct qc_json_out *out)
{
	const int row = find_pre(pre);

	qc_json_out_begin(out, "pre_tokenizer", '{');
	qc_json_out_text(out, "type", "Sequence");
	qc_json_out_begin(out, "pretokenizers", '[');
	for (int i = 0; row >= 0 && i < MAX_STEPS && known[row].steps[i]; i++)
		put_step(known[row].steps[i], out);
	qc_json_out_end(out, ']');
	qc_json_out_end(out, '}');
}

/* Byte-level BPE: pre-tokenizers told by structure, merges, a Llama 3 from its tokenizer.json. */
#include "formats/tokenizer.h"

#include <time.h>

#include "base/bytes.h"
#include "formats/arch/arch.h"
#include "tests/arch_model.h"
#include "tests/sha256.h"
#include "tests/tokenizer_files.h"

static struct qc_err err;

/* The expressions as the files of the named models have them, JSON's backslashes undone. */
#define LLAMA3                                                                                     \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"                  \
	" ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QWEN2                                                                                      \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"                       \
	" ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QWEN35                                                                                     \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|"               \
	" ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT4O                                                                                      \
	"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"                              \
	"[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"                             \
	"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"                              \
	"[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}|"                 \
	" ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TEKKEN                                                                                     \
	"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"                              \
	"[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"                                                          \
	"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"                              \
	"[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}|"                                                   \
	" ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

#define BYTES "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}"

/* The text of a tokenizer.json with a Split by `regex`, then bytes. */
static void split_json(char *text, size_t size, const char *regex, const char *behavior,
		       bool invert, bool ignore_merges)
{
	char escaped[1024];
	size_t n = 0;

	for (; *regex; regex++) {
		if (*regex == '\\')
			escaped[n++] = '\\';
		escaped[n++] = *regex;
	}
	escaped[n] = 0;
	snprintf(text, size,
		 "{\"model\": {\"type\": \"BPE\", \"ignore_merges\": %s, \"vocab\": {\"a\": 0}, "
		 "\"merges\": []}, \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": "
		 "[{\"type\": \"Split\", \"pattern\": {\"Regex\": \"%s\"}, \"behavior\": \"%s\", "
		 "\"invert\": %s}, " BYTES "]}}",
		 ignore_merges ? "true" : "false", escaped, behavior, invert ? "true" : "false");
}

/* The name for a tokenizer.json; "" when it is refused. */
static const char *pre_of(const char *text)
{
	struct qc_json json = {0};
	const char *pre = "";

	NEED(!qc_json_parse(&json, text, strlen(text), 0, &err), "%s: %s", text, err.text);
	err.text[0] = 0;
	if (qc_bpe_pre(&json, &pre, &err))
		pre = "";
	qc_json_clear(&json);
	return pre;
}

static void expressions_tell_the_pre_tokenizer(void)
{
	static const struct {
		const char *regex, *sha256, *pre, *pre_whole_first;
	} cases[] = {
		{LLAMA3, "d98f9631be1e9607a9848c26c1f9eac1aa9fc21ac6ba82a2fc0741af9780a48f", "dbrx",
		 "llama-bpe"},
		{QWEN2, "1ff7f41064896984db5d1bb6ff64fa4bc29007d08c1b439e505b7392777a319e", "qwen2",
		 "qwen2"},
		{QWEN35, "00431aed57e696b747435f734d1e3b9b1bfd931a121fb5cac7129e97c181e9ba",
		 "qwen35", "qwen35"},
		{GPT4O, "2d1b8dc11e89af71459b36004f698ab3693f59fd84f63e8ec2b49564ab857420",
		 "gpt-4o", "gpt-4o"},
		{TEKKEN, "1d64a9a8eaf9f1bd80331984d81fdd514e7feafe8df83a525dd31472f275699a",
		 "tekken", "tekken"},
		{GPT2, NULL, "gpt-2", "gpt-2"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[4096], hex[65];

		sha256_of(cases[i].regex, strlen(cases[i].regex), hex);
		CHECK(!cases[i].sha256 || !strcmp(hex, cases[i].sha256), "%s: digest %s",
		      cases[i].pre, hex);
		split_json(text, sizeof(text), cases[i].regex, "Isolated", false, false);
		CHECK(!strcmp(pre_of(text), cases[i].pre), "%s is '%s'", cases[i].pre,
		      pre_of(text));
		split_json(text, sizeof(text), cases[i].regex, "Removed", true, true);
		CHECK(!strcmp(pre_of(text), cases[i].pre_whole_first), "%s is '%s'",
		      cases[i].pre_whole_first, pre_of(text));
		/* dropping what matches leaves nothing */
		split_json(text, sizeof(text), cases[i].regex, "Removed", false, false);
		CHECK(!*pre_of(text), "%s removed is '%s'", cases[i].pre, pre_of(text));
		CHECK(strstr(err.text, "pre-tokenizer"), "'%s'", err.text);
	}
}

static void other_structures_are_told_or_refused(void)
{
	static const struct {
		const char *pre_tokenizer, *pre;
	} cases[] = {
		{"{\"type\": \"ByteLevel\"}", "gpt-2"},
		{"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}]}",
		 "gpt-2"},
		{"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", "
		 "\"individual_digits\": true}, {\"type\": \"ByteLevel\", \"use_regex\": true}]}",
		 "smollm"},
		{"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", "
		 "\"individual_digits\": false}, {\"type\": \"ByteLevel\"}]}",
		 ""},
		{BYTES, ""},
		{"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, "
		 "{\"type\": \"ByteLevel\"}, {\"type\": \"ByteLevel\"}]}",
		 ""},
		{"{\"type\": \"Sequence\", \"pretokenizers\": []}", ""},
		{"{\"type\": \"Sequence\"}", ""},
		{"{\"type\": \"Metaspace\"}", ""},
		{"null", ""},
		{"[]", ""},
		{"7", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), "{\"pre_tokenizer\": %s}", cases[i].pre_tokenizer);
		CHECK(!strcmp(pre_of(text), cases[i].pre), "%s is '%s'", text, pre_of(text));
	}
}

#define LLAMA_CONFIG                                                                               \
	"{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 12, \"bos_token_id\": 6, "    \
	"\"eos_token_id\": [7, 8]}"

#define SPECIALS                                                                                   \
	"\"added_tokens\": [{\"id\": 6, \"content\": \"<|begin_of_text|>\", \"special\": true}, "  \
	"{\"id\": 7, \"content\": \"<|eot_id|>\", \"special\": true}, "                            \
	"{\"id\": 9, \"content\": \"tool\\u2581x\", \"special\": false}], "

#define POST                                                                                       \
	"\"post_processor\": {\"type\": \"Sequence\", \"processors\": [{\"type\": "                \
	"\"ByteLevel\"}, "                                                                         \
	"{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": "             \
	"\"<|begin_of_text|>\"}}, {\"Sequence\": {\"id\": \"A\"}}]}]}, "

#define PRE                                                                                        \
	"\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "   \
	"\"pattern\": {\"Regex\": \"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?"   \
	"\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|"    \
	"\\\\s+(?!\\\\S)|\\\\s+\"}, \"behavior\": \"Isolated\", \"invert\": false}, " BYTES "]}, "

#define MODEL(merges)                                                                              \
	"\"model\": {\"type\": \"BPE\", \"ignore_merges\": true, \"byte_fallback\": false, "       \
	"\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"\\u0120\": 3, \"\\u0120ab\": 4, "            \
	"\"c\": 5}, \"merges\": [" merges "]}"

#define MERGES_NEW "[\"a\", \"b\"], [\"\\u0120\", \"ab\"]"
#define MERGES_OLD "\"a b\", \"\\u0120 ab\""

static const char tokenizer_config[] =
	"{\"bos_token\": \"<|begin_of_text|>\", \"eos_token\": \"<|eot_id|>\", \"chat_template\": "
	"[{\"name\": \"default\", \"template\": \"T\"}], \"added_tokens_decoder\": {\"6\": "
	"{\"content\": \"<|begin_of_text|>\", \"special\": true}}}";

/* A string of the array `key`. */
static void check_entry(const struct qc_model *model, const char *key, uint64_t i, const char *want)
{
	const struct qc_kv *kv = qc_meta_find(&model->meta, key);
	const char *text = "";
	size_t at = 0, len = 0;

	NEED(kv && kv->n > i, "%s has no entry %d", key, (int)i);
	for (uint64_t k = 0; k <= i; k++)
		NEED(qc_kv_next_string(kv, &at, &text, &len), "%s ends at %d", key, (int)k);
	CHECK(len == strlen(want) && !memcmp(text, want, len), "%s[%d] is '%.*s', not '%s'", key,
	      (int)i, (int)len, text, want);
}

static void check_llama3(const struct qc_model *model)
{
	static const uint8_t types[12] = {1, 1, 1, 1, 1, 1, 3, 3, 5, 4, 5, 5};
	const struct qc_kv *kv = qc_meta_find(&model->meta, "tokenizer.ggml.token_type");
	bool flag = false;

	am_check_string(model, "tokenizer.ggml.model", "gpt2");
	am_check_string(model, "tokenizer.ggml.pre", "llama-bpe");
	check_entry(model, "tokenizer.ggml.tokens", 4, "\u0120ab");
	check_entry(model, "tokenizer.ggml.tokens", 6, "<|begin_of_text|>");
	check_entry(model, "tokenizer.ggml.tokens", 8, "[PAD8]");
	check_entry(model, "tokenizer.ggml.tokens", 9, "tool x");
	check_entry(model, "tokenizer.ggml.tokens", 11, "[PAD11]");
	NEED(kv && kv->n == 12, "no 12 types");
	for (size_t i = 0; i < 12; i++)
		CHECK(qc_le32(kv->data + 4 * i) == types[i], "token %zu has type %u", i,
		      qc_le32(kv->data + 4 * i));
	CHECK(!qc_meta_find(&model->meta, "tokenizer.ggml.scores"), "scores");
	CHECK(qc_meta_find(&model->meta, "tokenizer.ggml.merges")->n == 2, "not two merges");
	check_entry(model, "tokenizer.ggml.merges", 0, "a b");
	check_entry(model, "tokenizer.ggml.merges", 1, "\u0120 ab");
	am_check_u32(model, "tokenizer.ggml.bos_token_id", 6);
	am_check_u32(model, "tokenizer.ggml.eos_token_id", 7);
	CHECK(qc_meta_bool(&model->meta, "tokenizer.ggml.add_bos_token", &flag) && flag,
	      "add_bos_token");
	CHECK(!qc_meta_find(&model->meta, "tokenizer.ggml.add_space_prefix"), "add_space_prefix");
	am_check_string(model, "tokenizer.chat_template", "T");
}

/* Whatever form the merges have, and with a tokenizer.model beside them that is tiktoken's. */
static void a_llama_3_becomes_gpt2_with_llama_bpe(void)
{
	static const char *const texts[] = {
		"{" SPECIALS PRE POST MODEL(MERGES_NEW) "}",
		"{" SPECIALS PRE POST MODEL(MERGES_OLD) "}",
	};

	for (size_t i = 0; i < 4; i++) {
		struct qc_model model;
		struct place place;

		place_open(&place);
		put_text(&place, "tokenizer.json", texts[i % 2]);
		put_text(&place, "tokenizer_config.json", tokenizer_config);
		if (i >= 2)
			put_text(&place, "tokenizer.model", "IQ== 0\nIg== 1\nIw== 2\n");
		NEED(!load(&model, place.dir, LLAMA_CONFIG, &err), "%s", err.text);
		check_llama3(&model);
		CHECK(strstr(model.tokenizer_note, "tokenizer.json, 10 tokens"), "'%s'",
		      model.tokenizer_note);
		qc_model_close(&model);
		place_close(&place);
	}
}

static void a_template_in_a_file_of_its_own_is_taken(void)
{
	struct qc_model model;
	struct place place;

	place_open(&place);
	put_text(&place, "tokenizer.json", "{" SPECIALS PRE POST MODEL(MERGES_NEW) "}");
	put_text(&place, "chat_template.jinja", "{{ jinja }}");
	NEED(!load(&model, place.dir, LLAMA_CONFIG, &err), "%s", err.text);
	am_check_string(&model, "tokenizer.chat_template", "{{ jinja }}");
	qc_model_close(&model);
	place_close(&place);
}

/* Two texts of which one holds a space: the space becomes the byte alphabet's. */
static void a_space_inside_a_merge_is_no_separator(void)
{
	const char *part[2] = {"a b", "c"};
	const size_t len[2] = {3, 1};
	char *longest = malloc(100001);
	const char *longs[2] = {longest, "x"};
	const size_t long_len[2] = {100000, 1};
	struct qc_vocab vocab = {0};
	struct qc_kv kv = {.type = QC_KV_ARRAY, .elem = QC_KV_STRING};
	const char *text;
	size_t at = 0, n;

	NEED(longest, "no memory");
	memset(longest, ' ', 100000);
	NEED(!qc_bpe_push_merge(&vocab, part, len, &err), "%s", err.text);
	NEED(!qc_bpe_push_merge(&vocab, longs, long_len, &err), "%s", err.text);
	kv.n = vocab.merges.n;
	kv.data = vocab.merges.data;
	kv.bytes = vocab.merges.bytes;
	NEED(kv.n == 2 && qc_kv_next_string(&kv, &at, &text, &n), "not two merges");
	CHECK(n == 6 && !memcmp(text, "a\u0120b c", 6), "'%.*s'", (int)n, text);
	NEED(qc_kv_next_string(&kv, &at, &text, &n), "no second merge");
	CHECK(n == 200002 && !memcmp(text + n - 2, " x", 2), "%zu bytes", n);
	free(longest);
	free(vocab.merges.data);
}

static void what_cannot_be_converted_is_refused_with_the_reason(void)
{
	static const struct {
		const char *config, *json, *reason;
	} cases[] = {
		{LLAMA_CONFIG, "{" MODEL(MERGES_NEW) ", \"decoder\": {\"type\": \"ByteLevel\"}}",
		 "pre-tokenizer (none)"},
		{LLAMA_CONFIG,
		 "{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
		 "\"Split\", \"pattern\": {\"Regex\": \"x+\"}}, " BYTES
		 "]}, " MODEL(MERGES_NEW) "}",
		 "(\"x+\")"},
		{LLAMA_CONFIG, "{" MODEL(MERGES_NEW) "}", "without byte_fallback"},
		{LLAMA_CONFIG, "{" PRE MODEL("[\"a\", \"c\"]") "}", "not all of it"},
		{LLAMA_CONFIG, "{" PRE MODEL("[\"a\"]") "}", "neither a string nor an array"},
		{"{\"model_type\": \"gemma4_text\"}", "{" PRE MODEL(MERGES_NEW) "}",
		 "byte-level BPE tokenizer cannot be converted for gemma4"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qc_model model;
		struct place place;

		place_open(&place);
		put_text(&place, "tokenizer.json", cases[i].json);
		err.text[0] = 0;
		CHECK(load(&model, place.dir, cases[i].config, &err) &&
			      strstr(err.text, cases[i].reason) &&
			      strstr(err.text, "tokenizer.json"),
		      "%s: '%s'", cases[i].json, err.text);
		qc_model_close(&model);
		place_close(&place);
	}
}

static void gemma_4_needs_a_tokenizer_json(void)
{
	struct qc_model model;
	struct place place;

	place_open(&place);
	put_text(&place, "tokenizer.model", "anything");
	CHECK(load(&model, place.dir, "{\"model_type\": \"gemma4_text\"}", &err) ==
			      QC_UNSUPPORTED &&
		      strstr(err.text, "no tokenizer.json"),
	      "'%s'", err.text);
	qc_model_close(&model);
	place_close(&place);
}

static void tokens_of_the_unified_gemma_4_are_suppressed(void)
{
	static const char config[] = "{\"architectures\": "
				     "[\"Gemma4UnifiedForConditionalGeneration\"], \"vocab_size\": "
				     "300}";
	static const struct {
		const char *text;
		bool good;
	} bad[] = {
		{"{\"suppress_tokens\": [258, 259]}", true}, {"{\"suppress_tokens\": []}", true},
		{"{\"suppress_tokens\": null}", true},	     {"{}", true},
		{"{\"suppress_tokens\": [300]}", false},     {"{\"suppress_tokens\": [-1]}", false},
		{"{\"suppress_tokens\": [\"a\"]}", false},   {"{", false},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct qc_model model;
		struct place place;
		const struct qc_kv *kv;
		enum qc_status s;

		place_open(&place);
		put_text(&place, "generation_config.json", bad[i].text);
		model = (struct qc_model){.path = place.dir, .dir = place.dir};
		model.meta.arena = &model.arena;
		s = qc_arch_from_config(&model, strdup(config), strlen(config), &err);
		CHECK(!s == bad[i].good, "%s: %s", bad[i].text, s ? err.text : "taken");
		CHECK(!s || strstr(err.text, "generation_config.json"), "'%s'", err.text);
		kv = qc_meta_find(&model.meta, "tokenizer.ggml.suppress_tokens");
		CHECK(!kv == (i > 0), "%s: a key", bad[i].text);
		if (!i)
			CHECK(kv && kv->elem == QC_KV_I32 && kv->n == 2 &&
				      qc_le32(kv->data + 4) == 259,
			      "not 258 and 259");
		qc_model_close(&model);
		place_close(&place);
	}
}

/* A vocabulary of 200,000 tokens with a merge for nearly each takes a moment, not minutes: token i
 * is token i / 16 and one more digit. */
static void a_large_vocabulary_is_linear(void)
{
	enum { N = 200000 };
	const clock_t start = clock();
	struct qc_model model;
	struct place place;
	char *text = malloc((size_t)N * 48 + 4096), *at = text;
	const char *before = "";
	char config[128];

	NEED(text, "no memory");
	at += sprintf(at, "{" PRE "\"model\": {\"type\": \"BPE\", \"ignore_merges\": true, "
			  "\"vocab\": {");
	for (int i = 0; i < N; i++)
		at += sprintf(at, "%s\"%x\":%d", i ? "," : "", i, i);
	at += sprintf(at, "}, \"merges\": [");
	for (int i = 16; i < N; i++, before = ",")
		at += sprintf(at, "%s[\"%x\",\"%x\"]", before, i / 16, i % 16);
	sprintf(at, "]}}");
	place_open(&place);
	put_text(&place, "tokenizer.json", text);
	snprintf(config, sizeof(config), "{\"model_type\": \"llama\", \"vocab_size\": %d}", N + 9);
	NEED(!load(&model, place.dir, config, &err), "%s", err.text);
	CHECK(qc_meta_find(&model.meta, "tokenizer.ggml.merges")->n == N - 16, "merges");
	CHECK(qc_meta_find(&model.meta, "tokenizer.ggml.tokens")->n == N + 9, "tokens");
	CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 20, "took %g seconds",
	      (double)(clock() - start) / CLOCKS_PER_SEC);
	qc_model_close(&model);
	place_close(&place);
	free(text);
}

int main(void)
{
	expressions_tell_the_pre_tokenizer();
	other_structures_are_told_or_refused();
	a_llama_3_becomes_gpt2_with_llama_bpe();
	a_template_in_a_file_of_its_own_is_taken();
	a_space_inside_a_merge_is_no_separator();
	what_cannot_be_converted_is_refused_with_the_reason();
	gemma_4_needs_a_tokenizer_json();
	tokens_of_the_unified_gemma_4_are_suppressed();
	a_large_vocabulary_is_linear();
	return test_end();
}

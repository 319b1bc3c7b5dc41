/* Ids to text: whatever went in comes back, bytes that are no text too. */
#include "calib/tokenize.h"
#include "tests/test.h"
#include "tests/tokenize_models.h"

static struct qc_err err;

static void text_comes_back(void)
{
	static const char *const texts[] = {
		"",
		" ",
		"  ",
		"a",
		" a",
		"\n",
		"\n\n\n\n\n\n\n",
		"a  b   c    d\t\te\r\nf",
		"naïve café — “quotes” … 日本語 हिन्दी العربية 👩\u200d👩\u200d👧 e\u0301",
		"<|nope|> </x> &amp; {\"a\": [1, 2.5e-3]}",
		"ÀÉÎ ñ ß ǅ ʰ ⅷ ½ 12345 ٣",
		("\u00a0\u2003\u3000 \xc2\x85"
		 "x\u180ey\ufeff"),
	};

	for (size_t i = 0; i < N_MODELS; i++) {
		struct opened o;

		open_model(&o, i);
		for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
			check_round_trip(o.tok, texts[k], strlen(texts[k]), 0, models[i].dir);
			check_round_trip(o.tok, texts[k], strlen(texts[k]), QC_ENCODE_ADD_SPECIAL,
					 models[i].dir);
		}
		close_model(&o);
	}
}

/* Bytes at random, then such that are often UTF-8 or nearly so: all come back (the mark for a
 * space is left out: it comes back as one). */
static void any_bytes_come_back(void)
{
	static const char *const parts[] = {" ", "  ",	   "\n",   "the", "\xe2", "\x96",
					    "é", "\u0301", "\xff", "漢",  "😀",	  "\xf0\x9f",
					    "<", "eos",	   ">",	   "'S"};
	uint64_t state = 88172645463325252u;

	for (size_t i = 0; i < N_MODELS; i++) {
		struct opened o;

		open_model(&o, i);
		for (int round = 0; round < 400; round++) {
			char text[256];
			size_t len = 0;

			while (len < 200) {
				const char *part = parts[next_random(&state) % 16];

				if (round % 2) {
					text[len++] = (char)next_random(&state);
				} else {
					memcpy(text + len, part, strlen(part));
					len += strlen(part);
				}
				if (len >= 3 && !memcmp(text + len - 3, "\u2581", 3))
					len--;
			}
			check_round_trip(o.tok, text, len, 0, models[i].dir);
		}
		close_model(&o);
	}
}

static void bytes_that_are_not_utf8_stand_alone(void)
{
	for (size_t i = 0; i < N_MODELS; i++) {
		static const char *const texts[] = {"ab", "\xff", "cd"};
		struct qc_ids parts = {0}, whole = {0};
		struct opened o;

		open_model(&o, i);
		/* behind a newline, so that no space is put before any part */
		for (size_t k = 0; k < 3; k++)
			NEED(!qc_tokenizer_encode(o.tok, texts[k], 2 - (k == 1), 0, &parts, &err),
			     "%s", err.text);
		encode(o.tok,
		       "ab\xff"
		       "cd",
		       5, 0, &whole);
		if (!strstr(models[i].dir, "tiny-llama")) { /* which puts spaces before parts */
			CHECK(whole.n == parts.n && !memcmp(whole.ids, parts.ids, 4 * whole.n),
			      "%s: %zu ids, not %zu", models[i].dir, whole.n, parts.n);
		}
		qc_ids_clear(&parts);
		qc_ids_clear(&whole);
		close_model(&o);
	}
}

static void ids_beyond_the_vocabulary_are_refused(void)
{
	const uint32_t ids[] = {1, 1024};
	struct opened o;
	char *text;
	size_t len;

	open_model(&o, 1);
	CHECK(qc_tokenizer_size(o.tok) == 1024, "%u tokens", qc_tokenizer_size(o.tok));
	CHECK(qc_tokenizer_decode(o.tok, ids, 2, 0, &text, &len, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "1024 at 1"),
	      "'%s'", err.text);
	CHECK(!qc_tokenizer_is_end(o.tok, 1024), "an end");
	close_model(&o);
}

static void a_continuation_keeps_its_first_space(void)
{
	struct qc_ids ids = {0};
	struct opened o;
	char *text;
	size_t len;

	open_model(&o, 1); /* puts a space before text */
	encode(o.tok, "there", 5, 0, &ids);
	NEED(!qc_tokenizer_decode(o.tok, ids.ids, ids.n, QC_DECODE_CONTINUED, &text, &len, &err),
	     "%s", err.text);
	CHECK(!strcmp(text, " there"), "'%s'", text);
	free(text);
	qc_ids_clear(&ids);
	close_model(&o);
}

int main(void)
{
	text_comes_back();
	any_bytes_come_back();
	bytes_that_are_not_utf8_stand_alone();
	ids_beyond_the_vocabulary_are_refused();
	a_continuation_keeps_its_first_space();
	return test_end();
}

/* The steps before merging: pre-tokenizers, the byte alphabet, normalization. */
#include <time.h>

#include "calib/byte_alphabet.h"
#include "calib/normalize.h"
#include "calib/pretokenize.h"
#include "tests/test.h"

static struct qc_err err;

/* Words as "a|b|c". */

struct words {
	char text[512];
	size_t len;
};

static enum qc_status take_word(void *context, const char *word, size_t len, struct qc_err *e)
{
	struct words *words = context;

	(void)e;
	NEED(len && words->len + len + 2 < sizeof(words->text), "too many words");
	if (words->len)
		words->text[words->len++] = '|';
	memcpy(words->text + words->len, word, len);
	words->len += len;
	words->text[words->len] = 0;
	return QC_OK;
}

static void pretokenizers_cut_as_their_expressions_say(void)
{
	static const struct {
		const char *pre, *text, *words;
	} cases[] = {
		{"llama-bpe", "I'LL don't  12345\n\n x", "I|'LL| don|'t| | |123|45|\n\n| x"},
		{"llama-bpe", "a!\n\nb --x", "a|!\n\n|b| --|x"},
		{"qwen2", "a 12\n", "a| |1|2|\n"},
		{"qwen35", "कि a\u0301b", "कि| a\u0301b"},
		{"qwen2", "a\u0301b", "a|\u0301b"},
		{"gpt-4o", "HTMLParser'S Élan///\n x", "HTMLParser'S| Élan|///\n| x"},
		{"gpt-4o", "ÉCOLEété", "ÉCOLEété"},
		{"tekken", "it's 12", "it|'s| |1|2"},
		{"gpt-2", "it's I'LL  12345   x ", "it|'s| I|'|LL| | 12345|  | x| "},
		{"smollm", "a 12b", "a| |1|2|b"},
		{"deepseek-v3", "漢字x 1234 'a", "漢字|x| |123|4| '|a"},
		{"default", "a+b 1234567", "a|+|b| |123|456|7"},
		/* White_Space is what Unicode says: not U+180E, but U+0085 */
		{"gpt-2",
		 "a\u180eb\xc2\x85"
		 "c",
		 "a|\u180e|b|\xc2\x85"
		 "|c"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qc_pretokenizer *pre;
		struct qc_pre_matcher *matcher;
		struct words words = {0};

		NEED(!qc_pretokenizer_open(&pre, cases[i].pre, strlen(cases[i].pre), &err) &&
			     !qc_pre_matcher_open(&matcher, pre, &err),
		     "%s", err.text);
		NEED(!qc_pretokenize(pre, matcher, cases[i].text, strlen(cases[i].text), take_word,
				     &words, &err),
		     "%s", err.text);
		CHECK(!strcmp(words.text, cases[i].words), "%s: '%s', not '%s'", cases[i].pre,
		      words.text, cases[i].words);
		qc_pre_matcher_close(matcher);
		qc_pretokenizer_close(pre);
	}
}

static void every_pretokenizer_keeps_every_byte(void)
{
	static const char text[] = "It's 1234 naïve 漢字\r\n\n  \t+x̂ <|é|> \xc2\x85"
				   "\u3000'LL. ";
	const char *name;

	for (size_t i = 0; (name = qc_pretokenizer_name(i)); i++) {
		struct qc_pretokenizer *pre;
		struct qc_pre_matcher *matcher;
		struct words words = {0};
		size_t n = 0;

		NEED(!qc_pretokenizer_open(&pre, name, strlen(name), &err) &&
			     !qc_pre_matcher_open(&matcher, pre, &err),
		     "%s: %s", name, err.text);
		NEED(!qc_pretokenize(pre, matcher, text, strlen(text), take_word, &words, &err),
		     "%s", err.text);
		for (size_t k = 0; k < words.len; k++) {
			/* the text has one '|' of its own on each side of é */
			if (n < strlen(text) && words.text[k] == text[n])
				n++;
			else
				CHECK(words.text[k] == '|', "%s: '%s'", name, words.text);
		}
		CHECK(n == strlen(text), "%s: '%s'", name, words.text);
		qc_pre_matcher_close(matcher);
		qc_pretokenizer_close(pre);
	}
}

static enum qc_status count_bytes(void *context, const char *word, size_t len, struct qc_err *e)
{
	(void)word;
	(void)e;
	*(size_t *)context += len;
	return QC_OK;
}

/* Half a mebibyte of one thing; time that grew with the square would be minutes for each. */
static void no_text_takes_more_than_linear_time(void)
{
	static const char *const units[] = {
		"a",  "A",  "aA",     " ",	"\n",	  " \n",     "\t ",	     "!",
		"1",  "'",  "'s",     "\u00e9", "\u0301", "a\u0301", "\u6f22",	     "!a",
		"1a", "\r", "\u3000", " !",	"/",	  "\u01c5",  "\u0323\u0301",
	};
	const size_t size = 512 << 10;
	const clock_t start = clock();
	char *text = malloc(size + 8), *nfc;
	const char *name;
	double seconds;

	NEED(text, "no memory");
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		const size_t unit = strlen(units[u]), len = size / unit * unit;
		size_t n;

		for (size_t at = 0; at < len; at += unit)
			memcpy(text + at, units[u], unit);
		for (size_t i = 0; (name = qc_pretokenizer_name(i)); i++) {
			struct qc_pretokenizer *pre;
			struct qc_pre_matcher *matcher;

			n = 0;
			NEED(!qc_pretokenizer_open(&pre, name, strlen(name), &err) &&
				     !qc_pre_matcher_open(&matcher, pre, &err) &&
				     !qc_pretokenize(pre, matcher, text, len, count_bytes, &n,
						     &err),
			     "%s: %s", name, err.text);
			CHECK(n == len, "%s, text %zu: %zu bytes of %zu", name, u, n, len);
			qc_pre_matcher_close(matcher);
			qc_pretokenizer_close(pre);
		}
		NEED(!qc_normalize_nfc(text, len, &nfc, &n, &err), "%s", err.text);
		free(nfc);
	}
	seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
	CHECK(seconds < 300, "%.1f s", seconds);
	free(text);
}

static void the_byte_alphabet_is_gpt2s(void)
{
	static const struct {
		uint8_t byte;
		const char *text;
	} cases[] = {{'!', "!"},      {0, "\u0100"},   {' ', "\u0120"}, {127, "\u0121"},
		     {160, "\u0142"}, {161, "\u00a1"}, {173, "\u0143"}, {255, "\u00ff"}};
	char text[4], back[4];
	size_t n;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		n = qc_byte_character(cases[i].byte, text);
		CHECK(n == strlen(cases[i].text) && !memcmp(text, cases[i].text, n), "byte %u",
		      cases[i].byte);
	}
	for (unsigned byte = 0; byte < 256; byte++) {
		const size_t len = qc_byte_character((uint8_t)byte, text);

		CHECK(qc_bytes_of_characters(text, len, back, &n) && n == 1 &&
			      (uint8_t)back[0] == byte,
		      "byte %u came back as %u", byte, (uint8_t)back[0]);
	}
	CHECK(!qc_bytes_of_characters("\u0144", 2, back, &n) &&
		      !qc_bytes_of_characters(" ", 1, back, &n) &&
		      !qc_bytes_of_characters("\xff", 1, back, &n),
	      "a character that is none");
}

static void nfc_composes_across_ascii_and_in_parts(void)
{
	static const char *const cases[][2] = {
		{"e\u0301", "\u00e9"},
		{"xe\u0301y\u0327z", "x\u00e9y\u0327z"},
		{"a\u0323\u0302", "\u1ead"},
		{"\u1100\u1161\u11a8", "\uac01"},
		{"\u212b and \u00c5", "\u00c5 and \u00c5"},
		{"q\u0307\u0323", "q\u0323\u0307"},
	};
	char *out = NULL, *text;
	size_t len, at = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		NEED(!qc_normalize_nfc(cases[i][0], strlen(cases[i][0]), &out, &len, &err) && out,
		     "nothing");
		CHECK(len == strlen(cases[i][1]) && !memcmp(out, cases[i][1], len),
		      "'%s' became '%.*s'", cases[i][0], (int)len, out);
		free(out);
	}
	NEED(!qc_normalize_nfc("plain", 5, &out, &len, &err), "%s", err.text);
	CHECK(!out, "ASCII was copied");
	/* longer than a part, of letters with marks */
	text = malloc(30000);
	NEED(text, "no memory");
	while (at + 5 < 30000) {
		memcpy(text + at, "\u0438\u0306", 4);
		at += 4;
	}
	NEED(!qc_normalize_nfc(text, at, &out, &len, &err) && out, "nothing");
	CHECK(len == at / 2, "%zu bytes, not %zu", len, at / 2);
	for (size_t i = 0; i < len; i += 2)
		CHECK(!memcmp(out + i, "\u0439", 2), "not composed at %zu", i);
	free(text);
	free(out);
}

int main(void)
{
	pretokenizers_cut_as_their_expressions_say();
	every_pretokenizer_keeps_every_byte();
	no_text_takes_more_than_linear_time();
	the_byte_alphabet_is_gpt2s();
	nfc_composes_across_ascii_and_in_parts();
	return test_end();
}

/*
 * Makes tokenizer files of a published model's size: make_tokenizer SPEC DIR
 *
 * SPEC is text, a directive a line: "size N" ids; "merges N"; "bytes ID" puts <0x00> to <0xFF> at
 * ID on; "alphabet" puts GPT-2's 256 byte symbols at 0 on; "outside ID": tokens from ID on are
 * added tokens outside of the vocabulary; "token ID special|user TEXT"; "sentencepiece": a
 * tokenizer.model too. Every other id is a word of one to four letters, and merges are their
 * splits. SPEC with .json for .txt is tokenizer.json with empty "vocab", "merges" and
 * "added_tokens", SPEC with .config.json tokenizer_config.json with an empty
 * "added_tokens_decoder".
 */
#include "base/bytes.h"
#include "tests/create.h"
#include "tests/test.h"

enum { MAX_IDS = 300000, MAX_TEXT = 64, LETTERS = 24 };

struct token {
	char text[MAX_TEXT];
	bool given, special, byte;
};

static struct token *tokens;
static int size, merges, n_words, outside = MAX_IDS;
static bool alphabet, sentencepiece;

static void set(int id, const char *text, bool special, bool byte)
{
	NEED(id >= 0 && id < MAX_IDS && !*tokens[id].text, "id %d: out of range, or twice", id);
	snprintf(tokens[id].text, MAX_TEXT, "%s", text);
	tokens[id].given = !byte;
	tokens[id].special = special;
	tokens[id].byte = byte;
}

/* The n-th string over the letters, short ones first, from `shortest` letters on. */
static int word(int n, int shortest, char *text)
{
	int len = shortest;
	long count = 1;

	for (int i = 0; i < len; i++)
		count *= LETTERS;
	for (; n >= count; len++, count *= LETTERS)
		n -= (int)count;
	text[len] = 0;
	for (int i = len; i--; n /= LETTERS)
		text[i] = (char)('a' + n % LETTERS);
	return len;
}

static void add_bytes(int first)
{
	char text[8];

	for (int i = 0; i < 256; i++) {
		snprintf(text, sizeof(text), "<0x%02X>", (unsigned)i);
		set(first + i, text, false, true);
	}
}

/* Bytes that GPT-2 prints as themselves, the others as U+0100 and on. */
static void add_alphabet(void)
{
	int other = 256;
	char text[3];

	for (int i = 0; i < 256; i++) {
		bool plain = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) ||
			     (i >= 0xae && i <= 0xff);
		int code = plain ? i : other++;

		snprintf(text, sizeof(text), "%s", "");
		if (code < 0x80) {
			text[0] = (char)code;
			text[1] = 0;
		} else {
			text[0] = (char)(0xc0 | code >> 6);
			text[1] = (char)(0x80 | (code & 0x3f));
			text[2] = 0;
		}
		set(i, text, false, true);
	}
}

static void read_spec(const char *path)
{
	char *text = test_load(path, NULL), *rest = text, *line;
	int id, at;
	char kind[16];

	while ((line = strsep(&rest, "\n"))) {
		at = 0;
		if (!*line || *line == '#')
			continue;
		if (sscanf(line, "token %d %15s %n", &id, kind, &at) == 2 && at)
			set(id, line + at, !strcmp(kind, "special"), false);
		else if (sscanf(line, "bytes %d", &id) == 1)
			add_bytes(id);
		else if (!strcmp(line, "alphabet"))
			alphabet = true;
		else if (!strcmp(line, "sentencepiece"))
			sentencepiece = true;
		else
			NEED(sscanf(line, "size %d", &size) == 1 ||
				     sscanf(line, "merges %d", &merges) == 1 ||
				     sscanf(line, "outside %d", &outside) == 1,
			     "%s: '%s'?", path, line);
	}
	free(text);
	if (alphabet)
		add_alphabet();
	NEED(size > 0 && size <= MAX_IDS, "%s: size", path);
	for (id = 0; id < size && id < outside; id++)
		if (!*tokens[id].text)
			word(n_words++, alphabet ? 2 : 1, tokens[id].text);
}

static void put_string(FILE *f, const char *text)
{
	fputc('"', f);
	for (; *text; text++)
		if (*text == '\n')
			fputs("\\n", f);
		else
			fprintf(f, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	fputc('"', f);
}

static void put_vocabulary(FILE *f)
{
	const char *separator = "\n";

	for (int id = 0; id < size && id < outside; id++, separator = ",\n") {
		fprintf(f, "%s      ", separator);
		put_string(f, tokens[id].text);
		fprintf(f, ": %d", id);
	}
}

static void put_merges(FILE *f)
{
	int left = merges, shortest = alphabet ? 2 : 1;
	const char *separator = "\n";
	char text[8];

	for (int n = 0; n < n_words && left > 0; n++) {
		int len = word(n, shortest, text);

		for (int i = 1; i < len && left > 0; i++, left--, separator = ",\n")
			fprintf(f, "%s      [\n        \"%.*s\",\n        \"%s\"\n      ]",
				separator, i, text, text + i);
	}
	NEED(!left, "%d merges are too many for %d words", merges, n_words);
}

static void put_added(FILE *f, const char *form)
{
	const char *separator = "\n";

	for (int id = 0; id < size; id++) {
		if (!tokens[id].given)
			continue;
		fprintf(f, "%s    ", separator);
		fprintf(f, form, id);
		put_string(f, tokens[id].text);
		fprintf(f,
			", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
			"\"normalized\": false, \"special\": %s}",
			tokens[id].special ? "true" : "false");
		separator = ",\n";
	}
}

static void put_added_list(FILE *f)
{
	put_added(f, "{\"id\": %d, \"content\": ");
}

static void put_decoder(FILE *f)
{
	put_added(f, "\"%d\": {\"content\": ");
}

/* The skeleton with what `fill` writes inside of each empty value whose marker is in `markers`. */
static void write_filled(const char *skeleton, const char *dir, const char *name,
			 const char *const *markers, void (*const *fill)(FILE *f))
{
	char *text = test_load(skeleton, NULL), *from = text, *at;
	FILE *f = create(dir, name);

	for (; *markers; markers++, fill++) {
		at = strstr(from, *markers);
		NEED(at, "%s: no '%s'", skeleton, *markers);
		at += strlen(*markers);
		fwrite(from, 1, (size_t)(at - from), f);
		(*fill)(f);
		from = at;
	}
	fputs(from, f);
	NEED(!fclose(f), "cannot write %s", name);
	free(text);
}

static void put_varint(uint8_t *bytes, int *n, unsigned value)
{
	for (; value >= 0x80; value >>= 7)
		bytes[(*n)++] = (uint8_t)(value | 0x80);
	bytes[(*n)++] = (uint8_t)value;
}

/* SentencePiece pieces: field 1 of the model, with text (1), score (2) and type (3). */
static void write_pieces(const char *dir)
{
	enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, BYTE = 6 };
	FILE *f = create(dir, "tokenizer.model");
	uint8_t bytes[MAX_TEXT + 32];

	for (int id = 0; id < size && id < outside; id++) {
		const struct token *t = &tokens[id];
		unsigned len = (unsigned)strlen(t->text);
		int n = 0, type = !strcmp(t->text, "<unk>") ? UNKNOWN
				  : t->byte		    ? BYTE
				  : t->special		    ? CONTROL
				  : t->given		    ? USER_DEFINED
							    : NORMAL;

		bytes[n++] = 0x0a;
		put_varint(bytes, &n, 2 + len + 5 + 2);
		bytes[n++] = 0x0a;
		put_varint(bytes, &n, len);
		memcpy(bytes + n, t->text, len);
		n += (int)len;
		bytes[n++] = 0x15;
		qc_put_le32(bytes + n, qc_f32_bits(type == NORMAL ? (float)-id : 0));
		n += 4;
		bytes[n++] = 0x18;
		bytes[n++] = (uint8_t)type;
		NEED(fwrite(bytes, 1, (size_t)n, f) == (size_t)n, "cannot write tokenizer.model");
	}
	NEED(!fclose(f), "cannot write tokenizer.model");
}

int main(int argc, char **argv)
{
	static const char *const json_markers[] = {"\"added_tokens\": [", "\"vocab\": {",
						   "\"merges\": [", NULL};
	static const char *const config_markers[] = {"\"added_tokens_decoder\": {", NULL};
	static void (*const json_fill[])(FILE *) = {put_added_list, put_vocabulary, put_merges};
	static void (*const config_fill[])(FILE *) = {put_decoder};
	char stem[4096], path[4200];

	NEED(argc == 3 && strlen(argv[1]) > 4 && strlen(argv[1]) < sizeof(stem),
	     "usage: make_tokenizer SPEC.txt DIR");
	tokens = calloc(MAX_IDS, sizeof(*tokens));
	NEED(tokens, "no memory");
	read_spec(argv[1]);
	snprintf(stem, sizeof(stem), "%.*s", (int)strlen(argv[1]) - 4, argv[1]);
	snprintf(path, sizeof(path), "%s.json", stem);
	write_filled(path, argv[2], "tokenizer.json", json_markers, json_fill);
	snprintf(path, sizeof(path), "%s.config.json", stem);
	write_filled(path, argv[2], "tokenizer_config.json", config_markers, config_fill);
	if (sentencepiece)
		write_pieces(argv[2]);
	free(tokens);
	return 0;
}

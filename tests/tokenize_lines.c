/*
 * The ids of many texts, for comparing with others:
 *
 *   tokenize_lines MODEL PRE < lines        two lines of ids for each line, which is a JSON string:
 *                                           specials parsed; the same with BOS and EOS added
 *   tokenize_lines --time MODEL FILE        megabytes a second for FILE, repeated to 16 MB
 *   tokenize_lines --client LIBDIR GGUF < lines
 *                                           libllama's ids of each line against ours, for all flags
 *
 * PRE replaces tokenizer.ggml.pre; "own" keeps the model's.
 */
#include <time.h>

#include "base/json.h"
#include "calib/tokenize.h"
#include "formats/model.h"
#include "tests/llama_client.h"
#include "tests/test.h"

static struct qc_err err;

struct line {
	char *text;
	size_t len;
	struct qc_arena arena;
};

/* The next line of stdin, a JSON string; false at the end. */
static bool next_line(struct line *line)
{
	static char *buffer;
	static size_t cap;
	struct qc_json json = {0};
	ssize_t n = getline(&buffer, &cap, stdin);

	qc_arena_clear(&line->arena);
	if (n < 0) {
		free(buffer);
		buffer = NULL;
		return false;
	}
	NEED(!qc_json_parse(&json, buffer, (size_t)n, 0, &err), "%s", err.text);
	line->text = qc_json_string(&json, QC_JSON_ROOT, &line->arena, &line->len);
	NEED(line->text, "not a string: %s", buffer);
	qc_json_clear(&json);
	return true;
}

static void open_both(struct qc_model *model, struct qc_tokenizer **tok, const char *path,
		      const char *pre)
{
	NEED(!qc_model_open(model, path, &err), "%s", err.text);
	if (strcmp(pre, "own") != 0)
		NEED(!qc_meta_set_string(&model->meta, "tokenizer.ggml.pre", pre, strlen(pre),
					 &err),
		     "%s", err.text);
	NEED(!qc_tokenizer_open(tok, model, &err), "%s", err.text);
}

static int print_ids(const char *path, const char *pre)
{
	struct qc_model model = {0};
	struct qc_tokenizer *tok;
	struct qc_ids ids = {0};
	struct line line = {0};

	open_both(&model, &tok, path, pre);
	while (next_line(&line))
		for (unsigned add = 0; add <= QC_ENCODE_ADD_SPECIAL; add++) {
			ids.n = 0;
			NEED(!qc_tokenizer_encode(tok, line.text, line.len,
						  add | QC_ENCODE_PARSE_SPECIAL, &ids, &err),
			     "%s", err.text);
			for (size_t i = 0; i < ids.n; i++)
				printf("%s%u", i ? " " : "", ids.ids[i]);
			putchar('\n');
		}
	qc_ids_clear(&ids);
	qc_tokenizer_close(tok);
	qc_model_close(&model);
	return 0;
}

static int print_rate(const char *path, const char *file)
{
	const size_t most = 16u << 20;
	struct qc_model model = {0};
	struct qc_tokenizer *tok;
	struct qc_ids ids = {0};
	struct timespec a, b, c;
	size_t size, len = 0;
	char *part = test_load(file, &size), *text = malloc(most + size);

	NEED(text && size, "no memory");
	for (; len < most; len += size)
		memcpy(text + len, part, size);
	NEED(!qc_model_open(&model, path, &err), "%s", err.text);
	clock_gettime(CLOCK_MONOTONIC, &a);
	NEED(!qc_tokenizer_open(&tok, &model, &err), "%s", err.text);
	clock_gettime(CLOCK_MONOTONIC, &b);
	NEED(!qc_tokenizer_encode(tok, text, len, 0, &ids, &err), "%s", err.text);
	clock_gettime(CLOCK_MONOTONIC, &c);
	printf("%s: %.1f MB/s, %zu tokens; opened in %.1f ms\n", path,
	       (double)len / 1e6 /
		       ((double)(c.tv_sec - b.tv_sec) + 1e-9 * (double)(c.tv_nsec - b.tv_nsec)),
	       ids.n,
	       1e3 * ((double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec)));
	qc_ids_clear(&ids);
	qc_tokenizer_close(tok);
	qc_model_close(&model);
	free(part);
	free(text);
	return 0;
}

static int compare_with_client(const char *dir, const char *path)
{
	struct llama_client client = {0};
	struct llama_model_params params;
	struct llama_model *theirs;
	const struct llama_vocab *vocab;
	struct qc_model model = {0};
	struct qc_tokenizer *tok;
	struct qc_ids ids = {0};
	struct line line = {0};
	static int32_t want[1 << 16];
	char why[256];
	size_t n_lines = 0;

	NEED(llama_client_open(&client, dir, why, sizeof(why)), "%s", why);
	params = client.model_default_params();
	params.n_gpu_layers = 0;
	params.vocab_only = true;
	theirs = client.model_load(path, params);
	NEED(theirs, "libllama does not load %s: %s", path, client.log);
	vocab = client.model_vocab(theirs);
	open_both(&model, &tok, path, "own");
	while (next_line(&line)) {
		n_lines++;
		for (unsigned flags = 0; flags < 4; flags++) {
			const int32_t n = client.tokenize(vocab, line.text, (int32_t)line.len, want,
							  1 << 16, flags & QC_ENCODE_ADD_SPECIAL,
							  flags & QC_ENCODE_PARSE_SPECIAL);
			size_t i = 0;

			ids.n = 0;
			NEED(!qc_tokenizer_encode(tok, line.text, line.len, flags, &ids, &err),
			     "%s", err.text);
			while (i < ids.n && n >= 0 && i < (size_t)n &&
			       ids.ids[i] == (uint32_t)want[i])
				i++;
			CHECK(n >= 0 && ids.n == (size_t)n && i == ids.n,
			      "%s, flags %u: '%s': id %zu of %zu is %u, of %d %d", path, flags,
			      line.text, i, ids.n, i < ids.n ? ids.ids[i] : 0, n,
			      n >= 0 && i < (size_t)n ? want[i] : -1);
		}
	}
	printf("%s: %zu lines with libllama, ", path, n_lines);
	qc_ids_clear(&ids);
	qc_tokenizer_close(tok);
	qc_model_close(&model);
	client.model_free(theirs);
	return test_end();
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "--time"))
		return print_rate(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "--client"))
		return compare_with_client(argv[2], argv[3]);
	NEED(argc == 3, "usage: see the source");
	return print_ids(argv[1], argv[2]);
}

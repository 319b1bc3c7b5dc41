/* qconv eval --prompt: the model goes on with a text, always with the most probable token. */
#include <stdlib.h>
#include <string.h>

#include "convert/cli.h"

enum { DEFAULT_TOKENS = 64, MOST_TOKENS = 1 << 16 };

/* A text that grows; logits of its last position. */
struct speech {
	struct qconv_model *model;
	struct qconv_session *session;
	uint32_t *ids;
	size_t n;
	float *logits;
	size_t printed; /* bytes of the text */
};

static uint32_t most_probable(const float *logits, size_t n)
{
	uint32_t top = 0;

	for (size_t i = 1; i < n; i++)
		if (logits[i] > logits[top])
			top = (uint32_t)i;
	return top;
}

/* How many of `len` bytes are whole characters: the last one may still lack bytes. */
static size_t whole_characters(const char *text, size_t len)
{
	size_t back = 0;

	while (back < 3 && back < len && ((unsigned char)text[len - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back < len && (unsigned char)text[len - 1 - back] >= 0xc0) {
		const unsigned char lead = (unsigned char)text[len - 1 - back];
		const size_t need = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;

		return back < need ? len - 1 - back : len;
	}
	return len;
}

/* What was added since the last time; at the end also half a character. */
static int print_new(struct speech *s, bool end, struct qconv_error *error)
{
	char *text;
	size_t len;
	int code = qconv_detokenize(s->model, s->ids, s->n, &text, &len, error);

	if (code)
		return code;
	if (!end)
		len = whole_characters(text, len);
	if (len > s->printed) {
		for (size_t i = s->printed; i < len; i++)
			if ((unsigned char)text[i] < 0x20 && text[i] != '\n' && text[i] != '\t')
				text[i] = '?';
		fwrite(text + s->printed, 1, len - s->printed, stdout);
		fflush(stdout);
		s->printed = len;
	}
	free(text);
	return QCONV_DONE;
}

static int speak(struct speech *s, size_t n, struct qconv_error *error)
{
	const size_t vocab = qconv_vocab_size(s->model);
	int code = print_new(s, false, error);

	for (size_t i = 0; !code && i < n; i++) {
		const size_t had = qconv_session_length(s->session), new = s->n - had;
		uint32_t id;

		code = qconv_session_append(s->session, s->ids + had, new, new - 1, s->logits,
					    error);
		if (code)
			break;
		id = most_probable(s->logits, vocab);
		if (qconv_is_end(s->model, id))
			break;
		s->ids[s->n++] = id;
		code = print_new(s, false, error);
	}
	return code ? code : print_new(s, true, error);
}

static int prepare(struct speech *s, const char *prompt, size_t n, struct qconv_error *error)
{
	uint32_t *ids;
	int code = qconv_tokenize(s->model, prompt, strlen(prompt), &s->ids, &s->n, error);

	if (code)
		return code;
	if (!s->n) {
		snprintf(error->text, sizeof(error->text),
			 "--prompt: no token: this model has no BOS, it needs some text");
		return error->code = QCONV_USAGE;
	}
	ids = realloc(s->ids, (s->n + n) * sizeof(*ids));
	if (ids)
		s->ids = ids;
	s->logits = malloc(qconv_vocab_size(s->model) * sizeof(*s->logits));
	if (!ids || !s->logits) {
		snprintf(error->text, sizeof(error->text), "out of memory");
		return error->code = QCONV_FAILED;
	}
	return QCONV_DONE;
}

static void print_part(const char *name, uint64_t bytes, const char *what)
{
	char size[16];

	printf("  %-9s %8s  %s\n", name, cli_bytes(bytes, size, sizeof(size)), what);
}

/* The arithmetic of --dry-run. */
static void print_session(const struct speech *s, size_t n)
{
	struct qconv_session_memory m;
	char kept[64] = "all weights, decoded once", size[16];

	qconv_session_memory(s->model, s->n + n, &m);
	if (m.kept < m.weights)
		snprintf(kept, sizeof(kept), "weights that stay decoded, of %s",
			 cli_bytes(m.weights, size, sizeof(size)));
	printf("%zu tokens of prompt, at most %zu more\n", s->n, n);
	print_part("cache", m.cache, "keys and values of all tokens");
	print_part("kept", m.kept, kept);
	print_part("work", m.work, "activations, weights that do not stay, logits");
	printf("peak memory %s, beside the program and its vocabulary\n",
	       cli_bytes(m.peak, size, sizeof(size)));
}

int cli_generate(struct cli_args *args)
{
	const size_t n = args->n_tokens ? args->n_tokens : DEFAULT_TOKENS;
	const struct qconv_run_options options = {
		.threads = args->options.threads,
		.mem_limit = args->options.mem_limit,
		.act = args->options.act,
		.stop = args->options.stop,
	};
	struct qconv_error error = {0};
	struct speech s = {0};
	int code;

	if (n > MOST_TOKENS) {
		fprintf(stderr, "qconv: -n %zu is above %d\n", n, MOST_TOKENS);
		return QCONV_USAGE;
	}
	code = qconv_open(&s.model, args->operands[0], &options, &error);
	if (!code)
		code = prepare(&s, args->prompt, n, &error);
	if (!code && args->dry_run)
		print_session(&s, n);
	else if (!code)
		code = qconv_session_open(&s.session, s.model, s.n + n, &error);
	if (!code && s.session) {
		code = speak(&s, n, &error);
		putchar('\n');
	}
	qconv_session_close(s.session);
	free(s.ids);
	free(s.logits);
	qconv_close(s.model);
	return code ? cli_api_error(&error) : QCONV_DONE;
}

/* What a model expects next: logits MODEL TEXT. Prints the ten most probable tokens.
 * cc -Ibuild samples/logits.c build/libqconv.a -fopenmp -lopenblas -lpcre2-8 -lutf8proc -lxxhash
 * -lz -lm */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qconv.h"

int main(int argc, char **argv)
{
	struct qconv_error error = {0};
	struct qconv_model *model = NULL;
	uint32_t *ids = NULL;
	float *logits = NULL;
	size_t n = 0, vocab = 0, len;
	double sum = 0;

	if (argc == 3 && !qconv_open(&model, argv[1], NULL, &error) &&
	    !qconv_tokenize(model, argv[2], strlen(argv[2]), &ids, &n, &error) && n > 0) {
		vocab = qconv_vocab_size(model);
		logits = malloc(vocab * sizeof(*logits));
	}
	if (!logits || qconv_forward(model, ids, n, n - 1, logits, &error))
		return fprintf(stderr, "logits MODEL TEXT: %s\n", error.text), 1;
	for (size_t i = 0; i < vocab; i++)
		sum += exp(logits[i]);
	for (int k = 0; k < 10; k++) {
		uint32_t top = 0;
		char *text = NULL;

		for (uint32_t i = 1; i < vocab; i++)
			top = logits[i] > logits[top] ? i : top;
		if (!qconv_detokenize(model, &top, 1, &text, &len, &error))
			printf("%6.2f %%  %5u  '%s'\n", 100 * exp(logits[top]) / sum, top, text);
		free(text);
		logits[top] = -INFINITY;
	}
	return free(logits), free(ids), qconv_close(model), 0;
}

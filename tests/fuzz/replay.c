/* Replays a fuzz target over files, without a fuzzer: replay_NAME FILE... */
#include <stdint.h>
#include <stdio.h>

#include "tests/test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t size;
		char *data = test_load(argv[i], &size);
		/* an exact-size copy, so that a sanitizer sees one byte too far */
		uint8_t *copy = malloc(size ? size : 1);

		NEED(copy, "no memory");
		memcpy(copy, data, size);
		LLVMFuzzerTestOneInput(copy, size);
		free(copy);
		free(data);
		test_passed++;
	}
	return test_end();
}

/* A test file is a program; its functions are sentences; failures print both values. main() ends
 * with `return test_end()`. */
#ifndef QC_TESTS_TEST_H
#define QC_TESTS_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long test_passed, test_failed;

#define FAIL_AT(...)                                                                               \
	do {                                                                                       \
		test_failed++;                                                                     \
		fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, __func__);                      \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fputc('\n', stderr);                                                               \
	} while (0)

/* CHECK(condition, "printf text with both values", ...) */
#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (condition)                                                                     \
			test_passed++;                                                             \
		else                                                                               \
			FAIL_AT(__VA_ARGS__);                                                      \
	} while (0)

/* Stop the program when the test's own ground gives way (a golden file is missing, memory is out).
 */
#define NEED(condition, ...)                                                                       \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			FAIL_AT(__VA_ARGS__);                                                      \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* A whole file in memory (malloc), from the project's root; NUL behind it. */
static inline char *test_load(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	char *data = NULL;
	long n;

	NEED(f, "cannot open %s (tests run from the project's root)", path);
	NEED(!fseek(f, 0, SEEK_END) && (n = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET),
	     "cannot size %s", path);
	data = malloc((size_t)n + 1);
	NEED(data && fread(data, 1, (size_t)n, f) == (size_t)n, "cannot read %s", path);
	data[n] = 0;
	fclose(f);
	if (size)
		*size = (size_t)n;
	return data;
}

static inline int test_end(void)
{
	printf("%lu passed, %lu failed\n", test_passed, test_failed);
	return test_failed || !test_passed;
}

#endif

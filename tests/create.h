/* Files that tools for tests write. */
#ifndef QC_TESTS_CREATE_H
#define QC_TESTS_CREATE_H

#include <stdio.h>

#include "tests/test.h"

static inline FILE *create(const char *dir, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	NEED(f, "cannot create %s", path);
	return f;
}

#endif

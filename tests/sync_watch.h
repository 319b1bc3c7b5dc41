/* What is synced while a file has its name and while not: one program's calls of fsync() come here
 * first. */
#ifndef QC_TESTS_SYNC_WATCH_H
#define QC_TESTS_SYNC_WATCH_H

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/test.h"

/* Calls on files and on folders, before and while `name` was there. */
static struct {
	const char *name;
	int files[2], folders[2];
	mode_t failing; /* S_IFREG, S_IFDIR: these get EIO; 0: none */
} synced;

static inline void watch_syncs(const char *name, mode_t failing)
{
	memset(&synced, 0, sizeof(synced));
	synced.name = name;
	synced.failing = failing;
}

int fsync(int fd)
{
	struct stat st;
	bool there = synced.name && !access(synced.name, F_OK);

	NEED(!fstat(fd, &st), "what is not open is synced");
	if ((st.st_mode & S_IFMT) == synced.failing) {
		errno = EIO;
		return -1;
	}
	++(S_ISDIR(st.st_mode) ? synced.folders : synced.files)[there];
	return (int)syscall(SYS_fsync, fd);
}

#endif

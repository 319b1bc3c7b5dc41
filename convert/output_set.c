#include "convert/output_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OLD_NAME_BASE 200 /* bytes of the name that it replaces, to stay below NAME_MAX */

char *qc_output_set_path(const char *path, const struct qc_out_file *file)
{
	static const char ending[] = ".gguf";
	size_t len = strlen(path), cut = sizeof(ending) - 1;
	char *out;

	if (len > cut && !strcmp(path + len - cut, ending) && path[len - cut - 1] != '/')
		len -= cut;
	return asprintf(&out, "%.*s%s", (int)len, path, file->name) < 0 ? NULL : out;
}

enum qc_status qc_output_set_precheck(const char *path, const struct qc_model *model,
				      const struct qc_out *out, bool force, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < out->n_files; i++) {
		char *name = qc_output_set_path(path, &out->files[i]);

		/* the room for all is looked at once */
		s = name ? qc_writer_precheck(name, model, i ? 0 : out->total_bytes, force, err)
			 : qc_no_memory(err);
		free(name);
	}
	return s;
}

enum qc_status qc_output_set_create(struct qc_output *output, const struct qc_model *model,
				    const struct qc_out *out, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < out->n_files; i++) {
		char *name = qc_output_set_path(output->path, &out->files[i]);

		s = name ? qc_writer_create(&output->writers[i], name, model,
					    out->files[i].total_bytes, output->force, err)
			 : qc_no_memory(err);
		free(name);
		output->n += !s;
	}
	return s;
}

/* A file of the set on its way. */
struct place {
	char *path, *old; /* final; what was there is aside, NULL: nothing was */
	bool is_new;	  /* the new file is there */
};

static enum qc_status put_aside(struct place *place, struct qc_err *err)
{
	const char *slash = strrchr(place->path, '/');
	int folder = slash ? (int)(slash + 1 - place->path) : 0, failed;

	if (asprintf(&place->old, "%.*s.%.*s.qconv-%ld.old", folder, place->path, OLD_NAME_BASE,
		     place->path + folder, (long)getpid()) < 0) {
		place->old = NULL;
		return qc_no_memory(err);
	}
	if (!rename(place->path, place->old))
		return QC_OK;
	failed = errno;
	free(place->old);
	place->old = NULL;
	return failed == ENOENT ? QC_OK
				: qc_fail_errno(err, failed, "cannot put aside '%s'", place->path);
}

static enum qc_status give_names(struct qc_output *output, struct place *places, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < output->n; i++) {
		places[i].path = strdup(output->writers[i].path);
		s = places[i].path ? qc_writer_sync(&output->writers[i], err) : qc_no_memory(err);
	}
	for (size_t i = 0; !s && output->force && i < output->n; i++)
		s = put_aside(&places[i], err);
	for (size_t i = output->n; !s && i-- > 0;) {
		s = qc_writer_commit(&output->writers[i], err);
		/* a folder that cannot be synced is an error behind the rename */
		places[i].is_new = !output->writers[i].is_open;
	}
	return s;
}

/* The first file goes first and comes back last, as ever. */
static void take_back(const struct place *places, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (places[i].is_new)
			unlink(places[i].path);
	for (size_t i = n; i-- > 0;)
		if (places[i].old)
			(void)!rename(places[i].old, places[i].path);
}

enum qc_status qc_output_set_commit(struct qc_output *output, struct qc_err *err)
{
	struct place *places = calloc(output->n + 1, sizeof(*places));
	enum qc_status s = places ? give_names(output, places, err) : qc_no_memory(err);

	if (places && s)
		take_back(places, output->n);
	for (size_t i = 0; places && i < output->n; i++) {
		if (!s && places[i].old)
			unlink(places[i].old);
		free(places[i].old);
		free(places[i].path);
	}
	free(places);
	return s;
}

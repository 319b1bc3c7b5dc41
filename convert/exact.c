#include "convert/exact.h"

#include "quant/lattice.h"
#include "quant/types.h"

/* Floats that hold all values of other types: `from` to `to` rounds nothing. */
static bool holds_all(const struct qc_qtype *to, const struct qc_qtype *from)
{
	static const struct {
		const struct qc_qtype *from, *to;
	} widened[] = {
		{&qc_f16, &qc_f64},	 {&qc_bf16, &qc_f64},	  {&qc_f32, &qc_f64},
		{&qc_f8_e4m3, &qc_bf16}, {&qc_f8_e5m2, &qc_bf16}, {&qc_f8_e4m3, &qc_f16},
		{&qc_f8_e5m2, &qc_f16},	 {&qc_mxfp4, &qc_bf16},
	};

	if (to == &qc_f32) /* what everything decodes to */
		return from != &qc_f64;
	for (size_t i = 0; i < sizeof(widened) / sizeof(*widened); i++)
		if (from == widened[i].from && to == widened[i].to)
			return true;
	return false;
}

bool qc_step_is_exact(const struct qc_step *step)
{
	return step->copy || (!step->packing && holds_all(step->to, step->from) &&
			      (step->source->ops->read_raw || step->to == &qc_f32));
}

enum qc_status qc_step_watch_lattice(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	if (!step->search || step->packing || !step->source->ops->read_raw ||
	    !qc_lattice_possible(step->to, step->from))
		return QC_OK;
	step->lattice = qc_arena_alloc(&plan->arena, sizeof(*step->lattice));
	return step->lattice ? QC_OK : qc_no_memory(err);
}

enum qc_status qc_plan_conclude(struct qc_plan *plan, struct qc_err *err)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		struct qc_step *step = &plan->steps[i];
		uint64_t n;

		if (step->packing && step->packing->conclude && !step->copy &&
		    step->packing->conclude(plan, step, err))
			return err->status;
		if (!step->lattice)
			continue;
		n = step->rows * step->cols / step->to->block_elems;
		/* a few blocks are on one by chance, and those of zeros are always */
		if (step->lattice->rounded <= n / 2)
			continue;
		step->exact = step->lattice->equal == n;
		step->finding = qc_arena_printf(
			&plan->arena, "trained for %s: %llu of %llu blocks are on its lattice%s",
			step->to->name, (unsigned long long)step->lattice->rounded,
			(unsigned long long)n, step->exact ? ", exact" : " but for rounding");
		if (!step->finding)
			return qc_no_memory(err);
	}
	return QC_OK;
}

#ifndef QC_BASE_CLOCK_H
#define QC_BASE_CLOCK_H

/* Seconds of a clock that only goes forward, from a start that says nothing: for differences. */
double qc_seconds(void);

/* Seconds that the calling thread has computed: for differences, which other work beside it leaves
 * alone. */
double qc_thread_seconds(void);

#endif

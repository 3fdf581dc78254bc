/* W3C Trace Context: who belongs to the same trace. Source: W3C Recommendation, 23 November 2021. */
#ifndef PUSHWRIGHT_RUNTIME_TRACE_H
#define PUSHWRIGHT_RUNTIME_TRACE_H

#include "shared/base/span.h"

enum { TRACEPARENT_SIZE = 56, TRACESTATE_MAX = 512 };

/* Is it a header of version 00, or the known part of a later version? "ff", upper case and ids of zeros are not. */
bool traceparent_is_valid(struct span text);

/* A new span in the parent's trace; in a new, sampled trace when the parent is absent or invalid. */
void traceparent_child(char out[static TRACEPARENT_SIZE], struct span parent);

#endif
